/* SPDX-License-Identifier: ISC
 *
 * Rings: polls and their edges, cancelling, timeouts. The real kernel and the simulated one must give the same answers.
 */
#include "rings.h"

#if NORIA_URING

static int make_event(unsigned value)
{
    int number = loop_kernel_eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(number >= 0);
    return number;
}

static void add(int number, uint64_t value)
{
    CHECK_IS(loop_kernel_write(number, &value, sizeof value), sizeof value);
}

static uint64_t take(int number)
{
    uint64_t value = 0;
    CHECK_IS(loop_kernel_read(number, &value, sizeof value), sizeof value);
    return value;
}

static void start_poll(struct io_uring *ring, int number, unsigned events, uint64_t user_data)
{
    struct io_uring_sqe *entry = entry_of(ring);
    io_uring_prep_poll_add(entry, number, events);
    entry->user_data = user_data;
}

static void start_multishot(struct io_uring *ring, int number, unsigned events, uint64_t user_data)
{
    struct io_uring_sqe *entry = entry_of(ring);
    io_uring_prep_poll_multishot(entry, number, events);
    entry->user_data = user_data;
}

static void start_cancel(struct io_uring *ring, uint64_t target, unsigned flags, uint64_t user_data)
{
    struct io_uring_sqe *entry = entry_of(ring);
    io_uring_prep_cancel64(entry, target, (int)flags);
    entry->user_data = user_data;
}

/* ---- polls ---- */

