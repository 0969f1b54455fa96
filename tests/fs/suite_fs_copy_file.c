/* SPDX-License-Identifier: ISC
 *
 * loop_fs_copy_file: bytes, permissions, holes, and files whose reported size is wrong; and loop_fs_copy_files.
 */
#include "directory.h"

#include <stdio.h>
#include <sys/stat.h>

/* ---- copying ---- */

LOOP_TEST(fs_copy_file_keeps_bytes_and_permissions)
{
    static const char *directory;
    static struct loop_copy_options options;
    static struct loop_dir *dir;
    static struct loop_fs_status one, other;
    static void *data;
    static char text[300000];

    BEGIN;
    directory = enter_directory();
    fill_pattern(text, sizeof text, 11);
    AWAIT(loop_fs_save(NULL, env->cwd, "from", text, sizeof text, NULL, GO));
    CHECK_IS(chmod("from", 02751), 0);
    CHECK_IS(mkdir("dir", 0755), 0);
    AWAIT(loop_fs_open_dir(NULL, env->cwd, "dir", &dir, GO));
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", dir, "to", NULL, GO));
    CHECK_IS(result, sizeof text);
    CHECK_IS(mode_of("dir/to"), 0751);
    AWAIT(loop_fs_load(NULL, dir, "to", 0, &data, GO));
    CHECK(is_pattern(data, sizeof text, 11));
    free(data);
    put("dir/to", "other");
    options = (struct loop_copy_options){.exclusive = true};
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", dir, "to", &options, GO));
    CHECK_IS(result, -EEXIST);
    CHECK_TEXT(get("dir/to"), "other");
    options = (struct loop_copy_options){.keep_times = true, .keep_owner = true, .sync = true};
    AWAIT(loop_fs_set_times(NULL, env->cwd, "from", LOOP_FS_FOLLOW, AT(1, 234567890), AT(2, 345678901), GO));
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", dir, "to", &options, GO));
    CHECK_IS(result, sizeof text);
    AWAIT(loop_fs_stat(NULL, env->cwd, "from", LOOP_FS_FOLLOW, &one, GO));
    AWAIT(loop_fs_stat(NULL, dir, "to", LOOP_FS_FOLLOW, &other, GO));
    TIME_IS(other.modified, 2, 345678901);
    CHECK_IS(other.mode, 02751);
    CHECK_IS(other.uid, one.uid);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "from", NULL, GO));
    CHECK_IS(result, sizeof text);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "dir", env->cwd, "x", NULL, GO));
    CHECK_IS(result, -EISDIR);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "dir", NULL, GO));
    CHECK_IS(result, -EISDIR);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "nothing", env->cwd, "x", NULL, GO));
    CHECK_IS(result, -ENOENT);
    CHECK_IS(mkfifo("fifo", 0600), 0);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "fifo", env->cwd, "x", NULL, GO));
    CHECK_IS(result, -EINVAL);
    CHECK_IS(count_names("."), 3);
    CHECK_IS(count_names("dir"), 1);
    leave_directory(directory);
    END;
}

static void make_sparse(const char *path, off_t data_at, off_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    CHECK(fd >= 0);
    CHECK_IS(pwrite(fd, "data", 4, data_at), 4);
    CHECK_IS(ftruncate(fd, size), 0);
    close(fd);
}

LOOP_TEST(fs_copy_file_keeps_holes)
{
    static const char *directory, *const other = "/dev/shm"; /* another file system, where there is one */
    static struct loop_fs_status stat;
    static char path[100];
    static const off_t size = (off_t)1 << 32;
    static char four[4];

    BEGIN;
    directory = enter_directory();
    make_sparse("sparse", size / 2, size);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "sparse", env->cwd, "copy", NULL, GO));
    CHECK_IS(result, size);
    AWAIT(loop_fs_stat(NULL, env->cwd, "copy", LOOP_FS_FOLLOW, &stat, GO));
    CHECK_IS(stat.size_bytes, size);
    CHECK(stat.used_bytes < 1 << 20);
    snprintf(path, sizeof path, "%s/noria-test-%d", other, (int)getpid());
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "sparse", env->fs, path, NULL, GO));
    CHECK_IS(result, size);
    AWAIT(loop_fs_stat(NULL, env->fs, path, LOOP_FS_FOLLOW, &stat, GO));
    CHECK_IS(stat.size_bytes, size);
    CHECK(stat.used_bytes < 1 << 20);
    AWAIT(loop_fs_copy_file(NULL, env->fs, path, env->cwd, "back", NULL, GO));
    CHECK_IS(result, size);
    CHECK_IS(unlink(path), 0);
    {
        int fd = open("back", O_RDONLY | O_CLOEXEC);
        CHECK_IS(pread(fd, four, 4, size / 2), 4);
        CHECK_IS(memcmp(four, "data", 4), 0);
        close(fd);
    }
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_copy_file_of_files_that_claim_to_be_empty)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    AWAIT(loop_fs_copy_file(NULL, env->fs, "/proc/self/limits", env->cwd, "limits", NULL, GO));
    CHECK(result > 100);
    CHECK(strstr(get("limits"), "Max open files") != NULL);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "limits", env->cwd, "empty", NULL, GO));
    put("nothing", "");
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "nothing", env->cwd, "empty", NULL, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(get("empty"), "");
    leave_directory(directory);
    END;
}

