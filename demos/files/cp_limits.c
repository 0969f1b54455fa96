/* SPDX-License-Identifier: ISC
 *
 * How much of a tree is copied at a time.
 */
#include "cp_limits.h"

#define MOST_FILES 64

/* Descriptors: of an open directory, its two and that of reading it; of a file being copied; and those of the loop and
 * the standard streams. */
#define OF_DIRECTORY 3
#define OF_FILE 2
#define OF_THE_REST 16

struct cp_limits cp_limits_of(uint64_t most_descriptors)
{
    uint64_t most = most_descriptors > OF_THE_REST ? most_descriptors - OF_THE_REST : 0;
    uint64_t n_files = most / 2 / OF_FILE;

    n_files = n_files < MOST_FILES ? n_files : MOST_FILES;
    return (struct cp_limits){.most_jobs = n_files > 0 ? (unsigned)n_files : 1,
                              .most_open = (most - n_files * OF_FILE) / OF_DIRECTORY};
}
