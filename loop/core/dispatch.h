/* SPDX-License-Identifier: ISC
 *
 * What a turn uses of dispatch.c.
 */
#ifndef LOOP_CORE_DISPATCH_H
#define LOOP_CORE_DISPATCH_H

#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/ready.h>
#include <loop/core/scope.h>

#include <poll.h>

/* Whether something has to be done after a continuation. */
static inline bool loop_has_to_settle(const struct loop *loop)
{
    return !loop_list_is_empty(&loop->after) || !loop_list_is_empty(&loop->dirty) || loop->ending;
}

/* The same, but resumes the continuation now. From the dispatch only. The job is gone afterwards. */
void loop_job_finish(struct loop *loop, struct loop_job *job, int64_t result);

/* The same for a job that has no continuation: nothing of the program's runs, so that it may be called from the
 * settling as well. */
void loop_job_end_unheard(struct loop *loop, struct loop_job *job, int64_t result);

/* Resumes the continuation of a multishot job without ending it. From the dispatch only. `data` goes to the
 * loop_recv_fn of recv_multishot, or the loop_stream_fn of a stream; the last resume, by loop_job_finish, gives it
 * NULL. The job may have been cancelled, but not ended, when this returns. */
void loop_job_emit(struct loop *loop, struct loop_job *job, int64_t result, void *data);

/* What a backend calls with an operation's result: kind->backend_done, or loop_job_finish. From the dispatch only. */
void loop_job_backend_done(struct loop *loop, struct loop_job *job, int64_t result);

/* Runs at most `most` continuations of the run queue. From the dispatch only. */
void loop_jobs_run(struct loop *loop, unsigned most);

/* Notes that the kernel says that `fd` is ready (POLL… bits), and tries what waits for it. From the dispatch only.
 * Backends call loop_ready_event. */
void loop_ready_events(struct loop *loop, struct loop_fd *fd, uint32_t events);

/* Tries what waits for `fd` and may go on. From the dispatch only. */
void loop_ready_try(struct loop *loop, struct loop_fd *fd);

/* loop_ready_events; nearly always there is input for one who waits for it, and nothing else. A descriptor that is
 * active already has had its share of this turn. */
static inline void loop_ready_event(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    bool is_other = (events & ~(uint32_t)(POLLIN | POLLRDNORM)) != 0 || !loop_list_is_empty(&fd->pollers);
    if (is_other || loop_list_is_empty(&fd->readers)) {
        loop_ready_events(loop, fd, events);
        return;
    }
    fd->ready |= POLLIN;
    if (!loop_list_is_linked(&fd->active)) {
        loop_ready_try(loop, fd);
    }
}

/* Tries what waits on at most `most` of the active descriptors. From the dispatch only. */
void loop_ready_run(struct loop *loop, unsigned most);

/* Sends what has been queued on the descriptors in loop->dirty; what ends waits in the run queue, unless nobody waits
 * for it. After each continuation. */
void loop_ready_send(struct loop *loop);

/* Has that done for the sake of `scope`, which is held until then and takes work; once, however often it is asked
 * for. */
static inline void loop_after_continuation(struct loop *loop, struct loop_after *after, struct loop_scope *scope)
{
    if (!loop_list_is_linked(&after->link)) {
        loop_scope_add_hold(scope, false);
        loop_list_push_back(&loop->after, &after->link);
        loop_scope_look_at(scope); /* which is what loop_settle looks for */
    }
}

/* What has to be done after each continuation: what `after` has, sends writes, ends scopes. From the dispatch only. */
void loop_settle_now(struct loop *loop);

static inline void loop_settle(struct loop *loop)
{
    if (!loop_list_is_empty(&loop->dirty) || loop->ending) {
        loop_settle_now(loop);
    }
}

#endif
