/* SPDX-License-Identifier: ISC
 *
 * Unix sockets: what is sent and received. Bytes of a stream are in messages too: descriptors and credentials go with
 * the bytes that they were sent with.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/network/control.h>
#include <loop/kernel/simulated/network/unix/message.h>
#include <loop/kernel/simulated/network/unix/name.h>

#include <string.h>

enum { DATAGRAM_BACKLOG = 10, MOST_PART_BYTES = 36544, STREAM_HEAD_BYTES = 64, DATAGRAM_HEAD_BYTES = 32 };

static bool is_full(const struct loop_sim_socket *socket)
{
    size_t n = 0;
    for (struct loop_list *at = socket->messages.next; at != &socket->messages; at = at->next) {
        n++;
    }
    return n > DATAGRAM_BACKLOG;
}

static bool has_send_room(const struct loop_sim_socket *socket)
{
    return socket->sent_bytes < (size_t)socket->options[LOOP_SIM_OPTION_SNDBUF];
}

uint32_t loop_sim_unix_poll(struct loop_sim_socket *socket)
{
    const struct loop_sim_unix *self = &socket->local_socket;
    uint32_t events = socket->error ? EPOLLERR : 0;
    bool has_input = self->is_listening ? !loop_list_is_empty(&self->accepts) : !loop_list_is_empty(&socket->messages);
    bool is_writable = !self->is_listening && socket->sent_bytes * 4 <= (size_t)socket->options[LOOP_SIM_OPTION_SNDBUF];
    if (socket->halves == LOOP_SIM_SHUT_BOTH) {
        events |= EPOLLHUP;
    }
    if (socket->halves & LOOP_SIM_SHUT_RECEIVE) {
        events |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
    }
    if (has_input) {
        events |= EPOLLIN | EPOLLRDNORM;
    }
    if (socket->type != SOCK_DGRAM && !self->is_connected && !self->is_listening) {
        events |= EPOLLHUP;
    }
    if (socket->type == SOCK_DGRAM && self->peer && self->peer->local_socket.peer != socket && is_full(self->peer)) {
        is_writable = false;
    }
    events |= self->urgent ? EPOLLPRI : 0;
    return events | (is_writable ? EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND : 0);
}

/* ---- sending ---- */

/* Makes a message of bytes from `skip` on, and gives it what goes with it. */
static struct loop_sim_message *create(struct loop_sim_socket *socket, const struct msghdr *from, size_t skip,
                                       size_t size, struct loop_sim_ancillary *ancillary)
{
    struct loop_sim_message *message = loop_sim_message_create(size);
    loop_sim_message_fill(message, from, skip);
    message->sender = socket;
    message->arrived_ns = loop_sim_wall_ns(socket->file.node->world, socket->file.node);
    socket->sent_bytes += message->charge_bytes;
    socket->n_sent++;
    memcpy(&message->from, &socket->local_socket.name, socket->local_socket.name_length);
    message->from_length = socket->local_socket.name_length;
    message->credentials =
        ancillary->has_credentials ? ancillary->credentials : loop_sim_unix_credentials(socket->file.node);
    if (ancillary->n_rights > 0) {
        message->rights = loop_sim_alloc(ancillary->n_rights * sizeof(void *));
        for (size_t i = 0; i < ancillary->n_rights; i++) {
            message->rights[message->n_rights++] = ancillary->rights[i];
        }
        ancillary->n_rights = 0;
    }
    return message;
}

static void deliver(struct loop_sim_socket *peer, struct loop_sim_message *message)
{
    loop_list_push_back(&peer->messages, &message->link);
    loop_sim_socket_changed(peer, EPOLLIN | EPOLLRDNORM | EPOLLRDBAND);
}

static void deliver_urgent(struct loop_sim_socket *peer, struct loop_sim_message *message)
{
    peer->local_socket.urgent = message; /* one before it becomes a byte as any other */
    deliver(peer, message);
    loop_sim_socket_changed(peer, EPOLLPRI);
}

