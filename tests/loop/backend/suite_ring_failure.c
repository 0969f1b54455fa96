/* SPDX-License-Identifier: ISC
 *
 * Failures of io_uring_enter: temporary ones, as without memory, and permanent ones. Every job ends once, nothing is
 * written to its memory afterwards, and the loop continues or returns the error. This program overrides
 * functions of liburing's (ring_failing.h).
 */
#include "ring_failing.h"

#include <loop/part.h>

#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

/* ---- one program of everything ---- */

enum { ENDING = 10, PENDING = 7, MANY = 40 };

static struct mixed {
    struct loop_env *env;
    struct once ending[ENDING], pending[PENDING], many[MANY], timer;
    loop_job pending_jobs[PENDING];
    struct tally multishot;
    int pair[2], idle[2], idle_pipe[2], listener, client, file, direct;
    char *received, *idle_received, *idle_read, *written, *read, *block;
    bool was_on_uring;
    unsigned worked, calls_before;
} mixed;

static int64_t work(void *arg)
{
    unsigned *worked = arg;
    return (int64_t)++ * worked;
}

static void on_descriptor(void *arg, int64_t result)
{
    if (result >= 0) {
        close((int)result);
    }
    once_resumed(arg, result);
}

static void on_received(void *arg, int64_t result, void *data)
{
    (void)data;
    tally_resumed(arg, result);
}

static void cancel_the_pending(void *arg, int64_t result)
{
    for (unsigned i = 0; i < PENDING; i++) {
        loop_cancel(mixed.env->loop, mixed.pending_jobs[i]);
    }
    once_resumed(arg, result);
}

static void start_what_ends(struct loop_scope *scope, struct loop_fd *fds[4])
{
    static const struct loop_open_how how = {.flags = O_RDONLY};
    static const char greeting[] = "hello";
    CHECK_IS(write(mixed.pair[1], greeting, 5), 5);
    struct once *end = mixed.ending;
    loop_op_recv(scope, fds[0], mixed.received, 5, 0, ONCE(end++));
    loop_op_send(scope, fds[0], "answer", 6, 0, ONCE(end++));
    loop_op_write(scope, fds[1], mixed.written, 4096, 0, ONCE(end++));
    loop_op_read(scope, fds[1], mixed.read, 100, 0, ONCE(end++));
    loop_op_fsync(scope, fds[1], 0, ONCE(end++));
    loop_op_openat2(scope, "/dev/null", &how, on_descriptor, end++);
    loop_op_accept(scope, fds[2], NULL, NULL, on_descriptor, end++);
    loop_work(scope, work, &mixed.worked, ONCE(end++));
    loop_op_nop(scope, ONCE(end++));
    loop_op_read(scope, fds[3], mixed.block, 4096, 0, ONCE(end++));
    CHECK(end == mixed.ending + ENDING);
    for (unsigned i = 0; i < MANY; i++) {
        loop_op_nop(scope, ONCE(&mixed.many[i]));
    }
}

static void start_what_waits(struct loop_scope *scope, struct loop_fd *idle, struct loop_fd *pipe,
                             struct loop_fd *listener)
{
    struct loop_buffers *buffers = loop_buffers_create(scope, 4, 64);
    struct once *wait = mixed.pending;
    loop_job *job = mixed.pending_jobs;
    *job++ = loop_op_recv(scope, idle, mixed.idle_received, 4096, 0, ONCE(wait++));
    *job++ = loop_read(&loop_fd_flow(pipe)->source, mixed.idle_read, 4096, ONCE(wait++));
    *job++ = loop_poll(idle, POLLIN, ONCE(wait++));
    *job++ = loop_op_accept(scope, listener, NULL, NULL, ONCE(wait++));
    *job++ = loop_sleep(scope, 3600 * LOOP_SECOND, ONCE(wait++));
    *job++ = loop_signal(scope, SIGUSR2, ONCE(wait++));
    *job = loop_op_recv_multishot(scope, idle, buffers, on_received, &mixed.multishot);
    CHECK(wait == mixed.pending + PENDING - 1);
}

static int run_mixed(struct loop_env *env, void *arg)
{
    (void)arg;
    mixed.env = env;
    mixed.was_on_uring = is_on_uring(env);
    struct loop_fd *listener = adopt(env->scope, mixed.listener);
    struct loop_fd *direct = adopt(env->scope, mixed.direct);
    (void)loop_fd_poll_device(direct);
    start_what_ends(env->scope, (struct loop_fd *[]){adopt(env->scope, mixed.pair[0]), adopt(env->scope, mixed.file),
                                                     listener, direct});
    start_what_waits(env->scope, adopt(env->scope, mixed.idle[0]), adopt(env->scope, mixed.idle_pipe[0]), listener);
    loop_sleep(env->scope, 5 * LOOP_MILLISECOND, cancel_the_pending, &mixed.timer);
    return 0;
}

