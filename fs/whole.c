/* SPDX-License-Identifier: ISC
 *
 * Whole files, read into memory and written from it, in pieces with a check for a cancel between them.
 */
#include <fs/inherit.h>
#include <fs/request.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>

#include <assert.h>
#include <fcntl.h>
#include <string.h>

#define PIECE_BYTES ((size_t)1 << 20)

/* ---- load ---- */

struct bytes {
    char *data;
    size_t len, room; /* allocated is one byte more than `room` */
};

static int make_room(struct bytes *bytes, size_t room)
{
    char *data = loop_kernel_realloc(bytes->data, room + 1);

    if (!data) {
        return -ENOMEM;
    }
    bytes->data = data;
    bytes->room = room;
    return 0;
}

/* Reads one piece. Returns how many bytes, 0 at the end, or -errno. */
static int64_t read_piece(int number, struct bytes *bytes)
{
    size_t len = bytes->room - bytes->len;
    int64_t n;

    assert(bytes->len < bytes->room);
    do {
        if (loop_work_is_cancelled()) {
            return -ECANCELED;
        }
        n = loop_fs_outcome(loop_kernel_read(number, bytes->data + bytes->len, len < PIECE_BYTES ? len : PIECE_BYTES));
    } while (n == -EINTR);
    bytes->len += n > 0 ? (size_t)n : 0;
    return n;
}

/* Reads until the end of the file: its size is only a hint, which files of /proc do not have. One byte more than the
 * size or the limit is read, to find the end, or that there is more. Returns 0 or -errno. */
static int64_t read_all(int number, size_t size, size_t limit, struct bytes *bytes)
{
    int64_t result = make_room(bytes, size + 1 > 4096 ? size + 1 : 4096);

    while (result == 0) {
        int64_t n = read_piece(number, bytes);
        if (n <= 0) {
            return n;
        }
        if (bytes->len > limit) {
            return -EFBIG;
        }
        if (bytes->len == bytes->room) {
            result = make_room(bytes, 2 * bytes->room);
        }
    }
    return result;
}

/* Returns whether a file that claims to be longer than the limit is. Files of /sys claim a page, whatever they have. */
static bool is_beyond(int number, size_t limit)
{
    char byte;

    return loop_kernel_pread(number, &byte, 1, (off_t)limit) > 0;
}

static int64_t load(int number, size_t limit, struct bytes *bytes)
{
    struct stat status;
    int64_t result = loop_fs_check_regular(number, &status);

    if (result < 0) {
        return result;
    }
    bool claims_more = (uint64_t)status.st_size > limit;
    if (claims_more && is_beyond(number, limit)) {
        return -EFBIG;
    }
    result = read_all(number, claims_more ? limit : (size_t)status.st_size, limit, bytes);
    if (result < 0) {
        return result;
    }
    assert(bytes->len <= limit && bytes->len <= bytes->room);
    (void)make_room(bytes, bytes->len); /* smaller; when that fails it stays as it is */
    bytes->data[bytes->len] = '\0';
    return (int64_t)bytes->len;
}

int64_t loop_fs_run_load(struct loop_fs_request *request)
{
    struct bytes bytes = {.data = NULL};
    int number = loop_fs_open_plainly(request->at, request->path, O_RDONLY, 0);

    if (number < 0) {
        return number;
    }
    int64_t result = load(number, request->len, &bytes);
    loop_kernel_close(number);
    if (result < 0) {
        loop_kernel_free(bytes.data);
        return result;
    }
    request->made.memory = bytes.data;
    return result;
}

loop_job loop_fs_load(struct loop_scope *scope, struct loop_dir *dir, const char *path, size_t limit_bytes, void **data,
                      loop_fn *fn, void *arg)
{
    const size_t most = PTRDIFF_MAX / 4;

    return loop_fs_start(&(struct loop_fs_request){
        LOOP_FS_ON_PATH, .run = loop_fs_run_load, .deliver = loop_fs_deliver_memory, .makes_memory = true,
        .error = data ? 0 : -EINVAL, .len = limit_bytes && limit_bytes < most ? limit_bytes : most, .out = data});
}

/* ---- save ---- */

static int64_t write_all(int number, const char *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        if (loop_work_is_cancelled()) {
            return -ECANCELED;
        }
        size_t left = len - done;
        ssize_t n = loop_kernel_write(number, data + done, left < PIECE_BYTES ? left : PIECE_BYTES);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return (int64_t)len;
}

static int64_t save_in_place(struct loop_fs_request *request)
{
    const struct loop_save_options *options = &request->u.save;
    int flags = O_WRONLY | O_CREAT | (options->exclusive ? O_EXCL : 0) | (options->append ? O_APPEND : O_TRUNC);
    int number = loop_fs_open_plainly(request->at, request->path, flags, request->mode);
    struct stat status;

    if (number < 0) {
        return number;
    }
    int64_t result = loop_fs_check_regular(number, &status);
    if (result == 0) {
        result = write_all(number, request->data, request->len);
    }
    if (result >= 0 && options->sync && loop_kernel_fsync(number) < 0) {
        result = -errno;
    }
    loop_kernel_close(number);
    return result;
}

static int64_t save_atomically(struct loop_fs_request *request)
{
    struct loop_fs_temporary temporary;
    int64_t result =
        loop_fs_temporary_make(&temporary, request->at, request->path, request->mode, request->u.save.exclusive);

    if (result == 0) {
        result = write_all(temporary.number, request->data, request->len);
    }
    if (result >= 0) {
        result = loop_fs_inherit(&temporary);
    }
    if (result == 0) {
        result = loop_fs_temporary_publish(&temporary, true);
    }
    loop_fs_temporary_end(&temporary);
    return result < 0 ? result : (int64_t)request->len;
}

static int64_t run_save(struct loop_fs_request *request)
{
    return request->u.save.atomic ? save_atomically(request) : save_in_place(request);
}

loop_job loop_fs_save(struct loop_scope *scope, struct loop_dir *dir, const char *path, const void *data, size_t len,
                      const struct loop_save_options *options, loop_fn *fn, void *arg)
{
    static const struct loop_save_options defaults;

    options = options ? options : &defaults;
    bool is_bad =
        (!data && len > 0) || len > INT64_MAX || options->mode & ~07777u || (options->append && options->atomic);
    return loop_fs_start(&(struct loop_fs_request){
        LOOP_FS_ON_PATH, .run = run_save, .waits = true, .error = is_bad ? -EINVAL : 0,
        .mode = options->mode ? options->mode : LOOP_FS_DEFAULT_MODE, .data = data, .len = len, .u.save = *options});
}
