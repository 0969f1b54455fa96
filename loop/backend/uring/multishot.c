/* SPDX-License-Identifier: ISC
 *
 * Jobs that complete many times: accept_multishot and recv_multishot.
 */
#include <loop/backend/uring/buffers.h>
#include <loop/backend/uring/completions.h>
#include <loop/backend/uring/line.h>
#include <loop/backend/uring/multishot.h>
#include <loop/backend/uring/order.h>
#include <loop/backend/uring/result.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/core/unread.h>
#include <loop/kernel/socket.h>
#include <loop/syscall/buffers.h>

#include <errno.h>

/* Whether the job's socket is a Unix socket. Asks the kernel once. */
static bool is_unix(struct loop_job *job)
{
    struct loop_receive_args *args = &job->u.args.receive;
    if (!args->is_family_known) {
        int family = 0;
        socklen_t len = sizeof family;
        (void)loop_kernel_getsockopt(job->fd->number, SOL_SOCKET, SO_DOMAIN, &family, &len);
        args->is_family_known = true;
        args->is_unix = family == AF_UNIX;
    }
    return args->is_unix;
}

/* Recalls a receive whose end would be lost. Since Linux 6.17 a multishot receive waits for the next edge as soon as
 * the socket has nothing queued. If the peer of a Unix socket hung up before that, or that of a TCP socket reset it, no
 * edge follows. A receive that is started again finds the end, or the error that the kernel reports once. */
static void look_for_lost_end(struct loop_uring *uring, struct loop_job *job, uint32_t flags)
{
    bool may_lose = job->fd->is_byte_stream || is_unix(job);
    if (flags & IORING_CQE_F_SOCK_NONEMPTY || job->is_cancelled || job->u.args.receive.is_recalled || !may_lose) {
        return;
    }
    if (loop_uring_has_hung_up(job->fd)) {
        job->u.args.receive.is_recalled = true;
        loop_uring_cancel(uring, job);
    }
}

/* Puts bytes that came to the ring's buffer `index` behind unread bytes, which were given back since the receive was
 * submitted. It has been recalled for them. Returns false when there are none, or no memory: the buffer then has the
 * bytes to deliver. */
static bool put_behind(struct loop_uring *uring, struct loop_job *job, unsigned index, int32_t n)
{
    struct loop_buffers *buffers = job->u.args.receive.buffers;
    struct iovec bytes = {buffers->memory + index * buffers->size_bytes, (size_t)n};
    bool was_put = job->fd->unread && buffers->ring && loop_unread_put_behind(uring->loop, job->fd, &bytes, (size_t)n);
    if (was_put) {
        loop_uring_buffers_give(buffers, index);
    }
    return was_put;
}

/* Delivers the bytes of one completion in the buffer that the kernel has chosen. */
static void receive(struct loop_uring *uring, struct loop_job *job, int32_t result, uint32_t flags)
{
    struct loop_buffers *buffers = job->u.args.receive.buffers;
    unsigned index = flags >> IORING_CQE_BUFFER_SHIFT;
    assert(flags & IORING_CQE_F_BUFFER && index < buffers->count && !buffers->is_lent[index]);
    if (put_behind(uring, job, index, result)) {
        return;
    }
    buffers->is_lent[index] = true;
    buffers->n_free--;
    loop_job_emit(uring->loop, job, result, buffers->memory + index * buffers->size_bytes);
    if (flags & IORING_CQE_F_MORE) {
        look_for_lost_end(uring, job, flags);
    }
}

static void deliver(struct loop_uring *uring, struct loop_job *job, int32_t result, uint32_t flags)
{
    if (!loop_op_table[job->op].gets_buffers) {
        loop_job_emit(uring->loop, job, result, NULL);
    } else {
        receive(uring, job, result, flags);
    }
}

/* Returns the descriptor's own error, or 0 if the ring is the reason for `error`. A socket may have another error than
 * the ring's, which the job ends with: the kernel reports it once. */
