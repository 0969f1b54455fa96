/* SPDX-License-Identifier: ISC
 *
 * Helpers that the suites of regular files share: a pattern, files that contain it, and copies.
 */
#ifndef TESTS_FILES_H
#define TESTS_FILES_H

#include "harness.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define MIB ((int64_t)1 << 20)
#define HUGE_FILE (4096 * MIB) /* a hole: uses no disk space, and takes about a second to copy */
__attribute__((unused)) static char pattern[3 * (1 << 20) + 17], got[sizeof pattern];

static inline int64_t position(int fd)
{
    return lseek(fd, 0, SEEK_CUR);
}

static inline int64_t size_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) ? -errno : status.st_size;
}

static inline int make_memory_file(int64_t len)
{
    int fd = memfd_create("noria-test", MFD_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_IS(ftruncate(fd, len), 0);
    return fd;
}

/* Returns the loop's descriptor of a file; the test has its own descriptor of the same open file. */
static inline struct loop_flow *flow_beside(struct loop_scope *scope, int fd)
{
    return flow_of(scope, fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

static inline loop_job start_copy(struct loop_scope *scope, int from, int to, struct once *once)
{
    memset(once, 0, sizeof *once);
    return START(loop_copy(&flow_beside(scope, from)->source, &flow_beside(scope, to)->sink, ONCE(once)));
}

/* Checks that a copy ended early and returned the number of bytes in the sink, or `error` if there are none. */
static inline void check_ended(const struct once *copy, int64_t moved, int64_t error)
{
    CHECK_IS(copy->count, 1);
    CHECK_IS(copy->result, moved > 0 ? moved : error);
}

static inline void check_content(int fd, int64_t offset, const char *expected, int64_t len)
{
    CHECK_IS(pread(fd, got, sizeof got, offset), len);
    CHECK(memcmp(got, expected, (size_t)len) == 0);
}

#endif
