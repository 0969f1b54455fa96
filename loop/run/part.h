/* SPDX-License-Identifier: ISC
 *
 * The end of what parts store in a loop. <loop/part.h> has the public functions.
 */
#ifndef LOOP_RUN_PART_H
#define LOOP_RUN_PART_H

#include <loop/base.h>

struct loop;

/* Frees the slots of loop_part_slot. */
void loop_parts_finish(struct loop *loop);

#endif
