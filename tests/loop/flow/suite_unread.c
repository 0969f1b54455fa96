/* SPDX-License-Identifier: ISC
 *
 * Unread bytes: returned to a descriptor, and delivered before all others by every kind of read.
 */
#include "harness.h"

#include <loop/reader.h>

#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

static struct loop_flow *flows[2];
static struct loop_fd *fd, *other_fd;
static char got[64];

/* A pair whose first end has "unread" unread; the peer, on the other, has written "later" if it `has_more`. */
static void make_unread(struct loop_env *env, bool has_more)
{
    make_flows(env->scope, flows);
    fd = flows[0]->fd;
    other_fd = flows[1]->fd;
    memset(got, 0, sizeof got);
    if (has_more) {
        CHECK_IS(send(loop_fd_peek(other_fd), "later", 5, 0), 5);
    }
    CHECK_IS(loop_fd_unread(fd, "unread", 6), 0);
    CHECK_IS(loop_fd_unread_length(fd), 6);
}

/* ---- sources ---- */

LOOP_TEST(p17_a_read_gets_unread_bytes_first)
{
    BEGIN;
    make_unread(env, true);
    AWAIT(loop_read(&flows[0]->source, got, sizeof got, GO));
    CHECK_MOVED(result, 6);
    AWAIT(loop_read_exact(&flows[0]->source, got + result, 11 - (size_t)result, GO));
    CHECK_TEXT(got, "unreadlater");
    CHECK_IS(loop_fd_unread_length(fd), 0);
    END;
}

LOOP_TEST(a_read_that_waits_gets_unread_bytes)
{
    static struct once read;

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_read_exact(&flows[0]->source, got, 6, ONCE(&read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_fd_unread(flows[0]->fd, "unread", 6), 0);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 6);
    CHECK_TEXT(got, "unread");
    END;
}

/* What is given back last comes first, and small reads take it piece by piece. */
LOOP_TEST(unread_bytes_come_in_their_order)
{
    static int i;

    BEGIN;
    make_unread(env, true);
    CHECK_IS(loop_fd_unread(fd, "first,", 6), 0);
    CHECK_IS(loop_fd_unread(fd, "", 0), 0);
    CHECK_IS(loop_fd_unread_length(fd), 12);
    for (i = 0; i < 17; i++) {
        AWAIT(loop_read(&flows[0]->source, got + i, 1, GO));
        CHECK_IS(result, 1);
    }
    CHECK_TEXT(got, "first,unreadlater");
    END;
}

/* Each costs the same, however many there are. A look at all of them each time takes half a minute. */
LOOP_TEST(many_bytes_can_be_given_back_one_by_one)
{
    enum { MANY = 200000 };
    static char all[MANY];

    BEGIN;
    make_flows(env->scope, flows);
    for (unsigned i = MANY; i-- > 0;) {
        char byte = (char)(i % 251);
        CHECK_IS(loop_fd_unread(flows[0]->fd, &byte, 1), 0);
    }
    AWAIT(loop_read_exact(&flows[0]->source, all, MANY, GO));
    CHECK_IS(result, MANY);
    CHECK(all[0] == 0 && (unsigned char)all[MANY - 1] == (MANY - 1) % 251);
    END;
}

LOOP_TEST(the_end_comes_after_unread_bytes)
{
    BEGIN;
    make_unread(env, true);
    CHECK_IS(shutdown(loop_fd_peek(other_fd), SHUT_WR), 0);
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_read_exact(&flows[0]->source, got, 20, GO));
    CHECK_IS(result, 11);
    CHECK_TEXT(got, "unreadlater");
    CHECK_IS(loop_fd_unread(fd, "again", 5), 0);
    AWAIT(loop_read_exact(&flows[0]->source, got, 20, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_read(&flows[0]->source, got, 20, GO));
    CHECK_IS(result, 0);
    END;
}

