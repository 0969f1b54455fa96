/* SPDX-License-Identifier: ISC
 *
 * Disks: their life, their first tree, and files that worlds put there.
 */
#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/disk/durable.h>
#include <loop/kernel/simulated/disk/resolve.h>
#include <loop/kernel/simulated/disk/special.h>
#include <loop/kernel/simulated/machine/choice.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { USUAL_MASK = 022 };

/* ---- life ---- */

/* Returns a directory below another, which it makes where there is none. Not counted. */
static struct loop_sim_entry *make_directory(struct loop_sim_entry *up, const char *name, mode_t mode)
{
    struct loop_sim_entry *entry = loop_sim_table_find(&up->inode->table, name);

    if (!entry) {
        struct loop_sim_inode *inode = loop_sim_inode_create(up->inode->disk, LOOP_SIM_DEVICE_DISK, S_IFDIR | mode);
        entry = loop_sim_disk_name(up, name, inode);
        loop_sim_entry_unref(entry);
    }
    return entry;
}

/* Makes /, /tmp, /home/NAME, /dev and /proc. */
static void create_tree(struct loop_sim_disk *disk)
{
    struct loop_sim_inode *root = loop_sim_inode_create(disk, LOOP_SIM_DEVICE_DISK, S_IFDIR | 0755);

    root->links = 2;
    disk->root = loop_sim_entry_create(NULL, "", root);
    make_directory(disk->root, "tmp", 01777)->inode->now.mode = S_IFDIR | 01777;
    struct loop_sim_entry *home = make_directory(disk->root, "home", 0755);
    (void)make_directory(home, disk->node->name[0] ? disk->node->name : "user", 0755);
    home->inode->now.uid = home->inode->now.gid = root->now.uid = root->now.gid = 0;
    loop_sim_special_create(disk);
    loop_sim_disk_sync_all(disk);
}

static struct loop_sim_disk *disk_of(struct loop_sim_node *node)
{
    if (node->disk) {
        return node->disk;
    }
    struct loop_sim_disk *disk = loop_sim_alloc(sizeof *disk);
    disk->node = node;
    disk->last_inode = 1; /* the root is 2, as with ext4 */
    disk->random = node->index;
    loop_list_init(&disk->inodes);
    loop_list_init(&disk->changes);
    node->disk = disk;
    create_tree(disk);
    return disk;
}

/* The working directory is /home/NAME, where that is. */
static void node_started(struct loop_sim_node *node)
{
    struct loop_sim_disk *disk = disk_of(node);
    disk->umask = USUAL_MASK;
    loop_sim_special_start(disk);
    struct loop_sim_entry *home = loop_sim_table_find(&disk->root->inode->table, "home"), *own = NULL;

    if (home && S_ISDIR(home->inode->now.mode)) {
        own = loop_sim_table_find(&home->inode->table, node->name[0] ? node->name : "user");
    }
    loop_sim_entry_unref(disk->current);
    disk->current = loop_sim_entry_ref(own && S_ISDIR(own->inode->now.mode) ? own : disk->root);
}

static void node_stopped(struct loop_sim_node *node, bool has_crashed)
{
    if (has_crashed) {
        loop_sim_disk_crash(disk_of(node));
    }
}

static void node_destroyed(struct loop_sim_node *node)
{
    struct loop_sim_disk *disk = node->disk;

    if (!disk) {
        return;
    }
    loop_sim_disk_forget(disk, true);
    loop_sim_entry_unref(disk->root);
    loop_sim_disk_remember(disk);
    assert(loop_list_is_empty(&disk->inodes) && disk->n_inodes == 0);
    loop_sim_free(disk);
    node->disk = NULL;
}

const struct loop_sim_part loop_sim_disk_part = {
    .node_started = node_started, .node_stopped = node_stopped, .node_destroyed = node_destroyed};

mode_t loop_sim_disk_umask(struct loop_sim_node *node, mode_t mask)
{
    struct loop_sim_disk *disk = disk_of(node);
    mode_t before = disk->umask;

    disk->umask = mask & 0777;
    return before;
}

/* ---- options ---- */

void loop_sim_disk_set(struct loop_sim_node *node, const struct loop_sim_disk_options *options)
{
    struct loop_sim_disk *disk = disk_of(node);

    disk->size_bytes = options->size_bytes;
    disk->latency_ns = options->latency_ns;
}

/* ---- files from outside ---- */

/* Returns the directory of a path, made where it is missing, and the last name in *name. NULL: something on the way is
 * no directory. */
static struct loop_sim_entry *make_way(struct loop_sim_disk *disk, const char *path, char name[NAME_MAX + 1])
{
    struct loop_sim_entry *at = *path == '/' || !disk->current ? disk->root : disk->current;

    for (path += strspn(path, "/"); *path;) {
        size_t len = strcspn(path, "/");
        if (len > NAME_MAX) {
            return NULL;
        }
        memcpy(name, path, len);
        name[len] = '\0';
        path += len + strspn(path + len, "/");
        if (*path) {
            at = make_directory(at, name, 0755);
        }
        if (!S_ISDIR(at->inode->now.mode)) {
            return NULL;
        }
    }
    return at;
}

int loop_sim_disk_put(struct loop_sim_node *node, const char *path, const void *data, size_t len)
{
    struct loop_sim_disk *disk = disk_of(node);
    char name[NAME_MAX + 1] = "";
    struct loop_sim_entry *up = make_way(disk, path, name);

    if (!up || !name[0]) {
        return up ? -EISDIR : -ENOTDIR;
    }
    struct loop_sim_entry *entry = loop_sim_table_find(&up->inode->table, name);
    if (entry && !S_ISREG(entry->inode->now.mode)) {
        return S_ISDIR(entry->inode->now.mode) ? -EISDIR : -EINVAL;
    }
    if (!entry) {
        entry = loop_sim_disk_name(up, name, loop_sim_inode_create(disk, up->inode->device, S_IFREG | 0644));
        loop_sim_entry_unref(entry);
    }
    struct loop_sim_inode *inode = entry->inode;
    size_t before = inode->content.n_slots;
    loop_sim_content_truncate(&inode->content, 0);
    loop_sim_truncated(inode, 0);
    loop_sim_content_write(&inode->content, 0, data, len);
    loop_sim_wrote(inode, 0, len);
    loop_sim_disk_adjust(inode, before);
    loop_sim_inode_modified(inode);
    loop_sim_disk_sync_all(disk);
    return 0;
}

int loop_sim_disk_get(struct loop_sim_node *node, const char *path, void **data, size_t *len)
{
    struct loop_sim_disk *disk = disk_of(node);
    struct loop_sim_find find = {.node = node, .dir = AT_FDCWD, .path = path, .flags = LOOP_SIM_FIND_FOLLOW};
    bool has_current = disk->current;

    if (!has_current) {
        disk->current = loop_sim_entry_ref(disk->root);
    }
    int result = loop_sim_find(&find);
    if (result == 0 && (!find.entry || !S_ISREG(find.entry->inode->now.mode))) {
        result = find.entry && S_ISDIR(find.entry->inode->now.mode) ? -EISDIR : -EINVAL;
    }
    if (result == 0) {
        const struct loop_sim_content *content = &find.entry->inode->content;
        *len = (size_t)content->size;
        *data = loop_sim_alloc(*len + 1);
        loop_sim_content_read(content, 0, *data, *len);
    }
    loop_sim_find_end(&find);
    if (!has_current) {
        loop_sim_entry_unref(disk->current);
        disk->current = NULL;
    }
    return result;
}
