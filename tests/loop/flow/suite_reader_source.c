/* SPDX-License-Identifier: ISC
 *
 * loop_reader_source: the remaining bytes of a reader, as a source.
 */
#include "reading.h"

#include <loop/reader.h>

/* ---- the rest as a source ---- */

enum { MANY = 300000 / SLOWNESS };

/* Returns how many bytes are copied from a source of that kind: fewer where each is a read of its own. */
static size_t length_of(enum kind kind)
{
    return kind == DRIP ? MANY / 10 : MANY;
}

LOOP_TEST(the_body_behind_a_header_can_be_copied)
{
    static char data[MANY];
    static struct loop_reader *reader;
    static struct loop_sink *sink;
    static size_t all, len;
    static int kind;

    BEGIN;
    fill_pattern(data, MANY, 3);
    memcpy(data, "header\n", 7);
    for (kind = 0; kind < KINDS; kind++) {
        all = length_of((enum kind)kind);
        reader = reader_of(source_of(env->scope, (enum kind)kind, data, all), 100);
        sink = loop_memory_sink(env->scope, 0);
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 7);
        AWAIT(loop_copy(loop_reader_source(reader), sink, GO));
        CHECK_IS(result, all - 7);
        CHECK(memcmp(loop_memory_data(sink, &len), data + 7, all - 7) == 0);
        CHECK_IS(len, all - 7);
    }
    END;
}

LOOP_TEST(the_body_behind_a_header_can_be_copied_to_a_socket)
{
    static char data[MANY], received[MANY];
    static struct loop_flow *flows[2];
    static struct loop_reader *reader;
    static size_t all;
    static struct once copied, closed, read;
    static int kind;

    BEGIN;
    fill_pattern(data, MANY, 4);
    memcpy(data, "header\n", 7);
    for (kind = 0; kind < KINDS; kind++) {
        make_flows(env->scope, flows);
        copied = closed = read = (struct once){0};
        all = length_of((enum kind)kind);
        reader = reader_of(source_of(env->scope, (enum kind)kind, data, all), 100);
        AWAIT(loop_reader_line(reader, GO));
        START(loop_copy(loop_reader_source(reader), &flows[0]->sink, ONCE(&copied)));
        START(loop_read_exact(&flows[1]->source, received, all - 7, ONCE(&read)));
        WAIT_UNTIL(copied.count && read.count);
        ONCE_IS(copied, all - 7);
        ONCE_IS(read, all - 7);
        CHECK(memcmp(received, data + 7, all - 7) == 0);
    }
    END;
}

LOOP_TEST(the_body_behind_a_header_can_be_streamed)
{
    enum { LEN = 50000 };
    static char data[LEN], received[LEN];
    static struct record record;
    static struct loop_reader *reader;
    static int kind;

    BEGIN;
    fill_pattern(data, LEN, 5);
    memcpy(data, "header\n", 7);
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, data, LEN), 0);
        AWAIT(loop_reader_line(reader, GO));
        record = (struct record){.data = received, .room = LEN};
        START(loop_stream(loop_reader_source(reader), RECORD(&record)));
        WAIT_UNTIL(record.ends);
        CHECK_IS(record.end, 0);
        CHECK_IS(record.length, LEN - 7);
        CHECK(memcmp(received, data + 7, LEN - 7) == 0);
    }
    END;
}

LOOP_TEST_WITH(p10_idle_streams_of_an_empty_reader_hold_no_chunk, .n_blocks = 1)
{
    static struct loop_flow *flows[2];
    static struct loop_reader *reader;
    static struct record record;
    static char received[10];
    static struct once line;

    BEGIN;
    make_flows(env->scope, flows);
    reader = reader_of(&flows[0]->source, 0);
    START(loop_reader_line(reader, ONCE(&line)));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "header\n", 7, 0), 7);
    WAIT_UNTIL(line.count);
    record = (struct record){.data = received, .room = sizeof received};
    START(loop_stream(loop_reader_source(reader), RECORD(&record)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_region_avail(env->loop), 1);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "body", 4, 0), 4);
    loop_flow_close(flows[1]);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.length, 4);
    END;
}

LOOP_TEST(a_source_that_cannot_be_closed_says_so)
{
    static struct drip drip;

    BEGIN;
    CHECK_IS(loop_source_close(loop_reader_source(reader_of(make_drip(&drip, env->scope, "", 0, 1), 0))), -EOPNOTSUPP);
    END;
}

static struct loop_flow *flows[2];

static char got[64];

/* ---- readers ---- */

/* A reader that is destroyed leaves its descriptor as if it had read no further than it has given out. */
LOOP_TEST(a_reader_that_is_destroyed_gives_back_what_it_has)
{
    static struct loop_reader *reader;
    static int number;

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "line\nbehind it", 14, 0), 14);
    reader = loop_reader_create(&flows[0]->source, 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_reader_fill(reader, 9, GO));
    loop_reader_destroy(reader);
    CHECK_IS(loop_fd_unread_length(flows[0]->fd), 9);
    AWAIT(loop_fd_take(flows[0]->fd, GO));
    number = (int)result;
    CHECK_IS(loop_fd_take_unread(flows[0]->fd, got, sizeof got), 9);
    CHECK_TEXT(got, "behind it");
    close(number);
    END;
}

/* Bytes that are given back to a reader's rest are the reader's next. */
LOOP_TEST(a_readers_rest_takes_back_what_it_delivered)
{
    static struct loop_reader *reader;

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "first\nsecond\nthird\n", 19, 0), 19);
    reader = loop_reader_create(&flows[0]->source, 0);
    AWAIT(loop_reader_line(reader, GO));
    AWAIT(loop_read_exact(loop_reader_source(reader), got, 13, GO));
    CHECK_IS(result, 13);
    CHECK_IS(loop_source_unread(loop_reader_source(reader), got, 13), 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_TEXT(loop_reader_data(reader, NULL), "second");
    AWAIT(loop_reader_line(reader, GO));
    CHECK_TEXT(loop_reader_data(reader, NULL), "third");
    CHECK_IS(shutdown(loop_fd_peek(flows[1]->fd), SHUT_WR), 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_source_unread(loop_reader_source(reader), "after the end\n", 14), 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_TEXT(loop_reader_data(reader, NULL), "after the end");
    END;
}

/* The end was found by a read that went around the buffer, which was full. A NUL behind the bytes needs room. */
LOOP_TEST(a_full_buffer_has_room_for_a_nul_behind_bytes_that_came_back)
{
    static struct loop_reader *reader;
    static size_t len;

    BEGIN;
    reader = loop_reader_create(loop_memory_source(env->scope, "0123456789abcdef", 16), 15);
    AWAIT(loop_reader_exact(reader, 14, GO));
    AWAIT(loop_read_exact(loop_reader_source(reader), got, 2, GO));
    CHECK_IS(result, 2);
    AWAIT(loop_read(loop_reader_source(reader), got + 2, 2, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_source_unread(loop_reader_source(reader), got, 2), 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 2);
    CHECK_TEXT(loop_reader_data(reader, &len), "ef");
    CHECK_IS(len, 2);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 0);
    END;
}
