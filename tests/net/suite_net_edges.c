/* SPDX-License-Identifier: ISC
 *
 * The network where it is asked for what can't be, cancelled at every step, stopped more than once, and made to fail
 * again and again.
 */
#include "sockets.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- material ---- */

static struct loop_scope *open_held(struct loop_scope *parent, struct once *ended)
{
    struct loop_scope *scope = loop_scope_open(parent, ended ? once_resumed : NULL, ended);

    CHECK(scope != NULL);
    loop_scope_hold(scope);
    return scope;
}

/* A listener without room on the loopback: a connect to it stays in the middle for ever. */
static int full_listener = -1, waiting_client = -1;

static struct loop_address make_full_listener(void)
{
    struct loop_address address = {.length = sizeof(struct sockaddr_in)};

    full_listener = make_listener(&address.u.ipv4);
    CHECK_IS(listen(full_listener, 0), 0);
    waiting_client = connect_to(&address.u.ipv4);
    return address;
}

static void close_full_listener(void)
{
    close(full_listener);
    close(waiting_client);
}

static struct loop_address make_full_unix_listener(void)
{
    struct loop_address address = {.length = sizeof(sa_family_t)};
    socklen_t length = sizeof address.u.local;

    address.u.any.sa_family = AF_UNIX;
    full_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(full_listener, &address.u.any, address.length), 0);
    CHECK_IS(listen(full_listener, 0), 0);
    CHECK_IS(getsockname(full_listener, &address.u.any, &length), 0);
    address.length = length;
    waiting_client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(connect(waiting_client, &address.u.any, length), 0);
    return address;
}

/* ---- addresses ---- */

/* `size` bytes that end where a page ends that can't be touched. */
static char *before_guard_page(size_t size)
{
    static char *pages;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (!pages) {
        pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(pages != MAP_FAILED);
        CHECK_IS(mprotect(pages + page, page, PROT_NONE), 0);
    }
    if (size == 0) {
        CHECK_IS(munmap(pages, 2 * page), 0);
        pages = NULL;
        return NULL;
    }
    return pages + page - size;
}

TEST(format_never_writes_beyond_its_room)
{
    static const char *const texts[] = {"tcp:127.0.0.1:80", "tcp:[::1]:65535", "unix:/tmp/a", "unix:@name"};
    char whole[LOOP_ADDRESS_TEXT_SIZE];

    for (unsigned i = 0; i < COUNT_OF(texts); i++) {
        struct loop_address address = parsed(texts[i]);
        int length = loop_address_format(&address, whole, sizeof whole);
        CHECK_IS(length, strlen(texts[i]));
        for (size_t size = 1; size <= (size_t)length + 1; size++) {
            char *text = before_guard_page(size);
            int answer = loop_address_format(&address, text, size);
            CHECK_IS(answer, size > (size_t)length ? length : -ENOSPC);
        }
        CHECK_TEXT(before_guard_page((size_t)length + 1), texts[i]);
        CHECK_IS(loop_address_format(&address, whole, 0), -ENOSPC);
    }
    before_guard_page(0);
}

/* No end of a text is looked beyond, whatever it is the beginning of. */
TEST(every_beginning_of_an_address_is_parsed_in_its_bounds)
{
    static const char *const texts[] = {"tcp:[fe80::1%lo]:80", "tcp:255.255.255.255:65535", "unix:@abstract",
                                        "unix:/a"};

    for (unsigned i = 0; i < COUNT_OF(texts); i++) {
        for (size_t length = 0; length <= strlen(texts[i]); length++) {
            struct loop_address address;
            char *text = before_guard_page(length + 1);
            memcpy(text, texts[i], length);
            text[length] = '\0';
            int answer = loop_address_parse(&address, text);
            CHECK(answer == 0 || answer == -EINVAL);
            CHECK(length < strlen(texts[i]) || answer == 0);
        }
    }
    before_guard_page(0);
}

