/* SPDX-License-Identifier: ISC
 *
 * The loops of a server with --domains: how the main loop calls them, and how connections wait until they have what
 * they need.
 */
#ifndef DEMOS_DOMAINS_H
#define DEMOS_DOMAINS_H

#include <domain/domain.h>
#include <net/net.h>

/* ---- calling all of them ---- */

struct domains;

/* Creates what knows `n` domains, in the memory of `scope`, which is one of the main loop that ends after they have.
 * Returns NULL without memory. */
struct domains *domains_create(struct loop_scope *scope, unsigned n);

/* Has the main loop call this domain from now on, until its main scope ends. To be called once by its main function.
 * Returns 0 or -ENOMEM. */
int domains_join(struct domains *domains, struct loop_env *env, unsigned index);

/* Calls fn(arg, 0) in the main loop when each of the domains has called domains_prepared, or fn(arg, -ESHUTDOWN) when
 * one ends before. Neither after SIGTERM or SIGINT. To be called before they start. */
void domains_await_prepared(struct domains *domains, loop_fn *fn, void *arg);

/* Says that this domain, which has joined, has all that its connections need. Returns 0 or a negative errno. */
int domains_prepared(void);

/* Calls fn(call, scope, arg) in each domain that has joined and has not ended, on its thread. `arg` stays as long as
 * the domains. On the main loop's thread. */
void domains_call(struct domains *domains, loop_call_fn *fn, void *arg);

/* ---- waiting until a domain is prepared ---- */

/* What connections of a loop wait for. */
struct gate;

/* Creates a gate that is shut, in the memory of `scope`. Returns NULL without memory. */
struct gate *gate_create(struct loop_scope *scope);

/* Lets all connections pass from now on. */
void gate_open(struct gate *gate);

/* Calls fn(peer, arg) when the gate is open: at once, or later. A connection that ends before that is forgotten. */
void gate_pass(struct gate *gate, struct loop_flow *peer, loop_connection_fn *fn, void *arg);

#endif
