/* SPDX-License-Identifier: ISC
 *
 * The door's functions for pipes, FIFOs, and splice between them: the real kernel and the simulated one must give the
 * same answers.
 */
#include "kernel.h"

#include <limits.h>

enum { PAGE = 4096, FULL = 16 * PAGE };

static char bytes[2 * FULL];

/* ---- making ---- */

TEST(pipe_flags_are_those_that_were_asked_for)
{
    int pipe[2];

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK | O_CLOEXEC), 0);
    CHECK_IS(loop_kernel_fcntl(pipe[0], F_GETFL, 0), O_RDONLY | O_NONBLOCK);
    CHECK_IS(loop_kernel_fcntl(pipe[1], F_GETFL, 0), O_WRONLY | O_NONBLOCK);
    CHECK_IS(loop_kernel_fcntl(pipe[0], F_GETFD, 0), FD_CLOEXEC);
    CHECK_IS(loop_kernel_fcntl(pipe[1], F_GETFD, 0), FD_CLOEXEC);
    close_both(pipe);
    CHECK_IS(loop_kernel_pipe2(pipe, 0), 0);
    CHECK_IS(loop_kernel_fcntl(pipe[1], F_GETFD, 0), 0);
    CHECK_IS(loop_kernel_fcntl(pipe[1], F_SETFL, O_APPEND | O_DIRECT), 0);
    CHECK_IS(loop_kernel_fcntl(pipe[1], F_GETFL, 0), O_WRONLY | O_APPEND | O_DIRECT);
    close_both(pipe);
    CHECK_IS(loop_kernel_pipe2(pipe, O_DIRECT), 0); /* of packets: the end that makes them */
    CHECK_IS(loop_kernel_fcntl(pipe[0], F_GETFL, 0), O_RDONLY);
    CHECK_IS(loop_kernel_fcntl(pipe[1], F_GETFL, 0), O_WRONLY | O_DIRECT);
    close_both(pipe);
    CHECK_FAILS(loop_kernel_pipe2(pipe, O_APPEND), EINVAL);
}

TEST(pipe_ends_refuse_the_other_direction_and_positions)
{
    int pipe[2];

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    CHECK_FAILS(loop_kernel_read(pipe[1], bytes, 1), EBADF);
    CHECK_FAILS(loop_kernel_write(pipe[0], bytes, 1), EBADF);
    CHECK_FAILS(loop_kernel_pread(pipe[0], bytes, 1, 0), ESPIPE);
    CHECK_FAILS(loop_kernel_pread(pipe[0], bytes, 1, -1), EINVAL);
    CHECK_FAILS(loop_kernel_pwrite(pipe[0], bytes, 1, 0), ESPIPE);
    CHECK_FAILS(loop_kernel_lseek(pipe[0], 0, SEEK_CUR), ESPIPE);
    CHECK_FAILS(loop_kernel_ioctl(pipe[0], TCGETS, bytes), ENOTTY);
    CHECK_IS(loop_kernel_isatty(pipe[0]), 0);
    CHECK_IS(errno, ENOTTY);
    close_both(pipe);
    CHECK_FAILS(loop_kernel_read(pipe[0], bytes, 1), EBADF);
}

/* ---- reading and writing ---- */

TEST(pipe_keeps_bytes_in_order_and_counts_them)
{
    int pipe[2], n = 0;

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    CHECK_FAILS(loop_kernel_read(pipe[0], bytes, 8), EAGAIN);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 0), 0);
    CHECK_IS(loop_kernel_write(pipe[1], "one", 3), 3);
    CHECK_IS(loop_kernel_write(pipe[1], "", 0), 0);
    char wo[] = "two";
    struct iovec two[2] = {{wo, 1}, {wo + 1, 2}};
    CHECK_IS(loop_kernel_writev(pipe[1], two, 2), 3);
    CHECK_IS(loop_kernel_ioctl(pipe[0], FIONREAD, &n), 0);
    CHECK_IS(n, 6);
    CHECK_IS(loop_kernel_ioctl(pipe[1], FIONREAD, &n), 0);
    CHECK_IS(n, 6);
    char a[2], b[8] = {0};
    struct iovec parts[2] = {{a, sizeof a}, {b, sizeof b - 1}};
    CHECK_IS(loop_kernel_readv(pipe[0], parts, 2), 6);
    CHECK(memcmp(a, "on", 2) == 0);
    CHECK_TEXT(b, "etwo");
    close_both(pipe);
}

