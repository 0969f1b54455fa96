/* SPDX-License-Identifier: ISC
 *
 * Sockets beside other programs and bad peers: two servers that start on one Unix path, limits that must hold beside
 * each other, and closes that must not wait.
 */
#include "sockets.h"

#include <loop/part.h>

#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *lock_in(const char *directory)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/socket.lock", directory);
    return path;
}

/* ---- two servers on one path ---- */

static const struct loop_listen_options reuse = {.reuse_addr = true};

/* The other server is between its bind and its listen, when a connect to it is refused. */
LOOP_TEST(a_server_that_is_starting_keeps_its_unix_socket)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static const char *directory;
    int other, lock;
    struct stat status;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    lock = open(lock_in(directory), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(lock >= 0 && flock(lock, LOCK_EX) == 0);
    other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(other, &address.u.any, address.length), 0);
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &listener), -EADDRINUSE);
    CHECK_IS(stat(socket_file(), &status), 0);
    close(other);
    close(lock);
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &listener), 0);
    CHECK_IS(access(lock_in(directory), F_OK), -1);
    CHECK_IS(loop_listener_close(listener), 0);
    CHECK_IS(access(lock_in(directory), F_OK), -1);
    remove_directory(directory);
    END;
}

/* Many programs start at the same moment on a file that a killed one has left: one listens, and keeps its file. */
#define RACERS 8

struct race {
    struct loop_address address;
    int start, done; /* ends of pipes: the race begins, and is over, when the other ends close */
};

static int listen_and_stay(struct loop_env *env, void *arg)
{
    const struct race *race = arg;
    struct loop_listener *listener;
    struct stat mine, there;
    char byte;

    CHECK_IS(read(race->start, &byte, 1), 0);
    int error = loop_listen(env->scope, &race->address, &reuse, &listener);
    if (error == 0) {
        CHECK_IS(stat(socket_file(), &mine), 0);
    }
    CHECK_IS(read(race->done, &byte, 1), 0);
    if (error == 0) {
        CHECK_IS(stat(socket_file(), &there), 0);
        CHECK(mine.st_ino == there.st_ino);
    }
    return error == 0 ? 1 : error == -EADDRINUSE ? 2 : 3;
}

static pid_t start_racer(struct race *race, const int start[2], const int done[2])
{
    pid_t child = fork();

    if (child == 0) {
        close(start[1]);
        close(done[1]);
        race->start = start[0];
        race->done = done[0];
        _exit(loop_run(0, 0, 0, NULL, listen_and_stay, race));
    }
    CHECK(child > 0);
    return child;
}

static unsigned count_winners(struct race *race)
{
    pid_t children[RACERS];
    int start[2], done[2], status;
    unsigned winners = 0;

    make_pipe(start);
    make_pipe(done);
    for (unsigned i = 0; i < RACERS; i++) {
        children[i] = start_racer(race, start, done);
    }
    close(start[0]);
    close(done[0]);
    close(start[1]);
    close(done[1]);
    for (unsigned i = 0; i < RACERS; i++) {
        CHECK_IS(waitpid(children[i], &status, 0), children[i]);
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 1 || WEXITSTATUS(status) == 2));
        winners += WEXITSTATUS(status) == 1;
    }
    return winners;
}

TEST(of_servers_that_start_at_once_none_loses_its_file)
{
    const char *directory = make_directory();
    struct race race = {.address = parsed(unix_path(directory))};

    for (unsigned round = 0; round < 20; round++) {
        int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_IS(bind(stale, &race.address.u.any, race.address.length), 0);
        close(stale);
        CHECK(count_winners(&race) >= 1);
        (void)unlink(socket_file());
    }
    remove_directory(directory);
}

LOOP_TEST(a_refused_start_leaves_the_socket_and_no_lock)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static const char *directory;
    struct loop_listen_options options = {.reuse_addr = true, .mode = 0666};
    struct stat status;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    CHECK_IS(loop_listen(env->scope, &address, &options, &listener), 0);
    CHECK_IS(stat(socket_file(), &status), 0);
    CHECK_IS(status.st_mode & 0777, 0666);
    CHECK_IS(loop_listen(env->scope, &address, &options, &listener), -EADDRINUSE);
    CHECK_IS(access(lock_in(directory), F_OK), -1);
    (void)unlink(socket_file());
    remove_directory(directory);
    END;
}

/* ---- limits beside each other ---- */

static struct once connection_read;
static int64_t own_deadline_ns;

static void set_own_deadline(struct loop_flow *peer, void *unused)
{
    static char byte;

    (void)unused;
    loop_scope_deadline(peer->scope, loop_now(loop_scope_loop(peer->scope)) + own_deadline_ns);
    START(loop_read(&peer->source, &byte, 1, ONCE(&connection_read)));
}

