/* SPDX-License-Identifier: ISC
 *
 * Servers with domains: connections are served by several loops, and one stop, one limit and one account are for all.
 */
#include <loop/kernel/thread.h> /* its parameters have names that the harness has, too */

#include "sockets.h"

#include <malloc.h>
#include <stdatomic.h>
#include <sys/un.h>

enum { DOMAINS = 4, CLIENTS = 24 };

static LOOP_KERNEL_THREAD_LOCAL unsigned domain_index;
static LOOP_KERNEL_THREAD_LOCAL struct loop_env *domain_env;
static atomic_uint used, begun, over, most, now, prepared;

static int prepare(struct loop_env *env, unsigned index, void *arg)
{
    (void)arg;
    domain_index = index;
    domain_env = env;
    atomic_fetch_add(&prepared, 1);
    return 0;
}

static void on_over(void *unused)
{
    (void)unused;
    atomic_fetch_add(&over, 1);
    atomic_fetch_sub(&now, 1);
}

static void echo_in_domain(struct loop_flow *peer, void *unused)
{
    unsigned n = atomic_fetch_add(&now, 1) + 1, before = atomic_load(&most);

    (void)unused;
    CHECK(domain_env && loop_scope_loop(peer->scope) == domain_env->loop);
    while (before < n && !atomic_compare_exchange_weak(&most, &before, n)) {
    }
    atomic_fetch_or(&used, 1u << domain_index);
    CHECK(loop_scope_defer(peer->scope, on_over, NULL));
    atomic_fetch_add(&begun, 1);
    CHECK(loop_copy(&peer->source, &peer->sink, NULL, NULL) != 0);
}

/* ---- the kinds of servers ---- */

static const struct kind {
    bool is_unix, is_inherited;
    unsigned limit;
    bool is_handed; /* the parent accepts, and deals the connections out */
} kinds[] = {{.limit = 0},
             {.limit = 1000, .is_handed = true},
             {.is_unix = true, .is_handed = true},
             {.is_inherited = true, .is_handed = true}};

static const char *directory;

/* Starts a server of the kind of this row. */
static void serve_kind(struct loop_scope *scope, struct loop_serve_options options, loop_connection_fn *fn)
{
    const struct kind *kind = &kinds[script.row];
    struct sockaddr_in address;

    options.domains = DOMAINS;
    options.max_connections = options.max_connections ? options.max_connections : kind->limit;
    options.domain_main = prepare;
    options.on_end = once_resumed;
    options.on_end_arg = &serving.ended;
    if (kind->is_inherited) {
        CHECK_IS(loop_serve_adopt(scope, make_listener(&address), 0, &options, &serving.server, fn, NULL), 0);
    } else {
        directory = kind->is_unix ? make_directory() : NULL;
        serving.address = parsed(kind->is_unix ? unix_path(directory) : "tcp:127.0.0.1:0");
        CHECK_IS(loop_serve(scope, &serving.address, &options, &serving.server, fn, NULL), 0);
    }
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &serving.address), 0);
}

static void clean_up(void)
{
    if (directory) {
        remove_directory(directory);
    }
}

