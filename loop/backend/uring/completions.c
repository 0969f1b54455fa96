/* SPDX-License-Identifier: ISC
 *
 * The bytes of flows by completions.
 *
 * Input. While a job that takes all bytes that come is the first reader of a stream socket, a multishot receive takes
 * the place of its poll for input. What it receives becomes unread bytes of the descriptor, so that all that reads it
 * gets them in their order. Nothing else reads the socket meanwhile: the descriptor is_receiving, from the entry that
 * arms the receive to its last completion.
 *
 * The receive is cancelled when another job reads, or none: such a job may leave bytes to others. It ends by itself
 * when no buffer is free. Then a poll takes its place, and system calls read. A flow whose receives fill their buffers
 * and leave more in the socket gets large buffers, until it does not need them any more.
 *
 * A job that reads into the program's buffer, and no more than that, gets a receive of its own. Nothing else reads the
 * socket, or the pipe, until that has ended: the descriptor is_reading.
 *
 * Output. All sends of a turn are submitted by one system call. A send does not wait for room: without it the job waits
 * for an event, as after a system call. So a send has ended when the kernel has been entered, and is never cancelled.
 */
#include <loop/backend/uring/completions.h>
#include <loop/backend/uring/order.h>
#include <loop/backend/uring/receiver.h>
#include <loop/backend/uring/result.h>
#include <loop/backend/uring/ring.h>
#include <loop/backend/uring/watch.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/core/unread.h>
#include <loop/ground/hard.h>
#include <loop/ground/list.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

/* After so many receives in a row that would have fitted into a small buffer a flow gets small ones. */
#define SMALL_RECEIVES 16

/* The most sends of several vectors between two submissions. */
#define GATHERED_MOST 32u

/* ---- which way ---- */

/* Whether flows are to go by completions now. In the hard mode the answer is another one at every step. */
static bool prefers_completions(struct loop_uring *uring)
{
    if (loop_hard()->switches_ways) {
        uring->noise = uring->noise * 1103515245u + 12345u;
        return uring->loop->prefers_completions && uring->noise >> 16 & 1;
    }
    return uring->loop->prefers_completions;
}

/* Returns the first of the jobs that read, or NULL. */
static struct loop_job *first_reader(const struct loop_fd *fd)
{
    return loop_line_is_empty(&fd->readers) ? NULL
                                            : LOOP_CONTAINER(loop_line_first(&fd->readers), struct loop_job, link);
}

/* Whether reads and writes with this enum loop_io can be the ring's. */
static bool is_served(const struct loop_uring *uring, uint8_t by)
{
    return by == LOOP_IO_SOCKET || (by == LOOP_IO_NONBLOCKING && !uring->refuses_pipes);
}

/* Whether the ring may read the descriptor. After a hang-up, or with an urgent mark, it does not. */
static bool may_be_read(struct loop_uring *uring, const struct loop_fd *fd)
{
    return prefers_completions(uring) && fd->is_byte_stream && fd->state == LOOP_FD_OPEN &&
           !(fd->doubts & LOOP_DOUBT_ALWAYS) && !loop_fd_has_turn_taken(fd, LOOP_TURN_RECEIVE) &&
           is_served(uring, fd->read_by);
}

/* Fills in an entry that reads into the buffer. It waits for bytes where a call would not have got any. */
static void prepare_read(struct io_uring_sqe *entry, const struct loop_fd *fd, struct iovec room)
{
    size_t len = loop_hard_length(room.iov_len);
    unsigned most = len < INT_MAX ? (unsigned)len : INT_MAX;
    if (fd->read_by == LOOP_IO_SOCKET) {
        io_uring_prep_recv(entry, fd->number, room.iov_base, most, 0);
        if (!fd->may_have_more) {
            entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
        }
    } else {
        io_uring_prep_read(entry, fd->number, room.iov_base, most, (uint64_t)-1);
    }
}

