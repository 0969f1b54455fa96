/* SPDX-License-Identifier: ISC
 *
 * loop_op_read, loop_op_write and their variants with vectors, registered chunks and chunks, on files, pipes and
 * sockets.
 */
#include "show.h"

#include <loop/part.h>

/* ---- read, write and their kin ---- */

LOOP_TEST(file_reads_at_offsets_and_at_the_position)
{
    static struct loop_fd *fd;
    static char bytes[1000], got[1000];

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 1);
    fd = adopt(env->scope, make_file(bytes, sizeof bytes));
    AWAIT(loop_op_read(NULL, fd, got, 100, 500, GO));
    CHECK_MOVED(result, 100);
    CHECK(is_pattern_at(got, (size_t)result, 1, 500));
    AWAIT(loop_op_read(NULL, fd, got, 1, LOOP_CURRENT, GO));
    CHECK_IS(result, 1);
    CHECK(is_pattern_at(got, 1, 1, 0));
    AWAIT(loop_op_read(env->scope, fd, got, 1, LOOP_CURRENT, GO));
    CHECK(is_pattern_at(got, 1, 1, 1));
    AWAIT(loop_op_read(NULL, fd, got, 10, 1000, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_read(NULL, fd, got, 10, 999, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_read(NULL, fd, got, 0, 0, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(file_writes_at_offsets_and_at_the_position)
{
    static struct loop_fd *fd;
    static char got[20];
    static int number;

    BEGIN;
    number = make_file("", 0);
    fd = adopt(env->scope, number);
    AWAIT(loop_op_write(NULL, fd, "x", 1, 5, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_write(NULL, fd, "a", 1, LOOP_CURRENT, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_write(NULL, fd, "b", 1, LOOP_CURRENT, GO));
    CHECK_IS(result, 1);
    CHECK_IS(pread(number, got, sizeof got, 0), 6);
    CHECK(memcmp(got, "ab\0\0\0x", 6) == 0);
    END;
}

LOOP_TEST(vectors_of_a_file)
{
    static struct loop_fd *fd;
    static char a[] = "abc", b[] = "de", c[4], d[4];
    static struct iovec out[] = {{a, 3}, {b, 2}}, in[] = {{c, 2}, {d, 3}};
    static int number;

    BEGIN;
    number = make_file("", 0);
    fd = adopt(env->scope, number);
    AWAIT(loop_op_writev(NULL, fd, out, 2, 0, GO));
    CHECK_MOVED(result, 5);
    CHECK_IS(pwrite(number, "abcde", 5, 0), 5);
    AWAIT(loop_op_readv(NULL, fd, in, 2, 0, GO));
    CHECK_MOVED(result, 5);
    CHECK(c[0] == 'a' && (result < 5 || (memcmp(c, "ab", 2) == 0 && memcmp(d, "cde", 3) == 0)));
    AWAIT(loop_op_readv(NULL, fd, in, 0, 0, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(more_than_iov_max_vectors_are_refused)
{
    enum { N = 1025 };
    static struct loop_flow *flows[2];
    static struct iovec vectors[N];
    static char bytes[N];

    BEGIN;
    make_flows(env->scope, flows);
    for (int i = 0; i < N; i++) {
        vectors[i] = (struct iovec){&bytes[i], 1};
    }
    AWAIT(loop_op_writev(NULL, flows[0]->fd, vectors, N, LOOP_CURRENT, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_readv(NULL, flows[0]->fd, vectors, N, LOOP_CURRENT, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_writev(NULL, flows[0]->fd, vectors, N - 1, LOOP_CURRENT, GO));
    CHECK_MOVED(result, N - 1);
    END;
}

LOOP_TEST(pipe_and_socket_reads_wait)
{
    static struct loop_fd *ends[2];
    static struct once read[2], write;
    static int pipes[2];
    static char byte, other, got[3];
    static struct iovec vector = {&other, 1};

    BEGIN;
    make_pipe(pipes);
    ends[0] = adopt(env->scope, pipes[0]);
    ends[1] = adopt(env->scope, pipes[1]);
    START(loop_op_read(NULL, ends[0], &byte, 1, LOOP_CURRENT, ONCE(&read[0])));
    START(loop_op_readv(NULL, ends[0], &vector, 1, LOOP_CURRENT, ONCE(&read[1])));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read[0].count + read[1].count, 0);
    START(loop_op_write(NULL, ends[1], "1", 1, LOOP_CURRENT, ONCE(&write)));
    WAIT_UNTIL(write.count && read[0].count + read[1].count == 1);
    AWAIT(loop_op_write(NULL, ends[1], "2", 1, LOOP_CURRENT, GO));
    WAIT_UNTIL(read[0].count && read[1].count);
    CHECK(byte + other == '1' + '2');
    AWAIT(loop_op_write(NULL, ends[1], "x", 1, 0, GO));
    CHECK(result == -ESPIPE || result == 1);
    AWAIT(loop_op_read(NULL, ends[1], got, 3, LOOP_CURRENT, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(writes_to_a_full_pipe_wait)
{
    static struct loop_fd *fd;
    static struct once write;
    static int pipes[2];
    static size_t stuffed;

    BEGIN;
    make_pipe(pipes);
    fd = adopt(env->scope, pipes[1]);
    stuffed = stuff(pipes[1]);
    START(loop_op_write(NULL, fd, "abc", 3, LOOP_CURRENT, ONCE(&write)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(write.count, 0);
    CHECK(drain(pipes[0]) >= stuffed);
    WAIT_UNTIL(write.count);
    CHECK_MOVED(write.result, 3);
    close(pipes[0]);
    END;
}

LOOP_TEST(fixed_reads_and_writes)
{
    static struct loop_fd *fd;
    static struct loop_chunk *chunk;
    static char bytes[1000];
    static size_t offset, region;
    static int number;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 2);
    number = make_file(bytes, sizeof bytes);
    fd = adopt(env->scope, number);
    chunk = loop_chunk_alloc(env->loop);
    offset = loop_chunk_offset(chunk);
    region = loop_region_count(env->loop) * loop_chunk_length(chunk);
    AWAIT(loop_op_read_fixed(NULL, fd, offset + 10, 500, 100, GO));
    CHECK_MOVED(result, 500);
    CHECK(is_pattern_at((char *)loop_chunk_data(chunk) + 10, (size_t)result, 2, 100));
    memset(loop_chunk_data(chunk), 'w', 100);
    AWAIT(loop_op_write_fixed(NULL, fd, offset, 1, 0, GO));
    CHECK_IS(result, 1);
    CHECK_IS(pread(number, bytes, 2, 0), 2);
    CHECK(bytes[0] == 'w' && bytes[1] != 'w');
    AWAIT(loop_op_read_fixed(NULL, fd, region - 10, 11, 0, GO));
    CHECK_IS(result, -EFAULT);
    AWAIT(loop_op_read_fixed(NULL, fd, region, 1, 0, GO));
    CHECK_IS(result, -EFAULT);
    AWAIT(loop_op_write_fixed(NULL, fd, SIZE_MAX, 2, 0, GO));
    CHECK_IS(result, -EFAULT);
    AWAIT(loop_op_write_fixed(NULL, fd, 1, SIZE_MAX, 0, GO));
    CHECK_IS(result, -EFAULT);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    END;
}

LOOP_TEST(fixed_reads_and_writes_of_streams)
{
    static struct loop_flow *flows[2];
    static struct loop_chunk *chunk;
    static struct once read;
    static char got[4];

    BEGIN;
    make_flows(env->scope, flows);
    chunk = loop_chunk_alloc(env->loop);
    START(loop_op_read_chunk(NULL, flows[0]->fd, chunk, 1, LOOP_CURRENT, ONCE(&read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "q", 1, 0), 1);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 1);
    CHECK_IS(*(char *)loop_chunk_data(chunk), 'q');
    AWAIT(loop_op_write_chunk(NULL, flows[0]->fd, chunk, 1, LOOP_CURRENT, GO));
    CHECK_IS(result, 1);
    CHECK_IS(recv(loop_fd_peek(flows[1]->fd), got, 4, 0), 1);
    CHECK_IS(got[0], 'q');
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    END;
}

LOOP_TEST(chunk_reads_and_writes_of_a_file)
{
    static struct loop_fd *fd;
    static struct loop_chunk *chunk;
    static char bytes[3000], got[3000];
    static int number;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 3);
    number = make_file(bytes, sizeof bytes);
    fd = adopt(env->scope, number);
    chunk = loop_chunk_alloc(env->loop);
    AWAIT(loop_op_read_chunk(NULL, fd, chunk, 3000, 0, GO));
    CHECK_MOVED(result, 3000);
    CHECK(is_pattern(loop_chunk_data(chunk), (size_t)result, 3));
    fill_pattern(loop_chunk_data(chunk), 3000, 4);
    AWAIT(loop_op_write_chunk(NULL, fd, chunk, 3000, 0, GO));
    CHECK_MOVED(result, 3000);
    CHECK_IS(pread(number, got, (size_t)result, 0), result);
    CHECK(is_pattern(got, (size_t)result, 4));
    AWAIT(loop_op_read_chunk(NULL, fd, chunk, loop_chunk_length(chunk) + 1, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_write_chunk(NULL, fd, chunk, SIZE_MAX, 0, GO));
    CHECK_IS(result, -EINVAL);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    END;
}

LOOP_TEST(read_only_and_closed_descriptors)
{
    static struct loop_fd *fd;
    static char byte;

    BEGIN;
    fd = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    AWAIT(loop_op_write(NULL, fd, "x", 1, LOOP_CURRENT, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_write(NULL, fd, "x", 1, 0, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_read(NULL, fd, &byte, 1, LOOP_CURRENT, GO));
    CHECK_IS(result, 0);
    loop_fd_close(fd);
    AWAIT(loop_op_read(NULL, fd, &byte, 1, LOOP_CURRENT, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_fsync(NULL, fd, 0, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_shutdown(NULL, fd, SHUT_WR, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_poll_add(NULL, fd, POLLIN, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_splice(NULL, fd, LOOP_CURRENT, fd, LOOP_CURRENT, 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_accept(NULL, fd, NULL, NULL, GO));
    CHECK_IS(result, -EBADF);
    END;
}

/* ---- files and paths ---- */

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
    SHOW("read an empty file", loop_read(&file->source, shown_bytes, 10, GO));
    SHOW("write", loop_write(&file->sink, "hello world", 11, GO));
    SHOW("read at the end", loop_read(&file->source, shown_bytes, 10, GO));
    SHOW("op_read at 4", loop_op_read(NULL, file->fd, shown_bytes, 1, 4, GO));
    trace("the byte is %c", shown_bytes[0]);
    SHOW("op_read at the end", loop_op_read(NULL, file->fd, shown_bytes, 1, 11, GO));
    SHOW("op_read far beyond", loop_op_read(NULL, file->fd, shown_bytes, 1, INT64_C(1) << 40, GO));
    SHOW("op_write at 5", loop_op_write(NULL, file->fd, "-", 1, 5, GO));
    SHOW("fsync", loop_op_fsync(NULL, file->fd, 0, GO));
    SHOW("fdatasync", loop_op_fsync(NULL, file->fd, LOOP_OP_DATA_ONLY, GO));
    AWAIT(loop_op_openat2(env->scope, path_of("link"), &for_reading, GO));
    again = flow_of(env->scope, (int)result);
    SHOW("exact read of more than there is", loop_read_exact(&again->source, shown_bytes, 100, GO));
    trace("the bytes are %.11s", shown_bytes);
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
    SHOW("exact read of what was appended", loop_read_exact(&file->source, shown_bytes, 100, GO));
    remove_directory(shown_directory);
    CHECK_TEXT(trace_text(), files_text);
    END;
}
