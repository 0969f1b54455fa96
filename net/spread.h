/* SPDX-License-Identifier: ISC
 *
 * A server with domains: what its parent does. Which thread owns what is in branch.h.
 */
#ifndef NET_SPREAD_H
#define NET_SPREAD_H

#include <net/server.h>

struct loop_spread;

/* Returns whether each domain is to have a listener of its own. */
bool loop_spread_shares(const struct loop_address *address, const struct loop_serve_options *options);

/* Starts the domains of a server, which has its listener. With `is_shared` the other domains get listeners of the same
 * address. Returns 0 or a negative errno. */
int loop_spread_start(struct loop_server *server, const struct loop_serve_options *options, bool is_shared);

/* Hands a connection over. Returns 0; -ESHUTDOWN when no domain runs, -ENOMEM: it is still the caller's. */
int loop_spread_adopt(struct loop_spread *spread, struct loop_arrival arrival);

/* Stores the counters of all domains. */
void loop_spread_get_stats(const struct loop_spread *spread, struct loop_server_stats *stats);

#endif
