/* SPDX-License-Identifier: ISC
 *
 * An error that a source reports after some bytes of a larger read: the read returns the bytes, and the next operation
 * on the source returns the error.
 */
#include "harness.h"

#include <loop/reader.h>

#include <poll.h>
#include <sys/mman.h>

static char got[100];

/* ---- descriptors ---- */

/* The peer sends ten bytes, and then resets the connection. */
static void reset_after_ten(int peer)
{
    struct linger linger = {1, 0};

    CHECK_IS(send(peer, "0123456789", 10, 0), 10);
    CHECK_IS(setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(peer);
}

/* Asks for a hundred bytes, of which ten come. */
static struct loop_flow *flow;
static struct loop_sink *sink;

#define READ_TEN_BEFORE_A_RESET                                                                                        \
    do {                                                                                                               \
        make_tcp_pair(fds);                                                                                            \
        flow = flow_of(env->scope, fds[0]);                                                                            \
        START(loop_read_exact(&flow->source, got, sizeof got, ONCE(&exact)));                                          \
        reset_after_ten(fds[1]);                                                                                       \
        WAIT_UNTIL(exact.count);                                                                                       \
        ONCE_IS(exact, 10);                                                                                            \
        exact = (struct once){0};                                                                                      \
    } while (0)

LOOP_TEST(p17_reset_after_some_bytes_is_told_by_the_next_read)
{
    static int fds[2];
    static struct once exact;

    BEGIN;
    READ_TEN_BEFORE_A_RESET;
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, -ECONNRESET);
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, 0);
    READ_TEN_BEFORE_A_RESET;
    AWAIT(loop_read_exact(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, -ECONNRESET);
    READ_TEN_BEFORE_A_RESET;
    CHECK_IS(loop_try_read(&flow->source, got, sizeof got), -ECONNRESET);
    CHECK_IS(loop_try_read(&flow->source, got, sizeof got), 0);
    READ_TEN_BEFORE_A_RESET;
    AWAIT(loop_wait_readable(&flow->source, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_try_read(&flow->source, got, sizeof got), -ECONNRESET);
    END;
}

LOOP_TEST(reset_after_some_bytes_is_told_by_streams_copies_and_readers)
{
    static int fds[2];
    static struct once exact;
    static struct record record = {.data = got, .room = sizeof got};

    BEGIN;
    READ_TEN_BEFORE_A_RESET;
    START(loop_stream(&flow->source, RECORD(&record)));
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.length, 0);
    CHECK_IS(record.end, -ECONNRESET);
    READ_TEN_BEFORE_A_RESET;
    AWAIT(loop_copy(&flow->source, loop_null_sink(env->scope), GO));
    CHECK_IS(result, -ECONNRESET);
    READ_TEN_BEFORE_A_RESET;
    AWAIT(loop_copy(&flow->source, &flow->sink, GO));
    CHECK_IS(result, -ECONNRESET);
    READ_TEN_BEFORE_A_RESET;
    AWAIT(loop_reader_line(loop_reader_create(&flow->source, 0), GO));
    CHECK_IS(result, -ECONNRESET);
    END;
}

LOOP_TEST(reset_after_some_bytes_is_told_by_operations)
{
    static int fds[2], pipe_ends[2];
    static struct once exact;
    static struct iovec iov = {got, sizeof got};
    static struct loop_message message = {.iov = &iov, .n_iov = 1};
    static struct loop_buffers *buffers;
    static struct loop_fd *to;

    BEGIN;
    READ_TEN_BEFORE_A_RESET;
    AWAIT(loop_op_poll_add(NULL, flow->fd, POLLIN, GO));
    CHECK(result & POLLIN);
    AWAIT(loop_op_recv(NULL, flow->fd, got, sizeof got, 0, GO));
    CHECK_IS(result, -ECONNRESET);
    READ_TEN_BEFORE_A_RESET;
    AWAIT(loop_op_read(NULL, flow->fd, got, sizeof got, LOOP_CURRENT, GO));
    CHECK_IS(result, -ECONNRESET);
    READ_TEN_BEFORE_A_RESET;
    AWAIT(loop_op_recv_msg(NULL, flow->fd, &message, GO));
    CHECK_IS(result, -ECONNRESET);
    READ_TEN_BEFORE_A_RESET;
    buffers = loop_buffers_create(env->scope, 4, 4096);
    AWAIT(loop_op_recv_multishot(NULL, flow->fd, buffers, (loop_recv_fn *)(void (*)(void))script_go, NULL));
    CHECK_IS(result, -ECONNRESET);
    READ_TEN_BEFORE_A_RESET;
    make_pipe(pipe_ends);
    to = adopt(env->scope, pipe_ends[1]);
    AWAIT(loop_op_splice(NULL, flow->fd, LOOP_CURRENT, to, LOOP_CURRENT, 100, GO));
    CHECK_IS(result, -ECONNRESET);
    close(pipe_ends[0]);
    END;
}

