/* SPDX-License-Identifier: ISC
 *
 * Walking a path component by component beneath a directory: what openat2 with RESOLVE_BENEATH does, for kernels and
 * filters that do not allow it, and how a path without links is made.
 *
 * Each step opens one name without following it, in a directory that was reached from the base by such steps, so that
 * no step leads out. A link is read, and its text is walked in its place. ".." removes the last name of the way, and
 * the rest of the way is walked again from the base: a directory is never asked for its parent, which may have changed.
 */
#include <fs/outcome.h>
#include <fs/walk.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>
#include <loop/kernel/process.h>

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The number of links that the kernel follows. */
#define MOST_LINKS 40

struct walk {
    int base, current; /* `current` is the base's own number while the walk is there */
    const struct open_how *how;
    unsigned n_links;
    char *rest; /* still to be walked; its next component begins at `at` */
    char *at;
    char *way; /* from the base to the current directory: "a/b", without links */
    size_t way_len, way_room;
    char name[NAME_MAX + 1]; /* the current component */
    bool is_last, has_slash; /* only slashes follow it; a slash follows it */
};

/* ---- text ---- */

bool loop_fs_is_itself(const char *path)
{
    bool is = *path == '.';

    while (path[0] == '.' && (path[1] == '/' || path[1] == '\0')) {
        path++;
        path += strspn(path, "/");
    }
    return is && *path == '\0';
}

static bool wants(const struct walk *walk, uint64_t flag)
{
    return (walk->how->flags & flag) == flag;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Takes the next component. A name with a slash behind it is never created: that is -EISDIR before the name is looked
 * up, as in the kernel. Returns 0 or -errno. */
static int take_component(struct walk *walk)
{
    char *start = walk->at + strspn(walk->at, "/");
    size_t len = strcspn(start, "/"), kept = len < NAME_MAX ? len : NAME_MAX;

    memcpy(walk->name, start, kept);
    walk->name[kept] = '\0';
    walk->has_slash = start[len] == '/';
    walk->at = start + len + strspn(start + len, "/");
    walk->is_last = *walk->at == '\0';
    if (walk->is_last && walk->has_slash && wants(walk, O_CREAT) && !is_dots(walk->name)) {
        return -EISDIR;
    }
    return len > NAME_MAX ? -ENAMETOOLONG : 0;
}

/* Puts the text of a link in front of what is still to be walked. */
static int put_in_front(struct walk *walk, const char *target)
{
    size_t size = strlen(target) + 1 + strlen(walk->at) + 1;
    char *rest = loop_kernel_malloc(size);

    if (!rest) {
        return -ENOMEM;
    }
    snprintf(rest, size, "%s%s%s", target, walk->has_slash ? "/" : "", walk->at);
    loop_kernel_free(walk->rest);
    walk->rest = rest;
    walk->at = rest;
    return 0;
}

static int add_to_way(struct walk *walk, const char *name)
{
    size_t len = strlen(name), needed = walk->way_len + len + 2;

    if (needed > walk->way_room) {
        char *way = loop_kernel_realloc(walk->way, 2 * needed);
        if (!way) {
            return -ENOMEM;
        }
        walk->way = way;
        walk->way_room = 2 * needed;
    }
    if (walk->way_len > 0) {
        walk->way[walk->way_len++] = '/';
    }
    memcpy(walk->way + walk->way_len, name, len + 1);
    walk->way_len += len;
    assert(walk->way_len < walk->way_room);
    return 0;
}

/* ---- steps ---- */

static void move_to(struct walk *walk, int number)
{
    assert(number == walk->base || (number >= 0 && number != walk->current));
    if (walk->current != walk->base) {
        loop_kernel_close(walk->current);
    }
    walk->current = number;
}

static int open_name(int dir, const char *name, int more_flags)
{
    return (int)loop_fs_outcome(loop_kernel_openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | more_flags, 0));
}

