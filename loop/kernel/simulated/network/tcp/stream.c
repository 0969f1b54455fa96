/* SPDX-License-Identifier: ISC
 *
 * TCP sockets: the calls. segment.c sends, arrival.c receives, end.c ends.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/network/host.h>
#include <loop/kernel/simulated/network/tcp/arrival.h>
#include <loop/kernel/simulated/network/tcp/end.h>
#include <loop/kernel/simulated/network/tcp/segment.h>
#include <loop/kernel/simulated/network/tcp/stream.h>
#include <loop/kernel/simulated/network/transport.h>

#include <string.h>

enum { MOST_BACKLOG = 4096 };

/* ---- connecting ---- */

/* Makes a socket that is not connected of one that was, or was about to be. */
static void disconnect(struct loop_sim_socket *socket)
{
    loop_sim_stream_forget(socket);
    loop_sim_bytes_finish(&socket->stream.receiving);
    socket->halves = 0;
    socket->stream.phase = LOOP_SIM_UNCONNECTED;
    socket->stream.is_done = false;
    socket->stream.is_doomed = false;
    if (socket->is_port_chosen) {
        loop_sim_host_unbind(socket);
    }
    socket->remote = (struct loop_sim_endpoint){0};
}

static bool needs_reset(const struct loop_sim_socket *socket)
{
    switch (socket->stream.state) {
    case LOOP_SIM_TCP_ESTABLISHED:
    case LOOP_SIM_TCP_CLOSE_WAIT:
    case LOOP_SIM_TCP_FIN_WAIT_1:
    case LOOP_SIM_TCP_FIN_WAIT_2:
    case LOOP_SIM_TCP_SYN_RECEIVED: return true;
    default: return false;
    }
}

/* connect(2) with AF_UNSPEC. */
static int dissolve(struct loop_sim_socket *socket)
{
    if (needs_reset(socket)) {
        loop_sim_stream_send_flags(socket, LOOP_SIM_RST | LOOP_SIM_ACK);
    }
    disconnect(socket);
    return 0;
}

static int continue_connect(struct loop_sim_socket *socket)
{
    if (socket->stream.state == LOOP_SIM_TCP_SYN_SENT) {
        return -EALREADY;
    }
    if (!loop_sim_stream_is_closed(socket) || socket->stream.is_done) {
        socket->stream.phase = LOOP_SIM_CONNECTED;
        return 0;
    }
    int error = loop_sim_socket_take_error(socket);
    disconnect(socket);
    return error ? error : -ECONNABORTED;
}

/* Finds the addresses of both ends. Returns 0 or a negative errno. */
static int route(struct loop_sim_socket *socket, struct loop_sim_endpoint *remote)
{
    struct in6_addr source;
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&remote->address);
    if ((is_ipv4 && socket->options[LOOP_SIM_OPTION_IPV6_V6ONLY]) || loop_sim_address_is_multicast(&remote->address) ||
        loop_sim_address_is_broadcast(&remote->address)) {
        return -ENETUNREACH;
    }
    if (loop_sim_address_is_any(&remote->address)) {
        (void)loop_sim_host_source(socket->file.node, &remote->address, &source);
        remote->address = source;
    }
    int error = loop_sim_host_source(socket->file.node, &remote->address, &source);
    if (error) {
        return error;
    }
    if (loop_sim_address_is_any(&socket->local.address)) {
        socket->local.address = source;
    }
    if (socket->is_bound && loop_sim_host_find_matched(socket->file.node->host, IPPROTO_TCP, &socket->local, remote)) {
        return -EADDRNOTAVAIL;
    }
    return socket->is_bound ? 0 : loop_sim_host_bind_to_connect(socket);
}

/* By choice a connection to another node is refused, or never answered. */
static unsigned choose_end(struct loop_sim_socket *socket)
{
    enum { WAYS = 3 };
    return loop_sim_host_has(socket->file.node, &socket->remote.address) ? 0 : loop_sim_choose(LOOP_SIM_CONNECT, WAYS);
}

