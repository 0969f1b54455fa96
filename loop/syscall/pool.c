/* SPDX-License-Identifier: ISC
 *
 * The pool: a few threads for operations that can block. Jobs wait in one line. Each thread takes the first job that
 * may run, and puts it in a list of finished ones, which the loop collects in its dispatch.
 */
#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/event/inbox.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/signal.h>
#include <loop/kernel/thread.h>
#include <loop/syscall/attempt.h>
#include <loop/syscall/pool.h>
#include <loop/syscall/pool_state.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#define DEFAULT_THREADS 4u
#define MOST_THREADS 1024u

/* The most finished jobs that one turn resumes, so that many of them do not delay other events. */
#define COLLECTED_PER_TURN 256

/* How long the loop sleeps without being woken for each result, while many jobs are in line. Waking it takes as long as
 * a small job, and it would have one result each time. */
#define GATHERING_NS ((int64_t)100000)

/* How often in a row the loop sleeps as usual, where no result has come in that time. */
#define MOST_SKIPS 255u

/* On a thread of a pool: that thread. */
static LOOP_KERNEL_THREAD_LOCAL const struct loop_pool_thread *this_thread;

/* ---- creating ---- */

static unsigned wanted_threads(const struct loop *loop)
{
    unsigned n = loop->options.pool_threads;
    return n == 0 ? DEFAULT_THREADS : n < MOST_THREADS ? n : MOST_THREADS;
}

static int make_pool(struct loop *loop)
{
    if (loop->pool) {
        return 0;
    }
    unsigned most_threads = wanted_threads(loop);
    struct loop_pool *pool =
        loop_kernel_calloc(1, sizeof *pool + (most_threads + LOOP_POOL_MOST_OVERDUE) * sizeof *pool->threads);
    if (!pool) {
        return -ENOMEM;
    }
    pool->inbox = loop->inbox;
    pool->most_threads = most_threads;
    pool->tells_at = UINT_MAX;
    loop_list_init(&pool->collected);
    loop_list_init(&pool->collected_late);
    loop_list_init(&pool->line);
    loop_list_init(&pool->long_line);
    loop_list_init(&pool->done);
    loop_list_init(&pool->came_back);
    loop_kernel_pthread_mutex_init(&pool->mutex, NULL);
    loop_kernel_pthread_cond_init(&pool->is_wanted, NULL);
    loop->pool = pool;
    return 0;
}

/* ---- the threads ---- */

/* Runs the operation's system call, for kinds without a function of their own. */
static int64_t attempt(void *arg, void **buffer)
{
    (void)buffer;
    return loop_attempt(arg, true);
}

static struct loop_thread_call call_for(struct loop_job *job)
{
    const struct loop_thread_kind *kind = job->kind->thread;
    return kind ? kind->call(job) : (struct loop_thread_call){attempt, job};
}

static int64_t run_call(struct loop_pool_thread *thread)
{
    return thread->call.fn(thread->call.arg, &thread->buffer);
}

/* Notes that the thread runs the job. Under the mutex. */
static void begin(struct loop_pool_thread *thread, struct loop_job *job)
{
    struct loop_pool *pool = thread->pool;
    thread->call = call_for(job);
    thread->running = job;
    thread->asked_at_ns = 0;
    atomic_store_explicit(&thread->is_asked_to_end, false, memory_order_relaxed);
    thread->is_long = loop_pool_takes_long(job);
    pool->n_running++;
    pool->n_running_long += thread->is_long;
}

/* Counts a thread that looks for a job. It may have woken up without having been called. Under the mutex. */
static void stop_idling(struct loop_pool *pool)
{
    pool->n_idle--;
    pool->n_called -= pool->n_called > 0;
}

/* Waits for the next job and begins it. Returns false when the pool ends. A thread that has finished a
 * job looks for the next before it sleeps, so a job that had to run after that one needs no wake-up. Under the
 * mutex. */
