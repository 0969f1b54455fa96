/* SPDX-License-Identifier: ISC
 *
 * libuv: timer workloads. libuv's timers count whole milliseconds, rounded up. uv_update_time reads the clock once for
 * all timers that are started together.
 */
#include "local_libuv.h"

#include <stdlib.h>

/* In milliseconds from now. */
static uint64_t *new_durations(const int64_t *deadlines, uint64_t count)
{
    uint64_t *durations = local_alloc(count, sizeof *durations);

    for (uint64_t i = 0; i < count; i++) {
        durations[i] = (uint64_t)((deadlines[i] + LOCAL_MILLISECOND - 1) / LOCAL_MILLISECOND);
    }
    return durations;
}

/* ---- starting and stopping ---- */

static void never(uv_timer_t *timer)
{
    (void)timer;
    local_fail("a timer has fired", 0);
}

static void start_all(uv_loop_t *loop, uv_timer_t *timers, const uint64_t *durations, uint64_t count, bool is_new)
{
    uv_update_time(loop);
    for (uint64_t i = 0; i < count; i++) {
        if (is_new) {
            (void)uv_timer_init(loop, &timers[i]);
        }
        libuv_check(uv_timer_start(&timers[i], never, durations[i], 0), "uv_timer_start");
    }
    (void)uv_run(loop, UV_RUN_NOWAIT);
}

static void stop_all(uv_loop_t *loop, uv_timer_t *timers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        (void)uv_timer_stop(&timers[i]);
    }
    (void)uv_run(loop, UV_RUN_NOWAIT);
}

static void run_round(const struct local_timers *round, uv_loop_t *loop, uv_timer_t *timers, const uint64_t *durations,
                      bool is_new, bool is_measured)
{
    uint64_t count = round->count;
    struct local_span span;

    local_span_begin(&span);
    start_all(loop, timers, durations, count, is_new);
    local_span_end(&span, is_measured ? round->started : NULL, count);
    local_check(uv_is_active((uv_handle_t *)&timers[count - 1]), "a timer was not started");
    local_span_begin(&span);
    stop_all(loop, timers, count);
    local_span_end(&span, is_measured ? round->cancelled : NULL, count);
    local_check(!uv_is_active((uv_handle_t *)&timers[0]), "a timer was not stopped");
}

static void end(uv_loop_t *loop, uv_timer_t *timers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uv_close((uv_handle_t *)&timers[i], NULL);
    }
    libuv_run_and_end(loop);
    free(timers);
}

static void run_rounds(const struct local_timers *round, uint64_t n_warmup, uint64_t n_rounds)
{
    uint64_t *durations = new_durations(round->deadlines, round->count);
    uv_timer_t *timers = local_alloc_new(round->count, sizeof *timers);
    uv_loop_t loop;

    libuv_begin(&loop, NULL);
    for (uint64_t n = 0; n < n_warmup + n_rounds; n++) {
        run_round(round, &loop, timers, durations, n == 0, n >= n_warmup);
    }
    end(&loop, timers, round->count);
    free(durations);
}

void libuv_timers_start_cancel(const struct local_options *options, struct local_result *result)
{
    local_run_timers(options, result, run_rounds);
}

/* ---- firing ---- */

struct timer {
    uv_timer_t handle;
    int64_t deadline; /* 0 when it has fired */
};

struct firing {
    struct local_firing all;
    struct timer *timers;
};

static void on_timer(uv_timer_t *handle)
{
    struct firing *firing = handle->loop->data;
    struct timer *timer = (struct timer *)(void *)handle;

    local_fired(&firing->all, (uint64_t)(timer - firing->timers), &timer->deadline);
}

static void start_firing(uv_loop_t *loop, struct firing *firing, const struct local_options *options)
{
    int64_t *deadlines = local_fire_deadlines(options), begin;
    uint64_t *durations = new_durations(deadlines, options->count);

    begin = local_now();
    uv_update_time(loop);
    for (uint64_t i = 0; i < options->count; i++) {
        struct timer *timer = &firing->timers[i];
        timer->deadline = begin + deadlines[i];
        (void)uv_timer_init(loop, &timer->handle);
        libuv_check(uv_timer_start(&timer->handle, on_timer, durations[i], 0), "uv_timer_start");
    }
    free(durations);
    free(deadlines);
}

void libuv_timers_fire(const struct local_options *options, struct local_result *result)
{
    struct firing firing = {.all.n_left = options->count};
    struct local_span span;
    uv_loop_t loop;

    firing.timers = local_alloc(options->count, sizeof *firing.timers);
    libuv_begin(&loop, &firing);
    start_firing(&loop, &firing, options);
    local_span_begin(&span);
    libuv_check(uv_run(&loop, UV_RUN_DEFAULT), "uv_run");
    local_span_end(&span, result, options->count);
    local_firing_tell(&firing.all, result);
    for (uint64_t i = 0; i < options->count; i++) {
        uv_close((uv_handle_t *)&firing.timers[i].handle, NULL);
    }
    libuv_run_and_end(&loop);
    free(firing.timers);
}