static int begin_connect(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length)
{
    struct loop_sim_endpoint remote;
    int error = loop_sim_endpoint_read(&remote, socket->family, address, length);
    error = error ? error : route(socket, &remote);
    if (error) {
        return error;
    }
    struct loop_sim_stream *stream = &socket->stream;
    socket->remote = remote;
    stream->state = LOOP_SIM_TCP_SYN_SENT;
    stream->phase = LOOP_SIM_CONNECTING;
    loop_sim_stream_begin(socket);
    loop_sim_host_match(socket);
    stream->next = stream->sent_most = 1;
    unsigned end = choose_end(socket);
    stream->is_doomed = end == 2;
    if (end == 1) {
        loop_sim_stream_refuse_soon(socket);
    } else {
        loop_sim_stream_send_flags(socket, LOOP_SIM_SYN);
    }
    return -EINPROGRESS;
}

static int tcp_connect(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length)
{
    if (length < sizeof address->sa_family) {
        return -EINVAL;
    }
    if (address->sa_family == AF_UNSPEC) {
        return dissolve(socket);
    }
    switch (socket->stream.phase) {
    case LOOP_SIM_CONNECTED: return -EISCONN;
    case LOOP_SIM_CONNECTING: return continue_connect(socket);
    case LOOP_SIM_UNCONNECTED: break;
    }
    return socket->stream.state == LOOP_SIM_TCP_CLOSED ? begin_connect(socket, address, length) : -EISCONN;
}

/* ---- listening ---- */

static int tcp_listen(struct loop_sim_socket *socket, int backlog)
{
    struct loop_sim_stream *stream = &socket->stream;
    bool is_listening = stream->state == LOOP_SIM_TCP_LISTEN;
    if (stream->phase != LOOP_SIM_UNCONNECTED || (!is_listening && stream->state != LOOP_SIM_TCP_CLOSED)) {
        return -EINVAL;
    }
    stream->backlog = backlog < 0 || backlog > MOST_BACKLOG ? MOST_BACKLOG : (unsigned)backlog;
    if (is_listening) {
        return 0;
    }
    int error = socket->is_bound ? 0 : loop_sim_host_bind(socket, &socket->local);
    error = error ? error : loop_sim_host_may_listen(socket);
    if (!error) {
        stream->state = LOOP_SIM_TCP_LISTEN;
    }
    return error;
}

/* Ends a connection that accept has not returned. */
static void drop_child(struct loop_sim_socket *child)
{
    loop_sim_stream_send_flags(child, LOOP_SIM_RST | LOOP_SIM_ACK);
    loop_sim_stream_forget(child);
    loop_sim_socket_discard(child);
}

/* Ends the connections that accept has not returned, and resets them at their peers. */
static void reset_children(struct loop_sim_socket *listener)
{
    struct loop_list *sockets = &listener->file.node->host->sockets;
    for (struct loop_list *at = sockets->next; at != sockets; at = at->next) {
        struct loop_sim_socket *child = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        if (child->stream.listener == listener) {
            loop_sim_stream_send_flags(child, LOOP_SIM_RST | LOOP_SIM_ACK);
        }
    }
    loop_sim_stream_drop_children(listener);
}

static void stop_listening(struct loop_sim_socket *socket)
{
    reset_children(socket);
    disconnect(socket);
}

static struct loop_sim_socket *tcp_accept(struct loop_sim_socket *socket, int *error)
{
    struct loop_list *first = loop_list_first(&socket->stream.accepts);
    *error = socket->stream.state != LOOP_SIM_TCP_LISTEN ? -EINVAL : !first ? -EAGAIN : 0;
    if (*error) {
        return NULL;
    }
    struct loop_sim_stream *stream = LOOP_CONTAINER(first, struct loop_sim_stream, accept_link);
    struct loop_sim_socket *child = LOOP_CONTAINER(stream, struct loop_sim_socket, stream);
    if (loop_sim_happens(LOOP_SIM_ABORTED)) {
        drop_child(child);
        *error = -ECONNABORTED;
        return NULL;
    }
    loop_list_remove(first);
    stream->listener = NULL;
    socket->stream.n_accepts--;
    return child;
}

/* ---- receiving ---- */

/* Returns how many bytes are in front of the urgent byte, or in all where there is none. */
static size_t before_urgent(const struct loop_sim_stream *stream)
{
    uint64_t before = stream->urgent - stream->taken;
    bool is_in_front = stream->urgent_state != LOOP_SIM_URGENT_NONE && before < stream->receiving.size;
    return is_in_front ? (size_t)before : stream->receiving.size;
}

