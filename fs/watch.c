/* SPDX-License-Identifier: ISC
 *
 * Watching: inotify(7) as a stream of events.
 *
 * What the caller holds is a promise. Below it runs one job at a time, first the work that finds the directory and has
 * it watched, then reads of the inotify descriptor, each of which is delivered event by event. Those jobs are daemons:
 * what holds the scope open, or doesn't, is the promise.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCHED                                                                                                        \
    (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF)

struct watch {
    struct loop *loop;
    loop_watch_fn *fn;
    void *arg;
    loop_job promise, job; /* `job` is below the promise; 0 while none is */
    struct loop_fd *fd;
    struct loop_source *source;
    bool is_cancelled;
    _Alignas(struct inotify_event) char buffer[4096];
};

static void on_end(void *arg, int64_t result)
{
    struct watch *watch = arg;

    watch->fn(watch->arg, result, NULL);
    free(watch);
}

/* Between two jobs, from inside the caller's function, there is nothing to cancel: deliver() looks after it has
 * returned.
 */
static void on_cancel(void *arg, loop_job job)
{
    struct watch *watch = arg;

    (void)job;
    watch->is_cancelled = true;
    if (watch->job) {
        (void)loop_cancel(watch->loop, watch->job);
    }
}

static void end(struct watch *watch, int64_t result)
{
    loop_fd_destroy(watch->fd);
    watch->fd = NULL;
    loop_resolve(watch->loop, watch->promise, result);
}

/* ---- events ---- */

static const struct {
    uint32_t bit;
    enum loop_watch_kind kind;
} kinds[] = {
    {IN_CREATE, LOOP_WATCH_CREATED}, {IN_MODIFY, LOOP_WATCH_WRITTEN},        {IN_CLOSE_WRITE, LOOP_WATCH_FINISHED},
    {IN_ATTRIB, LOOP_WATCH_CHANGED}, {IN_MOVED_FROM, LOOP_WATCH_MOVED_FROM}, {IN_MOVED_TO, LOOP_WATCH_MOVED_TO},
    {IN_DELETE, LOOP_WATCH_DELETED}, {IN_Q_OVERFLOW, LOOP_WATCH_OVERFLOW},
};

static void deliver_one(struct watch *watch, const struct inotify_event *from)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (from->mask & kinds[i].bit) {
            const struct loop_watch_event event = {.kind = kinds[i].kind,
                                                   .name = from->len > 0 ? from->name : "",
                                                   .cookie = from->cookie,
                                                   .is_directory = (from->mask & IN_ISDIR) != 0};
            watch->fn(watch->arg, 1, &event);
            return;
        }
    }
}

/* False when the watch has ended meanwhile. */
static bool deliver(struct watch *watch, size_t len)
{
    for (size_t at = 0; at < len;) {
        const struct inotify_event *from = (const struct inotify_event *)(const void *)(watch->buffer + at);
        if (from->mask & IN_IGNORED) {
            end(watch, 0);
            return false;
        }
        deliver_one(watch, from);
        if (watch->is_cancelled) {
            end(watch, -ECANCELED);
            return false;
        }
        at += sizeof *from + from->len;
    }
    return true;
}

static void read_more(struct watch *watch);

static void on_read(void *arg, int64_t result)
{
    struct watch *watch = arg;

    watch->job = 0;
    if (watch->is_cancelled || result <= 0) {
        end(watch, watch->is_cancelled ? -ECANCELED : result);
    } else if (deliver(watch, (size_t)result)) {
        read_more(watch);
    }
}

static void set_job(struct watch *watch, loop_job job)
{
    watch->job = job;
    if (job) {
        (void)loop_daemon(watch->loop, job);
    }
}

static void read_more(struct watch *watch)
{
    set_job(watch, loop_read(watch->source, watch->buffer, sizeof watch->buffer, on_read, watch));
    if (!watch->job) {
        end(watch, -ENOMEM);
    }
}

/* ---- beginning ---- */

/* inotify takes no number, but the link that stands for it. */
static int64_t watch_number(int inotify, int number)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    return loop_fs_outcome(inotify_add_watch(inotify, path, WATCHED));
}

/* The directory isn't held open: it could not go away. */
static int64_t add_watch(const struct loop_fs_request *request, int inotify)
{
    if (!request->at.is_confined && request->at.number == AT_FDCWD) {
        return loop_fs_outcome(inotify_add_watch(inotify, request->path, WATCHED));
    }
    int number = loop_fs_find(request->at, request->path, true);
    if (number < 0) {
        return number;
    }
    int64_t result = watch_number(inotify, number);
    close(number);
    return result;
}

static int64_t run_begin(struct loop_fs_request *request)
{
    int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (inotify < 0) {
        return -errno;
    }
    int64_t result = add_watch(request, inotify);
    if (result < 0) {
        close(inotify);
        return result;
    }
    request->made.number = inotify;
    return 0;
}

static int64_t deliver_begin(struct loop_fs_request *request, int64_t result)
{
    struct watch *watch = request->out;

    watch->fd = loop_fs_adopt(request, &result);
    if (watch->fd) {
        watch->source = &loop_fd_flow(watch->fd)->source;
    }
    return result;
}

static void on_begun(void *arg, int64_t result)
{
    struct watch *watch = arg;

    watch->job = 0;
    if (result == 0 && !watch->is_cancelled) {
        const struct loop_watch_event event = {.kind = LOOP_WATCH_BEGUN, .name = ""};
        watch->fn(watch->arg, 1, &event);
    }
    if (result < 0 || watch->is_cancelled) {
        end(watch, result < 0 ? result : -ECANCELED);
    } else {
        read_more(watch);
    }
}

static void begin(struct watch *watch, struct loop_scope *scope, struct loop_dir *dir, const char *path)
{
    loop_job job = loop_fs_start(&(struct loop_fs_request){.scope = scope,
                                                           .dir = dir,
                                                           .path = path,
                                                           .fn = on_begun,
                                                           .arg = watch,
                                                           .run = run_begin,
                                                           .deliver = deliver_begin,
                                                           .out = watch});

    set_job(watch, job);
    if (!job) {
        end(watch, -ENOMEM);
    }
}

loop_job loop_fs_watch(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_watch_fn *fn, void *arg)
{
    scope = scope ? scope : dir ? dir->scope : NULL;
    struct watch *watch = scope && fn ? malloc(sizeof *watch) : NULL;

    if (!watch) {
        return 0;
    }
    *watch = (struct watch){.loop = loop_scope_loop(scope), .fn = fn, .arg = arg};
    loop_job promise = loop_promise(scope, on_cancel, watch, on_end, watch);
    watch->promise = promise;
    if (promise && !loop_scope_is_cancelled(scope)) {
        begin(watch, scope, dir, path);
    } else if (!promise) {
        free(watch);
    }
    return promise;
}