/* A file that gets the ring that polls devices, wherever the kernel has O_DIRECT in memory. It refuses the read. */
static int make_direct(void)
{
    int file = open("/dev/shm", O_RDWR | O_TMPFILE | O_DIRECT | O_CLOEXEC, 0600);
    return file >= 0 ? file : make_file("", 0);
}

static void make_material(void)
{
    struct sockaddr_in address;
    mixed = (struct mixed){0};
    make_pair(mixed.pair);
    make_pair(mixed.idle);
    make_pipe(mixed.idle_pipe);
    mixed.file = make_file("", 0);
    mixed.direct = make_direct();
    mixed.listener = make_listener(&address);
    mixed.client = connect_to(&address);
    mixed.received = calloc(1, 4096);
    mixed.idle_received = calloc(1, 4096);
    mixed.idle_read = calloc(1, 4096);
    mixed.written = calloc(1, 4096);
    mixed.read = calloc(1, 4096);
    mixed.block = aligned_alloc(4096, 4096);
}

/* The kernel must have let go of all of it. */
static void free_material(void)
{
    CHECK(send(mixed.idle[1], "late", 4, MSG_NOSIGNAL) == 4 || errno == EPIPE);
    CHECK_IS(mixed.idle_received[0], 0);
    CHECK_IS(mixed.idle_read[0], 0);
    free(mixed.received);
    free(mixed.idle_received);
    free(mixed.idle_read);
    free(mixed.written);
    free(mixed.read);
    free(mixed.block);
    close(mixed.pair[1]);
    close(mixed.idle[1]);
    close(mixed.idle_pipe[1]);
    close(mixed.client);
    if (!mixed.env) {
        close(mixed.pair[0]);
        close(mixed.idle[0]);
        close(mixed.idle_pipe[0]);
        close(mixed.file);
        close(mixed.direct);
        close(mixed.listener);
    }
}

static void check_that_all_ended(void)
{
    for (unsigned i = 0; i < ENDING; i++) {
        CHECK_IS(mixed.ending[i].count, 1);
    }
    for (unsigned i = 0; i < PENDING - 1; i++) {
        CHECK_IS(mixed.pending[i].count, 1);
    }
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_IS(mixed.many[i].count, 1);
    }
    CHECK_IS(mixed.timer.count, 1);
    CHECK_IS(mixed.multishot.count, 1);
}

static void check_that_all_went_well(void)
{
    static const int64_t results[ENDING] = {5, 6, 4096, -1, 0, -1, -1, 1, 0, 0};
    for (unsigned i = 0; i < ENDING; i++) {
        if (results[i] >= 0 && !is_hard("short")) {
            CHECK_IS(mixed.ending[i].result, results[i]);
        }
        CHECK(mixed.ending[i].result >= 0);
    }
    for (unsigned i = 0; i < PENDING - 1; i++) {
        CHECK_IS(mixed.pending[i].result, -ECANCELED);
    }
    CHECK_IS(mixed.multishot.cancelled, 1);
}

/* The result of the loop; what it left has been checked. A ring that fails at its beginning is none. */
static int run_the_mixed(void)
{
    make_material();
    int result = run(run_mixed, NULL);
    if (mixed.env) {
        check_that_all_ended();
    }
    if (result == 0) {
        check_that_all_went_well();
    }
    free_material();
    return mixed.env ? result : 0;
}

/* ---- for a while ---- */

static void fail_at_each_call(int error, unsigned times, bool is_end)
{
    unsigned failed = 1;
    for (unsigned first = 1; failed > 0 && first < 200; first++) {
        fail_enter(error, first, times);
        int result = run_the_mixed();
        failed = failing.failed;
        CHECK_IS(result, is_end && mixed.was_on_uring && failed > 0 ? -error : 0);
    }
}

TEST(an_interrupted_enter_is_made_again)
{
    fail_at_each_call(EINTR, 1, false);
}

TEST(an_enter_without_memory_is_tried_again)
{
    fail_at_each_call(ENOMEM, 1, false);
}

TEST(an_enter_that_can_not_make_a_request_is_tried_again)
{
    fail_at_each_call(EAGAIN, 3, false);
}

TEST(an_enter_that_finds_the_kernel_busy_is_tried_again)
{
    fail_at_each_call(EBUSY, 10, false);
}

static struct once slept, worked, received;
static char letter;
static unsigned counted;

