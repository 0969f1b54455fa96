/* SPDX-License-Identifier: ISC
 *
 * Regular files as sources and sinks: the order, limits and cancels of queued writes, and copies from other sources to
 * files.
 */
#include "files.h"
#include "sockets.h"

#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- writes that wait ---- */

enum { WRITES = 1000 };
static struct once writes[WRITES];
static loop_job write_jobs[WRITES];

static size_t length_of(unsigned i)
{
    return i % 7 == 3 ? 0 : (i * 37) % 900 + 1;
}

static size_t offset_of(unsigned i)
{
    size_t offset = 0;

    while (i > 0) {
        offset += length_of(--i);
    }
    return offset;
}

static void start_writes(struct loop_sink *sink)
{
    size_t offset = 0;

    for (unsigned i = 0; i < WRITES; i++) {
        write_jobs[i] = START(loop_write(sink, pattern + offset, length_of(i), ONCE(&writes[i])));
        offset += length_of(i);
    }
}

/* The file has, in the order of the calls, just what the results say. */
static void check_writes(int fd)
{
    size_t offset = 0, at = 0;
    int64_t size = pread(fd, got, sizeof got, 0);

    for (unsigned i = 0; i < WRITES; i++) {
        CHECK_IS(writes[i].count, 1);
        if (writes[i].result > 0) {
            CHECK(memcmp(got + at, pattern + offset, (size_t)writes[i].result) == 0);
            at += (size_t)writes[i].result;
        }
        offset += length_of(i);
    }
    CHECK_IS(size, at);
}

LOOP_TEST(p11_writes_that_wait_for_a_file_leave_in_order)
{
    static int to;
    static unsigned i;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 2);
    to = make_file("", 0);
    start_writes(&flow_beside(env->scope, to)->sink);
    for (i = 0; i < WRITES; i++) {
        WAIT_UNTIL(writes[i].count);
        CHECK_IS(writes[i].result, length_of(i));
        CHECK(i == 0 || writes[i].order > writes[i - 1].order);
    }
    CHECK_IS(size_of(to), offset_of(WRITES));
    check_writes(to);
    close(to);
    END;
}

LOOP_TEST(p05_writes_to_a_file_cancelled_while_they_wait_and_leave)
{
    static struct loop_flow *flow;
    static int to;
    static unsigned i, round;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 2);
    for (round = 0; round < 4; round++) {
        memset(writes, 0, sizeof writes);
        to = make_file("", 0);
        flow = flow_beside(env->scope, to);
        start_writes(&flow->sink);
        if (round % 2) {
            AWAIT(turns(env->scope, round, GO));
        }
        for (i = round; i < WRITES && round < 3; i += 3) {
            loop_cancel(env->loop, write_jobs[i]);
        }
        if (round == 3) {
            CHECK_IS(loop_flow_close(flow), 0);
        }
        for (i = 0; i < WRITES; i++) {
            WAIT_UNTIL(writes[i].count);
            CHECK(writes[i].result == -ECANCELED ||
                  (writes[i].result >= 0 && writes[i].result <= (int64_t)length_of(i)));
            CHECK(round == 3 || i % 3 == round % 3 || writes[i].result == (int64_t)length_of(i));
        }
        check_writes(to);
        CHECK_IS(loop_sink_queued(&flow->sink), 0);
        close(to);
    }
    END;
}

LOOP_TEST(p05_writes_that_leave_together_at_the_limit_of_a_file)
{
    static const struct rlimit limit = {100000, 100000};
    static int64_t expected;
    static int to;
    static unsigned i;

    BEGIN;
    signal(SIGXFSZ, SIG_IGN);
    fill_pattern(pattern, sizeof pattern, 2);
    CHECK_IS(setrlimit(RLIMIT_FSIZE, &limit), 0);
    to = make_file("", 0);
    start_writes(&flow_beside(env->scope, to)->sink);
    for (i = 0; i < WRITES; i++) {
        WAIT_UNTIL(writes[i].count);
        expected = limit.rlim_cur - offset_of(i);
        if (expected > 0) {
            CHECK_IS(writes[i].result, expected < (int64_t)length_of(i) ? expected : (int64_t)length_of(i));
        } else if (length_of(i) > 0) {
            CHECK_IS(writes[i].result, -EFBIG);
        }
    }
    check_writes(to);
    close(to);
    END;
}

