/* SPDX-License-Identifier: ISC
 *
 * Streams below TLS that are cut off, changed or delivered in small pieces: an end that the peer has not authenticated
 * is an error (P29).
 */
#include "tls.h"
#include "wire.h"

#include <openssl/err.h>

static struct tls_pair pair;
static struct wire wire;
static struct loop_scope *scope; /* of the wire */
static struct once ended;
static char received[256];

/* Opens a scope with a wire that handshakes can begin on. */
static void begin(struct loop_env *env)
{
    memset(&ended, 0, sizeof ended);
    memset(&pair, 0, sizeof pair);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    wire_make(&wire, scope);
    pair.below[TLS_CLIENT] = &wire.flows[0];
    pair.below[TLS_SERVER] = &wire.flows[1];
}

/* Ends the scope of the wire. */
#define FINISH                                                                                                         \
    do {                                                                                                               \
        loop_scope_cancel(scope);                                                                                      \
        loop_scope_unhold(scope);                                                                                      \
        WAIT_UNTIL(ended.count);                                                                                       \
        wire_free(&wire);                                                                                              \
    } while (0)

/* Opens contexts whose servers send no tickets. */
#define OPEN_WITHOUT_TICKETS                                                                                           \
    do {                                                                                                               \
        tls_prepare();                                                                                                 \
        tls.options[TLS_CLIENT].no_resumption = tls.options[TLS_SERVER].no_resumption = true;                          \
        TLS_OPEN(env->scope);                                                                                          \
    } while (0)

/* Opens a scope with a wire, and makes both handshakes. */
#define SHAKE                                                                                                          \
    do {                                                                                                               \
        begin(env);                                                                                                    \
        tls_shake(&pair, TLS_HOST);                                                                                    \
        TLS_AWAIT(&pair);                                                                                              \
    } while (0)

/* Has a side whose handshake is done say hello and end. */
static void say_hello(int side)
{
    static struct once written, shut;

    memset(&written, 0, sizeof written);
    memset(&shut, 0, sizeof shut);
    if (pair.done[side].result == 0) {
        START(loop_write(&pair.flows[side]->sink, "hello", 5, ONCE(&written)));
        START(loop_shutdown(&pair.flows[side]->sink, ONCE(&shut)));
    }
}

/* Cuts one lane after every number of bytes. The side that writes to it says hello and ends; the other one reads. */
static void cut_everywhere(struct loop_env *env, int64_t result, int writer, enum loop_tls_version version)
{
    static size_t at, whole;
    static int64_t got;
    const int reader = !writer;

    BEGIN;
    tls_prepare();
    tls.options[TLS_CLIENT].greatest_version = version;
    tls.options[TLS_CLIENT].no_resumption = tls.options[TLS_SERVER].no_resumption = true;
    TLS_OPEN(env->scope);
    for (; !whole; at++) {
        begin(env);
        wire.lanes[writer].cut_at = at;
        tls_shake(&pair, TLS_HOST);
        TLS_AWAIT(&pair);
        say_hello(writer);
        got = pair.done[reader].result;
        if (got == 0) {
            AWAIT(loop_read_exact(&pair.flows[reader]->source, received, sizeof received, GO));
            CHECK(result == 5 || result == -ECONNABORTED);
            got = result;
            AWAIT(loop_read(&pair.flows[reader]->source, received, sizeof received, GO));
            whole = result == 0 ? at : 0;
            got = result < 0 ? result : got;
        }
        CHECK_IS(got, whole ? 5 : -ECONNABORTED);
        CHECK(wire.lanes[writer].was_cut || whole);
        FINISH;
    }
    CHECK(whole > 100 && !wire.lanes[writer].was_cut);
    END;
}

LOOP_TEST(p29_server_cut_after_every_byte)
{
    cut_everywhere(env, result, TLS_SERVER, LOOP_TLS_VERSION_1_3);
}

LOOP_TEST(p29_client_cut_after_every_byte)
{
    cut_everywhere(env, result, TLS_CLIENT, LOOP_TLS_VERSION_1_3);
}

LOOP_TEST(p29_server_of_tls_1_2_cut_after_every_byte)
{
    cut_everywhere(env, result, TLS_SERVER, LOOP_TLS_VERSION_1_2);
}

LOOP_TEST(p29_client_of_tls_1_2_cut_after_every_byte)
{
    cut_everywhere(env, result, TLS_CLIENT, LOOP_TLS_VERSION_1_2);
}

