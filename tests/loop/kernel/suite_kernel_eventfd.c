/* SPDX-License-Identifier: ISC
 *
 * The door's functions for event descriptors: the real kernel and the simulated one must give the same answers.
 */
#include "kernel.h"

static uint64_t read_value(int number)
{
    uint64_t value = 0;
    CHECK_IS(loop_kernel_read(number, &value, sizeof value), sizeof value);
    return value;
}

TEST(eventfd_adds_up_what_is_written)
{
    uint64_t value = 3;
    int number = loop_kernel_eventfd(4, EFD_NONBLOCK | EFD_CLOEXEC);

    CHECK(number >= 0);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFL, 0), O_RDWR | O_NONBLOCK);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFD, 0), FD_CLOEXEC);
    CHECK_IS(loop_kernel_wake(number, &value), sizeof value);
    CHECK_IS(read_value(number), 7);
    CHECK_FAILS(loop_kernel_read(number, &value, sizeof value), EAGAIN);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(eventfd_semaphore_gives_one_at_a_time)
{
    uint64_t value;
    int number = loop_kernel_eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE);

    CHECK_IS(read_value(number), 1);
    CHECK_IS(read_value(number), 1);
    CHECK_FAILS(loop_kernel_read(number, &value, sizeof value), EAGAIN);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(eventfd_is_ready_as_its_value_says)
{
    uint64_t value = UINT64_MAX - 1;
    int number = loop_kernel_eventfd(0, EFD_NONBLOCK);

    CHECK_IS(poll_now(number, POLLIN | POLLOUT), POLLOUT);
    CHECK_IS(loop_kernel_wake(number, &value), sizeof value);
    CHECK_IS(poll_now(number, POLLIN | POLLOUT), POLLIN);
    value = 1;
    CHECK_FAILS(loop_kernel_wake(number, &value), EAGAIN);
    CHECK_IS(read_value(number), UINT64_MAX - 1);
    CHECK_IS(loop_kernel_wake(number, &value), sizeof value);
    CHECK_IS(poll_now(number, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(eventfd_refuses_other_sizes_values_and_positions)
{
    uint64_t values[2] = {UINT64_MAX, 1};
    struct iovec none = {values, 0}, half = {values, 4}, one = {&values[1], 8};
    int number = loop_kernel_eventfd(0, EFD_NONBLOCK);

    CHECK_FAILS(loop_kernel_eventfd(0, 0x40), EINVAL);
    CHECK_FAILS(loop_kernel_read(number, values, 7), EINVAL);
    CHECK_FAILS(loop_kernel_read(number, values, 0), EINVAL);
    CHECK_FAILS(loop_kernel_write(number, values, 7), EINVAL);
    CHECK_FAILS(loop_kernel_write(number, values, 8), EINVAL);
    CHECK_FAILS(loop_kernel_pread(number, values, 8, 0), ESPIPE);
    CHECK_FAILS(loop_kernel_pwrite(number, values, 8, 0), ESPIPE);
    CHECK_IS(loop_kernel_lseek(number, 5, SEEK_SET), 0);
    CHECK_FAILS(loop_kernel_lseek(number, 0, 99), EINVAL);
    CHECK_IS(loop_kernel_readv(number, &none, 1), 0);
    CHECK_FAILS(loop_kernel_readv(number, &half, 1), EINVAL);
    CHECK_FAILS(loop_kernel_preadv2(number, &one, 1, -1, RWF_NOWAIT), EAGAIN);
    CHECK_FAILS(loop_kernel_pwritev2(number, &one, 1, -1, RWF_NOWAIT), EOPNOTSUPP);
    CHECK_FAILS(loop_kernel_ioctl(number, FIONREAD, values), ENOTTY);
    CHECK_FAILS(loop_kernel_fcntl(number, F_SETFL, O_DIRECT | O_NONBLOCK), EINVAL);
    CHECK_FAILS(loop_kernel_fcntl(number, F_GETPIPE_SZ, 0), EBADF);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(eventfd_takes_a_value_of_each_vector)
{
    uint64_t values[2] = {1, 2};
    struct iovec two[2] = {{&values[0], 8}, {&values[1], 8}}, halves[2] = {{values, 4}, {(char *)values + 4, 4}};
    int number = loop_kernel_eventfd(0, EFD_NONBLOCK);

    CHECK_IS(loop_kernel_writev(number, two, 2), 16);
    CHECK_IS(loop_kernel_readv(number, halves, 2), 8);
    CHECK_IS(values[0], 3);
    CHECK_FAILS(loop_kernel_writev(number, halves, 2), EINVAL);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(eventfd_status_is_that_of_an_anonymous_file)
{
    struct stat status;
    int number = loop_kernel_eventfd(0, 0);

    CHECK_IS(loop_kernel_fstat(number, &status), 0);
    CHECK_IS(status.st_mode, 0600);
    CHECK_IS(status.st_size, 0);
    CHECK_IS(status.st_nlink, 1);
    CHECK_IS(loop_kernel_close(number), 0);
}

static void *write_one(void *arg)
{
    uint64_t value = 1;
    CHECK_IS(loop_kernel_wake(*(int *)arg, &value), sizeof value);
    return NULL;
}

TEST(eventfd_read_waits_for_a_value)
{
    pthread_t thread;
    int number = loop_kernel_eventfd(0, 0);

    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, write_one, &number), 0);
    CHECK_IS(read_value(number), 1);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(loop_kernel_close(number), 0);
}

static void *read_one(void *arg)
{
    (void)read_value(*(int *)arg);
    return NULL;
}

TEST(eventfd_write_waits_for_room)
{
    pthread_t thread;
    uint64_t value = UINT64_MAX - 1;
    int number = loop_kernel_eventfd(0, 0);

    CHECK_IS(loop_kernel_wake(number, &value), sizeof value);
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, read_one, &number), 0);
    value = 5;
    CHECK_IS(loop_kernel_wake(number, &value), sizeof value);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(read_value(number), 5);
    CHECK_IS(loop_kernel_close(number), 0);
}
