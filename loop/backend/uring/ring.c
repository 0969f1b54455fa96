/* SPDX-License-Identifier: ISC
 *
 * A ring: making and closing it, entering the kernel, and cancelling what it has.
 */
#include <loop/backend/uring/compat.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/ground/list.h>
#include <loop/kernel/ring.h>

/* ---- making and closing ---- */

/* liburing maps and unmaps the queues by system calls that ThreadSanitizer does not see. A ring at an address where
 * another thread had one before would look like a data race. */
#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
static char mappings;
#define QUEUES_ARE_MAPPED() __tsan_acquire(&mappings)
#define QUEUES_WILL_BE_UNMAPPED() __tsan_release(&mappings)
#else
#define QUEUES_ARE_MAPPED() ((void)0)
#define QUEUES_WILL_BE_UNMAPPED() ((void)0)
#endif

int loop_uring_make(struct loop_uring *uring, unsigned sq_size, unsigned cq_size, uint32_t flags)
{
    struct io_uring_params params = {.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
                                     .cq_entries = cq_size,
                                     .sq_thread_idle = uring->loop->options.polling_timeout_ms};
    int error = loop_kernel_io_uring_queue_init_params(sq_size, &uring->ring, &params);
    uring->setup_flags = params.flags;
    return error;
}

static void map_queues(struct loop_uring *uring)
{
    struct io_uring_sq *sq = &uring->ring.sq;
    struct io_uring_cq *cq = &uring->ring.cq;
    uring->entries = sq->sqes;
    uring->sq_head = sq->khead;
    uring->sq_shared_tail = sq->ktail;
    uring->sq_flags = sq->kflags;
    uring->sq_tail = *sq->ktail;
    uring->sq_size = sq->ring_entries;
    uring->sq_mask = sq->ring_mask;
    uring->completions = cq->cqes;
    uring->cq_head = cq->khead;
    uring->cq_tail = cq->ktail;
    uring->cq_size = cq->ring_entries;
    uring->cq_lost = cq->koverflow;
    uring->cq_mask = cq->ring_mask;
    for (unsigned i = 0; sq->array && i < sq->ring_entries; i++) {
        sq->array[i] = i; /* entries are submitted in the order of their places */
    }
}

/* Enters the kernel by a registered descriptor where it can, and without being counted as iowait. */
static void choose_enter_flags(struct loop_uring *uring)
{
    bool is_registered = loop_kernel_io_uring_register_ring_fd(&uring->ring) == 1;
    uring->is_polled = uring->setup_flags & IORING_SETUP_SQPOLL;
    uring->enter_fd = (unsigned)(is_registered ? uring->ring.enter_ring_fd : uring->ring.ring_fd);
    uring->enter_flags = IORING_ENTER_GETEVENTS | (is_registered ? IORING_ENTER_REGISTERED_RING : 0) |
                         (uring->is_polled ? IORING_ENTER_SQ_WAKEUP | IORING_ENTER_SQ_WAIT : 0);
    uring->wait_flags = uring->ring.features & IORING_FEAT_NO_IOWAIT ? IORING_ENTER_NO_IOWAIT : 0;
}

void loop_uring_map(struct loop_uring *uring)
{
    QUEUES_ARE_MAPPED();
    (void)loop_kernel_io_uring_ring_dontfork(&uring->ring);
    map_queues(uring);
    choose_enter_flags(uring);
}

void loop_uring_detach(struct loop_uring *uring)
{
    static const struct io_uring_cqe no_completion;
    static const uint32_t no_flags; /* not `nothing`, where the dispatch may still store its place */
    static const uint32_t none_lost;
    uring->nothing = 0;
    uring->sq_flags = &no_flags;
    uring->sq_head = uring->sq_shared_tail = &uring->nothing;
    uring->cq_head = &uring->nothing;
    uring->cq_tail = &uring->nothing;
    uring->cq_lost = &none_lost;
    uring->sq_size = uring->cq_mask = 0;
    uring->completions = &no_completion;
    uring->enter_fd = UINT32_MAX;
}

int loop_uring_make_source(struct io_uring *source)
{
    struct io_uring_params params = {0};
    int error = loop_kernel_io_uring_queue_init_params(1, source, &params);
    QUEUES_ARE_MAPPED();
    return error;
}

void loop_uring_exit(struct io_uring *ring)
{
    QUEUES_WILL_BE_UNMAPPED();
    loop_kernel_io_uring_queue_exit(ring);
}

void loop_uring_unmap(struct loop_uring *uring)
{
    loop_uring_exit(&uring->ring);
}

void loop_uring_close(struct loop_uring *uring)
{
    if (uring->is_gone) {
        return;
    }
    if (uring->fixed.size_bytes > 0) {
        (void)loop_kernel_io_uring_unregister_buffers(&uring->ring);
    }
    loop_uring_unmap(uring);
}

/* ---- entering ---- */

int loop_uring_enter(struct loop_uring *uring, unsigned wait_for, int64_t timeout_ns)
{
    loop_uring_publish(uring);
    return loop_uring_enter_now(uring, loop_uring_unsubmitted(uring), wait_for, timeout_ns);
}

/* ---- cancelling ---- */

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
        loop_uring_prepare_cancel(entry, loop_uring_job_data(job));
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
