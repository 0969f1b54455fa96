/* SPDX-License-Identifier: ISC
 *
 * libevent, by plain events. Locks are disabled where the workload has one thread only. Timers are started from inside
 * the loop, which has read the clock by then. Their deadlines differ, so libevent's queues for common timeouts do not
 * apply. Timers use the coarse clock, which is the default, or the precise one.
 */
#include "local_pipes.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static struct event_base *new_base(int flags)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    local_check(config != NULL, "no configuration");
    event_config_set_flag(config, flags);
    base = event_base_new_with_config(config);
    local_check(base != NULL, "no loop");
    event_config_free(config);
    return base;
}

static void dispatch(struct event_base *base, int flags)
{
    local_check(event_base_loop(base, flags) >= 0, "event_base_loop has failed");
}

static void add(struct event *event, const struct timeval *timeout)
{
    local_check(event_add(event, timeout) == 0, "event_add has failed");
}

/* ---- pipes ---- */

struct pingpong {
    struct local_game game;
    struct event_base *base;
    struct event readable[2];
};

static void on_ball(evutil_socket_t fd, short events, void *arg)
{
    struct pingpong *pingpong = arg;
    struct local_player *player = &pingpong->game.players[fd == pingpong->game.players[1].in];

    (void)events;
    if (!local_player_turn(&pingpong->game, player)) {
        event_base_loopbreak(pingpong->base);
    }
}

static void run_pingpong(const struct local_options *options, struct local_result *result)
{
    struct pingpong pingpong = {.base = new_base(EVENT_BASE_FLAG_NOLOCK)};

    local_game_init(&pingpong.game, options, result);
    for (int i = 0; i < 2; i++) {
        struct event *readable = &pingpong.readable[i];
        event_assign(readable, pingpong.base, pingpong.game.players[i].in, EV_READ | EV_PERSIST, on_ball, &pingpong);
        add(readable, NULL);
    }
    local_game_serve(&pingpong.game);
    dispatch(pingpong.base, 0);
    for (int i = 0; i < 2; i++) {
        event_del(&pingpong.readable[i]);
    }
    event_base_free(pingpong.base);
    local_game_finish(&pingpong.game);
}

struct pipe {
    struct local_transfer transfer;
    struct event readable, writable;
};

static void on_room(evutil_socket_t fd, short events, void *arg)
{
    struct pipe *pipe = arg;

    (void)fd;
    (void)events;
    if (local_transfer_write(&pipe->transfer) == LOCAL_ENDED) {
        event_del(&pipe->writable);
    }
}

static void on_bytes(evutil_socket_t fd, short events, void *arg)
{
    struct pipe *pipe = arg;

    (void)fd;
    (void)events;
    if (local_transfer_read(&pipe->transfer) == LOCAL_ENDED) {
        event_del(&pipe->readable);
    }
}

static void run_pipe(const struct local_options *options, struct local_result *result)
{
    struct event_base *base = new_base(EVENT_BASE_FLAG_NOLOCK);
    struct pipe pipe;

    local_transfer_init(&pipe.transfer, options, result);
    event_assign(&pipe.readable, base, pipe.transfer.in, EV_READ | EV_PERSIST, on_bytes, &pipe);
    event_assign(&pipe.writable, base, pipe.transfer.out, EV_WRITE | EV_PERSIST, on_room, &pipe);
    add(&pipe.readable, NULL);
    add(&pipe.writable, NULL);
    dispatch(base, 0);
    event_base_free(base);
    local_transfer_finish(&pipe.transfer);
}

/* ---- turns ---- */

static void on_surprise(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
    local_fail("an event that nobody made", 0);
}

/* A loop without an event ends at once, so this one gets an event that never fires. */
static void run_turn(const struct local_options *options, struct local_result *result)
{
    struct event_base *base = new_base(EVENT_BASE_FLAG_NOLOCK);
    struct local_window window;
    struct event readable;
    int ends[2];

    local_pipe(ends);
    local_window_init(&window, options, result);
    event_assign(&readable, base, ends[0], EV_READ | EV_PERSIST, on_surprise, NULL);
    add(&readable, NULL);
    do {
        dispatch(base, EVLOOP_NONBLOCK);
    } while (local_goes_on(&window));
    event_del(&readable);
    event_base_free(base);
    local_pipe_close(ends);
}

