/* SPDX-License-Identifier: ISC
 *
 * loop_op_connect: successful and refused connections.
 */
#include "descriptors.h"
#include "show.h"

#include <loop/part.h>

#include <sys/un.h>

/* ---- sockets ---- */

LOOP_TEST(connect_and_accept)
{
    static struct sockaddr_in address, peer;
    static socklen_t length = sizeof peer;
    static struct loop_fd *listener, *fd;
    static struct once accepted;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    START(loop_op_accept(NULL, listener, (struct sockaddr *)&peer, &length, ONCE(&accepted)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(accepted.count, 0);
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&address, sizeof address, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(accepted.count);
    CHECK(accepted.result >= 0);
    CHECK_IS(length, sizeof peer);
    CHECK_IS(peer.sin_family, AF_INET);
    CHECK_IS(fcntl((int)accepted.result, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl((int)accepted.result, F_GETFL) & O_NONBLOCK);
    close((int)accepted.result);
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&address, sizeof address, GO));
    CHECK_IS(result, -EISCONN);
    END;
}

LOOP_TEST(connect_is_refused)
{
    static struct sockaddr_in address;
    static struct loop_fd *fd;
    static struct sockaddr_un missing;

    BEGIN;
    close(make_listener(&address));
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&address, sizeof address, GO));
    CHECK_IS(result, -ECONNREFUSED);
    fd = adopt(env->scope, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    missing.sun_family = AF_UNIX;
    strcpy(missing.sun_path, "/nowhere/at/all");
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&missing, sizeof missing, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&missing, 1, GO));
    CHECK_IS(result, -EINVAL);
    fd = adopt(env->scope, make_file("", 0));
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&address, sizeof address, GO));
    CHECK_IS(result, -ENOTSOCK);
    END;
}

/* ---- connect, accept ---- */

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

/* No readiness event reports that a Unix listener has room again. */
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

/* ---- P3: memory is the job's until its continuation ---- */

static loop_job connect_by_local_address(struct loop_fd *fd, const struct sockaddr_in *address, loop_fn *fn, void *arg)
{
    struct sockaddr_in copy = *address;
    loop_job job = loop_op_connect(NULL, fd, (const struct sockaddr *)&copy, sizeof copy, fn, arg);

    memset(&copy, 0xff, sizeof copy);
    return job;
}

LOOP_TEST(p03_addresses_are_copied)
{
    static struct sockaddr_in address;
    static struct loop_fd *fd;

    BEGIN;
    adopt(env->scope, make_listener(&address));
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    AWAIT(connect_by_local_address(fd, &address, GO));
    CHECK_IS(result, 0);
    END;
}

/* ---- sockets ---- */

static const char sockets_text[] = "connect refused: ECONNREFUSED\n"
                                   "connect with a short address: EINVAL\n"
                                   "connect with an address of nothing: EINVAL\n"
                                   "connect to another family: EAFNOSUPPORT\n"
                                   "connect: 0\n"
                                   "connect again: EISCONN\n"
                                   "recv that doesn't wait: EAGAIN\n"
                                   "recv_msg that doesn't wait: EAGAIN\n"
                                   "send: 1\n"
                                   "peek: 1\n"
                                   "recv: 1\n"
                                   "shutdown for writing: 0\n"
                                   "send after the shutdown: EPIPE\n"
                                   "write after the shutdown: EPIPE\n"
                                   "recv at the end: 0\n"
                                   "read at the end: 0\n"
                                   "stream at the end: 0\n"
                                   "recv_multishot at the end: 0\n"
                                   "write the other way: 4\n"
                                   "read it: 4\n"
                                   "loop_shutdown: 0\n"
                                   "loop_shutdown again: 0\n"
                                   "connect to a missing path: ENOENT\n"
                                   "connect to a directory: ECONNREFUSED\n";

