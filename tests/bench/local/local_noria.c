/* SPDX-License-Identifier: ISC
 *
 * Noria: jobs through the loop, posts, start and stop. local_noria_pipes.c, local_noria_timers.c and
 * local_noria_files.c have the other workloads.
 */
#include "local_noria.h"

#include <loop/low_level.h>

#include <string.h>

#define DEPTH_BY_DEFAULT 64

static const struct local_workload workloads[] = {
    {"pingpong", "stream", noria_pingpong_stream}, /* as in the other libraries, which report every arrival */
    {"pingpong", "read", noria_pingpong_read},
    {"pipe", "read", noria_pipe_read},
    {"pipe", "stream", noria_pipe_stream},
    {"wake-self", NULL, noria_wake_self},
    {"wake-thread", NULL, noria_wake_thread},
    {"nop", NULL, noria_nop},
    {"turn", "sleep", noria_turn_sleep},
    {"turn", "promise", noria_turn_promise},
    {"timers-start", "first", noria_timers_start_cancel},
    {"timers-start", "again", noria_timers_start_cancel},
    {"timers-cancel", "first", noria_timers_start_cancel},
    {"timers-cancel", "again", noria_timers_start_cancel},
    {"timers-fire", "milliseconds", noria_timers_fire},
    {"timers-fire", "nanoseconds", noria_timers_fire},
    {"timers-fire", "nanoseconds-leeway", noria_timers_fire}, /* as the loops whose clock counts milliseconds */
    {"read", "chunk", noria_read_chunk},
    {"read", "plain", noria_read_plain},
    {"copy", NULL, noria_copy},
    {"start-stop", NULL, noria_start_stop},
    {NULL, NULL, NULL},
};

void noria_run(const struct local_options *options, size_t block_size, loop_main_fn *main, void *arg)
{
    struct loop_options loop_options = {.block_size = block_size};
    int error;

    if (options->depth > DEPTH_BY_DEFAULT) {
        loop_options.queue_depth = options->depth;
    }
    if (options->how && strstr(options->how, "-leeway")) {
        loop_options.timer_leeway_ns = LOCAL_MILLISECOND;
    }
    error = loop_run_with(&loop_options, main, arg);
    if (error) {
        local_fail("the loop has failed", error);
    }
}

/* ---- one job after another ---- */

struct jobs {
    struct local_window window;
    struct loop_env *env;
    unsigned depth, n_running;
    uint64_t turns;
    struct local_result *result;
};

static uint64_t count_turns(const struct jobs *jobs)
{
    struct loop_stats stats;
    loop_get_stats(jobs->env->loop, &stats);
    return stats.turns;
}

static void begin_jobs(struct jobs *jobs, struct loop_env *env)
{
    jobs->env = env;
    jobs->turns = count_turns(jobs);
}

/* The number of turns of the loop per operation, warm-up included. */
static void tell_turns(struct jobs *jobs)
{
    uint64_t done = jobs->window.warmup + jobs->window.count;
    local_extra(jobs->result, "turns_per_op", (double)(count_turns(jobs) - jobs->turns) / (double)done);
}

static void on_nop(void *arg, int64_t result)
{
    struct jobs *jobs = arg;

    local_check(result == 0, "a nop has failed");
    if (local_goes_on(&jobs->window)) {
        noria_job(loop_op_nop(jobs->env->scope, on_nop, jobs));
    } else if (--jobs->n_running == 0) {
        tell_turns(jobs);
    }
}

static int start_nops(struct loop_env *env, void *arg)
{
    struct jobs *jobs = arg;

    begin_jobs(jobs, env);
    for (; jobs->n_running < jobs->depth; jobs->n_running++) {
        noria_job(loop_op_nop(env->scope, on_nop, jobs));
    }
    return 0;
}

void noria_nop(const struct local_options *options, struct local_result *result)
{
    struct jobs jobs = {.depth = options->depth, .result = result};

    local_window_init(&jobs.window, options, result);
    noria_run(options, 0, start_nops, &jobs);
}

/* ---- a turn of an empty loop ---- */

static void on_slept(void *arg, int64_t result)
{
    struct jobs *jobs = arg;

    local_check(result == 0, "a sleep has failed");
    if (local_goes_on(&jobs->window)) {
        noria_job(loop_sleep(jobs->env->scope, 0, on_slept, jobs));
    } else {
        tell_turns(jobs);
    }
}

