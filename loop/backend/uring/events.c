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
__attribute__((noinline)) static bool goes_on(struct loop_uring *uring, struct loop_job *job, int32_t *result)
{
    int64_t rest = job->kind->rest(job, *result);
    if (rest == LOOP_GOES_ON) {
        loop_uring_place(uring, job);
        return true;
    }
    *result = (int32_t)rest;
    return false;
}

__attribute__((noinline)) static void other_job_event(struct loop_uring *uring, struct loop_job *job, int32_t result,
                                                      uint32_t flags)
{
    if (__builtin_expect(job->is_multishot, false)) {
        loop_uring_multishot_event(uring, job, result, flags);
        return;
    }
    loop_uring_leave(uring, job);
    if (loop_op_table[job->op].needs_fd && __builtin_expect(job->fd->unread != NULL, false)) {
        result = loop_uring_result_behind(uring, job, result);
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

/* Handles a completion of a job. */
__attribute__((noinline)) static void job_event(struct loop_uring *uring, uint64_t id, int32_t result, uint32_t flags)
{
    struct loop_job *job = loop_job_find(uring->loop, id);
    if (job && job->kind->size == LOOP_JOB_BARE && result >= 0) { /* a nop */
        loop_uring_leave(uring, job);
        loop_job_finish(uring->loop, job, result);
    } else if (job) {
        other_job_event(uring, job, result, flags);
    }
}

static bool may_receive(const struct loop_uring *uring)
{
    return uring->loop->prefers_completions || uring->receivers[0];
}

static void watch_event(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind, int32_t result,
                        uint32_t flags)
{
    uint64_t id = fd->id;
    uring->inputs.n += kind == LOOP_URING_WATCH_IN;
    if (!(flags & IORING_CQE_F_MORE) || result < 0 || fd->backend_id & LOOP_URING_LETTING_GO) {
        loop_uring_watch_changed(uring, fd, kind, result, flags);
    } else if (kind == LOOP_URING_WATCH_OUT) {
        loop_uring_output_event(uring, fd, result);
    } else {
        loop_ready_event(uring->loop, fd, loop_uring_known_events(fd, (uint32_t)result));
    }
    if (may_receive(uring)) {
        loop_uring_receive_after(uring, id, kind);
    }
}

/* Handles a completion that is neither plain input of a poll nor received bytes, and not that of a job. */
__attribute__((noinline)) static void event(struct loop_uring *uring, uint64_t user_data, int32_t result,
                                            uint32_t flags)
{
    enum loop_uring_tag tag = loop_uring_tag_of(user_data);
    uring->inputs.n--; /* counted again where it is input */
    switch (tag) {
    case LOOP_URING_TAG_JOB:
    case LOOP_URING_TAG_RECEIVE:
    case LOOP_URING_TAG_TRANSFER: break; /* these do not come here */
    case LOOP_URING_TAG_WATCH_IN:
    case LOOP_URING_TAG_WATCH_OUT:
    case LOOP_URING_TAG_WATCH_PRIORITY:
    case LOOP_URING_TAG_WATCH_HANGUP:
        watch_event(uring, loop_uring_fd_of(user_data, tag),
                    (enum loop_uring_watch_kind)(tag - LOOP_URING_TAG_WATCH_IN), result, flags);
        break;
    case LOOP_URING_TAG_IGNORED: break;
    }
}

/* Whether an event of a poll for input, which stays armed, says that there is input and nothing else. */
static inline bool is_plain_input(const struct loop_fd *fd, int32_t result)
{
    assert(fd->backend_id & LOOP_URING_ARMED(LOOP_URING_WATCH_IN));
    return result == POLLIN || (result == LOOP_URING_INPUT_WAKE_UP && !(fd->ready & POLLIN));
}

/* Handles an event of a poll for input that stays armed. One that comes while the poll is being cancelled does no harm:
 * nothing waits. */
static inline void input_event(struct loop_uring *uring, struct loop_fd *fd, int32_t result, bool may_receive)
{
    if (is_plain_input(fd, result)) {
        loop_ready_input(uring->loop, fd);
        if (may_receive) {
            loop_uring_receive_after(uring, fd->id, LOOP_URING_WATCH_IN);
        }
    } else {
        event(uring, loop_uring_fd_data(LOOP_URING_TAG_WATCH_IN, fd), result, IORING_CQE_F_MORE);
    }
}

unsigned loop_uring_dispatch(struct loop_uring *uring)
{
    bool may = may_receive(uring); /* only what is dispatched before may change that */
    uint32_t n = loop_uring_completions_ready(uring);
    n = n < LOOP_URING_EVENTS_PER_TURN ? n : LOOP_URING_EVENTS_PER_TURN;
    uring->inputs.n += n;
    for (uint32_t head = *uring->cq_head, end = head + n; head != end;) {
        const struct io_uring_cqe *completion = &uring->completions[head & uring->cq_mask];
        uint64_t user_data = completion->user_data;
        int32_t result = completion->res;
        uint32_t flags = completion->flags;
        enum loop_uring_tag tag = loop_uring_tag_of(user_data);
        __atomic_store_n(uring->cq_head, ++head, __ATOMIC_RELEASE); /* from here the place is the kernel's again */
        if (tag == LOOP_URING_TAG_WATCH_IN && flags & IORING_CQE_F_MORE) {
            input_event(uring, loop_uring_fd_of(user_data, tag), result, may);
        } else if (tag == LOOP_URING_TAG_TRANSFER) {
            loop_uring_transferred(uring, loop_uring_transfer_of(user_data), result);
        } else if (tag == LOOP_URING_TAG_RECEIVE) {
            loop_uring_received(uring, loop_uring_fd_of(user_data, tag), result, flags);
        } else if (tag == LOOP_URING_TAG_JOB) {
            uring->inputs.n--;
            job_event(uring, loop_uring_id_of(user_data), result, flags);
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
    enum loop_uring_tag tag = loop_uring_tag_of(one->user_data);
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
