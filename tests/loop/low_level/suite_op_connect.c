/* SPDX-License-Identifier: ISC
 *
 * loop_op_connect: connections that are made, and those that are refused.
 */
#include "descriptors.h"

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
