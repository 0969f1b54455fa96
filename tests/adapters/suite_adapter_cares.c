/* SPDX-License-Identifier: ISC
 *
 * <adapters/cares.h>, with the DNS server of the tests.
 */
#include "../net/name_server.h"
#include "allocate.h"

#include <adapters/cares.h>

static struct loop_cares *cares;

struct answer {
    unsigned count;
    int status, addresses;
    void (*act)(void);
};

static void on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    struct answer *answer = arg;
    struct ares_addrttl addresses[200];
    int n = COUNT_OF(addresses);

    (void)timeouts;
    answer->count++;
    answer->status = status;
    if (status == ARES_SUCCESS) {
        CHECK_IS(ares_parse_a_reply(bytes, len, NULL, addresses, &n), ARES_SUCCESS);
        answer->addresses = n;
    }
    if (answer->act) {
        answer->act();
    }
    script_poke();
}

/* Opens a channel that asks the server of the test. */
static void open_channel(struct loop_scope *scope, int timeout_ms, int tries)
{
    struct ares_addr_port_node node = {.family = AF_INET};
    struct ares_options options = {.flags = ARES_FLAG_STAYOPEN, .timeout = timeout_ms, .tries = tries};

    CHECK_IS(loop_cares_open(scope, &options, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES, &cares),
             ARES_SUCCESS);
    node.addr.addr4 = name_server.address.u.ipv4.sin_addr;
    node.udp_port = node.tcp_port = ntohs(name_server.address.u.ipv4.sin_port);
    CHECK_IS(ares_set_servers_ports(loop_cares_channel(cares), &node), ARES_SUCCESS);
}

static void ask(struct answer *answer, const char *name)
{
    ares_query(loop_cares_channel(cares), name, 1, TYPE_A, on_answer, answer);
}

#define ASKED(answer, expected)                                                                                        \
    CHECK_IS((answer).count, 1);                                                                                       \
    CHECK_IS((answer).status, expected)

/* ---- answers ---- */

LOOP_TEST(a_query_is_answered_by_udp_and_by_tcp)
{
    static struct answer host, nothing, big;

    BEGIN;
    start_name_server(env->scope);
    open_channel(env->scope, 5000, 3);
    ask(&host, "host.test");
    ask(&nothing, "nothing.test");
    ask(&big, "big.test");
    WAIT_UNTIL(host.count && nothing.count && big.count);
    ASKED(host, ARES_SUCCESS);
    CHECK_IS(host.addresses, 1);
    ASKED(nothing, ARES_ENOTFOUND);
    ASKED(big, ARES_SUCCESS);
    CHECK_IS(big.addresses, 100);
    CHECK_IS(name_server.by_tcp, 1);
    END;
}

/* c-ares closes its socket after each answer, and the next one has the same number. */
LOOP_TEST(queries_one_after_another_reuse_a_number)
{
    static struct answer answers[200];
    static unsigned i;

    BEGIN;
    start_name_server(env->scope);
    open_channel(env->scope, 5000, 3);
    for (i = 0; i < COUNT_OF(answers); i++) {
        ask(&answers[i], "host.test");
        WAIT_UNTIL(answers[i].count);
        ASKED(answers[i], ARES_SUCCESS);
    }
    END;
}

LOOP_TEST(many_queries_at_once)
{
    static struct answer answers[100];
    static unsigned i;

    BEGIN;
    start_name_server(env->scope);
    open_channel(env->scope, 5000, 3);
    for (i = 0; i < COUNT_OF(answers); i++) {
        ask(&answers[i], "host.test");
    }
    for (i = 0; i < COUNT_OF(answers); i++) {
        WAIT_UNTIL(answers[i].count);
        ASKED(answers[i], ARES_SUCCESS);
    }
    END;
}

LOOP_TEST(a_server_that_is_silent_is_asked_again_and_given_up)
{
    static struct answer silent, late;

    BEGIN;
    start_name_server(env->scope);
    open_channel(env->scope, 20, 3);
    ask(&silent, "silent.test");
    WAIT_UNTIL(silent.count);
    ASKED(silent, ARES_ETIMEOUT);
    CHECK_IS(name_server.queries, 3);
    open_channel(env->scope, 5000, 3);
    ask(&late, "late.test");
    WAIT_UNTIL(late.count);
    ASKED(late, ARES_SUCCESS);
    END;
}

/* ---- ends ---- */

