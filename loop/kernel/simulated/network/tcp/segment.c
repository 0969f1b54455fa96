/* SPDX-License-Identifier: ISC
 *
 * TCP connections: what is sent, and when it is sent again.
 *
 * A segment arrives in order, or is lost. Who waits for the effect of a lost one is known here, so that timers run only
 * then: a connection without losses has no timers.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/network/host.h>
#include <loop/kernel/simulated/network/tcp/end.h>
#include <loop/kernel/simulated/network/tcp/info.h>
#include <loop/kernel/simulated/network/tcp/segment.h>
#include <loop/kernel/simulated/network/transport.h>

#include <string.h>

#define SECOND_NS INT64_C(1000000000)
#define LEAST_RETRY_NS (SECOND_NS / 5)
#define MOST_RETRY_NS (120 * SECOND_NS)

enum {
    LOOPBACK_SEGMENT_BYTES = 65483,
    SEGMENT_BYTES = 1448,
    LOOPBACK_MSS = 32741,
    SEGMENTS_AT_ONCE = 44, /* as network cards take them */
    LOOPBACK_SNDBUF = 4194304,
    SNDBUF = 87040,
    MOST_RETRIES = 15,
    MOST_ORPHAN_RETRIES = 8,
    MOST_ANSWER_RETRIES = 5
};

bool loop_sim_stream_is_closed(const struct loop_sim_socket *socket)
{
    return socket->stream.state == LOOP_SIM_TCP_CLOSED || socket->stream.state == LOOP_SIM_TCP_TIME_WAIT;
}

static size_t send_room(const struct loop_sim_socket *socket)
{
    size_t size = (size_t)socket->options[LOOP_SIM_OPTION_SNDBUF];
    return socket->stream.sending.size < size ? size - socket->stream.sending.size : 0;
}

bool loop_sim_stream_is_writable(const struct loop_sim_socket *socket)
{
    size_t room = send_room(socket);
    return room > 0 && room >= socket->stream.sending.size / 2;
}

/* Half of the buffer is for the heads of packets. */
size_t loop_sim_stream_window(const struct loop_sim_socket *socket)
{
    size_t most = (size_t)socket->options[LOOP_SIM_OPTION_RCVBUF] / 2;
    return socket->stream.receiving.size < most ? most - socket->stream.receiving.size : 0;
}

static bool is_within_node(const struct loop_sim_socket *socket)
{
    return loop_sim_host_find(socket->file.node, &socket->remote.address) == socket->file.node;
}

size_t loop_sim_stream_segment_bytes(const struct loop_sim_socket *socket)
{
    return is_within_node(socket) ? LOOPBACK_SEGMENT_BYTES : SEGMENT_BYTES;
}

/* ---- beginning ---- */

void loop_sim_stream_begin(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    stream->unacknowledged = stream->next = stream->sent_most = stream->window_end = 0;
    stream->taken = stream->expected = stream->advertised_end = 0;
    stream->wants_fin = stream->is_done = stream->is_full = false;
    stream->urgent_state = LOOP_SIM_URGENT_NONE;
    stream->urgent = stream->urgent_sent = 0;
    stream->retries = stream->probes = stream->n_retried = 0;
    stream->trip = (struct loop_sim_trip){0};
    stream->arrives_ns = 0;
    stream->first = (uint32_t)(++loop_sim_network_of(socket->file.node->world)->serial * UINT32_C(2654435761));
    stream->heard_ns = socket->file.node->world->now_ns;
}

void loop_sim_stream_establish(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    stream->state = LOOP_SIM_TCP_ESTABLISHED;
    stream->retries = 0;
    loop_sim_event_cancel(&stream->retry);
    if (!socket->has_set_sndbuf) {
        socket->options[LOOP_SIM_OPTION_SNDBUF] = is_within_node(socket) ? LOOPBACK_SNDBUF : SNDBUF;
    }
    loop_sim_stream_arm_keepalive(socket);
}

/* ---- sending ---- */

static struct loop_sim_packet *create(struct loop_sim_socket *socket, unsigned flags, uint64_t sequence, size_t size)
{
    struct loop_sim_stream *stream = &socket->stream;
    struct loop_sim_packet *packet = loop_sim_packet_create(socket, size);
    packet->flags = flags;
    packet->sequence = sequence;
    packet->first = stream->first;
    packet->peer_first = stream->peer_first;
    packet->acknowledged = stream->expected;
    uint64_t end = stream->expected + loop_sim_stream_window(socket);
    stream->advertised_end = end > stream->advertised_end ? end : stream->advertised_end;
    packet->window_end = stream->advertised_end;
    if (stream->urgent_sent >= sequence && stream->urgent_sent > 0) {
        packet->flags |= LOOP_SIM_URG;
        packet->urgent = stream->urgent_sent;
    }
    return packet;
}

