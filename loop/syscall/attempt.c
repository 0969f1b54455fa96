/* SPDX-License-Identifier: ISC
 *
 * Each operation as one system call: without waiting on the loop's thread, or blocking on a thread of the pool.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/core/ready.h>
#include <loop/core/unread.h>
#include <loop/ground/hard.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/path.h>
#include <loop/kernel/socket.h>
#include <loop/syscall/attempt.h>
#include <loop/syscall/io.h>
#include <loop/syscall/request.h>
#include <loop/syscall/unaligned.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

/* How often an open is retried that fails because of renames in its path. */
#define OPEN_TRIES 1000

/* Converts the return value of a system call to a result: -errno if it failed. */
static int64_t outcome(int64_t answer)
{
    return answer < 0 ? -errno : answer;
}

/* Returns the events that poll(2) finds now: those of `events`, and those that are always reported. Or -errno. */
static int polled(int number, short events)
{
    struct pollfd entry = {.fd = number, .events = events};
    int n = loop_kernel_poll(&entry, 1, 0);
    return n < 0 ? -errno : entry.revents;
}

/* ---- reading and writing ---- */

/* Returns the job's bytes as vectors, without empty ones in front: the hard mode shortens the first. */
static const struct iovec *vectors(const struct loop_job *job, struct iovec *single, int *n)
{
    const struct loop_move_args *args = &job->u.args.move;
    if (!loop_op_table[job->op].takes_vectors) {
        *single = (struct iovec){args->data, args->len};
        *n = 1;
        return single;
    }
    const struct iovec *iov = args->iov;
    size_t count = args->n_iov;
    for (; count > 1 && iov->iov_len == 0; count--) {
        iov++;
    }
    *n = (int)count;
    return iov;
}

/* Returns the bytes of a job on a file as vectors. Applies the hard mode, which loop_io_… applies for streams. */
static const struct iovec *file_vectors(const struct loop_job *job, struct iovec *single, int *n)
{
    const struct iovec *iov = vectors(job, single, n);
    if (loop_hard()->is_short && *n > 0) {
        *single = (struct iovec){iov->iov_base, loop_hard_length(iov->iov_len)};
        *n = 1;
        return single;
    }
    return iov;
}

static size_t total_length(const struct iovec *iov, int n)
{
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        total += iov[i].iov_len;
    }
    return total;
}

/* Whether a short read ended at the end of the file. Files that are not regular may have short reads anywhere. */
static bool file_ends_at(int number, int64_t offset)
{
    struct stat status;
    return loop_kernel_fstat(number, &status) || !S_ISREG(status.st_mode) || offset >= status.st_size;
}

/* Reads from, or writes to, the page cache without waiting for the disk. Returns -EAGAIN when it would wait. O_DIRECT
 * always waits, and some file systems do not support RWF_NOWAIT. */
static int64_t move_now(struct loop_fd *fd, bool is_output, const struct iovec *iov, int n, int64_t offset)
{
    if (fd->is_direct || (is_output ? fd->writes_wait : fd->reads_wait)) {
        return -EAGAIN;
    }
    int64_t result;
    do {
        result = outcome(is_output ? loop_kernel_pwritev2(fd->number, iov, n, offset, RWF_NOWAIT)
                                   : loop_kernel_preadv2(fd->number, iov, n, offset, RWF_NOWAIT));
    } while (result == -EINTR);
    if (result != -EOPNOTSUPP && result != -ENOSYS) {
        return result;
    }
    fd->writes_wait |= is_output;
    fd->reads_wait |= !is_output;
    return -EAGAIN;
}

int64_t loop_attempt_now(struct loop_job *job)
{
    struct iovec single;
    int n;
    const struct iovec *iov = file_vectors(job, &single, &n);
    return move_now(job->fd, loop_op_table[job->op].is_output, iov, n, LOOP_CURRENT);
}

