/* SPDX-License-Identifier: ISC
 *
 * Hard modes: make rare cases frequent, for tests. In a build with NORIA_HARD_MODES the environment variable NORIA_HARD
 * names the modes, separated by commas. In other builds everything here is constant and compiles to nothing.
 *
 *   depth=N   the submission queue has N entries, whatever the program asks for
 *   short     every read and write moves about half of what it could
 *   nofixed   the region cannot be registered
 *   onechunk  the region has one chunk
 *   ways      on the ring flows go over between readiness and completions at every step
 *   refuse    the ring refuses every operation except poll, which readiness needs
 */
#ifndef LOOP_GROUND_HARD_H
#define LOOP_GROUND_HARD_H

#include <stdbool.h>
#include <stddef.h>

/* The modes in force. */
struct loop_hard {
    unsigned depth; /* 0: the program's own value */
    bool is_short, has_no_fixed, has_one_chunk, refuses, switches_ways;
};

#if NORIA_HARD_MODES
/* Returns the modes, which are read from the environment once, before any loop runs. */
const struct loop_hard *loop_hard(void);
#else
static inline const struct loop_hard *loop_hard(void)
{
    static const struct loop_hard none = {0};
    return &none;
}
#endif

/* Returns how many of `len` bytes to ask the kernel for. */
static inline size_t loop_hard_length(size_t len)
{
    return loop_hard()->is_short && len > 1 ? (len + 1) / 2 : len;
}

#endif
