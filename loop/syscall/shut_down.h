/* SPDX-License-Identifier: ISC
 *
 * shutdown(2) of a descriptor that jobs may wait for.
 */
#ifndef LOOP_SYSCALL_SHUT_DOWN_H
#define LOOP_SYSCALL_SHUT_DOWN_H

#include <loop/core/fd.h>

/* Calls shutdown(2) and ends the jobs that wait for bytes or room which will not come. Returns 0 or -errno. */
int64_t loop_fd_shut_down(struct loop *loop, struct loop_fd *fd, int how);

#endif