TEST(pipe_vectors_are_checked)
{
    int pipe[2];
    struct iovec one = {bytes, 1}, none = {bytes, 0};
    volatile int too_few = -1, too_many = IOV_MAX + 1; /* compilers would warn of them */

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    CHECK_FAILS(loop_kernel_readv(pipe[0], &one, too_few), EINVAL);
    CHECK_FAILS(loop_kernel_readv(pipe[0], &one, too_many), EINVAL);
    CHECK_IS(loop_kernel_readv(pipe[0], &one, 0), 0);
    CHECK_IS(loop_kernel_readv(pipe[0], &none, 1), 0);
    CHECK_FAILS(loop_kernel_readv(pipe[1], &none, 1), EBADF);
    CHECK_FAILS(loop_kernel_writev(pipe[0], &none, 1), EBADF);
    CHECK_FAILS(loop_kernel_readv(-1, &one, 1), EBADF);
    close_both(pipe);
}

TEST(pipe_moves_at_once_or_not_with_rwf_nowait)
{
    int pipe[2];
    struct iovec one = {bytes, 8};

    CHECK_IS(loop_kernel_pipe2(pipe, 0), 0);
    CHECK_FAILS(loop_kernel_preadv2(pipe[0], &one, 1, -1, RWF_NOWAIT), EAGAIN);
    CHECK_FAILS(loop_kernel_preadv2(pipe[0], &one, 1, 0, RWF_NOWAIT), ESPIPE);
    CHECK_FAILS(loop_kernel_preadv2(pipe[0], &one, 1, -2, RWF_NOWAIT), EINVAL);
    CHECK_FAILS(loop_kernel_preadv2(pipe[0], &one, 1, -1, 0x40000), EOPNOTSUPP);
    CHECK_IS(loop_kernel_pwritev2(pipe[1], &one, 1, -1, RWF_NOWAIT), 8);
    CHECK_IS(loop_kernel_pwritev2(pipe[1], &one, 1, -1, RWF_DSYNC), 8);
    CHECK_IS(loop_kernel_preadv2(pipe[0], &one, 1, -1, RWF_NOWAIT), 8);
    while (loop_kernel_pwritev2(pipe[1], &(struct iovec){bytes, FULL}, 1, -1, RWF_NOWAIT) > 0) {
    }
    CHECK_IS(errno, EAGAIN);
    close_both(pipe);
}

TEST(pipe_takes_64_kib_and_writes_of_pipe_buf_are_whole)
{
    int pipe[2];

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    CHECK_IS(loop_kernel_write(pipe[1], bytes, sizeof bytes), FULL);
    CHECK_FAILS(loop_kernel_write(pipe[1], bytes, 1), EAGAIN);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, PAGE - 1), PAGE - 1);
    CHECK_FAILS(loop_kernel_write(pipe[1], bytes, 1), EAGAIN); /* no page is free yet */
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 1), 1);
    CHECK_IS(loop_kernel_write(pipe[1], bytes, PIPE_BUF), PIPE_BUF);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, sizeof bytes), FULL);
    close_both(pipe);
}

TEST(pipe_is_full_by_pages)
{
    int pipe[2], n;

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    for (n = 0; loop_kernel_write(pipe[1], bytes, 3000) == 3000; n++) {
    }
    CHECK_IS(n, 16);
    CHECK_IS(errno, EAGAIN);
    CHECK_IS(loop_kernel_write(pipe[1], bytes, 1096), 1096); /* fits into the last page */
    CHECK_FAILS(loop_kernel_write(pipe[1], bytes, 1), EAGAIN);
    close_both(pipe);
}

TEST(pipe_of_packets_keeps_their_bounds)
{
    int pipe[2];

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK | O_DIRECT), 0);
    CHECK_IS(loop_kernel_write(pipe[1], "three", 5), 5);
    CHECK_IS(loop_kernel_write(pipe[1], "four", 4), 4);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 2), 2); /* the rest of the packet is lost */
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 100), 4);
    CHECK(memcmp(bytes, "four", 4) == 0);
    CHECK_IS(loop_kernel_write(pipe[1], bytes, PAGE + 1), PAGE + 1);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, sizeof bytes), PAGE);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, sizeof bytes), 1);
    close_both(pipe);
}

/* ---- ends that are closed ---- */