/* ---- several at a time ---- */

LOOP_TEST(fs_copy_files_copies_all_that_can_be_copied)
{
    static const char *directory;
    static char long_path[5000];
    static struct loop_dir *dir;
    static struct loop_copied files[6];
    static const struct loop_copy_options options = {.exclusive = true};

    BEGIN;
    directory = enter_directory();
    put("a", "first");
    put("b", "");
    put("c", "third");
    CHECK_IS(mkdir("dir", 0755), 0);
    put("dir/c", "old");
    memset(long_path, 'x', sizeof long_path - 1);
    AWAIT(loop_fs_open_dir(NULL, env->cwd, "dir", &dir, GO));
    files[0] = (struct loop_copied){"a", "a", 77};
    files[1] = (struct loop_copied){"nothing", "x", 77};
    files[2] = (struct loop_copied){"dir", "x", 77};
    files[3] = (struct loop_copied){"c", "c", 77};
    files[4] = (struct loop_copied){"c", long_path, 77};
    files[5] = (struct loop_copied){"b", "b", 77};
    AWAIT(loop_fs_copy_files(NULL, env->cwd, dir, files, COUNT_OF(files), &options, GO));
    CHECK_IS(result, 2);
    CHECK_IS(files[0].result, 5);
    CHECK_IS(files[1].result, -ENOENT);
    CHECK_IS(files[2].result, -EISDIR);
    CHECK_IS(files[3].result, -EEXIST);
    CHECK_IS(files[4].result, -ENAMETOOLONG);
    CHECK_IS(files[5].result, 0);
    CHECK_TEXT(get("dir/a"), "first");
    CHECK_TEXT(get("dir/c"), "old");
    AWAIT(loop_fs_copy_files(NULL, env->cwd, dir, &files[3], 1, NULL, GO));
    CHECK_IS(result, 1);
    CHECK_TEXT(get("dir/c"), "third");
    AWAIT(loop_fs_copy_files(NULL, env->cwd, dir, NULL, 0, NULL, GO));
    CHECK_IS(result, 0);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_copy_file_in_place_makes_the_name_and_replaces_none)
{
    static const struct loop_copy_options options = {.in_place = true};
    static const char *directory;
    struct stat status;

    BEGIN;
    directory = enter_directory();
    put("from", "bytes");
    CHECK_IS(chmod("from", 0670), 0);
    put("old", "old");
    CHECK_IS(symlink("nowhere", "link"), 0);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", &options, GO));
    CHECK_IS(result, 5);
    CHECK_TEXT(get("to"), "bytes");
    CHECK_IS(stat("to", &status), 0);
    CHECK_IS(status.st_mode & 07777, 0670);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "old", &options, GO));
    CHECK_IS(result, -EEXIST);
    CHECK_TEXT(get("old"), "old");
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "link", &options, GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "nowhere/to", &options, GO));
    CHECK_IS(result, -ENOENT);
    CHECK_IS(count_names("."), 4);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_copy_files_of_wrong_arguments_copies_none)
{
    static const char *directory;
    static struct loop_copied files[2];
    static struct loop_scope *scope;

    BEGIN;
    directory = enter_directory();
    put("a", "first");
    files[0] = (struct loop_copied){"a", "b", 77};
    files[1] = (struct loop_copied){"a", NULL, 77};
    AWAIT(loop_fs_copy_files(NULL, env->cwd, env->cwd, files, 2, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_copy_files(NULL, env->cwd, env->cwd, NULL, 2, NULL, GO));
    CHECK_IS(result, -EINVAL);
    scope = loop_scope_open(env->scope, NULL, NULL);
    loop_scope_hold(scope);
    loop_scope_cancel(scope);
    files[0].result = 77;
    AWAIT(loop_fs_copy_files(scope, env->cwd, env->cwd, files, 1, NULL, GO));
    CHECK_IS(result, -ECANCELED);
    CHECK_IS(files[0].result, -ECANCELED);
    CHECK_IS(count_names("."), 1);
    loop_scope_unhold(scope);
    leave_directory(directory);
    END;
}
