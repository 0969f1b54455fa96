/* SPDX-License-Identifier: ISC
 *
 * The loops of a thread: which there are, which of them runs, and the signals that they block.
 */
#ifndef LOOP_RUN_THREAD_H
#define LOOP_RUN_THREAD_H

#include <loop/core/loop.h>

/* What this thread is inside of. */
enum loop_thread_runs {
    LOOP_THREAD_IDLE, /* no loop: a host's own function, or none */
    LOOP_THREAD_TURN, /* loop_open, a turn, or loop_close */
    LOOP_THREAD_RUN   /* loop_run */
};

/* That, and in which process: a forked child is inside of nothing. */
struct loop_thread_state {
    enum loop_thread_runs runs;
    pid_t process;
};

/* Returns what this thread is inside of, the outermost where that is loop_run. */
enum loop_thread_runs loop_thread_runs(void);

/* Notes that the thread is inside of `runs`. Returns the state for loop_thread_restore. */
struct loop_thread_state loop_thread_begin(enum loop_thread_runs runs, pid_t process);

/* Restores the state that loop_thread_begin has returned. */
void loop_thread_restore(struct loop_thread_state before);

/* Adds a new loop to those of this thread, and blocks SIGPIPE. */
void loop_thread_enter(struct loop *loop);

/* Removes a loop, which has dropped what is pending of its signals, and unblocks the signals that it has blocked and
 * that no other loop of this thread needs. */
void loop_thread_leave(struct loop *loop);

#endif
