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

/* Creates a ring for one thread, which runs the kernel's deferred work when it waits. Exits on an error. */
void ring_open(struct io_uring *ring);

/* Returns a free submission queue entry. Submits first if there is none. */
struct io_uring_sqe *ring_sqe(struct io_uring *ring);

/* Submits, waits, and passes every completion to `on_completion`; calls `after` after each batch. Never returns. */
void ring_run(struct io_uring *ring, void (*on_completion)(const struct io_uring_cqe *cqe), void (*after)(void))
    __attribute__((noreturn));

#endif
