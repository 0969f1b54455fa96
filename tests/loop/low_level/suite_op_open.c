/* SPDX-License-Identifier: ISC
 *
 * loop_op_openat2: which files it opens and creates, which calls fail, and the state after a cancel.
 */
#include "descriptors.h"
#include "show.h"

#include <loop/part.h>

#include <linux/openat2.h>
#include <loop/kernel/fail.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- openat2 ---- */

LOOP_TEST(openat2_opens_creates_and_refuses)
{
    static const char *directory;
    static struct loop_open_how how;
    static char path[200];
    static struct stat status;
    static int fd;

    BEGIN;
    directory = make_directory();
    snprintf(path, sizeof path, "%s/file", directory);
    how = (struct loop_open_how){.flags = O_RDONLY};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK_IS(result, -ENOENT);
    umask(022);
    how = (struct loop_open_how){.flags = O_WRONLY | O_CREAT | O_EXCL, .mode = 0666};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK(result >= 0);
    fd = (int)result;
    CHECK_IS(fstat(fd, &status), 0);
    CHECK_IS(status.st_mode & 0777, 0644);
    CHECK_IS(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_IS(write(fd, "abc", 3), 3);
    close(fd);
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK_IS(result, -EEXIST);
    how = (struct loop_open_how){.flags = O_RDONLY | O_DIRECTORY};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK_IS(result, -ENOTDIR);
    remove_directory(directory);
    END;
}

LOOP_TEST(openat2_is_relative_to_a_directory)
{
    static const char *directory;
    static struct loop_fd *dir;
    static struct loop_open_how how;

    BEGIN;
    directory = make_directory();
    dir = adopt(env->scope, open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    how = (struct loop_open_how){.dir = dir, .flags = O_RDWR | O_CREAT, .mode = 0600};
    AWAIT(loop_op_openat2(env->scope, "here", &how, GO));
    CHECK(result >= 0);
    close((int)result);
    how = (struct loop_open_how){.dir = dir, .flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    AWAIT(loop_op_openat2(env->scope, "here", &how, GO));
    CHECK(result >= 0);
    close((int)result);
    AWAIT(loop_op_openat2(env->scope, "../..", &how, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(loop_op_openat2(env->scope, "/etc/passwd", &how, GO));
    CHECK_IS(result, -EXDEV);
    how.resolve = UINT64_C(1) << 40;
    AWAIT(loop_op_openat2(env->scope, "here", &how, GO));
    CHECK_IS(result, -EINVAL);
    loop_fd_close(dir);
    how.resolve = 0;
    AWAIT(loop_op_openat2(env->scope, "here", &how, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(turns(env->scope, 2, GO));
    remove_directory(directory);
    END;
}

LOOP_TEST(openat2_of_a_fifo_does_not_wait)
{
    static const char *directory;
    static struct loop_open_how how;
    static char path[200];

    BEGIN;
    directory = make_directory();
    snprintf(path, sizeof path, "%s/fifo", directory);
    CHECK_IS(mkfifo(path, 0600), 0);
    how = (struct loop_open_how){.flags = O_WRONLY};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK_IS(result, -ENXIO);
    how = (struct loop_open_how){.flags = O_RDONLY};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK(result >= 0);
    close((int)result);
    remove_directory(directory);
    END;
}

LOOP_TEST(openat2_with_a_long_path)
{
    static char path[8192];
    static struct loop_open_how how;

    BEGIN;
    memset(path, 'x', sizeof path - 1);
    how = (struct loop_open_how){.flags = O_RDONLY};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK_IS(result, -ENAMETOOLONG);
    AWAIT(loop_op_openat2(env->scope, "", &how, GO));
    CHECK_IS(result, -ENOENT);
    END;
}

/* ---- paths ---- */

static loop_job open_at(struct loop_env *env, struct loop_fd *dir, const char *path, uint64_t flags, uint64_t resolve,
                        loop_fn *fn, void *arg)
{
    const struct loop_open_how how = {.dir = dir, .flags = flags, .mode = 0666, .resolve = resolve};

    return loop_op_openat2(env->scope, path, &how, fn, arg);
}

/* Checks that a descriptor came and gives it back. */
static void close_opened(int64_t result, int flags)
{
    CHECK(result >= 0);
    CHECK(fcntl((int)result, F_GETFD) & FD_CLOEXEC);
    CHECK_IS(fcntl((int)result, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND), flags);
    close((int)result);
}

LOOP_TEST(open_creates_with_the_mode_that_the_umask_leaves)
{
    static struct stat status;

    BEGIN;
    AWAIT(open_at(env, NULL, in_directory("made"), O_RDWR | O_CREAT | O_EXCL, 0, GO));
    CHECK(result >= 0 && fstat((int)result, &status) == 0);
    CHECK_IS(status.st_mode, S_IFREG | 0644);
    CHECK_IS(write((int)result, "content", 7), 7);
    close_opened(result, O_RDWR);
    AWAIT(open_at(env, NULL, in_directory("made"), O_RDWR | O_CREAT | O_EXCL, 0, GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(open_at(env, NULL, in_directory("made"), O_WRONLY | O_APPEND, 0, GO));
    close_opened(result, O_WRONLY | O_APPEND);
    AWAIT(open_at(env, NULL, in_directory("made"), O_WRONLY | O_TRUNC | O_NONBLOCK, 0, GO));
    CHECK(result >= 0 && fstat((int)result, &status) == 0);
    CHECK_IS(status.st_size, 0);
    close_opened(result, O_WRONLY | O_NONBLOCK);
    AWAIT(open_at(env, NULL, in_directory(""), O_TMPFILE | O_RDWR, 0, GO));
    CHECK(result >= 0 && fstat((int)result, &status) == 0);
    CHECK_IS(status.st_nlink, 0);
    close_opened(result, O_RDWR);
    remove_directory(in_directory(""));
    END;
}

LOOP_TEST(open_says_what_the_system_call_says)
{
    static char long_name[300];

    BEGIN;
    memset(long_name, 'n', sizeof long_name - 1);
    AWAIT(open_at(env, NULL, in_directory("missing"), O_RDONLY, 0, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(open_at(env, NULL, in_directory(""), O_WRONLY, 0, GO));
    CHECK_IS(result, -EISDIR);
    AWAIT(open_at(env, NULL, "/dev/null", O_RDONLY | O_DIRECTORY, 0, GO));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(open_at(env, NULL, "", O_RDONLY, 0, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(open_at(env, NULL, long_name, O_RDONLY, 0, GO));
    CHECK_IS(result, -ENAMETOOLONG);
    AWAIT(open_at(env, NULL, "/", UINT64_C(1) << 40, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(open_at(env, NULL, "/", O_RDONLY, UINT64_C(1) << 40, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(open_at(env, NULL, NULL, O_RDONLY, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_openat2(env->scope, "/", NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(open_at(env, NULL, "/", O_RDONLY | O_DIRECTORY, 0, GO));
    close_opened(result, O_RDONLY);
    remove_directory(in_directory(""));
    END;
}

LOOP_TEST(open_beneath_leads_nowhere_else)
{
    static struct loop_fd *dir;

    BEGIN;
    close(open(in_directory("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_IS(symlink("/etc/passwd", in_directory("out")), 0);
    CHECK_IS(symlink("file", in_directory("in")), 0);
    dir = adopt(env->scope, open(in_directory(""), O_PATH | O_DIRECTORY | O_CLOEXEC));
    AWAIT(open_at(env, dir, "file", O_RDONLY, RESOLVE_BENEATH, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, dir, "in", O_RDONLY, RESOLVE_BENEATH, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, dir, "out", O_RDONLY, RESOLVE_BENEATH, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(open_at(env, dir, "../file", O_RDONLY, RESOLVE_BENEATH, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(open_at(env, dir, "/etc/passwd", O_RDONLY, RESOLVE_BENEATH, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(open_at(env, dir, "in", O_RDONLY, RESOLVE_NO_SYMLINKS, GO));
    CHECK_IS(result, -ELOOP);
    AWAIT(open_at(env, dir, "/file", O_RDONLY, RESOLVE_IN_ROOT, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, dir, "/../../file", O_RDONLY, RESOLVE_IN_ROOT, GO));
    close_opened(result, O_RDONLY);
    remove_directory(in_directory(""));
    END;
}

LOOP_TEST(open_needs_its_directory_for_relative_paths_only)
{
    static struct loop_fd *dir, *file;

    BEGIN;
    dir = adopt(env->scope, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    file = open_file(env->scope, "no directory");
    AWAIT(open_at(env, dir, "etc", O_RDONLY, 0, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, NULL, ".", O_RDONLY, 0, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, file, "etc", O_RDONLY, 0, GO));
    CHECK_IS(result, -ENOTDIR);
    loop_fd_close(dir);
    AWAIT(open_at(env, dir, "etc", O_RDONLY, 0, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(open_at(env, dir, "/etc", O_RDONLY, 0, GO));
    close_opened(result, O_RDONLY);
    AWAIT(open_at(env, dir, "/etc", O_RDONLY, RESOLVE_IN_ROOT, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(open_of_a_fifo_waits_for_nobody)
{
    static int reader;

    BEGIN;
    CHECK_IS(mkfifo(in_directory("fifo"), 0600), 0);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_WRONLY, 0, GO));
    CHECK_IS(result, -ENXIO);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_RDONLY, 0, GO));
    CHECK(result >= 0);
    reader = (int)result;
    CHECK_IS(fcntl(reader, F_GETFL) & O_NONBLOCK, 0);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_WRONLY, 0, GO));
    CHECK(result >= 0);
    CHECK_IS(write((int)result, "x", 1), 1);
    close_opened(result, O_WRONLY);
    close(reader);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_RDONLY | O_NONBLOCK, 0, GO));
    close_opened(result, O_RDONLY | O_NONBLOCK);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_RDWR, 0, GO));
    close_opened(result, O_RDWR);
    AWAIT(open_at(env, NULL, in_directory("fifo"), O_PATH, 0, GO));
    CHECK(result >= 0);
    close((int)result);
    remove_directory(in_directory(""));
    END;
}

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)

static int leased;

static void give_lease_up(int number)
{
    (void)number;
    (void)fcntl(leased, F_SETLEASE, F_UNLCK);
}

static unsigned n_opens(void)
{
    unsigned n = 0;

    for (size_t i = 0; i < loop_kernel_fail_count(); i++) {
        n += strncmp(loop_kernel_fail_name(i), "openat", 6) == 0 ? loop_kernel_fail_uses(i) : 0;
    }
    return n;
}

/* A rename on the way is -EAGAIN too, and is tried again many times. */
LOOP_TEST(an_open_beneath_finds_out_that_a_file_has_a_lease)
{
    static struct loop_fd *dir;
    static unsigned before;

    BEGIN;
    CHECK(signal(SIGIO, SIG_IGN) != SIG_ERR);
    leased = open(in_directory("file"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    dir = adopt(env->scope, open(in_directory(""), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (fcntl(leased, F_SETLEASE, F_WRLCK) == 0) {
        before = n_opens();
        AWAIT(open_at(env, dir, "file", O_RDONLY | O_NONBLOCK, RESOLVE_BENEATH, GO));
        CHECK_IS(result, -EAGAIN);
        CHECK(n_opens() - before < 10);
        CHECK(signal(SIGIO, give_lease_up) != SIG_ERR);
        CHECK_IS(fcntl(leased, F_SETLEASE, F_UNLCK), 0);
        CHECK_IS(fcntl(leased, F_SETLEASE, F_WRLCK), 0);
        before = n_opens();
        AWAIT(open_at(env, dir, "file", O_RDONLY, RESOLVE_IN_ROOT, GO));
        close_opened(result, O_RDONLY);
        CHECK_IS(fcntl(leased, F_GETLEASE), F_UNLCK);
        CHECK(n_opens() - before < 10);
    } else {
        not_run("leases"); /* not every file system has them */
    }
    close(leased);
    remove_directory(in_directory(""));
    END;
}

/* A rename disturbs the open, and nobody has a lease. A close of the file would release the lock. */
static void open_locked(struct loop_env *env, int64_t result)
{
    static struct loop_fd *dir;
    static int locked;
    static struct flock lock;

    BEGIN;
    locked = open(in_directory("file"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    dir = adopt(env->scope, open(in_directory(""), O_PATH | O_DIRECTORY | O_CLOEXEC));
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK_IS(fcntl(locked, F_SETLK, &lock), 0);
    AWAIT(open_at(env, dir, "file", O_RDONLY, RESOLVE_BENEATH, GO));
    CHECK(result >= 0);
    CHECK_IS(fcntl((int)result, F_OFD_GETLK, &lock), 0);
    CHECK_IS(lock.l_type, F_WRLCK);
    close_opened(result, O_RDONLY);
    close(locked);
    remove_directory(in_directory(""));
    END;
}

TEST(a_disturbed_open_releases_no_record_lock)
{
    (void)loop_kernel_fail_set("openat2:EAGAIN:1,ring-openat2:EAGAIN:1"); /* a build without a ring knows less */
    script_run(&(struct loop_options){.queue_depth = 0}, open_locked);
    CHECK(loop_kernel_fail_set(NULL));
}

#endif

LOOP_TEST(a_cancelled_open_leaves_no_descriptor)
{
    static struct once opens[20];
    static int i;

    BEGIN;
    for (i = 0; i < 20; i++) {
        (void)loop_cancel(env->loop, START(open_at(env, NULL, "/", O_RDONLY, 0, ONCE(&opens[i]))));
    }
    for (i = 0; i < 20; i++) {
        WAIT_UNTIL(opens[i].count);
        CHECK(opens[i].result >= 0 || opens[i].result == -ECANCELED);
        if (opens[i].result >= 0) {
            close((int)opens[i].result);
        }
    }
    END;
}

/* ---- P3: memory is the job's until its continuation ---- */

static loop_job open_by_local_path(struct loop_scope *scope, loop_fn *fn, void *arg)
{
    char path[32] = "/dev/null";
    struct loop_open_how how = {.flags = O_RDONLY};
    loop_job job = loop_op_openat2(scope, path, &how, fn, arg);

    memset(path, 'x', sizeof path - 1);
    memset(&how, 0xff, sizeof how);
    return job;
}

LOOP_TEST(p03_paths_are_copied)
{
    BEGIN;
    AWAIT(open_by_local_path(env->scope, GO));
    CHECK(result >= 0);
    close((int)result);
    END;
}

/* ---- files and paths ---- */

static const char paths_text[] = "open what is missing: ENOENT\n"
                                 "create what is there: EEXIST\n"
                                 "open nothing: ENOENT\n"
                                 "open a long name: ENAMETOOLONG\n"
                                 "open beneath a file: ENOTDIR\n"
                                 "open a directory for writing: EISDIR\n"
                                 "open a file as a directory: ENOTDIR\n"
                                 "open a link without following: ELOOP\n"
                                 "open .. beneath: EXDEV\n"
                                 "open a link that leads out: EXDEV\n"
                                 "open an absolute path beneath: EXDEV\n"
                                 "open a link where none may be: ELOOP\n";

LOOP_TEST(p17_paths)
{
    static struct loop_open_how how;
    static struct loop_fd *dir;
    static char too_long[300];

    BEGIN;
    dir = make_paths(env->scope);
    memset(too_long, 'n', sizeof too_long - 1);
    SHOW("open what is missing", loop_op_openat2(env->scope, path_of("file"), &for_reading, GO));
    how = (struct loop_open_how){.dir = dir, .flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0600};
    AWAIT(loop_op_openat2(env->scope, "file", &how, GO));
    CHECK(result >= 0);
    CHECK_IS(fcntl((int)result, F_GETFD), FD_CLOEXEC);
    close((int)result);
    SHOW("create what is there", loop_op_openat2(env->scope, "file", &how, GO));
    SHOW("open nothing", loop_op_openat2(env->scope, "", &for_reading, GO));
    SHOW("open a long name", loop_op_openat2(env->scope, too_long, &for_reading, GO));
    SHOW("open beneath a file", loop_op_openat2(env->scope, path_of("file/name"), &for_reading, GO));
    SHOW("open a directory for writing", loop_op_openat2(env->scope, shown_directory, &for_writing, GO));
    how = (struct loop_open_how){.dir = dir, .flags = O_RDONLY | O_DIRECTORY};
    SHOW("open a file as a directory", loop_op_openat2(env->scope, "file", &how, GO));
    how.flags = O_RDONLY | O_NOFOLLOW;
    SHOW("open a link without following", loop_op_openat2(env->scope, "link", &how, GO));
    how = (struct loop_open_how){.dir = dir, .flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    SHOW("open .. beneath", loop_op_openat2(env->scope, "..", &how, GO));
    SHOW("open a link that leads out", loop_op_openat2(env->scope, "away", &how, GO));
    SHOW("open an absolute path beneath", loop_op_openat2(env->scope, "/tmp", &how, GO));
    how.resolve = RESOLVE_NO_SYMLINKS;
    SHOW("open a link where none may be", loop_op_openat2(env->scope, "link", &how, GO));
    remove_directory(shown_directory);
    CHECK_TEXT(trace_text(), paths_text);
    END;
}
