/* SPDX-License-Identifier: ISC
 *
 * The results of one-shot jobs: errors of the operation, and errors of the ring, which the program must not see.
 *
 * The ring refuses an operation with errors that the operation itself can have (EINVAL, EACCES, …). Only the system
 * call can tell the two apart. So the job is done again by the system call, whose result is the job's. If that
 * succeeds, the ring has refused, and the operation is served by system calls from then on.
 */
#include <loop/backend/uring/order.h>
#include <loop/backend/uring/prepare.h>
#include <loop/backend/uring/result.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/core/unread.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <loop/syscall/attempt.h>
#include <loop/syscall/request.h>

#include <errno.h>
#include <sys/socket.h>

/* ---- errors ---- */

/* The kernel's internal codes of an interrupted call. They leak when a job is cancelled on a kernel thread. */
#define FIRST_INTERNAL_ERROR 512
#define LAST_INTERNAL_ERROR 516

int32_t loop_uring_without_internals(int32_t result)
{
    bool is_internal = result <= -FIRST_INTERNAL_ERROR && result >= -LAST_INTERNAL_ERROR;
    return is_internal || result == -EINTR ? -ECANCELED : result;
}

bool loop_uring_is_refusal(int32_t error)
{
    return error == -EINVAL || error == -EOPNOTSUPP || error == -ENOSYS || error == -EACCES;
}

/* Takes the place of the continuation of a refused job, to get the result of the system call. */
struct trial {
    struct loop_uring *uring;
    loop_fn *fn;
    void *arg;
    uint8_t op;
};

/* Has the operation served by system calls from now on if the system call has succeeded. */
static void end_trial(void *arg, int64_t result)
{
    struct trial trial = *(struct trial *)arg;
    loop_kernel_free(arg);
    if (result >= 0) {
        trial.uring->elsewhere |= UINT32_C(1) << trial.op;
        trial.uring->loop->stats.served_otherwise++;
    }
    trial.fn(trial.arg, result);
}

/* Puts a trial in place of the job's continuation. Skipped when there is no continuation, or no memory. */
static void begin_trial(struct loop_uring *uring, struct loop_job *job)
{
    struct trial *trial =
        job->fn && job->kind->continuation == LOOP_CALLS_FN ? loop_kernel_malloc(sizeof *trial) : NULL;
    if (trial) {
        *trial = (struct trial){uring, job->fn, job->arg, job->op};
        job->fn = end_trial;
        job->arg = trial;
    }
}

/* Whether a job that was not cancelled is retried by a system call. -ECANCELED: the kernel could not create a thread
 * for it. -EAGAIN: kernels before 6.4 do not wait on every nonblocking descriptor; an open met a rename or a lease. */
static bool is_for_system_call(const struct loop_job *job, int32_t error)
{
    return error == -ECANCELED || (error == -EAGAIN && !loop_attempt_is_final(job));
}

/* Ends the job with the error, or continues it by system calls. */
__attribute__((noinline)) static void fail(struct loop_uring *uring, struct loop_job *job, int32_t error)
{
    if (!job->is_cancelled && (loop_uring_is_refusal(error) || is_for_system_call(job, error))) {
        if (loop_uring_is_refusal(error)) {
            begin_trial(uring, job);
        }
        loop_uring_go_on_elsewhere(uring->loop, job);
    } else {
        loop_uring_drop_turn(uring->loop, job);
        loop_job_backend_done(uring->loop, job, error);
    }
}

/* ---- behind unread bytes ---- */

/* Whether the job reads the next bytes of its descriptor, which come behind unread ones. */
static bool reads_next(const struct loop_job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    const struct loop_op_args *args = &job->u.args;
    if (row->op_class == LOOP_CLASS_MOVE) {
        return !row->is_output && args->move.offset == LOOP_CURRENT && loop_fd_is_stream(job->fd);
    }
    return row->is_receive && row->is_message && !(args->message.flags & (MSG_OOB | MSG_ERRQUEUE));
}

