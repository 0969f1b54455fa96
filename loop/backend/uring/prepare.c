/* SPDX-License-Identifier: ISC
 *
 * Jobs as entries of the submission queue: one row and one function for each operation.
 */
#include <loop/backend/uring/prepare.h>
#include <loop/backend/uring/region.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/ground/hard.h>
#include <loop/kernel/file.h>
#include <loop/syscall/buffers.h>
#include <loop/syscall/request.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

/* The most that one read or write moves, read(2). It fits the entry's 32 bits. */
#define MOST_BYTES ((size_t)0x7ffff000)

/* Returns how many of `wanted` bytes the entry asks for. The hard mode shortens byte streams and files only: of packets
 * the rest would be lost. */
static unsigned bytes_of(const struct loop_job *job, size_t wanted)
{
    bool may_be_short = job->fd->is_byte_stream || !loop_fd_is_stream(job->fd);
    size_t len = may_be_short ? loop_hard_length(wanted) : wanted;
    return (unsigned)(len < MOST_BYTES ? len : MOST_BYTES);
}

static unsigned socket_bytes_of(const struct loop_job *job)
{
    const struct loop_message_args *args = &job->u.args.message;
    return !(args->flags & MSG_WAITALL) ? bytes_of(job, args->len)
                                        : (unsigned)(args->len < MOST_BYTES ? args->len : MOST_BYTES);
}

static unsigned move_bytes_of(const struct loop_job *job)
{
    return bytes_of(job, job->u.args.move.len);
}

/* Returns the count of vectors for the entry. A count that does not fit is far more than the kernel accepts: it fails
 * with -EINVAL in any case. */
static unsigned vectors_of(const struct loop_job *job)
{
    return (unsigned)(job->u.args.move.n_iov < UINT16_MAX ? job->u.args.move.n_iov : UINT16_MAX);
}

/* Returns the offset for the entry. Notes the file's position before an operation that moves it, for undo_move. */
static uint64_t offset_of(struct loop_job *job)
{
    struct loop_move_args *args = &job->u.args.move;
    if (args->offset == LOOP_CURRENT) {
        bool has_position = !loop_fd_is_stream(job->fd) && job->fd->write_by == LOOP_IO_BLOCKING;
        args->position = has_position ? loop_kernel_lseek(job->fd->number, 0, SEEK_CUR) : -1;
    }
    return (uint64_t)args->offset;
}

static void prepare_nop(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    loop_uring_prepare_nop(entry, job);
}

/* Adds O_NONBLOCK, so that opening a fifo does not block a kernel thread until the other end is opened. undo_openat2
 * clears it. O_PATH opens nothing that could block. */
static void prepare_openat2(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    struct loop_open_request *request = job->u.args.extra;
    (void)uring;
    if (!(request->how.flags & (O_PATH | O_NONBLOCK))) {
        request->how.flags |= O_NONBLOCK;
        job->u.args.open.is_made_nonblocking = true;
    }
    io_uring_prep_openat2(entry, request->dir_number, request->path, &request->how);
}

static void prepare_read(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    io_uring_prep_read(entry, job->fd->number, job->u.args.move.data, move_bytes_of(job), offset_of(job));
}

static void prepare_readv(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    io_uring_prep_readv(entry, job->fd->number, job->u.args.move.iov, vectors_of(job), offset_of(job));
}

static void prepare_write(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    io_uring_prep_write(entry, job->fd->number, job->u.args.move.data, move_bytes_of(job), offset_of(job));
}

static void prepare_writev(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    io_uring_prep_writev(entry, job->fd->number, job->u.args.move.iov, vectors_of(job), offset_of(job));
}

/* Reads into the region, by the number of its registered buffer. */
static void prepare_read_fixed(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    void *data = job->u.args.move.data;
    unsigned len = move_bytes_of(job);
    int buffer = loop_uring_fixed_buffer(uring, data, len);
    if (buffer >= 0) {
        io_uring_prep_read_fixed(entry, job->fd->number, data, len, offset_of(job), buffer);
    } else {
        io_uring_prep_read(entry, job->fd->number, data, len, offset_of(job));
    }
}

