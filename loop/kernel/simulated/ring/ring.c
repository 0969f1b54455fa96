/* SPDX-License-Identifier: ISC
 *
 * What a node has of io_uring: its rings, and the memory that they lock.
 *
 * A ring locks its queues, its registered buffers, and its rings of provided buffers. As on Linux 6.18 all of it counts
 * against RLIMIT_MEMLOCK, unless the user is root.
 */
#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

#include <loop/kernel/simulated/object/object.h>
#include <loop/kernel/simulated/object/process.h>

enum { PAGE_SIZE = 4096 };

struct loop_sim_rings *loop_sim_rings_of(struct loop_sim_node *node)
{
    if (!node->rings) {
        node->rings = loop_sim_alloc(sizeof *node->rings);
        loop_list_init(&node->rings->rings);
        loop_list_init(&node->rings->mappings);
        loop_list_init(&node->rings->registered);
    }
    return node->rings;
}

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
}

size_t loop_sim_ring_queue_bytes(const struct io_uring_params *params)
{
    enum { HEADS = 192 }; /* in front of the completions */
    return whole_pages(params->sq_entries * sizeof(struct io_uring_sqe)) +
           whole_pages(HEADS + params->cq_entries * sizeof(struct io_uring_cqe) +
                       params->sq_entries * sizeof(uint32_t));
}

size_t loop_sim_ring_vector_bytes(const struct iovec *vectors, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t begin = (uintptr_t)vectors[i].iov_base % PAGE_SIZE;
        total += vectors[i].iov_base ? whole_pages(begin + vectors[i].iov_len) : 0;
    }
    return total;
}

int loop_sim_rings_lock(struct loop_sim_node *node, size_t bytes)
{
    struct loop_sim_rings *rings = loop_sim_rings_of(node);
    rlim_t limit = loop_sim_files_of(node)->limits[RLIMIT_MEMLOCK].rlim_cur;
    bytes = whole_pages(bytes);
    if (loop_sim_user(node) != 0 && limit != RLIM_INFINITY && rings->locked_bytes + bytes > limit) {
        return -ENOMEM;
    }
    rings->locked_bytes += bytes;
    return 0;
}

void loop_sim_rings_unlock(struct loop_sim_node *node, size_t bytes)
{
    node->rings->locked_bytes -= whole_pages(bytes);
}

int loop_sim_ring_lock(struct loop_sim_ring *ring, size_t bytes)
{
    int error = loop_sim_rings_lock(ring->file.node, bytes);
    ring->locked_bytes += error ? 0 : whole_pages(bytes);
    return error;
}

void loop_sim_ring_unlock(struct loop_sim_ring *ring, size_t bytes)
{
    ring->locked_bytes -= whole_pages(bytes);
    loop_sim_rings_unlock(ring->file.node, bytes);
}

#endif
