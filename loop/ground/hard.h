/* SPDX-License-Identifier: ISC
 *
 * Hard modes: what is rare made common, for tests. In a build with NORIA_HARD_MODES the environment variable NORIA_HARD
 * says which, separated by commas; in any other build all of this is constant and compiles to nothing.
 *
 *   depth=N   the submission queue has N entries, whatever the program asks for
 *   short     every read and write moves about half of what it could
 *   nofixed   the region can't be registered
 *   onechunk  the region has one chunk
 *   refuse    the ring refuses every operation but poll, which readiness stands on
 */
#ifndef LOOP_GROUND_HARD_H
#define LOOP_GROUND_HARD_H

#include <stdbool.h>
#include <stddef.h>

struct loop_hard {
    unsigned depth; /* 0: as asked for */
    bool is_short, has_no_fixed, has_one_chunk, refuses;
};

#if NORIA_HARD_MODES
/* Read once from the environment, before any loop runs. */
const struct loop_hard *loop_hard(void);
#else
static inline const struct loop_hard *loop_hard(void)
{
    static const struct loop_hard none = {0};
    return &none;
}
#endif

/* How much of `len` bytes to ask the kernel for. */
static inline size_t loop_hard_length(size_t len)
{
    return loop_hard()->is_short && len > 1 ? (len + 1) / 2 : len;
}

#endif