/* Sends `len` bytes of a message. */
static ssize_t send_parts(struct loop_sim_socket *socket, const struct msghdr *message, size_t len,
                          struct loop_sim_ancillary *ancillary, int flags)
{
    size_t sent = 0;
    size_t most = (size_t)socket->options[LOOP_SIM_OPTION_SNDBUF] / 2 - STREAM_HEAD_BYTES;
    most = most < MOST_PART_BYTES ? most : MOST_PART_BYTES;
    while (sent < len) {
        struct loop_sim_socket *peer = socket->local_socket.peer;
        if (!has_send_room(socket)) {
            return sent > 0 ? (ssize_t)sent : -EAGAIN;
        }
        if (!peer || peer->halves & LOOP_SIM_SHUT_RECEIVE) {
            return sent > 0 ? (ssize_t)sent : loop_sim_socket_broken_pipe(socket, flags);
        }
        size_t n = len - sent < most ? len - sent : most;
        deliver(peer, create(socket, message, sent, n, ancillary));
        sent += n;
    }
    return (ssize_t)sent;
}

/* Sends bytes of which the last is urgent: it is a message of its own. */
static ssize_t send_urgent(struct loop_sim_socket *socket, const struct msghdr *message, size_t len,
                           struct loop_sim_ancillary *ancillary, int flags)
{
    ssize_t sent = send_parts(socket, message, len - 1, ancillary, flags);
    if (sent < (ssize_t)len - 1) {
        return sent;
    }
    struct loop_sim_socket *peer = socket->local_socket.peer;
    if (!peer || peer->halves & LOOP_SIM_SHUT_RECEIVE) {
        return sent > 0 ? sent : loop_sim_socket_broken_pipe(socket, flags);
    }
    if (!has_send_room(socket)) {
        return sent > 0 ? sent : -EAGAIN;
    }
    deliver_urgent(peer, create(socket, message, len - 1, 1, ancillary));
    return (ssize_t)len;
}

static ssize_t send_stream(struct loop_sim_socket *socket, const struct msghdr *message,
                           struct loop_sim_ancillary *ancillary, int flags)
{
    size_t len = loop_sim_vectors_length(message->msg_iov, message->msg_iovlen);
    if (message->msg_name && message->msg_namelen > 0) {
        return socket->local_socket.is_connected ? -EISCONN : -EOPNOTSUPP;
    }
    if (!socket->local_socket.is_connected) {
        return -ENOTCONN;
    }
    if (socket->halves & LOOP_SIM_SHUT_SEND) {
        return loop_sim_socket_broken_pipe(socket, flags);
    }
    if (flags & MSG_OOB) {
        return len > 0 ? send_urgent(socket, message, len, ancillary, flags) : -EOPNOTSUPP;
    }
    len = loop_sim_file_choose_length(&socket->file, LOOP_SIM_SHORT_WRITE, len);
    return send_parts(socket, message, len, ancillary, flags);
}

/* Finds the receiver of a datagram or a packet. */
static struct loop_sim_socket *receiver_of(struct loop_sim_socket *socket, const struct msghdr *message, int *error)
{
    struct loop_sim_unix *self = &socket->local_socket;
    if (socket->type == SOCK_DGRAM && message->msg_name && message->msg_namelen > 0) {
        return loop_sim_unix_find(socket, message->msg_name, message->msg_namelen, error);
    }
    if (self->peer) {
        return self->peer;
    }
    *error = !self->is_connected ? -ENOTCONN : socket->type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
    if (*error == -ECONNREFUSED) {
        self->is_connected = self->had_peer = false;
        loop_sim_unix_drop_queue(socket);
    }
    return NULL;
}

