/* SPDX-License-Identifier: ISC
 *
 * Streams on io_uring: a multishot receive on each connection, and sends from the buffers that it filled, one at a
 * time.
 *
 * Three things make io_uring slow unless a program prevents them. First, buffers must not run out while many
 * connections receive: incremental buffers last with small messages, bytes that a socket does not accept are moved
 * elsewhere, and a receive that found no buffer restarts when one is returned. Second, buffers must not be much smaller
 * than messages, and all of them together must not exceed the cache. Third, after a large receive the answers must not
 * wait for the end of the batch, or both sides sleep in turns: with many bytes to send they are submitted at once.
 */
#include "uring.h"
#include "uring_buffers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLAIN_BUFFERS 1024 /* where the kernel has no incremental ones */
#define PLAIN_BYTES (16u << 10)
#define MOST_SILENT 4096u        /* sends at a time; more are reported */
#define MOST_UNSENT (256u << 10) /* above this nothing is received from the other side */

enum { TAG_RECEIVE, TAG_SEND, TAG_ACCEPT, TAG_IGNORED };

/* A piece queued behind the one being sent. */
struct waiting {
    struct uring_piece piece;
    struct waiting *next;
};

/* One end of a connection; an echo is its own peer. */
struct end {
    int fd;
    bool is_direct; /* an index into the ring's table, not a descriptor */
    bool is_receiving, is_sending;
    bool is_held;   /* receives nothing while the peer is slow */
    bool has_ended; /* the stream has ended */
    bool is_closed;
    bool is_silent;   /* is among the silent ones */
    bool is_reported; /* its silent send has a completion after all */
    struct end *peer;
    struct end *next_starved;
    struct uring_piece sending;
    struct waiting *first, **last;
    size_t n_unsent;
};

static const struct server *the_server;
static const struct uring_settings *the_settings;
static struct io_uring *the_ring;
static struct uring_buffers buffers;
static struct end *starved;
static int listener;
static size_t n_unflushed;
static struct end *silent[MOST_SILENT]; /* ends whose sends report only a failure, since the last wait */
static unsigned n_silent;
static unsigned batch; /* completions to wait for */

/* ---- requests ---- */

/* Sets the socket of `end` in `sqe`. */
static void aim(struct io_uring_sqe *sqe, struct end *end, unsigned tag)
{
    if (end->is_direct) {
        sqe->flags |= IOSQE_FIXED_FILE;
    }
    io_uring_sqe_set_data64(sqe, ring_data(end, tag));
}

/* Ignores the result of the request. */
static void ignore(struct io_uring_sqe *sqe)
{
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, TAG_IGNORED);
}

static void receive(struct end *end)
{
    struct io_uring_sqe *sqe = ring_sqe(the_ring);

    if (the_settings->receive == URING_MULTISHOT) {
        io_uring_prep_recv_multishot(sqe, end->fd, NULL, 0, 0);
    } else {
        io_uring_prep_recv(sqe, end->fd, NULL, 0, 0);
        sqe->ioprio = the_settings->receive == URING_POLL_FIRST ? IORING_RECVSEND_POLL_FIRST : 0;
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)buffers.group;
    aim(sqe, end, TAG_RECEIVE);
    end->is_receiving = true;
}

static void stop_receiving(struct end *end)
{
    struct io_uring_sqe *sqe = ring_sqe(the_ring);

    io_uring_prep_cancel64(sqe, ring_data(end, TAG_RECEIVE), 0);
    ignore(sqe);
}

/* Such a send is over when it has been submitted. A failure, or a socket without room for all of it, is reported. */
static void send_silently(struct end *end, struct io_uring_sqe *sqe)
{
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->msg_flags |= MSG_WAITALL;
    end->is_reported = false;
    if (end->is_silent) {
        return;
    }
    end->is_silent = true;
    silent[n_silent++] = end;
}

/* Something is to be done after a send. If it is silent, no completion will end a wait for it. */
static void settle_soon(void)
{
    batch = n_silent > 0 ? 0 : batch;
}

static void send_piece(struct end *end, struct uring_piece piece)
{
    struct io_uring_sqe *sqe = ring_sqe(the_ring);

    io_uring_prep_send(sqe, end->fd, piece.data, piece.length,
                       (piece.copy ? MSG_WAITALL : MSG_DONTWAIT) | MSG_NOSIGNAL);
    if (the_settings->are_sends_silent && !piece.copy && n_silent < MOST_SILENT) {
        send_silently(end, sqe);
    }
    aim(sqe, end, TAG_SEND);
    end->sending = piece;
    end->is_sending = true;
    n_unflushed += piece.length;
    if (n_unflushed > the_settings->flush_bytes) {
        n_unflushed = 0;
        io_uring_submit(the_ring);
    }
}