/* A reader that has found the unread bytes gone waits for what comes next. */
LOOP_TEST(a_read_waits_behind_unread_bytes_that_others_took)
{
    static struct once read, receive;

    BEGIN;
    make_unread(env, false);
    START(loop_read(&flows[0]->source, got, 5, ONCE(&read)));
    CHECK_IS(loop_fd_take_unread(fd, got + 10, 20), 6);
    CHECK_TEXT(got + 10, "unread");
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read.count, 0);
    CHECK_IS(loop_fd_unread(fd, "x", 1), 0);
    START(loop_op_recv(NULL, fd, got + 20, 1, MSG_DONTWAIT, ONCE(&receive)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(receive.count && (receive.result == 1 || receive.result == -EAGAIN));
    if (read.count == 0) {
        CHECK_IS(send(loop_fd_peek(other_fd), "later", 5, 0), 5);
    }
    WAIT_UNTIL(read.count);
    CHECK(read.result > 0);
    END;
}

/* A fifo that never had a writer is not at its end, also when its unread bytes are gone. */
LOOP_TEST(p17_a_fifo_without_a_writer_waits_after_unread_bytes)
{
    static struct once read;
    static char path[100];
    static const char *directory;
    static int writer;

    BEGIN;
    directory = make_directory();
    (void)snprintf(path, sizeof path, "%s/fifo", directory);
    CHECK_IS(mkfifo(path, 0600), 0);
    fd = adopt(env->scope, open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    CHECK_IS(loop_fd_unread(fd, "unread", 6), 0);
    AWAIT(loop_read_exact(&loop_fd_flow(fd)->source, got, 6, GO));
    CHECK_IS(result, 6);
    START(loop_read(&loop_fd_flow(fd)->source, got, 6, ONCE(&read)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(read.count, 0);
    writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK_IS(write(writer, "x", 1), 1);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 1);
    close(writer);
    remove_directory(directory);
    END;
}

LOOP_TEST(a_stream_gets_unread_bytes)
{
    static char bytes[100000], received[100000 + 5];
    static struct record record = {.data = received, .room = sizeof received};
    static loop_job stream;

    BEGIN;
    make_flows(env->scope, flows);
    fill_pattern(bytes, sizeof bytes, 7);
    stream = START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_unread(flows[0]->fd, bytes, sizeof bytes), 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "later", 5, 0), 5);
    WAIT_UNTIL(record.length == sizeof received);
    CHECK(is_pattern(received, sizeof bytes, 7));
    CHECK(memcmp(received + sizeof bytes, "later", 5) == 0);
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    WAIT_UNTIL(record.ends);
    END;
}

LOOP_TEST(a_copy_gets_unread_bytes)
{
    static struct loop_sink *memory;
    static size_t length;

    BEGIN;
    make_unread(env, true);
    memory = loop_memory_sink(env->scope, 0);
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    AWAIT(loop_copy(&flows[0]->source, memory, GO));
    CHECK_IS(result, 11);
    CHECK(memcmp(loop_memory_data(memory, &length), "unreadlater", 11) == 0);
    END;
}

LOOP_TEST(an_echo_gets_unread_bytes)
{
    static struct once copy;

    BEGIN;
    make_unread(env, true);
    START(loop_copy(&flows[0]->source, &flows[0]->sink, ONCE(&copy)));
    AWAIT(loop_read_exact(&flows[1]->source, got, 11, GO));
    CHECK_TEXT(got, "unreadlater");
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, 11);
    END;
}

LOOP_TEST(a_reader_gets_unread_bytes)
{
    static struct loop_reader *reader;

    BEGIN;
    make_unread(env, true);
    CHECK_IS(loop_fd_unread(fd, "line\n", 5), 0);
    reader = loop_reader_create(&flows[0]->source, 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_reader_exact(reader, 11, GO));
    CHECK_IS(result, 11);
    CHECK(memcmp(loop_reader_data(reader, NULL), "unreadlater", 11) == 0);
    END;
}

/* ---- the low level ---- */

