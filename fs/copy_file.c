/* SPDX-License-Identifier: ISC
 *
 * Copying files: by sharing their blocks, by the file system's own copying, or by reading and writing, whichever works
 * first. Holes are not copied.
 */
#include <fs/request.h>
#include <fs/temporary.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>

/* How much is copied between two checks for a cancel. */
#define PIECE_BYTES ((size_t)8 << 20)
#define BUFFER_BYTES ((size_t)256 << 10)

/* Up to this size a file is copied before it is known whether the copy may have its name: looking that up first, and
 * renaming the copy afterwards, would cost about as much as copying the bytes. */
#define SMALL_BYTES ((size_t)64 << 10)

struct copying {
    int from, to;
    off_t at; /* copied up to here */
    bool reads_and_writes;
    char *buffer; /* allocated when first needed */
    size_t room;  /* its size, no larger than needed then */
};

/* ---- one piece ---- */

static int64_t write_all(int number, const char *data, size_t len, off_t offset)
{
    size_t done = 0;

    while (done < len) {
        int64_t n = loop_fs_outcome(loop_kernel_pwrite(number, data + done, len - done, offset + (off_t)done));
        if (n < 0 && (n != -EINTR || loop_work_is_cancelled())) {
            return n;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return (int64_t)len;
}

static int64_t read_and_write(struct copying *copying, size_t len)
{
    assert(len > 0);
    if (!copying->buffer) {
        copying->room = len < BUFFER_BYTES ? len : BUFFER_BYTES;
        copying->buffer = loop_kernel_malloc(copying->room);
    }
    if (!copying->buffer) {
        return -ENOMEM;
    }
    ssize_t n =
        loop_kernel_pread(copying->from, copying->buffer, len < copying->room ? len : copying->room, copying->at);
    return n <= 0 ? loop_fs_outcome(n) : write_all(copying->to, copying->buffer, (size_t)n, copying->at);
}

/* Returns whether the kernel does not copy these files: between file systems, in old kernels and behind filters. */
static bool cant_copy(int64_t result)
{
    return result == -EXDEV || result == -EINVAL || result == -ENOSYS || result == -EOPNOTSUPP || result == -EPERM;
}

/* Copies up to `len` bytes. Returns how many, 0 at the end of the file, or -errno. The kernel's copying ends where the
 * size of a file in /proc says, so that the end is found by reading. */
static int64_t copy_piece(struct copying *copying, size_t len)
{
    if (!copying->reads_and_writes) {
        loff_t from = copying->at, to = copying->at;
        int64_t result = loop_fs_outcome(loop_kernel_copy_file_range(copying->from, &from, copying->to, &to, len, 0));
        if (result != 0 && !cant_copy(result)) {
            return result;
        }
        copying->reads_and_writes = true;
    }
    return read_and_write(copying, len);
}

/* ---- data and holes ---- */

/* Finds where the next data begin, at or behind `at`, and where they end. Returns false when only a hole is left. Where
 * the file system does not know, all of the rest is data. */
static bool find_data(const struct copying *copying, off_t *begin, off_t *end)
{
    *begin = loop_kernel_lseek(copying->from, copying->at, SEEK_DATA);
    if (*begin < 0 && errno == ENXIO) {
        return false;
    }
    *end = *begin < 0 ? -1 : loop_kernel_lseek(copying->from, *begin, SEEK_HOLE);
    if (*begin < 0 || *end < 0) {
        *begin = copying->at;
        *end = INT64_MAX;
    }
    return true;
}

/* Copies up to `end`. Returns 0, 1 when the file ends before, or -errno. */
static int64_t copy_data(struct copying *copying, off_t end)
{
    while (copying->at < end) {
        uint64_t left = (uint64_t)(end - copying->at);
        if (loop_work_is_cancelled()) {
            return -ECANCELED;
        }
        int64_t n = copy_piece(copying, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES);
        if (n < 0 && n != -EINTR) {
            return n;
        }
        if (n == 0) {
            return 1;
        }
        assert(n < 0 || (uint64_t)n <= left);
        copying->at += n > 0 ? n : 0;
    }
    return 0;
}

/* Copies what is behind the last data: a hole up to the size that the file had, or has by now if that is less; or the
 * bytes of a file that had no size. What was appended since the data were looked for is not in the hole. Returns 0, 1
 * or -errno. */
static int64_t copy_rest(struct copying *copying, off_t had_size)
{
    struct stat status;
    int64_t result = loop_kernel_fstat(copying->from, &status) < 0 ? -errno : 0;
    off_t end = result == 0 && status.st_size < had_size ? status.st_size : had_size;

    if (result == 0 && end > copying->at) {
        copying->at = end;
        return loop_fs_outcome(loop_kernel_ftruncate(copying->to, copying->at));
    }
    return result < 0 ? result : copy_data(copying, INT64_MAX);
}

/* Returns whether a file uses as much room as it is long: then it has no holes worth searching. A file of size 0 may
 * have bytes all the same. */
static bool is_all_data(const struct stat *status)
{
    return status->st_size > 0 && (uint64_t)status->st_blocks * 512 >= (uint64_t)status->st_size;
}

static int64_t copy_bytes(struct copying *copying, const struct stat *status)
{
    off_t begin, end;
    int64_t result = 0;

    if (loop_kernel_ioctl_int(copying->to, FICLONE, copying->from) == 0) {
        return 0;
    }
    if (is_all_data(status)) {
        return copy_data(copying, status->st_size);
    }
    while (result == 0 && find_data(copying, &begin, &end)) {
        copying->at = begin;
        result = copy_data(copying, end);
    }
    return result == 0 ? copy_rest(copying, status->st_size) : result;
}

/* ---- the whole ---- */

/* Gives the copy the owner, the permissions and the times. The owner is first: changing it clears bits of the
 * permissions. Returns 0 or -errno. */
static int64_t copy_attributes(const struct loop_copy_options *options, int to, mode_t has_mode,
                               const struct stat *status)
{
    mode_t mode = status->st_mode & (options->keep_owner ? 07777 : 0777);
    int64_t result = options->keep_owner ? loop_fs_outcome(loop_kernel_fchown(to, status->st_uid, status->st_gid)) : 0;

    if (result == 0 && (options->keep_owner || mode != (has_mode & 07777))) {
        result = loop_fs_outcome(loop_kernel_fchmod(to, mode));
    }
    if (result == 0 && options->keep_times) {
        const struct timespec times[2] = {status->st_atim, status->st_mtim};
        result = loop_fs_outcome(loop_kernel_futimens(to, times));
    }
    return result;
}

/* Copies the bytes, then the attributes: writing would change the times. Returns the size of the copy or -errno. */
static int64_t make_copy(const struct loop_copy_options *options, int from, int to, const struct stat *status)
{
    struct copying copying = {.from = from, .to = to};
    struct stat copied = {.st_size = 0};
    int64_t result = copy_bytes(&copying, status);

    loop_kernel_free(copying.buffer);
    if (result >= 0 && loop_kernel_fstat(to, &copied) < 0) {
        result = -errno;
    }
    if (result >= 0) {
        result = copy_attributes(options, to, copied.st_mode, status);
    }
    return result < 0 ? result : copied.st_size;
}

/* Makes the copy in a temporary file, ends that, and stores whether it could not be linked to its name. Returns the
 * size of the copy or -errno. */
static int64_t copy_by(struct loop_fs_temporary *temporary, int made, const struct loop_copy_options *options, int from,
                       const struct stat *status)
{
    int64_t length = 0, result = made;

    if (result == 0) {
        length = make_copy(options, from, temporary->number, status);
        result = length < 0 ? length : loop_fs_temporary_publish(temporary, options->sync);
    }
    loop_fs_temporary_end(temporary);
    return result < 0 ? result : length;
}

static int64_t copy_to(const struct loop_fs_request *request, const char *path, int from, const struct stat *status)
{
    const struct loop_copy_options *options = &request->u.copy;
    struct loop_fs_temporary temporary = {.cannot_be_linked = false};
    int made;

    if (options->in_place) {
        made = loop_fs_temporary_make_in_place(&temporary, request->second, path, status->st_mode & 0777);
        return copy_by(&temporary, made, options, from, status);
    }
    if (status->st_size <= (off_t)SMALL_BYTES && !options->sync) {
        made = loop_fs_temporary_make_nameless(&temporary, request->second, path, status->st_mode & 0777,
                                               options->exclusive);
        int64_t result = copy_by(&temporary, made, options, from, status);
        if (!temporary.cannot_be_linked) {
            return result;
        }
    }
    made = loop_fs_temporary_make(&temporary, request->second, path, LOOP_FS_PRIVATE_MODE, options->exclusive);
    return copy_by(&temporary, made, options, from, status);
}

static int64_t copy_path(const struct loop_fs_request *request, const char *from_path, const char *to_path)
{
    struct stat status;
    int from = loop_fs_open_plainly(request->at, from_path, O_RDONLY, 0);

    if (from < 0) {
        return from;
    }
    int64_t result = loop_fs_check_regular(from, &status);
    if (result == 0) {
        result = copy_to(request, to_path, from, &status);
    }
    loop_kernel_close(from);
    return result;
}

static int64_t run_copy(struct loop_fs_request *request)
{
    return copy_path(request, request->path, request->second_path);
}

loop_job loop_fs_copy_file(struct loop_scope *scope, struct loop_dir *from_dir, const char *from,
                           struct loop_dir *to_dir, const char *to, const struct loop_copy_options *options,
                           loop_fn *fn, void *arg)
{
    static const struct loop_copy_options defaults;

    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATHS, .run = run_copy, .waits = true, .takes_long = true,
                                                   .u.copy = options ? *options : defaults});
}

