/* SPDX-License-Identifier: ISC
 *
 * The operations on sockets by name: connect, accept, recv, send and shutdown. Messages are in message.c.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/core/scope.h>
#include <loop/kernel/memory.h>
#include <loop/low_level/kind.h>
#include <loop/low_level/start.h>
#include <loop/part.h>
#include <loop/syscall/shut_down.h>

#include <errno.h>
#include <string.h>

loop_job loop_op_connect(struct loop_scope *scope, struct loop_fd *fd, const struct sockaddr *address,
                         socklen_t address_len, loop_fn *fn, void *arg)
{
    if (!loop_operation_is_good(scope, fd, NULL, __func__)) {
        return 0;
    }
    if (!loop_operation_has_fd(fd, __func__) || !address || address_len == 0 ||
        address_len > sizeof(struct sockaddr_storage)) {
        return loop_operation_known(scope, fd, -EINVAL, fn, arg, __func__);
    }
    struct loop_operation operation = {
        .scope = scope, .fd = fd, .op = LOOP_OP_CONNECT, .fn = fn, .arg = arg, .function = __func__};
    operation.args.extra = loop_kernel_calloc(1, sizeof(struct sockaddr_storage));
    if (!operation.args.extra) {
        return 0;
    }
    memcpy(operation.args.extra, address, address_len);
    operation.args.connect.address_len = address_len;
    return loop_operation_start(&operation);
}

/* Requires a continuation: without one the accepted descriptor would never be closed. */
loop_job loop_op_accept(struct loop_scope *scope, struct loop_fd *fd, struct sockaddr *address, socklen_t *address_len,
                        loop_fn *fn, void *arg)
{
    struct loop_operation operation = {
        .scope = scope, .fd = fd, .op = LOOP_OP_ACCEPT, .fn = fn, .arg = arg, .function = __func__};
    operation.args = (struct loop_op_args){.accept = {address, address ? address_len : NULL}};
    operation.error = !fd || !fn || (address && !address_len) ? -EINVAL : 0;
    return loop_operation_start(&operation);
}

loop_job loop_op_accept_multishot(struct loop_scope *scope, struct loop_fd *fd, loop_fn *fn, void *arg)
{
    struct loop_operation operation = {
        .scope = scope, .fd = fd, .op = LOOP_OP_ACCEPT_MULTISHOT, .fn = fn, .arg = arg, .function = __func__};
    operation.error = fd && fn ? 0 : -EINVAL;
    return loop_operation_start(&operation);
}

void loop_fd_share(struct loop_fd *fd)
{
    if (loop_fd_is_good(fd, __func__)) {
        fd->is_shared = true;
    }
}

loop_job loop_op_recv(struct loop_scope *scope, struct loop_fd *fd, void *buf, size_t len, int flags, loop_fn *fn,
                      void *arg)
{
    struct loop_operation operation = {
        .scope = scope, .fd = fd, .op = LOOP_OP_RECV, .fn = fn, .arg = arg, .function = __func__};
    operation.args =
        (struct loop_op_args){.message = {.flags = flags, .data = buf, .len = loop_operation_limited(len)}};
    operation.error = !fd || (!buf && len > 0) ? -EINVAL : 0;
    if (fd && flags & MSG_OOB) {
        fd->doubts |= LOOP_DOUBT_ALWAYS; /* poll(2) doesn't tell of the mark any more when its byte has been taken */
    }
    return loop_operation_start(&operation);
}

loop_job loop_op_send(struct loop_scope *scope, struct loop_fd *fd, const void *buf, size_t len, int flags, loop_fn *fn,
                      void *arg)
{
    struct loop_operation operation = {
        .scope = scope, .fd = fd, .op = LOOP_OP_SEND, .fn = fn, .arg = arg, .function = __func__};
    void *data = (void *)(uintptr_t)buf;
    operation.args = (struct loop_op_args){
        .message = {.flags = flags | MSG_NOSIGNAL, .data = data, .len = loop_operation_limited(len)}};
    operation.error = !fd || (!buf && len > 0) ? -EINVAL : 0;
    return loop_operation_start(&operation);
}

/* Calls shutdown(2) directly, which cannot block. The ring would use a kernel thread for it. */
loop_job loop_op_shutdown(struct loop_scope *scope, struct loop_fd *fd, int how, loop_fn *fn, void *arg)
{
    if (!loop_operation_is_good(scope, fd, NULL, __func__)) {
        return 0;
    }
    struct loop_scope *owner = loop_operation_scope(scope, fd);
    bool is_usable = loop_operation_has_fd(fd, __func__) && loop_operation_is_of(owner->loop, fd);
    loop_job id;
    if (!is_usable) {
        return loop_operation_known(scope, fd, -EINVAL, fn, arg, __func__);
    }
    struct loop_job *job = loop_job_start(owner, fd, &loop_low_kind, fn, arg, &id);
    if (job) {
        loop_job_complete(owner->loop, job, loop_fd_shut_down(owner->loop, fd, how));
    }
    return id;
}
