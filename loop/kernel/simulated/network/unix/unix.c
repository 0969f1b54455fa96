/* SPDX-License-Identifier: ISC
 *
 * Unix sockets: streams, sequenced packets and datagrams, within one node.
 */
#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/network/socket.h>
#include <loop/kernel/simulated/object/object.h>
#include <loop/kernel/simulated/object/process.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { MOST_BACKLOG = 4096, DATAGRAM_BACKLOG = 10, PATH_OFFSET = offsetof(struct sockaddr_un, sun_path) };

static bool is_datagram(const struct loop_sim_socket *socket)
{
    return socket->type == SOCK_DGRAM;
}

struct loop_sim_credentials loop_sim_unix_credentials(const struct loop_sim_node *node)
{
    return (struct loop_sim_credentials){loop_sim_process_id(node), loop_sim_user(node), loop_sim_group(node)};
}

/* ---- names ---- */

static char *path_of(struct sockaddr_storage *name)
{
    return (char *)name + PATH_OFFSET;
}

/* Reads an address. Returns 0, or -EINVAL. A path gets a NUL at its end. */
static int read_name(const struct sockaddr *address, socklen_t length, struct sockaddr_storage *name,
                     socklen_t *name_length)
{
    memset(name, 0, sizeof *name);
    if (length < PATH_OFFSET || length > sizeof(struct sockaddr_un) || address->sa_family != AF_UNIX) {
        return -EINVAL;
    }
    memcpy(name, address, length);
    *name_length = length;
    if (length > PATH_OFFSET && *path_of(name) != '\0') {
        *name_length = PATH_OFFSET + (socklen_t)strlen(path_of(name)) + 1;
    }
    return 0;
}

static bool has_path(struct sockaddr_storage *name, socklen_t length)
{
    return length > PATH_OFFSET && *path_of(name) != '\0';
}

/* Finds the socket that an abstract name is bound to, or a path of this inode. Names of different types do not meet. */
static struct loop_sim_socket *find_bound(const struct loop_sim_node *node, const struct sockaddr_storage *name,
                                          socklen_t length, int type, uint64_t inode)
{
    struct loop_list *sockets = &node->host->sockets;
    for (struct loop_list *at = sockets->next; at != sockets; at = at->next) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        const struct loop_sim_unix *bound = &socket->local_socket;
        if (socket->family != AF_UNIX || !bound->was_bound || bound->inode != inode) {
            continue;
        }
        bool is_same = socket->type == type && bound->name_length == length && memcmp(&bound->name, name, length) == 0;
        if (inode != 0 || is_same) {
            return socket;
        }
    }
    return NULL;
}

/* The names have five digits. */
void loop_sim_unix_choose_name(struct loop_sim_socket *socket)
{
    enum { DIGITS = 5, NAMES = 1 << 20 };
    struct loop_sim_host *host = socket->file.node->host;
    struct sockaddr_storage name = {.ss_family = AF_UNIX};
    char text[DIGITS + 1];
    if (socket->local_socket.was_bound) {
        return;
    }
    do {
        snprintf(text, sizeof text, "%05x", host->next_abstract_name++ % NAMES);
        memcpy(path_of(&name) + 1, text, DIGITS);
    } while (find_bound(socket->file.node, &name, PATH_OFFSET + 1 + DIGITS, socket->type, 0));
    socket->local_socket.name = name;
    socket->local_socket.name_length = PATH_OFFSET + 1 + DIGITS;
    socket->local_socket.was_bound = true;
}

static int unix_bind(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length)
{
    struct loop_sim_unix *self = &socket->local_socket;
    struct sockaddr_storage name;
    socklen_t name_length = 0;
    int error = read_name(address, length, &name, &name_length);
    if (error) {
        return error;
    }
    if (name_length == PATH_OFFSET) {
        loop_sim_unix_choose_name(socket);
        return 0;
    }
    if (self->was_bound) {
        return -EINVAL;
    }
    if (has_path(&name, name_length)) {
        error = loop_sim_disk_make_socket(socket->file.node, path_of(&name), socket->mode, &self->inode);
    } else if (find_bound(socket->file.node, &name, name_length, socket->type, 0)) {
        error = -EADDRINUSE;
    }
    if (error) {
        return error;
    }
    self->name = name;
    self->name_length = name_length;
    self->was_bound = true;
    return 0;
}

