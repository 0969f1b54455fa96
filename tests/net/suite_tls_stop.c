/* SPDX-License-Identifier: ISC
 *
 * Reads and writes of a TLS flow that are cancelled, closed or held back.
 */
#include "tls.h"
#include "wire.h"

enum { LARGE = 4 << 20 };

static struct tls_pair pair;
static char sent[LARGE], received[LARGE];

/* ---- cancel ---- */

LOOP_TEST(p04_tls_cancelled_reads_lose_nothing)
{
    static struct once reads[4], read;
    static loop_job jobs[4];
    static char bufs[4][8];

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    for (int i = 0; i < 4; i++) {
        jobs[i] = START(i == 3 ? loop_wait_readable(&pair.flows[TLS_SERVER]->source, ONCE(&reads[i]))
                               : loop_read(&pair.flows[TLS_SERVER]->source, bufs[i], 8, ONCE(&reads[i])));
    }
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    CHECK_IS(loop_cancel(env->loop, jobs[3]), 0);
    WAIT_UNTIL(reads[1].count && reads[3].count);
    ONCE_IS(reads[1], -ECANCELED);
    ONCE_IS(reads[3], -ECANCELED);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "abc", 3, GO));
    WAIT_UNTIL(reads[0].count);
    ONCE_IS(reads[0], 3);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "def", 3, GO));
    WAIT_UNTIL(reads[2].count);
    ONCE_IS(reads[2], 3);
    CHECK(memcmp(bufs[0], "abc", 3) == 0 && memcmp(bufs[2], "def", 3) == 0);
    /* With the bytes there, and at once after a cancel. */
    for (script.row = 0; script.row < 50; script.row++) {
        memset(&reads[1], 0, sizeof reads[1]);
        memset(&read, 0, sizeof read);
        jobs[0] = START(loop_read(&pair.flows[TLS_SERVER]->source, bufs[0], 8, ONCE(&reads[1])));
        AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "x", 1, GO));
        loop_cancel(env->loop, jobs[0]);
        jobs[0] = START(loop_read(&pair.flows[TLS_SERVER]->source, bufs[1], 8, ONCE(&read)));
        AWAIT(turns(env->scope, 1 + (unsigned)script.row % 4, GO));
        if (reads[1].count && reads[1].result == 1) {
            loop_cancel(env->loop, jobs[0]); /* the first had it */
        }
        WAIT_UNTIL(reads[1].count && read.count);
        CHECK_IS((reads[1].result == 1) + (read.result == 1), 1);
    }
    END;
}

/* A peer that does not read: a write waits. Cancelled, it tells how much was encrypted, and the stream has no gap. */
LOOP_TEST(p05_tls_cancelled_write_leaves_no_gap)
{
    static struct once written, next, read;
    static loop_job job;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    fill_pattern(sent, LARGE, 4);
    job = START(loop_write(&pair.flows[TLS_CLIENT]->sink, sent, LARGE, ONCE(&written)));
    AWAIT(turns(env->scope, 50, GO));
    CHECK_IS(written.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(written.count);
    CHECK(written.result > 0 && written.result < LARGE);
    START(loop_write(&pair.flows[TLS_CLIENT]->sink, sent + written.result, (size_t)(LARGE - written.result),
                     ONCE(&next)));
    START(loop_read_exact(&pair.flows[TLS_SERVER]->source, received, LARGE, ONCE(&read)));
    WAIT_UNTIL(read.count && next.count);
    ONCE_IS(read, LARGE);
    ONCE_IS(next, LARGE - written.result);
    CHECK(is_pattern(received, LARGE, 4));
    END;
}

LOOP_TEST(tls_cancelled_shutdown_still_ends_the_stream)
{
    static struct once shut;
    static loop_job job;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    job = START(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, ONCE(&shut)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(shut.count);
    ONCE_IS(shut, -ECANCELED);
    AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, received, 1, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, GO));
    CHECK_IS(result, 0);
    END;
}

