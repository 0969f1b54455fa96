/* SPDX-License-Identifier: ISC
 *
 * UDP sockets.
 */
#include <loop/kernel/simulated/network/control.h>
#include <loop/kernel/simulated/network/udp/datagram.h>
#include <loop/kernel/simulated/network/udp/error_queue.h>
#include <loop/kernel/simulated/network/udp/group.h>
#include <loop/kernel/simulated/network/host.h>
#include <loop/kernel/simulated/network/transport.h>

#include <netinet/udp.h>
#include <string.h>

enum { MOST_IPV4_BYTES = 65507, MOST_IPV6_BYTES = 65527 };
enum { IPV4_HEAD = 28, IPV6_HEAD = 48, MOST_SEGMENTS = 128 };

static void wake_for_error(struct loop_sim_socket *socket, int error)
{
    socket->error = error;
    loop_sim_socket_changed(socket, EPOLLERR);
}

/* ---- connecting ---- */

static void dissolve(struct loop_sim_socket *socket)
{
    loop_sim_host_unmatch(socket);
    socket->is_matched = false;
    socket->remote = (struct loop_sim_endpoint){0};
    socket->halves = 0;
    if (socket->is_port_chosen) {
        loop_sim_host_unbind(socket);
    } else if (!socket->is_address_bound) {
        bool is_ipv4 = socket->family == AF_INET;
        socket->local.address = (struct in6_addr){.s6_addr = {[10] = is_ipv4 ? 0xff : 0, is_ipv4 ? 0xff : 0}};
    }
}

/* Checks a destination, and finds the source address and, for a group, the interface. Returns 0 or a negative errno. */
static int route(struct loop_sim_socket *socket, struct loop_sim_endpoint *remote, struct in6_addr *source,
                 int *interface)
{
    *interface = 0;
    if (IN6_IS_ADDR_V4MAPPED(&remote->address) && socket->options[LOOP_SIM_OPTION_IPV6_V6ONLY]) {
        return -ENETUNREACH;
    }
    if (loop_sim_address_is_broadcast(&remote->address)) {
        return socket->options[LOOP_SIM_OPTION_BROADCAST] ? -ENETUNREACH : -EACCES;
    }
    if (loop_sim_address_is_multicast(&remote->address)) {
        *interface = loop_sim_group_route(socket, &remote->address, source);
        return *interface < 0 ? *interface : 0;
    }
    int error = loop_sim_host_source(socket->file.node, &remote->address, source);
    if (!error && loop_sim_address_is_any(&remote->address)) {
        remote->address = *source;
    }
    if (!error && !loop_sim_address_is_any(&socket->local.address)) {
        *source = socket->local.address;
    }
    return error;
}

/* Binds a socket that sends without a name to a free port. */
static int bind_any(struct loop_sim_socket *socket)
{
    if (socket->is_bound) {
        return 0;
    }
    return loop_sim_host_bind(socket, &socket->local) ? -EAGAIN : 0;
}

/* Returns the family to read a peer's address by: an IPv6 socket reaches IPv4 addresses too, unless it is told or bound
 * not to. */
static int family_of(const struct loop_sim_socket *socket, const struct sockaddr *address)
{
    bool is_ipv6_only = socket->options[LOOP_SIM_OPTION_IPV6_V6ONLY] ||
                        (socket->is_address_bound && !IN6_IS_ADDR_V4MAPPED(&socket->local.address));
    if (socket->family != AF_INET6 || address->sa_family != AF_INET) {
        return socket->family;
    }
    return is_ipv6_only ? -EAFNOSUPPORT : AF_INET;
}

static int udp_connect(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length)
{
    struct loop_sim_endpoint remote;
    struct in6_addr source;
    int interface;
    if (length < sizeof address->sa_family) {
        return -EINVAL;
    }
    if (address->sa_family == AF_UNSPEC) {
        dissolve(socket);
        return 0;
    }
    int error = bind_any(socket);
    int family = family_of(socket, address);
    error = error ? error : family < 0 ? family : loop_sim_endpoint_read(&remote, family, address, length);
    error = error ? error : route(socket, &remote, &source, &interface);
    if (error) {
        return error;
    }
    socket->local.address = source;
    socket->remote = remote;
    socket->is_matched = true;
    loop_sim_host_match(socket);
    return 0;
}

/* ---- sending ---- */

