/* SPDX-License-Identifier: ISC
 *
 * Contexts. The program's belongs to a scope; connections hold a reference, because they may outlive that.
 */
#ifndef NET_TLS_CONTEXT_H
#define NET_TLS_CONTEXT_H

#include <net/tls/block.h>
#include <net/tls/setup.h>

struct loop_tls_context {
    struct loop_scope *scope;
    struct loop *loop;
    unsigned refs;
    bool is_server;
    struct loop_tls_setup *setup; /* of new connections */
    uint64_t n_begun, n_used;     /* setups that were begun; which of them `setup` is */
    struct loop_tls_spares spares;
};

/* Takes a reference. */
void loop_tls_context_ref(struct loop_tls_context *context);

/* Drops a reference. */
void loop_tls_context_unref(struct loop_tls_context *context);

#endif
