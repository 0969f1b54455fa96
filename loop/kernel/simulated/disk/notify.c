/* SPDX-License-Identifier: ISC
 *
 * inotify instances, their watches and queues of events.
 */
#include <loop/kernel/simulated/disk/notify.h>
#include <loop/kernel/simulated/disk/resolve.h>

#include <loop/kernel/event.h>

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { MOST_EVENTS = 16384 }; /* fs.inotify.max_queued_events */

#define SELF_EVENTS (IN_DELETE_SELF | IN_MOVE_SELF)

/* struct inotify_event without the name. */
struct head {
    int wd;
    uint32_t mask, cookie, len;
};

struct event {
    struct loop_list link;
    struct head event; /* `len` is that of the padded name */
    char *name;        /* behind the struct */
};

struct instance {
    struct loop_sim_file file; /* must be first */
    struct loop_list watches;  /* in the order of their numbers */
    struct loop_list events;
    size_t n_events, bytes;
    int last_watch;
};

struct watch {
    struct loop_list link;     /* in the instance */
    struct loop_list of_inode; /* in the inode */
    struct instance *instance;
    const struct loop_sim_inode *inode;
    int number;
    uint32_t mask;
};

/* ---- the queue ---- */

static struct event *last_event(const struct instance *instance)
{
    return loop_list_is_empty(&instance->events) ? NULL : LOOP_CONTAINER(instance->events.prev, struct event, link);
}

/* Returns whether an event says the same as the last one. */
static bool is_repeated(const struct event *last, const struct head *event, const char *name)
{
    return last && last->event.mask == event->mask && last->event.wd == event->wd && !(event->mask & IN_IGNORED) &&
           last->event.len == event->len && strcmp(event->len ? last->name : "", name) == 0;
}

static void queue_event(struct instance *instance, int number, uint32_t mask, uint32_t cookie, const char *name)
{
    size_t len = strlen(name), unit = sizeof(struct head), room = len > 0 ? (len + unit) / unit * unit : 0;
    struct head event = {.wd = number, .mask = mask, .cookie = cookie, .len = (uint32_t)room};

    if (instance->n_events > MOST_EVENTS || is_repeated(last_event(instance), &event, name)) {
        return;
    }
    if (instance->n_events == MOST_EVENTS) {
        event = (struct head){.wd = -1, .mask = IN_Q_OVERFLOW};
        room = len = 0;
    }
    struct event *queued = loop_sim_alloc(sizeof *queued + room);
    queued->event = event;
    queued->name = memcpy(queued + 1, name, len);
    loop_list_push_back(&instance->events, &queued->link);
    instance->n_events++;
    instance->bytes += unit + room;
    loop_sim_file_changed(&instance->file, EPOLLIN | EPOLLRDNORM);
}

static void drop_event(struct instance *instance, struct event *event)
{
    loop_list_remove(&event->link);
    instance->n_events--;
    instance->bytes -= sizeof event->event + event->event.len;
    loop_sim_free(event);
}

/* ---- watches ---- */

static void watch_free(struct watch *watch)
{
    loop_list_remove(&watch->link);
    loop_list_remove(&watch->of_inode);
    loop_sim_free(watch);
}

static void watch_end(struct watch *watch)
{
    queue_event(watch->instance, watch->number, IN_IGNORED, 0, "");
    watch_free(watch);
}

static struct watch *watch_in(const struct instance *instance, const struct loop_sim_inode *inode)
{
    for (struct loop_list *link = inode->watches.next; link != &inode->watches; link = link->next) {
        struct watch *watch = LOOP_CONTAINER(link, struct watch, of_inode);
        if (watch->instance == instance) {
            return watch;
        }
    }
    return NULL;
}

static struct watch *watch_of(const struct instance *instance, int number)
{
    for (struct loop_list *link = instance->watches.next; link != &instance->watches; link = link->next) {
        struct watch *watch = LOOP_CONTAINER(link, struct watch, link);
        if (watch->number == number) {
            return watch;
        }
    }
    return NULL;
}

/* ---- telling ---- */

/* Tells those who watch an inode, with the name of what is in it, or "". With `is_excluded`, those who watch with
 * IN_EXCL_UNLINK are left out. */
