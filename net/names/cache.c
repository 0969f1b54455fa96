/* SPDX-License-Identifier: ISC
 *
 * The cache of answers.
 */
#include <loop/kernel/memory.h>
#include <net/names/cache.h>

#include <assert.h>
#include <string.h>

struct entry {
    struct loop_list in_bucket, in_age;
    int64_t expires_ns;
    int type;
    size_t len;
    char name[LOOP_NAMES_HOST_MAX + 1];
    unsigned char bytes[];
};

void loop_names_cache_init(struct loop_names_cache *cache, size_t limit)
{
    cache->limit = limit;
    cache->count = 0;
    loop_list_init(&cache->by_age);
    for (size_t i = 0; i < LOOP_NAMES_CACHE_BUCKETS; i++) {
        loop_list_init(&cache->buckets[i]);
    }
}

static void drop(struct loop_names_cache *cache, struct entry *entry)
{
    assert(cache->count > 0);
    loop_list_remove(&entry->in_bucket);
    loop_list_remove(&entry->in_age);
    cache->count--;
    loop_kernel_free(entry);
}

static struct entry *oldest(struct loop_names_cache *cache)
{
    struct loop_list *node = loop_list_first(&cache->by_age);

    return node ? LOOP_CONTAINER(node, struct entry, in_age) : NULL;
}

void loop_names_cache_flush(struct loop_names_cache *cache)
{
    struct loop_list *node = cache->by_age.next;

    while (node != &cache->by_age) {
        struct entry *entry = LOOP_CONTAINER(node, struct entry, in_age);
        node = node->next;
        loop_kernel_free(entry);
    }
    loop_names_cache_init(cache, cache->limit);
}

static struct loop_list *bucket_of(struct loop_names_cache *cache, const char *name)
{
    return &cache->buckets[loop_names_hash(name) % LOOP_NAMES_CACHE_BUCKETS];
}

static struct entry *find(struct loop_names_cache *cache, const char *name, int type)
{
    struct loop_list *bucket = bucket_of(cache, name);

    for (struct loop_list *node = bucket->next; node != bucket; node = node->next) {
        struct entry *entry = LOOP_CONTAINER(node, struct entry, in_bucket);
        if (entry->type == type && loop_names_equal(entry->name, name)) {
            return entry;
        }
    }
    return NULL;
}

void loop_names_cache_put(struct loop_names_cache *cache, const char *name, int type, struct loop_names_message message,
                          int64_t expires_ns)
{
    struct entry *old = find(cache, name, type);

    if (old) {
        drop(cache, old);
    }
    if (cache->limit == 0) {
        return;
    }
    struct entry *entry = loop_kernel_malloc(sizeof *entry + message.len);
    if (!entry) {
        return;
    }
    if (cache->count == cache->limit) {
        drop(cache, oldest(cache));
    }
    entry->expires_ns = expires_ns;
    entry->type = type;
    entry->len = message.len;
    loop_names_copy(entry->name, sizeof entry->name, name);
    memcpy(entry->bytes, message.bytes, message.len);
    loop_list_push_back(bucket_of(cache, name), &entry->in_bucket);
    loop_list_push_back(&cache->by_age, &entry->in_age);
    cache->count++;
}

bool loop_names_cache_get(struct loop_names_cache *cache, const char *name, int type, int64_t now_ns,
                          struct loop_names_message *message, int64_t *expires_ns)
{
    struct entry *entry = find(cache, name, type);

    if (entry && entry->expires_ns <= now_ns) {
        drop(cache, entry);
        entry = NULL;
    }
    if (!entry) {
        return false;
    }
    loop_list_remove(&entry->in_age);
    loop_list_push_back(&cache->by_age, &entry->in_age);
    *message = (struct loop_names_message){entry->bytes, entry->len};
    *expires_ns = entry->expires_ns;
    return true;
}
