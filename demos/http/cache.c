/* SPDX-License-Identifier: ISC
 *
 * Keeps open files. Each has a scope of its own, which a promise keeps open until the file has left the cache and
 * nobody uses it.
 */
#include "cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define SLOTS 1024
#define DATA_BYTES ((uint64_t)16384)        /* larger files are not kept in memory */
#define ALL_DATA_BYTES ((uint64_t)16 << 20) /* of all files */

struct entry {
    struct cached_file file;
    struct file_cache *cache;
    struct loop_scope *scope; /* NULL after its end */
    struct loop_flow *flow;
    loop_job life;  /* the promise that keeps the scope open */
    loop_job asked; /* the promise to whom has it opened; or 0 */
    struct cached_file **where;
    struct iovec content;
    int64_t fresh_until_ns;
    unsigned uses;
    bool is_known; /* in the cache */
    LIST_ENTRY(entry) in_slot;
    TAILQ_ENTRY(entry) in_age;
    char path[];
};

struct file_cache {
    struct loop_scope *scope;
    struct loop *loop;
    struct loop_dir *dir;
    unsigned n_files, most_files;
    int64_t fresh_ns;
    uint64_t data_bytes;
    bool is_sweeping;
    LIST_HEAD(, entry) slots[SLOTS];
    TAILQ_HEAD(entry_list, entry) by_age; /* the one used last is first */
};

struct file_cache *file_cache_create(struct loop_scope *scope, struct loop_dir *dir, unsigned most_files,
                                     int64_t fresh_ns)
{
    struct file_cache *cache = loop_scope_alloc(scope, sizeof *cache);

    if (cache) {
        cache->scope = scope;
        cache->loop = loop_scope_loop(scope);
        cache->dir = dir;
        cache->most_files = most_files;
        cache->fresh_ns = fresh_ns;
        TAILQ_INIT(&cache->by_age);
    }
    return cache;
}

/* ---- the end of an entry ---- */

static void maybe_free(struct entry *entry)
{
    if (!entry->scope && entry->uses == 0) {
        free(entry->content.iov_base);
        free(entry);
    }
}

static void maybe_end(struct entry *entry)
{
    if (!entry->is_known && entry->uses == 0 && entry->scope) {
        loop_resolve(entry->cache->loop, entry->life, 0);
    }
}

static void leave_cache(struct entry *entry)
{
    if (entry->is_known) {
        entry->is_known = false;
        entry->cache->n_files--;
        LIST_REMOVE(entry, in_slot);
        TAILQ_REMOVE(&entry->cache->by_age, entry, in_age);
    }
}

/* Whoever still uses the entry is cancelled too, and only gives the use back. */
static void on_scope_end(void *arg, int64_t error)
{
    struct entry *entry = arg;

    (void)error;
    leave_cache(entry);
    entry->cache->data_bytes -= entry->content.iov_len;
    entry->scope = NULL;
    maybe_free(entry);
}

