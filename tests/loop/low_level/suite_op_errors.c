/* SPDX-License-Identifier: ISC
 *
 * Operations on unsuitable descriptors: closed ones, ones that are not sockets, sockets that do not listen. Each
 * operation ends at once with the error of the system call, whether or not another job waits for the descriptor.
 */
#include "descriptors.h"

#include <arpa/inet.h>
#include <sys/un.h>

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
    case FSYNC: return loop_op_fsync(scope, fd, 0, ONCE(once));
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

/* ---- the sockets ---- */

static int spare = -1;

static int tcp_listener(void)
{
    struct sockaddr_in address;
    return make_listener(&address);
}

static int unix_listener(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX}; /* without a path: the kernel finds a name */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    CHECK_IS(listen(fd, 5), 0);
    return fd;
}

static int tcp_connection(void)
{
    int fds[2];
    make_tcp_pair(fds);
    spare = fds[1];
    return fds[0];
}

static int unix_connection(void)
{
    int fds[2];
    make_pair(fds);
    spare = fds[1];
    return fds[0];
}

static int packet_connection(void)
{
    int fds[2];
    CHECK_IS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    spare = fds[1];
    return fds[0];
}

static int udp_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

typedef int socket_fn(void);
static socket_fn *const listeners[] = {tcp_listener, unix_listener};
static socket_fn *const others[] = {tcp_connection, unix_connection, packet_connection, udp_socket};

/* Another job that waits for the listener or the connection. */
enum company { ALONE, POLLED, WAITED_FOR, COMPANIES };

static struct loop_fd *made;
static struct once company;

static void close_spare(void)
{
    if (spare >= 0) {
        close(spare);
        spare = -1;
    }
}

static struct loop_fd *make_socket(struct loop_scope *scope, socket_fn *make)
{
    int fd = make();
    set_nonblocking(fd);
    company = (struct once){0};
    made = adopt(scope, fd);
    return made;
}

/* ---- bytes of a listener ---- */

static char bytes[8];
static struct iovec vector = {bytes, sizeof bytes};
static struct loop_message message;
static struct loop_buffers *buffers;
static struct loop_fd *pipe_end; /* the other end is at hand in pipe_ends */
static int pipe_ends[2];

static void open_pipe_to_write(struct loop_scope *scope)
{
    make_pipe(pipe_ends);
    pipe_end = adopt(scope, pipe_ends[1]);
}

static void open_pipe_to_read(struct loop_scope *scope)
{
    make_pipe(pipe_ends);
    CHECK_IS(write(pipe_ends[1], "x", 1), 1);
    pipe_end = adopt(scope, pipe_ends[0]);
}

static int64_t ended_with;

static void on_stream(void *unused, int64_t n, struct loop_chunk *chunk)
{
    (void)unused;
    CHECK(!chunk);
    script_go(NULL, n);
}

static void on_received(void *unused, int64_t n, void *data)
{
    (void)unused;
    CHECK(!data);
    script_go(NULL, n);
}

static loop_job take_by_read(void)
{
    return loop_read(&loop_fd_flow(made)->source, bytes, sizeof bytes, GO);
}

static loop_job take_by_stream(void)
{
    return loop_stream(&loop_fd_flow(made)->source, on_stream, NULL);
}

static loop_job take_by_op_read(void)
{
    return loop_op_read(NULL, made, bytes, sizeof bytes, LOOP_CURRENT, GO);
}

static loop_job take_by_op_readv(void)
{
    return loop_op_readv(NULL, made, &vector, 1, LOOP_CURRENT, GO);
}

static loop_job take_by_recv(void)
{
    return loop_op_recv(NULL, made, bytes, sizeof bytes, 0, GO);
}

static loop_job take_by_recv_msg(void)
{
    message = (struct loop_message){.iov = &vector, .n_iov = 1};
    return loop_op_recv_msg(NULL, made, &message, GO);
}

static loop_job take_by_multishot(void)
{
    return loop_op_recv_multishot(NULL, made, buffers, on_received, NULL);
}

static loop_job take_by_copy(void)
{
    return loop_copy(&loop_fd_flow(made)->source, loop_null_sink(loop_fd_scope(made)), GO);
}

static loop_job take_by_splice(void)
{
    return loop_op_splice(NULL, made, LOOP_CURRENT, pipe_end, LOOP_CURRENT, 10, GO);
}

typedef loop_job take_fn(void);

static take_fn *const takes[] = {take_by_read,     take_by_stream,    take_by_op_read, take_by_op_readv, take_by_recv,
                                 take_by_recv_msg, take_by_multishot, take_by_copy,    take_by_splice};

