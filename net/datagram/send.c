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
#include <net/datagram/error_queue.h>
#include <net/datagram/lent.h>
#include <net/datagram/queue.h>
#include <net/datagram/send.h>
#include <net/datagram/train.h>

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>

#define SHORTEST_PAUSE_NS LOOP_MILLISECOND
#define LONGEST_PAUSE_NS (64 * LOOP_MILLISECOND)

/* So many datagrams are sent in a row, or a few more: then other jobs have their turn. A train of short datagrams may
 * have millions. */
enum { MOST_AT_ONCE = 4096 };

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

void loop_datagram_note_told(struct loop_datagram_socket *socket, int error)
{
    assert(error < 0);
    if (socket->has_error_queue) {
        socket->wants_errors = true; /* which says more */
    } else {
        socket->told = error;
        socket->stats.errors_told++;
        socket->stats.last_error = error;
    }
}

/* Reports the error of the first try, which was an earlier datagram's. */
static void note_first_error(struct loop_datagram_socket *socket, struct loop_outgoing *outgoing)
{
    if (outgoing->first_error < 0) {
        loop_datagram_note_told(socket, outgoing->first_error);
        outgoing->first_error = 0;
    }
}

static void drop_all(struct loop_datagram_socket *socket, int error)
{
    while (socket->first) {
        note_first_error(socket, socket->first);
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

/* Handles the error of the first message. Returns false when the rest of the queue has to wait. */
static bool on_send_failed(struct loop_datagram_socket *socket, const struct loop_trains *trains, int error)
{
    struct loop_outgoing *outgoing = socket->first;

    assert(outgoing && error < 0);
    if (error == -EAGAIN) {
        block(socket);
        return false;
    }
    if (may_be_anothers(outgoing, error)) {
        outgoing->first_error = error;
    } else if (trains->n_datagrams[0] > 1 && error != -EINTR) {
        outgoing->first_error = outgoing->first_error == error ? 0 : outgoing->first_error; /* it was this train's */
        loop_trains_refuse(socket, trains->headers[0].msg_hdr.msg_iovlen, error);
    } else if (error != -EINTR) {
        outgoing->first_error = outgoing->first_error == error ? 0 : outgoing->first_error; /* it was this one's */
        note_first_error(socket, outgoing);
        loop_outgoing_fail(outgoing, error);
    }
    return true;
}

static void on_sent(struct loop_datagram_socket *socket, size_t len)
{
    struct loop_outgoing *outgoing = socket->first;

    assert(outgoing && outgoing->first_error <= 0 && len <= outgoing->len - outgoing->sent_bytes);
    note_first_error(socket, outgoing);
    outgoing->sent_bytes += len;
    if (outgoing->sent_bytes == outgoing->len) {
        loop_outgoing_complete(outgoing, (int64_t)outgoing->len);
    }
}

/* Handles a message that was sent. */
static void on_message_sent(struct loop_datagram_socket *socket, const struct msghdr *header, size_t n_datagrams)
{
    socket->stats.trains_sent += n_datagrams > 1;
    socket->stats.sent += n_datagrams;
    for (size_t i = 0; i < (size_t)header->msg_iovlen; i++) {
        on_sent(socket, header->msg_iov[i].iov_len);
    }
}

/* Sends what one system call allows, and counts the datagrams in `*n`. Returns false when the rest has to wait. */
static bool send_some(struct loop_datagram_socket *socket, int number, size_t *n)
{
    struct loop_trains trains;

    loop_trains_gather(socket, &trains);
    assert(trains.n > 0);
    int sent = loop_kernel_sendmmsg(number, trains.headers, trains.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        return on_send_failed(socket, &trains, -errno);
    }
    assert(sent <= (int)trains.n);
    socket->pause_ns = 0;
    for (int i = 0; i < sent; i++) {
        on_message_sent(socket, &trains.headers[i].msg_hdr, trains.n_datagrams[i]);
        *n += trains.n_datagrams[i];
    }
    return true;
}

/* What is left is sent in the next turn. */
static void send_later(struct loop_datagram_socket *socket)
{
    if (!loop_datagram_kick(socket)) {
        drop_all(socket, -ENOMEM);
    }
}

/* Has the stream report the errors that were noted. Without one the statistics tell of them. */
static void tell_stream(struct loop_datagram_socket *socket)
{
    loop_datagram_count_errors(socket);
    if ((socket->told || socket->wants_errors) && socket->stream) {
        (void)loop_datagram_kick(socket);
    }
}

void loop_datagram_flush(struct loop_datagram_socket *socket)
{
    size_t n = 0;

    if (!socket->first || socket->is_blocked) {
        return;
    }
    int number = loop_fd_use(socket->fd);
    if (number < 0) {
        drop_all(socket, -ECANCELED);
        return;
    }
    while (socket->first && n < MOST_AT_ONCE && send_some(socket, number, &n)) {
    }
    loop_fd_unuse(socket->fd);
    if (socket->first && !socket->is_blocked) {
        send_later(socket);
    }
    loop_datagram_tell_drained(socket, 0);
    tell_stream(socket);
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

static size_t segments_of(const struct loop_datagram_send_options *options, size_t len)
{
    return options && options->segment_bytes < len ? options->segment_bytes : 0;
}

/* Queues a copy. */
static int put(struct loop_datagram_socket *socket, const struct loop_datagram_send_options *options,
               const struct loop_address *to, const void *data, size_t len)
{
    struct loop_net_envelope envelope;
    int error = check(socket, &to, data, len);

    error = error < 0 ? error : loop_datagram_seal(socket, options, to, &envelope);
    if (error < 0) {
        return error;
    }
    if (!has_room(socket)) {
        return -ENOBUFS;
    }
    struct loop_outgoing *outgoing = socket->is_delivering ? loop_outgoing_answer(socket->batch, to, data, len) : NULL;
    outgoing = outgoing ? outgoing : loop_outgoing_copy(socket, to, data, len);
    if (!outgoing) {
        return -ENOMEM;
    }
    outgoing->envelope = envelope;
    outgoing->segment_bytes = segments_of(options, len);
    loop_outgoing_enqueue(socket, outgoing);
    if (!will_flush(socket)) {
        loop_outgoing_discard(outgoing);
        return -ENOMEM;
    }
    return 0;
}

int loop_datagram_put(struct loop_datagram_socket *socket, const struct loop_address *to, const void *data, size_t len)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return -EINVAL;
    }
    return put(socket, NULL, to, data, len);
}

int loop_datagram_put_from(struct loop_datagram_socket *socket, const struct loop_address *from,
                           const struct loop_address *to, const void *data, size_t len)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return -EINVAL;
    }
    return put(socket, &(struct loop_datagram_send_options){.from = from}, to, data, len);
}

