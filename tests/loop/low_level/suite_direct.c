/* SPDX-License-Identifier: ISC
 *
 * Files opened with O_DIRECT, read and written at their position: by the low-level operations, which require aligned
 * memory and lengths, and by sources and sinks, which accept any.
 */
#include "direct.h"

#include <loop/reader.h>

static char bytes[BLOCKS * BLOCK + 1];
static struct once waits[BLOCKS];

/* What is in the file, by another description, and how much. */
static size_t contents(int fd, char *to, size_t room)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int plain = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(plain >= 0);
    ssize_t n = pread(plain, to, room, 0);
    close(plain);
    CHECK(n >= 0);
    return (size_t)n;
}

/* ---- the file's position ---- */

LOOP_TEST(reads_of_a_direct_file_follow_each_other)
{
    static struct loop_fd *file;
    static unsigned i;
    static int fd;

    BEGIN;
    fd = make_direct((size_t)3 * BLOCK, 0);
    LEAVE_UNLESS(fd >= 0);
    file = adopt(env->scope, fd);
    for (i = 0; i < 3; i++) {
        AWAIT(loop_read(&loop_fd_flow(file)->source, memory, BLOCK, GO));
        CHECK_MOVED(result, BLOCK);
        CHECK(is_pattern_at(memory, (size_t)result, 1, (size_t)(lseek(fd, 0, SEEK_CUR) - result)));
        CHECK(is_hard("short") || lseek(fd, 0, SEEK_CUR) == (off_t)(i + 1) * BLOCK);
    }
    CHECK_IS(lseek(fd, 0, SEEK_END), 3 * BLOCK);
    AWAIT(loop_read(&loop_fd_flow(file)->source, memory, BLOCK, GO));
    CHECK_IS(result, 0);
    free(memory);
    END;
}

LOOP_TEST(operations_at_the_position_of_a_direct_file_follow_each_other)
{
    static struct loop_fd *file;
    static unsigned i;
    static int fd;

    BEGIN;
    fd = make_direct((size_t)BLOCKS * BLOCK, 0);
    LEAVE_UNLESS(fd >= 0 && !is_hard("short"));
    file = adopt(env->scope, fd);
    for (i = 0; i < BLOCKS; i++) {
        AWAIT(loop_op_read(NULL, file, memory, BLOCK, LOOP_CURRENT, GO));
        CHECK_IS(result, BLOCK);
        CHECK(is_pattern_at(memory, BLOCK, 1, (size_t)i * BLOCK));
    }
    AWAIT(loop_op_read(NULL, file, memory, BLOCK, LOOP_CURRENT, GO));
    CHECK_IS(result, 0);
    CHECK_IS(lseek(fd, 0, SEEK_SET), 0);
    fill_pattern(memory, (size_t)BLOCKS * BLOCK, 2);
    for (i = 0; i < BLOCKS / 2; i++) {
        AWAIT(loop_op_write(NULL, file, memory + (size_t)i * BLOCK, BLOCK, LOOP_CURRENT, GO));
        CHECK_IS(result, BLOCK);
    }
    for (; i < BLOCKS; i++) { /* together */
        START(loop_op_write(NULL, file, memory + (size_t)i * BLOCK, BLOCK, LOOP_CURRENT, ONCE(&waits[i])));
    }
    for (i = BLOCKS / 2; i < BLOCKS; i++) {
        WAIT_UNTIL(waits[i].count);
        ONCE_IS(waits[i], BLOCK);
    }
    CHECK_IS(contents(fd, bytes, sizeof bytes), BLOCKS * BLOCK);
    CHECK(is_pattern(bytes, (size_t)BLOCKS * BLOCK, 2));
    free(memory);
    END;
}

