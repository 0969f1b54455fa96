/* SPDX-License-Identifier: ISC
 *
 * What suites of rings have in common: a ring that is driven through the door, by entries and completions.
 */
#ifndef TESTS_LOOP_KERNEL_RINGS_H
#define TESTS_LOOP_KERNEL_RINGS_H

#include <loop/kernel/all.h> /* first: parameters in it have names that harness.h gives to functions */

#include "harness.h"

#if NORIA_URING

#define DEFERRED                                                                                                       \
    (IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG)
#define COOPERATIVE (IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

/* The ways in which the library sets up a ring that it enters itself. */
static const unsigned setups[] = {DEFERRED, COOPERATIVE, 0};

/* Creates a ring with room for `completions`, or twice the entries for 0. Returns false where io_uring is blocked: then
 * there is nothing to test. */
static inline bool make_ring(struct io_uring *ring, unsigned entries, unsigned completions, unsigned flags)
{
    struct io_uring_params params = {.flags = flags | (completions ? IORING_SETUP_CQSIZE : 0U),
                                     .cq_entries = completions};
    int error = loop_kernel_io_uring_queue_init_params(entries, ring, &params);
    bool is_blocked = error == -EPERM || error == -ENOSYS || error == -EACCES;
    if (!is_blocked) {
        CHECK_IS(error, 0);
    }
    return !is_blocked;
}

/* Returns the next free entry. */
static inline struct io_uring_sqe *entry_of(struct io_uring *ring)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(ring);
    CHECK(entry != NULL);
    memset(entry, 0, sizeof *entry);
    return entry;
}

/* Submits the entries that are filled in, and waits for `wait_for` completions for up to `timeout_ms`. Returns what
 * io_uring_enter(2) returns. */
static inline int enter(struct io_uring *ring, unsigned wait_for, int timeout_ms)
{
    struct __kernel_timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000};
    struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)&timeout};
    __atomic_store_n(ring->sq.ktail, ring->sq.sqe_tail, __ATOMIC_RELEASE);
    unsigned n = ring->sq.sqe_tail - __atomic_load_n(ring->sq.khead, __ATOMIC_ACQUIRE);
    return loop_kernel_io_uring_enter2((unsigned)ring->ring_fd, n, wait_for,
                                       IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
}

/* Returns how many completions are there, after the kernel has run its deferred work. */
static inline unsigned count_ready(struct io_uring *ring)
{
    (void)enter(ring, 0, 0);
    return __atomic_load_n(ring->cq.ktail, __ATOMIC_ACQUIRE) - *ring->cq.khead;
}

/* A completion. */
struct completion {
    uint64_t user_data;
    int result;
    unsigned flags;
};

/* Takes the next completion; waits for it. */
static inline struct completion next_of(struct io_uring *ring)
{
    enum { LONG_MS = 5000 };
    unsigned head = *ring->cq.khead;
    int result = 0;
    for (int n = 0; n < 4 && __atomic_load_n(ring->cq.ktail, __ATOMIC_ACQUIRE) == head; n++) {
        result = enter(ring, 1, LONG_MS);
    }
    if (__atomic_load_n(ring->cq.ktail, __ATOMIC_ACQUIRE) == head) {
        ck_abort_msg("no completion: enter returned %d", result);
    }
    const struct io_uring_cqe *cqe = &ring->cq.cqes[head & ring->cq.ring_mask];
    struct completion completion = {cqe->user_data, cqe->res, cqe->flags};
    __atomic_store_n(ring->cq.khead, head + 1, __ATOMIC_RELEASE);
    return completion;
}

/* Checks the next completion. */
#define EXPECT(ring, expected_data, expected_result, expected_flags)                                                   \
    do {                                                                                                               \
        struct completion next_ = next_of(ring);                                                                       \
        CHECK_IS(next_.user_data, (expected_data));                                                                    \
        CHECK_IS(next_.result, (expected_result));                                                                     \
        CHECK_IS(next_.flags, (expected_flags));                                                                       \
    } while (0)

/* Submits what is filled in, and checks that nothing completes. */
#define EXPECT_NOTHING(ring) CHECK_IS(count_ready(ring), 0)

static inline void write_all(int number, const char *text)
{
    CHECK_IS(loop_kernel_write(number, text, strlen(text)), strlen(text));
}

static inline void close_all(const int *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK_IS(loop_kernel_close(numbers[i]), 0);
    }
}

#endif

#endif