static bool take_next(struct loop_pool_thread *thread)
{
    struct loop_pool *pool = thread->pool;
    struct loop_job *job;
    while (!(job = loop_pool_find_next(pool)) && !pool->is_ending) {
        pool->n_idle++;
        loop_kernel_pthread_cond_wait(&pool->is_wanted, &pool->mutex);
        stop_idling(pool);
    }
    if (job) {
        loop_pool_pull(pool, job);
        begin(thread, job);
    }
    return job != NULL;
}

/* Puts a job that goes on back at the end of the line, so that it delays others by one call only. Returns false for
 * jobs that are finished. Under the mutex. */
static bool put_back(struct loop_pool *pool, struct loop_job *job, int64_t result)
{
    const struct loop_thread_kind *kind = job->kind->thread;
    if (!kind || !kind->goes_on || !kind->goes_on(job, result)) {
        return false;
    }
    loop_pool_push(pool, job);
    return true;
}

/* Puts a job among the finished ones. Under the mutex. */
static void put_done(struct loop_pool *pool, struct loop_job *job, int64_t result)
{
    job->result = result;
    loop_list_push_back(&pool->done, &job->link);
    atomic_store(&pool->has_done, true);
}

/* Puts the remains of a given-up job among those to collect. Under the mutex. */
static void put_late(struct loop_pool *pool, struct loop_pool_thread *thread)
{
    loop_list_push_back(&pool->came_back, &thread->late->link);
    thread->late = NULL;
    atomic_store(&pool->has_done, true);
}

/* Notes that the thread has finished its job. Under the mutex. */
static void end(struct loop_pool_thread *thread, int64_t result)
{
    struct loop_pool *pool = thread->pool;
    struct loop_job *job = thread->running;
    thread->running = NULL;
    if (thread->is_overdue) {
        thread->is_overdue = false;
        pool->n_overdue--;
    } else {
        loop_pool_stop_counting(thread);
    }
    if (thread->late) {
        put_late(pool, thread);
    } else if (!put_back(pool, job, result)) {
        put_done(pool, job, result);
    }
}

/* Wakes the loop if there are results that it has not been woken for, and so few jobs left that it is to be. Under the
 * mutex. */
static void tell_loop(struct loop_pool *pool)
{
    if (pool->has_told || !atomic_load(&pool->has_done) || pool->line_length > pool->tells_at) {
        return;
    }
    pool->has_told = true;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    loop_inbox_wake(pool->inbox);
    loop_kernel_pthread_mutex_lock(&pool->mutex);
}

static void *run_thread(void *arg)
{
    struct loop_pool_thread *thread = arg;
    struct loop_pool *pool = thread->pool;
    this_thread = thread;
    loop_kernel_pthread_setname_np(loop_kernel_pthread_self(), "noria-pool");
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    stop_idling(pool);
    while (take_next(thread)) {
        loop_kernel_pthread_mutex_unlock(&pool->mutex);
        int64_t result = run_call(thread);
        loop_kernel_pthread_mutex_lock(&pool->mutex);
        end(thread, result);
        tell_loop(pool);
    }
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Counts a thread that begins, as an idle one that was called. */
static void count_thread(struct loop_pool *pool)
{
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    pool->n_threads++;
    pool->n_idle++;
    pool->n_called++;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
}

static void uncount_thread(struct loop_pool *pool)
{
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    pool->n_threads--;
    stop_idling(pool);
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
}

/* Creates a thread with all signals blocked, because signals are for the program's own threads. */
static int add_thread(struct loop_pool *pool)
{
    struct loop_pool_thread *thread = &pool->threads[pool->n_threads];
    thread->pool = pool;
    count_thread(pool); /* before it looks for a job */
    sigset_t all, before;
    sigfillset(&all);
    loop_kernel_pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = loop_kernel_pthread_create(&thread->thread, NULL, run_thread, thread);
    loop_kernel_pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        uncount_thread(pool);
    }
    return -error;
}

/* ---- handing over ---- */

