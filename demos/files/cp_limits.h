/* SPDX-License-Identifier: ISC
 *
 * How much of a tree is copied at a time.
 */
#ifndef DEMOS_CP_LIMITS_H
#define DEMOS_CP_LIMITS_H

#include <stdint.h>

struct cp_limits {
    unsigned most_jobs; /* copies of files and links */
    uint64_t most_open; /* directories */
};

/* Divides that many descriptors among files and directories. */
struct cp_limits cp_limits_of(uint64_t most_descriptors);

#endif
