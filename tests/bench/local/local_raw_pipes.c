/* SPDX-License-Identifier: ISC
 *
 * Lower bounds: pipes. No loop at all (none), epoll, readiness from the ring with plain calls (hybrid), reads and
 * writes on the ring (uring), and multishot reads (multishot).
 */
#include "local_pipes.h"
#include "local_raw.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- a byte, back and forth ---- */

void raw_pingpong_none(const struct local_options *options, struct local_result *result)
{
    struct local_game game;

    local_game_init(&game, options, result);
    local_game_serve(&game);
    while (local_player_turn(&game, &game.players[1]) && local_player_turn(&game, &game.players[0])) {
    }
    local_game_finish(&game);
}

void raw_pingpong_epoll(const struct local_options *options, struct local_result *result)
{
    struct local_game game;
    struct epoll_event events[16];
    int epoll = raw_epoll();
    bool goes_on = true;

    local_game_init(&game, options, result);
    raw_epoll_add(epoll, game.players[0].in, EPOLLIN, 0);
    raw_epoll_add(epoll, game.players[1].in, EPOLLIN, 1);
    local_game_serve(&game);
    while (goes_on) {
        int64_t n = local_sys("epoll_wait", epoll_wait(epoll, events, 16, -1));
        for (int64_t i = 0; i < n; i++) {
            goes_on = local_player_turn(&game, &game.players[events[i].data.u64]) && goes_on;
        }
    }
    local_game_finish(&game);
    close(epoll);
}

void raw_pingpong_hybrid(const struct local_options *options, struct local_result *result)
{
    struct local_game game;
    struct io_uring ring;
    bool goes_on = true;

    raw_ring_init(&ring, 64);
    local_game_init(&game, options, result);
    raw_ring_watch(&ring, game.players[0].in, POLLIN, 0);
    raw_ring_watch(&ring, game.players[1].in, POLLIN, 1);
    local_game_serve(&game);
    while (goes_on) {
        struct io_uring_cqe *cqe = raw_ring_wait(&ring);
        uint64_t i = cqe->user_data;
        local_check(cqe->res > 0, "a poll has failed");
        if (!(cqe->flags & IORING_CQE_F_MORE)) {
            raw_ring_watch(&ring, game.players[i].in, POLLIN, i);
        }
        io_uring_cqe_seen(&ring, cqe);
        goes_on = local_player_turn(&game, &game.players[i]);
    }
    local_game_finish(&game);
    io_uring_queue_exit(&ring);
}

#define WRITTEN 2 /* the user data of writes */

static void prepare_read(struct io_uring *ring, int fd, unsigned char *byte, uint64_t data)
{
    struct io_uring_sqe *sqe = raw_ring_sqe(ring);
    io_uring_prep_read(sqe, fd, byte, 1, 0);
    io_uring_sqe_set_data64(sqe, data);
}

