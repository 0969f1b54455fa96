/* SPDX-License-Identifier: ISC
 *
 * loop_op_statx and loop_op_fsync: paths and descriptors, and their errors.
 */
#include "descriptors.h"
#include "show.h"

#include <loop/part.h>

#include <sys/stat.h>

/* ---- statx, fsync ---- */

LOOP_TEST(statx_of_paths_and_descriptors)
{
    static struct statx status;
    static struct loop_fd *file, *directory;

    BEGIN;
    file = adopt(env->scope, make_file("12345", 5));
    directory = adopt(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    AWAIT(loop_op_statx(env->scope, file, "", AT_EMPTY_PATH, STATX_SIZE, &status, GO));
    CHECK_IS(result, 0);
    CHECK_IS(status.stx_size, 5);
    AWAIT(loop_op_statx(env->scope, NULL, "/tmp", 0, STATX_TYPE, &status, GO));
    CHECK_IS(result, 0);
    CHECK(S_ISDIR(status.stx_mode));
    AWAIT(loop_op_statx(env->scope, directory, ".", 0, STATX_TYPE, &status, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_statx(env->scope, directory, "no such file here", 0, STATX_TYPE, &status, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_op_statx(env->scope, file, "beneath a file", 0, STATX_TYPE, &status, GO));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(loop_op_statx(env->scope, NULL, "/tmp", 1 << 30, STATX_TYPE, &status, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

LOOP_TEST(fsync_of_files_and_others)
{
    static struct loop_fd *file, *socket;
    static struct loop_flow *flows[2];

    BEGIN;
    make_flows(env->scope, flows);
    file = adopt(env->scope, make_file("x", 1));
    socket = flows[0]->fd;
    AWAIT(loop_op_fsync(NULL, file, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_fsync(NULL, file, LOOP_OP_DATA_ONLY, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_fsync(NULL, socket, 0, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

/* ---- paths ---- */

static loop_job look_at(struct loop_env *env, struct loop_fd *dir, const char *path, int flags, struct statx *status,
                        loop_fn *fn, void *arg)
{
    return loop_op_statx(env->scope, dir, path, flags, STATX_BASIC_STATS, status, fn, arg);
}

LOOP_TEST(statx_of_paths_and_of_a_descriptor_itself)
{
    static struct loop_fd *dir, *file, *pipe[2];
    static struct statx status;

    BEGIN;
    close(open(in_directory("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0640));
    CHECK_IS(symlink("file", in_directory("link")), 0);
    dir = adopt(env->scope, open(in_directory(""), O_PATH | O_DIRECTORY | O_CLOEXEC));
    file = open_file(env->scope, "0123456789");
    open_pipe(env->scope, pipe);
    AWAIT(look_at(env, dir, "file", 0, &status, GO));
    CHECK_IS(result, 0);
    CHECK_IS(status.stx_mode, S_IFREG | 0640);
    AWAIT(look_at(env, NULL, in_directory("link"), AT_SYMLINK_NOFOLLOW, &status, GO));
    CHECK_IS(result, 0);
    CHECK_IS(status.stx_mode & S_IFMT, S_IFLNK);
    AWAIT(look_at(env, file, "", AT_EMPTY_PATH, &status, GO));
    CHECK_IS(result, 0);
    CHECK_IS(status.stx_size, 10);
    AWAIT(look_at(env, pipe[0], "", AT_EMPTY_PATH, &status, GO));
    CHECK_IS(result, 0);
    CHECK_IS(status.stx_mode & S_IFMT, S_IFIFO);
    remove_directory(in_directory(""));
    END;
}

LOOP_TEST(statx_says_what_the_system_call_says)
{
    static struct loop_fd *dir;
    static struct statx status;

    BEGIN;
    dir = adopt(env->scope, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    AWAIT(look_at(env, NULL, "/nobody/made/this", 0, &status, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(look_at(env, dir, "", 0, &status, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(look_at(env, dir, "etc", 1 << 30, &status, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_statx(env->scope, dir, "etc", 0, UINT32_C(1) << 31 /* STATX__RESERVED */, &status, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(look_at(env, dir, NULL, 0, &status, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(look_at(env, dir, "etc", 0, NULL, GO));
    CHECK_IS(result, -EINVAL);
    loop_fd_close(dir);
    AWAIT(look_at(env, dir, "etc", 0, &status, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(look_at(env, dir, "", AT_EMPTY_PATH, &status, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(look_at(env, dir, "/etc", 0, &status, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(fsync_of_files_and_of_what_is_none)
{
    static struct loop_fd *file, *pipe[2], *pair[2];

    BEGIN;
    file = open_file(env->scope, "0123456789");
    open_pipe(env->scope, pipe);
    open_pair(env->scope, pair);
    AWAIT(loop_op_write(env->scope, file, "x", 1, 0, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_fsync(env->scope, file, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_fsync(env->scope, file, LOOP_OP_DATA_ONLY, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_fsync(env->scope, file, LOOP_OP_DATA_ONLY | 1u << 1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_fsync(env->scope, pipe[0], 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_fsync(env->scope, pair[0], LOOP_OP_DATA_ONLY, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

/* ---- files and paths ---- */

static const char statx_text[] = "statx of a missing file: ENOENT\n"
                                 "statx of nothing: ENOENT\n"
                                 "statx of a file: 0\n"
                                 "size 21, type 100000\n"
                                 "statx of a link: 0\n"
                                 "type 120000\n"
                                 "statx of a descriptor: 0\n"
                                 "size 21\n"
                                 "statx of a directory: 0\n"
                                 "type 40000\n"
                                 "statx of an absolute path: 0\n"
                                 "type 20000\n"
                                 "statx of a missing absolute path: ENOENT\n";

LOOP_TEST(p17_statx)
{
    static struct loop_fd *dir, *file;

    BEGIN;
    dir = make_paths(env->scope);
    file = adopt(env->scope, open(path_of("file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    CHECK_IS(ftruncate(loop_fd_peek(file), 21), 0);
    SHOW("statx of a missing file", loop_op_statx(env->scope, dir, "missing", 0, STATX_SIZE, &shown_status, GO));
    SHOW("statx of nothing", loop_op_statx(env->scope, dir, "", 0, STATX_SIZE, &shown_status, GO));
    SHOW("statx of a file", loop_op_statx(env->scope, dir, "file", 0, STATX_SIZE | STATX_TYPE, &shown_status, GO));
    trace("size %llu, type %o", (unsigned long long)shown_status.stx_size, shown_status.stx_mode & S_IFMT);
    SHOW("statx of a link", loop_op_statx(env->scope, dir, "link", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &shown_status, GO));
    trace("type %o", shown_status.stx_mode & S_IFMT);
    SHOW("statx of a descriptor", loop_op_statx(env->scope, file, "", AT_EMPTY_PATH, STATX_SIZE, &shown_status, GO));
    trace("size %llu", (unsigned long long)shown_status.stx_size);
    SHOW("statx of a directory", loop_op_statx(env->scope, dir, "", AT_EMPTY_PATH, STATX_TYPE, &shown_status, GO));
    trace("type %o", shown_status.stx_mode & S_IFMT);
    SHOW("statx of an absolute path", loop_op_statx(env->scope, NULL, "/dev/null", 0, STATX_TYPE, &shown_status, GO));
    trace("type %o", shown_status.stx_mode & S_IFMT);
    SHOW("statx of a missing absolute path",
         loop_op_statx(env->scope, dir, "/missing", 0, STATX_TYPE, &shown_status, GO));
    remove_directory(shown_directory);
    CHECK_TEXT(trace_text(), statx_text);
    END;
}
