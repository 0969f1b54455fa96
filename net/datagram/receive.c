/* SPDX-License-Identifier: ISC
 *
 * Receiving datagrams. A stream waits for readiness without memory. When datagrams have arrived it takes the loop's
 * scratch memory, receives up to a batch, hands them out, sends the answers, and gives the memory back. One piece of
 * memory serves all sockets of the loop, and an answer needs no copy of the bytes it was made of.
 *
 * The program holds a promise. The poll below it is a daemon, so that the promise alone decides whether the scope is
 * held open.
 */
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <loop/low_level.h>
#include <loop/part.h>
#include <net/address.h>
#include <net/datagram/queue.h>
#include <net/datagram/receive.h>
#include <net/datagram/send.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Keeps datagrams from starting at the same place of a page, where they would compete for the same cache lines. */
#define GAP_BYTES 128

#define BATCHES_PER_TURN 4

/* ---- handing out ---- */

static void give_batch_back(struct loop_datagram_socket *socket)
{
    struct loop_datagram_batch *batch = socket->batch;

    socket->batch = NULL;
    loop_scratch_give(socket->loop, batch);
}

/* Finds the address that a datagram was sent to. A socket that was never bound gets its port with the first datagram
 * that it sends. */
static void find_receiver(struct loop_datagram_socket *socket, struct loop_datagram_batch *batch, unsigned at)
{
    struct loop_net_origin origin;

    if (socket->local.u.ipv4.sin_port == 0) { /* which is where IPv6 has it too */
        (void)loop_net_local_address(loop_fd_peek(socket->fd), &socket->local);
    }
    loop_net_read_origin(&batch->headers[at].msg_hdr, &origin);
    loop_net_origin_address(&origin, &socket->local, &batch->receiver);
}

static void hand_out(struct loop_datagram_socket *socket, struct loop_datagram_batch *batch, unsigned at)
{
    const struct mmsghdr *header = &batch->headers[at];
    struct loop_address *sender = &batch->senders[at];
    struct loop_datagram datagram = {.data = batch->vectors[at].iov_base,
                                     .len = header->msg_len,
                                     .sender = sender,
                                     .receiver = &socket->local,
                                     .is_truncated = (header->msg_hdr.msg_flags & MSG_TRUNC) != 0};

    assert(at < batch->n && header->msg_len <= socket->max_bytes);
    sender->length = header->msg_hdr.msg_namelen;
    if (sender->length > sizeof sender->u.local) {
        sender->length = sizeof sender->u.local; /* of a path without its NUL */
    }
    if (socket->has_origins) {
        find_receiver(socket, batch, at);
        datagram.receiver = &batch->receiver;
    }
    socket->stats.truncated += datagram.is_truncated;
    socket->fn(socket->arg, (int64_t)datagram.len, &datagram);
}

/* Hands out what has been received, until the batch is empty or the program pauses. What the program sends meanwhile
 * leaves at the end. */
static void deliver(struct loop_datagram_socket *socket)
{
    struct loop_datagram_batch *batch = socket->batch;

    assert(batch && socket->stream && !socket->is_delivering);
    socket->is_delivering = true;
    while (batch->at < batch->n && (!socket->is_paused || socket->is_ending)) {
        hand_out(socket, batch, batch->at++);
    }
    socket->is_delivering = false;
    loop_datagram_flush(socket);
    loop_datagram_unlend(batch);
    if (batch->at == batch->n) {
        give_batch_back(socket);
    }
}

/* Reports an error of the network to the stream, unless it is paused. */
static void tell(struct loop_datagram_socket *socket)
{
    static const struct loop_address nobody;
    struct loop_datagram nothing = {.sender = &nobody, .receiver = &nobody};
    int error = socket->told;

    if (error < 0 && (!socket->is_paused || socket->is_ending)) {
        socket->told = 0;
        socket->fn(socket->arg, error, &nothing);
    }
}

/* ---- receiving ---- */

static size_t stride_of(const struct loop_datagram_socket *socket)
{
    return (socket->max_bytes + GAP_BYTES + 63) / 64 * 64;
}

static struct loop_datagram_batch *take_batch(struct loop_datagram_socket *socket)
{
    size_t size_bytes = sizeof(struct loop_datagram_batch) + LOOP_DATAGRAMS_AT_ONCE * stride_of(socket);
    struct loop_datagram_batch *batch = loop_scratch_take(socket->loop, size_bytes);

    if (batch) {
        batch->n = 0;
        batch->at = 0;
        batch->n_outgoing = 0;
        batch->n_copied = 0;
        batch->size_bytes = size_bytes;
    }
    return batch;
}

