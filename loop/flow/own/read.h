/* SPDX-License-Identifier: ISC
 *
 * Reads of sources of all kinds; those of the program's own have their answers checked.
 */
#ifndef LOOP_FLOW_OWN_READ_H
#define LOOP_FLOW_OWN_READ_H

#include <loop/flow.h>

/* Whether the source's functions are the program's, whose answers have to be checked. */
bool loop_source_is_own(const struct loop_source *source);

/* An answer of `function`, which was asked for `asked` bytes, as far as it can be true: else -EINVAL, after a debug
 * build has stopped. */
int64_t loop_own_checked(const struct loop *loop, const char *function, int64_t result, size_t asked);

/* loop_read for the parts of the loop that read sources: `len` is not 0. A kept error comes first. Ends with -ECANCELED
 * when the source's scope is cancelled or has ended. */
loop_job loop_source_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg);

/* Reads any source but a descriptor's: once, or until the buffer is full. */
loop_job loop_own_read(struct loop_source *source, struct iovec buffer, bool is_exact, loop_fn *fn, void *arg);

#endif
