/* SPDX-License-Identifier: ISC
 *
 * Sockets: making and freeing them, and the calls without waiting, which go to the protocol.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/network/packet.h>
#include <loop/kernel/simulated/network/socket.h>
#include <loop/kernel/simulated/object/process.h>

#include <assert.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* ---- making and freeing ---- */

enum { ALL_MODES = 0777 };

static const struct loop_sim_file_kind socket_kind;

struct loop_sim_socket *loop_sim_socket_of(struct loop_sim_file *file)
{
    return file->kind == &socket_kind ? (struct loop_sim_socket *)(void *)file : NULL;
}

struct loop_sim_socket *loop_sim_socket_make(struct loop_sim_node *node, const struct loop_sim_protocol *protocol,
                                             int family, int type)
{
    struct loop_sim_socket *socket = loop_sim_alloc(sizeof *socket);
    loop_sim_file_init(&socket->file, &socket_kind, node, O_RDWR);
    socket->file.whole_bytes = type == SOCK_STREAM ? 0 : SIZE_MAX;
    socket->protocol = protocol;
    socket->family = family;
    socket->type = type;
    socket->number = protocol->number;
    socket->mode = ALL_MODES;
    socket->serial = ++loop_sim_network_of(node->world)->serial;
    loop_list_init(&socket->bound_link);
    loop_list_init(&socket->match_link);
    loop_list_init(&socket->dead_link);
    loop_list_init(&socket->messages);
    loop_list_init(&socket->errors);
    loop_list_init(&socket->groups);
    loop_list_init(&socket->stream.accepts);
    loop_list_init(&socket->stream.accept_link);
    loop_list_init(&socket->local_socket.peers);
    loop_list_init(&socket->local_socket.peer_link);
    loop_list_init(&socket->local_socket.accepts);
    loop_list_init(&socket->local_socket.accept_link);
    loop_list_push_back(&loop_sim_host_of(node)->sockets, &socket->link);
    if (family == AF_INET) {
        socket->local.address.s6_addr[10] = socket->local.address.s6_addr[11] = 0xff;
    }
    return socket;
}

/* A socket that is discarded with messages of its own is listed when the last of them has gone, and once more. */
static void enlist_as_dead(struct loop_sim_socket *socket)
{
    if (!loop_list_is_linked(&socket->dead_link)) {
        loop_list_push_back(&loop_sim_network_of(socket->file.node->world)->dead, &socket->dead_link);
    }
}