int64_t loop_attempt_read_now(struct loop_fd *fd, void *buf, size_t len, int64_t offset)
{
    struct iovec iov = {buf, loop_hard_length(len)};
    return move_now(fd, false, &iov, 1, offset);
}

/* Reads from the page cache if it has all the bytes. Otherwise returns -EAGAIN: a thread then does the whole read. */
static int64_t read_cached(struct loop_fd *fd, const struct iovec *iov, int n, int64_t offset)
{
    int number = fd->number;
    int64_t result = move_now(fd, false, iov, n, offset);
    if (result <= 0 || (size_t)result == total_length(iov, n)) {
        return result;
    }
    int64_t end = offset == LOOP_CURRENT ? loop_kernel_lseek(number, 0, SEEK_CUR) : offset + result;
    if (file_ends_at(number, end)) {
        return result;
    }
    if (offset == LOOP_CURRENT) {
        loop_kernel_lseek(number, -result, SEEK_CUR);
    }
    return -EAGAIN;
}

/* Retries a read or write that O_DIRECT has refused in aligned pieces, for kinds that take unaligned ones: sources and
 * sinks. Operations of the low level return the error. */
static int64_t as_of_flow(const struct loop_job *job, const struct iovec *iov, int n, int64_t result)
{
    if (result != -EINVAL || !job->fd->is_direct || !job->kind->takes_unaligned) {
        return result;
    }
    bool is_output = loop_op_table[job->op].is_output;
    return is_output ? loop_unaligned_write(job->fd->number, iov, n) : loop_unaligned_read(job->fd->number, iov, n);
}

static int64_t try_read(struct loop_job *job, bool may_block)
{
    struct iovec single;
    int n, number = job->fd->number;
    int64_t offset = job->u.args.move.offset;
    bool is_stream = loop_fd_is_stream(job->fd) || loop_fd_has_unread(job->fd);
    if (!may_block && offset == LOOP_CURRENT && is_stream) {
        const struct iovec *iov = vectors(job, &single, &n);
        return total_length(iov, n) ? loop_io_read(job->fd, iov, n) : 0;
    }
    const struct iovec *iov = file_vectors(job, &single, &n);
    if (!may_block) {
        return read_cached(job->fd, iov, n, offset);
    }
    int64_t result = outcome(offset == LOOP_CURRENT ? loop_kernel_readv(number, iov, n)
                                                    : loop_kernel_preadv(number, iov, n, offset));
    return as_of_flow(job, iov, n, result);
}

/* Writes on a thread. Other programs that have a terminal too may have made it nonblocking: then the thread waits for
 * room. */
static int64_t write_blocking(int number, const struct iovec *iov, int n, int64_t offset)
{
    struct pollfd entry = {.fd = number, .events = POLLOUT};
    int64_t result;
    do {
        result = outcome(offset == LOOP_CURRENT ? loop_kernel_writev(number, iov, n)
                                                : loop_kernel_pwritev(number, iov, n, offset));
        if (result != -EAGAIN || !loop_kernel_isatty(number)) {
            return result;
        }
    } while (loop_kernel_poll(&entry, 1, -1) >= 0);
    return -errno;
}

static int64_t try_write(struct loop_job *job, bool may_block)
{
    struct iovec single;
    int n;
    int64_t offset = job->u.args.move.offset;
    if (!may_block && offset == LOOP_CURRENT && job->fd->write_by != LOOP_IO_BLOCKING) {
        const struct iovec *iov = vectors(job, &single, &n);
        return loop_io_write(job->fd, iov, n);
    }
    if (!may_block) {
        return -EAGAIN;
    }
    const struct iovec *iov = file_vectors(job, &single, &n);
    return as_of_flow(job, iov, n, write_blocking(job->fd->number, iov, n, offset));
}

/* ---- sockets ---- */

/* Input that is not in the byte stream: urgent data, and errors of sent data. */
#define OTHER_INPUT (MSG_OOB | MSG_ERRQUEUE)