/* Has the ring read for the first job that waits, where it can. Returns whether it does. */
static bool begin_read(struct loop_uring *uring, struct loop_fd *fd, struct loop_job *job)
{
    struct iovec room = loop_list_is_empty(&uring->line) ? job->kind->room(job) : (struct iovec){NULL, 0};
    struct io_uring_sqe *entry = room.iov_len > 0 ? loop_uring_entry(uring) : NULL;
    if (!entry) {
        return false;
    }
    prepare_read(entry, fd, room);
    entry->user_data = loop_uring_transfer_data(job);
    uring->in_flight++;
    loop_fd_take_turn(fd, LOOP_TURN_RECEIVE); /* low-level receives wait behind it */
    loop_ready_begin_read(fd, job);
    uring->loop->stats.ring_reads++;
    return true;
}

static bool is_armed(const struct loop_fd *fd, enum loop_uring_watch_kind kind)
{
    return fd->backend_id & LOOP_URING_ARMED(kind);
}

/* Has the ring receive for the first job that waits, which takes all bytes, where it can. Returns whether it does. */
__attribute__((noinline)) static bool begin_receive(struct loop_uring *uring, struct loop_fd *fd)
{
    bool is_refused = fd->read_by != LOOP_IO_SOCKET && uring->refuses_pipe_streams;
    if (is_refused || !loop_uring_receiver_is_ready(uring, fd->is_bulk)) {
        return false;
    }
    loop_unread_begin_receiving(fd);
    fd->receives_large = fd->is_bulk;
    fd->small_receives = 0;
    fd->watched &= (uint8_t)~POLLIN; /* so that loop_uring_receive_or_watch is called for each job that reads */
    loop_uring_arm(uring, fd, LOOP_URING_RECEIVE);
    if (loop_fd_reads_by(fd) == LOOP_IO_SOCKET && !is_armed(fd, LOOP_URING_WATCH_HANGUP)) {
        loop_uring_arm(uring, fd, LOOP_URING_WATCH_HANGUP);
    }
    return true;
}

/* Has the ring receive or read for the first of the jobs that wait, where it can. Returns whether it does. */
static bool begin(struct loop_uring *uring, struct loop_fd *fd)
{
    struct loop_job *job = first_reader(fd);
    if (!job || !may_be_read(uring, fd)) {
        return false;
    }
    return job->kind->reads_ahead ? begin_receive(uring, fd) : job->kind->room && begin_read(uring, fd, job);
}

/* Notes that the kernel receives no more. */
static void end(struct loop_fd *fd)
{
    fd->backend_id &= ~LOOP_URING_STOPPING;
    loop_unread_end_receiving(fd);
}

static void stop(struct loop_uring *uring, struct loop_fd *fd)
{
    if (fd->backend_id & (LOOP_URING_STOPPING | LOOP_URING_LETTING_GO)) {
        return;
    }
    loop_uring_disarm(uring, fd, LOOP_URING_RECEIVE);
    if (is_armed(fd, LOOP_URING_RECEIVE)) {
        fd->backend_id |= LOOP_URING_STOPPING;
        return;
    }
    end(fd); /* the entry had not been filled in: no completion comes */
    if (!loop_line_is_empty(&fd->readers)) {
        loop_ready_activate(uring->loop, fd);
    }
}

void loop_uring_weigh_inputs(struct loop_uring *uring)
{
    struct loop_uring_inputs *inputs = &uring->inputs;
    inputs->average += inputs->n - inputs->average / 16;
    inputs->n = 0;
    uring->loop->prefers_completions =
        inputs->average >= (uring->loop->prefers_completions ? inputs->enough / 2 : inputs->enough);
}

/* Whether input needs no poll: the ring has the input of the descriptor, or has it from now on. */
static bool has_input(struct loop_uring *uring, struct loop_fd *fd)
{
    if (fd->is_receiving) {
        if (!loop_ready_reads_ahead(fd)) {
            stop(uring, fd);
        }
        return fd->is_receiving;
    }
    return fd->is_reading ? !loop_fd_has_pollers(fd) : !(fd->watched & POLLIN) && begin(uring, fd);
}

int loop_uring_receive_or_watch(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if (events & POLLIN && has_input(loop_uring_of(loop), fd)) {
        events &= ~(uint32_t)POLLIN;
    }
    return events ? loop_uring_watch(loop, fd, events) : 0;
}

/* ---- completions ---- */

