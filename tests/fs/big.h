/* SPDX-License-Identifier: ISC
 *
 * A large file for tests.
 */
#ifndef TESTS_BIG_H
#define TESTS_BIG_H

#include "harness.h"

#define BIG ((size_t)20 << 20)
__attribute__((unused)) static char *big;

static inline void make_big(void)
{
    big = malloc(BIG);
    CHECK(big != NULL);
    fill_pattern(big, BIG, 1);
}

#endif
