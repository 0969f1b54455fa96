/* SPDX-License-Identifier: ISC
 *
 * The pool's line: which job a thread takes next. All of it under the mutex.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/ground/list.h>
#include <loop/syscall/pool_state.h>

/* Writes of a file leave in the order of their calls, and what moves its position keeps its place. Other operations
 * don't know of each other. */
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

/* A running job that it has to stay behind. */
static bool is_behind(const struct loop_pool *pool, const struct loop_job *job)
{
    for (unsigned i = 0; i < pool->n_threads && is_ordered(job); i++) {
        const struct loop_job *running = pool->threads[i].running;
        if (running && is_ordered(running) && shares_descriptor(job, running)) {
            return true;
        }
    }
    return false;
}

/* What takes long leaves half of the threads to the rest, and has a line of its own: the first in it may go, or
 * none. */
bool loop_pool_takes_long(const struct loop_job *job)
{
    const struct loop_thread_kind *kind = job->kind->thread;
    return kind && kind->takes_long && kind->takes_long(job);
}

static struct loop_job *find_long(const struct loop_pool *pool)
{
    bool has_room = pool->n_running_long < (pool->most_threads + 1) / 2;
    struct loop_list *node = has_room ? loop_list_first(&pool->long_line) : NULL;
    return node ? LOOP_CONTAINER(node, struct loop_job, link) : NULL;
}

/* The first in line that may go. Among those that share a descriptor the first in line is the one that may. */
struct loop_job *loop_pool_find_next(const struct loop_pool *pool)
{
    if (pool->n_running >= pool->most_threads) {
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

/* At the end of its line. */
void loop_pool_push(struct loop_pool *pool, struct loop_job *job)
{
    loop_list_push_back(loop_pool_takes_long(job) ? &pool->long_line : &pool->line, &job->link);
    job->is_in_line = true;
    pool->line_length++;
}

void loop_pool_pull(struct loop_pool *pool, struct loop_job *job)
{
    assert(job->is_in_line);
    loop_list_remove(&job->link);
    job->is_in_line = false;
    pool->line_length--;
}