/* One byte is changed: never wrong bytes, and never a good end. */
LOOP_TEST(tls_changed_after_every_few_bytes)
{
    static size_t at, passed = SIZE_MAX;
    static unsigned failures;

    BEGIN;
    tls_prepare();
    /* A record that says it is longer than it is is waited for. */
    tls.options[TLS_CLIENT].handshake_timeout_ns = tls.options[TLS_SERVER].handshake_timeout_ns =
        300 * LOOP_MILLISECOND;
    TLS_OPEN(env->scope);
    for (; at < passed; at += 3) {
        begin(env);
        wire.lanes[TLS_SERVER].flip_at = at;
        tls_shake(&pair, TLS_HOST);
        TLS_AWAIT(&pair);
        say_hello(TLS_SERVER);
        if (pair.done[TLS_CLIENT].result == 0) {
            AWAIT(loop_read_exact(&pair.flows[TLS_CLIENT]->source, received, sizeof received, GO));
            CHECK(result < 0 || (result == 5 && memcmp(received, "hello", 5) == 0));
            AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, received, sizeof received, GO));
            passed = result == 0 ? at : passed; /* the change came after all */
            failures += result < 0;
        } else {
            CHECK(strlen(pair.errors[TLS_CLIENT].text) > 0);
            failures++;
        }
        FINISH;
    }
    CHECK(failures > 100);
    END;
}

/* Bytes come one at a time. */
LOOP_TEST(tls_in_single_bytes)
{
    static struct once read, written;
    static char sent[20000], got[20000];

    BEGIN;
    TLS_SET_UP(env->scope);
    begin(env);
    wire.lanes[0].most = wire.lanes[1].most = 1;
    tls_shake(&pair, TLS_HOST);
    TLS_AWAIT(&pair);
    TLS_ARE_UP(&pair);
    fill_pattern(sent, sizeof sent, 9);
    START(loop_write(&pair.flows[TLS_CLIENT]->sink, sent, sizeof sent, ONCE(&written)));
    START(loop_read_exact(&pair.flows[TLS_SERVER]->source, got, sizeof got, ONCE(&read)));
    WAIT_UNTIL(read.count && written.count);
    ONCE_IS(read, sizeof got);
    CHECK(is_pattern(got, sizeof got, 9));
    AWAIT(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, GO));
    AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, got, 1, GO));
    CHECK_IS(result, 0);
    FINISH;
    END;
}

/* The socket is closed without close_notify. What came before is read, then the error, again and again; the other
 * direction still works as far as the socket does. */
LOOP_TEST(p29_socket_closed_without_close_notify)
{
    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    AWAIT(loop_write(&pair.flows[TLS_SERVER]->sink, "last", 4, GO));
    AWAIT(loop_shutdown(&pair.below[TLS_SERVER]->sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read_exact(&pair.flows[TLS_CLIENT]->source, received, 10, GO));
    CHECK_IS(result, 4);
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, received, 10, GO));
    CHECK_IS(result, -ECONNABORTED);
    CHECK_IS(loop_try_read(&pair.flows[TLS_CLIENT]->source, received, 10), -ECONNABORTED);
    AWAIT(loop_wait_readable(&pair.flows[TLS_CLIENT]->source, GO));
    CHECK_IS(result, 0);
    CHECK_HAS(loop_tls_why(pair.flows[TLS_CLIENT]), "close_notify");
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "still", 5, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_read_exact(&pair.flows[TLS_SERVER]->source, received, 5, GO));
    CHECK_IS(result, 5);
    END;
}

/* ---- how many writes below ---- */

