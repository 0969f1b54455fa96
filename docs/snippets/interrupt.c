/* SPDX-License-Identifier: ISC
 *
 * Work that is stuck in a system call, and is interrupted at a deadline.
 */
#include <loop/loop.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Runs on a thread of the pool. Without a writer, both the open and the read of a fifo wait for ever. */
static int64_t read_fifo(void *path)
{
    char byte;
    int fifo = open(path, O_RDONLY | O_CLOEXEC);
    if (fifo < 0) {
        return -errno; /* after a cancel, -EINTR becomes -ECANCELED */
    }
    ssize_t n = read(fifo, &byte, 1);
    int64_t result = n < 0 ? -errno : n;

    close(fifo);
    return result;
}

static const char *const outcomes[] = {"not begun", "partly done", "done", "unknown"};

static void on_read(void *arg, int64_t result)
{
    const struct loop_env *env = arg;

    printf("%s: %s\n", result < 0 ? strerror((int)-result) : "read", outcomes[loop_work_outcome(env->loop, result)]);
}

static int start(struct loop_env *env, void *path)
{
    loop_work(env->scope, read_fifo, path, on_read, env);
    loop_scope_deadline(env->scope, loop_now(env->loop) + 500 * LOOP_MILLISECOND);
    return 0;
}

int main(void)
{
    struct loop_options options = {.interrupt_signal = SIGRTMIN};
    char directory[] = "/tmp/interrupt.XXXXXX", path[sizeof directory + 5];

    if (!mkdtemp(directory)) {
        return 1;
    }
    snprintf(path, sizeof path, "%s/fifo", directory);
    int status = mkfifo(path, 0600) == 0 ? loop_run_with(&options, start, path) : 1;
    unlink(path);
    rmdir(directory);
    return status == -ETIMEDOUT ? 0 : 1;
}