/* Finds where a datagram goes. Returns 0 or a negative errno. */
static int destination(struct loop_sim_socket *socket, const struct msghdr *message, struct loop_sim_endpoint *remote)
{
    const struct sockaddr *name = message->msg_name;
    if (!name || message->msg_namelen == 0) {
        *remote = socket->remote;
        return socket->is_matched ? 0 : -EDESTADDRREQ;
    }
    if (message->msg_namelen < sizeof name->sa_family) {
        return -EINVAL;
    }
    int family = family_of(socket, name);
    if (family < 0) {
        return -ENETUNREACH;
    }
    int error = loop_sim_endpoint_read(remote, family, name, message->msg_namelen);
    return error ? error : remote->port == 0 ? -EINVAL : 0;
}

/* From where a datagram goes to where. */
struct way {
    struct loop_sim_endpoint from, to;
    int interface;  /* to a group; otherwise 0 */
    uint64_t train; /* the send that it is a part of; 0: none */
};

/* Whether a datagram of this length is one packet, without fragments. */
static bool fits(const struct loop_sim_socket *socket, const struct way *way, size_t len)
{
    size_t head = IN6_IS_ADDR_V4MAPPED(&way->to.address) ? IPV4_HEAD : IPV6_HEAD;
    return len + head <= loop_sim_host_mtu(socket->file.node, &way->to.address, way->interface);
}

/* Whether what a socket sends must not be fragmented. */
static bool forbids_fragments(const struct loop_sim_socket *socket, const struct way *way)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&way->to.address);
    int discover = socket->options[is_ipv4 ? LOOP_SIM_OPTION_IP_MTU_DISCOVER : LOOP_SIM_OPTION_IPV6_MTU_DISCOVER];
    return discover == IP_PMTUDISC_DO || discover == IP_PMTUDISC_PROBE;
}

/* Returns -EMSGSIZE, of which the error queue tells more. */
static int refuse_long(struct loop_sim_socket *socket, const struct way *way)
{
    size_t mtu = loop_sim_host_mtu(socket->file.node, &way->to.address, way->interface);
    if (loop_sim_error_queue_put_mtu(socket, &way->to, (uint32_t)mtu)) {
        loop_sim_socket_changed(socket, EPOLLERR);
    }
    return -EMSGSIZE;
}

/* Returns the hop limit that a socket gives to what it sends. */
static unsigned char hop_limit_of(const struct loop_sim_socket *socket, bool is_to_group)
{
    bool is_ipv4 = socket->family == AF_INET;
    if (is_to_group) {
        int hops = socket->options[is_ipv4 ? LOOP_SIM_OPTION_IP_MULTICAST_TTL : LOOP_SIM_OPTION_IPV6_MULTICAST_HOPS];
        return (unsigned char)(hops < 0 ? 1 : hops);
    }
    return (unsigned char)socket->options[is_ipv4 ? LOOP_SIM_OPTION_IP_TTL : LOOP_SIM_OPTION_IPV6_UNICAST_HOPS];
}

/* Sends one datagram: `len` bytes from `skip` on. */
static void send_one(struct loop_sim_socket *socket, const struct msghdr *message, size_t skip, size_t len,
                     const struct way *way, const struct loop_sim_ancillary *ancillary)
{
    struct loop_sim_packet *packet =
        loop_sim_packet_create_from(socket->file.node, socket->protocol, &way->from, &way->to, len);
    bool is_ipv4 = socket->family == AF_INET;
    int own = socket->options[is_ipv4 ? LOOP_SIM_OPTION_IP_TOS : LOOP_SIM_OPTION_IPV6_TCLASS];
    (void)loop_sim_vectors_take(message->msg_iov, message->msg_iovlen, skip, packet->data, len);
    packet->traffic_class = (unsigned char)(ancillary->traffic_class >= 0 ? ancillary->traffic_class : own);
    packet->hop_limit =
        ancillary->hop_limit > 0 ? (unsigned char)ancillary->hop_limit : hop_limit_of(socket, way->interface != 0);
    packet->train = (struct loop_sim_train){way->train, way->train ? ancillary->segment_bytes : 0};
    packet->interface = way->interface;
    packet->comes_back =
        socket->options[is_ipv4 ? LOOP_SIM_OPTION_IP_MULTICAST_LOOP : LOOP_SIM_OPTION_IPV6_MULTICAST_LOOP];
    loop_sim_transmit(packet, NULL);
}

