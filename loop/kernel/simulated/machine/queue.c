/* SPDX-License-Identifier: ISC
 *
 * Queues of those who wait for a change.
 */
#include <loop/kernel/simulated/machine/machine.h>

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

/* Two marks are in the list meanwhile: how far the walk has come, and where it ends. What is removed or added by the
 * way does no harm. */
void loop_sim_queue_wake(struct loop_sim_queue *queue, uint32_t events)
{
    if (loop_list_is_empty(&queue->waiters)) {
        return;
    }
    struct loop_sim_waiter place = {.wake = NULL}, end = {.wake = NULL};
    loop_list_push_front(&queue->waiters, &place.link);
    loop_list_push_back(&queue->waiters, &end.link);
    while (place.link.next != &end.link) {
        struct loop_list *link = place.link.next;
        loop_list_remove(&place.link);
        loop_list_push_front(link, &place.link);
        struct loop_sim_waiter *waiter = LOOP_CONTAINER(link, struct loop_sim_waiter, link);
        if (waiter->wake) {
            waiter->wake(waiter, events);
        }
    }
    loop_list_remove(&place.link);
    loop_list_remove(&end.link);
}
