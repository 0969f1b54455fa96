/* SPDX-License-Identifier: ISC
 *
 * loop_pipe, and both ends of pipes and FIFOs.
 */
#include "show.h"

#include <loop/part.h>

#include <sys/stat.h>

/* ---- pipes ---- */

LOOP_TEST(pipe_is_nonblocking_and_cloexec)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static int fds[2];
    static char got[7];

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    fds[0] = loop_fd_peek(source->ops->fd(source));
    fds[1] = loop_fd_peek(sink->ops->fd(sink));
    for (int i = 0; i < 2; i++) {
        CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CHECK_IS(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
    }
    AWAIT(loop_write(sink, "through", 7, GO));
    AWAIT(loop_read_exact(source, got, 7, GO));
    CHECK(memcmp(got, "through", 7) == 0);
    END;
}

LOOP_TEST(pipe_carries_more_than_it_holds)
{
    enum { SIZE = 1 << 20 };
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct once write;
    static char *sent, *got;

    BEGIN;
    sent = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(sent, SIZE, 12);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    START(loop_write(sink, sent, SIZE, ONCE(&write)));
    AWAIT(loop_read_exact(source, got, SIZE, GO));
    CHECK_IS(result, SIZE);
    CHECK(is_pattern(got, SIZE, 12));
    WAIT_UNTIL(write.count);
    ONCE_IS(write, SIZE);
    free(sent);
    free(got);
    END;
}

/* Its room may be watched by a poll that stays: an event that no write waits for must do no harm, and the next one must
 * come. */
LOOP_TEST(pipe_that_is_full_again_and_again_wakes_its_writer_each_time)
{
    enum { SIZE = 1 << 18, ROUNDS = 5 };
    static struct loop_flow *writer;
    static struct once write;
    static char sent[SIZE];
    static int fds[2], round;
    static size_t n_got;
    static loop_job job;

    BEGIN;
    make_pipe(fds);
    writer = flow_of(env->scope, fds[1]);
    for (round = 0; round < ROUNDS; round++) {
        write = (struct once){0};
        job = START(loop_write(&writer->sink, sent, SIZE, ONCE(&write)));
        for (n_got = 0; write.count == 0; n_got += drain(fds[0])) {
            AWAIT(turns(env->scope, 2, GO));
            if (round == 1 && write.count == 0) {
                (void)loop_cancel(env->loop, job); /* while it waits for room */
            }
        }
        n_got += drain(fds[0]);
        CHECK_IS(write.result, (int64_t)n_got);
        AWAIT(turns(env->scope, 2, GO)); /* there is room, and no write waits for it */
    }
    write = (struct once){0};
    START(loop_write(&writer->sink, sent, SIZE, ONCE(&write)));
    AWAIT(turns(env->scope, 2, GO));
    close(fds[0]);
    WAIT_UNTIL(write.count);
    CHECK(write.result > 0 || write.result == -EPIPE);
    AWAIT(loop_write(&writer->sink, sent, 1, GO));
    CHECK_IS(result, -EPIPE);
    END;
}

/* Others fill the pipe and empty it. That wakes the loop now and then at most: it has nothing to write. */
LOOP_TEST(p18_a_pipe_that_others_fill_does_not_wake_a_loop_that_once_waited_for_room)
{
    enum { SIZE = 1 << 18, ROUNDS = 20 };
    static struct loop_flow *writer;
    static struct loop_stats before, quiet, after;
    static struct once write;
    static char sent[SIZE];
    static int fds[2], other, round;

    BEGIN;
    make_pipe(fds);
    other = fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
    writer = flow_of(env->scope, fds[1]);
    START(loop_write(&writer->sink, sent, SIZE, ONCE(&write)));
    while (write.count == 0) {
        AWAIT(turns(env->scope, 2, GO));
        drain(fds[0]);
    }
    loop_get_stats(env->loop, &before);
    for (round = 0; round < ROUNDS; round++) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    loop_get_stats(env->loop, &quiet);
    for (round = 0; round < ROUNDS; round++) {
        stuff(other);
        drain(fds[0]);
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - quiet.turns <= quiet.turns - before.turns + ROUNDS / 2);
    close(other);
    close(fds[0]);
    END;
}

static struct loop_scope *scope_of_no_pipe;
static int late_pipe = 1;

static void make_late_pipe(void *unused)
{
    struct loop_source *source;
    struct loop_sink *sink;

    (void)unused;
    late_pipe = loop_pipe(scope_of_no_pipe, &source, &sink);
}

