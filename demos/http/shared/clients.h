/* SPDX-License-Identifier: ISC
 *
 * How many connections each address has, in all loops of the server. Any of their threads may call these functions.
 */
#ifndef DEMOS_HTTP_CLIENTS_H
#define DEMOS_HTTP_CLIENTS_H

#include <net/net.h>

struct clients;

/* An address with connections. */
struct client;

/* Creates the count for at most `most_each` connections of an address; 0: without a limit. It lives as long as `scope`,
 * one of the main loop, which all connections end before.
 * Returns NULL without memory. */
struct clients *clients_create(struct loop_scope *scope, unsigned most_each);

/* Counts a connection from that address at that time. An IPv6 address stands for its network of 64 bits, which one
 * client has. Stores the client, which is NULL for a Unix socket. Returns 0; -EDQUOT at the limit, which is told of
 * once a minute; -ENOMEM. */
int clients_add(struct clients *clients, const struct loop_address *address, int64_t now_ns, struct client **client);

/* The connection has ended. NULL is ignored. */
void client_remove(struct client *client);

#endif
