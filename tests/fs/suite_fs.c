/* SPDX-License-Identifier: ISC
 *
 * Files and directories: what each operation does, and what it answers.
 */
#include "directory.h"

#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

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

/* A time, as the calls that set one want it. */
#define AT(seconds, nanoseconds) (&(const struct timespec){.tv_sec = (seconds), .tv_nsec = (nanoseconds)})

#define TIME_IS(time, seconds, nanoseconds)                                                                            \
    do {                                                                                                               \
        CHECK_IS((time).tv_sec, seconds);                                                                              \
        CHECK_IS((time).tv_nsec, nanoseconds);                                                                         \
    } while (0)

/* ---- opening ---- */

LOOP_TEST(fs_open_creates_as_it_is_told)
{
    static const char *directory;
    static struct loop_flow *flow;
    static struct loop_open_options options;

    BEGIN;
    directory = enter_directory();
    options = (struct loop_open_options){.access = LOOP_ACCESS_READ_WRITE};
    AWAIT(loop_fs_open(NULL, env->cwd, "file", &options, &flow, GO));
    CHECK_IS(result, -ENOENT);
    CHECK(flow == NULL);
    options.create = LOOP_CREATE_IF_MISSING;
    AWAIT(loop_fs_open(NULL, env->cwd, "file", &options, &flow, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("file"), 0644);
    CHECK_IS(fcntl(loop_fd_peek(flow->fd), F_GETFD), FD_CLOEXEC);
    CHECK(!(fcntl(loop_fd_peek(flow->fd), F_GETFL) & O_NONBLOCK));
    AWAIT(loop_write(&flow->sink, "kept", 4, GO));
    CHECK_IS(loop_flow_close(flow), 0);
    AWAIT(loop_fs_open(NULL, env->cwd, "file", &options, &flow, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(get("file"), "kept");
    options.create = LOOP_CREATE_EXCLUSIVE;
    AWAIT(loop_fs_open(NULL, env->cwd, "file", &options, &flow, GO));
    CHECK_IS(result, -EEXIST);
    options.create = LOOP_CREATE_OR_TRUNCATE;
    AWAIT(loop_fs_open(NULL, env->cwd, "file", &options, &flow, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(get("file"), "");
    options = (struct loop_open_options){
        .access = LOOP_ACCESS_WRITE, .create = LOOP_CREATE_EXCLUSIVE, .mode = 0600, .flags = O_NOFOLLOW};
    AWAIT(loop_fs_open(NULL, env->cwd, "other", &options, &flow, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("other"), 0600);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_open_appends_and_tells_the_stat)
{
    static const char *directory;
    static struct loop_flow *flow;
    static struct loop_fs_status stat;
    static struct loop_open_options options;

    BEGIN;
    directory = enter_directory();
    put("log", "one ");
    options = (struct loop_open_options){.access = LOOP_ACCESS_WRITE, .append = true, .stat = &stat};
    AWAIT(loop_fs_open(NULL, env->cwd, "log", &options, &flow, GO));
    CHECK_IS(result, 0);
    CHECK_IS(stat.size_bytes, 4);
    CHECK_IS(stat.kind, LOOP_KIND_REGULAR);
    put("log", "uno ");
    AWAIT(loop_write(&flow->sink, "two", 3, GO));
    CHECK_IS(result, 3);
    CHECK_TEXT(get("log"), "uno two");
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_open_of_a_tmpfile_leaves_no_name)
{
    static const char *directory;
    static struct loop_flow *flow;
    static char buffer[8];

    BEGIN;
    directory = enter_directory();
    AWAIT(loop_fs_open(NULL, env->cwd, ".",
                       &(struct loop_open_options){.access = LOOP_ACCESS_READ_WRITE, .tmpfile = true}, &flow, GO));
    if (result == -EOPNOTSUPP) { /* not every file system has it */
        leave_directory(directory);
        script.is_done = true;
        return;
    }
    CHECK_IS(result, 0);
    CHECK_IS(count_names("."), 0);
    AWAIT(loop_write(&flow->sink, "secret", 6, GO));
    CHECK_IS(result, 6);
    CHECK_IS(loop_file_seek(flow->fd, 0, SEEK_SET), 0);
    AWAIT(loop_read_exact(&flow->source, buffer, 6, GO));
    CHECK_IS(result, 6);
    CHECK_IS(memcmp(buffer, "secret", 6), 0);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_open_takes_more_flags)
{
    static const char *directory;
    static struct loop_flow *flow;

    BEGIN;
    directory = enter_directory();
    put("file", "text");
    CHECK_IS(symlink("file", "link"), 0);
    CHECK_IS(symlink("loop", "loop"), 0);
    AWAIT(loop_fs_open(NULL, env->cwd, "link", NULL, &flow, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_open(NULL, env->cwd, "link", &(struct loop_open_options){.flags = O_NOFOLLOW}, &flow, GO));
    CHECK_IS(result, -ELOOP);
    AWAIT(loop_fs_open(NULL, env->cwd, "loop", NULL, &flow, GO));
    CHECK_IS(result, -ELOOP);
    AWAIT(loop_fs_open(NULL, env->cwd, "link", &(struct loop_open_options){.resolve = RESOLVE_NO_SYMLINKS}, &flow, GO));
    CHECK_IS(result, -ELOOP);
    AWAIT(loop_fs_open(NULL, env->cwd, "file", &(struct loop_open_options){.flags = O_DIRECTORY}, &flow, GO));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(loop_fs_open(NULL, env->cwd, "file", &(struct loop_open_options){.access = 7}, &flow, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_open(NULL, env->cwd, "file", &(struct loop_open_options){.mode = 010000}, &flow, GO));
    CHECK_IS(result, -EINVAL);
    leave_directory(directory);
    END;
}

/* ---- files ---- */

LOOP_TEST(fs_files_are_sources_and_sinks)
{
    static const char *directory;
    static struct loop_flow *in, *out;
    static char text[100000], back[100001];

    BEGIN;
    directory = enter_directory();
    fill_pattern(text, sizeof text, 7);
    AWAIT(loop_fs_save(NULL, env->cwd, "in", text, sizeof text, NULL, GO));
    CHECK_IS(result, sizeof text);
    AWAIT(loop_fs_open(NULL, env->cwd, "in", NULL, &in, GO));
    AWAIT(loop_fs_open(NULL, env->cwd, "out",
                       &(struct loop_open_options){.access = LOOP_ACCESS_READ_WRITE, .create = LOOP_CREATE_EXCLUSIVE},
                       &out, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_copy(&in->source, &out->sink, GO));
    CHECK_IS(result, sizeof text);
    CHECK_IS(loop_file_seek(out->fd, 0, SEEK_CUR), sizeof text);
    CHECK_IS(loop_file_seek(out->fd, 0, SEEK_SET), 0);
    AWAIT(loop_read_exact(&out->source, back, sizeof back, GO));
    CHECK_IS(result, sizeof text);
    CHECK(is_pattern(back, sizeof text, 7));
    CHECK_IS(loop_file_seek(out->fd, -1, SEEK_SET), -EINVAL);
    CHECK_IS(loop_file_seek(out->fd, 0, SEEK_END), sizeof text);
    loop_flow_close(out);
    CHECK_IS(loop_file_seek(out->fd, 0, SEEK_SET), -EBADF);
    leave_directory(directory);
    END;
}

static struct loop_flow *scratch;
static struct loop_open_options scratch_options = {.access = LOOP_ACCESS_READ_WRITE, .create = LOOP_CREATE_OR_TRUNCATE};
#define OPEN_SCRATCH AWAIT(loop_fs_open(NULL, env->cwd, "scratch", &scratch_options, &scratch, GO))

LOOP_TEST(fs_pread_and_pwrite_leave_the_position)
{
    static const char *directory;
    static char a[4], b[4], text[] = "01234567";
    static struct iovec iov[2];

    BEGIN;
    directory = enter_directory();
    OPEN_SCRATCH;
    iov[0] = (struct iovec){text, 4};
    iov[1] = (struct iovec){text + 4, 4};
    AWAIT(loop_file_pwrite(NULL, scratch->fd, iov, 2, 2, GO));
    CHECK_IS(result, 8);
    CHECK_IS(loop_file_seek(scratch->fd, 0, SEEK_CUR), 0);
    iov[0] = (struct iovec){a, 4};
    iov[1] = (struct iovec){b, 4};
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, 2, GO));
    CHECK_IS(result, 8);
    CHECK_IS(memcmp(a, "0123", 4), 0);
    CHECK_IS(memcmp(b, "4567", 4), 0);
    CHECK_IS(loop_file_seek(scratch->fd, 0, SEEK_CUR), 0);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, 2 + 3, GO)); /* the end comes before the vectors do */
    CHECK_IS(result, 5);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, 10, GO)); /* exactly at the end */
    CHECK_IS(result, 0);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, 1000, GO)); /* behind it */
    CHECK_IS(result, 0);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 0, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, -1, GO));
    CHECK_IS(result, -EINVAL);
    iov[1].iov_len = SIZE_MAX;
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, 0, GO));
    CHECK_IS(result, -EINVAL);
    loop_flow_close(scratch);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 1, 0, GO));
    CHECK_IS(result, -EBADF);
    leave_directory(directory);
    END;
}

