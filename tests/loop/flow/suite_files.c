/* SPDX-License-Identifier: ISC
 *
 * Regular files as sources and sinks, and copies between them, which a thread of the pool does piece by piece.
 */
#include <harness.h>

#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#define MIB ((int64_t)1 << 20)
#define HUGE_FILE (4096 * MIB) /* a hole: nothing on the disk, and about a second to copy */

static char pattern[3 * (1 << 20) + 17], got[sizeof pattern];

static int64_t position(int fd)
{
    return lseek(fd, 0, SEEK_CUR);
}

static int64_t size_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) ? -errno : status.st_size;
}

static int make_memory_file(int64_t len)
{
    int fd = memfd_create("noria-test", MFD_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_IS(ftruncate(fd, len), 0);
    return fd;
}

/* What the loop has of a file, beside the test's own descriptor of the same open file. */
static struct loop_flow *flow_beside(struct loop_scope *scope, int fd)
{
    return flow_of(scope, fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

static loop_job start_copy(struct loop_scope *scope, int from, int to, struct once *once)
{
    memset(once, 0, sizeof *once);
    return START(loop_copy(&flow_beside(scope, from)->source, &flow_beside(scope, to)->sink, ONCE(once)));
}

/* The copy has ended early, with this many bytes in the sink, and tells so; or `error` where there are none. */
static void check_ended(const struct once *copy, int64_t moved, int64_t error)
{
    CHECK_IS(copy->count, 1);
    CHECK_IS(copy->result, moved > 0 ? moved : error);
}

static void check_content(int fd, int64_t offset, const char *expected, int64_t len)
{
    CHECK_IS(pread(fd, got, sizeof got, offset), len);
    CHECK(memcmp(got, expected, (size_t)len) == 0);
}

/* ---- what is copied ---- */

LOOP_TEST(file_copy_moves_every_byte_and_both_positions)
{
    static const int64_t lengths[] = {1, 4096, 256 << 10, (256 << 10) + 1, sizeof pattern};
    static struct once copy;
    static int from, to;
    static unsigned i;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 1);
    for (i = 0; i < COUNT_OF(lengths); i++) {
        from = make_file(pattern, (size_t)lengths[i]);
        to = make_file("", 0);
        start_copy(env->scope, from, to, &copy);
        WAIT_UNTIL(copy.count);
        ONCE_IS(copy, lengths[i]);
        CHECK_IS(position(from), lengths[i]);
        CHECK_IS(position(to), lengths[i]);
        check_content(to, 0, pattern, lengths[i]);
        close(from);
        close(to);
    }
    END;
}

LOOP_TEST(file_copy_begins_where_the_descriptors_stand)
{
    static struct once copy;
    static int from, to;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 1);
    from = make_file(pattern, sizeof pattern);
    to = make_file(pattern, 5000);
    CHECK_IS(lseek(from, 1000, SEEK_SET), 1000);
    CHECK_IS(lseek(to, 3000, SEEK_SET), 3000);
    start_copy(env->scope, from, to, &copy);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, sizeof pattern - 1000);
    CHECK_IS(position(from), sizeof pattern);
    CHECK_IS(position(to), sizeof pattern + 2000);
    check_content(to, 3000, pattern + 1000, sizeof pattern - 1000);
    CHECK_IS(pread(to, got, 3000, 0), 3000);
    CHECK(memcmp(got, pattern, 3000) == 0);
    start_copy(env->scope, from, to, &copy);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, 0);
    close(from);
    close(to);
    END;
}

LOOP_TEST(file_copy_to_a_sink_that_appends)
{
    static struct once copy;
    static int from, to;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 1);
    from = make_file(pattern, sizeof pattern);
    to = make_file("head", 4);
    CHECK_IS(fcntl(to, F_SETFL, O_APPEND), 0);
    start_copy(env->scope, from, to, &copy);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, sizeof pattern);
    CHECK_IS(position(from), sizeof pattern);
    check_content(to, 4, pattern, sizeof pattern);
    close(from);
    close(to);
    END;
}

