/* SPDX-License-Identifier: ISC
 *
 * The environment of a program: the standard streams, the clock, random bytes, and the handles for directories and for
 * debugging.
 *
 * A standard stream that was closed when the loop started is present too: `in` is at its end, and writes to `out` and
 * `err` end with -EBADF. While the loop runs, its number is occupied by a descriptor that can be neither read nor
 * written (O_PATH: both return EBADF, as before). So no socket gets the number 0, 1 or 2, and with it data meant for
 * standard error.
 */
#include <fs/fs.h>
#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/loop.h>
#include <loop/flow/own/memory.h>
#include <loop/kernel/file.h>
#include <loop/kernel/path.h>
#include <loop/kernel/time.h>
#include <loop/run/env.h>

#include <errno.h>
#include <fcntl.h>
#include <time.h>

/* ---- closed standard streams ---- */

unsigned loop_env_occupy_standard(void)
{
    unsigned occupied = 0;
    for (int number = STDIN_FILENO; number <= STDERR_FILENO; number++) {
        if (loop_kernel_fcntl(number, F_GETFD, 0) >= 0) {
            continue;
        }
        int found = loop_kernel_open("/", O_PATH | O_CLOEXEC, 0);
        if (found == number) {
            occupied |= 1u << number;
        } else if (found >= 0) {
            loop_kernel_close(found); /* another thread was faster */
        }
    }
    return occupied;
}

static bool is_open(int number)
{
    int flags = loop_kernel_fcntl(number, F_GETFL, 0);
    return flags >= 0 && !(flags & O_PATH);
}

void loop_env_vacate_standard(unsigned occupied)
{
    for (int number = STDIN_FILENO; number <= STDERR_FILENO; number++) {
        if (occupied & 1u << number && !is_open(number)) {
            loop_kernel_close(number);
        }
    }
}

/* ---- the streams ---- */

static struct loop_source *open_source(struct loop *loop, int number, struct loop_source *closed)
{
    if (!is_open(number)) {
        loop_null_source_init(closed, loop->main_scope);
        return closed;
    }
    struct loop_fd *fd = loop_fd_borrow(loop->main_scope, number);
    return fd ? &loop_fd_flow(fd)->source : NULL;
}

static struct loop_sink *open_sink(struct loop *loop, int number, struct loop_sink *closed)
{
    if (!is_open(number)) {
        loop_closed_sink_init(closed, loop->main_scope);
        return closed;
    }
    struct loop_fd *fd = loop_fd_borrow(loop->main_scope, number);
    return fd ? &loop_fd_flow(fd)->sink : NULL;
}

int loop_env_init(struct loop *loop)
{
    struct loop_env *env = &loop->env;
    struct loop_clock *clock = loop_scope_alloc(loop->main_scope, sizeof *clock);
    struct loop_debug *debug = loop_scope_alloc(loop->main_scope, sizeof *debug);
    struct loop_dir *dirs = loop_scope_alloc(loop->main_scope, 2 * sizeof *dirs);
    if (!clock || !debug || !dirs) {
        return -ENOMEM;
    }
    clock->loop = loop;
    debug->loop = loop;
    dirs[0] = (struct loop_dir){.scope = loop->main_scope, .is_confined = true};
    dirs[1] = (struct loop_dir){.scope = loop->main_scope, .is_confined = false};
    loop_random_source_init(&loop->secure_random, loop->main_scope);
    *env = (struct loop_env){
        .loop = loop,
        .scope = loop->main_scope,
        .in = open_source(loop, STDIN_FILENO, &loop->in),
        .out = open_sink(loop, STDOUT_FILENO, &loop->out),
        .err = open_sink(loop, STDERR_FILENO, &loop->err),
        .clock = clock,
        .secure_random = &loop->secure_random,
        .cwd = &dirs[0],
        .fs = &dirs[1],
        .debug = debug,
    };
    return env->in && env->out && env->err ? 0 : -ENOMEM;
}

/* ---- the clock ---- */

int64_t loop_clock_wall(const struct loop_clock *clock)
{
    if (!loop_is_good(clock ? clock->loop : NULL, __func__)) {
        return -EINVAL;
    }
    struct timespec now;
    loop_kernel_clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * LOOP_SECOND + now.tv_nsec;
}
