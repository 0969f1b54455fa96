/* SPDX-License-Identifier: ISC
 *
 * loop_connect_name: addresses tried one after another and side by side. 127.0.0.N stand for the addresses of a host.
 */
#include "name_server.h"

static struct loop_flow *flow;
static struct loop_name_error error;
static struct loop_connect_name_options how;
static char port[8];
static int full_listener = -1, waiting_client = -1;

/* Serves on 127.0.0.1, and opens a resolver with a hosts file. */
static void serve_hosts(struct loop_env *env, const char *hosts)
{
    serve_well(env->scope, hold_connection);
    snprintf(port, sizeof port, "%u", (unsigned)ntohs(serving.address.u.ipv4.sin_port));
    make_files("", hosts, "hosts: files\n");
    how.resolve.resolver = loop_resolver_open(env->scope, &resolver_files.options);
    CHECK(how.resolve.resolver);
}

static void stop_serving(void)
{
    loop_server_stop(serving.server, 0);
    remove_files();
}

/* A listener on 127.0.0.2 and the server's port, with a full backlog: a connect to it never completes. */
static void make_black_hole(void)
{
    struct sockaddr_in address = serving.address.u.ipv4;

    address.sin_addr.s_addr = htonl(0x7f000002);
    full_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(full_listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(listen(full_listener, 0), 0);
    waiting_client = connect_to(&address);
}

static void close_black_hole(void)
{
    close(full_listener);
    close(waiting_client);
}

static void check_peer(const char *host)
{
    struct loop_address address;
    char text[LOOP_ADDRESS_TEXT_SIZE], expected[100];

    CHECK(flow);
    CHECK_IS(loop_flow_peer_address(flow, &address), 0);
    CHECK(loop_address_format(&address, text, sizeof text) > 0);
    snprintf(expected, sizeof expected, "tcp:%s:%s", host, port);
    CHECK_TEXT(text, expected);
    CHECK_TEXT(error.text, "");
    loop_flow_close(flow);
}

LOOP_TEST(connects_by_name)
{
    BEGIN;
    serve_hosts(env, "127.0.0.1 one\n");
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    CHECK_IS(result, 0);
    check_peer("127.0.0.1");
    AWAIT(loop_connect_name(env->scope, "127.0.0.1", port, NULL, &flow, &error, GO));
    CHECK_IS(result, 0);
    check_peer("127.0.0.1");
    stop_serving();
    END;
}

/* The first address refuses, so that the next is tried at once and not after the delay. */
LOOP_TEST(a_refused_address_is_followed_at_once_by_the_next)
{
    static int64_t start;

    BEGIN;
    serve_hosts(env, "127.0.0.3 one\n127.0.0.4 one\n127.0.0.1 one\n");
    how.attempt_delay_ns = 60 * LOOP_SECOND;
    start = loop_now(env->loop);
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    CHECK_IS(result, 0);
    check_peer("127.0.0.1");
    CHECK(loop_now(env->loop) - start < 30 * LOOP_SECOND);
    stop_serving();
    END;
}

LOOP_TEST(a_dead_family_does_not_matter)
{
    BEGIN;
    serve_hosts(env, "::1 one\n127.0.0.1 one\n");
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    CHECK_IS(result, 0);
    check_peer("127.0.0.1");
    stop_serving();
    END;
}

LOOP_TEST(p31_the_error_names_every_address)
{
    static char expected[200];

    BEGIN;
    serve_hosts(env, "127.0.0.3 one\n127.0.0.4 one\n");
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    CHECK_IS(result, -ECONNREFUSED);
    CHECK(!flow);
    snprintf(expected, sizeof expected,
             "connecting to one:%s: 127.0.0.3:%s: Connection refused; 127.0.0.4:%s: Connection refused", port, port,
             port);
    CHECK_TEXT(error.text, expected);
    AWAIT(loop_connect_name(env->scope, "two", "http", &how, &flow, &error, GO));
    CHECK_IS(result, -ENOENT);
    CHECK(strstr(error.text, "connecting to two:http: there is no such host in /"));
    AWAIT(loop_connect_name(env->scope, "one", "", &how, &flow, &error, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_connect_name(env->scope, NULL, "1", &how, &flow, NULL, GO));
    CHECK_IS(result, -EINVAL);
    stop_serving();
    END;
}

/* The address that is tried first fails last. */
LOOP_TEST(the_error_is_that_of_the_address_tried_first)
{
    BEGIN;
    serve_hosts(env, "127.0.0.2 one\n127.0.0.3 one\n");
    make_black_hole();
    how.attempt_delay_ns = LOOP_MILLISECOND;
    how.connect.timeout_ns = 50 * LOOP_MILLISECOND;
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    CHECK_IS(result, -ETIMEDOUT);
    CHECK(strstr(error.text, "127.0.0.2:") > strstr(error.text, "127.0.0.3:"));
    close_black_hole();
    stop_serving();
    END;
}

/* All of them are tried, one after the other, until one answers. If none does, the error is as long as there is room.
 */
LOOP_TEST_ROWS(a_hundred_addresses_are_tried, 2)
{
    static char hosts[100 * 20 + 20];
    static size_t len;
    static unsigned fds;

    BEGIN;
    for (int i = 1; i <= 100; i++) {
        len += (size_t)snprintf(hosts + len, sizeof hosts - len, "127.0.1.%d one\n", i);
    }
    if (script.row == 0) {
        (void)snprintf(hosts + len, sizeof hosts - len, "127.0.0.1 one\n");
    }
    serve_hosts(env, hosts);
    how.attempt_delay_ns = 60 * LOOP_SECOND;
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    if (flow) {
        loop_flow_close(flow);
    }
    AWAIT(turns(env->scope, 8, GO));
    fds = count_fds();
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    if (script.row == 0) {
        CHECK_IS(result, 0);
        check_peer("127.0.0.1");
    } else {
        CHECK_IS(result, -ECONNREFUSED);
        CHECK(!flow);
        CHECK(strncmp(error.text, "connecting to one:", 18) == 0 && strstr(error.text, "127.0.1.1:"));
        CHECK_IS(strlen(error.text), sizeof error.text - 1);
    }
    AWAIT(turns(env->scope, 8, GO));
    CHECK(count_fds() <= fds + 1); /* the server holds its connection */
    stop_serving();
    END;
}

/* ---- a black hole ---- */

LOOP_TEST(a_black_hole_costs_the_delay)
{
    static int64_t start;

    BEGIN;
    serve_hosts(env, "127.0.0.2 one\n127.0.0.1 one\n");
    make_black_hole();
    AWAIT(turns(env->scope, 4, GO));
    start = loop_now(env->loop);
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    CHECK_IS(result, 0);
    CHECK(loop_now(env->loop) - start >= 250 * LOOP_MILLISECOND);
    check_peer("127.0.0.1");
    close_black_hole();
    stop_serving();
    END;
}

LOOP_TEST(the_losers_are_closed)
{
    static unsigned fds;

    BEGIN;
    serve_hosts(env, "127.0.0.2 one\n127.0.0.1 one\n");
    make_black_hole();
    how.attempt_delay_ns = LOOP_MILLISECOND;
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO)); /* all threads exist now */
    CHECK_IS(result, 0);
    check_peer("127.0.0.1");
    WAIT_UNTIL(serving.connections == 1);
    AWAIT(turns(env->scope, 8, GO));
    fds = count_fds();
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    WAIT_UNTIL(serving.connections == 2);
    CHECK_IS(result, 0);
    AWAIT(turns(env->scope, 8, GO));
    CHECK_IS(count_fds(), fds + 2);
    check_peer("127.0.0.1");
    close_black_hole();
    stop_serving();
    END;
}