static bool has_unread_for(const struct loop_job *job, int flags)
{
    return loop_fd_reads_kept(job->fd) && !loop_op_table[job->op].is_output && !(flags & OTHER_INPUT);
}

static int64_t move_once(const struct loop_job *job, size_t done)
{
    const struct loop_message_args *args = &job->u.args.message;
    char *data = (char *)args->data + done;
    size_t len = args->len - done;
    if (has_unread_for(job, args->flags)) {
        struct iovec iov = {data, len};
        return loop_unread_read(job->fd, &iov, 1, args->flags & MSG_PEEK);
    }
    if (job->fd->is_byte_stream && !(args->flags & MSG_WAITALL)) {
        len = loop_hard_length(len);
    }
    int flags = args->flags | MSG_DONTWAIT;
    return job->op == LOOP_OP_SEND ? outcome(loop_kernel_send(job->fd->number, data, len, flags | MSG_NOSIGNAL))
                                   : outcome(loop_kernel_recv(job->fd->number, data, len, flags));
}

/* Receives or sends. MSG_WAITALL on a byte stream continues until all bytes are moved, across any number of waits.
 * `done` counts them, and is the result if an error or the end comes before. */
static int64_t try_socket(struct loop_job *job, bool may_block)
{
    (void)may_block;
    struct loop_message_args *args = &job->u.args.message;
    bool wants_all = (args->flags & MSG_WAITALL) && !(args->flags & MSG_PEEK) && job->fd->is_byte_stream;
    int64_t done = (int64_t)args->done, result;
    do {
        result = move_once(job, (size_t)done);
        done += result > 0 ? result : 0;
    } while (wants_all && (result > 0 || result == -EINTR) && (size_t)done < args->len);
    if (!wants_all) {
        return result;
    }
    args->done = (size_t)done;
    bool waits = result == -EAGAIN && !(args->flags & MSG_DONTWAIT);
    if (done > 0 && result < 0 && result != -EAGAIN && !loop_op_table[job->op].is_output) {
        loop_unread_keep_error(job->scope->loop, job->fd, result);
    }
    return done > 0 && !waits ? done : result;
}

/* Receives unread bytes as a message, without an address, descriptors or flags: the first reader got those. */
static int64_t unread_message(const struct loop_job *job, struct msghdr *header, int flags)
{
    header->msg_namelen = 0;
    header->msg_controllen = 0;
    header->msg_flags = 0;
    return loop_unread_read(job->fd, header->msg_iov, (int)header->msg_iovlen, flags & MSG_PEEK);
}

static int64_t try_message(struct loop_job *job, bool may_block)
{
    (void)may_block;
    struct loop_message_request *request = job->u.args.extra;
    int flags = job->u.args.message.flags | MSG_DONTWAIT;
    if (has_unread_for(job, flags)) {
        return unread_message(job, &request->header, flags);
    }
    return job->op == LOOP_OP_SEND_MSG ? outcome(loop_kernel_sendmsg(job->fd->number, &request->header, flags))
                                       : outcome(loop_kernel_recvmsg(job->fd->number, &request->header, flags));
}

bool loop_attempt_has_connection(const struct loop_job *job)
{
    return polled(job->fd->number, POLLIN) != 0;
}

/* Accepts one connection. Polls a borrowed listener first: it may be blocking, and accept4(2) has no flag against
 * that. */
static int64_t try_accept(struct loop_job *job, bool may_block)
{
    (void)may_block;
    int number = job->fd->number;
    if (job->fd->is_borrowed && !loop_attempt_has_connection(job)) {
        return -EAGAIN;
    }
    return outcome(loop_kernel_accept4(number, job->u.args.accept.address, job->u.args.accept.address_len,
                                       SOCK_CLOEXEC | SOCK_NONBLOCK));
}

