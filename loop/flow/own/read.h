/* SPDX-License-Identifier: ISC
 *
 * Reads of sources of all kinds. What the functions of a program's own source answer is checked.
 */
#ifndef LOOP_FLOW_OWN_READ_H
#define LOOP_FLOW_OWN_READ_H

#include <loop/flow.h>

/* Whether the source's functions are the program's: their answers have to be checked. */
bool loop_source_is_own(const struct loop_source *source);

/* Returns what `function` has answered to a read of `asked` bytes. An answer of more bytes stops a debug build, and
 * otherwise becomes -EINVAL. */
int64_t loop_own_checked(const struct loop *loop, const char *function, int64_t result, size_t asked);

/* Reads a source once, for the parts of the loop: loop_read without its checks of the source and of `len`. A kept error
 * comes first. Ends with -ECANCELED when the source's scope is cancelled or has ended. */
loop_job loop_source_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg);

/* Reads a source that is not a descriptor's: once, or, `is_exact`, until the buffer is full. Results as loop_read and
 * loop_read_exact. */
loop_job loop_own_read(struct loop_source *source, struct iovec buffer, bool is_exact, loop_fn *fn, void *arg);

#endif
