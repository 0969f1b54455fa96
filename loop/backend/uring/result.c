/* SPDX-License-Identifier: ISC
 *
 * What comes of a job in the ring that has one result, where it isn't plain success: errors of the operation, and
 * errors of the ring, which the program must not see.
 *
 * The ring refuses an operation with the errors that the operation itself may have (EINVAL, EACCES, …). Which of the
 * two it was only the system call can tell, so the job is done again by that, and its answer is the result. Where the
 * system call then succeeds it was the ring that refused, and the operation isn't asked of it any more.
 */
#include <loop/backend/uring/order.h>
#include <loop/backend/uring/prepare.h>
#include <loop/backend/uring/result.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/syscall/attempt.h>

#include <errno.h>
#include <stdlib.h>

/* ---- errors ---- */

/* The kernel's own codes for an interrupted call, which leak when a job is cancelled on one of its threads. */
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

/* What is put in place of the continuation of a job that was refused, to see what the system call says. */
struct trial {
    struct loop_uring *uring;
    loop_fn *fn;
    void *arg;
    uint8_t op;
};

static void end_trial(void *arg, int64_t result)
{
    struct trial trial = *(struct trial *)arg;
    free(arg);
    if (result >= 0) {
        trial.uring->elsewhere |= UINT32_C(1) << trial.op;
        trial.uring->loop->stats.served_otherwise++;
    }
    trial.fn(trial.arg, result);
}

/* Without a continuation, or memory, nothing is learned. */
static void begin_trial(struct loop_uring *uring, struct loop_job *job)
{
    struct trial *trial = job->fn && job->kind->continuation == LOOP_CALLS_FN ? malloc(sizeof *trial) : NULL;
    if (trial) {
        *trial = (struct trial){uring, job->fn, job->arg, job->op};
        job->fn = end_trial;
        job->arg = trial;
    }
}

/* -ECANCELED where nobody cancelled: the kernel could make no thread for the job. -EAGAIN: kernels before 6.4 don't
 * wait on every nonblocking descriptor. For an open it means a rename in the path, or a lease. */
static bool is_for_system_call(const struct loop_job *job, int32_t error)
{
    return error == -ECANCELED || (error == -EAGAIN && !loop_attempt_is_final(job));
}

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

/* ---- results that are looked at ---- */

/* The kernel also reports that the peer has shut down its side, asked or not, and POLLPRI for whatever has come to a
 * socket: poll(2) tells whether that is so. Where nothing is left of the events the poll isn't over; armed again it
 * would end at once, so that it goes on by the descriptor's watch. */
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