LOOP_TEST(pipe_in_a_scope_that_has_ended)
{
    static struct once ended;

    BEGIN;
    scope_of_no_pipe = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(scope_of_no_pipe, make_late_pipe, NULL));
    WAIT_UNTIL(ended.count);
    CHECK_IS(late_pipe, -ECANCELED);
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
    shown_directory = make_directory();
    CHECK_IS(mkfifo(path_of("fifo"), 0600), 0);
    SHOW("open a fifo for writing where nobody reads", loop_op_openat2(env->scope, path_of("fifo"), &for_writing, GO));
    AWAIT(loop_op_openat2(env->scope, path_of("fifo"), &for_reading, GO));
    reader = flow_of(env->scope, (int)result);
    AWAIT(loop_op_openat2(env->scope, path_of("fifo"), &for_writing, GO));
    writer = flow_of(env->scope, (int)result);
    SHOW("write", loop_write(&writer->sink, "fifo", 4, GO));
    SHOW("read", loop_read_exact(&reader->source, shown_bytes, 4, GO));
    loop_flow_close(writer);
    SHOW("read when the writer has gone", loop_read(&reader->source, shown_bytes, 4, GO));
    SHOW("op_read when the writer has gone", loop_op_read(NULL, reader->fd, shown_bytes, 1, LOOP_CURRENT, GO));
    AWAIT(loop_op_openat2(env->scope, path_of("fifo"), &for_writing, GO));
    writer = flow_of(env->scope, (int)result);
    loop_flow_close(reader);
    AWAIT(turns(env->scope, 3, GO));
    SHOW("write when the reader has gone", loop_write(&writer->sink, "x", 1, GO));
    SHOW("write once more", loop_write(&writer->sink, "x", 1, GO));
    SHOW("op_write when the reader has gone", loop_op_write(NULL, writer->fd, "x", 1, LOOP_CURRENT, GO));
    AWAIT(loop_op_openat2(env->scope, path_of("fifo"), &both, GO));
    writer = flow_of(env->scope, (int)result);
    SHOW("write to both ends", loop_write(&writer->sink, "both", 4, GO));
    SHOW("read from both ends", loop_read_exact(&writer->source, shown_bytes, 4, GO));
    SHOW_CANCELLED("read of an empty fifo", loop_read(&writer->source, shown_bytes, 1, GO));
    remove_directory(shown_directory);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    SHOW("write to a pipe", loop_write(sink, "pipe", 4, GO));
    SHOW("shutdown of a pipe", loop_shutdown(sink, GO));
    SHOW("write after the shutdown", loop_write(sink, "x", 1, GO));
    SHOW("shutdown once more", loop_shutdown(sink, GO));
    SHOW("exact read to the end", loop_read_exact(source, shown_bytes, 10, GO));
    SHOW("read at the end", loop_read(source, shown_bytes, 10, GO));
    file = adopt(env->scope, make_file("abc", 3));
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    SHOW("splice a byte of a file", loop_op_splice(NULL, file, 1, sink->ops->fd(sink), LOOP_CURRENT, 1, GO));
    SHOW("splice at the end of a file", loop_op_splice(NULL, file, 3, sink->ops->fd(sink), LOOP_CURRENT, 1, GO));
    SHOW("splice a byte to a file", loop_op_splice(NULL, source->ops->fd(source), LOOP_CURRENT, file, 0, 1, GO));
    SHOW("read what was spliced", loop_op_read(NULL, file, shown_bytes, 1, 0, GO));
    trace("the byte is %c", shown_bytes[0]);
    loop_sink_close(sink);
    SHOW("splice at the end of a pipe", loop_op_splice(NULL, source->ops->fd(source), LOOP_CURRENT, file, 0, 1, GO));
    CHECK_TEXT(trace_text(), fifos_text);
    END;
}

/* A fifo that never had a writer is not at its end: not even for a stream that was resumed while nothing is there. */
LOOP_TEST(p17_a_resumed_stream_of_a_fifo_without_a_writer_waits)
{
    static struct record record;
    static char bytes[4];
    static loop_job stream;
    static int writer;

    BEGIN;
    shown_directory = make_directory();
    CHECK_IS(mkfifo(path_of("fifo"), 0600), 0);
    record = (struct record){.data = bytes, .room = sizeof bytes};
    stream = START(loop_stream(&flow_of(env->scope, open(path_of("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC))->source,
                               RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_pause(env->loop, stream), 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_resume(env->loop, stream), 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(loop_job_is_alive(env->loop, stream));
    writer = open(path_of("fifo"), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK_IS(write(writer, "x", 1), 1);
    WAIT_UNTIL(record.length == 1);
    close(writer);
    WAIT_UNTIL(record.ends);
    remove_directory(shown_directory);
    END;
}
