/* SPDX-License-Identifier: ISC
 *
 * The threads of the pool. Each takes the first job that may run, runs it, and puts it in the list of finished ones.
 */
#include <loop/event/inbox.h>
#include <loop/ground/list.h>
#include <loop/kernel/signal.h>
#include <loop/kernel/thread.h>
#include <loop/syscall/attempt.h>
#include <loop/syscall/pool_state.h>

#include <errno.h>

/* On a thread of a pool: that thread. */
static LOOP_KERNEL_THREAD_LOCAL const struct loop_pool_thread *this_thread;

bool loop_work_is_cancelled(void)
{
    return this_thread && atomic_load_explicit(&this_thread->is_asked_to_end, memory_order_relaxed);
}

/* ---- running jobs ---- */

/* Runs the operation's system call, for kinds without a function of their own. */
static int64_t attempt(void *arg, void **buffer)
{
    (void)buffer;
    return loop_attempt(arg, true);
}

struct loop_thread_call loop_pool_call_for(struct loop_job *job)
{
    const struct loop_thread_kind *kind = job->kind->thread;
    return kind ? kind->call(job) : (struct loop_thread_call){attempt, job};
}

int64_t loop_pool_run_call(struct loop_pool_thread *thread)
{
    return thread->call.fn(thread->call.arg, &thread->buffer);
}

/* Notes that the thread runs the job. Under the mutex. */
static void begin(struct loop_pool_thread *thread, struct loop_job *job)
{
    struct loop_pool *pool = thread->pool;
    thread->call = loop_pool_call_for(job);
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
        int64_t result = loop_pool_run_call(thread);
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

int loop_pool_add_thread(struct loop_pool *pool)
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
