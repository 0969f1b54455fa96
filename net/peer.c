/* SPDX-License-Identifier: ISC
 *
 * Who is at the other end of a Unix socket.
 */
#include <loop/kernel/socket.h>
#include <loop/part.h>
#include <net/net.h>

#include <errno.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* Reads an option of a Unix socket. Returns 0 or -errno. For sockets of other families the kernel would answer, too. */
static int read_option(struct loop_flow *flow, int option, void *value, socklen_t length)
{
    int number = flow->fd ? loop_fd_use(flow->fd) : -EBADF;
    int family = AF_UNSPEC;
    socklen_t family_length = sizeof family;

    if (number < 0) {
        return number;
    }
    int error = 0;
    bool is_known = loop_kernel_getsockopt(number, SOL_SOCKET, SO_DOMAIN, &family, &family_length) == 0;
    if (is_known && family != AF_UNIX) {
        error = -EOPNOTSUPP;
    } else if (!is_known || loop_kernel_getsockopt(number, SOL_SOCKET, option, value, &length) < 0) {
        error = -errno;
    }
    loop_fd_unuse(flow->fd);
    return error;
}

int loop_flow_peer_credentials(struct loop_flow *flow, struct loop_credentials *credentials)
{
    struct ucred found = {0};

    if (!loop_check_flow(flow, __func__) || !loop_check_pointer(credentials, "credentials", __func__)) {
        return -EINVAL;
    }
    int error = read_option(flow, SO_PEERCRED, &found, sizeof found);
    if (error == 0 && found.pid == 0 && found.uid == (uid_t)-1) {
        error = -ENOTCONN;
    }
    if (error == 0) {
        *credentials = (struct loop_credentials){.pid = found.pid, .uid = found.uid, .gid = found.gid};
    }
    return error;
}

int loop_flow_peer_process(struct loop_scope *scope, struct loop_flow *flow, struct loop_fd **process)
{
    int number = -1;

    if (!loop_check_pointer(process, "process", __func__)) {
        return -EINVAL;
    }
    *process = NULL;
    if (!loop_check_scope(scope, __func__) || !loop_check_flow(flow, __func__)) {
        return -EINVAL;
    }
    if (loop_scope_is_cancelled(scope)) {
        return -ECANCELED;
    }
    int error = read_option(flow, SO_PEERPIDFD, &number, sizeof number);
    if (error == 0) {
        *process = loop_fd_adopt(scope, number);
        error = *process ? 0 : -ENOMEM;
    }
    return error == -EINVAL ? -ESRCH : error; /* before Linux 6.16, of a process that has been waited for */
}