static int serve_with_timeout(struct loop_env *env, int64_t timeout_ns, struct loop_address *address)
{
    struct loop_serve_options options = {.connection_timeout_ns = timeout_ns, .server = &serving.server};

    CHECK_IS(loop_address_parse(address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_serve(env->scope, address, &options, set_own_deadline, NULL), 0);
    return loop_listener_address(loop_server_listener(serving.server), address);
}

/* Steps of a test: a connection with both limits, of which the shorter one holds. */
static void check_limits(struct loop_env *env, int64_t result, int64_t timeout_ns, int64_t deadline_ns)
{
    static struct loop_address address;
    static struct loop_flow *flow;

    BEGIN;
    own_deadline_ns = deadline_ns;
    CHECK_IS(serve_with_timeout(env, timeout_ns, &address), 0);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(connection_read.count);
    ONCE_IS(connection_read, -ETIMEDOUT);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

LOOP_TEST(a_connections_timeout_holds_beside_a_later_deadline_of_its_scope)
{
    check_limits(env, result, 20 * LOOP_MILLISECOND, 3600 * LOOP_SECOND);
}

LOOP_TEST(an_earlier_deadline_of_a_connection_holds_beside_its_timeout)
{
    check_limits(env, result, 3600 * LOOP_SECOND, 20 * LOOP_MILLISECOND);
}

/* ---- closes that would wait ---- */

/* The time for which close(2) would wait is an hour: a loop that waits does not end in the test's time. */
LOOP_TEST(p13_a_lingering_close_does_not_hold_up_the_loop)
{
    static struct loop_fd *fd;
    static int pair[2];

    BEGIN;
    make_tcp_pair(pair);
    fd = adopt(env->scope, pair[0]);
    CHECK_IS(loop_socket_set(fd, LOOP_SO_LINGER_S, 3600), 0);
    CHECK(stuff(pair[0]) > 0);
    AWAIT(loop_op_close(env->scope, fd, GO));
    CHECK_IS(result, 0);
    CHECK(drain(pair[1]) > 0); /* what was sent still comes */
    close(pair[1]);
    END;
}

/* A time of 0 resets the connection, as before. */
LOOP_TEST(a_linger_of_zero_still_resets)
{
    static struct loop_fd *fd;
    static int pair[2];
    char byte;

    BEGIN;
    make_tcp_pair(pair);
    fd = adopt(env->scope, pair[0]);
    CHECK_IS(loop_socket_set(fd, LOOP_SO_LINGER_S, 0), 0);
    AWAIT(loop_op_close(env->scope, fd, GO));
    CHECK_IS(result, 0);
    CHECK_IS(read(pair[1], &byte, 1), -1);
    CHECK_IS(errno, ECONNRESET);
    close(pair[1]);
    END;
}

/* A pipe that nobody reads. */
static int log_into_full_pipe(struct loop_env *env, void *unused)
{
    int ends[2];

    (void)unused;
    make_pipe(ends);
    stuff(ends[1]);
    CHECK_IS(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    CHECK_IS(fcntl(STDERR_FILENO, F_SETFL, flags & ~O_NONBLOCK), 0);
    loop_log(env->loop, LOOP_LOG_ERROR, "lost");
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static int run_log_into_full_pipe(void *unused)
{
    (void)unused;
    return loop_run(0, 0, 0, NULL, log_into_full_pipe, NULL);
}

TEST(p13_a_full_standard_error_does_not_hold_up_the_loop)
{
    CHECK_CHILD(run_log_into_full_pipe, NULL);
}

/* ---- descriptors that go before what is built on them ---- */

/* A descriptor made afterwards may get the memory of the one that was destroyed. */
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

static void ignore(void *ended, int64_t result, const struct loop_datagram *datagram)
{
    if (!datagram) {
        once_resumed(ended, result);
    }
}

LOOP_TEST(p06_a_datagram_socket_whose_descriptor_is_destroyed_touches_no_other)
{
    static struct loop_address address;
    static struct loop_datagram_socket *socket;
    static struct loop_flow *flows[2];
    static struct once ended, again;

    BEGIN;
    CHECK_IS(loop_address_parse(&address, "udp:127.0.0.1:0"), 0);
    CHECK_IS(loop_datagram_open(env->scope, &(struct loop_datagram_options){.bind_to = &address}, &socket), 0);
    START(loop_datagram_stream(socket, ignore, &ended));
    loop_fd_destroy(loop_datagram_fd(socket));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    AWAIT(turns(env->scope, 2, GO));
    make_flows(env->scope, flows);
    START(loop_datagram_stream(socket, ignore, &again));
    WAIT_UNTIL(again.count);
    ONCE_IS(again, -EBADF);
    CHECK_IS(loop_datagram_put(socket, &address, "x", 1), -EBADF);
    CHECK_IS(loop_datagram_close(socket), -EBADF);
    CHECK(loop_fd_is_open(flows[0]->fd) && loop_fd_is_open(flows[1]->fd));
    END;
}
