/* SPDX-License-Identifier: ISC
 *
 * Open regular files and devices: reading, writing and seeking. And what all open files of the disk have in common.
 */
#include <loop/kernel/simulated/disk/durable.h>
#include <loop/kernel/simulated/disk/notify.h>
#include <loop/kernel/simulated/disk/regular.h>
#include <loop/kernel/simulated/machine/choice.h>

#include <linux/fs.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

/* ---- all open files ---- */

int loop_sim_open_status(struct loop_sim_file *file, struct stat *status)
{
    loop_sim_inode_status(loop_sim_inode_of(file), status);
    return 0;
}

void loop_sim_open_release(struct loop_sim_file *file)
{
    struct loop_sim_open *open = (struct loop_sim_open *)(void *)file;
    struct loop_sim_inode *inode = open->entry->inode;

    if (!(file->flags & O_PATH)) {
        loop_sim_notify(open->entry, (file->flags & O_ACCMODE) == O_RDONLY ? IN_CLOSE_NOWRITE : IN_CLOSE_WRITE);
    }
    if (loop_list_is_linked(&open->lock)) {
        loop_list_remove(&open->lock);
        loop_sim_queue_wake(&inode->lock_queue, 0);
    }
    loop_sim_entry_unref(open->entry);
    loop_sim_free(open);
}

const struct loop_sim_file_kind loop_sim_path_kind = {.name = "path",
                                                      .status = loop_sim_open_status,
                                                      .release = loop_sim_open_release,
                                                      .has_offsets = true,
                                                      .is_of_disk = true};

/* ---- checks ---- */

static bool is_aligned(const struct loop_sim_move *move, int64_t offset)
{
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov);

    for (size_t i = 0; i < move->n_iov; i++) {
        len |= move->iov[i].iov_len;
    }
    return ((uint64_t)offset | len) % LOOP_SIM_SECTOR_SIZE == 0;
}

/* Returns 0, or why the move is refused before it is tried. */
static int check(const struct loop_sim_file *file, const struct loop_sim_move *move, int64_t offset, bool is_write)
{
    const struct loop_sim_inode *inode = loop_sim_inode_of(file);
    bool is_direct = file->flags & O_DIRECT;

    if (move->flags & RWF_NOWAIT && (inode->device != LOOP_SIM_DEVICE_DISK || (is_write && !is_direct))) {
        return -EOPNOTSUPP;
    }
    if (is_direct && inode->device == LOOP_SIM_DEVICE_DISK && !is_aligned(move, offset)) {
        return -EINVAL;
    }
    return move->flags & RWF_NOWAIT && loop_sim_happens(LOOP_SIM_FALSE_READY) ? -EAGAIN : 0;
}

/* ---- reading ---- */

/* Copies bytes of the content into the vectors. */
static void fill(const struct loop_sim_content *content, const struct loop_sim_move *move, uint64_t offset, size_t len)
{
    for (size_t i = 0; i < move->n_iov && len > 0; i++) {
        size_t n = move->iov[i].iov_len < len ? move->iov[i].iov_len : len;
        loop_sim_content_read(content, offset, move->iov[i].iov_base, n);
        offset += n;
        len -= n;
    }
}

static ssize_t file_read(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct loop_sim_inode *inode = loop_sim_inode_of(file);
    bool moves = move->offset == LOOP_SIM_POSITION;
    int64_t offset = moves ? file->position : move->offset;
    uint64_t size = inode->content.size;
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov);
    int error = check(file, move, offset, false);

    if (error < 0) {
        return error;
    }
    if (len == 0 || (uint64_t)offset >= size) {
        return 0;
    }
    if (inode->device == LOOP_SIM_DEVICE_DISK && loop_sim_happens(LOOP_SIM_DISK_ERROR)) {
        return -EIO;
    }
    len = len < size - (uint64_t)offset ? len : (size_t)(size - (uint64_t)offset);
    fill(&inode->content, move, (uint64_t)offset, len);
    file->position = moves ? offset + (int64_t)len : file->position;
    if (!(file->flags & O_NOATIME)) {
        loop_sim_inode_accessed(inode);
    }
    loop_sim_notify(((struct loop_sim_open *)(void *)file)->entry, IN_ACCESS);
    return (ssize_t)len;
}

/* ---- writing ---- */

int64_t loop_sim_file_room(const struct loop_sim_file *file, int64_t offset, uint64_t len)
{
    rlim_t limit = loop_sim_limit(file->node, RLIMIT_FSIZE);
    int64_t most = LOOP_SIM_FILE_MOST;

    if (limit < (rlim_t)most && loop_sim_inode_of(file)->device != LOOP_SIM_DEVICE_PROC) {
        most = (int64_t)limit;
    }
    if (offset >= most && most < LOOP_SIM_FILE_MOST) {
        loop_sim_signal_send(file->node, SIGXFSZ);
    }
    if (offset >= most) {
        return -EFBIG;
    }
    return len < (uint64_t)(most - offset) ? (int64_t)len : most - offset;
}

