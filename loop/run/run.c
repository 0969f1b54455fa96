/* SPDX-License-Identifier: ISC
 *
 * loop_run, and what can be asked of a loop.
 */
#include <loop/core/backend.h>
#include <loop/core/check.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/event/inbox.h>
#include <loop/kernel/process.h>
#include <loop/kernel/thread.h>
#include <loop/part.h>
#include <loop/run/life.h>
#include <loop/run/options.h>
#include <loop/syscall/pool.h>

#include <errno.h>

/* The process in which this thread is inside a loop_run, or 0. A forked child may run a loop of its own. */
static LOOP_KERNEL_THREAD_LOCAL pid_t running_in;

int loop_run_with(const struct loop_options *options, loop_main_fn *main, void *arg)
{
    struct loop_options copy = options ? *options : (struct loop_options){0};
    if (!main) {
        return -EINVAL;
    }
    pid_t before = running_in;
    if (before == loop_kernel_getpid()) {
        loop_log_options(&copy, LOOP_LOG_ERROR, "loop_run inside loop_run: a thread runs one loop at a time");
        return -EDEADLK;
    }
    int result = loop_options_check(&copy);
    if (!result) {
        running_in = loop_kernel_getpid();
        result = loop_life(&copy, main, arg);
        running_in = before;
    }
    return result;
}

int loop_run(unsigned queue_depth, unsigned n_blocks, size_t block_size, loop_fallback_fn *fallback, loop_main_fn *main,
             void *arg)
{
    struct loop_options options = {.queue_depth = queue_depth,
                                   .n_blocks = n_blocks,
                                   .block_size = block_size,
                                   .fallback = fallback,
                                   .fallback_arg = arg};
    return loop_run_with(&options, main, arg);
}

/* ---- asking ---- */

const char *loop_backend_name(const struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return "";
    }
    return loop->backend->name;
}

const char *loop_backend_detail(const struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return "";
    }
    return loop->backend_detail;
}

void loop_get_stats(const struct loop *loop, struct loop_stats *stats)
{
    if (!loop_check_pointer(stats, "statistics", __func__)) {
        return;
    }
    if (!loop_is_good(loop, __func__)) {
        *stats = (struct loop_stats){0};
        return;
    }
    *stats = loop->stats;
    stats->jobs_now = loop_jobs_in_use(loop);
    stats->job_slots = loop_jobs_capacity(loop);
    stats->scopes_now = loop->scopes.in_use;
    stats->fds_now = loop->fds.in_use;
    stats->pool_threads_now = loop_pool_threads(loop);
    stats->wakeups = loop_inbox_wakeups(loop->inbox);
}

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *loop_version(void)
{
    return TEXT(LOOP_VERSION_MAJOR) "." TEXT(LOOP_VERSION_MINOR) "." TEXT(LOOP_VERSION_PATCH);
}
