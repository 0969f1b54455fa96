/* SPDX-License-Identifier: ISC
 *
 * loop_fs_open: created files, flags, and temporary files.
 */
#include "big.h"
#include "directory.h"

#include <linux/openat2.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>

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
    options = (struct loop_open_options){.access = LOOP_ACCESS_WRITE, .append = true};
    AWAIT(loop_fs_open_stat(NULL, env->cwd, "log", &options, &flow, NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_open_stat(NULL, env->cwd, "log", &options, &flow, &stat, GO));
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

/* ---- closing ---- */

LOOP_TEST(p06_fs_a_file_closes_with_a_read_in_flight)
{
    static const char *directory;
    static struct loop_flow *flow;
    static struct iovec iov[100];
    static struct once read_end, write_end, stat_end, late;
    static struct loop_fs_status stat;
    static int number;

    BEGIN;
    directory = enter_directory();
    make_big();
    put_bytes("file", big, BIG);
    AWAIT(
        loop_fs_open(NULL, env->cwd, "file", &(struct loop_open_options){.access = LOOP_ACCESS_READ_WRITE}, &flow, GO));
    number = loop_fd_peek(flow->fd);
    for (size_t i = 0; i < COUNT_OF(iov); i++) {
        iov[i] = (struct iovec){big + i * 10000, 10000};
    }
    START(loop_file_pread(NULL, flow->fd, iov, 50, 0, ONCE(&read_end)));
    START(loop_file_pwrite(NULL, flow->fd, iov + 50, 50, 0, ONCE(&write_end)));
    START(loop_file_stat(NULL, flow->fd, &stat, ONCE(&stat_end)));
    CHECK_IS(loop_flow_close(flow), 0);
    START(loop_file_pread(NULL, flow->fd, iov, 50, 0, ONCE(&late)));
    WAIT_UNTIL(read_end.count && write_end.count && stat_end.count && late.count);
    CHECK(read_end.result == -ECANCELED || (read_end.result > 0 && read_end.result <= 500000));
    CHECK(write_end.result == -ECANCELED || (write_end.result > 0 && write_end.result <= 500000));
    CHECK(stat_end.result == -ECANCELED || stat_end.result == 0);
    CHECK_IS(late.result, -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(!is_open(number));
    free(big);
    leave_directory(directory);
    END;
}
