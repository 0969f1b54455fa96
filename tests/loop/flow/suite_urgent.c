/* SPDX-License-Identifier: ISC
 *
 * Reads that end early although more bytes are available: at TCP's urgent mark, at passed descriptors and urgent bytes
 * of a Unix socket, at packet boundaries of a pipe. The remaining bytes must arrive without another event. The
 * reference is what recv(2) returns until -EAGAIN.
 */
#include "harness.h"

#include <loop/reader.h>
#include <linux/tcp.h>
#include <sched.h>

#define ROOM 64

static struct loop_fd *reader;
static int peer;
static char expected[ROOM], got[ROOM];
static size_t n_expected, n_got;

/* ---- the peer ---- */

/* `!` is an urgent byte, `+` a byte with a descriptor; other bytes up to one of those go out together. */
static size_t send_script(int fd, const char *text)
{
    size_t total = 0;
    while (*text) {
        size_t len = strcspn(text, "!+");
        if (len == 0 && *text == '!') {
            CHECK_IS(send(fd, "!", 1, MSG_OOB), 1);
        } else if (len == 0) {
            struct iovec iov = {(void *)(uintptr_t)text, 1};
            union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
            } control = {{0}};
            struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
            control.header =
                (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
            memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
            CHECK_IS(sendmsg(fd, &message, 0), 1);
        } else {
            CHECK_IS(send(fd, text, len, 0), len);
        }
        len = len ? len : 1;
        text += len;
        total += len;
    }
    return total;
}

static void wait_until_arrived(int fd, size_t len)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    while (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_bytes_received < len) {
        sched_yield();
    }
}

static size_t read_all_there(int fd, char *to)
{
    size_t total = 0;
    ssize_t n;
    while ((n = recv(fd, to + total, ROOM - total, MSG_DONTWAIT)) > 0) {
        total += (size_t)n;
    }
    return total;
}

typedef void make_fn(int fds[2]);

