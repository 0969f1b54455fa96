/* SPDX-License-Identifier: ISC
 *
 * Lets every system call and every allocation of a mixed program fail in turn: each job ends once, nothing leaks,
 * nothing hangs, and the loop returns.
 *
 * A clean run counts the uses of each call. Then the program runs repeatedly, each time in a new process, in which one
 * use of one call fails. tests/faults lets every use fail; tests/run covers the first uses of each call and one more at
 * random, the same one each time; FAULTS_SEED in the environment, a number, chooses others. An error is reported with
 * the value of NORIA_FAIL with which the_mixed_program reproduces it.
 */
#include "dice.h"
#include "mixed.h"

#include <loop/kernel/fail.h>

#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#if NORIA_HARD_MODES

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_LEAK_CHECK 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAS_LEAK_CHECK 1
#endif
#ifdef HAS_LEAK_CHECK
#include <sanitizer/lsan_interface.h>
#define HAS_THREAD_SANITIZER 0
#else
#define __lsan_do_recoverable_leak_check() 0
#define HAS_THREAD_SANITIZER HAS_SANITIZER
#endif

enum { FIRST_USES = HAS_SANITIZER ? 1 : 2, MOST_CALLS = 192, WATCHDOG_S = 40 };

/* ---- one run ---- */

struct run {
    const char *what; /* what fails; NULL: nothing; "" leaves what the environment says */
    const char *path;
    /* written by the child */
    int result;
    unsigned errors, failed, uses[MOST_CALLS];
};

static struct run *shared;

/* In a process of its own. */
static int run_once(void *unused)
{
    struct run *run = shared;
    char *const only = getenv("FAULTS_PART");

    (void)unused;
    signal(SIGUSR1, SIG_IGN); /* where the signalfd fails */
    signal(SIGALRM, SIG_DFL); /* not as libcheck has it */
    alarm(WATCHDOG_S);
    if (chdir(run->path) < 0 || !freopen("/dev/null", "r", stdin) || !freopen("/dev/null", "w", stdout)) {
        return 1;
    }
    unsigned fds = count_fds();
    size_t bytes = live_bytes();
    if (!run->what || *run->what) {
        MIXED_MUST(loop_kernel_fail_set(run->what));
    }
    run->result = mixed_run(run->path, only);
    run->errors = mixed_errors();
    run->failed = loop_kernel_fail_failed();
    for (size_t i = 0; i < loop_kernel_fail_count(); i++) {
        run->uses[i] = loop_kernel_fail_uses(i);
    }
    if (count_fds() != fds || live_bytes() != bytes || __lsan_do_recoverable_leak_check()) {
        mixed_broken("%u descriptors, there were %u; %zu bytes, there were %zu", count_fds(), fds, live_bytes(), bytes);
    }
    return 0;
}

static void share(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
}

/* Returns true if no promise was broken; otherwise child_text describes it. */
static bool run_with_fault(const char *what)
{
    *shared = (struct run){.what = what, .path = make_directory()};
    int status = in_child(run_once, NULL);
    remove_directory(shared->path);
    if (WIFSIGNALED(status)) {
        printf("killed by signal %d%s\n", WTERMSIG(status), WTERMSIG(status) == SIGALRM ? ": the loop hangs" : "");
    }
    return status == 0;
}

/* ---- which uses fail, and how ---- */

struct errors {
    const char *call;
    int errors[4];
};

/* What a call may well say. Others say EIO. */
static const struct errors memory_errors[] = {
    {"aligned_alloc", {ENOMEM}}, {"calloc", {ENOMEM}},         {"malloc", {ENOMEM}},
    {"mmap", {ENOMEM}},          {"realloc", {ENOMEM}},        {"strdup", {ENOMEM}},
    {"strndup", {ENOMEM}},       {"pthread_create", {EAGAIN}}, {NULL, {0}},
};

static const struct errors loop_errors[] = {
    {"epoll_create1", {EMFILE, ENOMEM}},
    {"epoll_ctl", {ENOMEM, ENOSPC}},
    {"epoll_pwait2", {EINTR}},
    {"epoll_wait", {EINTR}},
    {"eventfd", {EMFILE, ENOMEM}},
    {"signalfd", {EMFILE}},
    {"getrandom", {ENOSYS}},
    {"pipe2", {EMFILE, ENFILE}},
    {"poll", {EINTR, ENOMEM}},
    {"dup", {EMFILE}},
    {"close", {EINTR, EIO}},
    {"inotify_add_watch", {ENOSPC, EACCES}},
    {"inotify_init1", {EMFILE}},
    {"io_uring_enter2", {EINTR, EAGAIN, EBUSY}},
    {"io_uring_queue_init_params", {ENOMEM, EPERM}},
    {"io_uring_register_buf_ring", {ENOMEM, EINVAL}},
    {"io_uring_register_buffers", {ENOMEM}},
    {NULL, {0}},
};

