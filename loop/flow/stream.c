/* SPDX-License-Identifier: ISC
 *
 * Streams: bytes as they come, in chunks lent by the region. descriptor_stream.c reads descriptors that can be polled,
 * source_stream.c all other sources.
 */
#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/flow/descriptor_stream.h>
#include <loop/flow/own/check.h>
#include <loop/flow/own/kept.h>
#include <loop/flow/source_stream.h>

loop_job loop_stream(struct loop_source *source, loop_stream_fn *fn, void *arg)
{
    if (!loop_source_is_good(source, __func__)) {
        return 0;
    }
    struct loop_fd *fd = source->scope->is_cancelled ? NULL : loop_source_direct_fd(source);
    return fd && loop_fd_is_stream(fd) ? loop_fd_stream(source, fd, fn, arg) : loop_source_stream(source, fn, arg);
}
