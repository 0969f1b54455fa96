/* SPDX-License-Identifier: ISC
 *
 * Files whose device is polled (loop_fd_poll_device). The simulated disk has queues for polling. Elsewhere the same
 * tests show that a program gets the same results without, and why.
 */
#include "direct.h"

#include <fs/fs.h>
#include <string.h>
#include <unistd.h>

static struct loop_fd *file;
static int fd;

static bool is_uring(const struct loop_env *env)
{
    return strcmp(loop_backend_name(env->loop), "io_uring") == 0;
}

/* Asks for polling. Checks the answer where it is known. */
static void poll_device(const struct loop_env *env, struct loop_fd *polled)
{
    const char *reason = loop_fd_poll_device(polled);
    CHECK(reason == loop_fd_unpolled_reason(polled));
    if (!is_uring(env)) {
        CHECK(strstr(reason, "io_uring"));
    } else if (is_hard("refuse")) {
        CHECK(reason);
    } else {
#if defined(NORIA_SIMULATED)
        CHECK(!reason);
#endif
    }
}

/* `mode`: a hard mode in which the test is left out, or NULL. */
#define BEGIN_POLLED(blocks, mode)                                                                                     \
    BEGIN;                                                                                                             \
    fd = make_direct((size_t)(blocks)*BLOCK, 0);                                                                       \
    LEAVE_UNLESS(fd >= 0 && !((mode) && is_hard(mode)));                                                               \
    file = adopt(env->scope, fd);                                                                                      \
    poll_device(env, file)

#define END_POLLED                                                                                                     \
    free(memory);                                                                                                      \
    END

/* ---- reading and writing ---- */

LOOP_TEST(polled_reads_and_writes_end_as_others_do)
{
    static struct once waits[BLOCKS];
    static unsigned i;

    BEGIN_POLLED(BLOCKS, "short");
    for (i = 0; i < BLOCKS; i++) {
        START(loop_op_read(NULL, file, memory + (size_t)i * BLOCK, BLOCK, (int64_t)i * BLOCK, ONCE(&waits[i])));
    }
    for (i = 0; i < BLOCKS; i++) {
        WAIT_UNTIL(waits[i].count);
        ONCE_IS(waits[i], BLOCK);
    }
    CHECK(is_pattern(memory, (size_t)BLOCKS * BLOCK, 1));
    fill_pattern(memory, (size_t)BLOCKS * BLOCK, 2);
    for (i = 0; i < BLOCKS; i++) {
        waits[i].count = 0;
        START(loop_op_write(NULL, file, memory + (size_t)i * BLOCK, BLOCK, (int64_t)i * BLOCK, ONCE(&waits[i])));
    }
    for (i = 0; i < BLOCKS; i++) {
        WAIT_UNTIL(waits[i].count);
        ONCE_IS(waits[i], BLOCK);
    }
    memset(memory, 0, (size_t)BLOCKS * BLOCK);
    AWAIT(loop_op_read(NULL, file, memory, (size_t)BLOCKS * BLOCK, 0, GO));
    CHECK_IS(result, BLOCKS * BLOCK);
    CHECK(is_pattern(memory, (size_t)BLOCKS * BLOCK, 2));
    AWAIT(loop_op_read(NULL, file, memory, BLOCK, (int64_t)BLOCKS * BLOCK, GO));
    CHECK_IS(result, 0);
    END_POLLED;
}

LOOP_TEST(polled_errors_are_those_of_the_system_call)
{
    BEGIN_POLLED(1, "short");
    AWAIT(loop_op_read(NULL, file, memory, BLOCK - 1, 1, GO));
    CHECK_IS(result, pread(fd, memory, BLOCK - 1, 1) < 0 ? -EINVAL : BLOCK - 1);
    AWAIT(loop_op_read(NULL, file, NULL, BLOCK, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_read(NULL, file, memory, BLOCK, 0, GO));
    CHECK_IS(result, BLOCK);
    END_POLLED;
}

LOOP_TEST(chunks_vectors_and_files_are_polled)
{
    static struct loop_chunk *chunk;
    static struct iovec iov[2];

    BEGIN_POLLED(BLOCKS, "short");
    chunk = loop_chunk_alloc(env->loop);
    AWAIT(loop_op_read_chunk(NULL, file, chunk, BLOCK, BLOCK, GO));
    CHECK_IS(result, BLOCK);
    CHECK(is_pattern_at(loop_chunk_data(chunk), BLOCK, 1, BLOCK));
    AWAIT(loop_op_write_chunk(NULL, file, chunk, BLOCK, 0, GO));
    CHECK_IS(result, BLOCK);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    iov[0] = (struct iovec){memory, BLOCK};
    iov[1] = (struct iovec){memory + (size_t)2 * BLOCK, BLOCK};
    AWAIT(loop_op_readv(NULL, file, iov, 2, 0, GO));
    CHECK_IS(result, 2 * BLOCK);
    CHECK(is_pattern_at(memory, BLOCK, 1, BLOCK) && is_pattern_at(iov[1].iov_base, BLOCK, 1, BLOCK));
    AWAIT(loop_op_writev(NULL, file, iov, 2, (int64_t)4 * BLOCK, GO));
    CHECK_IS(result, 2 * BLOCK);
    AWAIT(loop_file_pread(NULL, file, iov, 2, (int64_t)4 * BLOCK, GO));
    CHECK_IS(result, 2 * BLOCK);
    CHECK(is_pattern_at(memory, BLOCK, 1, BLOCK) && is_pattern_at(iov[1].iov_base, BLOCK, 1, BLOCK));
    END_POLLED;
}

LOOP_TEST(polled_writes_without_a_continuation_are_done_when_their_scope_ends)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN_POLLED(0, "short");
    scope = loop_scope_open(env->scope, ONCE(&ended));
    fill_pattern(memory, (size_t)BLOCKS * BLOCK, 3);
    CHECK(loop_op_write(scope, file, memory, (size_t)BLOCKS * BLOCK, 0, NULL, NULL));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    CHECK_IS(pread(fd, memory, (size_t)BLOCKS * BLOCK, 0), BLOCKS * BLOCK);
    CHECK(is_pattern(memory, (size_t)BLOCKS * BLOCK, 3));
    END_POLLED;
}

