/* SPDX-License-Identifier: ISC
 *
 * What else a process has: standard streams, signals.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_PROCESS_H
#define LOOP_KERNEL_SIMULATED_OBJECT_PROCESS_H

#include <loop/kernel/simulated/machine/machine.h>

#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

/* Appends bytes to what a node reads from standard input; its end comes after them. Copied. Before the node starts. */
void loop_sim_standard_input(struct loop_sim_node *node, const void *data, size_t len);

/* Returns what a node has written to standard output (1) or error (2). Owned by the node; kept until it is destroyed or
 * starts again. */
const char *loop_sim_standard_output(const struct loop_sim_node *node, int number, size_t *len);

/* Sets a limit of a node. RLIMIT_NOFILE and RLIMIT_FSIZE hold, the others are only stored. Returns 0 or -EINVAL. */
int loop_sim_limit_set(struct loop_sim_node *node, int resource, const struct rlimit *limit);
rlim_t loop_sim_limit(struct loop_sim_node *node, int resource); /* the soft one */

/* Sets the effective user and group of a node, which are 0 at first: the disk looks at them. */
void loop_sim_user_set(struct loop_sim_node *node, uid_t user, gid_t group);
uid_t loop_sim_user(const struct loop_sim_node *node);
gid_t loop_sim_group(const struct loop_sim_node *node);

/* Returns the process id of a node. */
pid_t loop_sim_process_id(const struct loop_sim_node *node);

/* Sends a signal to a node: it is pending for its signalfds, or interrupts the waits of its fibers when it is not
 * blocked and has a handler; a signal without handler that ends a process ends the node as a crash does. */
void loop_sim_signal_send(struct loop_sim_node *node, int signal);

/* Sends SIGPIPE for a write that has failed with EPIPE: to the running fiber, or to the node while an event happens. */
void loop_sim_signal_pipe(struct loop_sim_node *node);

/* timerfd_create(2) and timerfd_settime(2), which the library does not call. Timers of the wall clock are refused with
 * -ENOSYS. */
int loop_sim_timerfd_create(int clock, int flags);
int loop_sim_timerfd_set(int number, int flags, const struct itimerspec *value, struct itimerspec *before);

#endif
