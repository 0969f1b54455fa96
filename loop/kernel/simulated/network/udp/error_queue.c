/* SPDX-License-Identifier: ISC
 *
 * Error queues. See error_queue.h.
 */
#include <loop/kernel/simulated/network/control.h>
#include <loop/kernel/simulated/network/udp/error_queue.h>

#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

/* Appends an error about a datagram to an address. Returns it, or NULL when the socket has not asked for errors of this
 * family. */
static struct loop_sim_message *put(struct loop_sim_socket *socket, const struct loop_sim_endpoint *about, int error)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&about->address);
    if (!socket->options[is_ipv4 ? LOOP_SIM_OPTION_IP_RECVERR : LOOP_SIM_OPTION_IPV6_RECVERR]) {
        return NULL;
    }
    struct loop_sim_message *message = loop_sim_message_create(0);
    message->from_length = loop_sim_endpoint_write(about, socket->family, &message->from);
    message->to = about->address;
    message->error = error;
    loop_list_push_back(&socket->errors, &message->link);
    return message;
}

bool loop_sim_error_queue_put(struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    return put(socket, &packet->from, packet->unreachable) != NULL;
}

bool loop_sim_error_queue_put_mtu(struct loop_sim_socket *socket, const struct loop_sim_endpoint *to,
                                  uint32_t mtu_bytes)
{
    struct loop_sim_message *message = put(socket, to, EMSGSIZE);
    if (message) {
        message->mtu_bytes = mtu_bytes;
    }
    return message != NULL;
}

/* The control message of an error: who has reported it follows the error. */
struct report {
    struct sock_extended_err error;
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    } offender;
};

static void give_report(const struct loop_sim_socket *socket, const struct loop_sim_message *message, struct msghdr *to)
{
    struct loop_sim_control control = {.message = to};
    const struct loop_sim_endpoint from = {.address = message->to};
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&message->to), is_port = message->error == ECONNREFUSED;
    struct report report = {.error = {.ee_errno = (uint32_t)message->error}};
    struct sockaddr_storage offender = {0};
    socklen_t length = loop_sim_endpoint_write(&from, socket->family, &offender);
    report.error.ee_origin = is_ipv4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
    report.error.ee_type = is_ipv4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;
    report.error.ee_code = is_ipv4 ? (is_port ? ICMP_PORT_UNREACH : ICMP_HOST_UNREACH)
                                   : (is_port ? ICMP6_DST_UNREACH_NOPORT : ICMP6_DST_UNREACH_ADDR);
    if (message->mtu_bytes) { /* no other host has reported it */
        report.error.ee_origin = SO_EE_ORIGIN_LOCAL;
        report.error.ee_type = report.error.ee_code = 0;
        report.error.ee_info = message->mtu_bytes;
        offender = (struct sockaddr_storage){0};
    }
    memcpy(&report.offender, &offender, length);
    loop_sim_control_put(&control, socket->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
                         socket->family == AF_INET ? IP_RECVERR : IPV6_RECVERR, &report, sizeof report.error + length);
    to->msg_controllen = control.used;
}

ssize_t loop_sim_error_queue_take(struct loop_sim_socket *socket, struct msghdr *to)
{
    struct loop_list *first = loop_list_first(&socket->errors);
    socklen_t room = to->msg_namelen;
    if (!first) {
        return -EAGAIN;
    }
    struct loop_sim_message *message = LOOP_CONTAINER(first, struct loop_sim_message, link);
    loop_sim_address_copy(&message->from, message->from_length, to->msg_name, &room);
    to->msg_namelen = message->from_length;
    to->msg_flags |= MSG_ERRQUEUE;
    give_report(socket, message, to);
    bool is_own = message->mtu_bytes > 0;
    loop_sim_message_destroy(message);
    first = loop_list_first(&socket->errors);
    const struct loop_sim_message *next = first ? LOOP_CONTAINER(first, struct loop_sim_message, link) : NULL;
    if (next && next->mtu_bytes == 0) {
        socket->error = next->error;
    } else if (!is_own) {
        socket->error = 0; /* that of the report: errors of the own host are told by the call */
    }
    return 0;
}
