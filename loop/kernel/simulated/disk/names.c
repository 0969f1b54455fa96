/* SPDX-License-Identifier: ISC
 *
 * Making and removing names: mkdir(2), link(2), symlink(2), unlink(2), rmdir(2), and the sockets of bind(2).
 */
#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/disk/durable.h>
#include <loop/kernel/simulated/disk/names.h>
#include <loop/kernel/simulated/disk/notify.h>
#include <loop/kernel/simulated/disk/resolve.h>

#include <loop/kernel/path.h>

#include <assert.h>
#include <string.h>

enum { MOST_LINKS = 65000 };

/* ---- making ---- */

/* Finds where a name is to be made. Returns 0, or why it is not. */
static int find_new(struct loop_sim_find *find, bool is_directory)
{
    find->flags = LOOP_SIM_FIND_PARENT;
    int error = loop_sim_find(find);

    if (error < 0) {
        return error;
    }
    if (find->last != LOOP_SIM_LAST_NAME || find->entry) {
        return -EEXIST;
    }
    return find->has_slash && !is_directory ? -ENOENT : 0;
}

/* Makes an inode with the name that has been found. Returns it, or NULL with the error. */
static struct loop_sim_inode *make(struct loop_sim_find *find, mode_t mode, int *error)
{
    *error = loop_sim_may_change(find->up);
    if (*error == 0) {
        *error = loop_sim_disk_take(find->up->inode, 1);
    }
    if (*error < 0) {
        return NULL;
    }
    struct loop_sim_inode *inode = loop_sim_inode_make(find->up, mode);
    find->entry = loop_sim_disk_name(find->up, find->name, inode);
    loop_sim_inode_modified(find->up->inode);
    return inode;
}

static void tell_made(const struct loop_sim_find *find)
{
    loop_sim_notify_name(find->up->inode, find->name, S_ISDIR(find->entry->inode->now.mode), IN_CREATE, 0);
}

int loop_sim_disk_mkdir(struct loop_sim_node *node, int dir, const char *path, mode_t mode)
{
    struct loop_sim_find find = {.node = node, .dir = dir, .path = path};
    mode_t bits = mode & (S_IRWXU | S_IRWXG | S_IRWXO | S_ISVTX) & ~node->disk->umask;
    int error = find_new(&find, true);

    if (error == 0 && make(&find, S_IFDIR | bits, &error)) {
        tell_made(&find);
    }
    loop_sim_find_end(&find);
    return error;
}

int loop_sim_disk_symlink(struct loop_sim_node *node, const char *target, int dir, const char *path)
{
    size_t len = strnlen(target, PATH_MAX);
    struct loop_sim_find find = {.node = node, .dir = dir, .path = path};

    if (len == 0 || len == PATH_MAX) {
        return len ? -ENAMETOOLONG : -ENOENT;
    }
    int error = find_new(&find, false);
    struct loop_sim_inode *inode = error == 0 ? make(&find, S_IFLNK | 0777, &error) : NULL;
    if (inode) {
        inode->target = memcpy(loop_sim_alloc(len + 1), target, len + 1);
        tell_made(&find);
    }
    loop_sim_find_end(&find);
    return error;
}

/* ---- second names ---- */

/* Returns 0, or why an inode gets no name there. */
static int check_linked(const struct loop_sim_find *from, const struct loop_sim_find *to)
{
    if (!from->entry || from->entry->inode->device != to->up->inode->device) {
        return -EXDEV;
    }
    const struct loop_sim_inode *inode = from->entry->inode;
    int error = loop_sim_may_change(to->up);
    if (error < 0) {
        return error;
    }
    if (S_ISDIR(inode->now.mode)) {
        return -EPERM;
    }
    if (inode->links == 0 && !inode->can_be_linked) {
        return -ENOENT;
    }
    return inode->links >= MOST_LINKS ? -EMLINK : loop_sim_disk_take(to->up->inode, 1);
}

