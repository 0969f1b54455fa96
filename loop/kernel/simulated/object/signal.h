/* SPDX-License-Identifier: ISC
 *
 * The signals of a node, for the sources of object/.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_SIGNAL_H
#define LOOP_KERNEL_SIMULATED_OBJECT_SIGNAL_H

#include <loop/kernel/simulated/object/object.h>

#include <signal.h>

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

/* Begins and ends the signals of a node. */
void loop_sim_signals_start(struct loop_sim_node *node);
void loop_sim_signals_stop(struct loop_sim_node *node);

/* Calls the handlers of the signals that are pending for the running fiber, and does what the others do by default.
 * Returns whether a call that they have interrupted goes on: there was a handler, and all have SA_RESTART. */
bool loop_sim_signals_handle(void);

/* Another set of blocked signals for the time of a call: NULL changes nothing. A signal that it does not block and that
 * is pending interrupts the call before it begins. */
struct loop_sim_mask_change {
    uint64_t before;
    bool is_interrupted;
};
struct loop_sim_mask_change loop_sim_mask_begin(const sigset_t *mask);
void loop_sim_mask_end(const struct loop_sim_mask_change *change);

/* Returns a set of signals as bits, without SIGKILL and SIGSTOP: bit n - 1 is signal n. */
uint64_t loop_sim_signal_bits(const sigset_t *set);

#endif