LOOP_TEST(a_server_that_is_gone_ends_each_query_once)
{
    static struct answer answers[5];
    static unsigned i;

    BEGIN;
    start_name_server(env->scope);
    open_channel(env->scope, 100, 2);
    ask(&answers[0], "host.test");
    WAIT_UNTIL(answers[0].count);
    for (i = 1; i < COUNT_OF(answers); i++) {
        ask(&answers[i], i % 2 ? "silent.test" : "big.test");
    }
    AWAIT(turns(env->scope, 2, GO));
    loop_scope_cancel(name_server.scope);
    for (i = 1; i < COUNT_OF(answers); i++) {
        WAIT_UNTIL(answers[i].count);
        CHECK_IS(answers[i].count, 1);
        CHECK(answers[i].status == ARES_ETIMEOUT || answers[i].status == ARES_ECONNREFUSED ||
              (i % 2 == 0 && answers[i].status == ARES_SUCCESS));
    }
    END;
}

static struct loop_scope *cancelled;
static struct answer behind;

static void cancel_scope(void)
{
    loop_scope_cancel(cancelled);
}

static void cancel_queries(void)
{
    loop_cares_cancel(cares);
}

static void ask_more(void)
{
    ask(&behind, "host.test");
}

static void (*const acts[])(void) = {NULL, cancel_scope, cancel_queries, ask_more};

LOOP_TEST_ROWS(queries_and_scopes_may_be_cancelled_in_a_callback, COUNT_OF(acts))
{
    static struct answer host, silent;
    static struct once ended;

    BEGIN;
    start_name_server(env->scope);
    cancelled = loop_scope_open(env->scope, ONCE(&ended));
    open_channel(cancelled, 5000, 3);
    host.act = acts[script.row];
    ask(&host, "host.test");
    ask(&silent, "silent.test");
    WAIT_UNTIL(host.count);
    WAIT_UNTIL(script.row != 3 || behind.count);
    if (script.row == 0 || script.row == 3) {
        CHECK_IS(ended.count, 0); /* a query holds it */
        loop_scope_cancel(cancelled);
    }
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, script.row == 2 ? 0 : -ECANCELED);
    ASKED(host, ARES_SUCCESS);
    ASKED(silent, ARES_ECANCELLED);
    if (script.row == 3) {
        ASKED(behind, ARES_SUCCESS);
    }
    END;
}

/* ---- errors ---- */

LOOP_TEST_ROWS(without_descriptors_a_query_ends, 3)
{
    static struct answer host;
    static rlim_t limit;

    BEGIN;
    start_name_server(env->scope);
    open_channel(env->scope, 100, 1);
    limit = limit_fds((rlim_t)limit_with_free_fds((unsigned)script.row));
    ask(&host, "host.test");
    WAIT_UNTIL(host.count);
    limit_fds(limit);
    CHECK_IS(host.count, 1);
    CHECK((host.status == ARES_SUCCESS) == (script.row == 2));
    END;
}

#if !HAS_SANITIZER
LOOP_TEST_ROWS(without_memory_a_query_is_answered_or_ends, 30)
{
    static struct answer host;

    BEGIN;
    start_name_server(env->scope);
    open_channel(env->scope, 100, 1);
    fail_allocation((unsigned long)script.row / 2 + 1, script.row % 2);
    ask(&host, "host.test");
    fail_allocation(0, false);
    WAIT_UNTIL(host.count);
    CHECK_IS(host.count, 1);
    CHECK(host.status == ARES_SUCCESS || host.status == ARES_ECANCELLED);
    END;
}

/* Each allocation of c-ares and of the loop fails in turn, until a query needs no more. */
LOOP_TEST(without_memory_in_cares_a_query_is_answered_or_ends)
{
    static struct answer host;
    static unsigned long n;
    static bool has_failed;

    BEGIN;
    CHECK_IS(ares_library_init_mem(ARES_LIB_INIT_ALL, given_malloc, given_free, given_realloc), ARES_SUCCESS);
    start_name_server(env->scope);
    for (n = 1; n < 500; n++) {
        host = (struct answer){0};
        open_channel(env->scope, 100, 1);
        fail_allocation(n, false);
        ask(&host, "host.test");
        has_failed = allocation_failed();
        fail_allocation(0, false); /* the server is of this process */
        WAIT_UNTIL(host.count);
        CHECK_IS(host.count, 1);
        if (!has_failed) {
            break;
        }
    }
    CHECK(n > 5 && n < 500);
    CHECK_IS(host.status, ARES_SUCCESS);
    END;
}

LOOP_TEST_ROWS(without_memory_a_channel_is_made_or_not, 8)
{
    static int status;

    BEGIN;
    fail_allocation((unsigned long)script.row / 2 + 1, script.row % 2);
    status = loop_cares_open(env->scope, NULL, 0, &cares);
    fail_allocation(0, false);
    CHECK_IS(status, cares ? ARES_SUCCESS : ARES_ENOMEM);
    END;
}
#endif
