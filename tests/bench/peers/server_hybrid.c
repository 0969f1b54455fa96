/* SPDX-License-Identifier: ISC
 *
 * The handwritten server on io_uring's readiness: multishot accept for connections, multishot poll for readiness, and
 * plain calls on one buffer for bytes.
 *
 * A multishot poll reports new bytes once, so the server must receive until the socket is empty. A short receive means
 * that it is empty, unless the poll has reported the end of the stream as well.
 */
#include "datagrams.h"
#include "relay.h"
#include "ring.h"
#include "server.h"

#include <poll.h>
#include <unistd.h>

#define ENDS (POLLRDHUP | POLLHUP | POLLERR)

enum { TAG_READABLE, TAG_WRITABLE, TAG_IGNORED };

static struct server server;
static struct io_uring ring;
static int listener;

static void watch_input(struct relay *relay)
{
    struct io_uring_sqe *sqe = ring_sqe(&ring);

    io_uring_prep_poll_multishot(sqe, relay->from, POLLIN | POLLRDHUP);
    io_uring_sqe_set_data64(sqe, ring_data(relay, TAG_READABLE));
    relay->polls++;
}

static void await_output(struct relay *relay)
{
    struct io_uring_sqe *sqe = ring_sqe(&ring);

    io_uring_prep_poll_add(sqe, relay->to, POLLOUT);
    io_uring_sqe_set_data64(sqe, ring_data(relay, TAG_WRITABLE));
    relay->polls++;
}

/* A cancel, because a removal fails while the poll has an event to report. */
static void unwatch(struct relay *relay, unsigned tag)
{
    struct io_uring_sqe *sqe = ring_sqe(&ring);

    io_uring_prep_cancel64(sqe, ring_data(relay, tag), 0);
    io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
    io_uring_sqe_set_data64(sqe, TAG_IGNORED);
}

/* The memory is kept until the polls have ended. */
static void forget(struct relay *relay)
{
    if (relay->polls == 0) {
        relay_retire(relay);
    } else {
        unwatch(relay, TAG_READABLE);
        if (relay->polls > 1) {
            unwatch(relay, TAG_WRITABLE);
        }
    }
}

static void end(struct relay *relay)
{
    struct relay *twin = relay->twin;

    relay_close(relay);
    if (twin != relay) {
        forget(twin);
    }
    forget(relay);
}

/* Relays until there is nothing to receive, or no room to send. With `is_sure` only an empty socket counts as
 * nothing to receive. */
static void run(struct relay *relay, bool is_sure)
{
    enum relay_state state;

    do {
        state = relay_step(relay);
    } while (state == RELAY_MORE || (state == RELAY_SHORT && is_sure));
    if (state == RELAY_FAILED || (state == RELAY_ENDED && relay_end(relay))) {
        end(relay);
    } else if (state == RELAY_BLOCKED) {
        await_output(relay);
    }
}

static void on_poll(struct relay *relay, const struct io_uring_cqe *cqe)
{
    bool is_writable = (cqe->user_data & RING_TAG_MASK) == TAG_WRITABLE;
    bool goes_on = cqe->flags & IORING_CQE_F_MORE;

    relay->polls -= !goes_on;
    if (relay->from < 0) {
        if (relay->polls == 0) {
            relay_retire(relay);
        }
        return;
    }
    if (!is_writable && !goes_on) {
        watch_input(relay);
    }
    if (is_writable || relay_wants_input(relay)) {
        run(relay, is_writable || cqe->res < 0 || cqe->res & ENDS);
    } else if (relay->ended && (cqe->res < 0 || cqe->res & (POLLERR | POLLHUP))) {
        end(relay); /* the other direction has no receiver any more */
    }
}

/* ---- the listening socket ---- */

static void begin(int near)
{
    int far = server_far_end(&server, near);
    struct relay *relay;

    if (far < 0) {
        return;
    }
    relay = relay_new(near, far);
    watch_input(relay);
    if (far != near) {
        watch_input(relay->twin);
    }
}

static void watch_socket(void)
{
    struct io_uring_sqe *sqe = ring_sqe(&ring);

    if (server.mode == SERVER_UDP) {
        io_uring_prep_poll_multishot(sqe, listener, POLLIN);
    } else {
        io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    io_uring_sqe_set_data64(sqe, ring_data(NULL, TAG_READABLE));
}

static void on_socket(const struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        watch_socket();
    }
    if (cqe->res < 0) {
        return;
    }
    if (server.mode == SERVER_UDP) {
        datagrams_echo(listener);
    } else {
        begin(cqe->res);
    }
}

static void on_completion(const struct io_uring_cqe *cqe)
{
    struct relay *relay = ring_pointer(cqe->user_data);

    if (relay) {
        on_poll(relay, cqe);
    } else if (cqe->user_data != TAG_IGNORED) {
        on_socket(cqe);
    }
}

int main(int argc, char **argv)
{
    static const unsigned batch = 1;

    server = server_arguments(argc, argv, NULL);
    ring_open(&ring, RING_DEFERRED);
    listener = server_listen(&server);
    watch_socket();
    ring_run(&ring, &batch, relay_reclaim, on_completion);
}
