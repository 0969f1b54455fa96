/* SPDX-License-Identifier: ISC
 *
 * Requests to a server of the counter, and the client that makes some.
 */
#include "counter.h"

#include <loop/reader.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A request until its answer. Each attempt has a scope of its own, which ends when nothing is left to do in it, or at
 * its deadline. */
struct ask {
    struct loop_scope *parent, *attempt;
    struct loop_address address;
    struct loop_flow *flow;
    struct loop_reader *reader;
    char line[32];
    bool is_answered;
    loop_fn *fn;
    void *arg;
};

static void try_again(void *arg, int64_t result);

static void on_answer(void *arg, int64_t result)
{
    struct ask *ask = arg;

    ask->is_answered = result > 0;
}

static void on_written(void *arg, int64_t result)
{
    struct ask *ask = arg;

    ask->reader = result == (int64_t)strlen(ask->line) ? loop_reader_create(&ask->flow->source, 64) : NULL;
    if (ask->reader) {
        loop_reader_line(ask->reader, on_answer, ask);
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct ask *ask = arg;

    if (result == 0) {
        loop_write(&ask->flow->sink, ask->line, strlen(ask->line), on_written, ask);
    }
}

static void on_attempt_end(void *arg, int64_t result)
{
    struct ask *ask = arg;

    (void)result; /* an attempt may fail */
    if (ask->is_answered) {
        ask->fn(ask->arg, 0);
    } else if (loop_sleep(ask->parent, 100 * LOOP_MILLISECOND, try_again, ask) == 0) {
        ask->fn(ask->arg, -ECANCELED);
    }
}

static void try_again(void *arg, int64_t result)
{
    struct ask *ask = arg;
    struct loop *loop = loop_scope_loop(ask->parent);

    ask->attempt = result == 0 ? loop_scope_open(ask->parent, on_attempt_end, ask) : NULL;
    if (!ask->attempt) {
        ask->fn(ask->arg, -ECANCELED);
        return;
    }
    loop_scope_deadline(ask->attempt, loop_now(loop) + LOOP_SECOND);
    loop_connect(ask->attempt, &ask->address, NULL, &ask->flow, on_connected, ask);
}

void counter_ask(struct loop_scope *scope, const struct loop_address *address, uint64_t number, loop_fn *fn, void *arg)
{
    struct ask *ask = loop_scope_alloc(scope, sizeof *ask);

    if (!ask) {
        fn(arg, -ECANCELED);
        return;
    }
    *ask = (struct ask){.parent = scope, .address = *address, .fn = fn, .arg = arg};
    snprintf(ask->line, sizeof ask->line, "%" PRIu64 "\n", number);
    try_again(ask, 0);
}

/* ---- the client ---- */

static void on_added(void *arg, int64_t result)
{
    struct counter_client *client = arg;

    if (result == 0 && ++client->n_answered < client->n_requests) {
        counter_ask(client->scope, &client->server, client->n_answered + 1, on_added, client);
    }
}

int counter_add(struct loop_env *env, void *arg)
{
    struct counter_client *client = arg;

    client->scope = env->scope;
    client->n_answered = 0;
    counter_ask(env->scope, &client->server, 1, on_added, client);
    return 0;
}
