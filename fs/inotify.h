/* SPDX-License-Identifier: ISC
 *
 * The loop's inotify instance, which all its watches share. All of this is for the loop's thread.
 */
#ifndef FS_INOTIFY_H
#define FS_INOTIFY_H

#include <loop/ground/list.h>
#include <loop/loop.h>

struct inotify_event;
struct loop_fd;
struct loop_fs_inotify;

/* One watch's part in the instance. */
struct loop_fs_watcher {
    struct loop_hnode link;
    struct loop_fs_watched *watched; /* an inode; NULL: none (any more) */
    uint64_t begins_at;              /* in the stream of events */
    /* Called with an event and result 1, or with NULL when nothing is left to be watched: result 0, or -errno. May not
     * join or leave. */
    void (*fn)(struct loop_fs_watcher *watcher, int64_t result, const struct inotify_event *event);
};

/* Returns the loop's instance with a reference, which loop_fs_inotify_put drops. Returns NULL when there is none, with
 * the reason in *error. */
struct loop_fs_inotify *loop_fs_inotify_get(struct loop *loop, int64_t *error);

/* Drops a reference. The instance is closed with the last one. */
void loop_fs_inotify_put(struct loop_fs_inotify *inotify);

/* Returns the descriptor for inotify_add_watch(2). It outlives the reference. */
struct loop_fd *loop_fs_inotify_fd(const struct loop_fs_inotify *inotify);

/* Returns how many watch descriptors have died. Read it before a watch descriptor is added, for
 * loop_fs_inotify_join. */
uint64_t loop_fs_inotify_deaths(const struct loop_fs_inotify *inotify);

/* Gives the watcher the events of `wd`, which has been added, in place of those it got before. Returns 0, or -EAGAIN
 * when `wd` may be dead already: the watcher keeps it, and has to add what it watches once more. */
int loop_fs_inotify_join(struct loop_fs_inotify *inotify, struct loop_fs_watcher *watcher, int wd, uint64_t deaths);

/* Takes the watcher off its watch descriptor. Does nothing for one that has not joined. */
void loop_fs_inotify_leave(struct loop_fs_inotify *inotify, struct loop_fs_watcher *watcher);

#endif
