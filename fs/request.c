/* SPDX-License-Identifier: ISC
 *
 * Requests: copied, run on a thread of the pool, delivered. A request is freed after its continuation has been resumed
 * and its thread has returned: a thread that hangs does not delay the cancel of an operation that changes nothing.
 */
#include <fs/request.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

/* Returns whether a thread is to find out about the file system of the current directory, which may be another one at
 * each call. That of a directory which was opened is known. */
static bool is_to_find_system(const struct loop_fs_request *request)
{
    return request->tries_cache && !request->at.only_cached && request->dir->is_confined && !request->dir->fd;
}

static int64_t run(void *arg)
{
    struct loop_fs_request *request = arg;

    assert(request->run); /* what the continuation writes is not for a thread, which may be late */
    if (is_to_find_system(request)) {
        loop_fs_find_current_system(&request->system);
    }
    return request->result = request->run(request);
}

static void on_done(void *arg, int64_t result)
{
    struct loop_fs_request *request = arg;

    assert(!request->is_delivered);
    request->is_delivered = result >= 0;
    if (request->is_delivered && is_to_find_system(request)) {
        request->dir->device = request->system.device;
        request->dir->is_local = request->system.is_local;
    }
    if (request->deliver) {
        result = request->deliver(request, result);
    }
    loop_part_continue(request->scope, request->fn, request->arg, result);
}

/* Frees the request, and what was made but could not be delivered. */
static void release(void *arg)
{
    struct loop_fs_request *request = arg;
    bool is_left = request->result >= 0 && !request->is_delivered;

    assert(!request->makes_number || !request->makes_memory);
    if (is_left && request->makes_number) {
        loop_kernel_close(request->made.number);
    }
    if (is_left && request->makes_memory) {
        loop_kernel_free(request->made.memory);
    }
    loop_kernel_free(request);
}

/* For a job that has its result only after its thread has returned. */
static void on_done_and_over(void *arg, int64_t result)
{
    on_done(arg, result);
    release(arg);
}

/* ---- starting ---- */

