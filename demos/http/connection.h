/* SPDX-License-Identifier: ISC
 *
 * Connections of the server.
 */
#ifndef DEMOS_HTTP_CONNECTION_H
#define DEMOS_HTTP_CONNECTION_H

#include "shared/access_log.h"
#include "shared/clients.h"
#include "shared/lingering.h"
#include "sites.h"
#include "spare.h"

#include <net/net.h>

#include <stdatomic.h>
#include <sys/queue.h>

struct connection;

struct connection_limits {
    unsigned most_head_bytes, most_body_bytes;
    unsigned most_requests; /* per connection; 0: no limit */
    int64_t idle_ns;        /* between requests */
    int64_t patience_ns;    /* for a request, and for 64 KiB of an answer */
};

/* How far the end of the server is. The main loop sets this, and all loops read it. */
struct ending {
    atomic_bool is_stopping;
    atomic_bool is_replaced; /* a successor serves: each connection ends with an answer that says so */
};

/* What all connections of one loop share. All members but the last ones have been set before the first connection. */
struct connections {
    struct loop_env *env;
    struct ending *ending; /* of all loops, as are `clients` and `log` */
    struct connection_limits limits;
    const struct sites *sites;
    struct clients *clients;
    struct access_log *log;       /* NULL: none */
    struct loop_tls_context *tls; /* NULL: none */
    bool has_index, has_precompressed;
    LIST_HEAD(, connection) list;
    struct spares readings, answers;
    struct lingering lingering;
};

/* Begins to watch how long connections take. From here on memory of connections that have ended is kept for others. */
void connections_watch(struct connections *connections);

/* Serves a connection; `arg` is a struct connections. */
void connections_accept(struct loop_flow *peer, void *arg);

/* Closes idle connections, when the server is stopping. Requests being read and answers being sent are finished. */
void connections_end_idle(struct connections *connections);

#endif
