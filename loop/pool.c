/* SPDX-License-Identifier: ISC
 *
 * The pool: a few threads for what can block. Jobs stand in one line; each thread takes the first that may go, and puts
 * it among the results, which the loop collects in its dispatch.
 *
 * Who may touch what. A job that has been handed over has LOOP_AT_POOL_LINE until it is collected, whether it waits or
 * a thread has it: `where` is the loop's, and a thread never writes it. The link and the result of a job are under the
 * mutex.
 */
#include <loop/direct.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_THREADS 4u
#define MOST_THREADS 1024u

/* Results that one turn of the loop collects, so that a flood of them holds up nothing else. */
#define COLLECTED_PER_TURN 256

struct pool_thread {
    struct loop_pool *pool;
    pthread_t thread;
    void *buffer;              /* the thread's own, for copies */
    const struct job *running; /* under the mutex */
    atomic_bool is_asked_to_end;
};

/* In a thread of a pool: which it is. */
static _Thread_local const struct pool_thread *this_thread;

struct loop_pool {
    struct loop_inbox *inbox;         /* to wake the loop */
    struct loop_list collected;       /* the loop's: results taken over from `done`, whose turn comes next */
    unsigned n_threads, most_threads; /* the loop's */
    bool has_failed;                  /* a thread couldn't be made: said once */
    atomic_bool has_done;             /* something is in `done` */
    pthread_mutex_t mutex;
    pthread_cond_t is_wanted; /* there is a job, or the end */
    /* under the mutex */
    struct loop_list line, done;
    unsigned line_length, n_idle;
    bool is_ending;
    struct pool_thread threads[];
};

/* ---- making ---- */

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
    struct loop_pool *pool = calloc(1, sizeof *pool + most_threads * sizeof *pool->threads);
    if (!pool) {
        return -ENOMEM;
    }
    pool->inbox = loop->inbox;
    pool->most_threads = most_threads;
    loop_list_init(&pool->collected);
    loop_list_init(&pool->line);
    loop_list_init(&pool->done);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->is_wanted, NULL);
    loop->pool = pool;
    return 0;
}

/* ---- which job may go ---- */

/* Writes of a file leave in the order of their calls, and what moves its position keeps its place. Other operations
 * don't know of each other. */
static bool is_ordered(const struct job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    return row->op_class == LOOP_CLASS_MOVE &&
           (row->is_output || job->op == LOOP_OP_SPLICE || job->u.args.offset == -1);
}

static bool shares_descriptor(const struct job *job, const struct job *other)
{
    const struct loop_fd *second = job->u.args.second, *others_second = other->u.args.second;
    return job->fd == other->fd || job->fd == others_second ||
           (second && (second == other->fd || second == others_second));
}

/* Work that takes long leaves half of the threads to the rest. */
static bool takes_long(const struct job *job)
{
    return job->op == LOOP_OP_WORK && job->u.args.flags;
}

static bool may_take_long(const struct loop_pool *pool)
{
    unsigned n = 0;
    for (unsigned i = 0; i < pool->most_threads; i++) {
        n += pool->threads[i].running && takes_long(pool->threads[i].running);
    }
    return n < (pool->most_threads + 1) / 2;
}

static bool may_go(const struct loop_pool *pool, const struct job *job)
{
    if (takes_long(job)) {
        return may_take_long(pool);
    }
    if (!is_ordered(job)) {
        return true;
    }
    for (unsigned i = 0; i < pool->most_threads; i++) {
        const struct job *running = pool->threads[i].running;
        if (running && is_ordered(running) && shares_descriptor(job, running)) {
            return false;
        }
    }
    return true;
}

/* The first in line that may go. Among those that share a descriptor the first in line is the one that may. */
static struct job *find_next(const struct loop_pool *pool)
{
    for (struct loop_list *node = pool->line.next; node != &pool->line; node = node->next) {
        struct job *job = LOOP_CONTAINER(node, struct job, link);
        if (may_go(pool, job)) {
            return job;
        }
    }
    return NULL;
}

/* ---- the threads ---- */

