/* SPDX-License-Identifier: ISC
 *
 * One behaviour (P17): programs whose results are written down line by line and compared with a text that is the same
 * on every backend and in every hard mode. Only what is promised is written: results, and the order of what happens to
 * one object.
 */
#include "harness.h"

#include <loop/part.h>

#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <linux/openat2.h>

static void show(const char *what, int64_t result)
{
    const char *name = result < 0 ? strerrorname_np((int)-result) : NULL;

    if (name) {
        trace("%s: %s", what, name);
    } else {
        trace("%s: %lld", what, (long long)result);
    }
}

/* Awaits the job and writes down its result. */
#define SHOW(what, job)                                                                                                \
    do {                                                                                                               \
        AWAIT(job);                                                                                                    \
        show(what, result);                                                                                            \
    } while (0)

/* A job that can't end by itself, how loop_cancel answers to the first call and the second, and what it ends with. */
#define SHOW_CANCELLED(what, job)                                                                                      \
    do {                                                                                                               \
        script_await(__LINE__);                                                                                        \
        cancel_twice(what, script_started(job));                                                                       \
        return;                                                                                                        \
    case __LINE__: show(what, result);                                                                                 \
    } while (0)

static void cancel_twice(const char *what, loop_job job)
{
    script.starting++; /* nothing is resumed from inside a cancel */
    int first = loop_cancel(script.env->loop, job), second = loop_cancel(script.env->loop, job);
    script.starting--;
    trace("%s: loop_cancel says %d, then %d", what, first, second);
}

/* Results of jobs that a program doesn't wait for in turn: written when all have come. */
struct slot {
    unsigned count;
    int64_t result;
};
static unsigned slots_filled;

static void fill_slot(void *arg, int64_t result)
{
    struct slot *slot = arg;

    CHECK_IS(script.starting, 0);
    CHECK_IS(slot->count, 0);
    slot->count++;
    slot->result = result;
    slots_filled++;
    script_poke();
}
#define SLOT(slot) fill_slot, (slot)

static void stream_end(void *unused, int64_t result, struct loop_chunk *chunk)
{
    if (!chunk) {
        script_go(unused, result);
    }
}

static void receive_end(void *unused, int64_t result, void *data)
{
    CHECK(!data);
    script_go(unused, result);
}

#define STREAM_END stream_end, NULL
#define RECEIVE_END receive_end, NULL

static char buffer[4096];
static const char *directory;

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static struct iovec one_byte = {buffer, 1};
static struct loop_message one_message = {.iov = &one_byte, .n_iov = 1};
static struct statx status;

static const struct loop_open_how reading = {.flags = O_RDONLY};
static const struct loop_open_how writing = {.flags = O_WRONLY};

/* ---- what has been closed ---- */

static const char closed_text[] = "loop_read: EBADF\n"
                                  "loop_read_exact: EBADF\n"
                                  "loop_stream: EBADF\n"
                                  "loop_write: EBADF\n"
                                  "loop_writev: EBADF\n"
                                  "loop_shutdown: EBADF\n"
                                  "loop_sink_wait_drained: EBADF\n"
                                  "loop_copy from: EBADF\n"
                                  "loop_copy to: EBADF\n"
                                  "loop_poll: EBADF\n"
                                  "loop_fd_take: EBADF\n"
                                  "loop_op_read: EBADF\n"
                                  "loop_op_readv: EBADF\n"
                                  "loop_op_write: EBADF\n"
                                  "loop_op_writev: EBADF\n"
                                  "loop_op_poll_add: EBADF\n"
                                  "loop_op_poll_multishot: EBADF\n"
                                  "loop_op_splice from: EBADF\n"
                                  "loop_op_splice to: EBADF\n"
                                  "loop_op_connect: EBADF\n"
                                  "loop_op_accept: EBADF\n"
                                  "loop_op_accept_multishot: EBADF\n"
                                  "loop_op_recv: EBADF\n"
                                  "loop_op_send: EBADF\n"
                                  "loop_op_recv_msg: EBADF\n"
                                  "loop_op_send_msg: EBADF\n"
                                  "loop_op_recv_multishot: EBADF\n"
                                  "loop_op_shutdown: EBADF\n"
                                  "loop_op_close: EBADF\n"
                                  "loop_op_fsync: EBADF\n"
                                  "loop_op_statx: EBADF\n"
                                  "loop_op_statx of itself: EBADF\n"
                                  "loop_op_openat2: EBADF\n";

LOOP_TEST(p17_closed_descriptors)
{
    static struct loop_flow *flows[2];
    static struct loop_fd *fd, *pipe_ends[2];
    static struct sockaddr_in address = {.sin_family = AF_INET};
    static struct loop_open_how in_closed;
    static int fds[2];

    BEGIN;
    make_flows(env->scope, flows);
    make_pipe(fds);
    pipe_ends[0] = adopt(env->scope, fds[0]);
    pipe_ends[1] = adopt(env->scope, fds[1]);
    fd = flows[0]->fd;
    loop_fd_close(fd);
    SHOW("loop_read", loop_read(&flows[0]->source, buffer, 1, GO));
    SHOW("loop_read_exact", loop_read_exact(&flows[0]->source, buffer, 1, GO));
    SHOW("loop_stream", loop_stream(&flows[0]->source, STREAM_END));
    SHOW("loop_write", loop_write(&flows[0]->sink, buffer, 1, GO));
    SHOW("loop_writev", loop_writev(&flows[0]->sink, &one_byte, 1, GO));
    SHOW("loop_shutdown", loop_shutdown(&flows[0]->sink, GO));
    SHOW("loop_sink_wait_drained", loop_sink_wait_drained(&flows[0]->sink, GO));
    SHOW("loop_copy from", loop_copy(&flows[0]->source, &flows[1]->sink, GO));
    SHOW("loop_copy to", loop_copy(&flows[1]->source, &flows[0]->sink, GO));
    SHOW("loop_poll", loop_poll(fd, POLLIN, GO));
    SHOW("loop_fd_take", loop_fd_take(fd, GO));
    SHOW("loop_op_read", loop_op_read(NULL, fd, buffer, 1, LOOP_CURRENT, GO));
    SHOW("loop_op_readv", loop_op_readv(NULL, fd, &one_byte, 1, LOOP_CURRENT, GO));
    SHOW("loop_op_write", loop_op_write(NULL, fd, buffer, 1, LOOP_CURRENT, GO));
    SHOW("loop_op_writev", loop_op_writev(NULL, fd, &one_byte, 1, LOOP_CURRENT, GO));
    SHOW("loop_op_poll_add", loop_op_poll_add(NULL, fd, POLLIN, GO));
    SHOW("loop_op_poll_multishot", loop_op_poll_multishot(NULL, fd, GO));
    SHOW("loop_op_splice from", loop_op_splice(NULL, fd, LOOP_CURRENT, pipe_ends[1], LOOP_CURRENT, 1, GO));
    SHOW("loop_op_splice to", loop_op_splice(NULL, pipe_ends[0], LOOP_CURRENT, fd, LOOP_CURRENT, 1, GO));
    SHOW("loop_op_connect", loop_op_connect(NULL, fd, (struct sockaddr *)&address, sizeof address, GO));
    SHOW("loop_op_accept", loop_op_accept(NULL, fd, NULL, NULL, GO));
    SHOW("loop_op_accept_multishot", loop_op_accept_multishot(NULL, fd, GO));
    SHOW("loop_op_recv", loop_op_recv(NULL, fd, buffer, 1, 0, GO));
    SHOW("loop_op_send", loop_op_send(NULL, fd, buffer, 1, 0, GO));
    SHOW("loop_op_recv_msg", loop_op_recv_msg(NULL, fd, &one_message, GO));
    SHOW("loop_op_send_msg", loop_op_send_msg(NULL, fd, &one_message, GO));
    SHOW("loop_op_recv_multishot",
         loop_op_recv_multishot(NULL, fd, loop_buffers_create(env->scope, 1, 64), RECEIVE_END));
    SHOW("loop_op_shutdown", loop_op_shutdown(NULL, fd, SHUT_WR, GO));
    SHOW("loop_op_close", loop_op_close(env->scope, fd, GO));
    SHOW("loop_op_fsync", loop_op_fsync(NULL, fd, 0, GO));
    SHOW("loop_op_statx", loop_op_statx(env->scope, fd, "name", 0, STATX_SIZE, &status, GO));
    SHOW("loop_op_statx of itself", loop_op_statx(env->scope, fd, "", AT_EMPTY_PATH, STATX_SIZE, &status, GO));
    in_closed = reading;
    in_closed.dir = fd;
    SHOW("loop_op_openat2", loop_op_openat2(env->scope, "name", &in_closed, GO));
    /* It need not be open for this. */
    AWAIT(loop_op_openat2(env->scope, "/tmp", &in_closed, GO));
    CHECK(result >= 0);
    close((int)result);
    CHECK_TEXT(trace_text(), closed_text);
    END;
}

/* ---- bad arguments ---- */