/* The close_notify is encrypted once, and the peer's is not waited for. */
LOOP_TEST(tls_shutdown_started_again_behind_the_same_write)
{
    static struct once written, shut[2];
    static loop_job job;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    START(loop_write(&pair.flows[TLS_CLIENT]->sink, "hello", 5, ONCE(&written)));
    job = START(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, ONCE(&shut[0])));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    START(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, ONCE(&shut[1])));
    WAIT_UNTIL(written.count && shut[0].count && shut[1].count);
    ONCE_IS(written, 5);
    ONCE_IS(shut[0], -ECANCELED);
    ONCE_IS(shut[1], 0);
    AWAIT(loop_read_exact(&pair.flows[TLS_SERVER]->source, received, 6, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_write(&pair.flows[TLS_SERVER]->sink, "answer", 6, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_read_exact(&pair.flows[TLS_CLIENT]->source, received, 6, GO));
    CHECK_IS(result, 6);
    END;
}

/* What is encrypted is sent after the continuation: in a scope that it has cancelled, nothing has been sent. */
LOOP_TEST_ROWS(p05_tls_write_in_a_scope_cancelled_at_once_has_sent_nothing, 2)
{
    static struct wire wire;
    static struct loop_scope *scope;
    static struct once written, ended;
    static unsigned before;

    BEGIN;
    TLS_SET_UP(env->scope);
    scope = loop_scope_open(env->scope, once_resumed, &ended);
    loop_scope_hold(scope);
    wire_make(&wire, scope);
    pair.below[TLS_CLIENT] = &wire.flows[0];
    pair.below[TLS_SERVER] = &wire.flows[1];
    if (script.row == 1) {
        CHECK_IS(loop_socketpair(scope, &pair.below[TLS_CLIENT], &pair.below[TLS_SERVER]), 0);
    }
    tls_shake(&pair, TLS_HOST);
    TLS_AWAIT(&pair);
    TLS_ARE_UP(&pair);
    before = wire.lanes[TLS_CLIENT].n_writes;
    START(loop_write(&pair.flows[TLS_CLIENT]->sink, "hello", 5, ONCE(&written)));
    loop_scope_cancel(scope);
    loop_scope_unhold(scope);
    WAIT_UNTIL(written.count && ended.count);
    ONCE_IS(written, -ECANCELED);
    CHECK_IS(wire.lanes[TLS_CLIENT].n_writes, before);
    wire_free(&wire);
    END;
}

/* A peer that has ended its stream and left is no error, as on a socket. */
LOOP_TEST_ROWS(tls_shutdown_for_a_peer_that_is_gone, 2)
{
    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    if (script.row == 0) {
        AWAIT(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, GO));
        AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, received, 1, GO));
        CHECK_IS(result, 0);
    }
    CHECK_IS(loop_flow_close(pair.flows[TLS_CLIENT]), 0);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_shutdown(&pair.flows[TLS_SERVER]->sink, GO));
    CHECK(script.row == 0 ? result == 0 : result == -EPIPE || result == -ECONNRESET);
    END;
}

/* ---- back-pressure ---- */

/* What a writer has encrypted for a peer that does not read is bounded. */
LOOP_TEST(p11_tls_holds_a_writer_back)
{
    static struct wire wire;
    static struct once written, read;
    static size_t before;

    BEGIN;
    TLS_SET_UP(env->scope);
    wire_make(&wire, env->scope);
    pair.below[0] = &wire.flows[0];
    pair.below[1] = &wire.flows[1];
    tls_shake(&pair, TLS_HOST);
    TLS_AWAIT(&pair);
    TLS_ARE_UP(&pair);
    wire.lanes[TLS_CLIENT].is_full = true;
    before = live_bytes();
    fill_pattern(sent, LARGE, 2);
    START(loop_write(&pair.flows[TLS_CLIENT]->sink, sent, LARGE, ONCE(&written)));
    AWAIT(turns(env->scope, 100, GO));
    CHECK_IS(written.count, 0);
    CHECK(live_bytes() < before + 130000);
    CHECK_IS(loop_sink_queued(&pair.flows[TLS_CLIENT]->sink), LARGE);
    wire.lanes[TLS_CLIENT].is_full = false;
    lane_accept(&wire.lanes[TLS_CLIENT]);
    START(loop_read_exact(&pair.flows[TLS_SERVER]->source, received, LARGE, ONCE(&read)));
    WAIT_UNTIL(written.count && read.count);
    ONCE_IS(written, LARGE);
    CHECK(is_pattern(received, LARGE, 2));
    loop_flow_close(pair.flows[0]);
    loop_flow_close(pair.flows[1]);
    wire_free(&wire);
    END;
}

/* A reader that does not read leaves the bytes in the socket. */
LOOP_TEST(p11_tls_reads_no_more_than_is_asked_for)
{
    static struct once written;
    static size_t before;
    static loop_job job;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    before = live_bytes();
    job = START(loop_write(&pair.flows[TLS_CLIENT]->sink, sent, LARGE, ONCE(&written)));
    for (script.row = 0; script.row < 20; script.row++) {
        AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, received, 10, GO));
        CHECK_IS(result, 10);
    }
    CHECK(live_bytes() < before + 200000);
    CHECK_IS(written.count, 0);
    loop_cancel(env->loop, job);
    WAIT_UNTIL(written.count);
    END;
}

