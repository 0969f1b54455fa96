/* SPDX-License-Identifier: ISC
 *
 * How the calls of <loop/low_level.h> start their jobs; and those that read, write and splice. Each checks its
 * arguments, starts a job and hands it to the backend. Bad arguments start a job that ends with -EINVAL. What only the
 * kernel can check is left to it.
 */
#include <loop/core/backend.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/region.h>
#include <loop/core/scope.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/low_level/kind.h>
#include <loop/low_level/start.h>
#include <loop/part.h>
#include <loop/syscall/direct.h>
#include <loop/syscall/role.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* ---- starting a job ---- */

/* Returns the error that the job ends with, or 0. */
static int check(const struct loop *loop, const struct loop_operation *operation)
{
    if (!loop_operation_is_of(loop, operation->fd) || !loop_operation_is_of(loop, operation->second)) {
        return -EINVAL;
    }
    if (operation->error) {
        return operation->error;
    }
    return operation->second && operation->second->state != LOOP_FD_OPEN ? -EBADF : 0;
}

/* Returns -EAGAIN when the operation can be started. Otherwise returns its result: it would wait for ever, for example
 * a receive on a listener. */
static int64_t misuse(const struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    int64_t error = 0;
    if (loop_op_table[job->op].op_class == LOOP_CLASS_SPLICE) {
        assert(fd && job->u.args.second);
        error = loop_role_writing(job->u.args.second);
        error = error ? error : loop_role_reading(fd);
        return error ? error : -EAGAIN;
    }
    if (!fd || loop_fd_reads_by(fd) != LOOP_IO_SOCKET) {
        return -EAGAIN;
    }
    const struct loop_op_row *row = &loop_op_table[job->op];
    if (row->is_accept) {
        return loop_role_accepting(fd);
    }
    error = row->is_receive ? loop_role_reading(fd) : 0;
    return error ? error : -EAGAIN;
}

static void hand_over(struct loop *loop, struct loop_job *job, const struct loop_operation *operation, int error)
{
    if (error) {
        loop_job_complete(loop, job, error);
        return;
    }
    if (operation->second) {
        loop_job_use_second(job, operation->second);
    }
    int64_t result = misuse(job);
    if (result != -EAGAIN) {
        loop_job_complete(loop, job, result);
    } else {
        loop->backend->start(loop, job);
    }
}

loop_job loop_operation_start(const struct loop_operation *operation)
{
    if (!loop_operation_is_good(operation->scope, operation->fd, operation->second, operation->function)) {
        loop_kernel_free(operation->args.extra);
        return 0;
    }
    const struct loop_op_row *row = &loop_op_table[operation->op];
    struct loop_scope *scope = loop_operation_scope(operation->scope, operation->fd);
    if (row->needs_fd) {
        (void)loop_operation_has_fd(operation->fd, operation->function);
    }
    const struct loop_job_kind *kind =
        operation->kind ? operation->kind : loop_low_kind_for(operation->op, operation->fn);
    assert(kind->size == LOOP_JOB_LARGE);
    int error = check(scope->loop, operation);
    struct loop_fd *fd = loop_operation_is_of(scope->loop, operation->fd) ? operation->fd : NULL;
    loop_job id;
    struct loop_job *job = loop_job_start(scope, fd, kind, operation->fn, operation->arg, &id);
    if (!job) {
        loop_kernel_free(operation->args.extra);
        return id;
    }
    job->op = (uint8_t)operation->op;
    job->is_multishot = row->is_multishot;
    job->u.args = operation->args;
    hand_over(scope->loop, job, operation, error);
    return id;
}

const struct loop_job_kind loop_low_kind = {.name = "operation",
                                            .cancel = loop_job_cancel_by_backend,
                                            .attempt = loop_direct_attempt,
                                            .is_written_whole = true,
                                            .size = LOOP_JOB_LARGE};

/* A nop is a bare job, because it has no descriptor and no arguments. */
static const struct loop_job_kind nop_kind = {
    .name = "nop", .cancel = loop_job_cancel_by_backend, .size = LOOP_JOB_BARE};

loop_job loop_op_nop(struct loop_scope *scope, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    struct loop *loop = scope->loop;
    struct loop_job *job = loop_job_make(scope, &nop_kind, fn, arg);
    if (!job) {
        return 0;
    }
    loop_job id = job->id;
    if (scope->is_cancelled) {
        loop_job_complete(loop, job, -ECANCELED);
    } else {
        job->op = LOOP_OP_NOP;
        loop->backend->start(loop, job);
    }
    return id;
}

loop_job loop_operation_known(struct loop_scope *scope, struct loop_fd *fd, int error, loop_fn *fn, void *arg,
                              const char *function)
{
    struct loop_operation operation = {
        .scope = scope, .fd = fd, .op = LOOP_OP_NOP, .error = error, .fn = fn, .arg = arg, .function = function};
    return loop_operation_start(&operation);
}

/* ---- reading and writing ---- */

