/* SPDX-License-Identifier: ISC
 *
 * Noria inside sd-event, the event loop of libsystemd, for programs with sd-bus, sd-varlink and the like. Needs
 * libsystemd 243 or newer.
 *
 *     static int start(struct loop_env *env, void *arg);       starts jobs, as main of loop_run does
 *     static void on_loop_end(void *arg);                      calls loop_close
 *
 *     loop_open(NULL, start, app, &app->loop);
 *     loop_sd_event_attach(app->loop, app->event, on_loop_end, app, &app->host);
 *     sd_event_loop(app->event);
 *
 * The event sources borrow the loop: they only make turns, and the program closes the loop. Callbacks of sd-event and
 * continuations run on the same thread, so each may call the functions of the other; but the event loop must not be run
 * in a continuation, as sd-event forbids it in its own callbacks. Timers have a precision of a microsecond, and are
 * never early.
 */
#ifndef ADAPTERS_SD_EVENT_H
#define ADAPTERS_SD_EVENT_H

#include <loop/loop.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called once when the loop has ended, outside of its turns: typically calls loop_close. */
typedef void loop_sd_event_fn(void *arg);

/* The event sources that drive a loop. */
struct loop_sd_event {
    struct loop *loop;
    loop_sd_event_fn *ended;
    void *arg;
    sd_event_source *io;    /* the loop has something to do */
    sd_event_source *timer; /* a timer of the loop is due, or a turn is */
    bool is_turning;        /* loop_sd_event_turn frees it, where a continuation has detached the loop */
};

/* ---- inside ---- */

static inline void loop_sd_event_free(struct loop_sd_event *host)
{
    (void)sd_event_source_disable_unref(host->io);
    (void)sd_event_source_disable_unref(host->timer);
    free(host);
}

static inline int loop_sd_event_turn(struct loop_sd_event *host)
{
    host->is_turning = true;
    int goes_on = loop_turn(host->loop);
    host->is_turning = false;
    if (goes_on > 0 && host->loop) {
        return 0;
    }
    loop_sd_event_fn *ended = host->loop ? host->ended : NULL;
    void *arg = host->arg;
    loop_sd_event_free(host);
    if (ended) {
        ended(arg);
    }
    return 0;
}

static inline int loop_sd_event_on_io(sd_event_source *source, int number, uint32_t events, void *host)
{
    (void)source;
    (void)number;
    (void)events;
    return loop_sd_event_turn((struct loop_sd_event *)host);
}

static inline int loop_sd_event_on_timer(sd_event_source *source, uint64_t usec, void *host)
{
    (void)source;
    (void)usec;
    return loop_sd_event_turn((struct loop_sd_event *)host);
}

/* Called before each sleep. A time in the past makes a turn at once. A timer that waits to be dispatched keeps its
 * place among the other sources: setting its time again would put it behind them. */
static inline int loop_sd_event_prepare(sd_event_source *source, void *arg)
{
    struct loop_sd_event *host = (struct loop_sd_event *)arg;
    (void)source;
    if (!host->loop || sd_event_source_get_pending(host->timer) > 0) {
        return 0;
    }
    int64_t ns = loop_prepare(host->loop);
    if (ns < 0 || ns == LOOP_NEVER) {
        return sd_event_source_set_enabled(host->timer, SD_EVENT_OFF);
    }
    uint64_t usec = ns == 0 ? 1 : (uint64_t)(loop_now(host->loop) + ns) / 1000 + 1;
    int error = sd_event_source_set_time(host->timer, usec);
    return error < 0 ? error : sd_event_source_set_enabled(host->timer, SD_EVENT_ONESHOT);
}

/* ---- attaching ---- */

/* Makes turns of `loop`, which loop_open has made on this thread, in `event`, which this thread runs. `ended` is called
 * with `arg` when the loop has ended, after the sources have been removed; NULL is allowed. Stores in `*attached` what
 * loop_sd_event_detach takes: it is valid until `ended` is called. Returns 0; -ENOMEM; -EINVAL when `loop` is not a
 * loop of loop_open; or an error of sd_event_add_io() or sd_event_add_time(). */
static inline int loop_sd_event_attach(struct loop *loop, sd_event *event, loop_sd_event_fn *ended, void *arg,
                                       struct loop_sd_event **attached)
{
    int number = loop_number(loop);
    if (number < 0) {
        return number;
    }
    struct loop_sd_event *host = (struct loop_sd_event *)calloc(1, sizeof *host);
    if (!host) {
        return -ENOMEM;
    }
    host->loop = loop;
    host->ended = ended;
    host->arg = arg;
    int error = sd_event_add_io(event, &host->io, number, EPOLLIN, loop_sd_event_on_io, host);
    if (error >= 0) {
        error = sd_event_add_time(event, &host->timer, CLOCK_MONOTONIC, 1, 1, loop_sd_event_on_timer, host);
    }
    if (error >= 0) {
        error = sd_event_source_set_prepare(host->io, loop_sd_event_prepare);
    }
    if (error < 0) {
        loop_sd_event_free(host);
        return error;
    }
    *attached = host;
    return 0;
}

/* Removes the sources of loop_sd_event_attach: no further turns are made, and `ended` is not called. Call it before
 * loop_close of a loop that has not ended. It may be called inside a continuation. */
static inline void loop_sd_event_detach(struct loop_sd_event *host)
{
    host->loop = NULL;
    if (!host->is_turning) {
        loop_sd_event_free(host);
    }
}

#ifdef __cplusplus
}
#endif

#endif