/* A message of a sender has left the queue that it was in. */
static void message_gone(struct loop_sim_socket *sender, size_t charge_bytes)
{
    assert(sender->n_sent > 0 && sender->sent_bytes >= charge_bytes);
    sender->n_sent--;
    sender->sent_bytes -= charge_bytes;
    if (sender->is_discarded && sender->n_sent == 0) {
        enlist_as_dead(sender);
    } else if (!sender->is_discarded && sender->sent_bytes * 4 <= (size_t)sender->options[LOOP_SIM_OPTION_SNDBUF]) {
        loop_sim_socket_changed(sender, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
    }
}

void loop_sim_socket_drop_message(struct loop_sim_message *message)
{
    struct loop_sim_socket *sender = message->sender;
    size_t charge_bytes = message->charge_bytes;
    loop_sim_message_destroy(message);
    if (sender) {
        message_gone(sender, charge_bytes);
    }
}

void loop_sim_socket_discard(struct loop_sim_socket *socket)
{
    if (socket->is_discarded) {
        return;
    }
    socket->is_discarded = socket->is_released = true;
    loop_list_remove(&socket->link);
    loop_list_remove(&socket->bound_link);
    loop_list_remove(&socket->match_link);
    loop_list_remove(&socket->dead_link);
    loop_sim_event_cancel(&socket->stream.kept);
    loop_sim_event_cancel(&socket->stream.retry);
    loop_sim_event_cancel(&socket->stream.keepalive);
    for (struct loop_list *at; (at = loop_list_pop_front(&socket->groups));) {
        loop_sim_free(LOOP_CONTAINER(at, struct loop_sim_member, link));
    }
    for (struct loop_list *at; (at = loop_list_first(&socket->errors));) {
        loop_sim_message_destroy(LOOP_CONTAINER(at, struct loop_sim_message, link));
    }
    socket->local_socket.urgent = NULL;
    for (struct loop_list *at; (at = loop_list_first(&socket->messages));) {
        loop_sim_socket_drop_message(LOOP_CONTAINER(at, struct loop_sim_message, link));
    }
    loop_sim_bytes_finish(&socket->stream.sending);
    loop_sim_bytes_finish(&socket->stream.receiving);
    if (socket->n_sent == 0) {
        enlist_as_dead(socket);
    }
}

void loop_sim_socket_changed(struct loop_sim_socket *socket, uint32_t events)
{
    if (!socket->is_released) {
        loop_sim_file_changed(&socket->file, events);
    }
}

int loop_sim_socket_take_error(struct loop_sim_socket *socket)
{
    int error = socket->error;
    socket->error = 0;
    return -error;
}

int loop_sim_socket_broken_pipe(struct loop_sim_socket *socket, int flags)
{
    if (!(flags & MSG_NOSIGNAL)) {
        loop_sim_signal_pipe(socket->file.node);
    }
    return -EPIPE;
}

void loop_sim_socket_describe(const struct loop_sim_socket *socket, char *text, size_t size)
{
    char local[64], remote[64];
    loop_sim_endpoint_describe(&socket->local, local, sizeof local);
    loop_sim_endpoint_describe(&socket->remote, remote, sizeof remote);
    bool has_local = socket->local.port != 0, has_remote = socket->remote.port != 0;
    snprintf(text, size, "%s%s%s%s",
             socket->family == AF_UNIX       ? "unix"
             : socket->number == IPPROTO_TCP ? "tcp "
                                             : "udp ",
             has_local ? local : "", has_remote ? " > " : "", has_remote ? remote : "");
}

/* ---- the network of a world, and of a node ---- */

struct loop_sim_network *loop_sim_network_of(struct loop_sim_world *world)
{
    if (!world->network) {
        struct loop_sim_network *network = loop_sim_alloc(sizeof *network);
        network->world = world;
        loop_list_init(&network->at_once);
        loop_list_init(&network->in_flight);
        loop_list_init(&network->dead);
        loop_list_init(&network->links);
        loop_list_init(&network->rules);
        loop_list_init(&network->names);
        world->network = network;
    }
    return world->network;
}

struct loop_sim_host *loop_sim_host_of(struct loop_sim_node *node)
{
    if (node->host) {
        return node->host;
    }
    struct loop_sim_host *host = loop_sim_alloc(sizeof *host);
    host->node = node;
    host->next_port = LOOP_SIM_FIRST_PORT;
    loop_list_init(&host->sockets);
    loop_list_init(&host->waits);
    for (size_t i = 0; i < LOOP_SIM_PORT_BUCKETS; i++) {
        loop_list_init(&host->bound[i]);
    }
    for (size_t i = 0; i < LOOP_SIM_MATCH_BUCKETS; i++) {
        loop_list_init(&host->matched[i]);
    }
    node->host = host;
    return host;
}

void loop_sim_network_enter(struct loop_sim_world *world)
{
    loop_sim_network_of(world)->depth++;
}

/* Lets the packets that stay in a node arrive, as the kernel does before the call that sent them returns, and those
 * that they cause. */
void loop_sim_network_leave(struct loop_sim_world *world)
{
    struct loop_sim_network *network = world->network;
    if (network->depth > 1) {
        network->depth--;
        return;
    }
    struct loop_list *at;
    while ((at = loop_list_pop_front(&network->at_once))) {
        struct loop_sim_packet *packet = LOOP_CONTAINER(at, struct loop_sim_packet, link);
        packet->event.happen(&packet->event);
    }
    while ((at = loop_list_pop_front(&network->dead))) {
        loop_sim_free(LOOP_CONTAINER(at, struct loop_sim_socket, dead_link));
    }
    network->depth--;
}

/* ---- the calls ---- */

bool loop_sim_socket_is_stream(struct loop_sim_file *file)
{
    const struct loop_sim_socket *socket = loop_sim_socket_of(file);
    return socket && (socket->type == SOCK_STREAM || socket->type == SOCK_SEQPACKET);
}

int loop_sim_socket_left(struct loop_sim_file *file)
{
    struct loop_sim_socket *socket = loop_sim_socket_of(file);
    if (!socket || socket->type != SOCK_STREAM) {
        return -1;
    }
    if (socket->family == AF_UNIX) {
        return socket->protocol->waiting(socket, false) > 0;
    }
    if (socket->halves & LOOP_SIM_SHUT_RECEIVE && !socket->stream.is_done) {
        return socket->protocol->waiting(socket, false) > 0; /* this side has shut it down */
    }
    return (socket->protocol->poll(socket) & EPOLLIN) != 0;
}

struct loop_sim_file *loop_sim_socket_accept(struct loop_sim_file *file, struct sockaddr *address, socklen_t *length,
                                             int flags, int *error)
{
    struct loop_sim_socket *socket = loop_sim_socket_of(file);
    *error = !socket                                   ? -ENOTSOCK
             : flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK) ? -EINVAL
             : !socket->protocol->accept               ? -EOPNOTSUPP
             : address && length && (int)*length < 0   ? -EINVAL
                                                       : 0;
    if (*error) {
        return NULL;
    }
    loop_sim_network_enter(file->node->world);
    struct loop_sim_socket *child = socket->protocol->accept(socket, error);
    if (child) {
        struct sockaddr_storage from;
        socklen_t from_length = 0;
        child->file.flags |= flags & SOCK_NONBLOCK ? O_NONBLOCK : 0;
        if (child->protocol->name(child, true, &from, &from_length)) {
            from_length = loop_sim_endpoint_write(&child->remote, child->family, &from); /* it has ended meanwhile */
        }
        loop_sim_address_copy(&from, from_length, address, length);
    }
    loop_sim_network_leave(file->node->world);
    return child ? &child->file : NULL;
}

