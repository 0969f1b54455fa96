/* SPDX-License-Identifier: ISC
 *
 * Errors of the network with the datagram that they are about. See error_queue.h.
 */
#include <loop/kernel/socket.h>
#include <net/datagram/error_queue.h>

#include <assert.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <string.h>

/* An entry of the queue. */
struct entry {
    struct loop_address destination, offender;
    struct sock_extended_err error;
};

static void read_offender(const struct cmsghdr *message, struct loop_address *offender)
{
    const char *from = (const char *)CMSG_DATA(message) + sizeof(struct sock_extended_err);
    sa_family_t family = AF_UNSPEC;
    size_t length = message->cmsg_len - CMSG_LEN(sizeof(struct sock_extended_err));

    offender->length = 0;
    if (length >= sizeof family) {
        memcpy(&family, from, sizeof family);
    }
    size_t needed = family == AF_INET ? sizeof offender->u.ipv4 : family == AF_INET6 ? sizeof offender->u.ipv6 : 0;
    if (needed > 0 && length >= needed) {
        memcpy(&offender->u, from, needed);
        offender->length = (socklen_t)needed;
    }
}

static void read_entry(struct msghdr *header, struct entry *entry)
{
    entry->destination.length = header->msg_namelen;
    entry->error = (struct sock_extended_err){0};
    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
        bool is_error = (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_RECVERR) ||
                        (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_RECVERR);
        if (is_error && at->cmsg_len >= CMSG_LEN(sizeof entry->error)) {
            memcpy(&entry->error, CMSG_DATA(at), sizeof entry->error);
            read_offender(at, &entry->offender);
        }
    }
}

/* Takes the first entry of the queue. Returns 0 or -errno. */
static int take_entry(int number, struct entry *entry)
{
    _Alignas(struct cmsghdr) char control[512]; /* what was asked for of each datagram comes with it too */
    struct iovec nothing = {0};
    struct msghdr header = {.msg_name = &entry->destination.u,
                            .msg_namelen = sizeof entry->destination.u,
                            .msg_iov = &nothing,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control};
    ssize_t n;

    do {
        n = loop_kernel_recvmsg(number, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    read_entry(&header, entry);
    return 0;
}

/* Counts an error of the network, and resumes the stream with it, if there is one. What this machine itself has refused
 * is the result of the datagram that it is about. */
static void report(struct loop_datagram_socket *socket, const struct entry *entry)
{
    static const struct loop_address nobody;
    bool is_network = entry->error.ee_origin == SO_EE_ORIGIN_ICMP || entry->error.ee_origin == SO_EE_ORIGIN_ICMP6;
    struct loop_datagram datagram = {.sender = &entry->offender,
                                     .receiver = &nobody,
                                     .destination = &entry->destination,
                                     .traffic_class = -1,
                                     .hop_limit = -1};

    if (!is_network || entry->error.ee_errno == 0) {
        return;
    }
    datagram.mtu_bytes = entry->error.ee_errno == EMSGSIZE ? entry->error.ee_info : 0;
    socket->stats.errors_told++;
    socket->stats.last_error = -(int)entry->error.ee_errno;
    if (socket->stream) {
        socket->fn(socket->arg, -(int64_t)entry->error.ee_errno, &datagram);
    }
}

static bool may_report(const struct loop_datagram_socket *socket)
{
    return socket->wants_errors && socket->stream && !socket->batch && socket->n_allowed > 0 && !socket->is_paused &&
           !socket->is_ending;
}

void loop_datagram_report_errors(struct loop_datagram_socket *socket)
{
    if (!may_report(socket)) {
        return;
    }
    int number = loop_fd_use(socket->fd);

    while (number >= 0 && may_report(socket)) {
        struct entry entry;
        socket->n_allowed--;
        if (take_entry(number, &entry) < 0) {
            socket->wants_errors = false;
        } else {
            report(socket, &entry);
        }
    }
    if (number >= 0) {
        loop_fd_unuse(socket->fd);
    }
}

void loop_datagram_count_errors(struct loop_datagram_socket *socket)
{
    int number = socket->wants_errors && !socket->stream ? loop_fd_use(socket->fd) : -1;
    struct entry entry;

    if (number < 0) {
        return;
    }
    for (unsigned n = 0; n < LOOP_DATAGRAM_ANSWERS && socket->wants_errors; n++) {
        if (take_entry(number, &entry) < 0) {
            socket->wants_errors = false;
        } else {
            report(socket, &entry);
        }
    }
    loop_fd_unuse(socket->fd);
}