static void when_worked(void *arg, int64_t result)
{
    CHECK(failing.error || result != 7);
    once_resumed(arg, result);
}

static int64_t answer_seven(void *arg)
{
    (void)arg;
    return 7;
}

static void end_shortage(void *arg, int64_t result)
{
    CHECK_IS(worked.count, 1); /* a thread's result came without the ring */
    CHECK_IS(received.count, 0);
    counted = failing.failed;
    failing.error = 0;
    once_resumed(arg, result);
}

/* 300 milliseconds are 19 intervals of the longest kind, and some shorter ones. */
LOOP_TEST(other_work_goes_on_in_a_shortage_and_it_does_not_spin)
{
    static int fds[2];
    static struct loop_fd *fd;

    BEGIN;
    make_pair(fds);
    fd = adopt(env->scope, fds[0]);
    CHECK_IS(write(fds[1], "z", 1), 1);
    if (is_on_uring(env) && !is_hard("refuse")) {
        fail_enter(ENOMEM, 0, UINT_MAX);
        START(loop_op_recv(env->scope, fd, &letter, 1, 0, ONCE(&received)));
        START(loop_work(env->scope, answer_seven, NULL, when_worked, &worked));
        AWAIT(loop_sleep(env->scope, 300 * LOOP_MILLISECOND, GO));
        end_shortage(&slept, 0);
        WAIT_UNTIL(received.count);
        ONCE_IS(received, 1);
        CHECK(counted > 0);
        CHECK_IS(counted / 200, 0);
    }
    close(fds[1]);
    END;
}

LOOP_TEST(a_long_shortage_is_told_once)
{
    BEGIN;
    if (is_on_uring(env)) {
        fail_enter(ENOMEM, 0, UINT_MAX);
        AWAIT(loop_sleep(env->scope, 1500 * LOOP_MILLISECOND, GO));
        failing.error = 0;
        const char *line = strstr(log_text(), "io_uring_enter is refused");
        CHECK(line && !strstr(line + 1, "io_uring_enter is refused"));
    }
    END;
}

/* ---- for good ---- */

TEST(a_lost_completion_ends_the_loop_with_the_reason)
{
    fail_at_each_call(EBADR, 1, true);
    if (mixed.was_on_uring) {
        CHECK(strstr(log_text(), "no memory for a completion"));
    }
}

TEST(a_ring_that_is_forbidden_later_ends_the_loop_with_the_reason)
{
    static const int errors[] = {ENOSYS, EPERM, EACCES};
    for (unsigned i = 0; i < COUNT_OF(errors); i++) {
        fail_at_each_call(errors[i], UINT_MAX, true);
    }
    if (mixed.was_on_uring) {
        CHECK(strstr(log_text(), "seccomp"));
    }
}

TEST(a_ring_that_can_not_be_used_ends_the_loop_with_the_reason)
{
    static const int errors[] = {EINVAL, EFAULT, ENXIO, EEXIST, EOWNERDEAD, EIO};
    for (unsigned i = 0; i < COUNT_OF(errors); i++) {
        fail_at_each_call(errors[i], i % 2 ? UINT_MAX : 1, true);
    }
}

static struct {
    int pair[2];
    char bytes[5];
    struct once read;
    bool was_dumped;
} exact;

