/* SPDX-License-Identifier: ISC
 *
 * A server of one loop. Where a server has several domains, each has one of these, and so has the parent, which serves
 * no connection itself; hooks connect them (branch.h).
 */
#ifndef NET_SERVER_H
#define NET_SERVER_H

#include <net/acceptor.h>

/* What is done in place of, or beside, what a server does. Each may be NULL. */
struct loop_server_hooks {
    /* Takes over an accepted connection, in place of serving it here. */
    void (*take)(void *arg, int number);
    /* Takes over a connection that was accepted and cannot be served any more, in place of closing it. */
    void (*refuse)(void *arg, int number);
    /* The server closes its listener: others of the same server are to be drained and closed. */
    void (*drain)(void *arg);
    /* Returns whether connections that were accepted are on their way to where they are served, of a server that
     * retires. When they have arrived, loop_server_arrived is to be called. */
    bool (*is_carrying)(void *arg);
    /* A connection has begun here, or has ended. */
    void (*begun)(void *arg);
    void (*ended)(void *arg, bool has_failed);
    /* The server has been stopped, or has got an earlier deadline. */
    void (*stop)(void *arg, int64_t deadline_ns);
    /* The server is about to be freed; on_end has returned. */
    void (*over)(void *arg);
};

struct loop_server {
    struct loop *loop;
    struct loop_scope *parent, *scope;
    struct loop_scope *connections; /* NULL when it has ended */
    struct loop_acceptor acceptor;  /* without a listener where only loop_server_begin brings connections */
    loop_connection_fn *on_connection;
    void *on_connection_arg;
    loop_fn *on_start;
    void *on_start_arg;
    loop_fn *on_end;
    void *on_end_arg;
    const struct loop_server_hooks *hooks;
    void *hooks_arg;
    struct loop_spread *spread; /* of a server with domains */
    int64_t connection_timeout_ns, grace_ns;
    int64_t deadline_ns; /* of the connections, once stopped */
    int64_t error;       /* that ended the server, or 0 */
    unsigned max_connections;
    int waiting;        /* the number of a connection that was accepted and waits for a place below the limit; or -1 */
    bool is_serving;    /* loop_server_start has succeeded: on_end is to be called */
    bool accepts;       /* its own acceptor runs */
    unsigned n_drained; /* accepted by a stop, and about to be served: each has a place below the limit */
    bool is_stopped, is_signalled;
    bool is_replaced; /* another program listens: what was accepted has to be served soon, beyond the limit as well */
    bool is_retiring; /* its listener closes; once what was accepted is served, it stops with this deadline: */
    int64_t retired_ns;
    struct loop_server_stats stats;
};

/* What is served: the bytes of a number, or those of a descriptor that was detached from another loop. */
struct loop_arrival {
    int number; /* -1: none */
    struct loop_detached *detached;
};

/* Makes a server and its scope, at whose end it is freed. The caller gives it a listener in that scope, or none, and
 * hooks, and calls loop_server_start. Returns 0, -ENOMEM, or -EINVAL for negative durations. */
int loop_server_create(struct loop_scope *parent, const struct loop_serve_options *options,
                       struct loop_server **server);

/* Begins to serve. Returns 0 or a negative errno. */
int loop_server_start(struct loop_server *server, bool stop_on_signals);

/* Has on_start called soon, unless the server is stopped before. Returns 0 or -ENOMEM. */
int loop_server_started(struct loop_server *server);

/* Undoes a start that has failed, or that was not tried: the listener is closed at once, the rest goes with the
 * scope. */
void loop_server_abandon(struct loop_server *server);

/* Returns whether it is at its limit. */
bool loop_server_is_full(const struct loop_server *server);

/* Counts a connection as open, or as ended, and then accepts again. */
void loop_server_count(struct loop_server *server);
void loop_server_uncount(struct loop_server *server, unsigned n);

/* Returns whether it takes connections: it has neither stopped nor been cancelled. */
bool loop_server_takes(const struct loop_server *server);

/* Starts a connection, which takes over what has arrived. Returns false, and takes nothing, when the server has stopped
 * or is cancelled, or has no memory. */
bool loop_server_begin(struct loop_server *server, struct loop_arrival arrival);

/* Stops the server with an error, unless it has been stopped. */
void loop_server_fail(struct loop_server *server, int64_t error);

/* Does what loop_server_stop does. */
void loop_server_leave(struct loop_server *server, int64_t deadline_ns);

/* Stops it at once: connections that have not begun are closed. */
void loop_server_halt(struct loop_server *server, int64_t deadline_ns);

/* Does what loop_server_retire does. */
void loop_server_withdraw(struct loop_server *server, int64_t deadline_ns);

/* The connections that is_carrying has told of have arrived. */
void loop_server_arrived(struct loop_server *server);

/* Closes what has arrived. */
void loop_arrival_close(struct loop_arrival arrival);

#endif