static void shut_down(struct end *end)
{
    struct io_uring_sqe *sqe = ring_sqe(the_ring);

    io_uring_prep_shutdown(sqe, end->fd, SHUT_WR);
    aim(sqe, end, TAG_IGNORED);
    ignore(sqe);
}

static void close_fd(struct end *end)
{
    struct io_uring_sqe *sqe = ring_sqe(the_ring);

    if (end->is_direct) {
        io_uring_prep_close_direct(sqe, (unsigned)end->fd);
    } else {
        io_uring_prep_close(sqe, end->fd);
    }
    ignore(sqe);
}

static void await_connection(void)
{
    struct io_uring_sqe *sqe = ring_sqe(the_ring);

    if (the_settings->are_files_plain) {
        io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    } else {
        io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    }
    io_uring_sqe_set_data64(sqe, TAG_ACCEPT);
}

/* ---- memory ---- */

static bool is_idle(const struct end *end)
{
    return !end->is_receiving && !end->is_sending && !end->is_silent;
}

/* The memory is freed when no request refers to it any more. */
static void free_when_idle(struct end *end)
{
    struct end *peer = end->peer;

    if (!is_idle(end) || !is_idle(peer)) {
        return;
    }
    if (peer != end) {
        free(peer);
    }
    free(end);
}

/* Restarts the receives that found no buffer. */
static void feed_starved(void)
{
    struct end *end = starved;

    starved = NULL;
    while (end) {
        struct end *next = end->next_starved;

        if (end->is_closed) {
            end->is_receiving = false;
            free_when_idle(end);
        } else {
            receive(end);
        }
        end = next;
    }
}

static void give_back(struct uring_piece piece)
{
    if (uring_buffers_give_back(&buffers, piece)) {
        feed_starved();
    }
}

/* Moves the bytes out of the buffer, so that other connections can use it. */
static void move(struct uring_piece *piece)
{
    char *copy = bench_alloc(1, piece->length);

    memcpy(copy, piece->data, piece->length);
    give_back(*piece);
    piece->data = piece->copy = copy;
}

/* Queues a piece behind the current send. If that send waits for room, the piece will wait long, and is moved out of
 * its buffer. */
static void keep(struct end *end, struct uring_piece piece)
{
    struct waiting *waiting = bench_alloc(1, sizeof *waiting);

    settle_soon();
    waiting->piece = piece;
    if (end->sending.copy) {
        move(&waiting->piece);
    }
    *end->last = waiting;
    end->last = &waiting->next;
}

static void move_waiting(struct end *end)
{
    for (struct waiting *waiting = end->first; waiting; waiting = waiting->next) {
        if (!waiting->piece.copy) {
            move(&waiting->piece);
        }
    }
}

/* Selects the next piece to send. Returns false if none is queued. */
static bool take_waiting(struct end *end, struct uring_piece *piece)
{
    struct waiting *waiting = end->first;

    if (!waiting) {
        return false;
    }
    *piece = waiting->piece;
    end->first = waiting->next;
    if (!end->first) {
        end->last = &end->first;
    }
    free(waiting);
    return true;
}

/* ---- the life of a connection ---- */

static struct end *make_end(int fd, bool is_direct)
{
    struct end *end = bench_alloc(1, sizeof *end);

    end->fd = fd;
    end->is_direct = is_direct;
    end->peer = end;
    end->last = &end->first;
    return end;
}

static void drop_waiting(struct end *end)
{
    struct uring_piece piece;

    while (take_waiting(end, &piece)) {
        give_back(piece);
    }
}

static void close_end(struct end *end)
{
    end->is_closed = true;
    drop_waiting(end);
    if (end->is_receiving) {
        stop_receiving(end);
    }
    if (end->is_sending) {
        shut_down(end); /* ends a send that waits for room */
    }
    close_fd(end);
}

static void close_both(struct end *end)
{
    struct end *peer = end->peer;

    close_end(end);
    if (peer != end) {
        close_end(peer);
    }
    free_when_idle(end);
}

/* Everything has been forwarded to the peer. */
static void pass_end(struct end *end)
{
    struct end *peer = end->peer;

    if (peer->has_ended && !end->is_sending) {
        close_both(end);
    } else {
        shut_down(peer);
    }
}

static void on_piece(struct end *end, struct uring_piece piece)
{
    struct end *peer = end->peer;

    if (end->is_closed) {
        give_back(piece);
        return;
    }
    peer->n_unsent += piece.length;
    if (!peer->is_sending) {
        send_piece(peer, piece);
        return;
    }
    keep(peer, piece);
    if (peer->n_unsent > MOST_UNSENT && !end->is_held) {
        end->is_held = true;
        if (end->is_receiving) {
            stop_receiving(end);
        }
    }
}

static void receive_again(struct end *end, int result)
{
    if (result == -ENOBUFS && buffers.n_out == buffers.count) {
        end->next_starved = starved;
        starved = end;
        end->is_receiving = true; /* soon */
        settle_soon();
    } else if (!end->is_held) {
        receive(end);
    }
}

