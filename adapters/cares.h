/* SPDX-License-Identifier: ISC
 *
 * Channels of c-ares (1.16 or newer) on the loop, for programs that use its queries themselves. For the addresses of
 * hosts <net/names.h> is the simpler way.
 *
 *     loop_cares_open(env->scope, NULL, 0, &cares);
 *     ares_query(loop_cares_channel(cares), "example.com", C_IN, T_MX, on_answer, arg);
 *
 * Queries are started by c-ares's functions, and call back on the loop's thread: from the loop, or inside the function
 * that starts them, as c-ares does when it knows the answer. A query that waits for a server holds the scope open. When
 * the scope is cancelled, or the loop cannot poll a socket, all queries of the channel end with ARES_ECANCELLED, from
 * the loop. Callbacks may start queries, call loop_cares_cancel and cancel the scope; ares_cancel frees memory twice
 * when a callback of some versions calls it.
 *
 * ares_init_options reads files of the system, and so do queries for names of hosts (/etc/hosts): these block.
 */
#ifndef ADAPTERS_CARES_H
#define ADAPTERS_CARES_H

#include <loop/loop.h>
#include <loop/part.h>

#include <ares.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct loop_cares;

/* A socket of c-ares, until its job has ended. */
struct loop_cares_socket {
    struct loop_cares_socket *next;
    struct loop_cares *cares; /* NULL: c-ares has closed it */
    ares_socket_t number;
    loop_job polling;
};

/* A channel on a loop. */
struct loop_cares {
    struct loop *loop;
    struct loop_scope *scope;
    ares_channel channel;
    loop_job timer;
    loop_job alarm; /* a promise whose end ends all queries: made before it is needed, when there is memory */
    bool holds;     /* the alarm has been given, and the scope is held until it is heard */
    struct loop_cares_socket *sockets;
};

/* ---- for the adapter itself ---- */

static inline void loop_cares_on_timer(void *arg, int64_t result);

static inline void loop_cares_on_alarm(void *arg, int64_t result);

static inline void loop_cares_set_alarm(struct loop_cares *cares)
{
    if (!loop_job_is_alive(cares->loop, cares->alarm)) {
        cares->alarm = loop_promise(cares->scope, NULL, NULL, loop_cares_on_alarm, cares);
        (void)loop_daemon(cares->loop, cares->alarm);
    }
}

/* Has all queries end, soon: c-ares may be on the stack. Until then nothing else may hold the scope. */
static inline void loop_cares_fail(struct loop_cares *cares, int64_t error)
{
    if (loop_resolve(cares->loop, cares->alarm, error) == 0) {
        cares->holds = true;
        loop_scope_hold(cares->scope);
    }
}

static inline void loop_cares_start_timer(struct loop_cares *cares, int64_t duration_ns)
{
    (void)loop_cancel(cares->loop, cares->timer);
    cares->timer = loop_sleep(cares->scope, duration_ns, loop_cares_on_timer, cares);
    (void)loop_daemon(cares->loop, cares->timer);
    if (!cares->timer) {
        loop_cares_fail(cares, -ENOMEM);
    }
}

/* Lets c-ares act on sockets that are ready, and on timeouts. Then sets the timer to the next timeout. */
static inline void loop_cares_act(struct loop_cares *cares, ares_socket_t to_read, ares_socket_t to_write)
{
    struct timeval buffer, *next;

    ares_process_fd(cares->channel, to_read, to_write);
    next = ares_timeout(cares->channel, NULL, &buffer);
    if (next) {
        loop_cares_start_timer(cares, (int64_t)next->tv_sec * LOOP_SECOND + (int64_t)next->tv_usec * LOOP_MICROSECOND);
    } else {
        (void)loop_cancel(cares->loop, cares->timer);
    }
}

