/* SPDX-License-Identifier: ISC
 *
 * The loops of a server with --domains, see domains.h. What several threads use is the list of inboxes, by a mutex.
 */
#include "domains.h"
#include "arguments.h"

#include <sync/sync.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>

/* ---- calling all of them ---- */

struct member {
    struct loop_inbox *inbox; /* NULL: it has not joined, or has ended */
};

struct domains {
    struct loop_scope *scope;
    struct loop_inbox *inbox; /* the main loop's */
    loop_fn *on_prepared;     /* NULL when it has been called */
    void *on_prepared_arg;
    unsigned n_prepared;
    bool is_stopping;
    pthread_mutex_t mutex;
    unsigned n;
    struct member members[];
};

/* The place of a domain in the list. */
struct place {
    struct domains *domains;
    unsigned index;
    bool is_prepared;
};

/* That of the domain of this thread, in the memory of its loop's main scope. */
static _Thread_local struct place *here;

static void on_release(void *arg)
{
    struct domains *domains = arg;

    loop_inbox_unref(domains->inbox);
    pthread_mutex_destroy(&domains->mutex);
}

struct domains *domains_create(struct loop_scope *scope, unsigned n)
{
    struct domains *domains = loop_scope_alloc(scope, sizeof *domains + n * sizeof *domains->members);

    if (!domains) {
        return NULL;
    }
    domains->scope = scope;
    domains->n = n;
    domains->inbox = loop_inbox_ref(loop_scope_loop(scope));
    pthread_mutex_init(&domains->mutex, NULL);
    return loop_scope_defer(scope, on_release, domains) ? domains : NULL;
}

/* Stores an inbox, and returns the one that was there. */
static struct loop_inbox *exchange(const struct place *place, struct loop_inbox *inbox)
{
    struct domains *domains = place->domains;

    pthread_mutex_lock(&domains->mutex);
    struct loop_inbox *before = domains->members[place->index].inbox;
    domains->members[place->index].inbox = inbox;
    pthread_mutex_unlock(&domains->mutex);
    return before;
}

/* ---- the start ---- */

static void tell_prepared(struct domains *domains, int64_t result)
{
    loop_fn *fn = domains->on_prepared;

    domains->on_prepared = NULL;
    if (fn && !domains->is_stopping) {
        fn(domains->on_prepared_arg, result);
    }
}

static void on_prepared(void *arg, int64_t result)
{
    struct domains *domains = arg;

    if (result == 0 && ++domains->n_prepared == domains->n) {
        tell_prepared(domains, 0);
    }
}

static void on_lost(void *arg, int64_t result)
{
    if (result == 0) {
        tell_prepared(arg, -ESHUTDOWN);
    }
}

static void on_stop(void *arg, int64_t result)
{
    struct domains *domains = arg;

    domains->is_stopping = domains->is_stopping || result >= 0;
}

void domains_await_prepared(struct domains *domains, loop_fn *fn, void *arg)
{
    struct loop *loop = loop_scope_loop(domains->scope);

    domains->on_prepared = fn;
    domains->on_prepared_arg = arg;
    loop_daemon(loop, loop_signal(domains->scope, SIGTERM, on_stop, domains));
    loop_daemon(loop, loop_signal(domains->scope, SIGINT, on_stop, domains));
}

int domains_prepared(void)
{
    here->is_prepared = true;
    return loop_post(here->domains->inbox, on_prepared, here->domains);
}

/* ---- joining ---- */

static void leave(void *arg)
{
    struct place *place = arg;

    if (!place->is_prepared) {
        (void)loop_post(place->domains->inbox, on_lost, place->domains); /* the main loop may have ended */
    }
    loop_inbox_unref(exchange(place, NULL));
}

int domains_join(struct domains *domains, struct loop_env *env, unsigned index)
{
    struct place *place = loop_scope_alloc(env->scope, sizeof *place);

    if (!place) {
        return -ENOMEM;
    }
    *place = (struct place){.domains = domains, .index = index};
    here = place;
    (void)exchange(place, loop_inbox_ref(env->loop));
    return loop_scope_defer(env->scope, leave, place) ? 0 : -ENOMEM; /* without memory it has left already */
}

/* -ESHUTDOWN is a domain that has ended meanwhile. */
static void on_called(void *arg, int64_t result)
{
    (void)arg;
    if (result < 0 && result != -ESHUTDOWN && result != -ECANCELED) {
        arguments_fail("a call of a domain", result);
    }
}

void domains_call(struct domains *domains, loop_call_fn *fn, void *arg)
{
    pthread_mutex_lock(&domains->mutex);
    for (unsigned i = 0; i < domains->n; i++) {
        struct loop_inbox *inbox = domains->members[i].inbox;
        if (inbox && !loop_call(domains->scope, inbox, fn, arg, on_called, NULL)) {
            on_called(NULL, -ENOMEM);
        }
    }
    pthread_mutex_unlock(&domains->mutex);
}

/* ---- waiting until a domain is prepared ---- */

struct gate {
    struct loop_condition *opening; /* NULL when it is open */
};

/* A connection before the gate. */
struct passing {
    struct loop_flow *peer;
    loop_connection_fn *fn;
    void *arg;
};

static void drop_gate(void *arg)
{
    struct gate *gate = arg;

    loop_condition_unref(gate->opening);
}

struct gate *gate_create(struct loop_scope *scope)
{
    struct gate *gate = loop_scope_alloc(scope, sizeof *gate);

    if (!gate) {
        return NULL;
    }
    gate->opening = loop_condition_create();
    return loop_scope_defer(scope, drop_gate, gate) && gate->opening ? gate : NULL;
}

void gate_open(struct gate *gate)
{
    if (gate->opening) {
        loop_condition_broadcast(gate->opening);
        loop_condition_unref(gate->opening);
        gate->opening = NULL;
    }
}

static void on_open(void *arg, int64_t result)
{
    const struct passing *passing = arg;

    if (result == 0) {
        passing->fn(passing->peer, passing->arg);
    }
}

void gate_pass(struct gate *gate, struct loop_flow *peer, loop_connection_fn *fn, void *arg)
{
    if (!gate->opening) {
        fn(peer, arg);
        return;
    }
    struct passing *passing = loop_scope_alloc(peer->scope, sizeof *passing);
    if (passing) {
        *passing = (struct passing){.peer = peer, .fn = fn, .arg = arg};
        loop_condition_wait(peer->scope, gate->opening, on_open, passing);
    } /* else, and without memory for the job, nothing runs in the scope, so it ends */
}
