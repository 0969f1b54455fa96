/* SPDX-License-Identifier: ISC
 *
 * The state of the pool, shared by pool.c (jobs and results), pool_thread.c (the threads), pool_line.c (the next job),
 * pool_size.c (how many threads), pool_trial.c (fewer of them), pool_interrupt.c (signals to threads) and
 * pool_late.c (cancelled jobs, and threads that do not return in time).
 *
 * Rules for the threads. A job in the pool has LOOP_AT_POOL_LINE until it is collected, both in line and on a thread:
 * the loop's thread alone writes `where`. The link and the result of a job are under the mutex. A thread reads what it
 * needs of work under the mutex when it takes it, because the job may end while the work runs.
 */
#ifndef LOOP_SYSCALL_POOL_STATE_H
#define LOOP_SYSCALL_POOL_STATE_H

#include <loop/core/alarm.h>
#include <loop/core/job.h>
#include <loop/ground/list.h>

#include <stdatomic.h>

#define LOOP_POOL_MOST_OVERDUE 64u /* the most overdue threads that are replaced by others */

/* The state of a thread's place in the pool. */
enum loop_pool_place {
    LOOP_POOL_PLACE_FREE,
    LOOP_POOL_PLACE_USED,
    LOOP_POOL_PLACE_LEFT /* its thread has ended, or is about to, and has to be joined */
};

/* A thread of the pool. */
struct loop_pool_thread {
    struct loop_pool *pool;
    pthread_t thread;
    void *buffer;                 /* of this thread alone, for copies */
    struct loop_thread_call call; /* of this thread alone: the function that it runs */
    atomic_bool is_asked_to_end;
    atomic_bool has_signal; /* a signal was sent to it and is not delivered yet. See pool_interrupt.c */
    /* under the mutex */
    enum loop_pool_place place;
    struct loop_job *running;
    struct loop_late *late;        /* in place of `running`, when the job was given up */
    int64_t asked_at_ns;           /* when it was asked to end the job; or 0 */
    int64_t interrupt_at_ns;       /* when to send the next signal; or 0 */
    int64_t interrupt_interval_ns; /* between that signal and the one after it */
    bool knows;                    /* loop_work_is_cancelled has returned true. This thread alone writes it */
    bool is_overdue, is_long;
    bool has_released_two; /* with its last job: it runs only one of them */
};

/* What has happened in the pool since it looked last (pool_trial.c). */
struct loop_pool_past {
    int64_t ns; /* when it looked; of a past that has been taken: how long it was */
    uint64_t n_begun, n_calls;
    unsigned most_jobs; /* in line and running */
};

/* Whether fewer threads do as much (pool_trial.c). */
struct loop_pool_trial {
    struct loop_alarm look;
    int64_t interval_ns;
    unsigned size; /* on trial; or 0 */
    unsigned size_before;
    struct loop_pool_past before;
};

/* The pool of a loop. */
struct loop_pool {
    struct loop_inbox *inbox; /* to wake the loop */
    int interrupt_signal;     /* 0: none */
    unsigned least_threads, most_threads;
    unsigned n_processors;
    /* of the loop's thread alone */
    struct loop_list collected;      /* taken from `done`, to be resumed next */
    struct loop_list collected_late; /* taken from `came_back` */
    struct loop_alarm grace;         /* while threads have been asked to end their jobs */
    struct loop_alarm interrupts;    /* of pool_interrupt.c */
    struct loop_alarm creation;      /* while jobs wait and only overdue threads are left: pool_size.c */
    int64_t creation_since_ns, creation_interval_ns;
    struct loop_alarm growth, decline;      /* of pool_size.c; of pool_trial.c */
    int64_t interrupts_at_ns;               /* when `interrupts` is due */
    int64_t growth_interval_ns;             /* the time of `growth` */
    int64_t growth_began_ns, growth_cpu_ns; /* the clocks of time and of the process when it was started */
    struct loop_pool_trial trial;
    unsigned peak_threads;          /* the most threads at a time */
    uint64_t n_waits, n_interrupts; /* of the statistics */
    bool has_failed;                /* a failure to create a thread has been logged */
    bool is_gathering;              /* the loop has last slept without being woken for each result */
    unsigned n_skips, n_skipped;    /* how often it does not, after it has slept so without a result */
    /* shared */
    atomic_bool has_done; /* something is in `done` or `came_back` */
    pthread_mutex_t mutex;
    pthread_cond_t is_wanted; /* there is a job, or the pool ends */
    /* under the mutex */
    struct loop_list line, done;
    struct loop_list long_line; /* jobs that take long */
    struct loop_list came_back; /* given-up jobs whose threads have returned */
    unsigned line_length;       /* jobs in both lines */
    unsigned n_long_in_line;    /* those of them that take long */
    unsigned size;              /* the most threads that may run jobs now, without overdue ones */
    unsigned n_places;          /* those that have been used: the rest of `threads` is untouched */
    unsigned n_threads;         /* places with a thread that has not ended */
    unsigned n_idle, n_called;  /* threads that wait for a job; those of them that were signalled */
    unsigned n_running, n_running_long, n_overdue;
    unsigned most_running; /* the highest n_running since pool_trial.c looked last */
    struct loop_pool_past past;
    unsigned n_to_end;                         /* threads that end when they find no job */
    unsigned tells_at;                         /* results wake the loop when no more jobs than this are in line */
    int64_t longest_wait_ns, shortest_wait_ns; /* the latter since pool_size.c looked last */
    bool has_told;                             /* the loop has been woken since it last collected */
    bool is_ending;
    struct loop_pool_thread threads[];
};

