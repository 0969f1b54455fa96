/* SPDX-License-Identifier: ISC
 *
 * Walking paths.
 */
#include <loop/kernel/simulated/disk/resolve.h>
#include <loop/kernel/simulated/disk/special.h>
#include <loop/kernel/simulated/machine/choice.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { MOST_LINKS = 40 };

/* Resolving that stays beneath a directory. */
#define SCOPED (RESOLVE_BENEATH | RESOLVE_IN_ROOT)

struct walk {
    struct loop_sim_find *find;
    struct loop_sim_entry *root, *at; /* counted. What ".." does not leave, and the current directory */
    unsigned n_links;
    char *rest; /* the memory of what is still to be walked; it begins at `next` */
    const char *next;
    bool follows_slash; /* the last name had a slash behind it, or does by a link that is followed */
};

/* ---- text ---- */

static bool is_dot(const char *name)
{
    return name[0] == '.' && name[1] == '\0';
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && name[1] == '.' && name[2] == '\0';
}

/* Takes the next component. Returns whether it is the last one, -ENAMETOOLONG, or -EISDIR where a name with a slash
 * behind it would be created: that is refused before it is looked up. */
static int take_component(struct walk *walk)
{
    struct loop_sim_find *find = walk->find;
    size_t len = strcspn(walk->next, "/"), kept = len < NAME_MAX ? len : NAME_MAX;

    memcpy(find->name, walk->next, kept);
    find->name[kept] = '\0';
    find->has_slash = walk->next[len] == '/';
    walk->next += len + strspn(walk->next + len, "/");
    find->last = is_dot(find->name) ? LOOP_SIM_LAST_DOT : is_dots(find->name) ? LOOP_SIM_LAST_DOTS : LOOP_SIM_LAST_NAME;
    bool is_last = *walk->next == '\0';
    if (is_last && find->has_slash && find->last == LOOP_SIM_LAST_NAME && find->flags & LOOP_SIM_FIND_CREATE) {
        return -EISDIR;
    }
    return len > NAME_MAX ? -ENAMETOOLONG : is_last;
}

/* Puts the text of a link in front of what is still to be walked. */
static int put_in_front(struct walk *walk, const char *target)
{
    size_t size = strlen(target) + strlen(walk->next) + 2;
    char *text = loop_sim_alloc(size);

    (void)snprintf(text, size, "%s%s%s", target, walk->find->has_slash ? "/" : "", walk->next);
    loop_sim_free(walk->rest);
    walk->rest = text;
    walk->next = text;
    return 0;
}

/* ---- steps ---- */

/* Makes `entry`, of which it takes a use, the current directory. */
static void move_to(struct walk *walk, struct loop_sim_entry *entry)
{
    loop_sim_entry_unref(walk->at);
    walk->at = entry;
}

static bool crosses(const struct walk *walk, const struct loop_sim_entry *entry)
{
    return walk->find->resolve & RESOLVE_NO_XDEV && entry->inode->device != walk->at->inode->device;
}

/* Goes to where an absolute path begins. */
static int go_to_root(struct walk *walk)
{
    if (walk->find->resolve & RESOLVE_BENEATH || crosses(walk, walk->root)) {
        return -EXDEV;
    }
    move_to(walk, loop_sim_entry_ref(walk->root));
    walk->next += strspn(walk->next, "/");
    return 0;
}

static int go_up(struct walk *walk)
{
    if (walk->at == walk->root) {
        return walk->find->resolve & RESOLVE_BENEATH ? -EXDEV : 0;
    }
    if (walk->at->up && crosses(walk, walk->at->up)) {
        return -EXDEV;
    }
    if (walk->at->up) {
        move_to(walk, loop_sim_entry_ref(walk->at->up));
    }
    return 0;
}

