/* SPDX-License-Identifier: ISC
 *
 * The door: sockets.
 */
#ifndef LOOP_KERNEL_SOCKET_H
#define LOOP_KERNEL_SOCKET_H

#include <loop/kernel/door.h>

#include <net/if.h>
#include <sys/socket.h>
#include <sys/types.h>

/* ---- making ---- */

/* A control message with a descriptor of the sender's process, from Linux 6.5 on: SO_PASSPIDFD in socket(7). */
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

LOOP_KERNEL_CALL(int, loop_kernel_socket, (int family, int type, int protocol), socket(family, type, protocol))
LOOP_KERNEL_CALL(int, loop_kernel_socketpair, (int family, int type, int protocol, int numbers[2]),
                 socketpair(family, type, protocol, numbers))
LOOP_KERNEL_CALL(int, loop_kernel_bind, (int number, const struct sockaddr *address, socklen_t length),
                 bind(number, address, length))
LOOP_KERNEL_CALL(int, loop_kernel_listen, (int number, int backlog), listen(number, backlog))
LOOP_KERNEL_CALL(int, loop_kernel_accept4, (int number, struct sockaddr *address, socklen_t *length, int flags),
                 accept4(number, address, length, flags))
LOOP_KERNEL_CALL(int, loop_kernel_connect, (int number, const struct sockaddr *address, socklen_t length),
                 connect(number, address, length))
LOOP_KERNEL_CALL(int, loop_kernel_shutdown, (int number, int how), shutdown(number, how))

/* ---- receiving and sending ---- */

LOOP_KERNEL_CALL(ssize_t, loop_kernel_recv, (int number, void *data, size_t len, int flags),
                 recv(number, data, len, flags))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_recvmsg, (int number, struct msghdr *message, int flags),
                 recvmsg(number, message, flags))
LOOP_KERNEL_CALL(int, loop_kernel_recvmmsg,
                 (int number, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout),
                 recvmmsg(number, messages, count, flags, timeout))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_send, (int number, const void *data, size_t len, int flags),
                 send(number, data, len, flags))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_sendmsg, (int number, const struct msghdr *message, int flags),
                 sendmsg(number, message, flags))
LOOP_KERNEL_CALL(int, loop_kernel_sendmmsg, (int number, struct mmsghdr *messages, unsigned count, int flags),
                 sendmmsg(number, messages, count, flags))

/* ---- options and names ---- */

LOOP_KERNEL_CALL(int, loop_kernel_getsockopt, (int number, int level, int option, void *value, socklen_t *length),
                 getsockopt(number, level, option, value, length))
LOOP_KERNEL_CALL(int, loop_kernel_setsockopt, (int number, int level, int option, const void *value, socklen_t length),
                 setsockopt(number, level, option, value, length))
LOOP_KERNEL_CALL(int, loop_kernel_getpeername, (int number, struct sockaddr *address, socklen_t *length),
                 getpeername(number, address, length))
LOOP_KERNEL_CALL(int, loop_kernel_getsockname, (int number, struct sockaddr *address, socklen_t *length),
                 getsockname(number, address, length))
LOOP_KERNEL_CALL_OR(0, unsigned, loop_kernel_if_nametoindex, (const char *name), if_nametoindex(name))
LOOP_KERNEL_CALL_POINTER(char *, loop_kernel_if_indextoname, (unsigned index, char *name), if_indextoname(index, name))

#endif
