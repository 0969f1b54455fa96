/* SPDX-License-Identifier: ISC
 *
 * Sending datagrams, in the order of the calls. The queue of a socket is sent after the datagrams that were received
 * together have been handed out, otherwise from the next dispatch. When it is full, a call sends first, to make room.
 *
 * What the kernel does not accept waits until the socket is writable. A Unix socket is writable even when the queue of
 * its peer is full: then the socket retries after a pause.
 */
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <net/address.h>
#include <net/datagram/lent.h>
#include <net/datagram/queue.h>
#include <net/datagram/send.h>

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#define SENT_AT_ONCE 64

#define SHORTEST_PAUSE_NS LOOP_MILLISECOND
#define LONGEST_PAUSE_NS (64 * LOOP_MILLISECOND)

/* ---- coming back ---- */

static void on_kick(void *arg, int64_t result)
{
    struct loop_datagram_socket *socket = arg;

    (void)result;
    assert(socket->is_kicked);
    socket->is_kicked = false;
    socket->turn(socket);
}

bool loop_datagram_kick(struct loop_datagram_socket *socket)
{
    if (!socket->is_kicked) {
        loop_job job = loop_promise(socket->scope, NULL, NULL, on_kick, socket);
        socket->is_kicked = job != 0;
        loop_resolve(socket->loop, job, 0);
    }
    return socket->is_kicked;
}

/* ---- sending ---- */

bool loop_datagram_is_told(int error)
{
    switch (error) {
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -EHOSTUNREACH:
    case -EHOSTDOWN:
    case -ENETUNREACH:
    case -ENETDOWN:
    case -ENONET:
    case -ENOPROTOOPT:
    case -EOPNOTSUPP:
    case -EPROTO:
    case -EACCES:
    case -EMSGSIZE: return true;
    default: return false;
    }
}

static void drop_all(struct loop_datagram_socket *socket, int error)
{
    while (socket->first) {
        socket->stats.dropped++;
        loop_outgoing_complete(socket->first, error);
    }
    loop_datagram_tell_drained(socket, error);
}

static void on_may_send(void *arg, int64_t result)
{
    struct loop_datagram_socket *socket = arg;

    assert(socket->is_blocked);
    socket->is_blocked = false;
    if (result < 0 && loop_scope_is_cancelled(socket->scope)) {
        drop_all(socket, -ECANCELED);
    } else {
        loop_datagram_flush(socket);
    }
}

/* Waits until the socket is writable, or, when it was writable and accepted nothing, for a pause. */
static void block(struct loop_datagram_socket *socket)
{
    int64_t pause_ns = socket->pause_ns;

    assert(socket->first && !socket->is_blocked);
    socket->wait = pause_ns ? loop_sleep(socket->scope, pause_ns, on_may_send, socket)
                            : loop_poll(socket->fd, POLLOUT, on_may_send, socket);
    socket->is_blocked = socket->wait != 0;
    socket->pause_ns = pause_ns == 0                 ? SHORTEST_PAUSE_NS
                       : pause_ns < LONGEST_PAUSE_NS ? pause_ns * 2
                                                     : LONGEST_PAUSE_NS;
    if (!socket->is_blocked) {
        drop_all(socket, -ENOMEM);
    }
}

/* Returns true when the error may be an earlier datagram's: a connected socket reports it in place of sending this one,
 * which is tried a second time. */
static bool may_be_anothers(const struct loop_outgoing *outgoing, int error)
{
    return outgoing->socket->is_told_errors && outgoing->first_error == 0 && loop_datagram_is_told(error);
}

/* Returns false when the rest of the queue has to wait. */
static bool on_send_failed(struct loop_datagram_socket *socket, int error)
{
    struct loop_outgoing *outgoing = socket->first;

    assert(outgoing && error < 0);
    if (error == -EAGAIN) {
        block(socket);
        return false;
    }
    if (may_be_anothers(outgoing, error)) {
        outgoing->first_error = error;
    } else if (error != -EINTR) {
        loop_outgoing_fail(outgoing, error);
    }
    return true;
}

static void on_sent(struct loop_datagram_socket *socket)
{
    struct loop_outgoing *outgoing = socket->first;

    assert(outgoing && outgoing->first_error <= 0);
    if (outgoing->first_error < 0) {
        socket->told = outgoing->first_error;
        socket->stats.errors_told++;
        socket->stats.last_error = outgoing->first_error;
    }
    socket->stats.sent++;
    loop_outgoing_complete(outgoing, (int64_t)outgoing->len);
}

static unsigned gather(const struct loop_datagram_socket *socket, struct mmsghdr *headers, struct iovec *vectors,
                       char control[][LOOP_NET_CONTROL_BYTES])
{
    unsigned n = 0;

    for (struct loop_outgoing *outgoing = socket->first; outgoing && n < SENT_AT_ONCE; outgoing = outgoing->next) {
        const struct loop_address *to = outgoing->to;
        vectors[n] = (struct iovec){.iov_base = (void *)(uintptr_t)outgoing->data, .iov_len = outgoing->len};
        headers[n].msg_hdr = (struct msghdr){.msg_name = to ? (void *)(uintptr_t)&to->u : NULL,
                                             .msg_namelen = to ? to->length : 0,
                                             .msg_iov = &vectors[n],
                                             .msg_iovlen = 1};
        loop_net_write_origin(&outgoing->origin, control[n], &headers[n].msg_hdr);
        n++;
    }
    return n;
}