/* The multishot is over. */
static void on_receive_over(struct end *end, int result)
{
    end->is_receiving = false;
    if (end->is_closed) {
        free_when_idle(end);
    } else if (result > 0 || result == -ENOBUFS || result == -ECANCELED) {
        receive_again(end, result);
    } else if (result < 0) {
        close_both(end);
    } else {
        end->has_ended = true;
        if (!end->peer->is_sending) {
            pass_end(end);
        } else {
            settle_soon();
        }
    }
}

static void on_received(struct end *end, const struct io_uring_cqe *cqe)
{
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        on_piece(end, uring_buffers_take(&buffers, cqe));
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        on_receive_over(end, cqe->res);
    }
}

/* There is room again for bytes from the peer. */
static void on_room(struct end *end)
{
    struct end *peer = end->peer;

    if (peer->is_held && end->n_unsent <= MOST_UNSENT / 2) {
        peer->is_held = false;
        if (!peer->is_receiving && !peer->has_ended) {
            receive(peer);
        }
    }
}

/* The socket has no room for the rest, which is moved out of its buffer. */
static void send_rest(struct end *end, struct uring_piece piece, unsigned sent)
{
    piece.data += sent;
    piece.length -= sent;
    if (!piece.copy) {
        move(&piece);
    }
    send_piece(end, piece);
    move_waiting(end);
}

static void on_all_sent(struct end *end)
{
    struct uring_piece next;

    give_back(end->sending);
    if (take_waiting(end, &next)) {
        send_piece(end, next);
        settle_soon();
    } else if (end->peer->has_ended) {
        pass_end(end->peer);
        return;
    }
    on_room(end);
}

static void on_sent(struct end *end, int result)
{
    struct uring_piece piece = end->sending;
    unsigned sent = result > 0 ? (unsigned)result : 0;

    end->is_sending = false;
    end->is_reported = true;
    end->n_unsent -= sent;
    if (end->is_closed) {
        give_back(piece);
        free_when_idle(end);
    } else if (result < 0 && result != -EAGAIN) {
        give_back(piece);
        close_both(end);
    } else if (sent < piece.length) {
        send_rest(end, piece, sent);
    } else {
        on_all_sent(end);
    }
}

/* Returns false if the upstream is unreachable. */
static bool connect_upstream(struct end *end)
{
    int fd = server_connect_upstream(the_server);

    if (fd < 0) {
        return false;
    }
    end->peer = make_end(fd, false);
    end->peer->peer = end;
    receive(end->peer);
    return true;
}

static void on_accepted(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        struct end *end = make_end(cqe->res, !the_settings->are_files_plain);

        if (the_server->mode == SERVER_PROXY && !connect_upstream(end)) {
            close_both(end);
        } else {
            receive(end);
        }
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        await_connection();
    }
}

/* ---- the program ---- */

static void on_completion(const struct io_uring_cqe *cqe)
{
    struct end *end = ring_pointer(cqe->user_data);

    switch (cqe->user_data & RING_TAG_MASK) {
    case TAG_RECEIVE: on_received(end, cqe); break;
    case TAG_SEND: on_sent(end, cqe->res); break;
    case TAG_ACCEPT: on_accepted(cqe); break;
    default: break;
    }
}

/* Everything has been submitted. The silent sends that have no completion have succeeded. */
static void before_batch(void)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = n_silent;

    n_unflushed = 0;
    batch = the_settings->batch;
    io_uring_for_each_cqe(the_ring, head, cqe)
    {
        if (n > 0 && (cqe->user_data & RING_TAG_MASK) == TAG_SEND) {
            ((struct end *)ring_pointer(cqe->user_data))->is_reported = true;
        }
    }
    n_silent = 0;
    for (unsigned i = 0; i < n; i++) {
        struct end *end = silent[i];

        end->is_silent = false;
        if (!end->is_reported) {
            on_sent(end, (int)end->sending.length);
        } else if (end->is_closed) {
            free_when_idle(end);
        }
    }
}

static void make_buffers(void)
{
    const struct uring_settings *wanted = the_settings;
    bool are_there =
        uring_buffers_open(&buffers, the_ring, 0, wanted->n_buffers, wanted->buffer_bytes, wanted->are_incremental);

    if (!are_there) {
        uring_buffers_open(&buffers, the_ring, 0, PLAIN_BUFFERS, PLAIN_BYTES, false);
    }
}

void uring_serve_streams(const struct server *server, const struct uring_settings *settings, struct io_uring *ring)
{
    the_server = server;
    the_settings = settings;
    batch = settings->batch;
    the_ring = ring;
    ring_make_files(ring);
    make_buffers();
    listener = server_listen(server);
    await_connection();
    ring_run(ring, &batch, before_batch, on_completion);
}
