/* SPDX-License-Identifier: ISC
 *
 * The io_uring backend: jobs as entries of a ring, readiness by polls in the same ring, and one system call for each
 * turn.
 *
 * Nothing enters the kernel but the turn. What is started between two turns fills in entries; when the submission queue
 * is full it waits in line, and the turn submits until the line is empty. A completion is taken out of its queue before
 * anything is resumed, so that whatever is started then finds the ring in order.
 */
#include <loop/clock.h>
#include <loop/direct.h>
#include <loop/fd_flow.h>
#include <loop/log.h>
#include <loop/unread.h>
#include <loop/uring.h>

#include <errno.h>
#include <string.h>
#include <time.h>

/* Completions handled in one turn; the rest waits for the next. */
#define EVENTS_PER_TURN 256

/* Times that one turn submits for the sake of the line. */
#define SUBMITS_PER_TURN 64

/* How long to wait for completions when the kernel is too short of memory to take more; and how long to sleep, at first
 * and at most, where it can't even wait. */
#define SHORTAGE_WAIT_NS LOOP_MILLISECOND
#define SHORTAGE_SLEEP_MAX_NS (16 * LOOP_MILLISECOND)

/* A shortage that lasts so long is told. */
#define SHORTAGE_TOLD_NS LOOP_SECOND

/* ---- entering the kernel ---- */

static uint32_t unsubmitted(const struct loop_uring *uring)
{
    return uring->sq_tail - __atomic_load_n(uring->sq_head, __ATOMIC_ACQUIRE);
}

static uint32_t queue_flags(const struct loop_uring *uring)
{
    return __atomic_load_n(uring->sq_flags, __ATOMIC_RELAXED);
}

static void publish(struct loop_uring *uring)
{
    __atomic_store_n(uring->sq_shared_tail, uring->sq_tail, __ATOMIC_RELEASE);
}

/* Always inline, because what is on the stack here returns slowly; see loop_backend_ops.run. */
__attribute__((always_inline)) static inline int enter(struct loop_uring *uring, unsigned to_submit, unsigned wait_for,
                                                       int64_t timeout_ns)
{
    unsigned flags = uring->enter_flags | (wait_for ? uring->wait_flags : 0);
    uring->loop->stats.enters++;
    if (!wait_for || timeout_ns == LOOP_NEVER) {
        return io_uring_enter2(uring->enter_fd, to_submit, wait_for, flags, NULL, _NSIG / 8);
    }
    struct __kernel_timespec timeout = {.tv_sec = timeout_ns / LOOP_SECOND, .tv_nsec = timeout_ns % LOOP_SECOND};
    struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)&timeout};
    return io_uring_enter2(uring->enter_fd, to_submit, wait_for, flags | IORING_ENTER_EXT_ARG, (sigset_t *)(void *)&arg,
                           sizeof arg);
}

int loop_uring_enter(struct loop_uring *uring, unsigned wait_for, int64_t timeout_ns)
{
    publish(uring);
    return enter(uring, unsubmitted(uring), wait_for, timeout_ns);
}

/* What an enter says about the ring. A signal, or time that has run out, are no news; what was submitted is in the head
 * of the queue, never in the result. */
static bool is_fine(int result)
{
    return result >= 0 || result == -EINTR || result == -ETIME;
}

static bool is_shortage(int result)
{
    return result == -EAGAIN || result == -EBUSY || result == -ENOMEM || result == -ENOBUFS;
}

/* ---- jobs in and out ---- */

static void hand_over(struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    loop_uring_prepare(uring, entry, job);
    job->where = LOOP_AT_RING;
    uring->in_flight++;
}

static void place(struct loop_uring *uring, struct loop_job *job)
{
    if (!job->has_turn && !loop_uring_take_turn(job)) {
        return;
    }
    struct io_uring_sqe *entry = loop_list_is_empty(&uring->line) ? loop_uring_entry(uring) : NULL;
    if (entry) {
        hand_over(uring, entry, job);
        return;
    }
    job->where = LOOP_AT_RING_LINE;
    loop_list_push_back(&uring->line, &job->link);
    uring->loop->stats.submit_waits++;
}

