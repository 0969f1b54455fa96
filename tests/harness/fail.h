/* SPDX-License-Identifier: ISC
 *
 * Calls that fail when they are told to. In builds with hard modes the library that the tests are linked with reaches
 * the system and the allocator by the functions of fail.c, which count the uses of each call and make some of them
 * fail: those of NORIA_FAIL in the environment, or those that a test names.
 *
 *   NORIA_FAIL=CALL:ERRNO:NTH[+EVERY][,…]
 *
 * CALL is the function's name (recv, malloc, epoll_ctl, …); that of a system call made by syscall(2) (openat2, …);
 * "dup", fcntl(2) with F_DUPFD_CLOEXEC; "wake", a write to an eventfd; or "ring-" and an operation of the ring
 * (ring-read, ring-poll, …), which completes with the error. ERRNO is a name (ENOMEM) or a number. The NTH use fails,
 * the first being 1, and with EVERY each EVERY-th after it.
 */
#ifndef TESTS_FAIL_H
#define TESTS_FAIL_H

#include <stdbool.h>
#include <stddef.h>

/* Begins to count anew and makes what `what` says fail, in the syntax of NORIA_FAIL; NULL: nothing. False for what is
 * not understood. Not while a loop runs. */
bool fail_set(const char *what);

/* How many calls there are, their names, and how often each has been used since fail_set, also by other threads. */
size_t fail_count(void);
const char *fail_name(size_t index);
unsigned fail_uses(size_t index);

/* How many uses have failed since fail_set. */
unsigned fail_failed(void);

#endif