TEST(pipe_ends_after_its_last_byte)
{
    int pipe[2];

    CHECK_IS(loop_kernel_pipe2(pipe, 0), 0);
    CHECK_IS(loop_kernel_write(pipe[1], "x", 1), 1);
    CHECK_IS(loop_kernel_close(pipe[1]), 0);
    CHECK_IS(poll_now(pipe[0], POLLIN), POLLIN | POLLHUP);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 10), 1);
    CHECK_IS(poll_now(pipe[0], POLLIN), POLLHUP);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 10), 0);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 10), 0);
    CHECK_IS(loop_kernel_close(pipe[0]), 0);
}

TEST(pipe_without_readers_fails_with_a_signal)
{
    int pipe[2];

    block_sigpipe();
    CHECK_IS(loop_kernel_pipe2(pipe, 0), 0);
    CHECK_IS(loop_kernel_write(pipe[1], "x", 1), 1);
    CHECK_IS(loop_kernel_close(pipe[0]), 0);
    CHECK_IS(poll_now(pipe[1], POLLOUT), POLLOUT | POLLERR);
    CHECK_FAILS(loop_kernel_write(pipe[1], "x", 1), EPIPE);
    CHECK_IS(take_sigpipe(), SIGPIPE);
    CHECK_FAILS(take_sigpipe(), EAGAIN);
    CHECK_IS(loop_kernel_write(pipe[1], "", 0), 0);
    CHECK_IS(loop_kernel_close(pipe[1]), 0);
}

TEST(pipe_lives_while_a_duplicate_does)
{
    int pipe[2], other;

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    other = loop_kernel_dup(pipe[1], 0);
    CHECK(other > pipe[1]);
    CHECK_IS(loop_kernel_close(pipe[1]), 0);
    CHECK_FAILS(loop_kernel_read(pipe[0], bytes, 1), EAGAIN);
    CHECK_IS(loop_kernel_write(other, "x", 1), 1);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 1), 1);
    CHECK_IS(loop_kernel_close(other), 0);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 1), 0);
    CHECK_IS(loop_kernel_close(pipe[0]), 0);
}

TEST(pipe_readiness_is_that_of_pages)
{
    int pipe[2];

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    CHECK_IS(poll_now(pipe[0], POLLIN | POLLOUT), 0);
    CHECK_IS(poll_now(pipe[1], POLLIN | POLLOUT), POLLOUT);
    CHECK_IS(loop_kernel_write(pipe[1], bytes, FULL), FULL);
    CHECK_IS(poll_now(pipe[0], POLLIN), POLLIN);
    CHECK_IS(poll_now(pipe[1], POLLOUT), 0);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, PAGE - 1), PAGE - 1);
    CHECK_IS(poll_now(pipe[1], POLLOUT), 0);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 1), 1);
    CHECK_IS(poll_now(pipe[1], POLLOUT), POLLOUT);
    close_both(pipe);
}

/* ---- sizes ---- */

TEST(pipe_size_is_a_power_of_two_pages)
{
    int pipe[2];

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    CHECK_IS(loop_kernel_fcntl(pipe[0], F_GETPIPE_SZ, 0), FULL);
    CHECK_IS(loop_kernel_fcntl(pipe[1], F_SETPIPE_SZ, 2 * PAGE + 1), 4 * PAGE);
    CHECK_IS(loop_kernel_fcntl(pipe[0], F_GETPIPE_SZ, 0), 4 * PAGE);
    CHECK_IS(loop_kernel_write(pipe[1], bytes, sizeof bytes), 4 * PAGE);
    CHECK_FAILS(loop_kernel_fcntl(pipe[1], F_SETPIPE_SZ, PAGE), EBUSY);
    CHECK_IS(loop_kernel_fcntl(pipe[0], F_SETPIPE_SZ, 1 << 20), 1 << 20);
    CHECK_IS(loop_kernel_write(pipe[1], bytes, sizeof bytes), sizeof bytes);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, sizeof bytes), sizeof bytes);
    CHECK_FAILS(loop_kernel_fcntl(pipe[0], F_SETPIPE_SZ, -1), EINVAL);
    CHECK_IS(loop_kernel_fcntl(pipe[0], F_SETPIPE_SZ, 0), -1);
    CHECK_IS(errno, EBUSY);
    close_both(pipe);
}

TEST(pipe_that_grows_becomes_writable)
{
    int pipe[2];

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    CHECK_IS(loop_kernel_write(pipe[1], bytes, sizeof bytes), FULL);
    CHECK_IS(poll_now(pipe[1], POLLOUT), 0);
    CHECK_IS(loop_kernel_fcntl(pipe[1], F_SETPIPE_SZ, 2 * FULL), 2 * FULL);
    CHECK_IS(poll_now(pipe[1], POLLOUT), POLLOUT);
    close_both(pipe);
}

