/* SPDX-License-Identifier: ISC
 *
 * Watching: inotify(7) as a stream of events.
 *
 * What the caller holds is a promise. First a thread finds the directory and has it watched by the loop's inotify
 * instance (inotify.c), which is a job below the promise; then events come from there. The job is a daemon: what holds
 * the scope open, or doesn't, is the promise.
 */
#include <fs/inotify.h>
#include <fs/request.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#define WATCHED                                                                                                        \
    (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF)

struct watch {
    struct loop_fs_watcher watcher; /* must be first, see on_event */
    struct loop *loop;
    struct loop_scope *scope;
    struct loop_dir *dir;
    const char *path;                /* NULL or `text` */
    struct loop_fs_inotify *inotify; /* NULL: there was none to be had */
    loop_watch_fn *fn;
    void *arg;
    loop_job promise, adding; /* `adding` is below the promise; 0 while it is none */
    uint64_t deaths;          /* how many the instance had seen when the adding began */
    bool has_begun, is_cancelled;
    char text[];
};

static void on_end(void *arg, int64_t result)
{
    struct watch *watch = arg;

    watch->fn(watch->arg, result, NULL);
    if (watch->inotify) {
        loop_fs_inotify_leave(watch->inotify, &watch->watcher);
        loop_fs_inotify_put(watch->inotify);
    }
    loop_kernel_free(watch);
}

static void end(struct watch *watch, int64_t result)
{
    (void)loop_resolve(watch->loop, watch->promise, watch->is_cancelled ? -ECANCELED : result);
}

/* While it is being added the adding has to end first, whose arguments are here. */
static void on_cancel(void *arg, loop_job job)
{
    struct watch *watch = arg;

    (void)job;
    watch->is_cancelled = true;
    if (watch->adding) {
        (void)loop_cancel(watch->loop, watch->adding);
    } else {
        end(watch, -ECANCELED);
    }
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

static void deliver(struct watch *watch, const struct inotify_event *from)
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

/* From the instance. Before it has begun the watch hears nothing, and its adding tells whether there is something to
 * be watched. */
static void on_event(struct loop_fs_watcher *watcher, int64_t result, const struct inotify_event *event)
{
    struct watch *watch = (struct watch *)(void *)watcher;

    if (!watch->has_begun || watch->is_cancelled) {
        return;
    }
    if (event) {
        deliver(watch, event);
    } else {
        end(watch, result);
    }
}

/* ---- beginning ---- */

/* inotify takes no number, but the link that stands for it. */
static int64_t watch_number(int inotify, int number)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    return loop_fs_outcome(loop_kernel_inotify_add_watch(inotify, path, WATCHED));
}

/* The directory isn't held open: it could not go away. */
static int64_t run_add(struct loop_fs_request *request)
{
    int inotify = request->used_number;

    if (!request->at.is_confined && request->at.number == AT_FDCWD) {
        return loop_fs_outcome(loop_kernel_inotify_add_watch(inotify, request->path, WATCHED));
    }
    int number = loop_fs_find(request->at, request->path, true);
    if (number < 0) {
        return number;
    }
    int64_t result = watch_number(inotify, number);
    loop_kernel_close(number);
    return result;
}

static void add(struct watch *watch);

/* A job that ended well is good even when it was cancelled: its number has to be given back. */
static void on_added(void *arg, int64_t result)
{
    struct watch *watch = arg;

    watch->adding = 0;
    if (result >= 0) {
        result = loop_fs_inotify_join(watch->inotify, &watch->watcher, (int)result, watch->deaths);
    }
    if (result == -EAGAIN && !watch->is_cancelled) {
        add(watch);
    } else if (result < 0 || watch->is_cancelled) {
        end(watch, result);
    } else {
        const struct loop_watch_event event = {.kind = LOOP_WATCH_BEGUN, .name = ""};
        watch->has_begun = true;
        watch->fn(watch->arg, 1, &event);
    }
}

static void add(struct watch *watch)
{
    watch->deaths = loop_fs_inotify_deaths(watch->inotify);
    loop_job job = loop_fs_start(&(struct loop_fs_request){.scope = watch->scope,
                                                           .dir = watch->dir,
                                                           .path = watch->path,
                                                           .uses = loop_fs_inotify_fd(watch->inotify),
                                                           .fn = on_added,
                                                           .arg = watch,
                                                           .run = run_add,
                                                           .waits = true});

    watch->adding = job;
    if (job) {
        (void)loop_daemon(watch->loop, job);
    } else {
        end(watch, -ENOMEM);
    }
}

static void begin(struct watch *watch)
{
    int64_t error;

    watch->inotify = loop_fs_inotify_get(watch->loop, &error);
    if (watch->inotify) {
        add(watch);
    } else {
        end(watch, error);
    }
}

static struct watch *make(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_watch_fn *fn,
                          void *arg)
{
    size_t size = path ? strnlen(path, PATH_MAX) + 1 : 0;
    struct watch *watch = loop_kernel_malloc(sizeof *watch + size);

    if (!watch) {
        return NULL;
    }
    *watch = (struct watch){
        .watcher = {.fn = on_event}, .loop = loop_scope_loop(scope), .scope = scope, .dir = dir, .fn = fn, .arg = arg};
    if (path) {
        memcpy(watch->text, path, size - 1);
        watch->text[size - 1] = '\0';
        watch->path = watch->text;
    }
    return watch;
}

loop_job loop_fs_watch(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_watch_fn *fn, void *arg)
{
    if (!loop_fs_is_good_place(scope, dir, __func__)) {
        return 0;
    }
    scope = scope ? scope : dir ? dir->scope : NULL;
    struct watch *watch = scope && fn ? make(scope, dir, path, fn, arg) : NULL;

    if (!watch) {
        return 0;
    }
    loop_job promise = loop_promise(scope, on_cancel, watch, on_end, watch);
    watch->promise = promise;
    if (promise && !loop_scope_is_cancelled(scope)) {
        begin(watch);
    } else if (!promise) {
        loop_kernel_free(watch);
    }
    return promise;
}
