/* SPDX-License-Identifier: ISC
 *
 * A replicated counter: clients add to it at a server, which hands each addition on to its backup before it answers.
 *
 * A request is a line with a number, and its answer is the same line. A client numbers its requests 1, 2, 3, ... and
 * repeats one until it gets the answer, so a server may see a request more than once.
 */
#ifndef COUNTER_H
#define COUNTER_H

#include <loop/loop.h>
#include <net/net.h>

/* A server. */
struct counter {
    struct loop_address address;
    const struct loop_address *backup; /* NULL: it has none */
    uint64_t total;
    uint64_t last; /* the last request that it has counted */
    bool forgets;  /* the mistake that test.c looks for: a repeated request is counted again */
};

/* A client. */
struct counter_client {
    struct loop_address server;
    uint64_t n_requests;
    uint64_t n_answered;
    struct loop_scope *scope;
};

/* Sends a request until it is answered, then calls fn(arg, 0); fn(arg, -ECANCELED) when the scope is cancelled. */
void counter_ask(struct loop_scope *scope, const struct loop_address *address, uint64_t number, loop_fn *fn, void *arg);

/* Main functions of a loop. `arg` is a struct counter or a struct counter_client. */
int counter_serve(struct loop_env *env, void *arg);
int counter_add(struct loop_env *env, void *arg);

#endif