LOOP_TEST(operations_at_the_position_of_a_polled_file_move_it)
{
    BEGIN_POLLED(BLOCKS, NULL);
    AWAIT(loop_op_read(NULL, file, memory, BLOCK, LOOP_CURRENT, GO));
    CHECK_MOVED(result, BLOCK);
    CHECK(is_pattern(memory, (size_t)result, 1));
    CHECK_IS(lseek(fd, 0, SEEK_CUR), result);
    AWAIT(loop_op_fsync(NULL, file, false, GO));
    CHECK_IS(result, 0);
    END_POLLED;
}

enum { READS = 3000 };

static _Alignas(BLOCK) char places[READS][BLOCK]; /* for reads that are in flight together */

LOOP_TEST(more_polled_reads_than_the_ring_has_room_for_all_end)
{
    static struct tally tally;
    static unsigned i;

    BEGIN_POLLED(BLOCKS, NULL);
    for (i = 0; i < READS; i++) {
        CHECK(loop_op_read(NULL, file, places[i], BLOCK, (int64_t)(i % BLOCKS) * BLOCK, TALLY(&tally)));
    }
    WAIT_UNTIL(tally.count == READS);
    CHECK_IS(tally.ended_well, READS);
    END_POLLED;
}

/* ---- beside everything else ---- */

static struct rounds {
    unsigned reads;
    bool is_over;
} rounds;

static void read_again(void *unused, int64_t n)
{
    (void)unused;
    CHECK(n > 0);
    rounds.reads++;
    if (!rounds.is_over) {
        CHECK(loop_op_read(NULL, file, memory, BLOCK, 0, read_again, NULL));
    }
    script_poke();
}

LOOP_TEST(polling_keeps_nothing_else_waiting)
{
    static struct loop_fd *in, *out;
    static struct once ended;
    static int ends[2];
    static char byte;
    static unsigned i;

    BEGIN_POLLED(BLOCKS, NULL);
    CHECK_IS(pipe2(ends, O_CLOEXEC), 0);
    in = adopt(env->scope, ends[0]);
    out = adopt(env->scope, ends[1]);
    rounds = (struct rounds){0};
    read_again(NULL, 1);
    for (i = 0; i < 3; i++) {
        START(loop_op_read(NULL, in, &byte, 1, LOOP_CURRENT, ONCE(&ended)));
        AWAIT(loop_sleep(env->scope, 100 * LOOP_MICROSECOND, GO));
        CHECK_IS(ended.count, 0);
        AWAIT(loop_op_write(NULL, out, "x", 1, LOOP_CURRENT, GO));
        CHECK_IS(result, 1);
        WAIT_UNTIL(ended.count);
        ONCE_IS(ended, 1);
        ended.count = 0;
    }
    WAIT_UNTIL(rounds.reads > 1);
    rounds.is_over = true;
    i = rounds.reads;
    WAIT_UNTIL(rounds.reads == i + 1);
    END_POLLED;
}

/* P18. */
LOOP_TEST(a_loop_sleeps_while_no_polled_read_is_in_flight)
{
    static struct loop_stats before, after;

    BEGIN_POLLED(1, NULL);
    AWAIT(loop_op_read(NULL, file, memory, BLOCK, 0, GO));
    CHECK_MOVED(result, BLOCK);
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns < 10);
    END_POLLED;
}

/* ---- ends ---- */

#define AT_ONCE 200

static struct once waits[AT_ONCE];
static loop_job jobs[AT_ONCE];

static void start_reads(struct loop_scope *scope)
{
    for (unsigned i = 0; i < AT_ONCE; i++) {
        waits[i] = (struct once){0};
        jobs[i] = START(loop_op_read(scope, file, places[i], BLOCK, 0, ONCE(&waits[i])));
    }
}

/* Whether all have ended, each once: with what it has read, or with the reason why not. */
static bool have_ended(int64_t reason)
{
    for (unsigned i = 0; i < AT_ONCE; i++) {
        if (waits[i].count == 0) {
            return false;
        }
        CHECK_IS(waits[i].count, 1);
        CHECK(waits[i].result == reason || waits[i].result > 0);
    }
    return true;
}

