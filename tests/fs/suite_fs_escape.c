/* SPDX-License-Identifier: ISC
 *
 * P22: no path leads out of its directory, whatever the operation, also while somebody swaps links and moves
 * directories; and what odd names and odd files are answered with.
 */
#include "directory.h"

#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

/* ---- the ground ---- */

/* Two directories: what is in the first may be reached, and what is in the second may not. */
static const char *make_ground(void)
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

static void remove_ground(const char *base)
{
    CHECK_IS(chdir("/"), 0);
    remove_directory(base);
}

/* Everything outside is as it was made. */
static void check_outside(const char *base)
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

/* ---- every operation ---- */

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

static void on_watched(void *arg, int64_t result, const struct loop_watch_event *event)
{
    (void)arg;
    CHECK(!event);
    script_go(NULL, result);
}

static struct loop_flow *opened;
static struct loop_dir *opened_dir;
static struct loop_fs_status stat_;
static struct loop_fs_space space;
static struct loop_entries *entries;
static struct loop_entry *list;
static char *text;
static void *data;

static const struct timespec second = {.tv_sec = 1};

static loop_job start(enum operation operation, struct loop_dir *dir, const char *path)
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
    case STAT: return loop_fs_stat(NULL, dir, path, true, &stat_, GO);
    case LSTAT: return loop_fs_stat(NULL, dir, path, false, &stat_, GO);
    case KIND: return loop_fs_kind(NULL, dir, path, true, GO);
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
    case CHMOD: return loop_fs_chmod(NULL, dir, path, true, 0777, GO);
    case LCHMOD: return loop_fs_chmod(NULL, dir, path, false, 0777, GO);
    case CHOWN: return loop_fs_chown(NULL, dir, path, true, geteuid(), getegid(), GO);
    case LCHOWN: return loop_fs_chown(NULL, dir, path, false, geteuid(), getegid(), GO);
    case SET_TIMES: return loop_fs_set_times(NULL, dir, path, true, &second, &second, GO);
    case LSET_TIMES: return loop_fs_set_times(NULL, dir, path, false, &second, &second, GO);
    case TRUNCATE: return loop_fs_truncate(NULL, dir, path, 0, GO);
    case SYNC: return loop_fs_sync(NULL, dir, path, GO);
    case LOAD: return loop_fs_load(NULL, dir, path, 0, &data, GO);
    case SAVE: return loop_fs_save(NULL, dir, path, "x", 1, NULL, GO);
    case SAVE_ATOMICALLY: return loop_fs_save(NULL, dir, path, "x", 1, &(struct loop_save_options){.atomic = true}, GO);
    case COPY_FROM: return loop_fs_copy_file(NULL, dir, path, dir, "name", NULL, GO);
    case COPY_TO: return loop_fs_copy_file(NULL, dir, "file", dir, path, NULL, GO);
    case READ_DIR: return loop_fs_read_dir(NULL, dir, path, true, &entries, GO);
    case LIST: return loop_fs_list(NULL, dir, path, true, &list, GO);
    case WATCH: return loop_fs_watch(NULL, dir, path, on_watched, NULL);
    case OPERATIONS: break;
    }
    return 0;
}

/* Those that end with a link, and don't follow it. */
static bool stays_at_link(enum operation operation)
{
    switch (operation) {
    case LSTAT:
    case READ_LINK:
    case MKDIR:
    case UNLINK:
    case RMDIR:
    case RMTREE:
    case RENAME_FROM:
    case RENAME_TO:
    case LINK_FROM:
    case LINK_TO:
    case SYMLINK:
    case LCHMOD:
    case LCHOWN:
    case LSET_TIMES:
    case SAVE_ATOMICALLY:
    case COPY_TO: return true;
    default: return false;
    }
}

static char ground[64], path[300];
static struct loop_dir *inside;

#define BEGIN_ON_GROUND                                                                                                \
    snprintf(ground, sizeof ground, "%s", make_ground());                                                              \
    AWAIT(loop_fs_open_dir(NULL, env->fs, "inside", &inside, GO));                                                     \
    CHECK_IS(result, 0)