TEST(arguments_that_are_no_addresses_are_refused)
{
    struct loop_address address = parsed("tcp:127.0.0.1:1");
    char text[LOOP_ADDRESS_TEXT_SIZE];

    CHECK_IS(loop_address_parse(NULL, "tcp:127.0.0.1:1"), -EINVAL);
    CHECK_IS(loop_address_parse(&address, NULL), -EINVAL);
    address = parsed("tcp:127.0.0.1:1");
    CHECK_IS(loop_address_format(NULL, text, sizeof text), -EINVAL);
    CHECK_IS(loop_address_format(&address, NULL, sizeof text), -EINVAL);
    address.length = 3;
    CHECK_IS(loop_address_format(&address, text, sizeof text), -EINVAL);
    address.length = 0;
    CHECK_IS(loop_address_format(&address, text, sizeof text), -EINVAL);
    address.length = sizeof address.u + 1;
    CHECK_IS(loop_address_format(&address, text, sizeof text), -EINVAL);
    address = parsed("tcp:127.0.0.1:1");
    address.u.any.sa_family = AF_NETLINK;
    CHECK_IS(loop_address_format(&address, text, sizeof text), -EAFNOSUPPORT);
}

LOOP_TEST(addresses_of_a_flow_that_has_none)
{
    static struct loop_flow *flows[2];
    static struct loop_address address;

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(loop_flow_peer_address(flows[0], &address), 0);
    CHECK_IS(address.u.any.sa_family, AF_UNIX);
    CHECK_IS(address.length, sizeof(sa_family_t));
    CHECK_IS(loop_flow_local_address(flows[0], NULL), -EINVAL);
    loop_flow_close(flows[0]);
    CHECK_IS(loop_flow_peer_address(flows[0], &address), -EBADF);
    CHECK_IS(loop_flow_local_address(flows[0], &address), -EBADF);
    flows[0] = flow_of(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_IS(loop_flow_peer_address(flows[0], &address), -ENOTCONN);
    END;
}

/* ---- connect ---- */

LOOP_TEST(connect_with_arguments_that_cannot_be)
{
    static struct loop_address address, other;
    static struct loop_flow *flow;
    static struct loop_connect_options options;
    static unsigned before;

    BEGIN;
    before = count_fds();
    address = parsed("tcp:127.0.0.1:1");
    other = parsed("unix:@noria-other-family");
    AWAIT(loop_connect(env->scope, NULL, NULL, &flow, GO));
    CHECK_IS(result, -EINVAL);
    options = (struct loop_connect_options){.timeout_ns = -1};
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -EINVAL);
    options = (struct loop_connect_options){.n_settings = 1};
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -EINVAL);
    options = (struct loop_connect_options){.bind_to = &other};
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK(result == -EINVAL || result == -EAFNOSUPPORT);
    address.u.any.sa_family = AF_NETLINK;
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, -EAFNOSUPPORT);
    CHECK(!flow);
    CHECK_IS(count_fds(), before);
    END;
}

LOOP_TEST(connect_with_a_setting_that_fails_leaves_no_socket)
{
    static const struct loop_socket_setting bad[] = {{LOOP_SO_KEEPALIVE, 1}, {LOOP_IP_TTL, 0}};
    static struct loop_address address;
    static struct loop_connect_options options = {.settings = bad, .n_settings = 2};
    static struct loop_flow *flow;
    static unsigned before;

    BEGIN;
    listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    before = count_fds();
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -EINVAL);
    CHECK(!flow);
    CHECK_IS(count_fds(), before);
    END;
}

LOOP_TEST(connect_in_a_cancelled_scope_opens_nothing)
{
    static struct loop_address address;
    static struct loop_scope *scope;
    static struct loop_flow *flow;
    static struct once once, ended;

    BEGIN;
    listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    scope = open_held(env->scope, &ended);
    loop_scope_cancel(scope);
    START(loop_connect(scope, &address, NULL, &flow, ONCE(&once)));
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(once, -ECANCELED);
    CHECK(!flow);
    END;
}

