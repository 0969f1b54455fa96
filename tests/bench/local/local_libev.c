/* SPDX-License-Identifier: ISC
 *
 * libev, with its default backend (epoll). ev_now_update reads the clock once for all timers that are started together.
 * Wake-ups use ev_async_send.
 */
#include "local_pipes.h"

#include <ev.h>
#include <stdlib.h>

static struct ev_loop *new_loop(void)
{
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL);
    local_check(loop != NULL, "no loop");
    return loop;
}

/* ---- pipes ---- */

struct pingpong {
    struct local_game game;
    ev_io readable[2];
};

static void on_ball(struct ev_loop *loop, ev_io *readable, int events)
{
    struct pingpong *pingpong = ev_userdata(loop);
    struct local_player *player = &pingpong->game.players[readable - pingpong->readable];

    (void)events;
    if (!local_player_turn(&pingpong->game, player)) {
        ev_break(loop, EVBREAK_ALL);
    }
}

static void run_pingpong(const struct local_options *options, struct local_result *result)
{
    struct pingpong pingpong;
    struct ev_loop *loop = new_loop();

    local_game_init(&pingpong.game, options, result);
    ev_set_userdata(loop, &pingpong);
    for (int i = 0; i < 2; i++) {
        ev_io_init(&pingpong.readable[i], on_ball, pingpong.game.players[i].in, EV_READ);
        ev_io_start(loop, &pingpong.readable[i]);
    }
    local_game_serve(&pingpong.game);
    ev_run(loop, 0);
    ev_loop_destroy(loop);
    local_game_finish(&pingpong.game);
}

static void on_room(struct ev_loop *loop, ev_io *writable, int events)
{
    (void)events;
    if (local_transfer_write(ev_userdata(loop)) == LOCAL_ENDED) {
        ev_io_stop(loop, writable);
    }
}

static void on_bytes(struct ev_loop *loop, ev_io *readable, int events)
{
    (void)events;
    if (local_transfer_read(ev_userdata(loop)) == LOCAL_ENDED) {
        ev_io_stop(loop, readable);
    }
}

static void run_pipe(const struct local_options *options, struct local_result *result)
{
    struct local_transfer transfer;
    struct ev_loop *loop = new_loop();
    ev_io readable, writable;

    local_transfer_init(&transfer, options, result);
    ev_set_userdata(loop, &transfer);
    ev_io_init(&readable, on_bytes, transfer.in, EV_READ);
    ev_io_init(&writable, on_room, transfer.out, EV_WRITE);
    ev_io_start(loop, &readable);
    ev_io_start(loop, &writable);
    ev_run(loop, 0);
    ev_loop_destroy(loop);
    local_transfer_finish(&transfer);
}

/* ---- turns and wake-ups ---- */

static void on_idle(struct ev_loop *loop, ev_idle *idle, int events)
{
    (void)events;
    if (!local_goes_on(ev_userdata(loop))) {
        ev_idle_stop(loop, idle);
    }
}

static void run_turn(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    struct ev_loop *loop = new_loop();
    ev_idle idle;

    local_window_init(&window, options, result);
    ev_set_userdata(loop, &window);
    ev_idle_init(&idle, on_idle);
    ev_idle_start(loop, &idle);
    ev_run(loop, 0);
    ev_loop_destroy(loop);
}

static void on_own_wake(struct ev_loop *loop, ev_async *async, int events)
{
    (void)events;
    if (local_goes_on(ev_userdata(loop))) {
        ev_async_send(loop, async);
    } else {
        ev_async_stop(loop, async);
    }
}

static void run_wake_self(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    struct ev_loop *loop = new_loop();
    ev_async async;

    local_window_init(&window, options, result);
    ev_set_userdata(loop, &window);
    ev_async_init(&async, on_own_wake);
    ev_async_start(loop, &async);
    ev_async_send(loop, &async);
    ev_run(loop, 0);
    ev_loop_destroy(loop);
}

struct threads {
    struct local_waker waker;
    struct local_mail mail;
    struct ev_loop *loop;
    ev_async async;
};

static bool post(void *arg, uint64_t message)
{
    struct threads *threads = arg;

    if (local_mail_push(&threads->mail, message)) {
        ev_async_send(threads->loop, &threads->async);
    }
    return true;
}

static void on_mail(struct ev_loop *loop, ev_async *async, int events)
{
    struct threads *threads = ev_userdata(loop);

    (void)events;
    if (local_mail_deliver(&threads->mail, &threads->waker)) {
        ev_async_stop(loop, async);
    }
}

static void run_wake_thread(const struct local_options *options, struct local_result *result)
{
    struct threads threads = {.loop = new_loop()};

    threads.waker.post = post;
    threads.waker.arg = &threads;
    local_mail_init(&threads.mail, options->count);
    ev_set_userdata(threads.loop, &threads);
    ev_async_init(&threads.async, on_mail);
    ev_async_start(threads.loop, &threads.async);
    local_waker_start(&threads.waker, options);
    ev_run(threads.loop, 0);
    local_waker_finish(&threads.waker, result);
    ev_loop_destroy(threads.loop);
    free(threads.mail.letters);
}

