/* SPDX-License-Identifier: ISC
 *
 * One inotify instance for all the watches of a loop, since a user may have few (fs.inotify.max_user_instances). It is
 * made with the first watch, closed with the last, and read by a daemon in the loop's own scope.
 *
 * The kernel has one watch descriptor for each inode of an instance, however often it is watched. So there is a table
 * of watched inodes, each with a list of its watchers; the watch descriptor is removed with the last of them.
 *
 * A watch is added on a thread. By the time the loop gets its watch descriptor that may be dead: the last other watcher
 * of the same inode has left, or the inode is gone. The kernel does not reuse a number before it has used all others,
 * so a descriptor is good that is in the table, or since whose adding none has died. Any other is kept in the table and
 * added once more: when the same number is returned, it was alive.
 *
 * When the kernel's queue overflows, the deaths of watch descriptors are lost like all other events. Then a thread
 * reads the list of those that are alive in /proc.
 */
#include <fs/inotify.h>
#include <fs/request.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#define LEAST_BUCKETS 64

/* An inode that is watched. */
struct loop_fs_watched {
    struct loop_fs_watched *next; /* in its bucket */
    int wd;
    uint64_t looks; /* how many there had been when it was last known to be alive */
    struct loop_hlist watchers;
};

struct loop_fs_inotify {
    struct loop *loop;
    struct loop_fd *fd;
    loop_job waiting;            /* for events; 0: it can not be read any more */
    unsigned n_users;            /* watches, ended or not */
    uint64_t position;           /* in the stream of events, in bytes: of the one that is being delivered */
    uint64_t n_deaths;           /* watch descriptors that have died or have been removed */
    loop_job looking;            /* for those that are alive; 0: that is not needed */
    uint64_t n_looks;            /* at the list of those that are alive, begun so far */
    bool looks_again;            /* events have been lost since */
    int64_t error;               /* why it can not be read any more */
    bool is_abandoned;           /* the last user has left: freed when its jobs have ended */
    size_t n_watched, n_buckets; /* a power of two */
    struct loop_fs_watched **buckets;
    struct loop_fs_watched *first_buckets[LEAST_BUCKETS];
    _Alignas(struct inotify_event) char buffer[4096];
};

static const char part; /* its address is the key of the loop's slot */

/* ---- the table ---- */

static struct loop_fs_watched **bucket_of(struct loop_fs_inotify *inotify, int wd)
{
    assert(wd >= 0 && (inotify->n_buckets & (inotify->n_buckets - 1)) == 0);
    return &inotify->buckets[(size_t)wd & (inotify->n_buckets - 1)]; /* the kernel counts them up */
}

static struct loop_fs_watched *find(struct loop_fs_inotify *inotify, int wd)
{
    struct loop_fs_watched *watched = *bucket_of(inotify, wd);

    while (watched && watched->wd != wd) {
        watched = watched->next;
    }
    return watched;
}

static void link_in(struct loop_fs_inotify *inotify, struct loop_fs_watched *watched)
{
    struct loop_fs_watched **bucket = bucket_of(inotify, watched->wd);

    watched->next = *bucket;
    *bucket = watched;
}

static void free_buckets(struct loop_fs_inotify *inotify, struct loop_fs_watched **buckets)
{
    if (buckets != inotify->first_buckets) {
        loop_kernel_free(buckets);
    }
}

/* Doubles the number of buckets. Without memory for that they stay as they are. */
static void grow(struct loop_fs_inotify *inotify)
{
    struct loop_fs_watched **before = inotify->buckets;
    size_t n_before = inotify->n_buckets;
    struct loop_fs_watched **buckets = loop_kernel_calloc(2 * n_before, sizeof(struct loop_fs_watched *));

    if (!buckets) {
        return;
    }
    inotify->buckets = buckets;
    inotify->n_buckets = 2 * n_before;
    for (size_t i = 0; i < n_before; i++) {
        for (struct loop_fs_watched *watched = before[i], *next; watched; watched = next) {
            next = watched->next;
            link_in(inotify, watched);
        }
    }
    free_buckets(inotify, before);
}

static struct loop_fs_watched *insert(struct loop_fs_inotify *inotify, int wd)
{
    struct loop_fs_watched *watched = loop_kernel_malloc(sizeof *watched);

