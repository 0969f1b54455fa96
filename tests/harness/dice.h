/* SPDX-License-Identifier: ISC
 *
 * Pseudo-random numbers that are the same in every run with the same seed.
 */
#ifndef TESTS_DICE_H
#define TESTS_DICE_H

#include "harness.h"

static uint32_t dice_state = 1; /* the seed, at first */

/* Returns the next 24 bits. */
static inline uint32_t next_random(void)
{
    dice_state = dice_state * 1664525 + 1013904223;
    return dice_state >> 8;
}

/* Returns a number from 0 to `sides` - 1. */
static inline unsigned dice(unsigned sides)
{
    return next_random() % sides;
}

#endif
