/* SPDX-License-Identifier: ISC
 *
 * Warnings about what a program has not given back when its loop ends. A debug build logs them; other builds only free
 * what they can.
 */
#ifndef LOOP_RUN_LEAK_H
#define LOOP_RUN_LEAK_H

#include <loop/base.h>

/* Returns how many descriptor objects are left. All of them are pinned; the rest of each is freed. */
uint32_t loop_leaked_pins(const struct loop *loop);

/* Logs one warning for each kind of object that was not given back, and for chunks one for each place that took them.
 * Called at the end of the loop, while its log still works. */
void loop_leaks_name(struct loop *loop);

#endif