    assert(!find(inotify, wd));
    if (!watched) {
        return NULL;
    }
    if (inotify->n_watched++ == inotify->n_buckets) {
        grow(inotify);
    }
    watched->wd = wd;
    watched->looks = inotify->n_looks;
    watched->watchers = (struct loop_hlist){NULL};
    link_in(inotify, watched);
    return watched;
}

static void unlink_from(struct loop_fs_inotify *inotify, struct loop_fs_watched *watched)
{
    struct loop_fs_watched **at = bucket_of(inotify, watched->wd);

    while (*at != watched) {
        assert(*at);
        at = &(*at)->next;
    }
    assert(inotify->n_watched > 0);
    *at = watched->next;
    inotify->n_watched--;
}

/* ---- watchers ---- */

static void give_back(struct loop_fs_inotify *inotify, int wd)
{
    (void)loop_kernel_inotify_rm_watch(loop_fd_peek(inotify->fd), wd);
    inotify->n_deaths++;
}

/* Returns the bytes of events that are queued: they are of the past for a watcher that joins now. */
static uint64_t count_queued(const struct loop_fs_inotify *inotify)
{
    int n = 0;

    return loop_kernel_ioctl(loop_fd_peek(inotify->fd), FIONREAD, &n) == 0 ? (uint64_t)n : 0;
}

uint64_t loop_fs_inotify_deaths(const struct loop_fs_inotify *inotify)
{
    return inotify->n_deaths;
}

int loop_fs_inotify_join(struct loop_fs_inotify *inotify, struct loop_fs_watcher *watcher, int wd, uint64_t deaths)
{
    struct loop_fs_watched *watched = find(inotify, wd);
    bool is_good = watched || deaths == inotify->n_deaths;

    if (inotify->error < 0) {
        return (int)inotify->error;
    }
    if (watcher->watched && watcher->watched == watched) {
        return 0;
    }
    loop_fs_inotify_leave(inotify, watcher);
    if (!watched) {
        watched = insert(inotify, wd);
    }
    if (!watched) {
        give_back(inotify, wd);
        return -ENOMEM;
    }
    watcher->watched = watched;
    watcher->begins_at = inotify->position + count_queued(inotify);
    loop_hlist_push(&watched->watchers, &watcher->link);
    assert(watched->wd == wd && find(inotify, wd) == watched);
    return is_good ? 0 : -EAGAIN;
}

void loop_fs_inotify_leave(struct loop_fs_inotify *inotify, struct loop_fs_watcher *watcher)
{
    struct loop_fs_watched *watched = watcher->watched;

    if (!watched) {
        return;
    }
    loop_hlist_remove(&watcher->link);
    watcher->watched = NULL;
    if (!watched->watchers.first) {
        give_back(inotify, watched->wd);
        unlink_from(inotify, watched);
        loop_kernel_free(watched);
    }
}

/* ---- events ---- */

/* Delivers an event to the watchers of an inode, none of which joins or leaves meanwhile. */
static void tell(const struct loop_fs_inotify *inotify, const struct loop_fs_watched *watched,
                 const struct inotify_event *event)
{
    bool is_for_all = event->wd < 0;

    for (struct loop_hnode *node = watched->watchers.first; node; node = node->next) {
        struct loop_fs_watcher *watcher = LOOP_CONTAINER(node, struct loop_fs_watcher, link);
        if (is_for_all || watcher->begins_at <= inotify->position) {
            watcher->fn(watcher, 1, event);
        }
    }
}

/* Delivers the event of a queue overflow to all watchers, also to those that have joined since: they got no event so
 * far, and may have lost some. */
static void tell_all(const struct loop_fs_inotify *inotify, const struct inotify_event *event)
{
    for (size_t i = 0; i < inotify->n_buckets; i++) {
        for (const struct loop_fs_watched *watched = inotify->buckets[i]; watched; watched = watched->next) {
            tell(inotify, watched, event);
        }
    }
}

/* Ends the watchers of an inode that has been taken out of the table, and frees it. */
static void end_watched(struct loop_fs_watched *watched, int64_t result)
{
    struct loop_hnode *node;

    while ((node = loop_hlist_pop(&watched->watchers))) {
        struct loop_fs_watcher *watcher = LOOP_CONTAINER(node, struct loop_fs_watcher, link);
        watcher->watched = NULL;
        watcher->fn(watcher, result, NULL);
    }
    loop_kernel_free(watched);
}

