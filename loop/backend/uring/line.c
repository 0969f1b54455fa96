/* SPDX-License-Identifier: ISC
 *
 * Starts jobs. A job gets an entry of the ring. It waits in line while the submission queue is full, or while the
 * kernel has an operation on the same descriptor that comes first. Jobs that the ring does not serve, or would serve
 * worse, are started by system calls.
 */
#include <loop/backend/uring/iopoll/iopoll.h>
#include <loop/backend/uring/line.h>
#include <loop/backend/uring/order.h>
#include <loop/backend/uring/prepare.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/ground/list.h>
#include <loop/syscall/attempt.h>
#include <loop/syscall/buffers.h>
#include <loop/syscall/direct.h>

/* ---- by an entry ---- */

static inline void hand_over(struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job, bool is_nop)
{
    if (is_nop) {
        loop_uring_prepare_nop(entry, job);
    } else {
        loop_uring_prepare(uring, entry, job);
    }
    job->where = LOOP_AT_RING;
    uring->in_flight++;
}

/* Places a job that has its turn, or needs none. */
__attribute__((always_inline)) static inline void place(struct loop_uring *uring, struct loop_job *job, bool is_nop)
{
    struct io_uring_sqe *entry = loop_list_is_empty(&uring->line) ? loop_uring_entry(uring) : NULL;
    if (entry) {
        hand_over(uring, entry, job, is_nop);
        return;
    }
    job->where = LOOP_AT_RING_LINE;
    loop_list_push_back(&uring->line, &job->link);
    uring->loop->stats.submit_waits++;
}

void loop_uring_place(struct loop_uring *uring, struct loop_job *job)
{
    if (job->has_turn || loop_uring_take_turn(job)) {
        place(uring, job, false);
    }
}

/* ---- by system calls ---- */

void loop_uring_start_elsewhere(struct loop_uring *uring, struct loop_job *job)
{
    if (loop_uring_serves(job)) {
        uring->loop->stats.served_otherwise++;
    }
    job->is_otherwise = true;
    loop_direct_start(uring->loop, job);
}

/* Whether a recv_multishot receives into a group that the ring does not have. */
static bool lacks_group(const struct loop_job *job)
{
    return loop_op_table[job->op].gets_buffers && !job->u.args.receive.buffers->ring;
}

/* Whether an operation at a file's position is started on the pool. The ring does not keep the order of several writes,
 * and does not move the position of an O_DIRECT file after an operation that it completes later (seen on Linux 6.18).
 * Other operations at the position take turns: order.c. */
static bool file_goes_to_pool(const struct loop_job *job)
{
    const struct loop_fd *fd = job->fd;
    bool is_known_output = loop_op_table[job->op].is_output && fd->is_regular;
    return fd->is_direct || is_known_output || loop_file_is_for_thread(fd);
}

/* Whether the job waits for readiness and is then done by a system call:
 * - Reads of pipes and devices. Kernels before 6.4 block a thread for each, and only readiness tells a fifo that never
 *   had a writer from one at its end.
 * - Reads and polls of a descriptor with unread bytes, which the kernel does not know.
 * - Receives with MSG_WAITALL. The ring loses an error that comes after a part of the bytes.
 * - Accepts on a socket that is shared: loop_fd_share.
 * - Polls of a file. The kernel reports a change once, and several polls may wait for it. */
static bool goes_by_readiness(const struct loop_job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    if (row->op_class == LOOP_CLASS_READ || row->op_class == LOOP_CLASS_POLL) {
        bool waits_for_all = row->is_message && job->u.args.message.flags & MSG_WAITALL;
        bool is_shared = row->is_accept && job->fd->is_shared;
        return waits_for_all || is_shared || loop_fd_reads_kept(job->fd) || !loop_fd_is_stream(job->fd);
    }
    if (row->op_class != LOOP_CLASS_MOVE || job->u.args.move.offset != LOOP_CURRENT) {
        return false;
    }
    uint8_t by = row->is_output ? job->fd->write_by : job->fd->read_by;
    return by == LOOP_IO_BLOCKING ? file_goes_to_pool(job) : by != LOOP_IO_SOCKET;
}