LOOP_TEST(reset_after_a_part_of_msg_waitall_is_told_next)
{
    static int fds[2];
    static struct once part;

    BEGIN;
    make_tcp_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    START(loop_op_recv(NULL, flow->fd, got, sizeof got, MSG_WAITALL, ONCE(&part)));
    reset_after_ten(fds[1]);
    WAIT_UNTIL(part.count);
    ONCE_IS(part, 10);
    AWAIT(loop_op_recv(NULL, flow->fd, got, sizeof got, 0, GO));
    CHECK_IS(result, -ECONNRESET);
    END;
}

/* A copy that returns a count leaves the error to the next operation; one that returned the error does not. */
LOOP_TEST(reset_after_a_copy_of_some_bytes_is_told_next)
{
    static int fds[2];
    static struct once copy;
    static struct loop_copy_outcome outcome;

    BEGIN;
    make_tcp_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    START(loop_copy(&flow->source, loop_memory_sink(env->scope, 0), ONCE(&copy)));
    reset_after_ten(fds[1]);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, 10);
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, -ECONNRESET);
    copy = (struct once){0};
    make_tcp_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    START(loop_copy_report(&flow->source, loop_memory_sink(env->scope, 0), &outcome, ONCE(&copy)));
    reset_after_ten(fds[1]);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, 10);
    CHECK_IS(outcome.error, -ECONNRESET);
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(bytes_given_back_come_before_the_kept_error)
{
    static int fds[2];
    static struct once exact;

    BEGIN;
    READ_TEN_BEFORE_A_RESET;
    CHECK_IS(loop_source_unread(&flow->source, "89", 2), 0);
    CHECK_IS(loop_fd_unread_length(flow->fd), 2);
    AWAIT(loop_read_exact(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, 2);
    AWAIT(loop_read_exact(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, -ECONNRESET);
    END;
}

LOOP_TEST(kept_error_goes_with_its_descriptor)
{
    static int fds[2];
    static struct once exact;

    BEGIN;
    READ_TEN_BEFORE_A_RESET;
    CHECK_IS(loop_fd_close(flow->fd), 0);
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, -EBADF);
    READ_TEN_BEFORE_A_RESET;
    END;
}

/* ---- a reset that a write meets ---- */

static struct loop_sink *file_sink(struct loop_scope *scope)
{
    return &flow_of(scope, memfd_create("copy", MFD_CLOEXEC))->sink;
}

/* The kernel reports the reset to the write. The ten bytes before it are left, and no end was sent behind them. */
#define WRITE_INTO_A_RESET                                                                                             \
    do {                                                                                                               \
        make_tcp_pair(fds);                                                                                            \
        flow = flow_of(env->scope, fds[0]);                                                                            \
        reset_after_ten(fds[1]);                                                                                       \
        CHECK_IS(poll(&(struct pollfd){.fd = fds[0], .events = 0}, 1, -1), 1);                                         \
        AWAIT(loop_write(&flow->sink, "x", 1, GO));                                                                    \
        CHECK_IS(result, -ECONNRESET);                                                                                 \
    } while (0)

LOOP_TEST(p17_reset_that_a_write_meets_is_told_by_the_read_that_meets_the_end)
{
    static int fds[2];

    BEGIN;
    WRITE_INTO_A_RESET;
    AWAIT(loop_read_exact(&flow->source, got, 10, GO));
    CHECK_IS(result, 10);
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, -ECONNRESET);
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, 0);
    WRITE_INTO_A_RESET;
    AWAIT(loop_read_exact(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, 10);
    CHECK_IS(loop_try_read(&flow->source, got, sizeof got), -ECONNRESET);
    CHECK_IS(loop_try_read(&flow->source, got, sizeof got), 0);
    WRITE_INTO_A_RESET;
    AWAIT(loop_read_exact(&flow->source, got, 10, GO));
    CHECK_IS(loop_try_read(&flow->source, got, sizeof got), -ECONNRESET);
    WRITE_INTO_A_RESET;
    AWAIT(loop_reader_all(loop_reader_create(&flow->source, 0), GO));
    CHECK_IS(result, -ECONNRESET);
    END;
}

