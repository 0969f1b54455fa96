/* SPDX-License-Identifier: ISC
 *
 * The door: descriptors, whatever they are of. What is only for sockets is in <loop/kernel/socket.h>; names are in
 * <loop/kernel/path.h>.
 */
#ifndef LOOP_KERNEL_FILE_H
#define LOOP_KERNEL_FILE_H

#include <loop/kernel/door.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- descriptors ---- */

/* The descriptor is gone, also when closing it has failed. */
LOOP_KERNEL_CALL_ANYWAY(int, loop_kernel_close, (int number), close(number))

/* fcntl(2) with F_DUPFD_CLOEXEC. */
LOOP_KERNEL_CALL(int, loop_kernel_dup, (int number, int least), fcntl(number, F_DUPFD_CLOEXEC, least))
LOOP_KERNEL_CALL(int, loop_kernel_dup3, (int number, int other, int flags), dup3(number, other, flags))

/* The argument is 0 where there is none. */
LOOP_KERNEL_CALL(int, loop_kernel_fcntl, (int number, int what, int argument), fcntl(number, what, argument))
LOOP_KERNEL_CALL(int, loop_kernel_ioctl_int, (int number, int what, int argument), ioctl(number, what, argument))
LOOP_KERNEL_CALL(int, loop_kernel_ioctl, (int number, int what, void *argument), ioctl(number, what, argument))
LOOP_KERNEL_CALL_OR(0, int, loop_kernel_isatty, (int number), isatty(number))
LOOP_KERNEL_CALL(int, loop_kernel_pipe2, (int numbers[2], int flags), pipe2(numbers, flags))

/* ---- reading and writing ---- */

/* preadv2(2) and pwritev2(2) are called by their numbers, as musl has no functions for them before 1.2.5. These take an
 * offset in two halves. */
#define LOOP_KERNEL_OFFSET(offset) (long)(offset), (long)((uint64_t)(offset) >> 32)
#ifndef RWF_NOWAIT
#include <linux/fs.h>
#endif

LOOP_KERNEL_CALL(ssize_t, loop_kernel_read, (int number, void *data, size_t len), read(number, data, len))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_readv, (int number, const struct iovec *vectors, int count),
                 readv(number, vectors, count))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_pread, (int number, void *data, size_t len, off_t offset),
                 pread(number, data, len, offset))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_preadv, (int number, const struct iovec *vectors, int count, off_t offset),
                 preadv(number, vectors, count, offset))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_preadv2,
                 (int number, const struct iovec *vectors, int count, off_t offset, int flags),
                 syscall(SYS_preadv2, number, vectors, count, LOOP_KERNEL_OFFSET(offset), flags))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_write, (int number, const void *data, size_t len), write(number, data, len))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_writev, (int number, const struct iovec *vectors, int count),
                 writev(number, vectors, count))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_pwrite, (int number, const void *data, size_t len, off_t offset),
                 pwrite(number, data, len, offset))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_pwritev, (int number, const struct iovec *vectors, int count, off_t offset),
                 pwritev(number, vectors, count, offset))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_pwritev2,
                 (int number, const struct iovec *vectors, int count, off_t offset, int flags),
                 syscall(SYS_pwritev2, number, vectors, count, LOOP_KERNEL_OFFSET(offset), flags))
LOOP_KERNEL_CALL(off_t, loop_kernel_lseek, (int number, off_t offset, int whence), lseek(number, offset, whence))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_splice,
                 (int from, loff_t *from_offset, int to, loff_t *to_offset, size_t len, unsigned flags),
                 splice(from, from_offset, to, to_offset, len, flags))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_sendfile, (int to, int from, off_t *offset, size_t len),
                 sendfile(to, from, offset, len))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_copy_file_range,
                 (int from, loff_t *from_offset, int to, loff_t *to_offset, size_t len, unsigned flags),
                 copy_file_range(from, from_offset, to, to_offset, len, flags))

/* An entry that getdents64(2) stores. Some C libraries have no type for it. */
struct loop_kernel_dirent {
    uint64_t d_ino;
    int64_t d_off; /* where the next entry is */
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[];
};

LOOP_KERNEL_CALL(ssize_t, loop_kernel_getdents64, (int number, void *entries, size_t size),
                 syscall(SYS_getdents64, number, entries, size))

/* ---- files ---- */

LOOP_KERNEL_CALL(int, loop_kernel_fallocate, (int number, int mode, off_t offset, off_t len),
                 fallocate(number, mode, offset, len))
LOOP_KERNEL_CALL(int, loop_kernel_ftruncate, (int number, off_t size), ftruncate(number, size))
LOOP_KERNEL_CALL(int, loop_kernel_fsync, (int number), fsync(number))
LOOP_KERNEL_CALL(int, loop_kernel_fdatasync, (int number), fdatasync(number))
LOOP_KERNEL_CALL(int, loop_kernel_flock, (int number, int operation), flock(number, operation))
LOOP_KERNEL_CALL(int, loop_kernel_fstat, (int number, struct stat *status), fstat(number, status))
LOOP_KERNEL_CALL(int, loop_kernel_fstatfs, (int number, struct statfs *status), fstatfs(number, status))
LOOP_KERNEL_CALL(int, loop_kernel_fchmod, (int number, mode_t mode), fchmod(number, mode))
LOOP_KERNEL_CALL(int, loop_kernel_fchown, (int number, uid_t user, gid_t group), fchown(number, user, group))
LOOP_KERNEL_CALL(int, loop_kernel_futimens, (int number, const struct timespec times[2]), futimens(number, times))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_fgetxattr, (int number, const char *name, void *value, size_t size),
                 fgetxattr(number, name, value, size))
LOOP_KERNEL_CALL(int, loop_kernel_fsetxattr, (int number, const char *name, const void *value, size_t size, int flags),
                 fsetxattr(number, name, value, size, flags))
LOOP_KERNEL_CALL(int, loop_kernel_fremovexattr, (int number, const char *name), fremovexattr(number, name))

#endif
