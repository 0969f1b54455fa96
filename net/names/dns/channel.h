/* SPDX-License-Identifier: ISC
 *
 * Channels of c-ares. One serves one look-up at a time. When that is over it has no question and no socket left, and so
 * nothing that the next one could meet: it is kept, because making one costs as much as a look-up.
 */
#ifndef NET_NAMES_DNS_CHANNEL_H
#define NET_NAMES_DNS_CHANNEL_H

#include <net/names/dns/socket.h>
#include <net/names/resolver.h>

struct loop_names_channel {
    ares_channel channel;
    struct loop_names_sockets *sockets; /* of the look-up; NULL: of none */
    struct loop_names_channel *next;
};

/* Makes a channel. Reads files: for the pool. Returns a status of c-ares. */
int loop_names_channel_create(struct loop_names_channel **created);

/* Has a channel open its sockets among those of a look-up. */
void loop_names_channel_use(struct loop_names_channel *channel, struct loop_names_sockets *sockets);

/* Has a channel without questions forget its server. Newer versions of c-ares keep the times of a server's answers, and
 * make timeouts of them, its failures, its cookies, and its answers. Returns a status of c-ares. */
int loop_names_channel_forget_server(struct loop_names_channel *channel);

/* Returns a channel that an earlier look-up of the resolver has left, for the sockets of another one; NULL: none. */
struct loop_names_channel *loop_names_channel_take(struct loop_names_resolver *resolver,
                                                   struct loop_names_sockets *sockets);

/* Ends what a channel does for a look-up, whose replies are called, and leaves it to the next one. */
void loop_names_channel_give(struct loop_names_resolver *resolver, struct loop_names_channel *channel);

/* Frees a list of channels. NULL is an empty one. */
void loop_names_channels_destroy(struct loop_names_channel *first);

#endif