LOOP_TEST(deadlines_name_what_has_not_answered)
{
    static char expected[200];

    BEGIN;
    serve_hosts(env, "127.0.0.2 one\n");
    make_black_hole();
    how.timeout_ns = 20 * LOOP_MILLISECOND;
    AWAIT(loop_connect_name(env->scope, "127.0.0.2", port, &how, &flow, &error, GO)); /* no file comes first */
    CHECK_IS(result, -ETIMEDOUT);
    snprintf(expected, sizeof expected, "connecting to 127.0.0.2:%s: 127.0.0.2:%s: no answer yet", port, port);
    CHECK_TEXT(error.text, expected);
    how.timeout_ns = 0;
    how.connect.timeout_ns = 20 * LOOP_MILLISECOND;
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    CHECK_IS(result, -ETIMEDOUT);
    CHECK(!flow);
    close_black_hole();
    stop_serving();
    END;
}

LOOP_TEST(p04_a_cancel_in_the_middle_leaves_nothing)
{
    static struct once once;
    static struct loop_scope *scope;
    static loop_job job;
    static unsigned fds;
    static int i;

    BEGIN;
    serve_hosts(env, "127.0.0.2 one\n");
    make_black_hole();
    AWAIT(loop_connect_name(env->scope, "127.0.0.1", port, NULL, &flow, &error, GO));
    loop_flow_close(flow);
    AWAIT(turns(env->scope, 4, GO));
    fds = count_fds();
    for (i = 0; i < 40; i++) {
        once = (struct once){.count = 0};
        scope = open_held(env->scope, NULL);
        job = START(loop_connect_name(scope, "one", port, &how, &flow, &error, ONCE(&once)));
        AWAIT(turns(env->scope, (unsigned)i + 1, GO));
        if (i % 2) {
            CHECK_IS(loop_cancel(env->loop, job), 0);
        } else {
            loop_scope_cancel(scope);
        }
        loop_scope_unhold(scope);
        WAIT_UNTIL(once.count);
        ONCE_IS(once, -ECANCELED);
        CHECK(!flow);
    }
    AWAIT(turns(env->scope, 8, GO));
    CHECK(count_fds() <= fds + 5); /* threads of the pool, and nothing for each round */
    close_black_hole();
    stop_serving();
    END;
}