/* ---- ways out ---- */

LOOP_TEST(p22_no_operation_leads_out)
{
    static const char *const ways[] = {"..",        "dir/../..", "dir/deep/../../..", "up",     "up/../..",
                                       "around/..", "out/..",    "absolute/..",       "./..//", "dir/.././up",
                                       "/"};
    static const char *const ends[] = {"outside/secret", "outside/new", "outside/dir", "outside/link",
                                       "outside/new/er"};
    static unsigned way, end;
    static enum operation operation;

    BEGIN;
    BEGIN_ON_GROUND;
    for (way = 0; way < COUNT_OF(ways); way++) {
        for (end = 0; end < COUNT_OF(ends); end++) {
            for (operation = 0; operation < OPERATIONS; operation++) {
                snprintf(path, sizeof path, "%s%s/%s", ways[way], ways[way][0] == '/' ? ground : "", ends[end]);
                AWAIT(start(operation, inside, path));
                if (result != -EXDEV) {
                    ck_abort_msg("operation %d on %s: %lld", (int)operation, path, (long long)result);
                }
            }
        }
    }
    check_outside(ground);
    remove_ground(ground);
    END;
}

LOOP_TEST(p22_no_link_is_followed_out)
{
    static const char *const links[] = {"leak", "out", "absolute", "back", "up", "dangling"};
    static unsigned i;
    static enum operation operation;

    BEGIN;
    BEGIN_ON_GROUND;
    for (i = 0; i < COUNT_OF(links); i++) {
        for (operation = 0; operation < OPERATIONS; operation++) {
            if (!stays_at_link(operation)) {
                AWAIT(start(operation, inside, links[i]));
                if (result != -EXDEV) {
                    ck_abort_msg("operation %d on %s: %lld", (int)operation, links[i], (long long)result);
                }
            }
        }
    }
    check_outside(ground);
    remove_ground(ground);
    END;
}

/* A slash behind the name would be followed by some of the kernel's calls. */
LOOP_TEST(p22_no_slash_leads_through_a_link)
{
    static const char *const links[] = {"out/", "absolute//", "leak/"};
    static unsigned i;
    static enum operation operation;

    BEGIN;
    BEGIN_ON_GROUND;
    for (i = 0; i < COUNT_OF(links); i++) {
        for (operation = 0; operation < OPERATIONS; operation++) {
            AWAIT(start(operation, inside, links[i]));
            if (result >= 0) {
                ck_abort_msg("operation %d on %s: %lld", (int)operation, links[i], (long long)result);
            }
        }
    }
    CHECK(exists("inside/out") && exists("inside/absolute") && exists("inside/leak") && exists("inside/file"));
    check_outside(ground);
    remove_ground(ground);
    END;
}

LOOP_TEST(p22_dots_at_the_end_are_no_way_out)
{
    static const char *const ways[] = {"..", "../", "dir/../..", "up/..", "out/..", "dir/deep/../../.."};
    static unsigned i;
    static enum operation operation;

    BEGIN;
    BEGIN_ON_GROUND;
    for (i = 0; i < COUNT_OF(ways); i++) {
        for (operation = 0; operation < OPERATIONS; operation++) {
            AWAIT(start(operation, inside, ways[i]));
            if (result != -EXDEV && !(operation == RMTREE && result == -EINVAL)) {
                ck_abort_msg("operation %d on %s: %lld", (int)operation, ways[i], (long long)result);
            }
        }
    }
    check_outside(ground);
    remove_ground(ground);
    END;
}

