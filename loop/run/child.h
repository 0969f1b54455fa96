/* SPDX-License-Identifier: ISC
 *
 * What a fork(2) on the loop's thread means for the loop.
 */
#ifndef LOOP_RUN_CHILD_H
#define LOOP_RUN_CHILD_H

#include <loop/base.h>

/* Sets the loop that a fork of this thread concerns; NULL: none. Returns the previous one. */
struct loop *loop_child_concerns(struct loop *loop);

/* Ends what loop_child_begin has begun, if the program has not called loop_child_end. */
void loop_child_finish(struct loop *loop);

#endif
