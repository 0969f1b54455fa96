/* SPDX-License-Identifier: ISC
 *
 * The threads of the pool. Each takes the first job that may run, runs it, and puts it in the list of finished ones.
 */
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/event/inbox.h>
#include <loop/ground/clock.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/signal.h>
#include <loop/kernel/thread.h>
#include <loop/syscall/attempt.h>
#include <loop/syscall/pool_state.h>

#include <errno.h>
#include <string.h>

/* ---- running a job ---- */

/* Runs the operation's system call, for kinds without a function of their own. */
static int64_t attempt(void *arg, void **buffer)
{
    int64_t result;
    (void)buffer;
    do {
        result = loop_attempt(arg, true);
    } while (result == -EINTR && !loop_work_is_cancelled());
    return result;
}

struct loop_thread_call loop_pool_call_for(struct loop_job *job)
{
    const struct loop_thread_kind *kind = job->kind->thread;
    return kind ? kind->call(job) : (struct loop_thread_call){attempt, job};
}

/* Runs the thread's function. A call that was interrupted because the job was cancelled is cancelled. */
static int64_t run_call(struct loop_pool_thread *thread)
{
    int64_t result = thread->call.fn(thread->call.arg, &thread->buffer);
    bool is_asked = atomic_load_explicit(&thread->is_asked_to_end, memory_order_relaxed);
    return result == -EINTR && is_asked ? -ECANCELED : result;
}

/* Notes how long the job has waited for a thread. One that goes on has had its thread. */
static void note_wait(struct loop_pool *pool, const struct loop_job *job)
{
    if (job->result == LOOP_GOES_ON) {
        return;
    }
    int64_t wait_ns = job->result ? loop_clock_read() - job->result : 0;
    if (wait_ns > pool->longest_wait_ns) {
        pool->longest_wait_ns = wait_ns;
    }
    if (wait_ns < pool->shortest_wait_ns) {
        pool->shortest_wait_ns = wait_ns;
    }
}

/* Notes that the thread runs the job. Under the mutex. */
static void begin(struct loop_pool_thread *thread, struct loop_job *job)
{
    struct loop_pool *pool = thread->pool;
    note_wait(pool, job);
    thread->call = loop_pool_call_for(job);
    thread->running = job;
    thread->asked_at_ns = 0;
    thread->knows = false;
    atomic_store_explicit(&thread->is_asked_to_end, false, memory_order_relaxed);
    thread->is_long = loop_pool_takes_long(job);
    pool->n_running++;
    pool->n_running_long += thread->is_long;
    pool->past.n_begun++;
    pool->most_running = pool->n_running > pool->most_running ? pool->n_running : pool->most_running;
}

/* Counts a thread that looks for a job. It may have woken up without having been called. Under the mutex. */
static void stop_idling(struct loop_pool *pool)
{
    pool->n_idle--;
    pool->n_called -= pool->n_called > 0;
}

/* Whether a thread that has found no job ends: because the pool does, or because there are too many. Under the
 * mutex. */
static bool is_to_end(struct loop_pool *pool)
{
    bool is_one_of_them = pool->n_to_end > 0;
    pool->n_to_end -= is_one_of_them;
    return pool->is_ending || is_one_of_them;
}

/* Calls an idle thread for the second of two jobs that this thread has released, after it has begun the first. No other
 * thread looks for it: one that was called for it earlier has slept again. Under the mutex. */
static void call_for_second(struct loop_pool_thread *thread)
{
    struct loop_pool *pool = thread->pool;
    if (thread->has_released_two && pool->n_called < pool->n_idle && loop_pool_find_next(pool)) {
        pool->n_called++;
        pool->past.n_calls++;
        loop_kernel_pthread_cond_signal(&pool->is_wanted);
    }
    thread->has_released_two = false;
}

/* Waits for the next job and begins it. Returns false when the thread is to end. A thread that has finished a job looks
 * for the next before it sleeps, so a job that had to run after that one needs no wake-up. Under the mutex. */
static bool take_next(struct loop_pool_thread *thread)
{
    struct loop_pool *pool = thread->pool;
    struct loop_job *job;
    while (!(job = loop_pool_find_next(pool)) && !is_to_end(pool)) {
        pool->n_idle++;
        loop_kernel_pthread_cond_wait(&pool->is_wanted, &pool->mutex);
        stop_idling(pool);
    }
    if (job) {
        loop_pool_pull(pool, job);
        begin(thread, job);
        call_for_second(thread);
    }
    return job != NULL;
}

/* ---- finishing a job ---- */

/* Puts a job that goes on back at the end of the line, so that it delays others by one call only. Returns false for
 * jobs that are finished. Under the mutex. */
static bool put_back(struct loop_pool *pool, struct loop_job *job, int64_t result)
{
    const struct loop_thread_kind *kind = job->kind->thread;
    if (!kind || !kind->goes_on || !kind->goes_on(job, result)) {
        return false;
    }
    loop_pool_push(pool, job);
    job->result = LOOP_GOES_ON;
    return true;
}