/* Goes to what a link of /proc leads to. */
static int jump(struct walk *walk, const struct loop_sim_inode *link)
{
    struct loop_sim_find *find = walk->find;
    const struct loop_sim_disk *disk = find->node->disk;
    struct loop_sim_entry *entry = link->magic == LOOP_SIM_MAGIC_CURRENT ? disk->current : disk->root;
    struct loop_sim_file *file = NULL;

    if (find->resolve & RESOLVE_NO_MAGICLINKS) {
        return -ELOOP;
    }
    if (link->magic == LOOP_SIM_MAGIC_NUMBER) {
        file = loop_sim_file_at(find->node, link->magic_number);
        if (!file) {
            return -ENOENT;
        }
        const struct loop_sim_open *open = loop_sim_open_of(file);
        entry = open ? open->entry : NULL;
    }
    if (find->resolve & SCOPED || (find->resolve & RESOLVE_NO_XDEV && (!entry || crosses(walk, entry)))) {
        return -EXDEV;
    }
    if (entry) {
        move_to(walk, loop_sim_entry_ref(entry));
    } else {
        find->file = loop_sim_file_ref(file);
    }
    return 0;
}

/* Links of others in directories where all users may create are not followed: proc(5), protected_symlinks. */
static bool is_suspicious(const struct walk *walk, const struct loop_sim_inode *link)
{
    const mode_t mask = S_ISVTX | S_IWOTH;
    const struct loop_sim_attributes *dir = &walk->at->inode->now;

    return link->now.uid != loop_sim_disk_user(link->disk) && (dir->mode & mask) == mask && dir->uid != link->now.uid;
}

/* Follows a link in the current directory. Returns 0 when the walk goes on with its text, 1 when it is where the link
 * leads, or a negative errno. */
static int follow(struct walk *walk, struct loop_sim_inode *link, bool is_last)
{
    if (walk->n_links++ >= MOST_LINKS) {
        return -ELOOP;
    }
    if (is_last && is_suspicious(walk, link)) {
        return -EACCES;
    }
    if (walk->find->resolve & RESOLVE_NO_SYMLINKS) {
        return -ELOOP;
    }
    if (loop_sim_inode_is_magic_link(link)) {
        int error = jump(walk, link);
        return error ? error : 1;
    }
    loop_sim_inode_accessed(link);
    put_in_front(walk, link->target);
    if (*walk->next == '/') {
        return go_to_root(walk);
    }
    return 0;
}

/* ---- the walk ---- */

/* Whether a link that is the last component is followed. */
static bool follows_last(const struct walk *walk)
{
    unsigned flags = walk->find->flags;

    if (flags & LOOP_SIM_FIND_PARENT || flags & LOOP_SIM_FIND_EXCLUSIVE) {
        return false;
    }
    return flags & LOOP_SIM_FIND_FOLLOW || walk->find->has_slash;
}

/* The walk has ended at `entry`, of which it takes a use; NULL: at a name that is not there. */
static int finish_at(struct walk *walk, struct loop_sim_entry *entry)
{
    struct loop_sim_find *find = walk->find;
    bool wants_directory = find->has_slash || find->flags & LOOP_SIM_FIND_DIRECTORY;

    find->entry = entry;
    if (find->flags & (LOOP_SIM_FIND_PARENT | LOOP_SIM_FIND_CREATE)) {
        return 0;
    }
    if (!entry) {
        return find->file ? wants_directory ? -ENOTDIR : 0 : -ENOENT;
    }
    return wants_directory && !S_ISDIR(entry->inode->now.mode) ? -ENOTDIR : 0;
}

/* The walk has ended at the current directory, or where a link of /proc has led. */
static int finish_here(struct walk *walk)
{
    return finish_at(walk, walk->find->file ? NULL : loop_sim_entry_ref(walk->at));
}

/* Takes a component that is a name. Returns 0 when the walk goes on, 1 when it has ended, or a negative errno. */
static int step_to_name(struct walk *walk, bool is_last)
{
    struct loop_sim_find *find = walk->find;
    struct loop_sim_entry *entry = loop_sim_lookup(find->node, walk->at, find->name);
    bool is_link = entry && S_ISLNK(entry->inode->now.mode);
    int result = 1;

    if (is_last && !(is_link && follows_last(walk))) {
        find->up = loop_sim_entry_ref(walk->at);
        result = entry && find->resolve & RESOLVE_NO_XDEV && crosses(walk, entry) ? -EXDEV : finish_at(walk, entry);
        return result < 0 ? result : 1;
    }
    if (!entry) {
        return -ENOENT;
    }
    if (is_link) {
        result = follow(walk, entry->inode, is_last);
        loop_sim_entry_unref(entry);
        if (result == 1 && is_last) {
            result = finish_here(walk);
            return result < 0 ? result : 1;
        }
        return result == 1 ? find->file ? -ENOTDIR : 0 : result;
    }
    if (crosses(walk, entry)) {
        loop_sim_entry_unref(entry);
        return -EXDEV;
    }
    move_to(walk, entry);
    return 0;
}