int loop_sim_disk_link(struct loop_sim_node *node, int from, const char *from_path, int to, const char *to_path,
                       int flags)
{
    unsigned how =
        (flags & AT_SYMLINK_FOLLOW ? LOOP_SIM_FIND_FOLLOW : 0) | (flags & AT_EMPTY_PATH ? LOOP_SIM_FIND_EMPTY : 0);
    struct loop_sim_find old = {.node = node, .dir = from, .path = from_path, .flags = how};
    struct loop_sim_find new = {.node = node, .dir = to, .path = to_path};

    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) {
        return -EINVAL;
    }
    int error = loop_sim_find(&old);
    if (error == 0) {
        error = find_new(&new, false);
    }
    if (error == 0) {
        error = check_linked(&old, &new);
    }
    if (error == 0) {
        struct loop_sim_inode *inode = old.entry->inode;
        new.entry = loop_sim_disk_name(new.up, new.name, inode);
        inode->can_be_linked = false;
        loop_sim_inode_changed(inode);
        loop_sim_inode_modified(new.up->inode);
        loop_sim_notify_inode(inode, IN_ATTRIB);
        tell_made(&new);
    }
    loop_sim_find_end(&old);
    loop_sim_find_end(&new);
    return error;
}

/* ---- removing ---- */

int loop_sim_may_remove(const struct loop_sim_entry *entry)
{
    const struct loop_sim_inode *directory = entry->up->inode;
    int error = loop_sim_may_change(entry->up);

    if (error < 0) {
        return error;
    }
    if (directory->now.mode & S_ISVTX && !loop_sim_inode_is_own(directory) && !loop_sim_inode_is_own(entry->inode)) {
        return -EPERM;
    }
    return entry->inode->device != directory->device ? -EBUSY : 0;
}

void loop_sim_disk_unname(struct loop_sim_entry *entry)
{
    struct loop_sim_inode *inode = entry->inode, *directory = entry->up->inode;

    assert(inode->links > 0);
    inode->links--;
    if (S_ISDIR(inode->now.mode)) {
        inode->links--;
        inode->is_dead = true;
        directory->links--;
    }
    loop_sim_inode_changed(inode);
    loop_sim_table_remove(entry);
}

/* Returns 0, or why rmdir(2) does not remove what has been found. */
static int check_rmdir(const struct loop_sim_find *find)
{
    static const int refused[] = {
        [LOOP_SIM_LAST_DOT] = -EINVAL, [LOOP_SIM_LAST_DOTS] = -ENOTEMPTY, [LOOP_SIM_LAST_ROOT] = -EBUSY};

    if (find->last != LOOP_SIM_LAST_NAME) {
        return refused[find->last];
    }
    if (!find->entry) {
        return -ENOENT;
    }
    int error = loop_sim_may_remove(find->entry);
    if (error < 0) {
        return error;
    }
    if (!S_ISDIR(find->entry->inode->now.mode)) {
        return -ENOTDIR;
    }
    return find->entry->inode->table.count > 0 ? -ENOTEMPTY : 0;
}

static int check_unlink(const struct loop_sim_find *find)
{
    if (find->last != LOOP_SIM_LAST_NAME) {
        return -EISDIR;
    }
    if (!find->entry) {
        return -ENOENT;
    }
    bool is_directory = S_ISDIR(find->entry->inode->now.mode);
    if (find->has_slash) {
        return is_directory ? -EISDIR : -ENOTDIR;
    }
    int error = loop_sim_may_remove(find->entry);
    return error == 0 && is_directory ? -EISDIR : error;
}

/* Removes what has been found. Who watches it hears that before those who watch the directory, unless it is still
 * open. */
static void remove_found(struct loop_sim_find *find)
{
    struct loop_sim_inode *inode = find->entry->inode;
    bool is_directory = S_ISDIR(inode->now.mode);

    loop_sim_disk_unname(find->entry);
    loop_sim_inode_modified(find->up->inode);
    loop_sim_renamed(inode->disk, &(struct loop_sim_naming){find->up->inode, find->name, NULL}, 1);
    if (!is_directory) {
        loop_sim_notify_inode(inode, IN_ATTRIB);
    }
    loop_sim_entry_unref(find->entry);
    find->entry = NULL;
    loop_sim_notify_name(find->up->inode, find->name, is_directory, IN_DELETE, 0);
}

