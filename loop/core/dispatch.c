/* SPDX-License-Identifier: ISC
 *
 * The dispatch: the only file that resumes the continuations of jobs, and what is due after each of them. Any code on
 * the loop's thread may complete a job. A turn, a backend that has an event, or a kind that has its job's result calls
 * the functions here to resume it.
 *
 * The memory of a job is freed before its continuation is resumed: the handle is then invalid, and the memory, still in
 * the cache, serves the next job. The uses of its descriptor and its scope are dropped afterwards, so that neither ends
 * during the continuation.
 */
#include <loop/core/cancel.h>
#include <loop/core/check.h>
#include <loop/core/close.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/ready.h>
#include <loop/core/scope.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/kernel/memory.h>

/* The most tries of one descriptor per turn, so that a busy one does not delay the others. */
#define ATTEMPTS_PER_TURN 16

/* The most rounds of settling after one continuation. */
#define ROUNDS 256u

/* ---- a job's end ---- */

/* Fails the scope with the error of a job that has no continuation. -ECANCELED is not an error. The loop's own scope,
 * where jobs on freed descriptors end, never fails. */
static void tell_scope(struct loop_scope *scope, int64_t result)
{
    if (result < 0 && result != -ECANCELED && scope != scope->loop->own_scope) {
        loop_scope_fail(scope, result);
    }
}

static void call(loop_fn *fn, uint8_t continuation, void *arg, int64_t result, void *data)
{
    if (continuation == LOOP_CALLS_STREAM_FN) {
        ((loop_stream_fn *)(void (*)(void))fn)(arg, result, data);
    } else if (continuation == LOOP_CALLS_RECV_FN) {
        ((loop_recv_fn *)(void (*)(void))fn)(arg, result, data);
    } else {
        fn(arg, result);
    }
}

static void leave_lists(struct loop_job *job)
{
    loop_line_remove(&job->link);
    loop_hlist_remove(&job->in_scope);
}

/* Frees the extra memory of an operation and returns its second descriptor. Other kinds use that place otherwise. */
static inline struct loop_fd *leave_args(struct loop_job *job)
{
    const struct loop_job_kind *kind = job->kind;
    if (kind->size != LOOP_JOB_LARGE || (job->op == LOOP_OP_NONE && !kind->uses_args)) {
        return NULL;
    }
    if (__builtin_expect(kind->leave != NULL, false)) {
        kind->leave(job);
    }
    if (__builtin_expect(job->u.args.second != NULL, false)) {
        loop_job_unuse_second(job);
    }
    if (__builtin_expect(job->u.args.extra != NULL, false)) {
        loop_kernel_free(job->u.args.extra);
    }
    return job->u.args.second;
}

static inline void give_back_fds(struct loop_fd *fd, struct loop_fd *second, const struct loop_job_kind *kind)
{
    if (fd) {
        if (kind->resumed) {
            kind->resumed(fd);
        }
        loop_fd_drop_use(fd);
    }
    if (second) {
        loop_fd_drop_use(second);
    }
}

/* Ends a job with an ordinary continuation, and without descriptors or arguments of an operation. */
static void end_plain(struct loop *loop, struct loop_job *job, int64_t result)
{
    loop_fn *fn = job->fn;
    void *arg = job->arg;
    struct loop_scope *scope = job->scope;
    bool is_daemon = job->is_daemon;
    loop_list_unlink(&job->link); /* it is in no line of a descriptor */
    loop_hlist_unlink(&job->in_scope);
    loop_slab_put(loop_job_slab(loop, job->kind), job);
    if (fn) {
        fn(arg, result);
    } else {
        tell_scope(scope, result);
    }
    loop_scope_drop_hold(scope, is_daemon);
    loop_settle(loop);
}

/* Ends a small job with an ordinary continuation that uses one descriptor, such as a read. */
static void end_small(struct loop *loop, struct loop_job *job, int64_t result)
{
    loop_fn *fn = job->fn;
    void *arg = job->arg;
    const struct loop_job_kind *kind = job->kind;
    struct loop_fd *fd = job->fd;
    struct loop_scope *scope = job->scope;
    bool is_daemon = job->is_daemon;
    loop_line_remove(&job->link);
    loop_hlist_drop(&job->in_scope);
    loop_hlist_remove(&job->in_fd);
    loop_slab_put(&loop->jobs[LOOP_JOB_SMALL], job);
    if (fn) {
        fn(arg, result);
    } else {
        tell_scope(scope, result);
    }
    if (kind->resumed) {
        kind->resumed(fd);
    }
    loop_fd_drop_use(fd);
    loop_scope_drop_hold(scope, is_daemon);
    loop_settle(loop);
}

