/* SPDX-License-Identifier: ISC
 *
 * The role of a socket: connections arrive at a listener, bytes at other sockets. An operation of the other kind would
 * wait for ever, or fail at different times on different backends. So this is checked before a job waits. The
 * descriptor stores the answer, so that the kernel is asked once.
 */
#include <loop/core/fd.h>
#include <loop/kernel/socket.h>
#include <loop/syscall/role.h>

#include <errno.h>
#include <sys/socket.h>

static int64_t error_of(ssize_t n)
{
    return n < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
}

/* Whether the socket is connected. It then stays so until it is closed. */
static bool is_connected(struct loop_fd *fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    fd->may_listen = loop_kernel_getpeername(fd->number, (struct sockaddr *)&address, &len) != 0;
    return !fd->may_listen;
}

int64_t loop_role_ask_reading(struct loop_fd *fd)
{
    char byte;
    return is_connected(fd) ? 0 : error_of(loop_kernel_recv(fd->number, &byte, 1, MSG_PEEK | MSG_DONTWAIT));
}

int64_t loop_role_ask_writing(struct loop_fd *fd)
{
    return is_connected(fd) ? 0 : error_of(loop_kernel_send(fd->number, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL));
}

int64_t loop_role_ask_accepting(struct loop_fd *fd)
{
    int answer = 0;
    socklen_t len = sizeof answer;
    if (loop_kernel_getsockopt(fd->number, SOL_SOCKET, SO_ACCEPTCONN, &answer, &len)) {
        return -EAGAIN; /* unknown; accept4(2) could block */
    }
    fd->is_listener = answer != 0;
    if (fd->is_listener) {
        return -EAGAIN;
    }
    int number = loop_kernel_accept4(fd->number, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return number < 0 ? -errno : number;
}