bool loop_uring_has_hung_up(const struct loop_fd *fd)
{
    bool is_tcp = fd->is_byte_stream && !fd->is_unix;
    struct pollfd entry = {.fd = fd->number, .events = is_tcp ? 0 : POLLRDHUP}; /* POLLERR and POLLHUP always */
    return loop_kernel_poll(&entry, 1, 0) > 0;
}

/* Ends a receive whose end would be lost. Since Linux 6.17 a multishot receive waits for the next edge as soon as the
 * socket has nothing queued. If the peer of a Unix socket hung up before that, or that of a TCP socket reset it, no
 * edge follows. What is left is read by calls. */
static void look_for_lost_end(struct loop_uring *uring, struct loop_fd *fd)
{
    if (fd->is_receiving && fd->doubts & LOOP_DOUBT_ALWAYS && fd->state == LOOP_FD_OPEN && loop_uring_has_hung_up(fd)) {
        stop(uring, fd);
    }
}

/* Puts what was received behind the unread bytes. */
static void keep(struct loop_uring *uring, struct loop_fd *fd, int32_t result, uint32_t flags)
{
    struct loop_uring_receiver *receiver = loop_uring_receiver_of(uring, fd->receives_large);
    struct loop_block *block = loop_uring_receiver_take(uring->loop, receiver, flags >> IORING_CQE_BUFFER_SHIFT,
                                                        result > 0 ? (size_t)result : 0);
    if (result > 0) {
        loop_unread_append(fd, block);
    } else {
        loop_uring_receiver_release(uring->loop, block);
    }
}

/* Handles the last completion. An error that is the ring's is not kept: the system call that follows has the socket's
 * own. */
static void end_with(struct loop_uring *uring, struct loop_fd *fd, int32_t result)
{
    end(fd);
    result = loop_uring_without_internals(result);
    if (result == -ENOBUFS) {
        loop_uring_receiver_of(uring, fd->receives_large)->was_empty = true;
    } else if (loop_fd_reads_by(fd) != LOOP_IO_SOCKET && (loop_uring_is_refusal(result) || result == -EAGAIN)) {
        uring->refuses_pipe_streams = true;
    } else if (loop_uring_is_refusal(result)) {
        loop_uring_refuse_completions(uring);
    } else if (result < 0 && result != -ECANCELED) {
        loop_unread_keep_error(uring->loop, fd, result);
    }
}

/* Whether the receive has left bytes behind. The ring does not tell of a pipe: a full buffer does. */
static bool is_rest_left(const struct loop_uring *uring, const struct loop_fd *fd, int32_t result, uint32_t flags)
{
    bool is_full = result == (int32_t)loop_uring_receiver_of(uring, fd->receives_large)->slot_bytes;
    return flags & IORING_CQE_F_SOCK_NONEMPTY || (is_full && loop_fd_reads_by(fd) != LOOP_IO_SOCKET);
}

/* Chooses the buffers for the next receive of a flow that has received `result` bytes. With small ones it keeps them
 * unless bytes were left. */
static void choose_size(const struct loop_uring *uring, struct loop_fd *fd, int32_t result, bool has_more)
{
    int32_t small_bytes = (int32_t)loop_uring_receiver_of(uring, false)->slot_bytes;
    if (fd->backend_id & LOOP_URING_STOPPING) {
        return; /* chosen: what follows is the rest */
    }
    if (!fd->receives_large) {
        fd->is_bulk = has_more && result == small_bytes;
    } else if (result > small_bytes || has_more) {
        fd->small_receives = 0;
    } else if (++fd->small_receives == SMALL_RECEIVES % 16) {
        fd->is_bulk = false;
    }
}

/* Goes on with the receive after the jobs have been tried. */
static void go_on(struct loop_uring *uring, struct loop_fd *fd, int32_t result, uint32_t flags)
{
    bool has_more = is_rest_left(uring, fd, result, flags);
    if (has_more || fd->receives_large) {
        choose_size(uring, fd, result, has_more);
    }
    if (fd->is_bulk != fd->receives_large || !loop_ready_reads_ahead(fd) || !prefers_completions(uring)) {
        stop(uring, fd);
    } else if (!has_more) {
        look_for_lost_end(uring, fd);
    }
}

