/* SPDX-License-Identifier: ISC
 *
 * Reads and writes of a file at an offset, of any number of vectors, and seeking. A transfer is a promise, and below it
 * one operation of the low level at a time, a daemon: the promise alone decides whether the scope is held open.
 */
#include <fs/request.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/low_level.h>
#include <loop/part.h>

#include <assert.h>
#include <limits.h>

struct transfer {
    struct loop *loop;
    struct loop_scope *scope;
    struct loop_fd *file;
    loop_job promise, piece;
    bool is_write, is_heard, is_cancelled;
    const struct iovec *iov; /* the first that is not done */
    size_t n_iov;
    size_t in_first; /* how many bytes of it are done */
    int64_t offset, done, total;
};

static void on_cancel(void *arg, loop_job job)
{
    struct transfer *transfer = arg;

    (void)job;
    transfer->is_cancelled = true;
    (void)loop_cancel(transfer->loop, transfer->piece);
}

/* Ends the transfer with the count of its bytes, or with an error when there are none. A write without a continuation
 * that stopped half-way ends with its error, which fails the scope: its count would be lost. */
static void end(struct transfer *transfer, int64_t result)
{
    assert(transfer->total < 0 || (transfer->done >= 0 && transfer->done <= transfer->total));
    bool tells_count = transfer->done > 0 && (transfer->is_heard || !transfer->is_write || result > 0);

    if (transfer->is_write && transfer->done < transfer->total && result == 0) {
        result = -EIO;
    }
    loop_resolve(transfer->loop, transfer->promise, tells_count ? transfer->done : result);
    loop_kernel_free(transfer);
}

static void on_piece(void *arg, int64_t result);

/* Starts one operation: the rest of a vector that is partly done, or as many whole vectors as one call accepts. */
static loop_job start_piece(struct transfer *transfer)
{
    const struct iovec *iov = transfer->iov;
    size_t n_iov = transfer->n_iov < IOV_MAX ? transfer->n_iov : IOV_MAX;
    char *rest = (char *)iov->iov_base + transfer->in_first;
    size_t len = iov->iov_len - transfer->in_first;
    int64_t offset = transfer->offset + transfer->done;

    assert(transfer->n_iov > 0 && transfer->in_first < iov->iov_len);
    if (transfer->in_first > 0 || n_iov == 1) {
        return transfer->is_write
                   ? loop_op_write(transfer->scope, transfer->file, rest, len, offset, on_piece, transfer)
                   : loop_op_read(transfer->scope, transfer->file, rest, len, offset, on_piece, transfer);
    }
    return transfer->is_write ? loop_op_writev(transfer->scope, transfer->file, iov, n_iov, offset, on_piece, transfer)
                              : loop_op_readv(transfer->scope, transfer->file, iov, n_iov, offset, on_piece, transfer);
}

static void go_on(struct transfer *transfer)
{
    loop_job piece = start_piece(transfer);

    if (!piece) {
        end(transfer, -ENOMEM);
        return;
    }
    transfer->piece = piece;
    (void)loop_daemon(transfer->loop, piece);
}

/* Steps past `n` bytes that are done, and past empty vectors. */
static void advance(struct transfer *transfer, size_t n)
{
    assert(n <= (uint64_t)(transfer->total - transfer->done));
    transfer->done += (int64_t)n;
    n += transfer->in_first;
    while (transfer->n_iov > 0 && n >= transfer->iov->iov_len) {
        n -= transfer->iov->iov_len;
        transfer->iov++;
        transfer->n_iov--;
    }
    transfer->in_first = n;
}

static void on_piece(void *arg, int64_t result)
{
    struct transfer *transfer = arg;

    if (result <= 0) {
        end(transfer, result);
        return;
    }
    advance(transfer, (size_t)result);
    if (transfer->done == transfer->total || transfer->is_cancelled) {
        end(transfer, transfer->done);
    } else {
        go_on(transfer);
    }
}

/* Returns the bytes of all vectors, or -EINVAL when a result could not hold them. */
static int64_t total_of(const struct iovec *iov, size_t n_iov, int64_t offset)
{
    int64_t total = 0;

    if (offset < 0 || (!iov && n_iov > 0)) {
        return -EINVAL;
    }
    for (size_t i = 0; i < n_iov; i++) {
        if (iov[i].iov_len > (uint64_t)(INT64_MAX - offset - total)) {
            return -EINVAL;
        }
        total += (int64_t)iov[i].iov_len;
    }
    return total;
}