static void end_full(struct loop *loop, struct loop_job *job, int64_t result)
{
    loop_fn *fn = job->fn;
    void *arg = job->arg;
    const struct loop_job_kind *kind = job->kind;
    struct loop_fd *fd = job->fd;
    struct loop_scope *scope = job->scope;
    bool is_daemon = job->is_daemon;
    leave_lists(job);
    loop_hlist_remove(&job->in_fd);
    struct loop_fd *second = leave_args(job);
    loop_slab_put(loop_job_slab(loop, kind), job);
    if (fn) {
        call(fn, kind->continuation, arg, result, NULL);
    } else {
        tell_scope(scope, result);
    }
    give_back_fds(fd, second, kind);
    loop_scope_drop_hold(scope, is_daemon);
    loop_settle(loop);
}

static bool is_plain(const struct loop_job *job)
{
    return job->kind->size == LOOP_JOB_BARE || (job->kind->size == LOOP_JOB_SMALL && !job->fd && !job->in_fd.at &&
                                                job->kind->continuation == LOOP_CALLS_FN);
}

/* Ends a job that the run queue does not count, or no longer. */
static inline void end(struct loop *loop, struct loop_job *job, int64_t result)
{
    if (is_plain(job)) {
        end_plain(loop, job, result);
    } else if (job->kind->size == LOOP_JOB_SMALL && job->fd && job->kind->continuation == LOOP_CALLS_FN) {
        end_small(loop, job, result);
    } else {
        end_full(loop, job, result);
    }
}

void loop_job_end_unheard(struct loop *loop, struct loop_job *job, int64_t result)
{
    const struct loop_job_kind *kind = job->kind;
    struct loop_fd *fd = job->fd;
    struct loop_scope *scope = job->scope;
    bool is_daemon = job->is_daemon;
    assert(!job->fn && job->where != LOOP_AT_RUN_QUEUE && kind->size != LOOP_JOB_BARE);
    result = loop_job_told_result(job, result);
    leave_lists(job);
    loop_hlist_remove(&job->in_fd);
    struct loop_fd *second = leave_args(job);
    loop_slab_put(loop_job_slab(loop, kind), job);
    tell_scope(scope, result);
    give_back_fds(fd, second, kind);
    loop_scope_drop_hold(scope, is_daemon);
}

void loop_job_finish(struct loop *loop, struct loop_job *job, int64_t result)
{
    assert(job->where != LOOP_AT_RUN_QUEUE);
    end(loop, job, loop_job_told_result(job, result));
}

void loop_job_emit(struct loop *loop, struct loop_job *job, int64_t result, void *data)
{
    assert(job->where != LOOP_AT_RUN_QUEUE);
    if (job->fn) {
        call(job->fn, job->kind->continuation, job->arg, result, data);
    }
    loop_settle(loop);
}

void loop_job_backend_done(struct loop *loop, struct loop_job *job, int64_t result)
{
    if (job->kind->backend_done) {
        job->kind->backend_done(loop, job, result);
    } else {
        loop_job_finish(loop, job, result);
    }
}

static void hand_to_kind(struct loop *loop, struct loop_job *job)
{
    const struct loop_job_kind *kind = job->kind;
    assert(kind && (kind->backend_done || kind->transferred));
    int64_t result = loop_job_due_result(job);
    loop_list_remove(&job->link);
    job->where = LOOP_AT_OWNER;
    job->is_backends = false;
    (kind->backend_done ? kind->backend_done : kind->transferred)(loop, job, result);
}

void loop_jobs_run(struct loop *loop, unsigned most)
{
    unsigned n = loop->run_queue_length < most ? loop->run_queue_length : most;
    for (; n > 0 && !loop_list_is_empty(&loop->run_queue); n--) {
        struct loop_job *job = LOOP_CONTAINER(loop_list_first(&loop->run_queue), struct loop_job, link);
        loop->run_queue_length--;
        if (job->is_backends) {
            hand_to_kind(loop, job);
        } else {
            end(loop, job, job->result);
        }
    }
}