/* Takes one component. Returns as step_to_name. */
static int step(struct walk *walk)
{
    struct loop_sim_find *find = walk->find;

    if (*walk->next == '\0') {
        find->last = find->last == LOOP_SIM_LAST_NAME ? LOOP_SIM_LAST_ROOT : find->last;
        int error = finish_here(walk);
        return error < 0 ? error : 1;
    }
    if (!S_ISDIR(walk->at->inode->now.mode)) {
        return -ENOTDIR;
    }
    int error = loop_sim_inode_permits(walk->at->inode, X_OK);
    if (error < 0) {
        return error;
    }
    int is_last = take_component(walk);
    if (is_last < 0) {
        return is_last;
    }
    if (find->last == LOOP_SIM_LAST_NAME) {
        return step_to_name(walk, is_last);
    }
    error = find->last == LOOP_SIM_LAST_DOTS ? go_up(walk) : 0;
    if (error == 0 && is_last) {
        error = finish_here(walk);
        return error < 0 ? error : 1;
    }
    return error;
}

/* Finds where the path begins. */
static int begin(struct walk *walk)
{
    struct loop_sim_find *find = walk->find;
    struct loop_sim_disk *disk = find->node->disk;
    struct loop_sim_file *file = NULL;

    if (find->dir == AT_FDCWD) {
        walk->at = loop_sim_entry_ref(disk->current);
    } else if (*find->path != '/' || find->resolve & SCOPED) {
        file = loop_sim_file_at(find->node, find->dir);
        if (!file) {
            return -EBADF;
        }
        const struct loop_sim_open *open = loop_sim_open_of(file);
        if (!open && *find->path) {
            return -ENOTDIR;
        }
        if (!open) {
            find->file = loop_sim_file_ref(file);
        }
        walk->at = loop_sim_entry_ref(open ? open->entry : disk->root);
    } else {
        walk->at = loop_sim_entry_ref(disk->root);
    }
    walk->root = loop_sim_entry_ref(find->resolve & SCOPED ? walk->at : disk->root);
    if (*find->path && !S_ISDIR(walk->at->inode->now.mode)) {
        return -ENOTDIR;
    }
    return *find->path == '/' ? go_to_root(walk) : 0;
}

/* Returns 0, or the error of a path that is not walked. */
static int check(const struct loop_sim_find *find)
{
    if (!find->path) {
        return -EFAULT;
    }
    if (strnlen(find->path, PATH_MAX) >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    return *find->path == '\0' && !(find->flags & LOOP_SIM_FIND_EMPTY) ? -ENOENT : 0;
}

int loop_sim_find(struct loop_sim_find *find)
{
    int result = check(find);

    if (result < 0) {
        return result;
    }
    if (find->resolve & RESOLVE_CACHED && loop_sim_happens(LOOP_SIM_FALSE_READY)) {
        return -EAGAIN;
    }
    struct walk walk = {.find = find, .next = find->path};
    result = begin(&walk);
    if (result == 0 && *find->path == '\0') {
        find->last = LOOP_SIM_LAST_DOT;
        result = finish_here(&walk);
    }
    while (result == 0 && *find->path) {
        result = step(&walk);
    }
    loop_sim_entry_unref(walk.at);
    loop_sim_entry_unref(walk.root);
    loop_sim_free(walk.rest);
    assert(result < 0 || find->entry || find->file || find->up);
    return result < 0 ? result : 0;
}

void loop_sim_find_end(struct loop_sim_find *find)
{
    loop_sim_entry_unref(find->up);
    loop_sim_entry_unref(find->entry);
    loop_sim_file_unref(find->file);
    find->up = find->entry = NULL;
    find->file = NULL;
}