/* Returns how many of `len` bytes there is room for, or -ENOSPC. */
static ssize_t room_for(struct loop_sim_inode *inode, uint64_t offset, size_t len)
{
    uint64_t missing = loop_sim_content_missing(&inode->content, offset, len);
    int error = loop_sim_disk_take(inode, missing);

    while (error < 0 && loop_sim_disk_take(inode, 1) == 0 && len > 0) {
        uint64_t last = (offset + len - 1) / LOOP_SIM_PAGE_SIZE * LOOP_SIM_PAGE_SIZE;
        len = last > offset ? (size_t)(last - offset) : 0;
        error = loop_sim_disk_take(inode, loop_sim_content_missing(&inode->content, offset, len));
    }
    return error < 0 || len == 0 ? -ENOSPC : (ssize_t)len;
}

/* Copies bytes of the vectors into the content. */
static void take(struct loop_sim_inode *inode, const struct loop_sim_move *move, uint64_t offset, size_t len)
{
    size_t before = inode->content.n_slots;
    uint64_t at = offset;

    for (size_t i = 0, left = len; i < move->n_iov && left > 0; i++) {
        size_t n = move->iov[i].iov_len < left ? move->iov[i].iov_len : left;
        loop_sim_content_write(&inode->content, at, move->iov[i].iov_base, n);
        at += n;
        left -= n;
    }
    loop_sim_wrote(inode, offset, len);
    loop_sim_disk_adjust(inode, before);
    loop_sim_inode_modified(inode);
}

bool loop_sim_inode_drop_privileges(struct loop_sim_inode *inode)
{
    mode_t mode = inode->now.mode;

    if (loop_sim_disk_user(inode->disk) != 0) {
        inode->now.mode &= ~(mode_t)(S_ISUID | (mode & S_IXGRP ? S_ISGID : 0));
    }
    return inode->now.mode != mode;
}

static int64_t offset_of(const struct loop_sim_file *file, const struct loop_sim_move *move)
{
    bool appends = (file->flags & O_APPEND && !(move->flags & RWF_NOAPPEND)) || move->flags & RWF_APPEND;

    if (appends) {
        return (int64_t)loop_sim_inode_of(file)->content.size;
    }
    return move->offset == LOOP_SIM_POSITION ? file->position : move->offset;
}

/* Makes a write durable where the file or the call asks for that. */
static int sync_write(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    bool all = (file->flags & O_SYNC) == O_SYNC || move->flags & RWF_SYNC;

    if (!all && !(file->flags & O_DSYNC) && !(move->flags & RWF_DSYNC)) {
        return 0;
    }
    return loop_sim_inode_sync(loop_sim_inode_of(file), !all);
}

static ssize_t file_write(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct loop_sim_inode *inode = loop_sim_inode_of(file);
    int64_t offset = offset_of(file, move);
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov);
    int error = check(file, move, offset, true);

    if (error < 0 || len == 0) {
        return error;
    }
    int64_t allowed = loop_sim_file_room(file, offset, len);
    ssize_t room = allowed < 0 ? allowed : room_for(inode, (uint64_t)offset, (size_t)allowed);
    if (room < 0) {
        return room;
    }
    struct loop_sim_entry *entry = ((struct loop_sim_open *)(void *)file)->entry;
    if (loop_sim_inode_drop_privileges(inode)) {
        loop_sim_notify_change(entry, IN_ATTRIB);
    }
    take(inode, move, (uint64_t)offset, (size_t)room);
    if (move->offset == LOOP_SIM_POSITION) {
        file->position = offset + room;
    }
    loop_sim_notify(entry, IN_MODIFY);
    error = sync_write(file, move);
    return error < 0 ? error : room;
}

/* ---- the position ---- */

static int64_t seek_data(const struct loop_sim_inode *inode, int64_t offset, int whence)
{
    const struct loop_sim_content *content = &inode->content;

    if (offset < 0 || (uint64_t)offset >= content->size) {
        return -ENXIO;
    }
    if (whence == SEEK_HOLE) {
        return (int64_t)loop_sim_content_next_hole(content, (uint64_t)offset);
    }
    uint64_t data = loop_sim_content_next_data(content, (uint64_t)offset);
    return data < content->size ? (int64_t)data : -ENXIO;
}

