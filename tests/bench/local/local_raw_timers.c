/* SPDX-License-Identifier: ISC
 *
 * Lower bounds: timers on a hashed wheel. A slot covers 131 µs. A timer fires when its slot has passed, so it never
 * fires early.
 */
#include "local_raw.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define SLOT_BITS 17
#define SLOTS 65536u

struct timer {
    struct timer *next, **previous; /* `previous` is NULL outside the wheel */
    int64_t deadline;
};

struct wheel {
    struct timer *slots[SLOTS];
    int64_t next_tick; /* the first slot that has not passed */
    uint64_t count;
};

static struct wheel *new_wheel(void)
{
    struct wheel *wheel = local_alloc(1, sizeof *wheel);
    wheel->next_tick = local_now() >> SLOT_BITS;
    return wheel;
}

static inline void start(struct wheel *wheel, struct timer *timer, int64_t deadline)
{
    struct timer **slot = &wheel->slots[(deadline >> SLOT_BITS) % SLOTS];
    timer->deadline = deadline;
    timer->next = *slot;
    timer->previous = slot;
    if (timer->next) {
        timer->next->previous = &timer->next;
    }
    *slot = timer;
    wheel->count++;
}

static inline void stop(struct wheel *wheel, struct timer *timer)
{
    *timer->previous = timer->next;
    if (timer->next) {
        timer->next->previous = timer->previous;
    }
    timer->previous = NULL;
    wheel->count--;
}

/* ---- starting and stopping ---- */

static void start_all(struct wheel *wheel, struct timer *timers, const int64_t *deadlines, uint64_t count)
{
    int64_t begin = local_now();
    for (uint64_t i = 0; i < count; i++) {
        start(wheel, &timers[i], begin + deadlines[i]);
    }
}

static void stop_all(struct wheel *wheel, struct timer *timers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        stop(wheel, &timers[i]);
    }
}

static void run_round(const struct local_timers *round, struct wheel *wheel, struct timer *timers, bool is_measured)
{
    uint64_t count = round->count;
    struct local_span span;

    local_span_begin(&span);
    start_all(wheel, timers, round->deadlines, count);
    local_span_end(&span, is_measured ? round->started : NULL, count);
    local_check(wheel->count == count, "a timer was not started");
    local_span_begin(&span);
    stop_all(wheel, timers, count);
    local_span_end(&span, is_measured ? round->cancelled : NULL, count);
    local_check(wheel->count == 0, "a timer was not stopped");
}

static void run_rounds(const struct local_timers *round, uint64_t n_warmup, uint64_t n_rounds)
{
    struct wheel *wheel = new_wheel();
    struct timer *timers = local_alloc_new(round->count, sizeof *timers);

    for (uint64_t n = 0; n < n_warmup + n_rounds; n++) {
        run_round(round, wheel, timers, n >= n_warmup);
    }
    free(timers);
    free(wheel);
}

void raw_timers_start_cancel(const struct local_options *options, struct local_result *result)
{
    local_run_timers(options, result, run_rounds);
}

/* ---- firing ---- */

struct firing {
    struct local_firing all;
    struct timer *timers;
};

static void fire(struct firing *firing, struct timer *timer)
{
    local_fired(&firing->all, (uint64_t)(timer - firing->timers), &timer->deadline);
}

/* Timers of the wheel's later rounds stay in the slot. */
static void run_slot(struct wheel *wheel, int64_t tick, struct firing *firing)
{
    struct timer *timer = wheel->slots[tick % SLOTS];
    while (timer) {
        struct timer *next = timer->next;
        if (timer->deadline >> SLOT_BITS == tick) {
            stop(wheel, timer);
            fire(firing, timer);
        }
        timer = next;
    }
}

/* Sleeps until the slot `tick` has passed. */
static void wait_for(int epoll, int64_t tick)
{
    struct epoll_event event;
    int64_t left = ((tick + 1) << SLOT_BITS) - local_now();
    struct timespec timeout = {.tv_sec = left / LOCAL_SECOND, .tv_nsec = left % LOCAL_SECOND};

    if (left > 0) {
        local_sys("epoll_pwait2", epoll_pwait2(epoll, &event, 1, &timeout, NULL));
    }
}

static void run_wheel(struct wheel *wheel, struct firing *firing)
{
    int epoll = raw_epoll();

    while (wheel->count > 0) {
        int64_t now_tick = local_now() >> SLOT_BITS;
        while (wheel->next_tick < now_tick && wheel->count > 0) {
            run_slot(wheel, wheel->next_tick++, firing);
        }
        while (wheel->count > 0 && !wheel->slots[wheel->next_tick % SLOTS]) {
            wheel->next_tick++;
        }
        if (wheel->count > 0) {
            wait_for(epoll, wheel->next_tick);
        }
    }
    close(epoll);
}

void raw_timers_fire(const struct local_options *options, struct local_result *result)
{
    uint64_t count = options->count;
    int64_t *deadlines = local_fire_deadlines(options);
    struct wheel *wheel = new_wheel();
    struct firing firing = {.all.n_left = count, .timers = local_alloc(count, sizeof *firing.timers)};
    struct local_span span;

    start_all(wheel, firing.timers, deadlines, count);
    local_span_begin(&span);
    run_wheel(wheel, &firing);
    local_span_end(&span, result, count);
    local_firing_tell(&firing.all, result);
    free(firing.timers);
    free(wheel);
    free(deadlines);
}
