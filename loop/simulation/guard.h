/* SPDX-License-Identifier: ISC
 *
 * Lets a run fail where the program aborts, instead of the process.
 */
#ifndef LOOP_SIMULATION_GUARD_H
#define LOOP_SIMULATION_GUARD_H

#include <loop/simulation/world.h>

#include <signal.h>

enum { LOOP_SIM_GUARD_SIGNALS = 5 };

/* What was before. */
struct loop_sim_guard {
    struct sigaction actions[LOOP_SIM_GUARD_SIGNALS];
    stack_t stack;
    void *own_stack; /* for handlers: a fiber whose stack is used up has no room for one */
};

/* Catches the signals by which a program aborts, until loop_sim_guard_end. */
void loop_sim_guard_begin(struct loop_sim_guard *guard);
void loop_sim_guard_end(struct loop_sim_guard *guard);

/* Calls fn(world). When the program aborts inside, the run fails; in a node the node ends as by a crash and fn goes on,
 * elsewhere fn is left. */
void loop_sim_guard_call(struct loop_world *world, void (*fn)(struct loop_world *world));

#endif
