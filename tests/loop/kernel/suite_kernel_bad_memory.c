/* SPDX-License-Identifier: ISC
 *
 * The door's calls with addresses where no memory is.
 */
#include <loop/kernel/all.h>

#include "harness.h"

/* The compiler must not know it. */
static void *volatile nowhere = (void *)8;

static void make_ends(int row, int ends[2])
{
    if (row == 0) {
        CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    } else {
        CHECK_IS(loop_kernel_socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    }
}

static void close_ends(const int ends[2])
{
    CHECK_IS(loop_kernel_close(ends[0]), 0);
    CHECK_IS(loop_kernel_close(ends[1]), 0);
}

TEST_ROWS(read_into_no_memory_is_efault_once_there_are_bytes, 2, row)
{
    int ends[2];

    make_ends(row, ends);
    CHECK_IS(loop_kernel_read(ends[0], nowhere, 1), -1);
    CHECK_IS(errno, EAGAIN);
    CHECK_IS(loop_kernel_write(ends[1], "x", 1), 1);
    CHECK_IS(loop_kernel_read(ends[0], nowhere, 1), -1);
    CHECK_IS(errno, EFAULT);
    close_ends(ends);
}

TEST_ROWS(write_from_no_memory_is_efault, 2, row)
{
    int ends[2];

    make_ends(row, ends);
    CHECK_IS(loop_kernel_write(ends[1], nowhere, 1), -1);
    CHECK_IS(errno, EFAULT);
    CHECK_IS(loop_kernel_write(ends[1], nowhere, 0), 0);
    close_ends(ends);
}

TEST(receive_into_no_memory_is_efault)
{
    int ends[2];

    make_ends(1, ends);
    CHECK_IS(loop_kernel_send(ends[1], nowhere, 1, 0), -1);
    CHECK_IS(errno, EFAULT);
    CHECK_IS(loop_kernel_send(ends[1], "x", 1, 0), 1);
    CHECK_IS(loop_kernel_recv(ends[0], nowhere, 1, 0), -1);
    CHECK_IS(errno, EFAULT);
    close_ends(ends);
}
