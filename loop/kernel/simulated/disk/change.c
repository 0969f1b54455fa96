/* SPDX-License-Identifier: ISC
 *
 * Attributes that are changed: chmod(2), chown(2), utimensat(2), extended attributes.
 */
#include <loop/kernel/simulated/disk/notify.h>
#include <loop/kernel/simulated/disk/resolve.h>

#include <loop/kernel/file.h>
#include <loop/kernel/path.h>

#include <string.h>

#define NS_PER_S 1000000000L

enum { MOST_XATTR_BYTES = 65536 };

/* What is changed: by a path, or a descriptor where the path is NULL. */
struct place {
    int dir;
    const char *path;
    int flags; /* AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH */
};

/* Finds what is changed. The entry is counted. Returns 0 or a negative errno. */
static int find_place(const struct place *place, struct loop_sim_entry **entry)
{
    loop_sim_disk_wait();
    if (!place->path) {
        struct loop_sim_file *file = loop_sim_file_of(place->dir);
        const struct loop_sim_open *open = file ? loop_sim_open_of(file) : NULL;
        *entry = open ? loop_sim_entry_ref(open->entry) : NULL;
        return !file || file->flags & O_PATH ? -EBADF : open ? 0 : -ENOSYS;
    }
    struct loop_sim_find find = {.node = loop_sim_here(),
                                 .dir = place->dir,
                                 .path = place->path,
                                 .flags = (place->flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOP_SIM_FIND_FOLLOW) |
                                          (place->flags & AT_EMPTY_PATH ? LOOP_SIM_FIND_EMPTY : 0)};
    int error = loop_sim_find(&find);
    *entry = find.entry ? loop_sim_entry_ref(find.entry) : NULL;
    loop_sim_find_end(&find);
    return error == 0 && !*entry ? -ENOSYS : error;
}

/* Finds what is changed, and changes it. */
static int change(const struct place *place, int (*act)(struct loop_sim_entry *entry, const void *arg), const void *arg)
{
    struct loop_sim_entry *entry = NULL;
    int error = find_place(place, &entry);

    if (error == 0) {
        error = act(entry, arg);
    }
    loop_sim_entry_unref(entry);
    return (int)loop_sim_return(error);
}

/* ---- modes ---- */

static int set_mode(struct loop_sim_entry *entry, const void *arg)
{
    struct loop_sim_inode *inode = entry->inode;
    mode_t mode = *(const mode_t *)arg & 07777;
    uid_t user = loop_sim_disk_user(inode->disk);

    if (S_ISLNK(inode->now.mode)) {
        return -EOPNOTSUPP;
    }
    if (!loop_sim_inode_is_own(inode)) {
        return -EPERM;
    }
    if (user != 0 && loop_sim_group(inode->disk->node) != inode->now.gid) {
        mode &= ~(mode_t)S_ISGID;
    }
    inode->now.mode = (inode->now.mode & S_IFMT) | mode;
    loop_sim_inode_changed(inode);
    loop_sim_notify_change(entry, IN_ATTRIB);
    return 0;
}

int loop_kernel_fchmod(int number, mode_t mode)
{
    struct loop_sim_file *file = loop_sim_file_of(number);

    if (file && !(file->flags & O_PATH) && file->kind->change_mode) {
        return (int)loop_sim_return(file->kind->change_mode(file, mode));
    }
    return change(&(struct place){.dir = number}, set_mode, &mode);
}

int loop_kernel_fchmodat2(int dir, const char *path, mode_t mode, int flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) || !path) {
        return (int)loop_sim_return(path ? -EINVAL : -EFAULT);
    }
    return change(&(struct place){dir, path, flags}, set_mode, &mode);
}

int loop_kernel_chmod(const char *path, mode_t mode)
{
    return loop_kernel_fchmodat2(AT_FDCWD, path, mode, 0);
}

/* ---- owners ---- */

struct owner {
    uid_t user;
    gid_t group;
};

/* Returns whether the node's user may give an inode this owner. */
static bool may_give(const struct loop_sim_inode *inode, const struct owner *owner)
{
    uid_t user = loop_sim_disk_user(inode->disk);

    if (user == 0) {
        return true;
    }
    bool keeps_user = owner->user == (uid_t)-1 || (owner->user == inode->now.uid && user == inode->now.uid);
    bool keeps_group = owner->group == (gid_t)-1 ||
                       (user == inode->now.uid &&
                        (owner->group == inode->now.gid || owner->group == loop_sim_group(inode->disk->node)));
    return keeps_user && keeps_group;
}

