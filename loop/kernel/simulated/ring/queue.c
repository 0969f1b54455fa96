/* SPDX-License-Identifier: ISC
 *
 * The two queues of a ring: completions, those for which there was no room, and the entries that are submitted.
 */
#include <loop/kernel/simulated/ring/ring.h>

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

/* Wakes those who wait for completions. */
static void tell(struct loop_sim_ring *ring)
{
    ring->posted++;
    loop_sim_queue_wake(&ring->waiting, 0);
    loop_sim_file_changed(&ring->file, EPOLLIN);
    loop_sim_ring_count_timeouts(ring);
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

/* ---- submission ---- */

/* Returns the next entry, or NULL: there is none, or the program has named one that does not exist. */
static const struct io_uring_sqe *next_entry(struct loop_sim_ring *ring)
{
    struct loop_sim_ring_memory *memory = ring->memory;
    if (ring->sq_head == memory->sq_tail) {
        return NULL;
    }
    uint32_t index = memory->array[ring->sq_head++ & memory->sq_mask];
    if (index >= memory->sq_entries) {
        memory->sq_dropped++;
        return NULL;
    }
    return &memory->sqes[index];
}

int loop_sim_ring_submit(struct loop_sim_ring *ring, unsigned count)
{
    uint32_t there = ring->memory->sq_tail - ring->sq_head;
    unsigned n = 0, most = there < ring->memory->sq_entries ? there : ring->memory->sq_entries;
    most = count < most ? count : most;
    bool is_short = most > 0 && loop_sim_happens(LOOP_SIM_NO_BUFFERS);
    if (is_short) {
        most = loop_sim_choose(LOOP_SIM_NO_BUFFERS, most);
    }
    const struct io_uring_sqe *entry;
    bool goes_on = true;
    while (goes_on && n < most && (entry = next_entry(ring))) {
        n++;
        goes_on = loop_sim_request_begin(ring, entry) || ring->flags & IORING_SETUP_SUBMIT_ALL;
    }
    ring->memory->sq_head = ring->sq_head;
    return is_short && n == 0 ? -EAGAIN : (int)n;
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

#endif
