/* SPDX-License-Identifier: ISC
 *
 * What comes of a job in the ring where it isn't plain success: errors of the operation, errors of the ring, which the
 * program must not see, and the jobs that complete many times.
 *
 * The ring refuses an operation with the errors that the operation itself may have (EINVAL, EACCES, …). Which of the
 * two it was only the system call can tell, so the job is done again by that, and its answer is the result. Where the
 * system call then succeeds it was the ring that refused, and the operation isn't asked of it any more.
 */
#include <loop/direct.h>
#include <loop/request.h>
#include <loop/unread.h>
#include <loop/uring.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- by system calls ---- */

void loop_uring_start_elsewhere(struct loop_uring *uring, struct loop_job *job)
{
    if (!(loop_uring_foreign_ops() >> job->op & 1)) {
        uring->loop->stats.served_otherwise++;
    }
    job->is_otherwise = true;
    loop_direct_start(uring->loop, job);
}

/* What is put in place of the continuation of a job that was refused, to see what the system call says. */
struct trial {
    struct loop_uring *uring;
    loop_fn *fn;
    void *arg;
    uint8_t op;
};

static void end_trial(void *arg, int64_t result)
{
    struct trial trial = *(struct trial *)arg;
    free(arg);
    if (result >= 0) {
        trial.uring->elsewhere |= UINT32_C(1) << trial.op;
        trial.uring->loop->stats.served_otherwise++;
    }
    trial.fn(trial.arg, result);
}

/* Without a continuation, or memory, nothing is learned. */
static void begin_trial(struct loop_uring *uring, struct loop_job *job)
{
    struct trial *trial = job->fn && !job->is_stream ? malloc(sizeof *trial) : NULL;
    if (trial) {
        *trial = (struct trial){uring, job->fn, job->arg, job->op};
        job->fn = end_trial;
        job->arg = trial;
    }
}

/* ---- errors ---- */

/* The kernel's own codes for an interrupted call, which leak when a job is cancelled on one of its threads. */
#define FIRST_INTERNAL_ERROR 512
#define LAST_INTERNAL_ERROR 516

static int32_t without_internals(int32_t result)
{
    bool is_internal = result <= -FIRST_INTERNAL_ERROR && result >= -LAST_INTERNAL_ERROR;
    return is_internal || result == -EINTR ? -ECANCELED : result;
}

static bool is_refusal(int32_t error)
{
    return error == -EINVAL || error == -EOPNOTSUPP || error == -ENOSYS || error == -EACCES;
}

/* -ECANCELED where nobody cancelled: the kernel could make no thread for the job. -EAGAIN: kernels before 6.4 don't
 * wait on every nonblocking descriptor. For an open it means a rename in the path, or a lease. */
static bool is_for_system_call(const struct loop_job *job, int32_t error)
{
    if (error != -EAGAIN) {
        return error == -ECANCELED;
    }
    if (job->op == LOOP_OP_OPENAT2) {
        return !(((const struct loop_open_request *)job->u.args.extra)->how.resolve & RESOLVE_CACHED);
    }
    bool is_socket_call = job->op >= LOOP_OP_RECV && job->op <= LOOP_OP_RECV_MSG;
    return job->op != LOOP_OP_CONNECT && !(is_socket_call && job->u.args.flags & MSG_DONTWAIT);
}

static void fail(struct loop_uring *uring, struct loop_job *job, int32_t error)
{
    if (!job->is_cancelled && (is_refusal(error) || is_for_system_call(job, error))) {
        if (is_refusal(error)) {
            begin_trial(uring, job);
        }
        loop_uring_go_on_elsewhere(uring->loop, job);
    } else {
        loop_uring_drop_turn(uring->loop, job);
        loop_job_backend_done(uring->loop, job, error);
    }
}

/* ---- results that are looked at ---- */

/* The kernel also reports that the peer has shut down its side, asked or not, and POLLPRI for whatever has come to a
 * socket: poll(2) tells whether that is so. Where nothing is left of the events the poll isn't over; armed again it
 * would end at once, so that it goes on by the descriptor's watch. */
