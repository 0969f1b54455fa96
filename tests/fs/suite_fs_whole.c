/* SPDX-License-Identifier: ISC
 *
 * loop_fs_load and loop_fs_save: whole files.
 */
#include "big.h"
#include "directory.h"

#include <sched.h>
#include <semaphore.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* ---- whole files ---- */

LOOP_TEST(fs_load_and_save)
{
    static const char *directory;
    static void *data;
    static char *text;
    static const size_t len = 3000001;

    BEGIN;
    directory = enter_directory();
    text = malloc(len);
    fill_pattern(text, len, 5);
    AWAIT(loop_fs_save(NULL, env->cwd, "file", text, len, NULL, GO));
    CHECK_IS(result, len);
    CHECK_IS(mode_of("file"), 0644);
    free(text);
    AWAIT(loop_fs_load(NULL, env->cwd, "file", 0, &data, GO));
    CHECK_IS(result, len);
    CHECK(is_pattern(data, len, 5));
    CHECK_IS(((char *)data)[len], 0);
    free(data);
    data = NULL;
    AWAIT(loop_fs_load(NULL, env->cwd, "file", len, &data, GO));
    CHECK_IS(result, len);
    free(data);
    data = NULL;
    AWAIT(loop_fs_load(NULL, env->cwd, "file", len - 1, &data, GO));
    CHECK_IS(result, -EFBIG);
    CHECK(data == NULL);
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "short", 5, NULL, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "er", 2, &(struct loop_save_options){.append = true, .sync = true}, GO));
    CHECK_TEXT(get("file"), "shorter");
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "x", 1, &(struct loop_save_options){.exclusive = true}, GO));
    CHECK_IS(result, -EEXIST);
    CHECK_TEXT(get("file"), "shorter");
    AWAIT(loop_fs_save(NULL, env->cwd, "empty", NULL, 0, &(struct loop_save_options){.mode = 0600}, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("empty"), 0600);
    AWAIT(loop_fs_load(NULL, env->cwd, "empty", 0, &data, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(data, "");
    free(data);
    AWAIT(loop_fs_load(NULL, env->cwd, ".", 0, &data, GO));
    CHECK_IS(result, -EISDIR);
    AWAIT(loop_fs_save(NULL, env->cwd, "file", NULL, 3, NULL, GO));
    CHECK_IS(result, -EINVAL);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_load_of_files_that_claim_to_be_empty)
{
    static void *data;

    BEGIN;
    AWAIT(loop_fs_load(NULL, env->fs, "/proc/self/status", 0, &data, GO));
    CHECK(result > 0);
    CHECK(strstr(data, "Threads:") != NULL);
    CHECK_IS(strlen(data), result);
    free(data);
    AWAIT(loop_fs_load(NULL, env->fs, "/proc/self/status", 10, &data, GO));
    CHECK_IS(result, -EFBIG);
    AWAIT(loop_fs_load(NULL, env->fs, "/proc/kallsyms", 0, &data, GO)); /* many pages, and reads that are short */
    CHECK(result > 100000);
    CHECK_IS(strlen(data), result);
    free(data);
    END;
}

/* A file of /sys claims a page, and has a few bytes. */
LOOP_TEST(fs_load_of_a_file_that_claims_more_than_it_has)
{
    static const char path[] = "/sys/devices/system/cpu/online";
    static void *data;
    static int64_t len;

    BEGIN;
    AWAIT(loop_fs_load(NULL, env->fs, path, 0, &data, GO));
    len = result;
    CHECK(len > 1);
    free(data);
    data = NULL;
    AWAIT(loop_fs_load(NULL, env->fs, path, (size_t)len - 1, &data, GO));
    CHECK_IS(result, -EFBIG);
    CHECK(data == NULL);
    AWAIT(loop_fs_load(NULL, env->fs, path, (size_t)len, &data, GO));
    CHECK_IS(result, len);
    CHECK_IS(strlen(data), len);
    free(data);
    END;
}

LOOP_TEST(fs_save_atomically)
{
    static const char *directory;
    static struct loop_save_options options;

    BEGIN;
    directory = enter_directory();
    options = (struct loop_save_options){.atomic = true};
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "one", 3, &options, GO));
    CHECK_IS(result, 3);
    CHECK_IS(mode_of("file"), 0644);
    CHECK_IS(chmod("file", 0604), 0);
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "two", 3, &options, GO));
    CHECK_IS(result, 3);
    CHECK_TEXT(get("file"), "two");
    CHECK_IS(mode_of("file"), 0604);
    options.exclusive = true;
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "three", 5, &options, GO));
    CHECK_IS(result, -EEXIST);
    CHECK_TEXT(get("file"), "two");
    AWAIT(loop_fs_save(NULL, env->cwd, "new", "three", 5, &options, GO));
    CHECK_IS(result, 5);
    CHECK_TEXT(get("new"), "three");
    CHECK_IS(symlink("file", "link"), 0);
    options.exclusive = false;
    AWAIT(loop_fs_save(NULL, env->cwd, "link", "four", 4, &options, GO));
    CHECK_IS(result, 4);
    CHECK_TEXT(get("file"), "two");
    CHECK_TEXT(get("link"), "four");
    AWAIT(loop_fs_save(NULL, env->cwd, "new/", "five", 4, &options, GO));
    CHECK_IS(result, -EISDIR);
    AWAIT(loop_fs_save(NULL, env->cwd, ".", "five", 4, &options, GO));
    CHECK_IS(result, -EISDIR);
    options.append = true;
    AWAIT(loop_fs_save(NULL, env->cwd, "new", "five", 4, &options, GO));
    CHECK_IS(result, -EINVAL);
    CHECK_IS(count_names("."), 3);
    leave_directory(directory);
    END;
}

/* ---- disks that are full ---- */

/* A file system of 64 KiB. */
static int64_t tiny_results[3];

static void on_tiny(void *arg, int64_t result)
{
    *(int64_t *)arg = result;
}

static int fill_tiny(struct loop_env *env, void *unused)
{
    static const struct loop_save_options options = {.atomic = true};

    (void)unused;
    loop_fs_save(NULL, env->cwd, "file", big, BIG, &options, on_tiny, &tiny_results[0]);
    loop_fs_copy_file(NULL, env->fs, "/dev/shm/noria-test-big", env->cwd, "copy", NULL, on_tiny, &tiny_results[1]);
    return 0;
}

static int use_tiny(void *unused)
{
    (void)unused;
    if ((unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("tiny", ".", "tmpfs", 0, "size=64k") < 0 ||
        chdir("/") < 0 || chdir((const char *)unused) < 0) {
        return 0;
    }
    make_big();
    put_bytes("file", "old", 3);
    put_bytes("/dev/shm/noria-test-big", big, BIG);
    int result = loop_run(0, 0, 0, NULL, fill_tiny, NULL);
    unlink("/dev/shm/noria-test-big");
    return result || tiny_results[0] != -ENOSPC || tiny_results[1] != -ENOSPC || size_of("file") != 3 ||
           count_names(".") != 1;
}

TEST(fs_a_file_system_of_64_kib)
{
    const char *directory = enter_directory();

    CHECK_CHILD(use_tiny, (void *)(uintptr_t)directory);
    leave_directory(directory);
}
