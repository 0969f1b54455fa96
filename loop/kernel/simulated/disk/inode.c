/* SPDX-License-Identifier: ISC
 *
 * Inodes: their life, times, permissions and room, and how long the disk takes. And the entries of directories that
 * name them.
 */
#include <loop/kernel/simulated/disk/inode.h>
#include <loop/kernel/simulated/machine/choice.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { SLOW_CHOICES = 4, CALLS_OF_A_TURN = 64, TURN_NS = 200000 };
#define SLOW_NS INT64_C(1000000) /* how much longer than the least an operation takes by choice, times 1, 10 or 100 */
enum { LEAST_BUCKETS = 8, NUMBER_LINK_SIZE = 64, FIRST_COOKIE = 2 /* behind "." and ".." */ };
#define NS_PER_S INT64_C(1000000000)
#define RELATIVE_S (24L * 60 * 60) /* relatime: so old the time of the last access may be */

/* ---- attributes ---- */

void loop_sim_attributes_finish(struct loop_sim_attributes *attributes)
{
    for (size_t i = 0; i < attributes->n_xattrs; i++) {
        loop_sim_free(attributes->xattrs[i].name);
        loop_sim_free(attributes->xattrs[i].value);
    }
    loop_sim_free(attributes->xattrs);
    attributes->xattrs = NULL;
    attributes->n_xattrs = 0;
}

static void *copy_of(const void *data, size_t size)
{
    return size > 0 ? memcpy(loop_sim_alloc(size), data, size) : NULL;
}

void loop_sim_attributes_copy(struct loop_sim_attributes *to, const struct loop_sim_attributes *from)
{
    loop_sim_attributes_finish(to);
    *to = *from;
    to->xattrs = from->n_xattrs > 0 ? loop_sim_alloc(from->n_xattrs * sizeof *to->xattrs) : NULL;
    for (size_t i = 0; i < from->n_xattrs; i++) {
        const struct loop_sim_xattr *xattr = &from->xattrs[i];
        to->xattrs[i] = (struct loop_sim_xattr){.name = copy_of(xattr->name, strlen(xattr->name) + 1),
                                                .value = copy_of(xattr->value, xattr->size),
                                                .size = xattr->size};
    }
}

/* ---- life ---- */

struct loop_sim_inode *loop_sim_inode_create(struct loop_sim_disk *disk, enum loop_sim_device device, mode_t mode)
{
    struct loop_sim_inode *inode = loop_sim_alloc(sizeof *inode);
    struct timespec now = loop_sim_disk_time(disk);

    inode->disk = disk;
    inode->device = device;
    inode->number = ++disk->last_inode;
    inode->btime = now;
    inode->now = (struct loop_sim_attributes){.mode = mode,
                                              .uid = loop_sim_user(disk->node),
                                              .gid = loop_sim_group(disk->node),
                                              .atime = now,
                                              .mtime = now,
                                              .ctime = now};
    loop_sim_attributes_copy(&inode->on_disk, &inode->now);
    loop_sim_table_init(&inode->table);
    loop_sim_table_init(&inode->table_on_disk);
    loop_list_init(&inode->pieces);
    loop_list_init(&inode->watches);
    loop_list_init(&inode->locks);
    loop_sim_queue_init(&inode->lock_queue);
    loop_list_push_back(&disk->inodes, &inode->link);
    disk->n_inodes++;
    return inode;
}

struct loop_sim_inode *loop_sim_inode_make(struct loop_sim_entry *up, mode_t mode)
{
    const struct loop_sim_inode *directory = up->inode;
    struct loop_sim_inode *inode = loop_sim_inode_create(directory->disk, directory->device, mode);

    if (directory->now.mode & S_ISGID) {
        inode->now.gid = directory->now.gid;
        inode->now.mode |= S_ISDIR(mode) ? S_ISGID : 0;
    }
    loop_sim_attributes_copy(&inode->on_disk, &inode->now);
    return inode;
}

void loop_sim_inode_ref(struct loop_sim_inode *inode)
{
    inode->uses++;
}

static void end_watches(struct loop_sim_inode *inode, bool is_gone)
{
    if (!loop_list_is_empty(&inode->watches)) {
        inode->end_watches(inode, is_gone);
    }
}

static void finish_on_disk(struct loop_sim_inode *inode)
{
    struct loop_list *link;

    while ((link = loop_list_pop_front(&inode->pieces))) {
        loop_sim_free(LOOP_CONTAINER(link, struct loop_sim_piece, link));
    }
    loop_sim_content_finish(&inode->content_on_disk);
    loop_sim_table_finish(&inode->table_on_disk);
    loop_sim_attributes_finish(&inode->on_disk);
}