LOOP_TEST(cancelled_polled_reads_end_once)
{
    static unsigned i;

    BEGIN_POLLED(1, NULL);
    start_reads(NULL);
    for (i = 0; i < AT_ONCE; i++) {
        CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
    }
    WAIT_UNTIL(have_ended(-ECANCELED));
    start_reads(NULL);
    AWAIT(loop_op_nop(env->scope, GO));
    for (i = 0; i < AT_ONCE; i++) {
        (void)loop_cancel(env->loop, jobs[i]);
    }
    WAIT_UNTIL(have_ended(-ECANCELED));
    END_POLLED;
}

LOOP_TEST(polled_file_is_closed_after_its_reads_have_ended)
{
    static struct once closed;

    BEGIN_POLLED(1, NULL);
    start_reads(NULL);
    AWAIT(loop_op_nop(env->scope, GO));
    START(loop_op_close(NULL, file, ONCE(&closed)));
    WAIT_UNTIL(closed.count);
    CHECK(have_ended(-ECANCELED));
    CHECK(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
    CHECK(strstr(loop_fd_unpolled_reason(file), "closed"));
    END_POLLED;
}

LOOP_TEST(scope_with_polled_reads_ends_after_them)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN_POLLED(1, NULL);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    start_reads(scope);
    loop_scope_deadline(scope, loop_now(env->loop) + LOOP_MICROSECOND);
    WAIT_UNTIL(ended.count);
    CHECK(have_ended(-ETIMEDOUT));
    CHECK(ended.result == 0 || ended.result == -ETIMEDOUT);
    END_POLLED;
}

LOOP_TEST(loop_ends_with_polled_reads_in_flight)
{
    BEGIN_POLLED(1, NULL);
    start_reads(NULL);
    AWAIT(loop_op_nop(env->scope, GO));
    script.expected = -ECANCELED;
    loop_scope_cancel(env->scope);
    WAIT_UNTIL(have_ended(-ECANCELED));
    END_POLLED;
}

/* ---- where it is not possible ---- */

LOOP_TEST(reason_why_a_file_is_not_polled)
{
    static int ends[2];

    BEGIN;
    fd = make_direct(BLOCK, 0);
    LEAVE_UNLESS(fd >= 0);
    file = adopt(env->scope, fd);
    CHECK(strstr(loop_fd_unpolled_reason(file), "not asked"));
    CHECK_IS(pipe2(ends, O_CLOEXEC), 0);
    close(ends[1]);
    CHECK(strstr(loop_fd_poll_device(adopt(env->scope, ends[0])), "neither"));
    CHECK(strstr(loop_fd_poll_device(adopt(env->scope, make_file("", 0))), "O_DIRECT"));
    CHECK(strstr(loop_fd_poll_device(adopt(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC))), "neither"));
    AWAIT(loop_op_close(NULL, file, GO));
    CHECK(strstr(loop_fd_poll_device(file), "closed"));
    free(memory);
    END;
}

/* A file system in memory has no device. Its kernel refuses the first reads, which are done all the same. */
LOOP_TEST(file_system_that_refuses_polling_is_read_without)
{
    BEGIN;
    int plain = open("/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    fd = plain < 0 ? -1 : make_direct_of(plain, (size_t)BLOCKS * BLOCK, 0);
    LEAVE_UNLESS(fd >= 0 && is_uring(env) && !is_hard("refuse") && !is_hard("short"));
    file = adopt(env->scope, fd);
    CHECK(!loop_fd_poll_device(file));
    start_reads(NULL);
    WAIT_UNTIL(have_ended(BLOCK));
    for (unsigned i = 0; i < AT_ONCE; i++) {
        CHECK(is_pattern(places[i], BLOCK, 1));
    }
    CHECK(strstr(loop_fd_unpolled_reason(file), "refused"));
    CHECK(strstr(loop_fd_poll_device(file), "refused"));
    AWAIT(loop_op_read(NULL, file, memory, BLOCK, BLOCK, GO));
    CHECK_IS(result, BLOCK);
    CHECK(is_pattern_at(memory, BLOCK, 1, BLOCK));
    free(memory);
    END;
}

LOOP_TEST(file_is_opened_for_polling)
{
    static struct loop_flow *flow;
    static char path[64];

    BEGIN;
    fd = make_direct(BLOCK, 0);
    LEAVE_UNLESS(fd >= 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    AWAIT(loop_fs_open(env->scope, env->fs, path, &(struct loop_open_options){.polled = true, .flags = O_DIRECT}, &flow,
                       GO));
    CHECK_IS(result, 0);
    CHECK(loop_fd_unpolled_reason(flow->fd) == loop_fd_poll_device(flow->fd));
    AWAIT(loop_fs_open(env->scope, env->fs, path, &(struct loop_open_options){.polled = true}, &flow, GO));
    CHECK_IS(result, 0);
    CHECK(strstr(loop_fd_unpolled_reason(flow->fd), "O_DIRECT"));
    close(fd);
    free(memory);
    END;
}