#define MANY 10000

LOOP_TEST(fs_ten_thousand_vectors)
{
    static const char *directory;
    static struct iovec iov[MANY];
    static char text[7 * MANY], back[7 * MANY];
    static size_t total;

    BEGIN;
    directory = enter_directory();
    OPEN_SCRATCH;
    fill_pattern(text, sizeof text, 3);
    for (size_t i = 0; i < MANY; i++) {
        size_t len = i % 8; /* empty ones too */
        iov[i] = (struct iovec){text + total, len};
        total += len;
    }
    AWAIT(loop_file_pwrite(NULL, scratch->fd, iov, MANY, 100, GO));
    CHECK_IS(result, total);
    for (size_t i = 0; i < MANY; i++) {
        iov[i].iov_base = back + ((char *)iov[i].iov_base - text);
    }
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, MANY, 100, GO));
    CHECK_IS(result, total);
    CHECK(is_pattern(back, total, 3));
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, MANY, 200, GO));
    CHECK_IS(result, total - 100);
    CHECK(is_pattern_at(back, total - 100, 3, 100));
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_pread_of_a_pipe_is_refused)
{
    static int ends[2];
    static struct loop_fd *end;
    static char byte;
    static struct iovec iov;

    BEGIN;
    make_pipe(ends);
    end = adopt(env->scope, ends[0]);
    close(ends[1]);
    iov = (struct iovec){&byte, 1};
    AWAIT(loop_file_pread(NULL, end, &iov, 1, 0, GO));
    CHECK_IS(result, -ESPIPE);
    CHECK_IS(loop_file_seek(end, 0, SEEK_CUR), -ESPIPE);
    END;
}

