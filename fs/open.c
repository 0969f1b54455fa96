/* SPDX-License-Identifier: ISC
 *
 * Opening files and directories.
 */
#include <fs/attributes.h>
#include <fs/request.h>
#include <loop/kernel/file.h>
#include <loop/low_level.h>

#include <assert.h>
#include <fcntl.h>

/* ---- directories ---- */

static int64_t run_open_dir(struct loop_fs_request *request)
{
    request->made.number =
        loop_fs_open_at(request->at, request->path, &(struct open_how){.flags = O_PATH | O_DIRECTORY});
    if (request->made.number < 0) {
        return request->made.number;
    }
    if (!request->at.only_cached) { /* what is cached is on the file system of its directory */
        loop_fs_find_system(request->made.number, &request->system);
    }
    return 0;
}

static int64_t deliver_dir(struct loop_fs_request *request, int64_t result)
{
    struct loop_fd *fd = loop_fs_adopt(request, &result);
    struct loop_dir *dir = fd ? loop_scope_alloc(request->scope, sizeof *dir) : NULL;

    assert(request->out || !fd);
    if (dir) {
        *dir = (struct loop_dir){.scope = request->scope,
                                 .fd = fd,
                                 .is_confined = true,
                                 .device = request->system.device,
                                 .is_local = request->system.is_local};
        *(struct loop_dir **)request->out = dir;
    } else if (fd) {
        loop_fd_destroy(fd);
        result = -ENOMEM;
    }
    return result;
}

loop_job loop_fs_open_dir(struct loop_scope *scope, struct loop_dir *dir, const char *path, struct loop_dir **opened,
                          loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_open_dir, .deliver = deliver_dir,
                                                   .tries_cache = true, .makes_number = true,
                                                   .error = opened ? 0 : -EINVAL, .out = opened});
}

/* ---- files ---- */

/* Opens a file. O_NONBLOCK, unless it is asked for, is cleared afterwards; adopting the descriptor sets it again where
 * it is needed. Returns a descriptor or -errno. */
static int open_without_waiting(struct loop_fs_request *request)
{
    const struct open_how *how = &request->u.how;

    if (how->flags & (O_PATH | O_NONBLOCK)) {
        return loop_fs_open_at(request->at, request->path, how);
    }
    int number = loop_fs_open_promptly(request->at, request->path, how);
    if (number >= 0) {
        int flags = loop_kernel_fcntl(number, F_GETFL, 0);
        (void)loop_kernel_fcntl(number, F_SETFL, flags & ~O_NONBLOCK);
    }
    return number;
}

static int64_t run_open(struct loop_fs_request *request)
{
    int64_t result = open_without_waiting(request);

    if (result < 0) {
        return result;
    }
    request->made.number = (int)result;
    result = request->second_out ? loop_fs_stat_name(request->made.number, "", &request->stat) : 0;
    if (result < 0) {
        loop_kernel_close(request->made.number);
    }
    return result;
}

static int64_t deliver_file(struct loop_fs_request *request, int64_t result)
{
    struct loop_fd *fd = loop_fs_adopt(request, &result);

    if (fd) {
        if (request->polled) {
            (void)loop_fd_poll_device(fd);
        }
        *(struct loop_flow **)request->out = loop_fd_flow(fd);
        if (request->second_out) {
            *(struct loop_fs_status *)request->second_out = request->stat;
        }
    }
    return result;
}

static const int access_flags[] = {
    [LOOP_ACCESS_READ] = O_RDONLY, [LOOP_ACCESS_WRITE] = O_WRONLY, [LOOP_ACCESS_READ_WRITE] = O_RDWR};
static const int create_flags[] = {[LOOP_CREATE_NEVER] = 0,
                                   [LOOP_CREATE_IF_MISSING] = O_CREAT,
                                   [LOOP_CREATE_OR_TRUNCATE] = O_CREAT | O_TRUNC,
                                   [LOOP_CREATE_EXCLUSIVE] = O_CREAT | O_EXCL};

/* Translates the options for openat2(2). Returns 0, or -EINVAL for options that it would ignore or that exclude each
 * other. */
static int translate(const struct loop_open_options *options, struct open_how *how)
{
    if ((unsigned)options->access > LOOP_ACCESS_READ_WRITE || (unsigned)options->create > LOOP_CREATE_EXCLUSIVE ||
        options->mode & ~07777u || (options->tmpfile && options->create != LOOP_CREATE_NEVER)) {
        return -EINVAL;
    }
    int flags = access_flags[options->access] | create_flags[options->create];
    flags |= (options->append ? O_APPEND : 0) | (options->tmpfile ? O_TMPFILE : 0) | (int)options->flags;
    bool creates = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
    *how = (struct open_how){
        .flags = (unsigned)(flags & O_PATH ? flags : flags | O_NOCTTY),
        .mode = !creates        ? 0
                : options->mode ? options->mode
                                : LOOP_FS_DEFAULT_MODE,
        .resolve = options->resolve,
    };
    return 0;
}

/* Starts an open, with the places of what is stored and the error of a missing one in the request. */
static loop_job start_open(struct loop_fs_request *request, const struct loop_open_options *options)
{
    static const struct loop_open_options defaults;

    request->run = run_open;
    request->deliver = deliver_file;
    request->tries_cache = true;
    request->makes_number = true;
    if (!request->error) {
        request->error = translate(options ? options : &defaults, &request->u.how);
    }
    request->polled = options && options->polled;
    request->waits = request->u.how.flags & (O_CREAT | O_TRUNC);
    return loop_fs_start(request);
}

loop_job loop_fs_open(struct loop_scope *scope, struct loop_dir *dir, const char *path,
                      const struct loop_open_options *options, struct loop_flow **flow, loop_fn *fn, void *arg)
{
    return start_open(&(struct loop_fs_request){LOOP_FS_ON_PATH, .error = flow ? 0 : -EINVAL, .out = flow}, options);
}

loop_job loop_fs_open_stat(struct loop_scope *scope, struct loop_dir *dir, const char *path,
                           const struct loop_open_options *options, struct loop_flow **flow,
                           struct loop_fs_status *stat, loop_fn *fn, void *arg)
{
    return start_open(&(struct loop_fs_request){LOOP_FS_ON_PATH, .error = flow && stat ? 0 : -EINVAL, .out = flow,
                                                .second_out = stat},
                      options);
}
