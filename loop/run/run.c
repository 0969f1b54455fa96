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
#include <loop/part.h>
#include <loop/run/life.h>
#include <loop/run/options.h>
#include <loop/run/thread.h>
#include <loop/syscall/pool.h>

#include <errno.h>

static int run(const struct loop_origin *origin, loop_main_fn *main, void *arg)
{
    struct loop *loop;
    int result = loop_life_begin(origin, main, arg, &loop);
    if (result) {
        return result;
    }
    loop_life_run(loop);
    return loop_life_end(loop);
}

int loop_part_run(const struct loop_options *options, const struct loop_share *share, loop_main_fn *main, void *arg)
{
    struct loop_options copy = options ? *options : (struct loop_options){0};
    if (!main) {
        return -EINVAL;
    }
    if (loop_thread_runs() != LOOP_THREAD_IDLE) {
        loop_log_options(&copy, LOOP_LOG_ERROR,
                         "loop_run inside loop_run or a turn: a thread runs one loop at a time; use that loop, or "
                         "another thread");
        return -EDEADLK;
    }
    int result = loop_options_check(&copy);
    if (!result) {
        struct loop_thread_state before = loop_thread_begin(LOOP_THREAD_RUN, loop_kernel_getpid());
        result = run(&(struct loop_origin){.options = &copy, .share = share}, main, arg);
        loop_thread_restore(before);
    }
    return result;
}

int loop_run_with(const struct loop_options *options, loop_main_fn *main, void *arg)
{
    return loop_part_run(options, NULL, main, arg);
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
    stats->jobs_started = loop_jobs_started(loop);
    stats->job_slots = loop_jobs_capacity(loop);
    stats->scopes_now = loop_slab_in_use(&loop->scopes);
    stats->fds_now = loop_slab_in_use(&loop->fds);
    loop_pool_get_stats(loop, stats);
    stats->wakeups = loop_inbox_wakeups(loop->inbox);
}

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *loop_version(void)
{
    return TEXT(LOOP_VERSION_MAJOR) "." TEXT(LOOP_VERSION_MINOR) "." TEXT(LOOP_VERSION_PATCH);
}
