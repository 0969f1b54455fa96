/* SPDX-License-Identifier: ISC
 *
 * A directory with links, files and directories inside and outside of it, and every operation on a path (P22).
 */
#ifndef TESTS_GROUND_H
#define TESTS_GROUND_H

#include "harness.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

/* Creates two directories: the contents of the first may be reached, those of the second may not. */
static inline const char *make_ground(void)
{
    static char base[64], link[100];

    snprintf(base, sizeof base, "%s", make_directory());
    CHECK_IS(chdir(base), 0);
    umask(022);
    CHECK_IS(mkdir("outside", 0755), 0);
    CHECK_IS(mkdir("outside/dir", 0755), 0);
    CHECK_IS(symlink("secret", "outside/link"), 0);
    put("outside/secret", "outside");
    CHECK_IS(mkdir("inside", 0755), 0);
    CHECK_IS(mkdir("inside/dir", 0755), 0);
    CHECK_IS(mkdir("inside/dir/deep", 0755), 0);
    put("inside/file", "inside");
    CHECK_IS(symlink("..", "inside/up"), 0);
    CHECK_IS(symlink("dir/../../inside/file", "inside/back"), 0);
    CHECK_IS(symlink("../outside", "inside/out"), 0);
    CHECK_IS(symlink("../outside/secret", "inside/leak"), 0);
    CHECK_IS(symlink("../outside/new", "inside/dangling"), 0);
    snprintf(link, sizeof link, "%s/outside", base);
    CHECK_IS(symlink(link, "inside/absolute"), 0);
    CHECK_IS(symlink("dir/deep/../..", "inside/around"), 0);
    return base;
}

static inline void remove_ground(const char *base)
{
    CHECK_IS(chdir("/"), 0);
    remove_directory(base);
}

/* Checks that everything outside is unchanged. */
static inline void check_outside(const char *base)
{
    char path[100], text[32] = "";
    struct stat status;

    snprintf(path, sizeof path, "%s/outside/secret", base);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_IS(read(fd, text, sizeof text - 1), 7);
    CHECK_TEXT(text, "outside");
    CHECK_IS(fstat(fd, &status), 0);
    CHECK_IS(status.st_mode & 07777, 0644);
    CHECK_IS(status.st_nlink, 1);
    CHECK(status.st_mtim.tv_sec > 1000);
    close(fd);
    snprintf(path, sizeof path, "%s/outside", base);
    CHECK_IS(stat(path, &status), 0);
    CHECK_IS(status.st_nlink, 3);
    snprintf(path, sizeof path, "%s/outside/new", base);
    CHECK(!exists(path));
    snprintf(path, sizeof path, "%s/outside/link", base);
    CHECK(exists(path));
}

enum operation {
    OPEN_READ,
    OPEN_WRITE,
    OPEN_CREATE,
    OPEN_TMPFILE,
    OPEN_DIR,
    STAT,
    LSTAT,
    KIND,
    ACCESS,
    STATFS,
    REALPATH,
    READ_LINK,
    MKDIR,
    MKDIRS,
    UNLINK,
    RMDIR,
    RMTREE,
    RENAME_FROM,
    RENAME_TO,
    LINK_FROM,
    LINK_TO,
    SYMLINK,
    CHMOD,
    LCHMOD,
    CHOWN,
    LCHOWN,
    SET_TIMES,
    LSET_TIMES,
    TRUNCATE,
    SYNC,
    LOAD,
    SAVE,
    SAVE_ATOMICALLY,
    COPY_FROM,
    COPY_TO,
    READ_DIR,
    LIST,
    WATCH,
    OPERATIONS
};

static inline void on_watched(void *arg, int64_t result, const struct loop_watch_event *event)
{
    (void)arg;
    CHECK(!event);
    script_go(NULL, result);
}

__attribute__((unused)) static struct loop_flow *opened;
__attribute__((unused)) static struct loop_dir *opened_dir;
__attribute__((unused)) static struct loop_fs_status stat_;
__attribute__((unused)) static struct loop_fs_space space;
__attribute__((unused)) static struct loop_entries *entries;
__attribute__((unused)) static struct loop_entry *list;
__attribute__((unused)) static char *text;
__attribute__((unused)) static void *data;
__attribute__((unused)) static const struct timespec second = {.tv_sec = 1};

