/* SPDX-License-Identifier: ISC
 *
 * What c-ares asks of the system, done through the door.
 */
#include <loop/event.h>
#include <loop/fd.h>
#include <loop/kernel/process.h>
#include <loop/kernel/socket.h>
#include <loop/part.h>
#include <net/names/dns/socket.h>

#include <assert.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>

struct loop_names_socket {
    struct loop_names_sockets *sockets;
    struct loop_names_socket *next;
    struct loop_fd *fd; /* NULL: c-ares has closed it */
    int number;
    bool is_datagram;
    bool wants_in, wants_out;
    bool polls_in, polls_out; /* a poll is in flight */
};

static struct loop_names_socket *find(const struct loop_names_sockets *sockets, int number)
{
    struct loop_names_socket *socket = sockets->first;

    while (socket && (!socket->fd || socket->number != number)) {
        socket = socket->next;
    }
    return socket;
}

/* ---- polling ---- */

static void on_in(void *arg, int64_t result);
static void on_out(void *arg, int64_t result);

/* Starts the polls that are wanted and not in flight. */
static void poll_it(struct loop_names_socket *socket)
{
    if (socket->wants_in && !socket->polls_in) {
        socket->polls_in = loop_poll(socket->fd, POLLIN, on_in, socket) != 0;
        socket->sockets->error = socket->polls_in ? socket->sockets->error : -ENOMEM;
    }
    if (socket->wants_out && !socket->polls_out) {
        socket->polls_out = loop_poll(socket->fd, POLLOUT, on_out, socket) != 0;
        socket->sockets->error = socket->polls_out ? socket->sockets->error : -ENOMEM;
    }
}

/* Returns whether c-ares is to look at the socket. A poll that ends because the socket closes, or the scope is
 * cancelled, has nothing to say. */
static bool is_due(struct loop_names_socket *socket, int64_t result)
{
    return socket->fd && !socket->sockets->is_stopped && result != -ECANCELED && result != -ETIMEDOUT;
}

static void on_in(void *arg, int64_t result)
{
    struct loop_names_socket *socket = arg;

    socket->polls_in = false;
    if (is_due(socket, result)) {
        socket->sockets->on_ready(socket->sockets->arg, socket->number, ARES_SOCKET_BAD);
        if (socket->fd) {
            poll_it(socket);
        }
    }
}

static void on_out(void *arg, int64_t result)
{
    struct loop_names_socket *socket = arg;

    socket->polls_out = false;
    if (is_due(socket, result)) {
        socket->sockets->on_ready(socket->sockets->arg, ARES_SOCKET_BAD, socket->number);
        if (socket->fd) {
            poll_it(socket);
        }
    }
}

bool loop_names_sockets_are_closed(const struct loop_names_sockets *sockets)
{
    const struct loop_names_socket *socket = sockets->first;

    while (socket && !socket->fd) {
        socket = socket->next;
    }
    return !socket;
}

void loop_names_sockets_state(struct loop_names_sockets *sockets, ares_socket_t number, int to_read, int to_write)
{
    struct loop_names_socket *socket = find(sockets, number);

    if (socket && !sockets->is_stopped) {
        socket->wants_in = to_read;
        socket->wants_out = to_write;
        poll_it(socket);
    }
}

/* ---- the functions ---- */

static int fail(struct loop_names_sockets *sockets, int error)
{
    sockets->error = -error;
    errno = error;
    return -1;
}

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
    struct loop_names_sockets *sockets = arg;
    struct loop_names_socket *socket = loop_scope_alloc(sockets->scope, sizeof *socket);
    int number = socket ? loop_kernel_socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol) : -1;

    if (number < 0) {
        return fail(sockets, socket ? errno : ENOMEM);
    }
    socket->sockets = sockets;
    socket->number = number;
    socket->is_datagram = type == SOCK_DGRAM;
    socket->fd = socket->is_datagram ? loop_fd_adopt_datagram(sockets->scope, number) /* closes it where it fails */
                                     : loop_fd_adopt_stream(sockets->scope, number);
    if (!socket->fd) {
        return fail(sockets, ENOMEM);
    }
    socket->next = sockets->first;
    sockets->first = socket;
    return number;
}

static int close_socket(ares_socket_t number, void *arg)
{
    struct loop_names_socket *socket = find(arg, number);

    assert(socket);
    loop_fd_destroy(socket->fd);
    socket->fd = NULL;
    socket->wants_in = socket->wants_out = false;
    return 0;
}

