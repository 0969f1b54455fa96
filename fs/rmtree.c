/* SPDX-License-Identifier: ISC
 *
 * Removing a tree of any depth, with one descriptor open at a time. The way up is "..", which is used only when it
 * leads to the directory that was left. What a link points to is never touched: directories are entered without
 * following, and everything else is removed by its name.
 */
#include <fs/request.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

/* A directory on the way from the top of the tree to the current one. */
struct level {
    struct level *up;
    dev_t device;
    ino_t inode;
    bool has_removed; /* something, since it was read from the beginning */
    size_t at, len;   /* the rest of the entries that were read last */
    _Alignas(struct loop_kernel_dirent) char entries[2048];
    char name[]; /* in the directory above */
};

struct removal {
    int current; /* the directory of `level` */
    struct level *level;
};

static const struct loop_kernel_dirent *entry_at(const struct level *level)
{
    return (const struct loop_kernel_dirent *)(const void *)(level->entries + level->at);
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Reads the next entries of the current directory. Returns how many bytes; 0 at the end, and in a directory that
 * another process has removed; or -errno. */
static int64_t read_entries(struct removal *removal)
{
    struct level *level = removal->level;
    int64_t len = loop_fs_outcome(loop_kernel_getdents64(removal->current, level->entries, sizeof level->entries));

    level->at = 0;
    level->len = len > 0 ? (size_t)len : 0;
    return len == -ENOENT ? 0 : len;
}

/* Returns the next entry, or NULL with 0 at the end or -errno in `*result`. Reading goes on where it was in a directory
 * that changes meanwhile. Entries that it missed for that are found by reading once more after something has been
 * removed. */
static const struct loop_kernel_dirent *next_entry(struct removal *removal, int64_t *result)
{
    struct level *level = removal->level;

    for (;;) {
        while (level->at < level->len) {
            const struct loop_kernel_dirent *entry = entry_at(level);
            assert(entry->d_reclen > 0 && entry->d_reclen <= level->len - level->at);
            level->at += entry->d_reclen;
            if (!is_dots(entry->d_name)) {
                return entry;
            }
        }
        *result = read_entries(removal);
        if (*result < 0 || (*result == 0 && !level->has_removed)) {
            return NULL;
        }
        if (*result == 0) {
            level->has_removed = false;
            loop_kernel_lseek(removal->current, 0, SEEK_SET);
        }
    }
}

static struct level *make_level(struct level *up, const struct stat *status, const char *name)
{
    size_t name_size = strlen(name) + 1;
    struct level *level = loop_kernel_malloc(sizeof *level + name_size);

    if (level) {
        level->up = up;
        level->device = status->st_dev;
        level->inode = status->st_ino;
        level->has_removed = false;
        level->at = 0;
        level->len = 0;
        memcpy(level->name, name, name_size);
    }
    return level;
}

/* Removes an empty directory by its name. A directory without all the permissions to search it can perhaps be entered,
 * but not left, since ".." is looked up in it. Returns whether it has removed one. */
static bool removes_at_once(int dir, const char *name, const struct stat *status)
{
    const mode_t search = S_IXUSR | S_IXGRP | S_IXOTH;

    return (status->st_mode & search) != search && loop_kernel_unlinkat(dir, name, AT_REMOVEDIR) == 0;
}

/* Enters the directory `name` of `dir`, unless it can be removed at once. Returns 0, -ENOTDIR when it is something
 * else, or another -errno. */
static int64_t enter(struct removal *removal, int dir, const char *name)
{
    int number = loop_kernel_openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    struct stat status = {.st_mode = 0};

    if (number < 0) {
        int error = errno == ELOOP ? ENOTDIR : errno;
        return error == EACCES && removes_at_once(dir, name, &status) ? 0 : -error;
    }
    int64_t result = loop_fs_outcome(loop_kernel_fstat(number, &status));
    if (result < 0 || removes_at_once(dir, name, &status)) {
        loop_kernel_close(number);
        return result;
    }
    struct level *level = make_level(removal->level, &status, name);
    if (!level) {
        loop_kernel_close(number);
        return -ENOMEM;
    }
    if (removal->level) {
        loop_kernel_close(removal->current);
    }
    removal->level = level;
    removal->current = number;
    return 0;
}

/* Leaves an empty directory upwards, and removes it. */
static int64_t leave(struct removal *removal)
{
    struct level *level = removal->level, *up = level->up;
    struct stat status;

    assert(up && level->at == level->len && removal->current >= 0);
    int above = loop_kernel_openat(removal->current, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK, 0);

    if (above < 0) {
        return -errno;
    }
    bool is_where_we_were =
        loop_kernel_fstat(above, &status) == 0 && status.st_dev == up->device && status.st_ino == up->inode;
    if (!is_where_we_were) {
        loop_kernel_close(above);
        return -EXDEV;
    }
    loop_kernel_close(removal->current);
    removal->current = above;
    removal->level = up;
    up->has_removed = true;
    int64_t result = loop_fs_outcome(loop_kernel_unlinkat(above, level->name, AT_REMOVEDIR));
    loop_kernel_free(level);
    return result == -ENOENT ? 0 : result;
}

/* Removes a file, or enters a directory. Returns 0 or -errno. */
static int64_t remove_entry(struct removal *removal, const struct loop_kernel_dirent *entry)
{
    struct level *level = removal->level;

    assert(level && !is_dots(entry->d_name));
    int64_t result =
        entry->d_type == DT_DIR ? -EISDIR : loop_fs_outcome(loop_kernel_unlinkat(removal->current, entry->d_name, 0));

    if (result == -EISDIR) {
        result = enter(removal, removal->current, entry->d_name);
        if (result == -ENOTDIR) {
            result =
                loop_fs_outcome(loop_kernel_unlinkat(removal->current, entry->d_name, 0)); /* it has been replaced */
        }
    }
    level->has_removed |= result == 0 && removal->level == level;
    return result == -ENOENT ? 0 : result;
}

/* Removes everything in the directory of the top level. Returns 0 or -errno. */
static int64_t empty(struct removal *removal)
{
    int64_t result = 0;

    for (;;) {
        if (loop_work_is_cancelled()) {
            return -ECANCELED;
        }
        const struct loop_kernel_dirent *entry = next_entry(removal, &result);
        if (entry) {
            result = remove_entry(removal, entry);
        } else if (result == 0 && removal->level->up) {
            result = leave(removal);
        } else if (result == 0) {
            assert(!removal->level->up);
            return 0;
        }
        if (result < 0) {
            return result;
        }
    }
}

static void finish(struct removal *removal)
{
    if (removal->level) {
        loop_kernel_close(removal->current);
    }
    while (removal->level) {
        struct level *up = removal->level->up;
        loop_kernel_free(removal->level);
        removal->level = up;
    }
}

static int64_t remove_tree(int dir, const char *name)
{
    struct removal removal = {.level = NULL};
    int64_t result = enter(&removal, dir, name);

    if (!removal.level) {
        return result;
    }
    result = empty(&removal);
    finish(&removal);
    assert(!removal.level);
    if (result == 0) {
        result = loop_fs_outcome(loop_kernel_unlinkat(dir, name, AT_REMOVEDIR));
        result = result == -ENOENT ? 0 : result; /* another process has removed it */
    }
    return result;
}

/* Cuts the slashes at the end, with which a link would be followed. Returns whether the last component can be removed:
 * "." and ".." can not, and nothing in them should be either. */
static bool cut_slashes(char *path)
{
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    path[len] = '\0';
    const char *slash = strrchr(path, '/');
    const char *last = slash ? slash + 1 : path;
    return *last && !is_dots(last);
}

static int64_t remove_leaf(struct loop_fs_leaf *leaf)
{
    char name[PATH_MAX];
    int64_t result = loop_fs_outcome(loop_kernel_unlinkat(leaf->dir, leaf->name, 0));

    if (result != -EISDIR && result != -EPERM) {
        return result;
    }
    memcpy(name, leaf->name, strlen(leaf->name) + 1);
    (void)cut_slashes(name);
    int64_t removed = remove_tree(leaf->dir, name);
    return removed == -ENOTDIR ? result : removed;
}

static int64_t run_rmtree(struct loop_fs_request *request)
{
    char path[PATH_MAX];
    struct loop_fs_leaf leaf;

    memcpy(path, request->path, strlen(request->path) + 1);
    if (*path && !cut_slashes(path)) {
        return -EINVAL;
    }
    int64_t result = loop_fs_find_leaf(request->at, request->path, &leaf);
    if (result == 0) {
        result = remove_leaf(&leaf);
        loop_fs_leave(&leaf);
    }
    return result;
}

loop_job loop_fs_rmtree(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_fn *fn, void *arg)
{
    return loop_fs_start(
        &(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_rmtree, .waits = true, .takes_long = true});
}
