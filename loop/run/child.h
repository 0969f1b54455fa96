/* SPDX-License-Identifier: ISC
 *
 * What a fork(2) of the process means for the loop that runs in the forking thread.
 */
#ifndef LOOP_RUN_CHILD_H
#define LOOP_RUN_CHILD_H

#include <loop/base.h>

/* Makes `loop` the one that a fork of this thread concerns; NULL: none. Returns the one before. */
struct loop *loop_child_concerns(struct loop *loop);

/* Ends what loop_child_begin began, where the program has not. */
void loop_child_finish(struct loop *loop);

#endif