/* More vectors than leave together, more than one call takes, and other writes around them. */
LOOP_TEST(writes_of_many_vectors_to_a_file)
{
    static struct iovec iov[3000];
    static struct once before, many, after;
    static struct loop_sink *sink;
    static int to;
    static size_t offset;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 2);
    for (unsigned i = 0; i < COUNT_OF(iov); i++) {
        iov[i] = (struct iovec){pattern + 10 + offset, i % 5};
        offset += i % 5;
    }
    to = make_file("", 0);
    sink = &flow_beside(env->scope, to)->sink;
    START(loop_write(sink, pattern, 10, ONCE(&before)));
    START(loop_writev(sink, iov, COUNT_OF(iov), ONCE(&many)));
    START(loop_write(sink, pattern + 10 + offset, 20, ONCE(&after)));
    WAIT_UNTIL(before.count && many.count && after.count);
    ONCE_IS(before, 10);
    ONCE_IS(many, offset);
    ONCE_IS(after, 20);
    check_content(to, 0, pattern, (int64_t)offset + 30);
    close(to);
    END;
}

/* ---- from a socket to a file ---- */

LOOP_TEST(copy_from_a_socket_stops_at_the_limit_of_a_file)
{
    static const struct rlimit limit = {100000, 100000};
    static struct loop_flow *flows[2];
    static struct once copy, write;
    static int to;

    BEGIN;
    signal(SIGXFSZ, SIG_IGN);
    fill_pattern(pattern, sizeof pattern, 3);
    CHECK_IS(setrlimit(RLIMIT_FSIZE, &limit), 0);
    make_flows(env->scope, flows);
    to = make_file("", 0);
    START(loop_write(&flows[1]->sink, pattern, sizeof pattern, ONCE(&write)));
    START(loop_copy(&flows[0]->source, &flow_beside(env->scope, to)->sink, ONCE(&copy)));
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, 100000);
    check_content(to, 0, pattern, 100000);
    loop_flow_close(flows[1]);
    WAIT_UNTIL(write.count);
    close(to);
    END;
}

/* The queue of their sink holds much less than what they bring: they wait for room. */
LOOP_TEST(copies_from_many_sockets_to_one_file)
{
    enum { N = 20, BYTES = 200000 };
    static struct loop_flow *flows[N][2], *file;
    static struct once copies[N], writes_in[N];
    static char bytes[N][BYTES];
    static size_t n_of[N];
    static int to;
    static unsigned i;
    static ssize_t n;

    BEGIN;
    to = make_file("", 0);
    file = flow_beside(env->scope, to);
    CHECK_IS(loop_sink_limit(&file->sink, 100000), 0);
    for (i = 0; i < N; i++) {
        memset(bytes[i], 'a' + (int)i, BYTES);
        make_flows(env->scope, flows[i]);
        START(loop_copy(&flows[i][0]->source, &file->sink, ONCE(&copies[i])));
        START(loop_write(&flows[i][1]->sink, bytes[i], BYTES, ONCE(&writes_in[i])));
        START(loop_shutdown(&flows[i][1]->sink, NULL, NULL));
    }
    for (i = 0; i < N; i++) {
        WAIT_UNTIL(copies[i].count && writes_in[i].count);
        ONCE_IS(copies[i], BYTES);
    }
    for (i = 0; (n = pread(to, got, sizeof got, i)) > 0; i += (unsigned)n) {
        for (ssize_t k = 0; k < n; k++) {
            n_of[got[k] - 'a']++;
        }
    }
    for (i = 0; i < N; i++) {
        CHECK_IS(n_of[i], BYTES);
    }
    close(to);
    END;
}

