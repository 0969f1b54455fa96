/* SPDX-License-Identifier: ISC
 *
 * The end of a ring that cannot be used any more, because a completion was lost or io_uring_enter fails. Everything in
 * flight is cancelled, completions are handled for as long as the ring can be entered, and then the ring is closed. The
 * kernel continues operations that cannot be cancelled, such as writes to a disk. Their memory must stay until it is
 * done. To learn when, the write end of a pipe is registered with the ring. The pipe hangs up when the kernel frees the
 * ring, after the last operation.
 */
#include <loop/backend/broken.h>
#include <loop/backend/uring/broken.h>
#include <loop/backend/uring/buffers.h>
#include <loop/backend/uring/events.h>
#include <loop/backend/uring/iopoll/iopoll.h>
#include <loop/backend/uring/receiver.h>
#include <loop/backend/uring/ring.h>
#include <loop/backend/uring/setup.h>
#include <loop/backend/uring/watch.h>
#include <loop/core/backend.h>
#include <loop/core/close.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/number.h>
#include <loop/ground/clock.h>
#include <loop/ground/list.h>
#include <loop/kernel/file.h>
#include <loop/kernel/ring.h>
#include <loop/syscall/buffers.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* How long to wait for the completions of what was cancelled: each time, how often without a completion, in total. */
#define QUIET_NS (10 * LOOP_MILLISECOND)
#define QUIET_MOST 5u
#define REST_MOST_NS LOOP_SECOND

/* ---- the log ---- */

static const char *cause_of(int error)
{
    switch (error) {
    case -EBADR: return "the kernel had no memory for a completion and lost it; see the memory limit of the container";
    case -EPERM:
    case -EACCES:
    case -ENOSYS: return "a filter forbids it now; allow io_uring_enter in the seccomp profile";
    case -EBADF:
    case -EOPNOTSUPP:
    case -ENXIO: return "the ring's descriptor was closed; let the program close only what it has opened";
    case -EEXIST: return "another thread or process entered it; run a loop of its own there";
    case -EOWNERDEAD: return "the kernel's submitting thread has ended; leave out polling_timeout_ms";
    default: return "the kernel does not take it; LOOP_BACKEND=epoll does without";
    }
}

void loop_uring_tell_broken(const struct loop_uring *uring, int error)
{
    loop_log_options(&uring->loop->options, LOOP_LOG_ERROR, "the loop ends: io_uring_enter failed (%s): %s",
                     strerror(-error), cause_of(error));
}

/* ---- what has not been submitted ---- */

/* Returns the job of an entry, or NULL when it is not that of a job. */
static struct loop_job *job_of(const struct loop *loop, uint64_t user_data)
{
    switch (loop_uring_tag_of(user_data)) {
    case LOOP_URING_TAG_JOB: return loop_job_find(loop, loop_uring_id_of(user_data));
    case LOOP_URING_TAG_TRANSFER: return loop_uring_transfer_of(user_data);
    default: return NULL;
    }
}

/* Cancels the job, or the poll, of an entry that was not submitted. The entry becomes a nop. */
static void take_back(struct loop_uring *uring, struct io_uring_sqe *entry)
{
    struct loop *loop = uring->loop;
    uint64_t user_data = entry->user_data;
    enum loop_uring_tag tag = loop_uring_tag_of(user_data);
    *entry = (struct io_uring_sqe){.opcode = IORING_OP_NOP,
                                   .flags = IOSQE_CQE_SKIP_SUCCESS,
                                   .user_data = loop_uring_user_data(LOOP_URING_TAG_IGNORED, 0)};
    struct loop_job *job = job_of(loop, user_data);
    assert(job || tag != LOOP_URING_TAG_JOB);
    if (job) {
        loop_uring_leave(uring, job);
        job->is_polled = false;
        job->where = LOOP_AT_OWNER;
        loop_job_backend_complete(loop, job, -ECANCELED);
    } else if (tag != LOOP_URING_TAG_IGNORED) {
        loop_uring_unarm(uring, loop_uring_fd_of(user_data, tag),
                         (enum loop_uring_watch_kind)(tag - LOOP_URING_TAG_WATCH_IN));
    }
}

/* Takes back all entries that were not submitted. Skipped with a submitting kernel thread, which may take entries at
 * any time. */
static void take_back_entries(struct loop_uring *uring)
{
    uint32_t head = __atomic_load_n(uring->sq_head, __ATOMIC_ACQUIRE);
    if (uring->is_polled) {
        return;
    }
    for (uint32_t at = head; at != uring->sq_tail; at++) {
        take_back(uring, &uring->entries[at & uring->sq_mask]);
    }
}

/* Empties the line. The program's jobs in it have been cancelled; cancels and jobs of the loop's own are left. */
static void empty_line(struct loop_uring *uring)
{
    struct loop_list *node;
    while ((node = loop_list_pop_front(&uring->line))) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (job->needs_cancel_entry) {
            job->needs_cancel_entry = false;
        } else {
            loop_job_backend_complete(uring->loop, job, uring->loop->broken.error);
        }
    }
}

/* ---- what the kernel has ---- */

static void cancel_all(struct loop_uring *uring)
{
    struct io_uring_sync_cancel_reg request = {.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
                                               .timeout = {.tv_nsec = QUIET_NS}};
    (void)loop_kernel_io_uring_register_sync_cancel(&uring->ring, &request);
}

/* Whether the ring can be entered again after such a result of io_uring_enter. */
static bool can_be_entered(int result)
{
    return result >= 0 || result == -EINTR || result == -ETIME || result == -EBADR;
}

