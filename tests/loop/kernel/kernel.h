/* SPDX-License-Identifier: ISC
 *
 * What suites of the door share. Included first: parameters of the door's functions have names that harness.h gives to
 * functions.
 */
#ifndef TESTS_LOOP_KERNEL_KERNEL_H
#define TESTS_LOOP_KERNEL_KERNEL_H

#include <loop/kernel/all.h>

#include "harness.h"

/* A call returns -1, with this errno. */
#define CHECK_FAILS(call, error)                                                                                       \
    do {                                                                                                               \
        CHECK_IS(call, -1);                                                                                            \
        CHECK_IS(errno, error);                                                                                        \
    } while (0)

/* Returns what poll(2) reports of a descriptor at once. */
static inline unsigned poll_now(int number, short events)
{
    struct pollfd entry = {.fd = number, .events = events};
    CHECK_IS(loop_kernel_poll(&entry, 1, 0), entry.revents != 0);
    return (unsigned)entry.revents;
}

/* Closes both ends of a pipe or pair. */
static inline void close_both(const int numbers[2])
{
    CHECK_IS(loop_kernel_close(numbers[0]), 0);
    CHECK_IS(loop_kernel_close(numbers[1]), 0);
}

/* Blocks SIGPIPE, as every loop does. */
static inline void block_sigpipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    CHECK_IS(loop_kernel_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

/* Takes a pending SIGPIPE. Returns it, or -1. */
static inline int take_sigpipe(void)
{
    sigset_t set;
    struct timespec at_once = {0};
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return loop_kernel_sigtimedwait(&set, NULL, &at_once);
}

#endif
