/* SPDX-License-Identifier: ISC
 *
 * What the simulated kernel tells about this process, child processes, privileges, and a kernel without io_uring:
 * process.c has the same for the real one. A child process is a real one: the whole world is copied into it. This
 * file's own calls are those of the real kernel.
 */
#include "account.h"

#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/object/file.h>
#include <loop/kernel/simulated/object/process.h>

#include <stdio.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- resources ---- */

void account_list_fds(struct account *account)
{
    for (int fd = 0; fd < MOST_FDS; fd++) {
        if (loop_sim_file_at(loop_sim_here(), fd)) {
            account_note_fd(account, (unsigned)fd);
        }
    }
}

void account_describe_fd(unsigned fd, char *text, size_t size)
{
    const struct loop_sim_file *file = loop_sim_file_at(loop_sim_here(), (int)fd);

    snprintf(text, size, "%s", file ? file->kind->name : "");
}

unsigned account_count_threads(void)
{
    unsigned count = 0;

    for (const struct loop_list *at = loop_sim_here()->fibers.next; at != &loop_sim_here()->fibers; at = at->next) {
        count++;
    }
    return count;
}

void account_check_maps(void)
{
}

void account_make_files(void)
{
    static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n";

    CHECK_IS(loop_sim_disk_put(loop_sim_here(), "/etc/passwd", passwd, sizeof passwd - 1), 0);
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

/* Writes to the real standard error what the node has written to its own. */
static void write_errors(int signal)
{
    size_t length;
    const char *text = loop_sim_standard_output(loop_sim_here(), STDERR_FILENO, &length);

    (void)signal;
    while (length > 0) {
        ssize_t n = write(STDERR_FILENO, text, length);
        if (n <= 0) {
            return;
        }
        text += n;
        length -= (size_t)n;
    }
}

__attribute__((noreturn)) static void be_child(int text, int (*fn)(void *arg), void *arg)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    dup2(text, STDERR_FILENO);
    signal(SIGABRT, write_errors);
    int status = fn(arg);
    write_errors(0);
    _exit(status);
}

int in_child(int (*fn)(void *arg), void *arg)
{
    int text = memfd_create("text", MFD_CLOEXEC), status = 0;

    CHECK(text >= 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        be_child(text, fn, arg);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        continue;
    }
    keep_child_text(text);
    return status;
}

bool drop_privileges(void)
{
    loop_sim_user_set(loop_sim_here(), 12345, 12345);
    return true;
}

/* ---- io_uring ---- */

void block_uring(int error, bool only_enter)
{
    loop_sim_here()->ring_error = error;
    loop_sim_here()->ring_error_is_of_enter = only_enter;
}

void block_clones(void)
{
    loop_sim_here()->ring_refuses_clones = true;
}

bool has_clones(void)
{
    return !loop_sim_here()->ring_refuses_clones;
}

int64_t probe_uring(void)
{
    const struct loop_sim_node *node = loop_sim_here();

    return node->ring_error ? -node->ring_error : (int64_t)~node->ring_features_masked;
}

/* Here it is a wait for something or for a time. --wrap redirects its calls. */
int __real_loop_sim_wait(struct loop_sim_queue *queue, int64_t until_ns);
int __wrap_loop_sim_wait(struct loop_sim_queue *queue, int64_t until_ns);
int __real_loop_sim_wait_any(struct loop_sim_queue *const *queues, size_t count, int64_t until_ns);
int __wrap_loop_sim_wait_any(struct loop_sim_queue *const *queues, size_t count, int64_t until_ns);

static long n_waits;

int __wrap_loop_sim_wait(struct loop_sim_queue *queue, int64_t until_ns)
{
    n_waits++;
    return __real_loop_sim_wait(queue, until_ns);
}

int __wrap_loop_sim_wait_any(struct loop_sim_queue *const *queues, size_t count, int64_t until_ns)
{
    n_waits++;
    return __real_loop_sim_wait_any(queues, count, until_ns);
}

long voluntary_switches(void)
{
    return n_waits;
}
