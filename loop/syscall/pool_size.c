/* SPDX-License-Identifier: ISC
 *
 * How many threads the pool has. The first ones are created as soon as a job needs them (pool.c). Beyond those it
 * grows for two reasons, by no more threads than it has or than jobs wait:
 *
 * - More jobs wait than threads may run, and each that a thread has begun within a millisecond had waited for a quarter
 *   of one. The shortest wait decides, because the others depend on chance. A shorter line is no fault: threads that
 *   find their next job in it do not sleep, and wake the loop for several results at a time.
 * - A job has waited for 10 milliseconds, and no thread has begun another one within the last: they are stuck.
 *
 * Only jobs that have to wait are stamped with the time, so a job that finds a thread reads no clock.
 *
 * More threads help only where those that there are block. So the pool does not grow while the process uses all
 * processors, as when work computes; it looks again after twice as long.
 *
 * Where only overdue threads are left and no other can be created, the pool tries again for a second. Then the jobs in
 * line end with an error: they must not wait for threads that may never return, nor run on the loop's thread, where
 * they might hang as those do.
 */
#include <loop/core/loop.h>
#include <loop/ground/clock.h>
#include <loop/kernel/thread.h>
#include <loop/kernel/time.h>
#include <loop/syscall/pool_state.h>

#include <errno.h>

#define LONG_WAIT_NS (LOOP_MILLISECOND / 4)       /* how long each job waits where the line is long */
#define STUCK_NS (10 * LOOP_MILLISECOND)          /* how long a job waits where threads are stuck */
#define GROWTH_NS LOOP_MILLISECOND                /* between two looks */
#define LONGEST_GROWTH_NS (64 * LOOP_MILLISECOND) /* between two looks, where the pool cannot grow */

#define CREATION_NS LOOP_MILLISECOND                /* until the pool tries again to create a thread, at first */
#define LONGEST_CREATION_NS (64 * LOOP_MILLISECOND) /* and later */
#define MOST_CREATION_NS LOOP_SECOND                /* how long it tries */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- growing ---- */

/* Returns the time that the processors have spent on this process. */
static int64_t read_cpu_time(void)
{
    struct timespec time;
    (void)loop_kernel_clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * LOOP_SECOND + time.tv_nsec;
}

/* Whether the process has used seven eighths of the processors' time since the alarm was set. */
static bool uses_all_processors(const struct loop_pool *pool, int64_t now_ns)
{
    int64_t passed_ns = now_ns - pool->growth_began_ns, used_ns = read_cpu_time() - pool->growth_cpu_ns;
    return used_ns / 7 * 8 >= passed_ns * pool->n_processors;
}

/* Returns how many threads more there may be: none where a job that may run waits for another one, and not for a
 * thread. Under the mutex. */
static unsigned find_growth(const struct loop_pool *pool)
{
    bool has_idle = pool->n_idle > pool->n_called && loop_pool_count_runnable(pool) > 0;
    unsigned n = least(pool->line_length, pool->most_threads - pool->size);
    return has_idle ? 0 : least(n, pool->size);
}

static void on_growth_due(struct loop *loop, struct loop_alarm *alarm);

/* Sets the alarm, to be due `interval_ns` after `from_ns`. */
static void watch(struct loop *loop, int64_t from_ns, int64_t interval_ns)
{
    struct loop_pool *pool = loop->pool;
    pool->growth_interval_ns = interval_ns;
    pool->growth_began_ns = loop_clock_read();
    pool->growth_cpu_ns = read_cpu_time();
    loop_alarm_set(loop, &pool->growth, from_ns + interval_ns, on_growth_due);
}

