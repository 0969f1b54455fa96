/* SPDX-License-Identifier: ISC
 *
 * Polled files: which are, and why others are not.
 */
#include <loop/core/backend.h>
#include <loop/core/fd.h>
#include <loop/core/loop.h>
#include <loop/kernel/file.h>
#include <loop/kernel/path.h>
#include <loop/low_level.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const char *const reasons[LOOP_POLLING_REASONS] = {
    [LOOP_POLLING_NOT_ASKED] = "polling was not asked for",
    [LOOP_POLLING] = NULL,
    [LOOP_POLLING_NO_FILE] = "neither a regular file nor a block device",
    [LOOP_POLLING_NOT_DIRECT] = "the file is not O_DIRECT: open it with that flag",
    [LOOP_POLLING_NO_QUEUES] = "the device has no queues for polling (queue/io_poll): see poll_queues of its driver",
    [LOOP_POLLING_REFUSED] = "the file system or the device has refused it",
    [LOOP_POLLING_NO_URING] = "the loop does not run on io_uring",
    [LOOP_POLLING_NO_RING] = "the kernel makes no ring that polls (IORING_SETUP_IOPOLL)",
    [LOOP_POLLING_NO_MEMORY] = "no memory for a ring that polls: see RLIMIT_MEMLOCK",
    [LOOP_POLLING_NO_NUMBER] = "no descriptor is left for a ring that polls: raise RLIMIT_NOFILE",
};

/* ---- the device ---- */

/* Returns the first byte of queue/io_poll of a device, or of the device that it is a partition of; or -errno. */
static int read_io_poll(dev_t device, const char *between)
{
    char path[80], byte;
    (void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%squeue/io_poll", major(device), minor(device), between);
    int file = loop_kernel_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) {
        return -errno;
    }
    ssize_t n = loop_kernel_read(file, &byte, 1);
    loop_kernel_close(file);
    return n == 1 ? byte : -EIO;
}

/* Whether the device is known to have no queues for polling. It is not known for a file system without a device of its
 * own, or without /sys: then the first read or write tells. */
static bool lacks_queues(const struct stat *status)
{
    dev_t device = S_ISBLK(status->st_mode) ? status->st_rdev : status->st_dev;
    int byte = read_io_poll(device, "");
    if (byte == -ENOENT) {
        byte = read_io_poll(device, "../");
    }
    return byte == '0';
}

/* ---- asking for it ---- */

static enum loop_polling ask_backend(struct loop *loop)
{
    switch (loop->backend->poll_devices(loop)) {
    case 0: return LOOP_POLLING;
    case -ENOMEM: return LOOP_POLLING_NO_MEMORY;
    case -EMFILE:
    case -ENFILE: return LOOP_POLLING_NO_NUMBER;
    default: return LOOP_POLLING_NO_RING;
    }
}

static enum loop_polling choose(const struct loop_fd *fd)
{
    struct stat status;
    if (!loop_fd_is_file(fd) || loop_kernel_fstat(fd->number, &status) ||
        !(S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))) {
        return LOOP_POLLING_NO_FILE;
    }
    if (!fd->is_direct) {
        return LOOP_POLLING_NOT_DIRECT;
    }
    if (!fd->scope->loop->backend->poll_devices) {
        return LOOP_POLLING_NO_URING;
    }
    return lacks_queues(&status) ? LOOP_POLLING_NO_QUEUES : ask_backend(fd->scope->loop);
}

const char *loop_fd_poll_device(struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return "no descriptor";
    }
    struct loop_fd_more *more = loop_fd_get_more(fd);
    if (!more) {
        return reasons[LOOP_POLLING_NO_MEMORY];
    }
    bool is_settled = more->device_polling == LOOP_POLLING || more->device_polling == LOOP_POLLING_REFUSED;
    if (fd->state == LOOP_FD_OPEN && !is_settled) {
        more->device_polling = (uint8_t)choose(fd);
    }
    return loop_fd_unpolled_reason(fd);
}

const char *loop_fd_unpolled_reason(const struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return "no descriptor";
    }
    return fd->state == LOOP_FD_OPEN ? reasons[fd->has_more ? loop_fd_more(fd)->device_polling : LOOP_POLLING_NOT_ASKED]
                                     : "the descriptor is closed";
}
