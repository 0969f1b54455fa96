/* SPDX-License-Identifier: ISC
 *
 * What a socket is for: a listener has connections, any other socket has bytes.
 */
#ifndef LOOP_SYSCALL_ROLE_H
#define LOOP_SYSCALL_ROLE_H

#include <loop/core/fd.h>

#include <errno.h>

int64_t loop_role_ask_reading(struct loop_fd *fd);

int64_t loop_role_ask_writing(struct loop_fd *fd);

int64_t loop_role_ask_accepting(struct loop_fd *fd);

/* 0 where bytes may come; else what recv(2) says, which has none to wait for: of a listener, say. */
static inline int64_t loop_role_reading(struct loop_fd *fd)
{
    return fd->may_listen && fd->read_by == LOOP_IO_SOCKET ? loop_role_ask_reading(fd) : 0;
}

/* The same of send(2). */
static inline int64_t loop_role_writing(struct loop_fd *fd)
{
    return fd->may_listen ? loop_role_ask_writing(fd) : 0;
}

/* -EAGAIN where connections may come; else what accept4(2) says. */
static inline int64_t loop_role_accepting(struct loop_fd *fd)
{
    return fd->is_listener ? -EAGAIN : loop_role_ask_accepting(fd);
}

#endif