LOOP_TEST(p22_a_link_is_changed_not_what_it_leads_to)
{
    static struct stat status;

    BEGIN;
    BEGIN_ON_GROUND;
    AWAIT(start(LSTAT, inside, "leak"));
    CHECK_IS(result, 0);
    CHECK_IS(stat_.kind, LOOP_KIND_SYMLINK);
    AWAIT(start(LSET_TIMES, inside, "leak"));
    CHECK_IS(result, 0);
    AWAIT(start(LCHOWN, inside, "leak"));
    CHECK_IS(result, 0);
    AWAIT(start(LCHMOD, inside, "leak"));
    CHECK_IS(result, -EOPNOTSUPP);
    AWAIT(start(READ_LINK, inside, "leak"));
    CHECK_TEXT(text, "../outside/secret");
    free(text);
    AWAIT(start(LINK_FROM, inside, "leak"));
    CHECK_IS(result, 0);
    AWAIT(start(RMTREE, inside, "out"));
    CHECK_IS(result, 0);
    AWAIT(start(UNLINK, inside, "absolute"));
    CHECK_IS(result, 0);
    AWAIT(start(RENAME_FROM, inside, "leak"));
    CHECK_IS(result, 0);
    AWAIT(start(SAVE_ATOMICALLY, inside, "name"));
    CHECK_IS(result, 1);
    CHECK_IS(lstat("inside/name", &status), 0);
    CHECK(S_ISREG(status.st_mode));
    AWAIT(start(COPY_TO, inside, "dangling"));
    CHECK_IS(result, 6);
    AWAIT(start(RENAME_TO, inside, "up"));
    CHECK_IS(result, 0);
    check_outside(ground);
    remove_ground(ground);
    END;
}

LOOP_TEST(p22_dots_that_stay_inside_are_good)
{
    BEGIN;
    BEGIN_ON_GROUND;
    AWAIT(start(LOAD, inside, "dir/../file"));
    CHECK_IS(result, 6);
    free(data);
    AWAIT(start(LOAD, inside, "around/dir/deep/../../around/file"));
    CHECK_IS(result, 6);
    free(data);
    AWAIT(start(REALPATH, inside, "around/dir/deep/../../around/file"));
    CHECK_IS(result, 0);
    CHECK_TEXT(text, "file");
    free(text);
    AWAIT(start(MKDIR, inside, "dir/../new"));
    CHECK_IS(result, 0);
    AWAIT(start(RMDIR, inside, "dir/deep/../../new"));
    CHECK_IS(result, 0);
    AWAIT(start(STAT, inside, "dir/.."));
    CHECK_IS(result, 0);
    remove_ground(ground);
    END;
}

/* ---- magic ---- */

LOOP_TEST(p22_magic_links_of_proc)
{
    static const char *const links[] = {"cwd", "cwd/inside/file", "root/etc/passwd", "exe", "fd/0", "task/../root/etc"};
    static struct loop_dir *proc, *self;
    static unsigned i;

    BEGIN;
    BEGIN_ON_GROUND;
    AWAIT(loop_fs_open_dir(NULL, env->fs, "/proc", &proc, GO));
    AWAIT(loop_fs_open_dir(NULL, env->fs, "/proc/self", &self, GO));
    CHECK_IS(result, 0);
    for (i = 0; i < COUNT_OF(links); i++) {
        AWAIT(start(STAT, self, links[i]));
        CHECK_IS(result, -ELOOP);
        AWAIT(start(OPEN_READ, self, links[i]));
        CHECK_IS(result, -ELOOP);
        AWAIT(start(REALPATH, self, links[i]));
        CHECK_IS(result, -ELOOP);
        snprintf(path, sizeof path, "self/%s", links[i]);
        AWAIT(start(OPEN_READ, proc, path));
        CHECK_IS(result, -ELOOP);
    }
    AWAIT(start(LOAD, proc, "self/status")); /* which is a link, but an ordinary one */
    CHECK(result > 0);
    free(data);
    AWAIT(start(LOAD, proc, "mounts"));
    CHECK(result > 0);
    free(data);
    AWAIT(start(LSTAT, self, "cwd"));
    CHECK_IS(result, 0);
    CHECK_IS(stat_.kind, LOOP_KIND_SYMLINK);
    remove_ground(ground);
    END;
}

/* ---- mounts ---- */

static int mount_result;

static void on_mount_stat(void *arg, int64_t result)
{
    int expected = (int)(intptr_t)arg;

    mount_result |= result != expected;
}