LOOP_TEST(p17_receives_get_unread_bytes)
{
    static struct iovec iov[2] = {{got, 2}, {got + 2, 20}};
    static struct loop_message message;
    static struct sockaddr_storage address;

    BEGIN;
    make_unread(env, true);
    AWAIT(loop_op_recv(NULL, fd, got, 3, MSG_PEEK, GO));
    CHECK_MOVED(result, 3);
    AWAIT(loop_op_recv(NULL, fd, got, 6, MSG_WAITALL, GO));
    CHECK_IS(result, 6);
    CHECK_TEXT(got, "unread");
    CHECK_IS(loop_fd_unread(fd, "again,", 6), 0);
    AWAIT(loop_op_recv(NULL, fd, got, 11, MSG_WAITALL, GO));
    CHECK_IS(result, 11);
    CHECK_TEXT(got, "again,later");
    CHECK_IS(loop_fd_unread(fd, "message", 7), 0);
    message = (struct loop_message){
        .iov = iov, .n_iov = 2, .address = (struct sockaddr *)&address, .address_len = sizeof address};
    AWAIT(loop_op_recv_msg(NULL, fd, &message, GO));
    CHECK_IS(result, 7);
    CHECK_IS(message.address_len, 0);
    CHECK_IS(message.n_numbers, 0);
    CHECK_IS(message.flags, 0);
    CHECK(memcmp(got, "message", 7) == 0);
    END;
}

LOOP_TEST(p17_low_reads_get_unread_bytes)
{
    static struct iovec iov[2] = {{got, 2}, {got + 2, 4}};

    BEGIN;
    make_unread(env, true);
    AWAIT(loop_op_readv(NULL, fd, iov, 2, LOOP_CURRENT, GO));
    CHECK_MOVED(result, 6);
    CHECK(memcmp(got, "unread", (size_t)result) == 0);
    while (loop_fd_unread_length(fd) > 0) {
        (void)loop_fd_take_unread(fd, got, sizeof got);
    }
    AWAIT(loop_op_read(NULL, fd, got, 5, LOOP_CURRENT, GO));
    CHECK_MOVED(result, 5);
    CHECK(memcmp(got, "later", (size_t)result) == 0);
    END;
}

/* Operations in the kernel are recalled when bytes are returned to their descriptor, and receive these bytes. */
LOOP_TEST(p17_operations_in_flight_get_unread_bytes)
{
    enum { RECV, READ, MESSAGE, POLL, N };
    static struct once ends[N];
    static struct loop_flow *pairs[N][2];
    static struct iovec iov = {got + 20, 10};
    static struct loop_message message = {.iov = &iov, .n_iov = 1};

    BEGIN;
    for (int i = 0; i < N; i++) {
        make_flows(env->scope, pairs[i]);
    }
    START(loop_op_recv(NULL, pairs[RECV][0]->fd, got, 10, 0, ONCE(&ends[RECV])));
    START(loop_op_read(NULL, pairs[READ][0]->fd, got + 10, 10, LOOP_CURRENT, ONCE(&ends[READ])));
    START(loop_op_recv_msg(NULL, pairs[MESSAGE][0]->fd, &message, ONCE(&ends[MESSAGE])));
    START(loop_op_poll_add(NULL, pairs[POLL][0]->fd, POLLIN, ONCE(&ends[POLL])));
    AWAIT(turns(env->scope, 3, GO));
    for (int i = 0; i < N; i++) {
        CHECK_IS(ends[i].count, 0);
        CHECK_IS(loop_fd_unread(pairs[i][0]->fd, "abc", 3), 0);
    }
    WAIT_UNTIL(ends[RECV].count && ends[READ].count && ends[MESSAGE].count && ends[POLL].count);
    CHECK_MOVED(ends[RECV].result, 3);
    CHECK_MOVED(ends[READ].result, 3);
    CHECK_IS(ends[MESSAGE].result, 3);
    ONCE_IS(ends[POLL], POLLIN);
    CHECK(got[0] == 'a' && got[10] == 'a' && memcmp(got + 20, "abc", 3) == 0);
    END;
}

