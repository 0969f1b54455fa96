/* SPDX-License-Identifier: ISC
 *
 * A minimal io_uring for the handwritten servers.
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <liburing.h>

/* What a request is about: a pointer, and in its lowest bits which request of several it is. */
#define RING_TAG_MASK UINT64_C(7)

static inline uint64_t ring_data(void *pointer, unsigned tag)
{
    return (uint64_t)(uintptr_t)pointer | tag;
}

static inline void *ring_pointer(uint64_t data)
{
    return (void *)(uintptr_t)(data & ~RING_TAG_MASK);
}

/* For one thread, which does the kernel's deferred work when it waits. Ends the program where that can't be had. */
void ring_open(struct io_uring *ring);

/* A free submission queue entry. Submits when there is none. */
struct io_uring_sqe *ring_sqe(struct io_uring *ring);

/* Submits, waits, and hands every completion that is there to `on_completion`; then `after` each batch, for ever. */
void ring_run(struct io_uring *ring, void (*on_completion)(const struct io_uring_cqe *cqe), void (*after)(void))
    __attribute__((noreturn));

#endif
