/* SPDX-License-Identifier: ISC
 *
 * Files that are opened with O_DIRECT.
 */
#ifndef TESTS_DIRECT_H
#define TESTS_DIRECT_H

#include "harness.h"

#include <stdio.h>

#define BLOCK 4096
#define BLOCKS 8

__attribute__((unused)) static char *memory; /* aligned, BLOCKS blocks */

/* Fills a file with so many bytes of the pattern, and opens it once more, with O_DIRECT. Closes `plain`. Returns -1
 * where the file system has no O_DIRECT. */
static inline int make_direct_of(int plain, size_t len, int more_flags)
{
    static char bytes[BLOCKS * BLOCK];
    char path[64];
    memory = aligned_alloc(BLOCK, (size_t)BLOCKS * BLOCK);
    CHECK(memory);
    fill_pattern(bytes, sizeof bytes, 1);
    CHECK_IS(pwrite(plain, bytes, len, 0), len);
    CHECK_IS(fsync(plain), 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", plain);
    int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC | more_flags);
    close(plain);
    return fd;
}

/* The same of a file without a name. */
static inline int make_direct(size_t len, int more_flags)
{
    return make_direct_of(make_file(NULL, 0), len, more_flags);
}

#define LEAVE_UNLESS(condition)                                                                                        \
    if (!(condition)) {                                                                                                \
        close(fd);                                                                                                     \
        free(memory);                                                                                                  \
        script.is_done = true;                                                                                         \
        return;                                                                                                        \
    }

#endif
