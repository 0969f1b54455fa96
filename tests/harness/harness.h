/* SPDX-License-Identifier: ISC
 *
 * The test harness. Each TEST runs in its own process (libcheck forks), with a timeout, and fails if it leaks a
 * descriptor, a thread, a mapping or memory. Suites do not know which backend runs: the environment selects it.
 *
 * A LOOP_TEST is a script: it runs as main of a loop and reads from top to bottom. AWAIT starts a job with GO as its
 * continuation and returns to the loop. When the job has ended, the script continues at the next line, with the job's
 * result in `result`. Variables that live across an AWAIT are therefore static, which is harmless because every test
 * has its own process.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <fs/fs.h>
#include <loop/loop.h>
#include <loop/low_level.h>
#include <net/net.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

/* By how much less a test does that only counts bytes: ThreadSanitizer makes it that much slower. */
#ifdef __SANITIZE_THREAD__
#define SLOWNESS 8
#else
#define SLOWNESS 1
#endif

/* ---- tests ---- */

struct harness_test {
    const TTest *test;
    int rows; /* the number of runs: 1, or the number of rows of its table */
    struct harness_test *next;
};

void harness_add(struct harness_test *test);

/* Defines and registers a test: `TEST(p01_name) { … }`. */
#define TEST(name) TEST_ROWS(name, 1, row_ __attribute__((unused)))

/* Defines a test that runs once for each row of a table. Each row is a check of its own, and `row` its number:
 * `TEST_ROWS(p01_name, COUNT_OF(table), row) { … table[row] … }`. */