static void prepare_write(struct io_uring *ring, int fd, const unsigned char *byte)
{
    struct io_uring_sqe *sqe = raw_ring_sqe(ring);
    io_uring_prep_write(sqe, fd, byte, 1, 0);
    io_uring_sqe_set_data64(sqe, WRITTEN);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

void raw_pingpong_uring(const struct local_options *options, struct local_result *result)
{
    struct local_game game;
    struct io_uring ring;
    unsigned char in[2], out[2];
    bool goes_on = true;

    raw_ring_init(&ring, 64);
    local_game_init(&game, options, result);
    prepare_read(&ring, game.players[0].in, &in[0], 0);
    prepare_read(&ring, game.players[1].in, &in[1], 1);
    local_game_serve(&game);
    while (goes_on) {
        struct io_uring_cqe *cqe = raw_ring_wait(&ring);
        uint64_t i = cqe->user_data;
        local_check(i != WRITTEN && cqe->res == 1, "a read or a write has failed");
        io_uring_cqe_seen(&ring, cqe);
        goes_on = local_player_got(&game, &game.players[i], in[i]);
        out[i] = (unsigned char)(in[i] + 1);
        prepare_write(&ring, game.players[i].out, &out[i]);
        prepare_read(&ring, game.players[i].in, &in[i], i);
    }
    io_uring_queue_exit(&ring);
    local_game_finish(&game);
}

/* ---- the same with provided buffers, which the kernel chooses from ---- */

#define OP_READ_MULTISHOT 49 /* newer than the oldest supported headers */
#define BUFFERS 64u
#define BUFFER_SIZE 64u

struct buffers {
    struct io_uring_buf_ring *ring;
    unsigned char *memory;
};

static void give_buffer(struct buffers *buffers, unsigned id)
{
    io_uring_buf_ring_add(buffers->ring, buffers->memory + (size_t)id * BUFFER_SIZE, BUFFER_SIZE, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers->ring, 1);
}

static void buffers_init(struct buffers *buffers, struct io_uring *ring)
{
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS, .bgid = 0};
    void *memory;

    if (posix_memalign(&memory, 4096, BUFFERS * sizeof(struct io_uring_buf)) != 0) {
        local_fail("no memory", -ENOMEM);
    }
    buffers->ring = memory;
    buffers->memory = local_alloc(BUFFERS, BUFFER_SIZE);
    io_uring_buf_ring_init(buffers->ring);
    reg.ring_addr = (uint64_t)(uintptr_t)memory;
    local_check(io_uring_register_buf_ring(ring, &reg, 0) == 0, "no ring of buffers");
    for (unsigned id = 0; id < BUFFERS; id++) {
        give_buffer(buffers, id);
    }
}

static void prepare_multishot(struct io_uring *ring, int fd, uint64_t data)
{
    struct io_uring_sqe *sqe = raw_ring_sqe(ring);
    io_uring_prep_rw(OP_READ_MULTISHOT, sqe, fd, NULL, 0, (uint64_t)-1);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data64(sqe, data);
}

void raw_pingpong_multishot(const struct local_options *options, struct local_result *result)
{
    struct local_game game;
    struct io_uring ring;
    struct buffers buffers;
    unsigned char out[2];
    bool goes_on = true;

    raw_ring_init(&ring, 64);
    buffers_init(&buffers, &ring);
    local_game_init(&game, options, result);
    prepare_multishot(&ring, game.players[0].in, 0);
    prepare_multishot(&ring, game.players[1].in, 1);
    local_game_serve(&game);
    while (goes_on) {
        struct io_uring_cqe *cqe = raw_ring_wait(&ring);
        uint64_t i = cqe->user_data;
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        local_check(i != WRITTEN && cqe->res == 1, "a read or a write has failed");
        if (!(cqe->flags & IORING_CQE_F_MORE)) {
            prepare_multishot(&ring, game.players[i].in, i);
        }
        io_uring_cqe_seen(&ring, cqe);
        out[i] = (unsigned char)(buffers.memory[id * BUFFER_SIZE] + 1);
        goes_on = local_player_got(&game, &game.players[i], (unsigned char)(out[i] - 1));
        give_buffer(&buffers, id);
        prepare_write(&ring, game.players[i].out, &out[i]);
    }
    io_uring_queue_exit(&ring);
    local_game_finish(&game);
    free(buffers.ring);
    free(buffers.memory);
}

/* ---- blocks, one way ---- */

void raw_pipe_none(const struct local_options *options, struct local_result *result)
{
    struct local_transfer transfer;

    local_transfer_init(&transfer, options, result);
    do {
        if (transfer.out >= 0) {
            (void)local_transfer_write(&transfer);
        }
    } while (local_transfer_read(&transfer) != LOCAL_ENDED);
    local_transfer_finish(&transfer);
}

enum { READS, WRITES };

