/* SPDX-License-Identifier: ISC
 *
 * Groups of provided buffers. The kernel has the free buffers of a group in a ring of buffers, mapped by both. Where it
 * does not support that, a group is a stack for system calls.
 */
#include <loop/backend/uring/buffers.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/ring.h>
#include <loop/syscall/buffers.h>

#include <errno.h>

static size_t ring_bytes(const struct loop_buffers *buffers)
{
    return buffers->count * sizeof(struct io_uring_buf);
}

void loop_uring_buffers_give(struct loop_buffers *buffers, unsigned index)
{
    char *data = buffers->memory + index * buffers->size_bytes;
    io_uring_buf_ring_add(buffers->ring, data, (unsigned)buffers->size_bytes, (uint16_t)index,
                          io_uring_buf_ring_mask(buffers->count), 0);
    io_uring_buf_ring_advance(buffers->ring, 1);
}

int loop_uring_register_group(struct loop_uring *uring, void *ring, unsigned entries)
{
    int error;
    if (uring->loop->is_forked) {
        return -EEXIST;
    }
    do {
        struct io_uring_buf_reg reg = {
            .ring_addr = (uint64_t)(uintptr_t)ring, .ring_entries = entries, .bgid = ++uring->last_group};
        error = loop_kernel_io_uring_register_buf_ring(&uring->ring, &reg, 0);
    } while (error == -EEXIST);
    return error;
}

static void *make_ring(struct loop_uring *uring, struct loop_buffers *buffers)
{
    void *ring =
        loop_kernel_mmap(NULL, ring_bytes(buffers), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED) {
        return NULL;
    }
    /* the kernel uses the pages: a fork must not copy them */
    (void)loop_kernel_madvise(ring, ring_bytes(buffers), MADV_WIPEONFORK);
    if (loop_uring_register_group(uring, ring, buffers->count)) {
        loop_kernel_munmap(ring, ring_bytes(buffers));
        return NULL;
    }
    return ring;
}

void loop_uring_buffers_take_back(struct loop_uring *uring, struct loop_buffers *buffers)
{
    if (buffers->ring) {
        if (!uring->is_gone) {
            (void)loop_kernel_io_uring_unregister_buf_ring(&uring->ring, buffers->group_id);
        }
        loop_kernel_munmap(buffers->ring, ring_bytes(buffers));
        buffers->ring = NULL;
    }
}

int loop_uring_buffers_init(struct loop *loop, struct loop_buffers *buffers)
{
    struct loop_uring *uring = loop_uring_of(loop);
    bool is_refused = uring->elsewhere >> LOOP_OP_RECV_MULTISHOT & 1;
    buffers->ring = is_refused ? NULL : make_ring(uring, buffers);
    if (!buffers->ring) {
        return loop_direct_buffers_init(loop, buffers);
    }
    buffers->group_id = uring->last_group;
    buffers->n_free = buffers->count;
    for (unsigned i = 0; i < buffers->count; i++) {
        loop_uring_buffers_give(buffers, i);
    }
    return 0;
}

void loop_uring_buffers_finish(struct loop *loop, struct loop_buffers *buffers)
{
    loop_uring_buffers_take_back(loop_uring_of(loop), buffers);
    loop_direct_buffers_finish(loop, buffers);
}

void loop_uring_buffers_recycle(struct loop *loop, struct loop_buffers *buffers, unsigned index)
{
    if (!buffers->ring) {
        loop_direct_buffers_recycle(loop, buffers, index);
        return;
    }
    buffers->is_lent[index] = false;
    buffers->n_free++;
    loop_uring_buffers_give(buffers, index);
}