static void prepare_write_fixed(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    const void *data = job->u.args.move.data;
    unsigned len = move_bytes_of(job);
    int buffer = loop_uring_fixed_buffer(uring, data, len);
    if (buffer >= 0) {
        io_uring_prep_write_fixed(entry, job->fd->number, data, len, offset_of(job), buffer);
    } else {
        io_uring_prep_write(entry, job->fd->number, data, len, offset_of(job));
    }
}

/* Adds POLLIN to a socket's POLLPRI, because urgent data wakes only polls that ask for both. */
static void prepare_poll(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    uint32_t events = job->u.args.poll.events;
    (void)uring;
    if (events & POLLPRI && loop_fd_reads_by(job->fd) == LOOP_IO_SOCKET) {
        events |= POLLIN;
    }
    io_uring_prep_poll_add(entry, job->fd->number, events);
}

static void prepare_connect(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    io_uring_prep_connect(entry, job->fd->number, job->u.args.extra, job->u.args.connect.address_len);
}

static void prepare_accept(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    io_uring_prep_accept(entry, job->fd->number, job->u.args.accept.address, job->u.args.accept.address_len,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void prepare_accept_multishot(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    io_uring_prep_multishot_accept(entry, job->fd->number, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* POLL_FIRST: without it the kernel fails at once on a group without free buffers, even if nothing has arrived. */
static void prepare_recv_multishot(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    const struct loop_buffers *buffers = job->u.args.receive.buffers;
    (void)uring;
    io_uring_prep_recv_multishot(entry, job->fd->number, NULL, 0, 0);
    entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = buffers->group_id;
}

static void prepare_recv(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    io_uring_prep_recv(entry, job->fd->number, job->u.args.message.data, socket_bytes_of(job),
                       job->u.args.message.flags);
}

static void prepare_send(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    int flags = job->u.args.message.flags | MSG_NOSIGNAL;
    io_uring_prep_send(entry, job->fd->number, job->u.args.message.data, socket_bytes_of(job), flags);
}

static void prepare_send_msg(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    struct loop_message_request *request = job->u.args.extra;
    (void)uring;
    io_uring_prep_sendmsg(entry, job->fd->number, &request->header, (unsigned)job->u.args.message.flags | MSG_NOSIGNAL);
}

static void prepare_recv_msg(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    struct loop_message_request *request = job->u.args.extra;
    (void)uring;
    io_uring_prep_recvmsg(entry, job->fd->number, &request->header,
                          (unsigned)job->u.args.message.flags | MSG_CMSG_CLOEXEC);
}

static void prepare_statx(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    const struct loop_path_request *request = job->u.args.extra;
    const struct loop_statx_args *args = &job->u.args.statx;
    (void)uring;
    io_uring_prep_statx(entry, request->dir_number, request->path, args->flags, args->mask, args->buf);
}

static void prepare_fsync(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    (void)uring;
    io_uring_prep_fsync(entry, job->fd->number, job->u.args.sync.is_data_only ? IORING_FSYNC_DATASYNC : 0);
}

/* ---- after the completion ---- */

/* Clears the O_NONBLOCK that prepare_openat2 has added. */
static void undo_openat2(struct loop_job *job, int32_t result)
{
    struct loop_open_request *request = job->u.args.extra;
    if (!job->u.args.open.is_made_nonblocking) {
        return;
    }
    job->u.args.open.is_made_nonblocking = false;
    request->how.flags &= ~(uint64_t)O_NONBLOCK;
    if (result >= 0) {
        (void)loop_kernel_fcntl(result, F_SETFL, loop_kernel_fcntl(result, F_GETFL, 0) & ~O_NONBLOCK);
    }
}

/* Returns how many bytes the read or write was to move. */
static size_t asked_for(const struct loop_job *job)
{
    const struct loop_move_args *args = &job->u.args.move;
    size_t total = 0;
    if (!loop_op_table[job->op].takes_vectors) {
        return args->len;
    }
    for (size_t i = 0; i < args->n_iov; i++) {
        total += args->iov[i].iov_len;
    }
    return total;
}

/* Sets the file's position after a partial read or write. The kernel continues such an operation. If the continuation
 * fails, for example on a full disk, it reports the bytes moved so far but does not move the position. */
static void undo_move(struct loop_job *job, int32_t result)
{
    int64_t before = job->u.args.move.position;
    if (job->u.args.move.offset == LOOP_CURRENT && before >= 0 && result > 0 && (size_t)result < asked_for(job)) {
        (void)loop_kernel_lseek(job->fd->number, before + result, SEEK_SET);
    }
}

/* ---- the table ---- */

struct prepare_row {
    void (*prepare)(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job);
    void (*undo)(struct loop_job *job, int32_t result); /* NULL: there is nothing to revert */
    uint8_t opcode;
};

/* Operations without a row are not the ring's. Its splice blocks a kernel thread while the pipe is empty. */
static const struct prepare_row rows[LOOP_OP_COUNT] = {
    [LOOP_OP_NOP] = {prepare_nop, NULL, IORING_OP_NOP},
    [LOOP_OP_OPENAT2] = {prepare_openat2, undo_openat2, IORING_OP_OPENAT2},
    [LOOP_OP_READ] = {prepare_read, undo_move, IORING_OP_READ},
    [LOOP_OP_READV] = {prepare_readv, undo_move, IORING_OP_READV},
    [LOOP_OP_WRITE] = {prepare_write, undo_move, IORING_OP_WRITE},
    [LOOP_OP_WRITEV] = {prepare_writev, undo_move, IORING_OP_WRITEV},
    [LOOP_OP_READ_FIXED] = {prepare_read_fixed, undo_move, IORING_OP_READ_FIXED},
    [LOOP_OP_WRITE_FIXED] = {prepare_write_fixed, undo_move, IORING_OP_WRITE_FIXED},
    [LOOP_OP_POLL] = {prepare_poll, NULL, IORING_OP_POLL_ADD},
    [LOOP_OP_CONNECT] = {prepare_connect, NULL, IORING_OP_CONNECT},
    [LOOP_OP_ACCEPT] = {prepare_accept, NULL, IORING_OP_ACCEPT},
    [LOOP_OP_ACCEPT_MULTISHOT] = {prepare_accept_multishot, NULL, IORING_OP_ACCEPT},
    [LOOP_OP_RECV_MULTISHOT] = {prepare_recv_multishot, NULL, IORING_OP_RECV},
    [LOOP_OP_RECV] = {prepare_recv, NULL, IORING_OP_RECV},
    [LOOP_OP_SEND] = {prepare_send, NULL, IORING_OP_SEND},
    [LOOP_OP_SEND_MSG] = {prepare_send_msg, NULL, IORING_OP_SENDMSG},
    [LOOP_OP_RECV_MSG] = {prepare_recv_msg, NULL, IORING_OP_RECVMSG},
    [LOOP_OP_STATX] = {prepare_statx, NULL, IORING_OP_STATX},
    [LOOP_OP_FSYNC] = {prepare_fsync, NULL, IORING_OP_FSYNC},
};

_Static_assert(LOOP_OP_COUNT <= 32, "an operation is one bit of a mask");

/* Whether the operation is a write to a terminal. Since Linux 6.12 the kernel makes one that it can poll as soon as
 * there is some room, and then it waits until all bytes have gone, inside io_uring_enter(2). */
static bool waits_for_all(const struct loop_job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    return row->op_class == LOOP_CLASS_MOVE && row->is_output && job->fd->write_by == LOOP_IO_BLOCKING &&
           loop_fd_is_stream(job->fd);
}

void loop_uring_prepare(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    rows[job->op].prepare(uring, entry, job);
    if (waits_for_all(job)) {
        entry->flags |= IOSQE_ASYNC; /* by a thread of the kernel, which a cancel interrupts */
    }
    entry->user_data = loop_uring_user_data(LOOP_URING_TAG_JOB, job->id);
}

void loop_uring_undo_prepare(struct loop_job *job, int32_t result)
{
    if (rows[job->op].undo) {
        rows[job->op].undo(job, result);
    }
}

bool loop_uring_serves(const struct loop_job *job)
{
    return rows[job->op].prepare != NULL;
}

static bool is_known(const struct io_uring_probe *opcodes, unsigned opcode)
{
    return opcode < opcodes->ops_len && opcodes->ops[opcode].flags & IO_URING_OP_SUPPORTED;
}

uint32_t loop_uring_unserved_ops(const struct io_uring_probe *opcodes)
{
    uint32_t unserved = 0;
    for (unsigned op = 0; op < LOOP_OP_COUNT; op++) {
        if (!rows[op].prepare || !is_known(opcodes, rows[op].opcode)) {
            unserved |= UINT32_C(1) << op;
        }
    }
    return unserved;
}