static void transmit(struct loop_sim_socket *socket, struct loop_sim_packet *packet)
{
    loop_sim_transmit(packet, &socket->stream.arrives_ns);
}

void loop_sim_stream_send_flags(struct loop_sim_socket *socket, unsigned flags)
{
    uint64_t sequence = flags & LOOP_SIM_SYN ? 0 : socket->stream.next;
    if (flags & LOOP_SIM_SYN && socket->stream.n_retried == 0) {
        loop_sim_stream_begin_trip(socket, 1);
    }
    transmit(socket, create(socket, flags, sequence, 0));
}

static void send_syn(struct loop_sim_socket *socket)
{
    bool is_answer = socket->stream.state == LOOP_SIM_TCP_SYN_RECEIVED;
    socket->stream.next = socket->stream.sent_most = 1;
    loop_sim_stream_send_flags(socket, LOOP_SIM_SYN | (is_answer ? LOOP_SIM_ACK : 0));
}

/* Returns up to where bytes are sent: a part of a segment at the end may be kept back, unless it was sent before. */
static uint64_t end_to_send(const struct loop_sim_socket *socket, bool keeps)
{
    const struct loop_sim_stream *stream = &socket->stream;
    uint64_t end = stream->unacknowledged + stream->sending.size;
    bool is_urgent = stream->urgent_sent >= stream->unacknowledged && stream->urgent_sent > 0;
    if (!keeps || is_urgent || stream->wants_fin || end <= stream->sent_most) {
        return end;
    }
    return end - (end - stream->sent_most) % (is_within_node(socket) ? LOOPBACK_MSS : SEGMENT_BYTES);
}

/* Returns how many bytes up to `end` the next segment carries; 0: none may be sent. */
static size_t next_length(const struct loop_sim_socket *socket, uint64_t end)
{
    const struct loop_sim_stream *stream = &socket->stream;
    if (stream->next >= end || stream->next >= stream->window_end) {
        return 0;
    }
    uint64_t n = (end < stream->window_end ? end : stream->window_end) - stream->next;
    if (is_within_node(socket)) {
        return n < LOOPBACK_SEGMENT_BYTES ? (size_t)n : LOOPBACK_SEGMENT_BYTES;
    }
    size_t most = (size_t)SEGMENT_BYTES * SEGMENTS_AT_ONCE;
    return loop_sim_choose_length(LOOP_SIM_SHORT_READ, n < most ? (size_t)n : most);
}

static void send_data(struct loop_sim_socket *socket, size_t len)
{
    struct loop_sim_stream *stream = &socket->stream;
    struct loop_sim_packet *packet = create(socket, LOOP_SIM_ACK, stream->next, len);
    size_t offset = (size_t)(stream->next - stream->unacknowledged);
    memcpy(packet->data, stream->sending.data + stream->sending.begin + offset, len);
    if (stream->next == stream->sent_most) {
        loop_sim_stream_begin_trip(socket, stream->next + len);
    }
    stream->next += len;
    stream->sent_most = stream->next > stream->sent_most ? stream->next : stream->sent_most;
    transmit(socket, packet);
}

static bool may_send(const struct loop_sim_socket *socket)
{
    switch (socket->stream.state) {
    case LOOP_SIM_TCP_ESTABLISHED:
    case LOOP_SIM_TCP_CLOSE_WAIT:
    case LOOP_SIM_TCP_FIN_WAIT_1:
    case LOOP_SIM_TCP_CLOSING:
    case LOOP_SIM_TCP_LAST_ACK: return true;
    default: return false;
    }
}

static void on_kept(struct loop_sim_event *event)
{
    struct loop_sim_stream *stream = LOOP_CONTAINER(event, struct loop_sim_stream, kept);
    struct loop_sim_socket *socket = LOOP_CONTAINER(stream, struct loop_sim_socket, stream);
    struct loop_sim_world *world = socket->file.node->world;
    loop_sim_network_enter(world);
    loop_sim_stream_push(socket, LOOP_SIM_PUSH_ALL);
    loop_sim_network_leave(world);
}