static void make_prompt_pair(int fds[2])
{
    int on = 1;
    make_tcp_pair(fds);
    CHECK_IS(setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
}

static void make_inline_pair(int fds[2])
{
    int on = 1;
    make_prompt_pair(fds);
    CHECK_IS(setsockopt(fds[0], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on), 0);
}

/* What recv(2) makes of the script, into `expected`. */
static void expect(make_fn *make, const char *text)
{
    int fds[2];
    make(fds);
    wait_until_arrived(fds[0], send_script(fds[1], text));
    n_expected = read_all_there(fds[0], expected);
    close(fds[0]);
    close(fds[1]);
}

/* The reader of a new pair, to which the script has been sent. */
static void begin_case(struct loop_scope *scope, make_fn *make, const char *text)
{
    int fds[2];
    expect(make, text);
    make(fds);
    reader = adopt(scope, fds[0]);
    peer = fds[1];
    wait_until_arrived(fds[0], send_script(peer, text));
    n_got = 0;
}

static void close_reader(void)
{
    CHECK_IS(n_got, n_expected);
    CHECK(memcmp(got, expected, n_got) == 0);
    loop_fd_destroy(reader);
}

static void end_case(void)
{
    close_reader();
    close(peer);
}

/* ---- the ways to read ---- */

static void take(struct loop_fd *fd, const void *data, int64_t n)
{
    (void)fd;
    CHECK(n > 0 && (size_t)n <= ROOM - n_got);
    memcpy(got + n_got, data, (size_t)n);
    n_got += (size_t)n;
}

static size_t n_ends;

static void on_stream(void *arg, int64_t n, struct loop_chunk *chunk)
{
    if (chunk) {
        take(arg, loop_chunk_data(chunk), n);
    } else {
        CHECK_IS(n, -ECANCELED);
        n_ends++;
    }
    script_poke();
}

static struct loop_buffers *buffers;

static void on_received(void *arg, int64_t n, void *data)
{
    if (data) {
        take(arg, data, n);
        CHECK_IS(loop_buffers_recycle(buffers, data), 0);
    } else {
        CHECK_IS(n, -ECANCELED);
        n_ends++;
    }
    script_poke();
}

static const char *const tcp_scripts[] = {"abc!def", "!abcdef", "abcdef!", "abc!def!ghi", "!",
                                          "!!",      "a!b!c!d", "abc!",    "!abc!",       "abcdef"};
static make_fn *const tcp_makes[] = {make_prompt_pair, make_inline_pair};

#define TCP_CASES (COUNT_OF(tcp_scripts) * COUNT_OF(tcp_makes))

static void begin_tcp_case(struct loop_scope *scope, size_t i)
{
    begin_case(scope, tcp_makes[i % COUNT_OF(tcp_makes)], tcp_scripts[i / COUNT_OF(tcp_makes)]);
}

LOOP_TEST(reads_go_on_behind_urgent_data)
{
    static size_t i;
    static char bytes[ROOM];

    BEGIN;
    for (i = 0; i < TCP_CASES; i++) {
        begin_tcp_case(env->scope, i);
        while (n_got < n_expected) {
            AWAIT(loop_read(&loop_fd_flow(reader)->source, bytes, sizeof bytes, GO));
            take(reader, bytes, result);
        }
        end_case();
    }
    END;
}

LOOP_TEST(exact_reads_go_on_behind_urgent_data)
{
    static size_t i;

    BEGIN;
    for (i = 0; i < TCP_CASES; i++) {
        begin_tcp_case(env->scope, i);
        if (n_expected > 0) {
            AWAIT(loop_read_exact(&loop_fd_flow(reader)->source, got, n_expected, GO));
            n_got = (size_t)result;
        }
        end_case();
    }
    END;
}

LOOP_TEST(streams_go_on_behind_urgent_data)
{
    static size_t i;

    BEGIN;
    for (i = 0; i < TCP_CASES; i++) {
        begin_tcp_case(env->scope, i);
        START(loop_stream(&loop_fd_flow(reader)->source, on_stream, reader));
        WAIT_UNTIL(n_got >= n_expected);
        close_reader();
        WAIT_UNTIL(n_ends > i); /* otherwise the end of the peer may come before the cancel: P4 */
        close(peer);
    }
    END;
}

LOOP_TEST(readers_go_on_behind_urgent_data)
{
    static size_t i;
    static struct loop_reader *lines;
    static const char *window;

    BEGIN;
    for (i = 0; i < TCP_CASES; i++) {
        begin_tcp_case(env->scope, i);
        lines = loop_reader_create(&loop_fd_flow(reader)->source, (size_t)2 * ROOM);
        if (n_expected > 0) {
            AWAIT(loop_reader_fill(lines, n_expected, GO));
            window = loop_reader_peek(lines, NULL);
            take(reader, window, result);
        }
        loop_reader_destroy(lines);
        end_case();
    }
    END;
}

LOOP_TEST(receives_go_on_behind_urgent_data)
{
    static size_t i;
    static char bytes[ROOM];

    BEGIN;
    for (i = 0; i < TCP_CASES; i++) {
        begin_tcp_case(env->scope, i);
        while (n_got < n_expected) {
            AWAIT(loop_op_recv(NULL, reader, bytes, sizeof bytes, 0, GO));
            take(reader, bytes, result);
        }
        end_case();
    }
    END;
}

LOOP_TEST(multishot_receives_go_on_behind_urgent_data)
{
    static size_t i;

    BEGIN;
    buffers = loop_buffers_create(env->scope, 8, ROOM);
    for (i = 0; i < TCP_CASES; i++) {
        begin_tcp_case(env->scope, i);
        START(loop_op_recv_multishot(NULL, reader, buffers, on_received, reader));
        WAIT_UNTIL(n_got >= n_expected);
        close_reader();
        WAIT_UNTIL(n_ends > i); /* otherwise the end of the peer may come before the cancel: P4 */
        close(peer);
    }
    END;
}

LOOP_TEST(tried_reads_go_on_behind_urgent_data)
{
    static size_t i;
    static char bytes[ROOM];
    static int64_t n;

    BEGIN;
    for (i = 0; i < TCP_CASES; i++) {
        begin_tcp_case(env->scope, i);
        while (n_got < n_expected) {
            AWAIT(loop_wait_readable(&loop_fd_flow(reader)->source, GO));
            n = loop_try_read(&loop_fd_flow(reader)->source, bytes, sizeof bytes);
            CHECK(n > 0 || n == -EAGAIN);
            take(reader, bytes, n > 0 ? n : 0);
        }
        end_case();
    }
    END;
}

/* The mark comes while a read waits, and after it. */
LOOP_TEST(urgent_data_that_comes_later_stops_nothing)
{
    static unsigned round;
    static char bytes[ROOM];
    static struct once once;
    static int fds[2];

    BEGIN;
    make_prompt_pair(fds);
    reader = adopt(env->scope, fds[0]);
    peer = fds[1];
    for (round = 0; round < 50; round++) {
        once = (struct once){0};
        START(loop_read(&loop_fd_flow(reader)->source, bytes, sizeof bytes, ONCE(&once)));
        AWAIT(turns(env->scope, 1 + round % 3, GO));
        send_script(peer, "abc!def");
        WAIT_UNTIL(once.count);
        for (n_got = 0, take(reader, bytes, once.result); n_got < 6;) {
            AWAIT(loop_read(&loop_fd_flow(reader)->source, bytes, sizeof bytes, GO));
            take(reader, bytes, result);
        }
        CHECK(memcmp(got, "abcdef", 6) == 0);
    }
    loop_fd_destroy(reader);
    close(peer);
    END;
}

LOOP_TEST(read_urgent_byte_stops_nothing)
{
    static char bytes[ROOM], byte;

    BEGIN;
    begin_case(env->scope, make_prompt_pair, "abc!def");
    AWAIT(loop_op_recv(NULL, reader, &byte, 1, MSG_OOB, GO));
    CHECK_IS(result, 1);
    CHECK_IS(byte, '!');
    while (n_got < n_expected) {
        AWAIT(loop_read(&loop_fd_flow(reader)->source, bytes, sizeof bytes, GO));
        take(reader, bytes, result);
    }
    end_case();
    END;
}

LOOP_TEST(polls_hear_of_urgent_data_and_of_nothing_else)
{
    static struct once alone, both;
    static int fds[2];
    static char bytes[ROOM];

    BEGIN;
    make_prompt_pair(fds);
    reader = adopt(env->scope, fds[0]);
    peer = fds[1];
    START(loop_poll(reader, POLLPRI, ONCE(&alone)));
    START(loop_poll(reader, POLLPRI | POLLIN, ONCE(&both)));
    AWAIT(turns(env->scope, 2, GO));
    send_script(peer, "abc");
    WAIT_UNTIL(both.count);
    ONCE_IS(both, POLLIN);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(alone.count, 0);
    AWAIT(loop_read(&loop_fd_flow(reader)->source, bytes, sizeof bytes, GO));
    send_script(peer, "def!");
    WAIT_UNTIL(alone.count);
    ONCE_IS(alone, POLLPRI);
    loop_fd_destroy(reader);
    close(peer);
    END;
}

/* ---- Unix sockets ---- */

static const char *const unix_scripts[] = {"abc+def", "+abcdef", "+++",   "a+b+c+d",
                                           "abc!def", "!abc",    "a!b!c", "abc+!+def"};

/* Whether the kernel has urgent data on Unix sockets (Linux 5.15, and then by its configuration). */
static bool can_send(const char *text)
{
    int fds[2];
    make_pair(fds);
    bool can = !strchr(text, '!') || send(fds[0], "!", 1, MSG_OOB) == 1;
    close(fds[0]);
    close(fds[1]);
    return can;
}

LOOP_TEST(unix_reads_go_on_behind_passed_descriptors)
{
    static size_t i;
    static char bytes[ROOM];

    BEGIN;
    for (i = 0; i < COUNT_OF(unix_scripts); i++) {
        if (!can_send(unix_scripts[i])) {
            continue;
        }
        begin_case(env->scope, make_pair, unix_scripts[i]);
        while (n_got < n_expected) {
            AWAIT(loop_read(&loop_fd_flow(reader)->source, bytes, sizeof bytes, GO));
            take(reader, bytes, result);
        }
        end_case();
    }
    END;
}

LOOP_TEST(unix_streams_go_on_behind_passed_descriptors)
{
    static size_t i;

    BEGIN;
    for (i = 0; i < COUNT_OF(unix_scripts); i++) {
        if (!can_send(unix_scripts[i])) {
            continue;
        }
        begin_case(env->scope, make_pair, unix_scripts[i]);
        START(loop_stream(&loop_fd_flow(reader)->source, on_stream, reader));
        WAIT_UNTIL(n_got >= n_expected);
        end_case();
    }
    END;
}

LOOP_TEST(unix_multishot_receives_go_on_behind_passed_descriptors)
{
    static size_t i;

    BEGIN;
    buffers = loop_buffers_create(env->scope, 8, ROOM);
    for (i = 0; i < COUNT_OF(unix_scripts); i++) {
        if (!can_send(unix_scripts[i])) {
            continue;
        }
        begin_case(env->scope, make_pair, unix_scripts[i]);
        START(loop_op_recv_multishot(NULL, reader, buffers, on_received, reader));
        WAIT_UNTIL(n_got >= n_expected);
        end_case();
    }
    END;
}

/* ---- pipes ---- */

/* Packets are the writer's choice: the end that reads doesn't show it. */
LOOP_TEST(packets_in_a_pipe_follow_each_other)
{
    static int ends[2];
    static char bytes[ROOM];
    static struct loop_fd *fd;

    BEGIN;
    make_pipe(ends);
    CHECK_IS(fcntl(ends[1], F_SETFL, fcntl(ends[1], F_GETFL) | O_DIRECT), 0);
    CHECK_IS(write(ends[1], "abc", 3), 3);
    CHECK_IS(write(ends[1], "def", 3), 3);
    fd = adopt(env->scope, ends[0]);
    for (n_got = 0; n_got < 6;) {
        AWAIT(loop_read(&loop_fd_flow(fd)->source, bytes, sizeof bytes, GO));
        take(fd, bytes, result);
    }
    CHECK(memcmp(got, "abcdef", 6) == 0);
    close(ends[1]);
    END;
}
