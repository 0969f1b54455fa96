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

bool loop_sim_error_queue_put(struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&packet->from.address);
    if (!socket->options[is_ipv4 ? LOOP_SIM_OPTION_IP_RECVERR : LOOP_SIM_OPTION_IPV6_RECVERR]) {
        return false;
    }
    struct loop_sim_message *message = loop_sim_message_create(0);
    message->from_length = loop_sim_endpoint_write(&packet->from, socket->family, &message->from);
    message->to = packet->from.address;
    message->error = packet->unreachable;
    loop_list_push_back(&socket->errors, &message->link);
    return true;
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
    loop_sim_message_destroy(message);
    first = loop_list_first(&socket->errors);
    socket->error = first ? LOOP_CONTAINER(first, struct loop_sim_message, link)->error : 0;
    return 0;
}
