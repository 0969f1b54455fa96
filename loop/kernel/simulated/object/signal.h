/* SPDX-License-Identifier: ISC
 *
 * The signals of a node, for the sources of object/.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_SIGNAL_H
#define LOOP_KERNEL_SIMULATED_OBJECT_SIGNAL_H

#include <loop/kernel/simulated/object/object.h>

enum { LOOP_SIM_MOST_SIGNAL = 64 };

/* What the fibers of a node share. In sets of bits, bit n - 1 is signal n. */
struct loop_sim_signals {
    struct loop_sim_node *node;
    struct sigaction actions[LOOP_SIM_MOST_SIGNAL + 1];
    uint64_t pending;                          /* for the node */
    unsigned queued[LOOP_SIM_MOST_SIGNAL + 1]; /* how often real-time signals are pending beyond once */
    struct loop_sim_queue arrived;             /* who waits in sigtimedwait(2) */
    struct loop_sim_queue descriptors;         /* those of signalfd(2) */
    struct loop_sim_event act;                 /* does what `fatal` does by default */
    int fatal;
};

/* Returns the signals of the running fiber, or NULL while an event happens. */
struct loop_sim_fiber_signals *loop_sim_signals_here(void);

/* Returns what is pending for a node, and for a fiber of it unless that is NULL. */
uint64_t loop_sim_signals_pending(const struct loop_sim_node *node, const struct loop_sim_fiber_signals *own);

/* Takes a pending signal of those that are wanted: the fiber's first, the lowest first. Returns its number, or 0. */
int loop_sim_signals_take(struct loop_sim_node *node, struct loop_sim_fiber_signals *own, uint64_t wanted,
                          siginfo_t *info);

#endif