int loop_sim_socket_connect(struct loop_sim_file *file, const struct sockaddr *address, socklen_t length)
{
    struct loop_sim_socket *socket = loop_sim_socket_of(file);
    if (!socket) {
        return -ENOTSOCK;
    }
    loop_sim_network_enter(file->node->world);
    int error = socket->protocol->connect(socket, address, length);
    loop_sim_network_leave(file->node->world);
    return error;
}

ssize_t loop_sim_socket_receive(struct loop_sim_file *file, struct msghdr *message, int flags)
{
    struct loop_sim_socket *socket = loop_sim_socket_of(file);
    if (!socket) {
        return -ENOTSOCK;
    }
    if (flags & MSG_ERRQUEUE && socket->number == IPPROTO_TCP) {
        return -EAGAIN;
    }
    bool drops = flags & MSG_TRUNC && socket->number == IPPROTO_TCP; /* tcp(7): nothing is copied */
    if (!drops && loop_sim_vectors_are_bad(message->msg_iov, message->msg_iovlen) &&
        loop_sim_file_poll(file) & EPOLLIN) {
        return -EFAULT;
    }
    if (socket->type == SOCK_STREAM && loop_sim_file_is_falsely_unready(file, EPOLLIN)) {
        return -EAGAIN;
    }
    struct msghdr answer = *message;
    answer.msg_flags = flags & MSG_CMSG_CLOEXEC;
    loop_sim_network_enter(file->node->world);
    ssize_t n = socket->protocol->receive(socket, &answer, flags);
    loop_sim_network_leave(file->node->world);
    if (n >= 0) {
        message->msg_namelen = message->msg_name ? answer.msg_namelen : message->msg_namelen;
        message->msg_controllen = answer.msg_controllen;
        message->msg_flags = answer.msg_flags;
    }
    return n;
}