struct loop_sim_socket *loop_sim_unix_find(struct loop_sim_socket *socket, const struct sockaddr *address,
                                           socklen_t length, int *error)
{
    struct sockaddr_storage name;
    socklen_t name_length = 0;
    *error = read_name(address, length, &name, &name_length);
    if (!*error && name_length == PATH_OFFSET) {
        *error = -ECONNREFUSED;
    }
    if (*error) {
        return NULL;
    }
    uint64_t inode = 0;
    bool is_path = has_path(&name, name_length);
    *error = is_path ? loop_sim_disk_find_socket(socket->file.node, path_of(&name), &inode) : 0;
    if (*error) {
        return NULL;
    }
    struct loop_sim_socket *found = find_bound(socket->file.node, &name, name_length, socket->type, inode);
    *error = !found ? -ECONNREFUSED : found->type != socket->type ? -EPROTOTYPE : 0;
    return *error ? NULL : found;
}

static int unix_name(struct loop_sim_socket *socket, bool is_peer, struct sockaddr_storage *address, socklen_t *length)
{
    const struct loop_sim_unix *self = &socket->local_socket;
    const struct sockaddr_storage *name = is_peer ? &self->peer_name : &self->name;
    socklen_t name_length = is_peer ? self->peer_name_length : self->name_length;
    if (is_peer && self->peer) {
        name = &self->peer->local_socket.name;
        name_length = self->peer->local_socket.name_length;
    } else if (is_peer && !self->had_peer) {
        return -ENOTCONN;
    }
    memset(address, 0, sizeof *address);
    memcpy(address, name, name_length);
    address->ss_family = AF_UNIX;
    *length = name_length ? name_length : sizeof address->ss_family;
    return 0;
}

/* ---- room at another socket ---- */

void loop_sim_unix_wait_for_room(struct loop_sim_socket *socket)
{
    if (!(socket->file.flags & O_NONBLOCK) && !socket->local_socket.waits_for_room) {
        socket->local_socket.waits_for_room = true;
        socket->file.node->host->n_waiting_for_room++;
    }
}

void loop_sim_unix_has_room(struct loop_sim_host *host)
{
    struct loop_list *next;
    for (struct loop_list *at = host->sockets.next; host->n_waiting_for_room > 0 && at != &host->sockets; at = next) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        next = at->next;
        if (socket->local_socket.waits_for_room) {
            socket->local_socket.waits_for_room = false;
            host->n_waiting_for_room--;
            loop_sim_socket_changed(socket, 0);
        }
    }
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

void loop_sim_unix_leave_peer(struct loop_sim_socket *socket)
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
        if (peer->local_socket.peer && peer->local_socket.peer != socket) {
            return -EPERM;
        }
        if (socket->options[LOOP_SIM_OPTION_PASSCRED]) {
            loop_sim_unix_choose_name(socket);
        }
    }
    loop_sim_unix_leave_peer(socket);
    socket->local_socket.is_connected = socket->local_socket.had_peer = false;
    if (peer) {
        join(socket, peer);
    }
    return 0;
}

static struct loop_sim_socket *make_child(struct loop_sim_socket *listener, struct loop_sim_socket *socket)
{
    struct loop_sim_socket *child =
        loop_sim_socket_make(listener->file.node, AF_UNIX, listener->type, listener->number);
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
    end_peer(socket, !loop_list_is_empty(&socket->messages));
    while ((at = loop_list_first(&self->peers))) {
        struct loop_sim_unix *other = LOOP_CONTAINER(at, struct loop_sim_unix, peer_link);
        loop_sim_unix_leave_peer(LOOP_CONTAINER(other, struct loop_sim_socket, local_socket));
    }
    loop_sim_unix_leave_peer(socket);
    socket->file.node->host->n_waiting_for_room -= self->waits_for_room;
    self->waits_for_room = self->was_bound = false;
    loop_sim_socket_discard(socket);
    if (peer) {
        loop_sim_socket_changed(peer, 0);
    }
    loop_sim_unix_has_room(socket->file.node->host);
}

const struct loop_sim_protocol loop_sim_unix = {.bind = unix_bind,
                                                .listen = unix_listen,
                                                .accept = unix_accept,
                                                .connect = unix_connect,
                                                .receive = loop_sim_unix_receive,
                                                .send = loop_sim_unix_send,
                                                .shutdown = unix_shutdown,
                                                .poll = loop_sim_unix_poll,
                                                .name = unix_name,
                                                .waiting = unix_waiting,
                                                .release = unix_release};