/* ---- wake-ups: event_active, with locks, because it is what another thread would call ---- */

struct wakes {
    struct local_window window;
    struct event wake;
};

static void on_own_wake(evutil_socket_t fd, short events, void *arg)
{
    struct wakes *wakes = arg;

    (void)fd;
    (void)events;
    if (local_goes_on(&wakes->window)) {
        event_active(&wakes->wake, EV_READ, 0);
    }
}

/* By default libevent runs all of them in one turn, so descriptors and timers starve (active). Or the loop checks
 * those after each (turn). */
static struct event_base *new_base_for_wakes(const struct local_options *options)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    local_check(evthread_use_pthreads() == 0 && config != NULL, "no threads");
    if (options->how && !strcmp(options->how, "turn")) {
        event_config_set_max_dispatch_interval(config, NULL, 1, 0);
    }
    base = event_base_new_with_config(config);
    local_check(base != NULL, "no loop");
    event_config_free(config);
    return base;
}

static void run_wake_self(const struct local_options *options, struct local_result *result)
{
    struct event_base *base = new_base_for_wakes(options);
    struct wakes wakes;

    local_window_init(&wakes.window, options, result);
    event_assign(&wakes.wake, base, -1, 0, on_own_wake, &wakes);
    event_active(&wakes.wake, EV_READ, 0);
    dispatch(base, 0);
    local_check(wakes.window.done == wakes.window.warmup + wakes.window.count, "a wake-up was lost");
    event_base_free(base);
}

struct threads {
    struct local_waker waker;
    struct local_mail mail;
    struct event_base *base;
    struct event wake;
};

static bool post(void *arg, uint64_t message)
{
    struct threads *threads = arg;

    if (local_mail_push(&threads->mail, message)) {
        event_active(&threads->wake, EV_READ, 0);
    }
    return true;
}

static void on_mail(evutil_socket_t fd, short events, void *arg)
{
    struct threads *threads = arg;

    (void)fd;
    (void)events;
    if (local_mail_deliver(&threads->mail, &threads->waker)) {
        event_base_loopbreak(threads->base);
    }
}

static void run_wake_thread(const struct local_options *options, struct local_result *result)
{
    struct threads threads = {.waker.post = post, .base = new_base_for_wakes(options)};

    threads.waker.arg = &threads;
    local_mail_init(&threads.mail, options->count);
    event_assign(&threads.wake, threads.base, -1, 0, on_mail, &threads);
    local_waker_start(&threads.waker, options);
    dispatch(threads.base, EVLOOP_NO_EXIT_ON_EMPTY);
    local_waker_finish(&threads.waker, result);
    event_base_free(threads.base);
    free(threads.mail.letters);
}

/* ---- start and stop ---- */

static void run_start_stop(const struct local_options *options, struct local_result *result)
{
    struct local_window window;

    local_window_init(&window, options, result);
    do {
        struct event_base *base = event_base_new();
        local_check(base != NULL, "no loop");
        dispatch(base, 0);
        event_base_free(base);
    } while (local_goes_on(&window));
}

/* ---- timers that are started and stopped ---- */

static struct timeval *new_durations(const int64_t *deadlines, uint64_t count)
{
    struct timeval *durations = local_alloc(count, sizeof *durations);

