/* SPDX-License-Identifier: ISC
 *
 * The library's system calls go through the functions below, which count the calls of the pool's threads. A test can
 * hold one call up until the job has been cancelled, let it fail, or run another program's action before it.
 */
#ifndef TESTS_STEPS_H
#define TESTS_STEPS_H

#include "directory.h"

#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static struct {
    struct loop_inbox *inbox;       /* there: counting */
    atomic_int count, inside;       /* steps; threads in one */
    int cancel_at, fail_at, act_at; /* the n-th of those that `name` names */
    const char *name;               /* NULL: all */
    int error;
    void (*act)(void);
    struct loop *loop;
    loop_job job;
    struct loop_scope *scope; /* cancelled instead of the job */
    sem_t cancelled;
} steps;

static inline void cancel_job(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    if (steps.scope) {
        loop_scope_cancel(steps.scope);
    } else {
        (void)loop_cancel(steps.loop, steps.job);
    }
    sem_post(&steps.cancelled);
}

static inline bool take_step(const char *name)
{
    if (!steps.inbox || syscall(SYS_gettid) == getpid() || (steps.name && strcmp(name, steps.name) != 0)) {
        return false;
    }
    int count = atomic_fetch_add(&steps.count, 1) + 1;
    if (count == steps.act_at) {
        steps.act();
    }
    if (count == steps.cancel_at) {
        CHECK_IS(loop_post(steps.inbox, cancel_job, NULL), 0);
        while (sem_wait(&steps.cancelled) < 0) {
        }
    }
    if (count == steps.fail_at) {
        errno = steps.error;
        return true;
    }
    return false;
}

/* Returns true if the call must fail. */
static inline bool step(const char *name)
{
    atomic_fetch_add(&steps.inside, 1);
    bool fails = take_step(name);
    atomic_fetch_sub(&steps.inside, 1);
    return fails;
}

static inline void begin_steps(struct loop_env *env)
{
    steps.loop = env->loop;
    steps.inbox = loop_inbox_ref(env->loop);
    CHECK_IS(sem_init(&steps.cancelled, 0, 0), 0);
    atomic_store(&steps.count, 0);
}

/* A thread may still be in its step when its job has ended. */
static inline void end_steps(void)
{
    while (atomic_load(&steps.inside) > 0) {
        usleep(100);
    }
    loop_inbox_unref(steps.inbox);
    steps.inbox = NULL;
    sem_destroy(&steps.cancelled);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    return step("mkdirat") ? -1 : (int)syscall(SYS_mkdirat, dir, path, mode);
}

int unlinkat(int dir, const char *path, int flags)
{
    return step("unlinkat") ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}

int fsync(int fd)
{
    return step("fsync") ? -1 : (int)syscall(SYS_fsync, fd);
}

int fchmod(int fd, mode_t mode)
{
    return step("fchmod") ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return step("renameat") ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return step("linkat") ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

ssize_t read(int fd, void *buf, size_t len)
{
    return step("read") ? -1 : syscall(SYS_read, fd, buf, len);
}

ssize_t write(int fd, const void *buf, size_t len)
{
    bool wakes_loop = len == sizeof(uint64_t); /* by its eventfd */

    return !wakes_loop && step("write") ? -1 : syscall(SYS_write, fd, buf, len);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    return step("pwrite") ? -1 : syscall(SYS_pwrite64, fd, buf, len, offset);
}

ssize_t copy_file_range(int from, loff_t *from_offset, int to, loff_t *to_offset, size_t len, unsigned flags)
{
    return step("copy_file_range") ? -1 : syscall(SYS_copy_file_range, from, from_offset, to, to_offset, len, flags);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return step("openat") ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

#endif