/* ---- jobs that wait for a descriptor ---- */

/* Ends a job that has the result of a try: at once, or from the run queue where a continuation may be on the stack. No
 * transfer of the backend has ended, so kind->transferred is not called. */
static void end_job(struct loop *loop, struct loop_job *job, bool is_dispatch)
{
    if (is_dispatch) {
        loop_job_backend_done(loop, job, job->result);
    } else if (job->kind->backend_done) {
        loop_job_backend_complete(loop, job, job->result);
    } else {
        loop_job_complete(loop, job, job->result);
    }
}

/* Ends a job of a kind that says is_first_reader, which is no daemon, and which a try has completed. Nearly all reads
 * end so. */
__attribute__((always_inline)) static inline void end_reader(struct loop *loop, struct loop_fd *fd,
                                                             struct loop_job *job)
{
    loop_fn *fn = job->fn;
    void *arg = job->arg;
    struct loop_scope *scope = job->scope;
    int64_t result = loop_job_told_result(job, job->result);
    assert(!job->is_daemon && job->where == LOOP_AT_WAIT && job->fd == fd &&
           loop_line_first(&fd->readers) == &job->link);
    assert(fd->uses > 1 && job->kind->size == LOOP_JOB_SMALL && job->kind->continuation == LOOP_CALLS_FN);
    assert(!job->kind->backend_done && !job->kind->resumed);
    loop_line_drop_first(&fd->readers);
    loop_hlist_drop(&job->in_scope);
    loop_hlist_drop(&job->in_fd);
    loop_slab_put(&loop->jobs[LOOP_JOB_SMALL], job);
    if (fn) {
        fn(arg, result);
    } else {
        tell_scope(scope, result);
    }
    fd->uses--; /* the try has one of its own */
    loop_scope_drop_hold(scope, false);
    loop_settle_here(loop);
}

/* Whether a try with that outcome has completed a job that end_reader may end. */
static inline bool is_reader_done(const struct loop_job *job, enum loop_attempt attempt)
{
    return attempt == LOOP_ATTEMPT_DONE && job->kind->is_first_reader && !job->is_daemon;
}

/* Ends a job that a try has completed. */
__attribute__((always_inline)) static inline void end_tried(struct loop *loop, struct loop_fd *fd, struct loop_job *job,
                                                            bool is_dispatch)
{
    if (is_dispatch && is_reader_done(job, LOOP_ATTEMPT_DONE)) {
        end_reader(loop, fd, job);
    } else {
        end_job(loop, job, is_dispatch);
    }
}

/* Acts on the outcome of a try. Returns false when no other job of the list may be tried in this turn. */
__attribute__((always_inline)) static inline bool follow(struct loop *loop, struct loop_fd *fd, struct loop_job *job,
                                                         enum loop_attempt attempt, uint32_t event, bool is_dispatch)
{
    if (attempt == LOOP_ATTEMPT_DONE) {
        end_tried(loop, fd, job, is_dispatch);
        return true;
    }
    if (attempt == LOOP_ATTEMPT_AGAIN) {
        fd->ready &= (uint8_t)~event;
        return true;
    }
    if (attempt == LOOP_ATTEMPT_MORE) {
        loop_ready_activate(loop, fd);
    }
    return attempt == LOOP_ATTEMPT_MOVED;
}

/* Whether the first job of a line may be tried. While the ring reads, its read is in front of all that wait to read,
 * also where the descriptor is ready meanwhile: bytes may have been given back. */
static inline bool may_try(const struct loop_fd *fd, uint32_t event)
{
    return fd->ready & event && !(event == POLLIN && fd->is_reading);
}

/* Tries the jobs of one line in order while the descriptor is assumed ready. `n` have been tried already. */
__attribute__((always_inline)) static inline void
run_line(struct loop *loop, struct loop_fd *fd, struct loop_line *line, unsigned n, uint32_t event, bool is_dispatch)
{
    for (; may_try(fd, event) && !loop_line_is_empty(line); n++) {
        struct loop_job *job = LOOP_CONTAINER(loop_line_first(line), struct loop_job, link);
        if (!job->kind->attempt) {
            return; /* the operations of a file start each other */
        }
        enum loop_attempt attempt = n < ATTEMPTS_PER_TURN ? job->kind->attempt(loop, job) : LOOP_ATTEMPT_MORE;
        if (!follow(loop, fd, job, attempt, event, is_dispatch)) {
            return;
        }
    }
    if (!loop_line_is_empty(line)) {
        loop_ready_watch(loop, fd, event);
    }
}

