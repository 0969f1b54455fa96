/* SPDX-License-Identifier: ISC
 *
 * Queries about a path: stat, kind, access, statfs, realpath.
 */
#include "directory.h"

#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* ---- stat and related calls ---- */

LOOP_TEST(fs_stat_follows_or_not)
{
    static const char *directory;
    static struct loop_fs_status stat, other;
    static struct stat status;

    BEGIN;
    directory = enter_directory();
    put("file", "12345");
    CHECK_IS(mkdir("dir", 0751), 0);
    CHECK_IS(symlink("../file", "dir/link"), 0);
    CHECK_IS(link("file", "dir/second"), 0);
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir/link", LOOP_FS_FOLLOW, &stat, GO));
    CHECK_IS(result, 0);
    CHECK_IS(stat.kind, LOOP_KIND_REGULAR);
    CHECK_IS(stat.size_bytes, 5);
    CHECK_IS(stat.n_links, 2);
    CHECK_IS(stat.mode, 0644);
    CHECK_IS(stat.uid, geteuid());
    CHECK_IS(lstat("file", &status), 0);
    CHECK_IS(stat.inode, status.st_ino);
    TIME_IS(stat.modified, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir/second", 0, &other, GO));
    CHECK(stat.inode == other.inode && stat.device == other.device);
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir/link", 0, &stat, GO));
    CHECK_IS(stat.kind, LOOP_KIND_SYMLINK);
    CHECK_IS(stat.size_bytes, 7);
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir", 0, &stat, GO));
    CHECK_IS(stat.kind, LOOP_KIND_DIRECTORY);
    CHECK_IS(stat.mode, 0751);
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir/..", 0, &stat, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_stat(NULL, env->cwd, "file/", 0, &stat, GO));
    CHECK_IS(result, -ENOTDIR);
    stat.inode = 42;
    AWAIT(loop_fs_stat(NULL, env->cwd, "nothing", LOOP_FS_FOLLOW, &stat, GO));
    CHECK_IS(result, -ENOENT);
    CHECK_IS(stat.inode, 42);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_kind_says_that_there_is_nothing)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    put("file", "");
    CHECK_IS(mkfifo("fifo", 0600), 0);
    CHECK_IS(symlink("nowhere", "link"), 0);
    AWAIT(loop_fs_kind(NULL, env->cwd, "file", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, LOOP_KIND_REGULAR);
    AWAIT(loop_fs_kind(NULL, env->cwd, "fifo", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, LOOP_KIND_FIFO);
    AWAIT(loop_fs_kind(NULL, env->cwd, "link", 0, GO));
    CHECK_IS(result, LOOP_KIND_SYMLINK);
    AWAIT(loop_fs_kind(NULL, env->cwd, "link", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, LOOP_KIND_NONE);
    AWAIT(loop_fs_kind(NULL, env->cwd, "nothing", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, LOOP_KIND_NONE);
    AWAIT(loop_fs_kind(NULL, env->cwd, "file/more", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, LOOP_KIND_NONE);
    AWAIT(loop_fs_kind(NULL, env->cwd, ".", 0, GO));
    CHECK_IS(result, LOOP_KIND_DIRECTORY);
    AWAIT(loop_fs_kind(NULL, env->fs, "/dev/null", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, LOOP_KIND_CHARACTER);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_access_asks_for_the_process)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    put("file", "");
    CHECK_IS(chmod("file", 0400), 0);
    AWAIT(loop_fs_access(NULL, env->cwd, "file", R_OK, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_access(NULL, env->cwd, "file", F_OK, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_access(NULL, env->cwd, "file", X_OK, GO));
    CHECK_IS(result, -EACCES);
    AWAIT(loop_fs_access(NULL, env->cwd, "nothing", F_OK, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_fs_access(NULL, env->cwd, "file", 64, GO));
    CHECK_IS(result, -EINVAL);
    leave_directory(directory);
    END;
}

static void on_access(void *arg, int64_t result)
{
    *(int64_t *)arg = result;
}

static int64_t accesses[3];

static int check_access(struct loop_env *env, void *unused)
{
    (void)unused;
    loop_fs_access(NULL, env->cwd, "closed", R_OK, on_access, &accesses[0]);
    loop_fs_access(NULL, env->cwd, "open", R_OK, on_access, &accesses[1]);
    loop_fs_stat(NULL, env->cwd, "locked/../open", LOOP_FS_FOLLOW, &(struct loop_fs_status){.mode = 0}, on_access,
                 &accesses[2]);
    return 0;
}

static int access_unprivileged(void *directory)
{
    CHECK_IS(chmod(directory, 0755), 0);
    put("closed", "");
    put("open", "");
    CHECK_IS(chmod("closed", 0600), 0);
    CHECK_IS(mkdir("locked", 0700), 0);
    if (!drop_privileges()) {
        return 0;
    }
    return loop_run(0, 0, 0, NULL, check_access, NULL) == 0 && accesses[0] == -EACCES && accesses[1] == 0 &&
                   accesses[2] == -EACCES
               ? 0
               : 1;
}

TEST(fs_permissions_hold_on_the_way)
{
    const char *directory = enter_directory();

    CHECK_CHILD(access_unprivileged, (void *)(uintptr_t)directory);
    leave_directory(directory);
}

LOOP_TEST(fs_statfs_of_proc)
{
    static struct loop_fs_space space;
    static struct statfs fs;

    BEGIN;
    AWAIT(loop_fs_statfs(NULL, env->fs, "/proc", &space, GO));
    CHECK_IS(result, 0);
    CHECK_IS(space.type, PROC_SUPER_MAGIC);
    AWAIT(loop_fs_statfs(NULL, env->fs, "/tmp", &space, GO));
    CHECK_IS(result, 0);
    CHECK_IS(statfs("/tmp", &fs), 0);
    CHECK_IS(space.total_bytes, fs.f_blocks * (uint64_t)fs.f_frsize);
    CHECK_IS(space.name_max, fs.f_namelen);
    CHECK(space.avail_bytes <= space.free_bytes && space.free_bytes <= space.total_bytes);
    END;
}

LOOP_TEST(fs_realpath_is_relative_to_its_directory)
{
    static const char *directory;
    static char *real, expected[200];

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("a", 0755), 0);
    CHECK_IS(mkdir("a/b", 0755), 0);
    put("a/b/file", "");
    CHECK_IS(symlink("b/../b", "a/link"), 0);
    AWAIT(loop_fs_realpath(NULL, env->cwd, "./a//link/../link/file", &real, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(real, "a/b/file");
    free(real);
    AWAIT(loop_fs_realpath(NULL, env->cwd, "a/link", &real, GO));
    CHECK_TEXT(real, "a/b");
    free(real);
    AWAIT(loop_fs_realpath(NULL, env->cwd, "a/b/..", &real, GO));
    CHECK_TEXT(real, "a");
    free(real);
    AWAIT(loop_fs_realpath(NULL, env->cwd, "a/..", &real, GO));
    CHECK_TEXT(real, ".");
    free(real);
    AWAIT(loop_fs_realpath(NULL, env->cwd, "a/b/..//", &real, GO));
    CHECK_TEXT(real, "a");
    free(real);
    snprintf(expected, sizeof expected, "%s/a/b", directory);
    AWAIT(loop_fs_realpath(NULL, env->fs, "a/link", &real, GO));
    CHECK_TEXT(real, expected);
    free(real);
    AWAIT(loop_fs_realpath(NULL, env->cwd, "a/nothing", &real, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_fs_realpath(NULL, env->cwd, "a/b/file/", &real, GO));
    CHECK_IS(result, -ENOTDIR);
    leave_directory(directory);
    END;
}
