/* SPDX-License-Identifier: ISC
 *
 * Answers of servers, kept until their time is over.
 */
#ifndef NET_NAMES_CACHE_H
#define NET_NAMES_CACHE_H

#include <loop/ground/list.h>
#include <net/names/text.h>

#define LOOP_NAMES_CACHE_BUCKETS 256

struct loop_names_cache {
    size_t limit, count;
    struct loop_list by_age; /* the one used last comes last */
    struct loop_list buckets[LOOP_NAMES_CACHE_BUCKETS];
};

/* A message of a server, as it was sent. */
struct loop_names_message {
    const unsigned char *bytes;
    size_t len;
};

void loop_names_cache_init(struct loop_names_cache *cache, size_t limit);

/* Drops all answers. */
void loop_names_cache_flush(struct loop_names_cache *cache);

/* Keeps the answer for a name and a type until `expires_ns`, unless there is no memory. The oldest makes room. */
void loop_names_cache_put(struct loop_names_cache *cache, const char *name, int type, struct loop_names_message message,
                          int64_t expires_ns);

/* Returns whether there is an answer at the time `now_ns`, and stores it, valid until the cache is next changed, and
 * its end. */
bool loop_names_cache_get(struct loop_names_cache *cache, const char *name, int type, int64_t now_ns,
                          struct loop_names_message *message, int64_t *expires_ns);

#endif
