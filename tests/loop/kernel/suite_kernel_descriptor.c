/* SPDX-License-Identifier: ISC
 *
 * The door's functions for descriptors of any kind, and for standard streams: the real kernel and the simulated one
 * must give the same answers.
 */
#include "kernel.h"

#include <linux/fs.h>

static char bytes[64];

static int new_event(void)
{
    int number = loop_kernel_eventfd(1, EFD_NONBLOCK);
    CHECK(number >= 0);
    return number;
}

/* ---- numbers ---- */

TEST(descriptor_numbers_are_the_lowest_free)
{
    int a = new_event(), b = new_event(), c = new_event();

    CHECK(a < b && b < c);
    CHECK_IS(loop_kernel_close(a), 0);
    CHECK_IS(loop_kernel_close(b), 0);
    CHECK_IS(new_event(), a);
    CHECK_IS(new_event(), b);
    CHECK_IS(loop_kernel_close(a), 0);
    CHECK_IS(loop_kernel_close(b), 0);
    CHECK_IS(loop_kernel_close(c), 0);
    CHECK_FAILS(loop_kernel_close(c), EBADF);
    CHECK_FAILS(loop_kernel_close(-1), EBADF);
}

TEST(descriptor_duplicate_shares_the_file_but_not_its_flag)
{
    int number = new_event(), other = loop_kernel_dup(number, 40);

    CHECK_IS(other, 40);
    CHECK_IS(loop_kernel_fcntl(other, F_GETFD, 0), FD_CLOEXEC);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFD, 0), 0);
    CHECK_IS(loop_kernel_fcntl(other, F_SETFL, 0), 0);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFL, 0), O_RDWR);
    CHECK_IS(loop_kernel_close(number), 0);
    CHECK_IS(loop_kernel_read(other, bytes, 8), 8);
    CHECK_IS(loop_kernel_close(other), 0);
}

TEST(descriptor_duplicates_are_refused_beyond_the_limit)
{
    struct rlimit limit;
    int number = new_event();

    CHECK_IS(loop_kernel_getrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_FAILS(loop_kernel_dup(number, -1), EINVAL);
    CHECK_FAILS(loop_kernel_dup(number, (int)limit.rlim_cur), EINVAL);
    CHECK_FAILS(loop_kernel_dup(-1, 0), EBADF);
    CHECK_IS(loop_kernel_dup(number, (int)limit.rlim_cur - 1), limit.rlim_cur - 1);
    CHECK_FAILS(loop_kernel_dup(number, (int)limit.rlim_cur - 1), EMFILE);
    CHECK_IS(loop_kernel_close((int)limit.rlim_cur - 1), 0);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(descriptor_limit_is_reported_with_emfile)
{
    struct rlimit limit;
    int number = new_event(), pipe[2], last = number;

    CHECK_IS(loop_kernel_getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur > 4096) {
        CHECK_IS(loop_kernel_close(number), 0);
        return;
    }
    for (int other; (other = loop_kernel_dup(number, 0)) >= 0;) {
        last = other;
    }
    CHECK_IS(errno, EMFILE);
    CHECK_IS(last, limit.rlim_cur - 1);
    CHECK_FAILS(loop_kernel_eventfd(0, 0), EMFILE);
    CHECK_FAILS(loop_kernel_epoll_create1(0), EMFILE);
    CHECK_IS(loop_kernel_close(last), 0);
    CHECK_FAILS(loop_kernel_pipe2(pipe, 0), EMFILE); /* and keeps none */
    CHECK_IS(loop_kernel_eventfd(0, 0), last);
    while (last >= number) {
        CHECK_IS(loop_kernel_close(last--), 0);
    }
}

/* ---- flags ---- */

TEST(descriptor_flags_are_set_and_told)
{
    int number = new_event(), on = 1, off = 0;

    CHECK_IS(loop_kernel_fcntl(number, F_SETFD, FD_CLOEXEC | 6), 0);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFD, 0), FD_CLOEXEC);
    CHECK_IS(loop_kernel_fcntl(number, F_SETFD, 0), 0);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFD, 0), 0);
    CHECK_IS(loop_kernel_fcntl(number, F_SETFL, O_APPEND | O_SYNC | O_CLOEXEC | O_CREAT), 0);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFL, 0), O_RDWR | O_APPEND);
    CHECK_IS(loop_kernel_ioctl(number, FIONBIO, &on), 0);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFL, 0), O_RDWR | O_APPEND | O_NONBLOCK);
    CHECK_IS(loop_kernel_ioctl(number, FIONBIO, &off), 0);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFL, 0), O_RDWR | O_APPEND);
    CHECK_IS(loop_kernel_ioctl(number, FIOCLEX, NULL), 0);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFD, 0), FD_CLOEXEC);
    CHECK_IS(loop_kernel_ioctl(number, FIONCLEX, NULL), 0);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFD, 0), 0);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(descriptor_fcntl_refuses_what_it_does_not_know)
{
    int number = new_event(), pipe[2];

    CHECK_IS(loop_kernel_pipe2(pipe, 0), 0);
    CHECK_FAILS(loop_kernel_fcntl(number, 9999, 0), EINVAL);
    CHECK_FAILS(loop_kernel_fcntl(-1, 9999, 0), EBADF);
    CHECK_FAILS(loop_kernel_fcntl(-1, F_GETFL, 0), EBADF);
    CHECK_FAILS(loop_kernel_fcntl(number, F_ADD_SEALS, F_SEAL_GROW), EINVAL);
    CHECK_FAILS(loop_kernel_fcntl(pipe[0], F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK_FAILS(loop_kernel_fcntl(number, F_SETPIPE_SZ, 4096), EBADF);
    CHECK_IS(loop_kernel_fcntl(number, F_GETOWN, 0), 0);
    CHECK_FAILS(loop_kernel_ioctl_int(number, FICLONE, pipe[0]), EXDEV);
    close_both(pipe);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(descriptor_that_is_none_is_refused_by_every_call)
{
    struct iovec one = {bytes, 1};
    struct stat status;

    CHECK_FAILS(loop_kernel_read(1000, bytes, 1), EBADF);
    CHECK_FAILS(loop_kernel_write(1000, bytes, 1), EBADF);
    CHECK_FAILS(loop_kernel_pread(1000, bytes, 1, 0), EBADF);
    CHECK_FAILS(loop_kernel_pread(1000, bytes, 1, -1), EINVAL);
    CHECK_FAILS(loop_kernel_pwritev(1000, &one, 1, 0), EBADF);
    CHECK_FAILS(loop_kernel_preadv2(1000, &one, 1, 0, RWF_NOWAIT), EBADF);
    CHECK_FAILS(loop_kernel_lseek(1000, 0, SEEK_SET), EBADF);
    CHECK_FAILS(loop_kernel_ioctl(1000, FIONREAD, bytes), EBADF);
    CHECK_FAILS(loop_kernel_fstat(1000, &status), EBADF);
    CHECK_IS(loop_kernel_isatty(1000), 0);
    CHECK_IS(errno, EBADF);
}

/* ---- standard streams ---- */

TEST(descriptor_standard_streams_are_open)
{
    for (int number = 0; number < 3; number++) {
        int flags = loop_kernel_fcntl(number, F_GETFL, 0);
        CHECK(flags >= 0);
        CHECK_IS(loop_kernel_fcntl(number, F_GETFD, 0), 0);
    }
    CHECK_IS(loop_kernel_write(2, "", 0), 0);
}