static int look_through_mount(struct loop_env *env, void *unused)
{
    static struct loop_flow *flow;
    static struct loop_open_options same = {.resolve = RESOLVE_NO_XDEV};
    static struct loop_fs_status stats[3];

    (void)unused;
    loop_fs_stat(NULL, env->cwd, "mount/secret", true, &stats[0], on_mount_stat, (void *)0);
    loop_fs_stat(NULL, env->cwd, "mount/../file", true, &stats[1], on_mount_stat, (void *)0);
    loop_fs_stat(NULL, env->cwd, "mount/../../outside/secret", true, &stats[2], on_mount_stat,
                 (void *)(intptr_t)-EXDEV);
    if (!getenv("NO_OPENAT2")) {
        loop_fs_open(NULL, env->cwd, "mount/secret", &same, &flow, on_mount_stat, (void *)(intptr_t)-EXDEV);
    }
    return 0;
}

static int look_at_mount(void *unused)
{
    (void)unused;
    if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
        return 0;
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mkdir("inside/mount", 0755) < 0 ||
        mount("outside", "inside/mount", NULL, MS_BIND, NULL) < 0 || chdir("inside") < 0) {
        return 0;
    }
    return loop_run(0, 0, 0, NULL, look_through_mount, NULL) || mount_result;
}

static bool has_openat2(void)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC};
    long fd = syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof how);

    if (fd >= 0) {
        close((int)fd);
    }
    return fd >= 0;
}

/* What is mounted in the directory is in it; there is a flag for those who don't want that. */
TEST(p22_a_mount_is_part_of_its_directory)
{
    snprintf(ground, sizeof ground, "%s", make_ground());
    if (!has_openat2()) {
        setenv("NO_OPENAT2", "1", 1);
    }
    CHECK_CHILD(look_at_mount, NULL);
    remove_ground(ground);
}

/* For those who want a directory to be a world of its own. */
LOOP_TEST(p22_a_directory_can_be_the_root_of_its_links)
{
    static const struct loop_open_options in_root = {.resolve = RESOLVE_IN_ROOT};

    BEGIN;
    BEGIN_ON_GROUND;
    CHECK_IS(symlink("/dir/../../../file", "inside/rooted"), 0);
    AWAIT(loop_fs_open(NULL, inside, "rooted", &in_root, &opened, GO));
    if (has_openat2()) {
        CHECK_IS(result, 0);
        AWAIT(loop_fs_open(NULL, inside, "/../file", &in_root, &opened, GO));
        CHECK_IS(result, 0);
        AWAIT(loop_fs_open(NULL, inside, "absolute/secret", &in_root, &opened, GO));
        CHECK_IS(result, -ENOENT);
    } else {
        CHECK(result == -ENOSYS || result == -EPERM);
    }
    remove_ground(ground);
    END;
}

/* ---- somebody swaps ---- */

static struct {
    atomic_bool stop;
    pthread_t thread;
    const char *one, *other;
    unsigned long count;
    int64_t until_ns;
} swap;

static void *swap_on(void *unused)
{
    (void)unused;
    while (!atomic_load(&swap.stop)) {
        if (renameat2(AT_FDCWD, swap.one, AT_FDCWD, swap.other, RENAME_EXCHANGE) == 0) {
            swap.count++;
        }
    }
    return NULL;
}

static void begin_swapping(const char *one, const char *other, int seconds)
{
    swap.one = one;
    swap.other = other;
    swap.until_ns = now_ns() + seconds * LOOP_SECOND;
    atomic_store(&swap.stop, false);
    CHECK_IS(pthread_create(&swap.thread, NULL, swap_on, NULL), 0);
}

static void end_swapping(void)
{
    atomic_store(&swap.stop, true);
    pthread_join(swap.thread, NULL);
    CHECK(swap.count > 100);
}

static bool is_good_failure(int64_t result)
{
    return result == -EXDEV || result == -ELOOP || result == -ENOENT || result == -ENOTDIR || result == -EAGAIN ||
           result == -EEXIST || result == -ENOTEMPTY || result == -EISDIR;
}