static int set_owner(struct loop_sim_entry *entry, const void *arg)
{
    const struct owner *owner = arg;
    struct loop_sim_inode *inode = entry->inode;
    mode_t mode = inode->now.mode;

    if (!may_give(inode, owner)) {
        return -EPERM;
    }
    if (owner->user != (uid_t)-1) {
        inode->now.uid = owner->user;
    }
    if (owner->group != (gid_t)-1) {
        inode->now.gid = owner->group;
    }
    if (!S_ISDIR(mode)) {
        inode->now.mode &= ~(mode_t)(S_ISUID | (mode & S_IXGRP ? S_ISGID : 0));
    }
    loop_sim_inode_changed(inode);
    if (owner->user != (uid_t)-1 || owner->group != (gid_t)-1 || inode->now.mode != mode) {
        loop_sim_notify_change(entry, IN_ATTRIB);
    }
    return 0;
}

int loop_kernel_fchown(int number, uid_t user, gid_t group)
{
    return change(&(struct place){.dir = number}, set_owner, &(struct owner){user, group});
}

int loop_kernel_fchownat(int dir, const char *path, uid_t user, gid_t group, int flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) || !path) {
        return (int)loop_sim_return(path ? -EINVAL : -EFAULT);
    }
    return change(&(struct place){dir, path, flags}, set_owner, &(struct owner){user, group});
}

/* ---- times ---- */

/* Returns 0, or why the times are not set by this user. */
static int check_times(const struct loop_sim_inode *inode, const struct timespec times[2])
{
    bool are_now = !times || (times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW);

    if (loop_sim_inode_is_own(inode)) {
        return 0;
    }
    return are_now ? loop_sim_inode_permits(inode, W_OK) : -EPERM;
}

static void set_time(const struct loop_sim_inode *inode, struct timespec *to, const struct timespec *from)
{
    if (!from || from->tv_nsec == UTIME_NOW) {
        *to = loop_sim_disk_time(inode->disk);
    } else if (from->tv_nsec != UTIME_OMIT) {
        *to = *from;
    }
}

static int set_times(struct loop_sim_entry *entry, const void *arg)
{
    const struct timespec *times = arg;
    struct loop_sim_inode *inode = entry->inode;
    bool has_access = !times || times[0].tv_nsec != UTIME_OMIT;
    bool has_change = !times || times[1].tv_nsec != UTIME_OMIT;
    int error = check_times(inode, times);

    if (error < 0) {
        return error;
    }
    set_time(inode, &inode->now.atime, times ? &times[0] : NULL);
    set_time(inode, &inode->now.mtime, times ? &times[1] : NULL);
    loop_sim_inode_changed(inode);
    loop_sim_notify_change(entry, has_access && has_change ? IN_ATTRIB : has_access ? IN_ACCESS : IN_MODIFY);
    return 0;
}

static bool is_time(const struct timespec *time)
{
    return time->tv_nsec == UTIME_NOW || time->tv_nsec == UTIME_OMIT ||
           (time->tv_nsec >= 0 && time->tv_nsec < NS_PER_S);
}

static int change_times(const struct place *place, const struct timespec times[2])
{
    if (times && times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT) {
        return 0;
    }
    if (times && (!is_time(&times[0]) || !is_time(&times[1]))) {
        return (int)loop_sim_return(-EINVAL);
    }
    return change(place, set_times, times);
}

int loop_kernel_futimens(int number, const struct timespec times[2])
{
    return change_times(&(struct place){.dir = number}, times);
}

int loop_kernel_utimensat(int dir, const char *path, const struct timespec times[2], int flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) || !path) {
        return (int)loop_sim_return(-EINVAL);
    }
    return change_times(&(struct place){dir, path, flags}, times);
}

/* ---- extended attributes ---- */

struct setting {
    const char *name;
    const void *value;
    size_t size;
    int flags;
    bool removes;
};

/* Returns 0, or why there is no attribute of this name there, for reading or changing. There are no access control
 * lists. */