/* ---- how ---- */

LOOP_TEST(a_local_address_leaves_out_the_other_family)
{
    static struct loop_address from, local;
    static struct once once;

    BEGIN;
    serve_hosts(env, "::1 one\n127.0.0.1 one\n");
    from = parsed("tcp:127.0.0.9:0");
    how.connect.bind_to = &from;
    how.connect.settings = &(struct loop_socket_setting){LOOP_SO_KEEPALIVE, 1};
    how.connect.n_settings = 1;
    START(loop_connect_name(env->scope, "one", port, &how, &flow, &error, ONCE(&once)));
    from = parsed("tcp:[::1]:0"); /* it has been copied */
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 0);
    CHECK_IS(loop_flow_local_address(flow, &local), 0);
    CHECK_IS(ntohl(local.u.ipv4.sin_addr.s_addr), 0x7f000009);
    check_peer("127.0.0.1");
    stop_serving();
    END;
}

/* A connection begins when the files have been read. By then the caller's texts may be gone. */
LOOP_TEST(texts_for_connections_are_copied)
{
    static char interface[LOOP_SOCKET_TEXT_SIZE] = "lo", congestion[LOOP_SOCKET_TEXT_SIZE] = "reno";
    static struct once once;

    BEGIN;
    serve_hosts(env, "127.0.0.1 one\n");
    how.connect.interface = interface;
    how.connect.congestion = congestion;
    START(loop_connect_name(env->scope, "one", port, &how, &flow, &error, ONCE(&once)));
    memset(interface, 'x', sizeof interface - 1);
    memset(congestion, 'x', sizeof congestion - 1);
    WAIT_UNTIL(once.count);
    if (once.result != -ENOPROTOOPT) { /* the simulated kernel has neither option */
        ONCE_IS(once, 0);
        CHECK_IS(loop_socket_get_text(flow->fd, LOOP_TCP_CONGESTION, congestion), 0);
        CHECK_TEXT(congestion, "reno");
        CHECK_IS(loop_socket_get_text(flow->fd, LOOP_SO_BINDTODEVICE, interface), 0);
        CHECK_TEXT(interface, "lo");
        check_peer("127.0.0.1");
    }
    how.connect.congestion = "sixteen bytes ..";
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    CHECK_IS(result, -EINVAL);
    stop_serving();
    END;
}