LOOP_TEST(writes_to_a_direct_file_follow_each_other)
{
    static struct loop_fd *file;
    static unsigned i;
    static int fd;

    BEGIN;
    fd = make_direct(0, 0);
    LEAVE_UNLESS(fd >= 0);
    file = adopt(env->scope, fd);
    fill_pattern(memory, (size_t)BLOCKS * BLOCK, 3);
    for (i = 0; i < BLOCKS; i++) {
        AWAIT(loop_write(&loop_fd_flow(file)->sink, memory + (size_t)i * BLOCK, BLOCK, GO));
        CHECK_IS(result, BLOCK);
    }
    CHECK_IS(contents(fd, bytes, sizeof bytes), BLOCKS * BLOCK);
    CHECK(is_pattern(bytes, (size_t)BLOCKS * BLOCK, 3));
    free(memory);
    END;
}

/* ---- sources and sinks of any length ---- */

#define ODD_LENGTH (3 * BLOCK + 1234)

static char pattern[BLOCKS * BLOCK];

static bool is_whole(const char *data, size_t len)
{
    return len == ODD_LENGTH && is_pattern(data, len, 1);
}

static void on_stream(void *unused, int64_t n, struct loop_chunk *chunk)
{
    (void)unused;
    if (chunk) {
        memcpy(bytes + waits[0].order, loop_chunk_data(chunk), (size_t)n);
        waits[0].order += (unsigned)n;
    } else {
        script_go(NULL, n);
    }
}

static struct loop_fd *file;
static int fd;

LOOP_TEST(direct_file_is_read_into_any_memory)
{
    static size_t total;

    BEGIN;
    fd = make_direct(ODD_LENGTH, 0);
    LEAVE_UNLESS(fd >= 0);
    file = adopt(env->scope, fd);
    for (total = 0, result = 1; result > 0; total += (size_t)result) {
        AWAIT(loop_read(&loop_fd_flow(file)->source, bytes + total, 777, GO));
        CHECK(result >= 0 && result <= 777);
    }
    CHECK(is_whole(bytes, total));
    CHECK_IS(lseek(fd, 3, SEEK_SET), 3);
    AWAIT(loop_read_exact(&loop_fd_flow(file)->source, bytes + 1, ODD_LENGTH - 3, GO));
    CHECK_IS(result, ODD_LENGTH - 3);
    CHECK(is_pattern_at(bytes + 1, ODD_LENGTH - 3, 1, 3));
    AWAIT(loop_read(&loop_fd_flow(file)->source, bytes, 10, GO));
    CHECK_IS(result, 0);
    free(memory);
    END;
}

LOOP_TEST(direct_file_is_streamed_and_read_whole)
{
    static struct loop_reader *reader;

    BEGIN;
    fd = make_direct(ODD_LENGTH, 0);
    LEAVE_UNLESS(fd >= 0);
    file = adopt(env->scope, fd);
    AWAIT(loop_stream(&loop_fd_flow(file)->source, on_stream, NULL));
    CHECK_IS(result, 0);
    CHECK(is_whole(bytes, waits[0].order));
    CHECK_IS(lseek(fd, 5, SEEK_SET), 5);
    reader = loop_reader_create(&loop_fd_flow(file)->source, (size_t)BLOCKS * BLOCK);
    AWAIT(loop_reader_all(reader, GO));
    CHECK_IS(result, ODD_LENGTH - 5);
    CHECK(is_pattern_at(loop_reader_data(reader, NULL), (size_t)result, 1, 5));
    free(memory);
    END;
}