ssize_t loop_sim_socket_send(struct loop_sim_file *file, const struct msghdr *message, int flags)
{
    struct loop_sim_socket *socket = loop_sim_socket_of(file);
    if (!socket) {
        return -ENOTSOCK;
    }
    if (loop_sim_vectors_are_bad(message->msg_iov, message->msg_iovlen) && loop_sim_file_poll(file) & EPOLLOUT) {
        return -EFAULT;
    }
    if (loop_sim_happens(LOOP_SIM_NO_BUFFERS)) {
        return -ENOBUFS;
    }
    if (socket->type == SOCK_STREAM && loop_sim_file_is_falsely_unready(file, EPOLLOUT)) {
        return -EAGAIN;
    }
    loop_sim_network_enter(file->node->world);
    ssize_t n = socket->protocol->send(socket, message, flags);
    loop_sim_network_leave(file->node->world);
    return n;
}

int loop_sim_socket_shutdown(struct loop_sim_file *file, int how)
{
    struct loop_sim_socket *socket = loop_sim_socket_of(file);
    if (!socket) {
        return -ENOTSOCK;
    }
    if (how < SHUT_RD || how > SHUT_RDWR) {
        return -EINVAL;
    }
    loop_sim_network_enter(file->node->world);
    int error = socket->protocol->shutdown(socket, how + 1);
    loop_sim_network_leave(file->node->world);
    return error;
}

/* ---- as a file ---- */

static ssize_t read_socket(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)move->iov, .msg_iovlen = move->n_iov};
    return loop_sim_vectors_length(move->iov, move->n_iov) == 0 ? 0 : loop_sim_socket_receive(file, &message, 0);
}

static ssize_t write_socket(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)move->iov, .msg_iovlen = move->n_iov};
    return loop_sim_socket_send(file, &message, move->has_more ? MSG_MORE : 0);
}

static uint32_t poll_socket(struct loop_sim_file *file)
{
    struct loop_sim_socket *socket = loop_sim_socket_of(file);
    return socket->protocol->poll(socket);
}

static int status_of(struct loop_sim_file *file, struct stat *status)
{
    enum { DEVICE = 8, BLOCK_BYTES = 4096 };
    const struct loop_sim_socket *socket = loop_sim_socket_of(file);
    *status = (struct stat){.st_dev = DEVICE,
                            .st_ino = (ino_t)socket->serial,
                            .st_mode = S_IFSOCK | socket->mode,
                            .st_nlink = 1,
                            .st_uid = loop_sim_user(file->node),
                            .st_gid = loop_sim_group(file->node),
                            .st_blksize = BLOCK_BYTES};
    return 0;
}

static int control(struct loop_sim_file *file, unsigned long what, void *argument)
{
    struct loop_sim_socket *socket = loop_sim_socket_of(file);
    bool is_unix = socket->family == AF_UNIX;
    bool listens = is_unix ? socket->local_socket.is_listening : socket->stream.state == LOOP_SIM_TCP_LISTEN;
    int answer;
    switch (what) {
    case FIONREAD: answer = listens ? -EINVAL : (int)socket->protocol->waiting(socket, false); break;
    case TIOCOUTQ: answer = listens && !is_unix ? -EINVAL : (int)socket->protocol->waiting(socket, true); break;
    case SIOCATMARK:
        answer = !socket->protocol->is_at_mark ? -ENOTTY
                 : socket->type != SOCK_STREAM ? -EOPNOTSUPP
                                               : socket->protocol->is_at_mark(socket);
        break;
    default: return -ENOTTY;
    }
    if (answer < 0) {
        return answer;
    }
    memcpy(argument, &answer, sizeof answer);
    return 0;
}

static int change_mode(struct loop_sim_file *file, mode_t mode)
{
    loop_sim_socket_of(file)->mode = mode & 07777;
    return 0;
}

static void release(struct loop_sim_file *file)
{
    struct loop_sim_socket *socket = loop_sim_socket_of(file);
    struct loop_sim_world *world = file->node->world;
    if (socket->is_discarded) {
        return; /* its host is being destroyed */
    }
    loop_sim_network_enter(world);
    socket->is_released = true;
    socket->protocol->release(socket);
    loop_sim_network_leave(world);
}

static const struct loop_sim_file_kind socket_kind = {.name = "socket",
                                                      .read = read_socket,
                                                      .write = write_socket,
                                                      .poll = poll_socket,
                                                      .status = status_of,
                                                      .control = control,
                                                      .change_mode = change_mode,
                                                      .release = release,
                                                      .is_socket = true};
