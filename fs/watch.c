/* SPDX-License-Identifier: ISC
 *
 * Watching: inotify(7) as a stream of events.
 *
 * The caller holds a promise. First a job below it finds the file on a thread, and adds it to the loop's inotify
 * instance (inotify.c); then the instance delivers events. The job is a daemon: the promise alone decides whether the
 * scope is held open.
 */
#include <fs/inotify.h>
#include <fs/request.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>

#include <assert.h>
#include <errno.h>
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
    struct loop_fs_inotify *inotify; /* NULL: there is none */
    loop_watch_fn *fn;
    void *arg;
    loop_job promise, adding; /* `adding` is the job below the promise; 0: none */
    uint64_t deaths;          /* how many the instance had seen when the adding began */
    bool has_begun, is_cancelled, is_paused;
    bool owes_begun, owes_overflow; /* events that a pause has held back */
    char text[];
};

static void on_end(void *arg, int64_t result)
{
    struct watch *watch = arg;

    assert(!watch->adding);
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

/* Cancels the watch. While it is being added, that job has to end first: its arguments are here. */
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

/* Reports an event about no name. */
static void report(struct watch *watch, enum loop_watch_kind kind)
{
    const struct loop_watch_event event = {.kind = kind, .name = ""};

    watch->fn(watch->arg, 1, &event);
}

static bool may_report(const struct watch *watch)
{
    return !watch->is_paused && !watch->is_cancelled;
}

/* Reports what a pause has held back, as far as it is allowed to. */
static void catch_up(struct watch *watch)
{
    if (watch->owes_begun && may_report(watch)) {
        watch->owes_begun = false;
        report(watch, LOOP_WATCH_BEGUN);
    }
    if (watch->owes_overflow && may_report(watch)) {
        watch->owes_overflow = false;
        report(watch, LOOP_WATCH_OVERFLOW);
    }
}

/* Delivers an event, behind those that are owed. While the watch is paused only that there was one is kept: the other
 * watches share the instance, and go on. */
static void deliver(struct watch *watch, const struct inotify_event *from)
{
    catch_up(watch);
    if (watch->is_paused) {
        watch->owes_overflow = true;
        return;
    }
    if (watch->is_cancelled) {
        return;
    }
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

/* An event of the instance, or its end. Before the watch has begun it is dropped: the job that adds the watch reports
 * whether there is anything to be watched. */
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

/* ---- pausing ---- */

static int on_pause(void *arg, loop_job job)
{
    struct watch *watch = arg;

    (void)job;
    if (watch->is_cancelled) {
        return -ENOENT;
    }
    watch->is_paused = true;
    return 0;
}

/* The watch still exists: its end is resolved later than the job of this function, and jobs are resumed in that
 * order. */
static void on_resumed(void *arg, int64_t result)
{
    (void)result;
    catch_up(arg);
}

static int on_resume(void *arg, loop_job job)
{
    struct watch *watch = arg;

    (void)job;
    if (watch->is_cancelled) {
        return -ENOENT;
    }
    watch->is_paused = false;
    if (watch->owes_begun || watch->owes_overflow) {
        loop_job resumed = loop_promise(watch->scope, NULL, NULL, on_resumed, watch);
        if (!resumed) {
            end(watch, -ENOMEM);
            return 0;
        }
        (void)loop_daemon(watch->loop, resumed);
        (void)loop_resolve(watch->loop, resumed, 0);
    }
    return 0;
}

static const struct loop_stream_ops stream_ops = {.cancel = on_cancel, .pause = on_pause, .resume = on_resume};

/* ---- beginning ---- */

/* Watches an open file by its link in /proc: inotify accepts no number. */
static int64_t watch_number(int inotify, int number)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    return loop_fs_outcome(loop_kernel_inotify_add_watch(inotify, path, WATCHED));
}

/* Adds what the path names to the instance. It is not held open: as long as it is open its inode
 * stays, and its end would not be reported. */
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

/* The watch has been added. A watch descriptor that was returned has to be joined even after a cancel: leaving it
 * removes it. */
static void on_added(void *arg, int64_t result)
{
    struct watch *watch = arg;

    assert(watch->adding && watch->inotify && !watch->has_begun);
    watch->adding = 0;
    if (result >= 0) {
        result = loop_fs_inotify_join(watch->inotify, &watch->watcher, (int)result, watch->deaths);
    }
    if (result == -EAGAIN && !watch->is_cancelled) {
        add(watch);
    } else if (result < 0 || watch->is_cancelled) {
        end(watch, result);
    } else {
        watch->has_begun = true;
        watch->owes_begun = true;
        catch_up(watch);
    }
}

static void add(struct watch *watch)
{
    assert(watch->inotify && !watch->adding && !watch->has_begun);
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
    loop_job promise = loop_promise_stream(scope, &stream_ops, watch, on_end, watch);
    watch->promise = promise;
    if (promise && !loop_scope_is_cancelled(scope)) {
        begin(watch);
    } else if (!promise) {
        loop_kernel_free(watch);
    }
    return promise;
}