/* Returns why a message cannot be sent to a socket now, or 0. */
static int refusal(struct loop_sim_socket *socket, const struct loop_sim_socket *peer, size_t len)
{
    if (len > (size_t)socket->options[LOOP_SIM_OPTION_SNDBUF] - DATAGRAM_HEAD_BYTES) {
        return -EMSGSIZE;
    }
    if (socket->halves & LOOP_SIM_SHUT_SEND) {
        return -EPIPE;
    }
    if (!has_send_room(socket)) {
        return -EAGAIN;
    }
    bool is_connected = peer->local_socket.peer || peer->local_socket.had_peer;
    if (is_connected && peer->local_socket.peer != socket) {
        return -EPERM;
    }
    if (peer->halves & LOOP_SIM_SHUT_RECEIVE) {
        return -EPIPE;
    }
    if (peer != socket && peer->local_socket.peer != socket && is_full(peer)) {
        loop_sim_unix_wait_for_room(socket);
        return -EAGAIN;
    }
    return 0;
}

static ssize_t send_datagram(struct loop_sim_socket *socket, const struct msghdr *message,
                             struct loop_sim_ancillary *ancillary)
{
    size_t len = loop_sim_vectors_length(message->msg_iov, message->msg_iovlen);
    int error = 0;
    if (socket->error) {
        return loop_sim_socket_take_error(socket);
    }
    if (socket->type == SOCK_DGRAM && socket->halves & LOOP_SIM_SHUT_SEND) {
        return -EPIPE; /* before Linux 6.18 the peer is looked for first */
    }
    struct loop_sim_socket *peer = receiver_of(socket, message, &error);
    error = error ? error : refusal(socket, peer, len);
    if (error) {
        return error;
    }
    if (socket->options[LOOP_SIM_OPTION_PASSCRED]) {
        loop_sim_unix_choose_name(socket);
    }
    deliver(peer, create(socket, message, 0, len, ancillary));
    return (ssize_t)len;
}

ssize_t loop_sim_unix_send(struct loop_sim_socket *socket, const struct msghdr *message, int flags)
{
    struct loop_sim_ancillary ancillary;
    if (flags & MSG_OOB && socket->type != SOCK_STREAM) {
        return -EOPNOTSUPP;
    }
    int error = loop_sim_control_read(socket, message, &ancillary);
    if (error) {
        return error;
    }
    ssize_t n = socket->type == SOCK_STREAM ? send_stream(socket, message, &ancillary, flags)
                                            : send_datagram(socket, message, &ancillary);
    loop_sim_control_finish(&ancillary);
    return n;
}

/* ---- receiving ---- */

static void give_credentials(const struct loop_sim_socket *socket, const struct loop_sim_message *message,
                             struct loop_sim_control *control)
{
    const struct loop_sim_credentials *from = &message->credentials;
    if (socket->options[LOOP_SIM_OPTION_PASSCRED]) {
        const struct ucred credentials = {from->pid, from->user, from->group};
        loop_sim_control_put(control, SOL_SOCKET, SCM_CREDENTIALS, &credentials, sizeof credentials);
    }
}

/* Gives the receiver the descriptors that came with a message. One that only peeks gets copies. */
static void give_rights(struct loop_sim_socket *socket, struct loop_sim_message *message,
                        struct loop_sim_control *control, int flags)
{
    if (message->n_rights > 0) {
        loop_sim_control_put_rights(control, socket->file.node, message->rights, message->n_rights, flags);
        for (size_t i = 0; i < message->n_rights && !(flags & MSG_PEEK); i++) {
            loop_sim_file_unref(message->rights[i]);
        }
        message->n_rights = flags & MSG_PEEK ? message->n_rights : 0;
    }
}

static void give_name(const struct loop_sim_message *message, struct msghdr *to)
{
    socklen_t length = to->msg_namelen;
    if (to->msg_name) {
        loop_sim_address_copy(&message->from, message->from_length, to->msg_name, &length);
    }
    to->msg_namelen = message->from_length;
}

static bool is_same_sender(const struct loop_sim_message *one, const struct loop_sim_credentials *other)
{
    return one->credentials.pid == other->pid && one->credentials.user == other->user &&
           one->credentials.group == other->group;
}