/* The work's function is kept as bytes: C doesn't promise that a pointer to data can hold it. */
static int64_t run_work(const struct job *job)
{
    loop_work_fn *work;
    memcpy(&work, &job->u.args.data, sizeof work);
    return work(job->u.args.out);
}

static int64_t run_job(struct pool_thread *thread, struct job *job)
{
    switch (job->op) {
    case LOOP_OP_WORK: return run_work(job);
    case LOOP_OP_COPY: return loop_file_copy_piece(job, &thread->buffer);
    default: return loop_attempt(job, true);
    }
}

/* Under the mutex. The next job, which is then no longer in line; NULL at the end. A thread that has ended a job looks
 * again before it sleeps, so that a job which had to stay behind that one needs nobody to wake a thread for it. */
static struct job *take_next(struct pool_thread *thread)
{
    struct loop_pool *pool = thread->pool;
    struct job *job;
    while (!(job = find_next(pool)) && !pool->is_ending) {
        pool->n_idle++;
        pthread_cond_wait(&pool->is_wanted, &pool->mutex);
        pool->n_idle--;
    }
    if (job) {
        loop_list_remove(&job->link);
        pool->line_length--;
        thread->running = job;
        atomic_store_explicit(&thread->is_asked_to_end, false, memory_order_relaxed);
    }
    return job;
}

/* Under the mutex. A copy of which there is more goes to the end of the line, so that it holds up nobody for longer
 * than a piece takes. */
static bool put_back(struct loop_pool *pool, struct job *job, int64_t result)
{
    if (job->op != LOOP_OP_COPY || result <= 0 || job->u.args.flags) {
        return false;
    }
    loop_list_push_back(&pool->line, &job->link);
    pool->line_length++;
    return true;
}

/* Under the mutex. True when the loop has to be told: it hasn't been since it last collected. */
static bool put_done(struct loop_pool *pool, struct job *job, int64_t result)
{
    bool is_first = loop_list_is_empty(&pool->done);
    job->result = result;
    loop_list_push_back(&pool->done, &job->link);
    atomic_store(&pool->has_done, true);
    return is_first;
}

static void tell_loop(struct loop_pool *pool)
{
    pthread_mutex_unlock(&pool->mutex);
    loop_inbox_wake(pool->inbox);
    pthread_mutex_lock(&pool->mutex);
}