/* ---- close ---- */

LOOP_TEST(p06_tls_close_ends_what_is_pending)
{
    static struct once read, waited, written, shut;
    static struct record record = {.data = received, .room = LARGE};

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    START(loop_read(&pair.flows[TLS_CLIENT]->source, received, 8, ONCE(&read)));
    START(loop_wait_readable(&pair.flows[TLS_CLIENT]->source, ONCE(&waited)));
    START(loop_write(&pair.flows[TLS_CLIENT]->sink, sent, LARGE, ONCE(&written)));
    START(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, ONCE(&shut)));
    START(loop_stream(&pair.flows[TLS_SERVER]->source, RECORD(&record)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_flow_close(pair.flows[TLS_CLIENT]), 0);
    CHECK_IS(loop_source_close(&pair.flows[TLS_CLIENT]->source), -EBADF);
    WAIT_UNTIL(read.count && waited.count && written.count && shut.count && record.ends);
    ONCE_IS(read, -ECANCELED);
    ONCE_IS(waited, -ECANCELED);
    CHECK(written.result == -ECANCELED || (written.result > 0 && written.result < LARGE));
    CHECK(shut.result < 0);
    CHECK(record.end < 0);
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, received, 8, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "x", 1, GO));
    CHECK_IS(result, -EBADF);
    CHECK_IS(loop_try_read(&pair.flows[TLS_CLIENT]->source, received, 8), -EBADF);
    CHECK_IS(loop_source_unread(&pair.flows[TLS_CLIENT]->source, "x", 1), -EBADF);
    END;
}

/* The socket below is closed or destroyed by itself. */
LOOP_TEST_ROWS(tls_flow_below_is_closed, 2)
{
    static struct once read, written;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    START(loop_read(&pair.flows[TLS_CLIENT]->source, received, 8, ONCE(&read)));
    START(loop_write(&pair.flows[TLS_CLIENT]->sink, sent, LARGE, ONCE(&written)));
    AWAIT(turns(env->scope, 2, GO));
    if (script.row == 0) {
        loop_fd_close(pair.below[TLS_CLIENT]->fd);
    } else {
        loop_fd_destroy(pair.below[TLS_CLIENT]->fd);
    }
    WAIT_UNTIL(read.count && written.count);
    CHECK(read.result == -ECANCELED || read.result == -EBADF); /* by what has seen it first */
    CHECK(written.result < LARGE);
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, received, 8, GO));
    CHECK(result < 0);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "x", 1, GO));
    CHECK(result < 0);
    CHECK_IS(loop_flow_close(pair.flows[TLS_CLIENT]), 0);
    END;
}

/* A scope is cancelled in the middle of everything. */
LOOP_TEST(p07_tls_ends_with_its_scope)
{
    static struct loop_scope *scope;
    static struct once ended;
    static struct tally tally;
    static unsigned n;

    BEGIN;
    TLS_SET_UP(env->scope);
    for (n = 0; n < 30; n++) {
        memset(&ended, 0, sizeof ended);
        scope = loop_scope_open(env->scope, ONCE(&ended));
        loop_scope_hold(scope);
        TLS_CONNECTED(scope, &pair);
        for (int side = 0; side < 2; side++) {
            START(loop_copy(&pair.flows[side]->source, loop_null_sink(scope), TALLY(&tally)));
            START(loop_write(&pair.flows[side]->sink, sent, LARGE / 16, TALLY(&tally)));
            START(loop_shutdown(&pair.flows[side]->sink, TALLY(&tally)));
        }
        AWAIT(turns(env->scope, n + 1, GO));
        loop_scope_cancel(scope);
        loop_scope_unhold(scope);
        WAIT_UNTIL(ended.count);
        CHECK_IS(tally.count, 6 * (n + 1));
    }
    END;
}

/* A daemon on a TLS flow holds nothing open. */
LOOP_TEST(tls_daemons_hold_nothing_open)
{
    static struct loop_scope *scope;
    static struct once ended, read;

    BEGIN;
    TLS_SET_UP(env->scope);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    TLS_CONNECTED(scope, &pair);
    loop_daemon(env->loop, START(loop_read(&pair.flows[TLS_CLIENT]->source, received, 8, ONCE(&read))));
    AWAIT(turns(env->scope, 3, GO));
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    ONCE_IS(read, -ECANCELED);
    END;
}