static void make_room(struct loop_datagram_batch *batch, const struct loop_datagram_socket *socket, unsigned from,
                      unsigned to)
{
    size_t stride = stride_of(socket);

    for (unsigned i = from; i < to; i++) {
        batch->vectors[i] = (struct iovec){.iov_base = batch->bytes + i * stride, .iov_len = socket->max_bytes};
        batch->headers[i].msg_hdr = (struct msghdr){.msg_name = &batch->senders[i].u,
                                                    .msg_namelen = sizeof batch->senders[i].u,
                                                    .msg_iov = &batch->vectors[i],
                                                    .msg_iovlen = 1};
        if (socket->has_origins) {
            batch->headers[i].msg_hdr.msg_control = batch->control[i];
            batch->headers[i].msg_hdr.msg_controllen = sizeof batch->control[i];
        }
    }
}

/* Receives behind the datagrams of `batch`, up to `room` together. Returns how many, or -errno. */
static int receive_more(struct loop_datagram_batch *batch, int number, unsigned room)
{
    int n;

    do {
        n = loop_kernel_recvmmsg(number, batch->headers + batch->n, room - batch->n, MSG_DONTWAIT, NULL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Receives until there is nothing left or the batch is full. Returns 0, or the error that followed what was
 * received. */
static int fill_batch(struct loop_datagram_socket *socket, struct loop_datagram_batch *batch, int number)
{
    unsigned room = socket->n_expected;

    assert(batch->n == 0 && room > 0 && room <= LOOP_DATAGRAMS_AT_ONCE);
    while (batch->n < LOOP_DATAGRAMS_AT_ONCE) {
        make_room(batch, socket, batch->n, room);
        int n = receive_more(batch, number, room);
        if (n < 0) {
            return n == -EAGAIN ? 0 : n;
        }
        batch->n += (unsigned)n;
        assert(batch->n <= room);
        if (batch->n < room) {
            return 0;
        }
        room = LOOP_DATAGRAMS_AT_ONCE;
    }
    return 0;
}

/* Counts a batch of `n`, and expects the next one to be about as large. */
static void learn(struct loop_datagram_socket *socket, unsigned n)
{
    unsigned expected = n + n / 2 + LOOP_DATAGRAMS_LEAST;

    socket->n_expected = expected < LOOP_DATAGRAMS_AT_ONCE ? expected : LOOP_DATAGRAMS_AT_ONCE;
    socket->stats.received += n;
}

static void end(struct loop_datagram_socket *socket, int64_t result);

/* Receives more in the next turn. */
static void come_back(struct loop_datagram_socket *socket)
{
    socket->wants_more = true;
    if (!loop_datagram_kick(socket)) {
        end(socket, -ENOMEM);
    }
}

static void note_told(struct loop_datagram_socket *socket, int error)
{
    socket->told = error;
    socket->stats.errors_told++;
    socket->stats.last_error = error;
}

static void on_receive_failed(struct loop_datagram_socket *socket, int error)
{
    if (loop_datagram_is_told(error)) {
        note_told(socket, error);
        tell(socket);
        socket->wants_more = true;
    } else {
        end(socket, error);
    }
}

/* Receives one batch and hands it out. A short batch has emptied the socket, and the next datagram brings an event. But
 * an error behind it brings none: a socket that gets errors tries once more. */
static void receive(struct loop_datagram_socket *socket)
{
    int number = loop_fd_use(socket->fd);
    struct loop_datagram_batch *batch = number < 0 ? NULL : take_batch(socket);

    assert(!socket->batch && !socket->is_delivering);
    socket->wants_more = false;
    if (!batch) {
        end(socket, number < 0 ? -ECANCELED : -ENOMEM);
    } else {
        int error = fill_batch(socket, batch, number);
        unsigned n = batch->n;
        learn(socket, n);
        socket->batch = batch;
        deliver(socket);
        if (error < 0) {
            on_receive_failed(socket, error);
        } else if (n == LOOP_DATAGRAMS_AT_ONCE || (n > 0 && socket->is_told_errors)) {
            socket->wants_more = true;
        }
    }
    if (number >= 0) {
        loop_fd_unuse(socket->fd);
    }
}

static bool may_receive(const struct loop_datagram_socket *socket)
{
    return socket->wants_more && !socket->batch && !socket->is_paused && !socket->is_ending;
}

/* Receives what one turn allows. */
static void receive_some(struct loop_datagram_socket *socket)
{
    for (unsigned n = 0; n < BATCHES_PER_TURN && may_receive(socket); n++) {
        receive(socket);
    }
    if (may_receive(socket)) {
        come_back(socket);
    }
}

/* ---- the stream ---- */

static void finish(struct loop_datagram_socket *socket)
{
    assert(socket->is_ending && socket->stream && !socket->is_delivering);
    give_batch_back(socket);
    loop_resolve(socket->loop, socket->stream, socket->end_result);
}

/* Ends the stream, after all that has been received is handed out. Without memory to come back from the dispatch, the
 * rest is dropped. */
static void end(struct loop_datagram_socket *socket, int64_t result)
{
    if (!socket->stream || socket->is_ending) {
        return;
    }
    socket->is_ending = true;
    socket->end_result = result;
    loop_cancel(socket->loop, socket->watch);
    if (socket->is_delivering || ((socket->batch || socket->told) && loop_datagram_kick(socket))) {
        return;
    }
    finish(socket);
}

static void go_on(struct loop_datagram_socket *socket)
{
    tell(socket);
    if (socket->batch) {
        deliver(socket);
    }
    receive_some(socket);
    if (socket->is_ending) {
        tell(socket);
        finish(socket);
    }
}

void loop_datagram_turn(struct loop_datagram_socket *socket)
{
    if (socket->stream) {
        go_on(socket);
    }
    loop_datagram_flush(socket);
}

static void on_readable(void *arg, int64_t result)
{
    struct loop_datagram_socket *socket = arg;

    if (result < 0) {
        end(socket, result);
    } else {
        socket->wants_more = true;
        loop_datagram_turn(socket);
    }
}

static void on_cancel(void *arg, loop_job job)
{
    (void)job;
    end(arg, -ECANCELED);
}

/* loop_pause on the stream. */
static int on_pause(void *arg, loop_job job)
{
    struct loop_datagram_socket *socket = arg;

    (void)job;
    if (socket->is_ending) {
        return -ENOENT;
    }
    socket->is_paused = true;
    return 0;
}

/* loop_resume on the stream. */
static int on_resume(void *arg, loop_job job)
{
    struct loop_datagram_socket *socket = arg;

    (void)job;
    if (socket->is_ending) {
        return -ENOENT;
    }
    if (socket->is_paused) {
        socket->is_paused = false;
        come_back(socket);
    }
    return 0;
}

static const struct loop_stream_ops stream_ops = {.cancel = on_cancel, .pause = on_pause, .resume = on_resume};

static void on_stream_end(void *arg, int64_t result)
{
    struct loop_datagram_socket *socket = arg;

    assert(socket->stream && socket->is_ending && !socket->batch);
    socket->stream = 0;
    socket->is_ending = false;
    socket->is_paused = false;
    socket->wants_more = false;
    socket->fn(socket->arg, result, NULL);
}

/* A stream that never begins. */
struct refusal {
    loop_datagram_fn *fn;
    void *arg;
};

static void on_refused(void *arg, int64_t result)
{
    struct refusal refusal = *(struct refusal *)arg;

    loop_kernel_free(arg);
    refusal.fn(refusal.arg, result, NULL);
}

static loop_job refuse(struct loop_datagram_socket *socket, int error, loop_datagram_fn *fn, void *arg)
{
    struct refusal *refusal = loop_kernel_malloc(sizeof *refusal);

    if (!refusal) {
        return 0;
    }
    *refusal = (struct refusal){fn, arg};
    loop_job job = loop_promise(socket->scope, NULL, NULL, on_refused, refusal);
    if (!job) {
        loop_kernel_free(refusal);
    }
    loop_resolve(socket->loop, job, error);
    return job;
}

static int check_stream(const struct loop_datagram_socket *socket)
{
    if (loop_scope_is_cancelled(socket->scope)) {
        return -ECANCELED;
    }
    if (!loop_fd_is_open(socket->fd)) {
        return -EBADF;
    }
    return socket->stream ? -EBUSY : 0;
}

loop_job loop_datagram_stream(struct loop_datagram_socket *socket, loop_datagram_fn *fn, void *arg)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return 0;
    }
    if (!loop_check_pointer(fn ? socket : NULL, "function", __func__)) {
        return 0;
    }
    int error = check_stream(socket);

    if (error < 0) {
        return refuse(socket, error, fn, arg);
    }
    loop_job stream = loop_promise_stream(socket->scope, &stream_ops, socket, on_stream_end, socket);
    if (!stream) {
        return 0;
    }
    socket->stream = stream;
    socket->fn = fn;
    socket->arg = arg;
    socket->told = 0; /* an earlier one shows in the statistics */
    socket->watch = loop_op_poll_multishot(NULL, socket->fd, on_readable, socket);
    loop_daemon(socket->loop, socket->watch);
    if (!socket->watch) {
        end(socket, -ENOMEM);
    }
    return stream;
}
