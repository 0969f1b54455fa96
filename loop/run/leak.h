/* SPDX-License-Identifier: ISC
 *
 * What a program has not given back when its loop ends. A debug build names it; another one only frees what it can.
 */
#ifndef LOOP_RUN_LEAK_H
#define LOOP_RUN_LEAK_H

#include <loop/base.h>

/* How many objects of descriptors are left, all of which are pinned. Nothing else is left of them. */
uint32_t loop_leaked_pins(const struct loop *loop);

/* Logs one warning for each kind of thing that has not been given back, and for chunks one for each place that took
 * them. At the loop's end, while its log still works. */
void loop_leaks_name(struct loop *loop);

#endif
