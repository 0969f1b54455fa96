/* SPDX-License-Identifier: ISC
 *
 * Counts the connections of each address.
 */
#include "clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 4096

struct key {
    unsigned char bytes[8]; /* of IPv4: its address behind zeros, which no network of IPv6 is */
};

struct client {
    struct key key;
    unsigned n;
    struct client **slot, *next;
};

struct clients {
    unsigned most_each;
    struct client *slots[SLOTS];
};

struct clients *clients_create(struct loop_scope *scope, unsigned most_each)
{
    struct clients *clients = loop_scope_alloc(scope, sizeof *clients);

    if (clients) {
        clients->most_each = most_each;
    }
    return clients;
}

/* Stores the key of an address. Returns false when it has none. */
static bool key_of(const struct loop_address *address, struct key *key)
{
    const unsigned char *ipv6 = address->u.ipv6.sin6_addr.s6_addr;

    *key = (struct key){{0}};
    if (address->u.any.sa_family == AF_INET) {
        memcpy(key->bytes + 4, &address->u.ipv4.sin_addr, 4);
    } else if (address->u.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->u.ipv6.sin6_addr)) {
        memcpy(key->bytes + 4, ipv6 + 12, 4);
    } else if (address->u.any.sa_family == AF_INET6) {
        memcpy(key->bytes, ipv6, 8);
    } else {
        return false;
    }
    return true;
}

static unsigned slot_of(const struct key *key)
{
    uint64_t number;

    memcpy(&number, key->bytes, sizeof number);
    return (unsigned)(number * 0x9e3779b97f4a7c15u >> 52) % SLOTS;
}

/* Returns the client with that key, which it creates where there is none, or NULL without memory. */
static struct client *find(struct clients *clients, const struct key *key)
{
    struct client **slot = &clients->slots[slot_of(key)], *client = *slot;

    while (client && memcmp(&client->key, key, sizeof *key) != 0) {
        client = client->next;
    }
    if (!client) {
        client = malloc(sizeof *client);
        if (client) {
            *client = (struct client){.key = *key, .slot = slot, .next = *slot};
            *slot = client;
        }
    }
    return client;
}

int clients_add(struct clients *clients, const struct loop_address *address, struct client **client)
{
    struct key key;

    *client = NULL;
    if (clients->most_each == 0 || !key_of(address, &key)) {
        return 0;
    }
    struct client *found = find(clients, &key);
    if (!found) {
        return -ENOMEM;
    }
    if (found->n == clients->most_each) {
        return -EDQUOT;
    }
    found->n++;
    *client = found;
    return 0;
}

void client_remove(struct client *client)
{
    if (!client || --client->n > 0) {
        return;
    }
    struct client **link = client->slot;
    while (*link != client) {
        link = &(*link)->next;
    }
    *link = client->next;
    free(client);
}