/* What is kept back is sent after a while, which begins when the peer has acknowledged all that was sent. */
static void keep(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    if (stream->next == stream->unacknowledged && !stream->kept.place) {
        loop_sim_event_set(&stream->kept, loop_sim_sum_ns(socket->file.node->world->now_ns, LEAST_RETRY_NS), on_kept);
    }
}

void loop_sim_stream_push(struct loop_sim_socket *socket, enum loop_sim_push push)
{
    struct loop_sim_stream *stream = &socket->stream;
    if (!may_send(socket)) {
        return;
    }
    bool is_corked = push == LOOP_SIM_PUSH && socket->options[LOOP_SIM_OPTION_TCP_CORK];
    uint64_t end = end_to_send(socket, is_corked || push == LOOP_SIM_PUSH_MORE);
    size_t len;
    while ((len = next_length(socket, end)) > 0) {
        send_data(socket, len);
    }
    if (end < stream->unacknowledged + stream->sending.size) {
        keep(socket);
    } else {
        loop_sim_event_cancel(&stream->kept);
    }
    if (stream->wants_fin && stream->next == stream->fin) {
        stream->next = stream->sent_most = stream->fin + 1; /* before it is sent: it may be lost at once */
        transmit(socket, create(socket, LOOP_SIM_FIN | LOOP_SIM_ACK, stream->fin, 0));
    }
}

void loop_sim_stream_finish_sending(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    if (stream->state == LOOP_SIM_TCP_ESTABLISHED || stream->state == LOOP_SIM_TCP_SYN_RECEIVED) {
        stream->state = LOOP_SIM_TCP_FIN_WAIT_1;
    } else if (stream->state == LOOP_SIM_TCP_CLOSE_WAIT) {
        stream->state = LOOP_SIM_TCP_LAST_ACK;
    } else {
        return;
    }
    stream->wants_fin = true;
    stream->fin = stream->unacknowledged + stream->sending.size;
    loop_sim_stream_push(socket, LOOP_SIM_PUSH);
}

/* ---- trying again ---- */

static bool waits_for_peer(const struct loop_sim_socket *socket)
{
    const struct loop_sim_stream *stream = &socket->stream;
    if (stream->state == LOOP_SIM_TCP_SYN_SENT || stream->state == LOOP_SIM_TCP_SYN_RECEIVED) {
        return true;
    }
    return may_send(socket) && (stream->unacknowledged < stream->sent_most || stream->sending.size > 0);
}

static bool is_over(const struct loop_sim_socket *socket)
{
    const struct loop_sim_stream *stream = &socket->stream;
    int64_t limit_ns = socket->options[LOOP_SIM_OPTION_TCP_USER_TIMEOUT] * (SECOND_NS / 1000);
    switch (stream->state) {
    case LOOP_SIM_TCP_SYN_SENT: return (int)stream->retries > socket->options[LOOP_SIM_OPTION_TCP_SYNCNT];
    case LOOP_SIM_TCP_SYN_RECEIVED: return stream->retries > MOST_ANSWER_RETRIES;
    default: break;
    }
    if (limit_ns > 0) {
        return socket->file.node->world->now_ns - stream->retries_since_ns >= limit_ns;
    }
    return stream->retries > (socket->is_released ? MOST_ORPHAN_RETRIES : MOST_RETRIES);
}

static void try_again(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    stream->n_retried++;
    loop_sim_stream_drop_trip(socket);
    if (stream->state == LOOP_SIM_TCP_SYN_SENT || stream->state == LOOP_SIM_TCP_SYN_RECEIVED) {
        send_syn(socket);
        return;
    }
    stream->next = stream->unacknowledged;
    bool has_room = stream->next < stream->window_end && stream->sending.size > 0;
    if (has_room || (stream->wants_fin && stream->next == stream->fin)) {
        loop_sim_stream_push(socket, LOOP_SIM_PUSH);
    } else {
        transmit(socket, create(socket, LOOP_SIM_ACK, stream->next - 1, 0)); /* asks for the window */
    }
}

static void on_retry(struct loop_sim_event *event)
{
    struct loop_sim_stream *stream = LOOP_CONTAINER(event, struct loop_sim_stream, retry);
    struct loop_sim_socket *socket = LOOP_CONTAINER(stream, struct loop_sim_socket, stream);
    struct loop_sim_world *world = socket->file.node->world;
    loop_sim_network_enter(world);
    if (waits_for_peer(socket)) {
        stream->retries++;
        if (is_over(socket)) {
            loop_sim_stream_fail(socket, socket->soft_error ? socket->soft_error : ETIMEDOUT);
        } else {
            try_again(socket);
        }
    }
    loop_sim_network_leave(world);
}

