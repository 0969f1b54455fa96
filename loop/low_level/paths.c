/* SPDX-License-Identifier: ISC
 *
 * The calls of <loop/low_level.h> on the loop itself and on paths, and fsync.
 */
#include <loop/core/close.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/core/scope.h>
#include <loop/event/timer.h>
#include <loop/kernel/memory.h>
#include <loop/low_level/kind.h>
#include <loop/low_level/start.h>
#include <loop/syscall/request.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* ---- the loop's own ---- */

loop_job loop_op_close(struct loop_scope *scope, struct loop_fd *fd, loop_fn *fn, void *arg)
{
    if (!loop_operation_is_good(scope, fd, NULL, __func__)) {
        return 0;
    }
    struct loop_scope *owner = loop_operation_scope(scope, fd);
    if (!loop_operation_has_fd(fd, __func__) || !loop_operation_is_of(owner->loop, fd)) {
        return loop_operation_known(scope, fd, -EINVAL, fn, arg, __func__);
    }
    return loop_fd_close_job(owner, fd, false, fn, arg);
}

loop_job loop_op_cancel(struct loop_scope *scope, loop_job target, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    loop_job id;
    struct loop_job *job = loop_job_start(scope, NULL, &loop_low_kind, fn, arg, &id);
    if (job) {
        loop_job_complete(scope->loop, job, loop_cancel(scope->loop, target));
    }
    return id;
}

loop_job loop_op_timeout(struct loop_scope *scope, int64_t at_ns, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    return loop_timer_start(scope, at_ns, &loop_timeout_kind, fn, arg);
}

/* ---- files ---- */

/* Returns the number of the directory for the system call. Drops a directory that an absolute path does not use; with
 * RESOLVE_IN_ROOT the path uses it as the root. */
static int number_of_dir(struct loop_fd **dir, const char *path, uint64_t resolve)
{
    if (path[0] == '/' && !(resolve & RESOLVE_IN_ROOT)) {
        *dir = NULL;
    }
    return *dir ? (*dir)->number : AT_FDCWD;
}

/* Returns the arguments for the kernel. It refuses a mode where nothing can be created. */
static struct open_how kernel_how(const struct loop_open_how *how)
{
    bool may_create = (how->flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0;
    return (struct open_how){
        .flags = how->flags | O_CLOEXEC, .mode = may_create ? how->mode : 0, .resolve = how->resolve};
}

loop_job loop_op_openat2(struct loop_scope *scope, const char *path, const struct loop_open_how *how, loop_fn *fn,
                         void *arg)
{
    struct loop_fd *dir = how ? how->dir : NULL;
    if (!loop_operation_is_good(scope, dir, NULL, __func__)) {
        return 0;
    }
    struct loop_scope *owner = loop_operation_scope(scope, dir);
    if (!path || !how || !fn) {
        return loop_operation_known(owner, NULL, -EINVAL, fn, arg, __func__);
    }
    size_t path_size = strlen(path) + 1;
    struct loop_open_request *request = loop_kernel_malloc(sizeof *request + path_size);
    if (!request) {
        return 0;
    }
    request->how = kernel_how(how);
    request->dir_number = number_of_dir(&dir, path, how->resolve);
    memcpy(request->path, path, path_size);
    struct loop_operation operation = {
        .scope = owner, .fd = dir, .op = LOOP_OP_OPENAT2, .fn = fn, .arg = arg, .function = __func__};
    operation.args.extra = request;
    return loop_operation_start(&operation);
}

loop_job loop_op_statx(struct loop_scope *scope, struct loop_fd *dir, const char *path, int flags, unsigned mask,
                       struct statx *buf, loop_fn *fn, void *arg)
{
    if (!loop_operation_is_good(scope, dir, NULL, __func__)) {
        return 0;
    }
    struct loop_scope *owner = loop_operation_scope(scope, dir);
    if (!path || !buf) {
        return loop_operation_known(owner, NULL, -EINVAL, fn, arg, __func__);
    }
    size_t path_size = strlen(path) + 1;
    struct loop_path_request *request = loop_kernel_malloc(sizeof *request + path_size);
    if (!request) {
        return 0;
    }
    request->dir_number = number_of_dir(&dir, path, 0);
    memcpy(request->path, path, path_size);
    struct loop_operation operation = {
        .scope = owner, .fd = dir, .op = LOOP_OP_STATX, .fn = fn, .arg = arg, .function = __func__};
    operation.args = (struct loop_op_args){.statx = {buf, mask, flags}, .extra = request};
    return loop_operation_start(&operation);
}

loop_job loop_op_fsync(struct loop_scope *scope, struct loop_fd *fd, unsigned flags, loop_fn *fn, void *arg)
{
    struct loop_operation operation = {
        .scope = scope, .fd = fd, .op = LOOP_OP_FSYNC, .fn = fn, .arg = arg, .function = __func__};
    operation.args.sync.is_data_only = flags & LOOP_OP_DATA_ONLY;
    operation.error = fd && !(flags & ~(unsigned)LOOP_OP_DATA_ONLY) ? 0 : -EINVAL;
    return loop_operation_start(&operation);
}
