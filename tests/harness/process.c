/* SPDX-License-Identifier: ISC
 *
 * What the real kernel tells about this process, child processes, privileges, and a kernel without io_uring.
 * simulated_process.c has the same for the simulated kernel.
 */
#include "account.h"

#include <dirent.h>
#include <stdio.h>

#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- resources ---- */

void account_list_fds(struct account *account)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;

    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory)) {
            account_note_fd(account, (unsigned)atoi(entry->d_name));
        }
    }
    closedir(directory);
}

void account_describe_fd(unsigned fd, char *text, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%u", fd);
    ssize_t length = readlink(path, text, size - 1);
    text[length > 0 ? length : 0] = 0;
}

/* The kernel lists a ring's helper threads as threads of the process, and they end at any time. */
static bool is_kernels_helper(const char *thread)
{
    char path[64], name[32] = "";

    snprintf(path, sizeof path, "/proc/self/task/%.20s/comm", thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return true; /* it has just ended */
    }
    ssize_t length = read(fd, name, sizeof name - 1);
    close(fd);
    return length > 0 && strncmp(name, "iou-", 4) == 0;
}

unsigned account_count_threads(void)
{
    DIR *directory = opendir("/proc/self/task");
    const struct dirent *entry;
    unsigned count = 0;

    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        count += entry->d_name[0] != '.' && !is_kernels_helper(entry->d_name);
    }
    closedir(directory);
    return count;
}

void account_check_maps(void)
{
    static char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");

    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps)) {
        if (strstr(line, "[io_uring]")) {
            ck_abort_msg("a ring is still mapped: %s", line);
        }
    }
    fclose(maps);
}

void account_make_files(void)
{
}

const char *account_left_out(const char *test)
{
    (void)test;
    return NULL;
}

/* ---- children and privileges ---- */

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

bool drop_privileges(void)
{
    if (geteuid() != 0) {
        return false;
    }
    return setresgid(12345, 12345, 12345) == 0 && setresuid(12345, 12345, 12345) == 0;
}

/* ---- io_uring ---- */

/* Where a 64-bit argument of a system call has its lower half, in bytes. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LOW_WORD 4
#else
#define LOW_WORD 0
#endif

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

/* IORING_REGISTER_CLONE_BUFFERS, which older headers do not have. */
#define CLONE_BUFFERS 30

void block_clones(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_register, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + LOW_WORD),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLONE_BUFFERS, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
    };
    const struct sock_fprog program = {COUNT_OF(filter), filter};

    CHECK_IS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_IS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

/* A ring without buffers has none to clone, also for itself. */
bool has_clones(void)
{
    struct io_uring_params params;

    memset(&params, 0, sizeof params);
    int ring = (int)syscall(__NR_io_uring_setup, 4, &params);
    if (ring < 0) {
        return false;
    }
    uint32_t clone[8] = {(uint32_t)ring};
    bool knows = syscall(__NR_io_uring_register, ring, CLONE_BUFFERS, clone, 1) < 0 && errno == ENXIO;
    close(ring);
    return knows;
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