void loop_sim_stream_arm_retry(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    if (stream->retry.place || !waits_for_peer(socket)) {
        return;
    }
    int64_t now_ns = socket->file.node->world->now_ns;
    bool is_syn = stream->state == LOOP_SIM_TCP_SYN_SENT || stream->state == LOOP_SIM_TCP_SYN_RECEIVED;
    int64_t pause_ns = is_syn ? SECOND_NS : LEAST_RETRY_NS;
    for (unsigned i = 0; i < stream->retries && pause_ns < MOST_RETRY_NS; i++) {
        pause_ns *= 2;
    }
    if (stream->retries == 0) {
        stream->retries_since_ns = now_ns;
    }
    loop_sim_event_set(&stream->retry, loop_sim_sum_ns(now_ns, pause_ns < MOST_RETRY_NS ? pause_ns : MOST_RETRY_NS),
                       on_retry);
}

static void arm_end(struct loop_sim_node *node, int number, const struct loop_sim_endpoint *local,
                    const struct loop_sim_endpoint *remote)
{
    if (node && node->host && node->host->is_up) {
        struct loop_sim_socket *socket = loop_sim_host_find_matched(node->host, number, local, remote);
        if (socket) {
            loop_sim_stream_arm_retry(socket);
        }
    }
}

void loop_sim_stream_lost(const struct loop_sim_packet *packet)
{
    arm_end(packet->from_node, packet->number, &packet->from, &packet->to);
    arm_end(packet->to_node, packet->number, &packet->to, &packet->from);
}

void loop_sim_stream_host_lost(const struct loop_sim_node *node)
{
    struct loop_list *nodes = &node->world->nodes;
    for (struct loop_list *at = nodes->next; at != nodes; at = at->next) {
        struct loop_sim_node *other = LOOP_CONTAINER(at, struct loop_sim_node, link);
        struct loop_list *sockets = other != node && other->host ? &other->host->sockets : NULL;
        for (struct loop_list *link = sockets ? sockets->next : NULL; link != sockets; link = link->next) {
            struct loop_sim_socket *socket = LOOP_CONTAINER(link, struct loop_sim_socket, link);
            if (socket->number == IPPROTO_TCP && loop_sim_host_find(other, &socket->remote.address) == node) {
                loop_sim_stream_arm_retry(socket);
            }
        }
    }
}

/* ---- asking whether the peer is there ---- */

static void on_keepalive(struct loop_sim_event *event)
{
    struct loop_sim_stream *stream = LOOP_CONTAINER(event, struct loop_sim_stream, keepalive);
    struct loop_sim_socket *socket = LOOP_CONTAINER(stream, struct loop_sim_socket, stream);
    struct loop_sim_world *world = socket->file.node->world;
    int64_t idle_ns = socket->options[LOOP_SIM_OPTION_TCP_KEEPIDLE] * SECOND_NS;
    loop_sim_network_enter(world);
    if (world->now_ns - stream->heard_ns >= idle_ns && !waits_for_peer(socket)) {
        if ((int)stream->probes >= socket->options[LOOP_SIM_OPTION_TCP_KEEPCNT]) {
            loop_sim_stream_send_flags(socket, LOOP_SIM_RST | LOOP_SIM_ACK);
            loop_sim_stream_fail(socket, ETIMEDOUT);
        } else {
            stream->probes++;
            transmit(socket, create(socket, LOOP_SIM_ACK, stream->next - 1, 0));
        }
    }
    loop_sim_stream_arm_keepalive(socket);
    loop_sim_network_leave(world);
}

void loop_sim_stream_arm_keepalive(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    bool is_open = may_send(socket) || stream->state == LOOP_SIM_TCP_FIN_WAIT_2;
    if (!socket->options[LOOP_SIM_OPTION_KEEPALIVE] || !is_open || socket->is_released) {
        loop_sim_event_cancel(&stream->keepalive);
        return;
    }
    int64_t now_ns = socket->file.node->world->now_ns;
    int64_t due_ns = loop_sim_sum_ns(stream->heard_ns, socket->options[LOOP_SIM_OPTION_TCP_KEEPIDLE] * SECOND_NS);
    if (due_ns <= now_ns) {
        due_ns = loop_sim_sum_ns(now_ns, socket->options[LOOP_SIM_OPTION_TCP_KEEPINTVL] * SECOND_NS);
    }
    loop_sim_event_set(&stream->keepalive, due_ns, on_keepalive);
}
