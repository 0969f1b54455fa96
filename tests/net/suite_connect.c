/* SPDX-License-Identifier: ISC
 *
 * loop_connect: cancelled at each step, refused, timed out, and without descriptors.
 */
#include "network.h"
#include "sockets.h"

#include <sys/wait.h>

/* ---- listening, accepting, connecting ---- */

LOOP_TEST(connect_fails_with_the_reason)
{
    static struct loop_address address;
    static struct loop_flow *flow;
    static struct loop_stats before, after;
    static const char *directory;

    BEGIN;
    close(make_listener(&address.u.ipv4));
    address.length = sizeof address.u.ipv4;
    loop_get_stats(env->loop, &before);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, -ECONNREFUSED);
    CHECK(!flow);
    address = parsed("unix:/nowhere/at/all");
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, -ENOENT);
    directory = make_directory();
    address = parsed(unix_path(directory));
    make_stale(&address);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, -ECONNREFUSED);
    remove_directory(directory);
    AWAIT(loop_connect(env->scope, &address, &(struct loop_connect_options){.timeout_ns = -1}, &flow, GO));
    CHECK_IS(result, -EINVAL);
    memset(&address, 0, sizeof address);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK(result < 0);
    AWAIT(turns(env->scope, 3, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.fds_now, before.fds_now);
    END;
}

/* A listener whose backlog is full: a new connection must wait. */
static void make_deaf_listener(struct loop_address *address, int clients[4])
{
    clients[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(clients[0], &address->u.any, address->length), 0);
    CHECK_IS(listen(clients[0], 0), 0);
    for (int i = 1; i < 4; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(clients[i], &address->u.any, address->length);
    }
}

LOOP_TEST(connect_has_a_timeout_and_can_be_cancelled)
{
    static struct loop_address address;
    static struct loop_flow *flow;
    static struct once cancelled;
    static const char *directory;
    static int clients[4];
    static int64_t began;
    static loop_job job;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    make_deaf_listener(&address, clients);
    began = now_ns();
    AWAIT(loop_connect(env->scope, &address, &(struct loop_connect_options){.timeout_ns = 10 * LOOP_MILLISECOND}, &flow,
                       GO));
    CHECK_IS(result, -ETIMEDOUT);
    CHECK(!flow);
    CHECK(now_ns() - began >= 10 * LOOP_MILLISECOND);
    job = START(loop_connect(env->scope, &address, NULL, &flow, ONCE(&cancelled)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(cancelled.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(cancelled.count);
    ONCE_IS(cancelled, -ECANCELED);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
    }
    remove_directory(directory);
    END;
}

LOOP_TEST(connect_waits_until_a_full_backlog_has_room)
{
    static struct loop_address address;
    static struct loop_flow *flow;
    static struct once connected;
    static const char *directory;
    static int clients[4];

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    make_deaf_listener(&address, clients);
    START(loop_connect(env->scope, &address, NULL, &flow, ONCE(&connected)));
    AWAIT(loop_sleep(env->scope, 3 * LOOP_MILLISECOND, GO));
    CHECK_IS(connected.count, 0);
    close(accept4(clients[0], NULL, NULL, SOCK_CLOEXEC));
    WAIT_UNTIL(connected.count);
    ONCE_IS(connected, 0);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
    }
    remove_directory(directory);
    END;
}

LOOP_TEST(connect_binds_and_sets_before)
{
    static struct loop_address address, mine, local;
    static struct loop_socket_setting settings[] = {{LOOP_SO_KEEPALIVE, 1}, {LOOP_IP_TTL, 44}},
                                      bad = {LOOP_IP_TTL, 1000};
    static struct loop_connect_options options;
    static struct loop_flow *flow;
    static int value;

    BEGIN;
    listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    mine = parsed("tcp:127.0.0.2:0");
    options = (struct loop_connect_options){.bind_to = &mine, .settings = settings, .n_settings = 2};
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_flow_local_address(flow, &local), 0);
    CHECK_IS(local.u.ipv4.sin_addr.s_addr, mine.u.ipv4.sin_addr.s_addr);
    CHECK_IS(loop_socket_get(flow->fd, LOOP_IP_TTL, &value), 0);
    CHECK_IS(value, 44);
    options = (struct loop_connect_options){.settings = &bad, .n_settings = 1};
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -EINVAL);
    CHECK(!flow);
    mine = parsed("tcp:192.0.2.1:0");
    options = (struct loop_connect_options){.bind_to = &mine};
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -EADDRNOTAVAIL);
    END;
}

