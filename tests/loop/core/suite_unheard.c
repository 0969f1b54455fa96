/* SPDX-License-Identifier: ISC
 *
 * Writes without a continuation: if not all bytes are written, the scope fails with the error that caused it.
 */
#include "harness.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { QUOTA = 3000, SIZE = 1 << 20 };

static char bytes[SIZE];

/* ---- a disk that is full: the process's limit on the size of its files ---- */

enum way { WRITE, WRITEV, WRITE_CHUNK, OP_WRITE, OP_WRITEV, OP_WRITE_AT, OP_WRITE_FIXED, OP_WRITE_CHUNK, PWRITE, WAYS };

static struct loop_chunk *chunk; /* of the last of them */

static void write_to(struct loop_scope *scope, struct loop_flow *flow, enum way way, loop_fn *fn, void *arg)
{
    static struct iovec halves[2] = {{bytes, 2000}, {bytes + 2000, 2000}};
    struct loop_fd *fd = flow->fd;

    chunk = loop_chunk_alloc(loop_scope_loop(scope));
    memcpy(loop_chunk_data(chunk), bytes, 4000);

    switch (way) {
    case WRITE: loop_write(&flow->sink, bytes, 4000, fn, arg); break;
    case WRITEV: loop_writev(&flow->sink, halves, 2, fn, arg); break;
    case WRITE_CHUNK: loop_write_chunk(&flow->sink, chunk, 4000, fn, arg); break;
    case OP_WRITE: loop_op_write(scope, fd, bytes, 4000, LOOP_CURRENT, fn, arg); break;
    case OP_WRITEV: loop_op_writev(scope, fd, halves, 2, LOOP_CURRENT, fn, arg); break;
    case OP_WRITE_AT: loop_op_write(scope, fd, bytes, 4000, 0, fn, arg); break;
    case OP_WRITE_FIXED: loop_op_write_fixed(scope, fd, loop_chunk_offset(chunk), 4000, 0, fn, arg); break;
    case OP_WRITE_CHUNK: loop_op_write_chunk(scope, fd, chunk, 4000, 0, fn, arg); break;
    case PWRITE: loop_file_pwrite(scope, fd, halves, 2, 0, fn, arg); break;
    case WAYS: break;
    }
}

/* The write has ended, however. */
static void give_chunk_back(struct loop *loop, enum way way)
{
    if (way != WRITE_CHUNK) {
        loop_chunk_free(loop, chunk);
    }
}

