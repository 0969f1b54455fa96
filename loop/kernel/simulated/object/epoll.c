/* SPDX-License-Identifier: ISC
 *
 * Sets of files that are waited for: epoll(7).
 *
 * As on Linux, a file's change makes an item ready when its events match, whether or not they hold; what holds is asked
 * when the items are reported. A level-triggered item stays ready after that, an edge-triggered one does not.
 */
#include <loop/kernel/simulated/object/poll.h>
#include <loop/kernel/simulated/object/signal.h>

#include <loop/kernel/event.h>
#include <loop/kernel/simulated/machine/choice.h>

#include <assert.h>
#include <limits.h>

#define ALWAYS (EPOLLERR | EPOLLHUP)
#define MODES (EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE)
#define EXCLUSIVE_OK (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
#define MOST_EVENTS (INT_MAX / (int)sizeof(struct epoll_event))

enum { MOST_DEPTH = 4 }; /* of sets in sets */

struct set {
    struct loop_sim_file file;
    struct item **items; /* by number: a chain of those that were added under it */
    unsigned size;
    struct loop_list ready;
    struct loop_sim_queue waiting; /* who is in epoll_wait(2) */
};

struct item {
    struct set *set;
    struct item *next; /* of the same number */
    int number;
    struct loop_sim_file *file; /* not counted: the item goes when the file does */
    struct epoll_event event;   /* without events but modes: disabled by EPOLLONESHOT */
    struct loop_list ready;
    struct loop_sim_waiter changed, closed;
};

static const struct loop_sim_file_kind kind;

static struct set *set_of(struct loop_sim_file *file)
{
    return (struct set *)file;
}

/* ---- items ---- */

static struct item **find(struct set *set, const struct loop_sim_file *file, int number)
{
    struct item **at = (unsigned)number < set->size ? &set->items[number] : NULL;
    while (at && *at && (*at)->file != file) {
        at = &(*at)->next;
    }
    return at && *at ? at : NULL;
}

static void make_ready(struct item *item)
{
    struct set *set = item->set;
    if (!loop_list_is_linked(&item->ready)) {
        loop_list_push_back(&set->ready, &item->ready);
    }
    loop_sim_queue_wake(&set->waiting, EPOLLIN);
    loop_sim_file_changed(&set->file, EPOLLIN);
}

/* Whether a change concerns an item: one that EPOLLONESHOT has disabled is concerned by none. */
static bool is_concerned(const struct item *item, uint32_t events)
{
    bool is_disabled = !(item->event.events & ~(uint32_t)MODES);
    return !is_disabled && (events == 0 || events & item->event.events);
}

static void on_change(struct loop_sim_waiter *waiter, uint32_t events)
{
    struct item *item = LOOP_CONTAINER(waiter, struct item, changed);
    if (is_concerned(item, events)) {
        make_ready(item);
    }
}

/* Of an item with EPOLLEXCLUSIVE: whether a thread waits in its set, which the change wakes. */
static bool wakes_a_thread(struct loop_sim_waiter *waiter, uint32_t events)
{
    const struct item *item = LOOP_CONTAINER(waiter, struct item, changed);
    return is_concerned(item, events) && !loop_list_is_empty(&item->set->waiting.waiters);
}

static void remove_item(struct item **at)
{
    struct item *item = *at;
    *at = item->next;
    loop_list_remove(&item->ready);
    loop_sim_queue_remove(&item->changed);
    loop_sim_queue_remove(&item->closed);
    loop_sim_free(item);
}

static void on_close(struct loop_sim_waiter *waiter, uint32_t events)
{
    (void)events;
    const struct item *item = LOOP_CONTAINER(waiter, struct item, closed);
    remove_item(find(item->set, item->file, item->number));
}

/* Returns those of the item's events that hold. */
static uint32_t poll_item(const struct item *item)
{
    return loop_sim_file_poll(item->file) & item->event.events;
}

static void grow(struct set *set, unsigned number)
{
    unsigned size = set->size ? set->size : 8;
    while (size <= number) {
        size *= 2;
    }
    if (size > set->size) {
        set->items = loop_sim_realloc(set->items, size * sizeof(struct item *));
        for (unsigned i = set->size; i < size; i++) {
            set->items[i] = NULL;
        }
        set->size = size;
    }
}

