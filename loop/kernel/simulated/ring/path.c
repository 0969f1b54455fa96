/* SPDX-License-Identifier: ISC
 *
 * Operations on paths and on open files that the kernel does by a worker thread: they take the latency of the disk.
 */
#include <loop/kernel/simulated/ring/path.h>
#include <loop/kernel/simulated/ring/setup.h>

#if NORIA_URING

#include <loop/kernel/simulated/disk/disk.h>

#include <limits.h>
#include <string.h>

/* ---- OPENAT2 ---- */

/* What the kernel copies of an open. */
struct open_arguments {
    struct open_how how;
    char path[];
};

static int prepare_open(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    const struct open_how *how = (const void *)(uintptr_t)entry->addr2;
    const char *path = (const void *)(uintptr_t)entry->addr;
    if (entry->buf_index || entry->len != sizeof *how || entry->file_index) {
        return -EINVAL;
    }
    if (entry->flags & IOSQE_FIXED_FILE) {
        return -EBADF;
    }
    if (!how || !path) {
        return -EFAULT;
    }
    size_t size = strlen(path) + 1;
    if (size > PATH_MAX) {
        return -ENAMETOOLONG;
    }
    struct open_arguments *arguments = request->data = loop_sim_alloc(sizeof *arguments + size);
    arguments->how = *how;
    memcpy(arguments->path, path, size);
    return 0;
}

/* The kernel tries with O_NONBLOCK first, so that no FIFO waits for its other side. */
static int32_t issue_open(struct loop_sim_request *request)
{
    const struct open_arguments *arguments = request->data;
    struct open_how how = arguments->how;
    struct loop_sim_node *node = request->ring->file.node;
    int error, number = loop_sim_file_reserve(node, 0);
    if (number < 0) {
        return number;
    }
    how.flags |= how.flags & O_PATH ? 0 : O_NONBLOCK;
    struct loop_sim_file *file = loop_sim_disk_open(node, request->entry.fd, arguments->path, &how, &error);
    if (!file) {
        return error;
    }
    if (!(arguments->how.flags & O_NONBLOCK)) {
        file->flags &= ~O_NONBLOCK;
    }
    loop_sim_file_put(node, number, file, (int)(arguments->how.flags & O_CLOEXEC));
    return number;
}

const struct loop_sim_ring_op loop_sim_ring_open = {
    .prepare = prepare_open, .issue = issue_open, .is_slow = true, .is_of_disk = true};

/* ---- STATX ---- */

static int prepare_statx(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    const char *path = (const void *)(uintptr_t)entry->addr;
    if (entry->buf_index || entry->splice_fd_in) {
        return -EINVAL;
    }
    if (entry->flags & IOSQE_FIXED_FILE) {
        return -EBADF;
    }
    if (!path || !entry->addr2) {
        return -EFAULT;
    }
    size_t size = strlen(path) + 1;
    if (size > PATH_MAX) {
        return -ENAMETOOLONG;
    }
    request->data = loop_sim_alloc(size);
    memcpy(request->data, path, size);
    return 0;
}

static int32_t issue_statx(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    return loop_sim_disk_statx(request->ring->file.node, entry->fd, request->data, (int)entry->statx_flags, entry->len,
                               (struct statx *)(uintptr_t)entry->addr2);
}

const struct loop_sim_ring_op loop_sim_ring_statx = {
    .prepare = prepare_statx, .issue = issue_statx, .is_slow = true, .is_of_disk = true};

/* ---- FSYNC ---- */

static int prepare_fsync(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    bool is_wrong = entry->addr || entry->buf_index || entry->splice_fd_in || entry->off || entry->len ||
                    entry->fsync_flags & ~IORING_FSYNC_DATASYNC;
    return is_wrong ? -EINVAL : 0;
}

static int32_t issue_fsync(struct loop_sim_request *request)
{
    return loop_sim_disk_sync(request->file, request->entry.fsync_flags & IORING_FSYNC_DATASYNC);
}

const struct loop_sim_ring_op loop_sim_ring_fsync = {
    .prepare = prepare_fsync, .issue = issue_fsync, .has_file = true, .is_slow = true, .is_of_disk = true};

/* ---- CLOSE ---- */

static int prepare_close(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    bool is_wrong = entry->off || entry->addr || entry->len || entry->rw_flags || entry->buf_index || entry->file_index;
    return is_wrong ? -EINVAL : entry->flags & IOSQE_FIXED_FILE ? -EBADF : 0;
}

/* A ring cannot be closed by a ring. */
static int32_t issue_close(struct loop_sim_request *request)
{
    struct loop_sim_node *node = request->ring->file.node;
    struct loop_sim_file *file = loop_sim_file_at(node, request->entry.fd);
    return !file || loop_sim_ring_of(file) ? -EBADF : loop_sim_file_close(node, request->entry.fd);
}

const struct loop_sim_ring_op loop_sim_ring_close_file = {.prepare = prepare_close, .issue = issue_close};

#endif