/* Logs that a thread could not be created. Once, because a process at its limit would fill the log. */
static void log_failure(struct loop *loop, int error)
{
    if (!loop->pool->has_failed) {
        loop->pool->has_failed = true;
        loop_log_options(&loop->options, LOOP_LOG_WARNING,
                         "no thread for what blocks could be made (%s): %s; see RLIMIT_NPROC and the pids limit",
                         strerror(-error),
                         loop->pool->n_threads ? "there are fewer than asked for" : "it holds up the loop");
    }
}

void loop_pool_count_moving(const struct loop_job *job, int more)
{
    uint8_t op_class = loop_op_table[job->op].op_class;
    if (op_class == LOOP_CLASS_MOVE || op_class == LOOP_CLASS_SPLICE) {
        job->fd->more->moving += (uint32_t)more;
        if (job->u.args.second) {
            job->u.args.second->more->moving += (uint32_t)more;
        }
    }
}

/* Makes what the pool counts in the descriptors of a job. Returns 0 or -ENOMEM. */
static int prepare_fds(const struct loop_job *job)
{
    uint8_t op_class = loop_op_table[job->op].op_class;
    bool uses_both = op_class == LOOP_CLASS_MOVE || op_class == LOOP_CLASS_SPLICE || job->op == LOOP_OP_WORK;
    struct loop_fd *second = uses_both ? job->u.args.second : NULL;
    bool is_made = (!uses_both || !job->fd || loop_fd_get_more(job->fd)) && (!second || loop_fd_get_more(second));
    return is_made ? 0 : -ENOMEM;
}

/* Runs the jobs in line on the loop's thread, when not a single thread could be created. */
static void run_line_here(struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    struct loop_job *job;
    while ((job = loop_pool_find_next(pool))) {
        loop_pool_pull(pool, job);
        pool->threads[0].call = call_for(job);
        loop_pool_count_moving(job, -1);
        loop_job_backend_complete(loop, job, run_call(&pool->threads[0]));
    }
}

/* Whether a thread is missing: more jobs may run than there are idle threads. Under the mutex. */
static bool needs_thread(const struct loop_pool *pool, unsigned n_runnable)
{
    return n_runnable > pool->n_idle && pool->n_threads < pool->most_threads + pool->n_overdue;
}

/* Whether an idle thread has to be called: each one that was called takes a job that may run. Under the mutex. */
static bool calls_thread(struct loop_pool *pool, unsigned n_runnable)
{
    bool calls = pool->n_called < pool->n_idle && pool->n_called < n_runnable;
    pool->n_called += calls;
    return calls;
}

/* Puts a job in line, if there is one, and creates or calls a thread where that helps. */
static void serve(struct loop *loop, struct loop_job *added)
{
    struct loop_pool *pool = loop->pool;
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    if (added) {
        loop_pool_push(pool, added);
    }
    unsigned n_runnable = loop_pool_count_runnable(pool);
    bool needs = needs_thread(pool, n_runnable), calls = calls_thread(pool, n_runnable);
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    int error = needs ? add_thread(pool) : 0;
    if (error) {
        log_failure(loop, error);
    }
    if (pool->n_threads == 0) {
        run_line_here(loop);
    } else if (calls) {
        loop_kernel_pthread_cond_signal(&pool->is_wanted);
    }
}

void loop_pool_serve(struct loop *loop)
{
    serve(loop, NULL);
}

void loop_pool_submit(struct loop *loop, struct loop_job *job)
{
    int error = prepare_fds(job);
    error = error ? error : make_pool(loop);
    if (error) {
        loop_job_backend_complete(loop, job, error);
        return;
    }
    job->where = LOOP_AT_POOL_LINE;
    loop_pool_count_moving(job, 1);
    serve(loop, job);
}

bool loop_work_is_cancelled(void)
{
    return this_thread && atomic_load_explicit(&this_thread->is_asked_to_end, memory_order_relaxed);
}

/* ---- results ---- */