/* Frees an instance that the last user has left, unless one of its jobs runs. */
static void free_if_over(struct loop_fs_inotify *inotify)
{
    assert(inotify->is_abandoned && inotify->n_users == 0 && inotify->n_watched == 0);
    if (!inotify->waiting && !inotify->looking) {
        free_buckets(inotify, inotify->buckets);
        loop_kernel_free(inotify);
    }
}

/* ---- lost deaths ---- */

/* Returns whether a text of fdinfo lists watches. That of Linux does and begins with a position. That of gVisor does
 * not and has only flags. */
static bool is_list(const char *text)
{
    return strncmp(text, "pos:", 4) == 0;
}

/* Notes which of the table are in the list, a text with a line for each: "inotify wd:1f ino:...". */
static void note_living(struct loop_fs_inotify *inotify, const char *list)
{
    static const char begin[] = "inotify wd:";

    for (const char *at = list; (at = strstr(at, begin)) != NULL;) {
        at += sizeof begin - 1;
        struct loop_fs_watched *watched = find(inotify, (int)strtoul(at, NULL, 16));
        if (watched) {
            watched->looks = inotify->n_looks;
        }
    }
}

/* Ends the watchers of inodes that are not in the list, and were in the table when it was asked for. */
static void end_lost(struct loop_fs_inotify *inotify)
{
    for (size_t i = 0; i < inotify->n_buckets; i++) {
        for (struct loop_fs_watched *watched = inotify->buckets[i], *next; watched; watched = next) {
            next = watched->next;
            if (watched->looks < inotify->n_looks) {
                unlink_from(inotify, watched);
                end_watched(watched, 0);
            }
        }
    }
}

static void log_unknown(const struct loop_fs_inotify *inotify, int64_t error)
{
    loop_log(inotify->loop, LOOP_LOG_WARNING,
             "an overflow of inotify: watches of files that are gone by now may not end: %s", strerror((int)-error));
}

static void look_for_lost(struct loop_fs_inotify *inotify);

static int64_t on_list(struct loop_fs_request *request, int64_t result)
{
    struct loop_fs_inotify *inotify = request->out;
    char *text = result >= 0 ? request->made.memory : NULL;

    inotify->looking = 0;
    if (text && is_list(text)) {
        note_living(inotify, text);
        end_lost(inotify);
    } else if (!inotify->is_abandoned) {
        log_unknown(inotify, text ? -EOPNOTSUPP : result);
    }
    loop_kernel_free(text);
    if (inotify->is_abandoned) {
        free_if_over(inotify);
    } else if (inotify->looks_again) {
        look_for_lost(inotify);
    }
    return 0;
}

/* Looks for inodes whose death is among the lost events. A watch descriptor that is being added may have died as
 * well. */
static void look_for_lost(struct loop_fs_inotify *inotify)
{
    char path[40];

    inotify->n_deaths++;
    inotify->looks_again = inotify->looking != 0;
    if (inotify->looking) {
        return;
    }
    inotify->n_looks++;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", loop_fd_peek(inotify->fd));
    inotify->looking = loop_fs_start(&(struct loop_fs_request){.scope = loop_part_scope(inotify->loop),
                                                               .file = inotify->fd,
                                                               .path = path,
                                                               .run = loop_fs_run_load,
                                                               .deliver = on_list,
                                                               .waits = true,
                                                               .makes_memory = true,
                                                               .len = PTRDIFF_MAX / 4,
                                                               .out = inotify});
    if (!inotify->looking) {
        log_unknown(inotify, -ENOMEM);
    }
}

/* ---- taking them ---- */

static void take_event(struct loop_fs_inotify *inotify, const struct inotify_event *event)
{
    struct loop_fs_watched *watched = event->wd < 0 ? NULL : find(inotify, event->wd);

    if (event->mask & IN_Q_OVERFLOW) {
        tell_all(inotify, event);
        look_for_lost(inotify);
    } else if (event->mask & IN_IGNORED) {
        inotify->n_deaths++;
        if (watched) {
            unlink_from(inotify, watched);
            end_watched(watched, 0);
        }
    } else if (watched) {
        tell(inotify, watched, event);
    }
}

