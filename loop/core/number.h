/* SPDX-License-Identifier: ISC
 *
 * Which objects have which number.
 */
#ifndef LOOP_CORE_NUMBER_H
#define LOOP_CORE_NUMBER_H

#include <loop/core/fd.h>

/* A value for the file that `number` names: two numbers with different values name different files. 0 where there is
 * none. */
uint64_t loop_number_identity(int number);

/* Enters an object. Borrowed ones with the same number, and another file, lose theirs. False when there is no
 * memory. */
bool loop_number_enter(struct loop *loop, struct loop_fd *fd);

void loop_number_leave(struct loop_fd *fd);

/* The objects with that number, by in_number: the newest, or NULL. */
struct loop_hnode *loop_number_first(const struct loop *loop, int number);

/* The number of a borrowed object has been closed, and names something else now: every call on it gets EBADF. */
void loop_number_lose(struct loop *loop, struct loop_fd *fd);

/* Calls `fn` for every object that the backend has not let go of. It may let go of the object. */
void loop_number_each(struct loop *loop, void (*fn)(struct loop *loop, struct loop_fd *fd));

void loop_numbers_finish(struct loop *loop);

#endif
