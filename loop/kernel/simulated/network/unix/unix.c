/* SPDX-License-Identifier: ISC
 *
 * Unix sockets: streams, sequenced packets and datagrams, within one node.
 */
#include <loop/kernel/simulated/network/option.h>
#include <loop/kernel/simulated/network/unix/message.h>
#include <loop/kernel/simulated/network/unix/name.h>
#include <loop/kernel/simulated/network/unix/unix.h>

enum { MOST_BACKLOG = 4096 };

static bool is_datagram(const struct loop_sim_socket *socket)
{
    return socket->type == SOCK_DGRAM;
}

/* ---- connections ---- */

static void join(struct loop_sim_socket *one, struct loop_sim_socket *other)
{
    one->local_socket.peer = other;
    one->local_socket.is_connected = true;
    one->local_socket.peer_credentials = loop_sim_unix_credentials(other->file.node);
    one->local_socket.has_peer_credentials = true;
    loop_list_remove(&one->local_socket.peer_link);
    loop_list_push_back(&other->local_socket.peers, &one->local_socket.peer_link);
}

void loop_sim_unix_pair(struct loop_sim_socket *one, struct loop_sim_socket *other)
{
    join(one, other);
    join(other, one);
}

static void leave_peer(struct loop_sim_socket *socket)
{
    struct loop_sim_unix *self = &socket->local_socket;
    if (self->peer) {
        self->peer_name = self->peer->local_socket.name;
        self->peer_name_length = self->peer->local_socket.name_length;
        self->had_peer = true;
        self->peer = NULL;
    }
    loop_list_remove(&self->peer_link);
}

/* Connects a datagram socket, or ends that for AF_UNSPEC. */
static int connect_datagram(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length)
{
    struct loop_sim_socket *peer = NULL;
    int error = 0;
    if (address->sa_family != AF_UNSPEC) {
        peer = loop_sim_unix_find(socket, address, length, &error);
        if (!peer) {
            return error;
        }
        bool is_connected = peer->local_socket.peer || peer->local_socket.had_peer;
        if (is_connected && peer->local_socket.peer != socket) {
            return -EPERM;
        }
        if (socket->options[LOOP_SIM_OPTION_PASSCRED]) {
            loop_sim_unix_choose_name(socket);
        }
    }
    if (socket->local_socket.is_connected && (!peer || socket->local_socket.peer != peer)) {
        loop_sim_unix_drop_queue(socket);
    }
    leave_peer(socket);
    socket->local_socket.is_connected = socket->local_socket.had_peer = false;
    if (peer) {
        join(socket, peer);
    }
    return 0;
}

static struct loop_sim_socket *make_child(struct loop_sim_socket *listener, struct loop_sim_socket *socket)
{
    struct loop_sim_socket *child =
        loop_sim_socket_make(listener->file.node, listener->protocol, AF_UNIX, listener->type);
    loop_sim_options_init(child);
    child->options[LOOP_SIM_OPTION_PASSCRED] = listener->options[LOOP_SIM_OPTION_PASSCRED];
    child->local_socket.name = listener->local_socket.name;
    child->local_socket.name_length = listener->local_socket.name_length;
    child->local_socket.listener = listener;
    loop_sim_unix_pair(child, socket);
    loop_list_push_back(&listener->local_socket.accepts, &child->local_socket.accept_link);
    listener->local_socket.n_accepts++;
    return child;
}

static int unix_connect(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length)
{
    int error;
    if (length < sizeof address->sa_family) {
        return -EINVAL;
    }
    if (is_datagram(socket)) {
        return connect_datagram(socket, address, length);
    }
    struct loop_sim_socket *listener = loop_sim_unix_find(socket, address, length, &error);
    if (!listener) {
        return error;
    }
    if (!listener->local_socket.is_listening || listener->halves & LOOP_SIM_SHUT_RECEIVE) {
        return -ECONNREFUSED;
    }
    if (listener->local_socket.n_accepts > listener->local_socket.backlog) {
        loop_sim_unix_wait_for_room(socket);
        return -EAGAIN;
    }
    if (socket->local_socket.is_connected) {
        return -EISCONN;
    }
    if (socket->local_socket.is_listening) {
        return -EINVAL;
    }
    (void)make_child(listener, socket);
    loop_sim_socket_changed(listener, EPOLLIN | EPOLLRDNORM);
    return 0;
}

static int unix_listen(struct loop_sim_socket *socket, int backlog)
{
    struct loop_sim_unix *self = &socket->local_socket;
    if (is_datagram(socket)) {
        return -EOPNOTSUPP;
    }
    if (!self->was_bound || self->is_connected) {
        return -EINVAL;
    }
    self->backlog = backlog < 0 || backlog > MOST_BACKLOG ? MOST_BACKLOG : (unsigned)backlog;
    self->is_listening = true;
    self->peer_credentials = loop_sim_unix_credentials(socket->file.node);
    self->has_peer_credentials = true;
    return 0;
}