/* Handles the last completion of a receive. */
__attribute__((noinline)) static void receive_ended(struct loop_uring *uring, struct loop_fd *fd, int32_t result,
                                                    uint32_t flags)
{
    uint64_t id = fd->id;
    end_with(uring, fd, result);
    if (loop_uring_disarmed(uring, fd, LOOP_URING_RECEIVE)) {
        return;
    }
    loop_ready_event(uring->loop, fd, POLLIN);
    fd = loop_fd_find(uring->loop, id); /* the continuation may have destroyed it */
    if (fd) {
        loop_unread_make_room(fd); /* no event will come for what has not been read */
    }
    if (fd && fd->is_receiving) {
        go_on(uring, fd, result, flags); /* another has begun */
    }
}

void loop_uring_received(struct loop_uring *uring, struct loop_fd *fd, int32_t result, uint32_t flags)
{
    assert(fd->is_receiving && is_armed(fd, LOOP_URING_RECEIVE));
    if (flags & IORING_CQE_F_BUFFER) {
        keep(uring, fd, result, flags);
    }
    if (!(flags & IORING_CQE_F_MORE)) {
        receive_ended(uring, fd, result, flags);
    } else if (!(fd->backend_id & LOOP_URING_LETTING_GO)) {
        loop_ready_event(uring->loop, fd, POLLIN);
        if (fd->is_receiving) { /* the object stays until the last completion */
            go_on(uring, fd, result, flags);
        }
    }
}

void loop_uring_receive_after(struct loop_uring *uring, uint64_t id, enum loop_uring_watch_kind kind)
{
    struct loop_fd *fd = loop_fd_find(uring->loop, id); /* a continuation may have destroyed it */
    if (!fd || fd->backend_id & LOOP_URING_LETTING_GO) {
        return;
    }
    if (kind == LOOP_URING_WATCH_HANGUP) {
        look_for_lost_end(uring, fd);
    } else if (kind == LOOP_URING_WATCH_IN && is_armed(fd, kind) && !(fd->ready & POLLIN) && begin(uring, fd)) {
        loop_uring_disarm(uring, fd, kind); /* an event that is still to come finds nothing to read */
    }
}

/* ---- jobs ---- */

/* Returns the result of a job's receive that has failed: -EAGAIN for an error that is the ring's. */
static int32_t read_error(struct loop_uring *uring, const struct loop_fd *fd, int32_t error)
{
    bool is_pipe = loop_fd_reads_by(fd) != LOOP_IO_SOCKET;
    error = loop_uring_without_internals(error);
    if (!loop_uring_is_refusal(error) && !(error == -EAGAIN && is_pipe)) {
        return error;
    }
    is_pipe ? (void)(uring->refuses_pipes = true) : loop_uring_refuse_completions(uring);
    return -EAGAIN;
}

/* Returns the result of a job's send that has failed: -EAGAIN for an error that is the ring's. */
static int32_t send_error(struct loop_uring *uring, const struct loop_job *job, int32_t error)
{
    const struct loop_fd *to = job->kind->uses_args ? job->u.args.second : job->fd;
    if (to->write_by != LOOP_IO_SOCKET && loop_uring_is_refusal(error)) {
        uring->refuses_pipes = true;
        return -EAGAIN;
    }
    return error;
}

__attribute__((noinline)) static int32_t transfer_error(struct loop_uring *uring, const struct loop_job *job,
                                                        int32_t error)
{
    return job->kind->room ? read_error(uring, job->fd, error) : send_error(uring, job, error);
}

void loop_uring_transferred(struct loop_uring *uring, struct loop_job *job, int32_t result)
{
    assert(job->op == LOOP_OP_NONE);
    loop_uring_leave(uring, job);
    if (result < 0) {
        result = transfer_error(uring, job, result);
    }
    if (job->kind->room) {
        loop_uring_pass_turn(uring->loop, job->fd, LOOP_TURN_RECEIVE);
    } else {
        uring->inputs.n--; /* it was counted as input */
    }
    job->kind->transferred(uring->loop, job, result);
}

