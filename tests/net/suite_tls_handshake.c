/* SPDX-License-Identifier: ISC
 *
 * Handshakes that do not succeed: with peers that speak something else, that stop, or that are given up.
 */
#include "tls.h"
#include "wire.h"

static struct tls_pair pair;

/* ---- peers that do not speak TLS ---- */

#define SAID(text) (text), sizeof(text) - 1

static const struct {
    const char *said;
    size_t len;
    const char *text;
} strange[] = {
    {SAID("GET / HTTP/1.1\r\nHost: server.example\r\n\r\n"), "plain HTTP"},
    {SAID("EHLO client.example\r\n"), "does not speak TLS"},
    {SAID("220 mail.example ready for anything\r\n"), "does not speak TLS"},
    {SAID("\x16\x03\x01\xff\xff this record is too long for anyone"), ""},
    {SAID("\x15\x03\x01\x00\x02\x02\x28"), ""},
};

LOOP_TEST_ROWS(p31_servers_are_told_of_strange_clients, COUNT_OF(strange))
{
    static struct once done;

    BEGIN;
    TLS_SET_UP(env->scope);
    CHECK_IS(loop_socketpair(env->scope, &pair.below[0], &pair.below[1]), 0);
    START(loop_tls_accept(pair.below[1], tls.contexts[TLS_SERVER], &pair.flows[1], &pair.errors[1], ONCE(&done)));
    AWAIT(loop_write(&pair.below[0]->sink, strange[script.row].said, strange[script.row].len, GO));
    WAIT_UNTIL(done.count);
    ONCE_IS(done, -EPROTO);
    CHECK_HAS(pair.errors[1].text, strange[script.row].text);
    CHECK(!pair.flows[1]);
    END;
}

LOOP_TEST_ROWS(p31_clients_are_told_of_strange_servers, COUNT_OF(strange))
{
    static struct once done;

    BEGIN;
    TLS_SET_UP(env->scope);
    CHECK_IS(loop_socketpair(env->scope, &pair.below[0], &pair.below[1]), 0);
    START(loop_tls_connect(pair.below[0], tls.contexts[TLS_CLIENT], TLS_HOST, &pair.flows[0], &pair.errors[0],
                           ONCE(&done)));
    AWAIT(loop_write(&pair.below[1]->sink, strange[script.row].said, strange[script.row].len, GO));
    WAIT_UNTIL(done.count);
    ONCE_IS(done, -EPROTO);
    CHECK(strlen(pair.errors[0].text) > 0);
    if (script.row == 2) {
        CHECK_HAS(pair.errors[0].text, strange[script.row].text);
    }
    END;
}

/* ---- peers that stop ---- */

/* The wire holds back what the client writes. */
LOOP_TEST(tls_handshake_has_a_deadline)
{
    static struct wire wire;
    static struct loop_scope *scope;
    static struct once ended;
    static int64_t began;

    BEGIN;
    tls_prepare();
    tls.options[TLS_SERVER].handshake_timeout_ns = 30 * LOOP_MILLISECOND;
    TLS_OPEN(env->scope);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    wire_make(&wire, scope);
    wire.lanes[TLS_CLIENT].is_full = true;
    pair.below[0] = &wire.flows[0];
    pair.below[1] = &wire.flows[1];
    began = loop_now(env->loop);
    tls_shake(&pair, TLS_HOST);
    TLS_AWAIT(&pair);
    ONCE_IS(pair.done[TLS_SERVER], -ETIMEDOUT);
    CHECK_HAS(pair.errors[TLS_SERVER].text, "not ended in time");
    CHECK(loop_now(env->loop) - began >= 30 * LOOP_MILLISECOND);
    ONCE_IS(pair.done[TLS_CLIENT], -ECONNABORTED);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    wire_free(&wire);
    END;
}

LOOP_TEST(tls_handshake_ends_with_its_scope)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    TLS_SET_UP(env->scope);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK_IS(loop_socketpair(scope, &pair.below[0], &pair.below[1]), 0);
    START(
        loop_tls_accept(pair.below[1], tls.contexts[TLS_SERVER], &pair.flows[1], &pair.errors[1], ONCE(&pair.done[1])));
    loop_scope_deadline(scope, loop_now(env->loop) + 5 * LOOP_MILLISECOND);
    WAIT_UNTIL(ended.count);
    ONCE_IS(pair.done[1], -ETIMEDOUT);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

