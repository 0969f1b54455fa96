/* SPDX-License-Identifier: ISC
 *
 * What a turn uses of the dispatch: it resumes continuations and tries jobs on descriptors that are ready.
 */
#ifndef LOOP_CORE_DISPATCH_H
#define LOOP_CORE_DISPATCH_H

#include <loop/core/check.h>
#include <loop/core/close.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/ready.h>
#include <loop/core/region.h>
#include <loop/core/scope.h>

#include <poll.h>

/* Returns whether something has to be done after a continuation. */
static inline bool loop_has_to_settle(const struct loop *loop)
{
    return !loop_list_is_empty(&loop->after) || loop->dirty.first || loop->ending;
}

/* Ends a job with `result` and resumes its continuation now. From the dispatch only. The job is freed afterwards. */
void loop_job_finish(struct loop *loop, struct loop_job *job, int64_t result);

/* Ends a job that has no continuation. Runs no user code, so it is also safe while settling. */
void loop_job_end_unheard(struct loop *loop, struct loop_job *job, int64_t result);

/* Ends a large job that has no continuation and is the first in `line`, which is one of `fd`, its descriptor. The job
 * is no daemon, neither an operation nor uses arguments of one, and its result is no error. The caller has a use of the
 * descriptor too. Runs no user code. */
static inline void loop_job_end_first(struct loop *loop, struct loop_fd *fd, struct loop_line *line,
                                      struct loop_job *job)
{
    assert(!job->fn && job->fd == fd && loop_line_first(line) == &job->link && job->op == LOOP_OP_NONE &&
           !job->kind->uses_args);
    assert(job->kind->size == LOOP_JOB_LARGE && !job->kind->resumed && !job->is_daemon && fd->uses > 1);
    loop_line_drop_first(line);
    loop_hlist_drop(&job->in_scope);
    loop_hlist_drop(&job->in_fd);
    loop_scope_drop_hold(job->scope, false);
    loop_slab_put(&loop->jobs[LOOP_JOB_LARGE], job);
    fd->uses--;
}

/* Resumes the continuation of a multishot job without ending it. From the dispatch only. `data` is for the loop_recv_fn
 * of recv_multishot, or the loop_stream_fn of a stream; loop_job_finish passes NULL at the last time. When this returns
 * the job may have been cancelled, but has not ended. */
void loop_job_emit(struct loop *loop, struct loop_job *job, int64_t result, void *data);

/* Handles the result of a backend's operation: calls kind->backend_done, or loop_job_finish. From the dispatch only. */
void loop_job_backend_done(struct loop *loop, struct loop_job *job, int64_t result);

/* Resumes at most `most` continuations of the run queue. From the dispatch only. */
void loop_jobs_run(struct loop *loop, unsigned most);

/* Notes the events (POLL… bits) that the kernel reports for `fd`, and tries the jobs that wait for them. From the
 * dispatch only. Backends call loop_ready_event. Not inline, so that this stays small. */
__attribute__((noinline)) void loop_ready_events(struct loop *loop, struct loop_fd *fd, uint32_t events);

/* Tries the jobs that wait for `fd` and may continue. From the dispatch only. */
void loop_ready_try(struct loop *loop, struct loop_fd *fd);

/* Goes on after the first try of a reader whose outcome was not LOOP_ATTEMPT_AGAIN. From the dispatch only. */
void loop_ready_go_on(struct loop_fd *fd, struct loop_job *job, enum loop_attempt attempt);

/* Does what loop_ready_events does for POLLIN, with a fast path for the common case: one job reads, and its try leaves
 * nothing to read. Files, whose operations are not tried, have the rarer part. A descriptor that is active already has
 * had its share of this turn. From the dispatch only. */
