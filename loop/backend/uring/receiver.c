/* SPDX-License-Identifier: ISC
 *
 * The buffers into which the kernel receives for flows. Few are given at first, because the kernel takes them in turn:
 * the fewer there are, the more of them are in the cache. When they have not been enough, as many again are given.
 */
#include <loop/backend/uring/compat.h>
#include <loop/backend/uring/receiver.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/fd.h>
#include <loop/core/loop.h>
#include <loop/core/unread.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/ring.h>

#include <errno.h>
#include <stddef.h>

/* The groups. A large buffer takes what one system call of a copy would. One enter fills up to 40. */
static const struct {
    unsigned slot_bytes, slots_first, slots_most; /* slots_most is a power of two */
} sizes[] = {{4096, 64, 256}, {65536, 8, 64}};

/* In the slot number of a block: it is a large one. */
#define LARGE (UINT16_C(1) << 15)

static size_t stride(const struct loop_uring_receiver *receiver)
{
    return offsetof(struct loop_block, bytes) + receiver->slot_bytes;
}

static size_t ring_bytes(const struct loop_uring_receiver *receiver)
{
    return receiver->slots_most * sizeof(struct io_uring_buf);
}

static struct loop_block *block_at(const struct loop_uring_receiver *receiver, unsigned number)
{
    unsigned part = 0, first = 0;
    while (number >= receiver->slots_first << part) {
        first = receiver->slots_first << part++;
    }
    return (struct loop_block *)(void *)(receiver->parts[part] + (number - first) * stride(receiver));
}

static void give(struct loop_uring_receiver *receiver, struct loop_block *block, unsigned number)
{
    io_uring_buf_ring_add(receiver->ring, block->bytes, receiver->slot_bytes, (uint16_t)number,
                          io_uring_buf_ring_mask(receiver->slots_most), 0);
    io_uring_buf_ring_advance(receiver->ring, 1);
    receiver->n_free++;
}

/* Doubles the number of slots, up to the most. Without memory it stays. */
static void give_more(struct loop *loop, struct loop_uring_receiver *receiver)
{
    unsigned part = 0, n = receiver->n_slots > 0 ? receiver->n_slots : receiver->slots_first;
    while (part < LOOP_URING_RECEIVER_PARTS && receiver->parts[part]) {
        part++;
    }
    if (receiver->n_slots + n > receiver->slots_most ||
        !(receiver->parts[part] = loop_kernel_malloc(n * stride(receiver)))) {
        return;
    }
    for (unsigned end = receiver->n_slots + n; receiver->n_slots < end; receiver->n_slots++) {
        struct loop_block *block = block_at(receiver, receiver->n_slots);
        block->is_backends = true;
        block->slot = (uint16_t)(receiver->n_slots | (receiver->slot_bytes == sizes[1].slot_bytes ? LARGE : 0));
        give(receiver, block, receiver->n_slots);
    }
    loop->stats.receive_buffers_now += n;
}

static void free_memory(struct loop_uring_receiver *receiver)
{
    if (receiver->ring) {
        loop_kernel_munmap(receiver->ring, ring_bytes(receiver));
    }
    for (unsigned part = 0; part < LOOP_URING_RECEIVER_PARTS; part++) {
        loop_kernel_free(receiver->parts[part]);
    }
    *receiver = (struct loop_uring_receiver){.n_slots = 0};
}