/* ---- waiting ---- */

struct transfer {
    int number;
    size_t done;
};

static void *write_all(void *arg)
{
    struct transfer *transfer = arg;
    transfer->done = (size_t)loop_kernel_write(transfer->number, bytes, sizeof bytes);
    return NULL;
}

TEST(pipe_write_waits_until_all_is_written)
{
    int pipe[2];
    pthread_t thread;
    static char into[sizeof bytes];

    CHECK_IS(loop_kernel_pipe2(pipe, 0), 0);
    struct transfer transfer = {.number = pipe[1]};
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7);
    }
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, write_all, &transfer), 0);
    size_t done = 0;
    while (done < sizeof into) {
        ssize_t n = loop_kernel_read(pipe[0], into + done, sizeof into - done);
        CHECK(n > 0);
        done += (size_t)n;
    }
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(transfer.done, sizeof bytes);
    CHECK(memcmp(into, bytes, sizeof bytes) == 0);
    close_both(pipe);
}

static void *write_once(void *arg)
{
    CHECK_IS(loop_kernel_write(*(int *)arg, "late", 4), 4);
    return NULL;
}

TEST(pipe_read_waits_for_a_byte)
{
    int pipe[2];
    pthread_t thread;

    CHECK_IS(loop_kernel_pipe2(pipe, 0), 0);
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, write_once, &pipe[1]), 0);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 100), 4);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    close_both(pipe);
}

/* ---- splice ---- */