static void end_poll(struct loop_uring *uring, struct loop_job *job, int32_t events)
{
    int32_t asked = events & (int32_t)(job->u.args.flags | POLLERR | POLLHUP | POLLNVAL);
    if (asked & POLLPRI && loop_fd_reads_by(job->fd) == LOOP_IO_SOCKET) {
        int64_t now = loop_attempt(job, false);
        asked &= now > 0 ? (int32_t)now | ~POLLPRI : ~POLLPRI;
    }
    if (asked || job->is_cancelled) {
        loop_uring_drop_turn(uring->loop, job);
        loop_job_backend_done(uring->loop, job, asked ? asked : -ECANCELED);
    } else {
        loop_uring_go_on_elsewhere(uring->loop, job);
    }
}

static void end_open(struct loop_job *job, int32_t result)
{
    struct loop_open_request *request = job->u.args.extra;
    if (job->u.args.flags != LOOP_URING_OPEN_NONBLOCK) {
        return;
    }
    job->u.args.flags = 0;
    request->how.flags &= ~(uint64_t)O_NONBLOCK;
    if (result >= 0) {
        (void)fcntl(result, F_SETFL, fcntl(result, F_GETFL) & ~O_NONBLOCK);
    }
}

static size_t asked_for(const struct loop_job *job)
{
    const struct iovec *iov = job->u.args.data;
    size_t total = 0;
    if (job->op != LOOP_OP_READV && job->op != LOOP_OP_WRITEV) {
        return job->u.args.len;
    }
    for (size_t i = 0; i < job->u.args.len; i++) {
        total += iov[i].iov_len;
    }
    return total;
}

/* The kernel goes on after a short read or write of a file. When that gives an error, such as that of a full disk, it
 * tells what was moved before, but doesn't move the file's position. */
static void correct_position(const struct loop_job *job, int32_t result)
{
    int64_t before = job->u.args.second_offset;
    if (job->u.args.offset == LOOP_CURRENT && before >= 0 && result > 0 && (size_t)result < asked_for(job)) {
        (void)lseek(job->fd->number, before + result, SEEK_SET);
    }
}

void loop_uring_result(struct loop_uring *uring, struct loop_job *job, int32_t result)
{
    if (job->op == LOOP_OP_OPENAT2) {
        end_open(job, result);
    } else if (loop_op_table[job->op].op_class == LOOP_CLASS_MOVE) {
        correct_position(job, result);
    }
    if (result < 0) {
        fail(uring, job, without_internals(result));
    } else if (job->op == LOOP_OP_POLL) {
        end_poll(uring, job, result);
    } else {
        loop_job_backend_done(uring->loop, job, result);
    }
}

/* ---- groups of provided buffers ---- */

static size_t ring_bytes(const struct loop_buffers *buffers)
{
    return buffers->count * sizeof(struct io_uring_buf);
}

static void give_to_kernel(struct loop_buffers *buffers, unsigned index)
{
    char *data = buffers->memory + index * buffers->size_bytes;
    io_uring_buf_ring_add(buffers->ring, data, (unsigned)buffers->size_bytes, (uint16_t)index,
                          io_uring_buf_ring_mask(buffers->count), 0);
    io_uring_buf_ring_advance(buffers->ring, 1);
}

/* The number of a group that has ended is free again; with 65536 of them one is found quickly. */
static int register_group(struct loop_uring *uring, struct loop_buffers *buffers, void *ring)
{
    int error;
    do {
        struct io_uring_buf_reg reg = {
            .ring_addr = (uint64_t)(uintptr_t)ring, .ring_entries = buffers->count, .bgid = ++uring->last_group};
        error = io_uring_register_buf_ring(&uring->ring, &reg, 0);
    } while (error == -EEXIST);
    return error;
}

