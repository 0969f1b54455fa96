/* SPDX-License-Identifier: ISC
 *
 * What the kernel says of a descriptor that is to be one of the loop's.
 */
#ifndef LOOP_CORE_ADOPT_H
#define LOOP_CORE_ADOPT_H

#include <loop/base.h>

/* Whether the kernel can tell when there is something to read or write: epoll refuses what it can't (epoll_ctl(2),
 * EPERM), and nothing else asks the question. 1, 0, or -errno. The same on both backends, so that a device is the same
 * thing on both; it takes no descriptor. */
int loop_can_poll(const struct loop *loop, int number);

#endif
