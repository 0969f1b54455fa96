/* SPDX-License-Identifier: ISC
 *
 * The loops of a server with --domains, see domains.h. What several threads use is the list of inboxes, by a mutex.
 */
#include "domains.h"
#include "arguments.h"

#include <sync/sync.h>

#include <errno.h>
#include <pthread.h>

/* ---- calling all of them ---- */

struct member {
    struct loop_inbox *inbox; /* NULL: it has not joined, or has ended */
};

struct domains {
    struct loop_scope *scope;
    pthread_mutex_t mutex;
    unsigned n;
    struct member members[];
};

/* The place of a domain in the list. */
struct place {
    struct domains *domains;
    unsigned index;
};

static void on_release(void *arg)
{
    struct domains *domains = arg;

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

static void leave(void *arg)
{
    loop_inbox_unref(exchange(arg, NULL));
}

int domains_join(struct domains *domains, struct loop_env *env, unsigned index)
{
    struct place *place = loop_scope_alloc(env->scope, sizeof *place);

    if (!place) {
        return -ENOMEM;
    }
    *place = (struct place){.domains = domains, .index = index};
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
