/* SPDX-License-Identifier: ISC
 *
 * TCP connections: what arrives, and the states.
 */
#include <loop/kernel/simulated/network/host.h>
#include <loop/kernel/simulated/network/tcp/arrival.h>
#include <loop/kernel/simulated/network/tcp/end.h>
#include <loop/kernel/simulated/network/tcp/info.h>
#include <loop/kernel/simulated/network/tcp/segment.h>
#include <loop/kernel/simulated/network/transport.h>

#include <assert.h>
#include <string.h>

/* ---- connections that begin ---- */

static void refuse(struct loop_sim_host *host, const struct loop_sim_packet *packet)
{
    struct loop_sim_packet *reset =
        loop_sim_packet_create_from(host->node, packet->protocol, &packet->to, &packet->from, 0);
    reset->flags = LOOP_SIM_RST | LOOP_SIM_ACK;
    reset->first = packet->peer_first;
    reset->peer_first = packet->first;
    reset->sequence = packet->acknowledged;
    reset->acknowledged = packet->sequence + packet->size + ((packet->flags & (LOOP_SIM_SYN | LOOP_SIM_FIN)) != 0);
    loop_sim_transmit(reset, NULL);
}

/* Makes the socket of a connection that accept will return. */
static struct loop_sim_socket *make_child(struct loop_sim_socket *listener, const struct loop_sim_packet *packet)
{
    struct loop_sim_socket *child =
        loop_sim_socket_make(listener->file.node, listener->protocol, listener->family, listener->type);
    memcpy(child->options, listener->options, sizeof child->options);
    child->has_set_rcvbuf = listener->has_set_rcvbuf;
    child->has_set_sndbuf = listener->has_set_sndbuf;
    child->linger = listener->linger;
    child->receive_timeout_ns = listener->receive_timeout_ns;
    child->send_timeout_ns = listener->send_timeout_ns;
    child->remote = packet->from;
    child->stream.listener = listener;
    child->stream.state = LOOP_SIM_TCP_SYN_RECEIVED;
    child->stream.phase = LOOP_SIM_CONNECTED;
    loop_sim_host_adopt(child, &packet->to);
    loop_sim_host_match(child);
    return child;
}

static void answer_syn(struct loop_sim_socket *socket)
{
    socket->stream.next = socket->stream.sent_most = 1;
    loop_sim_stream_send_flags(socket, LOOP_SIM_SYN | LOOP_SIM_ACK);
}

/* A listener whose backlog is full does not answer: the peer tries again. */
static void on_syn(struct loop_sim_socket *listener, const struct loop_sim_packet *packet)
{
    if (listener->stream.n_accepts + listener->stream.n_half_open > listener->stream.backlog) {
        loop_sim_stream_lost(packet);
        return;
    }
    struct loop_sim_socket *child = make_child(listener, packet);
    listener->stream.n_half_open++;
    loop_sim_stream_begin(child);
    child->stream.peer_first = packet->first;
    child->stream.taken = child->stream.expected = 1;
    child->stream.window_end = packet->window_end;
    answer_syn(child);
}

/* The peer has answered the SYN of a listener. */
static void on_answer(struct loop_sim_socket *socket)
{
    struct loop_sim_socket *listener = socket->stream.listener;
    assert(listener && listener->stream.state == LOOP_SIM_TCP_LISTEN);
    listener->stream.n_half_open--;
    listener->stream.n_accepts++;
    loop_list_push_back(&listener->stream.accepts, &socket->stream.accept_link);
    loop_sim_stream_establish(socket);
    loop_sim_socket_changed(listener, EPOLLIN | EPOLLRDNORM);
}

static void on_syn_answered(struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    struct loop_sim_stream *stream = &socket->stream;
    stream->peer_first = packet->first;
    stream->unacknowledged = stream->next = stream->sent_most = 1;
    stream->taken = stream->expected = 1;
    stream->window_end = packet->window_end;
    loop_sim_stream_end_trip(socket, packet->acknowledged);
    loop_sim_stream_establish(socket);
    loop_sim_socket_changed(socket, 0);
    loop_sim_stream_send_flags(socket, LOOP_SIM_ACK);
}

/* ---- acknowledgements ---- */

/* The peer has the FIN of this side. Returns whether the connection has ended. */
static bool on_fin_acknowledged(struct loop_sim_socket *socket)
{
    switch (socket->stream.state) {
    case LOOP_SIM_TCP_FIN_WAIT_1:
        socket->stream.state = LOOP_SIM_TCP_FIN_WAIT_2;
        if (socket->is_released) {
            loop_sim_host_hold_port(socket); /* an orphan does not wait for ever for the peer's FIN */
        }
        loop_sim_socket_changed(socket, 0);
        return false;
    case LOOP_SIM_TCP_CLOSING: loop_sim_stream_wait_for_late_packets(socket); return true;
    case LOOP_SIM_TCP_LAST_ACK: loop_sim_stream_end(socket); return true;
    default: return false;
    }
}

