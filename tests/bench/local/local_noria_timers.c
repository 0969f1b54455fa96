/* SPDX-License-Identifier: ISC
 *
 * Noria: timer workloads. A cancelled timer resumes its continuation like any other job, and the measurement includes
 * it.
 */
#include "local_noria.h"

#include <loop/low_level.h>

#include <errno.h>
#include <stdlib.h>

struct timers {
    const struct local_timers *all;
    struct loop_env *env;
    uint64_t n_left;             /* timers that are not cancelled yet */
    uint64_t n_warmup, n_rounds; /* rounds left in this loop, those that are not measured and all */
    loop_job *jobs;
    struct local_span span;
};

static void start_all(struct timers *timers);

static void end_span(struct timers *timers, struct local_result *result)
{
    local_span_end(&timers->span, timers->n_warmup > 0 ? NULL : result, timers->all->count);
}

static void on_cancelled(void *arg, int64_t result)
{
    struct timers *timers = arg;

    local_check(result == -ECANCELED, "a timer was not cancelled");
    if (--timers->n_left > 0) {
        return;
    }
    end_span(timers, timers->all->cancelled);
    timers->n_warmup -= timers->n_warmup > 0;
    if (timers->n_rounds > 0) {
        start_all(timers);
    }
}

static void cancel_all(struct timers *timers)
{
    timers->n_left = timers->all->count;
    local_span_begin(&timers->span);
    for (uint64_t i = 0; i < timers->all->count; i++) {
        local_check(loop_cancel(timers->env->loop, timers->jobs[i]) == 0, "a timer was not there any more");
    }
}

/* One turn has passed, so the loop has done its deferred work. */
static void on_turned(void *arg, int64_t result)
{
    struct timers *timers = arg;

    local_check(result == 0, "a nop has failed");
    end_span(timers, timers->all->started);
    cancel_all(timers);
}

static void start_all(struct timers *timers)
{
    struct loop_scope *scope = timers->env->scope;
    int64_t begin;

    timers->n_rounds--;
    local_span_begin(&timers->span);
    begin = loop_now(timers->env->loop);
    for (uint64_t i = 0; i < timers->all->count; i++) {
        timers->jobs[i] = noria_job(loop_sleep_until(scope, begin + timers->all->deadlines[i], on_cancelled, timers));
    }
    noria_job(loop_op_nop(scope, on_turned, timers));
}

static int start(struct loop_env *env, void *arg)
{
    struct timers *timers = arg;

    timers->env = env;
    start_all(timers);
    return 0;
}

static void run_rounds(const struct local_timers *all, uint64_t n_warmup, uint64_t n_rounds)
{
    struct timers timers = {.all = all, .n_warmup = n_warmup, .n_rounds = n_warmup + n_rounds};

    timers.jobs = local_alloc_new(all->count, sizeof *timers.jobs);
    noria_run(all->options, 0, start, &timers);
    free(timers.jobs);
}

void noria_timers_start_cancel(const struct local_options *options, struct local_result *result)
{
    local_run_timers(options, result, run_rounds);
}

/* ---- firing ---- */

struct firing {
    struct local_result *result;
    struct local_span span;
    struct local_firing all;
    uint64_t count;
    struct timer {
        struct firing *firing;
        int64_t deadline; /* 0 when it has fired */
    } * timers;
};

static void on_fired(void *arg, int64_t result)
{
    struct timer *timer = arg;
    struct firing *firing = timer->firing;

    local_check(result == 0, "a timer has failed");
    local_fired(&firing->all, (uint64_t)(timer - firing->timers), &timer->deadline);
    if (firing->all.n_left == 0) {
        local_span_end(&firing->span, firing->result, firing->count);
    }
}

static int start_firing(struct loop_env *env, void *arg)
{
    struct firing *firing = arg;
    int64_t begin = loop_now(env->loop);

    for (uint64_t i = 0; i < firing->count; i++) {
        struct timer *timer = &firing->timers[i];
        timer->firing = firing;
        timer->deadline += begin;
        noria_job(loop_sleep_until(env->scope, timer->deadline, on_fired, timer));
    }
    local_span_begin(&firing->span);
    return 0;
}

void noria_timers_fire(const struct local_options *options, struct local_result *result)
{
    struct firing firing = {.result = result, .count = options->count, .all.n_left = options->count};
    int64_t *deadlines = local_fire_deadlines(options);

    firing.timers = local_alloc(options->count, sizeof *firing.timers);
    for (uint64_t i = 0; i < options->count; i++) {
        firing.timers[i].deadline = deadlines[i];
    }
    noria_run(options, 0, start_firing, &firing);
    local_firing_tell(&firing.all, result);
    free(firing.timers);
    free(deadlines);
}