/* One address is tried after the other, however long that takes. */
LOOP_TEST(an_address_may_be_tried_alone_for_ever)
{
    BEGIN;
    serve_hosts(env, "127.0.0.3 one\n127.0.0.1 one\n");
    how.attempt_delay_ns = LOOP_NEVER;
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    CHECK_IS(result, 0);
    check_peer("127.0.0.1");
    stop_serving();
    END;
}

LOOP_TEST(no_descriptors_for_connections_is_emfile)
{
    static rlim_t limit;

    BEGIN;
    serve_hosts(env, "127.0.0.1 one\n127.0.0.2 one\n");
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    CHECK_IS(result, 0);
    loop_flow_close(flow);
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO)); /* the files are not read again */
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    loop_flow_close(flow);
    AWAIT(turns(env->scope, 8, GO));
    limit = forbid_fds();
    AWAIT(loop_connect_name(env->scope, "one", port, &how, &flow, &error, GO));
    limit_fds(limit);
    CHECK_IS(result, -EMFILE);
    CHECK(strstr(error.text, strerror(EMFILE)));
    stop_serving();
    END;
}

#if NORIA_CARES
/* The answer for IPv6 does not come: IPv4 is tried after 50 ms, and the look-up is given up when it is connected. */
LOOP_TEST(a_family_that_is_not_answered_for_delays_little)
{
    static int64_t start;

    BEGIN;
    serve_well(env->scope, hold_connection);
    snprintf(port, sizeof port, "%u", (unsigned)ntohs(serving.address.u.ipv4.sin_port));
    make_resolver(env->scope, "", "");
    resolver_files.options.timeout_ns = 30 * LOOP_SECOND;
    how.resolve.resolver = loop_resolver_open(env->scope, &resolver_files.options);
    start = loop_now(env->loop);
    AWAIT(loop_connect_name(env->scope, "silent6.test", port, &how, &flow, &error, GO));
    CHECK_IS(result, 0);
    CHECK(loop_now(env->loop) - start >= 50 * LOOP_MILLISECOND);
    CHECK(loop_now(env->loop) - start < 30 * LOOP_SECOND);
    check_peer("127.0.0.1");
    AWAIT(loop_connect_name(env->scope, "local.test", port, &how, &flow, &error, GO));
    CHECK_IS(result, 0);
    check_peer("127.0.0.1");
    stop_serving();
    END;
}

/* No server answers in the time that the look-up has, which is not the time of the connection. */
LOOP_TEST(the_lookup_of_a_connection_has_a_time_of_its_own)
{
    static int64_t start;

    BEGIN;
    serve_well(env->scope, hold_connection);
    snprintf(port, sizeof port, "%u", (unsigned)ntohs(serving.address.u.ipv4.sin_port));
    make_resolver(env->scope, "", "");
    resolver_files.options.timeout_ns = 5 * LOOP_SECOND;
    how.resolve.resolver = loop_resolver_open(env->scope, &resolver_files.options);
    AWAIT(loop_connect_name(env->scope, "local.test", port, &how, &flow, &error, GO)); /* the files have been read */
    check_peer("127.0.0.1");
    how.resolve.timeout_ns = 300 * LOOP_MILLISECOND;
    start = loop_now(env->loop);
    AWAIT(loop_connect_name(env->scope, "silent.test", port, &how, &flow, &error, GO));
    CHECK_IS(result, -ETIMEDOUT);
    CHECK(loop_now(env->loop) - start >= 300 * LOOP_MILLISECOND);
    CHECK(loop_now(env->loop) - start < 5 * LOOP_SECOND);
    CHECK(!flow && strstr(error.text, "silent.test:") && strstr(error.text, ": no "));
    stop_serving();
    END;
}
#endif
