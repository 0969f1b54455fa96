/* SPDX-License-Identifier: ISC
 *
 * The end of the working memory whose functions are in <loop/part.h>.
 */
#ifndef LOOP_CORE_SCRATCH_H
#define LOOP_CORE_SCRATCH_H

#include <loop/base.h>

struct loop;

/* Frees the block that the loop keeps for the next caller. */
void loop_scratch_finish(struct loop *loop);

#endif
