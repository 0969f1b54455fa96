/* SPDX-License-Identifier: ISC
 *
 * Times of files: all that a file system can store, including times outside the range of 64-bit nanoseconds (before
 * 1677 and after 2262).
 */
#include "directory.h"

#include <stdio.h>
#include <sys/stat.h>

static const struct timespec times[] = {
    {.tv_sec = 0},
    {.tv_sec = -1, .tv_nsec = 999999999},
    {.tv_sec = -2145916800, .tv_nsec = 1},         /* 1902 */
    {.tv_sec = -2177452800, .tv_nsec = 2},         /* 1901 */
    {.tv_sec = INT64_MAX / LOOP_SECOND + 1},       /* 2262, the first second that doesn't fit */
    {.tv_sec = INT64_MIN / LOOP_SECOND - 1},       /* 1677 */
    {.tv_sec = 13569465600, .tv_nsec = 123456789}, /* 2400 */
    {.tv_sec = 95617584000, .tv_nsec = 500000000}, /* 5000 */
    {.tv_sec = -62135596800, .tv_nsec = 5},        /* 1 */
    {.tv_sec = INT64_MAX / LOOP_SECOND * 100, .tv_nsec = 7},
};

/* The file system rounds and clamps as it does for the system call. */
static struct stat as_set_by_hand(const char *path, const struct timespec *accessed, const struct timespec *modified)
{
    const struct timespec both[2] = {*accessed, *modified};
    struct stat status;

    put(path, "text");
    CHECK_IS(utimensat(AT_FDCWD, path, both, 0), 0);
    CHECK_IS(stat(path, &status), 0);
    return status;
}

static struct stat status_of(const char *path)
{
    struct stat status;

    CHECK_IS(stat(path, &status), 0);
    return status;
}

static void check_time(struct timespec time, struct timespec expected)
{
    CHECK_IS(time.tv_sec, expected.tv_sec);
    CHECK_IS(time.tv_nsec, expected.tv_nsec);
}

static const char *enter_directory_in(const char *where)
{
    static char path[64];

    snprintf(path, sizeof path, "%s/noria-test-times-%d", where, (int)getpid());
    CHECK_IS(mkdir(path, 0755), 0);
    CHECK_IS(chdir(path), 0);
    return path;
}

/* A disk's file system, and one in memory, which stores any time. */
static const char *const grounds[] = {"/tmp", "/dev/shm"};

LOOP_TEST(fs_stat_tells_every_time)
{
    static const char *directory;
    static struct loop_fs_status stat;
    static struct stat by_hand;
    static size_t ground, i;

    BEGIN;
    for (ground = 0; ground < COUNT_OF(grounds); ground++) {
        directory = enter_directory_in(grounds[ground]);
        for (i = 0; i < COUNT_OF(times); i++) {
            by_hand = as_set_by_hand("file", &times[i], &times[COUNT_OF(times) - 1 - i]);
            AWAIT(loop_fs_stat(NULL, env->cwd, "file", LOOP_FS_FOLLOW, &stat, GO));
            CHECK_IS(result, 0);
            check_time(stat.accessed, by_hand.st_atim);
            check_time(stat.modified, by_hand.st_mtim);
            check_time(stat.changed, by_hand.st_ctim);
        }
        leave_directory(directory);
    }
    END;
}

LOOP_TEST(fs_set_times_sets_every_time)
{
    static const char *directory;
    static struct loop_flow *flow;
    static struct stat by_hand;
    static size_t ground, i;

    BEGIN;
    for (ground = 0; ground < COUNT_OF(grounds); ground++) {
        directory = enter_directory_in(grounds[ground]);
        put("file", "text");
        AWAIT(loop_fs_open(NULL, env->cwd, "file", NULL, &flow, GO));
        CHECK_IS(result, 0);
        for (i = 0; i < COUNT_OF(times); i++) {
            by_hand = as_set_by_hand("by hand", &times[i], &times[COUNT_OF(times) - 1 - i]);
            AWAIT(loop_fs_set_times(NULL, env->cwd, "file", i % 2 ? LOOP_FS_FOLLOW : 0, &times[i], NULL, GO));
            CHECK_IS(result, 0);
            AWAIT(loop_file_set_times(NULL, flow->fd, NULL, &times[COUNT_OF(times) - 1 - i], GO));
            CHECK_IS(result, 0);
            check_time(status_of("file").st_atim, by_hand.st_atim);
            check_time(status_of("file").st_mtim, by_hand.st_mtim);
        }
        loop_flow_close(flow);
        leave_directory(directory);
    }
    END;
}

LOOP_TEST(fs_copies_keep_every_time)
{
    static const struct loop_copy_options options = {.keep_times = true};
    static const char *directory;
    static struct stat by_hand;
    static size_t ground, i;

    BEGIN;
    for (ground = 0; ground < COUNT_OF(grounds); ground++) {
        directory = enter_directory_in(grounds[ground]);
        for (i = 0; i < COUNT_OF(times); i++) {
            by_hand = as_set_by_hand("file", &times[i], &times[COUNT_OF(times) - 1 - i]);
            AWAIT(loop_fs_copy_file(NULL, env->cwd, "file", env->cwd, "copy", &options, GO));
            CHECK_IS(result, 4);
            check_time(status_of("copy").st_mtim, by_hand.st_mtim);
        }
        leave_directory(directory);
    }
    END;
}

LOOP_TEST(fs_now_and_as_it_is)
{
    static const struct timespec now = {.tv_nsec = UTIME_NOW}, keep = {.tv_nsec = UTIME_OMIT},
                                 none = {.tv_nsec = 1000000000};
    static const char *directory;
    static struct stat before;

    BEGIN;
    directory = enter_directory_in("/tmp");
    before = as_set_by_hand("file", &times[2], &times[3]);
    AWAIT(loop_fs_set_times(NULL, env->cwd, "file", LOOP_FS_FOLLOW, &now, &keep, GO));
    CHECK_IS(result, 0);
    CHECK(status_of("file").st_atim.tv_sec > 1600000000);
    check_time(status_of("file").st_mtim, before.st_mtim);
    AWAIT(loop_fs_set_times(NULL, env->cwd, "file", LOOP_FS_FOLLOW, NULL, NULL, GO));
    CHECK_IS(result, 0);
    check_time(status_of("file").st_mtim, before.st_mtim);
    AWAIT(loop_fs_set_times(NULL, env->cwd, "file", LOOP_FS_FOLLOW, &none, NULL, GO));
    CHECK_IS(result, -EINVAL);
    leave_directory(directory);
    END;
}