void raw_pipe_epoll(const struct local_options *options, struct local_result *result)
{
    struct local_transfer transfer;
    struct epoll_event events[16];
    int epoll = raw_epoll();
    bool goes_on = true;

    local_transfer_init(&transfer, options, result);
    raw_epoll_add(epoll, transfer.in, EPOLLIN, READS);
    raw_epoll_add(epoll, transfer.out, EPOLLOUT, WRITES);
    while (goes_on) {
        int64_t n = local_sys("epoll_wait", epoll_wait(epoll, events, 16, -1));
        for (int64_t i = 0; i < n; i++) {
            if (events[i].data.u64 == WRITES) {
                (void)local_transfer_write(&transfer);
            } else {
                goes_on = local_transfer_read(&transfer) != LOCAL_ENDED;
            }
        }
    }
    local_transfer_finish(&transfer);
    close(epoll);
}

/* The ring's polls report changes only, so this moves everything each time. Returns false at the end. */
static bool move_all(struct local_transfer *transfer, uint64_t what)
{
    enum local_moved moved;

    do {
        moved = what == READS ? local_transfer_read(transfer) : local_transfer_write(transfer);
    } while (moved == LOCAL_ALL);
    return moved != LOCAL_ENDED;
}

void raw_pipe_hybrid(const struct local_options *options, struct local_result *result)
{
    struct local_transfer transfer;
    struct io_uring ring;
    bool goes_on = true;

    raw_ring_init(&ring, 64);
    local_transfer_init(&transfer, options, result);
    raw_ring_watch(&ring, transfer.in, POLLIN, READS);
    raw_ring_watch(&ring, transfer.out, POLLOUT, WRITES);
    while (goes_on) {
        struct io_uring_cqe *cqe = raw_ring_wait(&ring);
        uint64_t what = cqe->user_data;
        bool more = cqe->flags & IORING_CQE_F_MORE;
        io_uring_cqe_seen(&ring, cqe);
        if (what == READS) {
            goes_on = move_all(&transfer, READS);
        } else if (transfer.out < 0 || !move_all(&transfer, WRITES)) {
            continue;
        }
        if (!more && goes_on) {
            raw_ring_watch(&ring, what == READS ? transfer.in : transfer.out, what == READS ? POLLIN : POLLOUT, what);
        }
    }
    io_uring_queue_exit(&ring);
    local_transfer_finish(&transfer);
}

static void prepare_block_read(struct io_uring *ring, const struct local_transfer *transfer)
{
    struct io_uring_sqe *sqe = raw_ring_sqe(ring);
    io_uring_prep_read(sqe, transfer->in, transfer->buffer, (unsigned)transfer->stream.size, 0);
    io_uring_sqe_set_data64(sqe, READS);
}

static void prepare_block_write(struct io_uring *ring, const struct local_transfer *transfer)
{
    size_t len;
    const unsigned char *rest = local_transfer_rest(transfer, &len);
    struct io_uring_sqe *sqe = raw_ring_sqe(ring);
    io_uring_prep_write(sqe, transfer->out, rest, (unsigned)len, 0);
    io_uring_sqe_set_data64(sqe, WRITES);
}

void raw_pipe_uring(const struct local_options *options, struct local_result *result)
{
    struct local_transfer transfer;
    struct io_uring ring;
    bool goes_on = true;

    raw_ring_init(&ring, 64);
    local_transfer_init(&transfer, options, result);
    prepare_block_write(&ring, &transfer);
    prepare_block_read(&ring, &transfer);
    while (goes_on) {
        struct io_uring_cqe *cqe = raw_ring_wait(&ring);
        uint64_t what = cqe->user_data;
        int n = cqe->res;
        io_uring_cqe_seen(&ring, cqe);
        local_check(n > 0, "a read or a write has failed");
        if (what == READS) {
            goes_on = local_transfer_got(&transfer, (size_t)n);
            prepare_block_read(&ring, &transfer);
        } else if (local_transfer_sent(&transfer, (size_t)n)) {
            prepare_block_write(&ring, &transfer);
        }
    }
    io_uring_queue_exit(&ring);
    local_transfer_finish(&transfer);
}