static int32_t own_error(const struct loop_job *job, int32_t error)
{
    if (!loop_op_table[job->op].gets_buffers) {
        int is_listening = 0;
        socklen_t len = sizeof is_listening;
        bool is_known = !loop_kernel_getsockopt(job->fd->number, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len);
        return is_known && is_listening ? 0 : error;
    }
    char byte;
    ssize_t n = loop_kernel_recv(job->fd->number, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && errno != EAGAIN ? -errno : 0;
}

/* Takes the job's group of buffers back from the ring, for system calls. Returns 0 or -ENOMEM. */
static int take_group_back(struct loop_uring *uring, const struct loop_job *job)
{
    if (!loop_op_table[job->op].gets_buffers) {
        return 0;
    }
    loop_uring_buffers_take_back(uring, job->u.args.receive.buffers);
    return loop_direct_buffers_init(uring->loop, job->u.args.receive.buffers);
}

/* Whether the receive has unread bytes to deliver first: it was called back for them, or has just come to the end or to
 * an error of the socket, which is kept behind them. It continues by readiness, and returns to the ring after them. */
static bool has_bytes_first(struct loop *loop, struct loop_job *job, int32_t result)
{
    if (job->is_cancelled || !loop_fd_has_unread(job->fd) || result == -ENOBUFS || loop_uring_is_refusal(result)) {
        return false;
    }
    job->where = LOOP_AT_OWNER; /* so that the error does not recall it from the ring */
    if (result < 0 && result != -ECANCELED) {
        loop_unread_keep_error(loop, job->fd, result);
    }
    return true;
}

/* Notes that the operation has ended. Returns whether it was recalled. */
static bool end_recall(struct loop_job *job)
{
    bool was_recalled = loop_op_table[job->op].gets_buffers && job->u.args.receive.is_recalled;
    if (was_recalled) {
        job->u.args.receive.is_recalled = false;
    }
    return was_recalled;
}

/* Ends the job, or continues it. -EBADFD: the descriptor cannot be polled, so it is not a socket. */
static void end_multishot(struct loop_uring *uring, struct loop_job *job, int32_t result, bool was_recalled)
{
    result = result == -EBADFD ? -ENOTSOCK : loop_uring_without_internals(result);
    if (has_bytes_first(uring->loop, job, result)) {
        loop_uring_go_on_elsewhere(uring->loop, job);
        return;
    }
    if (was_recalled && result == -ECANCELED && !job->is_cancelled) {
        loop_uring_place(uring, job);
        return;
    }
    loop_uring_drop_turn(uring->loop, job);
    bool is_refused = !job->is_cancelled && loop_uring_is_refusal(result);
    int32_t error = is_refused ? own_error(job, result) : 0;
    if (is_refused && !error && !take_group_back(uring, job)) {
        uring->elsewhere |= UINT32_C(1) << job->op;
        loop_uring_start_elsewhere(uring, job);
    } else {
        loop_job_backend_done(uring->loop, job, error ? error : result);
    }
}

/* The last completion may be a success, for example when the completion queue overflows. The job is then started
 * again. */
__attribute__((noinline)) void loop_uring_multishot_event(struct loop_uring *uring, struct loop_job *job,
                                                          int32_t result, uint32_t flags)
{
    bool has_data = loop_op_table[job->op].gets_buffers ? result > 0 : result >= 0;
    if (has_data) {
        deliver(uring, job, result, flags);
    } else if (flags & IORING_CQE_F_BUFFER && job->u.args.receive.buffers->ring) {
        loop_uring_buffers_give(job->u.args.receive.buffers, flags >> IORING_CQE_BUFFER_SHIFT);
    }
    if (flags & IORING_CQE_F_MORE) {
        return;
    }
    loop_uring_leave(uring, job);
    bool was_recalled = end_recall(job);
    if (has_data && job->is_cancelled) {
        loop_uring_drop_turn(uring->loop, job);
    }
    if (!has_data) {
        end_multishot(uring, job, result, was_recalled);
    } else if (job->is_cancelled) {
        loop_job_backend_done(uring->loop, job, -ECANCELED);
    } else if (loop_fd_has_unread(job->fd)) {
        loop_uring_go_on_elsewhere(uring->loop, job);
    } else {
        loop_uring_place(uring, job);
    }
}
