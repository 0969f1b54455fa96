/* SPDX-License-Identifier: ISC
 *
 * What suites of files share: a directory of their own, and calls that must succeed.
 */
#ifndef TESTS_LOOP_KERNEL_FILES_H
#define TESTS_LOOP_KERNEL_FILES_H

#include "kernel.h"

/* A directory for one test. */
struct ground {
    const char *path;
    int dir;
};

static inline struct ground enter_ground(void)
{
    struct ground ground = {.path = make_directory()};
    ground.dir = loop_kernel_open(ground.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    CHECK(ground.dir >= 0);
    return ground;
}

static inline void leave_ground(const struct ground *ground)
{
    CHECK_IS(loop_kernel_close(ground->dir), 0);
    remove_directory(ground->path);
}

static inline int open_in(int dir, const char *path, int flags)
{
    int number = loop_kernel_openat(dir, path, flags | O_CLOEXEC, 0644);
    if (number < 0) {
        ck_abort_msg("open of %s: %s", path, strerror(errno));
    }
    return number;
}

/* Creates a file with a text. */
static inline void put_text(int dir, const char *path, const char *text)
{
    int number = open_in(dir, path, O_WRONLY | O_CREAT | O_TRUNC);
    CHECK_IS(loop_kernel_write(number, text, strlen(text)), strlen(text));
    CHECK_IS(loop_kernel_close(number), 0);
}

static inline void check_content(int number, const char *text)
{
    char found[256] = "";
    CHECK_IS(loop_kernel_pread(number, found, sizeof found - 1, 0), strlen(text));
    CHECK_TEXT(found, text);
}

static inline void check_text(int dir, const char *path, const char *text)
{
    int number = open_in(dir, path, O_RDONLY);
    check_content(number, text);
    CHECK_IS(loop_kernel_close(number), 0);
}

static inline struct stat status_of(int dir, const char *path)
{
    struct stat status;
    if (loop_kernel_fstatat(dir, path, &status, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0) {
        ck_abort_msg("status of %s: %s", path, strerror(errno));
    }
    return status;
}

static inline bool exists(int dir, const char *path)
{
    struct stat status;
    return loop_kernel_fstatat(dir, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

#endif