LOOP_TEST(file_copy_from_another_file_system)
{
    static struct once copy;
    static int from, to;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 1);
    from = make_memory_file(0);
    to = make_file("", 0);
    CHECK_IS(pwrite(from, pattern, sizeof pattern, 0), sizeof pattern);
    start_copy(env->scope, from, to, &copy);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, sizeof pattern);
    check_content(to, 0, pattern, sizeof pattern);
    close(from);
    close(to);
    END;
}

/* Files that are made while they are read: those of /proc claim to be empty, those of /sys to be a page. */
LOOP_TEST(file_copy_from_files_without_a_true_size)
{
    static const char *const paths[] = {"/proc/self/limits", "/proc/self/mountinfo", "/proc/cpuinfo",
                                        "/sys/kernel/mm/transparent_hugepage/enabled",
                                        "/sys/devices/system/cpu/online"};
    static struct once copy;
    static int from, to;
    static unsigned i;
    static int64_t len;

    BEGIN;
    for (i = 0; i < COUNT_OF(paths); i++) {
        from = open(paths[i], O_RDONLY | O_CLOEXEC);
        if (from < 0) {
            continue;
        }
        to = make_file("", 0);
        start_copy(env->scope, from, to, &copy);
        WAIT_UNTIL(copy.count);
        CHECK(copy.result > 0);
        CHECK_IS(lseek(from, 0, SEEK_SET), 0);
        for (len = 0; (result = read(from, pattern + len, sizeof pattern - (size_t)len)) > 0;) {
            len += result;
        }
        CHECK_IS(copy.result, len);
        CHECK_IS(size_of(to), len);
        close(from);
        close(to);
    }
    END;
}

LOOP_TEST(file_copy_onto_itself_changes_nothing)
{
    static struct once copy;
    static int from, to;
    static char path[64];

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 1);
    to = make_file(pattern, sizeof pattern);
    snprintf(path, sizeof path, "/proc/self/fd/%d", to);
    from = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(from >= 0);
    start_copy(env->scope, from, to, &copy);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, sizeof pattern);
    check_content(to, 0, pattern, sizeof pattern);
    close(from);
    close(to);
    END;
}

LOOP_TEST(file_copy_of_a_file_that_grows_and_shrinks_meanwhile)
{
    static struct once copy;
    static int from, to;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 1);
    from = make_file(pattern, 2 << 20);
    to = make_file("", 0);
    start_copy(env->scope, from, to, &copy);
    CHECK_IS(pwrite(from, pattern + (2 << 20), 1 << 20, 2 << 20), 1 << 20);
    WAIT_UNTIL(copy.count);
    CHECK(copy.result >= 2 << 20 && copy.result <= 3 << 20);
    CHECK_IS(position(from), copy.result);
    check_content(to, 0, pattern, copy.result);
    CHECK_IS(lseek(from, 0, SEEK_SET), 0);
    CHECK_IS(ftruncate(to, 0), 0);
    CHECK_IS(lseek(to, 0, SEEK_SET), 0);
    start_copy(env->scope, from, to, &copy);
    CHECK_IS(ftruncate(from, 1 << 20), 0);
    WAIT_UNTIL(copy.count);
    CHECK(copy.result >= 1 << 20 && copy.result <= 3 << 20);
    CHECK_IS(size_of(to), copy.result);
    CHECK_IS(position(from), copy.result);
    CHECK_IS(pread(to, got, 1 << 20, 0), 1 << 20);
    CHECK(memcmp(got, pattern, 1 << 20) == 0);
    close(from);
    close(to);
    END;
}