/* ---- handshakes that are given up ---- */

enum { CANCELS_CLIENT, CANCELS_SERVER, CLOSES_CLIENT, CLOSES_SERVER, CANCELS_SCOPE, WAYS };

static struct loop_scope *scope;
static struct once ended;
static loop_job jobs[2];

static void begin(struct loop_env *env)
{
    memset(&ended, 0, sizeof ended);
    memset(&pair, 0, sizeof pair);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    CHECK_IS(loop_socketpair(scope, &pair.below[0], &pair.below[1]), 0);
    jobs[0] = loop_tls_connect(pair.below[0], tls.contexts[0], TLS_HOST, &pair.flows[0], &pair.errors[0],
                               ONCE(&pair.done[0]));
    jobs[1] = loop_tls_accept(pair.below[1], tls.contexts[1], &pair.flows[1], &pair.errors[1], ONCE(&pair.done[1]));
    CHECK(jobs[0] && jobs[1]);
}

static void give_up(struct loop *loop, int way)
{
    switch (way) {
    case CANCELS_CLIENT: loop_cancel(loop, jobs[0]); break;
    case CANCELS_SERVER: loop_cancel(loop, jobs[1]); break;
    case CLOSES_CLIENT: loop_fd_close(pair.below[0]->fd); break;
    case CLOSES_SERVER: loop_fd_close(pair.below[1]->fd); break;
    default: loop_scope_cancel(scope);
    }
}

/* After any number of turns a handshake is given up: both sides end once, with the result of what was done to them, or
 * in time with 0. */
LOOP_TEST_ROWS(p04_tls_handshake_given_up_at_each_step, WAYS)
{
    static unsigned n, successes, failures;
    static int64_t expected;

    BEGIN;
    TLS_SET_UP(env->scope);
    for (n = 1; successes < 5 && n < 300; n++) {
        begin(env);
        AWAIT(turns(env->scope, n, GO));
        give_up(env->loop, script.row);
        if (script.row != CANCELS_SCOPE && pair.done[0].count && pair.done[1].count) {
            loop_scope_cancel(scope);
        }
        WAIT_UNTIL(pair.done[0].count && pair.done[1].count);
        expected = pair.done[0].result == 0 && pair.done[1].result == 0 ? 0 : -1;
        successes += expected == 0;
        failures += expected < 0;
        CHECK(!pair.flows[0] == (pair.done[0].result < 0));
        CHECK(!pair.flows[1] == (pair.done[1].result < 0));
        if (script.row == CANCELS_CLIENT || script.row == CANCELS_SERVER) {
            CHECK(pair.done[script.row].result == 0 || pair.done[script.row].result == -ECANCELED);
        }
        loop_scope_cancel(scope);
        loop_scope_unhold(scope);
        WAIT_UNTIL(ended.count);
    }
    CHECK(successes == 5 && failures > 0);
    END;
}

static unsigned many(void)
{
    return repeated(1000, 100);
}

/* 10,000 clients in all come, and leave after every number of turns that a handshake takes. Nothing of them remains. */
LOOP_TEST_ROWS(tls_handshakes_cut_half_way_leave_nothing, 10)
{
    static unsigned n, at, cut, whole, fds;
    static size_t before;

    BEGIN;
    TLS_SET_UP(env->scope);
    at = (unsigned)script.row;
    for (n = 0; cut < many(); n++) {
        begin(env);
        if (at > 0) {
            AWAIT(turns(env->scope, at, GO));
        }
        loop_fd_close(pair.below[0]->fd);
        WAIT_UNTIL(pair.done[0].count && pair.done[1].count);
        CHECK(pair.done[1].result == 0 || pair.done[1].result == -ECONNABORTED || pair.done[1].result == -EPIPE ||
              pair.done[1].result == -ECONNRESET);
        cut += pair.done[1].result != 0;
        whole += pair.done[1].result == 0;
        at = pair.done[1].result == 0 ? 0 : at + 1;
        loop_scope_cancel(scope);
        loop_scope_unhold(scope);
        WAIT_UNTIL(ended.count);
        if (cut == many() / 2 && before == 0) {
            before = live_bytes();
            fds = count_fds();
        }
    }
    CHECK(whole > 0);
    CHECK(live_bytes() <= before + 4096);
    CHECK_IS(count_fds(), fds);
    TLS_CONNECTED(env->scope, &pair);
    END;
}

