/* SPDX-License-Identifier: ISC
 *
 * Descriptors that preserve the boundaries of writes: sockets of packets and datagrams, and pipes in packet mode. One
 * write is one packet.
 */
#include "harness.h"

#include <loop/part.h>

enum kind { SEQPACKET, DATAGRAM, KNOWN_DATAGRAM, PACKET_PIPE, KINDS };
static struct loop_flow *flow;
static int peer;
static char sent[4000], got[sizeof sent + 1];

static void make_ends(struct loop_scope *scope, enum kind kind)
{
    int fds[2];

    fill_pattern(sent, sizeof sent, 2);
    if (kind == PACKET_PIPE) {
        CHECK_IS(pipe2(fds, O_CLOEXEC | O_DIRECT), 0);
        peer = fds[0];
        flow = flow_of(scope, fds[1]);
    } else if (kind == KNOWN_DATAGRAM) {
        CHECK_IS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        peer = fds[1];
        flow = loop_fd_flow(loop_fd_adopt_datagram(scope, fds[0]));
    } else {
        CHECK_IS(socketpair(AF_UNIX, (kind == DATAGRAM ? SOCK_DGRAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0, fds), 0);
        peer = fds[1];
        flow = flow_of(scope, fds[0]);
    }
    set_nonblocking(peer);
}

/* The next packet has so many bytes, which begin there in `sent`. */
static void check_packet(size_t from, size_t len)
{
    CHECK_IS(read(peer, got, sizeof got), len);
    CHECK(memcmp(got, sent + from, len) == 0);
}

static void check_nothing(void)
{
    CHECK(read(peer, got, sizeof got) < 0 && errno == EAGAIN);
}

LOOP_TEST(p11_writes_of_packets_that_leave_together_stay_apart)
{
    static enum kind kind;
    static struct once writes[5];
    static struct iovec pieces[3] = {{sent + 300, 50}, {sent + 350, 0}, {sent + 350, 50}};
    static struct loop_chunk *chunk;
    static int i;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        make_ends(env->scope, kind);
        memset(writes, 0, sizeof writes);
        chunk = loop_chunk_alloc(env->loop);
        memcpy(loop_chunk_data(chunk), sent + 400, 100);
        START(loop_write(&flow->sink, sent, 100, ONCE(&writes[0])));
        START(loop_write(&flow->sink, sent + 100, 200, ONCE(&writes[1])));
        START(loop_write(&flow->sink, sent, 0, ONCE(&writes[2])));
        START(loop_writev(&flow->sink, pieces, 3, ONCE(&writes[3])));
        START(loop_write_chunk(&flow->sink, chunk, 100, ONCE(&writes[4])));
        loop_write(&flow->sink, sent + 500, 1, NULL, NULL);
        loop_write(&flow->sink, sent + 501, 2, NULL, NULL);
        WAIT_UNTIL(writes[4].count);
        AWAIT(turns(env->scope, 2, GO));
        check_packet(0, 100);
        check_packet(100, 200);
        check_packet(300, 100);
        check_packet(400, 100);
        check_packet(500, 1);
        check_packet(501, 2);
        check_nothing();
        for (i = 0; i < 5; i++) {
            ONCE_IS(writes[i], i == 1 ? 200 : i == 2 ? 0 : 100);
        }
        close(peer);
    }
    END;
}

/* One write of more pieces than a call usually takes. */
LOOP_TEST(p11_one_write_of_many_pieces_is_one_packet)
{
    static enum kind kind;
    static struct iovec pieces[sizeof sent];
    static struct once writes[2];

    BEGIN;
    for (size_t i = 0; i < sizeof sent; i++) {
        pieces[i] = (struct iovec){sent + i, 1};
    }
    for (kind = 0; kind < KINDS; kind++) {
        make_ends(env->scope, kind);
        memset(writes, 0, sizeof writes);
        START(loop_writev(&flow->sink, pieces, 100, ONCE(&writes[0])));
        START(loop_writev(&flow->sink, pieces + 100, sizeof sent - 100, ONCE(&writes[1])));
        WAIT_UNTIL(writes[1].count);
        ONCE_IS(writes[0], 100);
        ONCE_IS(writes[1], sizeof sent - 100);
        check_packet(0, 100);
        check_packet(100, sizeof sent - 100);
        check_nothing();
        close(peer);
    }
    END;
}

/* Writes that wait for room. */
LOOP_TEST(p11_packets_that_wait_for_room_stay_apart)
{
    enum { MANY = 1500 };
    static enum kind kind;
    static struct tally tally;
    static size_t n_read;
    static int i;
    ssize_t n;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        make_ends(env->scope, kind);
        tally = (struct tally){0};
        for (i = 0; i < MANY; i++) {
            loop_write(&flow->sink, sent + i, (size_t)1 + i % 50, TALLY(&tally));
        }
        n_read = 0;
        while (n_read < MANY) {
            AWAIT(turns(env->scope, 1, GO));
            while ((n = read(peer, got, sizeof got)) > 0) {
                CHECK_IS(n, 1 + n_read % 50);
                CHECK(memcmp(got, sent + n_read, (size_t)n) == 0);
                n_read++;
            }
        }
        check_nothing();
        WAIT_UNTIL(tally.count == MANY);
        CHECK_IS(tally.ended_well, MANY);
        close(peer);
    }
    END;
}

static struct loop_sink *way_out;

static void on_data(void *end, int64_t result, struct loop_chunk *chunk)
{
    if (chunk) {
        loop_write_chunk(way_out, chunk, (size_t)result, NULL, NULL);
    } else {
        once_resumed(end, result);
    }
}

/* What a stream or a copy passes on keeps its packets too. */
LOOP_TEST(p11_packets_pass_through_streams_and_copies_one_by_one)
{
    static enum kind kind;
    static int in[2], is_copy, i;
    static struct loop_flow *from;
    static struct once end;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        for (is_copy = 0; is_copy < 2; is_copy++) {
            make_ends(env->scope, kind);
            end = (struct once){0};
            way_out = &flow->sink;
            CHECK_IS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, in), 0);
            from = flow_of(env->scope, in[0]);
            for (i = 0; i < 20; i++) {
                CHECK_IS(send(in[1], sent + i, (size_t)i + 1, 0), i + 1);
            }
            close(in[1]);
            START(is_copy ? loop_copy(&from->source, way_out, ONCE(&end)) : loop_stream(&from->source, on_data, &end));
            for (i = 0; i < 20; i++) {
                while (poll(&(struct pollfd){.fd = peer, .events = POLLIN}, 1, 0) == 0) {
                    AWAIT(turns(env->scope, 1, GO));
                }
                check_packet((size_t)i, (size_t)i + 1);
            }
            WAIT_UNTIL(end.count);
            close(peer);
        }
    }
    END;
}
