/* SPDX-License-Identifier: ISC
 *
 * The load client on io_uring: a multishot receive on each connection, into provided buffers, and sends straight from
 * the pattern. One io_uring_enter submits the messages of a turn, waits, and collects the answers. Connections that end
 * after each message receive once instead, so that no request outlives them.
 *
 * It needs Linux 6.1.
 */
#include "load.h"

#include <errno.h>
#include <liburing.h>
#include <sys/mman.h>
#include <unistd.h>

#define SUBMISSIONS 4096
#define COMPLETIONS 32768
#define FEWEST_BUFFERS 16u
#define MOST_BUFFERS 32768u
#define LEAST_BUFFER_BYTES 256u
#define MOST_BUFFER_BYTES (128u << 10)
#define ALL_BUFFERS_BYTES (2u << 20) /* stays in the cache; more only where the fewest buffers are larger */
#define SURELY_ACCEPTED 4096u        /* a socket has room for this much, so a send of it cannot wait */

enum { TAG_RECEIVE, TAG_SEND, TAG_MASK = 7 };

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static unsigned char *memory;
static unsigned n_buffers, buffer_bytes, n_returned;

/* ---- the ring ---- */

static unsigned power_of_two(size_t least, unsigned from, unsigned most)
{
    unsigned value = from;

    while (value < least && value < most) {
        value *= 2;
    }
    return value;
}

static void choose_buffers(const struct load *load)
{
    size_t in_flight = (size_t)load->size * load->pipeline;

    /* A datagram that is too long shows by one byte more. */
    buffer_bytes = power_of_two(in_flight + load_is_datagram(load), LEAST_BUFFER_BYTES, MOST_BUFFER_BYTES);
    n_buffers = power_of_two(2 * (size_t)load->n_connections, FEWEST_BUFFERS, MOST_BUFFERS);
    while (n_buffers > FEWEST_BUFFERS && (size_t)n_buffers * buffer_bytes > ALL_BUFFERS_BYTES) {
        n_buffers /= 2;
    }
}

static void *map(size_t n_bytes)
{
    void *mapped = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mapped == MAP_FAILED) {
        bench_fail("memory");
    }
    return mapped;
}

/* Returns it to the kernel, together with the others of the turn. */
static void return_buffer(unsigned buffer)
{
    io_uring_buf_ring_add(buffers, memory + (size_t)buffer * buffer_bytes, buffer_bytes, (unsigned short)buffer,
                          io_uring_buf_ring_mask(n_buffers), (int)n_returned++);
}

static void give_returned(void)
{
    io_uring_buf_ring_advance(buffers, (int)n_returned);
    n_returned = 0;
}

static bool provide_buffers(void)
{
    struct io_uring_buf_reg request = {.ring_entries = n_buffers};

    buffers = map(n_buffers * sizeof(struct io_uring_buf));
    memory = map((size_t)n_buffers * buffer_bytes);
    request.ring_addr = (uintptr_t)buffers;
    if (io_uring_register_buf_ring(&ring, &request, 0) != 0) {
        return false;
    }
    io_uring_buf_ring_init(buffers);
    for (unsigned i = 0; i < n_buffers; i++) {
        return_buffer(i);
    }
    give_returned();
    return true;
}

static bool open_uring(struct load *load)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                              IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
                                     .cq_entries = COMPLETIONS};

    choose_buffers(load);
    if (io_uring_queue_init_params(SUBMISSIONS, &ring, &params) != 0) {
        return false;
    }
    if (io_uring_register_ring_fd(&ring) == 1 && provide_buffers() &&
        (load->churn || io_uring_register_files_sparse(&ring, load->n_connections) == 0)) {
        return true;
    }
    io_uring_queue_exit(&ring);
    return false;
}