static void ignore(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

void cached_file_unuse(struct cached_file *file)
{
    struct entry *entry = (struct entry *)(void *)file; /* its first member */

    entry->uses--;
    maybe_end(entry);
    maybe_free(entry);
}

/* ---- finding ---- */

static unsigned slot_of(const char *path)
{
    uint32_t hash = 2166136261u;

    for (; *path; path++) {
        hash = (hash ^ (unsigned char)*path) * 16777619u;
    }
    return hash % SLOTS;
}

static struct entry *find(const struct file_cache *cache, const char *path)
{
    struct entry *entry;

    LIST_FOREACH(entry, &cache->slots[slot_of(path)], in_slot)
    {
        if (strcmp(entry->path, path) == 0) {
            return entry;
        }
    }
    return NULL;
}

struct cached_file *file_cache_find(struct file_cache *cache, const char *path)
{
    struct entry *entry = find(cache, path);

    if (!entry || entry->fresh_until_ns <= loop_now(cache->loop)) {
        return NULL;
    }
    TAILQ_REMOVE(&cache->by_age, entry, in_age);
    TAILQ_INSERT_HEAD(&cache->by_age, entry, in_age);
    entry->uses++;
    return &entry->file;
}

/* ---- opening ---- */

static void drop(struct entry *entry)
{
    leave_cache(entry);
    maybe_end(entry);
}

static void sweep_later(struct file_cache *cache);

/* Drops what is not fresh any more: a file that was removed takes room on the disk as long as it is open. */
static void sweep(void *arg, int64_t result)
{
    struct file_cache *cache = arg;
    struct entry *entry, *next;

    cache->is_sweeping = false;
    if (result < 0) {
        return;
    }
    for (entry = TAILQ_FIRST(&cache->by_age); entry; entry = next) {
        next = TAILQ_NEXT(entry, in_age);
        if (entry->fresh_until_ns <= loop_now(cache->loop)) {
            drop(entry);
        }
    }
    if (cache->n_files > 0) {
        sweep_later(cache);
    }
}

static void sweep_later(struct file_cache *cache)
{
    loop_job job = loop_sleep(cache->scope, cache->fresh_ns, sweep, cache);

    cache->is_sweeping = job != 0;
    loop_daemon(cache->loop, job);
}

/* Puts the entry in place of the one with the same path, or of the one that was not used for longest. */
static void enter_cache(struct entry *entry)
{
    struct file_cache *cache = entry->cache;
    struct entry *old = find(cache, entry->path);

    if (old) {
        drop(old);
    } else if (cache->n_files == cache->most_files && cache->n_files > 0) {
        drop(TAILQ_LAST(&cache->by_age, entry_list));
    }
    if (cache->n_files < cache->most_files) {
        entry->is_known = true;
        cache->n_files++;
        LIST_INSERT_HEAD(&cache->slots[slot_of(entry->path)], entry, in_slot);
        TAILQ_INSERT_HEAD(&cache->by_age, entry, in_age);
    }
    if (!cache->is_sweeping && cache->n_files > 0) {
        sweep_later(cache);
    }
}

static void finish(struct entry *entry, int64_t result)
{
    loop_job asked = entry->asked;

    if (result == 0 && entry->file.stat.kind == LOOP_KIND_REGULAR && entry->cache->fresh_ns > 0) {
        enter_cache(entry);
    }
    if (asked) {
        entry->asked = 0;
        entry->uses += result == 0;
        *entry->where = result == 0 ? &entry->file : NULL;
        loop_resolve(entry->cache->loop, asked, result);
    }
    maybe_end(entry);
}

static void on_loaded(void *arg, int64_t result)
{
    struct entry *entry = arg;

    if (result == (int64_t)entry->file.stat.size_bytes) {
        entry->file.data = entry->content.iov_base;
    }
    finish(entry, 0); /* what can't be read now is found out when it is sent */
}

/* Reads a small file into memory. Returns whether that has begun. */
static bool load(struct entry *entry)
{
    struct file_cache *cache = entry->cache;
    uint64_t size = entry->file.stat.size_bytes;

    if (cache->fresh_ns == 0 || entry->file.stat.kind != LOOP_KIND_REGULAR || size == 0 || size > DATA_BYTES ||
        cache->data_bytes + size > ALL_DATA_BYTES) {
        return false;
    }
    entry->content.iov_base = malloc((size_t)size);
    if (!entry->content.iov_base) {
        return false;
    }
    entry->content.iov_len = (size_t)size;
    cache->data_bytes += size;
    return loop_file_pread(entry->scope, entry->file.fd, &entry->content, 1, 0, on_loaded, entry) != 0;
}

static void on_opened(void *arg, int64_t result)
{
    struct entry *entry = arg;

    if (result == 0) {
        entry->file.fd = entry->flow->fd;
        entry->fresh_until_ns = loop_now(entry->cache->loop) + entry->cache->fresh_ns;
    }
    if (result < 0 || !load(entry)) {
        finish(entry, result);
    }
}

static void on_cancelled(void *arg, loop_job job)
{
    struct entry *entry = arg;

    entry->asked = 0;
    loop_resolve(entry->cache->loop, job, -ECANCELED);
}

static struct entry *new_entry(struct file_cache *cache, const char *path)
{
    size_t size = strlen(path) + 1;
    struct entry *entry = calloc(1, sizeof *entry + size);

    if (!entry) {
        return NULL;
    }
    entry->cache = cache;
    memcpy(entry->path, path, size);
    entry->scope = loop_scope_open(cache->scope, on_scope_end, entry);
    if (!entry->scope) {
        free(entry);
        return NULL;
    }
    loop_scope_daemon(entry->scope);
    entry->life = loop_promise(entry->scope, NULL, NULL, ignore, NULL);
    return entry;
}

loop_job file_cache_open(struct file_cache *cache, struct loop_scope *scope, const char *path,
                         struct cached_file **file, loop_fn *fn, void *arg)
{
    struct entry *entry = new_entry(cache, path);

    *file = NULL;
    if (!entry) {
        return 0;
    }
    entry->where = file;
    entry->asked = loop_promise(scope, on_cancelled, entry, fn, arg);
    if (!entry->asked ||
        !loop_fs_open_stat(entry->scope, cache->dir, path, NULL, &entry->flow, &entry->file.stat, on_opened, entry)) {
        loop_job asked = entry->asked;
        finish(entry, -ENOMEM);
        return asked;
    }
    return entry->asked;
}
