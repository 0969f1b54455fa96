/* SPDX-License-Identifier: ISC
 *
 * Watches a directory until a file "stop" appears in it.
 */
#include <fs/fs.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct watcher {
    struct loop_env *env;
    loop_job job;
};

static void on_event(void *arg, int64_t result, const struct loop_watch_event *event)
{
    static const char *const what[] = {
        [LOOP_WATCH_BEGUN] = "begun",       [LOOP_WATCH_CREATED] = "created", [LOOP_WATCH_WRITTEN] = "written",
        [LOOP_WATCH_FINISHED] = "finished", [LOOP_WATCH_CHANGED] = "changed", [LOOP_WATCH_MOVED_FROM] = "moved from",
        [LOOP_WATCH_MOVED_TO] = "moved to", [LOOP_WATCH_DELETED] = "deleted", [LOOP_WATCH_OVERFLOW] = "events lost",
    };
    struct watcher *watcher = arg;

    if (!event) {
        printf("%s\n", result == 0 ? "gone" : strerror((int)-result));
        return;
    }
    printf("%s %s\n", what[event->kind], event->name);
    fflush(stdout);
    if (event->kind == LOOP_WATCH_CREATED && strcmp(event->name, "stop") == 0) {
        loop_cancel(watcher->env->loop, watcher->job);
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct watcher *watcher = arg;

    watcher->env = env;
    watcher->job = loop_fs_watch(NULL, env->cwd, "watched", on_event, watcher);
    return watcher->job ? 0 : -ENOMEM;
}

int main(void)
{
    struct watcher watcher = {.job = 0};

    return loop_run(0, 0, 0, NULL, start, &watcher) == 0 ? 0 : 1;
}