static void start_by_readiness(struct loop *loop, struct loop_job *job)
{
    job->is_otherwise = true;
    loop_direct_start(loop, job);
}

/* ---- what the loop asks ---- */

/* Whether the job is a read or write at an offset, of a file: it takes no turn and waits for nothing. */
static bool is_at_offset(const struct loop_job *job)
{
    return loop_op_table[job->op].op_class == LOOP_CLASS_MOVE && job->u.args.move.offset != LOOP_CURRENT;
}

/* Starts such an operation. */
__attribute__((noinline)) static void start_at_offset(struct loop_uring *uring, struct loop_job *job)
{
    assert(!loop_uring_waits_for_turn(job) && !goes_by_readiness(job) && !loop_uring_follows_others(job));
    if (__builtin_expect(job->is_otherwise || uring->elsewhere >> job->op & 1, false)) {
        loop_uring_start_elsewhere(uring, job);
    } else if (__builtin_expect(loop_uring_iopoll_takes(uring, job), false)) {
        loop_uring_iopoll_place(uring->iopoll, job);
    } else {
        place(uring, job, false);
    }
}

/* Starts an operation that may wait for something, or that the ring does not serve. */
__attribute__((noinline)) static void start_other(struct loop *loop, struct loop_job *job)
{
    struct loop_uring *uring = loop_uring_of(loop);
    if (loop_uring_waits_for_turn(job)) {
        loop_uring_place(uring, job);
        return;
    }
    if (job->is_otherwise || uring->elsewhere >> job->op & 1 || lacks_group(job)) {
        loop_uring_start_elsewhere(uring, job);
    } else if (goes_by_readiness(job) || loop_uring_follows_others(job)) {
        start_by_readiness(loop, job);
    } else {
        loop_uring_place(uring, job);
    }
}

void loop_uring_start(struct loop *loop, struct loop_job *job)
{
    struct loop_uring *uring = loop_uring_of(loop);
    assert(!loop_list_is_linked(&job->link));
    assert(job->is_multishot == loop_op_table[job->op].is_multishot);
    if (job->op == LOOP_OP_NOP && !job->is_otherwise && !(uring->elsewhere >> LOOP_OP_NOP & 1)) {
        place(uring, job, true); /* it takes no turn and waits for nothing */
    } else if (is_at_offset(job)) {
        start_at_offset(uring, job);
    } else {
        start_other(loop, job);
    }
}

void loop_uring_cancel_job(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_RING_LINE) {
        loop_job_backend_complete(loop, job, -ECANCELED);
        loop_uring_drop_turn(loop, job);
    } else if (job->where == LOOP_AT_RING && job->is_polled) {
        return; /* a device does not give back what it has: the job ends with its result */
    } else if (job->where == LOOP_AT_RING) {
        if (loop_op_table[job->op].gets_buffers) {
            job->u.args.receive.is_recalled = !job->is_cancelled;
        }
        loop_uring_cancel(loop_uring_of(loop), job);
    } else {
        loop_direct_cancel(loop, job);
    }
}

/* ---- the line ---- */

static void serve_job(struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    loop_list_remove(&job->link);
    if (job->needs_cancel_entry) {
        job->needs_cancel_entry = false;
        loop_uring_prepare_cancel(entry, loop_uring_job_data(job));
    } else {
        hand_over(uring, entry, job, false);
    }
}

/* A job may have to wait for readiness by now, because bytes were given back to its descriptor. */
bool loop_uring_serve_jobs(struct loop_uring *uring)
{
    struct loop_list *node;
    while ((node = loop_list_first(&uring->line))) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (!job->needs_cancel_entry && goes_by_readiness(job)) {
            loop_list_remove(node);
            loop_uring_go_on_elsewhere(uring->loop, job);
            continue;
        }
        struct io_uring_sqe *entry = loop_uring_entry(uring);
        if (!entry) {
            return false;
        }
        serve_job(uring, entry, job);
    }
    return true;
}
