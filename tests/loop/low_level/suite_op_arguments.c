/* SPDX-License-Identifier: ISC
 *
 * The results of operations with invalid arguments and descriptors, identical on every backend (P17): compared with a
 * text, line by line.
 */
#include "show.h"

#include <loop/part.h>

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
    SHOW("loop_read", loop_read(&flows[0]->source, shown_bytes, 1, GO));
    SHOW("loop_read_exact", loop_read_exact(&flows[0]->source, shown_bytes, 1, GO));
    SHOW("loop_stream", loop_stream(&flows[0]->source, STREAM_END));
    SHOW("loop_write", loop_write(&flows[0]->sink, shown_bytes, 1, GO));
    SHOW("loop_writev", loop_writev(&flows[0]->sink, &one_byte, 1, GO));
    SHOW("loop_shutdown", loop_shutdown(&flows[0]->sink, GO));
    SHOW("loop_sink_wait_drained", loop_sink_wait_drained(&flows[0]->sink, GO));
    SHOW("loop_copy from", loop_copy(&flows[0]->source, &flows[1]->sink, GO));
    SHOW("loop_copy to", loop_copy(&flows[1]->source, &flows[0]->sink, GO));
    SHOW("loop_poll", loop_poll(fd, POLLIN, GO));
    SHOW("loop_fd_take", loop_fd_take(fd, GO));
    SHOW("loop_op_read", loop_op_read(NULL, fd, shown_bytes, 1, LOOP_CURRENT, GO));
    SHOW("loop_op_readv", loop_op_readv(NULL, fd, &one_byte, 1, LOOP_CURRENT, GO));
    SHOW("loop_op_write", loop_op_write(NULL, fd, shown_bytes, 1, LOOP_CURRENT, GO));
    SHOW("loop_op_writev", loop_op_writev(NULL, fd, &one_byte, 1, LOOP_CURRENT, GO));
    SHOW("loop_op_poll_add", loop_op_poll_add(NULL, fd, POLLIN, GO));
    SHOW("loop_op_poll_multishot", loop_op_poll_multishot(NULL, fd, GO));
    SHOW("loop_op_splice from", loop_op_splice(NULL, fd, LOOP_CURRENT, pipe_ends[1], LOOP_CURRENT, 1, GO));
    SHOW("loop_op_splice to", loop_op_splice(NULL, pipe_ends[0], LOOP_CURRENT, fd, LOOP_CURRENT, 1, GO));
    SHOW("loop_op_connect", loop_op_connect(NULL, fd, (struct sockaddr *)&address, sizeof address, GO));
    SHOW("loop_op_accept", loop_op_accept(NULL, fd, NULL, NULL, GO));
    SHOW("loop_op_accept_multishot", loop_op_accept_multishot(NULL, fd, GO));
    SHOW("loop_op_recv", loop_op_recv(NULL, fd, shown_bytes, 1, 0, GO));
    SHOW("loop_op_send", loop_op_send(NULL, fd, shown_bytes, 1, 0, GO));
    SHOW("loop_op_recv_msg", loop_op_recv_msg(NULL, fd, &one_message, GO));
    SHOW("loop_op_send_msg", loop_op_send_msg(NULL, fd, &one_message, GO));
    SHOW("loop_op_recv_multishot",
         loop_op_recv_multishot(NULL, fd, loop_buffers_create(env->scope, 1, 64), RECEIVE_END));
    SHOW("loop_op_shutdown", loop_op_shutdown(NULL, fd, SHUT_WR, GO));
    SHOW("loop_op_close", loop_op_close(env->scope, fd, GO));
    SHOW("loop_op_fsync", loop_op_fsync(NULL, fd, 0, GO));
    SHOW("loop_op_statx", loop_op_statx(env->scope, fd, "name", 0, STATX_SIZE, &shown_status, GO));
    SHOW("loop_op_statx of itself", loop_op_statx(env->scope, fd, "", AT_EMPTY_PATH, STATX_SIZE, &shown_status, GO));
    in_closed = for_reading;
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
    SHOW("loop_read of nothing", loop_read(&flows[0]->source, shown_bytes, 0, GO));
    SHOW("loop_read_exact of nothing", loop_read_exact(&flows[0]->source, shown_bytes, 0, GO));
    SHOW("loop_write of nothing", loop_write(&flows[0]->sink, shown_bytes, 0, GO));
    SHOW("loop_writev of nothing", loop_writev(&flows[0]->sink, NULL, 0, GO));
    SHOW("loop_op_write of nothing", loop_op_write(NULL, file, shown_bytes, 0, 0, GO));
    SHOW("loop_op_read of nothing", loop_op_read(NULL, file, shown_bytes, 0, 0, GO));
    SHOW("loop_op_readv of nothing", loop_op_readv(NULL, file, many, 0, 0, GO));
    SHOW("loop_op_readv of 1025", loop_op_readv(NULL, file, many, 1025, 0, GO));
    SHOW("loop_op_writev of 1025", loop_op_writev(NULL, file, many, 1025, 0, GO));
    SHOW("loop_op_read at -2", loop_op_read(NULL, file, shown_bytes, 1, -2, GO));
    SHOW("loop_op_write at -5", loop_op_write(NULL, file, shown_bytes, 1, -5, GO));
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
    SHOW("loop_op_statx with bad flags",
         loop_op_statx(env->scope, NULL, "/tmp", 1 << 30, STATX_SIZE, &shown_status, GO));
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
    SHOW("read of a directory", loop_read(&dir->source, shown_bytes, 1, GO));
    SHOW("exact read of a directory", loop_read_exact(&dir->source, shown_bytes, 1, GO));
    SHOW("stream of a directory", loop_stream(&dir->source, STREAM_END));
    SHOW("copy of a directory", loop_copy(&dir->source, loop_null_sink(env->scope), GO));
    SHOW("op_read of a directory", loop_op_read(NULL, dir->fd, shown_bytes, 1, 0, GO));
    SHOW("write to a directory", loop_write(&dir->sink, "x", 1, GO));
    SHOW("op_write to a directory", loop_op_write(NULL, dir->fd, "x", 1, 0, GO));
    SHOW("write to what is open for reading", loop_write(&read_only->sink, "x", 1, GO));
    SHOW("op_write to what is open for reading", loop_op_write(NULL, read_only->fd, "x", 1, LOOP_CURRENT, GO));
    SHOW("read from what is open for writing", loop_read(&write_only->source, shown_bytes, 1, GO));
    SHOW("op_read from what is open for writing", loop_op_read(NULL, write_only->fd, shown_bytes, 1, LOOP_CURRENT, GO));
    SHOW("read from the wrong end of a pipe", loop_read(&ends[1]->source, shown_bytes, 1, GO));
    SHOW("write to the wrong end of a pipe", loop_write(&ends[0]->sink, "x", 1, GO));
    SHOW("op_read of a pipe at an offset", loop_op_read(NULL, ends[0]->fd, shown_bytes, 1, 0, GO));
    SHOW("op_write of a pipe at an offset", loop_op_write(NULL, ends[1]->fd, "x", 1, 7, GO));
    SHOW("op_read of a socket at an offset", loop_op_read(NULL, flows[0]->fd, shown_bytes, 1, 0, GO));
    SHOW("op_write of a socket at an offset", loop_op_write(NULL, flows[0]->fd, "x", 1, 0, GO));
    SHOW("fsync of a pipe", loop_op_fsync(NULL, ends[1]->fd, 0, GO));
    SHOW("fsync of a socket", loop_op_fsync(NULL, flows[0]->fd, LOOP_OP_DATA_ONLY, GO));
    SHOW("fsync of a directory", loop_op_fsync(NULL, dir->fd, 0, GO));
    SHOW("recv of a pipe", loop_op_recv(NULL, ends[0]->fd, shown_bytes, 1, 0, GO));
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
    SHOW("recv of what isn't connected", loop_op_recv(NULL, lonely->fd, shown_bytes, 1, 0, GO));
    SHOW("send to what isn't connected", loop_op_send(NULL, lonely->fd, "x", 1, 0, GO));
    SHOW("accept on what doesn't listen", loop_op_accept(NULL, lonely->fd, NULL, NULL, GO));
    SHOW("loop_read of what isn't connected", loop_read(&lonely->source, shown_bytes, 1, GO));
    SHOW("loop_write to what isn't connected", loop_write(&lonely->sink, "x", 1, GO));
    SHOW("splice from a directory", loop_op_splice(NULL, dir->fd, 0, ends[1]->fd, LOOP_CURRENT, 1, GO));
    SHOW("openat2 beneath a file",
         loop_op_openat2(env->scope, "name", &(struct loop_open_how){.dir = file->fd, .flags = O_RDONLY}, GO));
    SHOW("statx beneath a file", loop_op_statx(env->scope, file->fd, "name", 0, STATX_SIZE, &shown_status, GO));
    CHECK_TEXT(trace_text(), wrong_text);
    END;
}