LOOP_TEST(p17_reset_that_a_write_meets_is_told_by_streams_and_copies)
{
    static int fds[2], pair[2];
    static struct record record = {.data = got, .room = sizeof got};
    static struct loop_copy_outcome outcome;

    BEGIN;
    WRITE_INTO_A_RESET;
    START(loop_stream(&flow->source, RECORD(&record)));
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.length, 10);
    CHECK_IS(record.end, -ECONNRESET);
    WRITE_INTO_A_RESET;
    AWAIT(loop_copy_report(&flow->source, loop_memory_sink(env->scope, 0), &outcome, GO));
    CHECK_IS(result, 10);
    CHECK_IS(outcome.error, -ECONNRESET);
    CHECK(!outcome.is_sink_error);
    WRITE_INTO_A_RESET;
    AWAIT(loop_copy_report(&flow->source, file_sink(env->scope), &outcome, GO));
    CHECK_IS(result, 10);
    CHECK_IS(outcome.error, -ECONNRESET);
    make_pair(pair);
    sink = &flow_of(env->scope, pair[0])->sink;
    CHECK(flow_of(env->scope, pair[1]) != NULL);
    WRITE_INTO_A_RESET;
    AWAIT(loop_copy_report(&flow->source, sink, &outcome, GO));
    CHECK_IS(result, 10);
    CHECK_IS(outcome.error, -ECONNRESET);
    END;
}

/* Whichever of the two meets the reset first. */
LOOP_TEST(p17_reset_beside_a_write_is_told_by_the_read_that_waits)
{
    static int fds[2];
    static struct once read, written;

    BEGIN;
    make_tcp_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    START(loop_read(&flow->source, got, sizeof got, ONCE(&read)));
    AWAIT(turns(env->scope, 3, GO));
    close_with_reset(fds[1]);
    START(loop_write(&flow->sink, "x", 1, ONCE(&written)));
    WAIT_UNTIL(read.count && written.count);
    ONCE_IS(read, -ECONNRESET);
    CHECK(written.result == -ECONNRESET || written.result == -EPIPE);
    END;
}

/* A regular file reports an error at its offset, here for memory that maps more than the file contains. */
LOOP_TEST(error_of_a_regular_file_stays_at_its_place)
{
    static char *pages;
    static long size;
    static int file;

    BEGIN;
    size = sysconf(_SC_PAGESIZE);
    file = make_file("", 0);
    CHECK_IS(ftruncate(file, size), 0);
    pages = mmap(NULL, (size_t)size * 2, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(pages != MAP_FAILED);
    memset(pages, 'p', (size_t)size);
    close(file);
    flow = flow_of(env->scope, open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
    CHECK(loop_file_seek(flow->fd, (int64_t)(uintptr_t)pages + size - 10, SEEK_SET) > 0);
    AWAIT(loop_read_exact(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, 10);
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, -EIO);
    CHECK(loop_file_seek(flow->fd, (int64_t)(uintptr_t)pages + size - 10, SEEK_SET) > 0);
    AWAIT(loop_read_exact(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, 10);
    CHECK(loop_file_seek(flow->fd, (int64_t)(uintptr_t)pages, SEEK_SET) > 0);
    AWAIT(loop_read(&flow->source, got, 5, GO));
    CHECK_MOVED(result, 5);
    CHECK_IS(got[0], 'p');
    munmap(pages, (size_t)size * 2);
    END;
}

/* ---- sources of the program's own ---- */

/* Ten bytes, then one error, then the end. */
struct faulty {
    struct loop_source source;
    unsigned calls;
};

static int64_t faulty_next(struct faulty *faulty, void *buf, size_t len)
{
    faulty->calls++;
    if (faulty->calls == 1) {
        CHECK(len >= 10);
        memcpy(buf, "0123456789", 10);
        return 10;
    }
    return faulty->calls == 2 ? -EIO : 0;
}

static loop_job faulty_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);

    loop_resolve(loop_scope_loop(source->scope), job, faulty_next(source->self, buf, len));
    return job;
}

static int64_t faulty_try(struct loop_source *source, void *buf, size_t len)
{
    return faulty_next(source->self, buf, len);
}

static loop_job faulty_wait(struct loop_source *source, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);

    loop_resolve(loop_scope_loop(source->scope), job, 0);
    return job;
}

