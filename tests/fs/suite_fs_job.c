/* SPDX-License-Identifier: ISC
 *
 * File jobs in general: invalid arguments, errors without a continuation, cancelled scopes, and exhausted descriptors
 * or memory.
 */
#include "directory.h"

#include <loop/kernel/fail.h>

#include <linux/magic.h>
#include <linux/openat2.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* ---- jobs ---- */

LOOP_TEST(p02_fs_errors_without_a_continuation_fail_the_scope)
{
    static struct loop_scope *scope;
    static struct once end;
    static struct loop_fs_status stat;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    CHECK(loop_fs_stat(scope, env->fs, "/no/such/thing", LOOP_FS_FOLLOW, &stat, NULL, NULL) != 0);
    WAIT_UNTIL(end.count);
    CHECK_IS(end.result, -ENOENT);
    END;
}

LOOP_TEST(p23_fs_bad_arguments)
{
    static struct loop_flow *flow;

    BEGIN;
    AWAIT(loop_fs_open(NULL, env->cwd, NULL, NULL, &flow, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_open(NULL, env->cwd, ".", NULL, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_stat(NULL, env->cwd, ".", LOOP_FS_FOLLOW, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_statfs(NULL, env->cwd, ".", NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_realpath(NULL, env->cwd, ".", NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_load(NULL, env->cwd, ".", 0, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_read_dir(NULL, env->cwd, ".", 0, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_list(NULL, env->cwd, ".", 0, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_open_dir(NULL, env->cwd, ".", NULL, GO));
    CHECK_IS(result, -EINVAL);
    CHECK(loop_fs_watch(NULL, env->cwd, ".", NULL, NULL) == 0);
    END;
}

LOOP_TEST(p23_fs_flags_that_a_call_does_not_know_are_refused)
{
    static const char *directory;
    static struct loop_flow *file;
    static struct loop_fs_status stat;
    static struct loop_entries *entries;
    static struct loop_entry *list;

    BEGIN;
    directory = enter_directory();
    put("file", "text");
    AWAIT(loop_fs_stat(NULL, env->cwd, "file", LOOP_FS_WITH_STAT, &stat, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_kind(NULL, env->cwd, "file", LOOP_FS_FOLLOW | LOOP_FS_DATA_ONLY, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_chmod(NULL, env->cwd, "file", 1u << 31, 0600, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_chown(NULL, env->cwd, "file", LOOP_FS_DATA_ONLY, (uid_t)-1, (gid_t)-1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_set_times(NULL, env->cwd, "file", LOOP_FS_WITH_STAT, NULL, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_read_dir(NULL, env->cwd, ".", LOOP_FS_FOLLOW, &entries, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_list(NULL, env->cwd, ".", LOOP_FS_FOLLOW | LOOP_FS_WITH_STAT, &list, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_open(NULL, env->cwd, "file", NULL, &file, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_sync(NULL, file->fd, LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_file_sync(NULL, file->fd, LOOP_FS_DATA_ONLY, GO));
    CHECK_IS(result, 0);
    loop_flow_close(file);
    leave_directory(directory);
    END;
}

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

static bool has_openat2(void)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};
    long fd = syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof how);

    if (fd >= 0) {
        close((int)fd);
    }
    return fd >= 0;
}

static unsigned uses_of(const char *call)
{
    size_t i = 0;

    while (strcmp(loop_kernel_fail_name(i), call) != 0) {
        i++;
    }
    return loop_kernel_fail_uses(i);
}

/* Calls for the file system of a directory, which may wait for a network. */
static unsigned n_asked(void)
{
    return uses_of("statfs") + uses_of("fstatfs");
}

/* Only a call that tries the cache opens what it examines. */
static bool is_cached(unsigned n_opens)
{
    return uses_of("openat2") > n_opens;
}

/* Each file system is asked for once, by a thread: a dead network would hold up the loop. */
LOOP_TEST(fs_what_is_cached_is_on_a_known_file_system)
{
    static const char *directory;
    static struct loop_dir *dir;
    static struct loop_flow *flow;
    static struct loop_fs_status stat;
    static struct statfs fs;
    static bool is_local;
    static unsigned n_before, n_opens;

    BEGIN;
    directory = enter_directory();
    put("file", "text");
    CHECK_IS(statfs(".", &fs), 0);
    is_local = fs.f_type == EXT4_SUPER_MAGIC && has_openat2();
    AWAIT(loop_fs_stat(NULL, env->cwd, "file", 0, &stat, GO));
    CHECK_IS(result, 0);
    n_before = n_asked();
    n_opens = uses_of("openat2");
    AWAIT(loop_fs_stat(NULL, env->cwd, "file", 0, &stat, GO));
    CHECK_IS(stat.size_bytes, 4);
    CHECK(!is_local || is_cached(n_opens));
    AWAIT(loop_fs_open(NULL, env->cwd, "file", NULL, &flow, GO));
    CHECK_IS(result, 0);
    CHECK(!(fcntl(loop_fd_peek(flow->fd), F_GETFL) & O_NONBLOCK));
    AWAIT(loop_fs_open_dir(NULL, env->cwd, ".", &dir, GO));
    CHECK_IS(result, 0);
    n_opens = uses_of("openat2");
    AWAIT(loop_fs_kind(NULL, dir, "file", 0, GO));
    CHECK_IS(result, LOOP_KIND_REGULAR);
    CHECK(!is_local || is_cached(n_opens));
    CHECK_IS(n_asked(), n_before);
    CHECK_IS(chdir("/proc"), 0);
    n_opens = uses_of("openat2");
    AWAIT(loop_fs_stat(NULL, env->cwd, "uptime", 0, &stat, GO));
    AWAIT(loop_fs_stat(NULL, env->cwd, "uptime", 0, &stat, GO));
    CHECK_IS(result, 0);
    CHECK(!is_cached(n_opens));
    CHECK_IS(chdir(directory), 0);
    leave_directory(directory);
    END;
}

#endif

static void on_watch_end(void *once, int64_t result, const struct loop_watch_event *event)
{
    CHECK(!event);
    once_resumed(once, result);
}

LOOP_TEST(fs_nothing_starts_in_a_cancelled_scope)
{
    static struct loop_scope *scope;
    static struct once stat_end, bad_end, end, read_end, watch_end;
    static struct loop_fs_status stat;
    static struct loop_flow *flow;
    static char byte;
    static struct iovec iov;

    BEGIN;
    AWAIT(loop_fs_open(NULL, env->fs, "/etc/passwd", NULL, &flow, GO));
    CHECK_IS(result, 0);
    scope = loop_scope_open(env->scope, ONCE(&end));
    loop_scope_hold(scope);
    loop_scope_cancel(scope);
    START(loop_fs_stat(scope, env->fs, "/tmp", LOOP_FS_FOLLOW, &stat, ONCE(&stat_end)));
    START(loop_fs_stat(scope, env->fs, NULL, LOOP_FS_FOLLOW, &stat, ONCE(&bad_end)));
    iov = (struct iovec){&byte, 1};
    START(loop_file_pread(scope, flow->fd, &iov, 1, 0, ONCE(&read_end)));
    START(loop_fs_watch(scope, env->fs, "/tmp", on_watch_end, &watch_end));
    WAIT_UNTIL(stat_end.count && bad_end.count && read_end.count && watch_end.count);
    CHECK_IS(stat_end.result, -ECANCELED);
    CHECK_IS(bad_end.result, -ECANCELED);
    CHECK_IS(read_end.result, -ECANCELED);
    CHECK_IS(watch_end.result, -ECANCELED);
    loop_scope_unhold(scope);
    WAIT_UNTIL(end.count);
    END;
}

/* ---- descriptors and depth ---- */

LOOP_TEST(fs_descriptors_have_run_out)
{
    static const char *directory;
    static rlim_t limit;
    static struct loop_flow *flow;
    static struct loop_dir *dir;
    static struct loop_entry *list;
    static struct loop_fs_status stat;

    BEGIN;
    directory = enter_directory();
    put("file", "text");
    CHECK_IS(mkdir("dir", 0755), 0);
    AWAIT(loop_fs_kind(NULL, env->cwd, "file", LOOP_FS_FOLLOW, GO));
    limit = forbid_fds();
    AWAIT(loop_fs_open(NULL, env->cwd, "file", NULL, &flow, GO));
    CHECK_IS(result, -EMFILE);
    AWAIT(loop_fs_open_dir(NULL, env->cwd, "dir", &dir, GO));
    CHECK_IS(result, -EMFILE);
    AWAIT(loop_fs_list(NULL, env->cwd, "dir", LOOP_FS_WITH_STAT, &list, GO));
    CHECK_IS(result, -EMFILE);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "dir", GO));
    CHECK_IS(result, -EMFILE);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "file", env->cwd, "copy", NULL, GO));
    CHECK_IS(result, -EMFILE);
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir/../file", LOOP_FS_FOLLOW, &stat, GO));
    CHECK_IS(result, -EMFILE);
    AWAIT(loop_fs_stat(NULL, env->cwd, "file", 0, &stat, GO)); /* which needs none */
    CHECK_IS(result, 0);
    limit_fds(limit);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "dir", GO));
    CHECK_IS(result, 0);
    leave_directory(directory);
    END;
}

/* ---- no memory ---- */

#if !HAS_SANITIZER
static struct loop_flow *flow_;
static struct loop_dir *dir_;
static struct loop_entries *entries_;
static void *memory;
static struct once ended;
static char byte;
static const struct iovec one_byte = {&byte, 1};

enum { WHICH = 11 };

static loop_job start_one(unsigned which, struct loop_env *env)
{
    switch (which) {
    case 0: return loop_fs_open(NULL, env->cwd, "file", NULL, &flow_, ONCE(&ended));
    case 1: return loop_file_pread(NULL, flow_->fd, &one_byte, 1, 0, ONCE(&ended));
    case 2: return loop_fs_open_dir(NULL, env->cwd, ".", &dir_, ONCE(&ended));
    case 3: return loop_fs_read_dir(NULL, env->cwd, ".", LOOP_FS_WITH_STAT, &entries_, ONCE(&ended));
    case 4: return loop_fs_list(NULL, env->cwd, ".", LOOP_FS_WITH_STAT, (struct loop_entry **)&memory, ONCE(&ended));
    case 5: return loop_fs_load(NULL, env->cwd, "file", 0, &memory, ONCE(&ended));
    case 6:
        return loop_fs_save(NULL, env->cwd, "file", "text", 4, &(struct loop_save_options){.atomic = true},
                            ONCE(&ended));
    case 7: return loop_fs_copy_file(NULL, env->cwd, "file", env->cwd, "copy", NULL, ONCE(&ended));
    case 8: return loop_fs_realpath(NULL, env->cwd, "file", (char **)&memory, ONCE(&ended));
    case 9: return loop_fs_mkdirs(NULL, env->cwd, "dir/dir/dir", 0, ONCE(&ended));
    default: return loop_fs_rmtree(NULL, env->cwd, "dir", ONCE(&ended));
    }
}

static void tidy_up(unsigned which, bool is_over)
{
    free(memory);
    memory = NULL;
    loop_entries_close(entries_);
    entries_ = NULL;
    if (which == 1 && is_over) {
        loop_fd_destroy(flow_->fd);
    }
}

LOOP_TEST(p02_fs_without_memory)
{
    static const char *directory;
    static unsigned which, n, failed;

    BEGIN;
    directory = enter_directory();
    put("file", "text");
    AWAIT(loop_fs_kind(NULL, env->fs, "file", LOOP_FS_FOLLOW, GO));
    for (which = 0; which < WHICH; which++) {
        for (n = 1;; n++) {
            ended.count = 0;
            fail_allocation(n, false);
            if (start_one(which, env)) {
                WAIT_UNTIL(ended.count);
                CHECK(ended.result >= 0 || ended.result == -ENOMEM);
            }
            bool is_over = !allocation_failed();
            failed += !is_over;
            fail_allocation(0, false);
            if (is_over) {
                CHECK(ended.count == 1 && ended.result >= 0);
            }
            tidy_up(which, is_over);
            if (is_over) {
                break;
            }
        }
    }
    CHECK(failed > WHICH);
    leave_directory(directory);
    END;
}
#endif