/* Calls connect(2). A borrowed socket that is blocking is made nonblocking for the duration of the call. */
static int64_t connect_without_waiting(const struct loop_job *job)
{
    int number = job->fd->number;
    int flags = job->fd->is_borrowed ? loop_kernel_fcntl(number, F_GETFL, 0) : O_NONBLOCK;
    bool is_blocking = flags >= 0 && !(flags & O_NONBLOCK);
    if (is_blocking) {
        loop_kernel_fcntl(number, F_SETFL, flags | O_NONBLOCK);
    }
    int64_t result = outcome(loop_kernel_connect(number, job->u.args.extra, job->u.args.connect.address_len));
    if (is_blocking) {
        loop_kernel_fcntl(number, F_SETFL, flags);
    }
    return result;
}

/* Connects. -EAGAIN of the first call is the result, as in the ring: the backlog of a Unix listener is full, and no
 * event reports room. After EINPROGRESS, connect(2) is called again when the socket is ready. It returns the outcome,
 * and leaves the socket in the same state as the ring does. */
static int64_t try_connect(struct loop_job *job, bool may_block)
{
    (void)may_block;
    bool was_begun = job->u.args.connect.is_begun;
    if (was_begun && polled(job->fd->number, POLLOUT) == 0) {
        return -EAGAIN;
    }
    int64_t result = connect_without_waiting(job);
    if (result == -EINPROGRESS || (was_begun && result == -EALREADY)) {
        job->u.args.connect.is_begun = true;
        return -EAGAIN;
    }
    return was_begun && result == -EISCONN ? 0 : result;
}

/* ---- the rest ---- */

static int64_t try_nop(struct loop_job *job, bool may_block)
{
    (void)job;
    (void)may_block;
    return 0;
}

static int64_t try_poll(struct loop_job *job, bool may_block)
{
    (void)may_block;
    struct loop_fd *fd = job->fd;
    uint32_t asked = job->u.args.poll.events;
    int events = loop_fd_is_file(fd) ? loop_ready_poll_file(fd, asked) : polled(fd->number, (short)asked);
    if (events >= 0 && asked & POLLIN && loop_fd_has_unread(job->fd)) {
        events |= POLLIN;
    }
    if (events > 0 && (events & POLLNVAL)) {
        return -EBADF;
    }
    return events ? events : -EAGAIN;
}

static bool is_pipe(const struct loop_fd *fd)
{
    return fd->is_byte_stream && fd->write_by != LOOP_IO_SOCKET;
}

/* Writes unread bytes to a file, on a thread of the pool. */
static int64_t splice_block(const struct loop_job *job)
{
    const struct loop_op_args *args = &job->u.args;
    struct loop_block *block = args->extra;
    struct iovec iov = {(char *)block->bytes + block->at, loop_hard_length(block->end - block->at)};
    return write_blocking(args->second->number, &iov, 1, args->splice.to_offset);
}

/* Waits on a thread until a terminal that has no room has some; see write_blocking. False where it has, or the file is
 * no terminal. */
static bool outlast_full_terminal(int number)
{
    struct pollfd entry = {.fd = number, .events = POLLOUT};
    return loop_kernel_isatty(number) && loop_kernel_poll(&entry, 1, 0) == 0 && loop_kernel_poll(&entry, 1, -1) > 0;
}

/* Splices. SPLICE_F_NONBLOCK applies to the pipe only; the other end follows its own O_NONBLOCK. A borrowed one may be
 * blocking, so it gets only as many bytes as it has room for when it polls writable. On a thread the other end is a
 * file, or a terminal, whose -EAGAIN is not that of an empty pipe. */