static const struct errors socket_errors[] = {
    {"accept4", {ECONNABORTED, EMFILE, ENOBUFS, EINTR}},
    {"connect", {ECONNREFUSED, ENETUNREACH}},
    {"bind", {EADDRINUSE}},
    {"listen", {EADDRINUSE}},
    {"recv", {ECONNRESET, EINTR}},
    {"recvmsg", {ENOMEM, EINTR}},
    {"recvmmsg", {ECONNREFUSED, EINTR, ENOMEM}},
    {"send", {EPIPE, ECONNRESET, EINTR, ENOBUFS}},
    {"sendmsg", {EPIPE, EINTR}},
    {"sendmmsg", {ENOBUFS, EINTR, ENETUNREACH}},
    {"socket", {EMFILE, ENOBUFS}},
    {"socketpair", {EMFILE}},
    {"shutdown", {EIO}},
    {"setsockopt", {ENOPROTOOPT}},
    {"getsockopt", {ENOMEM}},
    {"getsockname", {ENOBUFS}},
    {"getpeername", {ENOTCONN}},
    {NULL, {0}},
};

static const struct errors file_errors[] = {
    {"openat2", {ENOSYS, EINTR, EMFILE, EACCES}},
    {"open", {EMFILE, EACCES}},
    {"openat", {EMFILE, EACCES}},
    {"read", {EIO, EINTR}},
    {"readv", {EIO, EINTR}},
    {"pread", {EIO}},
    {"preadv", {EIO}},
    {"preadv2", {EOPNOTSUPP, EIO}},
    {"write", {ENOSPC, EINTR}},
    {"writev", {ENOSPC, EINTR}},
    {"pwrite", {ENOSPC}},
    {"pwritev", {ENOSPC}},
    {"pwritev2", {EOPNOTSUPP, ENOSPC}},
    {"copy_file_range", {EXDEV, ENOSPC}},
    {"fallocate", {ENOSPC, EOPNOTSUPP}},
    {"splice", {EINVAL, EIO}},
    {"fsync", {EIO}},
    {"fdatasync", {EIO}},
    {"ftruncate", {EIO}},
    {"fstat", {ENOMEM}},
    {"statx", {ENOSYS, ENOMEM}},
    {"getdents64", {EIO}},
    {"mkdirat", {ENOSPC}},
    {"unlinkat", {EROFS}},
    {"renameat", {EACCES}},
    {"renameat2", {EINVAL, EACCES}},
    {"linkat", {EPERM, EMLINK}},
    {"symlinkat", {ENOSPC}},
    {"readlinkat", {EACCES}},
    {"fchmod", {EPERM}},
    {"fchmodat", {EPERM}},
    {"fchmodat2", {ENOSYS}},
    {"fchown", {EPERM}},
    {"fchownat", {EPERM}},
    {"faccessat", {EACCES}},
    {"faccessat2", {ENOSYS, EACCES}},
    {"utimensat", {EPERM}},
    {"futimens", {EPERM}},
    {"statfs", {EIO}},
    {"fstatfs", {EIO}},
    {"fstatat", {EIO}},
    {"lstat", {EIO}},
    {"stat", {EIO}},
    {"chmod", {EPERM}},
    {"unlink", {EACCES}},
    {"lseek", {EIO}},
    {"getcwd", {ENOENT}},
    {"flock", {EWOULDBLOCK}},
    {"madvise", {ENOMEM}},
    {"ioctl", {EIO}},
    {"inotify_rm_watch", {EINVAL}},
    {"getrlimit", {EPERM}},
    {NULL, {0}},
};

/* Not ring-cancel: where the kernel says that there is nothing to be cancelled there is nothing. */
static const struct errors ring_errors[] = {
    {"ring-read", {EIO, EINTR, EAGAIN}},
    {"ring-readv", {EIO}},
    {"ring-write", {ENOSPC}},
    {"ring-writev", {EIO}},
    {"ring-read-fixed", {EIO}},
    {"ring-write-fixed", {EFAULT}},
    {"ring-poll", {ENOMEM, EINVAL}},
    {"ring-connect", {ECONNREFUSED}},
    {"ring-accept", {EMFILE, EINVAL, ECONNABORTED}},
    {"ring-recv", {ECONNRESET}},
    {"ring-send", {EPIPE}},
    {"ring-sendmsg", {EPIPE, EINVAL}},
    {"ring-recvmsg", {ENOMEM}},
    {"ring-openat2", {EMFILE}},
    {"ring-statx", {ENOMEM}},
    {"ring-fsync", {EIO}},
    {"ring-nop", {ENOMEM}},
    {"ring-poll-remove", {ENOENT}},
    {NULL, {0}},
};

