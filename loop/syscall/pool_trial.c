/* SPDX-License-Identifier: ISC
 *
 * Fewer threads. Every few seconds the pool ends those threads beyond the first ones that were not needed meanwhile,
 * however its jobs have been spread over all of them.
 *
 * It also finds out whether half of the threads do as much. Where every job has a thread, a thread that finishes one
 * finds no other in line and sleeps, and the next job has to wake a thread. That costs more than a small read of a
 * disk. With as many jobs in line as on threads, hardly any thread sleeps. pool_size.c grows the pool no further than
 * that where jobs are short, but threads that were stuck for a moment, as by a disk that stalls, leave it with more.
 *
 * So where idle threads are called more often than every 0.1 ms, the pool tries half as many threads as it has jobs. If
 * less than three quarters as many jobs begin during the trial as before it, the threads were needed: it gets them
 * back, and waits twice as long before it looks again.
 */
#include <loop/core/loop.h>
#include <loop/ground/clock.h>
#include <loop/kernel/thread.h>
#include <loop/syscall/pool_state.h>

#define DECLINE_NS (2 * LOOP_SECOND) /* between two looks for threads that are not needed */

#define CALL_NS (LOOP_MILLISECOND / 10) /* the time for each call, where there are many */
#define LOOK_NS (64 * LOOP_MILLISECOND) /* between two looks: a trial takes as long */
#define LONGEST_LOOK_NS (64 * LOOK_NS)  /* between two looks, where there was nothing to try */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* ---- declining ---- */

/* Takes back what the pool has grown beyond what it has needed since this was called last, and has the threads that are
 * too many end. Returns whether there may still be too many. Under the mutex. */
static bool decline(struct loop_pool *pool)
{
    unsigned needed = pool->most_running > pool->least_threads ? pool->most_running : pool->least_threads;
    if (pool->line_length == 0) { /* jobs that wait would find no one to grow the pool again */
        pool->size = least(pool->size, needed);
    }
    pool->most_running = pool->n_running;
    unsigned wanted = pool->size + pool->n_overdue;
    pool->n_to_end = pool->n_threads > wanted ? least(pool->n_threads - wanted, pool->n_idle) : 0;
    if (pool->n_to_end > 0) {
        loop_kernel_pthread_cond_broadcast(&pool->is_wanted);
    }
    return pool->n_threads > pool->least_threads || pool->size > pool->least_threads;
}

static void on_decline_due(struct loop *loop, struct loop_alarm *alarm);

static void start_declining(struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    if (!loop_alarm_is_set(&pool->decline)) {
        loop_alarm_set(loop, &pool->decline, loop_time_from_now(DECLINE_NS), on_decline_due);
    }
}

static void on_decline_due(struct loop *loop, struct loop_alarm *alarm)
{
    struct loop_pool *pool = loop->pool;
    (void)alarm;
    loop_pool_join(pool, false);
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    bool goes_on = decline(pool);
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    if (goes_on) {
        start_declining(loop);
    }
}

void loop_pool_size_added(struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    bool has_more = pool->n_threads > pool->least_threads;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    if (has_more) {
        start_declining(loop);
    }
}

/* ---- adding those that are needed again ---- */

static bool needs_thread(struct loop_pool *pool)
{
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    bool needs = loop_pool_needs_thread(pool);
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    return needs;
}

bool loop_pool_add_threads(struct loop *loop)
{
    bool is_added = true;
    loop_pool_call_idle(loop->pool);
    while (is_added && needs_thread(loop->pool)) {
        is_added = loop_pool_add_thread(loop);
    }
    loop_pool_size_added(loop);
    return is_added;
}

/* ---- trials ---- */

/* Returns what has happened since it was called last. Under the mutex. */
static struct loop_pool_past take_past(struct loop_pool *pool)
{
    struct loop_pool_past past = pool->past;
    int64_t now_ns = loop_clock_read();
    past.ns = now_ns - past.ns;
    pool->past = (struct loop_pool_past){.ns = now_ns, .most_jobs = pool->n_running + pool->line_length};
    return past;
}

/* Returns how many threads to try, or 0 where there is nothing to gain: at least a quarter less. Under the mutex. */
static unsigned find_size(const struct loop_pool *pool, const struct loop_pool_past *past)
{
    unsigned half = (past->most_jobs + 1) / 2, size = half > pool->least_threads ? half : pool->least_threads;
    bool has_many_calls = past->n_calls * CALL_NS >= (uint64_t)past->ns;
    return has_many_calls && size <= pool->size / 4 * 3 ? size : 0;
}

/* Whether a trial has shown that the threads were needed. `tried` is what happened during it, and `before` what
 * happened in front of it. Where nothing has begun in either, they are needed. */
static bool needs_threads(const struct loop_pool_past *tried, const struct loop_pool_past *before)
{
    return 4 * tried->n_begun * (uint64_t)before->ns <= 3 * before->n_begun * (uint64_t)tried->ns;
}

static void wait_twice_as_long(struct loop_pool_trial *trial)
{
    trial->interval_ns = 2 * trial->interval_ns < LONGEST_LOOK_NS ? 2 * trial->interval_ns : LONGEST_LOOK_NS;
}

/* Ends a trial. It has shown nothing where the pool has another size now, as after threads were stuck. Under the
 * mutex. */
static void end_trial(struct loop_pool *pool, const struct loop_pool_past *tried)
{
    struct loop_pool_trial *trial = &pool->trial;
    if (pool->size == trial->size && needs_threads(tried, &trial->before)) {
        pool->size = trial->size_before;
        wait_twice_as_long(trial);
    }
    trial->size = 0;
}

/* Begins a trial if there is something to gain. Under the mutex. */
static void begin_trial(struct loop_pool *pool, const struct loop_pool_past *past)
{
    struct loop_pool_trial *trial = &pool->trial;
    unsigned size = find_size(pool, past);
    if (size == 0) {
        wait_twice_as_long(trial);
        return;
    }
    trial->size_before = pool->size;
    trial->before = *past;
    trial->size = pool->size = size;
}

static void look(struct loop_pool *pool)
{
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    struct loop_pool_past past = take_past(pool);
    if (pool->trial.size > 0) {
        end_trial(pool, &past);
    } else {
        begin_trial(pool, &past);
    }
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
}

static void on_look_due(struct loop *loop, struct loop_alarm *alarm);

static void start_looking(struct loop *loop)
{
    struct loop_pool_trial *trial = &loop->pool->trial;
    loop_alarm_set(loop, &trial->look, loop_time_from_now(trial->size > 0 ? LOOK_NS : trial->interval_ns), on_look_due);
}

static void on_look_due(struct loop *loop, struct loop_alarm *alarm)
{
    struct loop_pool *pool = loop->pool;
    (void)alarm;
    look(pool);
    (void)loop_pool_add_threads(loop); /* where there may be more again: some may have ended during the trial */
    if (pool->trial.size > 0 || pool->size > pool->least_threads) {
        start_looking(loop);
    }
}

void loop_pool_trial_watch(struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    if (loop_alarm_is_set(&pool->trial.look) && (pool->trial.size > 0 || pool->trial.interval_ns == LOOK_NS)) {
        return;
    }
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    (void)take_past(pool);
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    pool->trial.interval_ns = LOOK_NS;
    start_looking(loop);
}
