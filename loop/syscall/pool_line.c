/* SPDX-License-Identifier: ISC
 *
 * The line of the pool: which job a thread takes next. All functions are called under the mutex.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/ground/list.h>
#include <loop/syscall/pool_state.h>

/* Whether the job keeps its order among others on the same descriptor: writes of a file, and operations that move its
 * position. */
static bool is_ordered(const struct loop_job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    return row->op_class == LOOP_CLASS_SPLICE ||
           (row->op_class == LOOP_CLASS_MOVE && (row->is_output || job->u.args.move.offset == LOOP_CURRENT));
}

static bool shares_descriptor(const struct loop_job *job, const struct loop_job *other)
{
    const struct loop_fd *second = job->u.args.second, *others_second = other->u.args.second;
    return job->fd == other->fd || job->fd == others_second ||
           (second && (second == other->fd || second == others_second));
}

/* Whether the job has to wait for one that is running. */
static bool is_behind(const struct loop_pool *pool, const struct loop_job *job)
{
    for (unsigned i = 0; i < pool->n_places && is_ordered(job); i++) {
        const struct loop_job *running = pool->threads[i].running;
        if (running && is_ordered(running) && shares_descriptor(job, running)) {
            return true;
        }
    }
    return false;
}

bool loop_pool_releases_two(const struct loop_job *job)
{
    return loop_op_table[job->op].op_class == LOOP_CLASS_SPLICE;
}

bool loop_pool_takes_long(const struct loop_job *job)
{
    const struct loop_thread_kind *kind = job->kind->thread;
    return kind && kind->takes_long && kind->takes_long(job);
}

/* Returns how many more of the jobs that take long may run. They get at most half of the threads that there may be
 * now. */
static unsigned room_for_long(const struct loop_pool *pool)
{
    unsigned most = (pool->size + 1) / 2;
    return pool->n_running_long < most ? most - pool->n_running_long : 0;
}

/* Returns the first of the jobs that take long if it may run, or NULL. */
static struct loop_job *find_long(const struct loop_pool *pool)
{
    struct loop_list *node = room_for_long(pool) > 0 ? loop_list_first(&pool->long_line) : NULL;
    return node ? LOOP_CONTAINER(node, struct loop_job, link) : NULL;
}

/* Of several jobs in line that share a descriptor, the first is found first. */
struct loop_job *loop_pool_find_next(const struct loop_pool *pool)
{
    if (pool->n_running >= pool->size) {
        return NULL;
    }
    for (struct loop_list *node = pool->line.next; node != &pool->line; node = node->next) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (!is_behind(pool, job)) {
            return job;
        }
    }
    return find_long(pool);
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned most(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

unsigned loop_pool_count_runnable(const struct loop_pool *pool)
{
    unsigned room = pool->n_running < pool->size ? pool->size - pool->n_running : 0;
    unsigned n_short = pool->line_length - pool->n_long_in_line;
    return least(room, n_short + least(pool->n_long_in_line, room_for_long(pool)));
}

bool loop_pool_needs_thread(const struct loop_pool *pool)
{
    return loop_pool_count_runnable(pool) > pool->n_idle && pool->n_threads < pool->size + pool->n_overdue;
}

void loop_pool_push(struct loop_pool *pool, struct loop_job *job)
{
    bool is_long = loop_pool_takes_long(job);
    loop_list_push_back(is_long ? &pool->long_line : &pool->line, &job->link);
    job->is_in_line = true;
    job->result = 0;
    pool->line_length++;
    pool->n_long_in_line += is_long;
    pool->past.most_jobs = most(pool->past.most_jobs, pool->line_length + pool->n_running);
}

void loop_pool_pull(struct loop_pool *pool, struct loop_job *job)
{
    assert(job->is_in_line);
    loop_list_remove(&job->link);
    job->is_in_line = false;
    pool->line_length--;
    pool->n_long_in_line -= loop_pool_takes_long(job);
}

/* Returns since when the first job of the line that waits for a thread does so; or LOOP_NEVER. Those before it are
 * about to be taken, or go on. */
static int64_t first_waits_since(const struct loop_list *line)
{
    for (struct loop_list *node = line->next; node != line; node = node->next) {
        int64_t since_ns = LOOP_CONTAINER(node, struct loop_job, link)->result;
        if (since_ns > 0) {
            return since_ns;
        }
    }
    return LOOP_NEVER;
}

int64_t loop_pool_waits_since(const struct loop_pool *pool)
{
    int64_t since = first_waits_since(&pool->line), long_since = first_waits_since(&pool->long_line);
    return since < long_since ? since : long_since;
}

/* ---- calling ---- */

bool loop_pool_calls_thread(struct loop_pool *pool)
{
    unsigned n_runnable = loop_pool_count_runnable(pool);
    bool calls = pool->n_called < pool->n_idle && pool->n_called < n_runnable;
    pool->n_called += calls;
    pool->past.n_calls += calls;
    return calls;
}