static const char bad_text[] = "loop_read of nothing: EINVAL\n"
                               "loop_read_exact of nothing: EINVAL\n"
                               "loop_write of nothing: 0\n"
                               "loop_writev of nothing: 0\n"
                               "loop_op_write of nothing: 0\n"
                               "loop_op_read of nothing: 0\n"
                               "loop_op_readv of nothing: 0\n"
                               "loop_op_readv of 1025: EINVAL\n"
                               "loop_op_writev of 1025: EINVAL\n"
                               "loop_op_read at -2: EINVAL\n"
                               "loop_op_write at -5: EINVAL\n"
                               "loop_op_read to nowhere: EINVAL\n"
                               "loop_op_write from nowhere: EINVAL\n"
                               "loop_op_recv to nowhere: EINVAL\n"
                               "loop_op_send from nowhere: EINVAL\n"
                               "loop_op_read_fixed beyond: EFAULT\n"
                               "loop_op_write_fixed beyond: EFAULT\n"
                               "loop_op_read_chunk beyond: EINVAL\n"
                               "loop_op_write_chunk beyond: EINVAL\n"
                               "loop_write_chunk beyond: EINVAL\n"
                               "loop_poll for nothing: EINVAL\n"
                               "loop_op_splice of no pipe: EINVAL\n"
                               "loop_op_splice with an offset in a pipe: ESPIPE\n"
                               "loop_op_shutdown in no direction: EINVAL\n"
                               "loop_op_statx with bad flags: EINVAL\n"
                               "loop_op_openat2 with a bad resolve: EINVAL\n"
                               "loop_signal 0: EINVAL\n"
                               "loop_signal SIGKILL: EINVAL\n"
                               "loop_signal SIGPIPE: EINVAL\n"
                               "loop_signal 1000: EINVAL\n"
                               "loop_signal -1: EINVAL\n";

LOOP_TEST(p17_bad_arguments)
{
    static struct loop_flow *flows[2];
    static struct loop_fd *file, *pipe_ends[2];
    static struct iovec many[1025];
    static struct loop_chunk *chunk;
    static struct loop_open_how how;
    static int fds[2];

    BEGIN;
    make_flows(env->scope, flows);
    make_pipe(fds);
    pipe_ends[0] = adopt(env->scope, fds[0]);
    pipe_ends[1] = adopt(env->scope, fds[1]);
    file = adopt(env->scope, make_file("file", 4));
    SHOW("loop_read of nothing", loop_read(&flows[0]->source, buffer, 0, GO));
    SHOW("loop_read_exact of nothing", loop_read_exact(&flows[0]->source, buffer, 0, GO));
    SHOW("loop_write of nothing", loop_write(&flows[0]->sink, buffer, 0, GO));
    SHOW("loop_writev of nothing", loop_writev(&flows[0]->sink, NULL, 0, GO));
    SHOW("loop_op_write of nothing", loop_op_write(NULL, file, buffer, 0, 0, GO));
    SHOW("loop_op_read of nothing", loop_op_read(NULL, file, buffer, 0, 0, GO));
    SHOW("loop_op_readv of nothing", loop_op_readv(NULL, file, many, 0, 0, GO));
    SHOW("loop_op_readv of 1025", loop_op_readv(NULL, file, many, 1025, 0, GO));
    SHOW("loop_op_writev of 1025", loop_op_writev(NULL, file, many, 1025, 0, GO));
    SHOW("loop_op_read at -2", loop_op_read(NULL, file, buffer, 1, -2, GO));
    SHOW("loop_op_write at -5", loop_op_write(NULL, file, buffer, 1, -5, GO));
    SHOW("loop_op_read to nowhere", loop_op_read(NULL, file, NULL, 1, 0, GO));
    SHOW("loop_op_write from nowhere", loop_op_write(NULL, file, NULL, 1, 0, GO));
    SHOW("loop_op_recv to nowhere", loop_op_recv(NULL, flows[1]->fd, NULL, 1, MSG_DONTWAIT, GO));
    SHOW("loop_op_send from nowhere", loop_op_send(NULL, flows[1]->fd, NULL, 1, 0, GO));
    SHOW("loop_op_read_fixed beyond", loop_op_read_fixed(NULL, file, SIZE_MAX, 1, 0, GO));
    SHOW("loop_op_write_fixed beyond", loop_op_write_fixed(NULL, file, 0, SIZE_MAX, 0, GO));
    chunk = loop_chunk_alloc(env->loop);
    SHOW("loop_op_read_chunk beyond", loop_op_read_chunk(NULL, file, chunk, loop_chunk_length(chunk) + 1, 0, GO));
    SHOW("loop_op_write_chunk beyond", loop_op_write_chunk(NULL, file, chunk, loop_chunk_length(chunk) + 1, 0, GO));
    SHOW("loop_write_chunk beyond", loop_write_chunk(&flows[0]->sink, chunk, loop_chunk_length(chunk) + 1, GO));
    SHOW("loop_poll for nothing", loop_poll(file, 0, GO));
    SHOW("loop_op_splice of no pipe", loop_op_splice(NULL, file, 0, flows[0]->fd, LOOP_CURRENT, 1, GO));
    SHOW("loop_op_splice with an offset in a pipe", loop_op_splice(NULL, file, 0, pipe_ends[1], 5, 1, GO));
    SHOW("loop_op_shutdown in no direction", loop_op_shutdown(NULL, flows[0]->fd, 77, GO));
    SHOW("loop_op_statx with bad flags", loop_op_statx(env->scope, NULL, "/tmp", 1 << 30, STATX_SIZE, &status, GO));
    how.flags = O_RDONLY;
    how.resolve = 1 << 20;
    SHOW("loop_op_openat2 with a bad resolve", loop_op_openat2(env->scope, "/tmp", &how, GO));
    SHOW("loop_signal 0", loop_signal(env->scope, 0, GO));
    SHOW("loop_signal SIGKILL", loop_signal(env->scope, SIGKILL, GO));
    SHOW("loop_signal SIGPIPE", loop_signal(env->scope, SIGPIPE, GO));
    SHOW("loop_signal 1000", loop_signal(env->scope, 1000, GO));
    SHOW("loop_signal -1", loop_signal(env->scope, -1, GO));
    CHECK_TEXT(trace_text(), bad_text);
    END;
}

/* ---- descriptors of the wrong kind ---- */

static const char wrong_text[] = "read of a directory: EISDIR\n"
                                 "exact read of a directory: EISDIR\n"
                                 "stream of a directory: EISDIR\n"
                                 "copy of a directory: EISDIR\n"
                                 "op_read of a directory: EISDIR\n"
                                 "write to a directory: EBADF\n"
                                 "op_write to a directory: EBADF\n"
                                 "write to what is open for reading: EBADF\n"
                                 "op_write to what is open for reading: EBADF\n"
                                 "read from what is open for writing: EBADF\n"
                                 "op_read from what is open for writing: EBADF\n"
                                 "read from the wrong end of a pipe: EBADF\n"
                                 "write to the wrong end of a pipe: EBADF\n"
                                 "op_read of a pipe at an offset: ESPIPE\n"
                                 "op_write of a pipe at an offset: ESPIPE\n"
                                 "op_read of a socket at an offset: ESPIPE\n"
                                 "op_write of a socket at an offset: ESPIPE\n"
                                 "fsync of a pipe: EINVAL\n"
                                 "fsync of a socket: EINVAL\n"
                                 "fsync of a directory: 0\n"
                                 "recv of a pipe: ENOTSOCK\n"
                                 "send to a file: ENOTSOCK\n"
                                 "recv_msg of a file: ENOTSOCK\n"
                                 "send_msg to a pipe: ENOTSOCK\n"
                                 "recv_multishot of a file: ENOTSOCK\n"
                                 "accept on a file: ENOTSOCK\n"
                                 "accept on a connection: EINVAL\n"
                                 "accept_multishot on a connection: EINVAL\n"
                                 "accept_multishot on a pipe: ENOTSOCK\n"
                                 "connect of a file: ENOTSOCK\n"
                                 "shutdown of a file: ENOTSOCK\n"
                                 "shutdown of what isn't connected: ENOTCONN\n"
                                 "recv of what isn't connected: ENOTCONN\n"
                                 "send to what isn't connected: EPIPE\n"
                                 "accept on what doesn't listen: EINVAL\n"
                                 "loop_read of what isn't connected: ENOTCONN\n"
                                 "loop_write to what isn't connected: EPIPE\n"
                                 "splice from a directory: EINVAL\n"
                                 "openat2 beneath a file: ENOTDIR\n"
                                 "statx beneath a file: ENOTDIR\n";

