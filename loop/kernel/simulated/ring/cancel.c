/* SPDX-License-Identifier: ISC
 *
 * Cancelling requests, and timeouts.
 *
 * A request that waits for a file or a time is always cancelled in time. Its completion follows that of the cancel. A
 * request that a worker has can be stopped or not, by choice.
 */
#include <loop/kernel/simulated/ring/cancel.h>
#include <loop/kernel/simulated/ring/queue.h>
#include <loop/kernel/simulated/ring/registered.h>

#if NORIA_URING

#include <loop/kernel/simulated/machine/choice.h>

/* ---- cancelling ---- */

#define KNOWN_FLAGS                                                                                                    \
    (IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_FD_FIXED)

static bool matches(const struct loop_sim_request *request, const struct loop_sim_ring_match *match)
{
    if (match->flags & IORING_ASYNC_CANCEL_ANY) {
        return true;
    }
    return match->flags & IORING_ASYNC_CANCEL_FD ? request->file == match->file
                                                 : request->entry.user_data == match->user_data;
}

/* Returns 0, -ENOENT for a request that is about to be tried or completed anyway, or -EALREADY. */
static int cancel(struct loop_sim_request *request)
{
    switch (request->state) {
    case LOOP_SIM_REQUEST_ARMED:
    case LOOP_SIM_REQUEST_TIMED: break;
    case LOOP_SIM_REQUEST_RETRY:
        if (!request->is_multishot) {
            return -ENOENT;
        }
        break;
    case LOOP_SIM_REQUEST_WORKER:
        if (!loop_sim_happens(LOOP_SIM_CANCEL)) {
            return -EALREADY;
        }
        break;
    default: return -ENOENT;
    }
    request->is_cancelled = true;
    loop_sim_event_cancel(&request->event);
    loop_sim_request_queue(request, request->state);
    return 0;
}

int loop_sim_ring_cancel(struct loop_sim_ring *ring, const struct loop_sim_ring_match *match)
{
    bool is_all = match->flags & (IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY);
    int count = 0;
    for (struct loop_list *node = ring->requests.next; node != &ring->requests; node = node->next) {
        struct loop_sim_request *request = LOOP_CONTAINER(node, struct loop_sim_request, link);
        int result = !request->is_cancelled && matches(request, match) ? cancel(request) : -ENOENT;
        if (result != -ENOENT && !is_all) {
            return result;
        }
        count += result != -ENOENT;
    }
    return is_all ? count : -ENOENT;
}

/* ---- ASYNC_CANCEL ---- */

static int prepare_cancel(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    uint32_t flags = entry->cancel_flags;
    bool is_wrong = entry->off || entry->splice_fd_in || flags & ~KNOWN_FLAGS ||
                    (flags & IORING_ASYNC_CANCEL_FD && flags & IORING_ASYNC_CANCEL_ANY);
    return is_wrong ? -EINVAL : 0;
}

static int32_t issue_cancel(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    struct loop_sim_ring_match match = {.user_data = entry->addr, .flags = entry->cancel_flags};
    if (match.flags & IORING_ASYNC_CANCEL_FD) {
        bool is_fixed = match.flags & IORING_ASYNC_CANCEL_FD_FIXED || entry->flags & IOSQE_FIXED_FILE;
        match.file = is_fixed ? loop_sim_ring_fixed_file(request->ring, (unsigned)entry->fd)
                              : loop_sim_file_at(request->ring->file.node, entry->fd);
        if (!match.file) {
            return -EBADF;
        }
    }
    return loop_sim_ring_cancel(request->ring, &match);
}

const struct loop_sim_ring_op loop_sim_ring_async_cancel = {.prepare = prepare_cancel, .issue = issue_cancel};

/* ---- TIMEOUT ---- */

static int prepare_timeout(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    const uint32_t known = IORING_TIMEOUT_ABS | IORING_TIMEOUT_ETIME_SUCCESS | IORING_TIMEOUT_BOOTTIME;
    const struct __kernel_timespec *time = (const void *)(uintptr_t)entry->addr;
    if (entry->buf_index || entry->len != 1 || entry->splice_fd_in || entry->timeout_flags & ~known ||
        entry->off > UINT32_MAX) {
        return -EINVAL;
    }
    if (!time) {
        return -EFAULT;
    }
    if (time->tv_sec < 0 || time->tv_nsec < 0) {
        return -EINVAL;
    }
    struct __kernel_timespec *copy = request->data = loop_sim_alloc(sizeof *copy);
    *copy = *time;
    return 0;
}

static void time_out(struct loop_sim_event *event)
{
    struct loop_sim_request *request = LOOP_CONTAINER(event, struct loop_sim_request, event);
    request->result = -ETIME;
    loop_sim_request_queue(request, LOOP_SIM_REQUEST_DONE);
}

static int64_t due_ns_of(const struct loop_sim_request *request)
{
    const struct __kernel_timespec *time = request->data;
    int64_t now_ns = request->ring->file.node->world->now_ns;
    int64_t ns = loop_sim_time_ns(time->tv_sec, time->tv_nsec);
    if (!(request->entry.timeout_flags & IORING_TIMEOUT_ABS)) {
        return loop_sim_sum_ns(now_ns, ns);
    }
    return ns == LOOP_SIM_NEVER ? ns : ns - LOOP_SIM_MONOTONIC_START_NS;
}

static int32_t issue_timeout(struct loop_sim_request *request)
{
    int64_t due_ns = due_ns_of(request), now_ns = request->ring->file.node->world->now_ns;
    if (request->entry.off) {
        request->target = request->ring->posted + (uint32_t)request->entry.off;
        request->is_counting = true;
        request->ring->n_counting++;
    }
    request->state = LOOP_SIM_REQUEST_TIMED;
    if (due_ns != LOOP_SIM_NEVER) {
        loop_sim_event_set(&request->event, due_ns > now_ns ? due_ns : now_ns, time_out);
    }
    return LOOP_SIM_REQUEST_WAITS;
}

const struct loop_sim_ring_op loop_sim_ring_timeout = {.prepare = prepare_timeout, .issue = issue_timeout};

/* ---- TIMEOUT_REMOVE ---- */

static int prepare_timeout_remove(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    return entry->buf_index || entry->len || entry->splice_fd_in || entry->timeout_flags ? -EINVAL : 0;
}

static int32_t issue_timeout_remove(struct loop_sim_request *request)
{
    const struct loop_list *requests = &request->ring->requests;
    for (struct loop_list *node = requests->next; node != requests; node = node->next) {
        struct loop_sim_request *other = LOOP_CONTAINER(node, struct loop_sim_request, link);
        if (other->entry.opcode == IORING_OP_TIMEOUT && other->entry.user_data == request->entry.addr &&
            !other->is_cancelled) {
            return cancel(other);
        }
    }
    return -ENOENT;
}

const struct loop_sim_ring_op loop_sim_ring_timeout_remove = {.prepare = prepare_timeout_remove,
                                                              .issue = issue_timeout_remove};

#endif