/* And those that have not been given to the kernel yet. */
LOOP_TEST_WITH(p17_operations_in_line_get_unread_bytes, .queue_depth = 1)
{
    static struct once ends[8];
    static char bytes[8];
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    for (i = 0; i < 8; i++) {
        START(loop_op_recv(NULL, flows[0]->fd, &bytes[i], 1, 0, ONCE(&ends[i])));
    }
    CHECK_IS(loop_fd_unread(flows[0]->fd, "abcdefgh", 8), 0);
    for (i = 0; i < 8; i++) {
        WAIT_UNTIL(ends[i].count);
        ONCE_IS(ends[i], 1);
        CHECK(memchr(bytes, 'a' + i, 8));
    }
    END;
}

LOOP_TEST(p17_a_poll_finds_unread_bytes)
{
    BEGIN;
    make_unread(env, false);
    AWAIT(loop_poll(fd, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    AWAIT(loop_poll(fd, POLLIN | POLLOUT, GO));
    CHECK_IS(result, POLLIN | POLLOUT);
    AWAIT(loop_poll(fd, POLLOUT, GO));
    CHECK_IS(result, POLLOUT);
    END;
}

static struct received {
    char text[64];
    size_t length;
    unsigned ends;
    int64_t end;
} received;

static struct loop_buffers *buffers;

static void on_received(void *arg, int64_t result, void *data)
{
    (void)arg;
    if (data) {
        memcpy(received.text + received.length, data, (size_t)result);
        received.length += (size_t)result;
        CHECK_IS(loop_buffers_recycle(buffers, data), 0);
    } else {
        received.ends++;
        received.end = result;
    }
    script_poke();
}

LOOP_TEST(p17_a_multishot_receive_gets_unread_bytes)
{
    static loop_job job;

    BEGIN;
    make_unread(env, true);
    buffers = loop_buffers_create(env->scope, 4, 4);
    job = START(loop_op_recv_multishot(NULL, fd, buffers, on_received, NULL));
    WAIT_UNTIL(received.length == 11);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_fd_unread(fd, "given back", 10), 0);
    WAIT_UNTIL(received.length == 21);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(loop_fd_peek(other_fd), "and more", 8, 0), 8);
    WAIT_UNTIL(received.length == 29);
    CHECK_TEXT(received.text, "unreadlatergiven backand more");
    CHECK_IS(loop_buffers_avail(buffers), 4);
    CHECK_IS(received.ends, 0);
    CHECK_IS(loop_fd_unread(fd, "x", 1), 0);
    CHECK_IS(shutdown(loop_fd_peek(other_fd), SHUT_WR), 0);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, 0);
    CHECK_IS(received.length, 30);
    CHECK_IS(loop_job_is_alive(env->loop, job), false);
    END;
}

LOOP_TEST(p17_a_multishot_receive_is_cancelled_with_bytes_unread)
{
    static loop_job job;

    BEGIN;
    make_flows(env->scope, flows);
    buffers = loop_buffers_create(env->scope, 4, 4);
    job = START(loop_op_recv_multishot(NULL, flows[0]->fd, buffers, on_received, NULL));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_unread(flows[0]->fd, "unread", 6), 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ECANCELED);
    CHECK_IS(received.length + loop_fd_unread_length(flows[0]->fd), 6);
    END;
}

LOOP_TEST(splice_moves_unread_bytes)
{
    static int pipe_ends[2];
    static struct loop_fd *in, *out;

    BEGIN;
    make_unread(env, true);
    make_pipe(pipe_ends);
    in = adopt(env->scope, pipe_ends[1]);
    out = adopt(env->scope, pipe_ends[0]);
    AWAIT(loop_op_splice(NULL, fd, LOOP_CURRENT, in, LOOP_CURRENT, 4, GO));
    CHECK_MOVED(result, 4);
    while (loop_fd_unread_length(fd) > 0) {
        AWAIT(loop_op_splice(NULL, fd, LOOP_CURRENT, in, LOOP_CURRENT, 100, GO));
        CHECK(result > 0);
    }
    AWAIT(loop_op_splice(NULL, fd, LOOP_CURRENT, in, LOOP_CURRENT, 100, GO));
    CHECK_MOVED(result, 5);
    AWAIT(loop_read_exact(&loop_fd_flow(out)->source, got, 6 + (size_t)result, GO));
    CHECK(memcmp(got, "unreadlater", (size_t)result) == 0);
    END;
}