/* Handles completions until nothing is in flight, none come any more, or the ring cannot be entered. */
static void hear_the_rest(struct loop_uring *uring)
{
    int64_t last_ns = loop_clock_read() + REST_MOST_NS;
    unsigned quiet = 0;
    int result = 0;
    while (uring->in_flight > 0 && quiet < QUIET_MOST && can_be_entered(result) && loop_clock_read() < last_ns) {
        result = loop_uring_enter(uring, 1, QUIET_NS);
        quiet = loop_uring_completions_ready(uring) > 0 ? 0 : quiet + 1;
        loop_uring_dispatch(uring);
    }
}

/* Handles completions of the ring that polls devices, as hear_the_rest does. */
static void hear_the_devices(struct loop_uring *iopoll)
{
    int64_t last_ns = loop_clock_read() + QUIET_MOST * QUIET_NS;
    while (iopoll->in_flight > 0 && loop_uring_iopoll_turn(iopoll) == 0 && loop_clock_read() < last_ns) {
    }
}

/* ---- closing ---- */

static uint32_t in_flight(const struct loop_uring *uring)
{
    return uring ? uring->in_flight : 0;
}

/* Creates a pipe whose write end only the rings with operations keep open. Returns the read end, or -errno. */
static int register_release(struct loop_uring *uring)
{
    int ends[2];
    if (loop_kernel_pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
        return -errno;
    }
    struct loop_uring *const rings[] = {uring, uring->iopoll};
    int error = 0;
    for (size_t i = 0; i < 2 && !error; i++) {
        error = in_flight(rings[i]) > 0 ? loop_kernel_io_uring_register_files(&rings[i]->ring, &ends[1], 1) : 0;
    }
    loop_kernel_close(ends[1]);
    if (error) {
        loop_kernel_close(ends[0]);
        return error;
    }
    return ends[0];
}

/* Keeps the memory of operations that the kernel still has. Aborts the program when it cannot learn when they are done:
 * memory that is used again while the kernel writes to it would be worse. */
static void keep_jobs(struct loop_uring *uring)
{
    struct loop_broken *broken = &uring->loop->broken;
    broken->released = register_release(uring);
    if (broken->released < 0) {
        loop_log_options(
            &uring->loop->options, LOOP_LOG_ERROR,
            "the kernel still has memory of %u operations, and it can't be known when it lets go of it (%s): the "
            "program is stopped",
            in_flight(uring) + in_flight(uring->iopoll), strerror(-broken->released));
        abort();
    }
    broken->has_jobs = true;
}

static bool is_not_ours(int error)
{
    return error == -EBADF || error == -EOPNOTSUPP;
}

/* A host polls a duplicate of the ring, which keeps the ring from being freed. Lets its number name an empty epoll set
 * from now on, so that no other file gets it while the host polls it. */
static void take_from_host(struct loop *loop)
{
    if (loop->is_hosted && loop_kernel_dup3(loop->probe, loop->host_number, O_CLOEXEC) < 0) {
        loop_kernel_close(loop->host_number);
        loop->host_number = -EBADF;
    }
}

static void take_down_ring(struct loop_uring *uring, bool is_ours)
{
    uring->in_flight = 0;
    if (!is_ours) {
        uring->ring.ring_fd = -1; /* the number names another file now */
    }
    loop_uring_unmap(uring);
    uring->is_gone = true;
}

/* Ends everything in flight and closes the rings. Only jobs that the kernel could not cancel are left. */
static void take_down(struct loop_uring *uring)
{
    struct loop *loop = uring->loop;
    struct loop_uring *iopoll = uring->iopoll;
    bool is_lost = is_not_ours(loop->broken.error);
    take_back_entries(uring);
    cancel_all(uring);
    hear_the_rest(uring);
    empty_line(uring);
    if (iopoll) {
        take_back_entries(iopoll);
        empty_line(iopoll);
        hear_the_devices(iopoll);
    }
    loop_number_each(loop, loop_uring_forget_watches);
    if (in_flight(uring) + in_flight(iopoll) > 0) {
        keep_jobs(uring);
    }
    take_from_host(loop);
    take_down_ring(uring, !is_lost || uring->is_iopoll_broken);
    if (iopoll) {
        take_down_ring(iopoll, !is_lost || !uring->is_iopoll_broken);
    }
}

static int run(struct loop *loop)
{
    if (!loop_uring_of(loop)->is_gone) {
        take_down(loop_uring_of(loop));
    }
    loop_broken_turns(loop);
    return 0;
}

static int turn(struct loop *loop)
{
    if (!loop_uring_of(loop)->is_gone) {
        take_down(loop_uring_of(loop));
    }
    return loop_broken_turn(loop);
}

/* Nothing is submitted any more: system calls send. */
static bool refuse_send(struct loop *loop, struct loop_job *job, struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    (void)loop;
    (void)job;
    (void)fd;
    (void)iov;
    (void)n_iov;
    return false;
}

static void unwatch(struct loop *loop, struct loop_fd *fd)
{
    if (loop_uring_of(loop)->is_gone) {
        loop_fd_unwatched(loop, fd);
    } else {
        loop_uring_unwatch(loop, fd);
    }
}

const struct loop_backend_ops loop_uring_broken = {
    .name = "io_uring",
    .finish = loop_uring_finish,
    .start = loop_broken_start,
    .cancel = loop_broken_cancel,
    .watch = loop_broken_watch,
    .unwatch = unwatch,
    .send = refuse_send,
    .release = loop_uring_receiver_release,
    .is_scarce = loop_uring_receiver_is_scarce,
    .run = run,
    .turn = turn,
    .time_to_turn = loop_broken_time_to_turn,
    .has_events = loop_broken_has_events,
    .buffers_init = loop_direct_buffers_init,
    .buffers_finish = loop_uring_buffers_finish,
    .buffers_recycle = loop_uring_buffers_recycle,
};