/* Where the file system may have a way of its own to copy; see copy_file_range(2). */
static void copy_on_other_fs(struct loop_env *env, int64_t result)
{
    static struct once copy;
    static int from, to;
    static loop_job job;

    BEGIN;
    from = open("from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    to = open("to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(from >= 0 && to >= 0);
    CHECK_IS(pwrite(from, pattern, sizeof pattern, 0), sizeof pattern);
    CHECK_IS(lseek(from, 100, SEEK_SET), 100);
    start_copy(env->scope, from, to, &copy);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, sizeof pattern - 100);
    CHECK_IS(position(from), sizeof pattern);
    CHECK_IS(position(to), sizeof pattern - 100);
    check_content(to, 0, pattern + 100, sizeof pattern - 100);
    CHECK_IS(fcntl(to, F_SETFL, O_APPEND), 0);
    CHECK_IS(lseek(from, 0, SEEK_SET), 0);
    start_copy(env->scope, from, to, &copy);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, sizeof pattern);
    check_content(to, sizeof pattern - 100, pattern, sizeof pattern);
    CHECK_IS(fcntl(to, F_SETFL, 0), 0);
    CHECK_IS(ftruncate(from, HUGE_FILE) + ftruncate(to, 0) + lseek(to, 0, SEEK_SET), 0);
    job = start_copy(env->scope, from, to, &copy);
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(copy.count);
    check_ended(&copy, position(to), -ECANCELED);
    CHECK_IS(position(from) - (int64_t)sizeof pattern, position(to));
    close(from);
    close(to);
    END;
}

static int on_other_fs(void *path)
{
    CHECK_IS(chdir(path), 0);
    script_run(&(struct loop_options){.queue_depth = 0}, copy_on_other_fs);
    CHECK_IS(chdir("/"), 0);
    return 0;
}

TEST(file_copy_by_the_file_systems_own_way)
{
    const char *path = make_directory();

    fill_pattern(pattern, sizeof pattern, 1);
    if (mount("noria", path, "ramfs", 0, NULL) != 0) {
        CHECK(errno == EPERM || errno == EACCES || errno == ENODEV); /* not permitted here */
        remove_directory(path);
        return;
    }
    int status = in_child(on_other_fs, (void *)(uintptr_t)path);
    umount2(path, MNT_DETACH);
    remove_directory(path);
    if (status != 0) {
        ck_abort_msg("status 0x%x: %s", (unsigned)status, child_text());
    }
}

/* ---- errors ---- */

/* What couldn't be written is still to be read from the source. */
LOOP_TEST(file_copy_stops_at_a_limit_and_loses_nothing)
{
    static const struct rlimit limit = {100000, 100000};
    static struct once copy;
    static int from, to;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 1);
    from = make_file(pattern, sizeof pattern);
    to = make_file("", 0);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_IS(setrlimit(RLIMIT_FSIZE, &limit), 0);
    start_copy(env->scope, from, to, &copy);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, 100000);
    CHECK_IS(position(from), 100000);
    CHECK_IS(position(to), 100000);
    check_content(to, 0, pattern, 100000);
    close(from);
    close(to);
    END;
}