/* The close_notify is encrypted behind the last bytes, and leaves together with them. */
LOOP_TEST(tls_end_leaves_with_the_last_bytes)
{
    static struct once written, shut;
    static unsigned before;

    BEGIN;
    OPEN_WITHOUT_TICKETS;
    SHAKE;
    before = wire.lanes[TLS_SERVER].n_writes;
    START(loop_write(&pair.flows[TLS_SERVER]->sink, "hello", 5, ONCE(&written)));
    START(loop_shutdown(&pair.flows[TLS_SERVER]->sink, ONCE(&shut)));
    WAIT_UNTIL(written.count && shut.count);
    ONCE_IS(written, 5);
    ONCE_IS(shut, 0);
    CHECK_IS(wire.lanes[TLS_SERVER].n_writes, before + 1);
    CHECK(wire.lanes[TLS_SERVER].has_ended);
    AWAIT(loop_read_exact(&pair.flows[TLS_CLIENT]->source, received, sizeof received, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, received, sizeof received, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_write(&pair.flows[TLS_SERVER]->sink, "more", 4, GO));
    CHECK_IS(result, -EPIPE);
    FINISH;
    END;
}

/* A client does not wait for its tickets: they leave with the first bytes, or before the server waits for some. */
LOOP_TEST(tls_tickets_leave_with_the_first_answer_or_before_a_wait)
{
    static struct once written, read;
    static int waits;

    BEGIN;
    tls_prepare();
    TLS_OPEN(env->scope);
    for (waits = 0; waits < 2; waits++) {
        SHAKE;
        CHECK_IS(wire.lanes[TLS_SERVER].n_writes, 1);
        memset(&written, 0, sizeof written);
        memset(&read, 0, sizeof read);
        if (waits) {
            START(loop_read(&pair.flows[TLS_SERVER]->source, received, 1, ONCE(&read)));
        } else {
            START(loop_write(&pair.flows[TLS_SERVER]->sink, "hello", 5, ONCE(&written)));
        }
        WAIT_UNTIL(waits || written.count);
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(wire.lanes[TLS_SERVER].n_writes, 2);
        FINISH;
    }
    END;
}

/* The end that comes in one piece with the last bytes is found, though nothing follows below. */
LOOP_TEST(p29_an_end_behind_the_last_bytes_needs_no_end_below)
{
    static struct once written, shut;

    BEGIN;
    OPEN_WITHOUT_TICKETS;
    SHAKE;
    wire.lanes[TLS_SERVER].never_ends = true;
    START(loop_write(&pair.flows[TLS_SERVER]->sink, "hello", 5, ONCE(&written)));
    START(loop_shutdown(&pair.flows[TLS_SERVER]->sink, ONCE(&shut)));
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, received, sizeof received, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, received, sizeof received, GO));
    CHECK_IS(result, 0);
    FINISH;
    END;
}

/* The end of the output below, which was started together with the close_notify, waits for all of it. */
LOOP_TEST(tls_close_notify_that_leaves_in_two_parts_is_whole)
{
    BEGIN;
    OPEN_WITHOUT_TICKETS;
    SHAKE;
    wire.lanes[TLS_SERVER].breaks_at = wire.lanes[TLS_SERVER].n_writes + 1;
    AWAIT(loop_shutdown(&pair.flows[TLS_SERVER]->sink, GO));
    CHECK_IS(result, 0);
    CHECK(wire.lanes[TLS_SERVER].has_ended);
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, received, sizeof received, GO));
    CHECK_IS(result, 0);
    FINISH;
    END;
}

/* A close_notify of which only a part can be sent: the shutdown fails, and the output below does not end, so that the
 * peer does not take an end of the stream for the end of what was said. */
LOOP_TEST(tls_shutdown_whose_close_notify_is_cut_for_good_has_failed)
{
    static struct once read;

    BEGIN;
    OPEN_WITHOUT_TICKETS;
    SHAKE;
    wire.lanes[TLS_SERVER].breaks_at = wire.lanes[TLS_SERVER].n_writes + 1;
    wire.lanes[TLS_SERVER].stays_broken = true;
    START(loop_read(&pair.flows[TLS_CLIENT]->source, received, sizeof received, ONCE(&read)));
    AWAIT(loop_shutdown(&pair.flows[TLS_SERVER]->sink, GO));
    CHECK_IS(result, -EPIPE);
    CHECK(!wire.lanes[TLS_SERVER].has_ended);
    AWAIT(loop_shutdown(&pair.flows[TLS_SERVER]->sink, GO));
    CHECK_IS(result, -EPIPE);
    CHECK_IS(read.count, 0);
    CHECK_IS(loop_sink_close(&pair.flows[TLS_SERVER]->sink), 0);
    CHECK_IS(loop_source_close(&pair.flows[TLS_SERVER]->source), 0);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, -ECONNABORTED);
    FINISH;
    END;
}

/* A record that is damaged behind the bytes of a read: the error is that of the next read, and none is left with
 * OpenSSL, where the program's own calls would find it. */
LOOP_TEST(tls_error_behind_the_bytes_of_a_read_is_not_left_with_openssl)
{
    BEGIN;
    OPEN_WITHOUT_TICKETS;
    SHAKE;
    AWAIT(loop_write(&pair.flows[TLS_SERVER]->sink, "hello", 5, GO));
    wire.lanes[TLS_SERVER].flip_at = wire.lanes[TLS_SERVER].end + 10;
    AWAIT(loop_write(&pair.flows[TLS_SERVER]->sink, "world", 5, GO));
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, received, sizeof received, GO));
    CHECK_IS(result, 5);
    CHECK_IS(ERR_peek_error(), 0);
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, received, sizeof received, GO));
    CHECK_IS(result, -EPROTO);
    CHECK_IS(ERR_peek_error(), 0);
    FINISH;
    END;
}
