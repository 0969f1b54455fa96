/* SPDX-License-Identifier: ISC
 *
 * Cancelled jobs of the pool. A job in line is taken out. A thread that runs the job is asked to end it. After a grace
 * period the thread is overdue: it is no longer counted, and another thread replaces it. If its kind allows it, the job
 * is given up: it ends at once, and the kind is called when the thread returns.
 */
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/ground/clock.h>
#include <loop/ground/list.h>
#include <loop/kernel/thread.h>
#include <loop/syscall/pool.h>
#include <loop/syscall/pool_state.h>

/* Returns the thread that runs the job, or NULL when that is finished. Under the mutex. */
static struct loop_pool_thread *thread_of(struct loop_pool *pool, const struct loop_job *job)
{
    for (unsigned i = 0; i < pool->n_places; i++) {
        if (pool->threads[i].running == job) {
            return &pool->threads[i];
        }
    }
    return NULL;
}

/* Marks the thread as overdue. Returns its job if that is to be given up, else NULL. Under the mutex. */
static struct loop_job *pass_over(struct loop_pool_thread *thread)
{
    struct loop_pool *pool = thread->pool;
    struct loop_job *job = thread->running;
    thread->asked_at_ns = 0;
    if (pool->n_overdue < LOOP_POOL_MOST_OVERDUE) {
        thread->is_overdue = true;
        pool->n_overdue++;
        loop_pool_stop_counting(thread);
    }
    const struct loop_thread_kind *kind = job->kind->thread;
    struct loop_late *late = kind && kind->late ? kind->late(job) : NULL;
    if (!late) {
        return NULL;
    }
    thread->running = NULL;
    thread->late = late;
    return job;
}

/* Marks all threads as overdue whose grace period is over, and counts them in `*n`. Returns the time until the next.
 * Under the mutex. */
static int64_t pass_over_all(struct loop_pool *pool, struct loop_list *given_up, unsigned *n)
{
    int64_t now = loop_clock_read(), next = LOOP_NEVER;
    for (unsigned i = 0; i < pool->n_places; i++) {
        struct loop_pool_thread *thread = &pool->threads[i];
        int64_t left = thread->running && thread->asked_at_ns ? thread->asked_at_ns + LOOP_WORK_GRACE_NS - now : next;
        if (left > 0) {
            next = left < next ? left : next;
            continue;
        }
        struct loop_job *job = pass_over(thread);
        if (job) {
            loop_list_push_back(given_up, &job->link);
        }
        ++*n;
    }
    return next;
}

static void begin_grace(struct loop *loop, int64_t duration_ns);

static void on_grace_over(struct loop *loop, struct loop_alarm *alarm)
{
    struct loop_pool *pool = loop->pool;
    struct loop_list given_up, *node;
    unsigned n = 0;
    (void)alarm;
    loop_list_init(&given_up);
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    int64_t next = pass_over_all(pool, &given_up, &n);
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    while ((node = loop_list_pop_front(&given_up))) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        job->kind->thread->give_up(loop, job);
    }
    for (; n > 0; n--) {
        loop_pool_serve(loop);
    }
    if (next != LOOP_NEVER) {
        begin_grace(loop, next);
    }
}

/* Sets the alarm for the end of the grace period. */
static void begin_grace(struct loop *loop, int64_t duration_ns)
{
    struct loop_pool *pool = loop->pool;
    if (!loop_alarm_is_set(&pool->grace)) {
        loop_alarm_set(loop, &pool->grace, loop_time_from_now(duration_ns), on_grace_over);
    }
}

/* Asks the thread that runs the job to end it. Returns false when the job is finished. Under the mutex. */
static bool ask_to_end(struct loop_pool *pool, const struct loop_job *job)
{
    struct loop_pool_thread *thread = thread_of(pool, job);
    if (thread) {
        thread->asked_at_ns = loop_clock_read();
        loop_pool_interrupt(thread, thread->asked_at_ns);
    }
    return thread != NULL;
}

bool loop_pool_withdraw(struct loop *loop, struct loop_job *job)
{
    struct loop_pool *pool = loop->pool;
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    bool is_withdrawn = job->is_in_line, is_asked = false;
    if (is_withdrawn) {
        loop_pool_pull(pool, job);
    } else {
        is_asked = ask_to_end(pool, job);
    }
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    if (is_withdrawn) {
        loop_pool_count_moving(job, -1);
    }
    if (is_asked) {
        begin_grace(loop, LOOP_WORK_GRACE_NS);
        loop_pool_interrupt_later(loop);
    }
    return is_withdrawn;
}

void loop_pool_recall(struct loop *loop, bool *is_recalled)
{
    struct loop_pool *pool = loop->pool;
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    *is_recalled = true;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
}
