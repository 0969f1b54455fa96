/* SPDX-License-Identifier: ISC
 *
 * What is registered with a ring, for requests that use it.
 */
#include <loop/kernel/simulated/ring/registered.h>

#if NORIA_URING

/* ---- groups of provided buffers ---- */

struct loop_sim_ring_group *loop_sim_ring_group_find(const struct loop_sim_ring *ring, unsigned number)
{
    for (struct loop_list *node = ring->groups.next; node != &ring->groups; node = node->next) {
        struct loop_sim_ring_group *group = LOOP_CONTAINER(node, struct loop_sim_ring_group, link);
        if (group->number == number) {
            return group;
        }
    }
    return NULL;
}

void *loop_sim_request_select_buffer(struct loop_sim_request *request, size_t *len)
{
    struct loop_sim_ring_group *group = loop_sim_ring_group_find(request->ring, request->entry.buf_group);
    if (!group || __atomic_load_n(&group->buffers->tail, __ATOMIC_ACQUIRE) == group->head) {
        return NULL;
    }
    const struct io_uring_buf *buffer = &group->buffers->bufs[group->head & group->mask];
    request->group = group;
    *len = *len > 0 && *len < buffer->len ? *len : buffer->len;
    return (void *)(uintptr_t)buffer->addr;
}

void loop_sim_request_take_buffer(struct loop_sim_request *request)
{
    struct loop_sim_ring_group *group = request->group;
    uint32_t number = group->buffers->bufs[group->head & group->mask].bid;
    request->flags |= IORING_CQE_F_BUFFER | number << IORING_CQE_BUFFER_SHIFT;
    group->head++;
    request->group = NULL;
}

/* ---- buffers ---- */

void loop_sim_ring_drop_buffers(struct loop_sim_ring *ring)
{
    struct loop_sim_ring_buffers *buffers = ring->buffers;
    ring->buffers = NULL;
    if (buffers && --buffers->uses == 0) {
        loop_sim_rings_unlock(ring->file.node, buffers->locked_bytes);
        loop_sim_free(buffers);
    }
}

/* ---- files ---- */

struct loop_sim_file *loop_sim_ring_fixed_file(const struct loop_sim_ring *ring, unsigned number)
{
    return number < ring->n_files ? ring->files[number] : NULL;
}

void loop_sim_ring_drop_files(struct loop_sim_ring *ring)
{
    for (unsigned i = 0; i < ring->n_files; i++) {
        loop_sim_file_unref(ring->files[i]);
    }
    loop_sim_free(ring->files);
    ring->files = NULL;
    ring->n_files = 0;
}

/* ---- rings ---- */

struct loop_sim_ring_registered *loop_sim_ring_registered_find(unsigned number)
{
    uint64_t fiber = loop_sim_fiber_number(loop_sim_fiber_now());
    const struct loop_list *list = &loop_sim_rings_of(loop_sim_here())->registered;
    for (struct loop_list *node = list->next; node != list; node = node->next) {
        struct loop_sim_ring_registered *registered = LOOP_CONTAINER(node, struct loop_sim_ring_registered, link);
        if (registered->fiber == fiber && registered->number == number) {
            return registered;
        }
    }
    return NULL;
}

void loop_sim_ring_registered_drop(struct loop_sim_ring_registered *registered)
{
    struct loop_sim_ring *ring = registered->ring;
    loop_list_remove(&registered->link);
    loop_sim_free(registered);
    loop_sim_file_unref(&ring->file);
}

/* ---- the end ---- */

void loop_sim_ring_unregister(struct loop_sim_ring *ring)
{
    struct loop_list *node;
    while ((node = loop_list_pop_front(&ring->groups))) {
        loop_sim_free(LOOP_CONTAINER(node, struct loop_sim_ring_group, link));
    }
    loop_sim_ring_drop_buffers(ring);
    loop_sim_ring_drop_files(ring);
}

#endif