LOOP_TEST(fs_chunks_go_through_the_low_level)
{
    static const char *directory;
    static struct loop_chunk *chunk;
    static size_t len;

    BEGIN;
    directory = enter_directory();
    OPEN_SCRATCH;
    AWAIT(loop_chunk_alloc_wait(env->scope, &chunk, GO));
    len = loop_chunk_length(chunk);
    fill_pattern(loop_chunk_data(chunk), len, 9);
    AWAIT(loop_op_write_chunk(NULL, scratch->fd, chunk, len, 0, GO));
    CHECK_MOVED(result, len);
    memset(loop_chunk_data(chunk), 0, len);
    AWAIT(loop_op_read_chunk(NULL, scratch->fd, chunk, 100, 0, GO));
    CHECK_MOVED(result, 100);
    CHECK(is_pattern(loop_chunk_data(chunk), (size_t)result, 9));
    loop_chunk_free(env->loop, chunk);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_what_an_open_file_is)
{
    static const char *directory;
    static struct loop_fs_status stat;

    BEGIN;
    directory = enter_directory();
    OPEN_SCRATCH;
    AWAIT(loop_file_truncate(NULL, scratch->fd, 1 << 20, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_stat(NULL, scratch->fd, &stat, GO));
    CHECK_IS(result, 0);
    CHECK_IS(stat.size_bytes, 1 << 20);
    CHECK_IS(stat.used_bytes, 0);
    CHECK_IS(stat.n_links, 1);
    AWAIT(loop_file_allocate(NULL, scratch->fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 16, GO));
    if (result != -EOPNOTSUPP) {
        CHECK_IS(result, 0);
        AWAIT(loop_file_stat(NULL, scratch->fd, &stat, GO));
        CHECK_IS(stat.size_bytes, 1 << 20);
        CHECK(stat.used_bytes >= 1 << 16);
    }
    AWAIT(loop_file_chmod(NULL, scratch->fd, 0640, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("scratch"), 0640);
    AWAIT(loop_file_chown(NULL, scratch->fd, (uid_t)-1, getegid(), GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_set_times(NULL, scratch->fd, NULL, AT(-2, 500000000), GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_stat(NULL, env->cwd, "scratch", true, &stat, GO));
    TIME_IS(stat.modified, -2, 500000000);
    CHECK(stat.accessed.tv_sec > 0);
    AWAIT(loop_file_sync(NULL, scratch->fd, false, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_sync(NULL, scratch->fd, true, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_truncate(NULL, scratch->fd, UINT64_MAX, GO));
    CHECK_IS(result, -EFBIG);
    loop_flow_close(scratch);
    AWAIT(loop_file_stat(NULL, scratch->fd, &stat, GO));
    CHECK_IS(result, -EBADF);
    leave_directory(directory);
    END;
}

/* ---- stat and its kin ---- */

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
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir/link", true, &stat, GO));
    CHECK_IS(result, 0);
    CHECK_IS(stat.kind, LOOP_KIND_REGULAR);
    CHECK_IS(stat.size_bytes, 5);
    CHECK_IS(stat.n_links, 2);
    CHECK_IS(stat.mode, 0644);
    CHECK_IS(stat.uid, geteuid());
    CHECK_IS(lstat("file", &status), 0);
    CHECK_IS(stat.inode, status.st_ino);
    TIME_IS(stat.modified, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir/second", false, &other, GO));
    CHECK(stat.inode == other.inode && stat.device == other.device);
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir/link", false, &stat, GO));
    CHECK_IS(stat.kind, LOOP_KIND_SYMLINK);
    CHECK_IS(stat.size_bytes, 7);
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir", false, &stat, GO));
    CHECK_IS(stat.kind, LOOP_KIND_DIRECTORY);
    CHECK_IS(stat.mode, 0751);
    AWAIT(loop_fs_stat(NULL, env->cwd, "dir/..", false, &stat, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_stat(NULL, env->cwd, "file/", false, &stat, GO));
    CHECK_IS(result, -ENOTDIR);
    stat.inode = 42;
    AWAIT(loop_fs_stat(NULL, env->cwd, "nothing", true, &stat, GO));
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
    AWAIT(loop_fs_kind(NULL, env->cwd, "file", true, GO));
    CHECK_IS(result, LOOP_KIND_REGULAR);
    AWAIT(loop_fs_kind(NULL, env->cwd, "fifo", true, GO));
    CHECK_IS(result, LOOP_KIND_FIFO);
    AWAIT(loop_fs_kind(NULL, env->cwd, "link", false, GO));
    CHECK_IS(result, LOOP_KIND_SYMLINK);
    AWAIT(loop_fs_kind(NULL, env->cwd, "link", true, GO));
    CHECK_IS(result, LOOP_KIND_NONE);
    AWAIT(loop_fs_kind(NULL, env->cwd, "nothing", true, GO));
    CHECK_IS(result, LOOP_KIND_NONE);
    AWAIT(loop_fs_kind(NULL, env->cwd, "file/more", true, GO));
    CHECK_IS(result, LOOP_KIND_NONE);
    AWAIT(loop_fs_kind(NULL, env->cwd, ".", false, GO));
    CHECK_IS(result, LOOP_KIND_DIRECTORY);
    AWAIT(loop_fs_kind(NULL, env->fs, "/dev/null", true, GO));
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
    loop_fs_stat(NULL, env->cwd, "locked/../open", true, &(struct loop_fs_status){.mode = 0}, on_access, &accesses[2]);
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

LOOP_TEST(fs_rmtree_removes_links_not_what_they_lead_to)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    make_tree("tree", 5, 3);
    make_tree("kept", 2, 2);
    CHECK_IS(symlink("../kept", "tree/dir0/link"), 0);
    CHECK_IS(symlink("kept", "link"), 0);
    CHECK_IS(mkfifo("tree/dir1/fifo", 0600), 0);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree//", GO));
    CHECK_IS(result, 0);
    CHECK(!exists("tree"));
    CHECK(exists("kept/file1") && exists("kept/dir1/file1"));
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "link/", GO));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "link", GO));
    CHECK_IS(result, 0);
    CHECK(exists("kept/file1") && !exists("link"));
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "kept/file1", GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "kept/file1", GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "kept/.", GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "kept/dir0/..", GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "", GO));
    CHECK_IS(result, -ENOENT);
    CHECK(exists("kept/file0"));
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_rmtree_of_many_entries_in_one_directory)
{
    static const char *directory;
    static char name[64];

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("tree", 0755), 0);
    for (unsigned i = 0; i < 1200; i++) {
        snprintf(name, sizeof name, "tree/a-name-of-some-length-%u", i);
        if (i % 3 == 0) {
            CHECK_IS(mkdir(name, 0755), 0);
        } else {
            put(name, "");
        }
    }
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree", GO));
    CHECK_IS(result, 0);
    CHECK(!exists("tree"));
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
    AWAIT(loop_fs_chmod(NULL, env->cwd, "link", true, 04711, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("file"), 04711);
    AWAIT(loop_fs_chmod(NULL, env->cwd, "file", false, 0600, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("file"), 0600);
    AWAIT(loop_fs_chmod(NULL, env->cwd, "link", false, 0600, GO));
    CHECK_IS(result, -EOPNOTSUPP);
    AWAIT(loop_fs_chmod(NULL, env->cwd, "file", true, 0200000, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_chown(NULL, env->cwd, "link", false, geteuid(), getegid(), GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_set_times(NULL, env->cwd, "link", true, AT(1, 1), AT(2, 2), GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_set_times(NULL, env->cwd, "link", false, NULL, AT(3, 3), GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_stat(NULL, env->cwd, "file", true, &stat, GO));
    TIME_IS(stat.accessed, 1, 1);
    TIME_IS(stat.modified, 2, 2);
    AWAIT(loop_fs_stat(NULL, env->cwd, "link", false, &stat, GO));
    TIME_IS(stat.modified, 3, 3);
    AWAIT(loop_fs_set_times(NULL, env->cwd, "file", true, AT(0, UTIME_NOW), NULL, GO));
    AWAIT(loop_fs_stat(NULL, env->cwd, "file", true, &stat, GO));
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
    AWAIT(loop_fs_set_times(NULL, env->cwd, "from", true, AT(1, 234567890), AT(2, 345678901), GO));
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", dir, "to", &options, GO));
    CHECK_IS(result, sizeof text);
    AWAIT(loop_fs_stat(NULL, env->cwd, "from", true, &one, GO));
    AWAIT(loop_fs_stat(NULL, dir, "to", true, &other, GO));
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
    AWAIT(loop_fs_stat(NULL, env->cwd, "copy", true, &stat, GO));
    CHECK_IS(stat.size_bytes, size);
    CHECK(stat.used_bytes < 1 << 20);
    snprintf(path, sizeof path, "%s/noria-test-%d", other, (int)getpid());
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "sparse", env->fs, path, NULL, GO));
    CHECK_IS(result, size);
    AWAIT(loop_fs_stat(NULL, env->fs, path, true, &stat, GO));
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

/* ---- directories read ---- */

#define NAMES 1500

LOOP_TEST(fs_read_dir_gives_every_entry_once)
{
    static const char *directory;
    static struct loop_entries *entries;
    static char name[32], seen[NAMES];
    static unsigned rounds, total;
    static int number;

    BEGIN;
    directory = enter_directory();
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "name%d", i);
        if (i % 100 == 0) {
            CHECK_IS(mkdir(name, 0755), 0);
        } else {
            put(name, i % 2 ? "x" : "");
        }
    }
    AWAIT(loop_fs_read_dir(NULL, env->cwd, ".", true, &entries, GO));
    CHECK_IS(result, 0);
    CHECK_IS(entries->count, 0);
    for (;;) {
        AWAIT(loop_entries_next(entries, GO));
        CHECK_IS(entries->count, result);
        if (result == 0) {
            break;
        }
        CHECK(result > 0 && result < 1000);
        for (size_t i = 0; i < entries->count; i++) {
            const struct loop_entry *entry = &entries->entry[i];
            CHECK_IS(sscanf(entry->name, "name%d", &number), 1);
            CHECK(number >= 0 && number < NAMES && !seen[number]);
            seen[number] = 1;
            CHECK_IS(entry->kind, number % 100 == 0 ? LOOP_KIND_DIRECTORY : LOOP_KIND_REGULAR);
            CHECK(entry->stat && entry->stat->kind == entry->kind && entry->stat->inode == entry->inode);
            CHECK(number % 100 == 0 || entry->stat->size_bytes == (unsigned)number % 2);
            total++;
        }
        rounds++;
    }
    CHECK_IS(total, NAMES);
    CHECK(rounds > 2);
    AWAIT(loop_entries_next(entries, GO)); /* the end stays the end */
    CHECK_IS(result, 0);
    loop_entries_close(entries);
    loop_entries_close(NULL);
    AWAIT(loop_fs_read_dir(NULL, env->cwd, "name1", false, &entries, GO));
    CHECK_IS(result, -ENOTDIR);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_read_dir_one_at_a_time)
{
    static const char *directory;
    static struct loop_entries *entries;
    static struct once first, second;

    BEGIN;
    directory = enter_directory();
    put("file", "");
    AWAIT(loop_fs_read_dir(NULL, env->cwd, ".", false, &entries, GO));
    START(loop_entries_next(entries, ONCE(&first)));
    START(loop_entries_next(entries, ONCE(&second)));
    WAIT_UNTIL(first.count && second.count);
    CHECK_IS(first.result, 1);
    CHECK_IS(second.result, -EBUSY);
    CHECK_TEXT(entries->entry[0].name, "file");
    CHECK(entries->entry[0].stat == NULL);
    first.count = 0;
    START(loop_entries_next(entries, ONCE(&first)));
    loop_entries_close(entries); /* under way */
    WAIT_UNTIL(first.count);
    CHECK_IS(first.result, -ECANCELED);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_list_is_sorted)
{
    static const char *directory;
    static struct loop_entry *list;

    BEGIN;
    directory = enter_directory();
    AWAIT(loop_fs_list(NULL, env->cwd, ".", true, &list, GO));
    CHECK_IS(result, 0);
    free(list);
    put("b", "1");
    put("a", "22");
    put("B", "333");
    CHECK_IS(mkdir("c", 0755), 0);
    CHECK_IS(symlink("a", ".hidden"), 0);
    AWAIT(loop_fs_list(NULL, env->cwd, ".", true, &list, GO));
    CHECK_IS(result, 5);
    for (int i = 0; i < 5; i++) {
        trace("%s %d %d", list[i].name, (int)list[i].kind,
              (int)(list[i].kind == LOOP_KIND_DIRECTORY ? 0 : list[i].stat->size_bytes));
    }
    CHECK_TEXT(trace_text(), ".hidden 3 1\nB 1 3\na 1 2\nb 1 1\nc 2 0\n");
    free(list);
    AWAIT(loop_fs_list(NULL, env->cwd, "c", false, &list, GO));
    CHECK_IS(result, 0);
    free(list);
    AWAIT(loop_fs_list(NULL, env->cwd, "a", false, &list, GO));
    CHECK_IS(result, -ENOTDIR);
    leave_directory(directory);
    END;
}

/* ---- watching ---- */

static struct {
    unsigned begun, events, overflows, ends;
    int64_t end;
    uint32_t cookie;
} watched;

static const char *const kind_names[] = {"begun",      "created",  "written", "finished", "changed",
                                         "moved from", "moved to", "deleted", "overflow"};

static void on_event(void *arg, int64_t result, const struct loop_watch_event *event)
{
    (void)arg;
    if (!event) {
        watched.ends++;
        watched.end = result;
    } else if (event->kind == LOOP_WATCH_BEGUN) {
        watched.begun++;
    } else {
        CHECK_IS(result, 1);
        watched.overflows += event->kind == LOOP_WATCH_OVERFLOW;
        if (watched.events < 20) {
            trace("%s %s%s", kind_names[event->kind], event->name, event->is_directory ? "/" : "");
        }
        watched.cookie = event->cookie;
        watched.events++;
    }
    script_poke();
}

LOOP_TEST(fs_watch_tells_what_happens)
{
    static const char *directory;
    static loop_job job;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    job = START(loop_fs_watch(NULL, env->cwd, "dir", on_event, NULL));
    WAIT_UNTIL(watched.begun == 1);
    put("dir/file", "text");
    WAIT_UNTIL(watched.events == 3);
    CHECK_TEXT(trace_text(), "created file\nwritten file\nfinished file\n");
    CHECK_IS(rename("dir/file", "dir/other"), 0);
    WAIT_UNTIL(watched.events == 5);
    CHECK(watched.cookie != 0);
    CHECK_IS(rename("dir/other", "away"), 0);
    CHECK_IS(mkdir("dir/sub", 0755), 0);
    CHECK_IS(chmod("dir/sub", 0700), 0);
    CHECK_IS(rmdir("dir/sub"), 0);
    WAIT_UNTIL(watched.events == 9);
    CHECK_TEXT(trace_text(), "created file\nwritten file\nfinished file\nmoved from file\nmoved to other\n"
                             "moved from other\ncreated sub/\nchanged sub/\ndeleted sub/\n");
    CHECK_IS(rename("dir", "renamed"), 0);
    put("renamed/again", "");
    WAIT_UNTIL(watched.events == 11);
    CHECK_IS(watched.ends, 0);
    CHECK_IS(unlink("renamed/again"), 0);
    CHECK_IS(rmdir("renamed"), 0);
    WAIT_UNTIL(watched.ends == 1);
    CHECK_IS(watched.end, 0);
    CHECK(!loop_job_is_alive(env->loop, job));
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_watch_ends_when_cancelled)
{
    static const char *directory;
    static loop_job job;

    BEGIN;
    directory = enter_directory();
    job = START(loop_fs_watch(NULL, env->cwd, ".", on_event, NULL));
    CHECK_IS(loop_cancel(env->loop, job), 0); /* before it has begun */
    WAIT_UNTIL(watched.ends == 1);
    CHECK_IS(watched.end, -ECANCELED);
    job = START(loop_fs_watch(NULL, env->cwd, ".", on_event, NULL));
    WAIT_UNTIL(watched.begun == 1);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    WAIT_UNTIL(watched.ends == 2);
    CHECK_IS(watched.end, -ECANCELED);
    START(loop_fs_watch(NULL, env->cwd, "nothing", on_event, NULL));
    WAIT_UNTIL(watched.ends == 3);
    CHECK_IS(watched.end, -ENOENT);
    START(loop_fs_watch(NULL, env->cwd, "..", on_event, NULL));
    WAIT_UNTIL(watched.ends == 4);
    CHECK_IS(watched.end, -EXDEV);
    leave_directory(directory);
    END;
}

static loop_job cancelled_inside;

static void cancel_inside(void *env, int64_t result, const struct loop_watch_event *event)
{
    if (event && event->kind == LOOP_WATCH_CREATED) {
        watched.events++;
        CHECK_IS(loop_cancel(((struct loop_env *)env)->loop, cancelled_inside), 0);
    } else if (event && event->kind == LOOP_WATCH_BEGUN) {
        watched.begun++;
    } else if (!event) {
        watched.ends++;
        watched.end = result;
    }
    script_poke();
}

LOOP_TEST(fs_watch_is_cancelled_from_inside)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    cancelled_inside = START(loop_fs_watch(NULL, env->cwd, ".", cancel_inside, env));
    WAIT_UNTIL(watched.begun == 1);
    put("one", "");
    put("two", "");
    WAIT_UNTIL(watched.ends == 1);
    CHECK_IS(watched.end, -ECANCELED);
    CHECK_IS(watched.events, 1);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_watch_tells_of_an_overflow)
{
    static const char *directory;
    static unsigned most, i;
    static int files[2];

    BEGIN;
    directory = enter_directory();
    {
        FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
        CHECK(file && fscanf(file, "%u", &most) == 1);
        fclose(file);
    }
    files[0] = open("one", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    files[1] = open("two", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    START(loop_fs_watch(NULL, env->cwd, ".", on_event, NULL));
    WAIT_UNTIL(watched.begun == 1);
    for (i = 0; i < most + 100; i++) { /* two in turns, or all would be one event */
        CHECK_IS(pwrite(files[i % 2], "x", 1, 0), 1);
    }
    close(files[0]);
    close(files[1]);
    WAIT_UNTIL(watched.overflows > 0);
    loop_scope_cancel(env->scope);
    script.expected = -ECANCELED;
    WAIT_UNTIL(watched.ends == 1);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_watch_can_be_a_daemon)
{
    static const char *directory;
    static loop_job job;

    BEGIN;
    directory = enter_directory();
    job = START(loop_fs_watch(NULL, env->cwd, ".", on_event, NULL));
    WAIT_UNTIL(watched.begun == 1);
    CHECK_IS(loop_daemon(env->loop, job), 0);
    leave_directory(directory);
    END; /* and the loop ends */
}

/* ---- directories as capabilities ---- */

LOOP_TEST(fs_a_directory_is_tied_to_itself)
{
    static const char *directory;
    static struct loop_dir *dir, *narrower;
    static void *data;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    CHECK_IS(mkdir("dir/sub", 0755), 0);
    put("dir/file", "inside");
    put("file", "outside");
    AWAIT(loop_fs_open_dir(NULL, env->fs, "dir", &dir, GO));
    CHECK_IS(result, 0);
    CHECK(dir->is_confined);
    CHECK_IS(fcntl(loop_fd_peek(dir->fd), F_GETFD), FD_CLOEXEC);
    CHECK_IS(rename("dir", "renamed"), 0);
    CHECK_IS(chdir("/"), 0);
    AWAIT(loop_fs_load(NULL, dir, "file", 0, &data, GO));
    CHECK_IS(result, 6);
    CHECK_TEXT(data, "inside");
    free(data);
    AWAIT(loop_fs_load(NULL, dir, "sub/../file", 0, &data, GO));
    CHECK_IS(result, 6);
    free(data);
    AWAIT(loop_fs_open_dir(NULL, dir, "sub", &narrower, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_load(NULL, narrower, "../file", 0, &data, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(loop_fs_open_dir(NULL, dir, "file", &narrower, GO));
    CHECK_IS(result, -ENOTDIR);
    CHECK_IS(loop_fd_close(dir->fd), 0);
    AWAIT(loop_fs_load(NULL, dir, "file", 0, &data, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_fs_stat(NULL, narrower, "../x", true, &(struct loop_fs_status){.mode = 0}, GO));
    CHECK_IS(result, -EXDEV);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_cwd_is_the_current_directory_of_the_moment)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    put("dir/file", "");
    AWAIT(loop_fs_kind(NULL, env->cwd, "file", true, GO));
    CHECK_IS(result, LOOP_KIND_NONE);
    CHECK_IS(chdir("dir"), 0);
    AWAIT(loop_fs_kind(NULL, env->cwd, "file", true, GO));
    CHECK_IS(result, LOOP_KIND_REGULAR);
    AWAIT(loop_fs_kind(NULL, env->cwd, "../dir/file", true, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(loop_fs_kind(NULL, env->fs, "../dir/file", true, GO));
    CHECK_IS(result, LOOP_KIND_REGULAR);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_a_directory_closes_with_its_scope)
{
    static struct loop_scope *scope;
    static struct loop_dir *dir;
    static struct once end;
    static int number;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    loop_scope_hold(scope);
    AWAIT(loop_fs_open_dir(scope, env->fs, "/tmp", &dir, GO));
    CHECK_IS(result, 0);
    CHECK(dir->scope == scope);
    number = loop_fd_peek(dir->fd);
    CHECK(is_open(number));
    loop_scope_unhold(scope);
    WAIT_UNTIL(end.count);
    CHECK(!is_open(number));
    END;
}

/* ---- jobs ---- */

LOOP_TEST(p02_fs_errors_without_a_continuation_fail_the_scope)
{
    static struct loop_scope *scope;
    static struct once end;
    static struct loop_fs_status stat;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    CHECK(loop_fs_stat(scope, env->fs, "/no/such/thing", true, &stat, NULL, NULL) != 0);
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
    AWAIT(loop_fs_stat(NULL, env->cwd, ".", true, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_statfs(NULL, env->cwd, ".", NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_realpath(NULL, env->cwd, ".", NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_load(NULL, env->cwd, ".", 0, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_read_dir(NULL, env->cwd, ".", false, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_list(NULL, env->cwd, ".", false, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_open_dir(NULL, env->cwd, ".", NULL, GO));
    CHECK_IS(result, -EINVAL);
    CHECK(loop_fs_watch(NULL, env->cwd, ".", NULL, NULL) == 0);
    END;
}

/* Whatever has been looked up lately needs no thread, where the kernel has openat2 and the disk is a local one. */
LOOP_TEST(fs_what_is_cached_needs_no_thread)
{
    static const char *directory;
    static struct loop_flow *flow;
    static struct loop_fs_status stat;
    static struct loop_stats stats;
    static struct statfs fs;

    BEGIN;
    directory = enter_directory();
    put("file", "text");
    AWAIT(loop_fs_stat(NULL, env->cwd, "file", true, &stat, GO));
    CHECK_IS(stat.size_bytes, 4);
    AWAIT(loop_fs_open(NULL, env->cwd, "file", NULL, &flow, GO));
    CHECK_IS(result, 0);
    CHECK(!(fcntl(loop_fd_peek(flow->fd), F_GETFL) & O_NONBLOCK));
    AWAIT(loop_fs_kind(NULL, env->cwd, "./file", true, GO));
    CHECK_IS(result, LOOP_KIND_REGULAR);
    loop_get_stats(env->loop, &stats);
    CHECK_IS(statfs(".", &fs), 0);
    if (fs.f_type == EXT4_SUPER_MAGIC && has_openat2()) {
        CHECK_IS(stats.pool_threads_now, 0);
    }
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_nothing_starts_in_a_cancelled_scope)
{
    static struct loop_scope *scope;
    static struct once stat_end, bad_end, end, read_end;
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
    START(loop_fs_stat(scope, env->fs, "/tmp", true, &stat, ONCE(&stat_end)));
    START(loop_fs_stat(scope, env->fs, NULL, true, &stat, ONCE(&bad_end)));
    iov = (struct iovec){&byte, 1};
    START(loop_file_pread(scope, flow->fd, &iov, 1, 0, ONCE(&read_end)));
    START(loop_fs_watch(scope, env->fs, "/tmp", on_event, NULL));
    WAIT_UNTIL(stat_end.count && bad_end.count && read_end.count && watched.ends);
    CHECK_IS(stat_end.result, -ECANCELED);
    CHECK_IS(bad_end.result, -ECANCELED);
    CHECK_IS(read_end.result, -ECANCELED);
    CHECK_IS(watched.end, -ECANCELED);
    loop_scope_unhold(scope);
    WAIT_UNTIL(end.count);
    END;
}
