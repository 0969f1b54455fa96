/* SPDX-License-Identifier: ISC
 *
 * io_uring_register(2): registers buffers, groups of provided buffers, files and the ring's own number, answers
 * questions, and cancels.
 */
#include <loop/kernel/simulated/ring/cancel.h>
#include <loop/kernel/simulated/ring/operation.h>
#include <loop/kernel/simulated/ring/registered.h>
#include <loop/kernel/simulated/ring/setup.h>

#if NORIA_URING

#include <assert.h>
#include <limits.h>
#include <string.h>

enum { MOST_BUFFERS = 1 << 14, MOST_GROUP_BUFFERS = 1 << 15, PAGE_SIZE = 4096 };
#define MOST_BUFFER_BYTES ((size_t)1 << 30)

/* ---- buffers ---- */

static int check_buffer(const struct iovec *vector)
{
    if (!vector->iov_base) {
        return vector->iov_len > 0 ? -EFAULT : 0;
    }
    return vector->iov_len == 0 || vector->iov_len > MOST_BUFFER_BYTES ? -EFAULT : 0;
}

int loop_kernel_io_uring_register_buffers(struct io_uring *ring, const struct iovec *vectors, unsigned count)
{
    int error;
    struct loop_sim_ring *target = loop_sim_ring_to_register(ring, &error);
    if (!target) {
        return error;
    }
    if (target->buffers) {
        return -EBUSY;
    }
    if (count == 0 || count > MOST_BUFFERS) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < count && !error; i++) {
        error = check_buffer(&vectors[i]);
    }
    size_t locked_bytes = loop_sim_ring_vector_bytes(vectors, count);
    if (!error) {
        error = loop_sim_rings_lock(target->file.node, locked_bytes);
    }
    if (!error) {
        target->buffers = loop_sim_alloc(sizeof *target->buffers + count * sizeof *vectors);
        memcpy(target->buffers->vectors, vectors, count * sizeof *vectors);
        target->buffers->uses = 1;
        target->buffers->locked_bytes = locked_bytes;
        target->buffers->count = count;
    }
    return error;
}

/* Also the source must be a ring that this thread may use. */
int loop_kernel_io_uring_clone_buffers(struct io_uring *ring, const struct io_uring *source)
{
    int error;
    struct loop_sim_ring *target = loop_sim_ring_to_register(ring, &error);
    if (!target) {
        return error;
    }
    if (target->file.node->ring_refuses_clones) {
        return -EINVAL;
    }
    if (target->buffers) {
        return -EBUSY;
    }
    struct loop_sim_ring *from = loop_sim_ring_to_register(source, &error);
    if (!from) {
        return error;
    }
    if (!from->buffers) {
        return -ENXIO;
    }
    target->buffers = from->buffers;
    target->buffers->uses++;
    return 0;
}

int loop_kernel_io_uring_unregister_buffers(struct io_uring *ring)
{
    int error;
    struct loop_sim_ring *target = loop_sim_ring_to_register(ring, &error);
    if (!target) {
        return error;
    }
    if (!target->buffers) {
        return -ENXIO;
    }
    loop_sim_ring_drop_buffers(target);
    return 0;
}

/* ---- groups of provided buffers ---- */

/* Returns the member after the group's number, which is called pad or flags by the version of liburing. */
static uint16_t flags_of(const struct io_uring_buf_reg *group)
{
    uint16_t flags;
    memcpy(&flags, (const char *)group + offsetof(struct io_uring_buf_reg, bgid) + sizeof group->bgid, sizeof flags);
    return flags;
}

static int check_group(const struct loop_sim_ring *ring, const struct io_uring_buf_reg *group)
{
    if (flags_of(group) || group->resv[0] || group->resv[1] || group->resv[2]) {
        return -EINVAL;
    }
    if (!group->ring_addr) {
        return -EFAULT;
    }
    uint32_t entries = group->ring_entries;
    if (group->ring_addr % PAGE_SIZE || entries == 0 || entries & (entries - 1) || entries > MOST_GROUP_BUFFERS) {
        return -EINVAL;
    }
    return loop_sim_ring_group_find(ring, group->bgid) ? -EEXIST : 0;
}

int loop_kernel_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *group, unsigned flags)
{
    int error;
    struct loop_sim_ring *target = loop_sim_ring_to_register(ring, &error);
    (void)flags; /* liburing ignores them too */
    if (!target) {
        return error;
    }
    error = check_group(target, group);
    if (!error) {
        error = loop_sim_ring_lock(target, group->ring_entries * sizeof(struct io_uring_buf));
    }
    if (error) {
        return error;
    }
    struct loop_sim_ring_group *added = loop_sim_alloc(sizeof *added);
    added->buffers = (const struct io_uring_buf_ring *)(uintptr_t)group->ring_addr;
    added->mask = group->ring_entries - 1;
    added->number = group->bgid;
    loop_list_push_back(&target->groups, &added->link);
    return 0;
}

int loop_kernel_io_uring_unregister_buf_ring(struct io_uring *ring, int number)
{
    int error;
    struct loop_sim_ring *target = loop_sim_ring_to_register(ring, &error);
    if (!target) {
        return error;
    }
    struct loop_sim_ring_group *group = loop_sim_ring_group_find(target, (uint16_t)number);
    if (!group) {
        return -ENOENT;
    }
    loop_sim_ring_unlock(target, (group->mask + 1) * sizeof(struct io_uring_buf));
    loop_list_remove(&group->link);
    loop_sim_free(group);
    return 0;
}

/* ---- files ---- */