static int check_offset(const struct loop_fd *fd, bool is_output, int64_t offset)
{
    if (offset < LOOP_CURRENT) {
        return -EINVAL;
    }
    bool is_stream = is_output ? fd->write_by != LOOP_IO_BLOCKING : loop_fd_is_stream(fd);
    return is_stream && offset != LOOP_CURRENT ? -ESPIPE : 0;
}

/* A read or write. These are started most often, so they have a shorter way than struct loop_operation. */
struct move {
    struct loop_scope *scope;
    struct loop_fd *fd;
    enum loop_op op;
    int error;
    struct loop_move_args args;
    loop_fn *fn;
    void *arg;
    const char *function;
};

static int check_move(const struct move *move)
{
    if (move->error) {
        return move->error;
    }
    int error = check_offset(move->fd, loop_op_table[move->op].is_output, move->args.offset);
    return error || loop_op_table[move->op].is_output ? error : (int)loop_role_reading(move->fd);
}

/* Starts a move whose objects are good. */
static loop_job start_good(const struct move *move)
{
    (void)loop_operation_has_fd(move->fd, move->function);
    struct loop_scope *owner = loop_operation_scope(move->scope, move->fd);
    struct loop_fd *fd = loop_operation_is_of(owner->loop, move->fd) ? move->fd : NULL;
    loop_job id;
    const struct loop_job_kind *kind = loop_low_kind_for(move->op, move->fn);
    struct loop_job *job = loop_job_start(owner, fd, kind, move->fn, move->arg, &id);
    if (!job) {
        return id;
    }
    job->op = (uint8_t)move->op;
    job->u.args.move = move->args;
    job->u.args.second = NULL;
    job->u.args.extra = NULL;
    int error = fd ? check_move(move) : -EINVAL;
    if (error) {
        loop_job_complete(owner->loop, job, error);
    } else {
        owner->loop->backend->start(owner->loop, job);
    }
    return id;
}

static bool is_good(const struct move *move)
{
    return loop_operation_is_good(move->scope, move->fd, NULL, move->function);
}

static loop_job start_move(const struct move *move)
{
    return is_good(move) ? start_good(move) : 0;
}

static int check_bytes(const void *buf, size_t len)
{
    return !buf && len > 0 ? -EINVAL : 0;
}

loop_job loop_op_read(struct loop_scope *scope, struct loop_fd *fd, void *buf, size_t len, int64_t offset, loop_fn *fn,
                      void *arg)
{
    const struct loop_move_args args = {.data = buf, .len = loop_operation_limited(len), .offset = offset};
    return start_move(&(struct move){scope, fd, LOOP_OP_READ, check_bytes(buf, len), args, fn, arg, __func__});
}

static int check_vectors(const struct iovec *iov, size_t n_iov)
{
    return n_iov > IOV_MAX || (!iov && n_iov > 0) ? -EINVAL : 0;
}

loop_job loop_op_readv(struct loop_scope *scope, struct loop_fd *fd, const struct iovec *iov, size_t n_iov,
                       int64_t offset, loop_fn *fn, void *arg)
{
    const struct loop_move_args args = {.iov = iov, .n_iov = n_iov, .offset = offset};
    return start_move(&(struct move){scope, fd, LOOP_OP_READV, check_vectors(iov, n_iov), args, fn, arg, __func__});
}

loop_job loop_op_write(struct loop_scope *scope, struct loop_fd *fd, const void *buf, size_t len, int64_t offset,
                       loop_fn *fn, void *arg)
{
    void *data = (void *)(uintptr_t)buf;
    const struct loop_move_args args = {.data = data, .len = loop_operation_limited(len), .offset = offset};
    return start_move(&(struct move){scope, fd, LOOP_OP_WRITE, check_bytes(buf, len), args, fn, arg, __func__});
}

loop_job loop_op_writev(struct loop_scope *scope, struct loop_fd *fd, const struct iovec *iov, size_t n_iov,
                        int64_t offset, loop_fn *fn, void *arg)
{
    const struct loop_move_args args = {.iov = iov, .n_iov = n_iov, .offset = offset};
    return start_move(&(struct move){scope, fd, LOOP_OP_WRITEV, check_vectors(iov, n_iov), args, fn, arg, __func__});
}

/* ---- the region ---- */

static loop_job start_fixed(struct move *move, size_t region_offset)
{
    if (!is_good(move)) {
        return 0;
    }
    const struct loop_scope *scope = loop_operation_scope(move->scope, move->fd);
    if (!loop_region_covers(scope->loop, region_offset, move->args.len)) {
        move->error = move->error ? move->error : -EFAULT;
        region_offset = 0;
    }
    move->args.data = scope->loop->region.memory + region_offset;
    return start_good(move);
}

loop_job loop_op_read_fixed(struct loop_scope *scope, struct loop_fd *fd, size_t region_offset, size_t len,
                            int64_t offset, loop_fn *fn, void *arg)
{
    return start_fixed(
        &(struct move){scope, fd, LOOP_OP_READ_FIXED, 0, {.len = len, .offset = offset}, fn, arg, __func__},
        region_offset);
}

