/* SPDX-License-Identifier: ISC
 *
 * Calls that fail when they are told to. In builds with hard modes every function of the door that can fail counts its
 * uses, and some of them fail: those of NORIA_FAIL in the environment, or those that a test names.
 *
 *   NORIA_FAIL=CALL:ERRNO:NTH[+EVERY][,...]
 *
 * CALL is the name of a call (recv, malloc, epoll_ctl, openat2, ...), which is that of its function in the door without
 * loop_kernel_; or "ring-" and an operation of the ring (ring-read, ring-poll, ...), which completes with the error.
 * ERRNO is a name (ENOMEM) or a number. The NTH use fails, the first being 1, and with EVERY each EVERY-th after it.
 */
#ifndef LOOP_KERNEL_FAIL_H
#define LOOP_KERNEL_FAIL_H

#include <stdbool.h>
#include <stddef.h>

#if NORIA_HARD_MODES

/* Counts from zero again and makes the uses fail that `what` names, in the syntax of NORIA_FAIL; NULL: none. Returns
 * false when it does not understand `what`. Not to be called while a loop runs. */
bool loop_kernel_fail_set(const char *what);

/* Returns the number of calls that can fail. */
size_t loop_kernel_fail_count(void);

/* Returns the name of a call; `index` is less than loop_kernel_fail_count. */
const char *loop_kernel_fail_name(size_t index);

/* Returns how often a call has been used since loop_kernel_fail_set, by all threads. */
unsigned loop_kernel_fail_uses(size_t index);

/* Returns how many uses have failed since loop_kernel_fail_set. */
unsigned loop_kernel_fail_failed(void);

#endif

#endif
