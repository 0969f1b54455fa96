/* SPDX-License-Identifier: ISC
 *
 * A child: its object, its end, and who waits for it.
 */
#ifndef PROCESS_OBJECT_H
#define PROCESS_OBJECT_H

#include <loop/part.h>
#include <process/process.h>

/* This process's end of one of the child's descriptors. */
struct loop_process_end {
    int number;
    struct loop_fd *fd; /* pinned */
};

/* In the memory of its scope. */
struct loop_process {
    struct loop_scope *scope;
    struct loop *loop;
    pid_t pid; /* 0: not started */
    bool has_group, is_stopping, has_ended;
    int64_t grace_ns;      /* when its scope ends */
    int64_t kill_at_ns;    /* LOOP_NEVER: no SIGKILL is due */
    int64_t status;        /* has_ended: what loop_process_wait returns */
    struct loop_fd *pidfd; /* in the loop's own scope, as the jobs that use it; NULL once closed */
    loop_job keeper;       /* holds the scope, as a daemon, until the child has been reaped; 0 after that */
    loop_job killer;       /* waits for kill_at_ns; or 0 */
    struct loop_waiters waiters;
    struct loop_process_end *terminal; /* one of the ends; or NULL */
    size_t n_ends, most_ends;          /* none are left once the hooks of the scope run */
    struct loop_process_end ends[];
};

/* Creates the object for a program that is being started, with room for so many ends, and what binds it to its scope.
 * Returns NULL when there is no memory or the scope has ended. */
struct loop_process *loop_process_create(struct loop_scope *scope, size_t most_ends);

/* Adopts an end. Returns 0, or -ENOMEM; the number is closed then. */
int loop_process_add_end(struct loop_process *child, int number, int ours);

/* Takes over the process and its pidfd, and stops it when its start was cancelled. Returns 0; or -ENOMEM after the
 * process has been killed and reaped. */
int loop_process_begin(struct loop_process *child, pid_t pid, int pidfd, bool is_cancelled);

/* Gives up a child whose start has failed: kills the process if it has one, closes its ends, and lets go of the scope
 * when nothing of it is left. */
void loop_process_give_up(struct loop_process *child);

#endif