/* ---- sending ---- */

/* The kernel keeps the order of two sends only if the first has ended. */
static bool may_send(struct loop_uring *uring, const struct loop_fd *fd)
{
    return prefers_completions(uring) && is_served(uring, fd->write_by) && fd->is_byte_stream && !fd->is_sending &&
           !loop_fd_has_turn_taken(fd, LOOP_TURN_SEND) && fd->ready & POLLOUT && !(fd->watched & POLLOUT) &&
           loop_list_is_empty(&uring->line);
}

/* What the kernel reads when an entry with several vectors is submitted. */
struct gathered {
    struct msghdr message;
    struct iovec iov[LOOP_GATHER_MAX];
};

/* Returns room for the vectors of one entry, or NULL. It is free again when the entry has been submitted. */
static struct gathered *room_for_vectors(struct loop_uring *uring)
{
    if (!uring->gathered) {
        uring->gathered = loop_kernel_malloc(GATHERED_MOST * sizeof(struct gathered));
    }
    if (loop_uring_unsubmitted(uring) == 0) {
        uring->n_gathered = 0;
    }
    bool has_room = uring->gathered && uring->n_gathered < GATHERED_MOST;
    return has_room ? (struct gathered *)uring->gathered + uring->n_gathered++ : NULL;
}

static void prepare_send(struct io_uring_sqe *entry, const struct loop_fd *fd, const struct iovec *iov)
{
    unsigned len = iov->iov_len < INT_MAX ? (unsigned)iov->iov_len : INT_MAX;
    if (fd->write_by == LOOP_IO_SOCKET) {
        io_uring_prep_send(entry, fd->number, iov->iov_base, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        io_uring_prep_write(entry, fd->number, iov->iov_base, len, (uint64_t)-1);
        entry->rw_flags = RWF_NOWAIT;
    }
}

static void prepare_gathered(struct io_uring_sqe *entry, const struct loop_fd *fd, struct gathered *gathered,
                             const struct iovec *iov, int n_iov)
{
    memcpy(gathered->iov, iov, (size_t)n_iov * sizeof *iov);
    if (fd->write_by == LOOP_IO_SOCKET) {
        gathered->message = (struct msghdr){.msg_iov = gathered->iov, .msg_iovlen = (size_t)n_iov};
        io_uring_prep_sendmsg(entry, fd->number, &gathered->message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        io_uring_prep_writev(entry, fd->number, gathered->iov, (unsigned)n_iov, (uint64_t)-1);
        entry->rw_flags = RWF_NOWAIT;
    }
}

/* Takes an entry for several vectors and fills it in. Returns NULL without room for either. */
__attribute__((noinline)) static struct io_uring_sqe *gathered_entry(struct loop_uring *uring, const struct loop_fd *fd,
                                                                     const struct iovec *iov, int n_iov)
{
    struct gathered *gathered = room_for_vectors(uring);
    struct io_uring_sqe *entry = gathered ? loop_uring_entry(uring) : NULL;
    if (entry) {
        prepare_gathered(entry, fd, gathered, iov, n_iov);
    }
    return entry;
}

/* The same for one vector. */
static inline struct io_uring_sqe *single_entry(struct loop_uring *uring, const struct loop_fd *fd,
                                                const struct iovec *iov)
{
    struct io_uring_sqe *entry = loop_uring_entry(uring);
    if (entry) {
        prepare_send(entry, fd, iov);
    }
    return entry;
}

bool loop_uring_send(struct loop *loop, struct loop_job *job, struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    struct loop_uring *uring = loop_uring_of(loop);
    assert(job->op == LOOP_OP_NONE && job->kind->transferred && n_iov > 0);
    if (!may_send(uring, fd)) {
        return false;
    }
    struct io_uring_sqe *entry = n_iov == 1 ? single_entry(uring, fd, iov) : gathered_entry(uring, fd, iov, n_iov);
    if (!entry) {
        return false;
    }
    entry->user_data = loop_uring_transfer_data(job);
    uring->in_flight++;
    job->where = LOOP_AT_RING;
    loop_ready_begin_send(fd);
    loop->stats.ring_sends++;
    return true;
}
