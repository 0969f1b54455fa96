/* SPDX-License-Identifier: ISC
 *
 * Creating, removing, renaming and linking names, and changing their attributes.
 */
#include "directory.h"

#include <sys/stat.h>

/* ---- names ---- */

LOOP_TEST(fs_directories_are_made_and_removed)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    AWAIT(loop_fs_mkdir(NULL, env->cwd, "dir", 0, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("dir"), 0755);
    AWAIT(loop_fs_mkdir(NULL, env->cwd, "dir", 0, GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(loop_fs_mkdir(NULL, env->cwd, "dir/more/", 0700, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("dir/more"), 0700);
    AWAIT(loop_fs_mkdir(NULL, env->cwd, "no/where", 0, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_fs_mkdir(NULL, env->cwd, "dir/..", 0, GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(loop_fs_mkdir(NULL, env->cwd, "bad", 0200000, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_rmdir(NULL, env->cwd, "dir", GO));
    CHECK_IS(result, -ENOTEMPTY);
    AWAIT(loop_fs_unlink(NULL, env->cwd, "dir/more", GO));
    CHECK_IS(result, -EISDIR);
    AWAIT(loop_fs_rmdir(NULL, env->cwd, "dir/more/", GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_rmdir(NULL, env->cwd, "dir/.", GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_rmdir(NULL, env->cwd, "dir", GO));
    CHECK_IS(result, 0);
    CHECK_IS(count_names("."), 0);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_mkdirs_makes_what_is_missing)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    AWAIT(loop_fs_mkdirs(NULL, env->cwd, "a/b//c/d/", 0, GO));
    CHECK_IS(result, 0);
    CHECK(exists("a/b/c/d"));
    AWAIT(loop_fs_mkdirs(NULL, env->cwd, "a/b/c/d", 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_mkdirs(NULL, env->cwd, "a/../e/./f", 0, GO));
    CHECK_IS(result, 0);
    CHECK(exists("e/f"));
    put("file", "");
    AWAIT(loop_fs_mkdirs(NULL, env->cwd, "file", 0, GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(loop_fs_mkdirs(NULL, env->cwd, "file/x", 0, GO));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(loop_fs_mkdirs(NULL, env->cwd, ".", 0, GO));
    CHECK_IS(result, 0);
    CHECK_IS(symlink("a", "link"), 0);
    AWAIT(loop_fs_mkdirs(NULL, env->cwd, "link/g", 0, GO));
    CHECK_IS(result, 0);
    CHECK(exists("a/g"));
    CHECK_IS(symlink("nowhere", "dangling"), 0);
    AWAIT(loop_fs_mkdirs(NULL, env->cwd, "dangling", 0, GO));
    CHECK_IS(result, -ENOENT);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_unlink_takes_the_name_not_the_target)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    put("file", "");
    CHECK_IS(symlink("file", "link"), 0);
    AWAIT(loop_fs_unlink(NULL, env->cwd, "link/", GO));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(loop_fs_unlink(NULL, env->cwd, "link", GO));
    CHECK_IS(result, 0);
    CHECK(exists("file") && !exists("link"));
    AWAIT(loop_fs_rmdir(NULL, env->cwd, "file", GO));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(loop_fs_unlink(NULL, env->cwd, "file", GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_unlink(NULL, env->cwd, "file", GO));
    CHECK_IS(result, -ENOENT);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_rename_replaces_refuses_or_exchanges)
{
    static const char *directory;
    static struct loop_dir *dir;

    BEGIN;
    directory = enter_directory();
    put("one", "one");
    put("two", "two");
    CHECK_IS(mkdir("dir", 0755), 0);
    AWAIT(loop_fs_open_dir(NULL, env->cwd, "dir", &dir, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_rename(NULL, env->cwd, "one", env->cwd, "two", LOOP_RENAME_NOREPLACE, GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(loop_fs_rename(NULL, env->cwd, "one", env->cwd, "two", LOOP_RENAME_EXCHANGE, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(get("one"), "two");
    AWAIT(loop_fs_rename(NULL, env->cwd, "one", env->cwd, "two", LOOP_RENAME_REPLACE, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(get("two"), "two");
    CHECK(!exists("one"));
    AWAIT(loop_fs_rename(NULL, env->cwd, "two", dir, "here", LOOP_RENAME_NOREPLACE, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(get("dir/here"), "two");
    AWAIT(loop_fs_rename(NULL, dir, "here", dir, "../out", LOOP_RENAME_REPLACE, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(loop_fs_rename(NULL, dir, "..", env->cwd, "out", LOOP_RENAME_REPLACE, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(loop_fs_rename(NULL, env->cwd, "dir/", env->cwd, "renamed/", LOOP_RENAME_REPLACE, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_rename(NULL, dir, "here", dir, "there", LOOP_RENAME_REPLACE, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(get("renamed/there"), "two");
    AWAIT(loop_fs_rename(NULL, dir, "nothing", dir, "there", LOOP_RENAME_EXCHANGE, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_fs_rename(NULL, dir, "there", dir, "x", (enum loop_rename)9, GO));
    CHECK_IS(result, -EINVAL);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_links_of_both_kinds)
{
    static const char *directory;
    static char *target;
    static struct stat status;

    BEGIN;
    directory = enter_directory();
    put("file", "text");
    AWAIT(loop_fs_symlink(NULL, "/no/such//place", env->cwd, "soft", GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_read_link(NULL, env->cwd, "soft", &target, GO));
    CHECK_IS(result, 15);
    CHECK_TEXT(target, "/no/such//place");
    free(target);
    AWAIT(loop_fs_symlink(NULL, "x", env->cwd, "soft", GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(loop_fs_symlink(NULL, "", env->cwd, "empty", GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_fs_symlink(NULL, NULL, env->cwd, "null", GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_read_link(NULL, env->cwd, "file", &target, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_link(NULL, env->cwd, "file", env->cwd, "hard", GO));
    CHECK_IS(result, 0);
    CHECK_IS(lstat("hard", &status), 0);
    CHECK_IS(status.st_nlink, 2);
    AWAIT(loop_fs_link(NULL, env->cwd, "file", env->cwd, "hard", GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(loop_fs_link(NULL, env->cwd, "soft", env->cwd, "same", GO));
    CHECK_IS(result, 0);
    CHECK_IS(lstat("same", &status), 0);
    CHECK(S_ISLNK(status.st_mode));
    AWAIT(loop_fs_link(NULL, env->cwd, "./", env->cwd, "directory", GO));
    CHECK_IS(result, -EPERM);
    leave_directory(directory);
    END;
}

/* ---- attributes ---- */

LOOP_TEST(fs_chmod_chown_and_times)
{
    static const char *directory;
    static struct loop_fs_status stat;

    BEGIN;
    directory = enter_directory();
    put("file", "text");
    CHECK_IS(symlink("file", "link"), 0);
    AWAIT(loop_fs_chmod(NULL, env->cwd, "link", LOOP_FS_FOLLOW, 04711, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("file"), 04711);
    AWAIT(loop_fs_chmod(NULL, env->cwd, "file", 0, 0600, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("file"), 0600);
    AWAIT(loop_fs_chmod(NULL, env->cwd, "link", 0, 0600, GO));
    CHECK_IS(result, -EOPNOTSUPP);
    AWAIT(loop_fs_chmod(NULL, env->cwd, "file", LOOP_FS_FOLLOW, 0200000, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_chown(NULL, env->cwd, "link", 0, geteuid(), getegid(), GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_set_times(NULL, env->cwd, "link", LOOP_FS_FOLLOW, AT(1, 1), AT(2, 2), GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_set_times(NULL, env->cwd, "link", 0, NULL, AT(3, 3), GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_stat(NULL, env->cwd, "file", LOOP_FS_FOLLOW, &stat, GO));
    TIME_IS(stat.accessed, 1, 1);
    TIME_IS(stat.modified, 2, 2);
    AWAIT(loop_fs_stat(NULL, env->cwd, "link", 0, &stat, GO));
    TIME_IS(stat.modified, 3, 3);
    AWAIT(loop_fs_set_times(NULL, env->cwd, "file", LOOP_FS_FOLLOW, AT(0, UTIME_NOW), NULL, GO));
    AWAIT(loop_fs_stat(NULL, env->cwd, "file", LOOP_FS_FOLLOW, &stat, GO));
    CHECK(stat.accessed.tv_sec > 1600000000);
    TIME_IS(stat.modified, 2, 2);
    AWAIT(loop_fs_truncate(NULL, env->cwd, "link", 2, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(get("file"), "te");
    AWAIT(loop_fs_truncate(NULL, env->cwd, ".", 2, GO));
    CHECK_IS(result, -EISDIR);
    AWAIT(loop_fs_sync(NULL, env->cwd, "file", GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_sync(NULL, env->cwd, ".", GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_sync(NULL, env->cwd, "nothing", GO));
    CHECK_IS(result, -ENOENT);
    leave_directory(directory);
    END;
}
