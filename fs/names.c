/* SPDX-License-Identifier: ISC
 *
 * Creating, renaming and removing names. The parent is resolved beneath the directory; the last component is left to a
 * call that does not follow links.
 */
#include <fs/request.h>
#include <loop/kernel/file.h>
#include <loop/kernel/path.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Runs `act` on the last component of a path. Returns its result or -errno. */
static int64_t act_on_leaf(struct loop_fs_place at, const char *path, const struct loop_fs_request *request,
                           int64_t (*act)(const struct loop_fs_request *request, const struct loop_fs_leaf *leaf))
{
    struct loop_fs_leaf leaf;
    int64_t result = loop_fs_find_leaf(at, path, &leaf);

    if (result == 0) {
        result = act(request, &leaf);
        loop_fs_leave(&leaf);
    }
    return result;
}

/* ---- making directories ---- */

#define DEFAULT_DIRECTORY_MODE 0777

static int64_t mkdir_leaf(const struct loop_fs_request *request, const struct loop_fs_leaf *leaf)
{
    return loop_fs_outcome(loop_kernel_mkdirat(leaf->dir, leaf->name, (mode_t)request->mode));
}

static int64_t run_mkdir(struct loop_fs_request *request)
{
    return act_on_leaf(request->at, request->path, request, mkdir_leaf);
}

loop_job loop_fs_mkdir(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned mode, loop_fn *fn,
                       void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_mkdir, .waits = true,
                                                   .error = mode & ~07777u ? -EINVAL : 0,
                                                   .mode = mode ? mode : DEFAULT_DIRECTORY_MODE});
}

static int64_t check_is_directory(const struct loop_fs_request *request)
{
    int number = loop_fs_open_at(request->at, request->path, &(struct open_how){.flags = O_PATH | O_DIRECTORY});

    if (number < 0) {
        return number == -ENOTDIR ? -EEXIST : number;
    }
    loop_kernel_close(number);
    return 0;
}

/* Returns where the component after `at` ends. */
static size_t next_end(const char *path, size_t at)
{
    at += strspn(path + at, "/");
    return at + strcspn(path + at, "/");
}

/* Makes the directory that each beginning of the path names. A link in it is resolved each time, beneath the
 * directory. */
static int64_t run_mkdirs(struct loop_fs_request *request)
{
    char beginning[PATH_MAX];
    size_t end = 0;
    int64_t result = -ENOENT;

    while ((end = next_end(request->path, end)) > 0) {
        if (loop_work_is_cancelled()) {
            return -ECANCELED;
        }
        memcpy(beginning, request->path, end);
        beginning[end] = '\0';
        result = act_on_leaf(request->at, beginning, request, mkdir_leaf);
        if ((result < 0 && result != -EEXIST) || request->path[end + strspn(request->path + end, "/")] == '\0') {
            break;
        }
    }
    return result == -EEXIST ? check_is_directory(request) : result;
}

loop_job loop_fs_mkdirs(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned mode, loop_fn *fn,
                        void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_mkdirs, .waits = true,
                                                   .error = mode & ~07777u ? -EINVAL : 0,
                                                   .mode = mode ? mode : DEFAULT_DIRECTORY_MODE});
}

/* ---- removing ---- */

static int64_t unlink_leaf(const struct loop_fs_request *request, const struct loop_fs_leaf *leaf)
{
    return loop_fs_outcome(loop_kernel_unlinkat(leaf->dir, leaf->name, request->flags));
}

static int64_t run_unlink(struct loop_fs_request *request)
{
    return act_on_leaf(request->at, request->path, request, unlink_leaf);
}

loop_job loop_fs_unlink(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_unlink, .waits = true});
}

loop_job loop_fs_rmdir(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_fn *fn, void *arg)
{
    return loop_fs_start(
        &(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_unlink, .waits = true, .flags = AT_REMOVEDIR});
}

/* ---- two names ---- */

static int64_t rename_leaf(const struct loop_fs_request *request, const struct loop_fs_leaf *to)
{
    struct loop_fs_leaf from;
    int64_t result = loop_fs_find_leaf(request->at, request->path, &from);

    if (result == 0) {
        result =
            loop_fs_outcome(loop_kernel_renameat2(from.dir, from.name, to->dir, to->name, (unsigned)request->flags));
        loop_fs_leave(&from);
    }
    return result;
}

static int64_t run_rename(struct loop_fs_request *request)
{
    return act_on_leaf(request->second, request->second_path, request, rename_leaf);
}

/* Returns the flags of renameat2(2), or -EINVAL for what is no enum loop_rename. */
static int rename_flags(enum loop_rename how)
{
    switch (how) {
    case LOOP_RENAME_REPLACE: return 0;
    case LOOP_RENAME_NOREPLACE: return RENAME_NOREPLACE;
    case LOOP_RENAME_EXCHANGE: return RENAME_EXCHANGE;
    }
    return -EINVAL;
}

loop_job loop_fs_rename(struct loop_scope *scope, struct loop_dir *from_dir, const char *from, struct loop_dir *to_dir,
                        const char *to, enum loop_rename how, loop_fn *fn, void *arg)
{
    int flags = rename_flags(how);

    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATHS, .run = run_rename, .waits = true, .flags = flags});
}

/* Refuses to link a path with a slash at its end. The slash asks for a directory, which can not have a second name, and
 * the kernel would follow a link wherever it leads. Returns 0 or -errno. */
static int64_t check_linked(struct loop_fs_place at, const char *path)
{
    size_t len = strlen(path);

    if (!at.is_confined || len == 0 || path[len - 1] != '/') {
        return 0;
    }
    int number = loop_fs_open_at(at, path, &(struct open_how){.flags = O_PATH | O_DIRECTORY});
    if (number < 0) {
        return number;
    }
    loop_kernel_close(number);
    return -EPERM;
}

static int64_t link_leaf(const struct loop_fs_request *request, const struct loop_fs_leaf *to)
{
    struct loop_fs_leaf from;
    int64_t result = check_linked(request->at, request->path);

    if (result == 0) {
        result = loop_fs_find_leaf(request->at, request->path, &from);
    }
    if (result == 0) {
        result = loop_fs_outcome(loop_kernel_linkat(from.dir, from.name, to->dir, to->name, 0));
        loop_fs_leave(&from);
    }
    return result;
}

static int64_t run_link(struct loop_fs_request *request)
{
    return act_on_leaf(request->second, request->second_path, request, link_leaf);
}

loop_job loop_fs_link(struct loop_scope *scope, struct loop_dir *from_dir, const char *from, struct loop_dir *to_dir,
                      const char *to, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATHS, .run = run_link, .waits = true});
}

/* Makes a link whose text is the second path of the request. */
static int64_t symlink_leaf(const struct loop_fs_request *request, const struct loop_fs_leaf *leaf)
{
    return loop_fs_outcome(loop_kernel_symlinkat(request->second_path, leaf->dir, leaf->name));
}

static int64_t run_symlink(struct loop_fs_request *request)
{
    return act_on_leaf(request->at, request->path, request, symlink_leaf);
}

loop_job loop_fs_symlink(struct loop_scope *scope, const char *target, struct loop_dir *dir, const char *path,
                         loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .second_path = target, .run = run_symlink,
                                                   .waits = true, .error = target ? 0 : -EINVAL});
}
