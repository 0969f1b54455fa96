/* SPDX-License-Identifier: ISC
 *
 * send_msg and recv_msg: convert a struct loop_message to the kernel's msghdr, and a received msghdr back.
 */
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/scope.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <loop/low_level/start.h>
#include <loop/syscall/direct.h>
#include <loop/syscall/request.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- to the kernel ---- */

/* Allocates the msghdr of a message. Returns NULL when there is no memory. Uses malloc, because calloc does not use the
 * C library's cache of small blocks. */
static struct loop_message_request *make_request(const struct loop_message *message)
{
    struct loop_message_request *request = loop_kernel_malloc(sizeof *request);
    int n_iov = message->n_iov < INT_MAX ? (int)message->n_iov : INT_MAX; /* more than IOV_MAX: -EMSGSIZE */
    if (request) {
        request->header = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)message->iov,
                                          .msg_iovlen = n_iov,
                                          .msg_name = message->address,
                                          .msg_namelen = message->address ? message->address_len : 0};
    }
    return request;
}

static void attach_fds(struct loop_message_request *request, const struct loop_message *message)
{
    if (message->n_numbers == 0) {
        return;
    }
    size_t size_bytes = message->n_numbers * sizeof(int);
    struct cmsghdr *control = (struct cmsghdr *)(void *)request->control;
    memset(request->control, 0, CMSG_SPACE(size_bytes));
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = (socklen_t)CMSG_LEN(size_bytes);
    memcpy(CMSG_DATA(control), message->numbers, size_bytes);
    request->header.msg_control = request->control;
    request->header.msg_controllen = (socklen_t)CMSG_SPACE(size_bytes);
}

static bool is_whole(const struct loop_message *message)
{
    return message && (message->iov || message->n_iov == 0) && (message->numbers || message->n_numbers == 0);
}

/* Returns the flags of the system call, without MSG_WAITALL: each message is sent or received by one call. */
static int call_flags(const struct loop_message *message, int more_flags)
{
    return (message->flags & ~MSG_WAITALL) | more_flags;
}

loop_job loop_op_send_msg(struct loop_scope *scope, struct loop_fd *fd, const struct loop_message *message, loop_fn *fn,
                          void *arg)
{
    struct loop_operation operation = {
        .scope = scope, .fd = fd, .op = LOOP_OP_SEND_MSG, .fn = fn, .arg = arg, .function = __func__};
    if (!fd || !is_whole(message) || message->n_numbers > LOOP_MESSAGE_MAX_NUMBERS) {
        operation.error = -EINVAL;
        return loop_operation_start(&operation);
    }
    struct loop_message_request *request = make_request(message);
    if (!request) {
        return 0;
    }
    attach_fds(request, message);
    operation.args = (struct loop_op_args){.message = {.flags = call_flags(message, MSG_NOSIGNAL)}, .extra = request};
    return loop_operation_start(&operation);
}

/* ---- from the kernel ---- */

/* Stores the received descriptors that there is room for, and closes the others. */
static void take_fds(struct loop_message *message, const struct cmsghdr *control, size_t room)
{
    size_t n = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
        int number;
        memcpy(&number, CMSG_DATA(control) + i * sizeof number, sizeof number);
        if (message->n_numbers < room) {
            message->numbers[message->n_numbers++] = number;
        } else {
            loop_kernel_close(number);
            message->flags |= MSG_CTRUNC;
        }
    }
}

static void close_pidfd(const struct cmsghdr *control)
{
    int number;

    memcpy(&number, CMSG_DATA(control), sizeof number);
    if (number >= 0) { /* it is a negative errno where there was no descriptor left */
        loop_kernel_close(number);
    }
}

static void take_message(struct loop_message *message, struct msghdr *header, size_t room)
{
    message->address_len = header->msg_namelen;
    message->flags = header->msg_flags & ~MSG_CMSG_CLOEXEC;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
        if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS) {
            take_fds(message, control, room);
        } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_PIDFD) {
            close_pidfd(control); /* the socket was adopted with SO_PASSPIDFD */
        }
    }
}

static void recv_msg_done(struct loop *loop, struct loop_job *job, int64_t result)
{
    if (result >= 0) {
        struct loop_message_request *request = job->u.args.extra;
        take_message(job->u.args.message.message, &request->header, job->u.args.message.max_numbers);
    }
    loop_job_finish(loop, job, result);
}

static const struct loop_job_kind recv_msg_kind = {.name = "recv_msg",
                                                   .cancel = loop_job_cancel_by_backend,
                                                   .attempt = loop_direct_attempt,
                                                   .backend_done = recv_msg_done,
                                                   .size = LOOP_JOB_LARGE};

/* Marks the message as empty until one is received, so that its descriptors are valid after a cancel as well. */
static void empty_message(struct loop_message *message)
{
    message->address_len = 0;
    message->n_numbers = 0;
    message->flags = 0;
}

loop_job loop_op_recv_msg(struct loop_scope *scope, struct loop_fd *fd, struct loop_message *message, loop_fn *fn,
                          void *arg)
{
    struct loop_operation operation = {.scope = scope,
                                       .fd = fd,
                                       .op = LOOP_OP_RECV_MSG,
                                       .kind = &recv_msg_kind,
                                       .fn = fn,
                                       .arg = arg,
                                       .function = __func__};
    if (!fd || !fn || !is_whole(message)) {
        operation.error = -EINVAL;
        return loop_operation_start(&operation);
    }
    struct loop_message_request *request = make_request(message);
    if (!request) {
        return 0;
    }
    if (message->n_numbers > 0) {
        request->header.msg_control = request->control;
        request->header.msg_controllen = sizeof request->control;
    }
    operation.args = (struct loop_op_args){.message = {.flags = call_flags(message, MSG_CMSG_CLOEXEC),
                                                       .message = message,
                                                       .max_numbers = message->n_numbers},
                                           .extra = request};
    loop_job job = loop_operation_start(&operation);
    if (job) {
        empty_message(message);
    }
    return job;
}