void loop_sim_inode_unref(struct loop_sim_inode *inode)
{
    assert(inode->uses > 0);
    if (--inode->uses > 0) {
        return;
    }
    assert(loop_list_is_empty(&inode->locks));
    end_watches(inode, false);
    finish_on_disk(inode);
    loop_sim_table_finish(&inode->table);
    loop_sim_content_finish(&inode->content);
    loop_sim_attributes_finish(&inode->now);
    loop_sim_free(inode->target);
    loop_list_remove(&inode->link);
    inode->disk->n_inodes--;
    loop_sim_free(inode);
}

/* ---- times ---- */

struct timespec loop_sim_disk_time(const struct loop_sim_disk *disk)
{
    const struct loop_sim_node *node = disk->node;
    int64_t wall = loop_sim_wall_ns(node->world, node);

    return (struct timespec){.tv_sec = wall / NS_PER_S, .tv_nsec = wall % NS_PER_S};
}

void loop_sim_inode_changed(struct loop_sim_inode *inode)
{
    inode->now.ctime = loop_sim_disk_time(inode->disk);
    inode->has_new_attributes = inode->device == LOOP_SIM_DEVICE_DISK;
}

void loop_sim_inode_modified(struct loop_sim_inode *inode)
{
    loop_sim_inode_changed(inode);
    inode->now.mtime = inode->now.ctime;
}

static bool is_later(struct timespec one, struct timespec other)
{
    return one.tv_sec != other.tv_sec ? one.tv_sec > other.tv_sec : one.tv_nsec > other.tv_nsec;
}

/* As with the mount option relatime. */
void loop_sim_inode_accessed(struct loop_sim_inode *inode)
{
    struct timespec now = loop_sim_disk_time(inode->disk);
    struct loop_sim_attributes *attributes = &inode->now;

    if (!is_later(attributes->atime, attributes->mtime) || !is_later(attributes->atime, attributes->ctime) ||
        now.tv_sec - attributes->atime.tv_sec >= RELATIVE_S) {
        attributes->atime = now;
    }
}

/* ---- latency ---- */

int64_t loop_sim_disk_latency(struct loop_sim_node *node)
{
    static const int64_t more_ns[SLOW_CHOICES] = {0, SLOW_NS, 10 * SLOW_NS, 100 * SLOW_NS};

    return loop_sim_sum_ns(node->disk->latency_ns, more_ns[loop_sim_choose(LOOP_SIM_DISK_LATENCY, SLOW_CHOICES)]);
}

/* Many calls take a little time also on a disk that takes none: so a thread that makes them in a circle does not keep
 * the others from running. */
void loop_sim_disk_wait(void)
{
    struct loop_sim_node *node = loop_sim_here();
    int64_t latency_ns = loop_sim_disk_latency(node);

    if (latency_ns == 0 && ++node->disk->calls % CALLS_OF_A_TURN == 0) {
        latency_ns = TURN_NS;
    }
    if (latency_ns == 0) {
        return;
    }
    int64_t until_ns = loop_sim_sum_ns(node->world->now_ns, latency_ns);
    while (loop_sim_wait(NULL, until_ns) != -ETIMEDOUT) {
        /* A disk is not interrupted. */
    }
}

/* ---- permissions ---- */

int loop_sim_inode_permits(const struct loop_sim_inode *inode, int wanted)
{
    uid_t user = loop_sim_disk_user(inode->disk);
    mode_t mode = inode->now.mode;
    bool is_own = user == inode->now.uid || inode->magic != LOOP_SIM_MAGIC_NONE; /* the process is that of the user */

    if (user == 0) {
        bool may_execute = S_ISDIR(mode) || mode & (S_IXUSR | S_IXGRP | S_IXOTH);
        return wanted & X_OK && !may_execute ? -EACCES : 0;
    }
    unsigned bits = is_own ? mode >> 6 : loop_sim_group(inode->disk->node) == inode->now.gid ? mode >> 3 : mode;
    return wanted & ~(int)bits & 7 ? -EACCES : 0;
}

bool loop_sim_inode_is_own(const struct loop_sim_inode *inode)
{
    uid_t user = loop_sim_disk_user(inode->disk);

    return user == 0 || user == inode->now.uid;
}

