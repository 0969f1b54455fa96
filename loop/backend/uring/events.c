/* SPDX-License-Identifier: ISC
 *
 * Dispatches the completions: to jobs, and to the watches of descriptors.
 */
#include <loop/backend/uring/completions.h>
#include <loop/backend/uring/events.h>
#include <loop/backend/uring/line.h>
#include <loop/backend/uring/multishot.h>
#include <loop/backend/uring/order.h>
#include <loop/backend/uring/result.h>
#include <loop/backend/uring/ring.h>
#include <loop/backend/uring/watch.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>

/* Submits the rest of a partial write that has no continuation. It keeps the turn. Returns false when the job ends,
 * with its result in `*result`. */
static bool goes_on(struct loop_uring *uring, struct loop_job *job, int32_t *result)
{
    int64_t rest = job->kind->rest(job, *result);
    if (rest == LOOP_GOES_ON) {
        loop_uring_place(uring, job);
        return true;
    }
    *result = (int32_t)rest;
    return false;
}

static void job_event(struct loop_uring *uring, uint64_t id, int32_t result, uint32_t flags)
{
    struct loop_job *job = loop_job_find(uring->loop, id);
    if (!job) {
        return;
    }
    if (job->is_multishot) {
        loop_uring_multishot_event(uring, job, result, flags);
        return;
    }
    loop_uring_leave(uring, job);
    if (job->op == LOOP_OP_NONE) {
        loop_uring_transferred(uring, job, result);
        return;
    }
    if (job->has_turn && job->kind->rest && goes_on(uring, job, &result)) {
        return;
    }
    if (loop_op_table[job->op].op_class != LOOP_CLASS_POLL &&
        result >= 0) { /* else it may go on, ahead of those that wait for its turn */
        loop_uring_drop_turn(uring->loop, job);
    }
    loop_uring_result(uring, job, result);
}

static void watch_event(struct loop_uring *uring, uint64_t id, enum loop_uring_watch_kind kind, int32_t result,
                        uint32_t flags)
{
    struct loop_fd *fd = loop_fd_find(uring->loop, id);
    uring->inputs.n += kind == LOOP_URING_WATCH_IN;
    if (!fd) {
        return;
    }
    if (flags & IORING_CQE_F_MORE && result >= 0 && !(fd->backend_id & LOOP_URING_LETTING_GO)) {
        loop_ready_event(uring->loop, fd, loop_uring_known_events(fd, (uint32_t)result));
    } else {
        loop_uring_watch_changed(uring, fd, kind, result, flags);
    }
    if (uring->loop->prefers_completions || uring->receivers[0]) {
        loop_uring_receive_after(uring, id, kind);
    }
}

/* Handles an event of a poll for input that stays armed. One that comes while the poll is being cancelled does no harm:
 * nothing waits. */
static inline void input_event(struct loop_uring *uring, uint64_t id, uint32_t events)
{
    struct loop *loop = uring->loop;
    struct loop_fd *fd = loop_fd_find(loop, id);
    uring->inputs.n++;
    if (fd) {
        loop_ready_event(loop, fd, loop_uring_known_events(fd, events));
    }
    if (loop->prefers_completions || uring->receivers[0]) {
        loop_uring_receive_after(uring, id, LOOP_URING_WATCH_IN);
    }
}

__attribute__((noinline)) static void event(struct loop_uring *uring, uint64_t user_data, int32_t result,
                                            uint32_t flags)
{
    enum loop_uring_tag tag = (enum loop_uring_tag)(user_data >> LOOP_URING_TAG_SHIFT);
    uint64_t id = user_data & LOOP_URING_ID_MASK;
    switch (tag) {
    case LOOP_URING_TAG_JOB: job_event(uring, id, result, flags); break;
    case LOOP_URING_TAG_WATCH_IN:
    case LOOP_URING_TAG_WATCH_OUT:
    case LOOP_URING_TAG_WATCH_PRIORITY:
    case LOOP_URING_TAG_WATCH_HANGUP:
        watch_event(uring, id, (enum loop_uring_watch_kind)(tag - LOOP_URING_TAG_WATCH_IN), result, flags);
        break;
    case LOOP_URING_TAG_RECEIVE:
        uring->inputs.n++;
        loop_uring_received(uring, id, result, flags);
        break;
    case LOOP_URING_TAG_IGNORED:
    case LOOP_URING_TAG_SELF_TEST: break;
    }
}

unsigned loop_uring_dispatch(struct loop_uring *uring)
{
    uint32_t n = loop_uring_completions_ready(uring);
    n = n < LOOP_URING_EVENTS_PER_TURN ? n : LOOP_URING_EVENTS_PER_TURN;
    uint32_t head = *uring->cq_head, end = head + n;
    while (head != end) {
        const struct io_uring_cqe *completion = &uring->completions[head & uring->cq_mask];
        uint64_t user_data = completion->user_data;
        int32_t result = completion->res;
        uint32_t flags = completion->flags;
        __atomic_store_n(uring->cq_head, ++head, __ATOMIC_RELEASE); /* from here the place is the kernel's again */
        if (user_data >> LOOP_URING_TAG_SHIFT == LOOP_URING_TAG_WATCH_IN && flags & IORING_CQE_F_MORE && result >= 0) {
            input_event(uring, user_data & LOOP_URING_ID_MASK, (uint32_t)result);
        } else {
            event(uring, user_data, result, flags);
        }
    }
    if (uring->inputs.enough && uring->inputs.n > 0) {
        loop_uring_weigh_inputs(uring);
    }
    return n;
}

/* ---- with a host ---- */

/* Whether two completions report the same of a poll. */
static bool are_same(const struct io_uring_cqe *one, const struct io_uring_cqe *other)
{
    enum loop_uring_tag tag = (enum loop_uring_tag)(one->user_data >> LOOP_URING_TAG_SHIFT);
    bool is_poll = tag >= LOOP_URING_TAG_WATCH_IN && tag <= LOOP_URING_TAG_WATCH_HANGUP;
    return is_poll && one->flags & IORING_CQE_F_MORE && one->user_data == other->user_data && one->res == other->res &&
           one->flags == other->flags;
}

void loop_uring_merge(struct loop_uring *uring)
{
    uint32_t head = *uring->cq_head, n = loop_uring_completions_ready(uring);
    for (uint32_t i = 1; i < n; i++) {
        struct io_uring_cqe *one = &uring->ring.cq.cqes[(head + i - 1) & uring->cq_mask];
        if (are_same(one, &uring->completions[(head + i) & uring->cq_mask])) {
            one->user_data = loop_uring_user_data(LOOP_URING_TAG_IGNORED, 0);
        }
    }
}