/* Returns how many bytes a read skips: the urgent byte, where that is the next and is read by itself. */
static size_t skipped(const struct loop_sim_socket *socket)
{
    const struct loop_sim_stream *stream = &socket->stream;
    return stream->receiving.size > 0 && before_urgent(stream) == 0 && !socket->options[LOOP_SIM_OPTION_OOBINLINE];
}

/* Returns how many bytes can be read at once behind those: up to an urgent byte. */
static size_t readable(const struct loop_sim_socket *socket)
{
    size_t before = before_urgent(&socket->stream);
    return before > 0 ? before : socket->stream.receiving.size - skipped(socket);
}

/* Removes bytes that were read. Behind the urgent byte there is no mark any more. */
static void drop_read(struct loop_sim_stream *stream, size_t n)
{
    loop_sim_bytes_drop(&stream->receiving, n);
    stream->taken += n;
    if (stream->taken > stream->urgent) {
        stream->urgent_state = LOOP_SIM_URGENT_NONE;
    }
}

/* Tells the peer that there is room again, when it is at least twice what it knows of. */
static void open_window(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    uint64_t known = stream->advertised_end - stream->expected;
    size_t window = loop_sim_stream_window(socket);
    size_t segment = loop_sim_stream_segment_bytes(socket);
    size_t half = (size_t)socket->options[LOOP_SIM_OPTION_RCVBUF] / 4;
    if (!stream->is_done && !loop_sim_stream_is_closed(socket) && window >= 2 * known &&
        window >= (segment < half ? segment : half)) {
        loop_sim_stream_send_flags(socket, LOOP_SIM_ACK);
    }
}

/* What a receive answers when there are no bytes. */
static ssize_t receive_nothing(struct loop_sim_socket *socket)
{
    if (socket->stream.is_done) {
        return 0;
    }
    if (socket->error) {
        return loop_sim_socket_take_error(socket);
    }
    if (socket->halves & LOOP_SIM_SHUT_RECEIVE) {
        return 0;
    }
    return loop_sim_stream_is_closed(socket) ? -ENOTCONN : -EAGAIN;
}

static ssize_t receive_urgent(struct loop_sim_socket *socket, struct msghdr *message, int flags)
{
    struct loop_sim_stream *stream = &socket->stream;
    if (socket->options[LOOP_SIM_OPTION_OOBINLINE] || stream->urgent_state == LOOP_SIM_URGENT_NONE ||
        stream->urgent_state == LOOP_SIM_URGENT_READ) {
        return -EINVAL;
    }
    if (loop_sim_stream_is_closed(socket) && !stream->is_done) {
        return -ENOTCONN;
    }
    if (stream->urgent_state == LOOP_SIM_URGENT_HERE) {
        size_t n = loop_sim_vectors_fill(message->msg_iov, message->msg_iovlen, 0, &stream->urgent_byte, 1);
        message->msg_flags |= MSG_OOB | (n == 0 ? MSG_TRUNC : 0);
        stream->urgent_state = flags & MSG_PEEK ? LOOP_SIM_URGENT_HERE : LOOP_SIM_URGENT_READ;
        return (ssize_t)n;
    }
    return loop_sim_stream_is_closed(socket) || socket->halves & LOOP_SIM_SHUT_RECEIVE ? 0 : -EAGAIN;
}

static ssize_t tcp_receive(struct loop_sim_socket *socket, struct msghdr *message, int flags)
{
    struct loop_sim_stream *stream = &socket->stream;
    if (stream->state == LOOP_SIM_TCP_LISTEN) {
        return -ENOTCONN;
    }
    message->msg_namelen = 0;
    message->msg_controllen = 0;
    if (flags & MSG_OOB) {
        return receive_urgent(socket, message, flags);
    }
    size_t n = readable(socket), skip = skipped(socket);
    size_t len = loop_sim_vectors_length(message->msg_iov, message->msg_iovlen);
    if (len == 0 && stream->receiving.size > 0) {
        return 0;
    }
    if (n == 0) {
        drop_read(stream, flags & MSG_PEEK ? 0 : skip);
        return receive_nothing(socket);
    }
    n = n < len ? n : len;
    if (!(flags & MSG_TRUNC)) {
        (void)loop_sim_vectors_fill(message->msg_iov, message->msg_iovlen, 0,
                                    stream->receiving.data + stream->receiving.begin + skip, n);
    }
    if (!(flags & MSG_PEEK)) {
        drop_read(stream, skip + n);
        open_window(socket);
    }
    return (ssize_t)n;
}