LOOP_TEST(p17_descriptors_of_the_wrong_kind)
{
    static struct loop_flow *flows[2], *dir, *file, *ends[2], *write_only, *read_only, *lonely;
    static struct sockaddr_in address = {.sin_family = AF_INET};
    static int fds[2];

    BEGIN;
    make_flows(env->scope, flows);
    make_pipe(fds);
    ends[0] = flow_of(env->scope, fds[0]);
    ends[1] = flow_of(env->scope, fds[1]);
    file = flow_of(env->scope, make_file("file", 4));
    dir = flow_of(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY));
    read_only = flow_of(env->scope, open("/dev/null", O_RDONLY));
    write_only = flow_of(env->scope, open("/dev/null", O_WRONLY));
    lonely = flow_of(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    SHOW("read of a directory", loop_read(&dir->source, buffer, 1, GO));
    SHOW("exact read of a directory", loop_read_exact(&dir->source, buffer, 1, GO));
    SHOW("stream of a directory", loop_stream(&dir->source, STREAM_END));
    SHOW("copy of a directory", loop_copy(&dir->source, loop_null_sink(env->scope), GO));
    SHOW("op_read of a directory", loop_op_read(NULL, dir->fd, buffer, 1, 0, GO));
    SHOW("write to a directory", loop_write(&dir->sink, "x", 1, GO));
    SHOW("op_write to a directory", loop_op_write(NULL, dir->fd, "x", 1, 0, GO));
    SHOW("write to what is open for reading", loop_write(&read_only->sink, "x", 1, GO));
    SHOW("op_write to what is open for reading", loop_op_write(NULL, read_only->fd, "x", 1, LOOP_CURRENT, GO));
    SHOW("read from what is open for writing", loop_read(&write_only->source, buffer, 1, GO));
    SHOW("op_read from what is open for writing", loop_op_read(NULL, write_only->fd, buffer, 1, LOOP_CURRENT, GO));
    SHOW("read from the wrong end of a pipe", loop_read(&ends[1]->source, buffer, 1, GO));
    SHOW("write to the wrong end of a pipe", loop_write(&ends[0]->sink, "x", 1, GO));
    SHOW("op_read of a pipe at an offset", loop_op_read(NULL, ends[0]->fd, buffer, 1, 0, GO));
    SHOW("op_write of a pipe at an offset", loop_op_write(NULL, ends[1]->fd, "x", 1, 7, GO));
    SHOW("op_read of a socket at an offset", loop_op_read(NULL, flows[0]->fd, buffer, 1, 0, GO));
    SHOW("op_write of a socket at an offset", loop_op_write(NULL, flows[0]->fd, "x", 1, 0, GO));
    SHOW("fsync of a pipe", loop_op_fsync(NULL, ends[1]->fd, 0, GO));
    SHOW("fsync of a socket", loop_op_fsync(NULL, flows[0]->fd, LOOP_OP_DATA_ONLY, GO));
    SHOW("fsync of a directory", loop_op_fsync(NULL, dir->fd, 0, GO));
    SHOW("recv of a pipe", loop_op_recv(NULL, ends[0]->fd, buffer, 1, 0, GO));
    SHOW("send to a file", loop_op_send(NULL, file->fd, "x", 1, 0, GO));
    SHOW("recv_msg of a file", loop_op_recv_msg(NULL, file->fd, &one_message, GO));
    SHOW("send_msg to a pipe", loop_op_send_msg(NULL, ends[1]->fd, &one_message, GO));
    SHOW("recv_multishot of a file",
         loop_op_recv_multishot(NULL, file->fd, loop_buffers_create(env->scope, 1, 64), RECEIVE_END));
    SHOW("accept on a file", loop_op_accept(NULL, file->fd, NULL, NULL, GO));
    SHOW("accept on a connection", loop_op_accept(NULL, flows[0]->fd, NULL, NULL, GO));
    SHOW("accept_multishot on a connection", loop_op_accept_multishot(NULL, flows[0]->fd, GO));
    SHOW("accept_multishot on a pipe", loop_op_accept_multishot(NULL, ends[0]->fd, GO));
    SHOW("connect of a file", loop_op_connect(NULL, file->fd, (struct sockaddr *)&address, sizeof address, GO));
    SHOW("shutdown of a file", loop_op_shutdown(NULL, file->fd, SHUT_WR, GO));
    SHOW("shutdown of what isn't connected", loop_op_shutdown(NULL, lonely->fd, SHUT_WR, GO));
    SHOW("recv of what isn't connected", loop_op_recv(NULL, lonely->fd, buffer, 1, 0, GO));
    SHOW("send to what isn't connected", loop_op_send(NULL, lonely->fd, "x", 1, 0, GO));
    SHOW("accept on what doesn't listen", loop_op_accept(NULL, lonely->fd, NULL, NULL, GO));
    SHOW("loop_read of what isn't connected", loop_read(&lonely->source, buffer, 1, GO));
    SHOW("loop_write to what isn't connected", loop_write(&lonely->sink, "x", 1, GO));
    SHOW("splice from a directory", loop_op_splice(NULL, dir->fd, 0, ends[1]->fd, LOOP_CURRENT, 1, GO));
    SHOW("openat2 beneath a file",
         loop_op_openat2(env->scope, "name", &(struct loop_open_how){.dir = file->fd, .flags = O_RDONLY}, GO));
    SHOW("statx beneath a file", loop_op_statx(env->scope, file->fd, "name", 0, STATX_SIZE, &status, GO));
    CHECK_TEXT(trace_text(), wrong_text);
    END;
}