int loop_sim_may_change(const struct loop_sim_entry *directory)
{
    const struct loop_sim_inode *inode = directory->inode;

    if (inode->is_dead) {
        return -ENOENT;
    }
    return inode->device == LOOP_SIM_DEVICE_PROC ? -EACCES : loop_sim_inode_permits(inode, W_OK | X_OK);
}

/* ---- status ---- */

static off_t size_of(const struct loop_sim_inode *inode)
{
    if (inode->magic != LOOP_SIM_MAGIC_NONE) {
        return inode->magic == LOOP_SIM_MAGIC_NUMBER ? NUMBER_LINK_SIZE : 0;
    }
    if (S_ISDIR(inode->now.mode)) {
        return inode->device == LOOP_SIM_DEVICE_DISK ? LOOP_SIM_PAGE_SIZE : 0;
    }
    return inode->target ? (off_t)strlen(inode->target) : (off_t)inode->content.size;
}

void loop_sim_inode_status(const struct loop_sim_inode *inode, struct stat *status)
{
    bool is_directory = S_ISDIR(inode->now.mode) && inode->device == LOOP_SIM_DEVICE_DISK;

    *status = (struct stat){
        .st_dev = inode->device,
        .st_ino = inode->number,
        .st_mode = inode->now.mode,
        .st_nlink = inode->links,
        .st_uid = inode->now.uid,
        .st_gid = inode->now.gid,
        .st_rdev = inode->rdev,
        .st_size = size_of(inode),
        .st_blksize = inode->device == LOOP_SIM_DEVICE_PROC ? 1024 : LOOP_SIM_PAGE_SIZE,
        .st_blocks = (blkcnt_t)(is_directory ? 1 : inode->content.n_slots) * (LOOP_SIM_PAGE_SIZE / 512),
        .st_atim = inode->now.atime,
        .st_mtim = inode->now.mtime,
        .st_ctim = inode->now.ctime,
    };
}

/* ---- room ---- */

int loop_sim_disk_take(struct loop_sim_inode *inode, uint64_t pages)
{
    const struct loop_sim_disk *disk = inode->disk;
    uint64_t size = disk->size_bytes ? disk->size_bytes : LOOP_SIM_DISK_ROOM;

    if (pages == 0) {
        return 0;
    }
    if (pages > size / LOOP_SIM_PAGE_SIZE || disk->used_pages > size / LOOP_SIM_PAGE_SIZE - pages) {
        return -ENOSPC;
    }
    return loop_sim_happens(LOOP_SIM_DISK_FULL) ? -ENOSPC : 0;
}

void loop_sim_disk_adjust(struct loop_sim_inode *inode, size_t before)
{
    bool is_used = inode->links > 0 || inode->entries > 0;

    assert(inode->disk->used_pages >= before);
    inode->disk->used_pages += (is_used ? inode->content.n_slots : 0) - before;
}

/* ---- tables ---- */

void loop_sim_table_init(struct loop_sim_table *table)
{
    *table = (struct loop_sim_table){.last_cookie = FIRST_COOKIE};
    loop_list_init(&table->entries);
}

void loop_sim_table_finish(struct loop_sim_table *table)
{
    struct loop_list *link;

    while ((link = loop_list_first(&table->entries))) {
        loop_sim_table_remove(LOOP_CONTAINER(link, struct loop_sim_entry, link));
    }
    loop_sim_free(table->buckets);
    loop_sim_table_init(table);
}

static struct loop_sim_entry **bucket_of(const struct loop_sim_table *table, const char *name)
{
    uint32_t hash = 2166136261u;

    for (const char *at = name; *at; at++) {
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    }
    return &table->buckets[hash & (table->n_buckets - 1)];
}

struct loop_sim_entry *loop_sim_table_find(const struct loop_sim_table *table, const char *name)
{
    struct loop_sim_entry *entry = table->n_buckets ? *bucket_of(table, name) : NULL;

    while (entry && strcmp(entry->name, name) != 0) {
        entry = entry->next_hashed;
    }
    return entry;
}

static void hash_in(struct loop_sim_table *table, struct loop_sim_entry *entry)
{
    struct loop_sim_entry **bucket = bucket_of(table, entry->name);

    entry->next_hashed = *bucket;
    *bucket = entry;
}

static void grow(struct loop_sim_table *table)
{
    loop_sim_free(table->buckets);
    table->n_buckets = table->n_buckets ? 2 * table->n_buckets : LEAST_BUCKETS;
    table->buckets = loop_sim_alloc(table->n_buckets * sizeof(struct loop_sim_entry *));
    for (struct loop_list *link = table->entries.next; link != &table->entries; link = link->next) {
        hash_in(table, LOOP_CONTAINER(link, struct loop_sim_entry, link));
    }
}