static inline void loop_cares_on_timer(void *arg, int64_t result)
{
    if (result == 0) {
        loop_cares_act((struct loop_cares *)arg, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
}

/* Also called when the scope is cancelled. */
static inline void loop_cares_on_alarm(void *arg, int64_t result)
{
    struct loop_cares *cares = (struct loop_cares *)arg;
    bool holds = cares->holds;

    (void)result;
    cares->holds = false;
    if (!loop_scope_is_cancelled(cares->scope)) {
        loop_cares_set_alarm(cares);
        loop_cares_start_timer(cares, 0); /* for queries that callbacks start now */
    }
    ares_cancel(cares->channel);
    if (holds) {
        loop_scope_unhold(cares->scope);
    }
}

/* Returns the link to the socket with that number, or that at the end of the list. */
static inline struct loop_cares_socket **loop_cares_find(struct loop_cares *cares, ares_socket_t number)
{
    struct loop_cares_socket **at = &cares->sockets;

    while (*at && (*at)->number != number) {
        at = &(*at)->next;
    }
    return at;
}

static inline void loop_cares_on_socket(void *arg, int64_t result)
{
    struct loop_cares_socket *socket = (struct loop_cares_socket *)arg;
    struct loop_cares *cares = socket->cares;
    bool is_in = (result & (POLLIN | POLLHUP | POLLERR)) != 0, is_out = (result & (POLLOUT | POLLERR)) != 0;

    if (result >= 0) {
        loop_cares_act(cares, is_in ? socket->number : ARES_SOCKET_BAD, is_out ? socket->number : ARES_SOCKET_BAD);
        return;
    }
    if (cares) {
        *loop_cares_find(cares, socket->number) = socket->next;
        loop_cares_fail(cares, -ENOMEM);
    }
    free(socket);
}

static inline void loop_cares_open_socket(struct loop_cares *cares, ares_socket_t number, unsigned events)
{
    struct loop_cares_socket *socket = (struct loop_cares_socket *)calloc(1, sizeof *socket);

    loop_cares_set_alarm(cares);
    if (socket) {
        socket->polling = loop_poll_number(cares->scope, (int)number, events, loop_cares_on_socket, socket);
    }
    if (!socket || !socket->polling) {
        free(socket);
        loop_cares_fail(cares, -ENOMEM);
        return;
    }
    socket->cares = cares;
    socket->number = number;
    socket->next = cares->sockets;
    cares->sockets = socket;
    loop_cares_start_timer(cares, 0); /* the timeout of the query is not set yet */
}

static inline void loop_cares_close_socket(struct loop_cares *cares, struct loop_cares_socket **at)
{
    struct loop_cares_socket *socket = *at;

    *at = socket->next;
    socket->cares = NULL;
    (void)loop_cancel(cares->loop, socket->polling);
}

/* c-ares tells what it waits for, and that it is about to close a socket. */
static inline void loop_cares_on_state(void *arg, ares_socket_t number, int to_read, int to_write)
{
    struct loop_cares *cares = (struct loop_cares *)arg;
    struct loop_cares_socket **at = loop_cares_find(cares, number);
    unsigned events = (to_read ? (unsigned)POLLIN : 0) | (to_write ? (unsigned)POLLOUT : 0);

    if (*at && events && loop_poll_change(cares->loop, (*at)->polling, events) == 0) {
        return;
    }
    if (*at) {
        loop_cares_close_socket(cares, at);
    }
    if (events) {
        loop_cares_open_socket(cares, number, events);
    }
}

/* The release hook. All jobs of the scope have ended by now. */
static inline void loop_cares_finish(void *arg)
{
    struct loop_cares *cares = (struct loop_cares *)arg;

    if (cares->channel) {
        ares_destroy(cares->channel);
    }
}

/* ---- for programs ---- */

/* Opens a channel on the loop. `options` and `mask` are those of ares_init_options, and may be NULL and 0. The callback
 * for the states of sockets is the adapter's, and ARES_FLAG_STAYOPEN is ignored. Sets `*cares`, which belongs to
 * `scope`, ends with it, and does not hold it open. Call ares_library_init before the loop where c-ares asks for it.
 *
 * Returns ARES_SUCCESS; ARES_ENOMEM when there is no memory; ARES_EFORMERR for a scope or `cares` that is NULL, or a
 * scope that has ended; or what ares_init_options returns. After an error `*cares` is NULL. */
static inline int loop_cares_open(struct loop_scope *scope, const struct ares_options *options, int mask,
                                  struct loop_cares **cares)
{
    struct ares_options own;
    struct loop_cares *made;
    int status;

    if (!loop_check_scope(scope, __func__) || !loop_check_pointer(cares, "channel", __func__)) {
        return ARES_EFORMERR;
    }
    *cares = NULL;
    made = (struct loop_cares *)loop_scope_alloc(scope, sizeof *made);
    if (!made || !loop_scope_defer(scope, loop_cares_finish, made)) {
        return ARES_ENOMEM;
    }
    made->loop = loop_scope_loop(scope);
    made->scope = scope;
    memset(&own, 0, sizeof own);
    if (options) {
        own = *options;
    }
    own.flags &= ~ARES_FLAG_STAYOPEN;
    own.sock_state_cb = loop_cares_on_state;
    own.sock_state_cb_data = made;
    status = ares_init_options(&made->channel, &own, mask | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        made->channel = NULL;
        return status;
    }
    loop_cares_set_alarm(made);
    if (!made->alarm) {
        return ARES_ENOMEM;
    }
    *cares = made;
    return ARES_SUCCESS;
}

/* Returns the channel, for c-ares's functions. It belongs to `cares`: do not destroy it. */
static inline ares_channel loop_cares_channel(const struct loop_cares *cares)
{
    return loop_check_pointer(cares, "channel", __func__) ? cares->channel : NULL;
}

/* Ends all queries of the channel with ARES_ECANCELLED, soon: from the loop, so that callbacks may call it. */
static inline void loop_cares_cancel(struct loop_cares *cares)
{
    if (loop_check_pointer(cares, "channel", __func__)) {
        loop_cares_fail(cares, 0);
    }
}

#ifdef __cplusplus
}
#endif

#endif