static void check_text(int64_t result)
{
    if (result < 0) {
        CHECK(is_good_failure(result));
        return;
    }
    CHECK_TEXT(data, "inside");
    free(data);
}

LOOP_TEST(p22_a_link_is_swapped_while_we_resolve)
{
    static unsigned long good;

    BEGIN;
    BEGIN_ON_GROUND;
    put("inside/dir/secret", "inside");
    begin_swapping("inside/dir", "inside/out", 3);
    while (now_ns() < swap.until_ns) {
        AWAIT(start(LOAD, inside, "dir/secret"));
        good += result >= 0;
        check_text(result);
        AWAIT(start(SAVE_ATOMICALLY, inside, "dir/new"));
        CHECK(result >= 0 || is_good_failure(result));
        AWAIT(start(SAVE, inside, "dir/new"));
        CHECK(result >= 0 || is_good_failure(result));
        AWAIT(start(MKDIRS, inside, "dir/a/b"));
        CHECK(result >= 0 || is_good_failure(result));
        AWAIT(start(RENAME_TO, inside, "dir/new"));
        CHECK(result >= 0 || is_good_failure(result));
        AWAIT(start(CHMOD, inside, "dir/secret"));
        CHECK(result >= 0 || is_good_failure(result));
        AWAIT(start(UNLINK, inside, "dir/new"));
        CHECK(result >= 0 || is_good_failure(result));
        AWAIT(start(RMTREE, inside, "dir/a"));
        CHECK(result >= 0 || is_good_failure(result));
        AWAIT(start(STAT, inside, "dir/secret/"));
        CHECK(result < 0);
        put("inside/file", "inside");
    }
    end_swapping();
    CHECK(good > 0);
    check_outside(ground);
    remove_ground(ground);
    END;
}

/* Puts something into a directory, unless it is a link at this moment. */
static void fill(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) {
        (void)mkdirat(fd, "child", 0755);
        close(fd);
    }
}

/* A tree is removed while one of its directories is a link to the outside half of the time. */
LOOP_TEST(p22_a_link_is_swapped_while_we_remove)
{
    BEGIN;
    BEGIN_ON_GROUND;
    CHECK_IS(mkdir("inside/tree", 0755), 0);
    CHECK_IS(mkdir("inside/tree/a", 0755), 0);
    CHECK_IS(symlink("../../outside", "inside/tree/b"), 0);
    begin_swapping("inside/tree/a", "inside/tree/b", 1);
    while (now_ns() < swap.until_ns) {
        AWAIT(start(RMTREE, inside, "tree"));
        CHECK(result == 0 || is_good_failure(result));
        (void)mkdir("inside/tree", 0755);
        (void)mkdir("inside/tree/a", 0755);
        (void)symlink("../../outside", "inside/tree/b");
        fill("inside/tree/a");
        fill("inside/tree/b");
    }
    end_swapping();
    check_outside(ground);
    remove_ground(ground);
    END;
}

/* A directory is moved out and in while its ".." is taken: what is beside it outside is never seen. */
LOOP_TEST(p22_a_directory_is_moved_while_we_resolve)
{
    static unsigned long good;

    BEGIN;
    BEGIN_ON_GROUND;
    put("inside/dir/secret", "inside");
    begin_swapping("inside/dir/deep", "outside/dir", 1);
    while (now_ns() < swap.until_ns) {
        AWAIT(start(LOAD, inside, "dir/deep/../secret"));
        good += result >= 0;
        check_text(result);
        AWAIT(start(RMTREE, inside, "dir/deep/../../dir/deep/x"));
        CHECK_IS(result >= 0 || is_good_failure(result), true);
    }
    end_swapping();
    CHECK(good > 0);
    check_outside(ground);
    remove_ground(ground);
    END;
}

/* ---- odd names ---- */

