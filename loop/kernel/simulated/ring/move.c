/* SPDX-License-Identifier: ISC
 *
 * Operations that read and write files of any kind.
 */
#include <loop/kernel/simulated/ring/move.h>

#if NORIA_URING

#include <limits.h>
#include <string.h>

/* ---- the vectors ---- */

/* Copies the vectors, as the kernel does before the submission returns. */
static int keep_vectors(struct loop_sim_request *request, const struct iovec *vectors, size_t count)
{
    request->data = loop_sim_alloc((count > 0 ? count : 1) * sizeof *vectors);
    request->n_data = count;
    if (count > 0) {
        memcpy(request->data, vectors, count * sizeof *vectors);
    }
    return 0;
}

static int prepare_plain(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    const struct iovec vector = {(void *)(uintptr_t)entry->addr, entry->len};
    return keep_vectors(request, &vector, 1);
}

static int prepare_vectors(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    const struct iovec *vectors = (const void *)(uintptr_t)entry->addr;
    if (entry->len > IOV_MAX) {
        return -EINVAL;
    }
    return !vectors && entry->len > 0 ? -EFAULT : keep_vectors(request, vectors, entry->len);
}

/* The bytes must lie in the registered buffer. */
static int prepare_fixed(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    const struct loop_sim_ring_buffers *buffers = request->ring->buffers;
    if (!buffers || entry->buf_index >= buffers->count) {
        return -EFAULT;
    }
    const struct iovec *buffer = &buffers->vectors[entry->buf_index];
    uint64_t begin = (uintptr_t)buffer->iov_base;
    if (entry->addr < begin || entry->addr - begin > buffer->iov_len ||
        entry->len > buffer->iov_len - (entry->addr - begin)) {
        return -EFAULT;
    }
    return prepare_plain(request);
}

/* ---- moving ---- */

/* Whether the kernel does not wait for such a file when it is nonblocking. */
static bool refuses_to_wait(const struct loop_sim_file *file)
{
    return file->flags & O_NONBLOCK && strcmp(file->kind->name, "inotify") == 0;
}

static struct loop_sim_move move_of(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    request->is_nowait = entry->rw_flags & RWF_NOWAIT || refuses_to_wait(request->file);
    bool is_at_position = (int64_t)entry->off == LOOP_SIM_POSITION || !request->file->kind->has_offsets;
    return (struct loop_sim_move){.iov = request->data,
                                  .n_iov = request->n_data,
                                  .offset = is_at_position ? LOOP_SIM_POSITION : (int64_t)entry->off,
                                  .flags = entry->rw_flags};
}

static int32_t issue_read(struct loop_sim_request *request)
{
    const struct loop_sim_move move = move_of(request);
    return (int32_t)loop_sim_file_read(request->file, &move);
}

static int32_t issue_write(struct loop_sim_request *request)
{
    const struct loop_sim_move move = move_of(request);
    return (int32_t)loop_sim_file_write(request->file, &move);
}

const struct loop_sim_ring_op loop_sim_ring_read = {
    .prepare = prepare_plain, .issue = issue_read, .events = EPOLLIN, .has_file = true, .is_polled = true};
const struct loop_sim_ring_op loop_sim_ring_readv = {
    .prepare = prepare_vectors, .issue = issue_read, .events = EPOLLIN, .has_file = true, .is_polled = true};
const struct loop_sim_ring_op loop_sim_ring_read_fixed = {
    .prepare = prepare_fixed, .issue = issue_read, .events = EPOLLIN, .has_file = true, .is_polled = true};
const struct loop_sim_ring_op loop_sim_ring_write = {
    .prepare = prepare_plain, .issue = issue_write, .events = EPOLLOUT, .has_file = true, .is_polled = true};
const struct loop_sim_ring_op loop_sim_ring_writev = {
    .prepare = prepare_vectors, .issue = issue_write, .events = EPOLLOUT, .has_file = true, .is_polled = true};
const struct loop_sim_ring_op loop_sim_ring_write_fixed = {
    .prepare = prepare_fixed, .issue = issue_write, .events = EPOLLOUT, .has_file = true, .is_polled = true};

#endif
