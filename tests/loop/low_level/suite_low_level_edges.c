/* SPDX-License-Identifier: ISC
 *
 * The low level: what each operation answers to arguments and descriptors that can't be, at limits, and at the end of
 * what it reads from.
 */
#include "harness.h"

#include <limits.h>
#include <stdio.h>

#include <arpa/inet.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

/* ---- material ---- */

static void adopt_both(struct loop_scope *scope, const int fds[2], struct loop_fd *ends[2])
{
    ends[0] = adopt(scope, fds[0]);
    ends[1] = adopt(scope, fds[1]);
}

/* [0] reads, [1] writes. */
static void open_pipe(struct loop_scope *scope, struct loop_fd *ends[2])
{
    int fds[2];

    make_pipe(fds);
    adopt_both(scope, fds, ends);
}

static void open_pair(struct loop_scope *scope, struct loop_fd *ends[2])
{
    int fds[2];

    make_pair(fds);
    adopt_both(scope, fds, ends);
}

static void open_tcp_pair(struct loop_scope *scope, struct loop_fd *ends[2])
{
    int fds[2];

    make_tcp_pair(fds);
    adopt_both(scope, fds, ends);
}

static void open_datagram_pair(struct loop_scope *scope, struct loop_fd *ends[2])
{
    int fds[2];

    CHECK_IS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
    adopt_both(scope, fds, ends);
}