/* As the files of listeners do; after a success the peer may look at it, so it stays. */
LOOP_TEST(a_connect_that_fails_removes_the_file_of_its_own_address)
{
    static struct loop_address address, mine;
    static struct loop_connect_options options;
    static struct loop_flow *flow;
    static const char *directory;
    static int i;

    BEGIN;
    directory = make_directory();
    mine = parsed(unix_path(directory));
    options = (struct loop_connect_options){.bind_to = &mine};
    for (i = 0; i < 2; i++) {
        address = parsed("unix:@nobody is here");
        AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
        CHECK_IS(result, -ECONNREFUSED);
        CHECK_IS(access(mine.u.local.sun_path, F_OK), -1);
    }
    listen_at(env->scope, &address, "unix:@somebody is here");
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, 0);
    CHECK_IS(access(mine.u.local.sun_path, F_OK), 0);
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -EADDRINUSE);
    CHECK_IS(access(mine.u.local.sun_path, F_OK), 0);
    CHECK_IS(unlink(mine.u.local.sun_path), 0);
    remove_directory(directory);
    END;
}

/* Leaves two local ports for connections. Returns false where that is not permitted. */
static bool leave_two_ports(void)
{
    static const char range[] = "50000 50001";
    int fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY | O_CLOEXEC);
    bool is_set = fd >= 0 && write(fd, range, sizeof range - 1) == sizeof range - 1;

    if (!is_set) {
        not_run("a choice of its local ports");
    }
    close(fd);
    return is_set;
}

/* In a network of the loopback alone, where that is permitted: there is no way to others, a local address is taken, and
 * all local ports are. */
LOOP_TEST(connect_without_a_way_an_address_or_a_port_says_so)
{
    static const char *const far[] = {"tcp:192.0.2.1:80", "tcp:[2001:db8::1]:80"};
    static struct loop_address address, taken;
    static struct loop_flow *flows[3];
    static size_t i;

    BEGIN;
    if (enter_network(65536)) {
        for (i = 0; i < COUNT_OF(far); i++) {
            address = parsed(far[i]);
            AWAIT(loop_connect(env->scope, &address, NULL, &flows[0], GO));
            CHECK_IS(result, -ENETUNREACH);
            CHECK(!flows[0]);
        }
        listen_at(env->scope, &address, "tcp:127.0.0.1:0");
        listen_at(env->scope, &taken, "tcp:127.0.0.1:0");
        AWAIT(loop_connect(env->scope, &address, &(struct loop_connect_options){.bind_to = &taken}, &flows[0], GO));
        CHECK_IS(result, -EADDRINUSE);
        for (i = 0; i < 3 && leave_two_ports(); i++) {
            AWAIT(loop_connect(env->scope, &address, NULL, &flows[i], GO));
            CHECK_IS(result, i < 2 ? 0 : -EADDRNOTAVAIL);
        }
    }
    END;
}

LOOP_TEST(connect_without_descriptors_says_emfile)
{
    static struct loop_address address;
    static struct loop_flow *flow;
    static rlim_t limit;

    BEGIN;
    listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    limit = forbid_fds();
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, -EMFILE);
    CHECK(!flow);
    limit_fds(limit);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, 0);
    END;
}

/* ---- material ---- */

/* A listener on loopback with a full backlog: a connect to it never completes. */
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

/* Cancels after 0, 1, 2, ... turns: the connect succeeds, or is cancelled and leaves nothing behind. */
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

/* ---- descriptors ---- */

static rlim_t usual_limit;

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

/* ---- no descriptors ---- */

LOOP_TEST(no_descriptors_at_connect_and_its_kin)
{
    static struct loop_flow *flow, *flows[2];
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct loop_listener *listener;
    static struct loop_address address;
    static rlim_t limit;
    static struct loop_open_how how;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    address = serving.address;
    address.u.ipv4.sin_port = 0;
    limit = forbid_fds();
    AWAIT(loop_connect(env->scope, &serving.address, NULL, &flow, GO));
    CHECK_IS(result, -EMFILE);
    CHECK(!flow);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), -EMFILE);
    CHECK_IS(loop_socketpair(env->scope, &flows[0], &flows[1]), -EMFILE);
    CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), -EMFILE);
    how.flags = O_RDONLY;
    AWAIT(loop_op_openat2(env->scope, "/dev/null", &how, GO));
    CHECK_IS(result, -EMFILE);
    limit_fds(limit);
    AWAIT(loop_connect(env->scope, &serving.address, NULL, &flow, GO));
    CHECK_IS(result, 0);
    loop_flow_close(flow);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}
