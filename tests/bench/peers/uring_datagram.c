/* SPDX-License-Identifier: ISC
 *
 * Datagrams on io_uring: one multishot receive, and one send per datagram from the buffer that it filled.
 */
#include "uring.h"
#include "uring_buffers.h"

#include <errno.h>

#define BUFFERS 256 /* at most; each has room for the largest datagram, and unused pages take no memory */
#define BUFFER_BYTES (SERVER_READ_BYTES + 512)

/* An answer, stored in the buffer that contains its datagram. */
struct answer {
    struct msghdr header;
    struct iovec bytes;
};

static struct io_uring *the_ring;
static struct uring_buffers buffers;
static struct answer answers[BUFFERS];
static struct msghdr shape = {.msg_namelen = sizeof(struct sockaddr_storage)};
static bool is_starved;

static void receive(void)
{
    struct io_uring_sqe *sqe = ring_sqe(the_ring);

    io_uring_prep_recvmsg_multishot(sqe, 0, &shape, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)buffers.group;
    io_uring_sqe_set_data64(sqe, 0);
}

static void give_back(unsigned buffer)
{
    uring_buffers_give_back(&buffers, (struct uring_piece){.buffer = buffer});
    if (is_starved) {
        is_starved = false;
        receive();
    }
}

static void answer(const struct io_uring_cqe *cqe)
{
    struct uring_piece piece = uring_buffers_take(&buffers, cqe);
    struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(piece.data, (int)piece.length, &shape);
    struct answer *it = &answers[piece.buffer];
    struct io_uring_sqe *sqe;

    if (!out) {
        give_back(piece.buffer);
        return;
    }
    it->bytes.iov_base = io_uring_recvmsg_payload(out, &shape);
    it->bytes.iov_len = io_uring_recvmsg_payload_length(out, (int)piece.length, &shape);
    it->header = (struct msghdr){
        .msg_name = io_uring_recvmsg_name(out), .msg_namelen = out->namelen, .msg_iov = &it->bytes, .msg_iovlen = 1};
    sqe = ring_sqe(the_ring);
    io_uring_prep_sendmsg(sqe, 0, &it->header, 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, piece.buffer + 1);
}

static void on_completion(const struct io_uring_cqe *cqe)
{
    if (cqe->user_data > 0) {
        give_back((unsigned)cqe->user_data - 1); /* datagrams that the socket does not accept are lost */
        return;
    }
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        answer(cqe);
    }
    if (cqe->flags & IORING_CQE_F_MORE) {
        return;
    }
    if (cqe->res == -ENOBUFS && buffers.n_out == buffers.count) {
        is_starved = true;
    } else {
        receive();
    }
}

static void before_batch(void)
{
}

void uring_serve_datagrams(const struct server *server, const struct uring_settings *settings, struct io_uring *ring)
{
    int fd = server_listen(server);

    the_ring = ring;
    errno = -io_uring_register_files(ring, &fd, 1);
    if (errno != 0) {
        bench_fail("the ring's files");
    }
    uring_buffers_open(&buffers, ring, 0, settings->n_buffers < BUFFERS ? settings->n_buffers : BUFFERS, BUFFER_BYTES,
                       false);
    receive();
    ring_run(ring, &settings->batch, before_batch, on_completion);
}