/* ---- pool_line.c: under the mutex ---- */

/* Returns the first job in line that may run now, or NULL. */
struct loop_job *loop_pool_find_next(const struct loop_pool *pool);

/* Returns how many more threads would find a job: as many or more, where jobs have to run after each other. */
unsigned loop_pool_count_runnable(const struct loop_pool *pool);

/* Whether a thread is missing: more jobs may run than there are idle threads. */
bool loop_pool_needs_thread(const struct loop_pool *pool);

/* Puts a job at the end of its line. While it is there, its result is the time since which it waits for a thread, or 0
 * where a thread has been called for it, or LOOP_GOES_ON where it has run before. */
void loop_pool_push(struct loop_pool *pool, struct loop_job *job);

/* Takes a job out of its line. */
void loop_pool_pull(struct loop_pool *pool, struct loop_job *job);

/* Returns since when the job that waits longest waits for a thread; or LOOP_NEVER. */
int64_t loop_pool_waits_since(const struct loop_pool *pool);

/* Whether two jobs that are behind this one may run together as soon as it has ended: one for each descriptor. */
bool loop_pool_releases_two(const struct loop_job *job);

/* Whether the job may take long. Such jobs have a line of their own. */
bool loop_pool_takes_long(const struct loop_job *job);

/* ---- pool_interrupt.c ---- */

/* Notes that this thread runs the functions of `thread`. */
void loop_pool_interrupt_init(struct loop_pool_thread *thread);

/* Notes that this thread has got its signal. Async-signal-safe. */
void loop_pool_interrupted(void);

/* Asks the thread to end its job, and interrupts its system call where the program has agreed. On the loop's thread,
 * under the mutex. */
void loop_pool_interrupt(struct loop_pool_thread *thread, int64_t now_ns);

/* Sets the alarm that sends signals again, if there are threads to send them to. On the loop's thread. */
void loop_pool_interrupt_later(struct loop *loop);

/* Ends the interrupts of the thread's job: no signal that was sent for it reaches what the thread does next. On that
 * thread, under the mutex. */
void loop_pool_interrupt_end(struct loop_pool_thread *thread);

/* ---- pool_thread.c ---- */

/* Stops counting the thread as running a job. Under the mutex. */
static inline void loop_pool_stop_counting(struct loop_pool_thread *thread)
{
    struct loop_pool *pool = thread->pool;
    assert(pool->n_running > 0 && pool->n_running_long >= thread->is_long);
    pool->n_running--;
    pool->n_running_long -= thread->is_long;
}

/* Returns the function that runs the job. */
struct loop_thread_call loop_pool_call_for(struct loop_job *job);

/* Creates a thread. Logs the first failure. Returns whether it was created. */
bool loop_pool_add_thread(struct loop *loop);

/* Joins threads that have ended: those that end by themselves, or all of them. */
void loop_pool_join(struct loop_pool *pool, bool all);

/* ---- pool_size.c ---- */

/* Notes that a job waits for a thread while all are busy: the pool grows if that goes on. */
void loop_pool_size_watch(struct loop *loop);

/* Has the pool try again to create a thread, after that has failed, if only overdue threads are left. */
void loop_pool_create_later(struct loop *loop);

/* ---- pool_trial.c ---- */

/* Notes that there is one thread more: it ends again if it is not needed. */
void loop_pool_size_added(struct loop *loop);

/* Calls the threads that were idle because no more might run, and adds those that are needed beside them. Returns false
 * when one could not be created. */
bool loop_pool_add_threads(struct loop *loop);

/* Notes that the pool has grown: it looks whether it needs the threads later. */
void loop_pool_trial_watch(struct loop *loop);

/* ---- pool.c ---- */

/* Counts a job that the pool takes (1) or gives back (-1) in the descriptors whose position it may move. */
void loop_pool_count_moving(const struct loop_job *job, int more);

/* Creates a thread or wakes one, if a job may run. Without any thread it runs the jobs on the loop's thread. */
void loop_pool_serve(struct loop *loop);

/* Whether an idle thread has to be called, which is counted: each one that was called takes a job that may run. So the
 * caller has to signal it. Under the mutex. */
bool loop_pool_calls_thread(struct loop_pool *pool);

/* Calls idle threads for all jobs that may run and that none has been called for. */
void loop_pool_call_idle(struct loop_pool *pool);

#endif