TEST_ROWS(poll_reports_at_once_what_holds, COUNT_OF(setups), row)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, setups[row])) {
        return;
    }
    int number = make_event(1);
    start_poll(&ring, number, POLLIN | POLLOUT, 1);
    EXPECT(&ring, 1, POLLIN | POLLOUT, 0);
    start_poll(&ring, number, POLLIN, 2);
    EXPECT(&ring, 2, POLLIN, 0);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST_ROWS(poll_reports_a_change_once, COUNT_OF(setups), row)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, setups[row])) {
        return;
    }
    int number = make_event(0);
    start_poll(&ring, number, POLLIN, 1);
    EXPECT_NOTHING(&ring);
    add(number, 1);
    EXPECT(&ring, 1, POLLIN, 0);
    add(number, 1);
    EXPECT_NOTHING(&ring);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(poll_of_a_pipe_reports_its_end)
{
    struct io_uring ring;
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    start_poll(&ring, ends[0], POLLIN, 1);
    EXPECT_NOTHING(&ring);
    CHECK_IS(loop_kernel_close(ends[1]), 0);
    EXPECT(&ring, 1, POLLHUP, 0);
    start_poll(&ring, ends[0], POLLIN, 2);
    EXPECT(&ring, 2, POLLHUP, 0);
    CHECK_IS(loop_kernel_close(ends[0]), 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(poll_of_a_closed_descriptor_is_refused)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    start_poll(&ring, 999, POLLIN, 1);
    EXPECT(&ring, 1, -EBADF, 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(multishot_poll_reports_each_edge_that_the_kernel_sees_apart)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    int number = make_event(1);
    start_multishot(&ring, number, POLLIN, 1);
    EXPECT(&ring, 1, POLLIN, IORING_CQE_F_MORE);
    EXPECT_NOTHING(&ring);
    add(number, 1);
    EXPECT(&ring, 1, POLLIN, IORING_CQE_F_MORE);
    add(number, 1);
    add(number, 1);
    EXPECT(&ring, 1, POLLIN, IORING_CQE_F_MORE);
    EXPECT_NOTHING(&ring);
    CHECK_IS(take(number), 4);
    EXPECT_NOTHING(&ring);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(poll_reports_one_wakeup_without_looking_and_looks_after_several)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    int number = make_event(0);
    start_multishot(&ring, number, POLLIN, 1);
    EXPECT_NOTHING(&ring);
    add(number, 1);
    CHECK_IS(take(number), 1);
    EXPECT(&ring, 1, POLLIN, IORING_CQE_F_MORE);
    add(number, 1);
    add(number, 1);
    CHECK_IS(take(number), 2);
    EXPECT_NOTHING(&ring);
    add(number, 1);
    EXPECT(&ring, 1, POLLIN, IORING_CQE_F_MORE);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(deferred_work_is_announced_and_waits_for_an_enter)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    int number = make_event(0);
    start_multishot(&ring, number, POLLIN, 1);
    EXPECT_NOTHING(&ring);
    CHECK(!(*ring.sq.kflags & IORING_SQ_TASKRUN));
    add(number, 1);
    CHECK(*ring.sq.kflags & IORING_SQ_TASKRUN);
    CHECK_IS(*ring.cq.ktail, *ring.cq.khead);
    CHECK_IS(loop_kernel_io_uring_enter2((unsigned)ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 8), 0);
    CHECK(!(*ring.sq.kflags & IORING_SQ_TASKRUN));
    EXPECT(&ring, 1, POLLIN, IORING_CQE_F_MORE);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(poll_is_removed_and_changed)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    int number = make_event(0);
    start_poll(&ring, number, POLLIN, 1);
    EXPECT_NOTHING(&ring);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_poll_remove(entry, 1);
    entry->user_data = 2;
    EXPECT(&ring, 2, 0, 0);
    EXPECT(&ring, 1, -ECANCELED, 0);
    entry = entry_of(&ring);
    io_uring_prep_poll_remove(entry, 1);
    EXPECT(&ring, 0, -ENOENT, 0);
    start_poll(&ring, number, POLLIN, 3);
    EXPECT_NOTHING(&ring);
    entry = entry_of(&ring);
    io_uring_prep_poll_update(entry, 3, 4, POLLOUT, IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA);
    entry->user_data = 5;
    struct completion one = next_of(&ring), other = next_of(&ring);
    CHECK_IS(one.user_data + other.user_data, 9);
    CHECK_IS(one.user_data == 4 ? one.result : other.result, POLLOUT);
    CHECK_IS(one.user_data == 5 ? one.result : other.result, 0);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(a_change_of_its_events_leaves_a_poll_one_shot_or_multishot)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    int number = make_event(0);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_poll_add(entry, number, POLLIN);
    entry->ioprio = 1;
    EXPECT(&ring, 0, -EINVAL, 0);
    entry = entry_of(&ring);
    io_uring_prep_poll_multishot(entry, number, POLLPRI);
    entry->user_data = 1;
    EXPECT_NOTHING(&ring);
    entry = entry_of(&ring);
    io_uring_prep_poll_update(entry, 1, 0, POLLOUT, IORING_POLL_UPDATE_EVENTS);
    struct completion one = next_of(&ring), other = next_of(&ring);
    CHECK_IS(one.user_data + other.user_data, 1);
    CHECK_IS(one.user_data == 1 ? one.flags : other.flags, IORING_CQE_F_MORE);
    start_poll(&ring, number, POLLIN, 2);
    EXPECT_NOTHING(&ring);
    entry = entry_of(&ring);
    io_uring_prep_poll_update(entry, 2, 0, POLLOUT, IORING_POLL_UPDATE_EVENTS | IORING_POLL_ADD_MULTI);
    one = next_of(&ring);
    other = next_of(&ring);
    CHECK_IS(one.user_data + other.user_data, 2);
    CHECK_IS(one.flags | other.flags, 0);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* ---- cancelling ---- */

TEST_ROWS(cancel_completes_before_what_it_cancels, COUNT_OF(setups), row)
{
    struct io_uring ring;
    int ends[2];
    char byte;

    if (!make_ring(&ring, 4, 0, setups[row])) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_read(entry, ends[0], &byte, 1, 0);
    entry->user_data = 1;
    EXPECT_NOTHING(&ring);
    start_cancel(&ring, 1, 0, 2);
    EXPECT(&ring, 2, 0, 0);
    EXPECT(&ring, 1, -ECANCELED, 0);
    start_multishot(&ring, ends[0], POLLIN, 3);
    EXPECT_NOTHING(&ring);
    start_cancel(&ring, 3, 0, 4);
    EXPECT(&ring, 4, 0, 0);
    EXPECT(&ring, 3, -ECANCELED, 0);
    start_cancel(&ring, 3, 0, 5);
    EXPECT(&ring, 5, -ENOENT, 0);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(cancel_leaves_the_bytes_that_have_come)
{
    struct io_uring ring;
    int ends[2];
    char byte = 0;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_read(entry, ends[0], &byte, 1, 0);
    entry->user_data = 1;
    EXPECT_NOTHING(&ring);
    write_all(ends[1], "x");
    start_cancel(&ring, 1, 0, 2);
    EXPECT(&ring, 2, 0, 0);
    EXPECT(&ring, 1, -ECANCELED, 0);
    CHECK_IS(loop_kernel_read(ends[0], &byte, 1), 1);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(cancel_finds_all_requests_of_a_file)
{
    struct io_uring ring;
    struct io_uring_sqe *entry;

    if (!make_ring(&ring, 8, 0, DEFERRED)) {
        return;
    }
    int number = make_event(0), other = make_event(0);
    start_poll(&ring, number, POLLIN, 1);
    start_poll(&ring, number, POLLIN, 2);
    start_poll(&ring, other, POLLIN, 3);
    EXPECT_NOTHING(&ring);
    entry = entry_of(&ring);
    io_uring_prep_cancel_fd(entry, number, IORING_ASYNC_CANCEL_ALL);
    entry->user_data = 4;
    EXPECT(&ring, 4, 2, 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_IS(next_of(&ring).result, -ECANCELED);
    }
    EXPECT_NOTHING(&ring);
    io_uring_prep_cancel_fd(entry_of(&ring), number, IORING_ASYNC_CANCEL_ALL);
    EXPECT(&ring, 0, 0, 0);
    io_uring_prep_cancel_fd(entry_of(&ring), number, 0);
    EXPECT(&ring, 0, -ENOENT, 0);
    io_uring_prep_cancel_fd(entry_of(&ring), 999, 0);
    EXPECT(&ring, 0, -EBADF, 0);
    start_cancel(&ring, 0, IORING_ASYNC_CANCEL_ANY, 5);
    EXPECT(&ring, 5, 1, 0);
    EXPECT(&ring, 3, -ECANCELED, 0);
    close_all((int[]){number, other}, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(cancel_from_outside_waits_for_nothing_that_waits)
{
    struct io_uring ring;
    struct io_uring_sync_cancel_reg all = {.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
                                           .timeout = {.tv_nsec = 1000000}};
    struct io_uring_sync_cancel_reg one = {.addr = 2, .timeout = {.tv_sec = -1, .tv_nsec = -1}};

    if (!make_ring(&ring, 8, 0, DEFERRED)) {
        return;
    }
    int number = make_event(0);
    start_poll(&ring, number, POLLIN, 1);
    start_multishot(&ring, number, POLLIN, 2);
    EXPECT_NOTHING(&ring);
    CHECK_IS(loop_kernel_io_uring_register_sync_cancel(&ring, &one), 0);
    EXPECT(&ring, 2, -ECANCELED, 0);
    CHECK_IS(loop_kernel_io_uring_register_sync_cancel(&ring, &all), 1);
    EXPECT(&ring, 1, -ECANCELED, 0);
    CHECK_IS(loop_kernel_io_uring_register_sync_cancel(&ring, &one), -ENOENT);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* ---- timeouts ---- */

TEST(timeout_ends_by_time_by_completions_or_by_its_removal)
{
    struct io_uring ring;
    struct __kernel_timespec soon = {.tv_nsec = 1000000}, late = {.tv_sec = 3600};
    struct io_uring_sqe *entry;

    if (!make_ring(&ring, 8, 0, DEFERRED)) {
        return;
    }
    io_uring_prep_timeout(entry_of(&ring), &soon, 0, 0);
    EXPECT(&ring, 0, -ETIME, 0);
    entry = entry_of(&ring);
    io_uring_prep_timeout(entry, &late, 1, 0);
    entry->user_data = 1;
    EXPECT_NOTHING(&ring);
    entry = entry_of(&ring);
    io_uring_prep_nop(entry);
    entry->user_data = 2;
    EXPECT(&ring, 2, 0, 0);
    EXPECT(&ring, 1, 0, 0);
    entry = entry_of(&ring);
    io_uring_prep_timeout(entry, &late, 0, 0);
    entry->user_data = 3;
    EXPECT_NOTHING(&ring);
    entry = entry_of(&ring);
    io_uring_prep_timeout_remove(entry, 3, 0);
    entry->user_data = 4;
    struct completion one = next_of(&ring), other = next_of(&ring);
    CHECK_IS(one.user_data + other.user_data, 7);
    CHECK_IS(one.user_data == 3 ? one.result : other.result, -ECANCELED);
    CHECK_IS(one.user_data == 4 ? one.result : other.result, 0);
    io_uring_prep_timeout_remove(entry_of(&ring), 3, 0);
    EXPECT(&ring, 0, -ENOENT, 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

#endif