/* What splice(2) refuses at once doesn't wait for bytes that can never come. */
LOOP_TEST(p17_splices_that_can_never_be)
{
    static struct loop_fd *ends[2], *file;
    static struct slot slots[3];
    static int fds[2];

    BEGIN;
    make_pipe(fds);
    ends[0] = adopt(env->scope, fds[0]);
    ends[1] = adopt(env->scope, fds[1]);
    file = adopt(env->scope, make_file("file", 4));
    START(loop_op_splice(NULL, ends[0], LOOP_CURRENT, ends[1], LOOP_CURRENT, 1, SLOT(&slots[0])));
    START(loop_op_splice(NULL, ends[1], LOOP_CURRENT, file, 0, 1, SLOT(&slots[1])));
    START(loop_op_splice(NULL, file, 0, ends[0], LOOP_CURRENT, 1, SLOT(&slots[2])));
    AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    for (int i = 0; i < 3; i++) {
        show("splice", slots[i].count ? slots[i].result : 0);
    }
    CHECK_TEXT(trace_text(), "splice: EINVAL\nsplice: EBADF\nsplice: EBADF\n");
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

/* A directory with a file in it and two links, one of which leads out. */
static struct loop_fd *make_paths(struct loop_scope *scope)
{
    directory = make_directory();
    struct loop_fd *dir = adopt(scope, open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    CHECK_IS(symlinkat("file", loop_fd_peek(dir), "link"), 0);
    CHECK_IS(symlinkat("/tmp", loop_fd_peek(dir), "away"), 0);
    return dir;
}

LOOP_TEST(p17_paths)
{
    static struct loop_open_how how;
    static struct loop_fd *dir;
    static char too_long[300];

    BEGIN;
    dir = make_paths(env->scope);
    memset(too_long, 'n', sizeof too_long - 1);
    SHOW("open what is missing", loop_op_openat2(env->scope, path_of("file"), &reading, GO));
    how = (struct loop_open_how){.dir = dir, .flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0600};
    AWAIT(loop_op_openat2(env->scope, "file", &how, GO));
    CHECK(result >= 0);
    CHECK_IS(fcntl((int)result, F_GETFD), FD_CLOEXEC);
    close((int)result);
    SHOW("create what is there", loop_op_openat2(env->scope, "file", &how, GO));
    SHOW("open nothing", loop_op_openat2(env->scope, "", &reading, GO));
    SHOW("open a long name", loop_op_openat2(env->scope, too_long, &reading, GO));
    SHOW("open beneath a file", loop_op_openat2(env->scope, path_of("file/name"), &reading, GO));
    SHOW("open a directory for writing", loop_op_openat2(env->scope, directory, &writing, GO));
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
    remove_directory(directory);
    CHECK_TEXT(trace_text(), paths_text);
    END;
}

static const char files_text[] = "read an empty file: 0\n"
                                 "write: 11\n"
                                 "read at the end: 0\n"
                                 "op_read at 4: 1\n"
                                 "the byte is o\n"
                                 "op_read at the end: 0\n"
                                 "op_read far beyond: 0\n"
                                 "op_write at 5: 1\n"
                                 "fsync: 0\n"
                                 "fdatasync: 0\n"
                                 "exact read of more than there is: 11\n"
                                 "the bytes are hello-world\n"
                                 "stream at the end: 0\n"
                                 "copy at the end: 0\n"
                                 "op_write beyond the end: 1\n"
                                 "copy of what was added: 10\n"
                                 "shutdown of a file's sink: 0\n"
                                 "append: 3\n"
                                 "append more: 1\n"
                                 "exact read of what was appended: 14\n";

LOOP_TEST(p17_files)
{
    static struct loop_flow *file, *again;
    static struct loop_open_how how;
    static struct loop_fd *dir;

    BEGIN;
    dir = make_paths(env->scope);
    how = (struct loop_open_how){.dir = dir, .flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0600};
    AWAIT(loop_op_openat2(env->scope, "file", &how, GO));
    file = flow_of(env->scope, (int)result);
    SHOW("read an empty file", loop_read(&file->source, buffer, 10, GO));
    SHOW("write", loop_write(&file->sink, "hello world", 11, GO));
    SHOW("read at the end", loop_read(&file->source, buffer, 10, GO));
    SHOW("op_read at 4", loop_op_read(NULL, file->fd, buffer, 1, 4, GO));
    trace("the byte is %c", buffer[0]);
    SHOW("op_read at the end", loop_op_read(NULL, file->fd, buffer, 1, 11, GO));
    SHOW("op_read far beyond", loop_op_read(NULL, file->fd, buffer, 1, INT64_C(1) << 40, GO));
    SHOW("op_write at 5", loop_op_write(NULL, file->fd, "-", 1, 5, GO));
    SHOW("fsync", loop_op_fsync(NULL, file->fd, 0, GO));
    SHOW("fdatasync", loop_op_fsync(NULL, file->fd, LOOP_OP_DATA_ONLY, GO));
    AWAIT(loop_op_openat2(env->scope, path_of("link"), &reading, GO));
    again = flow_of(env->scope, (int)result);
    SHOW("exact read of more than there is", loop_read_exact(&again->source, buffer, 100, GO));
    trace("the bytes are %.11s", buffer);
    SHOW("stream at the end", loop_stream(&again->source, STREAM_END));
    SHOW("copy at the end", loop_copy(&again->source, &file->sink, GO));
    SHOW("op_write beyond the end", loop_op_write(NULL, file->fd, "x", 1, 20, GO));
    SHOW("copy of what was added", loop_copy(&again->source, loop_null_sink(env->scope), GO));
    SHOW("shutdown of a file's sink", loop_shutdown(&file->sink, GO));
    how = (struct loop_open_how){.dir = dir, .flags = O_WRONLY | O_APPEND};
    AWAIT(loop_op_openat2(env->scope, "file", &how, GO));
    again = flow_of(env->scope, (int)result);
    SHOW("append", loop_write(&again->sink, "end", 3, GO));
    SHOW("append more", loop_op_write(NULL, again->fd, "!", 1, LOOP_CURRENT, GO));
    SHOW("exact read of what was appended", loop_read_exact(&file->source, buffer, 100, GO));
    remove_directory(directory);
    CHECK_TEXT(trace_text(), files_text);
    END;
}

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
    SHOW("statx of a missing file", loop_op_statx(env->scope, dir, "missing", 0, STATX_SIZE, &status, GO));
    SHOW("statx of nothing", loop_op_statx(env->scope, dir, "", 0, STATX_SIZE, &status, GO));
    SHOW("statx of a file", loop_op_statx(env->scope, dir, "file", 0, STATX_SIZE | STATX_TYPE, &status, GO));
    trace("size %llu, type %o", (unsigned long long)status.stx_size, status.stx_mode & S_IFMT);
    SHOW("statx of a link", loop_op_statx(env->scope, dir, "link", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &status, GO));
    trace("type %o", status.stx_mode & S_IFMT);
    SHOW("statx of a descriptor", loop_op_statx(env->scope, file, "", AT_EMPTY_PATH, STATX_SIZE, &status, GO));
    trace("size %llu", (unsigned long long)status.stx_size);
    SHOW("statx of a directory", loop_op_statx(env->scope, dir, "", AT_EMPTY_PATH, STATX_TYPE, &status, GO));
    trace("type %o", status.stx_mode & S_IFMT);
    SHOW("statx of an absolute path", loop_op_statx(env->scope, NULL, "/dev/null", 0, STATX_TYPE, &status, GO));
    trace("type %o", status.stx_mode & S_IFMT);
    SHOW("statx of a missing absolute path", loop_op_statx(env->scope, dir, "/missing", 0, STATX_TYPE, &status, GO));
    remove_directory(directory);
    CHECK_TEXT(trace_text(), statx_text);
    END;
}

/* ---- pipes and fifos ---- */

static const char fifos_text[] = "open a fifo for writing where nobody reads: ENXIO\n"
                                 "write: 4\n"
                                 "read: 4\n"
                                 "read when the writer has gone: 0\n"
                                 "op_read when the writer has gone: 0\n"
                                 "write when the reader has gone: EPIPE\n"
                                 "write once more: EPIPE\n"
                                 "op_write when the reader has gone: EPIPE\n"
                                 "write to both ends: 4\n"
                                 "read from both ends: 4\n"
                                 "read of an empty fifo: loop_cancel says 0, then -2\n"
                                 "read of an empty fifo: ECANCELED\n"
                                 "write to a pipe: 4\n"
                                 "shutdown of a pipe: 0\n"
                                 "write after the shutdown: EBADF\n"
                                 "shutdown once more: EBADF\n"
                                 "exact read to the end: 4\n"
                                 "read at the end: 0\n"
                                 "splice a byte of a file: 1\n"
                                 "splice at the end of a file: 0\n"
                                 "splice a byte to a file: 1\n"
                                 "read what was spliced: 1\n"
                                 "the byte is b\n"
                                 "splice at the end of a pipe: 0\n";

LOOP_TEST(p17_pipes_and_fifos)
{
    static struct loop_flow *reader, *writer;
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct loop_fd *file;
    static struct loop_open_how both = {.flags = O_RDWR};

    BEGIN;
    directory = make_directory();
    CHECK_IS(mkfifo(path_of("fifo"), 0600), 0);
    SHOW("open a fifo for writing where nobody reads", loop_op_openat2(env->scope, path_of("fifo"), &writing, GO));
    AWAIT(loop_op_openat2(env->scope, path_of("fifo"), &reading, GO));
    reader = flow_of(env->scope, (int)result);
    AWAIT(loop_op_openat2(env->scope, path_of("fifo"), &writing, GO));
    writer = flow_of(env->scope, (int)result);
    SHOW("write", loop_write(&writer->sink, "fifo", 4, GO));
    SHOW("read", loop_read_exact(&reader->source, buffer, 4, GO));
    loop_flow_close(writer);
    SHOW("read when the writer has gone", loop_read(&reader->source, buffer, 4, GO));
    SHOW("op_read when the writer has gone", loop_op_read(NULL, reader->fd, buffer, 1, LOOP_CURRENT, GO));
    AWAIT(loop_op_openat2(env->scope, path_of("fifo"), &writing, GO));
    writer = flow_of(env->scope, (int)result);
    loop_flow_close(reader);
    AWAIT(turns(env->scope, 3, GO));
    SHOW("write when the reader has gone", loop_write(&writer->sink, "x", 1, GO));
    SHOW("write once more", loop_write(&writer->sink, "x", 1, GO));
    SHOW("op_write when the reader has gone", loop_op_write(NULL, writer->fd, "x", 1, LOOP_CURRENT, GO));
    AWAIT(loop_op_openat2(env->scope, path_of("fifo"), &both, GO));
    writer = flow_of(env->scope, (int)result);
    SHOW("write to both ends", loop_write(&writer->sink, "both", 4, GO));
    SHOW("read from both ends", loop_read_exact(&writer->source, buffer, 4, GO));
    SHOW_CANCELLED("read of an empty fifo", loop_read(&writer->source, buffer, 1, GO));
    remove_directory(directory);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    SHOW("write to a pipe", loop_write(sink, "pipe", 4, GO));
    SHOW("shutdown of a pipe", loop_shutdown(sink, GO));
    SHOW("write after the shutdown", loop_write(sink, "x", 1, GO));
    SHOW("shutdown once more", loop_shutdown(sink, GO));
    SHOW("exact read to the end", loop_read_exact(source, buffer, 10, GO));
    SHOW("read at the end", loop_read(source, buffer, 10, GO));
    file = adopt(env->scope, make_file("abc", 3));
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    SHOW("splice a byte of a file", loop_op_splice(NULL, file, 1, sink->ops->fd(sink), LOOP_CURRENT, 1, GO));
    SHOW("splice at the end of a file", loop_op_splice(NULL, file, 3, sink->ops->fd(sink), LOOP_CURRENT, 1, GO));
    SHOW("splice a byte to a file", loop_op_splice(NULL, source->ops->fd(source), LOOP_CURRENT, file, 0, 1, GO));
    SHOW("read what was spliced", loop_op_read(NULL, file, buffer, 1, 0, GO));
    trace("the byte is %c", buffer[0]);
    loop_sink_close(sink);
    SHOW("splice at the end of a pipe", loop_op_splice(NULL, source->ops->fd(source), LOOP_CURRENT, file, 0, 1, GO));
    CHECK_TEXT(trace_text(), fifos_text);
    END;
}

/* ---- sockets ---- */

static const char sockets_text[] = "connect refused: ECONNREFUSED\n"
                                   "connect with a short address: EINVAL\n"
                                   "connect with an address of nothing: EINVAL\n"
                                   "connect to another family: EAFNOSUPPORT\n"
                                   "connect: 0\n"
                                   "connect again: EISCONN\n"
                                   "recv that doesn't wait: EAGAIN\n"
                                   "recv_msg that doesn't wait: EAGAIN\n"
                                   "send: 1\n"
                                   "peek: 1\n"
                                   "recv: 1\n"
                                   "shutdown for writing: 0\n"
                                   "send after the shutdown: EPIPE\n"
                                   "write after the shutdown: EPIPE\n"
                                   "recv at the end: 0\n"
                                   "read at the end: 0\n"
                                   "stream at the end: 0\n"
                                   "recv_multishot at the end: 0\n"
                                   "write the other way: 4\n"
                                   "read it: 4\n"
                                   "loop_shutdown: 0\n"
                                   "loop_shutdown again: 0\n"
                                   "connect to a missing path: ENOENT\n"
                                   "connect to a directory: ECONNREFUSED\n";

static struct loop_flow *tcp_socket(struct loop_scope *scope)
{
    return flow_of(scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static struct loop_flow *unix_socket(struct loop_scope *scope)
{
    return flow_of(scope, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

LOOP_TEST(p17_sockets)
{
    static struct loop_flow *one, *other;
    static struct loop_fd *listener;
    static struct sockaddr_in address, nobody;
    static struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/tmp/noria-no-such-socket"};

    BEGIN;
    close(make_listener(&nobody));
    listener = adopt(env->scope, make_listener(&address));
    one = tcp_socket(env->scope);
    SHOW("connect refused", loop_op_connect(NULL, one->fd, (struct sockaddr *)&nobody, sizeof nobody, GO));
    one = tcp_socket(env->scope);
    SHOW("connect with a short address", loop_op_connect(NULL, one->fd, (struct sockaddr *)&address, 3, GO));
    SHOW("connect with an address of nothing", loop_op_connect(NULL, one->fd, (struct sockaddr *)&address, 0, GO));
    SHOW("connect to another family", loop_op_connect(NULL, one->fd, (struct sockaddr *)&local, sizeof local, GO));
    SHOW("connect", loop_op_connect(NULL, one->fd, (struct sockaddr *)&address, sizeof address, GO));
    SHOW("connect again", loop_op_connect(NULL, one->fd, (struct sockaddr *)&address, sizeof address, GO));
    AWAIT(loop_op_accept(NULL, listener, NULL, NULL, GO));
    CHECK(result >= 0 && fcntl((int)result, F_GETFD) == FD_CLOEXEC && fcntl((int)result, F_GETFL) & O_NONBLOCK);
    other = flow_of(env->scope, (int)result);
    SHOW("recv that doesn't wait", loop_op_recv(NULL, one->fd, buffer, 1, MSG_DONTWAIT, GO));
    SHOW("recv_msg that doesn't wait",
         loop_op_recv_msg(NULL, one->fd, &(struct loop_message){.iov = &one_byte, .n_iov = 1, .flags = MSG_DONTWAIT},
                          GO));
    SHOW("send", loop_op_send(NULL, one->fd, "a", 1, 0, GO));
    SHOW("peek", loop_op_recv(NULL, other->fd, buffer, 1, MSG_PEEK, GO));
    SHOW("recv", loop_op_recv(NULL, other->fd, buffer, 1, 0, GO));
    SHOW("shutdown for writing", loop_op_shutdown(NULL, one->fd, SHUT_WR, GO));
    SHOW("send after the shutdown", loop_op_send(NULL, one->fd, "a", 1, 0, GO));
    SHOW("write after the shutdown", loop_write(&one->sink, "a", 1, GO));
    SHOW("recv at the end", loop_op_recv(NULL, other->fd, buffer, 1, 0, GO));
    SHOW("read at the end", loop_read(&other->source, buffer, 1, GO));
    SHOW("stream at the end", loop_stream(&other->source, STREAM_END));
    SHOW("recv_multishot at the end",
         loop_op_recv_multishot(NULL, other->fd, loop_buffers_create(env->scope, 1, 64), RECEIVE_END));
    SHOW("write the other way", loop_write(&other->sink, "back", 4, GO));
    SHOW("read it", loop_read_exact(&one->source, buffer, 4, GO));
    SHOW("loop_shutdown", loop_shutdown(&other->sink, GO));
    SHOW("loop_shutdown again", loop_shutdown(&other->sink, GO));
    one = unix_socket(env->scope);
    SHOW("connect to a missing path", loop_op_connect(NULL, one->fd, (struct sockaddr *)&local, sizeof local, GO));
    local.sun_path[4] = 0;
    SHOW("connect to a directory", loop_op_connect(NULL, one->fd, (struct sockaddr *)&local, sizeof local, GO));
    CHECK_TEXT(trace_text(), sockets_text);
    END;
}

static const char gone_text[] = "accept on a datagram socket: EOPNOTSUPP\n"
                                "send an empty datagram: 0\n"
                                "recv it: 0\n"
                                "recv_msg of a byte of a datagram: 1\n"
                                "truncated 1\n"
                                "send a datagram to nobody: ECONNREFUSED\n"
                                "read when the peer has gone: 0\n"
                                "write when the peer has gone: EPIPE\n"
                                "write again: EPIPE\n"
                                "drained after that: EPIPE\n"
                                "shutdown after that: 0\n"
                                "send when the peer has gone: EPIPE\n"
                                "send_msg when the peer has gone: EPIPE\n"
                                "copy to a peer that has gone: EPIPE\n";

LOOP_TEST(p17_datagrams_and_peers_that_have_gone)
{
    static struct loop_flow *flows[2], *pair[2];
    static int fds[2];

    BEGIN;
    CHECK_IS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
    pair[0] = flow_of(env->scope, fds[0]);
    pair[1] = flow_of(env->scope, fds[1]);
    SHOW("accept on a datagram socket", loop_op_accept(NULL, pair[0]->fd, NULL, NULL, GO));
    SHOW("send an empty datagram", loop_op_send(NULL, pair[0]->fd, buffer, 0, 0, GO));
    SHOW("recv it", loop_op_recv(NULL, pair[1]->fd, buffer, 10, 0, GO));
    CHECK_IS(send(fds[0], "datagram", 8, 0), 8);
    one_message = (struct loop_message){.iov = &one_byte, .n_iov = 1};
    SHOW("recv_msg of a byte of a datagram", loop_op_recv_msg(NULL, pair[1]->fd, &one_message, GO));
    trace("truncated %d", (one_message.flags & MSG_TRUNC) != 0);
    loop_flow_close(pair[1]);
    AWAIT(turns(env->scope, 3, GO));
    SHOW("send a datagram to nobody", loop_op_send(NULL, pair[0]->fd, "x", 1, 0, GO));
    make_flows(env->scope, flows);
    loop_flow_close(flows[1]);
    AWAIT(turns(env->scope, 3, GO));
    SHOW("read when the peer has gone", loop_read(&flows[0]->source, buffer, 1, GO));
    SHOW("write when the peer has gone", loop_write(&flows[0]->sink, "x", 1, GO));
    SHOW("write again", loop_write(&flows[0]->sink, "x", 1, GO));
    SHOW("drained after that", loop_sink_wait_drained(&flows[0]->sink, GO));
    SHOW("shutdown after that", loop_shutdown(&flows[0]->sink, GO));
    SHOW("send when the peer has gone", loop_op_send(NULL, flows[0]->fd, "x", 1, 0, GO));
    SHOW("send_msg when the peer has gone", loop_op_send_msg(NULL, flows[0]->fd, &one_message, GO));
    SHOW("copy to a peer that has gone", loop_copy(loop_memory_source(env->scope, "x", 1), &flows[0]->sink, GO));
    CHECK_TEXT(trace_text(), gone_text);
    END;
}

/* ---- cancelled ---- */

static const char cancelled_text[] = "loop_read: loop_cancel says 0, then -2\n"
                                     "loop_read: ECANCELED\n"
                                     "loop_read_exact: loop_cancel says 0, then -2\n"
                                     "loop_read_exact: ECANCELED\n"
                                     "loop_stream: loop_cancel says 0, then -2\n"
                                     "loop_stream: ECANCELED\n"
                                     "loop_copy: loop_cancel says 0, then -2\n"
                                     "loop_copy: ECANCELED\n"
                                     "loop_write: loop_cancel says 0, then -2\n"
                                     "loop_write: ECANCELED\n"
                                     "loop_poll: loop_cancel says 0, then -2\n"
                                     "loop_poll: ECANCELED\n"
                                     "loop_sleep: loop_cancel says 0, then -2\n"
                                     "loop_sleep: ECANCELED\n"
                                     "loop_sleep for ever: loop_cancel says 0, then -2\n"
                                     "loop_sleep for ever: ECANCELED\n"
                                     "loop_promise: loop_cancel says 0, then -2\n"
                                     "loop_promise: ECANCELED\n"
                                     "loop_signal: loop_cancel says 0, then -2\n"
                                     "loop_signal: ECANCELED\n"
                                     "loop_descriptor_wait: loop_cancel says 0, then -2\n"
                                     "loop_descriptor_wait: ECANCELED\n"
                                     "loop_op_read: loop_cancel says 0, then -2\n"
                                     "loop_op_read: ECANCELED\n"
                                     "loop_op_write: loop_cancel says 0, then -2\n"
                                     "loop_op_write: ECANCELED\n"
                                     "loop_op_recv: loop_cancel says 0, then -2\n"
                                     "loop_op_recv: ECANCELED\n"
                                     "loop_op_send: loop_cancel says 0, then -2\n"
                                     "loop_op_send: ECANCELED\n"
                                     "loop_op_recv_msg: loop_cancel says 0, then -2\n"
                                     "loop_op_recv_msg: ECANCELED\n"
                                     "loop_op_send_msg: loop_cancel says 0, then -2\n"
                                     "loop_op_send_msg: ECANCELED\n"
                                     "loop_op_recv_multishot: loop_cancel says 0, then -2\n"
                                     "loop_op_recv_multishot: ECANCELED\n"
                                     "loop_op_accept: loop_cancel says 0, then -2\n"
                                     "loop_op_accept: ECANCELED\n"
                                     "loop_op_accept_multishot: loop_cancel says 0, then -2\n"
                                     "loop_op_accept_multishot: ECANCELED\n"
                                     "loop_op_poll_add: loop_cancel says 0, then -2\n"
                                     "loop_op_poll_add: ECANCELED\n"
                                     "loop_op_splice: loop_cancel says 0, then -2\n"
                                     "loop_op_splice: ECANCELED\n"
                                     "loop_op_timeout: loop_cancel says 0, then -2\n"
                                     "loop_op_timeout: ECANCELED\n"
                                     "loop_op_timeout: ETIME\n"
                                     "loop_sleep: 0\n"
                                     "loop_descriptor_wait: 0\n"
                                     "loop_work: 7\n"
                                     "loop_op_nop: 0\n"
                                     "loop_op_cancel: 0\n"
                                     "loop_op_cancel once more: ENOENT\n"
                                     "loop_op_cancel of no job: ENOENT\n"
                                     "loop_op_cancel of what never was: ENOENT\n"
                                     "what is written still arrives: 5\n"
                                     "and is read: 5\n";

static int64_t say_7(void *unused)
{
    (void)unused;
    return 7;
}

LOOP_TEST(p17_cancelled_jobs)
{
    static struct loop_flow *flows[2], *full;
    static struct loop_fd *listener, *pipe_ends[2];
    static struct loop_buffers *buffers;
    static struct sockaddr_in address;
    static struct slot slot;
    static loop_job job;
    static int fds[2];

    BEGIN;
    make_flows(env->scope, flows);
    make_pipe(fds);
    pipe_ends[0] = adopt(env->scope, fds[0]);
    pipe_ends[1] = adopt(env->scope, fds[1]);
    make_pair(fds);
    full = flow_of(env->scope, fds[0]);
    adopt(env->scope, fds[1]);
    stuff(fds[0]);
    listener = adopt(env->scope, make_listener(&address));
    buffers = loop_buffers_create(env->scope, 1, 64);
    SHOW_CANCELLED("loop_read", loop_read(&flows[0]->source, buffer, 1, GO));
    SHOW_CANCELLED("loop_read_exact", loop_read_exact(&flows[0]->source, buffer, 10, GO));
    SHOW_CANCELLED("loop_stream", loop_stream(&flows[0]->source, STREAM_END));
    SHOW_CANCELLED("loop_copy", loop_copy(&flows[0]->source, &flows[1]->sink, GO));
    SHOW_CANCELLED("loop_write", loop_write(&full->sink, "x", 1, GO));
    SHOW_CANCELLED("loop_poll", loop_poll(flows[0]->fd, POLLIN, GO));
    SHOW_CANCELLED("loop_sleep", loop_sleep(env->scope, LOOP_SECOND, GO));
    SHOW_CANCELLED("loop_sleep for ever", loop_sleep(env->scope, LOOP_NEVER, GO));
    SHOW_CANCELLED("loop_promise", loop_promise(env->scope, NULL, NULL, GO));
    SHOW_CANCELLED("loop_signal", loop_signal(env->scope, SIGUSR1, GO));
    SHOW_CANCELLED("loop_descriptor_wait", loop_descriptor_wait(env->scope, LOOP_SECOND, GO));
    SHOW_CANCELLED("loop_op_read", loop_op_read(NULL, flows[0]->fd, buffer, 1, LOOP_CURRENT, GO));
    SHOW_CANCELLED("loop_op_write", loop_op_write(NULL, full->fd, "x", 1, LOOP_CURRENT, GO));
    SHOW_CANCELLED("loop_op_recv", loop_op_recv(NULL, flows[0]->fd, buffer, 1, 0, GO));
    SHOW_CANCELLED("loop_op_send", loop_op_send(NULL, full->fd, "x", 1, 0, GO));
    SHOW_CANCELLED("loop_op_recv_msg", loop_op_recv_msg(NULL, flows[0]->fd, &one_message, GO));
    SHOW_CANCELLED("loop_op_send_msg", loop_op_send_msg(NULL, full->fd, &one_message, GO));
    SHOW_CANCELLED("loop_op_recv_multishot", loop_op_recv_multishot(NULL, flows[0]->fd, buffers, RECEIVE_END));
    SHOW_CANCELLED("loop_op_accept", loop_op_accept(NULL, listener, NULL, NULL, GO));
    SHOW_CANCELLED("loop_op_accept_multishot", loop_op_accept_multishot(NULL, listener, GO));
    SHOW_CANCELLED("loop_op_poll_add", loop_op_poll_add(NULL, flows[0]->fd, POLLIN, GO));
    SHOW_CANCELLED("loop_op_splice",
                   loop_op_splice(NULL, pipe_ends[0], LOOP_CURRENT, flows[0]->fd, LOOP_CURRENT, 1, GO));
    SHOW_CANCELLED("loop_op_timeout", loop_op_timeout(env->scope, INT64_MAX - 1, GO));
    SHOW("loop_op_timeout", loop_op_timeout(env->scope, 1, GO));
    SHOW("loop_sleep", loop_sleep(env->scope, -1, GO));
    SHOW("loop_descriptor_wait", loop_descriptor_wait(env->scope, 1, GO));
    SHOW("loop_work", loop_work(env->scope, say_7, NULL, GO));
    SHOW("loop_op_nop", loop_op_nop(env->scope, GO));
    job = START(loop_sleep(env->scope, LOOP_NEVER, SLOT(&slot)));
    SHOW("loop_op_cancel", loop_op_cancel(env->scope, job, GO));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(slots_filled, 1);
    SHOW("loop_op_cancel once more", loop_op_cancel(env->scope, job, GO));
    SHOW("loop_op_cancel of no job", loop_op_cancel(env->scope, 0, GO));
    SHOW("loop_op_cancel of what never was", loop_op_cancel(env->scope, UINT64_MAX, GO));
    SHOW("what is written still arrives", loop_write(&flows[1]->sink, "still", 5, GO));
    SHOW("and is read", loop_read_exact(&flows[0]->source, buffer, 5, GO));
    CHECK_TEXT(trace_text(), cancelled_text);
    END;
}

/* ---- deadlines and cancelled scopes ---- */

static const char deadlines_text[] = "deadline\n"
                                     "read: ETIMEDOUT\n"
                                     "stream: ETIMEDOUT\n"
                                     "copy: ETIMEDOUT\n"
                                     "poll: ETIMEDOUT\n"
                                     "sleep: ETIMEDOUT\n"
                                     "promise: ETIMEDOUT\n"
                                     "signal: ETIMEDOUT\n"
                                     "recv: ETIMEDOUT\n"
                                     "accept: ETIMEDOUT\n"
                                     "timeout: ETIMEDOUT\n"
                                     "splice: ETIMEDOUT\n"
                                     "child: ETIMEDOUT\n"
                                     "the scope: ETIMEDOUT\n"
                                     "cancel\n"
                                     "read: ECANCELED\n"
                                     "stream: ECANCELED\n"
                                     "copy: ECANCELED\n"
                                     "poll: ECANCELED\n"
                                     "sleep: ECANCELED\n"
                                     "promise: ECANCELED\n"
                                     "signal: ECANCELED\n"
                                     "recv: ECANCELED\n"
                                     "accept: ECANCELED\n"
                                     "timeout: ECANCELED\n"
                                     "splice: ECANCELED\n"
                                     "child: ECANCELED\n"
                                     "the scope: ECANCELED\n"
                                     "fail\n"
                                     "read: ECANCELED\n"
                                     "stream: ECANCELED\n"
                                     "copy: ECANCELED\n"
                                     "poll: ECANCELED\n"
                                     "sleep: ECANCELED\n"
                                     "promise: ECANCELED\n"
                                     "signal: ECANCELED\n"
                                     "recv: ECANCELED\n"
                                     "accept: ECANCELED\n"
                                     "timeout: ECANCELED\n"
                                     "splice: ECANCELED\n"
                                     "child: ECANCELED\n"
                                     "the scope: EPROTO\n"
                                     "started when cancelled\n"
                                     "read: ECANCELED\n"
                                     "stream: ECANCELED\n"
                                     "copy: ECANCELED\n"
                                     "poll: ECANCELED\n"
                                     "sleep: ECANCELED\n"
                                     "promise: ECANCELED\n"
                                     "signal: ECANCELED\n"
                                     "recv: ECANCELED\n"
                                     "accept: ECANCELED\n"
                                     "timeout: ECANCELED\n"
                                     "splice: ECANCELED\n"
                                     "child: ECANCELED\n"
                                     "the scope: ECANCELED\n";

static unsigned n_waiting;
static struct slot waiting[16];

static void show_waiting(const char *const *names)
{
    for (unsigned i = 0; i < n_waiting; i++) {
        CHECK_IS(waiting[i].count, 1);
        show(names[i], waiting[i].result);
    }
    memset(waiting, 0, sizeof waiting);
    n_waiting = 0;
    slots_filled = 0;
}

static void wait_stream(void *arg, int64_t result, struct loop_chunk *chunk)
{
    CHECK(!chunk);
    fill_slot(arg, result);
}

static const char *const waiting_names[] = {"read", "stream", "copy",    "poll",   "sleep", "promise",  "signal",
                                            "recv", "accept", "timeout", "splice", "child", "the scope"};

/* One of many kinds of job, none of which can end by itself. */
static void start_waiting(struct loop_scope *scope)
{
    struct loop_flow *flows[2];
    struct loop_scope *child;
    struct sockaddr_in address;
    int fds[2];

    make_flows(scope, flows);
    make_pipe(fds);
    START(loop_read(&flows[0]->source, buffer, 1, SLOT(&waiting[n_waiting++])));
    START(loop_stream(&flows[0]->source, wait_stream, &waiting[n_waiting++]));
    START(loop_copy(&flows[1]->source, &flows[1]->sink, SLOT(&waiting[n_waiting++])));
    START(loop_poll(flows[0]->fd, POLLIN, SLOT(&waiting[n_waiting++])));
    START(loop_sleep(scope, LOOP_NEVER, SLOT(&waiting[n_waiting++])));
    START(loop_promise(scope, NULL, NULL, SLOT(&waiting[n_waiting++])));
    START(loop_signal(scope, SIGUSR2, SLOT(&waiting[n_waiting++])));
    START(loop_op_recv(scope, flows[0]->fd, buffer, 1, 0, SLOT(&waiting[n_waiting++])));
    START(loop_op_accept(scope, adopt(scope, make_listener(&address)), NULL, NULL, SLOT(&waiting[n_waiting++])));
    START(loop_op_timeout(scope, INT64_MAX - 1, SLOT(&waiting[n_waiting++])));
    START(loop_op_splice(scope, adopt(scope, fds[0]), LOOP_CURRENT, flows[0]->fd, LOOP_CURRENT, 1,
                         SLOT(&waiting[n_waiting++])));
    adopt(scope, fds[1]);
    child = loop_scope_open(scope, SLOT(&waiting[n_waiting++]));
    START(loop_sleep(child, LOOP_NEVER, NULL, NULL));
}

LOOP_TEST(p17_deadlines_and_cancelled_scopes)
{
    static struct loop_scope *scope;
    static int way;

    BEGIN;
    for (way = 0; way < 4; way++) {
        trace("%s", way == 0 ? "deadline" : way == 1 ? "cancel" : way == 2 ? "fail" : "started when cancelled");
        scope = loop_scope_open(env->scope, SLOT(&waiting[12]));
        if (way == 3) {
            loop_scope_cancel(scope);
        }
        start_waiting(scope);
        n_waiting++;
        if (way < 3) {
            AWAIT(turns(env->scope, 3, GO));
            CHECK_IS(slots_filled, 0);
        }
        if (way == 0) {
            loop_scope_deadline(scope, loop_now(env->loop) + LOOP_MILLISECOND);
        } else if (way == 1) {
            loop_scope_cancel(scope);
        } else if (way == 2) {
            loop_scope_fail(scope, -EPROTO);
        }
        WAIT_UNTIL(slots_filled == 13);
        show_waiting(waiting_names);
    }
    CHECK_TEXT(trace_text(), deadlines_text);
    END;
}

/* ---- what poll sees ---- */

static const char polls_text[] = "a file: in out\n"
                                 "  the same at the low level: in out\n"
                                 "a directory: in\n"
                                 "  the same at the low level: in\n"
                                 "/dev/null: in out\n"
                                 "  the same at the low level: in out\n"
                                 "the writing end of a pipe: out\n"
                                 "  the same at the low level: out\n"
                                 "the reading end with a byte: in\n"
                                 "  the same at the low level: in\n"
                                 "the reading end with a byte and no writer: in hup\n"
                                 "  the same at the low level: in hup\n"
                                 "the reading end at its end: hup\n"
                                 "  the same at the low level: hup\n"
                                 "the writing end without a reader: out err\n"
                                 "  the same at the low level: out err\n"
                                 "a socket: out\n"
                                 "  the same at the low level: out\n"
                                 "a socket with a byte: in out\n"
                                 "  the same at the low level: in out\n"
                                 "the same asked for input: in\n"
                                 "  the same at the low level: in\n"
                                 "a socket whose peer has half-closed: in out rdhup\n"
                                 "  the same at the low level: in out rdhup\n"
                                 "a socket whose peer has gone: in out hup rdhup\n"
                                 "  the same at the low level: in out hup rdhup\n"
                                 "a listener with a connection: in\n"
                                 "  the same at the low level: in\n"
                                 "an eventfd: out\n"
                                 "  the same at the low level: out\n"
                                 "an eventfd with a count: in out\n"
                                 "  the same at the low level: in out\n";

static void show_events(const char *what, int64_t events)
{
    if (events < 0) {
        show(what, events);
        return;
    }
    trace("%s:%s%s%s%s%s%s", what, events & POLLIN ? " in" : "", events & POLLOUT ? " out" : "",
          events & POLLPRI ? " pri" : "", events & POLLERR ? " err" : "", events & POLLHUP ? " hup" : "",
          events & POLLRDHUP ? " rdhup" : "");
}

/* Asks the low level as soon as loop_poll has answered. */
static struct {
    struct loop_fd *fd;
    unsigned events;
    int64_t result;
} polled;

static void poll_again(void *unused, int64_t result)
{
    (void)unused;
    polled.result = result;
    CHECK(loop_op_poll_add(NULL, polled.fd, polled.events, GO) != 0);
}

static loop_job poll_twice(struct loop_fd *fd, unsigned events)
{
    polled.fd = fd;
    polled.events = events;
    return loop_poll(fd, events, poll_again, NULL);
}

#define ALL (POLLIN | POLLOUT | POLLPRI | POLLRDHUP)
#define SHOW_POLL(what, fd, events)                                                                                    \
    do {                                                                                                               \
        AWAIT(poll_twice(fd, events));                                                                                 \
        show_events(what, polled.result);                                                                              \
        show_events("  the same at the low level", result);                                                            \
    } while (0)

LOOP_TEST(p17_polls_of_every_kind_of_descriptor)
{
    static struct loop_fd *ends[2], *pair[2], *listener, *counter;
    static struct sockaddr_in address;
    static int fds[2], client;

    BEGIN;
    SHOW_POLL("a file", adopt(env->scope, make_file("file", 4)), ALL);
    SHOW_POLL("a directory", adopt(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), POLLIN);
    SHOW_POLL("/dev/null", adopt(env->scope, open("/dev/null", O_RDWR | O_CLOEXEC)), ALL);
    make_pipe(fds);
    ends[0] = adopt(env->scope, fds[0]);
    ends[1] = adopt(env->scope, fds[1]);
    SHOW_POLL("the writing end of a pipe", ends[1], POLLOUT);
    CHECK_IS(write(fds[1], "x", 1), 1);
    SHOW_POLL("the reading end with a byte", ends[0], POLLIN);
    loop_fd_close(ends[1]);
    AWAIT(turns(env->scope, 3, GO));
    SHOW_POLL("the reading end with a byte and no writer", ends[0], POLLIN);
    CHECK_IS(drain(fds[0]), 1);
    SHOW_POLL("the reading end at its end", ends[0], POLLIN);
    make_pipe(fds);
    close(fds[0]);
    SHOW_POLL("the writing end without a reader", adopt(env->scope, fds[1]), POLLOUT);
    make_pair(fds);
    pair[0] = adopt(env->scope, fds[0]);
    pair[1] = adopt(env->scope, fds[1]);
    SHOW_POLL("a socket", pair[0], ALL);
    CHECK_IS(send(fds[1], "x", 1, 0), 1);
    SHOW_POLL("a socket with a byte", pair[0], ALL);
    SHOW_POLL("the same asked for input", pair[0], POLLIN);
    CHECK_IS(shutdown(fds[1], SHUT_WR), 0);
    SHOW_POLL("a socket whose peer has half-closed", pair[0], ALL);
    loop_fd_close(pair[1]);
    AWAIT(turns(env->scope, 3, GO));
    SHOW_POLL("a socket whose peer has gone", pair[0], ALL);
    listener = adopt(env->scope, make_listener(&address));
    client = connect_to(&address);
    SHOW_POLL("a listener with a connection", listener, POLLIN);
    close(client);
    counter = adopt(env->scope, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    SHOW_POLL("an eventfd", counter, POLLIN | POLLOUT);
    CHECK_IS(eventfd_write(loop_fd_peek(counter), 1), 0);
    SHOW_POLL("an eventfd with a count", counter, POLLIN | POLLOUT);
    CHECK_TEXT(trace_text(), polls_text);
    END;
}

/* ---- the order of what happens to one object ---- */

static const char order_text[] = "write 1: 3\n"
                                 "write of nothing: 0\n"
                                 "write 2: 5\n"
                                 "shutdown: 0\n"
                                 "write after the shutdown: EPIPE\n"
                                 "read 1: 4\n"
                                 "read 2: 3\n"
                                 "read 3: 1\n"
                                 "read 4: 0\n"
                                 "onethree\n"
                                 "queued 36, full 1\n"
                                 "refused 1: ENOBUFS\n"
                                 "refused 2: ENOBUFS\n"
                                 "queued 1: 6\n"
                                 "queued 2: 30\n"
                                 "drained: 0\n"
                                 "queued 0, full 0\n";

static void show_one(void *name, int64_t result)
{
    CHECK_IS(script.starting, 0);
    show(name, result);
    slots_filled++;
    script_poke();
}
#define NAMED(name) show_one, (void *)(uintptr_t)(name)

/* On both backends it is that of the calls, whatever waits where. */
LOOP_TEST(p17_order_of_reads_of_every_kind)
{
    static struct loop_flow *flows[2];
    static struct once first, second, third;
    static char bytes[3];

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_op_recv(NULL, flows[1]->fd, &bytes[0], 1, 0, ONCE(&first)));
    START(loop_op_recv(NULL, flows[1]->fd, &bytes[1], 1, 0, ONCE(&second)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_fd_unread(flows[1]->fd, "a", 1), 0);
    WAIT_UNTIL(first.count);
    ONCE_IS(first, 1);
    CHECK_IS(second.count, 0);
    START(loop_read(&flows[1]->source, &bytes[2], 1, ONCE(&third)));
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_write(&flows[0]->sink, "bc", 2, GO));
    WAIT_UNTIL(second.count && third.count);
    CHECK(memcmp(bytes, "abc", 3) == 0);
    END;
}

LOOP_TEST(p17_a_receive_comes_after_a_read_that_waits)
{
    static struct loop_flow *flows[2];
    static struct once first, second;
    static char bytes[2];

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_read(&flows[1]->source, &bytes[0], 1, ONCE(&first)));
    START(loop_op_recv(NULL, flows[1]->fd, &bytes[1], 1, 0, ONCE(&second)));
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_write(&flows[0]->sink, "ab", 2, GO));
    WAIT_UNTIL(first.count && second.count);
    CHECK(memcmp(bytes, "ab", 2) == 0);
    END;
}

LOOP_TEST(p17_order_on_one_sink_and_one_source)
{
    static struct loop_flow *flows[2];
    static struct iovec nothing;
    static struct slot drained;
    static char bytes[64];

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_write(&flows[0]->sink, "one", 3, NAMED("write 1")));
    START(loop_writev(&flows[0]->sink, &nothing, 1, NAMED("write of nothing")));
    START(loop_write(&flows[0]->sink, "three", 5, NAMED("write 2")));
    START(loop_shutdown(&flows[0]->sink, NAMED("shutdown")));
    START(loop_write(&flows[0]->sink, "late", 4, NAMED("write after the shutdown")));
    WAIT_UNTIL(slots_filled == 5);
    START(loop_read_exact(&flows[1]->source, bytes, 4, NAMED("read 1")));
    START(loop_read_exact(&flows[1]->source, bytes + 4, 3, NAMED("read 2")));
    START(loop_read_exact(&flows[1]->source, bytes + 7, 3, NAMED("read 3")));
    START(loop_read(&flows[1]->source, bytes + 10, 3, NAMED("read 4")));
    WAIT_UNTIL(slots_filled == 9);
    trace("%s", bytes);
    stuff(loop_fd_peek(flows[1]->fd));
    CHECK_IS(loop_sink_limit(&flows[1]->sink, 10), 0);
    START(loop_write(&flows[1]->sink, bytes, 6, NAMED("queued 1")));
    START(loop_write(&flows[1]->sink, bytes, 30, NAMED("queued 2")));
    START(loop_write(&flows[1]->sink, bytes, 1, NAMED("refused 1")));
    START(loop_write(&flows[1]->sink, bytes, 1, NAMED("refused 2")));
    trace("queued %zu, full %d", loop_sink_queued(&flows[1]->sink), loop_sink_is_full(&flows[1]->sink));
    WAIT_UNTIL(slots_filled == 11);
    START(loop_sink_wait_drained(&flows[1]->sink, SLOT(&drained)));
    AWAIT(turns(env->scope, 2, GO));
    while (slots_filled < 14) {
        drain(loop_fd_peek(flows[0]->fd));
        AWAIT(turns(env->scope, 1, GO));
    }
    show("drained", drained.result);
    trace("queued %zu, full %d", loop_sink_queued(&flows[1]->sink), loop_sink_is_full(&flows[1]->sink));
    CHECK_TEXT(trace_text(), order_text);
    END;
}

/* ---- scopes ---- */

static const char scopes_text[] = "nop of outer: 0\n"
                                  "job 1 of inner: ECANCELED\n"
                                  "job 2 of inner: ECANCELED\n"
                                  "job of outer: ECANCELED\n"
                                  "late nop of inner: ECANCELED\n"
                                  "hook inner 1\n"
                                  "inner: ECANCELED\n"
                                  "hook outer 2\n"
                                  "hook outer 1\n"
                                  "outer: EPROTO\n"
                                  "its sibling: ECANCELED\n"
                                  "failed by a job: EISDIR\n"
                                  "its only job: 0\n"
                                  "the daemon: ECANCELED\n"
                                  "with a daemon: 0\n";

static void show_hook(void *name)
{
    trace("hook %s", (const char *)name);
}

LOOP_TEST(p17_scopes)
{
    static struct loop_scope *outer, *inner;

    BEGIN;
    outer = loop_scope_open(env->scope, NAMED("outer"));
    inner = loop_scope_open(outer, NAMED("inner"));
    loop_scope_defer(outer, show_hook, (void *)(uintptr_t) "outer 1");
    loop_scope_defer(outer, show_hook, (void *)(uintptr_t) "outer 2");
    loop_scope_defer(inner, show_hook, (void *)(uintptr_t) "inner 1");
    START(loop_sleep(inner, LOOP_NEVER, NAMED("job 1 of inner")));
    START(loop_op_nop(outer, NAMED("nop of outer")));
    START(loop_sleep(inner, LOOP_NEVER, NAMED("job 2 of inner")));
    START(loop_sleep(outer, LOOP_NEVER, NAMED("job of outer")));
    WAIT_UNTIL(slots_filled == 1);
    loop_scope_fail(outer, -EPROTO);
    loop_scope_fail(outer, -EIO);
    START(loop_op_nop(inner, NAMED("late nop of inner")));
    WAIT_UNTIL(slots_filled == 7);
    outer = loop_scope_open(env->scope, NAMED("failed by a job"));
    START(loop_read(&flow_of(outer, open("/tmp", O_RDONLY | O_DIRECTORY))->source, buffer, 1, NULL, NULL));
    START(loop_sleep(outer, LOOP_NEVER, NAMED("its sibling")));
    WAIT_UNTIL(slots_filled == 9);
    outer = loop_scope_open(env->scope, NAMED("with a daemon"));
    loop_daemon(env->loop, START(loop_sleep(outer, LOOP_NEVER, NAMED("the daemon"))));
    START(loop_op_nop(outer, NAMED("its only job")));
    WAIT_UNTIL(slots_filled == 12);
    CHECK_TEXT(trace_text(), scopes_text);
    END;
}

/* ---- the net ---- */

static const char net_text[] = "parse a path: 0\n"
                               "parse nonsense: EINVAL\n"
                               "parse a name: EINVAL\n"
                               "parse: 0\n"
                               "listen: 0\n"
                               "its address: 0\n"
                               "listen there again: EADDRINUSE\n"
                               "connect: 0\n"
                               "accept: 0\n"
                               "write: 3\n"
                               "read: 3\n"
                               "set an option: 0\n"
                               "get it: 0\n"
                               "value 1\n"
                               "set an option out of range: EINVAL\n"
                               "peer of what is closed: EBADF\n"
                               "option of what is closed: EBADF\n"
                               "read at the end: 0\n"
                               "close the listener: 0\n"
                               "close it again: EBADF\n"
                               "the accept that waited: ECANCELED\n"
                               "accept on what is closed: EBADF\n"
                               "connect refused: ECONNREFUSED\n"
                               "flow 0\n"
                               "connect to a missing path: ENOENT\n"
                               "listen on a path: 0\n"
                               "listen on it again: EADDRINUSE\n"
                               "connect to a path: 0\n"
                               "close the listener: 0\n"
                               "the path afterwards: ENOENT\n"
                               "read where nobody has accepted: ECONNRESET\n";

LOOP_TEST(p17_net)
{
    static struct loop_address address, nobody, path;
    static struct loop_listener *listener, *second;
    static struct loop_flow *flow, *accepted;
    static struct slot slot;
    static struct sockaddr_in unused;
    static int value;

    BEGIN;
    directory = make_directory();
    snprintf(buffer, sizeof buffer, "unix:%s", path_of("socket"));
    show("parse a path", loop_address_parse(&path, buffer));
    show("parse nonsense", loop_address_parse(&nobody, "nonsense"));
    show("parse a name", loop_address_parse(&nobody, "tcp:localhost:1"));
    show("parse", loop_address_parse(&address, "tcp:127.0.0.1:0"));
    show("listen", loop_listen(env->scope, &address, NULL, &listener));
    show("its address", loop_listener_address(listener, &address));
    show("listen there again", loop_listen(env->scope, &address, NULL, &second));
    SHOW("connect", loop_connect(env->scope, &address, NULL, &flow, GO));
    SHOW("accept", loop_accept(env->scope, listener, &accepted, GO));
    SHOW("write", loop_write(&flow->sink, "net", 3, GO));
    SHOW("read", loop_read_exact(&accepted->source, buffer, 3, GO));
    show("set an option", loop_socket_set(flow->fd, LOOP_TCP_NODELAY, 1));
    show("get it", loop_socket_get(flow->fd, LOOP_TCP_NODELAY, &value));
    trace("value %d", value);
    show("set an option out of range", loop_socket_set(flow->fd, LOOP_IP_TTL, 1000));
    loop_flow_close(flow);
    show("peer of what is closed", loop_flow_peer_address(flow, &nobody));
    show("option of what is closed", loop_socket_set(flow->fd, LOOP_TCP_NODELAY, 1));
    SHOW("read at the end", loop_read(&accepted->source, buffer, 3, GO));
    START(loop_accept(env->scope, listener, &accepted, SLOT(&slot)));
    show("close the listener", loop_listener_close(listener));
    show("close it again", loop_listener_close(listener));
    WAIT_UNTIL(slot.count);
    show("the accept that waited", slot.result);
    SHOW("accept on what is closed", loop_accept(env->scope, listener, &accepted, GO));
    nobody = address;
    close(make_listener(&unused));
    nobody.u.ipv4.sin_port = unused.sin_port;
    SHOW("connect refused", loop_connect(env->scope, &nobody, NULL, &flow, GO));
    trace("flow %d", flow != NULL);
    SHOW("connect to a missing path", loop_connect(env->scope, &path, NULL, &flow, GO));
    show("listen on a path", loop_listen(env->scope, &path, NULL, &listener));
    show("listen on it again", loop_listen(env->scope, &path, NULL, &second));
    SHOW("connect to a path", loop_connect(env->scope, &path, NULL, &flow, GO));
    show("close the listener", loop_listener_close(listener));
    AWAIT(turns(env->scope, 3, GO));
    show("the path afterwards", access(path_of("socket"), F_OK) < 0 ? -errno : 0);
    SHOW("read where nobody has accepted", loop_read(&flow->source, buffer, 1, GO));
    remove_directory(directory);
    CHECK_TEXT(trace_text(), net_text);
    END;
}
