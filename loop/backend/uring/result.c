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
#include <loop/kernel/memory.h>
#include <loop/syscall/attempt.h>

#include <errno.h>

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
static void fail(struct loop_uring *uring, struct loop_job *job, int32_t error)
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

/* ---- results ---- */

/* Ends a poll with the events that were asked for. The kernel also reports a peer's shutdown that was not asked for,
 * and POLLPRI for anything that arrives at a socket, which poll(2) then checks. When no event is left, the poll
 * continues by the descriptor's watch: armed again, it would end at once. */
static void end_poll(struct loop_uring *uring, struct loop_job *job, int32_t events)
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