static struct loop_flow *tcp_socket(struct loop_scope *scope)
{
    return flow_of(scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static struct loop_flow *unix_socket(struct loop_scope *scope)
{
    return flow_of(scope, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

LOOP_TEST(p17_sockets)
{
    static struct loop_flow *one, *other;
    static struct loop_fd *listener;
    static struct sockaddr_in address, nobody;
    static struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/tmp/noria-no-such-socket"};

    BEGIN;
    close(make_listener(&nobody));
    listener = adopt(env->scope, make_listener(&address));
    one = tcp_socket(env->scope);
    SHOW("connect refused", loop_op_connect(NULL, one->fd, (struct sockaddr *)&nobody, sizeof nobody, GO));
    one = tcp_socket(env->scope);
    SHOW("connect with a short address", loop_op_connect(NULL, one->fd, (struct sockaddr *)&address, 3, GO));
    SHOW("connect with an address of nothing", loop_op_connect(NULL, one->fd, (struct sockaddr *)&address, 0, GO));
    SHOW("connect to another family", loop_op_connect(NULL, one->fd, (struct sockaddr *)&local, sizeof local, GO));
    SHOW("connect", loop_op_connect(NULL, one->fd, (struct sockaddr *)&address, sizeof address, GO));
    SHOW("connect again", loop_op_connect(NULL, one->fd, (struct sockaddr *)&address, sizeof address, GO));
    AWAIT(loop_op_accept(NULL, listener, NULL, NULL, GO));
    CHECK(result >= 0 && fcntl((int)result, F_GETFD) == FD_CLOEXEC && fcntl((int)result, F_GETFL) & O_NONBLOCK);
    other = flow_of(env->scope, (int)result);
    SHOW("recv that doesn't wait", loop_op_recv(NULL, one->fd, shown_bytes, 1, MSG_DONTWAIT, GO));
    SHOW("recv_msg that doesn't wait",
         loop_op_recv_msg(NULL, one->fd, &(struct loop_message){.iov = &one_byte, .n_iov = 1, .flags = MSG_DONTWAIT},
                          GO));
    SHOW("send", loop_op_send(NULL, one->fd, "a", 1, 0, GO));
    SHOW("peek", loop_op_recv(NULL, other->fd, shown_bytes, 1, MSG_PEEK, GO));
    SHOW("recv", loop_op_recv(NULL, other->fd, shown_bytes, 1, 0, GO));
    SHOW("shutdown for writing", loop_op_shutdown(NULL, one->fd, SHUT_WR, GO));
    SHOW("send after the shutdown", loop_op_send(NULL, one->fd, "a", 1, 0, GO));
    SHOW("write after the shutdown", loop_write(&one->sink, "a", 1, GO));
    SHOW("recv at the end", loop_op_recv(NULL, other->fd, shown_bytes, 1, 0, GO));
    SHOW("read at the end", loop_read(&other->source, shown_bytes, 1, GO));
    SHOW("stream at the end", loop_stream(&other->source, STREAM_END));
    SHOW("recv_multishot at the end",
         loop_op_recv_multishot(NULL, other->fd, loop_buffers_create(env->scope, 1, 64), RECEIVE_END));
    SHOW("write the other way", loop_write(&other->sink, "back", 4, GO));
    SHOW("read it", loop_read_exact(&one->source, shown_bytes, 4, GO));
    SHOW("loop_shutdown", loop_shutdown(&other->sink, GO));
    SHOW("loop_shutdown again", loop_shutdown(&other->sink, GO));
    one = unix_socket(env->scope);
    SHOW("connect to a missing path", loop_op_connect(NULL, one->fd, (struct sockaddr *)&local, sizeof local, GO));
    local.sun_path[4] = 0;
    SHOW("connect to a directory", loop_op_connect(NULL, one->fd, (struct sockaddr *)&local, sizeof local, GO));
    CHECK_TEXT(trace_text(), sockets_text);
    END;
}
