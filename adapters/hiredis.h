/* SPDX-License-Identifier: ISC
 *
 * hiredis, the client of Redis, on the loop.
 *
 *     redisAsyncContext *redis = redisAsyncConnect("127.0.0.1", 6379);
 *     loop_hiredis_attach(env->scope, redis);
 *     redisAsyncCommand(redis, on_reply, arg, "GET %s", "key");
 *
 * The connection stays hiredis's own: commands, replies and callbacks are those of <hiredis/async.h>. It holds its
 * scope open from loop_hiredis_attach until hiredis frees it: after redisAsyncDisconnect when the last reply has come,
 * in redisAsyncFree, or by itself when the connection fails. When the scope is cancelled, or the loop cannot poll the
 * connection, the adapter frees it: each command that is pending is called back once, without a reply, and finds the
 * reason in `errstr` of the context. In a scope that is cancelled the context is freed from the loop, not inside the
 * call that cancels.
 *
 * redisAsyncConnect blocks while it resolves a name: give it an address, or a path with redisAsyncConnectUnix.
 */
#ifndef ADAPTERS_HIREDIS_H
#define ADAPTERS_HIREDIS_H

#include <loop/loop.h>
#include <loop/part.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the adapter keeps for a connection: until its jobs have ended. */
struct loop_hiredis {
    struct loop *loop;
    struct loop_scope *scope;
    redisAsyncContext *context; /* NULL: hiredis has freed it */
    loop_job polling, timer;
    unsigned events; /* that hiredis waits for */
    unsigned n_jobs;
};

/* ---- for the adapter itself ---- */

static inline void loop_hiredis_job_ended(struct loop_hiredis *adapter)
{
    if (--adapter->n_jobs == 0) {
        free(adapter);
    }
}

/* Frees the connection. Its callbacks find the reason in the context. */
static inline void loop_hiredis_fail(struct loop_hiredis *adapter, int64_t result)
{
    redisAsyncContext *context = adapter->context;

    context->c.err = REDIS_ERR_OTHER;
    (void)snprintf(context->c.errstr, sizeof context->c.errstr, "the loop ends the connection: %s",
                   strerror((int)-result));
    context->err = context->c.err;
    context->errstr = context->c.errstr;
    redisAsyncFree(context);
}

static inline void loop_hiredis_on_events(void *arg, int64_t result)
{
    struct loop_hiredis *adapter = (struct loop_hiredis *)arg;
    unsigned due = result & (POLLERR | POLLHUP) ? POLLIN | POLLOUT : (unsigned)result;

    if (result < 0) {
        adapter->polling = 0;
        if (adapter->context) {
            loop_hiredis_fail(adapter, result);
        }
        loop_hiredis_job_ended(adapter);
        return;
    }
    if (due & adapter->events & POLLIN) {
        redisAsyncHandleRead(adapter->context);
    }
    if (adapter->context && due & adapter->events & POLLOUT) {
        redisAsyncHandleWrite(adapter->context);
    }
}

/* Changes the events that hiredis waits for. A number that is not the connection's any more ends the job. */
static inline void loop_hiredis_change(void *arg, unsigned add, unsigned drop)
{
    struct loop_hiredis *adapter = (struct loop_hiredis *)arg;
    unsigned events = (adapter->events | add) & ~drop;

    if (events != adapter->events) {
        adapter->events = events;
        (void)loop_poll_change(adapter->loop, adapter->polling, events);
    }
}

static inline void loop_hiredis_add_read(void *arg)
{
    loop_hiredis_change(arg, POLLIN, 0);
}

static inline void loop_hiredis_drop_read(void *arg)
{
    loop_hiredis_change(arg, 0, POLLIN);
}

static inline void loop_hiredis_add_write(void *arg)
{
    loop_hiredis_change(arg, POLLOUT, 0);
}

static inline void loop_hiredis_drop_write(void *arg)
{
    loop_hiredis_change(arg, 0, POLLOUT);
}