int loop_datagram_put_with(struct loop_datagram_socket *socket, const struct loop_datagram_send_options *options,
                           const struct loop_address *to, const void *data, size_t len)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return -EINVAL;
    }
    return put(socket, options, to, data, len);
}

/* Cancels one datagram. When the queue is empty then, its wait for the kernel is cancelled too: it would hold the scope
 * open. */
static void on_cancel_send(void *arg, loop_job job)
{
    struct loop_datagram_socket *socket = ((struct loop_outgoing *)arg)->socket;

    (void)job;
    note_first_error(socket, arg);
    loop_outgoing_complete(arg, -ECANCELED);
    tell_stream(socket);
    loop_datagram_tell_drained(socket, 0);
    if (!socket->first && socket->is_blocked) {
        loop_cancel(socket->loop, socket->wait);
    }
}

static loop_job start_send(struct loop_datagram_socket *socket, struct loop_outgoing *outgoing, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(socket->scope, on_cancel_send, outgoing, fn, arg);

    if (!job) {
        loop_outgoing_destroy(socket, outgoing);
        return 0;
    }
    outgoing->promise = job;
    loop_outgoing_enqueue(socket, outgoing);
    if (!will_flush(socket)) {
        loop_outgoing_complete(outgoing, -ENOMEM);
    }
    return job;
}

/* Queues the bytes themselves, as a job. */
static loop_job send_job(struct loop_datagram_socket *socket, const struct loop_datagram_send_options *options,
                         const struct loop_address *to, const void *data, size_t len, loop_fn *fn, void *arg)
{
    struct loop_net_envelope envelope;
    int error = check(socket, &to, data, len);

    error = error < 0 ? error : loop_datagram_seal(socket, options, to, &envelope);
    if (error == 0 && !has_room(socket)) {
        error = -ENOBUFS;
    }
    if (error < 0) {
        return loop_datagram_answer(socket->scope, error, fn, arg);
    }
    struct loop_outgoing *outgoing = loop_outgoing_of(socket, to, data, len);
    if (!outgoing) {
        return 0;
    }
    outgoing->envelope = envelope;
    outgoing->segment_bytes = segments_of(options, len);
    return start_send(socket, outgoing, fn, arg);
}

loop_job loop_datagram_send(struct loop_datagram_socket *socket, const struct loop_address *to, const void *data,
                            size_t len, loop_fn *fn, void *arg)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return 0;
    }
    return send_job(socket, NULL, to, data, len, fn, arg);
}

loop_job loop_datagram_send_from(struct loop_datagram_socket *socket, const struct loop_address *from,
                                 const struct loop_address *to, const void *data, size_t len, loop_fn *fn, void *arg)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return 0;
    }
    return send_job(socket, &(struct loop_datagram_send_options){.from = from}, to, data, len, fn, arg);
}

loop_job loop_datagram_send_with(struct loop_datagram_socket *socket, const struct loop_datagram_send_options *options,
                                 const struct loop_address *to, const void *data, size_t len, loop_fn *fn, void *arg)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return 0;
    }
    return send_job(socket, options, to, data, len, fn, arg);
}
