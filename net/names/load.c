/* SPDX-License-Identifier: ISC
 *
 * Loading a file that has changed.
 */
#include <loop/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>
#include <loop/kernel/time.h>
#include <net/names/load.h>

#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/sysmacros.h>

#define MOST_BYTES ((int64_t)256 << 20)
#define PIECE_BYTES ((size_t)1 << 20)

/* The kernel's clock for the times of files has ticks. A file that was changed so short a time ago may change again
 * without a change of its times. */
#define TICK_NS (100 * LOOP_MILLISECOND)

static struct loop_names_identity identity_of(const struct stat *status)
{
    return (struct loop_names_identity){.is_known = true,
                                        .exists = true,
                                        .device = status->st_dev,
                                        .inode = status->st_ino,
                                        .size = status->st_size,
                                        .modified = status->st_mtim,
                                        .changed = status->st_ctim};
}

static int64_t ns_of(struct timespec time)
{
    return time.tv_sec * LOOP_SECOND + time.tv_nsec;
}

static bool is_same(const struct loop_names_identity *one, const struct loop_names_identity *other)
{
    return one->is_known && other->is_known && one->exists == other->exists && one->device == other->device &&
           one->inode == other->inode && one->size == other->size && ns_of(one->modified) == ns_of(other->modified) &&
           ns_of(one->changed) == ns_of(other->changed);
}

/* Returns whether the file changed so lately that its times do not tell of a further change. */
static bool is_fresh(const struct loop_names_identity *identity)
{
    struct timespec now;

    loop_kernel_clock_gettime(CLOCK_REALTIME, &now);
    return ns_of(now) - ns_of(identity->changed) < TICK_NS;
}

/* Reads up to `size` bytes, less where the file has become shorter. Returns how many or -errno. */
static int64_t read_bytes(int number, char *text, size_t size)
{
    size_t len = 0;

    while (len < size) {
        size_t left = size - len;
        if (loop_work_is_cancelled()) {
            return -ECANCELED;
        }
        ssize_t n = loop_kernel_read(number, text + len, left < PIECE_BYTES ? left : PIECE_BYTES);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        len += n > 0 ? (size_t)n : 0;
    }
    return (int64_t)len;
}

/* NUL bytes would end the text. */
static void replace_nuls(char *text, size_t len)
{
    char *end = text + len;

    for (char *nul = memchr(text, '\0', len); nul; nul = memchr(nul, '\0', (size_t)(end - nul))) {
        *nul = '\n';
    }
    *end = '\0';
}

/* Returns whether this is a file, or the null device in place of an empty one. Other devices may block. */
static bool is_file(const struct stat *status)
{
    return S_ISREG(status->st_mode) || (S_ISCHR(status->st_mode) && status->st_rdev == makedev(1, 3));
}

/* Returns whether the file system is one that has the attributes of an open file in memory. Others, of a network or of
 * another process, may wait for them. */
static bool is_local(int number)
{
    static const uint32_t local[] = {EXT4_SUPER_MAGIC, TMPFS_MAGIC,    XFS_SUPER_MAGIC,      BTRFS_SUPER_MAGIC,
                                     F2FS_SUPER_MAGIC, SQUASHFS_MAGIC, EROFS_SUPER_MAGIC_V1, OVERLAYFS_SUPER_MAGIC};
    struct statfs status;
    bool is_found = false;

    for (size_t i = 0; loop_kernel_fstatfs(number, &status) == 0 && i < sizeof local / sizeof *local && !is_found;
         i++) {
        is_found = (uint32_t)status.f_type == local[i];
    }
    return is_found;
}

/* Reads the open file. Returns 1 or -errno. */
static int load_open(int number, struct loop_names_identity *identity, char **text)
{
    struct stat status;

    if (loop_kernel_fstat(number, &status) < 0) {
        return -errno;
    }
    if (!is_file(&status)) {
        return S_ISDIR(status.st_mode) ? -EISDIR : -ENXIO;
    }
    if (status.st_size > MOST_BYTES) {
        return -EFBIG;
    }
    char *bytes = loop_kernel_malloc((size_t)status.st_size + 1);
    if (!bytes) {
        return -ENOMEM;
    }
    int64_t len = read_bytes(number, bytes, (size_t)status.st_size);
    if (len < 0) {
        loop_kernel_free(bytes);
        return (int)len;
    }
    replace_nuls(bytes, (size_t)len);
    *text = bytes;
    *identity = identity_of(&status);
    identity->is_known = !is_fresh(identity);
    identity->is_local = is_local(number);
    return 1;
}

static int load_nothing(struct loop_names_identity *identity, char **text)
{
    if (identity->is_known && !identity->exists) {
        return 0;
    }
    *text = loop_kernel_calloc(1, 1);
    if (!*text) {
        return -ENOMEM;
    }
    *identity = (struct loop_names_identity){.is_known = true};
    return 1;
}

int loop_names_load(const char *path, struct loop_names_identity *identity, char **text)
{
    struct stat status;

    if (loop_kernel_fstatat(AT_FDCWD, path, &status, 0) < 0) {
        return errno == ENOENT || errno == ENOTDIR ? load_nothing(identity, text) : -errno;
    }
    struct loop_names_identity now = identity_of(&status);
    if (is_same(&now, identity)) {
        return 0;
    }
    int number = loop_kernel_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (number < 0) {
        return -errno;
    }
    int result = load_open(number, identity, text);
    loop_kernel_close(number);
    return result;
}

/* The attributes of an open file, without asking a network for newer ones. Returns false when there are none. */
static bool look_at(int number, struct loop_names_identity *identity)
{
    struct statx status;

    if (loop_kernel_statx(number, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &status) < 0) {
        return false;
    }
    *identity = (struct loop_names_identity){.is_known = true,
                                             .exists = true,
                                             .device = makedev(status.stx_dev_major, status.stx_dev_minor),
                                             .inode = status.stx_ino,
                                             .size = (int64_t)status.stx_size,
                                             .modified = {status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec},
                                             .changed = {status.stx_ctime.tv_sec, status.stx_ctime.tv_nsec}};
    return true;
}

/* RESOLVE_CACHED: the path is followed only as far as it is in memory. The device of the file is that of `identity`, or
 * it is another file: so its file system is a local one. */
bool loop_names_is_current(const char *path, const struct loop_names_identity *identity)
{
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};
    struct loop_names_identity now;

    if (!identity->is_known || (identity->exists && !identity->is_local)) {
        return false;
    }
    int number = loop_kernel_openat2(AT_FDCWD, path, &how);
    if (number < 0) {
        return !identity->exists && errno == ENOENT;
    }
    bool is_current = look_at(number, &now) && is_same(&now, identity);
    loop_kernel_close(number);
    return is_current;
}
