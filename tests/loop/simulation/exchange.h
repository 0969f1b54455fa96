/* SPDX-License-Identifier: ISC
 *
 * A world of two nodes: a client sends 10 messages over TCP, one after another, and a server sends each back.
 */
#ifndef TESTS_EXCHANGE_H
#define TESTS_EXCHANGE_H

#include <loop/loop.h>
#include <loop/simulation.h>
#include <net/net.h>

#include <stdio.h>
#include <string.h>

enum { EXCHANGE_MESSAGES = 10, EXCHANGE_LENGTH = 64 };

/* The client. Each attempt has a scope of its own, with a deadline: a server that has crashed does not say so. */
struct exchange {
    struct loop_scope *scope, *attempt;
    struct loop_flow *flow;
    unsigned n_sent, n_attempts;
    char sent[EXCHANGE_LENGTH], received[EXCHANGE_LENGTH];
};

#define EXCHANGE_TIMEOUT_NS (30 * LOOP_SECOND)

static void exchange_connect(struct exchange *exchange);

/* ---- the server ---- */

static inline void exchange_copied(void *arg, int64_t result)
{
    (void)arg;
    (void)result; /* a connection may be reset */
}

static inline void exchange_accepted(struct loop_flow *peer, void *arg)
{
    (void)arg;
    loop_copy(&peer->source, &peer->sink, exchange_copied, NULL);
}

static inline int exchange_server(struct loop_env *env, void *arg)
{
    struct loop_address address;

    (void)arg;
    loop_address_parse(&address, "tcp:0.0.0.0:7000");
    return loop_serve(env->scope, &address, NULL, NULL, exchange_accepted, NULL);
}

/* ---- the client ---- */

static inline void exchange_send(struct exchange *exchange);

/* Begins again on a new connection. */
static inline void exchange_again(void *arg, int64_t result)
{
    (void)result;
    exchange_connect(arg);
}

/* The attempt has ended, and its connection is closed. */
static inline void exchange_ended(void *arg, int64_t result)
{
    struct exchange *exchange = arg;

    (void)result;
    if (exchange->n_sent == EXCHANGE_MESSAGES) {
        return;
    }
    if (++exchange->n_attempts < 1000) {
        loop_sleep(exchange->scope, 10 * LOOP_MILLISECOND, exchange_again, exchange);
    } else {
        loop_world_fail(NULL, "the client gives up: %u attempts", exchange->n_attempts);
    }
}

static inline void exchange_received(void *arg, int64_t result)
{
    struct exchange *exchange = arg;

    if (result != EXCHANGE_LENGTH) {
        return; /* nothing is left to do, so the attempt ends */
    }
    if (memcmp(exchange->sent, exchange->received, EXCHANGE_LENGTH) != 0) {
        loop_world_fail(NULL, "the server sent back something else: %.20s", exchange->received);
    } else if (++exchange->n_sent < EXCHANGE_MESSAGES) {
        exchange_send(exchange);
    }
}

static inline void exchange_written(void *arg, int64_t result)
{
    struct exchange *exchange = arg;

    if (result == EXCHANGE_LENGTH) {
        loop_read_exact(&exchange->flow->source, exchange->received, EXCHANGE_LENGTH, exchange_received, exchange);
    }
}

static inline void exchange_send(struct exchange *exchange)
{
    loop_scope_deadline(exchange->attempt, loop_now(loop_scope_loop(exchange->attempt)) + EXCHANGE_TIMEOUT_NS);
    snprintf(exchange->sent, sizeof exchange->sent, "message %u", exchange->n_sent);
    loop_write(&exchange->flow->sink, exchange->sent, EXCHANGE_LENGTH, exchange_written, exchange);
}

static inline void exchange_connected(void *arg, int64_t result)
{
    if (result == 0) {
        exchange_send(arg);
    }
}

static inline void exchange_connect(struct exchange *exchange)
{
    struct loop_address address;

    exchange->attempt = loop_scope_open(exchange->scope, exchange_ended, exchange);
    if (exchange->attempt) {
        loop_scope_deadline(exchange->attempt, loop_now(loop_scope_loop(exchange->attempt)) + EXCHANGE_TIMEOUT_NS);
        loop_address_parse(&address, "tcp:10.0.0.1:7000");
        loop_connect(exchange->attempt, &address, NULL, &exchange->flow, exchange_connected, exchange);
    }
}

static inline int exchange_client(struct loop_env *env, void *arg)
{
    struct exchange *exchange = arg;

    memset(exchange, 0, sizeof *exchange);
    exchange->scope = env->scope;
    exchange_connect(exchange);
    return 0;
}

/* ---- the world ---- */

/* `arg` points to the backend of both nodes; NULL: the best one. */
static inline int exchange_build(struct loop_world *world, void *arg)
{
    enum loop_backend backend = arg ? *(enum loop_backend *)arg : LOOP_BACKEND_AUTO;

    loop_world_add_node(world, &(struct loop_node_options){
                                   .name = "server", .main = exchange_server, .backend = backend, .is_daemon = true});
    loop_world_add_node(world, &(struct loop_node_options){.name = "client",
                                                           .main = exchange_client,
                                                           .arg = loop_world_alloc(world, sizeof(struct exchange)),
                                                           .backend = backend});
    return 0;
}

#endif
