/* SPDX-License-Identifier: ISC
 *
 * Peers that send much that is no data: it is refused after a bounded number, and costs bounded memory.
 */
#include "tls.h"
#include "wire.h"

#include <openssl/ssl.h>

enum { MANY = 4000 };

static struct tls_pair pair;
static struct wire wire;
static char buf[64];

static void meet(struct loop_env *env)
{
    wire_make(&wire, env->scope);
    pair.below[0] = &wire.flows[0];
    pair.below[1] = &wire.flows[1];
    tls_shake(&pair, TLS_HOST);
}

/* Puts bytes on the wire as if the client had written them. */
static void inject(const void *bytes, size_t len)
{
    struct lane *lane = &wire.lanes[TLS_CLIENT];

    lane->room = lane->end + len;
    lane->bytes = realloc(lane->bytes, lane->room);
    memcpy(lane->bytes + lane->end, bytes, len);
    lane->end += len;
    lane_deliver(lane);
}

static void leave(void)
{
    loop_flow_close(pair.flows[0]);
    loop_flow_close(pair.flows[1]);
    wire_free(&wire);
}

/* Requests for new keys, each of which has to be answered, while the answers are not read. */
LOOP_TEST(tls_flood_of_key_updates)
{
    static struct once read;
    static size_t before;
    static int i;

    BEGIN;
    TLS_SET_UP(env->scope);
    meet(env);
    TLS_AWAIT(&pair);
    TLS_ARE_UP(&pair);
    START(loop_read(&pair.flows[TLS_SERVER]->source, buf, sizeof buf, ONCE(&read)));
    wire.lanes[TLS_SERVER].is_full = true;
    before = live_bytes();
    for (i = 0; i < MANY && !read.count; i++) {
        SSL *ssl = loop_tls_ssl(pair.flows[TLS_CLIENT]);
        CHECK_IS(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "", 0, GO));
        CHECK_IS(SSL_do_handshake(loop_tls_ssl(pair.flows[TLS_CLIENT])), 1);
        AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "", 0, GO));
    }
    AWAIT(turns(env->scope, 20, GO));
    CHECK(live_bytes() < before + (512 << 10));
    leave();
    END;
}

static unsigned waits;

static int64_t try_read_lane(struct loop_source *source, void *to, size_t len)
{
    struct lane *lane = source->self;
    size_t left = lane->end - lane->begin, n = len < left ? len : left;

    if (n == 0) {
        return lane->has_ended ? 0 : -EAGAIN;
    }
    memcpy(to, lane->bytes + lane->begin, n);
    lane->begin += n;
    lane->passed += n;
    return (int64_t)n;
}

static loop_job wait_lane(struct loop_source *source, loop_fn *fn, void *arg)
{
    waits++;
    return wire_read(source, NULL, 0, fn, arg);
}

static const struct loop_source_ops waiting_ops = {
    .read = wire_read, .close = wire_close_source, .try_read = try_read_lane, .wait_readable = wait_lane};

/* A read that waits until answers can be sent does not ask, turn after turn, for input that it cannot use yet. It
 * goes on when they are sent, and ends when they cannot be. */
LOOP_TEST_ROWS(tls_read_that_waits_for_output_does_not_spin, 2)
{
    static struct once read;
    static unsigned before;
    static int i;

    BEGIN;
    TLS_SET_UP(env->scope);
    wire_make(&wire, env->scope);
    wire.flows[TLS_SERVER].source.ops = &waiting_ops;
    pair.below[0] = &wire.flows[0];
    pair.below[1] = &wire.flows[1];
    tls_shake(&pair, TLS_HOST);
    TLS_AWAIT(&pair);
    TLS_ARE_UP(&pair);
    START(loop_read(&pair.flows[TLS_SERVER]->source, buf, sizeof buf, ONCE(&read)));
    wire.lanes[TLS_SERVER].is_full = true;
    for (i = 0; i < MANY; i++) {
        CHECK_IS(SSL_key_update(loop_tls_ssl(pair.flows[TLS_CLIENT]), SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_IS(SSL_do_handshake(loop_tls_ssl(pair.flows[TLS_CLIENT])), 1);
        AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "", 0, GO));
        AWAIT(turns(env->scope, 2, GO));
    }
    CHECK(wire.lanes[TLS_CLIENT].begin < wire.lanes[TLS_CLIENT].end);
    before = waits;
    AWAIT(turns(env->scope, 20, GO));
    CHECK(waits - before < 3);
    wire.lanes[TLS_SERVER].has_ended = script.row == 1;
    wire.lanes[TLS_SERVER].is_full = false;
    lane_accept(&wire.lanes[TLS_SERVER]);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "x", 1, GO));
    WAIT_UNTIL(read.count);
    ONCE_IS(read, script.row == 1 ? -EPIPE : 1);
    leave();
    END;
}

/* The client asks for new keys until the server has no room for its answers. */
static bool is_blocked_by_answers(void)
{
    return wire.lanes[TLS_CLIENT].begin < wire.lanes[TLS_CLIENT].end;
}