#define TEST_ROWS(name, count, row)                                                                                    \
    static void name(int);                                                                                             \
    __attribute__((constructor)) static void name##_add(void)                                                          \
    {                                                                                                                  \
        static const TTest check = {#name, name, __FILE__, __LINE__};                                                  \
        static struct harness_test test = {&check, (count), NULL};                                                     \
        harness_add(&test);                                                                                            \
    }                                                                                                                  \
    static void name(int row)

/* Unlike libcheck's own checks, these cost nothing and print nothing while they hold. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            ck_abort_msg("not so: %s", #condition);                                                                    \
        }                                                                                                              \
    } while (0)

#define CHECK_IS(actual, expected)                                                                                     \
    do {                                                                                                               \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected);                                    \
        if (actual_ != expected_) {                                                                                    \
            ck_abort_msg("%s is %lld, not %s (%lld)", #actual, actual_, #expected, expected_);                         \
        }                                                                                                              \
    } while (0)

#define CHECK_TEXT(actual, expected)                                                                                   \
    do {                                                                                                               \
        const char *actual_ = (actual), *expected_ = (expected);                                                       \
        if (strcmp(actual_, expected_) != 0) {                                                                         \
            ck_abort_msg("%s is\n%s\nnot\n%s", #actual, actual_, expected_);                                           \
        }                                                                                                              \
    } while (0)

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* ---- running a loop ---- */

/* Calls loop_run_with, and checks that it leaves no new open descriptor, the same signal mask, and no new pending
 * SIGPIPE. If options->log is NULL, the loop's messages are recorded; see log_text. */
int run_with(const struct loop_options *options, loop_main_fn *body, void *arg);
int run(loop_main_fn *body, void *arg);

/* NULL, or what run_with and scripts call in the place of loop_run_with. */
extern int (*run_by)(const struct loop_options *options, loop_main_fn *body, void *arg);

/* Returns the lines that the loop has logged at warning and error level, each terminated by a newline. */
const char *log_text(void);

/* ---- scripts ---- */

typedef void steps_fn(struct loop_env *env, int64_t result);

struct script {
    steps_fn *steps;
    struct loop_env *env;
    int at;      /* the line of the current wait */
    bool awaits; /* in AWAIT: its continuation may be resumed */
    bool polls;  /* in WAIT_UNTIL: its condition is checked after every recorded continuation */
    bool is_done;
    int row;      /* of LOOP_TEST_ROWS */
    int starting; /* the number of calls on the stack that start jobs */
    int expected; /* the expected result of loop_run */
};
extern struct script script;

void script_run(const struct loop_options *options, steps_fn *steps);
void script_await(int line);
loop_job script_started(loop_job job);
void script_poke(void);
void script_go(void *unused, int64_t result);

#define LOOP_TEST_WITH(name, ...)                                                                                      \
    static void name##_steps(struct loop_env *env, int64_t result);                                                    \
    TEST(name)                                                                                                         \
    {                                                                                                                  \
        struct loop_options options = {__VA_ARGS__};                                                                   \
        script_run(&options, name##_steps);                                                                            \
    }                                                                                                                  \
    static void name##_steps(struct loop_env *env, int64_t result)

#define LOOP_TEST(name) LOOP_TEST_WITH(name, .queue_depth = 0)

/* A script that runs once for each row of a table; script.row is the number of the row. */
#define LOOP_TEST_ROWS(name, count)                                                                                    \
    static void name##_steps(struct loop_env *env, int64_t result);                                                    \
    TEST_ROWS(name, count, row)                                                                                        \
    {                                                                                                                  \
        script.row = row;                                                                                              \
        script_run(&(struct loop_options){.queue_depth = 0}, name##_steps);                                            \
    }                                                                                                                  \
    static void name##_steps(struct loop_env *env, int64_t result)

#define BEGIN                                                                                                          \
    (void)env;                                                                                                         \
    (void)result;                                                                                                      \
    switch (script.at) {                                                                                               \
    case 0:

#define END                                                                                                            \
    script.is_done = true;                                                                                             \
    }                                                                                                                  \
    return

/* The continuation of AWAIT's job. */
#define GO script_go, NULL

#define AWAIT(job)                                                                                                     \
    do {                                                                                                               \
        script_await(__LINE__);                                                                                        \
        script_started(job);                                                                                           \
        return;                                                                                                        \
    case __LINE__:;                                                                                                    \
    } while (0)

/* Continues when the condition holds. The condition is checked now, and whenever a recorder below has recorded
 * something. */
#define WAIT_UNTIL(condition)                                                                                          \
    do {                                                                                                               \
        script.at = __LINE__;                                                                                          \
        __attribute__((fallthrough));                                                                                  \
    case __LINE__:                                                                                                     \
        if (!(condition)) {                                                                                            \
            script.polls = true;                                                                                       \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

/* Starts a job without awaiting it. Checks that the job exists, and that nothing is resumed inside the call. */
#define START(job) (script.starting++, script_started(job))

/* Waits for `count` turns of the loop. */
loop_job turns(struct loop_scope *scope, unsigned count, loop_fn *fn, void *arg);

/* ---- recorders ---- */

/* Records a continuation that must be resumed exactly once. */
struct once {
    unsigned count;
    int64_t result;
    unsigned order; /* its position among all recorded continuations */
};
#define ONCE(record) once_resumed, (record)
void once_resumed(void *record, int64_t result);

#define ONCE_IS(record, expected)                                                                                      \
    do {                                                                                                               \
        CHECK_IS((record).count, 1);                                                                                   \
        CHECK_IS((record).result, expected);                                                                           \
    } while (0)

/* Counts many continuations by result, without a record for each. */
struct tally {
    unsigned long count, ended_well, cancelled, others;
};
#define TALLY(record) tally_resumed, (record)
void tally_resumed(void *record, int64_t result);

/* Records the bytes of a stream. Bytes beyond `room` fail the test. */
struct record {
    char *data;
    size_t room, length;
    unsigned chunks, ends;
    int64_t end;
};
#define RECORD(record) record_stream, (record)
void record_stream(void *record, int64_t result, struct loop_chunk *chunk);

/* A golden trace: lines of text. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *trace_text(void);

/* ---- material ---- */

/* Bytes that encode their offset: the same seed produces the same bytes, and neighbouring offsets differ. */
void fill_pattern(void *data, size_t len, unsigned seed);
bool is_pattern(const void *data, size_t len, unsigned seed);
/* Returns true if the bytes are the part of the pattern that starts at `offset`. */
bool is_pattern_at(const void *data, size_t len, unsigned seed, size_t offset);

void make_pair(int fds[2]);     /* Unix stream sockets, CLOEXEC */
void make_tcp_pair(int fds[2]); /* over loopback */
void make_pipe(int fds[2]);
int make_file(const void *data, size_t len); /* an unnamed regular file, at position 0 */
int make_listener(struct sockaddr_in *address);
int connect_to(const struct sockaddr_in *address); /* a blocking socket, connected or connecting */
void set_nonblocking(int fd);
void close_with_reset(int fd); /* for a TCP socket: its peer gets ECONNRESET */
void set_small_buffers(int fd);
/* Create a private directory under /tmp, and remove it with all of its contents. */
const char *make_directory(void);
void remove_directory(const char *path);

struct loop_flow *flow_of(struct loop_scope *scope, int fd); /* adopts */
struct loop_fd *adopt(struct loop_scope *scope, int fd);
/* Adopts both ends of a pair as flows. */
void make_flows(struct loop_scope *scope, struct loop_flow *flows[2]);
/* Writes with system calls until a descriptor is full. Returns the number of bytes. */
size_t stuff(int fd);
/* Reads and discards all available bytes. Returns their number. */
size_t drain(int fd);

bool is_open(int fd);
unsigned count_fds(void);
int lowest_free_fd(void);

/* Returns the descriptor limit (RLIMIT_NOFILE) that allows this many more descriptors. */
int limit_with_free_fds(unsigned n);
/* Set the descriptor limit, at most to the hard limit; forbid_fds allows no new descriptor. Both return the previous
 * limit. */
rlim_t limit_fds(rlim_t limit);
rlim_t forbid_fds(void);

/* ---- the world around ---- */

/* Returns true if NORIA_HARD names this mode. */
bool is_hard(const char *mode);

/* Returns whether run_with and scripts use loop_open and poll(2) in the place of loop_run (TESTS_HOSTED is set). */
bool is_hosted(void);

/* Returns `many` where a test is to be repeated that often, for what only many repetitions show: on the real kernel, in
 * ways that name a backend and have no host, hard mode or sanitizer. Otherwise returns `few`: such ways differ in
 * nothing that adds up. */
unsigned repeated(unsigned many, unsigned few);

/* Checks a byte count that a single system call determines: exact, except in the mode in which every call is short. */
#define CHECK_MOVED(actual, expected)                                                                                  \
    do {                                                                                                               \
        long long moved_ = (long long)(actual), most_ = (long long)(expected);                                         \
        if (moved_ != most_ && !(is_hard("short") && moved_ > 0 && moved_ < most_)) {                                  \
            ck_abort_msg("%s is %lld, not %s (%lld)", #actual, moved_, #expected, most_);                              \
        }                                                                                                              \
    } while (0)

/* Tells that this machine does not permit what a test needs, for tests/run to count. `what` is a noun. errno is why. */
void not_run(const char *what);

/* Runs fn in a forked child and returns its wait status. Its standard error is stored in child_text. */
int in_child(int (*fn)(void *arg), void *arg);
const char *child_text(void);
#define CHECK_CHILD(fn, arg)                                                                                           \
    do {                                                                                                               \
        int status_ = in_child((fn), (arg));                                                                           \
        if (status_ != 0) {                                                                                            \
            ck_abort_msg("%s ended with status 0x%x and said:\n%s", #fn, (unsigned)status_, child_text());             \
        }                                                                                                              \
    } while (0)

/* Checks a call that aborts in a debug build and returns an error in others: `fn` returns the call's result. In a
 * debug build the child must abort and name `word`; in other builds fn must return `answer`. */
void expect_stop(int (*fn)(void *arg), void *arg, const char *word, int answer);

/* Switches to an unprivileged user. Returns false and changes nothing if the process is not root. */
bool drop_privileges(void);

/* Makes io_uring's system calls fail with `error` in this process from now on; with `only_enter`, only
 * io_uring_enter. */
void block_uring(int error, bool only_enter);
/* Has the kernel clone no registered buffers in this process from now on, as before Linux 6.12. */
void block_clones(void);
/* Returns whether it clones them. */
bool has_clones(void);
/* Returns the features of a new ring, or a negative errno if the kernel refuses one. */
int64_t probe_uring(void);

/* Return the voluntary context switches of this thread, and its CPU time. */
long voluntary_switches(void);
int64_t cpu_time_ns(void);
int64_t now_ns(void);

/* ---- memory ---- */

/* Returns the number of bytes that the library and the tests have allocated and not freed; 0 under a sanitizer. */
size_t live_bytes(void);

/* Counts the allocations of the library and the tests. Not available under a sanitizer, which replaces malloc
 * itself. */
#if !HAS_SANITIZER
unsigned long allocations(void);
/* Makes the n-th allocation from now on fail (1: the next one; 0: none). Until then freed memory is watched: a write
 * to it aborts the test. */
void fail_allocation(unsigned long n, bool all_after);
bool allocation_failed(void);
#endif

#endif
