/* SPDX-License-Identifier: ISC
 *
 * loop_listen and loop_accept: TCP and Unix sockets, order, cancels, and the descriptor limit (P12).
 */
#include "show.h"
#include "sockets.h"

#include <loop/part.h>

#include <stdio.h>

/* ---- listening, accepting, connecting ---- */

/* Accepts and connects at the same time, and sends a byte each way. */
static void check_pair(struct loop_env *env, int64_t result, const char *text)
{
    static struct loop_address address, ends[4];
    static struct loop_listener *listener;
    static struct loop_flow *client, *server;
    static struct once accepted, connected;
    static char byte;

    BEGIN;
    listener = listen_at(env->scope, &address, text);
    START(loop_accept(env->scope, listener, &server, ONCE(&accepted)));
    START(loop_connect(env->scope, &address, NULL, &client, ONCE(&connected)));
    CHECK(!client && !server);
    WAIT_UNTIL(accepted.count && connected.count);
    ONCE_IS(accepted, 0);
    ONCE_IS(connected, 0);
    CHECK(client && server && client->scope == env->scope && server->scope == env->scope);
    AWAIT(loop_write(&client->sink, "c", 1, GO));
    AWAIT(loop_read(&server->source, &byte, 1, GO));
    CHECK_IS(byte, 'c');
    AWAIT(loop_write(&server->sink, "s", 1, GO));
    AWAIT(loop_read(&client->source, &byte, 1, GO));
    CHECK_IS(byte, 's');
    CHECK_IS(loop_flow_local_address(client, &ends[0]), 0);
    CHECK_IS(loop_flow_peer_address(server, &ends[1]), 0);
    CHECK_IS(loop_flow_peer_address(client, &ends[2]), 0);
    CHECK_IS(loop_flow_local_address(server, &ends[3]), 0);
    CHECK(ends[0].length == ends[1].length && memcmp(&ends[0].u, &ends[1].u, ends[0].length) == 0);
    CHECK(ends[2].length == ends[3].length && memcmp(&ends[2].u, &ends[3].u, ends[2].length) == 0);
    loop_flow_close(client);
    CHECK_IS(loop_flow_local_address(client, &ends[0]), -EBADF);
    END;
}

LOOP_TEST(tcp_over_ipv4)
{
    check_pair(env, result, "tcp:127.0.0.1:0");
}

LOOP_TEST(tcp_over_ipv6)
{
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct loop_address address = parsed("tcp:[::1]:0");
    bool has_ipv6 = probe >= 0 && bind(probe, &address.u.any, address.length) == 0;

    close(probe);
    check_pair(env, result, has_ipv6 ? "tcp:[::1]:0" : "tcp:127.0.0.1:0");
}

LOOP_TEST(unix_abstract)
{
    static char text[64];

    snprintf(text, sizeof text, "unix:@noria-test-%d", (int)getpid());
    check_pair(env, result, text);
}

static const char *unix_directory;

LOOP_TEST(unix_by_path)
{
    if (!unix_directory) {
        unix_directory = make_directory();
    }
    check_pair(env, result, unix_path(unix_directory));
    if (script.is_done) {
        CHECK_IS(unlink(socket_file()), 0);
        remove_directory(unix_directory);
    }
}

LOOP_TEST(listening_fails_with_the_reason)
{
    static struct loop_address address;
    static struct loop_listener *listener, *second;
    static struct loop_listen_options bad = {.backlog = -1};

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    CHECK_IS(loop_listen(env->scope, &address, NULL, &second), -EADDRINUSE);
    CHECK(!second);
    CHECK(listener != NULL);
    address = parsed("tcp:192.0.2.1:0");
    CHECK_IS(loop_listen(env->scope, &address, NULL, &second), -EADDRNOTAVAIL);
    address = parsed("unix:/nowhere/at/all");
    CHECK_IS(loop_listen(env->scope, &address, NULL, &second), -ENOENT);
    address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_listen(env->scope, &address, &bad, &second), -EINVAL);
    memset(&address, 0, sizeof address);
    CHECK(loop_listen(env->scope, &address, NULL, &second) < 0);
    CHECK(!second);
    END;
}

LOOP_TEST(several_listeners_on_one_port)
{
    static struct loop_address address;
    static struct loop_listener *listeners[3];
    static struct loop_listen_options options = {.reuse_port = true};

    BEGIN;
    address = parsed("tcp:127.0.0.1:0");
    for (int i = 0; i < 3; i++) {
        CHECK_IS(loop_listen(env->scope, &address, &options, &listeners[i]), 0);
        CHECK_IS(loop_listener_address(listeners[i], &address), 0);
    }
    END;
}

