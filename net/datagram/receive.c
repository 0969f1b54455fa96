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
#include <net/datagram/error_queue.h>
#include <net/datagram/queue.h>
#include <net/datagram/receive.h>
#include <net/datagram/send.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Keeps datagrams from starting at the same place of a page, where they would compete for the same cache lines. */
#define GAP_BYTES 128

#define LONGEST_TRAIN 65535

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
static void find_receiver(struct loop_datagram_socket *socket, struct loop_datagram_batch *batch)
{
    if (socket->local.u.ipv4.sin_port == 0) { /* which is where IPv6 has it too */
        (void)loop_net_local_address(loop_fd_peek(socket->fd), &socket->local);
    }
    loop_net_origin_address(&batch->report.origin, &socket->local, &batch->receiver);
    loop_net_origin_address(&batch->report.destination, &socket->local, &batch->destination);
}

/* Reads what came with the bytes of the next message. */
static void begin_message(struct loop_datagram_socket *socket, struct loop_datagram_batch *batch)
{
    const struct msghdr *header = &batch->headers[batch->at].msg_hdr;
    struct loop_address *sender = &batch->senders[batch->at];

    batch->current = batch->at;
    sender->length = header->msg_namelen;
    if (sender->length > sizeof sender->u.local) {
        sender->length = sizeof sender->u.local; /* of a path without its NUL */
    }
    if (header->msg_control) {
        loop_net_read_report(header, &batch->report);
        socket->stats.trains_received += batch->report.segment_bytes > 0;
    }
    if (socket->has_origins || socket->reports & LOOP_DATAGRAM_PACKET_INFO) {
        find_receiver(socket, batch);
    }
}

/* Returns the length of the next datagram of the message, and goes on behind it. */
static size_t take_datagram(struct loop_datagram_batch *batch)
{
    const struct mmsghdr *header = &batch->headers[batch->at];
    size_t left = header->msg_len - batch->offset;
    size_t segment_bytes = header->msg_hdr.msg_control ? batch->report.segment_bytes : 0;
    size_t len = segment_bytes > 0 && segment_bytes < left ? segment_bytes : left;

    assert(batch->at < batch->n && batch->offset <= header->msg_len);
    batch->offset += len;
    if (batch->offset == header->msg_len) {
        batch->offset = 0;
        batch->at++;
    }
    return len;
}

/* Fills in what was asked for. */
static void fill_in(struct loop_datagram_socket *socket, const struct loop_net_report *report,
                    struct loop_datagram *datagram)
{
    datagram->traffic_class = report->traffic_class;
    datagram->hop_limit = report->hop_limit;
    datagram->time_ns = report->time_ns;
    if (socket->reports & LOOP_DATAGRAM_PACKET_INFO) {
        datagram->interface = report->interface;
        datagram->destination = report->destination.family != 0 ? &socket->batch->destination : NULL;
    }
}

static void hand_out(struct loop_datagram_socket *socket, struct loop_datagram_batch *batch)
{
    size_t from = batch->offset;

    if (from == 0) {
        begin_message(socket, batch);
    }
    unsigned current = batch->current;
    size_t len = take_datagram(batch);
    bool is_truncated = len > socket->max_bytes || batch->headers[current].msg_hdr.msg_flags & MSG_TRUNC;
    struct loop_datagram datagram = {.data = (char *)batch->vectors[current].iov_base + from,
                                     .len = len < socket->max_bytes ? len : socket->max_bytes,
                                     .sender = &batch->senders[current],
                                     .receiver = socket->has_origins ? &batch->receiver : &socket->local,
                                     .is_truncated = is_truncated};
    fill_in(socket, &batch->report, &datagram);
    socket->stats.received++;
    socket->stats.truncated += is_truncated;
    socket->fn(socket->arg, (int64_t)datagram.len, &datagram);
}

/* Hands out what has been received, until the batch is empty, the program pauses or others have their turn. What the
 * program sends meanwhile leaves at the end. */
static void deliver(struct loop_datagram_socket *socket)
{
    struct loop_datagram_batch *batch = socket->batch;

    assert(batch && socket->stream && !socket->is_delivering);
    socket->is_delivering = true;
    while (batch->at < batch->n && socket->n_allowed > 0 && (!socket->is_paused || socket->is_ending)) {
        socket->n_allowed--;
        hand_out(socket, batch);
    }
    socket->is_delivering = false;
    loop_datagram_flush(socket);
    loop_datagram_unlend(batch);
    if (batch->at == batch->n) {
        give_batch_back(socket);
    }
}

