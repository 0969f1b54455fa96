/* SPDX-License-Identifier: ISC
 *
 * The pool: threads for operations that can block. Jobs wait in one line. Each thread takes the first job that may run,
 * and puts it in a list of finished ones, which the loop collects in its dispatch.
 */
#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/event/inbox.h>
#include <loop/ground/clock.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/thread.h>
#include <loop/syscall/pool.h>
#include <loop/syscall/pool_state.h>

#include <errno.h>
#include <limits.h>

/* The most finished jobs that one turn resumes, so that many of them do not delay other events. */
#define COLLECTED_PER_TURN 256

/* How long the loop sleeps without being woken for each result, while many jobs are in line. Waking it takes as long as
 * a small job, and it would have one result each time. */
#define GATHERING_NS ((int64_t)100000)

/* How often in a row the loop sleeps as usual, where no result has come in that time. */
#define MOST_SKIPS 255u

/* ---- creating ---- */

/* Returns how many processors the loop's thread may use, up to 1024. */
static unsigned count_processors(void)
{
    uint64_t bits[sizeof(cpu_set_t) / sizeof(uint64_t)] = {0};
    unsigned n = 0;
    if (loop_kernel_sched_getaffinity(sizeof bits, (cpu_set_t *)bits) < 0) {
        return 1;
    }
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        for (; bits[i]; n++) {
            bits[i] &= bits[i] - 1;
        }
    }
    return n > 0 ? n : 1;
}

static int make_pool(struct loop *loop)
{
    if (loop->pool) {
        return 0;
    }
    unsigned most_threads = loop->options.pool_threads;
    struct loop_pool *pool =
        loop_kernel_calloc(1, sizeof *pool + (most_threads + LOOP_POOL_MOST_OVERDUE) * sizeof *pool->threads);
    if (!pool) {
        return -ENOMEM;
    }
    pool->inbox = loop->inbox;
    pool->interrupt_signal = loop->options.interrupt_signal;
    pool->least_threads = loop->options.pool_threads_min;
    pool->most_threads = most_threads;
    pool->size = pool->least_threads;
    pool->n_processors = count_processors();
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

/* ---- handing over ---- */

void loop_pool_count_moving(const struct loop_job *job, int more)
{
    uint8_t op_class = loop_op_table[job->op].op_class;
    if (op_class == LOOP_CLASS_MOVE || op_class == LOOP_CLASS_SPLICE) {
        loop_fd_more(job->fd)->moving += (uint32_t)more;
        if (job->u.args.second) {
            loop_fd_more(job->u.args.second)->moving += (uint32_t)more;
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
        struct loop_thread_call call = loop_pool_call_for(job);
        job->result = call.fn(call.arg, &pool->threads[0].buffer);
        job->outcome = LOOP_WORK_DONE;
        loop_list_push_back(&pool->collected, &job->link);
    }
}

/* Whether jobs have to wait for one that runs: no thread is idle, about to begin, or about to look for a job. Under the
 * mutex. */
static bool is_full(const struct loop_pool *pool)
{
    unsigned n_free = pool->n_threads - pool->n_overdue - pool->n_running;
    return pool->line_length > n_free || pool->line_length > loop_pool_count_runnable(pool);
}

/* What there is to do after a job was added, or a thread is overdue. */
enum service {
    NOTHING,
    CALL_THREAD, /* an idle one takes the job */
    ADD_THREAD,
    WAIT_FOR_THREAD /* all are busy */
};

/* Under the mutex. */
static enum service find_service(struct loop_pool *pool, struct loop_job *added)
{
    if (loop_pool_needs_thread(pool)) {
        return ADD_THREAD;
    }
    if (loop_pool_calls_thread(pool)) {
        return CALL_THREAD;
    }
    if (!added || !is_full(pool)) {
        return NOTHING;
    }
    added->result = loop_clock_read();
    pool->n_waits++;
    return WAIT_FOR_THREAD;
}

/* Puts a job in line, if there is one, and creates or calls a thread where that helps. */
static void serve(struct loop *loop, struct loop_job *added)
{
    struct loop_pool *pool = loop->pool;
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    if (added) {
        loop_pool_push(pool, added);
    }
    enum service service = find_service(pool, added);
    bool has_threads = pool->n_threads > 0;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    if (service == CALL_THREAD) {
        loop_kernel_pthread_cond_signal(&pool->is_wanted);
    } else if (service == WAIT_FOR_THREAD) {
        loop_pool_size_watch(loop);
    } else if (service == ADD_THREAD && loop_pool_add_thread(loop)) {
        loop_pool_size_added(loop);
    } else if (!has_threads) {
        run_line_here(loop);
    } else if (service == ADD_THREAD) {
        loop_pool_call_idle(pool);
        loop_pool_create_later(loop);
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
    loop->has_outcome = true;
    loop->outcome = job->outcome;
    loop_job_backend_done(loop, job, job->result);
    loop->has_outcome = false;
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

void loop_pool_get_stats(const struct loop *loop, struct loop_stats *stats)
{
    struct loop_pool *pool = loop->pool;
    if (!pool) {
        return;
    }
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    int64_t since_ns = loop_pool_waits_since(pool);
    int64_t wait_ns = since_ns == LOOP_NEVER ? 0 : loop_clock_read() - since_ns;
    stats->pool_threads_now = pool->n_threads;
    stats->pool_longest_wait_ns = (uint64_t)(wait_ns > pool->longest_wait_ns ? wait_ns : pool->longest_wait_ns);
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    stats->pool_threads_most = pool->peak_threads;
    stats->pool_waits = pool->n_waits;
    stats->pool_interrupts = pool->n_interrupts;
}

/* ---- the end ---- */

static void clear_alarms(struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    loop_alarm_clear(loop, &pool->grace);
    loop_alarm_clear(loop, &pool->interrupts);
    loop_alarm_clear(loop, &pool->creation);
    loop_alarm_clear(loop, &pool->growth);
    loop_alarm_clear(loop, &pool->decline);
    loop_alarm_clear(loop, &pool->trial.look);
}

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
    clear_alarms(loop);
    loop_kernel_pthread_cond_broadcast(&pool->is_wanted);
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    loop_pool_join(pool, true);
    loop_kernel_free(pool->threads[0].buffer); /* of run_line_here */
    loop_kernel_pthread_cond_destroy(&pool->is_wanted);
    loop_kernel_pthread_mutex_destroy(&pool->mutex);
    loop_kernel_free(pool);
    loop->pool = NULL;
}