LOOP_TEST(file_copy_between_descriptors_that_are_not_open_for_it)
{
    static int from, to;
    static char path[64];

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 1);
    from = make_file(pattern, 1000);
    to = make_file("", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", to);
    AWAIT(loop_copy(&flow_beside(env->scope, from)->source,
                    &flow_of(env->scope, open(path, O_RDONLY | O_CLOEXEC))->sink, GO));
    CHECK_IS(result, -EBADF);
    CHECK_IS(position(from), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", from);
    AWAIT(loop_copy(&flow_of(env->scope, open(path, O_WRONLY | O_CLOEXEC))->source, &flow_beside(env->scope, to)->sink,
                    GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_copy(&flow_of(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC))->source,
                    &flow_beside(env->scope, to)->sink, GO));
    CHECK_IS(result, -EISDIR);
    close(from);
    close(to);
    END;
}

/* ---- cancelled and closed in the middle ---- */

/* Both positions have moved by the same, and the sink has what they say. */
static void check_stopped(int from, int to, const struct once *copy)
{
    check_ended(copy, position(to), -ECANCELED);
    CHECK(position(from) < HUGE_FILE);
    CHECK_IS(position(to), position(from));
    CHECK_IS(size_of(to), position(from));
}

enum stop { CANCEL, CLOSE_SOURCE, CLOSE_SINK, CANCEL_SCOPE, STOPS };

static void stop_copy(enum stop stop, struct loop_scope *scope, loop_job job, struct loop_flow *const flows[2])
{
    switch (stop) {
    case CANCEL:
        CHECK_IS(loop_cancel(loop_scope_loop(scope), job), 0);
        CHECK_IS(loop_cancel(loop_scope_loop(scope), job), -ENOENT);
        break;
    case CLOSE_SOURCE: CHECK_IS(loop_flow_close(flows[0]), 0); break;
    case CLOSE_SINK: CHECK_IS(loop_flow_close(flows[1]), 0); break;
    default: loop_scope_cancel(scope); break;
    }
}

static void check_stops(struct loop_env *env, int64_t result)
{
    static struct once copy;
    static struct loop_flow *flows[2];
    static struct loop_scope *scope;
    static int from, to;
    static loop_job job;
    static unsigned stop, turns_before;

    BEGIN;
    for (stop = 0; stop < STOPS * 3; stop++) {
        memset(&copy, 0, sizeof copy);
        scope = loop_scope_open(env->scope, NULL, NULL);
        from = make_memory_file(HUGE_FILE);
        to = make_memory_file(0);
        flows[0] = flow_beside(scope, from);
        flows[1] = flow_beside(scope, to);
        job = START(loop_copy(&flows[0]->source, &flows[1]->sink, ONCE(&copy)));
        turns_before = stop / STOPS;
        if (turns_before == 1) {
            AWAIT(turns(env->scope, 3, GO));
        } else if (turns_before == 2) {
            AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
        }
        stop_copy(stop % STOPS, scope, job, flows);
        WAIT_UNTIL(copy.count);
        check_stopped(from, to, &copy);
        loop_scope_cancel(scope);
        close(from);
        close(to);
    }
    END;
}

TEST(p04_file_copy_stopped_before_and_between_its_pieces)
{
    script_run(&(struct loop_options){.queue_depth = 0}, check_stops);
}

LOOP_TEST(file_copy_ends_at_its_deadline)
{
    static struct once copy;
    static struct loop_scope *scope;
    static int from, to;

    BEGIN;
    from = make_memory_file(HUGE_FILE);
    to = make_memory_file(0);
    scope = loop_scope_open(env->scope, NULL, NULL);
    loop_scope_deadline(scope, loop_now(env->loop) + 5 * LOOP_MILLISECOND);
    start_copy(scope, from, to, &copy);
    WAIT_UNTIL(copy.count);
    check_ended(&copy, position(to), -ETIMEDOUT);
    script.expected = -ETIMEDOUT; /* the scope's error is its parent's too */
    CHECK_IS(position(from), position(to));
    close(from);
    close(to);
    END;
}

/* ---- beside others ---- */

/* A read of the source and a write to the sink don't wait for the end of the copy. */
LOOP_TEST(p13_file_copy_lets_others_in_between)
{
    static struct once copy, read, write, shutdown;
    static struct loop_flow *flows[2];
    static int from, to;
    static loop_job job;
    static char buffer[100];

    BEGIN;
    from = make_memory_file(HUGE_FILE);
    to = make_memory_file(0);
    flows[0] = flow_beside(env->scope, from);
    flows[1] = flow_beside(env->scope, to);
    job = START(loop_copy(&flows[0]->source, &flows[1]->sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 3, GO));
    START(loop_read(&flows[0]->source, buffer, sizeof buffer, ONCE(&read)));
    START(loop_write(&flows[1]->sink, "between", 7, ONCE(&write)));
    START(loop_shutdown(&flows[1]->sink, ONCE(&shutdown)));
    WAIT_UNTIL(read.count && write.count && shutdown.count);
    CHECK_MOVED(read.result, 100);
    CHECK_IS(write.result, 7);
    CHECK_IS(copy.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(copy.count);
    check_ended(&copy, position(to) - 7, -ECANCELED);
    CHECK_IS(position(from) - read.result, position(to) - 7);
    close(from);
    close(to);
    END;
}

enum { NUMBERS = 4 << 20, READ_NUMBERS = 8 << 10 };
#define MARK UINT64_MAX

/* The numbers of one part, in their order, each marked as seen. */
static void see_numbers(const uint64_t *numbers, size_t n, bool *seen, unsigned *marks)
{
    uint64_t next = 0;

    for (size_t i = 0; i < n; i++) {
        if (numbers[i] == MARK) {
            (*marks)++;
            continue;
        }
        CHECK(numbers[i] >= next && numbers[i] < NUMBERS && !seen[numbers[i]]);
        seen[numbers[i]] = true;
        next = numbers[i] + 1;
    }
}

static const uint64_t *map_numbers(int fd, int64_t len)
{
    void *memory = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    CHECK(memory != MAP_FAILED);
    return memory;
}

static int make_numbers(void)
{
    int fd = make_memory_file(NUMBERS * (int64_t)sizeof(uint64_t));
    uint64_t *numbers = (uint64_t *)(uintptr_t)map_numbers(fd, NUMBERS * (int64_t)sizeof *numbers);

    for (uint64_t i = 0; i < NUMBERS; i++) {
        numbers[i] = i;
    }
    munmap(numbers, NUMBERS * sizeof *numbers);
    return fd;
}

static void see_file(int fd, bool *seen, unsigned *marks)
{
    int64_t len = size_of(fd);

    if (len > 0) {
        const uint64_t *numbers = map_numbers(fd, len);
        see_numbers(numbers, (size_t)len / sizeof *numbers, seen, marks);
        munmap((void *)(uintptr_t)numbers, (size_t)len);
    }
}

/* Two copies from one source, and reads and writes between their pieces: each byte goes one way, whole. */
LOOP_TEST(file_copies_that_share_their_files_lose_nothing)
{
    static uint64_t marks[READ_NUMBERS], numbers[16][READ_NUMBERS];
    static struct once copies[2], reads[16], writes[16];
    static struct loop_flow *from, *to[2];
    static bool seen[NUMBERS];
    static int source, sinks[2];
    static unsigned n_marks, i;

    BEGIN;
    memset(marks, 0xff, sizeof marks);
    source = make_numbers();
    from = flow_beside(env->scope, source);
    for (i = 0; i < 2; i++) {
        sinks[i] = make_memory_file(0);
        to[i] = flow_beside(env->scope, sinks[i]);
        START(loop_copy(&from->source, &to[i]->sink, ONCE(&copies[i])));
    }
    for (i = 0; i < 16; i++) {
        START(loop_read_exact(&from->source, numbers[i], sizeof numbers[i], ONCE(&reads[i])));
        START(loop_write(&to[i % 2]->sink, marks, sizeof marks, ONCE(&writes[i])));
        AWAIT(turns(env->scope, 2, GO));
    }
    WAIT_UNTIL(copies[0].count && copies[1].count);
    for (i = 0; i < 16; i++) {
        WAIT_UNTIL(reads[i].count && writes[i].count);
        CHECK_IS(writes[i].result, sizeof marks);
        CHECK(reads[i].result >= 0);
        see_numbers(numbers[i], (size_t)reads[i].result / sizeof *numbers[i], seen, &n_marks);
    }
    for (i = 0; i < 2; i++) {
        CHECK(copies[i].result >= 0);
        see_file(sinks[i], seen, &n_marks);
        close(sinks[i]);
    }
    CHECK_IS(n_marks, 16 * READ_NUMBERS);
    CHECK(!memchr(seen, false, sizeof seen));
    close(source);
    END;
}

static int64_t do_nothing(void *unused)
{
    (void)unused;
    return 0;
}

/* More copies than threads: what else is for a thread goes between their pieces. */
LOOP_TEST_WITH(p13_file_copies_leave_threads_to_others, .pool_threads = 2)
{
    static struct once copies[5], work;
    static loop_job jobs[5];
    static int from[5], to[5];
    static unsigned i;

    BEGIN;
    for (i = 0; i < 5; i++) {
        from[i] = make_memory_file(HUGE_FILE);
        to[i] = make_memory_file(0);
        jobs[i] = start_copy(env->scope, from[i], to[i], &copies[i]);
    }
    AWAIT(turns(env->scope, 3, GO));
    START(loop_work(env->scope, do_nothing, NULL, ONCE(&work)));
    WAIT_UNTIL(work.count);
    for (i = 0; i < 5; i++) {
        while (position(to[i]) == 0) {
            AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
        }
        CHECK_IS(copies[i].count, 0);
        CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
    }
    for (i = 0; i < 5; i++) {
        WAIT_UNTIL(copies[i].count);
        check_ended(&copies[i], position(to[i]), -ECANCELED);
        close(from[i]);
        close(to[i]);
    }
    END;
}

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