int loop_sim_disk_unlink(struct loop_sim_node *node, int dir, const char *path, int flags)
{
    struct loop_sim_find find = {.node = node, .dir = dir, .path = path, .flags = LOOP_SIM_FIND_PARENT};

    if (flags & ~AT_REMOVEDIR) {
        return -EINVAL;
    }
    int error = loop_sim_find(&find);
    if (error == 0) {
        error = flags & AT_REMOVEDIR ? check_rmdir(&find) : check_unlink(&find);
    }
    if (error == 0) {
        remove_found(&find);
    }
    loop_sim_find_end(&find);
    return error;
}

/* ---- FIFOs and sockets ---- */

/* Makes what is no directory and no link. Stores its inode. */
static int make_special(struct loop_sim_node *node, int dir, const char *path, mode_t mode, uint64_t *inode)
{
    struct loop_sim_find find = {.node = node, .dir = dir, .path = path};
    int error = find_new(&find, false);
    const struct loop_sim_inode *made =
        error == 0 ? make(&find, (mode & S_IFMT) | (mode & 07777 & ~node->disk->umask), &error) : NULL;

    if (made) {
        *inode = made->number;
        tell_made(&find);
    }
    loop_sim_find_end(&find);
    return error;
}

int loop_sim_disk_mknod(struct loop_sim_node *node, int dir, const char *path, mode_t mode)
{
    uint64_t inode;

    switch (mode & S_IFMT) {
    case 0: mode |= S_IFREG; break;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK: break;
    default: return -EPERM;
    }
    return make_special(node, dir, path, mode, &inode);
}

int loop_sim_disk_make_socket(struct loop_sim_node *node, const char *path, mode_t mode, uint64_t *inode)
{
    int error = make_special(node, AT_FDCWD, path, S_IFSOCK | (mode & 0777), inode);

    return error == -EEXIST ? -EADDRINUSE : error;
}

int loop_sim_disk_find_socket(struct loop_sim_node *node, const char *path, uint64_t *inode)
{
    struct loop_sim_find find = {.node = node, .dir = AT_FDCWD, .path = path, .flags = LOOP_SIM_FIND_FOLLOW};
    int error = loop_sim_find(&find);

    if (error == 0) {
        error = find.entry ? loop_sim_inode_permits(find.entry->inode, W_OK) : -ECONNREFUSED;
    }
    if (error == 0) {
        error = S_ISSOCK(find.entry->inode->now.mode) ? 0 : -ECONNREFUSED;
        *inode = find.entry->inode->number;
    }
    loop_sim_find_end(&find);
    return error;
}

/* ---- the door ---- */

int loop_kernel_mkdirat(int dir, const char *path, mode_t mode)
{
    loop_sim_disk_wait();
    return (int)loop_sim_return(loop_sim_disk_mkdir(loop_sim_here(), dir, path, mode));
}

int loop_kernel_symlinkat(const char *target, int dir, const char *path)
{
    loop_sim_disk_wait();
    return (int)loop_sim_return(loop_sim_disk_symlink(loop_sim_here(), target, dir, path));
}

int loop_kernel_linkat(int from, const char *from_path, int to, const char *to_path, int flags)
{
    loop_sim_disk_wait();
    return (int)loop_sim_return(loop_sim_disk_link(loop_sim_here(), from, from_path, to, to_path, flags));
}

int loop_kernel_unlinkat(int dir, const char *path, int flags)
{
    loop_sim_disk_wait();
    return (int)loop_sim_return(loop_sim_disk_unlink(loop_sim_here(), dir, path, flags));
}

int loop_kernel_unlink(const char *path)
{
    return loop_kernel_unlinkat(AT_FDCWD, path, 0);
}
