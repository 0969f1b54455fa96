/* SPDX-License-Identifier: ISC
 *
 * Unix sockets whose connections are of packets, and who is at the other end of a Unix socket.
 */
#include "sockets.h"

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)
#include <loop/kernel/fail.h>
#endif

#include <stdio.h>
#include <sys/wait.h>

static const struct loop_connect_options connect_packets = {.packets = true};
static const struct loop_listen_options listen_packets = {.packets = true};

static struct loop_listener *listener;
static struct loop_address address;
static struct loop_flow *ends[2];
static struct once connected, accepted;
static char got[64];

static const char *own_name(void)
{
    static char text[64];

    snprintf(text, sizeof text, "unix:@noria-packets-%d", (int)getpid());
    return text;
}

static void start_both(struct loop_env *env, const char *text)
{
    address = parsed(text);
    CHECK_IS(loop_listen(env->scope, &address, &listen_packets, &listener), 0);
    START(loop_accept(env->scope, listener, &ends[1], ONCE(&accepted)));
    START(loop_connect(env->scope, &address, &connect_packets, &ends[0], ONCE(&connected)));
}

/* ---- packets ---- */

/* Steps: writes three packets at once, which are read one by one. */
static void check_boundaries(struct loop_env *env, int64_t result, const char *text)
{
    static struct once written;

    BEGIN;
    start_both(env, text);
    WAIT_UNTIL(connected.count && accepted.count);
    CHECK(connected.result == 0 && accepted.result == 0);
    START(loop_write(&ends[0]->sink, "one", 3, NULL, NULL));
    START(loop_write(&ends[0]->sink, "second", 6, NULL, NULL));
    START(loop_write(&ends[0]->sink, "3", 1, ONCE(&written)));
    WAIT_UNTIL(written.count);
    AWAIT(loop_read(&ends[1]->source, got, sizeof got, GO));
    CHECK(result == 3 && memcmp(got, "one", 3) == 0);
    AWAIT(loop_read(&ends[1]->source, got, 3, GO)); /* the rest is lost */
    CHECK(result == 3 && memcmp(got, "sec", 3) == 0);
    AWAIT(loop_read(&ends[1]->source, got, sizeof got, GO));
    CHECK(result == 1 && got[0] == '3');
    AWAIT(loop_write(&ends[1]->sink, "back", 4, GO));
    AWAIT(loop_read(&ends[0]->source, got, sizeof got, GO));
    CHECK(result == 4 && memcmp(got, "back", 4) == 0);
    loop_flow_close(ends[0]);
    AWAIT(loop_read(&ends[1]->source, got, sizeof got, GO));
    CHECK_IS(result, 0);
    loop_listener_close(listener);
    END;
}

LOOP_TEST(packets_keep_their_boundaries)
{
    check_boundaries(env, result, own_name());
}

LOOP_TEST(a_pair_of_packets_keeps_their_boundaries)
{
    BEGIN;
    CHECK_IS(loop_socketpair_packets(env->scope, &ends[0], &ends[1]), 0);
    START(loop_write(&ends[0]->sink, "one", 3, NULL, NULL));
    AWAIT(loop_write(&ends[0]->sink, "second", 6, GO));
    AWAIT(loop_read(&ends[1]->source, got, sizeof got, GO));
    CHECK(result == 3 && memcmp(got, "one", 3) == 0);
    AWAIT(loop_read(&ends[1]->source, got, sizeof got, GO));
    CHECK(result == 6 && memcmp(got, "second", 6) == 0);
    END;
}

LOOP_TEST(packets_over_a_path)
{
    static const char *directory;

    if (!directory) {
        directory = make_directory();
        unix_path(directory);
    }
    check_boundaries(env, result, unix_text);
    if (script.is_done) {
        remove_directory(directory);
    }
}

LOOP_TEST(a_stale_path_of_packets_is_replaced_when_asked)
{
    static const char *directory;
    static struct loop_listen_options reuse = {.packets = true, .reuse_addr = true};
    static struct loop_listener *second;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        CHECK_IS(bind(fd, &address.u.any, address.length), 0);
        close(fd);
    }
    CHECK_IS(loop_listen(env->scope, &address, &listen_packets, &listener), -EADDRINUSE);
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &listener), 0);
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &second), -EADDRINUSE);
    loop_listener_close(listener);
    remove_directory(directory);
    END;
}

static void echo_packets(struct loop_flow *peer, void *unused)
{
    (void)unused;
    START(loop_copy(&peer->source, &peer->sink, NULL, NULL));
}

LOOP_TEST(a_server_of_packets)
{
    static struct loop_server *server;

    BEGIN;
    address = parsed(own_name());
    CHECK_IS(loop_serve(env->scope, &address, &(struct loop_serve_options){.listen = listen_packets}, &server,
                        echo_packets, NULL),
             0);
    AWAIT(loop_connect(env->scope, &address, &connect_packets, &ends[0], GO));
    CHECK_IS(result, 0);
    START(loop_write(&ends[0]->sink, "ab", 2, NULL, NULL));
    START(loop_write(&ends[0]->sink, "cde", 3, NULL, NULL));
    AWAIT(loop_read(&ends[0]->source, got, sizeof got, GO));
    CHECK(result == 2 && memcmp(got, "ab", 2) == 0);
    AWAIT(loop_read(&ends[0]->source, got, sizeof got, GO));
    CHECK(result == 3 && memcmp(got, "cde", 3) == 0);
    loop_flow_close(ends[0]);
    loop_server_stop(server, LOOP_NEVER);
    END;
}

