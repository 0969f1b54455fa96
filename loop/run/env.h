/* SPDX-License-Identifier: ISC
 *
 * What a program is given of the world outside; see env.c.
 */
#ifndef LOOP_RUN_ENV_H
#define LOOP_RUN_ENV_H

#include <loop/base.h>

struct loop_clock {
    const struct loop *loop;
};

struct loop_debug {
    struct loop *loop;
};

/* Puts something harmless in the place of those of the descriptors 0, 1 and 2 that are closed, before the loop opens
 * any, and takes it away again. Returns which, for the second call. */
unsigned loop_env_occupy_standard(void);
void loop_env_vacate_standard(unsigned occupied);

/* Fills in loop->env; main's scope is open. 0 or -ENOMEM. */
int loop_env_init(struct loop *loop);

#endif