bool loop_pool_has_results(const struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    return pool && (!loop_list_is_empty(&pool->collected) || !loop_list_is_empty(&pool->collected_late) ||
                    atomic_load(&pool->has_done));
}

static void append(struct loop_list *to, struct loop_list *from)
{
    struct loop_list *node;
    while ((node = loop_list_pop_front(from))) {
        loop_list_push_back(to, node);
    }
}

static void collect_done(struct loop_pool *pool)
{
    struct loop_list done, came_back;
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    loop_list_take_all(&done, &pool->done);
    loop_list_take_all(&came_back, &pool->came_back);
    atomic_store(&pool->has_done, false);
    pool->has_told = false;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    pool->n_skips = pool->is_gathering ? 0 : pool->n_skips;
    append(&pool->collected, &done);
    append(&pool->collected_late, &came_back);
}

static void hand_back(struct loop *loop, struct loop_job *job)
{
    loop_pool_count_moving(job, -1);
    loop_job_backend_done(loop, job, job->result);
}

void loop_pool_collect(struct loop *loop)
{
    if (!loop_pool_has_results(loop)) {
        return;
    }
    struct loop_pool *pool = loop->pool;
    if (atomic_load(&pool->has_done)) {
        collect_done(pool);
    }
    struct loop_list *node;
    for (unsigned n = 0; n < COLLECTED_PER_TURN && (node = loop_list_pop_front(&pool->collected)); n++) {
        hand_back(loop, LOOP_CONTAINER(node, struct loop_job, link));
    }
    while ((node = loop_list_pop_front(&pool->collected_late))) {
        struct loop_late *late = LOOP_CONTAINER(node, struct loop_late, link);
        late->came_back(loop, late);
    }
}

/* ---- sleeping ---- */

/* Whether to wait for several results at a time. After each time without a result it waits as usual twice as often.
 * Under the mutex. */
static bool gathers_results(struct loop_pool *pool)
{
    if (pool->line_length <= pool->n_threads) {
        return false;
    }
    if (pool->n_skipped < pool->n_skips) {
        pool->n_skipped++;
        return false;
    }
    pool->n_skipped = 0;
    pool->n_skips = pool->n_skips < MOST_SKIPS ? 2 * pool->n_skips + 1 : MOST_SKIPS;
    return true;
}

int64_t loop_pool_time_to_sleep(struct loop *loop, int64_t timeout_ns)
{
    struct loop_pool *pool = loop->pool;
    if (loop->is_hosted) {
        return timeout_ns; /* a host may not sleep as exactly as this */
    }
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    pool->is_gathering = gathers_results(pool);
    pool->tells_at = pool->is_gathering ? pool->line_length / 2 : UINT_MAX;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    return pool->is_gathering && timeout_ns > GATHERING_NS ? GATHERING_NS : timeout_ns;
}

uint64_t loop_pool_threads(const struct loop *loop)
{
    return loop->pool ? loop->pool->n_threads : 0;
}

/* ---- the end ---- */

void loop_pool_finish(struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    if (!pool) {
        return;
    }
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    assert(pool->line_length == 0 && pool->n_running == 0 && pool->n_overdue == 0);
    assert(loop_list_is_empty(&pool->done) && loop_list_is_empty(&pool->collected));
    assert(loop_list_is_empty(&pool->came_back) && loop_list_is_empty(&pool->collected_late));
    pool->is_ending = true;
    loop_kernel_pthread_cond_broadcast(&pool->is_wanted);
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    loop_kernel_free(pool->n_threads == 0 ? pool->threads[0].buffer : NULL); /* of run_line_here */
    for (unsigned i = 0; i < pool->n_threads; i++) {
        loop_kernel_pthread_join(pool->threads[i].thread, NULL);
        loop_kernel_free(pool->threads[i].buffer);
    }
    loop_kernel_pthread_cond_destroy(&pool->is_wanted);
    loop_kernel_pthread_mutex_destroy(&pool->mutex);
    loop_kernel_free(pool);
    loop->pool = NULL;
}
