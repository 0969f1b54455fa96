/* SPDX-License-Identifier: ISC
 *
 * Operations that poll a file, and those that change a poll.
 *
 * A wake-up that comes alone is reported with its own events, without looking at the file. After several wake-ups the
 * file is looked at, and what does not hold any more is not reported.
 */
#include <loop/kernel/simulated/ring/poll.h>
#include <loop/kernel/simulated/ring/queue.h>
#include <loop/kernel/simulated/ring/request.h>
#include <loop/kernel/simulated/ring/wait.h>

#if NORIA_URING

/* ---- POLL_ADD ---- */

static int prepare_poll(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    request->is_multishot = entry->len & IORING_POLL_ADD_MULTI;
    bool is_wrong = entry->buf_index || entry->off || entry->addr || entry->len & ~IORING_POLL_ADD_MULTI ||
                    (request->is_multishot && entry->flags & IOSQE_CQE_SKIP_SUCCESS);
    return is_wrong ? -EINVAL : 0;
}

static uint32_t events_of(const struct loop_sim_request *request)
{
    return request->entry.poll32_events & ~(uint32_t)(EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP);
}

/* Begins to poll. What holds already is reported: by a one-shot poll at once, by a multishot poll as task work. */
static int32_t issue_poll(struct loop_sim_request *request)
{
    uint32_t held = loop_sim_request_arm(request, events_of(request), request->is_multishot);
    if (!loop_list_is_linked(&request->waiter.link)) {
        return held ? (int32_t)held : -EINVAL;
    }
    request->state = LOOP_SIM_REQUEST_ARMED;
    if (held) {
        request->wakes = 1;
        request->wake_mask = held;
        loop_sim_request_queue(request, LOOP_SIM_REQUEST_ARMED);
    }
    return LOOP_SIM_REQUEST_WAITS;
}

/* Reports the events of a wake-up that hold still. */
static void report(struct loop_sim_request *request)
{
    uint32_t held = request->wakes == 1 ? request->wake_mask & request->poll_events : 0;
    held = held ? held : loop_sim_request_look(request);
    request->wakes = 0;
    if (!held) {
        return;
    }
    if (!request->is_multishot || !loop_sim_ring_post_more(request->ring, request->entry.user_data, (int32_t)held, 0)) {
        loop_sim_request_complete(request, (int32_t)held);
    }
}

const struct loop_sim_ring_op loop_sim_ring_poll = {
    .prepare = prepare_poll, .issue = issue_poll, .woken = report, .has_file = true};

/* ---- POLL_REMOVE ---- */

static int prepare_remove(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    const unsigned known = IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA | IORING_POLL_ADD_MULTI;
    bool is_wrong =
        entry->buf_index || entry->splice_fd_in || entry->len & ~known || entry->len == IORING_POLL_ADD_MULTI;
    bool updates_data = entry->len & IORING_POLL_UPDATE_USER_DATA;
    bool updates = updates_data || entry->len & IORING_POLL_UPDATE_EVENTS;
    return is_wrong || (!updates_data && entry->off) || (!updates && entry->poll32_events) ? -EINVAL : 0;
}

static struct loop_sim_request *find_poll(const struct loop_sim_ring *ring, uint64_t user_data)
{
    for (struct loop_list *node = ring->requests.next; node != &ring->requests; node = node->next) {
        struct loop_sim_request *request = LOOP_CONTAINER(node, struct loop_sim_request, link);
        if (request->entry.opcode == IORING_OP_POLL_ADD && request->entry.user_data == user_data &&
            request->state == LOOP_SIM_REQUEST_ARMED && !request->is_cancelled) {
            return request;
        }
    }
    return NULL;
}

/* Changes the poll, and begins it again. A one-shot poll stays one, a multishot poll too. */
static void update(struct loop_sim_request *poll, const struct io_uring_sqe *entry)
{
    if (entry->len & IORING_POLL_UPDATE_EVENTS) {
        poll->entry.poll32_events = entry->poll32_events;
    }
    if (entry->len & IORING_POLL_UPDATE_USER_DATA) {
        poll->entry.user_data = entry->off;
    }
    loop_sim_request_disarm(poll);
    int32_t result = issue_poll(poll);
    if (result != LOOP_SIM_REQUEST_WAITS) {
        loop_sim_request_complete(poll, result);
    }
}

static int32_t issue_remove(struct loop_sim_request *request)
{
    struct loop_sim_request *poll = find_poll(request->ring, request->entry.addr);
    if (!poll) {
        return -ENOENT;
    }
    if (poll->wakes > 0) {
        return -EALREADY;
    }
    if (request->entry.len & (IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA)) {
        update(poll, &request->entry);
    } else {
        poll->is_cancelled = true;
        loop_sim_request_queue(poll, LOOP_SIM_REQUEST_ARMED);
    }
    return 0;
}

const struct loop_sim_ring_op loop_sim_ring_poll_remove = {.prepare = prepare_remove, .issue = issue_remove};

#endif