static void *run_thread(void *arg)
{
    struct pool_thread *thread = arg;
    struct loop_pool *pool = thread->pool;
    struct job *job;
    this_thread = thread;
    pthread_setname_np(pthread_self(), "noria-pool");
    pthread_mutex_lock(&pool->mutex);
    while ((job = take_next(thread))) {
        pthread_mutex_unlock(&pool->mutex);
        int64_t result = run_job(thread, job);
        pthread_mutex_lock(&pool->mutex);
        thread->running = NULL;
        if (!put_back(pool, job, result) && put_done(pool, job, result)) {
            tell_loop(pool);
        }
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* A new thread inherits the mask of the one that makes it: signals are for the program's own threads. */
static int add_thread(struct loop_pool *pool)
{
    struct pool_thread *thread = &pool->threads[pool->n_threads];
    thread->pool = pool;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread->thread, NULL, run_thread, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pool->n_threads += error == 0;
    return -error;
}

/* ---- handing over ---- */

/* Says it once: a process at its limit would fill the log. */
static void log_failure(struct loop *loop, int error)
{
    if (!loop->pool->has_failed) {
        loop->pool->has_failed = true;
        loop_log(loop, LOOP_LOG_WARNING,
                 "no thread for what blocks could be made (%s): %s; see RLIMIT_NPROC and the pids limit",
                 strerror(-error), loop->pool->n_threads ? "there are fewer than asked for" : "it holds up the loop");
    }
}

/* Without a single thread the last resort is to do what blocks here: late is better than never. */
static void run_line_here(struct loop *loop)
{
    struct loop_list line, *node;
    loop_list_take_all(&line, &loop->pool->line);
    loop->pool->line_length = 0;
    while ((node = loop_list_pop_front(&line))) {
        struct job *job = LOOP_CONTAINER(node, struct job, link);
        loop_job_backend_complete(loop, job, run_job(&loop->pool->threads[0], job));
    }
}

/* True when there are fewer idle threads than jobs in line. */
static bool put_in_line(struct loop_pool *pool, struct job *job)
{
    pthread_mutex_lock(&pool->mutex);
    loop_list_push_back(&pool->line, &job->link);
    pool->line_length++;
    bool needs_thread = pool->line_length > pool->n_idle;
    pthread_mutex_unlock(&pool->mutex);
    return needs_thread;
}

void loop_pool_submit(struct loop *loop, struct job *job)
{
    int error = make_pool(loop);
    if (error) {
        loop_job_backend_complete(loop, job, error);
        return;
    }
    struct loop_pool *pool = loop->pool;
    job->where = LOOP_AT_POOL_LINE;
    if (put_in_line(pool, job) && pool->n_threads < pool->most_threads) {
        error = add_thread(pool);
    }
    if (error) {
        log_failure(loop, error);
    }
    if (pool->n_threads == 0) {
        run_line_here(loop);
    } else {
        pthread_cond_signal(&pool->is_wanted);
    }
}

static bool is_in_line(const struct loop_pool *pool, const struct job *job)
{
    for (const struct loop_list *node = pool->line.next; node != &pool->line; node = node->next) {
        if (node == &job->link) {
            return true;
        }
    }
    return false;
}

/* A thread that runs the job is told that it has been cancelled, if it cares to know. */
static void ask_to_end(struct loop_pool *pool, const struct job *job)
{
    for (unsigned i = 0; i < pool->most_threads; i++) {
        if (pool->threads[i].running == job) {
            atomic_store_explicit(&pool->threads[i].is_asked_to_end, true, memory_order_relaxed);
        }
    }
}

bool loop_pool_withdraw(struct loop *loop, struct job *job)
{
    struct loop_pool *pool = loop->pool;
    pthread_mutex_lock(&pool->mutex);
    bool is_withdrawn = is_in_line(pool, job);
    if (is_withdrawn) {
        loop_list_remove(&job->link);
        pool->line_length--;
    } else {
        ask_to_end(pool, job);
    }
    pthread_mutex_unlock(&pool->mutex);
    return is_withdrawn;
}

void loop_pool_recall(struct loop *loop, struct job *job)
{
    struct loop_pool *pool = loop->pool;
    pthread_mutex_lock(&pool->mutex);
    job->u.args.flags = true;
    pthread_mutex_unlock(&pool->mutex);
}

bool loop_work_is_cancelled(void)
{
    return this_thread && atomic_load_explicit(&this_thread->is_asked_to_end, memory_order_relaxed);
}

/* ---- results ---- */

bool loop_pool_has_results(const struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    return pool && (!loop_list_is_empty(&pool->collected) || atomic_load(&pool->has_done));
}

static void collect_done(struct loop_pool *pool)
{
    struct loop_list done, *node;
    pthread_mutex_lock(&pool->mutex);
    loop_list_take_all(&done, &pool->done);
    atomic_store(&pool->has_done, false);
    pthread_mutex_unlock(&pool->mutex);
    while ((node = loop_list_pop_front(&done))) {
        loop_list_push_back(&pool->collected, node);
    }
}

/* A splice whose pipe was no longer ready when its turn came waits for it again. */
static void hand_back(struct loop *loop, struct job *job)
{
    bool waits = job->op == LOOP_OP_SPLICE && job->result == -EAGAIN;
    if (waits && !job->is_cancelled) {
        loop_direct_start(loop, job);
    } else {
        loop_job_backend_done(loop, job, waits ? -ECANCELED : job->result);
    }
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
        hand_back(loop, LOOP_CONTAINER(node, struct job, link));
    }
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
    pthread_mutex_lock(&pool->mutex);
    assert(loop_list_is_empty(&pool->line) && loop_list_is_empty(&pool->done) && loop_list_is_empty(&pool->collected));
    pool->is_ending = true;
    pthread_cond_broadcast(&pool->is_wanted);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->n_threads; i++) {
        pthread_join(pool->threads[i].thread, NULL);
    }
    for (unsigned i = 0; i < pool->most_threads; i++) {
        free(pool->threads[i].buffer);
    }
    pthread_cond_destroy(&pool->is_wanted);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
    loop->pool = NULL;
}