/* Sends a message, in segments where it is to be split. Returns its length or a negative errno. */
static ssize_t send_all(struct loop_sim_socket *socket, const struct msghdr *message, struct way *way,
                        const struct loop_sim_ancillary *ancillary)
{
    size_t len = loop_sim_vectors_length(message->msg_iov, message->msg_iovlen);
    size_t segment = ancillary->segment_bytes, sent = 0;
    bool is_split = segment > 0 && len > segment;
    if (len > (IN6_IS_ADDR_V4MAPPED(&way->to.address) ? MOST_IPV4_BYTES : MOST_IPV6_BYTES)) {
        return -EMSGSIZE;
    }
    if (is_split && len > segment * MOST_SEGMENTS) {
        return -EINVAL;
    }
    if (is_split && !fits(socket, way, segment)) {
        return -EMSGSIZE; /* -EINVAL on older kernels */
    }
    if (!is_split && !fits(socket, way, len) && forbids_fragments(socket, way)) {
        return refuse_long(socket, way);
    }
    way->train = is_split ? ++loop_sim_network_of(socket->file.node->world)->train : 0;
    do {
        size_t piece = is_split && segment < len - sent ? segment : len - sent;
        send_one(socket, message, sent, piece, way, ancillary);
        sent += piece;
    } while (sent < len);
    return (ssize_t)len;
}

static ssize_t send_to(struct loop_sim_socket *socket, const struct msghdr *message,
                       const struct loop_sim_endpoint *remote, const struct loop_sim_ancillary *ancillary)
{
    struct way way = {.from = socket->local, .to = *remote};
    int error = route(socket, &way.to, &way.from.address, &way.interface);
    if (error) {
        return error;
    }
    if (ancillary->has_source) {
        if (!loop_sim_host_has(socket->file.node, &ancillary->source)) {
            return IN6_IS_ADDR_V4MAPPED(&ancillary->source) ? -ENETUNREACH : -EADDRNOTAVAIL;
        }
        way.from.address = ancillary->source;
    }
    return send_all(socket, message, &way, ancillary);
}

static ssize_t udp_send(struct loop_sim_socket *socket, const struct msghdr *message, int flags)
{
    struct loop_sim_ancillary ancillary;
    struct loop_sim_endpoint remote;
    if (flags & MSG_OOB) {
        return -EOPNOTSUPP;
    }
    if (loop_sim_vectors_length(message->msg_iov, message->msg_iovlen) > UINT16_MAX) {
        return -EMSGSIZE;
    }
    int error = bind_any(socket);
    error = error ? error : destination(socket, message, &remote);
    error = error ? error : loop_sim_control_read(socket, message, &ancillary);
    if (error) {
        return error;
    }
    if (socket->error || socket->halves & LOOP_SIM_SHUT_SEND) {
        error = loop_sim_socket_take_error(socket);
        return error ? error : loop_sim_socket_broken_pipe(socket, flags);
    }
    return send_to(socket, message, &remote, &ancillary);
}

/* ---- receiving ---- */

/* Tells the sender that nothing is bound to the port. */
static void report_unreachable(struct loop_sim_host *host, const struct loop_sim_packet *packet)
{
    struct loop_sim_packet *answer =
        loop_sim_packet_create_from(host->node, packet->protocol, &packet->to, &packet->from, 0);
    answer->unreachable = ECONNREFUSED;
    loop_sim_transmit(answer, NULL);
}

/* Returns the message that a segment of a train continues, or NULL: the last one of the queue, where the socket takes
 * trains whole, it is of the same send and all its segments are full. */
static struct loop_sim_message *train_of(const struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    if (!socket->options[LOOP_SIM_OPTION_UDP_GRO] || !packet->train.serial || loop_list_is_empty(&socket->messages)) {
        return NULL;
    }
    struct loop_sim_message *last = LOOP_CONTAINER(socket->messages.prev, struct loop_sim_message, link);
    return last->train.serial == packet->train.serial && last->size % packet->train.segment_bytes == 0 ? last : NULL;
}

/* Appends a segment to a train that waits in the queue. */
static void join(struct loop_sim_socket *socket, struct loop_sim_message *train, const struct loop_sim_packet *packet)
{
    size_t before = train->charge_bytes, charge = loop_sim_message_charge(train->size + packet->size);
    if (socket->messages_bytes - before + charge > (size_t)socket->options[LOOP_SIM_OPTION_RCVBUF]) {
        loop_sim_packet_trace("overflow", packet, false);
        return;
    }
    train = loop_sim_message_append(train, packet->data, packet->size);
    socket->messages_bytes += train->charge_bytes - before;
}