static bool make(struct loop_uring *uring, struct loop_uring_receiver *receiver)
{
    void *ring =
        loop_kernel_mmap(NULL, ring_bytes(receiver), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    receiver->ring = ring == MAP_FAILED ? NULL : ring;
    if (!receiver->ring || loop_uring_register_group(uring, receiver->ring, receiver->slots_most)) {
        free_memory(receiver);
        return false;
    }
    receiver->group_id = uring->last_group;
    /* the kernel uses the pages: a fork must not copy them */
    (void)loop_kernel_madvise(receiver->ring, ring_bytes(receiver), MADV_WIPEONFORK);
    give_more(uring->loop, receiver);
    return receiver->n_slots > 0;
}

/* Makes a group. False when it cannot be made, which is not tried again. */
static bool open_receiver(struct loop_uring *uring, bool is_large)
{
    struct loop_uring_receiver *receiver = loop_kernel_calloc(1, sizeof *receiver);
    uring->receivers[is_large] = receiver;
    if (receiver) {
        receiver->slot_bytes = sizes[is_large].slot_bytes;
        receiver->slots_first = sizes[is_large].slots_first;
        receiver->slots_most = sizes[is_large].slots_most;
    }
    if (!receiver || !make(uring, receiver)) {
        loop_uring_refuse_completions(uring);
        return false;
    }
    return true;
}

bool loop_uring_receiver_is_ready(struct loop_uring *uring, bool is_large)
{
    struct loop_uring_receiver *receiver = uring->receivers[is_large];
    if (!receiver) {
        return open_receiver(uring, is_large);
    }
    if (receiver->was_empty) {
        receiver->was_empty = false;
        give_more(uring->loop, receiver);
    }
    return receiver->n_free > receiver->n_slots / 4;
}

void loop_uring_receiver_prepare(const struct loop_uring *uring, struct io_uring_sqe *entry, const struct loop_fd *fd)
{
    if (loop_fd_reads_by(fd) == LOOP_IO_SOCKET) {
        io_uring_prep_recv_multishot(entry, fd->number, NULL, 0, 0);
        entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
    } else {
        io_uring_prep_rw(LOOP_URING_OP_READ_MULTISHOT, entry, fd->number, NULL, 0, (uint64_t)-1);
    }
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = loop_uring_receiver_of(uring, fd->receives_large)->group_id;
}

struct loop_block *loop_uring_receiver_take(struct loop *loop, struct loop_uring_receiver *receiver, unsigned number,
                                            size_t len)
{
    struct loop_block *block = block_at(receiver, number);
    assert(number < receiver->n_slots && receiver->n_free > 0 && len <= receiver->slot_bytes);
    receiver->n_free--;
    loop->stats.filled_buffers_now++;
    block->at = 0;
    block->end = len;
    block->is_received = true;
    assert(block->is_backends);
    return block;
}

void loop_uring_receiver_release(struct loop *loop, struct loop_block *block)
{
    struct loop_uring_receiver *receiver = loop_uring_receiver_of(loop_uring_of(loop), block->slot & LARGE);
    unsigned number = block->slot & ~LARGE;
    assert(number < receiver->n_slots && block_at(receiver, number) == block);
    loop->stats.filled_buffers_now--;
    give(receiver, block, number);
}

bool loop_uring_receiver_is_scarce(struct loop *loop, const struct loop_block *block)
{
    const struct loop_uring_receiver *receiver = loop_uring_receiver_of(loop_uring_of(loop), block->slot & LARGE);
    return receiver->n_free < receiver->n_slots / 2;
}

/* Whether the group cannot grow, and has few buffers for what the kernel receives next. */
static bool is_short(const struct loop_uring_receiver *receiver)
{
    return receiver && receiver->n_slots == receiver->slots_most && receiver->n_free < receiver->n_slots / 2;
}

bool loop_uring_receivers_are_short(const struct loop_uring *uring)
{
    return uring->setup_flags & IORING_SETUP_DEFER_TASKRUN && !uring->is_gone &&
           (is_short(uring->receivers[0]) || is_short(uring->receivers[1]));
}

static void finish(struct loop_uring *uring, struct loop_uring_receiver *receiver)
{
    if (receiver->ring && !uring->is_gone) {
        (void)loop_kernel_io_uring_unregister_buf_ring(&uring->ring, receiver->group_id);
    }
    free_memory(receiver);
    loop_kernel_free(receiver);
}

void loop_uring_receiver_finish(struct loop_uring *uring)
{
    for (unsigned i = 0; i < 2; i++) {
        if (uring->receivers[i]) {
            finish(uring, uring->receivers[i]);
        }
        uring->receivers[i] = NULL;
    }
}
