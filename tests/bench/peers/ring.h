/* SPDX-License-Identifier: ISC
 *
 * A minimal io_uring for the handwritten servers.
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <liburing.h>

/* User data of a request: a pointer, whose lowest bits select one of several requests. */
#define RING_TAG_MASK UINT64_C(7)

static inline uint64_t ring_data(void *pointer, unsigned tag)
{
    return (uint64_t)(uintptr_t)pointer | tag;
}

static inline void *ring_pointer(uint64_t data)
{
    return (void *)(uintptr_t)(data & ~RING_TAG_MASK);
}

/* For one thread, which runs the kernel's deferred work when it waits. */
#define RING_DEFERRED (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

/* Creates a ring with these flags of io_uring_setup, and large queues. Exits on an error. */
void ring_open(struct io_uring *ring, unsigned flags);

/* Returns a free submission queue entry. Submits first if there is none. */
struct io_uring_sqe *ring_sqe(struct io_uring *ring);

/* Makes the ring's table of files, empty and as large as it can be. Exits on an error. */
void ring_make_files(struct io_uring *ring);

/* Submits, waits, calls `before`, and passes every completion to `on_completion`, over and over. Waits for `*batch`
 * completions, but for more than one only as long as RING_PATIENCE_NS, and not at all for none. Never returns. */
#define RING_PATIENCE_NS 20000
void ring_run(struct io_uring *ring, const unsigned *batch, void (*before)(void),
              void (*on_completion)(const struct io_uring_cqe *cqe)) __attribute__((noreturn));

#endif
