/* SPDX-License-Identifier: ISC
 *
 * Counts the connections of each address, for all loops of the server: by a mutex, which is held for a few
 * instructions.
 */
#include "clients.h"
#include "../../common/arguments.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 4096
#define TELL_REFUSED_NS (60 * LOOP_SECOND)

struct key {
    unsigned char bytes[8]; /* of IPv4: its address behind zeros, which no network of IPv6 is */
};

struct client {
    struct clients *clients;
    struct key key;
    unsigned n;
    struct client **slot, *next;
};

struct clients {
    unsigned most_each;
    pthread_mutex_t mutex;
    struct client *slots[SLOTS];
    uint64_t n_refused; /* since that was told last */
    int64_t refused_ns; /* when that was */
};

static void on_release(void *arg)
{
    struct clients *clients = arg;

    pthread_mutex_destroy(&clients->mutex);
}

struct clients *clients_create(struct loop_scope *scope, unsigned most_each)
{
    struct clients *clients = loop_scope_alloc(scope, sizeof *clients);

    if (!clients) {
        return NULL;
    }
    clients->most_each = most_each;
    pthread_mutex_init(&clients->mutex, NULL);
    return loop_scope_defer(scope, on_release, clients) ? clients : NULL;
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
            *client = (struct client){.clients = clients, .key = *key, .slot = slot, .next = *slot};
            *slot = client;
        }
    }
    return client;
}

/* Counts a connection of the client with that key. */
static int add(struct clients *clients, const struct key *key, struct client **client)
{
    struct client *found = find(clients, key);

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

/* Counts a refusal. Returns how many are to be told of, or 0 for a while after some were. */
static uint64_t count_refusal(struct clients *clients, int64_t now_ns)
{
    uint64_t n = ++clients->n_refused;

    if (clients->refused_ns != 0 && now_ns - clients->refused_ns < TELL_REFUSED_NS) {
        return 0;
    }
    clients->refused_ns = now_ns;
    clients->n_refused = 0;
    return n;
}

int clients_add(struct clients *clients, const struct loop_address *address, int64_t now_ns, struct client **client)
{
    struct key key;

    *client = NULL;
    if (clients->most_each == 0 || !key_of(address, &key)) {
        return 0;
    }
    pthread_mutex_lock(&clients->mutex);
    int error = add(clients, &key, client);
    uint64_t n_told = error == -EDQUOT ? count_refusal(clients, now_ns) : 0;
    pthread_mutex_unlock(&clients->mutex);
    if (n_told > 0) {
        arguments_complain("%llu connections were refused: their address has too many", (unsigned long long)n_told);
    }
    return error;
}

static void unlink_client(const struct client *client)
{
    struct client **link = client->slot;

    while (*link != client) {
        link = &(*link)->next;
    }
    *link = client->next;
}

void client_remove(struct client *client)
{
    struct clients *clients = client ? client->clients : NULL;

    if (!clients) {
        return;
    }
    pthread_mutex_lock(&clients->mutex);
    bool is_last = --client->n == 0;
    if (is_last) {
        unlink_client(client);
    }
    pthread_mutex_unlock(&clients->mutex);
    if (is_last) {
        free(client);
    }
}