/* Walks the way again from the base. Returns 0 or -errno: -EAGAIN when it is not there any more. */
static int go_way(struct walk *walk)
{
    char name[NAME_MAX + 1];
    size_t len;

    move_to(walk, walk->base);
    for (const char *at = walk->way; *at; at += len + (at[len] == '/')) {
        len = strcspn(at, "/");
        memcpy(name, at, len);
        name[len] = '\0';
        int number = open_name(walk->current, name, O_DIRECTORY);
        if (number < 0) {
            return number == -ENOENT || number == -ENOTDIR || number == -ELOOP ? -EAGAIN : number;
        }
        move_to(walk, number);
    }
    return 0;
}

/* Goes to the directory above. The kernel needs the permission to search a directory before it leaves it upwards, and
 * an open of "." asks for the same. Returns 0 or -errno. */
static int step_up(struct walk *walk)
{
    if (walk->way_len == 0) {
        return -EXDEV;
    }
    int probe = open_name(walk->current, ".", 0);
    if (probe < 0) {
        return probe;
    }
    loop_kernel_close(probe);
    assert(walk->way[walk->way_len] == '\0');
    char *slash = strrchr(walk->way, '/');
    walk->way_len = slash ? (size_t)(slash - walk->way) : 0;
    walk->way[walk->way_len] = '\0';
    return go_way(walk);
}

/* Returns whether a link of /proc leads to an object rather than to a name: its text is an absolute path or
 * "kind:[number]". */