/* Both splices find the pipe ready when they start, and the first fills it. */
LOOP_TEST(a_splice_of_unread_bytes_of_a_file_waits_for_room_without_a_thread)
{
    enum { PAGE = 4096 };
    static struct loop_fd *from[2], *in;
    static struct once splices[2];
    static struct loop_stats stats;
    static char bytes[PAGE], piped[PAGE];
    static int pipe_ends[2], i;

    BEGIN;
    make_pipe(pipe_ends);
    CHECK_IS(fcntl(pipe_ends[1], F_SETPIPE_SZ, PAGE), PAGE);
    in = adopt(env->scope, pipe_ends[1]);
    for (i = 0; i < 2; i++) {
        fill_pattern(bytes, sizeof bytes, (unsigned)i);
        from[i] = adopt(env->scope, make_file("", 0));
        CHECK_IS(loop_fd_unread(from[i], bytes, sizeof bytes), 0);
        START(loop_op_splice(NULL, from[i], LOOP_CURRENT, in, LOOP_CURRENT, PAGE, ONCE(&splices[i])));
    }
    WAIT_UNTIL(splices[0].count);
    AWAIT(turns(env->scope, 5, GO));
    CHECK(splices[1].count == 0 || is_hard("short"));
    loop_get_stats(env->loop, &stats);
    CHECK_IS(stats.pool_threads_now, 0);
    for (i = 0; i < 2; i++) {
        WAIT_UNTIL(splices[i].count);
        CHECK_MOVED(splices[i].result, PAGE);
        CHECK_IS(loop_fd_unread_length(from[i]), (size_t)(PAGE - splices[i].result));
        CHECK_IS(read(pipe_ends[0], piped, (size_t)splices[i].result), splices[i].result);
        CHECK(is_pattern(piped, (size_t)splices[i].result, (unsigned)i));
    }
    close(pipe_ends[0]);
    END;
}

/* The first splice reads the file on a thread. The bytes that are unread since then stay behind it. */
LOOP_TEST(a_splice_of_unread_bytes_stays_behind_an_earlier_splice)
{
    enum { PAGE = 4096 };
    static struct loop_fd *from, *in;
    static struct once splices[2];
    static char bytes[PAGE], piped[PAGE];
    static int pipe_ends[2], i;

    BEGIN;
    make_pipe(pipe_ends);
    CHECK_IS(fcntl(pipe_ends[1], F_SETPIPE_SZ, PAGE), PAGE);
    in = adopt(env->scope, pipe_ends[1]);
    fill_pattern(bytes, sizeof bytes, 0);
    from = adopt(env->scope, make_file(bytes, sizeof bytes));
    START(loop_op_splice(NULL, from, LOOP_CURRENT, in, LOOP_CURRENT, PAGE, ONCE(&splices[0])));
    fill_pattern(bytes, sizeof bytes, 1);
    CHECK_IS(loop_fd_unread(from, bytes, sizeof bytes), 0);
    START(loop_op_splice(NULL, from, LOOP_CURRENT, in, LOOP_CURRENT, PAGE, ONCE(&splices[1])));
    for (i = 0; i < 2; i++) {
        WAIT_UNTIL(splices[i].count);
        CHECK_MOVED(splices[i].result, PAGE);
        CHECK_IS(read(pipe_ends[0], piped, (size_t)splices[i].result), splices[i].result);
        CHECK(is_pattern(piped, (size_t)splices[i].result, (unsigned)i));
    }
    close(pipe_ends[0]);
    END;
}