loop_job loop_op_write_fixed(struct loop_scope *scope, struct loop_fd *fd, size_t region_offset, size_t len,
                             int64_t offset, loop_fn *fn, void *arg)
{
    return start_fixed(
        &(struct move){scope, fd, LOOP_OP_WRITE_FIXED, 0, {.len = len, .offset = offset}, fn, arg, __func__},
        region_offset);
}

static loop_job start_chunk(struct move *move, const struct loop_chunk *chunk)
{
    if (!is_good(move)) {
        return 0;
    }
    const struct loop_scope *scope = loop_operation_scope(move->scope, move->fd);
    bool is_ours = chunk && chunk->loop == scope->loop && chunk->state != LOOP_CHUNK_FREE &&
                   move->args.len <= scope->loop->region.block_size;
    move->error = is_ours ? 0 : -EINVAL;
    move->args.data = is_ours ? loop_chunk_memory(chunk) : scope->loop->region.memory;
    return start_good(move);
}

loop_job loop_op_read_chunk(struct loop_scope *scope, struct loop_fd *fd, struct loop_chunk *chunk, size_t len,
                            int64_t offset, loop_fn *fn, void *arg)
{
    return start_chunk(
        &(struct move){scope, fd, LOOP_OP_READ_FIXED, 0, {.len = len, .offset = offset}, fn, arg, __func__}, chunk);
}

loop_job loop_op_write_chunk(struct loop_scope *scope, struct loop_fd *fd, struct loop_chunk *chunk, size_t len,
                             int64_t offset, loop_fn *fn, void *arg)
{
    return start_chunk(
        &(struct move){scope, fd, LOOP_OP_WRITE_FIXED, 0, {.len = len, .offset = offset}, fn, arg, __func__}, chunk);
}

/* ---- splice ---- */

static bool is_pipe(const struct loop_fd *fd)
{
    struct stat status;
    return loop_kernel_fstat(fd->number, &status) == 0 && S_ISFIFO(status.st_mode);
}

/* Whether the file is a timer, a signal set, an epoll set or the like. They have no file type, and splice(2) refuses
 * them. */
static bool is_anonymous(const struct stat *status)
{
    return (status->st_mode & S_IFMT) == 0;
}

/* Returns the error of a splice that splice(2) always refuses, or 0: an end that is not open for the direction or
 * cannot be spliced, or a pipe into itself. Waiting for such an end might never finish. */
static int check_ends(const struct loop_fd *from, const struct loop_fd *to)
{
    int from_flags = loop_kernel_fcntl(from->number, F_GETFL, 0), to_flags = loop_kernel_fcntl(to->number, F_GETFL, 0);
    if (from_flags < 0 || to_flags < 0 || (from_flags & O_ACCMODE) == O_WRONLY || (to_flags & O_ACCMODE) == O_RDONLY) {
        return -EBADF;
    }
    struct stat from_status, to_status;
    if (loop_kernel_fstat(from->number, &from_status) || loop_kernel_fstat(to->number, &to_status)) {
        return -errno;
    }
    if (is_anonymous(&from_status) || is_anonymous(&to_status)) {
        return -EINVAL;
    }
    bool is_same = from_status.st_dev == to_status.st_dev && from_status.st_ino == to_status.st_ino;
    return is_same && is_pipe(from) ? -EINVAL : 0;
}

static int check_splice(const struct loop_fd *from, int64_t from_offset, const struct loop_fd *to, int64_t to_offset)
{
    if (!from || !to || from == to) {
        return -EINVAL;
    }
    if (from->state != LOOP_FD_OPEN || to->state != LOOP_FD_OPEN) {
        return -EBADF;
    }
    if (!is_pipe(from) && !is_pipe(to)) {
        return -EINVAL;
    }
    int error = check_offset(from, false, from_offset);
    if (!error) {
        error = check_offset(to, true, to_offset);
    }
    return error ? error : check_ends(from, to);
}

loop_job loop_op_splice(struct loop_scope *scope, struct loop_fd *from, int64_t from_offset, struct loop_fd *to,
                        int64_t to_offset, size_t len, loop_fn *fn, void *arg)
{
    if (!loop_operation_is_good(scope, from, to, __func__)) {
        return 0;
    }
    (void)(loop_operation_has_fd(from, __func__) && loop_operation_has_fd(to, __func__));
    int error = check_splice(from, from_offset, to, to_offset);
    if (error || len == 0) {
        return loop_operation_known(scope, from, error, fn, arg, __func__);
    }
    struct loop_operation operation = {.scope = scope,
                                       .fd = from,
                                       .second = to,
                                       .op = LOOP_OP_SPLICE,
                                       .kind = &loop_splice_kind,
                                       .fn = fn,
                                       .arg = arg,
                                       .function = __func__};
    operation.args = (struct loop_op_args){
        .splice = {.from_offset = from_offset, .to_offset = to_offset, .len = loop_operation_limited(len)}};
    return loop_operation_start(&operation);
}