/* Copies bytes of a message, and takes them. */
static size_t take(struct loop_sim_message *from, struct msghdr *to, size_t at, size_t room, bool peeks)
{
    size_t n = from->size - from->taken < room ? from->size - from->taken : room;
    (void)loop_sim_vectors_fill(to->msg_iov, to->msg_iovlen, at, from->data + from->taken, n);
    from->taken += peeks ? 0 : n;
    return n;
}

/* An urgent byte that was read stays in the queue as a mark, which ends a read. */
static bool is_read(const struct loop_sim_message *message)
{
    return message->size > 0 && message->taken == message->size;
}

bool loop_sim_unix_is_at_mark(const struct loop_sim_socket *socket)
{
    const struct loop_sim_message *urgent = socket->local_socket.urgent;
    struct loop_list *first = loop_list_first((struct loop_list *)(uintptr_t)&socket->messages);
    if (!first) {
        return false;
    }
    const struct loop_sim_message *message = LOOP_CONTAINER(first, struct loop_sim_message, link);
    return message == urgent || (is_read(message) && (!urgent || first->next == &urgent->link));
}

enum step { READS, PASSES, ENDS };

/* Decides whether a read takes a message or passes it, or ends in front of it: the urgent byte is read by itself. A
 * read that does not only peek drops what it passes. */
static enum step step_to(struct loop_sim_socket *socket, struct loop_sim_message *message, bool is_first, bool peeks)
{
    struct loop_sim_unix *self = &socket->local_socket;
    bool is_inline = socket->options[LOOP_SIM_OPTION_OOBINLINE];
    bool is_mark = is_read(message), is_urgent = message == self->urgent;
    if (!is_mark && !is_urgent) {
        return READS;
    }
    if (!is_first && (is_urgent || !self->urgent)) {
        return ENDS;
    }
    self->urgent = is_urgent && !peeks ? NULL : self->urgent;
    if (is_urgent && is_inline) {
        return READS;
    }
    if (!peeks) {
        loop_sim_socket_drop_message(message);
    }
    return PASSES;
}

/* Receives bytes of as many messages as there is room for: up to those with descriptors, or from another sender.
 * Returns -EAGAIN when there is none. */
static ssize_t receive_stream(struct loop_sim_socket *socket, struct msghdr *to, int flags)
{
    size_t len = loop_sim_vectors_length(to->msg_iov, to->msg_iovlen);
    size_t n = 0;
    bool peeks = (flags & MSG_PEEK) != 0;
    bool is_first = true;
    struct loop_sim_control control = {.message = to};
    struct loop_sim_credentials sender = {0};
    struct loop_list *next;
    for (struct loop_list *at = socket->messages.next; at != &socket->messages; at = next) {
        struct loop_sim_message *message = LOOP_CONTAINER(at, struct loop_sim_message, link);
        next = at->next;
        enum step step = step_to(socket, message, is_first, peeks);
        if (step == PASSES) {
            continue;
        }
        bool is_another = !is_first && socket->options[LOOP_SIM_OPTION_PASSCRED] && !is_same_sender(message, &sender);
        if (step == ENDS || is_another) {
            break;
        }
        bool has_rights = message->n_rights > 0;
        n += take(message, to, n, len - n, peeks);
        if (is_first) {
            give_name(message, to);
            give_credentials(socket, message, &control);
        }
        give_rights(socket, message, &control, flags);
        sender = message->credentials;
        is_first = false;
        bool is_used_up = message->taken == message->size;
        if (is_used_up && !peeks) {
            loop_sim_socket_drop_message(message);
        }
        if (has_rights || (!is_used_up && !peeks) || n == len) {
            break;
        }
    }
    if (is_first) {
        return -EAGAIN;
    }
    to->msg_controllen = control.used;
    return (ssize_t)n;
}