/* A thread writes them to the file; what it couldn't write is unread as before. */
LOOP_TEST(splice_moves_unread_bytes_to_a_file)
{
    static struct loop_fd *pipe_end, *file, *full;
    static int pipe_ends[2];
    static size_t done;

    BEGIN;
    make_pipe(pipe_ends);
    pipe_end = adopt(env->scope, pipe_ends[0]);
    file = adopt(env->scope, make_file("", 0));
    full = adopt(env->scope, open("/dev/full", O_WRONLY | O_CLOEXEC));
    CHECK_IS(loop_fd_unread(pipe_end, "unread", 6), 0);
    AWAIT(loop_op_splice(NULL, pipe_end, LOOP_CURRENT, full, LOOP_CURRENT, 100, GO));
    CHECK_IS(result, -ENOSPC);
    CHECK_IS(loop_fd_unread_length(pipe_end), 6);
    for (done = 0; done < 6; done += (size_t)result) {
        AWAIT(loop_op_splice(NULL, pipe_end, LOOP_CURRENT, file, (int64_t)done, 4, GO));
        CHECK(result > 0 && result <= 4);
    }
    CHECK_IS(pread(loop_fd_peek(file), got, 20, 0), 6);
    CHECK_TEXT(got, "unread");
    CHECK_IS(loop_fd_unread_length(pipe_end), 0);
    close(pipe_ends[1]);
    END;
}

/* ---- other descriptors ---- */

LOOP_TEST(p17_a_file_gets_unread_bytes)
{
    static struct loop_flow *file;
    static struct loop_sink *memory;
    static size_t length;

    BEGIN;
    file = flow_of(env->scope, make_file("later", 5));
    CHECK_IS(loop_fd_unread(file->fd, "unread", 6), 0);
    AWAIT(loop_op_read(NULL, file->fd, got, 5, 0, GO));
    CHECK_MOVED(result, 5);
    CHECK(memcmp(got, "later", (size_t)result) == 0);
    AWAIT(loop_op_read(NULL, file->fd, got, 2, LOOP_CURRENT, GO));
    CHECK_MOVED(result, 2);
    CHECK(memcmp(got, "un", (size_t)result) == 0);
    AWAIT(loop_read_exact(&file->source, got + result, 6 - (size_t)result, GO));
    AWAIT(loop_read_exact(&file->source, got + 6, 5, GO));
    CHECK_TEXT(got, "unreadlater");
    CHECK_IS(lseek(loop_fd_peek(file->fd), 0, SEEK_SET), 0);
    CHECK_IS(loop_fd_unread(file->fd, "unread", 6), 0);
    memory = loop_memory_sink(env->scope, 0);
    AWAIT(loop_copy(&file->source, memory, GO));
    CHECK_IS(result, 11);
    CHECK(memcmp(loop_memory_data(memory, &length), "unreadlater", 11) == 0);
    END;
}

LOOP_TEST(the_position_of_a_file_counts_its_unread_bytes_as_not_read)
{
    static struct loop_flow *file;
    static struct loop_reader *reader;

    BEGIN;
    file = flow_of(env->scope, make_file("first\nsecond\nthird\n", 19));
    reader = loop_reader_create(&file->source, 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 6);
    loop_reader_destroy(reader);
    CHECK_IS(loop_file_seek(file->fd, 0, SEEK_CUR), 6);
    AWAIT(loop_read_exact(&file->source, got, 6, GO));
    CHECK(memcmp(got, "second", 6) == 0);
    CHECK_IS(loop_file_seek(file->fd, -6, SEEK_CUR), 6);
    AWAIT(loop_read_exact(&file->source, got, 6, GO));
    CHECK(memcmp(got, "second", 6) == 0);
    CHECK_IS(loop_file_seek(file->fd, 0, SEEK_SET), 0);
    AWAIT(loop_read_exact(&file->source, got, 5, GO));
    CHECK(memcmp(got, "first", 5) == 0);
    CHECK_IS(loop_fd_unread(file->fd, "unread", 6), 0);
    CHECK_IS(loop_file_seek(file->fd, 0, SEEK_CUR), 0);
    CHECK_IS(loop_file_seek(file->fd, -1, SEEK_CUR), -EINVAL);
    CHECK_IS(loop_fd_unread_length(file->fd), 6);
    CHECK_IS(loop_file_seek(file->fd, 0, SEEK_END), 19);
    CHECK_IS(loop_fd_unread_length(file->fd), 0);
    END;
}

