/* SPDX-License-Identifier: ISC
 *
 * Changes of attributes where /proc is not mounted, and the kernel refuses the call on a descriptor.
 *
 * The library's calls by a link in /proc go through the functions below, which find none.
 */
#include "directory.h"

#include <sys/stat.h>
#include <sys/syscall.h>

static bool is_in_proc(const char *path)
{
    return strncmp(path, "/proc/", 6) == 0;
}

int chmod(const char *path, mode_t mode)
{
    return (int)syscall(SYS_fchmodat, AT_FDCWD, is_in_proc(path) ? "/no such directory/" : path, mode);
}

int utimensat(int dir, const char *path, const struct timespec times[2], int flags)
{
    return (int)syscall(SYS_utimensat, dir, is_in_proc(path) ? "/no such directory/" : path, times, flags);
}

static bool leave_root(void)
{
    return geteuid() == 0 && setresgid(12345, 12345, 0) == 0 && setresuid(12345, 12345, 0) == 0;
}

static void back_to_root(void)
{
    CHECK(setresuid(0, 0, 0) == 0 && setresgid(0, 0, 0) == 0);
}

LOOP_TEST(fs_a_refused_change_says_why_without_proc)
{
    static const char *directory;
    static const struct timespec time = {.tv_sec = 1};

    BEGIN;
    directory = enter_directory();
    put("file", "text");
    if (leave_root()) {
        AWAIT(loop_fs_chmod(NULL, env->cwd, "file", LOOP_FS_FOLLOW, 0600, GO));
        CHECK(result == -EPERM || result == -ENOSYS); /* fchmodat2 is of Linux 6.6 */
        AWAIT(loop_fs_set_times(NULL, env->cwd, "file", LOOP_FS_FOLLOW, &time, &time, GO));
        CHECK_IS(result, -EPERM);
        back_to_root();
    }
    AWAIT(loop_fs_set_times(NULL, env->cwd, "file", LOOP_FS_FOLLOW, &(struct timespec){.tv_nsec = -1}, NULL, GO));
    CHECK_IS(result, -EINVAL);
    leave_directory(directory);
    END;
}