/* Whether the line is too long, or the threads are stuck. Under the mutex. */
static bool has_to_grow(struct loop_pool *pool, int64_t waits_since_ns, int64_t now_ns)
{
    int64_t shortest_ns = pool->shortest_wait_ns,
            longest_ns = waits_since_ns == LOOP_NEVER ? 0 : now_ns - waits_since_ns;
    bool has_begun = shortest_ns != INT64_MAX;
    pool->shortest_wait_ns = INT64_MAX;
    if (!has_begun) {
        return longest_ns >= STUCK_NS;
    }
    return longest_ns >= LONG_WAIT_NS && shortest_ns >= LONG_WAIT_NS && pool->line_length > pool->size;
}

static void on_growth_due(struct loop *loop, struct loop_alarm *alarm)
{
    struct loop_pool *pool = loop->pool;
    (void)alarm;
    int64_t now_ns = loop_clock_read(), longer_ns = sooner(2 * pool->growth_interval_ns, LONGEST_GROWTH_NS);
    bool is_busy = uses_all_processors(pool, now_ns);
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    int64_t since_ns = loop_pool_waits_since(pool);
    bool has_to = has_to_grow(pool, since_ns, now_ns);
    unsigned n = has_to && !is_busy ? find_growth(pool) : 0;
    pool->size += n;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    bool is_grown = n > 0 && loop_pool_add_threads(loop);
    if (n > 0) {
        loop_pool_trial_watch(loop);
    }
    if (since_ns != LOOP_NEVER && pool->size < pool->most_threads) {
        watch(loop, now_ns, is_grown || !has_to ? GROWTH_NS : longer_ns);
    }
}

void loop_pool_size_watch(struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    if (!loop_alarm_is_set(&pool->growth) && pool->size < pool->most_threads) {
        loop_kernel_pthread_mutex_lock(&pool->mutex);
        pool->shortest_wait_ns = INT64_MAX;
        loop_kernel_pthread_mutex_unlock(&pool->mutex);
        watch(loop, loop_clock_read(), GROWTH_NS);
    }
}

/* ---- in place of overdue threads ---- */

/* Under the mutex. */
static bool lacks_thread(const struct loop_pool *pool)
{
    return pool->line_length > 0 && pool->n_threads == pool->n_overdue;
}

static struct loop_job *first_in_line(const struct loop_pool *pool)
{
    struct loop_list *node = loop_list_first(&pool->line);
    node = node ? node : loop_list_first(&pool->long_line);
    return node ? LOOP_CONTAINER(node, struct loop_job, link) : NULL;
}

/* Ends all jobs in line with -ENOMEM. Not with -EAGAIN, the error of the thread: what reads or writes by the pool takes
 * that for a file that is not ready. */
static void refuse_line(struct loop_pool *pool)
{
    struct loop_job *job;
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    while ((job = first_in_line(pool))) {
        job->outcome = job->result == LOOP_GOES_ON ? LOOP_WORK_PARTLY_DONE : LOOP_WORK_NOT_BEGUN;
        loop_pool_pull(pool, job);
        job->result = -ENOMEM;
        loop_list_push_back(&pool->collected, &job->link);
    }
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
}

static void on_creation_due(struct loop *loop, struct loop_alarm *alarm)
{
    struct loop_pool *pool = loop->pool;
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    bool lacks = lacks_thread(pool);
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    if (!lacks || loop_pool_add_thread(loop)) {
        return;
    }
    int64_t now_ns = loop_clock_read(), twice_ns = 2 * pool->creation_interval_ns;
    if (now_ns - pool->creation_since_ns >= MOST_CREATION_NS) {
        refuse_line(pool);
        return;
    }
    pool->creation_interval_ns = twice_ns < LONGEST_CREATION_NS ? twice_ns : LONGEST_CREATION_NS;
    loop_alarm_set(loop, alarm, now_ns + pool->creation_interval_ns, on_creation_due);
}

void loop_pool_create_later(struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    if (!loop_alarm_is_set(&pool->creation)) {
        pool->creation_since_ns = loop_clock_read();
        pool->creation_interval_ns = CREATION_NS;
        loop_alarm_set(loop, &pool->creation, pool->creation_since_ns + CREATION_NS, on_creation_due);
    }
}
