/* SPDX-License-Identifier: ISC
 *
 * Waiting for a file: by an operation that would block, and by POLL_ADD.
 */
#include <loop/kernel/simulated/ring/queue.h>
#include <loop/kernel/simulated/ring/wait.h>

#if NORIA_URING

#include <poll.h>

/* What every poll reports. */
#define ALWAYS (EPOLLERR | EPOLLHUP | EPOLLRDHUP)

/* ---- events ---- */

/* Returns the events of a wake-up as Linux reports them: those of a socket tell more than what has arrived, and a
 * change of its state tells nothing. */
static uint32_t events_of_wake(const struct loop_sim_file *file, uint32_t events)
{
    if (!file->kind->is_socket) {
        return events;
    }
    if (events & (EPOLLHUP | EPOLLRDHUP)) {
        return 0;
    }
    return events | (events & EPOLLIN ? EPOLLPRI | EPOLLRDNORM | EPOLLRDBAND : 0U) |
           (events & EPOLLOUT ? EPOLLWRNORM | EPOLLWRBAND : 0U);
}

uint32_t loop_sim_request_look(const struct loop_sim_request *request)
{
    uint32_t held = loop_sim_file_poll(request->file);
    held |= (held & EPOLLIN ? EPOLLRDNORM : 0U) | (held & EPOLLOUT ? EPOLLWRNORM : 0U);
    return held & request->poll_events;
}

/* ---- waiting ---- */

static void wake(struct loop_sim_waiter *waiter, uint32_t events)
{
    struct loop_sim_request *request = LOOP_CONTAINER(waiter, struct loop_sim_request, waiter);
    uint32_t mask = events_of_wake(request->file, events);
    if (mask && !(mask & request->poll_events & ~(uint32_t)EPOLLPRI)) {
        return;
    }
    if (request->wakes++ == 0) {
        request->wake_mask = mask;
    }
    loop_sim_request_queue(request, request->state);
}

uint32_t loop_sim_request_arm(struct loop_sim_request *request, uint32_t events, bool stays)
{
    request->poll_events = events | ALWAYS;
    uint32_t held = loop_sim_request_look(request);
    if ((stays || !held) && !request->file->kind->is_always_ready && !loop_list_is_linked(&request->waiter.link)) {
        request->waiter.wake = wake;
        loop_sim_queue_add(&request->file->queue, &request->waiter);
    }
    return held;
}

void loop_sim_request_disarm(struct loop_sim_request *request)
{
    if (loop_list_is_linked(&request->waiter.link)) {
        loop_sim_queue_remove(&request->waiter);
    }
    request->wakes = 0;
}

#endif
