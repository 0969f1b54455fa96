/* SPDX-License-Identifier: ISC
 *
 * Several operations at the position of one file, in flight together: low-level ones, those of a source and a sink, and
 * both. Each transfers its own bytes, and the position ends after the last.
 */
#include "harness.h"

#include <stdio.h>
#include <unistd.h>

#define BLOCK 4096
#define BLOCKS 32

#define LEAVE_IF(condition)                                                                                            \
    if (condition) {                                                                                                   \
        script.is_done = true;                                                                                         \
        return;                                                                                                        \
    }

static char blocks[BLOCKS][BLOCK], contents[BLOCKS + 1][BLOCK];
static struct once waits[BLOCKS];
static struct loop_fd *file;
static unsigned i, round_number;
static int fd;

static void fill_blocks(void)
{
    for (unsigned n = 0; n < BLOCKS; n++) {
        memset(blocks[n], 'A' + (int)n, BLOCK);
        waits[n] = (struct once){0};
    }
}

/* A file of BLOCKS blocks that isn't in the page cache, as far as the system heeds that. */
static void make_cold_file(struct loop_scope *scope)
{
    fill_blocks();
    fd = make_file(blocks, sizeof blocks);
    CHECK_IS(fsync(fd), 0);
    CHECK_IS(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
    CHECK_IS(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    memset(blocks, 0, sizeof blocks);
    file = adopt(scope, fd);
}

/* How many of the blocks are in the file. */
static unsigned count_written(void)
{
    unsigned n = 0;
    bool is_there['A' + BLOCKS] = {0};
    CHECK_IS(pread(fd, contents, sizeof contents, 0), (ssize_t)BLOCKS * BLOCK);
    for (unsigned at = 0; at < BLOCKS; at++) {
        is_there[(unsigned char)contents[at][0]] = true;
    }
    for (unsigned at = 'A'; at < 'A' + BLOCKS; at++) {
        n += is_there[at];
    }
    return n;
}

LOOP_TEST(reads_at_the_position_together_get_a_block_each_in_order)
{
    BEGIN;
    LEAVE_IF(is_hard("short"));
    make_cold_file(env->scope);
    for (i = 0; i < BLOCKS; i++) {
        START(loop_op_read(NULL, file, blocks[i], BLOCK, LOOP_CURRENT, ONCE(&waits[i])));
    }
    for (i = 0; i < BLOCKS; i++) {
        WAIT_UNTIL(waits[i].count);
        ONCE_IS(waits[i], BLOCK);
        CHECK_IS(blocks[i][0], 'A' + (int)i);
    }
    CHECK_IS(lseek(fd, 0, SEEK_CUR), BLOCKS * BLOCK);
    END;
}

LOOP_TEST(writes_at_the_position_by_the_sink_and_the_low_level_lose_nothing)
{
    BEGIN;
    LEAVE_IF(is_hard("short"));
    for (round_number = 0; round_number < 10; round_number++) {
        fill_blocks();
        fd = make_file(NULL, 0);
        file = adopt(env->scope, fd);
        for (i = 0; i < BLOCKS; i++) {
            START((round_number % 2 ? i % 2 : i == BLOCKS - 1)
                      ? loop_op_write(NULL, file, blocks[i], BLOCK, LOOP_CURRENT, ONCE(&waits[i]))
                      : loop_write(&loop_fd_flow(file)->sink, blocks[i], BLOCK, ONCE(&waits[i])));
        }
        for (i = 0; i < BLOCKS; i++) {
            WAIT_UNTIL(waits[i].count);
            ONCE_IS(waits[i], BLOCK);
        }
        CHECK_IS(count_written(), BLOCKS);
        CHECK_IS(lseek(fd, 0, SEEK_CUR), BLOCKS * BLOCK);
        loop_fd_destroy(file);
    }
    END;
}

LOOP_TEST(reads_by_the_source_and_the_low_level_get_a_block_each)
{
    BEGIN;
    LEAVE_IF(is_hard("short"));
    make_cold_file(env->scope);
    START(loop_read(&loop_fd_flow(file)->source, blocks[0], BLOCK, ONCE(&waits[0])));
    START(loop_op_read(NULL, file, blocks[1], BLOCK, LOOP_CURRENT, ONCE(&waits[1])));
    START(loop_read(&loop_fd_flow(file)->source, blocks[2], BLOCK, ONCE(&waits[2])));
    for (i = 0; i < 3; i++) {
        WAIT_UNTIL(waits[i].count);
        ONCE_IS(waits[i], BLOCK);
        CHECK_IS(blocks[i][0], 'A' + (int)i);
    }
    CHECK_IS(lseek(fd, 0, SEEK_CUR), 3 * BLOCK);
    END;
}

/* A file that is made while it is read has no order but the turn. */
LOOP_TEST(reads_of_a_file_of_proc_follow_each_other)
{
    BEGIN;
    LEAVE_IF(is_hard("short"));
    fill_blocks();
    fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(pread(fd, contents, BLOCK, 0) >= 48);
    file = adopt(env->scope, fd);
    for (i = 0; i < 3; i++) {
        START(loop_op_read(NULL, file, blocks[i], 16, LOOP_CURRENT, ONCE(&waits[i])));
    }
    for (i = 0; i < 3; i++) {
        WAIT_UNTIL(waits[i].count);
        ONCE_IS(waits[i], 16);
    }
    CHECK(lseek(fd, 0, SEEK_CUR) == 48);
    END;
}