static inline void loop_hiredis_cleanup(void *arg)
{
    struct loop_hiredis *adapter = (struct loop_hiredis *)arg;

    adapter->context = NULL;
    adapter->events = 0;
    (void)loop_cancel(adapter->loop, adapter->polling);
    (void)loop_cancel(adapter->loop, adapter->timer);
}

#if HIREDIS_MAJOR >= 1
static inline void loop_hiredis_on_timer(void *arg, int64_t result)
{
    struct loop_hiredis *adapter = (struct loop_hiredis *)arg;

    if (result == 0 && adapter->context) {
        adapter->timer = 0;
        redisAsyncHandleTimeout(adapter->context);
    }
    loop_hiredis_job_ended(adapter);
}

/* A timer for which there is no memory fails the connection, which then has no timeout. */
static inline void loop_hiredis_schedule(void *arg, struct timeval after)
{
    struct loop_hiredis *adapter = (struct loop_hiredis *)arg;
    int64_t duration_ns = LOOP_NEVER; /* also of what is more nanoseconds than there are */

    if (after.tv_sec < LOOP_NEVER / LOOP_SECOND - 1) {
        duration_ns = (int64_t)after.tv_sec * LOOP_SECOND + (int64_t)after.tv_usec * LOOP_MICROSECOND;
    }

    (void)loop_cancel(adapter->loop, adapter->timer);
    adapter->timer = loop_sleep(adapter->scope, duration_ns, loop_hiredis_on_timer, adapter);
    if (adapter->timer) {
        adapter->n_jobs++;
    } else {
        (void)loop_cancel(adapter->loop, adapter->polling);
    }
}
#endif

static inline bool loop_hiredis_has_connect_callback(const redisAsyncContext *context)
{
#if HIREDIS_MAJOR > 1 || (HIREDIS_MAJOR == 1 && HIREDIS_MINOR >= 1)
    return context->onConnect || context->onConnectNC;
#else
    return context->onConnect != NULL;
#endif
}

/* Has hiredis notice the end of the connect, or its timeout. */
static inline void loop_hiredis_await_connect(struct loop_hiredis *adapter)
{
    loop_hiredis_add_write(adapter);
#if HIREDIS_MAJOR >= 1
    const struct timeval *timeout = adapter->context->c.connect_timeout;
    if (timeout && (timeout->tv_sec > 0 || timeout->tv_usec > 0)) {
        loop_hiredis_schedule(adapter, *timeout);
    }
#endif
}

/* ---- for programs ---- */

/* Attaches a connection to the loop, before its first command. `context` may be NULL, or have failed already.
 *
 * Returns 0; -EINVAL for a context that is NULL, has an error, or is attached already; -ENOMEM when there is no memory
 * or the scope has ended. After an error the context is as before, and redisAsyncFree frees it. */
static inline int loop_hiredis_attach(struct loop_scope *scope, redisAsyncContext *context)
{
    struct loop_hiredis *adapter;

    if (!loop_check_scope(scope, __func__) || !context || context->err || context->ev.data) {
        return -EINVAL;
    }
    adapter = (struct loop_hiredis *)calloc(1, sizeof *adapter);
    if (!adapter) {
        return -ENOMEM;
    }
    adapter->polling = loop_poll_number(scope, context->c.fd, 0, loop_hiredis_on_events, adapter);
    if (!adapter->polling) {
        free(adapter);
        return -ENOMEM;
    }
    adapter->loop = loop_scope_loop(scope);
    adapter->scope = scope;
    adapter->context = context;
    adapter->n_jobs = 1;
    context->ev.data = adapter;
    context->ev.addRead = loop_hiredis_add_read;
    context->ev.delRead = loop_hiredis_drop_read;
    context->ev.addWrite = loop_hiredis_add_write;
    context->ev.delWrite = loop_hiredis_drop_write;
    context->ev.cleanup = loop_hiredis_cleanup;
#if HIREDIS_MAJOR >= 1
    context->ev.scheduleTimer = loop_hiredis_schedule;
#endif
    if (loop_hiredis_has_connect_callback(context)) {
        loop_hiredis_await_connect(adapter); /* as hiredis does when the callback is set later */
    }
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
