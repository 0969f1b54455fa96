/* SPDX-License-Identifier: ISC
 *
 * A process's resources at one moment: descriptors, threads, allocated bytes and the signal mask. The harness compares
 * them at the end of each test with those at its start.
 */
#ifndef TESTS_ACCOUNT_H
#define TESTS_ACCOUNT_H

#include "harness.h"

#include <stddef.h>

enum { MOST_FDS = 4096 };

struct account {
    unsigned char fds[MOST_FDS / 8];
    unsigned n_fds, n_threads;
    size_t n_bytes;
    sigset_t mask;
    bool sigpipe_is_pending;
};

void account_take(struct account *account);
void account_list_fds(struct account *account);
/* Fail the test if it leaves a resource that did not exist at its start. */
void account_check_fds(const struct account *before);
void account_check_signals(const struct account *before);

/* The setup and teardown of every test. */
void account_before_test(void);
void account_after_test(void);

/* Returns where the newest remaining block was allocated, as an offset into the program for addr2line. */
ptrdiff_t account_left_block(void);

#endif