static void store(struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    struct loop_sim_message *train = train_of(socket, packet);
    if (train) {
        join(socket, train, packet);
        return;
    }
    size_t charge = loop_sim_message_charge(packet->size);
    if (socket->messages_bytes + charge > (size_t)socket->options[LOOP_SIM_OPTION_RCVBUF]) {
        loop_sim_packet_trace("overflow", packet, false);
        return;
    }
    struct loop_sim_message *message = loop_sim_message_create(packet->size);
    if (packet->size > 0) {
        memcpy(message->data, packet->data, packet->size);
    }
    message->from_length = loop_sim_endpoint_write(&packet->from, socket->family, &message->from);
    message->to = packet->to.address;
    message->interface = packet->interface;
    message->traffic_class = packet->traffic_class;
    message->hop_limit = packet->hop_limit;
    message->train = packet->train;
    message->arrived_ns = loop_sim_wall_ns(socket->file.node->world, socket->file.node);
    socket->messages_bytes += message->charge_bytes;
    loop_list_push_back(&socket->messages, &message->link);
    loop_sim_socket_changed(socket, EPOLLIN | EPOLLRDNORM);
}

/* A connected socket gets the error, and one that has asked for it the entry of its queue. */
static void report_error(struct loop_sim_host *host, struct loop_sim_socket *socket,
                         const struct loop_sim_packet *packet)
{
    struct loop_sim_socket *asked =
        socket ? socket : loop_sim_host_find_bound(host, IPPROTO_UDP, &packet->to, &packet->from);
    bool is_queued = asked && loop_sim_error_queue_put(asked, packet);
    if (asked && (socket || is_queued)) {
        wake_for_error(asked, packet->unreachable);
    }
}

/* Every socket that wants it gets a copy. */
static void store_of_group(struct loop_sim_host *host, const struct loop_sim_packet *packet)
{
    struct loop_sim_socket *socket = NULL;
    while ((socket = loop_sim_host_next_bound(host, &packet->to, socket))) {
        bool is_peer = socket->remote.port == packet->from.port &&
                       memcmp(&socket->remote.address, &packet->from.address, sizeof packet->from.address) == 0;
        if ((!socket->is_matched || is_peer) &&
            loop_sim_group_accepts(socket, packet->interface, &packet->to.address, &packet->from.address)) {
            store(socket, packet);
        }
    }
}

static void udp_input(struct loop_sim_host *host, const struct loop_sim_packet *packet)
{
    if (packet->interface) {
        store_of_group(host, packet);
        return;
    }
    struct loop_sim_socket *socket = loop_sim_host_find_matched(host, IPPROTO_UDP, &packet->to, &packet->from);
    if (packet->unreachable) {
        report_error(host, socket, packet);
        return;
    }
    if (!socket) {
        socket = loop_sim_host_find_bound(host, IPPROTO_UDP, &packet->to, &packet->from);
    }
    if (!socket) {
        report_unreachable(host, packet);
    } else {
        store(socket, packet);
    }
}

/* Returns the interface by which a message has come. */
static int interface_of(const struct loop_sim_message *message)
{
    int interface = loop_sim_address_is_loopback(&message->to) ? LOOP_SIM_LOOPBACK : LOOP_SIM_ETHERNET;
    return message->interface ? message->interface : interface;
}