static int check_xattr(const struct loop_sim_inode *inode, const char *name, bool changes)
{
    size_t len = strnlen(name, XATTR_NAME_MAX + 1);
    bool is_user = strncmp(name, "user.", 5) == 0 && name[5];
    bool is_trusted = strncmp(name, "trusted.", 8) == 0 && name[8];

    if (len == 0 || len > XATTR_NAME_MAX) {
        return -ERANGE;
    }
    if (!is_user && !is_trusted) {
        return -EOPNOTSUPP;
    }
    if (is_trusted) {
        return loop_sim_disk_user(inode->disk) == 0 ? 0 : changes ? -EPERM : -ENODATA;
    }
    if (!S_ISREG(inode->now.mode) && !S_ISDIR(inode->now.mode)) {
        return changes ? -EPERM : -ENODATA;
    }
    return inode->device == LOOP_SIM_DEVICE_PROC ? -EOPNOTSUPP : loop_sim_inode_permits(inode, changes ? W_OK : R_OK);
}

static struct loop_sim_xattr *find_xattr(const struct loop_sim_inode *inode, const char *name)
{
    for (size_t i = 0; i < inode->now.n_xattrs; i++) {
        if (strcmp(inode->now.xattrs[i].name, name) == 0) {
            return &inode->now.xattrs[i];
        }
    }
    return NULL;
}

static void remove_xattr(struct loop_sim_attributes *attributes, struct loop_sim_xattr *xattr)
{
    loop_sim_free(xattr->name);
    loop_sim_free(xattr->value);
    *xattr = attributes->xattrs[--attributes->n_xattrs];
}

static struct loop_sim_xattr *add_xattr(struct loop_sim_attributes *attributes, const char *name)
{
    size_t size = strlen(name) + 1, n = attributes->n_xattrs++;

    attributes->xattrs = loop_sim_realloc(attributes->xattrs, (n + 1) * sizeof *attributes->xattrs);
    attributes->xattrs[n] = (struct loop_sim_xattr){.name = memcpy(loop_sim_alloc(size), name, size)};
    return &attributes->xattrs[n];
}

static int set_xattr(struct loop_sim_entry *entry, const void *arg)
{
    const struct setting *setting = arg;
    struct loop_sim_inode *inode = entry->inode;
    int error = check_xattr(inode, setting->name, true);

    if (error < 0) {
        return error;
    }
    struct loop_sim_xattr *xattr = find_xattr(inode, setting->name);
    if (!xattr && (setting->removes || setting->flags & XATTR_REPLACE)) {
        return -ENODATA;
    }
    if (xattr && setting->flags & XATTR_CREATE) {
        return -EEXIST;
    }
    if (setting->removes) {
        remove_xattr(&inode->now, xattr);
    } else {
        xattr = xattr ? xattr : add_xattr(&inode->now, setting->name);
        loop_sim_free(xattr->value);
        xattr->size = setting->size;
        xattr->value = memcpy(loop_sim_alloc(setting->size + 1), setting->size ? setting->value : "", setting->size);
    }
    loop_sim_inode_changed(inode);
    loop_sim_notify_change(entry, IN_ATTRIB);
    return 0;
}

int loop_kernel_fsetxattr(int number, const char *name, const void *value, size_t size, int flags)
{
    if (flags & ~(XATTR_CREATE | XATTR_REPLACE)) {
        return (int)loop_sim_return(-EINVAL);
    }
    if (size > MOST_XATTR_BYTES) {
        return (int)loop_sim_return(-E2BIG);
    }
    return change(&(struct place){.dir = number}, set_xattr,
                  &(struct setting){.name = name, .value = value, .size = size, .flags = flags});
}

int loop_kernel_fremovexattr(int number, const char *name)
{
    return change(&(struct place){.dir = number}, set_xattr, &(struct setting){.name = name, .removes = true});
}

static ssize_t get_xattr(const struct place *place, const char *name, void *value, size_t size)
{
    struct loop_sim_entry *entry = NULL;
    ssize_t result = find_place(place, &entry);

    if (result == 0) {
        result = check_xattr(entry->inode, name, false);
    }
    if (result == 0) {
        const struct loop_sim_xattr *xattr = find_xattr(entry->inode, name);
        result = !xattr ? -ENODATA : size > 0 && size < xattr->size ? -ERANGE : (ssize_t)xattr->size;
        if (xattr && size >= xattr->size && size > 0) {
            memcpy(value, xattr->value, xattr->size);
        }
    }
    loop_sim_entry_unref(entry);
    return loop_sim_return(result);
}

ssize_t loop_kernel_getxattr(const char *path, const char *name, void *value, size_t size)
{
    return get_xattr(&(struct place){.dir = AT_FDCWD, .path = path}, name, value, size);
}

ssize_t loop_kernel_fgetxattr(int number, const char *name, void *value, size_t size)
{
    return get_xattr(&(struct place){.dir = number}, name, value, size);
}
