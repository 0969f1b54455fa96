/* SPDX-License-Identifier: ISC
 *
 * Makes the flow of a descriptor, and pipes.
 */
#include <loop/core/check.h>
#include <loop/core/close.h>
#include <loop/core/fd.h>
#include <loop/core/scope.h>
#include <loop/flow.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/kernel/file.h>
#include <loop/part.h>

#include <errno.h>
#include <fcntl.h>

struct loop_flow *loop_fd_flow(struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return NULL;
    }
    if (!fd->flow.fd) {
        fd->flow.source.ops = &loop_fd_source;
        fd->flow.sink.ops = &loop_fd_sink;
        fd->flow.source.scope = fd->flow.sink.scope = fd->scope;
        fd->flow.fd = fd;
#if NORIA_DEBUG
        fd->flow.source.self = fd->flow.sink.self = fd;
#endif
    }
    return &fd->flow;
}

int loop_pipe(struct loop_scope *scope, struct loop_source **source, struct loop_sink **sink)
{
    if (!loop_scope_is_good(scope, __func__) || !loop_check_pointer(source, "source", __func__) ||
        !loop_check_pointer(sink, "sink", __func__)) {
        return -EINVAL;
    }
    int ends[2];
    if (!loop_scope_takes_work(scope)) {
        return -ECANCELED;
    }
    if (loop_kernel_pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
        return -errno;
    }
    struct loop_fd *reader = loop_fd_adopt(scope, ends[0]);
    struct loop_fd *writer = loop_fd_adopt(scope, ends[1]);
    if (!reader || !writer) {
        loop_fd_destroy(reader);
        loop_fd_destroy(writer);
        return -ENOMEM;
    }
    reader->doubts = 0; /* its only writer is this library, which writes no packets */
    *source = &loop_fd_flow(reader)->source;
    *sink = &loop_fd_flow(writer)->sink;
    return 0;
}