static int start_sleeping(struct loop_env *env, void *arg)
{
    begin_jobs(arg, env);
    noria_job(loop_sleep(env->scope, 0, on_slept, arg));
    return 0;
}

void noria_turn_sleep(const struct local_options *options, struct local_result *result)
{
    struct jobs jobs = {.result = result};

    local_window_init(&jobs.window, options, result);
    noria_run(options, 0, start_sleeping, &jobs);
}

static void promise(struct jobs *jobs);

static void on_resolved(void *arg, int64_t result)
{
    struct jobs *jobs = arg;

    local_check(result == 0, "a promise has failed");
    if (local_goes_on(&jobs->window)) {
        promise(jobs);
    } else {
        tell_turns(jobs);
    }
}

static void promise(struct jobs *jobs)
{
    loop_job job = noria_job(loop_promise(jobs->env->scope, NULL, NULL, on_resolved, jobs));
    local_check(loop_resolve(jobs->env->loop, job, 0) == 0, "a promise couldn't be resolved");
}

static int start_promising(struct loop_env *env, void *arg)
{
    begin_jobs(arg, env);
    promise(arg);
    return 0;
}

void noria_turn_promise(const struct local_options *options, struct local_result *result)
{
    struct jobs jobs = {.result = result};

    local_window_init(&jobs.window, options, result);
    noria_run(options, 0, start_promising, &jobs);
}

/* ---- posts ---- */

struct posts {
    struct jobs jobs;
    struct loop_inbox *inbox;
};

static void begin_posts(struct posts *posts, struct loop_env *env)
{
    begin_jobs(&posts->jobs, env);
    posts->inbox = loop_inbox_ref(env->loop);
    local_check(posts->inbox != NULL, "no letter box");
    loop_scope_hold(env->scope); /* posts do not keep the loop running */
}

static void end_posts(struct posts *posts)
{
    loop_scope_unhold(posts->jobs.env->scope);
}

static void on_post(void *arg, int64_t result)
{
    struct posts *posts = arg;

    local_check(result == 0, "a post came too late");
    if (local_goes_on(&posts->jobs.window)) {
        local_check(loop_post(posts->inbox, on_post, posts) == 0, "a post wasn't taken");
    } else {
        tell_turns(&posts->jobs);
        end_posts(posts);
    }
}

static int start_posting(struct loop_env *env, void *arg)
{
    struct posts *posts = arg;

    begin_posts(posts, env);
    return loop_post(posts->inbox, on_post, posts);
}

void noria_wake_self(const struct local_options *options, struct local_result *result)
{
    struct posts posts = {.jobs.result = result};

    local_window_init(&posts.jobs.window, options, result);
    noria_run(options, 0, start_posting, &posts);
    loop_inbox_unref(posts.inbox);
}

/* ---- posts of another thread ---- */

struct threads {
    struct posts posts;
    struct local_waker waker;
    const struct local_options *options;
};

static struct threads *threads_here; /* a post has one argument, which is the message */

static void on_message(void *arg, int64_t result)
{
    local_check(result == 0, "a post came too late");
    if (local_waker_got(&threads_here->waker, (uint64_t)(uintptr_t)arg)) {
        end_posts(&threads_here->posts);
    }
}

static bool post_message(void *arg, uint64_t message)
{
    struct threads *threads = arg;

    return loop_post(threads->posts.inbox, on_message, (void *)(uintptr_t)message) == 0;
}

static int start_thread(struct loop_env *env, void *arg)
{
    struct threads *threads = arg;

    begin_posts(&threads->posts, env);
    local_waker_start(&threads->waker, threads->options);
    return 0;
}

void noria_wake_thread(const struct local_options *options, struct local_result *result)
{
    struct threads threads = {.options = options};

    threads.waker.post = post_message;
    threads.waker.arg = &threads;
    threads_here = &threads;
    noria_run(options, 0, start_thread, &threads);
    local_waker_finish(&threads.waker, result);
    loop_inbox_unref(threads.posts.inbox);
}

/* ---- start and stop ---- */

static int do_nothing(struct loop_env *env, void *arg)
{
    (void)env;
    ++*(uint64_t *)arg;
    return 0;
}

void noria_start_stop(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    uint64_t n_run = 0;

    local_window_init(&window, options, result);
    do {
        noria_run(options, 0, do_nothing, &n_run);
    } while (local_goes_on(&window));
    local_check(n_run == window.done, "main has not run each time");
}

int main(int argc, char **argv)
{
    return local_main(argc, argv, workloads);
}