LOOP_TEST(p04_copy_from_a_socket_to_a_file_cancelled_at_each_step)
{
    static struct loop_flow *flows[2];
    static struct once copy, write;
    static int to;
    static unsigned step;
    static loop_job job;
    static int64_t size;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 3);
    for (step = 0; step < 12; step++) {
        memset(&copy, 0, sizeof copy);
        memset(&write, 0, sizeof write);
        make_flows(env->scope, flows);
        to = make_file("", 0);
        START(loop_write(&flows[1]->sink, pattern, sizeof pattern, ONCE(&write)));
        job = START(loop_copy(&flows[0]->source, &flow_beside(env->scope, to)->sink, ONCE(&copy)));
        if (step > 0) {
            AWAIT(turns(env->scope, step, GO));
        }
        CHECK_IS(loop_cancel(env->loop, job), 0);
        WAIT_UNTIL(copy.count);
        size = pread(to, got, sizeof got, 0);
        check_ended(&copy, size, -ECANCELED);
        CHECK(size >= 0 && memcmp(got, pattern, (size_t)size) == 0);
        loop_flow_close(flows[1]);
        loop_flow_close(flows[0]);
        WAIT_UNTIL(write.count);
        close(to);
    }
    END;
}

/* ---- what needs no disk, and no memory ---- */

LOOP_TEST(devices_that_never_wait_need_no_thread)
{
    static struct loop_flow *null, *zero;
    static struct loop_stats stats;
    static char bytes[100];

    BEGIN;
    null = flow_of(env->scope, open("/dev/null", O_RDWR | O_CLOEXEC));
    zero = flow_of(env->scope, open("/dev/zero", O_RDWR | O_CLOEXEC));
    memset(bytes, 1, sizeof bytes);
    AWAIT(loop_write(&null->sink, bytes, sizeof bytes, GO));
    CHECK_IS(result, sizeof bytes);
    AWAIT(loop_read_exact(&zero->source, bytes, sizeof bytes, GO));
    CHECK_IS(result, sizeof bytes);
    CHECK(bytes[0] == 0 && bytes[99] == 0);
    AWAIT(loop_read(&null->source, bytes, sizeof bytes, GO));
    CHECK_IS(result, 0);
    loop_get_stats(env->loop, &stats);
    CHECK_IS(stats.pool_threads_now, 0);
    END;
}

#if !HAS_SANITIZER

LOOP_TEST_WITH(p14_files_allocate_nothing, .pool_threads = 1)
{
    static struct loop_flow *file, *other;
    static char buffer[100];
    static unsigned long before;
    static int i, number;

    BEGIN;
    number = make_file("", 0);
    file = flow_beside(env->scope, number);
    other = flow_of(env->scope, make_file("", 0));
    for (i = 0; i < 300; i++) {
        if (i == 100) {
            before = allocations();
        }
        CHECK_IS(lseek(number, 0, SEEK_SET), 0);
        AWAIT(loop_write(&file->sink, "0123456789", 10, GO));
        CHECK_IS(result, 10);
        CHECK_IS(lseek(number, 0, SEEK_SET), 0);
        AWAIT(loop_read_exact(&file->source, buffer, 10, GO));
        CHECK_IS(result, 10);
        CHECK_IS(lseek(number, 0, SEEK_SET), 0);
        AWAIT(loop_copy(&file->source, &other->sink, GO));
        CHECK_IS(result, 10);
    }
    CHECK_IS(allocations() - before, 0);
    close(number);
    END;
}

#endif

/* ---- helpers ---- */

static void forget_line(void *unused, enum loop_log_level level, const char *line)
{
    (void)unused;
    (void)level;
    (void)line;
}

/* ---- full disks ---- */

static char megabyte[1 << 20];