/* Reports an error of the network to the stream, behind what was received before, unless it is paused. */
static void tell(struct loop_datagram_socket *socket)
{
    static const struct loop_address nobody;
    struct loop_datagram nothing = {.sender = &nobody, .receiver = &nobody, .traffic_class = -1, .hop_limit = -1};
    int error = socket->told;

    if (error < 0 && !socket->batch && (!socket->is_paused || socket->is_ending)) {
        socket->told = 0;
        socket->fn(socket->arg, error, &nothing);
    }
}

/* ---- receiving ---- */

/* Returns the length of the longest message. */
static size_t room_of(const struct loop_datagram_socket *socket)
{
    return socket->has_trains && socket->max_bytes < LONGEST_TRAIN ? LONGEST_TRAIN : socket->max_bytes;
}

static size_t stride_of(const struct loop_datagram_socket *socket)
{
    return (room_of(socket) + GAP_BYTES + 63) / 64 * 64;
}

static struct loop_datagram_batch *take_batch(struct loop_datagram_socket *socket)
{
    size_t size_bytes = sizeof(struct loop_datagram_batch) + LOOP_DATAGRAMS_AT_ONCE * stride_of(socket);
    struct loop_datagram_batch *batch = loop_scratch_take(socket->loop, size_bytes);

    if (batch) {
        batch->n = 0;
        batch->at = 0;
        batch->offset = 0;
        loop_net_clear_report(&batch->report);
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
        batch->vectors[i] = (struct iovec){.iov_base = batch->bytes + i * stride, .iov_len = room_of(socket)};
        batch->headers[i].msg_hdr = (struct msghdr){.msg_name = &batch->senders[i].u,
                                                    .msg_namelen = sizeof batch->senders[i].u,
                                                    .msg_iov = &batch->vectors[i],
                                                    .msg_iovlen = 1};
        if (socket->has_control) {
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
        n = loop_kernel_recvmmsg(number, batch->headers + batch->n, room - batch->n, MSG_DONTWAIT | MSG_CMSG_CLOEXEC,
                                 NULL);
    } while (n < 0 && errno == EINTR);
    for (int i = 0; i < n; i++) {
        loop_net_close_passed(&batch->headers[batch->n + (unsigned)i].msg_hdr);
    }
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

/* Expects the next batch to be about as large as this one of `n`. */
static void learn(struct loop_datagram_socket *socket, unsigned n)
{
    unsigned expected = n + n / 2 + LOOP_DATAGRAMS_LEAST;

    socket->n_expected = expected < LOOP_DATAGRAMS_AT_ONCE ? expected : LOOP_DATAGRAMS_AT_ONCE;
}

static void end(struct loop_datagram_socket *socket, int64_t result);

/* Goes on in the next turn. */
static void come_back(struct loop_datagram_socket *socket)
{
    if (!loop_datagram_kick(socket)) {
        end(socket, -ENOMEM);
    }
}

static void on_receive_failed(struct loop_datagram_socket *socket, int error)
{
    if (loop_datagram_is_told(error)) {
        loop_datagram_note_told(socket, error);
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
        } else if (n == 0) {
            socket->wants_errors = socket->has_error_queue;
        }
    }
    if (number >= 0) {
        loop_fd_unuse(socket->fd);
    }
}

static bool may_receive(const struct loop_datagram_socket *socket)
{
    return socket->wants_more && !socket->batch && socket->n_allowed > 0 && !socket->is_paused && !socket->is_ending;
}

/* Returns whether there is more to do in the next turn. */
static bool has_rest(const struct loop_datagram_socket *socket)
{
    return !socket->is_paused && !socket->is_ending && (socket->batch || socket->wants_more || socket->wants_errors);
}

/* Receives what one turn allows. */
static void receive_some(struct loop_datagram_socket *socket)
{
    for (unsigned n = 0; n < BATCHES_PER_TURN && may_receive(socket); n++) {
        receive(socket);
        loop_datagram_report_errors(socket);
    }
    if (has_rest(socket)) {
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
    if (socket->batch) {
        deliver(socket);
    }
    tell(socket);
    loop_datagram_report_errors(socket);
    receive_some(socket);
    if (socket->is_ending) {
        tell(socket);
        if (!socket->batch || !loop_datagram_kick(socket)) {
            finish(socket);
        }
    }
}

void loop_datagram_turn(struct loop_datagram_socket *socket)
{
    socket->n_allowed = LOOP_DATAGRAM_ANSWERS;
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
        socket->wants_more = true;
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
