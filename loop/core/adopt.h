/* SPDX-License-Identifier: ISC
 *
 * Asks the kernel what kind of descriptor a number is.
 */
#ifndef LOOP_CORE_ADOPT_H
#define LOOP_CORE_ADOPT_H

#include <loop/base.h>

/* Returns whether the kernel can report readiness of a descriptor: 1, 0, or -errno. epoll refuses descriptors that it
 * cannot (EPERM, epoll_ctl(2)), and no other call answers the question. Both backends ask this way, so that a device
 * behaves the same on both. It uses loop->probe and creates no descriptor. */
int loop_can_poll(const struct loop *loop, int number);

/* Makes an object of a duplicate of `number`, which it closes. Changes no flags of the open file, which is shared with
 * `number`. Returns 0, or -errno: -EBADF when `number` is not open, -EMFILE, -ENFILE, or -ENOMEM. */
int loop_fd_adopt_duplicate(struct loop_scope *scope, int number, struct loop_fd **fd);

#endif