static int64_t recv_error(int fd)
{
    return recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void begin_listener(struct loop_scope *scope, size_t i)
{
    enum company with = (enum company)(i % COMPANIES);
    make_socket(scope, listeners[i / COMPANIES % COUNT_OF(listeners)]);
    if (with == POLLED) {
        START(loop_poll(made, POLLIN, ONCE(&company)));
    } else if (with == WAITED_FOR) {
        START(loop_op_accept(NULL, made, NULL, NULL, ONCE(&company)));
    }
}

LOOP_TEST(listener_has_no_bytes_and_says_so_at_once)
{
    static size_t i;

    BEGIN;
    buffers = loop_buffers_create(env->scope, 4, 64);
    open_pipe_to_write(env->scope);
    for (i = 0; i < COMPANIES * COUNT_OF(listeners) * COUNT_OF(takes); i++) {
        begin_listener(env->scope, i);
        AWAIT(turns(env->scope, 3, GO));
        AWAIT(takes[i / (COMPANIES * COUNT_OF(listeners))]());
        ended_with = result;
        CHECK_IS(ended_with, recv_error(loop_fd_peek(made)));
        CHECK_IS(company.count, 0);
        loop_fd_destroy(made);
        WAIT_UNTIL(i % COMPANIES == ALONE || company.count);
    }
    close(pipe_ends[0]);
    END;
}

/* ---- connections of what doesn't listen ---- */

static loop_job accept_one(void)
{
    return loop_op_accept(NULL, made, NULL, NULL, GO);
}

static loop_job accept_many(void)
{
    return loop_op_accept_multishot(NULL, made, GO);
}

static take_fn *const accepts[] = {accept_one, accept_many};

static int64_t accept_error(int fd)
{
    return accept4(fd, NULL, NULL, SOCK_NONBLOCK) < 0 ? -errno : 0;
}

static void begin_other(struct loop_scope *scope, size_t i)
{
    enum company with = (enum company)(i % COMPANIES);
    make_socket(scope, others[i / COMPANIES % COUNT_OF(others)]);
    if (with == POLLED) {
        START(loop_poll(made, POLLIN, ONCE(&company)));
    } else if (with == WAITED_FOR) {
        START(loop_read(&loop_fd_flow(made)->source, bytes, sizeof bytes, ONCE(&company)));
    }
}

LOOP_TEST(what_does_not_listen_accepts_nothing_and_says_so_at_once)
{
    static size_t i;

    BEGIN;
    for (i = 0; i < COMPANIES * COUNT_OF(others) * COUNT_OF(accepts); i++) {
        begin_other(env->scope, i);
        AWAIT(turns(env->scope, 3, GO));
        AWAIT(accepts[i / (COMPANIES * COUNT_OF(others))]());
        ended_with = result;
        CHECK_IS(ended_with, accept_error(loop_fd_peek(made)));
        CHECK_IS(company.count, 0);
        loop_fd_destroy(made);
        WAIT_UNTIL(i % COMPANIES == ALONE || company.count);
        close_spare();
    }
    END;
}

LOOP_TEST(listener_sends_nothing_and_says_so_at_once)
{
    static size_t i;

    BEGIN;
    open_pipe_to_read(env->scope);
    for (i = 0; i < COMPANIES * COUNT_OF(listeners); i++) {
        begin_listener(env->scope, i);
        AWAIT(turns(env->scope, 3, GO));
        AWAIT(loop_op_send(NULL, made, "x", 1, 0, GO));
        ended_with = result;
        CHECK_IS(ended_with, send(loop_fd_peek(made), "x", 1, MSG_NOSIGNAL) < 0 ? -errno : 0);
        AWAIT(loop_write(&loop_fd_flow(made)->sink, "x", 1, GO));
        CHECK_IS(result, ended_with);
        AWAIT(loop_op_splice(NULL, pipe_end, LOOP_CURRENT, made, LOOP_CURRENT, 1, GO));
        CHECK_IS(result, ended_with);
        CHECK_IS(company.count, 0);
        loop_fd_destroy(made);
        WAIT_UNTIL(i % COMPANIES == ALONE || company.count);
    }
    close(pipe_ends[1]);
    END;
}

/* What it is asked for before it listens must not decide what it can do afterwards. */
LOOP_TEST(socket_that_listens_later_accepts)
{
    static struct sockaddr_in address = {.sin_family = AF_INET};
    static socklen_t len = sizeof address;
    static struct once once;
    static int client;

    BEGIN;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    made = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    AWAIT(accept_one());
    CHECK_IS(result, -EINVAL);
    AWAIT(take_by_recv());
    CHECK_IS(result, -ENOTCONN);
    CHECK_IS(bind(loop_fd_peek(made), (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(listen(loop_fd_peek(made), 5), 0);
    CHECK_IS(getsockname(loop_fd_peek(made), (struct sockaddr *)&address, &len), 0);
    START(loop_op_accept(NULL, made, NULL, NULL, ONCE(&once)));
    client = connect_to(&address);
    WAIT_UNTIL(once.count);
    CHECK(once.result >= 0);
    close((int)once.result);
    close(client);
    AWAIT(take_by_recv());
    CHECK_IS(result, -ENOTCONN);
    END;
}
