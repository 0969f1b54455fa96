/* SPDX-License-Identifier: ISC
 *
 * Mistakes in calls of <loop/simulation.h>: NULL in place of an object, and what a comment there forbids.
 */
#ifndef LOOP_SIMULATION_MISUSE_H
#define LOOP_SIMULATION_MISUSE_H

/* Aborts for a mistake in a call. In a run, which the abort fails, guard.c makes a line of this the reason. Outside of
 * one, the line is printed on standard error. */
_Noreturn void loop_sim_misuse(const char *function, const char *what, const char *cure);

/* Aborts unless the pointer to `name`, an object or an argument, is set. */
void loop_sim_need(const void *pointer, const char *name, const char *function);
#define LOOP_SIM_NEED(pointer, name) loop_sim_need((pointer), (name), __func__)

/* Returns the line of the mistake for which the run is being left, and forgets it; NULL: it is left for something else.
 * Valid until the next mistake. */
const char *loop_sim_misuse_take(void);

#endif