/* ---- several files ---- */

/* The results of all files are -ECANCELED before. */
static int64_t run_copies(struct loop_fs_request *request)
{
    struct loop_copied *files = request->out;
    int64_t n_copied = 0;

    for (uint64_t i = 0; i < request->len; i++) {
        if (loop_work_is_cancelled()) {
            return -ECANCELED;
        }
        bool is_long = strnlen(files[i].from, PATH_MAX) == PATH_MAX || strnlen(files[i].to, PATH_MAX) == PATH_MAX;
        files[i].result = is_long ? -ENAMETOOLONG : copy_path(request, files[i].from, files[i].to);
        n_copied += files[i].result >= 0;
    }
    return n_copied;
}

/* Sets the results to -ECANCELED. Returns 0 or -EINVAL. */
static int prepare(struct loop_copied *files, size_t n)
{
    int error = files || n == 0 ? 0 : -EINVAL;

    for (size_t i = 0; files && i < n; i++) {
        files[i].result = -ECANCELED;
        error = files[i].from && files[i].to ? error : -EINVAL;
    }
    return error;
}

loop_job loop_fs_copy_files(struct loop_scope *scope, struct loop_dir *from_dir, struct loop_dir *to_dir,
                            struct loop_copied *files, size_t n, const struct loop_copy_options *options, loop_fn *fn,
                            void *arg)
{
    static const struct loop_copy_options defaults;
    static const char from[] = ".", to[] = "."; /* for the checks of the directories */

    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATHS, .run = run_copies, .waits = true,
                                                   .takes_long = true, .error = prepare(files, n), .out = files,
                                                   .len = n, .u.copy = options ? *options : defaults});
}