static int make_datagram_socket(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_IS(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    CHECK_IS(getsockname(fd, (struct sockaddr *)address, &length), 0);
    return fd;
}

static void say(struct loop_fd *to, const char *text)
{
    CHECK_IS(write(loop_fd_peek(to), text, strlen(text)), (ssize_t)strlen(text));
}

/* Empties a pipe or socket and compares. */
static bool holds(struct loop_fd *from, const char *text)
{
    char bytes[256];
    size_t length = 0;
    ssize_t n;

    while ((n = read(loop_fd_peek(from), bytes + length, sizeof bytes - length)) > 0) {
        length += (size_t)n;
    }
    return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

static struct loop_fd *open_file(struct loop_scope *scope, const char *text)
{
    return adopt(scope, make_file(text, strlen(text)));
}

/* A child scope that doesn't end before the test lets it. */
static struct loop_scope *open_held(struct loop_scope *parent)
{
    struct loop_scope *scope = loop_scope_open(parent, NULL, NULL);

    CHECK(scope != NULL);
    loop_scope_hold(scope);
    return scope;
}

/* ---- every kind, on what it can't work on ---- */

enum kind {
    READ,
    READV,
    READ_FIXED,
    READ_CHUNK,
    RECV,
    RECV_MSG,
    RECV_MULTISHOT,
    POLL,
    SPLICE_FROM,
    ACCEPT,
    ACCEPT_MULTISHOT,
    WRITE,
    WRITEV,
    WRITE_FIXED,
    WRITE_CHUNK,
    SEND,
    SEND_MSG,
    SPLICE_TO,
    CONNECT,
    SHUTDOWN,
    FSYNC,
    CLOSE,
    N_KINDS
};

static struct {
    struct loop_fd *pipe[2];
    struct loop_buffers *buffers;
    struct loop_chunk *chunk;
    struct loop_message message;
    struct iovec iov;
    struct sockaddr_in address;
    char bytes[8];
} stage;

static void set_stage(struct loop_scope *scope)
{
    open_pipe(scope, stage.pipe);
    say(stage.pipe[1], "filled");
    stage.buffers = loop_buffers_create(scope, 2, 64);
    stage.chunk = loop_chunk_alloc(loop_scope_loop(scope));
    CHECK(stage.buffers && stage.chunk);
    stage.iov = (struct iovec){stage.bytes, sizeof stage.bytes};
    stage.message = (struct loop_message){.iov = &stage.iov, .n_iov = 1};
    stage.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void received_once(void *record, int64_t result, void *data)
{
    CHECK(!data);
    once_resumed(record, result);
}

static loop_job start_output(enum kind kind, struct loop_scope *scope, struct loop_fd *fd, struct once *once)
{
    size_t at = loop_chunk_offset(stage.chunk);

    switch (kind) {
    case WRITE: return loop_op_write(scope, fd, stage.bytes, 8, LOOP_CURRENT, ONCE(once));
    case WRITEV: return loop_op_writev(scope, fd, &stage.iov, 1, LOOP_CURRENT, ONCE(once));
    case WRITE_FIXED: return loop_op_write_fixed(scope, fd, at, 8, LOOP_CURRENT, ONCE(once));
    case WRITE_CHUNK: return loop_op_write_chunk(scope, fd, stage.chunk, 8, LOOP_CURRENT, ONCE(once));
    case SEND: return loop_op_send(scope, fd, stage.bytes, 8, 0, ONCE(once));
    case SEND_MSG: return loop_op_send_msg(scope, fd, &stage.message, ONCE(once));
    case SPLICE_TO: return loop_op_splice(scope, stage.pipe[0], LOOP_CURRENT, fd, LOOP_CURRENT, 8, ONCE(once));
    case CONNECT:
        return loop_op_connect(scope, fd, (struct sockaddr *)&stage.address, sizeof stage.address, ONCE(once));
    case SHUTDOWN: return loop_op_shutdown(scope, fd, SHUT_WR, ONCE(once));
    case FSYNC: return loop_op_fsync(scope, fd, false, ONCE(once));
    default: return loop_op_close(scope, fd, ONCE(once));
    }
}

static loop_job start_kind(enum kind kind, struct loop_scope *scope, struct loop_fd *fd, struct once *once)
{
    size_t at = loop_chunk_offset(stage.chunk);

    switch (kind) {
    case READ: return loop_op_read(scope, fd, stage.bytes, 8, LOOP_CURRENT, ONCE(once));
    case READV: return loop_op_readv(scope, fd, &stage.iov, 1, LOOP_CURRENT, ONCE(once));
    case READ_FIXED: return loop_op_read_fixed(scope, fd, at, 8, LOOP_CURRENT, ONCE(once));
    case READ_CHUNK: return loop_op_read_chunk(scope, fd, stage.chunk, 8, LOOP_CURRENT, ONCE(once));
    case RECV: return loop_op_recv(scope, fd, stage.bytes, 8, 0, ONCE(once));
    case RECV_MSG: return loop_op_recv_msg(scope, fd, &stage.message, ONCE(once));
    case RECV_MULTISHOT: return loop_op_recv_multishot(scope, fd, stage.buffers, received_once, once);
    case POLL: return loop_op_poll_add(scope, fd, POLLIN, ONCE(once));
    case SPLICE_FROM: return loop_op_splice(scope, fd, LOOP_CURRENT, stage.pipe[1], LOOP_CURRENT, 8, ONCE(once));
    case ACCEPT: return loop_op_accept(scope, fd, NULL, NULL, ONCE(once));
    case ACCEPT_MULTISHOT: return loop_op_accept_multishot(scope, fd, ONCE(once));
    default: return start_output(kind, scope, fd, once);
    }
}

static void check_kind(int kind, const struct once *once, int64_t expected)
{
    if (once->count != 1 || once->result != expected) {
        ck_abort_msg("kind %d ended with %lld, not %lld", kind, (long long)once->result, (long long)expected);
    }
}

LOOP_TEST(every_kind_on_a_closed_descriptor_is_ebadf)
{
    static struct once once[N_KINDS];
    static struct loop_fd *closed;
    static int kind;

    BEGIN;
    set_stage(env->scope);
    closed = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_IS(loop_fd_close(closed), 0);
    for (kind = 0; kind < N_KINDS; kind++) {
        START(start_kind((enum kind)kind, env->scope, closed, &once[kind]));
    }
    for (kind = 0; kind < N_KINDS; kind++) {
        WAIT_UNTIL(once[kind].count);
        check_kind(kind, &once[kind], -EBADF);
    }
    CHECK_IS(loop_chunk_free(env->loop, stage.chunk), 0);
    END;
}

static const enum kind socket_kinds[] = {RECV, RECV_MSG, ACCEPT, ACCEPT_MULTISHOT, SEND, SEND_MSG, CONNECT, SHUTDOWN};

/* Whether there is anything to read doesn't matter. */
LOOP_TEST(recv_multishot_on_a_quiet_pipe_is_enotsock)
{
    static struct loop_fd *pipe[2];
    static struct loop_buffers *buffers;
    static struct once once[2];

    BEGIN;
    open_pipe(env->scope, pipe);
    buffers = loop_buffers_create(env->scope, 2, 64);
    for (int i = 0; i < 2; i++) {
        START(loop_op_recv_multishot(env->scope, pipe[i], buffers, received_once, &once[i]));
    }
    AWAIT(turns(env->scope, 10, GO));
    ONCE_IS(once[0], -ENOTSOCK);
    ONCE_IS(once[1], -ENOTSOCK);
    END;
}

LOOP_TEST(every_socket_kind_on_what_is_no_socket_is_enotsock)
{
    static struct once once[3][COUNT_OF(socket_kinds)];
    static struct loop_fd *others[3];
    static unsigned i, k;

    BEGIN;
    set_stage(env->scope);
    others[0] = open_file(env->scope, "no socket");
    others[1] = stage.pipe[0];
    others[2] = stage.pipe[1];
    for (i = 0; i < 3; i++) {
        for (k = 0; k < COUNT_OF(socket_kinds); k++) {
            START(start_kind(socket_kinds[k], env->scope, others[i], &once[i][k]));
        }
        for (k = 0; k < COUNT_OF(socket_kinds); k++) {
            WAIT_UNTIL(once[i][k].count);
            check_kind((int)socket_kinds[k], &once[i][k], -ENOTSOCK);
        }
    }
    CHECK_IS(loop_chunk_free(env->loop, stage.chunk), 0);
    END;
}

/* ---- poll, splice ---- */

LOOP_TEST(poll_tells_a_hangup_unasked)
{
    static struct loop_fd *pipe[2], *pair[2];
    static struct once once, half;

    BEGIN;
    open_pipe(env->scope, pipe);
    open_pair(env->scope, pair);
    START(loop_op_poll_add(env->scope, pipe[0], POLLIN, ONCE(&once)));
    START(loop_op_poll_add(env->scope, pair[0], POLLRDHUP, ONCE(&half)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count + half.count, 0);
    loop_fd_close(pipe[1]);
    CHECK_IS(shutdown(loop_fd_peek(pair[1]), SHUT_WR), 0);
    WAIT_UNTIL(once.count && half.count);
    ONCE_IS(once, POLLHUP);
    ONCE_IS(half, POLLRDHUP);
    END;
}

/* What has been shut down by the peer isn't what was asked for. */
LOOP_TEST(poll_for_room_does_not_end_with_a_half_close)
{
    static struct loop_fd *pair[2];
    static struct once once;

    BEGIN;
    open_pair(env->scope, pair);
    stuff(loop_fd_peek(pair[0]));
    START(loop_op_poll_add(env->scope, pair[0], POLLOUT, ONCE(&once)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(shutdown(loop_fd_peek(pair[1]), SHUT_WR), 0);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(once.count, 0);
    drain(loop_fd_peek(pair[1]));
    WAIT_UNTIL(once.count);
    ONCE_IS(once, POLLOUT);
    END;
}

LOOP_TEST(poll_of_what_cannot_be_polled_and_for_what_is_none)
{
    static struct loop_fd *pair[2], *file;

    BEGIN;
    open_pair(env->scope, pair);
    file = open_file(env->scope, "0123456789");
    AWAIT(loop_op_poll_add(env->scope, file, POLLIN | POLLOUT | POLLPRI, GO));
    CHECK_IS(result, POLLIN | POLLOUT);
    AWAIT(loop_op_poll_add(env->scope, file, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_poll_add(env->scope, pair[0], 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_poll_add(env->scope, pair[0], POLLIN | 1u << 30, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

LOOP_TEST(splice_with_arguments_that_cannot_be)
{
    static struct loop_fd *pipe[2], *pair[2], *file, *other[2];

    BEGIN;
    open_pipe(env->scope, pipe);
    open_pipe(env->scope, other);
    open_pair(env->scope, pair);
    file = open_file(env->scope, "0123456789");
    AWAIT(loop_op_splice(env->scope, file, 0, pair[0], LOOP_CURRENT, 1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_splice(env->scope, pipe[0], LOOP_CURRENT, pipe[0], LOOP_CURRENT, 1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_splice(env->scope, pipe[0], 0, file, 0, 1, GO));
    CHECK_IS(result, -ESPIPE);
    AWAIT(loop_op_splice(env->scope, file, -2, pipe[1], LOOP_CURRENT, 1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_splice(env->scope, pipe[0], LOOP_CURRENT, other[1], LOOP_CURRENT, 0, GO));
    CHECK_IS(result, 0);
    loop_fd_close(other[1]);
    AWAIT(loop_op_splice(env->scope, pipe[0], LOOP_CURRENT, other[1], LOOP_CURRENT, 1, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(splice_hears_of_the_end_and_of_a_reader_that_is_gone)
{
    static struct loop_fd *one[2], *two[2];
    static struct once end;

    BEGIN;
    open_pipe(env->scope, one);
    open_pipe(env->scope, two);
    START(loop_op_splice(env->scope, one[0], LOOP_CURRENT, two[1], LOOP_CURRENT, 100, ONCE(&end)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(end.count, 0);
    loop_fd_close(one[1]);
    WAIT_UNTIL(end.count);
    ONCE_IS(end, 0);
    open_pipe(env->scope, one);
    say(one[1], "nobody reads this");
    loop_fd_close(two[0]);
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_op_splice(env->scope, one[0], LOOP_CURRENT, two[1], LOOP_CURRENT, 100, GO));
    CHECK_IS(result, -EPIPE);
    END;
}

/* ---- connect, accept ---- */

static struct loop_fd *open_tcp_socket(struct loop_scope *scope)
{
    return adopt(scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static loop_job connect_fd(struct loop_scope *scope, struct loop_fd *fd, const struct sockaddr_in *to, loop_fn *fn,
                           void *arg)
{
    return loop_op_connect(scope, fd, (const struct sockaddr *)to, sizeof *to, fn, arg);
}

LOOP_TEST(connect_connects_and_a_second_time_is_eisconn)
{
    static struct sockaddr_in address;
    static struct loop_fd *fd;
    static int listener, accepted;

    BEGIN;
    listener = make_listener(&address);
    fd = open_tcp_socket(env->scope);
    AWAIT(connect_fd(env->scope, fd, &address, GO));
    CHECK_IS(result, 0);
    accepted = accept(listener, NULL, NULL);
    CHECK(accepted >= 0);
    say(fd, "hello");
    AWAIT(connect_fd(env->scope, fd, &address, GO));
    CHECK_IS(result, -EISCONN);
    close(accepted);
    close(listener);
    END;
}

LOOP_TEST(connect_to_what_is_no_address)
{
    static struct sockaddr_storage address;
    static struct loop_fd *fd;

    BEGIN;
    fd = open_tcp_socket(env->scope);
    AWAIT(loop_op_connect(env->scope, fd, NULL, sizeof(struct sockaddr_in), GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_connect(env->scope, fd, (struct sockaddr *)&address, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_connect(env->scope, fd, (struct sockaddr *)&address, sizeof address + 1, GO));
    CHECK_IS(result, -EINVAL);
    address.ss_family = AF_UNIX;
    AWAIT(loop_op_connect(env->scope, fd, (struct sockaddr *)&address, sizeof address, GO));
    CHECK_IS(result, -EAFNOSUPPORT);
    address.ss_family = AF_INET;
    AWAIT(loop_op_connect(env->scope, fd, (struct sockaddr *)&address, 4, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

/* There is no readiness that would tell when a Unix listener has room again. */
LOOP_TEST(connect_to_a_unix_listener_without_room_is_eagain)
{
    static struct sockaddr_un address = {.sun_family = AF_UNIX};
    static socklen_t length;
    static int listener, first_client;

    BEGIN;
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    CHECK_IS(listen(listener, 0), 0);
    length = sizeof address;
    CHECK_IS(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    first_client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK_IS(connect(first_client, (struct sockaddr *)&address, length), 0);
    struct loop_fd *fd = adopt(env->scope, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    AWAIT(loop_op_connect(env->scope, fd, (struct sockaddr *)&address, length, GO));
    CHECK_IS(result, -EAGAIN);
    close(first_client);
    close(listener);
    END;
}

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

/* Nobody would ever close what came: these need a continuation. */
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

static int n_limited;
static struct rlimit usual_limit;

static void take_all_descriptors(void)
{
    CHECK_IS(getrlimit(RLIMIT_NOFILE, &usual_limit), 0);
    n_limited = lowest_free_fd();
    CHECK_IS(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)n_limited, usual_limit.rlim_max}), 0);
}

static void give_descriptors_back(void)
{
    CHECK_IS(setrlimit(RLIMIT_NOFILE, &usual_limit), 0);
}

LOOP_TEST(without_a_descriptor_accept_and_open_are_emfile)
{
    static struct sockaddr_in address;
    static struct loop_fd *listener;
    static struct once multishot;
    static int client;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    client = connect_to(&address);
    AWAIT(loop_op_openat2(env->scope, "/", &(struct loop_open_how){.flags = O_RDONLY}, GO));
    close((int)result);
    take_all_descriptors();
    AWAIT(loop_op_accept(env->scope, listener, NULL, NULL, GO));
    CHECK_IS(result, -EMFILE);
    START(loop_op_accept_multishot(env->scope, listener, ONCE(&multishot)));
    WAIT_UNTIL(multishot.count);
    ONCE_IS(multishot, -EMFILE);
    AWAIT(loop_op_openat2(env->scope, "/", &(struct loop_open_how){.flags = O_RDONLY}, GO));
    CHECK_IS(result, -EMFILE);
    give_descriptors_back();
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

/* ---- receiving into provided buffers ---- */

static struct received {
    struct loop_buffers *buffers;
    bool keeps; /* buffers are not given back */
    void *kept[16];
    unsigned n_kept, pieces, ends;
    int64_t end;
    size_t length;
    char bytes[200000];
} received;

static void on_received(void *unused, int64_t result, void *data)
{
    (void)unused;
    CHECK_IS(received.ends, 0);
    if (data) {
        CHECK(result > 0 && received.length + (size_t)result <= sizeof received.bytes);
        memcpy(received.bytes + received.length, data, (size_t)result);
        received.length += (size_t)result;
        received.pieces++;
        if (received.keeps) {
            CHECK(received.n_kept < COUNT_OF(received.kept));
            received.kept[received.n_kept++] = data;
        } else {
            CHECK_IS(loop_buffers_recycle(received.buffers, data), 0);
        }
    } else {
        CHECK(result <= 0);
        received.ends++;
        received.end = result;
    }
    script_poke();
}

static loop_job receive(struct loop_scope *scope, struct loop_fd *fd)
{
    received.ends = 0;
    return loop_op_recv_multishot(scope, fd, received.buffers, on_received, NULL);
}

LOOP_TEST(buffers_have_a_power_of_two_and_a_size)
{
    static struct loop_buffers *buffers;

    BEGIN;
    CHECK(!loop_buffers_create(env->scope, 0, 64));
    CHECK(!loop_buffers_create(env->scope, 3, 64));
    CHECK(!loop_buffers_create(env->scope, 65536, 64));
    CHECK(!loop_buffers_create(env->scope, 4, 0));
    CHECK(!loop_buffers_create(env->scope, 32768, SIZE_MAX / 2));
    buffers = loop_buffers_create(env->scope, 1, 1);
    CHECK(buffers);
    CHECK_IS(loop_buffers_avail(buffers), 1);
    buffers = loop_buffers_create(env->scope, 32768, 1);
    CHECK(buffers);
    CHECK_IS(loop_buffers_avail(buffers), 32768);
    END;
}

LOOP_TEST(recv_multishot_delivers_all_and_then_the_end)
{
    static struct loop_fd *pair[2];

    BEGIN;
    open_pair(env->scope, pair);
    received.buffers = loop_buffers_create(env->scope, 4, 8);
    START(receive(env->scope, pair[0]));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(received.pieces, 0);
    say(pair[1], "first");
    WAIT_UNTIL(received.length == 5);
    say(pair[1], "more than one buffer");
    WAIT_UNTIL(received.length == 25);
    CHECK(memcmp(received.bytes, "firstmore than one buffer", 25) == 0);
    CHECK_IS(loop_buffers_avail(received.buffers), 4);
    CHECK_IS(received.ends, 0);
    CHECK_IS(shutdown(loop_fd_peek(pair[1]), SHUT_WR), 0);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, 0);
    END;
}

LOOP_TEST(recv_multishot_out_of_buffers_loses_nothing)
{
    static struct loop_fd *pair[2];
    static unsigned i;

    BEGIN;
    open_tcp_pair(env->scope, pair);
    received.buffers = loop_buffers_create(env->scope, 2, 4);
    received.keeps = true;
    say(pair[1], "0123456789abcdef");
    START(receive(env->scope, pair[0]));
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ENOBUFS);
    CHECK_IS(received.n_kept, 2);
    CHECK_IS(loop_buffers_avail(received.buffers), 0);
    START(receive(env->scope, pair[0]));
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ENOBUFS);
    CHECK_IS(received.n_kept, 2);
    for (i = 0; received.length < 16; i++) {
        CHECK(i < 16);
        CHECK_IS(loop_buffers_recycle(received.buffers, received.kept[--received.n_kept]), 0);
        CHECK_IS(loop_buffers_avail(received.buffers), 1);
        START(receive(env->scope, pair[0]));
        WAIT_UNTIL(received.ends || received.length == 16);
        CHECK(!received.ends || received.end == -ENOBUFS);
    }
    CHECK(memcmp(received.bytes, "0123456789abcdef", 16) == 0);
    if (received.ends == 0) {
        loop_fd_close(pair[0]);
        WAIT_UNTIL(received.ends);
    }
    END;
}

LOOP_TEST(recv_multishot_with_an_empty_group_waits_for_bytes_first)
{
    static struct loop_fd *pair[2];

    BEGIN;
    open_pair(env->scope, pair);
    received.buffers = loop_buffers_create(env->scope, 1, 64);
    received.keeps = true;
    START(receive(env->scope, pair[0]));
    say(pair[1], "one");
    WAIT_UNTIL(received.pieces == 1);
    CHECK_IS(shutdown(loop_fd_peek(pair[1]), SHUT_WR), 0);
    WAIT_UNTIL(received.ends);
    CHECK(received.end == 0 || received.end == -ENOBUFS);
    CHECK_IS(loop_buffers_recycle(received.buffers, received.kept[0]), 0);
    START(receive(env->scope, pair[0]));
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, 0);
    CHECK_IS(received.length, 3);
    END;
}

static struct loop_fd *at_once_pair[2];

static void finish_stream(struct loop_fd *end)
{
    say(end, "the last words");
    CHECK_IS(loop_fd_close(end), 0);
}

LOOP_TEST(recv_multishot_gets_data_and_end_that_came_together)
{
    static int i;

    BEGIN;
    received.buffers = loop_buffers_create(env->scope, 8, 64);
    for (i = 0; i < 40; i++) {
        if (i % 2 == 0) {
            open_pair(env->scope, at_once_pair);
        } else {
            open_tcp_pair(env->scope, at_once_pair);
        }
        received.length = 0;
        if (i % 4 < 2) {
            START(receive(env->scope, at_once_pair[0]));
            AWAIT(turns(env->scope, 2, GO));
            finish_stream(at_once_pair[1]);
        } else {
            finish_stream(at_once_pair[1]);
            AWAIT(turns(env->scope, 2, GO));
            START(receive(env->scope, at_once_pair[0]));
        }
        WAIT_UNTIL(received.ends);
        CHECK_IS(received.end, 0);
        CHECK_IS(received.length, 14);
        loop_fd_destroy(at_once_pair[0]);
        loop_fd_destroy(at_once_pair[1]);
    }
    END;
}

LOOP_TEST(recv_multishot_of_much_stays_in_order)
{
    enum { SIZE = 150000 };
    static struct loop_flow *flow;
    static struct loop_fd *reader;
    static struct once written, shut;
    static char sent[SIZE];
    static int fds[2];

    BEGIN;
    make_tcp_pair(fds);
    reader = adopt(env->scope, fds[0]);
    flow = flow_of(env->scope, fds[1]);
    fill_pattern(sent, SIZE, 9);
    received.buffers = loop_buffers_create(env->scope, 16, 512);
    START(loop_write(&flow->sink, sent, SIZE, ONCE(&written)));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
    do {
        START(receive(env->scope, reader));
        WAIT_UNTIL(received.ends);
    } while (received.end == -ENOBUFS); /* the group may run empty between two deliveries */
    CHECK_IS(received.end, 0);
    ONCE_IS(written, SIZE);
    ONCE_IS(shut, 0);
    CHECK_IS(received.length, SIZE);
    CHECK(is_pattern(received.bytes, SIZE, 9));
    CHECK_IS(loop_buffers_avail(received.buffers), 16);
    END;
}

LOOP_TEST(recv_multishot_cancelled_leaves_the_rest_in_the_socket)
{
    static struct loop_fd *pair[2];
    static loop_job job;

    BEGIN;
    open_pair(env->scope, pair);
    received.buffers = loop_buffers_create(env->scope, 4, 64);
    job = START(receive(env->scope, pair[0]));
    say(pair[1], "taken");
    WAIT_UNTIL(received.pieces == 1);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ECANCELED);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    say(pair[1], "left");
    AWAIT(turns(env->scope, 3, GO));
    CHECK(holds(pair[0], "left"));
    END;
}

LOOP_TEST(recv_multishot_of_a_reset_connection)
{
    static struct loop_fd *pair[2];
    static struct linger linger = {1, 0};

    BEGIN;
    open_tcp_pair(env->scope, pair);
    received.buffers = loop_buffers_create(env->scope, 4, 64);
    START(receive(env->scope, pair[0]));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(setsockopt(loop_fd_peek(pair[1]), SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    loop_fd_close(pair[1]);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ECONNRESET);
    END;
}

LOOP_TEST(recv_multishot_without_buffers_or_with_anothers)
{
    static struct loop_fd *pair[2], *unconnected;
    static struct loop_scope *inner;

    BEGIN;
    open_pair(env->scope, pair);
    received.buffers = NULL;
    START(receive(env->scope, pair[0]));
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -EINVAL);
    inner = open_held(env->scope);
    received.buffers = loop_buffers_create(inner, 1, 64);
    START(receive(env->scope, pair[0])); /* would outlive them */
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -EINVAL);
    unconnected = open_tcp_socket(env->scope);
    START(receive(inner, unconnected));
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ENOTCONN);
    loop_scope_unhold(inner);
    END;
}

/* Gives back what can't be given back, in the way that `*arg` says. */
/* ---- recv, send ---- */

LOOP_TEST(peek_leaves_the_bytes_there)
{
    static struct loop_fd *pair[2];
    static char bytes[8];

    BEGIN;
    open_pair(env->scope, pair);
    say(pair[1], "x");
    AWAIT(loop_op_recv(env->scope, pair[0], bytes, 1, MSG_PEEK, GO));
    CHECK_IS(result, 1);
    CHECK_IS(bytes[0], 'x');
    bytes[0] = 0;
    AWAIT(loop_op_recv(env->scope, pair[0], bytes, 8, 0, GO));
    CHECK_IS(result, 1);
    CHECK_IS(bytes[0], 'x');
    END;
}

LOOP_TEST(waitall_waits_for_all_or_the_end)
{
    static struct loop_fd *pair[2];
    static struct once once;
    static char bytes[16];

    BEGIN;
    open_tcp_pair(env->scope, pair);
    START(loop_op_recv(env->scope, pair[0], bytes, 10, MSG_WAITALL, ONCE(&once)));
    say(pair[1], "01234");
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count, 0);
    say(pair[1], "56789abc");
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 10);
    CHECK(memcmp(bytes, "0123456789", 10) == 0);
    memset(&once, 0, sizeof once);
    START(loop_op_recv(env->scope, pair[0], bytes, 10, MSG_WAITALL, ONCE(&once)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count, 0);
    loop_fd_close(pair[1]);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 3);
    CHECK(memcmp(bytes, "abc", 3) == 0);
    END;
}

LOOP_TEST(waitall_cancelled_says_what_came)
{
    static struct loop_fd *pair[2];
    static struct once once;
    static char bytes[16];
    static loop_job job;

    BEGIN;
    open_pair(env->scope, pair);
    job = START(loop_op_recv(env->scope, pair[0], bytes, 10, MSG_WAITALL, ONCE(&once)));
    AWAIT(turns(env->scope, 2, GO));
    say(pair[1], "01234");
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 5);
    CHECK(memcmp(bytes, "01234", 5) == 0);
    END;
}

LOOP_TEST(dontwait_does_not_wait)
{
    static struct loop_fd *pair[2];
    static char byte;

    BEGIN;
    open_pair(env->scope, pair);
    AWAIT(loop_op_recv(env->scope, pair[0], &byte, 1, MSG_DONTWAIT, GO));
    CHECK_IS(result, -EAGAIN);
    stuff(loop_fd_peek(pair[0]));
    AWAIT(loop_op_send(env->scope, pair[0], &byte, 1, MSG_DONTWAIT, GO));
    CHECK_IS(result, -EAGAIN);
    END;
}

LOOP_TEST(errors_of_recv_and_send_are_the_system_calls)
{
    static struct loop_fd *pair[2], *unconnected;
    static char byte;

    BEGIN;
    open_pair(env->scope, pair);
    unconnected = open_tcp_socket(env->scope);
    AWAIT(loop_op_recv(env->scope, unconnected, &byte, 1, 0, GO));
    CHECK_IS(result, -ENOTCONN);
    AWAIT(loop_op_send(env->scope, unconnected, &byte, 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    AWAIT(loop_op_recv(env->scope, pair[0], NULL, 1, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_send(env->scope, pair[0], NULL, 1, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_send(env->scope, pair[0], &byte, 1, MSG_OOB | MSG_MORE, GO));
    CHECK(result == 1 || result == -EOPNOTSUPP);
    loop_fd_close(pair[1]);
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_op_send(env->scope, pair[0], &byte, 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    END;
}

LOOP_TEST(recv_and_send_move_bytes_and_hear_the_end)
{
    static struct loop_fd *pair[2];
    static char bytes[8];
    static size_t sent;

    BEGIN;
    open_tcp_pair(env->scope, pair);
    AWAIT(loop_op_send(env->scope, pair[0], "abcdef", 6, 0, GO));
    CHECK_MOVED(result, 6);
    sent = (size_t)result;
    while (sent > 0) {
        AWAIT(loop_op_recv(env->scope, pair[1], bytes, 8, 0, GO));
        CHECK(result > 0 && (size_t)result <= sent);
        sent -= (size_t)result;
    }
    AWAIT(loop_op_send(env->scope, pair[0], "abcdef", 6, MSG_WAITALL, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 6, MSG_WAITALL, GO));
    CHECK_IS(result, 6);
    CHECK(memcmp(bytes, "abcdef", 6) == 0);
    AWAIT(loop_op_shutdown(env->scope, pair[0], SHUT_WR, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 8, 0, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(datagrams_keep_their_limits)
{
    static struct loop_fd *pair[2];
    static char bytes[16];

    BEGIN;
    open_datagram_pair(env->scope, pair);
    AWAIT(loop_op_send(env->scope, pair[0], "first", 5, 0, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_op_send(env->scope, pair[0], NULL, 0, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_send(env->scope, pair[0], "third", 5, 0, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 16, 0, GO));
    CHECK_IS(result, 5);
    CHECK(memcmp(bytes, "first", 5) == 0);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 16, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 2, MSG_TRUNC, GO));
    CHECK_IS(result, 5);
    CHECK(memcmp(bytes, "th", 2) == 0);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 16, MSG_DONTWAIT, GO));
    CHECK_IS(result, -EAGAIN);
    END;
}

/* ---- messages ---- */

LOOP_TEST(a_message_passes_descriptors)
{
    static struct loop_fd *pair[2], *files[2];
    static char sent[] = "with two", bytes[16];
    static struct iovec out[] = {{sent, 5}, {sent + 5, 3}}, in = {bytes, sizeof bytes};
    static int numbers[2], got[4];
    static struct loop_message message;
    static char content[4];

    BEGIN;
    open_pair(env->scope, pair);
    files[0] = open_file(env->scope, "one");
    files[1] = open_file(env->scope, "two");
    numbers[0] = loop_fd_peek(files[0]);
    numbers[1] = loop_fd_peek(files[1]);
    message = (struct loop_message){.iov = out, .n_iov = 2, .fds = numbers, .n_fds = 2};
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, 8);
    message = (struct loop_message){.iov = &in, .n_iov = 1, .fds = got, .n_fds = 4};
    AWAIT(loop_op_recv_msg(env->scope, pair[1], &message, GO));
    CHECK_IS(result, 8);
    CHECK(memcmp(bytes, "with two", 8) == 0);
    CHECK_IS(message.n_fds, 2);
    CHECK_IS(message.flags, 0);
    for (int i = 0; i < 2; i++) {
        CHECK(got[i] != numbers[i] && fcntl(got[i], F_GETFD) & FD_CLOEXEC);
        CHECK_IS(pread(got[i], content, 4, 0), 3);
        CHECK(memcmp(content, i == 0 ? "one" : "two", 3) == 0);
        close(got[i]);
    }
    END;
}

LOOP_TEST(as_many_descriptors_as_promised_and_no_more)
{
    static struct loop_fd *pair[2];
    static char byte = 'x';
    static struct iovec iov = {&byte, 1};
    static int numbers[LOOP_MAX_FDS + 1], got[LOOP_MAX_FDS + 1];
    static struct loop_message message;

    BEGIN;
    open_pair(env->scope, pair);
    for (int i = 0; i <= LOOP_MAX_FDS; i++) {
        numbers[i] = STDERR_FILENO;
    }
    message = (struct loop_message){.iov = &iov, .n_iov = 1, .fds = numbers, .n_fds = LOOP_MAX_FDS + 1};
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EINVAL);
    message.n_fds = LOOP_MAX_FDS;
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, 1);
    message = (struct loop_message){.iov = &iov, .n_iov = 1, .fds = got, .n_fds = LOOP_MAX_FDS + 1};
    AWAIT(loop_op_recv_msg(env->scope, pair[1], &message, GO));
    CHECK_IS(result, 1);
    CHECK_IS(message.n_fds, LOOP_MAX_FDS);
    CHECK_IS(message.flags & MSG_CTRUNC, 0);
    for (int i = 0; i < LOOP_MAX_FDS; i++) {
        close(got[i]);
    }
    END;
}

LOOP_TEST(messages_that_cannot_be_sent)
{
    static struct loop_fd *pair[2];
    static char byte = 'x';
    static struct iovec iov = {&byte, 1}, many[IOV_MAX + 1];
    static int no_descriptor = 1 << 20;
    static struct loop_message message;

    BEGIN;
    open_pair(env->scope, pair);
    AWAIT(loop_op_send_msg(env->scope, pair[0], NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_recv_msg(env->scope, pair[0], NULL, GO));
    CHECK_IS(result, -EINVAL);
    message = (struct loop_message){.n_iov = 1};
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EINVAL);
    message = (struct loop_message){.iov = &iov, .n_iov = 1, .n_fds = 1};
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_recv_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EINVAL);
    message.fds = &no_descriptor;
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EBADF);
    message = (struct loop_message){.iov = many, .n_iov = IOV_MAX + 1};
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EMSGSIZE);
    END;
}

LOOP_TEST(messages_have_addresses_on_datagram_sockets)
{
    static struct sockaddr_in one, other, from;
    static struct loop_fd *sockets[2];
    static char bytes[16], sent[] = "datagram";
    static struct iovec out = {sent, 8}, in = {bytes, 4};
    static struct loop_message message;

    BEGIN;
    sockets[0] = adopt(env->scope, make_datagram_socket(&one));
    sockets[1] = adopt(env->scope, make_datagram_socket(&other));
    message = (struct loop_message){
        .iov = &out, .n_iov = 1, .address = (struct sockaddr *)&other, .address_len = sizeof other};
    AWAIT(loop_op_send_msg(env->scope, sockets[0], &message, GO));
    CHECK_IS(result, 8);
    message =
        (struct loop_message){.iov = &in, .n_iov = 1, .address = (struct sockaddr *)&from, .address_len = sizeof from};
    AWAIT(loop_op_recv_msg(env->scope, sockets[1], &message, GO));
    CHECK_IS(result, 4);
    CHECK(memcmp(bytes, "data", 4) == 0);
    CHECK_IS(message.flags & MSG_TRUNC, MSG_TRUNC);
    CHECK_IS(message.address_len, sizeof from);
    CHECK_IS(from.sin_port, one.sin_port);
    message = (struct loop_message){.iov = &out, .n_iov = 1};
    AWAIT(loop_op_send_msg(env->scope, sockets[0], &message, GO));
    CHECK_IS(result, -EDESTADDRREQ);
    END;
}

LOOP_TEST(an_empty_datagram_is_a_message)
{
    static struct sockaddr_in one, other, from;
    static struct loop_fd *sockets[2];
    static struct loop_message message;
    static struct once once;

    BEGIN;
    sockets[0] = adopt(env->scope, make_datagram_socket(&one));
    sockets[1] = adopt(env->scope, make_datagram_socket(&other));
    message = (struct loop_message){.address = (struct sockaddr *)&from, .address_len = sizeof from};
    START(loop_op_recv_msg(env->scope, sockets[1], &message, ONCE(&once)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count, 0);
    CHECK_IS(sendto(loop_fd_peek(sockets[0]), NULL, 0, 0, (struct sockaddr *)&other, sizeof other), 0);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 0);
    CHECK_IS(from.sin_port, one.sin_port);
    CHECK_IS(message.address_len, sizeof from);
    END;
}

LOOP_TEST(a_cancelled_message_says_that_nothing_came)
{
    static struct loop_fd *pair[2];
    static int fds[2] = {-1, -1};
    static struct loop_message message;
    static struct once once;
    static char byte;
    static struct iovec iov = {&byte, 1};
    static loop_job job;

    BEGIN;
    open_pair(env->scope, pair);
    message = (struct loop_message){.iov = &iov, .n_iov = 1, .fds = fds, .n_fds = 2};
    job = START(loop_op_recv_msg(env->scope, pair[0], &message, ONCE(&once)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, -ECANCELED);
    CHECK_IS(message.n_fds, 0);
    END;
}

/* ---- shutdown, close, cancel, timeout ---- */

LOOP_TEST(shutdown_says_what_the_system_call_says)
{
    static struct loop_fd *pair[2], *unconnected;
    static char byte;

    BEGIN;
    open_pair(env->scope, pair);
    unconnected = open_tcp_socket(env->scope);
    AWAIT(loop_op_shutdown(env->scope, unconnected, SHUT_WR, GO));
    CHECK_IS(result, -ENOTCONN);
    AWAIT(loop_op_shutdown(env->scope, pair[0], 77, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_shutdown(env->scope, pair[0], SHUT_RD, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_recv(env->scope, pair[0], &byte, 1, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_shutdown(env->scope, pair[0], SHUT_RDWR, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_send(env->scope, pair[0], "x", 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    AWAIT(loop_op_recv(env->scope, pair[1], &byte, 1, 0, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(close_is_0_when_it_is_done_and_then_ebadf)
{
    static struct loop_fd *pair[2];
    static struct once read, closed, again;
    static loop_job job;
    static int number;
    static char byte;

    BEGIN;
    open_pair(env->scope, pair);
    number = loop_fd_peek(pair[0]);
    START(loop_op_recv(env->scope, pair[0], &byte, 1, 0, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    job = START(loop_op_close(env->scope, pair[0], ONCE(&closed)));
    CHECK(!loop_fd_is_open(pair[0]));
    (void)loop_cancel(env->loop, job);
    START(loop_op_close(env->scope, pair[0], ONCE(&again)));
    WAIT_UNTIL(closed.count && again.count);
    ONCE_IS(read, -ECANCELED);
    ONCE_IS(closed, 0);
    ONCE_IS(again, -EBADF);
    CHECK(read.order < closed.order);
    CHECK(!is_open(number));
    END;
}

LOOP_TEST(close_waits_for_a_use)
{
    static struct loop_fd *pair[2];
    static struct once closed;
    static int number;

    BEGIN;
    open_pair(env->scope, pair);
    number = loop_fd_use(pair[0]);
    CHECK(number >= 0);
    START(loop_op_close(env->scope, pair[0], ONCE(&closed)));
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(closed.count, 0);
    CHECK(is_open(number));
    CHECK_IS(loop_fd_use(pair[0]), -EBADF);
    loop_fd_unuse(pair[0]);
    WAIT_UNTIL(closed.count);
    ONCE_IS(closed, 0);
    CHECK(!is_open(number));
    END;
}

LOOP_TEST(timeout_is_etime_and_never_early)
{
    static struct once never;
    static int64_t at;
    static loop_job job;

    BEGIN;
    at = loop_now(env->loop) + 20 * LOOP_MILLISECOND;
    AWAIT(loop_op_timeout(env->scope, at, GO));
    CHECK_IS(result, -ETIME);
    CHECK(now_ns() >= at);
    AWAIT(loop_op_timeout(env->scope, at, GO));
    CHECK_IS(result, -ETIME);
    AWAIT(loop_op_timeout(env->scope, INT64_MIN, GO));
    CHECK_IS(result, -ETIME);
    job = START(loop_op_timeout(env->scope, LOOP_NEVER, ONCE(&never)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(never.count);
    ONCE_IS(never, -ECANCELED);
    END;
}

LOOP_TEST(nop_is_0_and_turns_the_loop)
{
    static struct loop_stats before, after;

    BEGIN;
    loop_get_stats(env->loop, &before);
    AWAIT(loop_op_nop(env->scope, GO));
    CHECK_IS(result, 0);
    loop_get_stats(env->loop, &after);
    CHECK(after.turns > before.turns);
    END;
}

/* ---- paths ---- */

static const char *in_directory(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    static const char *directory;
    char *path = paths[next++ % 4];

    if (!directory) {
        directory = make_directory();
        umask(022);
    }
    CHECK(snprintf(path, sizeof paths[0], "%s%s%s", directory, *name ? "/" : "", name) < (int)sizeof paths[0]);
    return path;
}

static loop_job open_at(struct loop_env *env, struct loop_fd *dir, const char *path, uint64_t flags, uint64_t resolve,
                        loop_fn *fn, void *arg)
{
    const struct loop_open_how how = {.dir = dir, .flags = flags, .mode = 0666, .resolve = resolve};

    return loop_op_openat2(env->scope, path, &how, fn, arg);
}

/* Checks that a descriptor came and gives it back. */
static void close_opened(int64_t result, int flags)
{
    CHECK(result >= 0);
    CHECK(fcntl((int)result, F_GETFD) & FD_CLOEXEC);
    CHECK_IS(fcntl((int)result, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND), flags);
    close((int)result);
}

LOOP_TEST(open_creates_with_the_mode_that_the_umask_leaves)
{
    static struct stat status;

    BEGIN;
    AWAIT(open_at(env, NULL, in_directory("made"), O_RDWR | O_CREAT | O_EXCL, 0, GO));
    CHECK(result >= 0 && fstat((int)result, &status) == 0);
    CHECK_IS(status.st_mode, S_IFREG | 0644);
    CHECK_IS(write((int)result, "content", 7), 7);
    close_opened(result, O_RDWR);
    AWAIT(open_at(env, NULL, in_directory("made"), O_RDWR | O_CREAT | O_EXCL, 0, GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(open_at(env, NULL, in_directory("made"), O_WRONLY | O_APPEND, 0, GO));
    close_opened(result, O_WRONLY | O_APPEND);
    AWAIT(open_at(env, NULL, in_directory("made"), O_WRONLY | O_TRUNC | O_NONBLOCK, 0, GO));
    CHECK(result >= 0 && fstat((int)result, &status) == 0);
    CHECK_IS(status.st_size, 0);
    close_opened(result, O_WRONLY | O_NONBLOCK);
    AWAIT(open_at(env, NULL, in_directory(""), O_TMPFILE | O_RDWR, 0, GO));
    CHECK(result >= 0 && fstat((int)result, &status) == 0);
    CHECK_IS(status.st_nlink, 0);
    close_opened(result, O_RDWR);
    remove_directory(in_directory(""));
    END;
}

LOOP_TEST(open_says_what_the_system_call_says)
{
    static char long_name[300];

    BEGIN;
    memset(long_name, 'n', sizeof long_name - 1);
    AWAIT(open_at(env, NULL, in_directory("missing"), O_RDONLY, 0, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(open_at(env, NULL, in_directory(""), O_WRONLY, 0, GO));
    CHECK_IS(result, -EISDIR);
    AWAIT(open_at(env, NULL, "/dev/null", O_RDONLY | O_DIRECTORY, 0, GO));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(open_at(env, NULL, "", O_RDONLY, 0, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(open_at(env, NULL, long_name, O_RDONLY, 0, GO));
    CHECK_IS(result, -ENAMETOOLONG);
    AWAIT(open_at(env, NULL, "/", UINT64_C(1) << 40, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(open_at(env, NULL, "/", O_RDONLY, UINT64_C(1) << 40, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(open_at(env, NULL, NULL, O_RDONLY, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_openat2(env->scope, "/", NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(open_at(env, NULL, "/", O_RDONLY | O_DIRECTORY, 0, GO));
    close_opened(result, O_RDONLY);
    remove_directory(in_directory(""));
    END;
}

LOOP_TEST(open_beneath_leads_nowhere_else)
{
    static struct loop_fd *dir;

    BEGIN;
    close(open(in_directory("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_IS(symlink("/etc/passwd", in_directory("out")), 0);
    CHECK_IS(symlink("file", in_directory("in")), 0);
    dir = adopt(env->scope, open(in_directory(""), O_PATH | O_DIRECTORY | O_CLOEXEC));
    AWAIT(open_at(env, dir, "file", O_RDONLY, RESOLVE_BENEATH, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, dir, "in", O_RDONLY, RESOLVE_BENEATH, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, dir, "out", O_RDONLY, RESOLVE_BENEATH, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(open_at(env, dir, "../file", O_RDONLY, RESOLVE_BENEATH, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(open_at(env, dir, "/etc/passwd", O_RDONLY, RESOLVE_BENEATH, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(open_at(env, dir, "in", O_RDONLY, RESOLVE_NO_SYMLINKS, GO));
    CHECK_IS(result, -ELOOP);
    AWAIT(open_at(env, dir, "/file", O_RDONLY, RESOLVE_IN_ROOT, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, dir, "/../../file", O_RDONLY, RESOLVE_IN_ROOT, GO));
    close_opened(result, O_RDONLY);
    remove_directory(in_directory(""));
    END;
}

LOOP_TEST(open_needs_its_directory_for_relative_paths_only)
{
    static struct loop_fd *dir, *file;

    BEGIN;
    dir = adopt(env->scope, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    file = open_file(env->scope, "no directory");
    AWAIT(open_at(env, dir, "etc", O_RDONLY, 0, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, NULL, ".", O_RDONLY, 0, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, file, "etc", O_RDONLY, 0, GO));
    CHECK_IS(result, -ENOTDIR);
    loop_fd_close(dir);
    AWAIT(open_at(env, dir, "etc", O_RDONLY, 0, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(open_at(env, dir, "/etc", O_RDONLY, 0, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, dir, "/etc", O_RDONLY, RESOLVE_IN_ROOT, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(open_of_a_fifo_waits_for_nobody)
{
    static int reader;

    BEGIN;
    CHECK_IS(mkfifo(in_directory("fifo"), 0600), 0);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_WRONLY, 0, GO));
    CHECK_IS(result, -ENXIO);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_RDONLY, 0, GO));
    CHECK(result >= 0);
    reader = (int)result;
    CHECK_IS(fcntl(reader, F_GETFL) & O_NONBLOCK, 0);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_WRONLY, 0, GO));
    CHECK(result >= 0);
    CHECK_IS(write((int)result, "x", 1), 1);
    close_opened(result, O_WRONLY);
    close(reader);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_RDONLY | O_NONBLOCK, 0, GO));
    close_opened(result, O_RDONLY | O_NONBLOCK);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_RDWR, 0, GO));
    close_opened(result, O_RDWR);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_PATH, 0, GO));
    CHECK(result >= 0);
    close((int)result);
    remove_directory(in_directory(""));
    END;
}

LOOP_TEST(a_cancelled_open_leaves_no_descriptor)
{
    static struct once opens[20];
    static int i;

    BEGIN;
    for (i = 0; i < 20; i++) {
        (void)loop_cancel(env->loop, START(open_at(env, NULL, "/", O_RDONLY, 0, ONCE(&opens[i]))));
    }
    for (i = 0; i < 20; i++) {
        WAIT_UNTIL(opens[i].count);
        CHECK(opens[i].result >= 0 || opens[i].result == -ECANCELED);
        if (opens[i].result >= 0) {
            close((int)opens[i].result);
        }
    }
    END;
}

static loop_job look_at(struct loop_env *env, struct loop_fd *dir, const char *path, int flags, struct statx *status,
                        loop_fn *fn, void *arg)
{
    return loop_op_statx(env->scope, dir, path, flags, STATX_BASIC_STATS, status, fn, arg);
}

LOOP_TEST(statx_of_paths_and_of_a_descriptor_itself)
{
    static struct loop_fd *dir, *file, *pipe[2];
    static struct statx status;

    BEGIN;
    close(open(in_directory("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0640));
    CHECK_IS(symlink("file", in_directory("link")), 0);
    dir = adopt(env->scope, open(in_directory(""), O_PATH | O_DIRECTORY | O_CLOEXEC));
    file = open_file(env->scope, "0123456789");
    open_pipe(env->scope, pipe);
    AWAIT(look_at(env, dir, "file", 0, &status, GO));
    CHECK_IS(result, 0);
    CHECK_IS(status.stx_mode, S_IFREG | 0640);
    AWAIT(look_at(env, NULL, in_directory("link"), AT_SYMLINK_NOFOLLOW, &status, GO));
    CHECK_IS(result, 0);
    CHECK_IS(status.stx_mode & S_IFMT, S_IFLNK);
    AWAIT(look_at(env, file, "", AT_EMPTY_PATH, &status, GO));
    CHECK_IS(result, 0);
    CHECK_IS(status.stx_size, 10);
    AWAIT(look_at(env, pipe[0], "", AT_EMPTY_PATH, &status, GO));
    CHECK_IS(result, 0);
    CHECK_IS(status.stx_mode & S_IFMT, S_IFIFO);
    remove_directory(in_directory(""));
    END;
}

LOOP_TEST(statx_says_what_the_system_call_says)
{
    static struct loop_fd *dir;
    static struct statx status;

    BEGIN;
    dir = adopt(env->scope, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    AWAIT(look_at(env, NULL, "/nobody/made/this", 0, &status, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(look_at(env, dir, "", 0, &status, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(look_at(env, dir, "etc", 1 << 30, &status, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_statx(env->scope, dir, "etc", 0, STATX__RESERVED, &status, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(look_at(env, dir, NULL, 0, &status, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(look_at(env, dir, "etc", 0, NULL, GO));
    CHECK_IS(result, -EINVAL);
    loop_fd_close(dir);
    AWAIT(look_at(env, dir, "etc", 0, &status, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(look_at(env, dir, "", AT_EMPTY_PATH, &status, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(look_at(env, dir, "/etc", 0, &status, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(fsync_of_files_and_of_what_is_none)
{
    static struct loop_fd *file, *pipe[2], *pair[2];

    BEGIN;
    file = open_file(env->scope, "0123456789");
    open_pipe(env->scope, pipe);
    open_pair(env->scope, pair);
    AWAIT(loop_op_write(env->scope, file, "x", 1, 0, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_fsync(env->scope, file, false, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_fsync(env->scope, file, true, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_fsync(env->scope, pipe[0], false, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_fsync(env->scope, pair[0], true, GO));
    CHECK_IS(result, -EINVAL);
    END;
}