/* Returns what loop_dump writes to standard error. */
static const char *dumped(struct loop_env *env)
{
    static char text[4096];
    int file = memfd_create("dump", MFD_CLOEXEC), kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    CHECK_IS(dup2(file, STDERR_FILENO), STDERR_FILENO);
    loop_dump(env->debug);
    CHECK_IS(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = 0;
    close(file);
    close(kept);
    return text;
}

/* Sends the rest, or looks what a dump tells of the read that the ring has given back. */
static void go_on(void *env, int64_t result)
{
    if (result == 0) {
        CHECK_IS(write(exact.pair[1], "cd", 2), 2);
    } else if (exact.read.count == 0) {
        const char *text = dumped(env);
        exact.was_dumped |= strstr(text, " read: ended, continuation due with -") != NULL;
        CHECK(!strstr(text, " read: ended, continuation due with 2"));
    }
}

static int read_in_parts(struct loop_env *env, void *unused)
{
    (void)unused;
    mixed.env = env;
    struct loop_source *source = &loop_fd_flow(adopt(env->scope, exact.pair[0]))->source;
    START(loop_read_exact(source, exact.bytes, 4, ONCE(&exact.read)));
    CHECK_IS(write(exact.pair[1], "ab", 2), 2);
    START(loop_sleep(env->scope, LOOP_MILLISECOND, go_on, env));
    return 0;
}

/* The count of what it has must survive that the ring gives back its next part, and is no result of it. */
TEST(an_exact_read_counts_its_part_when_the_ring_breaks)
{
    unsigned failed = 1;
    bool was_dumped = false;
    for (unsigned first = 1; failed > 0 && first < 50; first++) {
        memset(&exact, 0, sizeof exact);
        mixed.env = NULL;
        make_pair(exact.pair);
        fail_enter(ENOSYS, first, UINT_MAX);
        run(read_in_parts, NULL);
        failed = failing.failed;
        CHECK_IS(exact.read.count, mixed.env ? 1 : 0);
        CHECK_IS(exact.read.result < 0 ? 0 : exact.read.result, (int64_t)strlen(exact.bytes));
        was_dumped |= exact.was_dumped;
        close(exact.pair[1]);
        if (!mixed.env) {
            close(exact.pair[0]);
        }
    }
    const char *way = getenv("LOOP_WAY");
    CHECK(was_dumped || !way || strcmp(way, "completions") != 0); /* otherwise the ring reads for no flow */
}

TEST(what_can_not_be_cancelled_ends_when_the_kernel_has_freed_the_ring)
{
    for (unsigned first = 8; first < 16; first++) {
        fail_enter(ENOSYS, first, UINT_MAX);
        failing.no_cancel = true;
        int result = run_the_mixed();
        CHECK(result == (mixed.was_on_uring && failing.failed > 0 ? -ENOSYS : 0));
    }
}

/* Lets each call fail from now on, but not before the jobs that the main function has started are in the ring: on a
 * loaded machine, the first sleep may end before the first call. */
static void begin_failing(void *arg, int64_t result)
{
    if (failing.calls == mixed.calls_before) {
        loop_sleep(mixed.env->scope, LOOP_MILLISECOND, begin_failing, arg);
        return;
    }
    failing.error = ENOSYS;
    failing.first = 0;
    once_resumed(arg, result);
}

static void begin_failing_soon(struct loop_env *env)
{
    mixed.calls_before = failing.calls;
    loop_sleep(env->scope, LOOP_MILLISECOND, begin_failing, &slept);
}

static int waiting_main(struct loop_env *env, void *arg)
{
    int *fds = arg;
    mixed.env = env;
    mixed.was_on_uring = is_on_uring(env);
    if (!mixed.was_on_uring) {
        return 1;
    }
    loop_op_recv(env->scope, adopt(env->scope, fds[0]), &letter, 1, 0, ONCE(&received));
    begin_failing_soon(env);
    return 0;
}

static void print(void *arg, enum loop_log_level level, const char *line)
{
    (void)arg;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

/* Neither is the end of the ring known, nor can its jobs end. */
static int run_to_the_stop(void *arg)
{
    int fds[2];
    (void)arg;
    make_pair(fds);
    fail_enter(0, UINT_MAX, UINT_MAX);
    failing.no_files = true;
    struct loop_options options = {.log = print};
    (void)run_with(&options, waiting_main, fds);
    return mixed.was_on_uring ? 1 : 77;
}

TEST(a_program_whose_memory_the_kernel_may_still_write_to_is_stopped)
{
    int status = in_child(run_to_the_stop, NULL);
    if (is_hard("refuse") || (WIFEXITED(status) && WEXITSTATUS(status) == 77)) {
        return; /* no ring, or the job is not in it */
    }
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(child_text(), "still has memory")) {
        ck_abort_msg("it ended with status 0x%x and said:\n%s", (unsigned)status, child_text());
    }
}

static void stop_reading(void *arg, int64_t result)
{
    loop_scope_cancel(mixed.env->scope);
    once_resumed(arg, result);
}

static int idle_main(struct loop_env *env, void *arg)
{
    int *fds = arg;
    mixed.env = env;
    mixed.was_on_uring = is_on_uring(env);
    loop_read(&flow_of(env->scope, fds[0])->source, &letter, 1, ONCE(&received));
    if (mixed.was_on_uring) {
        begin_failing_soon(env);
    } else {
        loop_sleep(env->scope, LOOP_MILLISECOND, stop_reading, &slept);
    }
    return 0;
}

/* Polls hold no memory of the program's: nothing has to be known, and nothing is stopped. */
TEST(a_ring_of_polls_alone_needs_no_stop)
{
    int fds[2];
    make_pipe(fds);
    fail_enter(0, 0, UINT_MAX);
    failing.no_files = failing.no_cancel = true;
    int result = run(idle_main, fds);
    CHECK_IS(result, mixed.was_on_uring ? -ENOSYS : -ECANCELED);
    CHECK_IS(received.count, 1);
    close(fds[1]);
}