LOOP_TEST(full_disk_ends_writes_and_copies_with_enospc)
{
    static struct loop_flow *flows[2];
    static struct loop_sink *full;
    static struct loop_source *memory;
    static struct once copy;

    BEGIN;
    full = &flow_of(env->scope, open("/dev/full", O_WRONLY | O_CLOEXEC))->sink;
    memory = loop_memory_source(env->scope, megabyte, sizeof megabyte);
    AWAIT(loop_copy(memory, full, GO));
    CHECK_IS(result, -ENOSPC);
    make_flows(env->scope, flows);
    full = &flow_of(env->scope, open("/dev/full", O_WRONLY | O_CLOEXEC))->sink;
    START(loop_copy(&flows[0]->source, full, ONCE(&copy)));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "some", 4, 0), 4);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ENOSPC);
    full = &flow_of(env->scope, open("/dev/full", O_WRONLY | O_CLOEXEC))->sink;
    AWAIT(loop_write(full, "x", 1, GO));
    CHECK_IS(result, -ENOSPC);
    AWAIT(loop_op_write(env->scope, adopt(env->scope, open("/dev/full", O_WRONLY | O_CLOEXEC)), "x", 1, 0, GO));
    CHECK_IS(result, -ENOSPC);
    END;
}

static struct {
    int64_t write, copy;
    struct loop_copy_outcome outcome;
    int fd; /* of the file that was written */
} disk;

/* What is said to have been written is there, in its place, and nothing else is. */
static void check_written(int fd, int64_t length)
{
    static char there[sizeof megabyte];

    CHECK_IS(pread(fd, there, sizeof there, 0), length);
    CHECK(is_pattern(there, (size_t)length, 6));
}

static void note_result(void *where, int64_t result)
{
    *(int64_t *)where = result;
}

static int fill_disk(struct loop_env *env, void *path)
{
    char name[128];
    int fds[2];

    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/%d", (const char *)path, i);
        fds[i] = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fds[i] >= 0);
    }
    disk.fd = dup(fds[0]);
    struct loop_source *memory = loop_memory_source(env->scope, megabyte, sizeof megabyte);
    loop_write(&flow_of(env->scope, fds[0])->sink, megabyte, sizeof megabyte, note_result, &disk.write);
    loop_copy_report(memory, &flow_of(env->scope, fds[1])->sink, &disk.outcome, note_result, &disk.copy);
    return 0;
}

static int on_a_small_disk(void *path)
{
    struct loop_options options = {.log = forget_line};

    fill_pattern(megabyte, sizeof megabyte, 6);
    CHECK_IS(loop_run_with(&options, fill_disk, path), 0);
    CHECK_IS(disk.outcome.error, -ENOSPC);
    CHECK(disk.outcome.is_sink_error);
    CHECK_IS(disk.copy, disk.outcome.bytes > 0 ? disk.outcome.bytes : -ENOSPC);
    CHECK(disk.write == -ENOSPC || (disk.write > 0 && disk.write < (int64_t)sizeof megabyte));
    check_written(disk.fd, disk.write > 0 ? disk.write : 0);
    return 0;
}

TEST(full_tmpfs_behind_a_write_and_a_copy)
{
    const char *path = make_directory();

    if (mount("noria", path, "tmpfs", 0, "size=256k") != 0) {
        CHECK(errno == EPERM || errno == EACCES || errno == ENODEV);
        not_run("a file system of its own");
        remove_directory(path);
        return;
    }
    int status = in_child(on_a_small_disk, (void *)(uintptr_t)path);
    umount2(path, MNT_DETACH);
    remove_directory(path);
    CHECK_IS(status, 0);
}

/* The limit of a process on the size of its files, which the kernel makes heard by a signal as well. */
LOOP_TEST(full_quota_ends_writes_with_efbig)
{
    static struct loop_flow *file;
    static struct loop_source *memory;
    static struct rlimit limit;
    static int fd;

    BEGIN;
    signal(SIGXFSZ, SIG_IGN);
    fill_pattern(megabyte, sizeof megabyte, 6);
    limit = (struct rlimit){100000, 100000};
    CHECK_IS(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fd = make_file("", 0);
    file = flow_of(env->scope, fd);
    AWAIT(loop_write(&file->sink, megabyte, sizeof megabyte, GO));
    CHECK_IS(result, 100000);
    check_written(fd, 100000);
    file = flow_of(env->scope, make_file("", 0));
    memory = loop_memory_source(env->scope, megabyte, sizeof megabyte);
    AWAIT(loop_copy(memory, &file->sink, GO));
    CHECK_IS(result, 100000);
    AWAIT(loop_copy(memory, &file->sink, GO));
    CHECK_IS(result, -EFBIG);
    END;
}
