/* SPDX-License-Identifier: ISC
 *
 * The ring: entering the kernel, and cancelling what it has.
 */
#include <loop/backend/uring/ring.h>
#include <loop/core/job.h>
#include <loop/ground/list.h>

int loop_uring_enter(struct loop_uring *uring, unsigned wait_for, int64_t timeout_ns)
{
    loop_uring_publish(uring);
    return loop_uring_enter_now(uring, loop_uring_unsubmitted(uring), wait_for, timeout_ns);
}

void loop_uring_prepare_cancel(struct io_uring_sqe *entry, uint64_t user_data)
{
    io_uring_prep_cancel64(entry, user_data, 0);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = loop_uring_user_data(LOOP_URING_TAG_IGNORED, 0);
}

void loop_uring_cancel(struct loop_uring *uring, struct loop_job *job)
{
    struct io_uring_sqe *entry = job->needs_cancel_entry ? NULL : loop_uring_entry(uring);
    if (entry) {
        loop_uring_prepare_cancel(entry, loop_uring_user_data(LOOP_URING_TAG_JOB, job->id));
    } else if (!job->needs_cancel_entry) {
        job->needs_cancel_entry = true;
        loop_list_push_back(&uring->line, &job->link);
    }
}

void loop_uring_leave(struct loop_uring *uring, struct loop_job *job)
{
    assert(job->where == LOOP_AT_RING && uring->in_flight > 0);
    uring->in_flight--;
    if (job->needs_cancel_entry) {
        job->needs_cancel_entry = false;
        loop_list_remove(&job->link);
    }
}