static int check_path(const struct loop_dir *dir, const char *path)
{
    if (!dir || !path) {
        return -EINVAL;
    }
    return strnlen(path, PATH_MAX) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int check(const struct loop_fs_request *request)
{
    int error = request->error;

    if (error == 0 && !request->file) {
        error = check_path(request->dir, request->path);
    }
    if (error == 0 && request->has_second) {
        error = check_path(request->second_dir, request->second_path);
    }
    return error;
}

static struct loop_scope *scope_of(const struct loop_fs_request *request)
{
    if (request->scope) {
        return request->scope;
    }
    return request->file ? loop_fd_scope(request->file) : request->dir ? request->dir->scope : NULL;
}

static struct loop_fs_request *copy(const struct loop_fs_request *request, int error)
{
    size_t len = error == 0 && request->path ? strlen(request->path) + 1 : 0;
    size_t second_len = error == 0 && request->second_path ? strlen(request->second_path) + 1 : 0;
    struct loop_fs_request *copied = loop_kernel_malloc(sizeof *copied + len + second_len);

    if (!copied) {
        return NULL;
    }
    *copied = *request;
    copied->scope = scope_of(request);
    copied->result = -ECANCELED; /* until `run` returns */
    if (len > 0) {
        copied->path = memcpy(copied->text, request->path, len);
    }
    if (second_len > 0) {
        copied->second_path = memcpy(copied->text + len, request->second_path, second_len);
    }
    return copied;
}

static struct loop_fs_place place_of(const struct loop_dir *dir)
{
    return (struct loop_fs_place){.number = dir->fd ? loop_fd_peek(dir->fd) : AT_FDCWD,
                                  .is_confined = dir->is_confined};
}

/* Returns the descriptor that the work is on. */
static struct loop_fd *fill_places(struct loop_fs_request *request)
{
    if (request->file) {
        request->at.number = loop_fd_peek(request->file);
        return request->file;
    }
    request->at = place_of(request->dir);
    request->system = (struct loop_fs_system){request->dir->device, request->dir->is_local};
    return request->dir->fd;
}

static loop_job start_work(struct loop_fs_request *request)
{
    struct loop_fd *fd = fill_places(request), *second = NULL;

    assert(!request->has_second || !request->uses); /* the job has one second descriptor */
    if (request->has_second) {
        request->second = place_of(request->second_dir);
        second = request->second_dir->fd;
    } else if (request->uses) {
        request->used_number = loop_fd_peek(request->uses);
        second = request->uses;
    }
    struct loop_work_options options = {.fd = fd, .second = second, .takes_long = request->takes_long};
    if (request->waits) {
        return loop_work_with(request->scope, &options, run, request, on_done_and_over, request);
    }
    options.release = release;
    return loop_work_with(request->scope, &options, run, request, on_done, request);
}

/* Starts a job that completes with `result` without any work. Returns 0 when there is no memory. */
static loop_job end_at_once(struct loop_fs_request *request, int64_t result)
{
    loop_job job = loop_promise(request->scope, NULL, NULL, on_done_and_over, request);

    if (job) {
        loop_resolve(loop_scope_loop(request->scope), job, result);
    }
    return job;
}

/* Returns whether the directory can be used on this thread: one of another loop is another thread's. */
static bool is_usable(const struct loop_dir *dir, const struct loop_scope *scope)
{
    return !dir->fd || (loop_scope_loop(loop_fd_scope(dir->fd)) == loop_scope_loop(scope) && loop_fd_is_open(dir->fd));
}

/* Returns whether the directory is known to be on a local file system. */
static bool is_local(const struct loop_dir *dir)
{
    return dir->is_confined && dir->is_local && (dir->fd || loop_fs_device(AT_FDCWD) == dir->device);
}

/* Runs the request on the loop's thread, out of the kernel's cache, which takes less time than waking a thread. Returns
 * false when the path is not in the cache, or that can not be known. */
static bool try_cache(struct loop_fs_request *request, int64_t *result)
{
    const struct loop_dir *dir = request->dir;

    if (!request->tries_cache || !is_local(dir) || !is_usable(dir, request->scope) ||
        loop_scope_is_cancelled(request->scope)) {
        return false;
    }
    assert(!request->file && !request->has_second && !request->at.only_cached);
    (void)fill_places(request);
    request->at.only_cached = true;
    *result = run(request);
    return *result != -EAGAIN;
}

static loop_job start(struct loop_fs_request *request, int64_t result)
{
    if (result == 0 && !try_cache(request, &result)) {
        return start_work(request);
    }
    return end_at_once(request, result);
}

bool loop_fs_is_good_place(const struct loop_scope *scope, const struct loop_dir *dir, const char *function)
{
    if (scope && !loop_check_scope(scope, function)) {
        return false;
    }
    bool is_good = loop_check_object(dir, offsetof(struct loop_dir, scope), "directory", function);
    return dir ? is_good && (!dir->fd || loop_check_fd(dir->fd, function)) : scope != NULL;
}

bool loop_fs_is_good_file(const struct loop_scope *scope, const struct loop_fd *file, const char *function)
{
    if (scope && !loop_check_scope(scope, function)) {
        return false;
    }
    bool is_good = loop_check_fd(file, function);
    return is_good || (scope && !file);
}

static bool is_good(const struct loop_fs_request *asked)
{
    const struct loop_dir *second = asked->second_dir;

    if (!asked->function) {
        return true;
    }
    if (!(asked->is_on_file ? loop_fs_is_good_file(asked->scope, asked->file, asked->function)
                            : loop_fs_is_good_place(asked->scope, asked->dir, asked->function))) {
        return false;
    }
    return !asked->has_second || loop_fs_is_good_place(scope_of(asked), second, asked->function);
}

loop_job loop_fs_start(const struct loop_fs_request *asked)
{
    if (!is_good(asked)) {
        return 0;
    }
    int error = check(asked);
    struct loop_fs_request *request = scope_of(asked) ? copy(asked, error) : NULL;

    if (!request) {
        return 0;
    }
    loop_job job = start(request, error);
    if (!job) {
        release(request);
    }
    return job;
}

/* ---- delivering ---- */

int64_t loop_fs_deliver_memory(struct loop_fs_request *request, int64_t result)
{
    if (result >= 0) {
        void **out = request->out;
        assert(request->makes_memory && request->made.memory && out);
        *out = request->made.memory;
        loop_kernel_give(*out);
    }
    return result;
}

struct loop_fd *loop_fs_adopt(struct loop_fs_request *request, int64_t *result)
{
    if (*result < 0) {
        return NULL;
    }
    assert(request->makes_number && request->made.number >= 0);
    struct loop_fd *fd = loop_fd_adopt(request->scope, request->made.number);
    if (!fd) {
        *result = -ENOMEM;
    }
    return fd;
}
