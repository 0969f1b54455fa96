/* SPDX-License-Identifier: ISC
 *
 * The life of a request: it is tried, waits or is given to a worker, and is completed.
 */
#include <loop/kernel/simulated/ring/queue.h>
#include <loop/kernel/simulated/ring/request.h>
#include <loop/kernel/simulated/ring/wait.h>

#if NORIA_URING

#include <loop/kernel/simulated/disk/inode.h>

enum {
    MOST_SHOTS = 32,   /* completions of a multishot operation in one go */
    MOST_RETRIES = 128 /* of a file that says that it is ready, while the operation says that it would wait */
};

/* ---- the end of a request ---- */

void loop_sim_request_drop(struct loop_sim_request *request)
{
    loop_sim_request_disarm(request);
    loop_sim_event_cancel(&request->event);
    if (loop_list_is_linked(&request->work_link)) {
        loop_list_remove(&request->work_link);
        request->ring->n_work--;
    }
    request->ring->n_counting -= request->is_counting;
    loop_list_remove(&request->link);
    struct loop_sim_file *file = request->file;
    loop_sim_free(request->data);
    loop_sim_free(request);
    loop_sim_file_unref(file);
}

void loop_sim_request_complete(struct loop_sim_request *request, int32_t result)
{
    struct loop_sim_ring *ring = request->ring;
    uint64_t user_data = request->entry.user_data;
    uint32_t flags = request->flags;
    bool is_silent = request->entry.flags & IOSQE_CQE_SKIP_SUCCESS && result >= 0;
    loop_sim_request_drop(request);
    if (!is_silent) {
        loop_sim_ring_post(ring, user_data, result, flags);
    }
}

/* ---- workers ---- */

static void work(struct loop_sim_event *event)
{
    struct loop_sim_request *request = LOOP_CONTAINER(event, struct loop_sim_request, event);
    int32_t result = LOOP_SIM_REQUEST_WAITS;
    for (unsigned n = 0; n < MOST_RETRIES && result == LOOP_SIM_REQUEST_WAITS; n++) {
        result = request->op->issue(request);
    }
    request->result = result;
    loop_sim_request_queue(request, LOOP_SIM_REQUEST_DONE);
}

static void give_to_worker(struct loop_sim_request *request, int64_t latency_ns)
{
    struct loop_sim_node *node = request->ring->file.node;
    request->state = LOOP_SIM_REQUEST_WORKER;
    loop_sim_event_set(&request->event, loop_sim_sum_ns(node->world->now_ns, latency_ns), work);
}

/* Whether a worker does the operation: one that is always slow, or a move of a file that takes its time. */
static bool goes_to_worker(const struct loop_sim_request *request, int64_t *latency_ns)
{
    struct loop_sim_file *file = request->op->events ? request->file : NULL;
    *latency_ns = request->op->is_of_disk       ? loop_sim_disk_latency(request->ring->file.node)
                  : file && file->kind->latency ? file->kind->latency(file)
                                                : 0;
    return request->op->is_slow || *latency_ns > 0;
}

/* ---- trying ---- */

/* Waits for the file. The file may already be what the request waits for: then it is tried again soon. A multishot
 * operation looks only at first, and then waits for the next edge. */
static void wait_for_file(struct loop_sim_request *request)
{
    uint32_t wanted = request->op->events;
    bool is_armed = loop_list_is_linked(&request->waiter.link);
    uint32_t held = is_armed ? 0 : loop_sim_request_arm(request, wanted, request->is_multishot);
    request->state = LOOP_SIM_REQUEST_ARMED;
    if (request->wakes == 0 && held & (wanted | EPOLLERR | EPOLLHUP | (wanted & EPOLLIN ? EPOLLRDHUP : 0U)) &&
        request->retries++ < MOST_RETRIES) {
        loop_sim_request_queue(request, LOOP_SIM_REQUEST_RETRY);
    } else if (!request->is_multishot) {
        (void)loop_sim_request_arm(request, wanted, true);
    }
}

/* Tries a multishot operation until nothing is left, and posts each result. Returns whether it goes on. */
static bool issue_many(struct loop_sim_request *request, int32_t *result)
{
    bool is_accept = request->entry.opcode == IORING_OP_ACCEPT;
    for (unsigned n = 0; n < MOST_SHOTS; n++) {
        *result = request->op->issue(request);
        if (*result < 0 || (!is_accept && *result == 0)) {
            return *result == LOOP_SIM_REQUEST_WAITS;
        }
        request->retries = 0;
        if (!loop_sim_ring_post_more(request->ring, request->entry.user_data, *result, request->flags)) {
            return false;
        }
        request->flags = 0;
        if (request->is_drained) {
            *result = LOOP_SIM_REQUEST_WAITS;
            return true;
        }
    }
    loop_sim_request_queue(request, LOOP_SIM_REQUEST_RETRY);
    return true;
}

/* Tries an operation until it waits or ends. */
static void issue(struct loop_sim_request *request)
{
    int32_t result = 0;
    bool waits = false;
    if (request->is_multishot && request->op->events) {
        waits = issue_many(request, &result);
    } else {
        result = request->op->issue(request);
        waits = result == LOOP_SIM_REQUEST_WAITS;
    }
    if (!waits || (request->is_nowait && result == LOOP_SIM_REQUEST_WAITS)) {
        loop_sim_request_complete(request, result);
    } else if (request->op->events && !request->file->kind->is_always_ready) {
        request->has_waited = true;
        wait_for_file(request);
    } else if (request->op->events) {
        give_to_worker(request, 0);
    }
}

/* Runs the task work of a request. */
static void run(struct loop_sim_request *request)
{
    if (request->is_cancelled) {
        int32_t result = request->op->cancelled ? request->op->cancelled(request) : -ECANCELED;
        request->flags &= ~IORING_CQE_F_SOCK_NONEMPTY; /* a part may be in a buffer */
        loop_sim_request_complete(request, result);
    } else if (request->state == LOOP_SIM_REQUEST_DONE) {
        loop_sim_request_complete(request, request->result);
    } else if (request->op->woken) {
        request->op->woken(request);
    } else {
        request->wakes = 0;
        if (!request->is_multishot) {
            loop_sim_request_disarm(request);
        }
        issue(request);
    }
}

void loop_sim_request_start(struct loop_sim_request *request)
{
    int64_t latency_ns;
    request->run = run;
    if (goes_to_worker(request, &latency_ns)) {
        give_to_worker(request, latency_ns);
    } else {
        issue(request);
    }
}

#endif