static void begin(struct transfer *transfer)
{
    if (transfer->total <= 0) {
        end(transfer, transfer->total);
        return;
    }
    advance(transfer, 0);
    go_on(transfer);
}

static loop_job start(const struct transfer *asked, loop_fn *fn, void *arg)
{
    struct transfer *transfer = asked->scope ? loop_kernel_malloc(sizeof *transfer) : NULL;

    if (!transfer) {
        return 0;
    }
    *transfer = *asked;
    transfer->loop = loop_scope_loop(asked->scope);
    transfer->is_heard = fn != NULL;
    loop_job promise = loop_promise(asked->scope, on_cancel, transfer, fn, arg);
    transfer->promise = promise;
    if (promise && !loop_scope_is_cancelled(asked->scope)) {
        begin(transfer);
    } else {
        loop_kernel_free(transfer);
    }
    return promise;
}

static struct loop_scope *scope_of(struct loop_scope *scope, const struct loop_fd *file)
{
    return scope ? scope : file ? loop_fd_scope(file) : NULL;
}

loop_job loop_file_pread(struct loop_scope *scope, struct loop_fd *file, const struct iovec *iov, size_t n_iov,
                         int64_t offset, loop_fn *fn, void *arg)
{
    if (!loop_fs_is_good_file(scope, file, __func__)) {
        return 0;
    }
    return start(&(struct transfer){.scope = scope_of(scope, file),
                                    .file = file,
                                    .iov = iov,
                                    .n_iov = n_iov,
                                    .offset = offset,
                                    .total = file ? total_of(iov, n_iov, offset) : -EINVAL},
                 fn, arg);
}

loop_job loop_file_pwrite(struct loop_scope *scope, struct loop_fd *file, const struct iovec *iov, size_t n_iov,
                          int64_t offset, loop_fn *fn, void *arg)
{
    if (!loop_fs_is_good_file(scope, file, __func__)) {
        return 0;
    }
    return start(&(struct transfer){.scope = scope_of(scope, file),
                                    .file = file,
                                    .is_write = true,
                                    .iov = iov,
                                    .n_iov = n_iov,
                                    .offset = offset,
                                    .total = file ? total_of(iov, n_iov, offset) : -EINVAL},
                 fn, arg);
}

/* Drops the unread bytes of a file, whose position has changed. */
static void drop_unread(struct loop_fd *file)
{
    char bytes[512];
    size_t left;

    while ((left = loop_fd_unread_length(file)) > 0) {
        if (loop_try_read(&loop_fd_flow(file)->source, bytes, left < sizeof bytes ? left : sizeof bytes) <= 0) {
            return;
        }
    }
}

/* Returns the position that the program sees, which unread bytes are behind of, or -errno. */
static int64_t position_of(const struct loop_fd *file, int number)
{
    int64_t position = loop_fs_outcome(loop_kernel_lseek(number, 0, SEEK_CUR)),
            unread = (int64_t)loop_fd_unread_length(file);

    return position < 0 ? position : position > unread ? position - unread : 0;
}

static int64_t seek(struct loop_fd *file, int number, int64_t offset, int whence)
{
    if (whence == SEEK_CUR && loop_fd_unread_length(file) > 0) {
        int64_t position = position_of(file, number);
        if (position < 0 || offset == 0) {
            return position;
        }
        offset = offset > INT64_MAX - position ? -1 : position + offset;
        whence = SEEK_SET;
    }
    int64_t result = loop_fs_outcome(loop_kernel_lseek(number, offset, whence));
    if (result >= 0) {
        drop_unread(file);
    }
    return result;
}

int64_t loop_file_seek(struct loop_fd *file, int64_t offset, int whence)
{
    if (!loop_check_fd(file, __func__)) {
        return -EINVAL;
    }
    int number = loop_fd_use(file);
    if (number < 0) {
        return number;
    }
    int64_t position = seek(file, number, offset, whence);
    loop_fd_unuse(file);
    return position;
}