static void take_events(struct loop_fs_inotify *inotify, size_t len)
{
    for (size_t at = 0; at < len;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(inotify->buffer + at);
        size_t size = sizeof *event + event->len;
        assert(size <= len - at);
        take_event(inotify, event);
        inotify->position += size;
        at += size;
    }
}

/* Ends all watches, because the instance can not be read any more. The next watch begins with another instance. */
static void fail(struct loop_fs_inotify *inotify, int64_t error)
{
    void **slot = loop_part_slot(inotify->loop, &part);

    assert(slot && *slot == inotify && !inotify->is_abandoned);
    *slot = NULL;
    inotify->error = error < 0 ? error : -EIO;
    inotify->n_watched = 0;
    for (size_t i = 0; i < inotify->n_buckets; i++) {
        for (struct loop_fs_watched *watched = inotify->buckets[i], *next; watched; watched = next) {
            next = watched->next;
            end_watched(watched, inotify->error);
        }
        inotify->buckets[i] = NULL;
    }
}

/* ---- reading ---- */

static void on_ready(void *arg, int64_t result);

/* Waits until there are events. They are read at once, so that what has been read and what is queued is always
 * known. */
static void wait_for_events(struct loop_fs_inotify *inotify)
{
    inotify->waiting = loop_poll(inotify->fd, POLLIN, on_ready, inotify);
    if (inotify->waiting) {
        (void)loop_daemon(inotify->loop, inotify->waiting);
    }
}

static int64_t read_events(struct loop_fs_inotify *inotify)
{
    return loop_fs_outcome(loop_kernel_read(loop_fd_peek(inotify->fd), inotify->buffer, sizeof inotify->buffer));
}

static void on_ready(void *arg, int64_t result)
{
    struct loop_fs_inotify *inotify = arg;

    assert(inotify->waiting);
    inotify->waiting = 0;
    if (inotify->is_abandoned) {
        free_if_over(inotify);
        return;
    }
    if (result >= 0) {
        result = read_events(inotify);
    }
    if (result > 0) {
        take_events(inotify, (size_t)result);
    }
    if (result > 0 || result == -EAGAIN || result == -EINTR) {
        wait_for_events(inotify);
        result = -ENOMEM;
    }
    if (!inotify->waiting) {
        fail(inotify, result);
    }
}

/* ---- the instance ---- */

static struct loop_fd *open_instance(struct loop *loop, int64_t *error)
{
    int number = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    struct loop_fd *fd = number < 0 ? NULL : loop_fd_adopt(loop_part_scope(loop), number);

    *error = number < 0 ? -errno : -ENOMEM;
    return fd;
}

static struct loop_fs_inotify *make(struct loop *loop, int64_t *error)
{
    struct loop_fs_inotify *inotify = loop_kernel_malloc(sizeof *inotify);

    *error = -ENOMEM;
    if (!inotify) {
        return NULL;
    }
    *inotify = (struct loop_fs_inotify){.loop = loop, .n_buckets = LEAST_BUCKETS};
    inotify->buckets = inotify->first_buckets;
    inotify->fd = open_instance(loop, error);
    if (inotify->fd) {
        wait_for_events(inotify);
    }
    if (!inotify->waiting) {
        loop_fd_destroy(inotify->fd);
        loop_kernel_free(inotify);
        return NULL;
    }
    return inotify;
}

struct loop_fs_inotify *loop_fs_inotify_get(struct loop *loop, int64_t *error)
{
    void **slot = loop_part_slot(loop, &part);

    *error = -ENOMEM;
    if (!slot) {
        return NULL;
    }
    struct loop_fs_inotify *inotify = *slot ? *slot : make(loop, error);
    *slot = inotify;
    if (inotify) {
        inotify->n_users++;
    }
    return inotify;
}

struct loop_fd *loop_fs_inotify_fd(const struct loop_fs_inotify *inotify)
{
    return inotify->fd;
}

void loop_fs_inotify_put(struct loop_fs_inotify *inotify)
{
    assert(inotify->n_users > 0 && !inotify->is_abandoned);
    if (--inotify->n_users > 0) {
        return;
    }
    void **slot = loop_part_slot(inotify->loop, &part);
    if (*slot == inotify) {
        *slot = NULL;
    }
    loop_fd_destroy(inotify->fd);
    inotify->is_abandoned = true;
    free_if_over(inotify);
}
