/* SPDX-License-Identifier: ISC
 *
 * sendfile(2) of the door: the real kernel and the simulated one must give the same results.
 */
#include "kernel.h"

#include "files.h"

static char bytes[1 << 20];

/* A file with a text, and a pair of connected sockets that do not wait. */
struct rig {
    struct ground ground;
    int file, sockets[2];
};

static struct rig set_up(const char *text)
{
    struct rig rig = {.ground = enter_ground()};

    put_text(rig.ground.dir, "file", text);
    rig.file = open_in(rig.ground.dir, "file", O_RDONLY);
    CHECK_IS(loop_kernel_socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, rig.sockets), 0);
    return rig;
}

static void tear_down(const struct rig *rig)
{
    CHECK_IS(loop_kernel_close(rig->file), 0);
    close_both(rig->sockets);
    leave_ground(&rig->ground);
}

static void check_received(const struct rig *rig, const char *text)
{
    CHECK_IS(loop_kernel_recv(rig->sockets[1], bytes, sizeof bytes, 0), strlen(text));
    CHECK(memcmp(bytes, text, strlen(text)) == 0);
}

TEST(sendfile_moves_the_position_where_no_offset_is_given)
{
    struct rig rig = set_up("all the bytes");

    CHECK_IS(loop_kernel_sendfile(rig.sockets[0], rig.file, NULL, 4), 4);
    CHECK_IS(loop_kernel_lseek(rig.file, 0, SEEK_CUR), 4);
    CHECK_IS(loop_kernel_sendfile(rig.sockets[0], rig.file, NULL, 100), 9);
    CHECK_IS(loop_kernel_sendfile(rig.sockets[0], rig.file, NULL, 100), 0);
    check_received(&rig, "all the bytes");
    tear_down(&rig);
}

TEST(sendfile_from_an_offset_leaves_the_position)
{
    struct rig rig = set_up("all the bytes");
    off_t offset = 4;

    CHECK_IS(loop_kernel_sendfile(rig.sockets[0], rig.file, &offset, 3), 3);
    CHECK_IS(offset, 7);
    CHECK_IS(loop_kernel_lseek(rig.file, 0, SEEK_CUR), 0);
    check_received(&rig, "the");
    offset = 100;
    CHECK_IS(loop_kernel_sendfile(rig.sockets[0], rig.file, &offset, 3), 0);
    tear_down(&rig);
}

TEST(sendfile_to_a_full_socket_moves_nothing)
{
    struct rig rig = set_up("more");
    off_t offset = 1;

    while (loop_kernel_send(rig.sockets[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
    CHECK_FAILS(loop_kernel_sendfile(rig.sockets[0], rig.file, &offset, 3), EAGAIN);
    CHECK_IS(offset, 1);
    CHECK_FAILS(loop_kernel_sendfile(rig.sockets[0], rig.file, NULL, 3), EAGAIN);
    CHECK_IS(loop_kernel_lseek(rig.file, 0, SEEK_CUR), 0);
    tear_down(&rig);
}

TEST(sendfile_refuses_what_is_no_file)
{
    struct rig rig = set_up("text");
    off_t negative = -1;
    int pipe[2];

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    CHECK_FAILS(loop_kernel_sendfile(rig.sockets[0], pipe[1], NULL, 1), EBADF);
    CHECK_FAILS(loop_kernel_sendfile(rig.sockets[0], rig.sockets[1], NULL, 1), EINVAL);
    CHECK_FAILS(loop_kernel_sendfile(rig.sockets[0], rig.file, &negative, 1), EINVAL);
    CHECK_FAILS(loop_kernel_sendfile(rig.sockets[0], -1, NULL, 1), EBADF);
    CHECK_FAILS(loop_kernel_sendfile(-1, rig.file, NULL, 1), EBADF);
    CHECK_FAILS(loop_kernel_sendfile(rig.file, rig.file, NULL, 1), EBADF);
    close_both(pipe);
    tear_down(&rig);
}

TEST(sendfile_to_a_peer_that_is_gone_fails)
{
    struct rig rig = set_up("text");

    block_sigpipe();
    CHECK_IS(loop_kernel_close(rig.sockets[1]), 0);
    CHECK_FAILS(loop_kernel_sendfile(rig.sockets[0], rig.file, NULL, 4), EPIPE);
    rig.sockets[1] = loop_kernel_dup(rig.sockets[0], 3);
    (void)take_sigpipe(); /* a Unix socket gives none */
    tear_down(&rig);
}