/* Cancelled after 0, 1, 2, … turns: it is connected, or cancelled and nothing is left. */
LOOP_TEST(connect_cancelled_at_each_step)
{
    static struct loop_address address;
    static struct loop_scope *scope;
    static struct loop_flow *flow;
    static struct once once, ended;
    static unsigned step, before;
    static int answer;
    static loop_job job;

    BEGIN;
    listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    before = count_fds();
    for (step = 0; step < 6; step++) {
        memset(&once, 0, sizeof once);
        memset(&ended, 0, sizeof ended);
        scope = open_held(env->scope, &ended);
        job = START(loop_connect(scope, &address, NULL, &flow, ONCE(&once)));
        if (step > 0) {
            AWAIT(turns(env->scope, step, GO));
        }
        answer = loop_cancel(env->loop, job);
        CHECK(answer == -ENOENT || (answer == 0 && once.count == 0));
        WAIT_UNTIL(once.count);
        CHECK(once.result == 0 || (once.result == -ECANCELED && answer == 0));
        CHECK((once.result == 0) == (flow != NULL));
        loop_scope_unhold(scope);
        WAIT_UNTIL(ended.count);
        ONCE_IS(ended, 0);
        CHECK_IS(count_fds(), before);
    }
    END;
}

LOOP_TEST(connect_that_hangs_is_cancelled_or_times_out)
{
    static struct loop_address address;
    static struct loop_connect_options options = {.timeout_ns = 20 * LOOP_MILLISECOND};
    static struct loop_flow *flow;
    static struct once once;
    static loop_job job;
    static int64_t began;
    static unsigned before;

    BEGIN;
    address = make_full_listener();
    before = count_fds();
    began = now_ns();
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -ETIMEDOUT);
    CHECK(now_ns() - began >= 20 * LOOP_MILLISECOND);
    CHECK(!flow);
    job = START(loop_connect(env->scope, &address, NULL, &flow, ONCE(&once)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(count_fds(), before);
    close_full_listener();
    END;
}

LOOP_TEST(connect_that_waits_for_a_unix_backlog_times_out_or_is_cancelled)
{
    static struct loop_address address;
    static struct loop_connect_options options = {.timeout_ns = 20 * LOOP_MILLISECOND};
    static struct loop_flow *flow;
    static struct loop_stats before, after;
    static struct once once;
    static loop_job job;

    BEGIN;
    address = make_full_unix_listener();
    loop_get_stats(env->loop, &before);
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -ETIMEDOUT);
    CHECK(!flow);
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns < 60);
    job = START(loop_connect(env->scope, &address, NULL, &flow, ONCE(&once)));
    AWAIT(loop_sleep(env->scope, 3 * LOOP_MILLISECOND, GO));
    CHECK_IS(once.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, -ECANCELED);
    CHECK(!flow);
    close_full_listener();
    END;
}