/* Sends up to SENT_AT_ONCE datagrams with one system call. Returns false when the rest has to wait. */
static bool send_some(struct loop_datagram_socket *socket, int number)
{
    struct mmsghdr headers[SENT_AT_ONCE];
    struct iovec vectors[SENT_AT_ONCE];
    _Alignas(struct cmsghdr) char control[SENT_AT_ONCE][LOOP_NET_CONTROL_BYTES];
    unsigned n = gather(socket, headers, vectors, control);
    int sent = loop_kernel_sendmmsg(number, headers, n, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0) {
        return on_send_failed(socket, -errno);
    }
    assert(sent <= (int)n);
    socket->pause_ns = 0;
    for (int i = 0; i < sent; i++) {
        on_sent(socket);
    }
    return true;
}

void loop_datagram_flush(struct loop_datagram_socket *socket)
{
    if (!socket->first || socket->is_blocked) {
        return;
    }
    int number = loop_fd_use(socket->fd);
    if (number < 0) {
        drop_all(socket, -ECANCELED);
        return;
    }
    while (socket->first && send_some(socket, number)) {
    }
    loop_fd_unuse(socket->fd);
    loop_datagram_tell_drained(socket, 0);
    if (socket->told && socket->stream) {
        (void)loop_datagram_kick(socket);
    }
}

/* ---- the calls ---- */

static int check_destination(const struct loop_datagram_socket *socket, const struct loop_address **to)
{
    if (*to && (*to)->length == 0) {
        *to = NULL; /* an unnamed sender */
    }
    if (!*to) {
        return socket->is_connected ? 0 : -EDESTADDRREQ;
    }
    return loop_net_check_address(*to);
}

/* Checks the arguments of a call. Sets `*to` to NULL where it is the address of an unnamed sender. */
static int check(struct loop_datagram_socket *socket, const struct loop_address **to, const void *data, size_t len)
{
    if (!loop_fd_is_open(socket->fd)) {
        return -EBADF;
    }
    if (loop_scope_is_cancelled(socket->scope)) {
        return -ECANCELED;
    }
    if (!data && len > 0) {
        return -EINVAL;
    }
    if (len > INT_MAX) {
        return -EMSGSIZE;
    }
    return check_destination(socket, to);
}

/* Returns whether the queue has room, after sending when it has none. */
static bool has_room(struct loop_datagram_socket *socket)
{
    if (loop_datagram_is_full(socket)) {
        loop_datagram_flush(socket);
    }
    return !loop_datagram_is_full(socket);
}

/* Sees to it that the queue is sent: after what is being handed out, when `wait` completes, or from the next dispatch.
 * Returns false when there is no memory. */
static bool will_flush(struct loop_datagram_socket *socket)
{
    return socket->is_delivering || socket->is_blocked || loop_datagram_kick(socket);
}

int loop_datagram_put(struct loop_datagram_socket *socket, const struct loop_address *to, const void *data, size_t len)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return -EINVAL;
    }
    return loop_datagram_put_from(socket, NULL, to, data, len);
}

int loop_datagram_put_from(struct loop_datagram_socket *socket, const struct loop_address *from,
                           const struct loop_address *to, const void *data, size_t len)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return -EINVAL;
    }
    struct loop_net_origin origin;
    int error = check(socket, &to, data, len);

    error = error < 0 ? error : loop_datagram_choose_origin(socket, from, to, &origin);
    if (error < 0) {
        return error;
    }
    if (!has_room(socket)) {
        return -ENOBUFS;
    }
    struct loop_outgoing *outgoing = socket->is_delivering ? loop_outgoing_answer(socket->batch, to, data, len) : NULL;
    outgoing = outgoing ? outgoing : loop_outgoing_copy(to, data, len);
    if (!outgoing) {
        return -ENOMEM;
    }
    outgoing->origin = origin;
    loop_outgoing_enqueue(socket, outgoing);
    if (!will_flush(socket)) {
        loop_outgoing_discard(outgoing);
        return -ENOMEM;
    }
    return 0;
}

/* Cancels one datagram. When the queue is empty then, its wait for the kernel is cancelled too: it would hold the scope
 * open. */
static void on_cancel_send(void *arg, loop_job job)
{
    struct loop_datagram_socket *socket = ((struct loop_outgoing *)arg)->socket;

    (void)job;
    loop_outgoing_complete(arg, -ECANCELED);
    loop_datagram_tell_drained(socket, 0);
    if (!socket->first && socket->is_blocked) {
        loop_cancel(socket->loop, socket->wait);
    }
}

static loop_job start_send(struct loop_datagram_socket *socket, struct loop_outgoing *outgoing, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(socket->scope, on_cancel_send, outgoing, fn, arg);

    if (!job) {
        loop_kernel_free(outgoing);
        return 0;
    }
    outgoing->promise = job;
    loop_outgoing_enqueue(socket, outgoing);
    if (!will_flush(socket)) {
        loop_outgoing_complete(outgoing, -ENOMEM);
    }
    return job;
}

loop_job loop_datagram_send(struct loop_datagram_socket *socket, const struct loop_address *to, const void *data,
                            size_t len, loop_fn *fn, void *arg)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return 0;
    }
    return loop_datagram_send_from(socket, NULL, to, data, len, fn, arg);
}

loop_job loop_datagram_send_from(struct loop_datagram_socket *socket, const struct loop_address *from,
                                 const struct loop_address *to, const void *data, size_t len, loop_fn *fn, void *arg)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return 0;
    }
    struct loop_net_origin origin;
    int error = check(socket, &to, data, len);

    error = error < 0 ? error : loop_datagram_choose_origin(socket, from, to, &origin);
    if (error == 0 && !has_room(socket)) {
        error = -ENOBUFS;
    }
    if (error < 0) {
        return loop_datagram_answer(socket->scope, error, fn, arg);
    }
    struct loop_outgoing *outgoing = loop_outgoing_of(to, data, len);
    if (!outgoing) {
        return 0;
    }
    outgoing->origin = origin;
    return start_send(socket, outgoing, fn, arg);
}
