/* SPDX-License-Identifier: ISC
 *
 * Sizes, room and syncing: ftruncate(2), fallocate(2), copy_file_range(2), fsync(2), and locks by flock(2).
 */
#include <loop/kernel/simulated/disk/directory.h>
#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/disk/durable.h>
#include <loop/kernel/simulated/disk/notify.h>
#include <loop/kernel/simulated/disk/regular.h>
#include <loop/kernel/simulated/disk/space.h>
#include <loop/kernel/simulated/machine/choice.h>

#include <loop/kernel/file.h>

#include <linux/falloc.h>
#include <string.h>

#define COPY_BYTES ((size_t)1 << 20) /* at most by one copy_file_range */

static bool is_writable(const struct loop_sim_file *file)
{
    return (file->flags & O_ACCMODE) == O_WRONLY || (file->flags & O_ACCMODE) == O_RDWR;
}

static struct loop_sim_entry *entry_of(struct loop_sim_file *file)
{
    return ((struct loop_sim_open *)(void *)file)->entry;
}

/* ---- sizes ---- */

void loop_sim_entry_truncate(struct loop_sim_entry *entry, uint64_t size)
{
    struct loop_sim_inode *inode = entry->inode;
    size_t before = inode->content.n_slots;

    loop_sim_content_truncate(&inode->content, size);
    loop_sim_truncated(inode, size);
    loop_sim_disk_adjust(inode, before);
    loop_sim_inode_modified(inode);
    loop_sim_notify_change(entry, IN_MODIFY | (loop_sim_inode_drop_privileges(inode) ? IN_ATTRIB : 0));
}

int loop_sim_disk_truncate(struct loop_sim_file *file, int64_t size)
{
    if (size < 0) {
        return -EINVAL;
    }
    if (file->flags & O_PATH) {
        return -EBADF;
    }
    if (file->kind != &loop_sim_regular_kind || !is_writable(file)) {
        return -EINVAL;
    }
    if (size > (int64_t)loop_sim_inode_of(file)->content.size && loop_sim_file_room(file, size - 1, 1) < 0) {
        return -EFBIG;
    }
    loop_sim_entry_truncate(entry_of(file), (uint64_t)size);
    return 0;
}

/* Returns 0, or why room is not allocated so. */
static int check_allocation(const struct loop_sim_file *file, int mode, int64_t offset, int64_t len)
{
    const int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    int kind = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);

    if (file->flags & O_PATH) {
        return -EBADF;
    }
    if (offset < 0 || len <= 0) {
        return -EINVAL;
    }
    if (mode & ~known || kind == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) ||
        (kind == FALLOC_FL_PUNCH_HOLE && !(mode & FALLOC_FL_KEEP_SIZE))) {
        return -EOPNOTSUPP;
    }
    if (!is_writable(file)) {
        return -EBADF;
    }
    if (file->kind != &loop_sim_regular_kind) {
        return loop_sim_open_of((struct loop_sim_file *)(uintptr_t)file) || file->kind->has_offsets ? -ENODEV : -ESPIPE;
    }
    return offset > LOOP_SIM_FILE_MOST - len ? -EFBIG : 0;
}

int loop_sim_disk_allocate(struct loop_sim_file *file, int mode, int64_t offset, int64_t len)
{
    int error = check_allocation(file, mode, offset, len);

    if (error < 0) {
        return error;
    }
    struct loop_sim_inode *inode = loop_sim_inode_of(file);
    struct loop_sim_content *content = &inode->content;
    size_t before = content->n_slots;
    uint64_t begin = (uint64_t)offset, end = begin + (uint64_t)len;
    bool keeps_size = mode & FALLOC_FL_KEEP_SIZE, punches = mode & FALLOC_FL_PUNCH_HOLE;
    if (!keeps_size && end > content->size && loop_sim_file_room(file, (int64_t)end - 1, 1) < 0) {
        return -EFBIG;
    }
    error = punches ? 0 : loop_sim_disk_take(inode, loop_sim_content_missing(content, begin, (uint64_t)len));
    if (error < 0) {
        return error;
    }
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
        loop_sim_content_punch(content, begin, (uint64_t)len);
        loop_sim_punched(inode, begin, (uint64_t)len);
    }
    if (!punches) {
        loop_sim_content_reserve(content, begin, (uint64_t)len);
        content->size = !keeps_size && end > content->size ? end : content->size;
        loop_sim_reserved(inode, begin, (uint64_t)len, keeps_size);
    }
    loop_sim_disk_adjust(inode, before);
    if (loop_sim_inode_drop_privileges(inode)) {
        loop_sim_notify_change(entry_of(file), IN_ATTRIB);
    }
    loop_sim_inode_modified(inode);
    loop_sim_notify(entry_of(file), IN_MODIFY);
    return 0;
}