LOOP_TEST(many_failing_connects_in_one_scope_leave_nothing)
{
    enum { ROUNDS = 500 };
    static struct loop_address address;
    static struct loop_flow *flow;
    static struct loop_stats before, after;
    static unsigned long warm;
    static int i;

    BEGIN;
    CHECK_IS(loop_listener_close(listen_at(env->scope, &address, "tcp:127.0.0.1:0")), 0);
    AWAIT(turns(env->scope, 4, GO));
    for (i = 0; i < ROUNDS; i++) {
        if (i == 20) {
            loop_get_stats(env->loop, &before);
            warm = count_fds();
        }
        AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
        CHECK_IS(result, -ECONNREFUSED);
        CHECK(!flow);
    }
    AWAIT(turns(env->scope, 4, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.fds_now, before.fds_now - (before.fds_now > after.fds_now));
    CHECK(after.scopes_now <= before.scopes_now);
    CHECK_IS(after.job_slots, before.job_slots);
    CHECK(count_fds() <= warm);
    END;
}

/* ---- listen, accept ---- */

LOOP_TEST(listen_with_arguments_that_cannot_be)
{
    static struct loop_listener *listener;
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    struct loop_address tcp = parsed("tcp:127.0.0.1:0"), local = parsed("unix:@noria-more-tests");
    const struct loop_socket_setting bad = {LOOP_TCP_MAXSEG, 1};
    unsigned before = count_fds();
    CHECK_IS(loop_listen(env->scope, NULL, NULL, &listener), -EINVAL);
    CHECK_IS(loop_listen(env->scope, &tcp, &(struct loop_listen_options){.backlog = -1}, &listener), -EINVAL);
    CHECK_IS(loop_listen(env->scope, &local, &(struct loop_listen_options){.mode = 01000}, &listener), -EINVAL);
    CHECK_IS(loop_listen(env->scope, &local, &(struct loop_listen_options){.reuse_port = true}, &listener),
             -EOPNOTSUPP);
    CHECK_IS(loop_listen(env->scope, &tcp, &(struct loop_listen_options){.n_settings = 1}, &listener), -EINVAL);
    CHECK_IS(loop_listen(env->scope, &tcp, &(struct loop_listen_options){.settings = &bad, .n_settings = 1}, &listener),
             -EINVAL);
    scope = open_held(env->scope, &ended);
    loop_scope_cancel(scope);
    CHECK_IS(loop_listen(scope, &tcp, NULL, &listener), -ECANCELED);
    loop_scope_unhold(scope);
    CHECK(!listener);
    CHECK_IS(count_fds(), before);
    WAIT_UNTIL(ended.count);
    END;
}

LOOP_TEST(a_listener_closes_once)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once once;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    START(loop_accept(env->scope, listener, &flow, ONCE(&once)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_listener_close(listener), 0);
    CHECK_IS(loop_listener_close(listener), -EBADF);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, -ECANCELED);
    CHECK(!flow);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, -ECONNREFUSED);
    END;
}

LOOP_TEST(an_accept_on_a_closed_listener_ends)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    CHECK_IS(loop_listener_close(listener), 0);
    AWAIT(loop_accept(env->scope, listener, &flow, GO));
    CHECK_IS(result, -EBADF);
    CHECK(!flow);
    END;
}

/* A connection that was there is accepted, or still there for the next. */
LOOP_TEST(accept_cancelled_at_each_step_loses_no_connection)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow, *next;
    static struct once once;
    static unsigned step;
    static int client, answer;
    static loop_job job;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    for (step = 0; step < 6; step++) {
        memset(&once, 0, sizeof once);
        job = START(loop_accept(env->scope, listener, &flow, ONCE(&once)));
        client = connect_to(&address.u.ipv4);
        if (step > 0) {
            AWAIT(turns(env->scope, step, GO));
        }
        answer = loop_cancel(env->loop, job);
        CHECK(answer == -ENOENT || (answer == 0 && once.count == 0));
        WAIT_UNTIL(once.count);
        CHECK(once.result == 0 || (once.result == -ECANCELED && answer == 0));
        CHECK((once.result == 0) == (flow != NULL));
        if (!flow) {
            AWAIT(loop_accept(env->scope, listener, &next, GO));
            CHECK_IS(result, 0);
        }
        close(client);
    }
    END;
}

LOOP_TEST(accepts_of_a_scope_end_with_it_and_the_listener_goes_on)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_scope *scope;
    static struct loop_flow *flow, *other;
    static struct once once, ended, second;
    static int client;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_accept(scope, listener, &flow, ONCE(&once)));
    START(loop_accept(env->scope, listener, &other, ONCE(&second)));
    AWAIT(turns(env->scope, 2, GO));
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(once, -ECANCELED);
    client = connect_to(&address.u.ipv4);
    WAIT_UNTIL(second.count);
    ONCE_IS(second, 0);
    CHECK(other && !flow);
    close(client);
    END;
}