static struct loop_sim_socket *unix_accept(struct loop_sim_socket *socket, int *error)
{
    struct loop_sim_unix *self = &socket->local_socket;
    struct loop_list *first = loop_list_first(&self->accepts);
    *error = is_datagram(socket)                      ? -EOPNOTSUPP
             : !self->is_listening                    ? -EINVAL
             : first                                  ? 0
             : socket->halves & LOOP_SIM_SHUT_RECEIVE ? -EINVAL
                                                      : -EAGAIN;
    if (*error) {
        return NULL;
    }
    struct loop_sim_unix *child = LOOP_CONTAINER(first, struct loop_sim_unix, accept_link);
    loop_list_remove(first);
    self->n_accepts--;
    child->listener = NULL;
    loop_sim_unix_has_room(socket->file.node->host);
    return LOOP_CONTAINER(child, struct loop_sim_socket, local_socket);
}

/* ---- ends ---- */

static int unix_shutdown(struct loop_sim_socket *socket, int halves)
{
    struct loop_sim_socket *peer = socket->local_socket.peer;
    socket->halves |= (unsigned)halves;
    if (peer && !is_datagram(socket)) {
        bool ends_receiving = (halves & LOOP_SIM_SHUT_RECEIVE) != 0;
        bool ends_sending = (halves & LOOP_SIM_SHUT_SEND) != 0;
        peer->halves |= (ends_receiving ? LOOP_SIM_SHUT_SEND : 0U) | (ends_sending ? LOOP_SIM_SHUT_RECEIVE : 0U);
        loop_sim_socket_changed(peer, 0);
    }
    loop_sim_socket_changed(socket, 0);
    return 0;
}

static size_t unix_waiting(struct loop_sim_socket *socket, bool is_output)
{
    size_t n = 0;
    if (is_output) {
        return socket->sent_bytes;
    }
    for (struct loop_list *at = socket->messages.next; at != &socket->messages; at = at->next) {
        struct loop_sim_message *message = LOOP_CONTAINER(at, struct loop_sim_message, link);
        n += message->size - message->taken;
        if (socket->type != SOCK_STREAM && socket->type != SOCK_SEQPACKET) {
            break;
        }
    }
    return n;
}

/* The peer of a connection reads what is there, and then its end: an error when something was left unread here. */
static void end_peer(struct loop_sim_socket *socket, bool is_lost)
{
    struct loop_sim_socket *peer = socket->local_socket.peer;
    if (!peer || is_datagram(socket)) {
        return;
    }
    peer->halves = LOOP_SIM_SHUT_BOTH;
    if (is_lost) {
        peer->error = ECONNRESET;
    }
}

static void unix_release(struct loop_sim_socket *socket)
{
    struct loop_sim_unix *self = &socket->local_socket;
    struct loop_sim_socket *peer = self->peer;
    struct loop_list *at;
    while ((at = loop_list_pop_front(&self->accepts))) {
        struct loop_sim_unix *child = LOOP_CONTAINER(at, struct loop_sim_unix, accept_link);
        end_peer(LOOP_CONTAINER(child, struct loop_sim_socket, local_socket), true);
        unix_release(LOOP_CONTAINER(child, struct loop_sim_socket, local_socket));
    }
    bool is_stream = socket->type == SOCK_STREAM;
    end_peer(socket, is_stream ? unix_waiting(socket, false) > 0 : !loop_list_is_empty(&socket->messages));
    while ((at = loop_list_first(&self->peers))) {
        struct loop_sim_unix *other = LOOP_CONTAINER(at, struct loop_sim_unix, peer_link);
        leave_peer(LOOP_CONTAINER(other, struct loop_sim_socket, local_socket));
    }
    leave_peer(socket);
    socket->file.node->host->n_waiting_for_room -= self->waits_for_room;
    self->waits_for_room = self->was_bound = false;
    loop_sim_socket_discard(socket);
    if (peer && !is_datagram(socket)) { /* one of datagrams learns of it when it sends */
        loop_sim_socket_changed(peer, 0);
    }
    loop_sim_unix_has_room(socket->file.node->host);
}

const struct loop_sim_protocol loop_sim_unix = {.bind = loop_sim_unix_bind,
                                                .listen = unix_listen,
                                                .accept = unix_accept,
                                                .connect = unix_connect,
                                                .receive = loop_sim_unix_receive,
                                                .send = loop_sim_unix_send,
                                                .shutdown = unix_shutdown,
                                                .poll = loop_sim_unix_poll,
                                                .name = loop_sim_unix_name,
                                                .waiting = unix_waiting,
                                                .is_at_mark = loop_sim_unix_is_at_mark,
                                                .release = unix_release};