TEST(splice_moves_between_pipes)
{
    int from[2], to[2];

    CHECK_IS(loop_kernel_pipe2(from, 0), 0);
    CHECK_IS(loop_kernel_pipe2(to, 0), 0);
    CHECK_IS(loop_kernel_write(from[1], "splice", 6), 6);
    CHECK_IS(loop_kernel_splice(from[0], NULL, to[1], NULL, 4, 0), 4);
    CHECK_IS(loop_kernel_splice(from[0], NULL, to[1], NULL, 100, 0), 2);
    CHECK_FAILS(loop_kernel_splice(from[0], NULL, to[1], NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_IS(loop_kernel_read(to[0], bytes, 100), 6);
    CHECK(memcmp(bytes, "splice", 6) == 0);
    CHECK_IS(loop_kernel_close(from[1]), 0);
    CHECK_IS(loop_kernel_splice(from[0], NULL, to[1], NULL, 100, 0), 0);
    CHECK_IS(loop_kernel_close(from[0]), 0);
    close_both(to);
}

TEST(splice_refuses_what_is_no_pipe_or_a_wrong_offset)
{
    int pipe[2], other[2], event;
    off64_t offset = 0;

    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    CHECK_IS(loop_kernel_pipe2(other, O_NONBLOCK), 0);
    event = loop_kernel_eventfd(0, EFD_NONBLOCK);
    CHECK_IS(loop_kernel_splice(pipe[0], NULL, other[1], NULL, 0, 0), 0);
    CHECK_FAILS(loop_kernel_splice(pipe[0], NULL, other[1], NULL, 1, 1u << 30), EINVAL);
    CHECK_FAILS(loop_kernel_splice(pipe[0], &offset, other[1], NULL, 1, 0), ESPIPE);
    CHECK_FAILS(loop_kernel_splice(pipe[0], NULL, other[1], &offset, 1, 0), ESPIPE);
    CHECK_FAILS(loop_kernel_splice(pipe[0], NULL, pipe[1], NULL, 1, 0), EINVAL);
    CHECK_FAILS(loop_kernel_splice(pipe[1], NULL, other[1], NULL, 1, 0), EBADF);
    CHECK_FAILS(loop_kernel_splice(pipe[0], NULL, other[0], NULL, 1, 0), EBADF);
    CHECK_FAILS(loop_kernel_splice(event, NULL, event, NULL, 1, 0), EINVAL);
    CHECK_FAILS(loop_kernel_splice(event, NULL, pipe[1], NULL, 1, 0), EINVAL);
    CHECK_FAILS(loop_kernel_splice(pipe[0], NULL, -1, NULL, 1, 0), EBADF);
    CHECK_FAILS(loop_kernel_splice(pipe[0], NULL, other[1], NULL, 1, 0), EAGAIN);
    CHECK_IS(loop_kernel_close(event), 0);
    close_both(pipe);
    close_both(other);
}

TEST(splice_into_a_full_pipe_fails)
{
    int from[2], to[2];

    CHECK_IS(loop_kernel_pipe2(from, O_NONBLOCK), 0);
    CHECK_IS(loop_kernel_pipe2(to, O_NONBLOCK), 0);
    CHECK_IS(loop_kernel_write(from[1], bytes, FULL), FULL);
    CHECK_IS(loop_kernel_write(to[1], bytes, FULL - PAGE), FULL - PAGE);
    CHECK_IS(loop_kernel_splice(from[0], NULL, to[1], NULL, FULL, 0), PAGE);
    CHECK_FAILS(loop_kernel_splice(from[0], NULL, to[1], NULL, FULL, 0), EAGAIN);
    close_both(from);
    close_both(to);
}

/* ---- FIFOs ---- */

static const char *new_fifo(void)
{
    static char path[64];
    const char *directory = make_directory();
    snprintf(path, sizeof path, "%s/fifo", directory);
    CHECK_IS(mkfifo(path, 0600), 0);
    return path;
}

static void remove_fifo(char *path)
{
    *strrchr(path, '/') = 0;
    remove_directory(path);
}

TEST(fifo_without_readers_is_not_opened_for_writing)
{
    char path[64];
    struct stat status;

    strcpy(path, new_fifo());
    CHECK_FAILS(loop_kernel_open(path, O_WRONLY | O_NONBLOCK, 0), ENXIO);
    int reader = loop_kernel_open(path, O_RDONLY | O_NONBLOCK, 0);
    CHECK(reader >= 0);
    CHECK_IS(poll_now(reader, POLLIN), 0); /* no POLLHUP before the first writer */
    CHECK_IS(loop_kernel_read(reader, bytes, 1), 0);
    int writer = loop_kernel_open(path, O_WRONLY | O_NONBLOCK, 0), other = loop_kernel_open(path, O_WRONLY, 0);
    CHECK(writer >= 0 && other >= 0);
    CHECK_FAILS(loop_kernel_read(reader, bytes, 1), EAGAIN);
    CHECK_IS(loop_kernel_write(writer, "one", 3), 3);
    CHECK_IS(loop_kernel_write(other, "two", 3), 3);
    CHECK_IS(loop_kernel_close(writer), 0);
    CHECK_IS(poll_now(reader, POLLIN), POLLIN);
    CHECK_IS(loop_kernel_close(other), 0);
    CHECK_IS(poll_now(reader, POLLIN), POLLIN | POLLHUP);
    CHECK_IS(loop_kernel_read(reader, bytes, 10), 6);
    CHECK(memcmp(bytes, "onetwo", 6) == 0);
    CHECK_IS(loop_kernel_fstat(reader, &status), 0);
    CHECK_IS(status.st_mode, S_IFIFO | 0600);
    CHECK_IS(loop_kernel_close(reader), 0);
    remove_fifo(path);
}

TEST(fifo_may_be_both_ends)
{
    char path[64];

    strcpy(path, new_fifo());
    int both = loop_kernel_open(path, O_RDWR | O_NONBLOCK, 0);
    CHECK_IS(poll_now(both, POLLIN | POLLOUT), POLLOUT);
    CHECK_IS(loop_kernel_write(both, "x", 1), 1);
    CHECK_IS(poll_now(both, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_IS(loop_kernel_read(both, bytes, 10), 1);
    CHECK_FAILS(loop_kernel_read(both, bytes, 10), EAGAIN);
    CHECK_IS(loop_kernel_close(both), 0);
    remove_fifo(path);
}

static void *write_to_fifo(void *path)
{
    int writer = loop_kernel_open(path, O_WRONLY, 0);
    CHECK_IS(loop_kernel_write(writer, "late", 4), 4);
    CHECK_IS(loop_kernel_close(writer), 0);
    return NULL;
}

TEST(fifo_open_waits_for_the_other_end)
{
    char path[64];
    pthread_t thread;

    strcpy(path, new_fifo());
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, write_to_fifo, path), 0);
    int reader = loop_kernel_open(path, O_RDONLY, 0);
    CHECK_IS(loop_kernel_read(reader, bytes, 100), 4);
    CHECK_IS(loop_kernel_read(reader, bytes, 100), 0);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(loop_kernel_close(reader), 0);
    remove_fifo(path);
}