LOOP_TEST(a_port_is_free_again_at_once)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once accepted;
    static int round;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    for (round = 0; round < 20; round++) {
        memset(&accepted, 0, sizeof accepted);
        START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
        AWAIT(turns(env->scope, 2, GO));
        CHECK_IS(loop_listener_close(listener), 0);
        WAIT_UNTIL(accepted.count);
        ONCE_IS(accepted, -ECANCELED);
        CHECK(!flow);
        AWAIT(turns(env->scope, 2, GO));
        CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), 0);
    }
    END;
}

LOOP_TEST(tcp_sockets_have_nodelay_unless_told)
{
    static struct loop_address address;
    static struct loop_listener *listeners[2];
    static struct loop_flow *clients[2], *servers[2];
    static int i, value;
    static struct once accepted;

    BEGIN;
    for (i = 0; i < 2; i++) {
        address = parsed("tcp:127.0.0.1:0");
        CHECK_IS(loop_listen(env->scope, &address, &(struct loop_listen_options){.nagle = i}, &listeners[i]), 0);
        CHECK_IS(loop_listener_address(listeners[i], &address), 0);
        memset(&accepted, 0, sizeof accepted);
        START(loop_accept(env->scope, listeners[i], &servers[i], ONCE(&accepted)));
        AWAIT(loop_connect(env->scope, &address, &(struct loop_connect_options){.nagle = i}, &clients[i], GO));
        CHECK_IS(result, 0);
        WAIT_UNTIL(accepted.count);
        CHECK_IS(loop_socket_get(clients[i]->fd, LOOP_TCP_NODELAY, &value), 0);
        CHECK_IS(value, !i);
        CHECK_IS(loop_socket_get(servers[i]->fd, LOOP_TCP_NODELAY, &value), 0);
        CHECK_IS(value, !i);
        CHECK(fcntl(loop_fd_peek(clients[i]->fd), F_GETFL) & O_NONBLOCK);
        CHECK_IS(fcntl(loop_fd_peek(servers[i]->fd), F_GETFD), FD_CLOEXEC);
    }
    END;
}

LOOP_TEST(socketpair_is_connected)
{
    static struct loop_flow *one, *other;
    static char byte;

    BEGIN;
    CHECK_IS(loop_socketpair(env->scope, &one, &other), 0);
    AWAIT(loop_write(&one->sink, "1", 1, GO));
    AWAIT(loop_read(&other->source, &byte, 1, GO));
    CHECK_IS(byte, '1');
    AWAIT(loop_write(&other->sink, "2", 1, GO));
    AWAIT(loop_read(&one->source, &byte, 1, GO));
    CHECK_IS(byte, '2');
    END;
}

