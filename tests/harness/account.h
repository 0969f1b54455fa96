/* SPDX-License-Identifier: ISC
 *
 * What a program has at a moment: descriptors, threads, bytes, its signal mask. Each test is checked against it at its
 * end.
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
/* They fail the test when there is something that was not there before. */
void account_check_fds(const struct account *before);
void account_check_signals(const struct account *before);

/* The fixtures of every test. */
void account_before_test(void);
void account_after_test(void);

/* Returns where the newest block that is left was allocated: the offset into the program, for addr2line. */
ptrdiff_t account_left_block(void);

#endif