/* A shutdown while an answer to a change of keys cannot be sent yet sends its close_notify behind the answer; also when
 * the wait for it is cancelled. */
LOOP_TEST_ROWS(p29_shutdown_behind_answers_sends_close_notify, 2)
{
    static struct once read, shut, end;
    static loop_job job;
    static int i;

    BEGIN;
    TLS_SET_UP(env->scope);
    meet(env);
    TLS_AWAIT(&pair);
    TLS_ARE_UP(&pair);
    START(loop_read(&pair.flows[TLS_SERVER]->source, buf, sizeof buf, ONCE(&read)));
    wire.lanes[TLS_SERVER].is_full = true;
    for (i = 0; i < MANY && !is_blocked_by_answers(); i++) {
        CHECK_IS(SSL_key_update(loop_tls_ssl(pair.flows[TLS_CLIENT]), SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_IS(SSL_do_handshake(loop_tls_ssl(pair.flows[TLS_CLIENT])), 1);
        AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "", 0, GO));
        AWAIT(turns(env->scope, 2, GO));
    }
    CHECK(is_blocked_by_answers());
    job = START(loop_shutdown(&pair.flows[TLS_SERVER]->sink, ONCE(&shut)));
    AWAIT(turns(env->scope, 20, GO));
    if (script.row == 1) {
        loop_cancel(env->loop, job);
        WAIT_UNTIL(shut.count);
    }
    CHECK_IS(shut.count, script.row);
    START(loop_read(&pair.flows[TLS_CLIENT]->source, buf, sizeof buf, ONCE(&end)));
    wire.lanes[TLS_SERVER].is_full = false;
    lane_accept(&wire.lanes[TLS_SERVER]);
    WAIT_UNTIL(end.count && shut.count);
    ONCE_IS(end, 0);
    ONCE_IS(shut, script.row == 1 ? -ECANCELED : 0);
    leave();
    END;
}

/* Alerts that are warnings, in the clear: TLS 1.2 before the handshake is done. */
LOOP_TEST(tls_flood_of_alerts)
{
    static const unsigned char alert[] = {0x15, 0x03, 0x01, 0x00, 0x02, 0x01, 0x5a};
    static struct once done;
    static int i;

    BEGIN;
    TLS_SET_UP(env->scope);
    wire_make(&wire, env->scope);
    START(loop_tls_accept(&wire.flows[1], tls.contexts[TLS_SERVER], &pair.flows[1], &pair.errors[1], ONCE(&done)));
    for (i = 0; i < MANY && !done.count; i++) {
        inject(alert, sizeof alert);
        AWAIT(turns(env->scope, 2, GO));
    }
    CHECK(i < 50);
    ONCE_IS(done, -EPROTO);
    CHECK(strlen(pair.errors[1].text) > 0);
    wire_free(&wire);
    END;
}

/* Records without bytes. */
LOOP_TEST(tls_flood_of_empty_records)
{
    static const unsigned char empty[] = {0x16, 0x03, 0x01, 0x00, 0x00};
    static struct once done;
    static int i;

    BEGIN;
    TLS_SET_UP(env->scope);
    wire_make(&wire, env->scope);
    START(loop_tls_accept(&wire.flows[1], tls.contexts[TLS_SERVER], &pair.flows[1], &pair.errors[1], ONCE(&done)));
    for (i = 0; i < MANY && !done.count; i++) {
        inject(empty, sizeof empty);
        AWAIT(turns(env->scope, 2, GO));
    }
    CHECK(i < 100);
    ONCE_IS(done, -EPROTO);
    wire_free(&wire);
    END;
}

/* A client that wants to renegotiate is refused. */
LOOP_TEST(tls_refuses_renegotiation)
{
    static struct once read;

    BEGIN;
    tls_prepare();
    tls.options[TLS_CLIENT].greatest_version = LOOP_TLS_VERSION_1_2;
    TLS_OPEN(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    CHECK_IS(SSL_renegotiate(loop_tls_ssl(pair.flows[TLS_CLIENT])), 0);
    CHECK(SSL_get_options(loop_tls_ssl(pair.flows[TLS_SERVER])) & SSL_OP_NO_RENEGOTIATION);
    CHECK(SSL_get_options(loop_tls_ssl(pair.flows[TLS_SERVER])) & SSL_OP_NO_COMPRESSION);
    SSL_clear_options(loop_tls_ssl(pair.flows[TLS_CLIENT]), SSL_OP_NO_RENEGOTIATION);
    CHECK_IS(SSL_renegotiate(loop_tls_ssl(pair.flows[TLS_CLIENT])), 1);
    START(loop_read(&pair.flows[TLS_SERVER]->source, buf, sizeof buf, ONCE(&read)));
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "x", 1, GO));
    CHECK_IS(result, -EPROTO);
    CHECK_HAS(loop_tls_why(pair.flows[TLS_CLIENT]), "no renegotiation");
    WAIT_UNTIL(read.count);
    ONCE_IS(read, -EPROTO);
    END;
}
