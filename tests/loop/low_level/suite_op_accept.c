/* SPDX-License-Identifier: ISC
 *
 * loop_op_accept and loop_op_accept_multishot: order, errors, cancels, and the descriptor limit.
 */
#include "descriptors.h"

#include <sys/resource.h>

/* ---- connect, accept ---- */

LOOP_TEST(accept_gives_a_descriptor_and_its_peers_address)
{
    static struct sockaddr_in address, peer, real;
    static socklen_t length = sizeof peer, real_length = sizeof real;
    static struct loop_fd *listener;
    static int client, accepted;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    client = connect_to(&address);
    AWAIT(loop_op_accept(env->scope, listener, (struct sockaddr *)&peer, &length, GO));
    CHECK(result >= 0);
    accepted = (int)result;
    CHECK(fcntl(accepted, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(accepted, F_GETFL) & O_NONBLOCK);
    CHECK_IS(getsockname(client, (struct sockaddr *)&real, &real_length), 0);
    CHECK_IS(length, sizeof peer);
    CHECK_IS(peer.sin_family, AF_INET);
    CHECK_IS(peer.sin_port, real.sin_port);
    close(accepted);
    close(client);
    END;
}

LOOP_TEST(accepts_that_wait_are_served_in_order)
{
    enum { N = 5 };
    static struct sockaddr_in address, peers[N], mine;
    static socklen_t lengths[N], length;
    static struct loop_fd *listener;
    static struct once accepts[N];
    static int clients[N];

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    for (int i = 0; i < N; i++) {
        lengths[i] = sizeof peers[i];
        START(loop_op_accept(env->scope, listener, (struct sockaddr *)&peers[i], &lengths[i], ONCE(&accepts[i])));
    }
    AWAIT(turns(env->scope, 3, GO));
    for (int i = 0; i < N; i++) {
        CHECK_IS(accepts[i].count, 0);
        clients[i] = connect_to(&address);
    }
    WAIT_UNTIL(accepts[N - 1].count);
    for (int i = 0; i < N; i++) {
        CHECK_IS(accepts[i].count, 1);
        CHECK(accepts[i].result >= 0);
        CHECK(i == 0 || accepts[i].order > accepts[i - 1].order);
        length = sizeof mine;
        CHECK_IS(getsockname(clients[i], (struct sockaddr *)&mine, &length), 0);
        CHECK_IS(peers[i].sin_port, mine.sin_port);
        close((int)accepts[i].result);
        close(clients[i]);
    }
    END;
}

LOOP_TEST(accept_on_what_does_not_listen_is_einval)
{
    static struct loop_fd *pair[2], *listener, *datagrams;
    static struct sockaddr_in address;
    static struct sockaddr_storage peer;

    BEGIN;
    open_tcp_pair(env->scope, pair);
    listener = adopt(env->scope, make_listener(&address));
    datagrams = adopt(env->scope, make_datagram_socket(&address));
    AWAIT(loop_op_accept(env->scope, pair[0], NULL, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_accept_multishot(env->scope, pair[0], GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_accept(env->scope, datagrams, NULL, NULL, GO));
    CHECK_IS(result, -EOPNOTSUPP);
    AWAIT(loop_op_accept_multishot(env->scope, datagrams, GO));
    CHECK_IS(result, -EOPNOTSUPP);
    AWAIT(loop_op_accept(env->scope, listener, (struct sockaddr *)&peer, NULL, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

/* Without a continuation accepted connections would never be closed, so these calls require one. */
LOOP_TEST(what_delivers_descriptors_needs_a_continuation)
{
    static struct sockaddr_in address;
    static struct loop_fd *listener, *pair[2];
    static struct loop_scope *scope;
    static struct once ends[5];
    static struct loop_message message;
    static int i;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    open_pair(env->scope, pair);
    for (i = 0; i < 5; i++) {
        scope = loop_scope_open(env->scope, ONCE(&ends[i]));
        switch (i) {
        case 0: START(loop_op_accept(scope, listener, NULL, NULL, NULL, NULL)); break;
        case 1: START(loop_op_accept_multishot(scope, listener, NULL, NULL)); break;
        case 2: START(loop_op_recv_msg(scope, pair[0], &message, NULL, NULL)); break;
        case 3: START(loop_op_recv_multishot(scope, pair[0], loop_buffers_create(scope, 1, 1), NULL, NULL)); break;
        default: START(loop_op_openat2(scope, "/", &(struct loop_open_how){.flags = O_RDONLY}, NULL, NULL)); break;
        }
    }
    for (i = 0; i < 5; i++) {
        WAIT_UNTIL(ends[i].count);
        ONCE_IS(ends[i], -EINVAL);
    }
    END;
}

LOOP_TEST(without_a_descriptor_accept_and_open_are_emfile)
{
    static rlim_t limit;
    static struct sockaddr_in address;
    static struct loop_fd *listener;
    static struct once multishot;
    static int client;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    client = connect_to(&address);
    AWAIT(loop_op_openat2(env->scope, "/", &(struct loop_open_how){.flags = O_RDONLY}, GO));
    close((int)result);
    limit = forbid_fds();
    AWAIT(loop_op_accept(env->scope, listener, NULL, NULL, GO));
    CHECK_IS(result, -EMFILE);
    START(loop_op_accept_multishot(env->scope, listener, ONCE(&multishot)));
    WAIT_UNTIL(multishot.count);
    ONCE_IS(multishot, -EMFILE);
    AWAIT(loop_op_openat2(env->scope, "/", &(struct loop_open_how){.flags = O_RDONLY}, GO));
    CHECK_IS(result, -EMFILE);
    limit_fds(limit);
    AWAIT(loop_op_accept(env->scope, listener, NULL, NULL, GO));
    CHECK(result >= 0);
    close((int)result);
    close(client);
    END;
}

/* What a multishot accept has delivered; after its end nothing more may come. */
static struct {
    struct loop *loop;
    loop_job job;
    int fds[200];
    unsigned count, cancel_at, ends;
    int64_t end;
} accepted;

static void on_accepted(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(accepted.ends, 0);
    if (result < 0) {
        accepted.ends++;
        accepted.end = result;
    } else {
        CHECK(accepted.count < COUNT_OF(accepted.fds));
        accepted.fds[accepted.count++] = (int)result;
        if (accepted.count == accepted.cancel_at) {
            CHECK_IS(loop_cancel(accepted.loop, accepted.job), 0);
        }
    }
    script_poke();
}

static in_port_t peer_port(int fd)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;

    CHECK_IS(getpeername(fd, (struct sockaddr *)&peer, &length), 0);
    return peer.sin_port;
}

static in_port_t own_port(int fd)
{
    struct sockaddr_in own;
    socklen_t length = sizeof own;

    CHECK_IS(getsockname(fd, (struct sockaddr *)&own, &length), 0);
    return own.sin_port;
}

LOOP_TEST(accept_multishot_delivers_one_after_another_in_order)
{
    enum { N = 150 };
    static struct sockaddr_in address;
    static struct loop_fd *listener;
    static int clients[N];

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    for (int i = 0; i < N / 2; i++) {
        clients[i] = connect_to(&address);
    }
    accepted.job = START(loop_op_accept_multishot(env->scope, listener, on_accepted, NULL));
    WAIT_UNTIL(accepted.count == N / 2);
    for (int i = N / 2; i < N; i++) {
        clients[i] = connect_to(&address);
    }
    WAIT_UNTIL(accepted.count == N);
    CHECK(loop_job_is_alive(env->loop, accepted.job));
    CHECK_IS(loop_cancel(env->loop, accepted.job), 0);
    WAIT_UNTIL(accepted.ends);
    CHECK_IS(accepted.end, -ECANCELED);
    for (int i = 0; i < N; i++) {
        CHECK_IS(peer_port(accepted.fds[i]), own_port(clients[i]));
        CHECK(fcntl(accepted.fds[i], F_GETFD) & FD_CLOEXEC);
        CHECK(fcntl(accepted.fds[i], F_GETFL) & O_NONBLOCK);
        close(accepted.fds[i]);
        close(clients[i]);
    }
    END;
}

LOOP_TEST(accept_multishot_delivers_what_it_had_accepted_when_cancelled)
{
    enum { N = 100 };
    static struct sockaddr_in address;
    static struct loop_fd *listener;
    static int clients[N], raw, left;

    BEGIN;
    raw = make_listener(&address);
    listener = adopt(env->scope, raw);
    for (int i = 0; i < N; i++) {
        clients[i] = connect_to(&address);
    }
    accepted.loop = env->loop;
    accepted.cancel_at = 3;
    accepted.job = START(loop_op_accept_multishot(env->scope, listener, on_accepted, NULL));
    WAIT_UNTIL(accepted.ends);
    CHECK_IS(accepted.end, -ECANCELED);
    CHECK(accepted.count >= 3);
    AWAIT(turns(env->scope, 5, GO));
    while ((left = accept4(raw, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        accepted.fds[accepted.count++] = left;
    }
    CHECK_IS(accepted.count, N);
    for (int i = 0; i < N; i++) {
        CHECK_IS(peer_port(accepted.fds[i]), own_port(clients[i]));
        close(accepted.fds[i]);
        close(clients[i]);
    }
    END;
}

/* ---- sockets ---- */

LOOP_TEST(accept_says_einval_where_nobody_listens)
{
    static struct loop_fd *fd;

    BEGIN;
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    AWAIT(loop_op_accept(NULL, fd, NULL, NULL, GO));
    CHECK_IS(result, -EINVAL);
    fd = adopt(env->scope, make_file("", 0));
    AWAIT(loop_op_accept(NULL, fd, NULL, NULL, GO));
    CHECK_IS(result, -ENOTSOCK);
    END;
}

LOOP_TEST(accept_at_the_limit_of_descriptors_says_emfile)
{
    static struct sockaddr_in address;
    static struct loop_fd *listener;
    static rlim_t limit;
    static int client;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    client = connect_to(&address);
    AWAIT(turns(env->scope, 2, GO));
    limit = forbid_fds();
    AWAIT(loop_op_accept(NULL, listener, NULL, NULL, GO));
    CHECK_IS(result, -EMFILE);
    limit_fds(limit);
    AWAIT(loop_op_accept(NULL, listener, NULL, NULL, GO));
    CHECK(result >= 0);
    close((int)result);
    close(client);
    END;
}

LOOP_TEST(multishot_accept_goes_on_until_cancelled)
{
    enum { N = 30 };
    static struct sockaddr_in address;
    static struct loop_fd *listener;
    static loop_job job;
    static int clients[N];
    static unsigned i;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    job = START(loop_op_accept_multishot(NULL, listener, on_accepted, NULL));
    for (i = 0; i < N; i++) {
        clients[i] = connect_to(&address);
        if (i % 3 == 0) {
            WAIT_UNTIL(accepted.count == i + 1);
        }
    }
    WAIT_UNTIL(accepted.count == N);
    CHECK(loop_job_is_alive(env->loop, job));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(accepted.ends);
    CHECK_IS(accepted.end, -ECANCELED);
    for (i = 0; i < N; i++) {
        CHECK_IS(fcntl(accepted.fds[i], F_GETFD), FD_CLOEXEC);
        close(accepted.fds[i]);
        close(clients[i]);
    }
    END;
}

LOOP_TEST(multishot_accept_loses_nothing_to_a_cancel)
{
    enum { N = 20 };
    static struct sockaddr_in address;
    static struct loop_fd *listener;
    static loop_job job;
    static int clients[N];
    static unsigned i;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    job = START(loop_op_accept_multishot(NULL, listener, on_accepted, NULL));
    AWAIT(turns(env->scope, 2, GO));
    for (i = 0; i < N; i++) {
        clients[i] = connect_to(&address);
    }
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(accepted.ends);
    CHECK_IS(accepted.end, -ECANCELED);
    while (accepted.count < N) {
        AWAIT(loop_op_accept(NULL, listener, NULL, NULL, GO));
        CHECK(result >= 0);
        accepted.fds[accepted.count++] = (int)result;
    }
    for (i = 0; i < N; i++) {
        close(accepted.fds[i]);
        close(clients[i]);
    }
    END;
}

LOOP_TEST(multishot_accept_ends_with_its_descriptor)
{
    static struct sockaddr_in address;
    static struct loop_fd *listener;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    START(loop_op_accept_multishot(NULL, listener, on_accepted, NULL));
    AWAIT(turns(env->scope, 2, GO));
    loop_fd_close(listener);
    WAIT_UNTIL(accepted.ends);
    CHECK_IS(accepted.end, -ECANCELED);
    CHECK_IS(accepted.count, 0);
    END;
}

LOOP_TEST(multishot_accept_hears_of_errors)
{
    static struct loop_fd *fd;

    BEGIN;
    fd = adopt(env->scope, make_file("", 0));
    START(loop_op_accept_multishot(NULL, fd, on_accepted, NULL));
    WAIT_UNTIL(accepted.ends);
    CHECK_IS(accepted.end, -ENOTSOCK);
    END;
}
