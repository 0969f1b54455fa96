/* SPDX-License-Identifier: ISC
 *
 * Copies from file to file, which a thread of the pool performs piece by piece.
 */
#include "files.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>

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

/* Reads a file from its beginning to its end, and returns how long it is. */
static int64_t read_whole(int file, char *into, size_t room)
{
    int64_t len = 0;
    ssize_t n;

    CHECK_IS(lseek(file, 0, SEEK_SET), 0);
    while ((n = read(file, into + len, room - (size_t)len)) > 0) {
        len += n;
    }
    CHECK_IS(n, 0);
    CHECK_IS(lseek(file, 0, SEEK_SET), 0);
    return len;
}

/* Files that are made while they are read: those of /proc claim to be empty, those of /sys to be a page. Where one has
 * changed meanwhile it is copied again. */
LOOP_TEST(file_copy_from_files_without_a_true_size)
{
    static const char *const paths[] = {"/proc/self/limits", "/proc/self/mountinfo", "/proc/devices",
                                        "/sys/kernel/mm/transparent_hugepage/enabled",
                                        "/sys/devices/system/cpu/online"};
    static struct once copy;
    static int from, to;
    static unsigned i;
    static int64_t len;
    static bool has_changed;

    BEGIN;
    for (i = 0; i < COUNT_OF(paths); i += has_changed ? 0 : 1) {
        has_changed = false;
        from = open(paths[i], O_RDONLY | O_CLOEXEC);
        if (from < 0) {
            continue;
        }
        to = make_file("", 0);
        len = read_whole(from, pattern, sizeof pattern);
        start_copy(env->scope, from, to, &copy);
        WAIT_UNTIL(copy.count);
        has_changed = read_whole(from, got, sizeof got) != len || memcmp(got, pattern, (size_t)len) != 0;
        if (!has_changed) {
            CHECK(len > 0);
            ONCE_IS(copy, len);
            check_content(to, 0, pattern, len);
        }
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
        CHECK(errno == EPERM || errno == EACCES || errno == ENODEV);
        not_run("a file system of its own");
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

static struct once first_write;

/* The next write would succeed. */
static void lift_limit(void *arg, int64_t result)
{
    struct rlimit limit;

    CHECK_IS(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK_IS(setrlimit(RLIMIT_FSIZE, &limit), 0);
    once_resumed(arg, result);
}

/* Both copies read one file: the second waits for the first there, and not among the writes. */
LOOP_TEST(file_copies_behind_a_write_that_fails_leave_no_gap)
{
    static struct once copies[2];
    static struct loop_copy_outcome outcomes[2];
    static struct loop_flow *from, *to;
    static int number;
    struct rlimit limit;

    BEGIN;
    number = make_file("", 0);
    to = flow_beside(env->scope, number);
    from = flow_of(env->scope, make_file("cd", 2));
    signal(SIGXFSZ, SIG_IGN);
    CHECK_IS(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 0;
    CHECK_IS(setrlimit(RLIMIT_FSIZE, &limit), 0);
    START(loop_write(&to->sink, "ab", 2, lift_limit, &first_write));
    START(loop_copy_report(&from->source, &to->sink, &outcomes[0], ONCE(&copies[0])));
    START(loop_copy_report(&from->source, &to->sink, &outcomes[1], ONCE(&copies[1])));
    WAIT_UNTIL(first_write.count && copies[0].count && copies[1].count);
    ONCE_IS(first_write, -EFBIG);
    for (int i = 0; i < 2; i++) {
        ONCE_IS(copies[i], -EFBIG);
        CHECK(outcomes[i].error == -EFBIG && outcomes[i].is_sink_error);
    }
    CHECK_IS(size_of(number), 0);
    AWAIT(loop_copy(&from->source, &to->sink, GO));
    CHECK_IS(result, 2);
    check_content(number, 0, "cd", 2);
    close(number);
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
