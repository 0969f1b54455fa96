/* SPDX-License-Identifier: ISC
 *
 * P22: no path escapes its directory, in any operation, even while another process swaps links and moves directories.
 */
#include "directory.h"
#include "ground.h"

#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

/* ---- every operation ---- */

/* The operations that do not follow a link at the end of a path. */
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
    loop_fs_stat(NULL, env->cwd, "mount/secret", LOOP_FS_FOLLOW, &stats[0], on_mount_stat, (void *)0);
    loop_fs_stat(NULL, env->cwd, "mount/../file", LOOP_FS_FOLLOW, &stats[1], on_mount_stat, (void *)0);
    loop_fs_stat(NULL, env->cwd, "mount/../../outside/secret", LOOP_FS_FOLLOW, &stats[2], on_mount_stat,
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

/* A mount inside the directory belongs to it, unless a flag excludes mounts. */
TEST(p22_a_mount_is_part_of_its_directory)
{
    snprintf(ground, sizeof ground, "%s", make_ground());
    if (!has_openat2()) {
        setenv("NO_OPENAT2", "1", 1);
    }
    CHECK_CHILD(look_at_mount, NULL);
    remove_ground(ground);
}

/* With openat2(2), a flag makes a directory the root for absolute paths and links. */
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

/* ---- swaps by another process ---- */

static struct {
    atomic_bool stop;
    pthread_t thread;
    const char *one, *other;
    atomic_ulong count;
    int64_t until_ns;
} swap;

static void *swap_on(void *unused)
{
    (void)unused;
    while (!atomic_load(&swap.stop)) {
        if (syscall(SYS_renameat2, AT_FDCWD, swap.one, AT_FDCWD, swap.other, RENAME_EXCHANGE) == 0) {
            atomic_fetch_add(&swap.count, 1);
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
}

/* Whether a test is to go on: its time is not over, or the thread has had too little of it. */
static bool is_swapping(void)
{
    return now_ns() < swap.until_ns || atomic_load(&swap.count) <= 100;
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
    while (is_swapping()) {
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

/* Creates a file in a directory, unless the directory is a link at this moment. */
static void fill(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) {
        (void)mkdirat(fd, "child", 0755);
        close(fd);
    }
}

/* A tree is removed while another process keeps swapping one of its directories with a link to the outside. */
LOOP_TEST(p22_a_link_is_swapped_while_we_remove)
{
    BEGIN;
    BEGIN_ON_GROUND;
    CHECK_IS(mkdir("inside/tree", 0755), 0);
    CHECK_IS(mkdir("inside/tree/a", 0755), 0);
    CHECK_IS(symlink("../../outside", "inside/tree/b"), 0);
    begin_swapping("inside/tree/a", "inside/tree/b", 1);
    while (is_swapping()) {
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

/* A directory is moved out and in while its ".." is resolved: its neighbours outside are never reached. */
LOOP_TEST(p22_a_directory_is_moved_while_we_resolve)
{
    static unsigned long good;

    BEGIN;
    BEGIN_ON_GROUND;
    put("inside/dir/secret", "inside");
    begin_swapping("inside/dir/deep", "outside/dir", 1);
    while (is_swapping()) {
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
