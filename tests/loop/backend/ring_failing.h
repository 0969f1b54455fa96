/* SPDX-License-Identifier: ISC
 *
 * Functions in the place of liburing's, which fail on demand: io_uring_enter2 and some of io_uring_register.
 */
#ifndef TESTS_RING_FAILING_H
#define TESTS_RING_FAILING_H

#include "harness.h"

#include <linux/io_uring.h>
#include <stdio.h>
#include <sys/syscall.h>

/* ---- the calls that fail ---- */

static struct failing {
    int error; /* what io_uring_enter answers from the call `first` on, so many times */
    unsigned first, times;
    unsigned calls, failed;
    bool no_cancel, no_files; /* io_uring_register refuses these */
    bool no_sends;            /* sends of several vectors are lost: they are neither done nor completed */
    unsigned lost;            /* so many of them */
} failing;

int io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags, sigset_t *argument,
                    size_t size);
int io_uring_register_files(void *ring, const int *files, unsigned count);
int io_uring_register_sync_cancel(void *ring, void *request);

/* Makes nops that are not completed of the sends in the ring's entries. */
static void lose_prepared_sends(void)
{
    char line[256];
    unsigned long begin = 0, end = 0, offset;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (fgets(line, sizeof line, maps)) {
        bool has_entries = strstr(line, "[io_uring]") && sscanf(line, "%lx-%lx %*s %lx", &begin, &end, &offset) == 3 &&
                           offset == IORING_OFF_SQES;
        for (struct io_uring_sqe *at = (void *)begin; has_entries && at < (struct io_uring_sqe *)end; at++) {
            if (at->opcode == IORING_OP_SENDMSG) {
                *at = (struct io_uring_sqe){.flags = IOSQE_CQE_SKIP_SUCCESS, .user_data = at->user_data};
                failing.lost++;
            }
        }
    }
    fclose(maps);
}

int io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags, sigset_t *argument,
                    size_t size)
{
    if (failing.no_sends) {
        lose_prepared_sends();
    }
    unsigned call = ++failing.calls;
    if (failing.error && call >= failing.first && call - failing.first < failing.times) {
        failing.failed++;
        return -failing.error;
    }
    long result = syscall(SYS_io_uring_enter, fd, to_submit, min_complete, flags, argument, size);
    return result < 0 ? -errno : (int)result;
}

/* struct io_uring has the ring's number at a place that is liburing's own affair, so that these find it by its kind. */
static int ring_number(void)
{
    char path[64], what[64];
    for (int number = 0; number < 256; number++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", number);
        ssize_t length = readlink(path, what, sizeof what - 1);
        what[length > 0 ? length : 0] = 0;
        if (strcmp(what, "anon_inode:[io_uring]") == 0) {
            return number;
        }
    }
    return -1;
}

static int enter_register(unsigned what, const void *argument, unsigned count)
{
    return syscall(SYS_io_uring_register, ring_number(), what, argument, count) < 0 ? -errno : 0;
}

int io_uring_register_files(void *ring, const int *files, unsigned count)
{
    (void)ring;
    return failing.no_files ? -ENOMEM : enter_register(2, files, count);
}

int io_uring_register_sync_cancel(void *ring, void *request)
{
    (void)ring;
    return failing.no_cancel ? -EPERM : enter_register(24, request, 1);
}

static void fail_enter(int error, unsigned first, unsigned times)
{
    failing = (struct failing){.error = error, .first = first, .times = times};
}

static bool is_on_uring(const struct loop_env *env)
{
    return strcmp(loop_backend_name(env->loop), "io_uring") == 0;
}

#endif