static void give_ipv4_info(const struct loop_sim_socket *socket, const struct loop_sim_message *message,
                           struct loop_sim_control *control)
{
    struct in_pktinfo info = {.ipi_ifindex = interface_of(message)};
    struct in6_addr own = message->to;
    if (message->interface) {
        loop_sim_group_address(socket->file.node, message->interface, true, &own);
    }
    memcpy(&info.ipi_spec_dst, &own.s6_addr[12], sizeof info.ipi_spec_dst);
    memcpy(&info.ipi_addr, &message->to.s6_addr[12], sizeof info.ipi_addr);
    loop_sim_control_put(control, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
}

static void give_control(const struct loop_sim_socket *socket, const struct loop_sim_message *message,
                         struct msghdr *to)
{
    struct loop_sim_control control = {.message = to};
    int traffic_class = message->traffic_class, hop_limit = message->hop_limit;
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&message->to);
    int segment_bytes = (int)message->train.segment_bytes;
    if (socket->options[LOOP_SIM_OPTION_TIMESTAMPNS]) {
        loop_sim_control_put_time(&control, message->arrived_ns);
    }
    if (is_ipv4 && socket->options[LOOP_SIM_OPTION_IP_PKTINFO]) {
        give_ipv4_info(socket, message, &control);
    }
    if (is_ipv4 && socket->options[LOOP_SIM_OPTION_IP_RECVTTL]) {
        loop_sim_control_put(&control, IPPROTO_IP, IP_TTL, &hop_limit, sizeof hop_limit);
    }
    if (is_ipv4 && socket->options[LOOP_SIM_OPTION_IP_RECVTOS]) {
        loop_sim_control_put(&control, IPPROTO_IP, IP_TOS, &message->traffic_class, 1);
    }
    if (socket->family == AF_INET6 && socket->options[LOOP_SIM_OPTION_IPV6_RECVPKTINFO]) {
        const struct in6_pktinfo info = {message->to, (unsigned)interface_of(message)};
        loop_sim_control_put(&control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
    if (socket->family == AF_INET6 && !is_ipv4 && socket->options[LOOP_SIM_OPTION_IPV6_RECVHOPLIMIT]) {
        loop_sim_control_put(&control, IPPROTO_IPV6, IPV6_HOPLIMIT, &hop_limit, sizeof hop_limit);
    }
    if (socket->family == AF_INET6 && !is_ipv4 && socket->options[LOOP_SIM_OPTION_IPV6_RECVTCLASS]) {
        loop_sim_control_put(&control, IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, sizeof traffic_class);
    }
    if (segment_bytes > 0 && message->size > message->train.segment_bytes) {
        loop_sim_control_put(&control, IPPROTO_UDP, UDP_GRO, &segment_bytes, sizeof segment_bytes);
    }
    to->msg_controllen = control.used;
}

static ssize_t udp_receive(struct loop_sim_socket *socket, struct msghdr *to, int flags)
{
    struct loop_list *first = loop_list_first(&socket->messages);
    if (flags & MSG_ERRQUEUE) {
        return loop_sim_error_queue_take(socket, to);
    }
    if (socket->error) {
        return loop_sim_socket_take_error(socket);
    }
    if (!first) {
        bool waits = !(socket->file.flags & O_NONBLOCK || flags & MSG_DONTWAIT);
        return socket->halves & LOOP_SIM_SHUT_RECEIVE && waits ? 0 : -EAGAIN;
    }
    struct loop_sim_message *message = LOOP_CONTAINER(first, struct loop_sim_message, link);
    size_t len = loop_sim_vectors_length(to->msg_iov, to->msg_iovlen);
    size_t size = message->size;
    size_t n = loop_sim_vectors_fill(to->msg_iov, to->msg_iovlen, 0, message->data, size < len ? size : len);
    socklen_t room = to->msg_namelen;
    to->msg_flags |= size > len ? MSG_TRUNC : 0;
    loop_sim_address_copy(&message->from, message->from_length, to->msg_name, &room);
    to->msg_namelen = message->from_length;
    give_control(socket, message, to);
    if (!(flags & MSG_PEEK)) {
        socket->messages_bytes -= message->charge_bytes;
        loop_sim_socket_drop_message(message);
    }
    return (ssize_t)(flags & MSG_TRUNC ? size : n);
}

/* ---- the rest ---- */

static int udp_shutdown(struct loop_sim_socket *socket, int halves)
{
    socket->halves |= (unsigned)halves;
    loop_sim_socket_changed(socket, 0);
    return socket->is_matched ? 0 : -ENOTCONN;
}

static uint32_t udp_poll(struct loop_sim_socket *socket)
{
    uint32_t events = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
    events |= socket->error || !loop_list_is_empty(&socket->errors) ? EPOLLERR : 0;
    events |= loop_list_is_empty(&socket->messages) ? 0 : EPOLLIN | EPOLLRDNORM;
    events |= socket->halves & LOOP_SIM_SHUT_RECEIVE ? EPOLLIN | EPOLLRDNORM | EPOLLRDHUP : 0;
    return events | (socket->halves == LOOP_SIM_SHUT_BOTH ? EPOLLHUP : 0);
}

static int udp_name(struct loop_sim_socket *socket, bool is_peer, struct sockaddr_storage *address, socklen_t *length)
{
    if (is_peer && !socket->is_matched) {
        return -ENOTCONN;
    }
    *length = loop_sim_endpoint_write(is_peer ? &socket->remote : &socket->local, socket->family, address);
    return 0;
}

static size_t udp_waiting(struct loop_sim_socket *socket, bool is_output)
{
    struct loop_list *first = is_output ? NULL : loop_list_first(&socket->messages);
    return first ? LOOP_CONTAINER(first, struct loop_sim_message, link)->size : 0;
}

const struct loop_sim_protocol loop_sim_udp = {.number = IPPROTO_UDP,
                                               .bind = loop_sim_host_bind_call,
                                               .connect = udp_connect,
                                               .receive = udp_receive,
                                               .send = udp_send,
                                               .shutdown = udp_shutdown,
                                               .poll = udp_poll,
                                               .name = udp_name,
                                               .waiting = udp_waiting,
                                               .input = udp_input,
                                               .release = loop_sim_socket_discard};
