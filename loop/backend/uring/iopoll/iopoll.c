/* SPDX-License-Identifier: ISC
 *
 * Reads and writes whose completions are polled for. They have a ring of their own beside the loop's, because such a
 * ring (IORING_SETUP_IOPOLL) accepts nothing else and nothing wakes a thread that waits for it: the kernel asks the
 * device each time the ring is entered.
 *
 * While something is in flight here the loop does not sleep. Each turn enters this ring once without waiting. The
 * loop's ring is entered only where its memory shows something to do, so that neither keeps the other waiting.
 *
 * A request that a device has cannot be cancelled, here as in the loop's ring: it ends with its result. What this ring
 * refuses is done by a system call, whose result is the job's.
 */
#include <loop/backend/uring/iopoll/iopoll.h>
#include <loop/backend/uring/order.h>
#include <loop/backend/uring/prepare.h>
#include <loop/backend/uring/region.h>
#include <loop/backend/uring/result.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/dispatch.h>
#include <loop/core/loop.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>

/* Twice the size of the submission queue, but at least so many. No more requests are in flight, so that the completion
 * queue never overflows. */
#define CQ_SIZE_MIN 1024u

/* The most completions handled in one turn. */
#define EVENTS_PER_TURN 256

/* ---- making and freeing ---- */

static struct loop_uring *make(struct loop *loop, unsigned sq_size, int *error)
{
    struct loop_uring *iopoll = loop_kernel_calloc(1, sizeof *iopoll);
    unsigned cq_size = 2 * sq_size > CQ_SIZE_MIN ? 2 * sq_size : CQ_SIZE_MIN;
    if (!iopoll) {
        *error = -ENOMEM;
        return NULL;
    }
    iopoll->loop = loop;
    loop_list_init(&iopoll->line);
    iopoll->last_in_line = &iopoll->first_in_line;
    *error = loop_uring_make(iopoll, sq_size, cq_size, IORING_SETUP_IOPOLL | IORING_SETUP_SUBMIT_ALL);
    if (*error) {
        loop_kernel_free(iopoll);
        return NULL;
    }
    return iopoll;
}

int loop_uring_poll_devices(struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    int error = 0;
    if (uring->elsewhere >> LOOP_OP_READ & 1) {
        return -EOPNOTSUPP; /* this kernel's ring does not read */
    }
    if (!uring->iopoll) {
        uring->iopoll = make(loop, uring->sq_size, &error);
        if (uring->iopoll) {
            loop_uring_map(uring->iopoll);
            loop_uring_register_region(uring->iopoll);
        }
    }
    return error;
}

void loop_uring_iopoll_finish(struct loop_uring *uring)
{
    struct loop_uring *iopoll = uring->iopoll;
    if (iopoll) {
        assert(iopoll->in_flight == 0 && loop_list_is_empty(&iopoll->line));
        loop_uring_close(iopoll);
        loop_kernel_free(iopoll);
        uring->iopoll = NULL;
    }
}

/* ---- starting ---- */

static struct io_uring_sqe *free_entry(struct loop_uring *iopoll)
{
    return iopoll->in_flight < iopoll->cq_size ? loop_uring_entry(iopoll) : NULL;
}

static void hand_over(struct loop_uring *iopoll, struct io_uring_sqe *entry, struct loop_job *job)
{
    loop_uring_prepare(iopoll, entry, job);
    job->where = LOOP_AT_RING;
    job->is_polled = true;
    iopoll->in_flight++;
}

void loop_uring_iopoll_place(struct loop_uring *iopoll, struct loop_job *job)
{
    struct io_uring_sqe *entry = loop_list_is_empty(&iopoll->line) ? free_entry(iopoll) : NULL;
    if (entry) {
        hand_over(iopoll, entry, job);
        return;
    }
    job->where = LOOP_AT_RING_LINE;
    loop_list_push_back(&iopoll->line, &job->link);
    iopoll->loop->stats.submit_waits++;
}

/* Fills in entries for the jobs in line. A file may have been refused since they joined it. */
static void serve_line(struct loop_uring *iopoll)
{
    struct loop_list *node;
    while ((node = loop_list_first(&iopoll->line))) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        bool is_polled = loop_fd_polls_device(job->fd);
        struct io_uring_sqe *entry = is_polled ? free_entry(iopoll) : NULL;
        if (is_polled && !entry) {
            return;
        }
        loop_list_remove(node);
        if (is_polled) {
            hand_over(iopoll, entry, job);
        } else {
            loop_uring_go_on_elsewhere(iopoll->loop, job);
        }
    }
}

/* ---- completions ---- */

/* Ends the job, or has a system call do what this ring has refused. -EAGAIN: the device had no room for it. */
static void event(struct loop_uring *iopoll, uint64_t id, int32_t result)
{
    struct loop_job *job = loop_job_find(iopoll->loop, id);
    assert(job && job->is_polled);
    loop_uring_leave(iopoll, job);
    job->is_polled = false;
    result = loop_uring_without_internals(result);
    if (result == -EOPNOTSUPP) {
        loop_fd_more(job->fd)->device_polling = LOOP_POLLING_REFUSED;
    }
    bool is_refused = loop_uring_is_refusal(result) || result == -EAGAIN || result == -ECANCELED;
    if (is_refused && !job->is_cancelled) {
        loop_uring_go_on_elsewhere(iopoll->loop, job);
    } else {
        loop_job_backend_done(iopoll->loop, job, is_refused ? -ECANCELED : result);
    }
}

static void dispatch(struct loop_uring *iopoll)
{
    uint32_t n = loop_uring_completions_ready(iopoll);
    uint32_t head = *iopoll->cq_head;
    for (n = n < EVENTS_PER_TURN ? n : EVENTS_PER_TURN; n > 0; n--) {
        const struct io_uring_cqe *completion = &iopoll->completions[head & iopoll->cq_mask];
        uint64_t user_data = completion->user_data;
        int32_t result = completion->res;
        __atomic_store_n(iopoll->cq_head, ++head, __ATOMIC_RELEASE); /* from here the place is the kernel's again */
        if (loop_uring_tag_of(user_data) == LOOP_URING_TAG_JOB) {    /* else it was taken back: broken.c */
            event(iopoll, loop_uring_id_of(user_data), result);
        }
    }
}

/* A shortage needs no wait: the entries stay where they are, and the next turn tries again. */
int loop_uring_iopoll_turn(struct loop_uring *iopoll)
{
    serve_line(iopoll);
    if (iopoll->in_flight == 0) {
        return 0;
    }
    int result = loop_uring_enter(iopoll, 0, 0);
    dispatch(iopoll);
    return loop_uring_is_fine(result) || loop_uring_is_shortage(result) ? 0 : result;
}
