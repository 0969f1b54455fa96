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
void account_note_fd(struct account *account, unsigned fd);
/* Fail the test if it leaves a resource that did not exist at its start. */
void account_check_fds(const struct account *before);
void account_check_signals(const struct account *before);

/* The setup and teardown of every test. */
void account_before_test(void);
void account_after_test(void);

/* What the kernel tells about this process: in process.c, or in simulated_process.c for the simulated kernel. */
void account_list_fds(struct account *account);
void account_describe_fd(unsigned fd, char *text, size_t size); /* empty where it is unknown */
unsigned account_count_threads(void);                           /* without those of the kernel */
void account_check_maps(void);                                  /* fails the test if a ring is still mapped */

/* Makes the files that tests expect to be there. */
void account_make_files(void);

/* Returns why this kernel cannot run a test, or NULL if it can. */
const char *account_left_out(const char *test);

/* Returns why a test does not hold for a loop with a host, or NULL if it does. */
const char *hosted_left_out(const char *test);

#if !HAS_SANITIZER
/* Returns true if this allocation must fail; errno is set then. */
bool account_allocation_fails(const void *caller);
/* Records an allocation of this program's own code. Returns the block. */
void *account_noted(void *block, size_t size_bytes, void *caller);
/* Returns the size of the block, or 0 if it is not recorded. */
size_t account_forget_block(const void *address);
/* What is allocated between a call with true and one with false is not counted. */
void account_hide_allocations(bool is_hidden);
#endif

/* Returns where the newest remaining block was allocated, as an offset into the program for addr2line. */
ptrdiff_t account_left_block(void);

#endif