static void tell(struct loop_sim_inode *inode, uint32_t mask, uint32_t cookie, const char *name, bool is_excluded)
{
    for (struct loop_list *link = inode->watches.next, *next; link != &inode->watches; link = next) {
        struct watch *watch = LOOP_CONTAINER(link, struct watch, of_inode);
        next = link->next;
        if (!(watch->mask & mask & IN_ALL_EVENTS) || (is_excluded && watch->mask & IN_EXCL_UNLINK)) {
            continue;
        }
        queue_event(watch->instance, watch->number, mask, cookie, name);
        if (watch->mask & IN_ONESHOT) {
            watch_end(watch);
        }
    }
}

static uint32_t with_kind(const struct loop_sim_inode *inode, uint32_t mask)
{
    return S_ISDIR(inode->now.mode) && !(mask & SELF_EVENTS) ? mask | IN_ISDIR : mask;
}

static void tell_of_entry(const struct loop_sim_entry *entry, uint32_t mask, bool is_excluded)
{
    uint32_t told = with_kind(entry->inode, mask);

    if (entry->up) {
        tell(entry->up->inode, told, 0, entry->name, is_excluded);
    }
    tell(entry->inode, told, 0, "", is_excluded);
}

void loop_sim_notify(const struct loop_sim_entry *entry, uint32_t mask)
{
    tell_of_entry(entry, mask, loop_sim_entry_is_gone(entry));
}

void loop_sim_notify_change(const struct loop_sim_entry *entry, uint32_t mask)
{
    tell_of_entry(entry, mask, false);
}

void loop_sim_notify_inode(struct loop_sim_inode *inode, uint32_t mask)
{
    tell(inode, with_kind(inode, mask), 0, "", false);
}

void loop_sim_notify_name(struct loop_sim_inode *directory, const char *name, bool is_directory, uint32_t mask,
                          uint32_t cookie)
{
    tell(directory, is_directory ? mask | IN_ISDIR : mask, cookie, name, false);
}

/* IN_DELETE_SELF tells of an inode that is gone; other watches are removed without a word. */
static void end_watches(struct loop_sim_inode *inode, bool is_gone)
{
    struct loop_list *link;

    if (is_gone) {
        loop_sim_notify_inode(inode, IN_DELETE_SELF);
    }
    while ((link = loop_list_first(&inode->watches))) {
        struct watch *watch = LOOP_CONTAINER(link, struct watch, of_inode);
        if (is_gone) {
            watch_end(watch);
        } else {
            watch_free(watch);
        }
    }
}

/* ---- the file ---- */

static ssize_t instance_read(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct instance *instance = (struct instance *)(void *)file;
    size_t done = 0, room = loop_sim_vectors_length(move->iov, move->n_iov);

    if (loop_list_is_empty(&instance->events)) {
        return -EAGAIN;
    }
    while (!loop_list_is_empty(&instance->events)) {
        struct event *event = LOOP_CONTAINER(instance->events.next, struct event, link);
        if (sizeof event->event + event->event.len > room - done) {
            break;
        }
        done += loop_sim_vectors_fill(move->iov, move->n_iov, done, &event->event, sizeof event->event);
        done += loop_sim_vectors_fill(move->iov, move->n_iov, done, event->name, event->event.len);
        drop_event(instance, event);
    }
    return done > 0 ? (ssize_t)done : -EINVAL;
}

static uint32_t instance_poll(struct loop_sim_file *file)
{
    const struct instance *instance = (const struct instance *)(const void *)file;

    return loop_list_is_empty(&instance->events) ? 0 : EPOLLIN | EPOLLRDNORM;
}

static int instance_control(struct loop_sim_file *file, unsigned long what, void *argument)
{
    const struct instance *instance = (const struct instance *)(const void *)file;

    if (what != FIONREAD) {
        return -ENOTTY;
    }
    *(int *)argument = (int)instance->bytes;
    return 0;
}

static int instance_status(struct loop_sim_file *file, struct stat *status)
{
    (void)file;
    *status = (struct stat){.st_dev = 0xf, .st_ino = 1, .st_mode = 0600, .st_nlink = 1, .st_blksize = 4096};
    return 0;
}

/* A line for each watch, from the last that was added to the first. */
static size_t instance_describe(const struct loop_sim_file *file, char *text, size_t size)
{
    const struct instance *instance = (const struct instance *)(const void *)file;
    size_t len = 0;

    for (struct loop_list *link = instance->watches.prev; link != &instance->watches; link = link->prev) {
        const struct watch *watch = LOOP_CONTAINER(link, struct watch, link);
        bool has_room = len < size;
        len += (size_t)snprintf(has_room ? text + len : NULL, has_room ? size - len : 0,
                                "inotify wd:%x ino:%llx sdev:%x mask:%x ignored_mask:0\n", (unsigned)watch->number,
                                (unsigned long long)watch->inode->number, (unsigned)watch->inode->device,
                                (unsigned)watch->mask);
    }
    return len;
}

