/* SPDX-License-Identifier: ISC
 *
 * shutdown(2) of a descriptor that jobs may wait for.
 */
#ifndef LOOP_SYSCALL_SHUT_DOWN_H
#define LOOP_SYSCALL_SHUT_DOWN_H

#include <loop/core/fd.h>

/* shutdown(2): 0 or -errno. What waits for bytes or room ends. */
int64_t loop_fd_shut_down(struct loop *loop, struct loop_fd *fd, int how);

#endif