static int faulty_close(struct loop_source *source)
{
    (void)source;
    return 0;
}

static int faulty_unread(struct loop_source *source, const void *bytes, size_t len)
{
    (void)source;
    (void)bytes;
    (void)len;
    return 0;
}

static const struct loop_source_ops plain_ops = {.read = faulty_read, .close = faulty_close};

static const struct loop_source_ops trying_ops = {.read = faulty_read,
                                                  .close = faulty_close,
                                                  .try_read = faulty_try,
                                                  .wait_readable = faulty_wait,
                                                  .unread = faulty_unread};

static struct loop_source *make_faulty(struct loop_scope *scope, const struct loop_source_ops *ops)
{
    struct faulty *faulty = loop_scope_alloc(scope, sizeof *faulty);

    *faulty = (struct faulty){.source = {.ops = ops, .scope = scope, .self = faulty}};
    return &faulty->source;
}

LOOP_TEST(own_source_s_error_after_some_bytes_is_told_next)
{
    static const struct loop_source_ops *const tables[] = {&plain_ops, &trying_ops};
    static struct loop_source *source;
    static struct record record;
    static int i;

    BEGIN;
    for (i = 0; i < 2; i++) {
#define READ_TEN                                                                                                       \
    do {                                                                                                               \
        source = make_faulty(env->scope, tables[i]);                                                                   \
        AWAIT(loop_read_exact(source, got, sizeof got, GO));                                                           \
        CHECK_IS(result, 10);                                                                                          \
    } while (0)
        READ_TEN;
        AWAIT(loop_read(source, got, sizeof got, GO));
        CHECK_IS(result, -EIO);
        AWAIT(loop_read(source, got, sizeof got, GO));
        CHECK_IS(result, 0);
        READ_TEN;
        AWAIT(loop_read_exact(source, got, sizeof got, GO));
        CHECK_IS(result, -EIO);
        READ_TEN;
        CHECK_IS(loop_try_read(source, got, sizeof got), -EIO);
        READ_TEN;
        record = (struct record){.data = got, .room = sizeof got};
        START(loop_stream(source, RECORD(&record)));
        WAIT_UNTIL(record.ends);
        CHECK_IS(record.length, 0);
        CHECK_IS(record.end, -EIO);
        READ_TEN;
        AWAIT(loop_copy(source, loop_null_sink(env->scope), GO));
        CHECK_IS(result, -EIO);
        READ_TEN;
        AWAIT(loop_reader_line(loop_reader_create(source, 0), GO));
        CHECK_IS(result, -EIO);
        READ_TEN;
        AWAIT(loop_wait_readable(source, GO));
        CHECK_IS(result, 0);
        CHECK_IS(loop_try_read(source, got, sizeof got), -EIO);
        source = make_faulty(env->scope, tables[i]);
        AWAIT(loop_copy(source, loop_memory_sink(env->scope, 0), GO));
        CHECK_IS(result, 10);
        AWAIT(loop_read(source, got, sizeof got, GO));
        CHECK_IS(result, -EIO);
    }
    END;
}

LOOP_TEST(own_source_that_is_closed_or_cancelled_tells_no_kept_error)
{
    static struct loop_source *source;
    static struct loop_scope *scope;
    static struct once end;
    static int i;

    BEGIN;
    i = 0;
    scope = loop_scope_open(env->scope, ONCE(&end));
    loop_scope_hold(scope);
    source = make_faulty(scope, &trying_ops);
    AWAIT(loop_read_exact(source, got, sizeof got, GO));
    CHECK_IS(result, 10);
    CHECK_IS(loop_source_close(source), 0);
    AWAIT(loop_read(source, got, sizeof got, GO));
    CHECK_IS(result, 0);
    for (i = 0; i < 100; i++) {
        source = make_faulty(scope, &trying_ops);
        AWAIT(loop_read_exact(source, got, sizeof got, GO));
        CHECK_IS(result, 10);
    }
    loop_scope_cancel(scope);
    CHECK_IS(loop_try_read(source, got, sizeof got), -ECANCELED);
    AWAIT(loop_read(source, got, sizeof got, GO));
    CHECK_IS(result, -ECANCELED);
    loop_scope_unhold(scope);
    WAIT_UNTIL(end.count);
    END;
}