void loop_sim_table_add(struct loop_sim_table *table, struct loop_sim_entry *entry)
{
    assert(!entry->table && !loop_sim_table_find(table, entry->name));
    if (table->count >= table->n_buckets) {
        grow(table);
    }
    table->count++;
    entry->table = table;
    entry->cookie = ++table->last_cookie;
    loop_list_push_back(&table->entries, &entry->link);
    hash_in(table, loop_sim_entry_ref(entry));
}

void loop_sim_table_remove(struct loop_sim_entry *entry)
{
    struct loop_sim_table *table = entry->table;
    struct loop_sim_entry **at = bucket_of(table, entry->name);

    while (*at != entry) {
        assert(*at);
        at = &(*at)->next_hashed;
    }
    *at = entry->next_hashed;
    table->count--;
    entry->table = NULL;
    loop_list_remove(&entry->link);
    loop_sim_entry_unref(entry);
}

/* ---- entries ---- */

static char *copy_name(const char *name)
{
    size_t size = strlen(name) + 1;
    char *copy = loop_sim_alloc(size);

    return memcpy(copy, name, size);
}

struct loop_sim_entry *loop_sim_entry_create(struct loop_sim_entry *up, const char *name, struct loop_sim_inode *inode)
{
    struct loop_sim_entry *entry = loop_sim_alloc(sizeof *entry);

    *entry = (struct loop_sim_entry){.up = up ? loop_sim_entry_ref(up) : NULL, .inode = inode, .uses = 1};
    entry->name = copy_name(name);
    loop_list_init(&entry->link);
    loop_sim_inode_ref(inode);
    if (up) {
        inode->entries++;
    }
    return entry;
}

struct loop_sim_entry *loop_sim_entry_ref(struct loop_sim_entry *entry)
{
    entry->uses++;
    return entry;
}

void loop_sim_entry_unref(struct loop_sim_entry *entry)
{
    if (!entry || --entry->uses > 0) {
        return;
    }
    struct loop_sim_entry *up = entry->up;
    struct loop_sim_inode *inode = entry->inode;
    assert(!entry->table);
    if (up) {
        assert(inode->entries > 0);
        inode->entries--;
        if (inode->links == 0) {
            end_watches(inode, true);
        }
        if (inode->links == 0 && inode->entries == 0) {
            loop_sim_disk_adjust(inode, inode->content.n_slots);
        }
    }
    loop_sim_inode_unref(inode);
    loop_sim_free(entry->name);
    loop_sim_free(entry);
    loop_sim_entry_unref(up);
}

void loop_sim_entry_rename(struct loop_sim_entry *entry, struct loop_sim_entry *up, const char *name)
{
    struct loop_sim_entry *before = entry->up;

    assert(!entry->table && up && before);
    entry->up = loop_sim_entry_ref(up);
    loop_sim_entry_unref(before);
    loop_sim_free(entry->name);
    entry->name = copy_name(name);
}

bool loop_sim_entry_is_below(const struct loop_sim_entry *entry, const struct loop_sim_entry *above)
{
    while (entry && entry != above) {
        entry = entry->up;
    }
    return entry;
}

bool loop_sim_entry_is_gone(const struct loop_sim_entry *entry)
{
    return entry->up && !entry->table && entry->inode->magic == LOOP_SIM_MAGIC_NONE;
}

/* Writes the path of an entry before `end`, which it ends with. Returns where it begins, or NULL when there is not
 * enough room from `begin` on. */
static char *write_path(const struct loop_sim_entry *entry, char *begin, char *end)
{
    if (!entry->up) {
        if (end <= begin) {
            return NULL;
        }
        *--end = '/';
        return end;
    }
    for (; entry->up; entry = entry->up) {
        size_t len = strlen(entry->name);
        if ((size_t)(end - begin) < len + 1) {
            return NULL;
        }
        end -= len;
        memcpy(end, entry->name, len);
        *--end = '/';
    }
    return end;
}

int loop_sim_entry_path(const struct loop_sim_entry *entry, char *path, size_t size)
{
    char text[PATH_MAX];
    const char *begin = write_path(entry, text, text + sizeof text);

    if (!begin) {
        return -ENAMETOOLONG;
    }
    int len = snprintf(path, size, "%.*s%s", (int)(text + sizeof text - begin), begin,
                       loop_sim_entry_is_gone(entry) ? " (deleted)" : "");
    return (size_t)len < size ? len : -ENAMETOOLONG;
}
