/* SPDX-License-Identifier: ISC
 *
 * The buffers into which the kernel receives for flows. Few are given at first, because the kernel takes them in turn:
 * the fewer there are, the more of them are in the cache. When they have not been enough, as many again are given.
 */
#include <loop/backend/uring/receiver.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/fd.h>
#include <loop/core/loop.h>
#include <loop/core/unread.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/ring.h>

#include <errno.h>
#include <stddef.h>

#define SLOTS_FIRST 64u
#define SLOTS_MOST 1024u
#define SLOT_BYTES ((size_t)LOOP_URING_RECEIVER_BYTES)
#define SLOT_STRIDE (offsetof(struct loop_block, bytes) + SLOT_BYTES)
#define RING_BYTES (SLOTS_MOST * sizeof(struct io_uring_buf))

static_assert(SLOT_STRIDE % _Alignof(struct loop_block) == 0, "blocks follow one another");

static struct loop_block *block_at(const struct loop_uring_receiver *receiver, unsigned number)
{
    return (struct loop_block *)(void *)(receiver->slots + number * SLOT_STRIDE);
}

static void give(struct loop_uring_receiver *receiver, unsigned number)
{
    struct loop_block *block = block_at(receiver, number);
    io_uring_buf_ring_add(receiver->ring, block->bytes, (unsigned)SLOT_BYTES, (uint16_t)number,
                          io_uring_buf_ring_mask(SLOTS_MOST), 0);
    io_uring_buf_ring_advance(receiver->ring, 1);
    receiver->n_free++;
}

static void give_more(struct loop_uring_receiver *receiver, unsigned n)
{
    unsigned end = receiver->n_slots + n < SLOTS_MOST ? receiver->n_slots + n : SLOTS_MOST;
    for (; receiver->n_slots < end; receiver->n_slots++) {
        block_at(receiver, receiver->n_slots)->is_backends = true;
        give(receiver, receiver->n_slots);
    }
}

/* Registers the ring of buffers under a free group number. */
static int register_group(struct loop_uring *uring, struct loop_uring_receiver *receiver)
{
    int error;
    do {
        struct io_uring_buf_reg reg = {
            .ring_addr = (uint64_t)(uintptr_t)receiver->ring, .ring_entries = SLOTS_MOST, .bgid = ++uring->last_group};
        error = loop_kernel_io_uring_register_buf_ring(&uring->ring, &reg, 0);
    } while (error == -EEXIST);
    receiver->group_id = uring->last_group;
    return error;
}

static void *map(size_t size_bytes)
{
    void *memory = loop_kernel_mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void unmap(struct loop_uring_receiver *receiver)
{
    if (receiver->ring) {
        loop_kernel_munmap(receiver->ring, RING_BYTES);
    }
    if (receiver->slots) {
        loop_kernel_munmap(receiver->slots, SLOTS_MOST * SLOT_STRIDE);
    }
    receiver->ring = NULL;
    receiver->slots = NULL;
}

static bool make(struct loop_uring *uring, struct loop_uring_receiver *receiver)
{
    receiver->ring = map(RING_BYTES);
    receiver->slots = map(SLOTS_MOST * SLOT_STRIDE);
    if (!receiver->ring || !receiver->slots || register_group(uring, receiver)) {
        unmap(receiver);
        return false;
    }
    /* the kernel uses the pages: a fork must not copy them */
    (void)loop_kernel_madvise(receiver->ring, RING_BYTES, MADV_WIPEONFORK);
    give_more(receiver, SLOTS_FIRST);
    return true;
}

/* Makes the buffers. False when they cannot be made, which is not tried again. */
static bool open_receiver(struct loop_uring *uring)
{
    struct loop_uring_receiver *receiver = loop_kernel_calloc(1, sizeof *receiver);
    uring->receiver = receiver;
    if (!receiver || !make(uring, receiver)) {
        uring->prefers_completions = false;
        return false;
    }
    return true;
}

bool loop_uring_receiver_is_ready(struct loop_uring *uring)
{
    struct loop_uring_receiver *receiver = uring->receiver;
    if (!receiver) {
        return open_receiver(uring);
    }
    if (receiver->was_empty) {
        receiver->was_empty = false;
        give_more(receiver, receiver->n_slots);
    }
    return receiver->n_free > receiver->n_slots / 4;
}

void loop_uring_receiver_prepare(const struct loop_uring *uring, struct io_uring_sqe *entry, const struct loop_fd *fd)
{
    io_uring_prep_recv_multishot(entry, fd->number, NULL, 0, 0);
    entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = uring->receiver->group_id;
}

struct loop_block *loop_uring_receiver_take(struct loop_uring *uring, unsigned number, size_t len)
{
    struct loop_uring_receiver *receiver = uring->receiver;
    struct loop_block *block = block_at(receiver, number);
    assert(number < receiver->n_slots && receiver->n_free > 0 && len <= SLOT_BYTES);
    receiver->n_free--;
    block->at = 0;
    block->end = len;
    block->next = NULL;
    block->is_read = false;
    assert(block->is_backends);
    return block;
}

void loop_uring_receiver_release(struct loop *loop, struct loop_block *block)
{
    struct loop_uring_receiver *receiver = loop_uring_of(loop)->receiver;
    size_t offset = (size_t)((char *)block - receiver->slots);
    assert(offset % SLOT_STRIDE == 0 && offset / SLOT_STRIDE < receiver->n_slots);
    give(receiver, (unsigned)(offset / SLOT_STRIDE));
}

void loop_uring_receiver_finish(struct loop_uring *uring)
{
    struct loop_uring_receiver *receiver = uring->receiver;
    if (!receiver) {
        return;
    }
    if (receiver->ring && !uring->is_gone) {
        (void)loop_kernel_io_uring_unregister_buf_ring(&uring->ring, receiver->group_id);
    }
    unmap(receiver);
    loop_kernel_free(receiver);
    uring->receiver = NULL;
}