static unsigned search(const char *variable, unsigned otherwise)
{
    const char *text = getenv(variable);

    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static unsigned n_runs, n_broken;

static void run_fault(const char *call, int error, unsigned nth)
{
    char what[64];

    snprintf(what, sizeof what, "%s:%s:%u", call, strerrorname_np(error), nth);
    n_runs++;
    if (!run_with_fault(what)) {
        n_broken++;
        printf("NORIA_FAIL=%s LOOP_BACKEND=%s suite_faults the_mixed_program\n%s\n", what, getenv("LOOP_BACKEND"),
               child_text());
        fflush(stdout);
    }
}

static void run_faults_of(const char *call, const int errors[4], unsigned uses)
{
    unsigned first = search("FAULTS_USES", FIRST_USES);

    for (unsigned nth = 1; nth <= uses && nth <= first; nth++) {
        for (int i = 0; i < 4 && errors[i]; i++) {
            run_fault(call, errors[i], nth);
        }
    }
    if (uses > first) {
        unsigned n_kinds = 1;
        while (n_kinds < 4 && errors[n_kinds]) {
            n_kinds++;
        }
        run_fault(call, errors[dice(n_kinds)], first + 1 + dice(uses - first));
    }
}

static unsigned uses_of(const unsigned uses[], const char *call)
{
    for (size_t i = 0; i < loop_kernel_fail_count(); i++) {
        if (strcmp(loop_kernel_fail_name(i), call) == 0) {
            return uses[i];
        }
    }
    return 0; /* the ring's, where there is none */
}

static void every_use_fails(const struct errors *errors)
{
    const char *only = getenv("FAULTS_CALL");
    unsigned uses[MOST_CALLS];

    if (getenv("NORIA_FAIL") || getenv("NORIA_HARD") || HAS_THREAD_SANITIZER) {
        return;
    }
    dice_state = search("FAULTS_SEED", 1);
    printf("FAULTS_SEED=%u\n", (unsigned)dice_state);
    share();
    CHECK(run_with_fault(NULL));
    memcpy(uses, shared->uses, sizeof uses);
    for (; errors->call; errors++) {
        if (!only || strcmp(only, errors->call) == 0) {
            run_faults_of(errors->call, errors->errors, uses_of(uses, errors->call));
        }
    }
    printf("%u runs\n", n_runs);
    munmap(shared, sizeof *shared);
    if (n_broken > 0) {
        ck_abort_msg("%u of %u faults broke a promise", n_broken, n_runs);
    }
}

/* ---- tests ---- */

TEST(what_fails_is_told_by_call_error_and_use)
{
    CHECK(loop_kernel_fail_set("malloc:ENOMEM:3+2,recv:104:1,ring-read:EIO:7") ||
          !loop_kernel_fail_set("ring-read:EIO:7"));
    CHECK(loop_kernel_fail_set("dup:EMFILE:1") && loop_kernel_fail_set("openat2:ENOSYS:1+1") &&
          loop_kernel_fail_set("") && loop_kernel_fail_set(NULL));
    CHECK(!loop_kernel_fail_set("malloc") && !loop_kernel_fail_set("malloc:ENOMEM") &&
          !loop_kernel_fail_set("malloc:ENOMEM:0"));
    CHECK(!loop_kernel_fail_set("malloc:ENOMEM:-1") && !loop_kernel_fail_set("malloc:ENOMEM:1+") &&
          !loop_kernel_fail_set("malloc:ENOMEM:1+0") && !loop_kernel_fail_set("malloc:ENOMEM:4294967296"));
    CHECK(!loop_kernel_fail_set("malloc:ENOSUCH:1") && !loop_kernel_fail_set("nothing:EIO:1") &&
          !loop_kernel_fail_set("malloc:ENOMEM:1;recv:EIO:1"));
}

static int no_loop(struct loop_env *env, void *unused)
{
    (void)env;
    (void)unused;
    return 1;
}

TEST(the_use_that_was_named_fails)
{
    CHECK(loop_kernel_fail_set("eventfd:EMFILE:1"));
    CHECK_IS(run(no_loop, NULL), -EMFILE);
    CHECK_IS(loop_kernel_fail_failed(), 1);
    CHECK_IS(run(no_loop, NULL), 1);
    CHECK_IS(loop_kernel_fail_failed(), 1);
}

/* By itself it goes well; with NORIA_FAIL it shows one fault. */
TEST(the_mixed_program)
{
    share();
    if (!run_with_fault("")) {
        ck_abort_msg("%s", child_text());
    }
    printf("returned %d, %u errors, %u calls failed\n", shared->result, shared->errors, shared->failed);
    if (!getenv("NORIA_FAIL")) {
        CHECK_IS(shared->result, 0);
        CHECK_IS(shared->errors, 0);
    }
    munmap(shared, sizeof *shared);
}

TEST(every_allocation_fails)
{
    every_use_fails(memory_errors);
}

TEST(every_call_of_the_loop_fails)
{
    every_use_fails(loop_errors);
}

TEST(every_call_of_sockets_fails)
{
    every_use_fails(socket_errors);
}

TEST(every_call_of_files_fails)
{
    every_use_fails(file_errors);
}

TEST(every_operation_of_the_ring_fails)
{
    every_use_fails(ring_errors);
}

#else

TEST(faults_need_hard_modes)
{
}

#endif