int loop_kernel_ftruncate(int number, off_t size)
{
    loop_sim_disk_wait();
    struct loop_sim_file *file = loop_sim_file_of(number);

    return (int)loop_sim_return(file ? loop_sim_disk_truncate(file, size) : -EBADF);
}

int loop_kernel_fallocate(int number, int mode, off_t offset, off_t len)
{
    loop_sim_disk_wait();
    struct loop_sim_file *file = loop_sim_file_of(number);

    return (int)loop_sim_return(file ? loop_sim_disk_allocate(file, mode, offset, len) : -EBADF);
}

/* ---- copying ---- */

/* One end of a copy. */
struct end {
    struct loop_sim_file *file;
    off64_t *offset; /* NULL: the position of the file, which moves */
};

static int64_t offset_of(const struct end *end)
{
    return end->offset ? *end->offset : end->file->position;
}

static int check_copy(const struct end *from, const struct end *to, size_t len, unsigned flags)
{
    const struct end *ends[2] = {from, to};

    for (size_t i = 0; i < 2; i++) {
        if (!ends[i]->file || ends[i]->file->flags & O_PATH) {
            return -EBADF;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        if (ends[i]->file->kind != &loop_sim_regular_kind) {
            return ends[i]->file->kind == &loop_sim_directory_kind ? -EISDIR : -EINVAL;
        }
    }
    if (flags != 0) {
        return -EINVAL;
    }
    if ((from->file->flags & O_ACCMODE) == O_WRONLY || !is_writable(to->file) || to->file->flags & O_APPEND) {
        return -EBADF;
    }
    const struct loop_sim_inode *source = loop_sim_inode_of(from->file), *target = loop_sim_inode_of(to->file);
    if (source->device != target->device) {
        return -EXDEV;
    }
    if (offset_of(from) < 0 || offset_of(to) < 0) {
        return -EINVAL;
    }
    uint64_t left =
        source->content.size > (uint64_t)offset_of(from) ? source->content.size - (uint64_t)offset_of(from) : 0;
    int64_t distance =
        offset_of(from) > offset_of(to) ? offset_of(from) - offset_of(to) : offset_of(to) - offset_of(from);
    return source == target && (uint64_t)distance < (len < left ? len : left) ? -EINVAL : 0;
}

/* Moves bytes at one end by the calls of the file's kind. */
static ssize_t move(const struct end *end, void *data, size_t len, bool is_write)
{
    struct iovec one = {data, len};
    struct loop_sim_move moved = {.iov = &one, .n_iov = 1, .offset = offset_of(end)};
    struct loop_sim_file *file = end->file;
    int flags = file->flags;

    file->flags &= ~O_DIRECT;
    ssize_t result = is_write ? file->kind->write(file, &moved) : file->kind->read(file, &moved);
    file->flags = flags;
    return result;
}

static void advance(const struct end *end, ssize_t len)
{
    if (end->offset) {
        *end->offset += len;
    } else {
        end->file->position += len;
    }
}

static ssize_t copy(const struct end *from, const struct end *to, size_t len)
{
    len = loop_sim_choose_length(LOOP_SIM_SHORT_WRITE, len < COPY_BYTES ? len : COPY_BYTES);
    uint64_t size = loop_sim_inode_of(from->file)->content.size, offset = (uint64_t)offset_of(from);

    if (offset >= size) {
        return 0;
    }
    len = len < size - offset ? len : (size_t)(size - offset);
    void *data = loop_sim_alloc(len);
    ssize_t result = move(from, data, len, false);
    if (result > 0) {
        result = move(to, data, (size_t)result, true);
    }
    if (result > 0) {
        advance(from, result);
        advance(to, result);
    }
    loop_sim_free(data);
    return result;
}

ssize_t loop_kernel_copy_file_range(int from_number, off64_t *from_offset, int to_number, off64_t *to_offset,
                                    size_t len, unsigned flags)
{
    loop_sim_disk_wait();
    struct end from = {loop_sim_file_of(from_number), from_offset}, to = {loop_sim_file_of(to_number), to_offset};
    int error = check_copy(&from, &to, len, flags);

    return loop_sim_return(error < 0 || len == 0 ? error : copy(&from, &to, len));
}

/* ---- syncing ---- */

int loop_sim_disk_sync(struct loop_sim_file *file, bool data_only)
{
    if (file->flags & O_PATH) {
        return -EBADF;
    }
    if (file->kind != &loop_sim_regular_kind && file->kind != &loop_sim_directory_kind) {
        return -EINVAL;
    }
    struct loop_sim_inode *inode = loop_sim_inode_of(file);
    return inode->device == LOOP_SIM_DEVICE_PROC ? -EINVAL : loop_sim_inode_sync(inode, data_only);
}

static int sync_number(int number, bool data_only)
{
    loop_sim_disk_wait();
    struct loop_sim_file *file = loop_sim_file_of(number);

    return (int)loop_sim_return(file ? loop_sim_disk_sync(file, data_only) : -EBADF);
}

int loop_kernel_fsync(int number)
{
    return sync_number(number, false);
}

int loop_kernel_fdatasync(int number)
{
    return sync_number(number, true);
}

/* ---- locks ---- */

/* Returns whether another open file has a lock that excludes this. */
static bool is_excluded(const struct loop_sim_open *open, bool is_exclusive)
{
    const struct loop_sim_inode *inode = open->entry->inode;

    for (struct loop_list *link = inode->locks.next; link != &inode->locks; link = link->next) {
        const struct loop_sim_open *other = LOOP_CONTAINER(link, struct loop_sim_open, lock);
        if (other != open && (is_exclusive || other->is_exclusive)) {
            return true;
        }
    }
    return false;
}

static void unlock(struct loop_sim_open *open)
{
    if (loop_list_is_linked(&open->lock)) {
        loop_list_remove(&open->lock);
        loop_sim_queue_wake(&open->entry->inode->lock_queue, 0);
    }
}

/* Waits until nothing excludes the lock. A lock of the other kind is given up meanwhile. */
static int lock(struct loop_sim_open *open, bool is_exclusive, bool may_wait)
{
    struct loop_sim_inode *inode = open->entry->inode;
    int result = 0;

    if (loop_list_is_linked(&open->lock) && open->is_exclusive != is_exclusive) {
        unlock(open);
    }
    struct loop_sim_file *file = loop_sim_file_ref(&open->file);
    while (result == 0 && is_excluded(open, is_exclusive)) {
        result = may_wait ? loop_sim_wait(&inode->lock_queue, LOOP_SIM_NEVER) : -EWOULDBLOCK;
    }
    if (result == 0 && !loop_list_is_linked(&open->lock)) {
        loop_list_push_back(&inode->locks, &open->lock);
        open->is_exclusive = is_exclusive;
    }
    loop_sim_file_unref(file);
    return result;
}

static int lock_number(int number, int operation)
{
    struct loop_sim_file *file = loop_sim_file_of(number);
    struct loop_sim_open *open = file ? loop_sim_open_of(file) : NULL;
    bool may_wait = !(operation & LOCK_NB);

    if (!file || file->flags & O_PATH) {
        return -EBADF;
    }
    if (!open) {
        return -ENOSYS;
    }
    switch (operation & ~LOCK_NB) {
    case LOCK_UN: unlock(open); return 0;
    case LOCK_SH: return lock(open, false, may_wait);
    case LOCK_EX: return lock(open, true, may_wait);
    default: return -EINVAL;
    }
}

int loop_kernel_flock(int number, int operation)
{
    return (int)loop_sim_return(lock_number(number, operation));
}