static int64_t try_splice(struct loop_job *job, bool may_block)
{
    struct loop_op_args *args = &job->u.args;
    struct loop_fd *to = args->second;
    if (args->extra) {
        return splice_block(job);
    }
    loff_t from_offset = args->splice.from_offset, to_offset = args->splice.to_offset;
    size_t len = loop_hard_length(args->splice.len);
    if (!may_block && to->is_borrowed && !is_pipe(to) && len > PIPE_BUF) {
        len = PIPE_BUF;
    }
    int64_t result;
    do {
        result =
            outcome(loop_kernel_splice(job->fd->number, from_offset == LOOP_CURRENT ? NULL : &from_offset, to->number,
                                       to_offset == LOOP_CURRENT ? NULL : &to_offset, len, SPLICE_F_NONBLOCK));
    } while (may_block && result == -EAGAIN && outlast_full_terminal(to->number));
    return result;
}

/* Calls openat2(2), or openat(2) where a kernel or a filter has no openat2 and no resolve flags are asked for. */
static int64_t open_once(const struct loop_open_request *request, uint64_t more_flags)
{
    struct open_how how = request->how;
    how.flags |= more_flags;
    int64_t result = outcome(loop_kernel_openat2(request->dir_number, request->path, &how));
    if (result == -ENOSYS && how.resolve == 0) {
        result = outcome(loop_kernel_openat(request->dir_number, request->path, (int)how.flags, (mode_t)how.mode));
    }
    return result;
}

/* Opens the regular file that a path leads to by its link in /proc, which no rename disturbs: -EAGAIN means a lease.
 * Returns a descriptor; or -EBUSY to try again. To close a descriptor releases this process's locks on the file. */
static int64_t open_disturbed(const struct loop_open_request *request)
{
    int flags = (int)request->how.flags & ~(O_CREAT | O_EXCL | O_TRUNC);
    struct open_how find = {O_PATH | O_CLOEXEC | (request->how.flags & O_NOFOLLOW), 0, request->how.resolve};
    char link[32];
    struct stat status;
    int64_t result = -EBUSY;
    int found = loop_kernel_openat2(request->dir_number, request->path, &find);
    if (found < 0) {
        return -EBUSY;
    }
    if (loop_kernel_fstat(found, &status) == 0 && S_ISREG(status.st_mode)) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", found);
        result = outcome(loop_kernel_openat(AT_FDCWD, link, (flags | O_NONBLOCK) & ~O_NOFOLLOW, 0));
    }
    loop_kernel_close(found);
    if (result >= 0 && request->how.flags & (O_CREAT | O_TRUNC)) {
        loop_kernel_close((int)result); /* nothing has been created or cut */
        return -EBUSY;
    }
    return result >= 0 || result == -EAGAIN ? result : -EBUSY;
}

static int64_t open_undisturbed(const struct loop_open_request *request, uint64_t more_flags)
{
    bool is_for_cache = (request->how.resolve & RESOLVE_CACHED) != 0;
    bool can_be_disturbed = !is_for_cache && (request->how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) != 0;
    int64_t result = open_once(request, more_flags), found = can_be_disturbed ? -EBUSY : -EAGAIN;
    for (int i = 0; result == -EAGAIN && found == -EBUSY && i < OPEN_TRIES; i++) {
        found = open_disturbed(request);
        result = found == -EBUSY ? open_once(request, more_flags) : found;
    }
    if (result == -EAGAIN && more_flags && !is_for_cache) {
        result = open_once(request, 0); /* the file has a lease: this blocks until it is released */
    }
    return result;
}

/* Opens. O_NONBLOCK, cleared afterwards, keeps the open of a fifo from waiting for the other end. O_PATH opens nothing
 * that could wait. */
static int64_t try_open(struct loop_job *job, bool may_block)
{
    (void)may_block;
    const struct loop_open_request *request = job->u.args.extra;
    uint64_t more_flags = request->how.flags & (O_PATH | O_NONBLOCK) ? 0 : O_NONBLOCK;
    int64_t result = open_undisturbed(request, more_flags);
    if (result >= 0 && more_flags) {
        int flags = loop_kernel_fcntl((int)result, F_GETFL, 0);
        loop_kernel_fcntl((int)result, F_SETFL, flags & ~O_NONBLOCK);
    }
    return result;
}