static int connect_here(void)
{
    int fd = socket(serving.address.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_IS(connect(fd, &serving.address.u.any, serving.address.length), 0);
    return fd;
}

static struct loop_flow *clients[CLIENTS];
static int i;

LOOP_TEST_ROWS(each_connection_is_served_by_one_of_the_domains, COUNT_OF(kinds))
{
    static struct loop_server_stats stats;

    static unsigned before;

    BEGIN;
    serve_kind(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_in_domain);
    while (kinds[script.row].is_handed && used != (1u << DOMAINS) - 1) { /* domains that still start get none */
        clients[0] = flow_of(env->scope, connect_here());
        AWAIT(talk(clients[0], GO));
        loop_flow_close(clients[0]);
    }
    while (over < begun) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    before = begun;
    for (i = 0; i < CLIENTS; i++) {
        clients[i] = flow_of(env->scope, connect_here());
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
    }
    stats = served();
    CHECK_IS(stats.accepted, before + CLIENTS);
    CHECK(stats.connections_now >= CLIENTS && stats.connections_most >= CLIENTS);
    for (i = 0; i < CLIENTS; i++) {
        loop_flow_close(clients[i]);
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(over, before + CLIENTS);
    CHECK_IS(begun, before + CLIENTS);
    clean_up();
    END;
}

/* ---- the start ---- */

static atomic_uint n_shared;
static unsigned prepared_at_start;

static void on_start(void *record, int64_t result)
{
    prepared_at_start = atomic_load(&prepared);
    once_resumed(record, result);
}

static int look_at_region(struct loop_env *env, unsigned index, void *arg)
{
    atomic_fetch_add(&n_shared, loop_region_is_shared(env->loop));
    return prepare(env, index, arg);
}

/* Only the last one fails. */
static int fail_to_start(struct loop_env *env, unsigned index, void *arg)
{
    (void)env;
    (void)arg;
    return index == DOMAINS - 1 ? -EACCES : 0;
}

static struct once began;

static void serve_starting(struct loop_scope *scope, loop_domain_fn *domain_main, unsigned n)
{
    const struct loop_serve_options options = {.domains = n,
                                               .domain_main = domain_main,
                                               .on_start = on_start,
                                               .on_start_arg = &began,
                                               .on_end = once_resumed,
                                               .on_end_arg = &serving.ended};

    serving.address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(scope, &serving.address, &options, &serving.server, echo_in_domain, NULL), 0);
    CHECK_IS(began.count, 0);
}

LOOP_TEST(a_server_has_started_when_all_its_domains_have)
{
    static bool can_share;

    BEGIN;
    serve_starting(env->scope, look_at_region, DOMAINS);
    WAIT_UNTIL(began.count);
    ONCE_IS(began, 0);
    CHECK_IS(prepared_at_start, DOMAINS);
    can_share = strcmp(loop_backend_name(env->loop), "io_uring") == 0 && has_clones() && !is_hard("nofixed");
    CHECK_IS(n_shared, can_share ? DOMAINS : 0);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(began, 0);
    END;
}

LOOP_TEST(a_server_without_domains_has_started_at_once)
{
    BEGIN;
    serve_starting(env->scope, NULL, 0);
    WAIT_UNTIL(began.count);
    ONCE_IS(began, 0);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    END;
}

static struct loop_server_stats last;

static void look_at_the_end(void *arg, int64_t result)
{
    last = served();
    loop_server_stop(serving.server, 0);
    loop_server_retire(serving.server, 0);
    once_resumed(arg, result);
}

/* Row 0: in one loop; 1: with domains. */
LOOP_TEST_ROWS(a_server_lasts_until_on_end_has_returned, 2)
{
    static struct loop_serve_options options = {.on_end = look_at_the_end, .on_end_arg = &serving.ended};

    BEGIN;
#ifdef __GLIBC__
    mallopt(M_PERTURB, 0x55); /* what is freed is overwritten */
#endif
    serving.address = parsed("tcp:127.0.0.1:0");
    options.domains = script.row ? DOMAINS : 0;
    CHECK_IS(loop_serve(env->scope, &serving.address, &options, &serving.server, echo_by_copy, NULL), 0);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &serving.address), 0);
    clients[0] = flow_of(env->scope, connect_here());
    AWAIT(talk(clients[0], GO));
    loop_flow_close(clients[0]);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK(last.accepted == 1 && last.connections_now == 0 && last.connections_most == 1);
    END;
}

LOOP_TEST(a_server_that_is_stopped_first_or_whose_domain_fails_has_not_started)
{
    BEGIN;
    serve_starting(env->scope, prepare, DOMAINS);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    serving.ended = (struct once){0};
    serve_starting(env->scope, fail_to_start, DOMAINS);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, -EACCES);
    CHECK_IS(began.count, 0);
    END;
}

/* ---- stopping ---- */

