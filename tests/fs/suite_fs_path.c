/* SPDX-License-Identifier: ISC
 *
 * Paths with unusual names, to unusual files, and with trailing slashes. tests/fuzz/walk.c compares random paths
 * between the kernel and the walk without openat2(2).
 */
#include "directory.h"
#include "ground.h"

#include <limits.h>
#if NORIA_HARD_MODES
#include <loop/kernel/fail.h>
#endif
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

/* A path with a trailing slash where a file is required: the kernel reports the error before it looks up the name. */
LOOP_TEST(p22_a_name_with_a_slash_is_not_created)
{
    static const char *directory;
    static struct loop_dir *dir;
    static struct loop_flow *flow;
    static char long_name[NAME_MAX + 3];
    static struct loop_open_options options = {.access = LOOP_ACCESS_WRITE};
    char link[128];

    BEGIN;
    directory = make_directory();
    snprintf(link, sizeof link, "%s/loop", directory);
    CHECK_IS(symlink("loop", link), 0);
    AWAIT(loop_fs_open_dir(env->scope, env->fs, directory, &dir, GO));
    CHECK_IS(result, 0);
    options.create = LOOP_CREATE_IF_MISSING;
    AWAIT(loop_fs_open(env->scope, dir, "loop/", &options, &flow, GO));
    CHECK_IS(result, -EISDIR);
    AWAIT(loop_fs_open(env->scope, dir, "nothing/", &options, &flow, GO));
    CHECK_IS(result, -EISDIR);
    memset(long_name, 'n', NAME_MAX + 1);
    long_name[NAME_MAX + 1] = '/';
    AWAIT(loop_fs_open(env->scope, dir, long_name, &options, &flow, GO));
    CHECK_IS(result, -EISDIR);
    options.create = LOOP_CREATE_EXCLUSIVE;
    AWAIT(loop_fs_open(env->scope, dir, "./", &options, &flow, GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(loop_fs_open(env->scope, dir, "loop", &options, &flow, GO));
    CHECK_IS(result, -EEXIST);
    remove_directory(directory);
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
    AWAIT(start(SAVE, inside, "fifo"));
    CHECK_IS(result, -ENXIO);
    AWAIT(start(TRUNCATE, inside, "fifo"));
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
    AWAIT(start(SAVE, inside, "socket"));
    CHECK_IS(result, -ENXIO);
    AWAIT(start(TRUNCATE, inside, "socket"));
    CHECK_IS(result, -ENXIO);
    AWAIT(start(SYNC, inside, "socket"));
    CHECK_IS(result, -ENXIO);
    AWAIT(start(COPY_FROM, inside, "socket"));
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

static const struct {
    enum operation operation;
    const char *path;
} opening[] = {{OPEN_READ, "file"},   {TRUNCATE, "file"}, {TRUNCATE, "dir/../file"}, {SYNC, "file"}, {LOAD, "file"},
               {LOAD, "dir/../file"}, {SAVE, "file"},     {COPY_FROM, "file"}};

static int leased;
static volatile sig_atomic_t n_breaks;

static void give_lease_up(int number)
{
    (void)number;
    n_breaks++;
    (void)fcntl(leased, F_SETLEASE, F_UNLCK);
}

LOOP_TEST_ROWS(fs_a_lease_on_a_file_is_waited_for, COUNT_OF(opening))
{
    BEGIN;
    BEGIN_ON_GROUND;
    CHECK(signal(SIGIO, give_lease_up) != SIG_ERR);
    leased = open("inside/file", O_RDWR | O_CLOEXEC);
    if (fcntl(leased, F_SETLEASE, F_WRLCK) == 0) {
        AWAIT(start(opening[script.row].operation, inside, opening[script.row].path));
        if (result < 0) {
            ck_abort_msg("operation %d: %lld", (int)opening[script.row].operation, (long long)result);
        }
        CHECK(n_breaks > 0);
        CHECK_IS(fcntl(leased, F_GETLEASE), F_UNLCK);
    } else {
        not_run("leases"); /* not every file system has them */
    }
    close(leased);
    free(data);
    remove_ground(ground);
    END;
}

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)

static unsigned n_opens(void)
{
    unsigned n = 0;

    for (size_t i = 0; i < loop_kernel_fail_count(); i++) {
        bool is_open = strncmp(loop_kernel_fail_name(i), "openat", 6) == 0;
        n += is_open ? loop_kernel_fail_uses(i) : 0;
    }
    return n;
}

/* A rename on the way is -EAGAIN too, and is tried again many times. */
LOOP_TEST(fs_an_open_finds_out_that_a_file_has_a_lease)
{
    static const struct loop_open_options nonblocking = {.flags = O_NONBLOCK};
    static struct loop_flow *flow;
    static unsigned before;

    BEGIN;
    BEGIN_ON_GROUND;
    CHECK(signal(SIGIO, SIG_IGN) != SIG_ERR);
    leased = open("inside/file", O_RDWR | O_CLOEXEC);
    CHECK_IS(fcntl(leased, F_SETLEASE, F_WRLCK), 0);
    before = n_opens();
    AWAIT(loop_fs_open(env->scope, inside, "dir/../file", &nonblocking, &flow, GO));
    CHECK_IS(result, -EAGAIN);
    CHECK(n_opens() - before < 20);
    CHECK_IS(fcntl(leased, F_SETLEASE, F_UNLCK), 0);
    AWAIT(loop_fs_open(env->scope, inside, "dir/../file", &nonblocking, &flow, GO));
    CHECK_IS(result, 0);
    close(leased);
    remove_ground(ground);
    END;
}

/* ---- opens that renames disturb ---- */

static unsigned first; /* call of openat2(2) behind mark_first */

static void mark_first(void)
{
    first = 1;
    for (size_t i = 0; i < loop_kernel_fail_count(); i++) {
        first += strcmp(loop_kernel_fail_name(i), "openat2") == 0 ? loop_kernel_fail_uses(i) : 0;
    }
}

/* Runs the steps twice. In the second run renames disturb `n` calls behind mark_first. The first of them may be that
 * which opens out of the cache. */
static void run_disturbed(steps_fn *steps, unsigned n)
{
    char what[128];
    int len = 0;

    CHECK(loop_kernel_fail_set(NULL));
    script_run(&(struct loop_options){.queue_depth = 0}, steps);
    for (unsigned i = 0; i < n; i++) {
        len += snprintf(what + len, sizeof what - (size_t)len, "%sopenat2:EAGAIN:%u", i > 0 ? "," : "", first + i);
    }
    CHECK(loop_kernel_fail_set(what));
    script_run(&(struct loop_options){.queue_depth = 0}, steps);
    CHECK(loop_kernel_fail_set(NULL));
}

static void open_leased(struct loop_env *env, int64_t result)
{
    static const struct loop_open_options nonblocking = {.flags = O_NONBLOCK};
    static struct loop_flow *flow;
    static unsigned before;

    BEGIN;
    BEGIN_ON_GROUND;
    CHECK(signal(SIGIO, SIG_IGN) != SIG_ERR);
    leased = open("inside/file", O_RDWR | O_CLOEXEC);
    if (fcntl(leased, F_SETLEASE, F_WRLCK) == 0) {
        mark_first();
        before = n_opens();
        AWAIT(loop_fs_open(env->scope, inside, "dir/../file", &nonblocking, &flow, GO));
        CHECK_IS(result, -EAGAIN);
        CHECK(n_opens() - before < 40);
    } else {
        not_run("leases"); /* not every file system has them */
    }
    close(leased);
    remove_ground(ground);
    END;
}

/* Renames disturb the open, and the look why, and then another process has a lease on the file. */
TEST(fs_an_open_that_was_disturbed_finds_out_that_a_file_has_a_lease)
{
    run_disturbed(open_leased, 3);
}

static void open_locked(struct loop_env *env, int64_t result)
{
    static const struct loop_open_options nonblocking = {.flags = O_NONBLOCK};
    static struct loop_flow *flow;
    static struct flock lock;

    BEGIN;
    BEGIN_ON_GROUND;
    leased = open("inside/file", O_RDWR | O_CLOEXEC);
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK_IS(fcntl(leased, F_SETLK, &lock), 0);
    mark_first();
    AWAIT(loop_fs_open(env->scope, inside, "dir/../file", &nonblocking, &flow, GO));
    CHECK(result == 0 && flow);
    CHECK_IS(fcntl(loop_fd_peek(flow->fd), F_OFD_GETLK, &lock), 0);
    CHECK_IS(lock.l_type, F_WRLCK);
    close(leased);
    remove_ground(ground);
    END;
}

/* To close a descriptor of a file releases the locks that the process has on it. */
TEST(fs_an_open_that_was_disturbed_releases_no_record_lock)
{
    run_disturbed(open_locked, 2);
}

#endif