    for (uint64_t i = 0; i < count; i++) {
        int64_t us = (deadlines[i] + 999) / 1000;
        durations[i] = (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    }
    return durations;
}

struct round {
    uint64_t count;
    struct timeval *durations;
    struct event_base *base;
    struct event *timers;
    bool is_new;
};

static void start_all(evutil_socket_t fd, short events, void *arg)
{
    struct round *round = arg;

    (void)fd;
    (void)events;
    for (uint64_t i = 0; i < round->count; i++) {
        if (round->is_new) {
            evtimer_assign(&round->timers[i], round->base, on_surprise, NULL);
        }
        add(&round->timers[i], &round->durations[i]);
    }
}

static void stop_all(evutil_socket_t fd, short events, void *arg)
{
    struct round *round = arg;

    (void)fd;
    (void)events;
    for (uint64_t i = 0; i < round->count; i++) {
        local_check(event_del(&round->timers[i]) == 0, "a timer was not stopped");
    }
}

/* Runs `fn` in the loop, and one turn after it. */
static void run_inside(struct round *round, event_callback_fn fn, struct local_result *result)
{
    struct event inside;
    struct local_span span;

    local_span_begin(&span);
    event_assign(&inside, round->base, -1, 0, fn, round);
    event_active(&inside, EV_READ, 0);
    dispatch(round->base, EVLOOP_NONBLOCK);
    dispatch(round->base, EVLOOP_NONBLOCK);
    local_span_end(&span, result, round->count);
}

static void run_rounds(const struct local_timers *timers, uint64_t n_warmup, uint64_t n_rounds)
{
    struct round round = {.count = timers->count, .base = new_base(EVENT_BASE_FLAG_NOLOCK)};

    round.durations = new_durations(timers->deadlines, timers->count);
    round.timers = local_alloc_new(timers->count, sizeof *round.timers);
    for (uint64_t n = 0; n < n_warmup + n_rounds; n++) {
        round.is_new = n == 0;
        run_inside(&round, start_all, n >= n_warmup ? timers->started : NULL);
        local_check(evtimer_pending(&round.timers[round.count - 1], NULL), "a timer was not started");
        run_inside(&round, stop_all, n >= n_warmup ? timers->cancelled : NULL);
        local_check(!evtimer_pending(&round.timers[0], NULL), "a timer was not stopped");
    }
    event_base_free(round.base);
    free(round.timers);
    free(round.durations);
}

static void run_timers(const struct local_options *options, struct local_result *result)
{
    local_run_timers(options, result, run_rounds);
}

/* ---- timers that fire ---- */

struct firing {
    const struct local_options *options;
    struct event_base *base;
    struct local_firing all;
    struct local_span span;
    struct timer {
        struct event event;
        struct firing *firing;
        int64_t deadline; /* 0 when it has fired */
    } * timers;
};

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct timer *timer = arg;
    struct firing *firing = timer->firing;

    (void)fd;
    (void)events;
    local_fired(&firing->all, (uint64_t)(timer - firing->timers), &timer->deadline);
}

static void start_firing(evutil_socket_t fd, short events, void *arg)
{
    struct firing *firing = arg;
    uint64_t count = firing->options->count;
    int64_t *deadlines = local_fire_deadlines(firing->options), begin;
    struct timeval *durations = new_durations(deadlines, count);

    (void)fd;
    (void)events;
    begin = local_now();
    event_base_update_cache_time(firing->base);
    for (uint64_t i = 0; i < count; i++) {
        struct timer *timer = &firing->timers[i];
        timer->firing = firing;
        timer->deadline = begin + deadlines[i];
        evtimer_assign(&timer->event, firing->base, on_timer, timer);
        add(&timer->event, &durations[i]);
    }
    free(deadlines);
    free(durations);
    local_span_begin(&firing->span);
}

static void run_timers_fire(const struct local_options *options, struct local_result *result)
{
    struct firing firing = {.options = options, .all.n_left = options->count};
    bool is_precise = options->how && strstr(options->how, "precise");
    struct event inside;

    firing.base = new_base(EVENT_BASE_FLAG_NOLOCK | (is_precise ? EVENT_BASE_FLAG_PRECISE_TIMER : 0));
    firing.timers = local_alloc(options->count, sizeof *firing.timers);
    event_assign(&inside, firing.base, -1, 0, start_firing, &firing);
    event_active(&inside, EV_READ, 0);
    dispatch(firing.base, 0);
    local_span_end(&firing.span, result, options->count);
    local_firing_tell(&firing.all, result);
    event_base_free(firing.base);
    free(firing.timers);
}

static const struct local_workload workloads[] = {
    {"pingpong", NULL, run_pingpong},
    {"pipe", NULL, run_pipe},
    {"wake-self", "active", run_wake_self},
    {"wake-self", "turn", run_wake_self},
    {"wake-thread", NULL, run_wake_thread},
    {"turn", NULL, run_turn},
    {"timers-start", "first", run_timers},
    {"timers-start", "again", run_timers},
    {"timers-cancel", "first", run_timers},
    {"timers-cancel", "again", run_timers},
    {"timers-fire", "milliseconds", run_timers_fire},
    {"timers-fire", "milliseconds-precise", run_timers_fire},
    {"timers-fire", "nanoseconds", run_timers_fire},
    {"timers-fire", "nanoseconds-precise", run_timers_fire},
    {"start-stop", NULL, run_start_stop},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return local_main(argc, argv, workloads);
}