/* ---- nothing can be written ---- */

/* The sink below fails, and the source is silent: the handshake does not wait for an answer to what was not sent. */
LOOP_TEST(tls_handshake_that_cannot_write_ends)
{
    static struct wire wire;

    BEGIN;
    TLS_SET_UP(env->scope);
    wire_make(&wire, env->scope);
    wire.lanes[TLS_CLIENT].has_ended = true;
    AWAIT(loop_tls_connect(&wire.flows[0], tls.contexts[TLS_CLIENT], TLS_HOST, &pair.flows[0], &pair.errors[0], GO));
    CHECK_IS(result, -EPIPE);
    CHECK_HAS(pair.errors[0].text, "writing to the flow below has failed");
    CHECK(!pair.flows[0]);
    wire_free(&wire);
    END;
}

/* The last records of a client, for which the server waits, cannot be sent: the handshake has not succeeded. */
LOOP_TEST(tls_handshake_without_memory_for_its_last_write_fails)
{
    static struct wire wire;

    BEGIN;
    TLS_SET_UP(env->scope);
    wire_make(&wire, env->scope);
    wire.lanes[TLS_CLIENT].lacks_memory_at = 2;
    pair.below[0] = &wire.flows[0];
    pair.below[1] = &wire.flows[1];
    tls_shake(&pair, TLS_HOST);
    TLS_AWAIT(&pair);
    ONCE_IS(pair.done[TLS_CLIENT], -ENOMEM);
    CHECK_HAS(pair.errors[TLS_CLIENT].text, "writing to the flow below has failed");
    CHECK(!pair.flows[TLS_CLIENT]);
    ONCE_IS(pair.done[TLS_SERVER], -ECONNABORTED);
    wire_free(&wire);
    END;
}

/* ---- mistakes ---- */

static struct loop_scope *inner;

static loop_job connect_wrongly(struct loop_env *env, int row)
{
    static char long_host[300];
    struct loop_flow *const below = pair.below[0];

    memset(long_host, 'a', sizeof long_host - 1);
    switch (row) {
    case 0: return loop_tls_connect(below, tls.contexts[TLS_CLIENT], NULL, &pair.flows[0], &pair.errors[0], GO);
    case 1: return loop_tls_connect(below, tls.contexts[TLS_CLIENT], "", &pair.flows[0], &pair.errors[0], GO);
    case 2: return loop_tls_connect(below, tls.contexts[TLS_CLIENT], long_host, &pair.flows[0], &pair.errors[0], GO);
    case 3: return loop_tls_connect(below, tls.contexts[TLS_SERVER], TLS_HOST, &pair.flows[0], &pair.errors[0], GO);
    case 4: return loop_tls_accept(below, tls.contexts[TLS_CLIENT], &pair.flows[0], &pair.errors[0], GO);
    case 5: return loop_tls_connect(below, tls.contexts[TLS_CLIENT], ".example", &pair.flows[0], &pair.errors[0], GO);
    default: break;
    }
    static struct loop_flow mixed;
    inner = loop_scope_open(env->scope, NULL, NULL);
    mixed = *below;
    mixed.scope = inner;
    return loop_tls_connect(&mixed, tls.contexts[TLS_CLIENT], TLS_HOST, &pair.flows[0], &pair.errors[0], GO);
}

LOOP_TEST_ROWS(p23_tls_arguments_that_cannot_be, 7)
{
    BEGIN;
    TLS_SET_UP(env->scope);
    CHECK_IS(loop_socketpair(env->scope, &pair.below[0], &pair.below[1]), 0);
    AWAIT(connect_wrongly(env, script.row));
    CHECK_IS(result, -EINVAL);
    CHECK(strlen(pair.errors[0].text) > 10);
    CHECK(!pair.flows[0]);
    CHECK_IS(loop_fd_close(pair.below[0]->fd), -EBADF);
    END;
}