/* ---- sending ---- */

static ssize_t send_failure(struct loop_sim_socket *socket, int flags)
{
    int error = loop_sim_socket_take_error(socket);
    return error ? error : loop_sim_socket_broken_pipe(socket, flags);
}

static ssize_t tcp_send(struct loop_sim_socket *socket, const struct msghdr *message, int flags)
{
    struct loop_sim_stream *stream = &socket->stream;
    bool is_open = stream->state == LOOP_SIM_TCP_ESTABLISHED || stream->state == LOOP_SIM_TCP_CLOSE_WAIT;
    if (stream->state == LOOP_SIM_TCP_SYN_SENT && !socket->error) {
        return -EAGAIN;
    }
    if (!is_open || socket->error || socket->halves & LOOP_SIM_SHUT_SEND) {
        return send_failure(socket, flags);
    }
    size_t len = loop_sim_vectors_length(message->msg_iov, message->msg_iovlen);
    size_t size = (size_t)socket->options[LOOP_SIM_OPTION_SNDBUF];
    size_t room = stream->sending.size < size ? size - stream->sending.size : 0;
    if (len == 0) {
        return 0;
    }
    stream->is_full |= room < len;
    if (room == 0) {
        return -EAGAIN;
    }
    size_t n = len < room ? len : room;
    n = loop_sim_file_choose_length(&socket->file, LOOP_SIM_SHORT_WRITE, n);
    (void)loop_sim_vectors_take(message->msg_iov, message->msg_iovlen, 0, loop_sim_bytes_append(&stream->sending, n),
                                n);
    if (flags & MSG_OOB && n == len) {
        stream->urgent_sent = stream->unacknowledged + stream->sending.size - 1;
    }
    bool is_partial = n < len;
    loop_sim_stream_push(socket, is_partial         ? LOOP_SIM_PUSH_ALL
                                 : flags & MSG_MORE ? LOOP_SIM_PUSH_MORE
                                                    : LOOP_SIM_PUSH);
    return (ssize_t)n;
}

/* ---- the rest ---- */

static int tcp_shutdown(struct loop_sim_socket *socket, int halves)
{
    struct loop_sim_stream *stream = &socket->stream;
    int error = 0;
    if (stream->phase == LOOP_SIM_CONNECTING && stream->state != LOOP_SIM_TCP_SYN_SENT &&
        !loop_sim_stream_is_closed(socket)) {
        stream->phase = LOOP_SIM_CONNECTED;
    }
    if (stream->state == LOOP_SIM_TCP_LISTEN) {
        if (halves & LOOP_SIM_SHUT_RECEIVE) {
            stop_listening(socket);
        }
    } else if (stream->state == LOOP_SIM_TCP_SYN_SENT) {
        disconnect(socket);
        socket->error = ECONNRESET;
    } else {
        error = loop_sim_stream_is_closed(socket) ? -ENOTCONN : 0;
        socket->halves |= (unsigned)halves;
        if (halves & LOOP_SIM_SHUT_SEND) {
            loop_sim_stream_finish_sending(socket);
        }
    }
    loop_sim_socket_changed(socket, 0);
    return error;
}

static uint32_t data_events(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    uint32_t events = 0;
    size_t least = (size_t)socket->options[LOOP_SIM_OPTION_RCVLOWAT];
    bool skips = stream->urgent_state != LOOP_SIM_URGENT_NONE && stream->urgent == stream->taken &&
                 !socket->options[LOOP_SIM_OPTION_OOBINLINE];
    if (stream->receiving.size >= least + (skips ? 1 : 0)) {
        events |= EPOLLIN | EPOLLRDNORM;
    }
    if (socket->halves & LOOP_SIM_SHUT_SEND || loop_sim_stream_is_writable(socket)) {
        events |= EPOLLOUT | EPOLLWRNORM;
    } else {
        stream->is_full = true;
    }
    return events | (stream->urgent_state == LOOP_SIM_URGENT_HERE ? EPOLLPRI : 0);
}