LOOP_TEST(a_file_is_copied_after_its_unread_bytes)
{
    static struct loop_flow *files[2];

    BEGIN;
    files[0] = flow_of(env->scope, make_file("later", 5));
    files[1] = flow_of(env->scope, make_file("", 0));
    CHECK_IS(loop_fd_unread(files[0]->fd, "unread", 6), 0);
    AWAIT(loop_copy(&files[0]->source, &files[1]->sink, GO));
    CHECK_IS(result, 11);
    CHECK_IS(pread(loop_fd_peek(files[1]->fd), got, 20, 0), 11);
    CHECK_TEXT(got, "unreadlater");
    END;
}

/* Messages stay apart. */
LOOP_TEST(unread_messages_are_read_one_by_one)
{
    static int ends[2];
    static struct loop_flow *flow;

    BEGIN;
    CHECK_IS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    flow = flow_of(env->scope, ends[0]);
    CHECK_IS(send(ends[1], "third", 5, 0), 5);
    CHECK_IS(loop_fd_unread(flow->fd, "second", 6), 0);
    CHECK_IS(loop_fd_unread(flow->fd, "first", 5), 0);
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, 5);
    CHECK_IS(loop_fd_take_unread(flow->fd, got, sizeof got), 6);
    CHECK_IS(loop_fd_take_unread(flow->fd, got, sizeof got), 0);
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, 5);
    CHECK(memcmp(got, "third", 5) == 0);
    close(ends[1]);
    END;
}

LOOP_TEST(an_eventfd_gets_unread_bytes)
{
    static uint64_t number = 7;
    static struct loop_flow *flow;

    BEGIN;
    flow = flow_of(env->scope, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    CHECK_IS(loop_fd_unread(flow->fd, &number, sizeof number), 0);
    number = 0;
    AWAIT(loop_read(&flow->source, &number, sizeof number, GO));
    CHECK_IS(result, 8);
    CHECK_IS(number, 7);
    AWAIT(loop_write(&flow->sink, &number, sizeof number, GO));
    AWAIT(loop_read(&flow->source, &number, sizeof number, GO));
    CHECK_IS(result, 8);
    END;
}

/* ---- taking and closing ---- */

LOOP_TEST(p06_unread_bytes_go_with_a_number_that_is_taken)
{
    static int number;
    static struct loop_flow *again;

    BEGIN;
    make_unread(env, true);
    AWAIT(loop_fd_take(fd, GO));
    number = (int)result;
    CHECK(number >= 0);
    CHECK_IS(loop_fd_unread_length(fd), 6);
    CHECK_IS(loop_fd_unread(fd, "x", 1), -EBADF);
    CHECK_IS(loop_fd_take_unread(fd, got, 2), 2);
    CHECK_IS(loop_fd_take_unread(fd, got + 2, sizeof got - 2), 4);
    CHECK_IS(loop_fd_take_unread(fd, got + 6, sizeof got - 6), 0);
    again = flow_of(env->scope, number);
    CHECK_IS(loop_fd_unread(again->fd, got, 6), 0);
    loop_fd_destroy(fd);
    memset(got, 0, sizeof got);
    AWAIT(loop_read_exact(&again->source, got, 11, GO));
    CHECK_TEXT(got, "unreadlater");
    END;
}

LOOP_TEST(p06_a_close_drops_unread_bytes)
{
    BEGIN;
    make_unread(env, true);
    AWAIT(loop_op_close(NULL, fd, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_fd_unread_length(fd), 0);
    CHECK_IS(loop_fd_take_unread(fd, got, 6), 0);
    AWAIT(loop_read(&flows[0]->source, got, 6, GO));
    CHECK_IS(result, -EBADF);
    make_unread(env, false);
    END; /* and so does the end of the scope */
}

LOOP_TEST(p23_unread_refuses_what_can_not_be)
{
    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(loop_fd_unread(flows[0]->fd, NULL, 5), -EINVAL);
    CHECK_IS(loop_fd_unread(flows[0]->fd, NULL, 0), 0);
    CHECK_IS(loop_fd_unread(flows[0]->fd, "x", SIZE_MAX), -ENOMEM);
    CHECK_IS(loop_fd_unread_length(flows[0]->fd), 0);
    END;
}
