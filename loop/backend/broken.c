/* SPDX-License-Identifier: ISC
 *
 * The end of a loop whose backend cannot be used any more. Main's scope has failed, and everything in it is cancelled.
 * Turns go on until all of it has ended. Without the backend they check periodically for finished threads of the pool
 * and for timers that are due.
 *
 * The kernel may still read and write the memory of jobs that it has. These end only when it is done with them.
 */
#include <loop/backend/broken.h>
#include <loop/core/cancel.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/syscall/direct.h>
#include <loop/turn/turn.h>

#include <errno.h>

#define PAUSE_MIN_NS LOOP_MILLISECOND
#define PAUSE_MAX_NS (16 * LOOP_MILLISECOND)

void loop_broken_start(struct loop *loop, struct loop_job *job)
{
    loop_job_backend_complete(loop, job, loop->broken.error);
}

void loop_broken_cancel(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_RING_LINE) {
        loop_job_backend_complete(loop, job, -ECANCELED);
    } else if (job->where != LOOP_AT_RING) {
        loop_direct_cancel(loop, job);
    }
}

int loop_broken_watch(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    fd->watched |= (uint8_t)events; /* so that it is not called again */
    loop_ready_fail(loop, fd, loop->broken.error);
    return loop->broken.error;
}

bool loop_broken_has_events(struct loop *loop)
{
    (void)loop;
    return false;
}

/* ---- jobs that the kernel has ---- */

static void end_job(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_RING) {
        job->where = LOOP_AT_OWNER;
        loop_job_backend_complete(loop, job, loop->broken.error);
    }
}

static void end_jobs(struct loop *loop)
{
    loop->broken.has_jobs = false;
    loop_kernel_close(loop->broken.released);
    if (!loop->main_has_ended) {
        loop_scope_each_job(loop->main_scope, end_job);
    }
    if (!loop->own_has_ended) {
        loop_scope_each_job(loop->own_scope, end_job);
    }
}

/* ---- turns ---- */

static void pause_for(struct loop *loop, int64_t ns)
{
    struct timespec timeout = {.tv_sec = 0, .tv_nsec = (long)ns};
    struct pollfd released = {.fd = loop->broken.has_jobs ? loop->broken.released : -1, .events = POLLIN};
    if (loop_kernel_ppoll(&released, 1, &timeout, NULL) > 0) {
        end_jobs(loop);
    }
}

void loop_broken_turns(struct loop *loop)
{
    int64_t timeout_ns, pause_ns = PAUSE_MIN_NS;
    while (loop_turn_begin(loop, &timeout_ns)) {
        pause_for(loop, timeout_ns < pause_ns ? timeout_ns : pause_ns);
        pause_ns = timeout_ns == 0 ? PAUSE_MIN_NS : pause_ns * 2 < PAUSE_MAX_NS ? pause_ns * 2 : PAUSE_MAX_NS;
        loop_turn_woken(loop);
    }
}

int loop_broken_turn(struct loop *loop)
{
    loop_turn_woken(loop);
    pause_for(loop, 0);
    return 0;
}

int64_t loop_broken_time_to_turn(struct loop *loop)
{
    (void)loop;
    return PAUSE_MAX_NS;
}
