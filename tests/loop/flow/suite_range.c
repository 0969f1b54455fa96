/* SPDX-License-Identifier: ISC
 *
 * Sources of a part of a file (loop_range_source), and copies from files and parts of files to sockets.
 */
#include "sockets.h"

#ifndef NORIA_SIMULATED
#include <linux/tcp.h>
#endif

enum { SIZE = 600000, SEED = 21 };

static char data[SIZE], bytes[2 * SIZE];

/* Returns an adopted file with the pattern. */
static struct loop_fd *pattern_file(struct loop_scope *scope)
{
    fill_pattern(data, SIZE, SEED);
    return adopt(scope, make_file(data, SIZE));
}

static struct loop_source *range_of(struct loop_scope *scope, struct loop_fd *file, uint64_t offset, uint64_t len)
{
    struct loop_source *source;

    CHECK_IS(loop_range_source(scope, file, offset, len, &source), 0);
    return source;
}

/* ---- reading ---- */

LOOP_TEST(a_range_delivers_its_part_and_ends)
{
    static struct loop_source *range;
    static struct loop_fd *file;

    BEGIN;
    file = pattern_file(env->scope);
    range = range_of(env->scope, file, 1000, 5000);
    CHECK_IS(loop_range_left(range), 5000);
    AWAIT(loop_read_exact(range, bytes, sizeof bytes, GO));
    CHECK_IS(result, 5000);
    CHECK_IS(loop_range_left(range), 0);
    CHECK(is_pattern_at(bytes, 5000, SEED, 1000));
    AWAIT(loop_read(range, bytes, 1, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_file_seek(file, 0, SEEK_CUR), 0);
    END;
}

LOOP_TEST(ranges_of_one_file_keep_their_positions_apart)
{
    static struct loop_source *ranges[2];
    static struct once reads[4];
    static char parts[4][100];
    static struct loop_fd *file;
    static unsigned n;

    BEGIN;
    file = pattern_file(env->scope);
    ranges[0] = range_of(env->scope, file, 0, 1000);
    ranges[1] = range_of(env->scope, file, 300000, 1000);
    for (n = 0; n < 4; n += 2) {
        START(loop_read_exact(ranges[0], parts[n], sizeof parts[n], ONCE(&reads[n])));
        START(loop_read_exact(ranges[1], parts[n + 1], sizeof parts[n + 1], ONCE(&reads[n + 1])));
        AWAIT(loop_read_exact(&loop_fd_flow(file)->source, bytes, 1, GO));
        WAIT_UNTIL(reads[n].count && reads[n + 1].count);
    }
    for (unsigned i = 0; i < 4; i++) {
        ONCE_IS(reads[i], 100);
        CHECK(is_pattern_at(parts[i], 100, SEED, 300000 * (i % 2) + 100 * (i / 2)));
    }
    CHECK_IS(loop_file_seek(file, 0, SEEK_CUR), 2);
    END;
}

LOOP_TEST(reads_of_a_range_are_served_in_their_order)
{
    static struct loop_source *range;
    static struct once reads[3];
    static char parts[3][7];
    static loop_job second;

    BEGIN;
    range = range_of(env->scope, pattern_file(env->scope), 50, 1000);
    START(loop_read(range, parts[0], 7, ONCE(&reads[0])));
    second = START(loop_read(range, parts[1], 7, ONCE(&reads[1])));
    START(loop_read(range, parts[2], 7, ONCE(&reads[2])));
    CHECK_IS(loop_cancel(env->loop, second), 0);
    WAIT_UNTIL(reads[0].count && reads[1].count && reads[2].count);
    ONCE_IS(reads[1], -ECANCELED);
    CHECK(reads[0].result > 0 && reads[2].result > 0);
    CHECK(is_pattern_at(parts[0], (size_t)reads[0].result, SEED, 50));
    CHECK(is_pattern_at(parts[2], (size_t)reads[2].result, SEED, 50 + (size_t)reads[0].result));
    END;
}

LOOP_TEST(a_range_ends_where_its_file_does)
{
    static struct loop_source *range;

    BEGIN;
    range = range_of(env->scope, pattern_file(env->scope), SIZE - 10, 100);
    AWAIT(loop_read_exact(range, bytes, 100, GO));
    CHECK_IS(result, 10);
    range = range_of(env->scope, pattern_file(env->scope), SIZE + 10, 100);
    AWAIT(loop_read(range, bytes, 100, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(a_range_takes_back_what_it_has_delivered)
{
    static struct loop_source *range;

    BEGIN;
    range = range_of(env->scope, pattern_file(env->scope), 10, 100);
    AWAIT(loop_read_exact(range, bytes, 20, GO));
    CHECK_IS(loop_source_unread(range, bytes, 21), -EINVAL);
    CHECK_IS(loop_source_unread(range, bytes + 15, 5), 0);
    AWAIT(loop_read_exact(range, bytes, 200, GO));
    CHECK_IS(result, 85);
    CHECK(is_pattern_at(bytes, 85, SEED, 25));
    END;
}

LOOP_TEST(a_range_of_what_is_no_file_or_closed_is_refused)
{
    static struct loop_flow *flows[2];
    static struct loop_source *range;
    static struct loop_fd *file;

    BEGIN;
    make_flows(env->scope, flows);
    file = pattern_file(env->scope);
    CHECK_IS(loop_range_source(env->scope, flows[0]->fd, 0, 1, &range), -EINVAL);
    CHECK_IS(loop_range_source(env->scope, file, (uint64_t)INT64_MAX + 1, 0, &range), -EINVAL);
    CHECK_IS(loop_range_source(env->scope, file, 2, INT64_MAX, &range), -EINVAL);
    CHECK(range == NULL);
    range = range_of(env->scope, file, 0, 10);
    CHECK_IS(loop_fd_close(file), 0);
    AWAIT(loop_read(range, bytes, 10, GO));
    CHECK_IS(result, -EBADF);
    CHECK_IS(loop_source_close(range), 0);
    CHECK_IS(loop_source_close(range), -EBADF);
    AWAIT(loop_read(range, bytes, 10, GO));
    CHECK_IS(result, -EBADF);
    CHECK_IS(loop_source_unread(range, bytes, 1), -EBADF);
    CHECK_IS(loop_range_source(env->scope, file, 0, 10, &range), -EBADF);
    END;
}

LOOP_TEST(a_range_whose_file_is_destroyed_reads_no_other)
{
    static struct loop_source *range;
    static struct loop_fd *file;

    BEGIN;
    file = pattern_file(env->scope);
    range = range_of(env->scope, file, 0, 10);
    loop_fd_destroy(file);
    AWAIT(turns(env->scope, 3, GO));
    (void)pattern_file(env->scope);
    AWAIT(loop_read(range, bytes, 10, GO));
    CHECK_IS(result, -EBADF);
    END;
}

/* ---- copies to sockets ---- */

enum peer { UNIX_PEER, TCP_PEER, PEERS };

/* Connected sockets: the first adopted, the second a number that does not wait. TCP has its own buffers: in small ones
 * the segments of the loopback find no room, and wait for timers. */
static struct loop_flow *flow_to_peer(struct loop_scope *scope, unsigned kind, int *peer)
{
    int fds[2];

    if (kind == TCP_PEER) {
        make_tcp_pair(fds);
    } else {
        make_pair(fds);
        set_small_buffers(fds[0]);
        set_small_buffers(fds[1]);
    }
    set_nonblocking(fds[1]);
    *peer = fds[1];
    return flow_of(scope, fds[0]);
}

/* Receives what has come, behind what came before. */
static size_t receive_more(int peer, size_t length)
{
    ssize_t n;

    while ((n = recv(peer, bytes + length, sizeof bytes - length, 0)) > 0) {
        length += (size_t)n;
    }
    return length;
}

static int peer;
static size_t received;

LOOP_TEST_ROWS(a_file_arrives_between_what_is_written_before_and_after, PEERS)
{
    static struct loop_flow *flow;
    static struct once copies[2];
    static struct loop_fd *file;

    BEGIN;
    file = pattern_file(env->scope);
    flow = flow_to_peer(env->scope, script.row, &peer);
    CHECK_IS(loop_file_seek(file, 100, SEEK_SET), 100);
    START(loop_write(&flow->sink, "head", 4, NULL, NULL));
    START(loop_copy(range_of(env->scope, file, 1000, SIZE - 1000), &flow->sink, ONCE(&copies[0])));
    for (received = 0; !copies[0].count;) {
        received = receive_more(peer, received);
        AWAIT(turns(env->scope, 1, GO));
    }
    START(loop_write(&flow->sink, "middle", 6, NULL, NULL));
    START(loop_copy(&loop_fd_flow(file)->source, &flow->sink, ONCE(&copies[1])));
    while (!copies[1].count) {
        received = receive_more(peer, received);
        AWAIT(turns(env->scope, 1, GO));
    }
    AWAIT(loop_shutdown(&flow->sink, GO));
    while (received < 4 + (SIZE - 1000) + 6 + (SIZE - 100)) {
        received = receive_more(peer, received);
        AWAIT(turns(env->scope, 1, GO));
    }
    ONCE_IS(copies[0], SIZE - 1000);
    ONCE_IS(copies[1], SIZE - 100);
    CHECK(memcmp(bytes, "head", 4) == 0 && is_pattern_at(bytes + 4, SIZE - 1000, SEED, 1000));
    CHECK(memcmp(bytes + 4 + SIZE - 1000, "middle", 6) == 0);
    CHECK(is_pattern_at(bytes + 10 + SIZE - 1000, SIZE - 100, SEED, 100));
    CHECK_IS(loop_file_seek(file, 0, SEEK_CUR), SIZE);
    close(peer);
    END;
}

LOOP_TEST(a_copy_of_a_file_that_is_cancelled_counts_what_was_sent)
{
    static struct loop_flow *flow;
    static struct once copies[2];
    static struct loop_fd *file;
    static struct loop_source *range;
    static loop_job jobs[2];

    BEGIN;
    file = pattern_file(env->scope);
    flow = flow_to_peer(env->scope, UNIX_PEER, &peer);
    range = range_of(env->scope, file, 5, SIZE - 5);
    jobs[0] = START(loop_copy(range, &flow->sink, ONCE(&copies[0])));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
    WAIT_UNTIL(copies[0].count);
    jobs[1] = START(loop_copy(&loop_fd_flow(file)->source, &flow->sink, ONCE(&copies[1])));
    received = receive_more(peer, 0);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    WAIT_UNTIL(copies[1].count);
    AWAIT(loop_shutdown(&flow->sink, GO));
    while (received < (size_t)(copies[0].result + (copies[1].result > 0 ? copies[1].result : 0))) {
        received = receive_more(peer, received);
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK(copies[0].result > 0 && is_pattern_at(bytes, (size_t)copies[0].result, SEED, 5));
    AWAIT(loop_read_exact(range, bytes, 10, GO));
    CHECK(is_pattern_at(bytes, 10, SEED, 5 + (size_t)copies[0].result));
    CHECK_IS(loop_file_seek(file, 0, SEEK_CUR), copies[1].result > 0 ? copies[1].result : 0);
    close(peer);
    END;
}

LOOP_TEST(a_copy_of_a_file_to_a_peer_that_is_gone_fails)
{
    static struct loop_flow *flow;
    static struct loop_copy_outcome outcome;

    BEGIN;
    flow = flow_to_peer(env->scope, TCP_PEER, &peer);
    close_with_reset(peer);
    AWAIT(loop_copy_report(range_of(env->scope, pattern_file(env->scope), 0, SIZE), &flow->sink, &outcome, GO));
    CHECK(outcome.error == -ECONNRESET || outcome.error == -EPIPE);
    CHECK(outcome.is_sink_error);
    END;
}

LOOP_TEST(a_copy_of_a_file_ends_when_its_file_is_closed)
{
    static struct loop_flow *flow;
    static struct loop_fd *file;
    static struct once copy;

    BEGIN;
    file = pattern_file(env->scope);
    flow = flow_to_peer(env->scope, UNIX_PEER, &peer);
    START(loop_copy(range_of(env->scope, file, 0, SIZE), &flow->sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 5, GO));
    loop_fd_destroy(file);
    while (!copy.count) {
        (void)receive_more(peer, 0);
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK(copy.result > 0 && copy.result < SIZE);
    close(peer);
    END;
}

/* The peer does not read: the copy waits for room. A close of the source cancels it, and after one of the file its next
 * read fails. */
LOOP_TEST_ROWS(a_copy_that_waits_for_room_ends_when_its_range_or_file_is_closed, 2)
{
    static struct loop_copy_outcome outcome;
    static struct loop_source *range;
    static struct loop_flow *flow;
    static struct loop_fd *file;
    static struct once copy;

    BEGIN;
    file = pattern_file(env->scope);
    flow = flow_to_peer(env->scope, UNIX_PEER, &peer);
    range = range_of(env->scope, file, 0, SIZE);
    START(loop_copy_report(range, &flow->sink, &outcome, ONCE(&copy)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK(!copy.count);
    if (script.row == 0) {
        CHECK_IS(loop_source_close(range), 0);
    } else {
        CHECK_IS(loop_fd_close(file), 0);
    }
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(copy.count, 1);
    CHECK(copy.result > 0 && copy.result == outcome.bytes);
    CHECK_IS(outcome.error, script.row == 0 ? -ECANCELED : -EBADF);
    CHECK(!outcome.is_sink_error);
    close(peer);
    END;
}

LOOP_TEST(a_file_that_shrinks_ends_its_copy)
{
    static struct loop_flow *flow;
    static struct loop_fd *file;
    static struct once copy;

    BEGIN;
    file = pattern_file(env->scope);
    flow = flow_to_peer(env->scope, UNIX_PEER, &peer);
    START(loop_copy(range_of(env->scope, file, 0, SIZE), &flow->sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 5, GO));
    AWAIT(loop_file_truncate(env->scope, file, 1000, GO));
    while (!copy.count) {
        (void)receive_more(peer, 0);
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK(copy.result > 0 && copy.result < SIZE);
    close(peer);
    END;
}

/* A head is not kept back where nothing can follow it. */
LOOP_TEST(a_head_leaves_at_once_when_its_file_has_no_bytes)
{
    static struct loop_flow *flow;
    static struct loop_fd *file;

    BEGIN;
    file = pattern_file(env->scope);
    flow = flow_to_peer(env->scope, TCP_PEER, &peer);
    CHECK_IS(loop_file_seek(file, 0, SEEK_END), SIZE);
    START(loop_write(&flow->sink, "head", 4, NULL, NULL));
    AWAIT(loop_copy(&loop_fd_flow(file)->source, &flow->sink, GO));
    CHECK_IS(result, 0);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(recv(peer, bytes, sizeof bytes, MSG_DONTWAIT), 4);
    close(peer);
    END;
}

#ifndef NORIA_SIMULATED
LOOP_TEST(a_head_and_its_file_leave_in_one_segment)
{
    static struct loop_flow *flow;
    struct tcp_info info = {0};
    socklen_t length = sizeof info;

    BEGIN;
    flow = flow_to_peer(env->scope, TCP_PEER, &peer);
    START(loop_write(&flow->sink, "head", 4, NULL, NULL));
    AWAIT(loop_copy(range_of(env->scope, pattern_file(env->scope), 0, 100), &flow->sink, GO));
    CHECK_IS(result, 100);
    AWAIT(loop_shutdown(&flow->sink, GO));
    for (received = 0; received < 104;) {
        received = receive_more(peer, received);
    }
    CHECK_IS(getsockopt(peer, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    CHECK(info.tcpi_data_segs_in == 1 || getenv("NORIA_HARD"));
    close(peer);
    END;
}
#endif
