/* SPDX-License-Identifier: ISC
 *
 * loop_copy: order of bytes, and the ends and errors of source and sink.
 */
#include "harness.h"

/* ---- copies in all pairings ---- */

LOOP_TEST(copy_to_a_slow_sink_holds_the_source_back)
{
    static struct loop_flow *from, *to;
    static struct once copy;
    static int in[2], out[2];
    static size_t fed, now, round;
    static loop_job job;

    BEGIN;
    make_pair(in);
    make_pair(out);
    from = flow_of(env->scope, in[0]);
    to = flow_of(env->scope, out[0]);
    job = START(loop_copy(&from->source, &to->sink, ONCE(&copy)));
    for (round = 0; round < 200; round++) {
        now = stuff(in[1]);
        fed += now;
        AWAIT(turns(env->scope, 3, GO));
    }
    CHECK_IS(now, 0);
    CHECK(fed < 4 << 20);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(copy.count);
    CHECK(copy.result > 0 || copy.result == -ECANCELED);
    close(in[1]);
    close(out[1]);
    END;
}

LOOP_TEST(copy_hears_of_a_sink_that_fails)
{
    static struct loop_flow *from, *to;
    static struct once copy;
    static int in[2], out[2];

    BEGIN;
    make_pair(in);
    make_pair(out);
    from = flow_of(env->scope, in[0]);
    to = flow_of(env->scope, out[0]);
    START(loop_copy(&from->source, &to->sink, ONCE(&copy)));
    close(out[1]);
    CHECK_IS(send(in[1], "bytes", 5, 0), 5);
    WAIT_UNTIL(copy.count);
    CHECK(copy.result == -EPIPE || copy.result == -ECONNRESET);
    close(in[1]);
    END;
}

LOOP_TEST(copy_hears_of_a_source_that_fails)
{
    static struct loop_flow *from, *to[2];
    static struct once copy;
    static int in[2];

    BEGIN;
    make_tcp_pair(in);
    from = flow_of(env->scope, in[0]);
    make_flows(env->scope, to);
    START(loop_copy(&from->source, &to[0]->sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(setsockopt(in[1], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
    close(in[1]);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECONNRESET);
    AWAIT(loop_write(&to[0]->sink, "still open", 10, GO));
    CHECK_IS(result, 10);
    END;
}

LOOP_TEST(copy_loses_nothing_that_follows)
{
    static struct loop_flow *echo[2], *peers[2];
    static char got[20];

    BEGIN;
    make_flows(env->scope, echo);
    make_flows(env->scope, peers);
    AWAIT(loop_write(&echo[1]->sink, "before", 6, GO));
    AWAIT(loop_shutdown(&echo[1]->sink, GO));
    AWAIT(loop_copy(&echo[0]->source, &peers[0]->sink, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_write(&peers[0]->sink, "after", 5, GO));
    AWAIT(loop_read_exact(&peers[1]->source, got, 11, GO));
    CHECK(memcmp(got, "beforeafter", 11) == 0);
    END;
}

LOOP_TEST(copy_back_and_forth_through_one_flow)
{
    enum { SIZE = 500000 };
    static struct loop_flow *flows[2];
    static struct once echo, write, shut;
    static char *sent, *got;

    BEGIN;
    sent = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(sent, SIZE, 11);
    make_flows(env->scope, flows);
    START(loop_copy(&flows[1]->source, &flows[1]->sink, ONCE(&echo)));
    START(loop_write(&flows[0]->sink, sent, SIZE, ONCE(&write)));
    START(loop_shutdown(&flows[0]->sink, ONCE(&shut)));
    AWAIT(loop_read_exact(&flows[0]->source, got, SIZE, GO));
    CHECK_IS(result, SIZE);
    CHECK(is_pattern(got, SIZE, 11));
    WAIT_UNTIL(echo.count && write.count && shut.count);
    ONCE_IS(echo, SIZE);
    free(sent);
    free(got);
    END;
}

LOOP_TEST(copy_from_what_is_closed)
{
    static struct loop_flow *flows[2];

    BEGIN;
    make_flows(env->scope, flows);
    loop_flow_close(flows[0]);
    AWAIT(loop_copy(&flows[0]->source, &flows[1]->sink, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_copy(&flows[1]->source, &flows[0]->sink, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(copy_ends_when_its_source_is_closed)
{
    static struct loop_flow *from[2], *to[2];
    static struct once copy;

    BEGIN;
    make_flows(env->scope, from);
    make_flows(env->scope, to);
    START(loop_copy(&from[0]->source, &to[0]->sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 2, GO));
    loop_flow_close(from[0]);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECANCELED);
    END;
}

LOOP_TEST(copy_ends_when_its_sink_is_closed)
{
    static struct loop_flow *from[2], *to[2];
    static struct once copy;

    BEGIN;
    make_flows(env->scope, from);
    make_flows(env->scope, to);
    START(loop_copy(&from[0]->source, &to[0]->sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 2, GO));
    loop_flow_close(to[0]);
    AWAIT(loop_write(&from[1]->sink, "x", 1, GO));
    WAIT_UNTIL(copy.count);
    CHECK(copy.result == -EBADF || copy.result == -ECANCELED);
    END;
}

LOOP_TEST(many_copies_at_once)
{
    enum { N = HAS_SANITIZER ? 60 : 200 };
    static struct loop_source *sources[N];
    static struct once copies[N];
    static char bytes[3000];
    static struct loop_sink *sinks[N];
    static size_t length;
    static int at;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 1);
    for (int i = 0; i < N; i++) {
        struct loop_sink *feeder;
        CHECK_IS(loop_pipe(env->scope, &sources[i], &feeder), 0);
        START(loop_write(feeder, bytes, sizeof bytes, NULL, NULL));
        START(loop_shutdown(feeder, NULL, NULL));
        sinks[i] = loop_memory_sink(env->scope, 0);
        START(loop_copy(sources[i], sinks[i], ONCE(&copies[i])));
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(copies[at].count);
        ONCE_IS(copies[at], sizeof bytes);
        CHECK(is_pattern(loop_memory_data(sinks[at], &length), sizeof bytes, 1));
    }
    END;
}