static void *make_ring(struct loop_uring *uring, struct loop_buffers *buffers)
{
    void *ring = mmap(NULL, ring_bytes(buffers), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(ring, ring_bytes(buffers), MADV_WIPEONFORK); /* the pages are the kernel's: no fork may copy them */
    if (register_group(uring, buffers, ring)) {
        munmap(ring, ring_bytes(buffers));
        return NULL;
    }
    return ring;
}

static void unmake_ring(struct loop_uring *uring, struct loop_buffers *buffers)
{
    if (buffers->ring) {
        if (!uring->is_gone) {
            (void)io_uring_unregister_buf_ring(&uring->ring, buffers->group_id);
        }
        munmap(buffers->ring, ring_bytes(buffers));
        buffers->ring = NULL;
    }
}

/* Where the kernel takes no rings of buffers the group is a stack, for system calls. */
int loop_uring_buffers_init(struct loop *loop, struct loop_buffers *buffers)
{
    struct loop_uring *uring = loop_uring_of(loop);
    bool is_refused = uring->elsewhere >> LOOP_OP_RECV_MULTISHOT & 1;
    buffers->ring = is_refused ? NULL : make_ring(uring, buffers);
    if (!buffers->ring) {
        return loop_direct_buffers_init(loop, buffers);
    }
    buffers->group_id = uring->last_group;
    buffers->n_free = buffers->count;
    for (unsigned i = 0; i < buffers->count; i++) {
        give_to_kernel(buffers, i);
    }
    return 0;
}

void loop_uring_buffers_finish(struct loop *loop, struct loop_buffers *buffers)
{
    unmake_ring(loop_uring_of(loop), buffers);
    loop_direct_buffers_finish(loop, buffers);
}

void loop_uring_buffers_recycle(struct loop *loop, struct loop_buffers *buffers, unsigned index)
{
    if (!buffers->ring) {
        loop_direct_buffers_recycle(loop, buffers, index);
        return;
    }
    buffers->is_lent[index] = false;
    buffers->n_free++;
    give_to_kernel(buffers, index);
}

/* ---- multishot jobs ---- */

/* In args.flags of a recv_multishot. */
enum receive_flags {
    RECEIVE_FAMILY_IS_KNOWN = 1,
    RECEIVE_IS_UNIX = 2,
    RECEIVE_HAS_ENDED = 4 /* nothing is left but the end; the kernel was asked to let go */
};

static bool is_unix(struct loop_job *job)
{
    uint32_t *flags = &job->u.args.flags;
    if (!(*flags & RECEIVE_FAMILY_IS_KNOWN)) {
        int family = 0;
        socklen_t len = sizeof family;
        (void)getsockopt(job->fd->number, SOL_SOCKET, SO_DOMAIN, &family, &len);
        *flags |= RECEIVE_FAMILY_IS_KNOWN | (family == AF_UNIX ? RECEIVE_IS_UNIX : 0u);
    }
    return *flags & RECEIVE_IS_UNIX;
}

/* Since Linux 6.17 a multishot receive stops trying where a Unix socket says that nothing is queued, and waits for the
 * next edge. When the peer had hung up before, the end has no edge any more, and would never be told. */
static void look_for_lost_end(struct loop_uring *uring, struct loop_job *job, uint32_t flags)
{
    char byte;
    if (flags & IORING_CQE_F_SOCK_NONEMPTY || job->is_cancelled || job->u.args.flags & RECEIVE_HAS_ENDED ||
        !is_unix(job)) {
        return;
    }
    if (recv(job->fd->number, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        job->u.args.flags |= RECEIVE_HAS_ENDED;
        loop_uring_cancel(uring, job);
    }
}

static void receive(struct loop_uring *uring, struct loop_job *job, int32_t result, uint32_t flags)
{
    struct loop_buffers *buffers = job->u.args.data;
    unsigned index = flags >> IORING_CQE_BUFFER_SHIFT;
    assert(flags & IORING_CQE_F_BUFFER && index < buffers->count && !buffers->is_lent[index]);
    buffers->is_lent[index] = true;
    buffers->n_free--;
    loop_job_emit(uring->loop, job, result, buffers->memory + index * buffers->size_bytes);
    if (flags & IORING_CQE_F_MORE) {
        look_for_lost_end(uring, job, flags);
    }
}

static void deliver(struct loop_uring *uring, struct loop_job *job, int32_t result, uint32_t flags)
{
    if (job->op == LOOP_OP_ACCEPT_MULTISHOT) {
        loop_job_emit(uring->loop, job, result, NULL);
    } else {
        receive(uring, job, result, flags);
    }
}

/* Whether the descriptor itself is why the operation was refused. A call that takes nothing tells. */
static bool is_own_error(const struct loop_job *job, int32_t error)
{
    if (job->op == LOOP_OP_ACCEPT_MULTISHOT) {
        int is_listening = 0;
        socklen_t len = sizeof is_listening;
        return getsockopt(job->fd->number, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) || !is_listening;
    }
    char byte;
    return recv(job->fd->number, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == -error;
}

/* A group that the ring has is taken back from it, to be a stack. */
static int take_group_back(struct loop_uring *uring, const struct loop_job *job)
{
    if (job->op != LOOP_OP_RECV_MULTISHOT) {
        return 0;
    }
    unmake_ring(uring, job->u.args.data);
    return loop_direct_buffers_init(uring->loop, job->u.args.data);
}

/* -EBADFD: the descriptor can't be polled, and so is no socket. */
static int32_t as_of_system_call(const struct loop_job *job, int32_t result)
{
    if (result == -ECANCELED && job->op == LOOP_OP_RECV_MULTISHOT && job->u.args.flags & RECEIVE_HAS_ENDED) {
        return 0;
    }
    return result == -EBADFD ? -ENOTSOCK : result;
}

/* Bytes have been given back to the descriptor, for which the receive was called back, if it hasn't just come to the
 * end. By readiness it delivers them, and then returns to the ring. */
static bool has_bytes_first(const struct loop_job *job, int32_t result)
{
    return (result == -ECANCELED || result == 0) && !job->is_cancelled && loop_fd_has_unread(job->fd);
}

static void end_multishot(struct loop_uring *uring, struct loop_job *job, int32_t result)
{
    result = as_of_system_call(job, without_internals(result));
    if (has_bytes_first(job, result)) {
        loop_uring_go_on_elsewhere(uring->loop, job);
        return;
    }
    loop_uring_drop_turn(uring->loop, job);
    if (!job->is_cancelled && is_refusal(result) && !is_own_error(job, result) && !take_group_back(uring, job)) {
        uring->elsewhere |= UINT32_C(1) << job->op;
        loop_uring_start_elsewhere(uring, job);
    } else {
        loop_job_backend_done(uring->loop, job, result);
    }
}

/* The kernel may end a multishot job with good news, when the completion queue overflows for one: it goes on then. */
void loop_uring_multishot_event(struct loop_uring *uring, struct loop_job *job, int32_t result, uint32_t flags)
{
    bool has_data = job->op == LOOP_OP_ACCEPT_MULTISHOT ? result >= 0 : result > 0;
    if (has_data) {
        deliver(uring, job, result, flags);
    } else if (flags & IORING_CQE_F_BUFFER && ((struct loop_buffers *)job->u.args.data)->ring) {
        give_to_kernel(job->u.args.data, flags >> IORING_CQE_BUFFER_SHIFT);
    }
    if (flags & IORING_CQE_F_MORE) {
        return;
    }
    loop_uring_leave(uring, job);
    if (has_data && job->is_cancelled) {
        loop_uring_drop_turn(uring->loop, job);
    }
    if (!has_data) {
        end_multishot(uring, job, result);
    } else if (job->is_cancelled) {
        loop_job_backend_done(uring->loop, job, -ECANCELED);
    } else {
        loop_uring_place(uring, job);
    }
}