LOOP_TEST(a_relative_unix_path_is_removed_from_any_directory)
{
    static const char *directory;
    static struct loop_listener *listener;
    static struct stat status;

    BEGIN;
    directory = make_directory();
    CHECK_IS(chdir(directory), 0);
    struct loop_address address = parsed("unix:relative");
    CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), 0);
    CHECK_IS(lstat("relative", &status), 0);
    CHECK_IS(chdir("/"), 0);
    CHECK_IS(loop_listener_close(listener), 0);
    CHECK(faccessat(AT_FDCWD, directory, F_OK, 0) == 0);
    CHECK_IS(chdir(directory), 0);
    CHECK_IS(lstat("relative", &status), -1);
    CHECK_IS(errno, ENOENT);
    CHECK_IS(chdir("/"), 0);
    remove_directory(directory);
    END;
}

LOOP_TEST(everywhere_is_both_families)
{
    static struct loop_address address, other;
    static struct loop_listener *listener;
    static struct loop_flow *flow;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp::0");
    CHECK(listener);
    other = parsed("tcp:127.0.0.1:0");
    other.u.ipv4.sin_port = address.u.ipv6.sin6_port;
    AWAIT(loop_connect(env->scope, &other, NULL, &flow, GO));
    CHECK_IS(result, 0);
    other = parsed("tcp:[::1]:0");
    other.u.ipv6.sin6_port = address.u.ipv6.sin6_port;
    AWAIT(loop_connect(env->scope, &other, NULL, &flow, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(ipv6_only_leaves_ipv4_alone)
{
    static struct loop_address address, other;
    static struct loop_listener *listener;
    static struct loop_flow *flow;

    BEGIN;
    address = parsed("tcp::0");
    CHECK_IS(loop_listen(env->scope, &address, &(struct loop_listen_options){.ipv6_only = true}, &listener), 0);
    CHECK_IS(loop_listener_address(listener, &address), 0);
    other = parsed("tcp:127.0.0.1:0");
    other.u.ipv4.sin_port = address.u.ipv6.sin6_port;
    AWAIT(loop_connect(env->scope, &other, NULL, &flow, GO));
    CHECK_IS(result, -ECONNREFUSED);
    END;
}

/* ---- serving ---- */

LOOP_TEST(serve_with_arguments_that_cannot_be)
{
    static struct loop_server *server;
    static struct loop_serve_options options = {.server = &server};
    static unsigned before;

    BEGIN;
    struct loop_address address = parsed("tcp:127.0.0.1:0");
    before = count_fds();
    CHECK_IS(loop_serve(env->scope, &address, &options, NULL, NULL), -EINVAL);
    options.connection_timeout_ns = -1;
    CHECK_IS(loop_serve(env->scope, &address, &options, hold_connection, NULL), -EINVAL);
    options = (struct loop_serve_options){.server = &server, .grace_ns = -1};
    CHECK_IS(loop_serve(env->scope, &address, &options, hold_connection, NULL), -EINVAL);
    options = (struct loop_serve_options){.server = &server, .listen.backlog = -1};
    CHECK_IS(loop_serve(env->scope, &address, &options, hold_connection, NULL), -EINVAL);
    CHECK_IS(loop_serve(env->scope, NULL, NULL, hold_connection, NULL), -EINVAL);
    CHECK(!server);
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(count_fds(), before);
    END;
}

LOOP_TEST(a_second_stop_only_makes_the_deadline_earlier)
{
    static int client;
    static int64_t began;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, hold_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    began = now_ns();
    loop_server_stop(serving.server, loop_now(env->loop) + 30 * LOOP_MILLISECOND);
    loop_server_stop(serving.server, LOOP_NEVER);
    loop_server_stop(serving.server, loop_now(env->loop) + 3600 * LOOP_SECOND);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK(now_ns() - began >= 30 * LOOP_MILLISECOND);
    close(client);
    END;
}

LOOP_TEST(a_stop_without_a_deadline_can_get_one)
{
    static int client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, hold_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    loop_server_stop(serving.server, LOOP_NEVER);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(serving.ended.count, 0);
    CHECK_IS(served().connections_now, 1);
    loop_server_stop(serving.server, loop_now(env->loop));
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    close(client);
    END;
}

LOOP_TEST(a_server_stopped_while_connections_arrive_ends_once)
{
    enum { N = 20 };
    static int clients[N], i;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    for (i = 0; i < N; i++) {
        clients[i] = connect_to(&serving.address.u.ipv4);
    }
    AWAIT(turns(env->scope, 1, GO));
    loop_server_stop(serving.server, LOOP_NEVER);
    CHECK(served().accepted <= N);
    for (i = 0; i < N; i++) {
        close(clients[i]);
    }
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

LOOP_TEST(a_limit_of_connections_is_never_passed)
{
    enum { N = 12 };
    static int clients[N], i;
    static char byte;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 3}, echo_connection);
    for (i = 0; i < N; i++) {
        clients[i] = connect_to(&serving.address.u.ipv4);
        CHECK_IS(send(clients[i], "x", 1, 0), 1);
    }
    for (i = 0; i < N; i++) {
        AWAIT(loop_op_recv(env->scope, loop_fd_borrow(env->scope, clients[i]), &byte, 1, 0, GO));
        CHECK_IS(result, 1);
        CHECK(served().connections_now <= 3);
        CHECK_IS(shutdown(clients[i], SHUT_WR), 0);
    }
    WAIT_UNTIL(served().accepted == N);
    CHECK_IS(served().connections_most, 3);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    for (i = 0; i < N; i++) {
        close(clients[i]);
    }
    END;
}

LOOP_TEST(connections_that_are_reset_count_as_failed)
{
    enum { N = 5 };
    static int clients[N], good, i;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    for (i = 0; i < N; i++) {
        clients[i] = connect_to(&serving.address.u.ipv4);
    }
    good = connect_to(&serving.address.u.ipv4);
    while (served().accepted < N + 1) {
        AWAIT(turns(env->scope, 1, GO));
    }
    for (i = 0; i < N; i++) {
        close_with_reset(clients[i]);
    }
    while (served().connections_now > 1) {
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK_IS(served().failed, N);
    CHECK_IS(serving.ended.count, 0);
    close(good);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

static struct once no_end;

LOOP_TEST(a_server_cancelled_from_outside_ends_once)
{
    static struct loop_scope *scope;
    static int client;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&no_end));
    serve(scope, (struct loop_serve_options){.max_connections = 0}, hold_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    loop_scope_cancel(scope);
    WAIT_UNTIL(no_end.count);
    ONCE_IS(no_end, -ECANCELED);
    CHECK_IS(serving.ended.count, 1);
    CHECK(serving.ended.order < no_end.order);
    close(client);
    END;
}

LOOP_TEST(a_connection_timeout_of_always_is_none)
{
    static int client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.connection_timeout_ns = LOOP_NEVER}, echo_connection);
    client = connect_to(&serving.address.u.ipv4);
    while (served().accepted < 1) {
        AWAIT(turns(env->scope, 1, GO));
    }
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(served().connections_now, 1);
    close(client);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

/* ---- descriptors ---- */

static rlim_t usual_limit;

LOOP_TEST(a_server_without_descriptors_waits_without_spinning)
{
    static struct loop_stats before, after;
    static int clients[3], i;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    for (i = 0; i < 3; i++) {
        clients[i] = connect_to(&serving.address.u.ipv4);
    }
    usual_limit = forbid_fds();
    AWAIT(turns(env->scope, 5, GO));
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns < 40);
    CHECK(after.descriptor_waits > 0);
    CHECK_IS(served().accepted, 0);
    CHECK(strstr(log_text(), "RLIMIT_NOFILE"));
    limit_fds(usual_limit);
    while (served().accepted < 3) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    for (i = 0; i < 3; i++) {
        close(clients[i]);
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

LOOP_TEST(a_server_that_waits_for_a_descriptor_can_be_stopped)
{
    static int client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    client = connect_to(&serving.address.u.ipv4);
    usual_limit = forbid_fds();
    AWAIT(turns(env->scope, 5, GO));
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    limit_fds(usual_limit);
    close(client);
    END;
}

LOOP_TEST(connects_without_descriptors_are_emfile_and_cost_nothing)
{
    static struct loop_address address;
    static struct loop_flow *flow;
    static struct loop_stats before, after;
    static int i;

    BEGIN;
    listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, 0);
    usual_limit = forbid_fds();
    loop_get_stats(env->loop, &before);
    for (i = 0; i < 100; i++) {
        AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
        CHECK_IS(result, -EMFILE);
        CHECK(!flow);
    }
    limit_fds(usual_limit);
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.fds_now, before.fds_now);
    CHECK_IS(after.job_slots, before.job_slots);
    CHECK(after.scopes_now <= before.scopes_now + 1); /* the last connect's steps may be about to end */
    END;
}

/* ---- options ---- */

LOOP_TEST(every_option_reads_back_what_was_set)
{
    static struct loop_flow *flow;
    static int option, value, before;

    BEGIN;
    flow = flow_of(env->scope, socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    for (option = 0; option < LOOP_SOCKET_OPTION_COUNT; option++) {
        enum loop_socket_option which = (enum loop_socket_option)option;
        CHECK_IS(loop_socket_get(flow->fd, which, &before), 0);
        bool is_size = which == LOOP_SO_RCVBUF || which == LOOP_SO_SNDBUF;
        bool is_settled_later = which == LOOP_TCP_MAXSEG || which == LOOP_TCP_DEFER_ACCEPT_S;
        if (!is_size && !is_settled_later && which != LOOP_TCP_QUICKACK) {
            int wanted = which == LOOP_IP_TOS ? 4 : 1; /* the lowest two bits are TCP's own */
            CHECK_IS(loop_socket_set(flow->fd, which, wanted), 0);
            CHECK_IS(loop_socket_get(flow->fd, which, &value), 0);
            if (value != wanted) {
                ck_abort_msg("option %d reads back as %d", option, value);
            }
        }
    }
    CHECK_IS(loop_socket_set(flow->fd, LOOP_SO_RCVBUF, 8192), 0);
    CHECK_IS(loop_socket_get(flow->fd, LOOP_SO_RCVBUF, &value), 0);
    CHECK_IS(value, 16384);
    CHECK_IS(loop_socket_set(flow->fd, LOOP_SO_LINGER_S, -1), 0);
    CHECK_IS(loop_socket_get(flow->fd, LOOP_SO_LINGER_S, &value), 0);
    CHECK_IS(value, -1);
    END;
}

LOOP_TEST(options_of_nothing)
{
    static struct loop_flow *flow;
    static int value;

    BEGIN;
    flow = flow_of(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_IS(loop_socket_get(flow->fd, LOOP_SO_KEEPALIVE, NULL), -EINVAL);
    CHECK_IS(loop_socket_get(flow->fd, LOOP_SOCKET_OPTION_COUNT, &value), -EINVAL);
    CHECK_IS(loop_socket_set(flow->fd, (enum loop_socket_option)1000, 1), -EINVAL);
    loop_flow_close(flow);
    CHECK_IS(loop_socket_set(flow->fd, LOOP_SO_KEEPALIVE, 1), -EBADF);
    CHECK_IS(loop_socket_set(flow->fd, LOOP_SO_KEEPALIVE, 2), -EINVAL);
    CHECK_IS(loop_socket_get(flow->fd, LOOP_SO_KEEPALIVE, &value), -EBADF);
    END;
}