static inline void loop_ready_input(struct loop *loop, struct loop_fd *fd)
{
    if (fd->has_more || fd->is_reading || loop_index_is_queued(&fd->active) || loop_line_is_empty(&fd->readers)) {
        loop_ready_events(loop, fd, POLLIN);
        return;
    }
    struct loop_job *job = LOOP_CONTAINER(loop_line_first(&fd->readers), struct loop_job, link);
    fd->ready |= POLLIN;
    fd->uses++; /* continuations may close the descriptor and end its scope */
    enum loop_attempt attempt = job->kind->attempt(loop, job);
    if (attempt == LOOP_ATTEMPT_AGAIN) {
        fd->ready &= (uint8_t)~POLLIN;
        loop_ready_watch_readers(fd);
    } else if (attempt != LOOP_ATTEMPT_BUSY) { /* else the completion goes on */
        loop_ready_go_on(fd, job, attempt);
    }
    loop_fd_drop_use(fd);
}

/* Does what loop_ready_events does. Nearly all events are input alone. From the dispatch only. */
static inline void loop_ready_event(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if (events & ~(uint32_t)(POLLIN | POLLRDNORM)) {
        loop_ready_events(loop, fd, events);
    } else {
        loop_ready_input(loop, fd);
    }
}

/* Tries the jobs that wait on at most `most` of the active descriptors. From the dispatch only. */
void loop_ready_run(struct loop *loop, unsigned most);

/* Sends the queued writes of the descriptors in loop->dirty. A write that completes waits in the run queue if it has a
 * continuation, and ends at once if it has none. Called after each continuation. */
void loop_ready_send(struct loop *loop);

/* Calls after->fn once after the running continuation, however often this is called before. Holds `scope`, which takes
 * work, until then. */
static inline void loop_after_continuation(struct loop *loop, struct loop_after *after, struct loop_scope *scope)
{
    if (!loop_list_is_linked(&after->link)) {
        loop_scope_add_hold(scope, false);
        loop_list_push_back(&loop->after, &after->link);
        loop_scope_look_at(scope); /* so that loop_settle has something to do */
    }
}

/* Settles in rounds, until nothing is due or there have been many. */
void loop_settle_rounds(struct loop *loop);

/* Does what is due after a continuation: calls the functions in loop->after, sends writes and ends scopes. From the
 * dispatch only. */
void loop_settle_now(struct loop *loop);

/* Does what loop_settle_now does. Nearly always only writes are to be sent. */
__attribute__((always_inline)) static inline void loop_settle_inline(struct loop *loop)
{
    if (loop->is_settling) {
        return;
    }
    loop_child_check(loop);
    if (!loop->ending) { /* otherwise functions in loop->after may come first */
        loop_ready_send(loop);
    }
    if (loop->ending) {
        loop_settle_rounds(loop);
    }
}

/* Calls loop_settle_now if something is due. From the dispatch only. */
static inline void loop_settle(struct loop *loop)
{
    if (loop->dirty.first || loop->ending) {
        loop_settle_now(loop);
    }
}

/* Does what loop_settle does, inline: what is written is sent by a system call, after which each return costs. */
__attribute__((always_inline)) static inline void loop_settle_here(struct loop *loop)
{
    if (loop->dirty.first || loop->ending) {
        loop_settle_inline(loop);
    }
}

/* Lends `n` bytes in `chunk`, which is LOOP_CHUNK_LENT already, to the continuation of a stream. From the dispatch
 * only. When this returns the job may have been cancelled, but has not ended, and the continuation may have kept or
 * written the chunk. */
static inline void loop_job_lend(struct loop *loop, struct loop_job *job, struct loop_chunk *chunk, int64_t n)
{
    assert(job->kind->continuation == LOOP_CALLS_STREAM_FN && job->where != LOOP_AT_RUN_QUEUE);
    assert(chunk->state == LOOP_CHUNK_LENT);
    if (job->fn) {
        ((loop_stream_fn *)(void (*)(void))job->fn)(job->arg, n, chunk);
    }
    loop_settle_here(loop);
    if (loop_region_has(loop, chunk) && chunk->state == LOOP_CHUNK_LENT) { /* else it may be another loop's by now */
        loop_region_give(loop, chunk);
    }
}

#endif
