/* SPDX-License-Identifier: ISC
 *
 * Noria inside libuv's loop, also that of Node.js. Needs libuv 1.0 or newer.
 *
 *     static int start(struct loop_env *env, void *arg);       starts jobs, as main of loop_run does
 *     static void on_loop_end(void *arg);                      calls loop_close
 *
 *     loop_open(NULL, start, app, &app->loop);
 *     loop_libuv_attach(app->loop, uv_default_loop(), on_loop_end, app, &app->host);
 *     uv_run(uv_default_loop(), UV_RUN_DEFAULT);
 *
 * The handles borrow the loop: they only make turns, and the program closes the loop. uv_run does not return before the
 * loop has ended or is detached. Callbacks of libuv and continuations run on the same thread, so each may call the
 * functions of the other; but uv_run must not be called in a continuation, as libuv forbids it in its own callbacks.
 * A callback of a uv_prepare_t may start jobs if the handle was started after loop_libuv_attach: libuv calls the others
 * later, when the loop has told how long to sleep. Timers have libuv's precision, a millisecond, and are never early.
 */
#ifndef ADAPTERS_LIBUV_H
#define ADAPTERS_LIBUV_H

#include <loop/loop.h>

#include <errno.h>
#include <stdlib.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called once when the loop has ended, outside of its turns: typically calls loop_close. */
typedef void loop_libuv_fn(void *arg);

/* The handles that drive a loop. */
struct loop_libuv {
    struct loop *loop;
    loop_libuv_fn *ended;
    void *arg;
    uv_poll_t poll;       /* the loop has something to do */
    uv_timer_t timer;     /* a timer of the loop is due, or a turn is */
    uv_prepare_t prepare; /* before each sleep */
    unsigned n_open;      /* handles that are not closed yet */
};

/* ---- inside ---- */

static inline void loop_libuv_on_close(uv_handle_t *handle)
{
    struct loop_libuv *host = (struct loop_libuv *)handle->data;
    if (--host->n_open == 0) {
        free(host);
    }
}

static inline void loop_libuv_close_handle(struct loop_libuv *host, uv_handle_t *handle)
{
    handle->data = host;
    uv_close(handle, loop_libuv_on_close);
}

static inline void loop_libuv_turn(struct loop_libuv *host);

static inline void loop_libuv_on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    loop_libuv_turn((struct loop_libuv *)poll->data);
}

static inline void loop_libuv_on_timer(uv_timer_t *timer)
{
    loop_libuv_turn((struct loop_libuv *)timer->data);
}

/* libuv may be about to sleep, and call the new uv_prepare_t before the next sleep only. So that one must not last. */
static inline void loop_libuv_on_first(uv_timer_t *timer)
{
    (void)timer;
}

static inline void loop_libuv_on_prepare(uv_prepare_t *prepare)
{
    struct loop_libuv *host = (struct loop_libuv *)prepare->data;
    int64_t ns = loop_prepare(host->loop);
    if (ns < 0 || ns == LOOP_NEVER) {
        (void)uv_timer_stop(&host->timer);
    } else {
        int64_t ms = ns / LOOP_MILLISECOND + (ns % LOOP_MILLISECOND > 0);
        (void)uv_timer_start(&host->timer, loop_libuv_on_timer, (uint64_t)ms, 0);
    }
}

/* ---- attaching ---- */

/* Makes turns of `loop`, which loop_open has made on this thread, in `uv`, which this thread runs. `ended` is called
 * with `arg` when the loop has ended, after the handles have been closed; NULL is allowed. Stores in `*attached` what
 * loop_libuv_detach takes: it is valid until `ended` is called. Returns 0; -ENOMEM; -EINVAL when `loop` is not a loop
 * of loop_open; or an error of uv_poll_init(). */
static inline int loop_libuv_attach(struct loop *loop, uv_loop_t *uv, loop_libuv_fn *ended, void *arg,
                                    struct loop_libuv **attached)
{
    int number = loop_number(loop);
    if (number < 0) {
        return number;
    }
    struct loop_libuv *host = (struct loop_libuv *)calloc(1, sizeof *host);
    if (!host) {
        return -ENOMEM;
    }
    int error = uv_poll_init(uv, &host->poll, number);
    if (error) {
        free(host);
        return error;
    }
    host->loop = loop;
    host->ended = ended;
    host->arg = arg;
    host->n_open = 3;
    (void)uv_timer_init(uv, &host->timer);
    (void)uv_prepare_init(uv, &host->prepare);
    host->poll.data = host->timer.data = host->prepare.data = host;
    (void)uv_timer_start(&host->timer, loop_libuv_on_first, 0, 0);
    (void)uv_prepare_start(&host->prepare, loop_libuv_on_prepare);
    (void)uv_poll_start(&host->poll, UV_READABLE, loop_libuv_on_poll);
    *attached = host;
    return 0;
}

/* Closes the handles of loop_libuv_attach: no further turns are made, and `ended` is not called. Call it before
 * loop_close of a loop that has not ended. It may be called inside a continuation. libuv frees the handles in its next
 * turn, as after each uv_close(). */
static inline void loop_libuv_detach(struct loop_libuv *host)
{
    host->loop = NULL;
    loop_libuv_close_handle(host, (uv_handle_t *)&host->poll);
    loop_libuv_close_handle(host, (uv_handle_t *)&host->timer);
    loop_libuv_close_handle(host, (uv_handle_t *)&host->prepare);
}

/* A continuation may detach the loop: its memory stays until libuv has closed the handles. */
static inline void loop_libuv_turn(struct loop_libuv *host)
{
    if (loop_turn(host->loop) > 0 || !host->loop) {
        return;
    }
    loop_libuv_detach(host);
    if (host->ended) {
        host->ended(host->arg);
    }
}

#ifdef __cplusplus
}
#endif

#endif