/* The address of c-ares lacks the zone. */
static int connect_socket(ares_socket_t number, const struct sockaddr *address, ares_socklen_t length, void *arg)
{
    struct loop_names_sockets *sockets = arg;
    const struct loop_address *server = sockets->server;

    (void)length;
    assert(server->u.any.sa_family == address->sa_family);
    (void)address;
    int result = loop_kernel_connect(number, &server->u.any, server->length);
    return result < 0 && errno != EINPROGRESS ? fail(sockets, errno) : result;
}

/* ---- datagrams, with their ids ---- */

/* Returns whether an id stands for another one that c-ares has: its answer would be taken for that one's. */
static bool is_taken(const struct loop_names_sockets *sockets, const struct loop_names_id *id)
{
    for (unsigned i = 0; i < LOOP_NAMES_IDS; i++) {
        const struct loop_names_id *other = &sockets->ids[i];
        if (other != id && other->is_used && memcmp(other->sent, id->sent, sizeof id->sent) == 0) {
            return true;
        }
    }
    return false;
}

/* Returns the id to send in place of that of c-ares. */
static const unsigned char *sent_id(struct loop_names_sockets *sockets, const unsigned char theirs[2])
{
    for (unsigned i = 0; i < LOOP_NAMES_IDS; i++) {
        if (sockets->ids[i].is_used && memcmp(sockets->ids[i].theirs, theirs, 2) == 0) {
            return sockets->ids[i].sent;
        }
    }
    struct loop_names_id *id = &sockets->ids[sockets->n_ids++ % LOOP_NAMES_IDS];
    id->is_used = true;
    memcpy(id->theirs, theirs, 2);
    if (loop_kernel_getrandom(id->sent, 2, 0) != 2) {
        memcpy(id->sent, theirs, 2);
    }
    while (is_taken(sockets, id)) { /* ends, as there are more ids than that */
        id->sent[1]++;
    }
    return id->sent;
}

/* Puts the id of c-ares back. Returns false for a datagram that is no answer to any question. */
static bool put_id_back(const struct loop_names_sockets *sockets, unsigned char *data, size_t len)
{
    for (unsigned i = 0; len >= 2 && i < LOOP_NAMES_IDS; i++) {
        if (sockets->ids[i].is_used && memcmp(sockets->ids[i].sent, data, 2) == 0) {
            memcpy(data, sockets->ids[i].theirs, 2);
            return true;
        }
    }
    return false;
}

static ares_ssize_t receive(ares_socket_t number, void *data, size_t len, int flags, struct sockaddr *from,
                            ares_socklen_t *from_length, void *arg)
{
    const struct loop_names_socket *socket = find(arg, number);
    struct iovec vector = {.iov_base = data, .iov_len = len};
    struct msghdr message = {
        .msg_name = from, .msg_namelen = from_length ? *from_length : 0, .msg_iov = &vector, .msg_iovlen = 1};
    ssize_t n = loop_kernel_recvmsg(number, &message, flags);

    if (n >= 0 && from_length) {
        *from_length = message.msg_namelen;
    }
    if (n >= 0 && socket->is_datagram && !put_id_back(arg, data, (size_t)n)) {
        errno = EAGAIN;
        return -1;
    }
    return n;
}

static ares_ssize_t send_vectors(ares_socket_t number, const struct iovec *vectors, int count, void *arg)
{
    const struct loop_names_socket *socket = find(arg, number);
    struct iovec parts[2];
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)vectors, .msg_iovlen = (size_t)count};

    if (socket->is_datagram && count == 1 && vectors->iov_len >= 2) {
        const unsigned char *id = sent_id(arg, vectors->iov_base);
        parts[0] = (struct iovec){(void *)(uintptr_t)id, 2};
        parts[1] = (struct iovec){(char *)vectors->iov_base + 2, vectors->iov_len - 2};
        message = (struct msghdr){.msg_iov = parts, .msg_iovlen = 2};
    }
    return loop_kernel_sendmsg(number, &message, MSG_NOSIGNAL);
}

void loop_names_sockets_use(ares_channel channel, struct loop_names_sockets *sockets)
{
    static const struct ares_socket_functions functions = {open_socket, close_socket, connect_socket, receive,
                                                           send_vectors};

    ares_set_socket_functions(channel, &functions, sockets);
}
