/* SPDX-License-Identifier: ISC
 *
 * What a fork(2) on the loop's thread means for the loop.
 */
#ifndef LOOP_RUN_CHILD_H
#define LOOP_RUN_CHILD_H

#include <loop/base.h>

/* Adds a loop to those of this thread, which a fork of the thread concerns. */
void loop_child_add(struct loop *loop);

/* Removes a loop that loop_child_add has added on this thread. */
void loop_child_remove(struct loop *loop);

/* Returns the newest loop of this thread, or NULL; loop->next_here is the one before. */
struct loop *loop_child_first(void);

/* Ends what loop_child_begin has begun, if the program has not called loop_child_end. */
void loop_child_finish(struct loop *loop);

#endif
