/* SPDX-License-Identifier: ISC
 *
 * The environment of a program: struct loop_env and what is behind it.
 */
#ifndef LOOP_RUN_ENV_H
#define LOOP_RUN_ENV_H

#include <loop/base.h>

/* What loop_clock_wall is given. */
struct loop_clock {
    const struct loop *loop;
};

/* What loop_trace and loop_dump are given. */
struct loop_debug {
    struct loop *loop;
};

/* Opens a placeholder for each of the descriptors 0, 1 and 2 that is closed, before the loop opens any descriptor.
 * Returns which, as bits, for loop_env_vacate_standard. */
unsigned loop_env_occupy_standard(void);
/* Closes the placeholders that loop_env_occupy_standard has opened. */
void loop_env_vacate_standard(unsigned occupied);

/* Fills in loop->env. Main's scope is open. Returns 0 or -ENOMEM. */
int loop_env_init(struct loop *loop);

#endif
