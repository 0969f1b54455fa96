/* SPDX-License-Identifier: ISC
 *
 * Submission: a request is begun for each entry that the program has put in the queue.
 */
#include <loop/kernel/simulated/ring/operation.h>
#include <loop/kernel/simulated/ring/registered.h>
#include <loop/kernel/simulated/ring/request.h>
#include <loop/kernel/simulated/ring/submit.h>

#if NORIA_URING

#include <loop/kernel/simulated/disk/inode.h>
#include <loop/kernel/simulated/machine/choice.h>

#include <string.h>

#define KNOWN_FLAGS (IOSQE_FIXED_FILE | IOSQE_ASYNC | IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS)

/* ---- requests ---- */

static struct loop_sim_request *create(struct loop_sim_ring *ring, const struct io_uring_sqe *entry)
{
    struct loop_sim_request *request = loop_sim_alloc(sizeof *request);
    request->ring = ring;
    memcpy(&request->entry, entry, sizeof *entry);
    loop_list_init(&request->work_link);
    loop_list_init(&request->waiter.link);
    loop_list_push_back(&ring->requests, &request->link);
    return request;
}

/* Checks what all entries have in common. Returns 0 or a negative errno. */
static int check(struct loop_sim_request *request)
{
    const struct loop_sim_ring *ring = request->ring;
    const struct io_uring_sqe *entry = &request->entry;
    request->op = loop_sim_ring_op_of(ring->file.node, entry->opcode);
    bool is_refused = request->op && ring->flags & IORING_SETUP_IOPOLL && !request->op->is_polled;
    if (!request->op || is_refused || entry->flags & ~KNOWN_FLAGS || entry->personality) {
        return -EINVAL;
    }
    bool has_priority = request->op->events && entry->opcode != IORING_OP_CONNECT;
    if (entry->ioprio && !has_priority) {
        return -EINVAL;
    }
    if (entry->flags & IOSQE_BUFFER_SELECT && !request->op->selects) {
        return -EOPNOTSUPP;
    }
    return request->op->prepare ? request->op->prepare(request) : 0;
}

/* Whether a file is O_DIRECT and on a disk, which has queues for polling. */
static bool is_on_polled_device(struct loop_sim_file *file)
{
    return file->flags & O_DIRECT && file->kind->latency && loop_sim_inode_of(file)->device == LOOP_SIM_DEVICE_DISK;
}

/* Finds the file of an entry. Returns 0, -EBADF, or -EOPNOTSUPP for one that cannot be polled. */
static int find_file(struct loop_sim_request *request)
{
    struct loop_sim_ring *ring = request->ring;
    const struct io_uring_sqe *entry = &request->entry;
    if (!request->op->has_file) {
        return 0;
    }
    struct loop_sim_file *file = entry->flags & IOSQE_FIXED_FILE ? loop_sim_ring_fixed_file(ring, (unsigned)entry->fd)
                                                                 : loop_sim_file_at(ring->file.node, entry->fd);
    if (!file || file->flags & O_PATH) {
        return -EBADF;
    }
    request->file = loop_sim_file_ref(file);
    return ring->flags & IORING_SETUP_IOPOLL && !is_on_polled_device(file) ? -EOPNOTSUPP : 0;
}

/* Begins a request for an entry, and tries it. Returns whether the entry was good. */
static bool begin(struct loop_sim_ring *ring, const struct io_uring_sqe *entry)
{
    struct loop_sim_request *request = create(ring, entry);
    int error = check(request);
    if (error) {
        loop_sim_request_complete(request, error);
        return false;
    }
    error = find_file(request);
    if (error) {
        loop_sim_request_complete(request, error);
    } else {
        loop_sim_request_start(request);
    }
    return true;
}

/* ---- entries ---- */

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
        goes_on = begin(ring, entry) || ring->flags & IORING_SETUP_SUBMIT_ALL;
    }
    ring->memory->sq_head = ring->sq_head;
    return is_short && n == 0 ? -EAGAIN : (int)n;
}

#endif