static bool is_magic(int link, const char *target)
{
    struct statfs fs;

    return loop_kernel_fstatfs(link, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC &&
           (target[0] == '/' || strchr(target, ':'));
}

/* Returns whether a link is another user's in a directory where all users may create but not remove (/tmp). The kernel
 * does not follow it (proc(5), protected_symlinks), and neither does the walk. */
static bool is_suspicious(const struct walk *walk, const struct stat *link)
{
    const mode_t mask = S_ISVTX | S_IWOTH;
    struct stat dir;

    return link->st_uid != loop_kernel_geteuid() && loop_kernel_fstatat(walk->current, "", &dir, AT_EMPTY_PATH) == 0 &&
           (dir.st_mode & mask) == mask && dir.st_uid != link->st_uid;
}

static int follow(struct walk *walk, int link, const struct stat *status)
{
    char target[PATH_MAX];

    if (walk->n_links++ >= MOST_LINKS || (walk->how->resolve & RESOLVE_NO_SYMLINKS)) {
        return -ELOOP;
    }
    if (is_suspicious(walk, status)) {
        return -EACCES;
    }
    ssize_t len = loop_kernel_readlinkat(link, "", target, sizeof target);
    if (len < 0) {
        return -errno;
    }
    if (len == sizeof target) {
        return -ENAMETOOLONG;
    }
    target[len] = '\0';
    if (is_magic(link, target)) {
        return -ELOOP;
    }
    return target[0] == '/' ? -EXDEV : put_in_front(walk, target);
}

/* ---- the last step ---- */

/* Returns whether a link at the end is opened itself, or refused by the kernel for being one. */
static bool stays_at_link(const struct walk *walk)
{
    return (wants(walk, O_NOFOLLOW) && !walk->has_slash) || wants(walk, O_CREAT | O_EXCL);
}

/* Opens the last component with the caller's flags. It was no link when it was examined. */
static int open_last(const struct walk *walk)
{
    int flags = (int)walk->how->flags | O_NOFOLLOW;

    if (walk->has_slash && !is_dots(walk->name)) {
        flags |= O_DIRECTORY;
    }
    int result = (int)loop_fs_outcome(loop_kernel_openat(walk->current, walk->name, flags, (mode_t)walk->how->mode));
    return result == -ELOOP && !stays_at_link(walk) ? -EAGAIN : result;
}

/* Opens the last component, which has been found as `number`; with O_PATH that is the result. */
static int open_found(const struct walk *walk, int number, bool is_directory)
{
    int result = number;

    if (!wants(walk, O_PATH)) {
        result = open_last(walk);
    } else if (!is_directory && (walk->has_slash || wants(walk, O_DIRECTORY))) {
        result = -ENOTDIR;
    }
    if (result != number) {
        loop_kernel_close(number);
    }
    return result;
}

/* ---- the walk ---- */

enum step { STEP_DONE, STEP_ON };

/* Enters the directory `number`, which is not the last component. Returns 0 or -errno. */
static int go_into(struct walk *walk, int number, bool is_directory)
{
    int error = is_directory ? add_to_way(walk, walk->name) : -ENOTDIR;

    if (error == 0) {
        move_to(walk, number);
    } else {
        loop_kernel_close(number);
    }
    return error;
}

/* Takes a component that is a name. Returns STEP_DONE where that ends the walk, with the descriptor or the error in
 * `*result`. */
static enum step take_name(struct walk *walk, int *result)
{
    struct stat status;
    int number = open_name(walk->current, walk->name, 0);

    if (number < 0) {
        bool creates = number == -ENOENT && walk->is_last && wants(walk, O_CREAT);
        *result = creates ? open_last(walk) : number;
        return STEP_DONE;
    }
    *result = loop_kernel_fstat(number, &status) < 0 ? -errno : 0;
    bool is_link = *result == 0 && S_ISLNK(status.st_mode), is_directory = *result == 0 && S_ISDIR(status.st_mode);
    if (is_link && !(walk->is_last && stays_at_link(walk))) {
        *result = follow(walk, number, &status);
        loop_kernel_close(number);
    } else if (*result == 0 && walk->is_last) {
        *result = open_found(walk, number, is_directory);
        return STEP_DONE;
    } else if (*result == 0) {
        *result = go_into(walk, number, is_directory);
    } else {
        loop_kernel_close(number);
    }
    return *result == 0 ? STEP_ON : STEP_DONE;
}

/* Takes a component that is "." or "..". */
static enum step take_dots(struct walk *walk, int *result)
{
    *result = walk->name[1] == '.' ? step_up(walk) : 0;
    if (*result == 0 && walk->is_last) {
        memcpy(walk->name, ".", 2);
        *result = open_last(walk);
        return STEP_DONE;
    }
    return *result == 0 ? STEP_ON : STEP_DONE;
}

static int go(struct walk *walk)
{
    enum step step;
    int result;

    do {
        result = take_component(walk);
        if (result < 0) {
            return result;
        }
        step = is_dots(walk->name) ? take_dots(walk, &result) : take_name(walk, &result);
    } while (step == STEP_ON);
    return result;
}

static int begin(struct walk *walk, int base, const char *path, const struct open_how *how)
{
    *walk = (struct walk){.base = base, .current = base, .how = how};
    if (path[0] == '\0') {
        return -ENOENT;
    }
    if (path[0] == '/') {
        return -EXDEV;
    }
    walk->rest = loop_kernel_strdup(path);
    walk->way = loop_kernel_calloc(1, 1);
    walk->way_room = 1;
    walk->at = walk->rest;
    return walk->rest && walk->way ? 0 : -ENOMEM;
}

static void finish(struct walk *walk)
{
    move_to(walk, walk->base);
    assert(walk->current == walk->base);
    loop_kernel_free(walk->rest);
    loop_kernel_free(walk->way);
}

int loop_fs_walk(int base, const char *path, const struct open_how *how)
{
    struct walk walk;
    int result = begin(&walk, base, path, how);

    if (result == 0) {
        result = go(&walk);
    }
    finish(&walk);
    return result;
}

/* Stores the way with the last name, unless that was "." or "..", which have changed the way. Returns 0 or -errno. */
static int take_way(struct walk *walk, char **real)
{
    int error = is_dots(walk->name) && walk->way_len > 0 ? 0 : add_to_way(walk, walk->name);

    if (error == 0) {
        *real = walk->way;
        walk->way = NULL;
    }
    return error;
}

int loop_fs_walk_real(int base, const char *path, char **real)
{
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC};
    struct walk walk;

    if (loop_fs_is_itself(path)) {
        *real = loop_kernel_strdup(".");
        return *real ? 0 : -ENOMEM;
    }
    int result = begin(&walk, base, path, &how);

    if (result == 0) {
        result = go(&walk);
    }
    if (result >= 0) {
        loop_kernel_close(result);
        result = take_way(&walk, real);
    }
    finish(&walk);
    return result;
}
