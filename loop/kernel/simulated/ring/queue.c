/* SPDX-License-Identifier: ISC
 *
 * The queues of a ring: the memory that the program maps, requests in line for task work, and completions, also those
 * for which there was no room.
 */
#include <loop/kernel/simulated/ring/queue.h>

#if NORIA_URING

#include <loop/kernel/simulated/machine/choice.h>

#include <assert.h>

/* ---- memory ---- */

void loop_sim_ring_memory_unref(struct loop_sim_ring_memory *memory)
{
    assert(memory->uses > 0);
    if (--memory->uses == 0) {
        loop_list_remove(&memory->link);
        loop_sim_free(memory->array);
        loop_sim_free(memory->sqes);
        loop_sim_free(memory->cqes);
        loop_sim_free(memory);
    }
}

/* ---- task work ---- */

/* Takes a request out of the line: the first, or by choice another. */
static struct loop_sim_request *next_work(struct loop_sim_ring *ring)
{
    enum { MOST = 8 };
    struct loop_list *node = ring->work.next;
    for (unsigned n = loop_sim_choose(LOOP_SIM_ORDER_READY, ring->n_work < MOST ? ring->n_work : MOST); n > 0; n--) {
        node = node->next;
    }
    loop_list_remove(node);
    ring->n_work--;
    return LOOP_CONTAINER(node, struct loop_sim_request, work_link);
}

void loop_sim_ring_run_work(struct loop_sim_ring *ring, unsigned most)
{
    for (unsigned n = 0; n < most && ring->n_work > 0; n++) {
        struct loop_sim_request *request = next_work(ring);
        request->run(request);
    }
    if (ring->n_work == 0) {
        ring->memory->sq_flags &= ~IORING_SQ_TASKRUN;
    }
}

static void run_ring_work(struct loop_sim_event *event)
{
    struct loop_sim_ring *ring = LOOP_CONTAINER(event, struct loop_sim_ring, work_event);
    loop_sim_file_ref(&ring->file);
    loop_sim_ring_run_work(ring, ring->n_work);
    if (ring->n_work > 0) {
        loop_sim_event_set(event, ring->file.node->world->now_ns, run_ring_work);
    }
    loop_sim_file_unref(&ring->file);
}

void loop_sim_request_queue(struct loop_sim_request *request, enum loop_sim_request_state state)
{
    struct loop_sim_ring *ring = request->ring;
    request->state = state;
    if (loop_list_is_linked(&request->work_link)) {
        return;
    }
    loop_list_push_back(&ring->work, &request->work_link);
    ring->n_work++;
    if (ring->flags & IORING_SETUP_IOPOLL) {
        return;
    }
    if (ring->flags & IORING_SETUP_TASKRUN_FLAG) {
        ring->memory->sq_flags |= IORING_SQ_TASKRUN;
    }
    loop_sim_queue_wake(&ring->waiting, 0);
    if (!(ring->flags & IORING_SETUP_DEFER_TASKRUN)) {
        loop_sim_event_set(&ring->work_event, ring->file.node->world->now_ns, run_ring_work);
    }
}

/* ---- completions ---- */

uint32_t loop_sim_ring_ready(const struct loop_sim_ring *ring)
{
    return ring->cq_tail - ring->memory->cq_head;
}

static bool has_room(const struct loop_sim_ring *ring)
{
    return loop_list_is_empty(&ring->overflow) && loop_sim_ring_ready(ring) < ring->memory->cq_entries;
}

static void put(struct loop_sim_ring *ring, uint64_t user_data, int32_t result, uint32_t flags)
{
    struct loop_sim_ring_memory *memory = ring->memory;
    struct io_uring_cqe *place = &memory->cqes[ring->cq_tail & memory->cq_mask];
    place->user_data = user_data;
    place->res = result;
    place->flags = flags;
    memory->cq_tail = ++ring->cq_tail;
}

/* Ends timeouts that so many completions were to end. */
static void count_timeouts(struct loop_sim_ring *ring)
{
    if (ring->n_counting == 0) {
        return;
    }
    for (struct loop_list *node = ring->requests.next; node != &ring->requests; node = node->next) {
        struct loop_sim_request *request = LOOP_CONTAINER(node, struct loop_sim_request, link);
        if (request->state == LOOP_SIM_REQUEST_TIMED && request->is_counting && !request->is_cancelled &&
            (int32_t)(ring->posted - request->target) >= 0) {
            loop_sim_event_cancel(&request->event);
            request->result = 0;
            loop_sim_request_queue(request, LOOP_SIM_REQUEST_DONE);
        }
    }
}

/* Wakes those who wait for completions. */
static void tell(struct loop_sim_ring *ring)
{
    ring->posted++;
    loop_sim_queue_wake(&ring->waiting, 0);
    loop_sim_file_changed(&ring->file, EPOLLIN);
    count_timeouts(ring);
}

void loop_sim_ring_post(struct loop_sim_ring *ring, uint64_t user_data, int32_t result, uint32_t flags)
{
    if (has_room(ring)) {
        put(ring, user_data, result, flags);
    } else {
        struct loop_sim_ring_overflow *overflow = loop_sim_alloc(sizeof *overflow);
        loop_list_push_back(&ring->overflow, &overflow->link);
        overflow->user_data = user_data;
        overflow->result = result;
        overflow->flags = flags;
        ring->memory->sq_flags |= IORING_SQ_CQ_OVERFLOW;
    }
    tell(ring);
}

bool loop_sim_ring_post_more(struct loop_sim_ring *ring, uint64_t user_data, int32_t result, uint32_t flags)
{
    if (!has_room(ring)) {
        return false;
    }
    loop_sim_ring_post(ring, user_data, result, flags | IORING_CQE_F_MORE);
    return true;
}

void loop_sim_ring_flush(struct loop_sim_ring *ring)
{
    struct loop_list *node;
    while (loop_sim_ring_ready(ring) < ring->memory->cq_entries && (node = loop_list_pop_front(&ring->overflow))) {
        struct loop_sim_ring_overflow *overflow = LOOP_CONTAINER(node, struct loop_sim_ring_overflow, link);
        put(ring, overflow->user_data, overflow->result, overflow->flags);
        loop_sim_free(overflow);
    }
    if (loop_list_is_empty(&ring->overflow)) {
        ring->memory->sq_flags &= ~IORING_SQ_CQ_OVERFLOW;
    }
}

#endif
