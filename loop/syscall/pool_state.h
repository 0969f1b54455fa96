/* SPDX-License-Identifier: ISC
 *
 * What the parts of the pool know of each other: pool.c (threads, results), pool_line.c (which job is next),
 * pool_late.c (jobs that are asked to end, and threads that take their time for it).
 *
 * Who may touch what. A job that has been handed over has LOOP_AT_POOL_LINE until it is collected, whether it waits or
 * a thread has it: `where` is the loop's, and a thread never writes it. The link and the result of a job are under the
 * mutex. What a thread reads of work it has read under the mutex when it took it, since the job may go meanwhile.
 */
#ifndef LOOP_SYSCALL_POOL_STATE_H
#define LOOP_SYSCALL_POOL_STATE_H

#include <loop/core/job.h>
#include <loop/ground/list.h>

#include <stdatomic.h>

#define LOOP_POOL_MOST_OVERDUE 64u /* threads that others are made for */

struct loop_pool_thread {
    struct loop_pool *pool;
    pthread_t thread;
    void *buffer;                 /* the thread's own */
    struct loop_thread_call call; /* the thread's own: what it runs */
    atomic_bool is_asked_to_end;
    /* under the mutex */
    struct loop_job *running;
    struct loop_late *late; /* instead of `running`: of a job that was given up */
    int64_t asked_at_ns;    /* to end it; or 0 */
    bool is_overdue, is_long;
};

struct loop_pool {
    struct loop_inbox *inbox;         /* to wake the loop */
    struct loop_list collected;       /* the loop's: results taken over from `done`, whose turn comes next */
    struct loop_list collected_late;  /* the same of `came_back` */
    loop_job grace;                   /* the loop's: a timer, while threads have been asked to end */
    unsigned n_threads, most_threads; /* the loop's; the first also under the mutex. Without those overdue */
    bool has_failed;                  /* a thread couldn't be made: said once */
    atomic_bool has_done;             /* something is in `done` or `came_back` */
    pthread_mutex_t mutex;
    pthread_cond_t is_wanted; /* there is a job, or the end */
    /* under the mutex */
    struct loop_list line, done;
    struct loop_list long_line;   /* of work that takes long */
    struct loop_list came_back;   /* late */
    unsigned line_length, n_idle; /* jobs in both lines; threads */
    unsigned n_running, n_running_long, n_overdue;
    bool is_ending;
    struct loop_pool_thread threads[];
};

/* ---- pool_line.c: under the mutex ---- */

/* The first in line that may go, or NULL. */
struct loop_job *loop_pool_find_next(const struct loop_pool *pool);

/* Puts it at the end of its line, and takes it out. */
void loop_pool_push(struct loop_pool *pool, struct loop_job *job);
void loop_pool_pull(struct loop_pool *pool, struct loop_job *job);

/* Of those that work may take long, which have a line of their own. */
bool loop_pool_takes_long(const struct loop_job *job);

/* ---- pool_late.c ---- */

/* Under the mutex: the thread runs nothing that counts any more. */
static inline void loop_pool_stop_counting(struct loop_pool_thread *thread)
{
    struct loop_pool *pool = thread->pool;
    assert(pool->n_running > 0 && pool->n_running_long >= thread->is_long);
    pool->n_running--;
    pool->n_running_long -= thread->is_long;
}

/* ---- pool.c ---- */

/* Counts a job that the pool gets (1) or no longer has (-1) with the files whose position it may move. */
void loop_pool_count_moving(const struct loop_job *job, int more);

/* Makes a thread where one is needed, and wakes one. */
void loop_pool_serve(struct loop *loop);

#endif