static void add(struct set *set, struct loop_sim_file *file, int number, const struct epoll_event *event)
{
    grow(set, (unsigned)number);
    struct item *item = loop_sim_alloc(sizeof *item);
    *item = (struct item){.set = set, .number = number, .file = file, .event = *event, .next = set->items[number]};
    set->items[number] = item;
    loop_list_init(&item->ready);
    item->changed.wake = on_change;
    item->changed.is_willing = event->events & EPOLLEXCLUSIVE ? wakes_a_thread : NULL;
    item->closed.wake = on_close;
    loop_sim_queue_add(&file->queue, &item->changed);
    loop_sim_queue_add(&file->closed, &item->closed);
    if (poll_item(item)) {
        make_ready(item);
    }
}

static void modify(struct item *item, const struct epoll_event *event)
{
    item->event = *event;
    if (poll_item(item)) {
        make_ready(item);
    }
}

/* ---- the kind ---- */

/* A set is ready when an item is. Items that are not ready any more are forgotten on the way. */
static uint32_t poll_set(struct loop_sim_file *file)
{
    struct set *set = set_of(file);
    while (!loop_list_is_empty(&set->ready)) {
        struct item *item = LOOP_CONTAINER(loop_list_first(&set->ready), struct item, ready);
        if (poll_item(item)) {
            return EPOLLIN | EPOLLRDNORM;
        }
        loop_list_remove(&item->ready);
    }
    return 0;
}

static int status_of_set(struct loop_sim_file *file, struct stat *status)
{
    (void)file;
    return loop_sim_file_anonymous_status(status, 0600, LOOP_SIM_ANONYMOUS_INODE);
}

static int control_set(struct loop_sim_file *file, unsigned long what, void *argument)
{
    (void)file;
    (void)what;
    (void)argument;
    return -EINVAL;
}

static void release_set(struct loop_sim_file *file)
{
    struct set *set = set_of(file);
    for (unsigned number = 0; number < set->size; number++) {
        while (set->items[number]) {
            remove_item(&set->items[number]);
        }
    }
    loop_sim_free(set->items);
    loop_sim_free(set);
}

static const struct loop_sim_file_kind kind = {
    .name = "epoll",
    .poll = poll_set,
    .status = status_of_set,
    .control = control_set,
    .seek = loop_sim_file_seek_nowhere,
    .release = release_set,
};

/* ---- changing a set ---- */

/* Returns how deep sets are nested in a file: 0 of what is no set. Beyond MOST_DEPTH, or where `outer` is found in it,
 * it returns more than that. */
static int depth_of(const struct loop_sim_file *file, const struct set *outer, int above)
{
    if (file->kind != &kind) {
        return 0;
    }
    const struct set *set = (const struct set *)file;
    if (set == outer || above > MOST_DEPTH) {
        return MOST_DEPTH + 1;
    }
    int deepest = 0;
    for (unsigned number = 0; number < set->size; number++) {
        for (const struct item *item = set->items[number]; item; item = item->next) {
            int depth = depth_of(item->file, outer, above + 1);
            deepest = depth > deepest ? depth : deepest;
        }
    }
    return deepest + 1;
}

static int change(struct set *set, int what, struct loop_sim_file *file, int number, const struct epoll_event *event)
{
    struct item **found = find(set, file, number);
    struct epoll_event wanted = event ? *event : (struct epoll_event){0};
    wanted.events |= ALWAYS;
    switch (what) {
    case EPOLL_CTL_ADD:
        if (depth_of(file, set, 0) > MOST_DEPTH) {
            return -ELOOP;
        }
        if (!found) {
            add(set, file, number, &wanted);
        }
        return found ? -EEXIST : 0;
    case EPOLL_CTL_DEL:
        if (found) {
            remove_item(found);
        }
        return found ? 0 : -ENOENT;
    case EPOLL_CTL_MOD:
        if (found && (*found)->event.events & EPOLLEXCLUSIVE) {
            return -EINVAL;
        }
        if (found) {
            modify(*found, &wanted);
        }
        return found ? 0 : -ENOENT;
    default: return -EINVAL;
    }
}

static int control(int set_number, int what, int number, const struct epoll_event *event)
{
    struct loop_sim_file *file = loop_sim_file_open_at(set_number), *target = loop_sim_file_open_at(number);
    if (!file || !target) {
        return -EBADF;
    }
    if (target->kind->is_always_ready) {
        return -EPERM;
    }
    if (file->kind != &kind || file == target) {
        return -EINVAL;
    }
    if (what != EPOLL_CTL_DEL && event->events & EPOLLEXCLUSIVE &&
        (what == EPOLL_CTL_MOD || target->kind == &kind || event->events & ~(uint32_t)EXCLUSIVE_OK)) {
        return -EINVAL;
    }
    return change(set_of(file), what, target, number, event);
}

/* ---- waiting ---- */