static uint32_t tcp_poll(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    if (stream->state == LOOP_SIM_TCP_LISTEN) {
        return loop_list_is_empty(&stream->accepts) ? 0 : EPOLLIN | EPOLLRDNORM;
    }
    uint32_t events = 0;
    if (socket->halves == LOOP_SIM_SHUT_BOTH || loop_sim_stream_is_closed(socket)) {
        events |= EPOLLHUP;
    }
    if (socket->halves & LOOP_SIM_SHUT_RECEIVE) {
        events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
    }
    if (stream->state != LOOP_SIM_TCP_SYN_SENT) {
        events |= data_events(socket);
    }
    return events | (socket->error ? EPOLLERR : 0);
}

static int tcp_name(struct loop_sim_socket *socket, bool is_peer, struct sockaddr_storage *address, socklen_t *length)
{
    bool has_peer =
        socket->remote.port != 0 && !loop_sim_stream_is_closed(socket) && socket->stream.state != LOOP_SIM_TCP_SYN_SENT;
    if (is_peer && !has_peer) {
        return -ENOTCONN;
    }
    *length = loop_sim_endpoint_write(is_peer ? &socket->remote : &socket->local, socket->family, address);
    return 0;
}

static size_t tcp_waiting(struct loop_sim_socket *socket, bool is_output)
{
    bool is_inline = socket->options[LOOP_SIM_OPTION_OOBINLINE];
    return is_output   ? socket->stream.sending.size
           : is_inline ? socket->stream.receiving.size
                       : before_urgent(&socket->stream);
}

static bool tcp_is_at_mark(const struct loop_sim_socket *socket)
{
    return socket->stream.urgent_state != LOOP_SIM_URGENT_NONE && socket->stream.urgent == socket->stream.taken;
}

/* What is not sent yet goes on after the last use is gone. */
static void release_connection(struct loop_sim_socket *socket)
{
    bool has_unread = socket->stream.receiving.size > 0;
    bool is_abrupt = socket->linger.l_onoff && socket->linger.l_linger == 0;
    loop_sim_bytes_finish(&socket->stream.receiving);
    loop_sim_event_cancel(&socket->stream.keepalive);
    if ((has_unread || is_abrupt) && needs_reset(socket)) {
        loop_sim_stream_send_flags(socket, LOOP_SIM_RST | LOOP_SIM_ACK);
        loop_sim_stream_forget(socket);
        loop_sim_socket_discard(socket);
        return;
    }
    loop_sim_stream_finish_sending(socket);
    if (socket->stream.state == LOOP_SIM_TCP_FIN_WAIT_2) {
        loop_sim_host_hold_port(socket);
    }
}

static void tcp_release(struct loop_sim_socket *socket)
{
    struct loop_sim_stream *stream = &socket->stream;
    bool has_crashed = socket->file.node->state == LOOP_SIM_NODE_CRASHED; /* then nothing tells the peers */
    if (!has_crashed && stream->state == LOOP_SIM_TCP_LISTEN) {
        stop_listening(socket);
    }
    if (has_crashed || stream->state == LOOP_SIM_TCP_SYN_SENT) {
        loop_sim_stream_forget(socket);
    }
    if (stream->state == LOOP_SIM_TCP_CLOSED) {
        loop_sim_socket_discard(socket);
        return;
    }
    socket->halves = LOOP_SIM_SHUT_BOTH;
    if (stream->state != LOOP_SIM_TCP_TIME_WAIT) {
        release_connection(socket);
    } else if (stream->holds_port_until_ns == 0) {
        loop_sim_socket_discard(socket); /* its time was over before it was closed */
    }
}

const struct loop_sim_protocol loop_sim_tcp = {.number = IPPROTO_TCP,
                                               .bind = loop_sim_host_bind_call,
                                               .listen = tcp_listen,
                                               .accept = tcp_accept,
                                               .connect = tcp_connect,
                                               .receive = tcp_receive,
                                               .send = tcp_send,
                                               .shutdown = tcp_shutdown,
                                               .poll = tcp_poll,
                                               .name = tcp_name,
                                               .waiting = tcp_waiting,
                                               .is_at_mark = tcp_is_at_mark,
                                               .input = loop_sim_stream_input,
                                               .lost = loop_sim_stream_lost,
                                               .release = tcp_release};