LOOP_TEST(streams_and_packets_do_not_meet)
{
    BEGIN;
    address = parsed(own_name());
    CHECK_IS(loop_listen(env->scope, &address, &listen_packets, &listener), 0);
    AWAIT(loop_connect(env->scope, &address, NULL, &ends[0], GO));
    CHECK_IS(result, -ECONNREFUSED);
    CHECK(!ends[0]);
    loop_listener_close(listener);
    address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_listen(env->scope, &address, &listen_packets, &listener), -EOPNOTSUPP);
    AWAIT(loop_connect(env->scope, &address, &connect_packets, &ends[0], GO));
    CHECK_IS(result, -EOPNOTSUPP);
    END;
}

/* ---- who is there ---- */

LOOP_TEST(the_peer_is_this_process)
{
    static struct loop_credentials credentials;
    static struct loop_fd *process;
    static struct loop_flow *other;
    static int pair[2], answer;

    BEGIN;
    CHECK_IS(loop_socketpair(env->scope, &ends[0], &ends[1]), 0);
    CHECK_IS(loop_flow_peer_credentials(ends[0], &credentials), 0);
    CHECK(credentials.pid == getpid() && credentials.uid == getuid() && credentials.gid == getgid());
    answer = loop_flow_peer_process(env->scope, ends[0], &process);
    CHECK(answer == 0 || answer == -ENOPROTOOPT);
    CHECK((process != NULL) == (answer == 0));
    if (process) {
        CHECK(loop_fd_peek(process) >= 0);
        CHECK(fcntl(loop_fd_peek(process), F_GETFD) & FD_CLOEXEC);
        loop_fd_destroy(process);
    }
    make_tcp_pair(pair);
    other = flow_of(env->scope, pair[0]);
    CHECK_IS(loop_flow_peer_credentials(other, &credentials), -EOPNOTSUPP);
    CHECK_IS(loop_flow_peer_process(env->scope, other, &process), -EOPNOTSUPP);
    CHECK(!process);
    close(pair[1]);
    other = flow_of(env->scope, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_IS(loop_flow_peer_credentials(other, &credentials), -ENOTCONN);
    CHECK(loop_flow_peer_process(env->scope, other, &process) < 0);
    loop_flow_close(ends[0]);
    CHECK_IS(loop_flow_peer_credentials(ends[0], &credentials), -EBADF);
    CHECK_IS(loop_flow_peer_process(env->scope, ends[0], &process), -EBADF);
    END;
}

LOOP_TEST(an_accepted_connection_says_who_connected)
{
    static struct loop_credentials credentials;

    BEGIN;
    start_both(env, own_name());
    WAIT_UNTIL(connected.count && accepted.count);
    for (int i = 0; i < 2; i++) {
        CHECK_IS(loop_flow_peer_credentials(ends[i], &credentials), 0);
        CHECK_IS(credentials.pid, getpid());
    }
    loop_listener_close(listener);
    END;
}

/* A process connects, ends, and is waited for. */
static void connect_and_end(void)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _exit(connect(number, &address.u.any, address.length) == 0 ? 0 : 1);
    }
    CHECK(child > 0);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
}

/* Since Linux 6.16 there is a descriptor of it, and before that an error. */
LOOP_TEST(the_peer_process_has_ended)
{
    static struct loop_credentials credentials;
    static struct loop_fd *process;
    static int answer;

    BEGIN;
    address = parsed(own_name());
    CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), 0);
    connect_and_end();
    AWAIT(loop_accept(env->scope, listener, &ends[0], GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_flow_peer_credentials(ends[0], &credentials), 0);
    answer = loop_flow_peer_process(env->scope, ends[0], &process);
    CHECK(answer == 0 || answer == -ESRCH || answer == -ENOPROTOOPT);
    CHECK((process != NULL) == (answer == 0));
    if (process) {
        AWAIT(loop_poll(process, POLLIN, GO));
        CHECK(result & POLLIN);
    }
    END;
}

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)

static unsigned n_before; /* uses of getsockopt(2) */
static int peer_answer;

static unsigned n_getsockopt(void)
{
    size_t i = 0;

    while (strcmp(loop_kernel_fail_name(i), "getsockopt") != 0) {
        i++;
    }
    return loop_kernel_fail_uses(i);
}

static void ask_for_peer(struct loop_env *env, int64_t result)
{
    static struct loop_fd *process;

    BEGIN;
    CHECK_IS(loop_socketpair(env->scope, &ends[0], &ends[1]), 0);
    n_before = n_getsockopt();
    peer_answer = loop_flow_peer_process(env->scope, ends[0], &process);
    CHECK((process != NULL) == (peer_answer == 0));
    END;
}

/* Before Linux 6.16 the kernel answers -EINVAL of a process that has been waited for. */
TEST(a_peer_process_that_the_kernel_has_forgotten_is_esrch)
{
    const struct loop_options options = {.queue_depth = 0};
    char what[64];

    CHECK(loop_kernel_fail_set(NULL));
    script_run(&options, ask_for_peer);
    snprintf(what, sizeof what, "getsockopt:EINVAL:%u", n_before + 2); /* the first asks for the family */
    CHECK(loop_kernel_fail_set(what));
    script_run(&options, ask_for_peer);
    CHECK_IS(peer_answer, -ESRCH);
    CHECK(loop_kernel_fail_set(NULL));
}

#endif