static int64_t file_seek(struct loop_sim_file *file, int64_t offset, int whence)
{
    const struct loop_sim_inode *inode = loop_sim_inode_of(file);
    int64_t from = whence == SEEK_CUR ? file->position : whence == SEEK_END ? (int64_t)inode->content.size : 0;
    int64_t to;

    switch (whence) {
    case SEEK_SET:
    case SEEK_CUR:
    case SEEK_END: to = offset > INT64_MAX - from ? -1 : from + offset; break;
    case SEEK_DATA:
    case SEEK_HOLE: to = seek_data(inode, offset, whence); break;
    default: return -EINVAL;
    }
    if (to == -ENXIO && whence >= SEEK_DATA) {
        return to;
    }
    if (to < 0 || to > LOOP_SIM_FILE_MOST) {
        return -EINVAL;
    }
    file->position = to;
    return to;
}

static int file_control(struct loop_sim_file *file, unsigned long what, void *argument)
{
    if (what == FICLONE || what == FICLONERANGE) {
        return -EOPNOTSUPP;
    }
    if (what != FIONREAD) {
        return -ENOTTY;
    }
    *(int *)argument = (int)((int64_t)loop_sim_inode_of(file)->content.size - file->position);
    return 0;
}

static int64_t file_latency(struct loop_sim_file *file)
{
    return loop_sim_inode_of(file)->device == LOOP_SIM_DEVICE_DISK ? loop_sim_disk_latency(file->node) : 0;
}

const struct loop_sim_file_kind loop_sim_regular_kind = {
    .name = "file",
    .read = file_read,
    .write = file_write,
    .status = loop_sim_open_status,
    .control = file_control,
    .seek = file_seek,
    .release = loop_sim_open_release,
    .is_always_ready = true,
    .has_offsets = true,
    .is_of_disk = true,
    .latency = file_latency,
};

/* ---- devices ---- */

static ssize_t read_nothing(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    (void)file;
    (void)move;
    return 0;
}

static ssize_t read_zeros(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    (void)file;
    for (size_t i = 0; i < move->n_iov; i++) {
        memset(move->iov[i].iov_base, 0, move->iov[i].iov_len);
    }
    return (ssize_t)loop_sim_vectors_length(move->iov, move->n_iov);
}

/* Returns the next of a sequence of numbers that look random: splitmix64. */
static uint64_t next_random(struct loop_sim_disk *disk)
{
    uint64_t z = disk->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static ssize_t read_random(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    for (size_t i = 0; i < move->n_iov; i++) {
        unsigned char *bytes = move->iov[i].iov_base;
        for (size_t at = 0; at < move->iov[i].iov_len; at += sizeof(uint64_t)) {
            uint64_t number = next_random(file->node->disk);
            size_t left = move->iov[i].iov_len - at;
            memcpy(bytes + at, &number, left < sizeof number ? left : sizeof number);
        }
    }
    return (ssize_t)loop_sim_vectors_length(move->iov, move->n_iov);
}

static ssize_t write_anything(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    (void)file;
    return (ssize_t)loop_sim_vectors_length(move->iov, move->n_iov);
}

static ssize_t write_full(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    (void)file;
    (void)move;
    return -ENOSPC;
}

static int64_t seek_nowhere(struct loop_sim_file *file, int64_t offset, int whence)
{
    (void)offset;
    (void)whence;
    return file->position = 0;
}

#define DEVICE                                                                                                         \
    .status = loop_sim_open_status, .seek = seek_nowhere, .release = loop_sim_open_release, .is_always_ready = true,   \
    .has_offsets = true, .is_of_disk = true

static const struct loop_sim_file_kind null_kind = {
    .name = "null", .read = read_nothing, .write = write_anything, DEVICE};
static const struct loop_sim_file_kind zero_kind = {
    .name = "zero", .read = read_zeros, .write = write_anything, DEVICE};
static const struct loop_sim_file_kind full_kind = {.name = "full", .read = read_zeros, .write = write_full, DEVICE};
static const struct loop_sim_file_kind random_kind = {
    .name = "random", .read = read_random, .write = write_anything, DEVICE};

const struct loop_sim_file_kind *loop_sim_device_kind(const struct loop_sim_inode *inode)
{
    if (!S_ISCHR(inode->now.mode) || major(inode->rdev) != LOOP_SIM_MEMORY_MAJOR) {
        return NULL;
    }
    switch (minor(inode->rdev)) {
    case LOOP_SIM_MINOR_NULL: return &null_kind;
    case LOOP_SIM_MINOR_ZERO: return &zero_kind;
    case LOOP_SIM_MINOR_FULL: return &full_kind;
    case LOOP_SIM_MINOR_RANDOM:
    case LOOP_SIM_MINOR_URANDOM: return &random_kind;
    default: return NULL;
    }
}
