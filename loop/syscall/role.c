/* SPDX-License-Identifier: ISC
 *
 * What a socket is for: a listener has connections, any other socket has bytes. The kernel wakes nobody who waits for
 * what will never come, and the backends would find the mistake at different times. So it is looked for before a job
 * waits. What has been found out is kept in the descriptor, so that this is asked once.
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

/* One that is connected stays so until its end. */
static bool is_connected(struct loop_fd *fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    fd->may_listen = loop_kernel_getpeername(fd->number, (struct sockaddr *)&address, &len) != 0;
    return !fd->may_listen;
}

/* A byte that has come is left there. */
int64_t loop_role_ask_reading(struct loop_fd *fd)
{
    char byte;
    return is_connected(fd) ? 0 : error_of(loop_kernel_recv(fd->number, &byte, 1, MSG_PEEK | MSG_DONTWAIT));
}

/* Nothing is sent by what isn't connected. */
int64_t loop_role_ask_writing(struct loop_fd *fd)
{
    return is_connected(fd) ? 0 : error_of(loop_kernel_send(fd->number, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL));
}

int64_t loop_role_ask_accepting(struct loop_fd *fd)
{
    int answer = 0;
    socklen_t len = sizeof answer;
    if (loop_kernel_getsockopt(fd->number, SOL_SOCKET, SO_ACCEPTCONN, &answer, &len)) {
        return -EAGAIN; /* it isn't known; to ask accept4(2) could wait */
    }
    fd->is_listener = answer != 0;
    if (fd->is_listener) {
        return -EAGAIN;
    }
    int number = loop_kernel_accept4(fd->number, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return number < 0 ? -errno : number;
}