/* Returns whether the connection has ended. */
static bool on_acknowledged(struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    struct loop_sim_stream *stream = &socket->stream;
    uint64_t acknowledged = packet->acknowledged;
    stream->window_end = packet->window_end > stream->window_end ? packet->window_end : stream->window_end;
    if (acknowledged <= stream->unacknowledged || acknowledged > stream->sent_most) {
        return false;
    }
    loop_sim_stream_end_trip(socket, acknowledged);
    uint64_t n = acknowledged - stream->unacknowledged;
    bool has_fin = stream->wants_fin && acknowledged == stream->fin + 1;
    size_t size = (size_t)n < stream->sending.size ? (size_t)n : stream->sending.size;
    loop_sim_bytes_drop(&stream->sending, size);
    stream->unacknowledged = acknowledged;
    stream->next = stream->next > acknowledged ? stream->next : acknowledged;
    stream->retries = 0;
    if (stream->retry.place) {
        loop_sim_event_cancel(&stream->retry);
        loop_sim_stream_arm_retry(socket); /* what was lost may be behind what has arrived */
    }
    if (stream->is_full && loop_sim_stream_is_writable(socket)) {
        stream->is_full = false;
        loop_sim_socket_changed(socket, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
    }
    return has_fin && on_fin_acknowledged(socket);
}

/* ---- data ---- */

/* An urgent byte is announced before it arrives. */
static void on_urgent(struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    struct loop_sim_stream *stream = &socket->stream;
    if (packet->urgent <= stream->urgent || packet->urgent < stream->taken) {
        return;
    }
    bool skips_old = stream->urgent_state != LOOP_SIM_URGENT_NONE && stream->urgent == stream->taken &&
                     !socket->options[LOOP_SIM_OPTION_OOBINLINE] && stream->receiving.size > 0;
    if (skips_old) {
        loop_sim_bytes_drop(&stream->receiving, 1);
        stream->taken++;
    }
    stream->urgent = packet->urgent;
    stream->urgent_state = LOOP_SIM_URGENT_ANNOUNCED;
}

/* Stores the urgent byte, when it is among the data that has just been appended. */
static void note_urgent(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    if (stream->urgent_state == LOOP_SIM_URGENT_ANNOUNCED && stream->urgent < stream->expected &&
        stream->urgent >= stream->taken) {
        size_t offset = (size_t)(stream->urgent - stream->taken);
        stream->urgent_byte = stream->receiving.data[stream->receiving.begin + offset];
        stream->urgent_state = LOOP_SIM_URGENT_HERE;
        loop_sim_socket_changed(socket, EPOLLIN | EPOLLRDNORM);
    }
}

/* Appends what is new of a packet, as far as there is room. Returns whether all of it has been taken. */
static bool take(struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    struct loop_sim_stream *stream = &socket->stream;
    if (packet->sequence > stream->expected || packet->sequence + packet->size < stream->expected) {
        return false;
    }
    size_t skip = (size_t)(stream->expected - packet->sequence);
    size_t room = stream->advertised_end > stream->expected ? (size_t)(stream->advertised_end - stream->expected) : 0;
    size_t len = packet->size - skip;
    size_t n = len < room ? len : room;
    if (n > 0) {
        memcpy(loop_sim_bytes_append(&stream->receiving, n), packet->data + skip, n);
        stream->expected += n;
    }
    return n == len;
}

/* The peer's FIN: the last thing that it sends. */
static void on_fin(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    stream->expected++;
    stream->is_done = true;
    socket->halves |= LOOP_SIM_SHUT_RECEIVE;
    loop_sim_stream_send_flags(socket, LOOP_SIM_ACK);
    switch (stream->state) {
    case LOOP_SIM_TCP_ESTABLISHED: stream->state = LOOP_SIM_TCP_CLOSE_WAIT; break;
    case LOOP_SIM_TCP_FIN_WAIT_1: stream->state = LOOP_SIM_TCP_CLOSING; break;
    case LOOP_SIM_TCP_FIN_WAIT_2: loop_sim_stream_wait_for_late_packets(socket); return;
    default: break;
    }
    loop_sim_socket_changed(socket, 0);
}

/* Whether a socket that nobody reads any more gets data: the peer must know that it is lost. */
static bool is_unwanted(const struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    enum loop_sim_tcp_state state = socket->stream.state;
    bool has_new = packet->size > 0 && packet->sequence + packet->size > socket->stream.expected;
    return has_new && socket->halves & LOOP_SIM_SHUT_RECEIVE &&
           (state == LOOP_SIM_TCP_FIN_WAIT_1 || state == LOOP_SIM_TCP_FIN_WAIT_2);
}

void loop_sim_stream_report_data(struct loop_sim_socket *socket)
{
    const struct loop_sim_stream *stream = &socket->stream;
    size_t least = (size_t)socket->options[LOOP_SIM_OPTION_RCVLOWAT];
    bool has_enough = stream->receiving.size >= least || loop_sim_stream_window(socket) == 0;
    if ((stream->receiving.size > 0 && has_enough) || stream->is_done) {
        loop_sim_socket_changed(socket, EPOLLIN | EPOLLRDNORM);
    }
}

static void on_data(struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    struct loop_sim_stream *stream = &socket->stream;
    bool has_fin = (packet->flags & LOOP_SIM_FIN) != 0;
    if (packet->size == 0 && !has_fin) {
        if (packet->sequence < stream->expected) {
            loop_sim_stream_send_flags(socket, LOOP_SIM_ACK); /* asks whether this side is there */
        }
        return;
    }
    uint64_t before = stream->expected;
    bool is_whole = !stream->is_done && take(socket, packet);
    if (stream->expected > before) {
        note_urgent(socket);
        loop_sim_stream_report_data(socket);
    }
    if (has_fin && is_whole) {
        on_fin(socket);
    } else {
        loop_sim_stream_send_flags(socket, LOOP_SIM_ACK);
    }
}

/* ---- packets ---- */

static void on_reset(struct loop_sim_socket *socket)
{
    switch (socket->stream.state) {
    case LOOP_SIM_TCP_TIME_WAIT: break;
    case LOOP_SIM_TCP_SYN_SENT: loop_sim_stream_fail(socket, ECONNREFUSED); break;
    case LOOP_SIM_TCP_CLOSE_WAIT: loop_sim_stream_fail(socket, EPIPE); break;
    default: loop_sim_stream_fail(socket, ECONNRESET); break;
    }
}

/* An ICMP message ends only the attempt to connect. */
static void on_unreachable(struct loop_sim_socket *socket, int error)
{
    if (socket->stream.state == LOOP_SIM_TCP_SYN_SENT) {
        loop_sim_stream_fail(socket, error);
    } else {
        socket->soft_error = error;
    }
}

static void on_segment(struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    struct loop_sim_stream *stream = &socket->stream;
    stream->heard_ns = socket->file.node->world->now_ns;
    stream->probes = 0;
    if (stream->state == LOOP_SIM_TCP_SYN_RECEIVED) {
        stream->unacknowledged = 1;
        loop_sim_stream_end_trip(socket, packet->acknowledged);
        on_answer(socket);
    }
    if (packet->flags & LOOP_SIM_URG) {
        on_urgent(socket, packet);
    }
    uint64_t acknowledged = stream->unacknowledged, window_end = stream->window_end;
    if (on_acknowledged(socket, packet)) {
        return;
    }
    if (is_unwanted(socket, packet)) {
        loop_sim_stream_send_flags(socket, LOOP_SIM_RST | LOOP_SIM_ACK);
        loop_sim_stream_fail(socket, ECONNRESET);
        return;
    }
    on_data(socket, packet);
    bool is_news = stream->unacknowledged > acknowledged || stream->window_end > window_end;
    if (is_news || packet->flags & LOOP_SIM_FIN) { /* data alone does not send what was kept back */
        loop_sim_stream_push(socket, LOOP_SIM_PUSH);
    }
}

static void on_syn_sent(struct loop_sim_socket *socket, const struct loop_sim_packet *packet)
{
    if ((packet->flags & (LOOP_SIM_SYN | LOOP_SIM_ACK)) == (LOOP_SIM_SYN | LOOP_SIM_ACK)) {
        on_syn_answered(socket, packet);
    }
}

static void on_no_socket(struct loop_sim_host *host, const struct loop_sim_packet *packet)
{
    struct loop_sim_socket *listener = NULL;
    if (packet->flags & LOOP_SIM_RST || packet->unreachable) {
        return;
    }
    if ((packet->flags & (LOOP_SIM_SYN | LOOP_SIM_ACK)) == LOOP_SIM_SYN) {
        listener = loop_sim_host_find_bound(host, IPPROTO_TCP, &packet->to, &packet->from);
    }
    if (listener) {
        on_syn(listener, packet);
    } else {
        refuse(host, packet);
    }
}

void loop_sim_stream_input(struct loop_sim_host *host, const struct loop_sim_packet *packet)
{
    struct loop_sim_socket *socket = loop_sim_host_find_matched(host, IPPROTO_TCP, &packet->to, &packet->from);
    bool is_syn = (packet->flags & (LOOP_SIM_SYN | LOOP_SIM_ACK)) == LOOP_SIM_SYN;
    if (socket && is_syn && socket->stream.state == LOOP_SIM_TCP_TIME_WAIT) {
        loop_sim_host_unmatch(socket);
        socket = NULL;
    }
    if (!socket) {
        on_no_socket(host, packet);
    } else if (packet->unreachable) {
        on_unreachable(socket, packet->unreachable);
    } else if (packet->flags & LOOP_SIM_RST) {
        on_reset(socket);
    } else if (socket->stream.state == LOOP_SIM_TCP_SYN_SENT) {
        on_syn_sent(socket, packet);
    } else if (packet->flags & LOOP_SIM_SYN) {
        if (socket->stream.state == LOOP_SIM_TCP_SYN_RECEIVED) {
            answer_syn(socket);
        } else {
            loop_sim_stream_send_flags(socket, LOOP_SIM_ACK);
        }
    } else if (socket->stream.state == LOOP_SIM_TCP_TIME_WAIT) {
        if (packet->flags & LOOP_SIM_FIN) {
            loop_sim_stream_send_flags(socket, LOOP_SIM_ACK);
        }
    } else {
        on_segment(socket, packet);
    }
}
