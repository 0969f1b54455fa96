/* SPDX-License-Identifier: ISC
 *
 * The role of a socket: connections arrive at a listener, bytes at other sockets.
 */
#ifndef LOOP_SYSCALL_ROLE_H
#define LOOP_SYSCALL_ROLE_H

#include <loop/core/fd.h>

#include <errno.h>

/* loop_role_reading for a socket that is not known to be connected: asks the kernel, and takes no byte. */
int64_t loop_role_ask_reading(struct loop_fd *fd);

/* loop_role_writing for a socket that is not known to be connected: asks the kernel, and sends nothing. */
int64_t loop_role_ask_writing(struct loop_fd *fd);

/* loop_role_accepting for a descriptor that is not known to be a listener. */
int64_t loop_role_ask_accepting(struct loop_fd *fd);

/* Returns 0 if bytes may arrive at the descriptor. Otherwise returns the error of recv(2), for example on a
 * listener. */
static inline int64_t loop_role_reading(struct loop_fd *fd)
{
    return fd->may_listen && fd->read_by == LOOP_IO_SOCKET ? loop_role_ask_reading(fd) : 0;
}

/* Returns 0 if bytes can be sent to the descriptor. Otherwise returns the error of send(2). */
static inline int64_t loop_role_writing(struct loop_fd *fd)
{
    return fd->may_listen ? loop_role_ask_writing(fd) : 0;
}

/* Returns -EAGAIN if connections may arrive at the descriptor. Otherwise returns the error of accept4(2). */
static inline int64_t loop_role_accepting(struct loop_fd *fd)
{
    return fd->is_listener ? -EAGAIN : loop_role_ask_accepting(fd);
}

#endif