LOOP_TEST(fs_an_empty_path_is_nothing)
{
    static enum operation operation;

    BEGIN;
    BEGIN_ON_GROUND;
    for (operation = 0; operation < OPERATIONS; operation++) {
        AWAIT(start(operation, inside, ""));
        if (result != (operation == KIND ? 0 : -ENOENT)) {
            ck_abort_msg("operation %d: %lld", (int)operation, (long long)result);
        }
        AWAIT(start(operation, env->fs, ""));
        CHECK_IS(result, operation == KIND || operation == REALPATH ? result : -ENOENT);
        AWAIT(start(operation, inside, NULL));
        CHECK_IS(result, -EINVAL);
    }
    remove_ground(ground);
    END;
}

LOOP_TEST(fs_a_dot_and_many_slashes)
{
    BEGIN;
    BEGIN_ON_GROUND;
    AWAIT(start(STAT, inside, "."));
    CHECK_IS(result, 0);
    CHECK_IS(stat_.kind, LOOP_KIND_DIRECTORY);
    AWAIT(start(LSTAT, inside, ".//dir///deep//"));
    CHECK_IS(result, 0);
    AWAIT(start(LOAD, inside, ".//.///file"));
    CHECK_IS(result, 6);
    free(data);
    AWAIT(start(LOAD, inside, "file/"));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(start(LOAD, inside, "file/."));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(start(LOAD, inside, "file/.."));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(start(SAVE, inside, "new/"));
    CHECK_IS(result, -EISDIR);
    AWAIT(start(MKDIR, inside, "dir//new//"));
    CHECK_IS(result, 0);
    AWAIT(start(UNLINK, inside, "."));
    CHECK_IS(result, -EISDIR);
    AWAIT(start(RMDIR, inside, "."));
    CHECK_IS(result, -EINVAL);
    AWAIT(start(RENAME_FROM, inside, "."));
    CHECK_IS(result, -EBUSY);
    AWAIT(start(OPEN_CREATE, inside, "dir"));
    CHECK_IS(result, -EISDIR);
    AWAIT(start(READ_LINK, inside, "."));
    CHECK_IS(result, -EINVAL);
    remove_ground(ground);
    END;
}

LOOP_TEST(fs_names_and_paths_of_every_length)
{
    static char name[300], whole[5000];

    BEGIN;
    BEGIN_ON_GROUND;
    memset(name, 'n', 255);
    AWAIT(start(SAVE, inside, name));
    CHECK_IS(result, 1);
    AWAIT(start(SAVE_ATOMICALLY, inside, name));
    CHECK_IS(result, 1);
    AWAIT(start(COPY_TO, inside, name));
    CHECK_IS(result, 6);
    AWAIT(start(LOAD, inside, name));
    CHECK_IS(result, 6);
    free(data);
    name[255] = 'n';
    AWAIT(start(SAVE, inside, name));
    CHECK_IS(result, -ENAMETOOLONG);
    AWAIT(start(SAVE_ATOMICALLY, inside, name));
    CHECK_IS(result, -ENAMETOOLONG);
    AWAIT(start(STAT, inside, name));
    CHECK_IS(result, -ENAMETOOLONG);
    AWAIT(start(MKDIRS, inside, name));
    CHECK_IS(result, -ENAMETOOLONG);
    for (size_t i = 0; i < sizeof whole - 1; i++) {
        whole[i] = i % 2 ? '/' : '.';
    }
    memcpy(whole + 4095 - 5, "/file", 6); /* with its NUL 4096 bytes */
    AWAIT(start(LOAD, inside, whole));
    CHECK_IS(result, 6);
    free(data);
    AWAIT(start(REALPATH, inside, whole));
    CHECK_IS(result, 0);
    CHECK_TEXT(text, "file");
    free(text);
    memcpy(whole + 4096 - 5, "/file", 6);
    AWAIT(start(LOAD, inside, whole));
    CHECK_IS(result, -ENAMETOOLONG);
    AWAIT(start(UNLINK, inside, whole));
    CHECK_IS(result, -ENAMETOOLONG);
    AWAIT(start(RENAME_TO, inside, whole));
    CHECK_IS(result, -ENAMETOOLONG);
    remove_ground(ground);
    END;
}