static int64_t try_statx(struct loop_job *job, bool may_block)
{
    (void)may_block;
    const struct loop_statx_args *args = &job->u.args.statx;
    const struct loop_path_request *request = job->u.args.extra;
    return outcome(loop_kernel_statx(request->dir_number, request->path, args->flags, args->mask, args->buf));
}

static int64_t try_fsync(struct loop_job *job, bool may_block)
{
    (void)may_block;
    return outcome(job->u.args.sync.is_data_only ? loop_kernel_fdatasync(job->fd->number)
                                                 : loop_kernel_fsync(job->fd->number));
}

/* ---- loop_attempt_is_final ---- */

static bool open_is_final(const struct loop_job *job)
{
    return (((const struct loop_open_request *)job->u.args.extra)->how.resolve & RESOLVE_CACHED) != 0;
}

static bool connect_is_final(const struct loop_job *job)
{
    return !job->u.args.connect.is_begun;
}

static bool message_is_final(const struct loop_job *job)
{
    return (job->u.args.message.flags & MSG_DONTWAIT) != 0;
}

/* ---- the table ---- */

/* How an operation is tried. Operations without a row: recv_multishot is in direct.c, work and copies bring functions
 * of their own for the pool. */
struct try_row {
    int64_t (*try)(struct loop_job *job, bool may_block);
    bool (*is_final)(const struct loop_job *job); /* loop_attempt_is_final; NULL: never */
};

static const struct try_row tries[LOOP_OP_COUNT] = {
    [LOOP_OP_NOP] = {try_nop, NULL},
    [LOOP_OP_OPENAT2] = {try_open, open_is_final},
    [LOOP_OP_READ] = {try_read, NULL},
    [LOOP_OP_READV] = {try_read, NULL},
    [LOOP_OP_WRITE] = {try_write, NULL},
    [LOOP_OP_WRITEV] = {try_write, NULL},
    [LOOP_OP_READ_FIXED] = {try_read, NULL},
    [LOOP_OP_WRITE_FIXED] = {try_write, NULL},
    [LOOP_OP_POLL] = {try_poll, NULL},
    [LOOP_OP_SPLICE] = {try_splice, NULL},
    [LOOP_OP_CONNECT] = {try_connect, connect_is_final},
    [LOOP_OP_ACCEPT] = {try_accept, NULL},
    [LOOP_OP_ACCEPT_MULTISHOT] = {try_accept, NULL},
    [LOOP_OP_RECV] = {try_socket, message_is_final},
    [LOOP_OP_SEND] = {try_socket, message_is_final},
    [LOOP_OP_SEND_MSG] = {try_message, message_is_final},
    [LOOP_OP_RECV_MSG] = {try_message, message_is_final},
    [LOOP_OP_STATX] = {try_statx, NULL},
    [LOOP_OP_FSYNC] = {try_fsync, NULL},
};

int64_t loop_attempt(struct loop_job *job, bool may_block)
{
    assert(tries[job->op].try);
    int64_t result;
    do {
        result = tries[job->op].try(job, may_block);
    } while (result == -EINTR && !may_block);
    return result;
}

/* The pool keeps the order of reads at a regular file's position. But some files in /proc, which have size 0 and no
 * RWF_NOWAIT, are generated as they are read, and a read may block for ever. Only the ring can cancel such a read. */
bool loop_file_is_for_thread(const struct loop_fd *fd)
{
    struct stat status;
    return fd->is_regular && (!fd->reads_wait || (loop_kernel_fstat(fd->number, &status) == 0 && status.st_size > 0));
}

bool loop_attempt_is_final(const struct loop_job *job)
{
    const struct try_row *row = &tries[job->op];
    return row->is_final && row->is_final(job);
}