static void instance_release(struct loop_sim_file *file)
{
    struct instance *instance = (struct instance *)(void *)file;
    struct loop_list *link;

    while ((link = loop_list_first(&instance->watches))) {
        watch_free(LOOP_CONTAINER(link, struct watch, link));
    }
    while ((link = loop_list_first(&instance->events))) {
        drop_event(instance, LOOP_CONTAINER(link, struct event, link));
    }
    loop_sim_free(instance);
}

static const struct loop_sim_file_kind instance_kind = {
    .name = "inotify",
    .read = instance_read,
    .poll = instance_poll,
    .control = instance_control,
    .status = instance_status,
    .describe = instance_describe,
    .release = instance_release,
};

/* ---- calls ---- */

static struct instance *instance_of(int number, int *error)
{
    struct loop_sim_file *file = loop_sim_file_of(number);

    *error = !file || file->flags & O_PATH ? -EBADF : file->kind != &instance_kind ? -EINVAL : 0;
    return *error ? NULL : (struct instance *)(void *)file;
}

/* Adds a watch, or changes that which the instance has of the inode. Returns its number. */
static int add_watch(struct instance *instance, struct loop_sim_inode *inode, uint32_t mask)
{
    struct watch *watch = watch_in(instance, inode);
    uint32_t kept = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT;

    if (watch && mask & IN_MASK_CREATE) {
        return -EEXIST;
    }
    if (watch) {
        watch->mask = (mask & kept) | (mask & IN_MASK_ADD ? watch->mask : 0);
        return watch->number;
    }
    watch = loop_sim_alloc(sizeof *watch);
    *watch =
        (struct watch){.instance = instance, .inode = inode, .number = ++instance->last_watch, .mask = mask & kept};
    loop_list_push_back(&instance->watches, &watch->link);
    loop_list_push_back(&inode->watches, &watch->of_inode);
    inode->end_watches = end_watches;
    return watch->number;
}

static int find_and_watch(struct instance *instance, const char *path, uint32_t mask)
{
    struct loop_sim_find find = {
        .node = loop_sim_here(),
        .dir = AT_FDCWD,
        .path = path,
        .flags = (mask & IN_DONT_FOLLOW ? 0 : LOOP_SIM_FIND_FOLLOW) | (mask & IN_ONLYDIR ? LOOP_SIM_FIND_DIRECTORY : 0),
    };
    int result = loop_sim_find(&find);

    if (result == 0) {
        result = find.entry ? loop_sim_inode_permits(find.entry->inode, R_OK) : -ENOSYS;
    }
    if (result == 0) {
        result = add_watch(instance, find.entry->inode, mask);
    }
    loop_sim_find_end(&find);
    return result;
}

int loop_kernel_inotify_init1(int flags)
{
    if (flags & ~(IN_NONBLOCK | IN_CLOEXEC)) {
        return (int)loop_sim_return(-EINVAL);
    }
    struct loop_sim_node *node = loop_sim_here();
    struct instance *instance = loop_sim_alloc(sizeof *instance);
    loop_sim_file_init(&instance->file, &instance_kind, node, O_RDONLY | (flags & IN_NONBLOCK ? O_NONBLOCK : 0));
    instance->file.whole_bytes = SIZE_MAX;
    loop_list_init(&instance->watches);
    loop_list_init(&instance->events);
    return (int)loop_sim_return(loop_sim_file_install(node, &instance->file, 0, flags & IN_CLOEXEC ? O_CLOEXEC : 0));
}

int loop_kernel_inotify_add_watch(int number, const char *path, uint32_t mask)
{
    int error;

    loop_sim_disk_wait();
    if (!(mask & IN_ALL_EVENTS) || (mask & IN_MASK_ADD && mask & IN_MASK_CREATE)) {
        return (int)loop_sim_return(-EINVAL);
    }
    struct instance *instance = instance_of(number, &error);
    return (int)loop_sim_return(instance ? find_and_watch(instance, path, mask) : error);
}

int loop_kernel_inotify_rm_watch(int number, int watch_number)
{
    int error;
    struct instance *instance = instance_of(number, &error);
    struct watch *watch = instance ? watch_of(instance, watch_number) : NULL;

    if (!instance || !watch) {
        return (int)loop_sim_return(error ? error : -EINVAL);
    }
    watch_end(watch);
    return 0;
}