LOOP_TEST(fs_forty_links_and_no_more)
{
    static char from[32], to[32];

    BEGIN;
    BEGIN_ON_GROUND;
    for (int i = 1; i <= 41; i++) {
        snprintf(from, sizeof from, "inside/l%d", i);
        snprintf(to, sizeof to, i == 1 ? "file" : "l%d", i - 1);
        CHECK_IS(symlink(to, from), 0);
    }
    AWAIT(start(LOAD, inside, "l40"));
    CHECK_IS(result, 6);
    free(data);
    AWAIT(start(LOAD, inside, "l41"));
    CHECK_IS(result, -ELOOP);
    AWAIT(start(LSTAT, inside, "l41"));
    CHECK_IS(result, 0);
    remove_ground(ground);
    END;
}

LOOP_TEST(fs_a_link_is_created_through)
{
    BEGIN;
    BEGIN_ON_GROUND;
    CHECK_IS(symlink("dir/new", "inside/through"), 0);
    AWAIT(start(OPEN_CREATE, inside, "through"));
    CHECK_IS(result, 0);
    CHECK(exists("inside/dir/new"));
    AWAIT(loop_fs_open(NULL, inside, "through",
                       &(struct loop_open_options){.access = LOOP_ACCESS_WRITE, .create = LOOP_CREATE_EXCLUSIVE},
                       &opened, GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(loop_fs_open(NULL, inside, "dangling",
                       &(struct loop_open_options){.access = LOOP_ACCESS_WRITE, .create = LOOP_CREATE_EXCLUSIVE},
                       &opened, GO));
    CHECK_IS(result, -EEXIST);
    remove_ground(ground);
    END;
}

/* ---- odd files ---- */

LOOP_TEST(fs_fifos_devices_and_sockets)
{
    static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "inside/socket"};
    static int listener;
    static struct loop_flow *reader;
    static char buffer[8];

    BEGIN;
    BEGIN_ON_GROUND;
    CHECK_IS(mkfifo("inside/fifo", 0600), 0);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    close(listener);
    AWAIT(start(OPEN_WRITE, inside, "fifo"));
    CHECK_IS(result, -ENXIO);
    AWAIT(start(OPEN_READ, inside, "fifo"));
    CHECK_IS(result, 0);
    reader = opened;
    AWAIT(start(OPEN_WRITE, inside, "fifo"));
    CHECK_IS(result, 0);
    AWAIT(loop_write(&opened->sink, "through", 7, GO));
    CHECK_IS(result, 7);
    AWAIT(loop_read_exact(&reader->source, buffer, 7, GO));
    CHECK_IS(result, 7);
    loop_flow_close(opened);
    AWAIT(loop_read(&reader->source, buffer, 7, GO));
    CHECK_IS(result, 0);
    AWAIT(start(LOAD, inside, "fifo"));
    CHECK_IS(result, -EINVAL);
    AWAIT(start(SAVE, inside, "fifo"));
    CHECK_IS(result, -EINVAL);
    AWAIT(start(TRUNCATE, inside, "fifo"));
    CHECK_IS(result, -EINVAL);
    AWAIT(start(OPEN_READ, inside, "socket"));
    CHECK_IS(result, -ENXIO);
    AWAIT(start(LOAD, inside, "socket"));
    CHECK_IS(result, -ENXIO);
    AWAIT(start(STAT, inside, "socket"));
    CHECK_IS(stat_.kind, LOOP_KIND_SOCKET);
    AWAIT(start(OPEN_READ, env->fs, "/dev/zero"));
    CHECK_IS(result, 0);
    AWAIT(loop_read_exact(&opened->source, buffer, 8, GO));
    CHECK_IS(result, 8);
    AWAIT(start(LOAD, env->fs, "/dev/zero"));
    CHECK_IS(result, -EINVAL);
    AWAIT(start(COPY_FROM, env->fs, "/dev/zero"));
    CHECK_IS(result, -EINVAL);
    AWAIT(start(STAT, env->fs, "/dev/null"));
    CHECK_IS(stat_.kind, LOOP_KIND_CHARACTER);
    CHECK_IS(stat_.device_number, UINT64_C(1) << 32 | 3);
    remove_ground(ground);
    END;
}