static struct io_uring_sqe *new_request(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    while (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

/* Sets the file of a prepared request: an index into the ring's table, except for connections that come and go. */
static void aim(const struct load *load, struct connection *connection, struct io_uring_sqe *sqe, unsigned tag)
{
    if (!load->churn) {
        sqe->fd = (int)connection->index;
        sqe->flags |= IOSQE_FIXED_FILE;
    }
    sqe->user_data = (uint64_t)(uintptr_t)connection | tag;
}

/* ---- connections ---- */

static void receive(struct load *load, struct connection *connection)
{
    struct io_uring_sqe *sqe = new_request();

    if (load->churn) {
        io_uring_prep_recv(sqe, connection->fd, NULL, 0, 0);
    } else {
        io_uring_prep_recv_multishot(sqe, connection->fd, NULL, 0, 0);
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    aim(load, connection, sqe, TAG_RECEIVE);
}

static void register_file(const struct connection *connection, int fd)
{
    if (io_uring_register_files_update(&ring, connection->index, &fd, 1) != 1) {
        bench_fail("the ring's files");
    }
}

static void watch(struct load *load, struct connection *connection)
{
    connection->waits_to_send = false;
    if (!load->churn) {
        register_file(connection, connection->fd);
    }
    receive(load, connection);
}

/* A shut down socket ends its requests, which would keep it open otherwise. */
static void close_socket(struct load *load, struct connection *connection)
{
    if (!load->churn) {
        shutdown(connection->fd, SHUT_RDWR);
        register_file(connection, -1);
    }
    close(connection->fd);
}

/* One send at a time, so that none overtakes another. One that cannot wait for room completes in its turn. */
static void send_unsent(struct load *load, struct connection *connection)
{
    struct io_uring_sqe *sqe;

    if (connection->waits_to_send) {
        return;
    }
    sqe = new_request();
    io_uring_prep_send(sqe, connection->fd, load->pattern + connection->to_send, connection->unsent,
                       MSG_WAITALL | MSG_NOSIGNAL);
    if ((size_t)load->size * load->pipeline <= SURELY_ACCEPTED) {
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    } else {
        connection->waits_to_send = true;
    }
    aim(load, connection, sqe, TAG_SEND);
    load_sent(load, connection, connection->unsent);
}

/* ---- completions ---- */

static void on_sent(struct load *load, struct connection *connection, int result)
{
    if (connection->fd < 0) {
        return;
    }
    connection->waits_to_send = false;
    if (result < 0) {
        errno = -result;
        load_fail(load, connection, NULL);
    } else if (connection->unsent > 0) {
        send_unsent(load, connection);
    }
}

static void on_bytes(struct load *load, struct connection *connection, const struct io_uring_cqe *cqe)
{
    unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

    if (connection->fd >= 0) {
        load->kind->received(load, connection, memory + (size_t)buffer * buffer_bytes, (size_t)cqe->res);
    }
    return_buffer(buffer);
}

/* A single receive, of a connection that may have been replaced since, goes on only inside a message. */
static bool goes_on(const struct load *load, const struct connection *connection, const struct io_uring_cqe *cqe)
{
    return connection->fd >= 0 && !(cqe->flags & IORING_CQE_F_MORE) &&
           (!load->churn || cqe->res < 0 || connection->partial > 0);
}

static void on_received(struct load *load, struct connection *connection, const struct io_uring_cqe *cqe)
{
    if (cqe->res > 0) {
        on_bytes(load, connection, cqe);
    } else if (connection->fd >= 0 && cqe->res == 0) {
        if (cqe->flags & IORING_CQE_F_BUFFER) {
            return_buffer(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        }
        load->kind->ended(load, connection);
    } else if (connection->fd >= 0 && cqe->res != -ENOBUFS) {
        errno = -cqe->res;
        load_fail(load, connection, NULL);
    }
    if (goes_on(load, connection, cqe)) {
        receive(load, connection);
    }
}

static void on_completion(struct load *load, const struct io_uring_cqe *cqe)
{
    struct connection *connection = (struct connection *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);

    if ((cqe->user_data & TAG_MASK) == TAG_SEND) {
        on_sent(load, connection, cqe->res);
    } else {
        on_received(load, connection, cqe);
    }
}

/* ---- turns ---- */

/* At the end fewer may be in flight than a batch has. */
static void wait_for_completions(struct load *load, int64_t until)
{
    unsigned wanted = load->stopping ? 1 : load->batch;
    int64_t spin_until = load->now + load->spin_ns, rest = until > load->now ? until - load->now : 0;
    struct __kernel_timespec timeout = {.tv_sec = rest / BENCH_SECOND, .tv_nsec = rest % BENCH_SECOND};
    struct io_uring_cqe *cqe;

    while (load->spin_ns > 0 && load->now < spin_until) {
        io_uring_submit_and_get_events(&ring);
        if (io_uring_cq_ready(&ring) > 0) {
            return;
        }
        load->now = bench_now();
    }
    io_uring_submit_and_wait_timeout(&ring, &cqe, wanted, &timeout, NULL);
}

static void turn(struct load *load, int64_t until)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;

    wait_for_completions(load, until);
    load->now = bench_now();
    io_uring_for_each_cqe(&ring, head, cqe)
    {
        on_completion(load, cqe);
        n++;
    }
    io_uring_cq_advance(&ring, n);
    give_returned();
}

const struct load_engine load_uring_engine = {
    .name = "io_uring", .open = open_uring, .watch = watch, .send = send_unsent, .close = close_socket, .turn = turn};