/* Whether the kernel has dropped the bytes of the result in place of storing them: TCP does, but no Unix socket. */
static bool has_dropped(const struct loop_job *job, int32_t result)
{
    int family = 0;
    socklen_t len = sizeof family;
    bool may_drop = result > 0 && loop_op_table[job->op].is_message && job->fd->is_byte_stream &&
                    (job->u.args.message.flags & (MSG_TRUNC | MSG_PEEK)) == MSG_TRUNC;
    return may_drop && loop_kernel_getsockopt(job->fd->number, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 &&
           family != AF_UNIX;
}

/* Returns where the job's bytes are, as vectors. */
static const struct iovec *vectors_of(const struct loop_job *job, struct iovec *single, int *n)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    const struct loop_op_args *args = &job->u.args;
    *n = 1;
    if (row->has_header) {
        const struct msghdr *header = &((const struct loop_message_request *)args->extra)->header;
        *n = (int)header->msg_iovlen;
        return header->msg_iov;
    }
    if (row->takes_vectors) {
        *n = (int)args->move.n_iov;
        return args->move.iov;
    }
    *single = row->is_message ? (struct iovec){args->message.data, args->message.len}
                              : (struct iovec){args->move.data, args->move.len};
    return single;
}

/* Of a message, unread bytes have no address and no flags. Descriptors that have come are delivered. */
static void forget_origin(const struct loop_job *job)
{
    if (loop_op_table[job->op].has_header) {
        struct loop_message_request *request = job->u.args.extra;
        request->header.msg_namelen = 0;
        request->header.msg_flags = 0;
    }
}

/* Puts what the job has got behind the unread bytes. Returns false when there is no memory. The kernel reports an end
 * again. */
static bool put_behind(struct loop *loop, const struct loop_job *job, const struct iovec *iov, int n, int32_t result)
{
    size_t room = 0, len = result > 0 ? (size_t)result : 0;
    for (int i = 0; i < n && room < len; i++) {
        room += iov[i].iov_len;
    }
    if (result < 0) {
        loop_unread_keep_error(loop, job->fd, result);
    }
    len = len < room ? len : room; /* with MSG_TRUNC it is more */
    return len == 0 || loop_unread_put_behind(loop, job->fd, iov, len);
}

__attribute__((noinline)) int32_t loop_uring_result_behind(struct loop_uring *uring, struct loop_job *job,
                                                           int32_t result)
{
    bool has_nothing = result == -ECANCELED || result == -EAGAIN || loop_uring_is_refusal(result);
    if (has_nothing || loop_uring_without_internals(result) != result || !reads_next(job) || has_dropped(job, result)) {
        return result;
    }
    struct iovec single;
    int n;
    const struct iovec *iov = vectors_of(job, &single, &n);
    bool is_peek = loop_op_table[job->op].is_message && job->u.args.message.flags & MSG_PEEK;
    job->where = LOOP_AT_OWNER; /* so that what is put behind does not recall it from the ring */
    if (!(is_peek && result >= 0) && !put_behind(uring->loop, job, iov, n, result)) {
        return result;
    }
    forget_origin(job);
    return (int32_t)loop_unread_read(job->fd, iov, n, is_peek);
}

/* ---- results ---- */

/* Ends a poll with the events that were asked for. The kernel also reports a peer's shutdown that was not asked for,
 * and POLLPRI for anything that arrives at a socket, which poll(2) then checks. When no event is left, the poll
 * continues by the descriptor's watch: armed again, it would end at once. */
__attribute__((noinline)) static void end_poll(struct loop_uring *uring, struct loop_job *job, int32_t events)
{
    int32_t asked = events & (int32_t)(job->u.args.poll.events | POLLERR | POLLHUP | POLLNVAL);
    if (asked & POLLPRI && loop_fd_reads_by(job->fd) == LOOP_IO_SOCKET) {
        int64_t now = loop_attempt(job, false);
        asked &= now > 0 ? (int32_t)now | ~POLLPRI : ~POLLPRI;
    }
    if (asked || job->is_cancelled) {
        loop_uring_drop_turn(uring->loop, job);
        loop_job_backend_done(uring->loop, job, asked ? asked : -ECANCELED);
    } else {
        loop_uring_go_on_elsewhere(uring->loop, job);
    }
}

void loop_uring_result(struct loop_uring *uring, struct loop_job *job, int32_t result)
{
    loop_uring_undo_prepare(job, result);
    if (result < 0) {
        fail(uring, job, loop_uring_without_internals(result));
    } else if (loop_op_table[job->op].op_class == LOOP_CLASS_POLL) {
        end_poll(uring, job, result);
    } else {
        loop_job_backend_done(uring->loop, job, result);
    }
}
