/* SPDX-License-Identifier: ISC
 *
 * The table of descriptor objects by number.
 */
#ifndef LOOP_CORE_NUMBER_H
#define LOOP_CORE_NUMBER_H

#include <loop/core/fd.h>

/* Returns a value that identifies the file that `number` names: different values mean different files. Returns 0 for a
 * number that is not open. */
uint64_t loop_number_identity(int number);

/* Adds an object. Borrowed objects with the same number and another file lose it. Returns false without memory. */
bool loop_number_enter(struct loop *loop, struct loop_fd *fd);

/* Removes an object from the table. */
void loop_number_leave(struct loop_fd *fd);

/* Returns the newest object with that number, or NULL. */
struct loop_fd *loop_number_first(const struct loop *loop, int number);

/* Returns the object with the same number that is older than `fd`, or NULL. */
struct loop_fd *loop_number_next(const struct loop *loop, const struct loop_fd *fd);

/* Returns whether other objects have the number of `fd` too. */
static inline bool loop_number_is_shared(const struct loop *loop, const struct loop_fd *fd)
{
    return fd->number >= 0 && (loop_number_next(loop, fd) || loop->numbers.at[fd->number] != loop_index_of(fd));
}

/* Takes the number from a borrowed object, because the number was closed and now names another file. Every call on it
 * then gets EBADF. Logs a warning. */
void loop_number_lose(struct loop *loop, struct loop_fd *fd);

/* Calls `fn` for every object that the backend has not released. `fn` may release the object. */
void loop_number_each(struct loop *loop, void (*fn)(struct loop *loop, struct loop_fd *fd));

/* Frees the table. */
void loop_numbers_finish(struct loop *loop);

#endif