/* Receives the urgent byte. */
static ssize_t receive_urgent(struct loop_sim_socket *socket, struct msghdr *to, int flags)
{
    struct loop_sim_message *urgent = socket->local_socket.urgent;
    if (!urgent || socket->options[LOOP_SIM_OPTION_OOBINLINE]) {
        return -EINVAL;
    }
    (void)take(urgent, to, 0, loop_sim_vectors_length(to->msg_iov, to->msg_iovlen), flags & MSG_PEEK);
    urgent->taken = flags & MSG_PEEK ? 0 : urgent->size;
    socket->local_socket.urgent = flags & MSG_PEEK ? urgent : NULL;
    to->msg_flags |= MSG_OOB;
    to->msg_namelen = 0;
    to->msg_controllen = 0;
    return 1;
}

/* The queue has room again: for senders that are connected to the socket, and for others. */
static void tell_senders(struct loop_sim_socket *socket)
{
    struct loop_list *peers = &socket->local_socket.peers;
    for (struct loop_list *at = peers->next; at != peers; at = at->next) {
        struct loop_sim_unix *peer = LOOP_CONTAINER(at, struct loop_sim_unix, peer_link);
        loop_sim_socket_changed(LOOP_CONTAINER(peer, struct loop_sim_socket, local_socket),
                                EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
    }
    loop_sim_unix_has_room(socket->file.node->host);
}

void loop_sim_unix_drop_queue(struct loop_sim_socket *socket)
{
    struct loop_sim_socket *peer = socket->local_socket.peer;
    struct loop_list *at = loop_list_first(&socket->messages);
    if (at && peer && peer->local_socket.peer == socket) {
        peer->error = ECONNRESET;
        loop_sim_socket_changed(peer, EPOLLERR);
    }
    for (; at; at = loop_list_first(&socket->messages)) {
        loop_sim_socket_drop_message(LOOP_CONTAINER(at, struct loop_sim_message, link));
    }
    tell_senders(socket);
}

static ssize_t receive_message(struct loop_sim_socket *socket, struct msghdr *to, int flags)
{
    struct loop_list *first = loop_list_first(&socket->messages);
    struct loop_sim_message *message = LOOP_CONTAINER(first, struct loop_sim_message, link);
    size_t len = loop_sim_vectors_length(to->msg_iov, to->msg_iovlen);
    size_t n = take(message, to, 0, len, true);
    size_t size = message->size;
    struct loop_sim_control control = {.message = to};
    to->msg_flags |= size > len ? MSG_TRUNC : 0;
    give_name(message, to);
    if (socket->options[LOOP_SIM_OPTION_TIMESTAMPNS]) {
        loop_sim_control_put_time(&control, message->arrived_ns);
    }
    give_credentials(socket, message, &control);
    give_rights(socket, message, &control, flags);
    to->msg_controllen = control.used;
    if (!(flags & MSG_PEEK)) {
        bool was_full = is_full(socket);
        loop_sim_socket_drop_message(message);
        if (was_full) {
            tell_senders(socket);
        }
    }
    return (ssize_t)(flags & MSG_TRUNC ? size : n);
}

ssize_t loop_sim_unix_receive(struct loop_sim_socket *socket, struct msghdr *message, int flags)
{
    bool is_stream = socket->type == SOCK_STREAM;
    bool has_message = !loop_list_is_empty(&socket->messages);
    if (flags & MSG_OOB) {
        return is_stream ? receive_urgent(socket, message, flags) : -EOPNOTSUPP;
    }
    if (socket->type != SOCK_DGRAM && !socket->local_socket.is_connected) {
        return is_stream ? -EINVAL : -ENOTCONN;
    }
    if (socket->error && !(is_stream && has_message)) {
        return loop_sim_socket_take_error(socket);
    }
    if (has_message) {
        ssize_t n = is_stream ? receive_stream(socket, message, flags) : receive_message(socket, message, flags);
        if (n != -EAGAIN) {
            return n;
        }
    }
    bool is_ended = socket->halves & LOOP_SIM_SHUT_RECEIVE &&
                    (socket->type != SOCK_DGRAM || !(socket->file.flags & O_NONBLOCK || flags & MSG_DONTWAIT));
    if (is_ended) {
        message->msg_namelen = 0;
        message->msg_controllen = 0;
    }
    return is_ended ? 0 : -EAGAIN;
}