static void limit_files(void)
{
    struct rlimit limit = {QUOTA, QUOTA};

    signal(SIGXFSZ, SIG_IGN);
    CHECK_IS(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

LOOP_TEST(p05_unheard_write_to_a_full_disk_fails_the_scope)
{
    static struct loop_scope *scope;
    static struct once end;
    static struct stat status;
    static enum way way;
    static int file;

    BEGIN;
    limit_files();
    for (way = 0; way < WAYS; way++) {
        end = (struct once){0};
        scope = loop_scope_open(env->scope, ONCE(&end));
        file = make_file("", 0);
        write_to(scope, flow_of(scope, dup(file)), way, NULL, NULL);
        WAIT_UNTIL(end.count);
        ONCE_IS(end, -EFBIG);
        CHECK_IS(fstat(file, &status), 0);
        CHECK_IS(status.st_size, QUOTA);
        close(file);
        give_chunk_back(env->loop, way);
    }
    END;
}

LOOP_TEST(p05_heard_write_to_a_full_disk_tells_the_count)
{
    static struct loop_scope *scope;
    static struct once end, write;
    static enum way way;

    BEGIN;
    limit_files();
    for (way = 0; way < WAYS; way++) {
        end = write = (struct once){0};
        scope = loop_scope_open(env->scope, ONCE(&end));
        write_to(scope, flow_of(scope, make_file("", 0)), way, ONCE(&write));
        WAIT_UNTIL(end.count);
        CHECK_MOVED(write.result, QUOTA);
        ONCE_IS(end, 0);
        give_chunk_back(env->loop, way);
    }
    END;
}

/* ---- a peer that goes away ---- */

enum peer { BY_WRITE, BY_WRITEV, BY_SEND, BY_SEND_MSG, BY_OP_WRITE, BY_OP_WRITEV, PEERS };

static struct iovec pieces[3] = {{bytes, 1}, {bytes + 1, SIZE / 2}, {bytes + 1 + SIZE / 2, SIZE / 2 - 1}};
static struct loop_message message = {.iov = pieces, .n_iov = 3};

static loop_job send_to(struct loop_flow *flow, enum peer way)
{
    switch (way) {
    case BY_WRITE: return loop_write(&flow->sink, bytes, SIZE, NULL, NULL);
    case BY_WRITEV: return loop_writev(&flow->sink, pieces, 3, NULL, NULL);
    case BY_SEND: return loop_op_send(NULL, flow->fd, bytes, SIZE, 0, NULL, NULL);
    case BY_SEND_MSG: return loop_op_send_msg(NULL, flow->fd, &message, NULL, NULL);
    case BY_OP_WRITE: return loop_op_write(NULL, flow->fd, bytes, SIZE, LOOP_CURRENT, NULL, NULL);
    case BY_OP_WRITEV: return loop_op_writev(NULL, flow->fd, pieces, 3, LOOP_CURRENT, NULL, NULL);
    case PEERS: break;
    }
    return 0;
}

enum link { UNIX_SOCKET, TCP_SOCKET, PIPE_END, LINKS };

static bool can_send(enum link link, enum peer way)
{
    return link != PIPE_END || (way != BY_SEND && way != BY_SEND_MSG);
}

static void make_link(enum link link, int fds[2])
{
    if (link == PIPE_END) {
        int ends[2];
        make_pipe(ends);
        fds[0] = ends[1];
        fds[1] = ends[0];
    } else if (link == TCP_SOCKET) {
        make_tcp_pair(fds);
    } else {
        make_pair(fds);
    }
    if (link != PIPE_END) {
        set_small_buffers(fds[0]);
    }
    set_nonblocking(fds[1]);
}

/* The peer closes with bytes that it has not read. */
LOOP_TEST(p05_unheard_write_to_a_peer_that_resets_fails_the_scope)
{
    static struct loop_scope *scope;
    static struct once end;
    static enum link link;
    static enum peer way;
    static int fds[2];

    BEGIN;
    for (link = 0; link < LINKS; link++) {
        for (way = 0; way < PEERS; way++) {
            if (!can_send(link, way)) {
                continue;
            }
            make_link(link, fds);
            end = (struct once){0};
            scope = loop_scope_open(env->scope, ONCE(&end));
            START(send_to(flow_of(scope, fds[0]), way));
            AWAIT(turns(env->scope, 5, GO));
            CHECK_IS(end.count, 0);
            close(fds[1]);
            WAIT_UNTIL(end.count);
            CHECK(end.result == -EPIPE || end.result == -ECONNRESET);
        }
    }
    END;
}

LOOP_TEST(p05_unheard_write_to_a_slow_peer_goes_out_whole)
{
    static struct loop_scope *scope;
    static struct once end;
    static struct loop_source *peer;
    static struct loop_flow *flow;
    static char got[SIZE + 6];
    static enum link link;
    static enum peer way;
    static int fds[2];

    BEGIN;
    fill_pattern(bytes, SIZE, 3);
    for (link = 0; link < LINKS; link++) {
        for (way = 0; way < PEERS; way++) {
            if (!can_send(link, way)) {
                continue;
            }
            make_link(link, fds);
            end = (struct once){0};
            scope = loop_scope_open(env->scope, ONCE(&end));
            peer = &flow_of(env->scope, fds[1])->source;
            memset(got, 0, SIZE);
            flow = flow_of(scope, fds[0]);
            loop_sink_limit(&flow->sink, (size_t)2 * SIZE);
            START(send_to(flow, way));
            START(way < BY_SEND ? loop_write(&flow->sink, "behind", 6, NULL, NULL)
                                : loop_op_write(NULL, flow->fd, "behind", 6, LOOP_CURRENT, NULL, NULL));
            AWAIT(loop_read_exact(peer, got, SIZE + 6, GO));
            CHECK_IS(result, SIZE + 6);
            CHECK(is_pattern(got, SIZE, 3));
            CHECK(memcmp(got + SIZE, "behind", 6) == 0);
            CHECK(is_pattern(got, SIZE, 3));
            AWAIT(loop_read(peer, got, SIZE, GO));
            CHECK_IS(result, 0);
            ONCE_IS(end, 0);
            loop_source_close(peer);
        }
    }
    END;
}

LOOP_TEST(p05_unheard_write_that_is_cancelled_midway_is_no_error)
{
    static struct loop_scope *scope;
    static struct once end;
    static enum link link;
    static enum peer way;
    static int fds[2];
    static loop_job job;

    BEGIN;
    for (link = 0; link < LINKS; link++) {
        for (way = 0; way < PEERS; way++) {
            if (!can_send(link, way)) {
                continue;
            }
            make_link(link, fds);
            end = (struct once){0};
            scope = loop_scope_open(env->scope, ONCE(&end));
            job = START(send_to(flow_of(scope, fds[0]), way));
            AWAIT(turns(env->scope, 5, GO));
            CHECK_IS(loop_cancel(env->loop, job), 0);
            WAIT_UNTIL(end.count);
            ONCE_IS(end, 0);
            close(fds[1]);
        }
    }
    END;
}

/* Descriptors that are passed with a message go once, though its bytes go in pieces. */
LOOP_TEST(unheard_message_passes_its_descriptors_once)
{
    static struct loop_scope *scope;
    static struct once end;
    static int fds[2], passed[2], got[4];
    static size_t n_fds, n_bytes;
    static char room[65536];
    static struct iovec iov = {room, sizeof room};
    static struct loop_message sent, received;
    static struct loop_fd *peer;

    BEGIN;
    make_link(UNIX_SOCKET, fds);
    make_pipe(passed);
    scope = loop_scope_open(env->scope, ONCE(&end));
    sent = (struct loop_message){.iov = pieces, .n_iov = 3, .numbers = passed, .n_numbers = 2};
    peer = adopt(env->scope, fds[1]);
    START(loop_op_send_msg(NULL, flow_of(scope, fds[0])->fd, &sent, NULL, NULL));
    while (n_bytes < SIZE) {
        received = (struct loop_message){.iov = &iov, .n_iov = 1, .numbers = got + n_fds, .n_numbers = 4 - n_fds};
        AWAIT(loop_op_recv_msg(NULL, peer, &received, GO));
        CHECK(result > 0);
        n_bytes += (size_t)result;
        n_fds += received.n_numbers;
    }
    WAIT_UNTIL(end.count);
    ONCE_IS(end, 0);
    CHECK_IS(n_fds, 2);
    for (int i = 0; i < 2; i++) {
        close(got[i]);
        close(passed[i]);
    }
    END;
}