static void run_start_stop(const struct local_options *options, struct local_result *result)
{
    struct local_window window;

    local_window_init(&window, options, result);
    do {
        struct ev_loop *loop = new_loop();
        ev_run(loop, 0);
        ev_loop_destroy(loop);
    } while (local_goes_on(&window));
}

/* ---- timers that are started and stopped ---- */

static void never(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
    local_fail("a timer has fired", 0);
}

/* In seconds from now, as libev wants them. */
static double *new_durations(const int64_t *deadlines, uint64_t count)
{
    double *durations = local_alloc(count, sizeof *durations);

    for (uint64_t i = 0; i < count; i++) {
        durations[i] = (double)deadlines[i] / 1e9;
    }
    return durations;
}

static void start_all(struct ev_loop *loop, ev_timer *timers, const double *durations, uint64_t count, bool is_new)
{
    ev_now_update(loop);
    for (uint64_t i = 0; i < count; i++) {
        if (is_new) {
            ev_init(&timers[i], never);
        }
        ev_timer_set(&timers[i], durations[i], 0);
        ev_timer_start(loop, &timers[i]);
    }
    ev_run(loop, EVRUN_NOWAIT);
}

static void stop_all(struct ev_loop *loop, ev_timer *timers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        ev_timer_stop(loop, &timers[i]);
    }
    ev_run(loop, EVRUN_NOWAIT);
}

static void run_round(const struct local_timers *round, struct ev_loop *loop, ev_timer *timers, const double *durations,
                      bool is_new, bool is_measured)
{
    uint64_t count = round->count;
    struct local_span span;

    local_span_begin(&span);
    start_all(loop, timers, durations, count, is_new);
    local_span_end(&span, is_measured ? round->started : NULL, count);
    local_check(ev_is_active(&timers[count - 1]), "a timer was not started");
    local_span_begin(&span);
    stop_all(loop, timers, count);
    local_span_end(&span, is_measured ? round->cancelled : NULL, count);
    local_check(!ev_is_active(&timers[0]), "a timer was not stopped");
}

static void run_rounds(const struct local_timers *round, uint64_t n_warmup, uint64_t n_rounds)
{
    double *durations = new_durations(round->deadlines, round->count);
    struct ev_loop *loop = new_loop();
    ev_timer *timers = local_alloc_new(round->count, sizeof *timers);

    for (uint64_t n = 0; n < n_warmup + n_rounds; n++) {
        run_round(round, loop, timers, durations, n == 0, n >= n_warmup);
    }
    ev_loop_destroy(loop);
    free(timers);
    free(durations);
}

static void run_timers(const struct local_options *options, struct local_result *result)
{
    local_run_timers(options, result, run_rounds);
}

/* ---- timers that fire ---- */

struct timer {
    ev_timer watcher;
    int64_t deadline; /* 0 when it has fired */
};

struct firing {
    struct local_firing all;
    struct timer *timers;
};

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct firing *firing = ev_userdata(loop);
    struct timer *timer = (struct timer *)(void *)watcher;

    (void)events;
    local_fired(&firing->all, (uint64_t)(timer - firing->timers), &timer->deadline);
}

static void start_firing(struct ev_loop *loop, struct firing *firing, const struct local_options *options)
{
    int64_t *deadlines = local_fire_deadlines(options), begin;
    double *durations = new_durations(deadlines, options->count);

    begin = local_now();
    ev_now_update(loop);
    for (uint64_t i = 0; i < options->count; i++) {
        struct timer *timer = &firing->timers[i];
        timer->deadline = begin + deadlines[i];
        ev_timer_init(&timer->watcher, on_timer, durations[i], 0);
        ev_timer_start(loop, &timer->watcher);
    }
    free(durations);
    free(deadlines);
}

static void run_timers_fire(const struct local_options *options, struct local_result *result)
{
    struct firing firing = {.all.n_left = options->count};
    struct ev_loop *loop = new_loop();
    struct local_span span;

    firing.timers = local_alloc(options->count, sizeof *firing.timers);
    ev_set_userdata(loop, &firing);
    start_firing(loop, &firing, options);
    local_span_begin(&span);
    ev_run(loop, 0);
    local_span_end(&span, result, options->count);
    local_firing_tell(&firing.all, result);
    ev_loop_destroy(loop);
    free(firing.timers);
}

static const struct local_workload workloads[] = {
    {"pingpong", NULL, run_pingpong},
    {"pipe", NULL, run_pipe},
    {"wake-self", NULL, run_wake_self},
    {"wake-thread", NULL, run_wake_thread},
    {"turn", NULL, run_turn},
    {"timers-start", "first", run_timers},
    {"timers-start", "again", run_timers},
    {"timers-cancel", "first", run_timers},
    {"timers-cancel", "again", run_timers},
    {"timers-fire", "milliseconds", run_timers_fire},
    {"timers-fire", "nanoseconds", run_timers_fire},
    {"start-stop", NULL, run_start_stop},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return local_main(argc, argv, workloads);
}