void loop_uring_place(struct loop_uring *uring, struct loop_job *job)
{
    place(uring, job);
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

static bool lacks_group(const struct loop_job *job)
{
    return job->op == LOOP_OP_RECV_MULTISHOT && !((const struct loop_buffers *)job->u.args.data)->ring;
}

/* At a file's position: the ring would not keep the order of several, and doesn't move the position of one that is
 * O_DIRECT for what it completes later (seen on Linux 6.18). What isn't for the pool has its turn: uring_order.c. */
static bool file_goes_to_pool(const struct loop_job *job)
{
    const struct loop_fd *fd = job->fd;
    bool is_known_output = loop_op_table[job->op].is_output && fd->is_regular;
    return fd->is_direct || is_known_output || loop_file_is_for_thread(fd);
}

/* A pipe or a device: kernels before 6.4 keep a thread for each read of a pipe, and none can tell a fifo that never had
 * a writer from one at its end, but by readiness. Of what is kept for the next read the kernel doesn't know. And of an
 * error behind a part of a receive that waits for all the ring tells nothing, nor does the next receive. A change of a
 * file is told once by the kernel, and several polls may wait for it. */
static bool goes_by_readiness(const struct loop_job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    if (row->op_class == LOOP_CLASS_READ || row->op_class == LOOP_CLASS_POLL) {
        bool waits_for_all = job->op == LOOP_OP_RECV && job->u.args.flags & MSG_WAITALL;
        return waits_for_all || loop_fd_has_unread(job->fd) || !loop_fd_is_stream(job->fd);
    }
    if (row->op_class != LOOP_CLASS_MOVE || job->u.args.offset != LOOP_CURRENT) {
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

static void start(struct loop *loop, struct loop_job *job)
{
    struct loop_uring *uring = loop_uring_of(loop);
    assert(!loop_list_is_linked(&job->link));
    assert(job->is_multishot == (job->op == LOOP_OP_ACCEPT_MULTISHOT || job->op == LOOP_OP_RECV_MULTISHOT));
    if (job->is_otherwise || uring->elsewhere >> job->op & 1 || lacks_group(job)) {
        loop_uring_start_elsewhere(uring, job);
    } else if (goes_by_readiness(job) || loop_uring_follows_others(job)) {
        start_by_readiness(loop, job);
    } else {
        place(uring, job);
    }
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

static void cancel(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_RING_LINE) {
        loop_job_backend_complete(loop, job, -ECANCELED);
        loop_uring_drop_turn(loop, job);
    } else if (job->where == LOOP_AT_RING) {
        loop_uring_cancel(loop_uring_of(loop), job);
    } else {
        loop_direct_cancel(loop, job);
    }
}

/* ---- the lines ---- */

static void serve_job(struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job)
{
    loop_list_remove(&job->link);
    if (job->needs_cancel_entry) {
        job->needs_cancel_entry = false;
        loop_uring_prepare_cancel(entry, loop_uring_user_data(LOOP_URING_TAG_JOB, job->id));
    } else {
        hand_over(uring, entry, job);
    }
}

/* Bytes may have been given back to the descriptor while the job stood in line. */
static bool serve_jobs(struct loop_uring *uring)
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

/* True when nothing waits in line any more. */
static bool serve_lines(struct loop_uring *uring)
{
    return loop_uring_serve_fds(uring) && serve_jobs(uring);
}

static bool lines_are_empty(const struct loop_uring *uring)
{
    return loop_list_is_empty(&uring->line) && loop_list_is_empty(&uring->fds_line);
}

/* Submits until the lines are empty, or there is enough to do first. The result of the last enter, or 0. */
static int submit_lines(struct loop_uring *uring)
{
    int result = 0;
    for (unsigned n = 0; n < SUBMITS_PER_TURN && !serve_lines(uring) && result >= 0; n++) {
        if (loop_uring_completions_ready(uring) >= uring->cq_size / 2) {
            return 0;
        }
        result = loop_uring_enter(uring, 0, 0);
    }
    return result;
}

/* ---- events ---- */

/* Of a write without a continuation, whose rest keeps the turn. */
static bool goes_on(struct loop_uring *uring, struct loop_job *job, int32_t *result)
{
    int64_t rest = loop_unheard_rest(job, *result);
    if (rest == LOOP_UNHEARD_GOES_ON) {
        place(uring, job);
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
    if (job->has_turn && job->kind == &loop_unheard_kind && goes_on(uring, job, &result)) {
        return;
    }
    if (job->op != LOOP_OP_POLL && result >= 0) { /* else it may go on, ahead of those that wait for its turn */
        loop_uring_drop_turn(uring->loop, job);
    }
    if (result < 0 || LOOP_URING_LOOKED_AT >> job->op & 1) {
        loop_uring_result(uring, job, result);
    } else {
        loop_job_backend_done(uring->loop, job, result);
    }
}

static void watch_event(struct loop_uring *uring, uint64_t id, enum loop_uring_watch_kind kind, int32_t result,
                        uint32_t flags)
{
    struct loop_fd *fd = loop_fd_find(uring->loop, id);
    if (!fd) {
        return;
    }
    if (flags & IORING_CQE_F_MORE && result >= 0 && !(fd->backend_id & LOOP_URING_LETTING_GO)) {
        loop_ready_event(uring->loop, fd, loop_uring_known_events(fd, (uint32_t)result));
    } else {
        loop_uring_watch_changed(uring, fd, kind, result, flags);
    }
}

static void event(struct loop_uring *uring, uint64_t user_data, int32_t result, uint32_t flags)
{
    enum loop_uring_tag tag = (enum loop_uring_tag)(user_data >> LOOP_URING_TAG_SHIFT);
    uint64_t id = user_data & LOOP_URING_ID_MASK;
    switch (tag) {
    case LOOP_URING_TAG_JOB: job_event(uring, id, result, flags); break;
    case LOOP_URING_TAG_WATCH_IN:
    case LOOP_URING_TAG_WATCH_OUT:
    case LOOP_URING_TAG_WATCH_PRIORITY:
        watch_event(uring, id, (enum loop_uring_watch_kind)(tag - LOOP_URING_TAG_WATCH_IN), result, flags);
        break;
    case LOOP_URING_TAG_IGNORED:
    case LOOP_URING_TAG_SELF_TEST: break;
    }
}

void loop_uring_dispatch(struct loop_uring *uring)
{
    uint32_t n = loop_uring_completions_ready(uring);
    uint32_t head = *uring->cq_head;
    for (n = n < EVENTS_PER_TURN ? n : EVENTS_PER_TURN; n > 0; n--) {
        const struct io_uring_cqe *completion = &uring->completions[head & uring->cq_mask];
        uint64_t user_data = completion->user_data;
        int32_t result = completion->res;
        uint32_t flags = completion->flags;
        __atomic_store_n(uring->cq_head, ++head, __ATOMIC_RELEASE); /* from here the place is the kernel's again */
        event(uring, user_data, result, flags);
    }
}

/* ---- the turn ---- */

static void note_overflow(struct loop_uring *uring)
{
    bool is_overflown = queue_flags(uring) & IORING_SQ_CQ_OVERFLOW;
    uring->loop->stats.completion_overflows += is_overflown && !uring->has_overflown;
    uring->has_overflown = is_overflown;
}

/* The kernel must be entered even though there is nothing to wait for: to submit, to wake its thread, to have it do
 * what it deferred, to get what did not fit into the completion queue. */
static bool must_enter(struct loop_uring *uring)
{
    if (!uring->is_polled) {
        return unsubmitted(uring) > 0 || queue_flags(uring) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
    }
    publish(uring);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return queue_flags(uring) & (IORING_SQ_NEED_WAKEUP | IORING_SQ_CQ_OVERFLOW);
}

static bool may_wait(const struct loop_uring *uring, int64_t timeout_ns)
{
    return timeout_ns != 0 && lines_are_empty(uring) && loop_uring_completions_ready(uring) == 0 &&
           loop_list_is_empty(&uring->loop->run_queue);
}

static void sleep_for(int64_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

static void tell_shortage(struct loop_uring *uring, int error)
{
    struct loop_uring_shortage *shortage = &uring->shortage;
    int64_t now_ns = loop_clock_read();
    if (shortage->sleep_ns == 0 || shortage->last_turn + 1 != uring->loop->stats.turns) {
        *shortage = (struct loop_uring_shortage){.began_ns = now_ns, .sleep_ns = SHORTAGE_WAIT_NS};
    } else if (!shortage->is_told && now_ns - shortage->began_ns >= SHORTAGE_TOLD_NS) {
        shortage->is_told = true;
        loop_log_options(
            &uring->loop->options, LOOP_LOG_WARNING,
            "io_uring_enter is refused and tried again (%s): the kernel is short of memory; see the memory limit of "
            "the container",
            strerror(-error));
    }
    shortage->last_turn = uring->loop->stats.turns;
}

/* The kernel takes nothing now: what is in flight has to end first. Where it refuses even to wait, the turns go on at
 * intervals, each time in a row twice as long. */
static int outlast_shortage(struct loop_uring *uring, int error, int64_t timeout_ns)
{
    struct loop_uring_shortage *shortage = &uring->shortage;
    tell_shortage(uring, error);
    int result = loop_uring_completions_ready(uring) > 0 ? 0 : enter(uring, 0, 1, SHORTAGE_WAIT_NS);
    if (!is_shortage(result)) {
        return result;
    }
    sleep_for(timeout_ns < shortage->sleep_ns ? timeout_ns : shortage->sleep_ns);
    if (shortage->sleep_ns < SHORTAGE_SLEEP_MAX_NS) {
        shortage->sleep_ns *= 2;
    }
    return 0;
}

__attribute__((always_inline)) static inline int submit_and_wait(struct loop_uring *uring, int64_t timeout_ns)
{
    unsigned wait_for = may_wait(uring, timeout_ns);
    if (!wait_for && !must_enter(uring)) {
        return 0;
    }
    publish(uring);
    return enter(uring, unsubmitted(uring), wait_for, timeout_ns);
}

static int run(struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    int64_t timeout_ns;
    while (loop_turn_begin(loop, &timeout_ns)) {
        int result = lines_are_empty(uring) ? 0 : submit_lines(uring);
        if (is_fine(result)) {
            result = submit_and_wait(uring, timeout_ns);
        }
        if (is_shortage(result)) {
            result = outlast_shortage(uring, result, timeout_ns);
        }
        loop_turn_woken(loop);
        note_overflow(uring);
        loop_uring_dispatch(uring);
        if (!is_fine(result)) {
            loop_uring_tell_broken(uring, result);
            return result;
        }
    }
    return 0;
}

/* An error will show again in the turn. */
static bool has_events(struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    if (loop_uring_completions_ready(uring) == 0 && must_enter(uring)) {
        (void)loop_uring_enter(uring, 0, 0);
    }
    return loop_uring_completions_ready(uring) > 0 || !lines_are_empty(uring);
}

/* The queues are not mapped in a forked child: it sees a submission queue without room, and no completions. */
static void forked(struct loop *loop)
{
    static const struct io_uring_cqe no_completion;
    struct loop_uring *uring = loop_uring_of(loop);
    uring->nothing = 0;
    uring->sq_head = uring->sq_flags = uring->sq_shared_tail = &uring->nothing;
    uring->cq_head = &uring->nothing;
    uring->cq_tail = &uring->nothing;
    uring->sq_size = uring->cq_mask = 0;
    uring->completions = &no_completion;
    uring->enter_fd = UINT32_MAX;
}

const struct loop_backend_ops loop_backend_uring = {
    .name = "io_uring",
    .init = loop_uring_init,
    .finish = loop_uring_finish,
    .start = start,
    .cancel = cancel,
    .watch = loop_uring_watch,
    .unwatch = loop_uring_unwatch,
    .run = run,
    .broken = &loop_uring_broken,
    .has_events = has_events,
    .forked = forked,
    .region_is_fixed = loop_uring_region_is_fixed,
    .buffers_init = loop_uring_buffers_init,
    .buffers_finish = loop_uring_buffers_finish,
    .buffers_recycle = loop_uring_buffers_recycle,
};