/* Returns the events that wake a poll job. The shutdown of a peer is reported with the input. A job that waits for the
 * queue to drain needs no event, and is a small job without arguments. */
static uint32_t watched_events(const struct loop_job *job)
{
    uint32_t asked = loop_op_table[job->op].op_class == LOOP_CLASS_POLL ? job->u.args.poll.events : 0;
    return (asked & (POLLIN | POLLOUT | POLLPRI)) | (asked & POLLRDHUP ? POLLIN : 0);
}

/* Puts a poll that goes on back among the polls: to be tried in the next turn, or after an event. */
static void go_on_polling(struct loop *loop, struct loop_fd *fd, struct loop_job *job, enum loop_attempt attempt)
{
    loop_list_push_back(&loop_fd_more(fd)->pollers, &job->link);
    if (attempt == LOOP_ATTEMPT_MORE) {
        loop_ready_activate(loop, fd);
    } else {
        loop_ready_watch(loop, fd, watched_events(job));
    }
}

/* Tries all polls of a descriptor. All of them get the events that the kernel reports once for a file. */
static void run_pollers(struct loop *loop, struct loop_fd *fd)
{
    struct loop_list jobs, *node;
    bool is_told = false;
    loop_list_take_all(&jobs, &loop_fd_more(fd)->pollers);
    while ((node = loop_list_pop_front(&jobs))) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        enum loop_attempt attempt = job->kind->attempt(loop, job);
        if (attempt == LOOP_ATTEMPT_DONE) {
            is_told |= (job->result & LOOP_READY_TOLD_ONCE) != 0;
            loop_job_backend_done(loop, job, job->result);
        } else if (attempt != LOOP_ATTEMPT_MOVED) {
            go_on_polling(loop, fd, job, attempt);
        }
    }
    if (is_told) {
        fd->ready &= (uint8_t)~LOOP_READY_TOLD_ONCE;
    }
}

static bool has_others(const struct loop_fd *fd)
{
    return (fd->ready & POLLOUT && !loop_line_is_empty(&fd->writers)) || loop_fd_has_pollers(fd);
}

/* Tries the writers and the polls. */
__attribute__((noinline)) static void run_others(struct loop *loop, struct loop_fd *fd)
{
    if (fd->ready & POLLOUT && !loop_line_is_empty(&fd->writers)) {
        run_line(loop, fd, &fd->writers, 0, POLLOUT, true);
    }
    if (loop_fd_has_pollers(fd)) {
        run_pollers(loop, fd);
    }
}

/* Goes on with all jobs after try `n` of the readers, that of `job`, which has had that outcome. A read that a
 * continuation starts meanwhile is tried here, and not in the next turn as well. */
__attribute__((noinline)) static void go_on_reading(struct loop_fd *fd, struct loop_job *job, enum loop_attempt attempt,
                                                    unsigned n)
{
    struct loop *loop = fd->scope->loop;
    fd->is_being_read = true;
    if (follow(loop, fd, job, attempt, POLLIN, true)) {
        run_line(loop, fd, &fd->readers, n, POLLIN, true);
    }
    fd->is_being_read = false;
    if (has_others(fd)) {
        run_others(loop, fd);
    }
}

static struct loop_job *first_reader(const struct loop_fd *fd)
{
    bool is_one = may_try(fd, POLLIN) && !loop_line_is_empty(&fd->readers);
    struct loop_job *job = is_one ? LOOP_CONTAINER(loop_line_first(&fd->readers), struct loop_job, link) : NULL;
    return job && job->kind->attempt ? job : NULL;
}

void loop_ready_try(struct loop *loop, struct loop_fd *fd)
{
    struct loop_job *job = first_reader(fd);
    fd->uses++; /* continuations may close the descriptor and end its scope */
    if (job) {
        go_on_reading(fd, job, job->kind->attempt(loop, job), 1);
    } else if (has_others(fd)) {
        run_others(loop, fd);
    }
    loop_fd_drop_use(fd);
}