/* Returns how far the job has come whose call has returned. Under the mutex. */
static enum loop_outcome outcome_of(const struct loop_pool_thread *thread, int64_t result)
{
    bool is_asked = atomic_load_explicit(&thread->is_asked_to_end, memory_order_relaxed);
    bool has_ended_early = is_asked && (result == -ECANCELED || (result >= 0 && thread->knows));
    return has_ended_early ? LOOP_WORK_PARTLY_DONE : LOOP_WORK_DONE;
}

/* Puts a job among the finished ones. Under the mutex. */
static void put_done(struct loop_pool *pool, struct loop_job *job, enum loop_outcome outcome, int64_t result)
{
    job->result = result;
    job->outcome = (uint8_t)outcome;
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
    loop_pool_interrupt_end(thread);
    if (thread->is_overdue) {
        thread->is_overdue = false;
        pool->n_overdue--;
    } else {
        loop_pool_stop_counting(thread);
    }
    if (thread->late) {
        put_late(pool, thread);
        return;
    }
    thread->has_released_two = loop_pool_releases_two(job);
    if (!put_back(pool, job, result)) {
        put_done(pool, job, outcome_of(thread, result), result);
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
    loop_pool_interrupt_init(thread);
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
    thread->place = LOOP_POOL_PLACE_LEFT;
    pool->n_threads--;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* ---- creating ---- */

/* Returns a free place. There is one: n_threads is at most the number of places, and those that are left are joined
 * before. Under the mutex. */
static struct loop_pool_thread *find_place(struct loop_pool *pool)
{
    unsigned i = 0;
    while (i < pool->n_places && pool->threads[i].place != LOOP_POOL_PLACE_FREE) {
        i++;
    }
    assert(i < pool->most_threads + LOOP_POOL_MOST_OVERDUE);
    pool->n_places += i == pool->n_places;
    return &pool->threads[i];
}

/* Counts a thread that begins, as an idle one that was called. Returns its place. */
static struct loop_pool_thread *count_thread(struct loop_pool *pool)
{
    loop_pool_join(pool, false);
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    struct loop_pool_thread *thread = find_place(pool);
    thread->place = LOOP_POOL_PLACE_USED;
    thread->pool = pool;
    pool->n_threads++;
    pool->n_idle++;
    pool->n_called++;
    pool->n_to_end = 0;
    pool->peak_threads = pool->n_threads > pool->peak_threads ? pool->n_threads : pool->peak_threads;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    return thread;
}

/* Returns whether there are threads left. */
static bool uncount_thread(struct loop_pool *pool, struct loop_pool_thread *thread)
{
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    thread->place = LOOP_POOL_PLACE_FREE;
    pool->n_threads--;
    stop_idling(pool);
    bool has_others = pool->n_threads > 0;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    return has_others;
}

/* Logs that a thread could not be created. Once, because a process at its limit would fill the log. */
static void log_failure(struct loop *loop, int error, bool has_others)
{
    if (!loop->pool->has_failed) {
        loop->pool->has_failed = true;
        loop_log_options(&loop->options, LOOP_LOG_WARNING,
                         "no thread for what blocks could be made (%s): %s; see RLIMIT_NPROC and the pids limit",
                         strerror(error), has_others ? "there are fewer than asked for" : "it holds up the loop");
    }
}

/* Creates a thread with all signals blocked, because signals are for the program's own threads. The one that
 * interrupts its calls is the library's. */
static int create_thread(struct loop_pool *pool, struct loop_pool_thread *thread)
{
    sigset_t blocked, before;
    sigfillset(&blocked);
    if (pool->interrupt_signal) {
        sigdelset(&blocked, pool->interrupt_signal);
    }
    loop_kernel_pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = loop_kernel_pthread_create(&thread->thread, NULL, run_thread, thread);
    loop_kernel_pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

bool loop_pool_add_thread(struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    struct loop_pool_thread *thread = count_thread(pool); /* before it looks for a job */
    int error = create_thread(pool, thread);
    if (error) {
        log_failure(loop, error, uncount_thread(pool, thread));
    }
    return error == 0;
}

/* ---- calling ---- */

void loop_pool_call_idle(struct loop_pool *pool)
{
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    while (loop_pool_calls_thread(pool)) {
        loop_kernel_pthread_cond_signal(&pool->is_wanted);
    }
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
}

/* ---- joining ---- */

/* Returns a thread to join, or NULL. Its place is free afterwards. */
static struct loop_pool_thread *find_left(struct loop_pool *pool, bool all)
{
    struct loop_pool_thread *found = NULL;
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    for (unsigned i = 0; i < pool->n_places && !found; i++) {
        struct loop_pool_thread *thread = &pool->threads[i];
        bool is_left = thread->place == LOOP_POOL_PLACE_LEFT || (all && thread->place == LOOP_POOL_PLACE_USED);
        found = is_left ? thread : NULL;
    }
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    return found;
}

void loop_pool_join(struct loop_pool *pool, bool all)
{
    struct loop_pool_thread *thread;
    while ((thread = find_left(pool, all))) {
        loop_kernel_pthread_join(thread->thread, NULL);
        loop_kernel_free(thread->buffer);
        thread->buffer = NULL;
        thread->place = LOOP_POOL_PLACE_FREE;
    }
}
