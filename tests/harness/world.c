/* SPDX-License-Identifier: ISC
 *
 * Child processes, privileges, clocks, and a kernel without io_uring.
 */
#include "harness.h"

#include <stdio.h>
#include <time.h>

#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

bool is_hard(const char *mode)
{
    const char *modes = getenv("NORIA_HARD");

#if NORIA_HARD_MODES
    return modes && strstr(modes, mode);
#else
    (void)mode;
    return !modes && modes;
#endif
}

static char child_lines[8192];

const char *child_text(void)
{
    return child_lines;
}

static void keep_child_text(int fd)
{
    ssize_t length = pread(fd, child_lines, sizeof child_lines - 1, 0);

    child_lines[length > 0 ? length : 0] = 0;
    close(fd);
}

int in_child(int (*fn)(void *arg), void *arg)
{
    int text = memfd_create("text", MFD_CLOEXEC), status = 0;

    CHECK(text >= 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(text, STDERR_FILENO);
        _exit(fn(arg));
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        continue;
    }
    keep_child_text(text);
    return status;
}

struct stop {
    int (*fn)(void *arg);
    void *arg;
    int answer;
};

static int try_stop(void *arg)
{
    const struct stop *stop = arg;

    return stop->fn(stop->arg) == stop->answer ? 0 : 1;
}

void expect_stop(int (*fn)(void *arg), void *arg, const char *word, int answer)
{
    struct stop stop = {fn, arg, answer};
    int status = in_child(try_stop, &stop);

#if NORIA_DEBUG
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
        ck_abort_msg("a debug build was to stop, not to end with status 0x%x; it said:\n%s", (unsigned)status,
                     child_text());
    }
    if (!strstr(child_text(), word)) {
        ck_abort_msg("'%s' is not in what it said:\n%s", word, child_text());
    }
#else
    (void)word;
    CHECK_IS(status, 0);
#endif
}

bool drop_privileges(void)
{
    if (geteuid() != 0) {
        return false;
    }
    return setresgid(12345, 12345, 12345) == 0 && setresuid(12345, 12345, 12345) == 0;
}

void block_uring(int error, bool only_enter)
{
    const uint32_t other = only_enter ? __NR_io_uring_enter : __NR_io_uring_setup;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA)),
    };
    const struct sock_fprog program = {COUNT_OF(filter), filter};

    CHECK_IS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_IS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

int64_t probe_uring(void)
{
    struct io_uring_params params;

    memset(&params, 0, sizeof params);
    long ring = syscall(__NR_io_uring_setup, 4, &params);
    if (ring < 0) {
        return -errno;
    }
    int error = syscall(__NR_io_uring_enter, ring, 0, 0, 0, NULL, 0) < 0 ? -errno : 0;
    close((int)ring);
    return error ? error : (int64_t)params.features;
}

long voluntary_switches(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * LOOP_SECOND + now.tv_nsec;
}

int64_t cpu_time_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int64_t now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}