/* Puts a file in its place. Number -1 leaves the place free. Returns 0 or -EBADF. */
static int keep_file(struct loop_sim_ring *ring, unsigned place, int number)
{
    struct loop_sim_file *file = number >= 0 ? loop_sim_file_at(ring->file.node, number) : NULL;
    if (number != -1 && (!file || loop_sim_ring_of(file))) {
        return -EBADF;
    }
    ring->files[place] = file ? loop_sim_file_ref(file) : NULL;
    return 0;
}

int loop_kernel_io_uring_register_files(struct io_uring *ring, const int *numbers, unsigned count)
{
    int error;
    struct loop_sim_ring *target = loop_sim_ring_to_register(ring, &error);
    if (!target) {
        return error;
    }
    if (target->files) {
        return -EBUSY;
    }
    if (count == 0) {
        return -EINVAL;
    }
    target->files = loop_sim_alloc(count * sizeof(void *));
    target->n_files = count;
    for (unsigned i = 0; i < count && !error; i++) {
        error = keep_file(target, i, numbers[i]);
    }
    if (error) {
        loop_sim_ring_drop_files(target);
    }
    return error;
}

/* ---- the ring itself ---- */

int loop_kernel_io_uring_register_ring_fd(struct io_uring *ring)
{
    int error;
    struct loop_sim_ring *target = loop_sim_ring_to_register(ring, &error);
    if (!target) {
        return error;
    }
    if (ring->enter_ring_fd != ring->ring_fd) {
        return -EEXIST;
    }
    unsigned number = 0;
    while (number < LOOP_SIM_REGISTERED_RINGS && loop_sim_ring_registered_find(number)) {
        number++;
    }
    if (number == LOOP_SIM_REGISTERED_RINGS) {
        return -EBUSY;
    }
    struct loop_sim_ring_registered *registered = loop_sim_alloc(sizeof *registered);
    registered->fiber = loop_sim_fiber_number(loop_sim_fiber_now());
    registered->number = number;
    registered->ring = target;
    loop_sim_file_ref(&target->file);
    struct loop_sim_rings *rings = loop_sim_rings_of(loop_sim_here());
    assert(rings);
    loop_list_push_back(&rings->registered, &registered->link);
    ring->enter_ring_fd = (int)number;
    ring->int_flags |= LOOP_SIM_RING_IS_REGISTERED;
    return 1;
}

/* ---- questions ---- */

int loop_kernel_io_uring_register_probe(struct io_uring *ring, struct io_uring_probe *probe, unsigned count)
{
    int error;
    struct loop_sim_ring *target = loop_sim_ring_to_register(ring, &error);
    if (!target) {
        return error;
    }
    if (count > UCHAR_MAX + 1U) {
        return -EINVAL;
    }
    unsigned known = count < IORING_OP_LAST ? count : IORING_OP_LAST;
    memset(probe, 0, sizeof *probe + count * sizeof *probe->ops);
    probe->last_op = IORING_OP_LAST - 1;
    probe->ops_len = (uint8_t)known;
    for (unsigned i = 0; i < known; i++) {
        probe->ops[i].op = (uint8_t)i;
        probe->ops[i].flags = loop_sim_ring_op_of(target->file.node, i) ? IO_URING_OP_SUPPORTED : 0;
    }
    return 0;
}

int loop_kernel_io_uring_register_iowq_max_workers(struct io_uring *ring, unsigned *most)
{
    int error;
    struct loop_sim_ring *target = loop_sim_ring_to_register(ring, &error);
    if (!target) {
        return error;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (most[i] > INT_MAX) {
            return -EINVAL;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        unsigned before = target->workers[i];
        target->workers[i] = most[i] ? most[i] : before;
        most[i] = before;
    }
    return 0;
}

int loop_kernel_io_uring_ring_dontfork(struct io_uring *ring)
{
    return ring->sq.ring_ptr ? 0 : -EINVAL;
}

/* ---- cancelling from outside ---- */

/* Waits until what could not be stopped is complete, or until the time is over. */
static int cancel_and_wait(struct loop_sim_ring *ring, const struct loop_sim_ring_match *match, int64_t until_ns)
{
    int result = loop_sim_ring_cancel(ring, match);
    if (result != -EALREADY) {
        return result;
    }
    while (result == -EALREADY) {
        int error = loop_sim_wait(&ring->waiting, until_ns);
        result = error ? error : loop_sim_ring_cancel(ring, match);
    }
    return result == -ENOENT || result > 0 ? 0 : result == -ETIMEDOUT ? -ETIME : result;
}

int loop_kernel_io_uring_register_sync_cancel(struct io_uring *ring, struct io_uring_sync_cancel_reg *request)
{
    int error;
    struct loop_sim_ring *target = loop_sim_ring_to_register(ring, &error);
    if (!target) {
        return error;
    }
    struct loop_sim_ring_match match = {.user_data = request->addr, .flags = request->flags};
    const uint32_t known = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ANY;
    if (match.flags & ~known || request->pad[0] || request->pad[1] || request->pad[2] || request->pad[3]) {
        return -EINVAL;
    }
    if (match.flags & IORING_ASYNC_CANCEL_FD && !(match.file = loop_sim_file_of(request->fd))) {
        return -EBADF;
    }
    const struct __kernel_timespec *timeout = &request->timeout;
    bool is_endless = timeout->tv_sec == -1 && timeout->tv_nsec == -1;
    int64_t left_ns = is_endless ? LOOP_SIM_NEVER : loop_sim_time_ns(timeout->tv_sec, timeout->tv_nsec);
    int64_t until_ns = loop_sim_sum_ns(target->file.node->world->now_ns, left_ns);
    struct loop_sim_hold *hold = loop_sim_file_hold(&target->file);
    int result = cancel_and_wait(target, &match, until_ns);
    loop_sim_file_let_go(hold);
    return result;
}

#endif