LOOP_TEST(accepts_are_served_in_order)
{
    enum { N = 10 };
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flows[N];
    static struct once accepts[N];
    static int clients[N], at;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    for (int i = 0; i < N; i++) {
        START(loop_accept(env->scope, listener, &flows[i], ONCE(&accepts[i])));
    }
    AWAIT(turns(env->scope, 2, GO));
    for (at = 0; at < N; at++) {
        clients[at] = connect_to(&address.u.ipv4);
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(accepts[at].count);
        ONCE_IS(accepts[at], 0);
        close(clients[at]);
    }
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

static struct loop_listener *ending_listener;
static struct once late_accept;

/* Accepts on a listener that its scope has closed and not freed yet. */
static void accept_late(void *scope)
{
    static struct loop_flow *flow;

    START(loop_accept(scope, ending_listener, &flow, ONCE(&late_accept)));
}

LOOP_TEST(accept_on_a_listener_whose_scope_ends)
{
    static struct loop_address address;
    static struct loop_scope *scope;
    static struct once end;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    CHECK(loop_scope_defer(scope, accept_late, env->scope));
    ending_listener = listen_at(scope, &address, "tcp:127.0.0.1:0");
    WAIT_UNTIL(end.count && late_accept.count);
    ONCE_IS(late_accept, -EBADF);
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

/* A pending connection is accepted, or stays pending for the next accept. */
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

/* ---- descriptors that go before what is built on them ---- */

/* A new descriptor may reuse the memory of the destroyed one. */
LOOP_TEST(p06_a_listener_whose_descriptor_is_destroyed_touches_no_other)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow, *flows[2];
    static struct once accept;

    BEGIN;
    CHECK_IS(loop_address_parse(&address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), 0);
    START(loop_accept(env->scope, listener, &flow, ONCE(&accept)));
    loop_fd_destroy(loop_listener_fd(listener));
    WAIT_UNTIL(accept.count);
    ONCE_IS(accept, -ECANCELED);
    AWAIT(turns(env->scope, 2, GO));
    make_flows(env->scope, flows);
    AWAIT(loop_accept(env->scope, listener, &flow, GO));
    CHECK_IS(result, -EBADF);
    CHECK_IS(loop_listener_close(listener), -EBADF);
    CHECK(loop_fd_is_open(flows[0]->fd) && loop_fd_is_open(flows[1]->fd));
    END;
}

/* ---- P12: descriptors ---- */

LOOP_TEST(p12_accept_waits_at_the_limit)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct loop_fd *ballast;
    static struct loop_stats before, after;
    static struct once accepted;
    static int client;
    static char byte;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    client = connect_to(&address.u.ipv4);
    ballast = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    AWAIT(turns(env->scope, 2, GO));
    forbid_fds();
    START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 100 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(accepted.count, 0);
    CHECK(after.turns - before.turns < 50);
    CHECK(after.descriptor_waits > 0);
    CHECK(strlen(log_text()) > 0);
    loop_fd_close(ballast);
    WAIT_UNTIL(accepted.count);
    ONCE_IS(accepted, 0);
    CHECK(flow != NULL);
    limit_fds(4096);
    CHECK_IS(send(client, "x", 1, 0), 1);
    AWAIT(loop_read(&flow->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    close(client);
    END;
}

LOOP_TEST(p12_a_waiting_accept_can_be_cancelled)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once accepted;
    static loop_job job;
    static int client;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    client = connect_to(&address.u.ipv4);
    AWAIT(turns(env->scope, 2, GO));
    forbid_fds();
    job = START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(accepted.count);
    ONCE_IS(accepted, -ECANCELED);
    CHECK(!flow);
    limit_fds(4096);
    /* Neither the listener nor the connection in its backlog is lost. */
    AWAIT(loop_accept(env->scope, listener, &flow, GO));
    CHECK_IS(result, 0);
    close(client);
    END;
}

/* ---- the net ---- */

static const char net_text[] = "parse a path: 0\n"
                               "parse nonsense: EINVAL\n"
                               "parse a name: EINVAL\n"
                               "parse: 0\n"
                               "listen: 0\n"
                               "its address: 0\n"
                               "listen there again: EADDRINUSE\n"
                               "connect: 0\n"
                               "accept: 0\n"
                               "write: 3\n"
                               "read: 3\n"
                               "set an option: 0\n"
                               "get it: 0\n"
                               "value 1\n"
                               "set an option out of range: EINVAL\n"
                               "peer of what is closed: EBADF\n"
                               "option of what is closed: EBADF\n"
                               "read at the end: 0\n"
                               "close the listener: 0\n"
                               "close it again: EBADF\n"
                               "the accept that waited: ECANCELED\n"
                               "accept on what is closed: EBADF\n"
                               "connect refused: ECONNREFUSED\n"
                               "flow 0\n"
                               "connect to a missing path: ENOENT\n"
                               "listen on a path: 0\n"
                               "listen on it again: EADDRINUSE\n"
                               "connect to a path: 0\n"
                               "close the listener: 0\n"
                               "the path afterwards: ENOENT\n"
                               "read where nobody has accepted: ECONNRESET\n";

LOOP_TEST(p17_net)
{
    static struct loop_address address, nobody, path;
    static struct loop_listener *listener, *second;
    static struct loop_flow *flow, *accepted;
    static struct slot slot;
    static struct sockaddr_in unused;
    static int value;

    BEGIN;
    shown_directory = make_directory();
    snprintf(shown_bytes, sizeof shown_bytes, "unix:%s", path_of("socket"));
    show("parse a path", loop_address_parse(&path, shown_bytes));
    show("parse nonsense", loop_address_parse(&nobody, "nonsense"));
    show("parse a name", loop_address_parse(&nobody, "tcp:localhost:1"));
    show("parse", loop_address_parse(&address, "tcp:127.0.0.1:0"));
    show("listen", loop_listen(env->scope, &address, NULL, &listener));
    show("its address", loop_listener_address(listener, &address));
    show("listen there again", loop_listen(env->scope, &address, NULL, &second));
    SHOW("connect", loop_connect(env->scope, &address, NULL, &flow, GO));
    SHOW("accept", loop_accept(env->scope, listener, &accepted, GO));
    SHOW("write", loop_write(&flow->sink, "net", 3, GO));
    SHOW("read", loop_read_exact(&accepted->source, shown_bytes, 3, GO));
    show("set an option", loop_socket_set(flow->fd, LOOP_TCP_NODELAY, 1));
    show("get it", loop_socket_get(flow->fd, LOOP_TCP_NODELAY, &value));
    trace("value %d", value);
    show("set an option out of range", loop_socket_set(flow->fd, LOOP_IP_TTL, 1000));
    loop_flow_close(flow);
    show("peer of what is closed", loop_flow_peer_address(flow, &nobody));
    show("option of what is closed", loop_socket_set(flow->fd, LOOP_TCP_NODELAY, 1));
    SHOW("read at the end", loop_read(&accepted->source, shown_bytes, 3, GO));
    START(loop_accept(env->scope, listener, &accepted, SLOT(&slot)));
    show("close the listener", loop_listener_close(listener));
    show("close it again", loop_listener_close(listener));
    WAIT_UNTIL(slot.count);
    show("the accept that waited", slot.result);
    SHOW("accept on what is closed", loop_accept(env->scope, listener, &accepted, GO));
    nobody = address;
    close(make_listener(&unused));
    nobody.u.ipv4.sin_port = unused.sin_port;
    SHOW("connect refused", loop_connect(env->scope, &nobody, NULL, &flow, GO));
    trace("flow %d", flow != NULL);
    SHOW("connect to a missing path", loop_connect(env->scope, &path, NULL, &flow, GO));
    show("listen on a path", loop_listen(env->scope, &path, NULL, &listener));
    show("listen on it again", loop_listen(env->scope, &path, NULL, &second));
    SHOW("connect to a path", loop_connect(env->scope, &path, NULL, &flow, GO));
    show("close the listener", loop_listener_close(listener));
    AWAIT(turns(env->scope, 3, GO));
    show("the path afterwards", access(path_of("socket"), F_OK) < 0 ? -errno : 0);
    SHOW("read where nobody has accepted", loop_read(&flow->source, shown_bytes, 1, GO));
    remove_directory(shown_directory);
    CHECK_TEXT(trace_text(), net_text);
    END;
}

/* ---- peers ---- */

LOOP_TEST(listener_closed_with_connections_in_its_backlog)
{
    enum { N = 10 };
    static struct loop_listener *listener;
    static struct loop_flow *flow, *clients[N];
    static struct once accepts[1], reads[N];
    static char bytes[N];
    static int at;

    BEGIN;
    CHECK_IS(loop_address_parse(&serving.address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(env->scope, &serving.address, NULL, &listener), 0);
    CHECK_IS(loop_listener_address(listener, &serving.address), 0);
    for (int i = 0; i < N; i++) {
        clients[i] = visit(env->scope);
        START(loop_read(&clients[i]->source, &bytes[i], 1, ONCE(&reads[i])));
    }
    AWAIT(loop_accept(env->scope, listener, &flow, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_listener_close(listener), 0);
    CHECK_IS(loop_listener_close(listener), -EBADF);
    START(loop_accept(env->scope, listener, &flow, ONCE(&accepts[0])));
    WAIT_UNTIL(accepts[0].count);
    ONCE_IS(accepts[0], -EBADF);
    for (at = 1; at < N; at++) {
        WAIT_UNTIL(reads[at].count);
        ONCE_IS(reads[at], -ECONNRESET);
    }
    CHECK_IS(reads[0].count, 0);
    loop_scope_cancel(env->scope);
    script.expected = -ECANCELED;
    END;
}

LOOP_TEST(listener_closed_while_several_wait_to_accept)
{
    static struct loop_listener *listener;
    static struct loop_flow *flows[3];
    static struct once accepts[3];

    BEGIN;
    CHECK_IS(loop_address_parse(&serving.address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(env->scope, &serving.address, NULL, &listener), 0);
    for (int i = 0; i < 3; i++) {
        START(loop_accept(env->scope, listener, &flows[i], ONCE(&accepts[i])));
    }
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_listener_close(listener), 0);
    WAIT_UNTIL(accepts[0].count && accepts[1].count && accepts[2].count);
    for (int i = 0; i < 3; i++) {
        ONCE_IS(accepts[i], -ECANCELED);
        CHECK(!flows[i]);
    }
    END;
}