/* The bytes stand at an aligned address in the memory of the reader, which the descriptor takes over. */
LOOP_TEST(direct_file_takes_the_bytes_of_a_reader_back)
{
    static struct loop_reader *reader;

    BEGIN;
    fd = make_direct(ODD_LENGTH, 0);
    LEAVE_UNLESS(fd >= 0);
    file = adopt(env->scope, fd);
    reader = loop_reader_create(&loop_fd_flow(file)->source, (size_t)BLOCKS * BLOCK);
    AWAIT(loop_reader_exact(reader, 7, GO));
    CHECK_IS(result, 7);
    CHECK(is_pattern_at(loop_reader_data(reader, NULL), 7, 1, 0));
    loop_reader_destroy(reader);
    CHECK_IS(loop_fd_unread_length(file), ODD_LENGTH - 7);
    AWAIT(loop_read_exact(&loop_fd_flow(file)->source, bytes, ODD_LENGTH - 7, GO));
    CHECK_IS(result, ODD_LENGTH - 7);
    CHECK(is_pattern_at(bytes, ODD_LENGTH - 7, 1, 7));
    free(memory);
    END;
}

LOOP_TEST(direct_files_are_copied)
{
    static struct loop_fd *plain;
    static struct loop_sink *sink;
    static const void *data;
    static size_t len;

    BEGIN;
    fd = make_direct(ODD_LENGTH, 0);
    LEAVE_UNLESS(fd >= 0);
    file = adopt(env->scope, fd);
    plain = adopt(env->scope, make_file(NULL, 0));
    AWAIT(loop_copy(&loop_fd_flow(file)->source, &loop_fd_flow(plain)->sink, GO));
    CHECK_IS(result, ODD_LENGTH);
    CHECK(is_whole(bytes, contents(loop_fd_peek(plain), bytes, sizeof bytes)));
    CHECK_IS(lseek(fd, 0, SEEK_SET), 0);
    sink = loop_memory_sink(env->scope, sizeof bytes);
    AWAIT(loop_copy(&loop_fd_flow(file)->source, sink, GO));
    CHECK_IS(result, ODD_LENGTH);
    data = loop_memory_data(sink, &len);
    CHECK(is_whole(data, len));
    CHECK_IS(ftruncate(fd, 0), 0);
    CHECK_IS(lseek(fd, 0, SEEK_SET), 0);
    CHECK_IS(lseek(loop_fd_peek(plain), 0, SEEK_SET), 0);
    AWAIT(loop_copy(&loop_fd_flow(plain)->source, &loop_fd_flow(file)->sink, GO));
    CHECK_IS(result, ODD_LENGTH);
    CHECK(is_whole(bytes, contents(fd, bytes, sizeof bytes)));
    CHECK(fcntl(fd, F_GETFL) & O_DIRECT);
    free(memory);
    END;
}

static const size_t lengths[] = {1, 4095, 4096, 5000, 100, 8192, 3, 4097, 512, 1000};

LOOP_TEST(direct_file_is_written_from_any_memory)
{
    static unsigned i, appends;
    static size_t total;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 4);
    for (appends = 0; appends < 2; appends++) {
        fd = make_direct(0, appends ? O_APPEND : 0);
        LEAVE_UNLESS(fd >= 0);
        file = adopt(env->scope, fd);
        for (i = 0, total = 0; i < COUNT_OF(lengths); total += lengths[i++]) {
            AWAIT(loop_write(&loop_fd_flow(file)->sink, pattern + total, lengths[i], GO));
            CHECK_IS(result, lengths[i]);
        }
        CHECK_IS(contents(fd, bytes, sizeof bytes), total);
        CHECK(is_pattern(bytes, total, 4));
        CHECK(fcntl(fd, F_GETFL) & O_DIRECT);
        loop_fd_destroy(file);
        free(memory);
    }
    END;
}

/* The low level says what the system call says. */
LOOP_TEST(operation_on_a_direct_file_wants_what_the_kernel_wants)
{
    BEGIN;
    fd = make_direct(ODD_LENGTH, 0);
    LEAVE_UNLESS(fd >= 0);
    file = adopt(env->scope, fd);
    AWAIT(loop_op_read(NULL, file, memory + 1, 1000, LOOP_CURRENT, GO));
    CHECK_IS(result > 0 ? 1000 : result, read(fd, memory + 1, 1000) < 0 ? -EINVAL : 1000); /* a hard mode reads less */
    free(memory);
    END;
}
