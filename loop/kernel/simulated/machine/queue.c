/* SPDX-License-Identifier: ISC
 *
 * Queues of those who wait for a change.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>

#include <sys/epoll.h>

void loop_sim_queue_init(struct loop_sim_queue *queue)
{
    loop_list_init(&queue->waiters);
}

void loop_sim_queue_add(struct loop_sim_queue *queue, struct loop_sim_waiter *waiter)
{
    loop_list_push_back(&queue->waiters, &waiter->link);
}

void loop_sim_queue_remove(struct loop_sim_waiter *waiter)
{
    if (waiter->link.next) {
        loop_list_remove(&waiter->link);
    }
}

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#pragma GCC diagnostic ignored "-Wdangling-pointer" /* GCC does not see that the marks leave the list */
#endif

/* What happens to each waiter of a queue. Returns false: not to those behind it. */
typedef bool visit_fn(struct loop_sim_waiter *waiter, uint32_t events, unsigned *count);

/* Two marks are in the list meanwhile: how far the walk has come, and where it ends. What is removed or added by the
 * way does no harm. */
static void visit(struct loop_sim_queue *queue, visit_fn *fn, uint32_t events, unsigned *count)
{
    struct loop_sim_waiter place = {.wake = NULL}, end = {.wake = NULL};
    bool goes_on = true;
    loop_list_push_front(&queue->waiters, &place.link);
    loop_list_push_back(&queue->waiters, &end.link);
    while (goes_on && place.link.next != &end.link) {
        struct loop_list *link = place.link.next;
        loop_list_remove(&place.link);
        loop_list_push_front(link, &place.link);
        struct loop_sim_waiter *waiter = LOOP_CONTAINER(link, struct loop_sim_waiter, link);
        goes_on = !waiter->wake || fn(waiter, events, count);
    }
    loop_list_remove(&place.link);
    loop_list_remove(&end.link);
}

/* Wakes a waiter that is always woken; counts the others. */
static bool wake_ordinary(struct loop_sim_waiter *waiter, uint32_t events, unsigned *n_exclusive)
{
    if (waiter->is_willing) {
        ++*n_exclusive;
    } else {
        waiter->wake(waiter, events);
    }
    return true;
}

static bool count_willing(struct loop_sim_waiter *waiter, uint32_t events, unsigned *n_willing)
{
    *n_willing += waiter->is_willing && waiter->is_willing(waiter, events);
    return true;
}

/* Wakes an exclusive waiter, but of those that are willing only the one that `*skip` others are before. */
static bool wake_exclusive(struct loop_sim_waiter *waiter, uint32_t events, unsigned *skip)
{
    bool is_willing = waiter->is_willing && waiter->is_willing(waiter, events);
    if (waiter->is_willing && (!is_willing || *skip == 0)) {
        waiter->wake(waiter, events);
    }
    bool is_last = is_willing && *skip == 0;
    *skip -= is_willing && !is_last;
    return !is_last;
}

static bool wake_any_exclusive(struct loop_sim_waiter *waiter, uint32_t events, unsigned *unused)
{
    (void)unused;
    if (waiter->is_willing) {
        waiter->wake(waiter, events);
    }
    return true;
}

void loop_sim_queue_wake(struct loop_sim_queue *queue, uint32_t events)
{
    unsigned n_exclusive = 0, n_willing = 0;
    if (loop_list_is_empty(&queue->waiters)) {
        return;
    }
    visit(queue, wake_ordinary, events, &n_exclusive);
    if (n_exclusive == 0) {
        return;
    }
    bool is_for_all = events == 0 || events & (EPOLLHUP | EPOLLERR);
    visit(queue, count_willing, events, &n_willing);
    if (is_for_all || n_willing == 0) {
        visit(queue, wake_any_exclusive, events, &n_willing);
    } else {
        unsigned skip = loop_sim_choose(LOOP_SIM_ORDER_READY, n_willing);
        visit(queue, wake_exclusive, events, &skip);
    }
}
