/* SPDX-License-Identifier: ISC
 *
 * What a descriptor and its file may be told: fcntl(2) and ioctl(2).
 */
#include <loop/kernel/simulated/object/pipe.h>

#include <loop/kernel/file.h>

#include <linux/fs.h>

#define CHANGEABLE (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC)

static bool *cloexec_of(int number)
{
    return &loop_sim_here()->files->table[number].is_cloexec;
}

static int set_flags(struct loop_sim_file *file, int flags)
{
    bool is_pipe = file->kind == &loop_sim_pipe_kind;
    if (flags & O_DIRECT && !is_pipe && !file->kind->has_offsets) {
        return -EINVAL;
    }
    file->flags = (file->flags & ~CHANGEABLE) | (flags & CHANGEABLE);
    if (flags & O_DIRECT && is_pipe) {
        loop_sim_pipe_make_packets(file);
    }
    return 0;
}

/* What is possible with O_PATH too. Returns -ENOSYS for anything else. */
static int control_descriptor(struct loop_sim_file *file, int number, int what, int argument)
{
    switch (what) {
    case F_DUPFD: return loop_sim_file_duplicate(number, argument, 0);
    case F_DUPFD_CLOEXEC: return loop_sim_file_duplicate(number, argument, O_CLOEXEC);
    case F_GETFD: return *cloexec_of(number) ? FD_CLOEXEC : 0;
    case F_SETFD: *cloexec_of(number) = (argument & FD_CLOEXEC) != 0; return 0;
    case F_GETFL: return file->flags;
    default: return -ENOSYS;
    }
}

static int control(int number, int what, int argument)
{
    struct loop_sim_file *file = loop_sim_file_of(number);
    if (!file) {
        return -EBADF;
    }
    int result = control_descriptor(file, number, what, argument);
    if (result != -ENOSYS) {
        return result;
    }
    if (file->flags & O_PATH) {
        return -EBADF;
    }
    bool is_pipe = file->kind == &loop_sim_pipe_kind;
    switch (what) {
    case F_SETFL: return set_flags(file, argument);
    case F_GETPIPE_SZ: return is_pipe ? loop_sim_pipe_size(file) : -EBADF;
    case F_SETPIPE_SZ: return is_pipe ? loop_sim_pipe_resize(file, argument) : -EBADF;
    case F_ADD_SEALS: return (file->flags & O_ACCMODE) == O_RDONLY ? -EPERM : -EINVAL;
    case F_GETOWN:
    case F_GETSIG: return 0;
    default: return -EINVAL;
    }
}

/* Shares the blocks of another file: only within a file system. */
static int clone_file(struct loop_sim_file *file, void *argument)
{
    const struct loop_sim_file *from = loop_sim_file_open_at((int)(intptr_t)argument);
    if (!from) {
        return -EBADF;
    }
    if (from->kind != file->kind) {
        return -EXDEV;
    }
    return file->kind->has_offsets && file->kind->control ? file->kind->control(file, FICLONE, argument) : -EINVAL;
}

static int control_file(int number, unsigned long what, void *argument)
{
    struct loop_sim_file *file = loop_sim_file_open_at(number);
    if (!file) {
        return -EBADF;
    }
    switch (what) {
    case FIOCLEX: *cloexec_of(number) = true; return 0;
    case FIONCLEX: *cloexec_of(number) = false; return 0;
    case FIONBIO: file->flags = *(const int *)argument ? file->flags | O_NONBLOCK : file->flags & ~O_NONBLOCK; return 0;
    case FICLONE: return clone_file(file, argument);
    default: return file->kind->control ? file->kind->control(file, what, argument) : -ENOTTY;
    }
}

/* ---- the door ---- */

int loop_kernel_fcntl(int number, int what, int argument)
{
    return (int)loop_sim_return(control(number, what, argument));
}

int loop_kernel_ioctl(int number, int what, void *argument)
{
    return (int)loop_sim_return(control_file(number, (unsigned)what, argument));
}

int loop_kernel_ioctl_int(int number, int what, int argument)
{
    return loop_kernel_ioctl(number, what, (void *)(intptr_t)argument);
}

/* No file of the simulated kernel is a terminal. */
int loop_kernel_isatty(int number)
{
    int error = control_file(number, TCGETS, NULL);
    errno = error ? -error : ENOTTY;
    return 0;
}