/* Goes on after a try that has completed a read. Nearly always the next one finds nothing, or there is none. */
__attribute__((noinline)) static void go_on_after(struct loop_fd *fd, struct loop_job *job)
{
    struct loop *loop = fd->scope->loop;
    fd->is_being_read = true;
    end_reader(loop, fd, job);
    struct loop_job *next = first_reader(fd);
    if (next) {
        enum loop_attempt attempt = next->kind->attempt(loop, next);
        if (attempt != LOOP_ATTEMPT_AGAIN) {
            go_on_reading(fd, next, attempt, 2);
            return;
        }
        fd->ready &= (uint8_t)~POLLIN;
    }
    fd->is_being_read = false;
    if (!(fd->ready & POLLIN)) {
        loop_ready_watch_readers(fd);
    }
    if (has_others(fd)) {
        run_others(loop, fd);
    }
}

__attribute__((noinline)) void loop_ready_go_on(struct loop_fd *fd, struct loop_job *job, enum loop_attempt attempt)
{
    is_reader_done(job, attempt) ? go_on_after(fd, job) : go_on_reading(fd, job, attempt, 1);
}

void loop_ready_events(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if (loop_ready_is_awaited(fd, events) && !loop_index_is_queued(&fd->active)) {
        loop_ready_try(loop, fd);
    }
}

void loop_ready_run(struct loop *loop, unsigned most)
{
    const struct loop_fd *last = loop->active.last; /* those behind it have become active meanwhile */
    struct loop_fd *fd = NULL;
    for (unsigned n = 0; n < most && fd != last && (fd = loop_fd_next_active(loop)); n++) {
        loop_ready_try(loop, fd);
    }
}

/* Tries the writers. The first try has been made if `job` is not NULL. */
__attribute__((noinline)) static void run_writers(struct loop *loop, struct loop_fd *fd, struct loop_job *job,
                                                  enum loop_attempt attempt)
{
    if (!job) {
        run_line(loop, fd, &fd->writers, 0, POLLOUT, false);
    } else if (follow(loop, fd, job, attempt, POLLOUT, false)) {
        run_line(loop, fd, &fd->writers, 1, POLLOUT, false);
    }
}

/* Nearly always one try sends all that is queued. */
__attribute__((always_inline)) static inline void send_queue(struct loop *loop, struct loop_fd *fd)
{
    struct loop_list *first = loop_line_first(&fd->writers);
    struct loop_job *job = first ? LOOP_CONTAINER(first, struct loop_job, link) : NULL;
    assert(!job || job->kind->attempt); /* those of a file are never dirty */
    if (!job || !(fd->ready & POLLOUT)) {
        run_writers(loop, fd, NULL, LOOP_ATTEMPT_MOVED);
        return;
    }
    enum loop_attempt attempt = job->kind->attempt(loop, job);
    if (attempt == LOOP_ATTEMPT_MOVED ? !loop_line_is_empty(&fd->writers) : attempt != LOOP_ATTEMPT_BUSY) {
        run_writers(loop, fd, job, attempt);
    }
}

void loop_ready_send(struct loop *loop)
{
    struct loop_fd *fd;
    while ((fd = loop_fd_next_dirty(loop))) {
        fd->uses++;
        send_queue(loop, fd);
        loop_fd_drop_use(fd);
    }
}

/* ---- after each continuation ---- */

static void run_after(struct loop *loop)
{
    struct loop_list *node;
    while ((node = loop_list_pop_front(&loop->after))) {
        struct loop_after *after = LOOP_CONTAINER(node, struct loop_after, link);
        after->fn(after);
    }
}

/* A scope that ends may start jobs that end in the next round, without end: the rest is left for later. While functions
 * wait in loop->after a scope has to be in the queue, because loop_settle looks only at that and at the writes. */
void loop_settle_rounds(struct loop *loop)
{
    loop->is_settling = true;
    for (unsigned n = 0; n < ROUNDS && loop_has_to_settle(loop); n++) {
        run_after(loop);
        loop_ready_send(loop);
        if (loop->ending) {
            loop_scopes_settle(loop);
        }
    }
    if (!loop_list_is_empty(&loop->after)) {
        loop_scope_look_at(loop->own_scope);
    }
    loop->is_settling = false;
}

void loop_settle_now(struct loop *loop)
{
    loop_settle_inline(loop);
}