/* By choice, items are reported in another order than that in which they became ready. */
static void choose_order(struct set *set)
{
    unsigned n = 0;
    for (struct loop_list *link = set->ready.next; link != &set->ready; link = link->next) {
        n++;
    }
    if (n < 2 || !loop_sim_happens(LOOP_SIM_ORDER_READY)) {
        return;
    }
    struct loop_list before;
    loop_list_take_all(&before, &set->ready);
    for (; n > 0; n--) {
        struct loop_list *link = before.next;
        for (unsigned skip = loop_sim_choose(LOOP_SIM_ORDER_READY, n); skip > 0; skip--) {
            link = link->next;
        }
        loop_list_remove(link);
        loop_list_push_back(&set->ready, link);
    }
}

/* Reports up to `most` items. Those that stay ready are put behind the others. Returns how many it has reported. */
static int report(struct set *set, struct epoll_event *events, int most)
{
    int n = 0;
    choose_order(set);
    struct loop_list scanned;
    loop_list_take_all(&scanned, &set->ready);
    while (n < most && !loop_list_is_empty(&scanned)) {
        struct item *item = LOOP_CONTAINER(loop_list_pop_front(&scanned), struct item, ready);
        uint32_t holds = poll_item(item);
        if (!holds) {
            continue;
        }
        events[n++] = (struct epoll_event){.events = holds, .data = item->event.data};
        if (item->event.events & EPOLLONESHOT) {
            item->event.events &= MODES;
        } else if (!(item->event.events & EPOLLET)) {
            loop_list_push_back(&set->ready, &item->ready);
        }
    }
    loop_list_put_before(&set->ready, &scanned);
    if (!loop_list_is_empty(&set->ready)) {
        loop_sim_queue_wake(&set->waiting, EPOLLIN); /* others may report the rest */
    }
    return n;
}

static int wait_for_items(struct set *set, struct epoll_event *events, int most, int64_t until_ns)
{
    struct loop_sim_hold *hold = loop_sim_file_hold(&set->file);
    int result = 0, n = 0;
    while (n == 0 && result == 0) {
        result = loop_sim_wait(&set->waiting, until_ns);
        n = report(set, events, most);
    }
    if (n == 0 && result == -EINTR) {
        (void)loop_sim_signals_handle();
    }
    loop_sim_file_let_go(hold);
    return n > 0 || result == -ETIMEDOUT ? n : result;
}

static int wait_until(int number, struct epoll_event *events, int most, int64_t until_ns)
{
    loop_sim_count_call();
    if (most <= 0 || most > MOST_EVENTS) {
        return -EINVAL;
    }
    struct loop_sim_file *file = loop_sim_file_open_at(number);
    if (!file || file->kind != &kind) {
        return file ? -EINVAL : -EBADF;
    }
    (void)loop_sim_signals_handle();
    int n = report(set_of(file), events, most);
    if (n > 0) {
        return n;
    }
    if (until_ns <= loop_sim_here()->world->now_ns) {
        loop_sim_yield();
        return 0;
    }
    return wait_for_items(set_of(file), events, most, until_ns);
}

/* ---- the door ---- */

int loop_kernel_epoll_create1(int flags)
{
    if (flags & ~EPOLL_CLOEXEC) {
        return (int)loop_sim_return(-EINVAL);
    }
    struct loop_sim_node *node = loop_sim_here();
    struct set *set = loop_sim_alloc(sizeof *set);
    loop_sim_file_init(&set->file, &kind, node, O_RDWR);
    loop_list_init(&set->ready);
    loop_sim_queue_init(&set->waiting);
    return (int)loop_sim_return(loop_sim_file_install(node, &set->file, 0, flags));
}

int loop_kernel_epoll_ctl(int set, int what, int number, struct epoll_event *event)
{
    return (int)loop_sim_return(control(set, what, number, event));
}

int loop_kernel_epoll_wait(int set, struct epoll_event *events, int most, int timeout_ms)
{
    return (int)loop_sim_return(wait_until(set, events, most, loop_sim_time_until_ms(timeout_ms)));
}

int loop_kernel_epoll_pwait2(int set, struct epoll_event *events, int most, const struct __kernel_timespec *timeout,
                             const sigset_t *mask)
{
    int64_t until_ns = loop_sim_time_until(timeout);
    if (until_ns < 0) {
        return (int)loop_sim_return(until_ns);
    }
    struct loop_sim_mask_change change = loop_sim_mask_begin(mask);
    int n = change.is_interrupted ? -EINTR : wait_until(set, events, most, until_ns);
    loop_sim_mask_end(&change);
    return (int)loop_sim_return(n);
}