static inline loop_job start(enum operation operation, struct loop_dir *dir, const char *path)
{
    const struct loop_open_options options[] = {
        [OPEN_READ] = {.access = LOOP_ACCESS_READ},
        [OPEN_WRITE] = {.access = LOOP_ACCESS_WRITE},
        [OPEN_CREATE] = {.access = LOOP_ACCESS_READ_WRITE, .create = LOOP_CREATE_IF_MISSING},
        [OPEN_TMPFILE] = {.access = LOOP_ACCESS_WRITE, .tmpfile = true},
    };

    switch (operation) {
    case OPEN_READ:
    case OPEN_WRITE:
    case OPEN_CREATE:
    case OPEN_TMPFILE: return loop_fs_open(NULL, dir, path, &options[operation], &opened, GO);
    case OPEN_DIR: return loop_fs_open_dir(NULL, dir, path, &opened_dir, GO);
    case STAT: return loop_fs_stat(NULL, dir, path, LOOP_FS_FOLLOW, &stat_, GO);
    case LSTAT: return loop_fs_stat(NULL, dir, path, 0, &stat_, GO);
    case KIND: return loop_fs_kind(NULL, dir, path, LOOP_FS_FOLLOW, GO);
    case ACCESS: return loop_fs_access(NULL, dir, path, R_OK, GO);
    case STATFS: return loop_fs_statfs(NULL, dir, path, &space, GO);
    case REALPATH: return loop_fs_realpath(NULL, dir, path, &text, GO);
    case READ_LINK: return loop_fs_read_link(NULL, dir, path, &text, GO);
    case MKDIR: return loop_fs_mkdir(NULL, dir, path, 0, GO);
    case MKDIRS: return loop_fs_mkdirs(NULL, dir, path, 0, GO);
    case UNLINK: return loop_fs_unlink(NULL, dir, path, GO);
    case RMDIR: return loop_fs_rmdir(NULL, dir, path, GO);
    case RMTREE: return loop_fs_rmtree(NULL, dir, path, GO);
    case RENAME_FROM: return loop_fs_rename(NULL, dir, path, dir, "name", LOOP_RENAME_REPLACE, GO);
    case RENAME_TO: return loop_fs_rename(NULL, dir, "file", dir, path, LOOP_RENAME_REPLACE, GO);
    case LINK_FROM: return loop_fs_link(NULL, dir, path, dir, "name", GO);
    case LINK_TO: return loop_fs_link(NULL, dir, "file", dir, path, GO);
    case SYMLINK: return loop_fs_symlink(NULL, "target", dir, path, GO);
    case CHMOD: return loop_fs_chmod(NULL, dir, path, LOOP_FS_FOLLOW, 0777, GO);
    case LCHMOD: return loop_fs_chmod(NULL, dir, path, 0, 0777, GO);
    case CHOWN: return loop_fs_chown(NULL, dir, path, LOOP_FS_FOLLOW, geteuid(), getegid(), GO);
    case LCHOWN: return loop_fs_chown(NULL, dir, path, 0, geteuid(), getegid(), GO);
    case SET_TIMES: return loop_fs_set_times(NULL, dir, path, LOOP_FS_FOLLOW, &second, &second, GO);
    case LSET_TIMES: return loop_fs_set_times(NULL, dir, path, 0, &second, &second, GO);
    case TRUNCATE: return loop_fs_truncate(NULL, dir, path, 0, GO);
    case SYNC: return loop_fs_sync(NULL, dir, path, GO);
    case LOAD: return loop_fs_load(NULL, dir, path, 0, &data, GO);
    case SAVE: return loop_fs_save(NULL, dir, path, "x", 1, NULL, GO);
    case SAVE_ATOMICALLY: return loop_fs_save(NULL, dir, path, "x", 1, &(struct loop_save_options){.atomic = true}, GO);
    case COPY_FROM: return loop_fs_copy_file(NULL, dir, path, dir, "name", NULL, GO);
    case COPY_TO: return loop_fs_copy_file(NULL, dir, "file", dir, path, NULL, GO);
    case READ_DIR: return loop_fs_read_dir(NULL, dir, path, LOOP_FS_WITH_STAT, &entries, GO);
    case LIST: return loop_fs_list(NULL, dir, path, LOOP_FS_WITH_STAT, &list, GO);
    case WATCH: return loop_fs_watch(NULL, dir, path, on_watched, NULL);
    case OPERATIONS: break;
    }
    return 0;
}

__attribute__((unused)) static char ground[64], path[300];
__attribute__((unused)) static struct loop_dir *inside;

#define BEGIN_ON_GROUND                                                                                                \
    snprintf(ground, sizeof ground, "%s", make_ground());                                                              \
    AWAIT(loop_fs_open_dir(NULL, env->fs, "inside", &inside, GO));                                                     \
    CHECK_IS(result, 0)

#endif
