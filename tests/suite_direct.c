/* SPDX-License-Identifier: ISC
 *
 * Files that were opened with O_DIRECT, read on and written on at their position: by the operations of the low level,
 * which want memory and lengths that are aligned, and by sources and sinks, which take any.
 */
#include "harness.h"

#include <loop/reader.h>
#include <stdio.h>

#define BLOCK 4096
#define BLOCKS 8

static char *memory; /* aligned, BLOCKS blocks */
static char bytes[BLOCKS * BLOCK + 1];
static struct once waits[BLOCKS];

/* A file without a name, of so many bytes of the pattern; -1 where the file system has no O_DIRECT. */
static int make_direct(size_t len, int more_flags)
{
    char path[64];
    int plain = make_file(NULL, 0), fd;
    memory = aligned_alloc(BLOCK, (size_t)BLOCKS * BLOCK);
    CHECK(memory);
    fill_pattern(bytes, sizeof bytes, 1);
    CHECK_IS(pwrite(plain, bytes, len, 0), len);
    CHECK_IS(fsync(plain), 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", plain);
    fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC | more_flags);
    close(plain);
    memset(bytes, 0, sizeof bytes);
    return fd;
}

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

#define LEAVE_UNLESS(condition)                                                                                        \
    if (!(condition)) {                                                                                                \
        free(memory);                                                                                                  \
        script.is_done = true;                                                                                         \
        return;                                                                                                        \
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