LOOP_TEST_ROWS(a_stop_lets_connections_finish_in_all_domains, COUNT_OF(kinds))
{
    BEGIN;
    serve_kind(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_in_domain);
    for (i = 0; i < CLIENTS; i++) {
        clients[i] = flow_of(env->scope, connect_here());
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    for (i = 0; i < CLIENTS; i++) {
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
        CHECK_IS(serving.ended.count, 0);
        loop_flow_close(clients[i]);
    }
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    clean_up();
    END;
}

LOOP_TEST_ROWS(a_stop_with_a_deadline_cancels_what_is_left_in_all_domains, COUNT_OF(kinds))
{
    static char byte;

    BEGIN;
    serve_kind(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_in_domain);
    for (i = 0; i < 8; i++) {
        clients[i] = flow_of(env->scope, connect_here());
        AWAIT(talk(clients[i], GO));
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    loop_server_stop(serving.server, loop_now(env->loop) + 1000 * LOOP_SECOND);
    loop_server_stop(serving.server, loop_now(env->loop) + LOOP_MILLISECOND);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(over, 8);
    for (i = 0; i < 8; i++) {
        AWAIT(loop_read(&clients[i]->source, &byte, 1, GO));
        CHECK(result <= 0);
    }
    clean_up();
    END;
}

/* However much time lies between the start and the stop. */
LOOP_TEST_ROWS(a_stop_during_the_start_ends_all_domains, COUNT_OF(kinds))
{
    static unsigned round;

    BEGIN;
    for (round = 0; round < 6; round++) {
        serving.ended = (struct once){0};
        serve_kind(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_in_domain);
        if (round > 0) {
            AWAIT(loop_sleep(env->scope, round * round * 20 * LOOP_MICROSECOND, GO));
        }
        loop_server_stop(serving.server, LOOP_NEVER);
        WAIT_UNTIL(serving.ended.count);
        ONCE_IS(serving.ended, 0);
        clean_up();
    }
    END;
}

LOOP_TEST_ROWS(p07_a_scope_that_is_cancelled_ends_its_server_with_all_domains, COUNT_OF(kinds))
{
    static struct loop_scope *scope;
    static struct once scope_end;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    serve_kind(scope, (struct loop_serve_options){.max_connections = 0}, echo_in_domain);
    for (i = 0; i < 8; i++) {
        clients[i] = flow_of(env->scope, connect_here());
        AWAIT(talk(clients[i], GO));
    }
    loop_scope_cancel(scope);
    WAIT_UNTIL(scope_end.count);
    ONCE_IS(serving.ended, -ECANCELED);
    CHECK_IS(over, begun);
    clean_up();
    END;
}

LOOP_TEST(signals_stop_all_domains)
{
    BEGIN;
    serve_kind(env->scope, (struct loop_serve_options){.stop_on_signals = true}, echo_in_domain);
    clients[0] = flow_of(env->scope, connect_here());
    AWAIT(talk(clients[0], GO));
    kill(getpid(), SIGTERM);
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(serving.ended.count, 0);
    kill(getpid(), SIGTERM);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

/* ---- the limit ---- */

LOOP_TEST_ROWS(a_limit_is_that_of_all_domains_together, COUNT_OF(kinds))
{
    BEGIN;
    serve_kind(env->scope, (struct loop_serve_options){.max_connections = 3}, echo_in_domain);
    for (i = 0; i < CLIENTS; i++) {
        clients[i] = flow_of(env->scope, connect_here());
    }
    for (i = 0; i < CLIENTS; i++) { /* the later ones wait in the backlog until the earlier have gone */
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
        loop_flow_close(clients[i]);
    }
    CHECK(most <= 3);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    clean_up();
    END;
}

LOOP_TEST(connections_of_domains_live_no_longer_than_allowed)
{
    static char byte;

    BEGIN;
    serve_kind(env->scope, (struct loop_serve_options){.connection_timeout_ns = 3 * LOOP_MILLISECOND}, echo_in_domain);
    clients[0] = flow_of(env->scope, connect_here());
    AWAIT(loop_read(&clients[0]->source, &byte, 1, GO));
    CHECK(result <= 0);
    while (served().failed == 0) { /* counted when the socket has been closed */
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

/* ---- adopting ---- */

static struct loop_detached *detached;
static int fds[2];

LOOP_TEST_ROWS(p05_a_connection_that_was_made_elsewhere_is_served_with_its_unread_bytes, COUNT_OF(kinds))
{
    static struct loop_flow *flow, *client;
    static char text[8];

    BEGIN;
    serve_kind(env->scope, (struct loop_serve_options){.max_connections = 1}, echo_in_domain);
    clients[0] = flow_of(env->scope, connect_here());
    AWAIT(talk(clients[0], GO)); /* a domain runs */
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    client = flow_of(env->scope, fds[1]);
    CHECK_IS(loop_fd_unread(flow->fd, "ab", 2), 0);
    AWAIT(loop_fd_detach(flow->fd, &detached, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_server_adopt(serving.server, detached), -EAGAIN);
    loop_flow_close(clients[0]);
    while (loop_server_adopt(serving.server, detached) == -EAGAIN) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    AWAIT(loop_write(&client->sink, "cd", 2, GO));
    AWAIT(loop_read_exact(&client->source, text, 4, GO));
    CHECK_IS(result, 4);
    CHECK(memcmp(text, "abcd", 4) == 0);
    loop_flow_close(client);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    CHECK_IS(begun, 2);
    clean_up();
    END;
}

LOOP_TEST(a_server_of_one_loop_adopts_connections_too)
{
    static struct loop_flow *flow, *client;
    static char text[8];

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 1}, echo_connection);
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    client = flow_of(env->scope, fds[1]);
    CHECK_IS(loop_fd_unread(flow->fd, "ab", 2), 0);
    AWAIT(loop_fd_detach(flow->fd, &detached, GO));
    CHECK_IS(loop_server_adopt(serving.server, detached), 0);
    CHECK_IS(served().connections_now, 1);
    AWAIT(loop_read_exact(&client->source, text, 2, GO));
    CHECK(memcmp(text, "ab", 2) == 0);
    make_pair(fds);
    AWAIT(loop_fd_detach(adopt(env->scope, fds[0]), &detached, GO));
    CHECK_IS(loop_server_adopt(serving.server, detached), -EAGAIN);
    loop_server_stop(serving.server, LOOP_NEVER);
    CHECK_IS(loop_server_adopt(serving.server, detached), -ESHUTDOWN);
    loop_detached_destroy(detached);
    close(fds[1]);
    loop_flow_close(client);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

/* A connection that is adopted takes the place for which the server accepts already. */
LOOP_TEST_ROWS(a_connection_that_is_accepted_when_the_last_place_is_taken_waits, 2)
{
    static struct loop_flow *client;

    BEGIN;
    if (script.row == 0) {
        serve(env->scope, (struct loop_serve_options){.max_connections = 1}, echo_connection);
    } else {
        serve_kind(env->scope, (struct loop_serve_options){.max_connections = 1}, echo_in_domain);
        clients[0] = flow_of(env->scope, connect_here());
        AWAIT(talk(clients[0], GO)); /* a domain runs */
        loop_flow_close(clients[0]);
    }
    make_pair(fds);
    AWAIT(loop_fd_detach(adopt(env->scope, fds[0]), &detached, GO));
    while (loop_server_adopt(serving.server, detached) == -EAGAIN) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    client = flow_of(env->scope, fds[1]);
    AWAIT(talk(client, GO));
    clients[0] = flow_of(env->scope, connect_here());
    clients[1] = flow_of(env->scope, connect_here());
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(served().connections_now, 1);
    loop_flow_close(client);
    for (i = 0; i < 2; i++) {
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
        loop_flow_close(clients[i]);
    }
    CHECK_IS(served().connections_most, 1);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

LOOP_TEST(p05_a_server_that_retires_serves_the_accepted_connection_that_waits)
{
    static struct loop_flow *client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 1}, echo_connection);
    make_pair(fds);
    AWAIT(loop_fd_detach(adopt(env->scope, fds[0]), &detached, GO));
    CHECK_IS(loop_server_adopt(serving.server, detached), 0);
    client = flow_of(env->scope, fds[1]);
    AWAIT(talk(client, GO));
    clients[0] = flow_of(env->scope, connect_here());
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO)); /* it is accepted, and waits */
    loop_server_retire(serving.server, LOOP_NEVER);
    AWAIT(talk(clients[0], GO));
    CHECK_IS(result, 4);
    loop_flow_close(clients[0]);
    loop_flow_close(client);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

LOOP_TEST_ROWS(a_cancelled_server_adopts_nothing, 2)
{
    static struct loop_scope *scope;

    BEGIN;
    scope = loop_scope_open(env->scope, NULL, NULL);
    if (script.row == 0) {
        serve(scope, (struct loop_serve_options){.max_connections = 1}, echo_connection);
    } else {
        serve_kind(scope, (struct loop_serve_options){.max_connections = 1}, echo_in_domain);
        clients[0] = flow_of(env->scope, connect_here());
        AWAIT(talk(clients[0], GO)); /* a domain runs */
        loop_flow_close(clients[0]);
        while (served().connections_now > 0) {
            AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
        }
    }
    make_pair(fds);
    AWAIT(loop_fd_detach(adopt(env->scope, fds[0]), &detached, GO));
    AWAIT(turns(env->scope, 20, GO));
    loop_scope_cancel(scope);
    CHECK_IS(loop_server_adopt(serving.server, detached), -ESHUTDOWN);
    loop_detached_destroy(detached);
    close(fds[1]);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, -ECANCELED);
    END;
}

/* ---- a loop that accepts and does not turn ---- */

static int shared_number, gate[2];
static atomic_bool is_held;
static struct loop_flow *held_flow;

static void hold(void *unused, int64_t result)
{
    char byte;

    (void)unused;
    CHECK_IS(result, 0);
    atomic_store(&is_held, true);
    CHECK_IS(read(gate[0], &byte, 1), 1); /* blocks this loop */
    loop_scope_cancel(domain_env->scope);
}

static int accept_and_hold(struct loop_env *env, unsigned index, void *unused)
{
    struct loop_listener *listener;

    (void)index;
    (void)unused;
    domain_env = env;
    CHECK_IS(loop_listener_adopt(env->scope, dup(shared_number), 0, &listener), 0);
    CHECK(loop_accept(env->scope, listener, &held_flow, NULL, NULL) != 0);
    CHECK(loop_sleep(env->scope, LOOP_MILLISECOND, hold, NULL) != 0);
    return 0;
}

/* The kernel wakes one accept of a ring for each connection, also one whose loop does not run, or is about to end. */
LOOP_TEST(a_loop_that_does_not_turn_keeps_no_connection_from_another)
{
    static struct sockaddr_in address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once accepted, domain;

    BEGIN;
    shared_number = make_listener(&address);
    CHECK_IS(pipe(gate), 0);
    START(loop_domains(env->scope, 1, NULL, NULL, accept_and_hold, NULL, ONCE(&domain)));
    while (!atomic_load(&is_held)) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    CHECK_IS(loop_listener_adopt(env->scope, dup(shared_number), 0, &listener), 0);
    START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    AWAIT(turns(env->scope, 3, GO)); /* it waits behind the other */
    CHECK_IS(accepted.count, 0);
    clients[0] = flow_of(env->scope, connect_to(&address));
    WAIT_UNTIL(accepted.count);
    ONCE_IS(accepted, 0);
    CHECK_IS(write(gate[1], "", 1), 1);
    WAIT_UNTIL(domain.count);
    ONCE_IS(domain, 0);
    CHECK(!held_flow);
    close(gate[0]);
    close(gate[1]);
    close(shared_number);
    END;
}

LOOP_TEST(what_does_not_listen_is_no_listener)
{
    static struct loop_listener *listener;

    BEGIN;
    make_pair(fds);
    CHECK_IS(loop_listener_adopt(env->scope, fds[0], 0, &listener), -EINVAL);
    CHECK(!listener && !is_open(fds[0]));
    CHECK_IS(loop_serve_adopt(env->scope, fds[1], 0, NULL, &serving.server, echo_connection, NULL), -EINVAL);
    CHECK(!serving.server && !is_open(fds[1]));
    END;
}

LOOP_TEST(an_inherited_listener_serves_in_one_loop)
{
    static struct sockaddr_in address;

    BEGIN;
    CHECK_IS(loop_serve_adopt(env->scope, make_listener(&address), 0,
                              &(struct loop_serve_options){.on_end = once_resumed, .on_end_arg = &serving.ended},
                              &serving.server, echo_connection, NULL),
             0);
    clients[0] = flow_of(env->scope, connect_to(&address));
    AWAIT(talk(clients[0], GO));
    CHECK_IS(result, 4);
    loop_flow_close(clients[0]);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

LOOP_TEST(p23_more_domains_than_there_can_be)
{
    BEGIN;
    serving.address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(env->scope, &serving.address, &(struct loop_serve_options){.domains = LOOP_DOMAINS_MAX + 1},
                        NULL, echo_connection, NULL),
             -EINVAL);
    END;
}

/* SO_REUSEPORT is for the domains of one server, not for two servers. */
LOOP_TEST(a_second_server_does_not_get_the_address)
{
    static struct loop_server *second;
    static const struct loop_serve_options options = {.domains = 2};

    BEGIN;
    serve_kind(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_in_domain);
    CHECK_IS(loop_serve(env->scope, &serving.address, &options, &second, echo_in_domain, NULL), -EADDRINUSE);
    CHECK(!second);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}
