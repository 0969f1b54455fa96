/* SPDX-License-Identifier: ISC
 *
 * The ring: its two queues as the kernel shares them, the state of the backend, and the call that enters the kernel.
 *
 * liburing makes the ring and fills in entries. The queues themselves are read and written here: entering the kernel
 * must do three things at once (submit, run what the kernel has deferred, wait), which liburing's own calls don't
 * always do.
 */
#ifndef LOOP_BACKEND_URING_RING_H
#define LOOP_BACKEND_URING_RING_H

#include <loop/core/job.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/kernel/ring.h>

/* What a completion is about: the top three bits of its user_data. The rest is the id of the job or the descriptor,
 * whose generation makes a late completion name nothing. */
enum loop_uring_tag {
    LOOP_URING_TAG_JOB,
    LOOP_URING_TAG_WATCH_IN, /* the three kinds of watches follow each other in the order of enum loop_uring_watch_kind
                              */
    LOOP_URING_TAG_WATCH_OUT,
    LOOP_URING_TAG_WATCH_PRIORITY,
    LOOP_URING_TAG_IGNORED,
    LOOP_URING_TAG_SELF_TEST
};

#define LOOP_URING_TAG_SHIFT LOOP_SLAB_ID_BITS
#define LOOP_URING_ID_MASK ((UINT64_C(1) << LOOP_URING_TAG_SHIFT) - 1)

static inline uint64_t loop_uring_user_data(enum loop_uring_tag tag, uint64_t id)
{
    return (uint64_t)tag << LOOP_URING_TAG_SHIFT | id;
}

/* The polls that may be in flight for a descriptor. */
enum loop_uring_watch_kind {
    LOOP_URING_WATCH_IN,
    LOOP_URING_WATCH_OUT,
    LOOP_URING_WATCH_PRIORITY,
    LOOP_URING_WATCH_KINDS
};

/* How long the kernel has refused to be entered for want of memory. */
struct loop_uring_shortage {
    uint64_t last_turn; /* in which it did */
    int64_t began_ns, sleep_ns;
    bool is_told;
};

struct loop_uring {
    /* The queues as the kernel shares them. */
    struct io_uring_sqe *entries;
    const uint32_t *sq_head, *sq_flags;
    uint32_t *sq_shared_tail;
    uint32_t sq_tail; /* entries filled in; the kernel hears of them when it is entered */
    uint32_t sq_mask, sq_size;
    const struct io_uring_cqe *completions;
    uint32_t *cq_head;
    const uint32_t *cq_tail;
    uint32_t cq_mask, cq_size;
    uint32_t nothing; /* what the pointers point to in a forked child */

    struct loop *loop;
    struct loop_list line;     /* jobs that wait for an entry: to start them, or to cancel them */
    struct loop_list fds_line; /* descriptors that wait for one, by backend_link */
    uint32_t elsewhere;        /* operations (by number) that the ring isn't asked for */
    uint32_t in_flight;        /* jobs and polls in the kernel's hands */
    unsigned enter_fd;
    uint32_t enter_flags, wait_flags;
    bool is_polled;        /* a thread of the kernel submits */
    bool has_overflown;    /* the completion queue, when it was last looked at */
    bool has_tried_region; /* to register it */
    bool is_gone;          /* broken and closed: the queues are not there any more */
    uint16_t last_group;   /* of provided buffers */
    struct loop_uring_shortage shortage;
    uint32_t setup_flags;
    struct io_uring ring;
};

static inline struct loop_uring *loop_uring_of(const struct loop *loop)
{
    return loop->backend_state;
}

/* A free entry of the submission queue, which must be filled in before the next is asked for; NULL when it is full. It
 * is cleared here: since 2.6 liburing clears entries in its own io_uring_get_sqe, and no longer where they are filled
 * in. */
static inline struct io_uring_sqe *loop_uring_entry(struct loop_uring *uring)
{
    uint32_t taken = uring->sq_tail - __atomic_load_n(uring->sq_head, __ATOMIC_ACQUIRE);
    if (taken >= uring->sq_size) {
        return NULL;
    }
    struct io_uring_sqe *entry = &uring->entries[uring->sq_tail++ & uring->sq_mask];
    *entry = (struct io_uring_sqe){0};
    return entry;
}

static inline uint32_t loop_uring_completions_ready(const struct loop_uring *uring)
{
    return __atomic_load_n(uring->cq_tail, __ATOMIC_ACQUIRE) - *uring->cq_head;
}

/* The entries filled in that the kernel has not taken yet. */
static inline uint32_t loop_uring_unsubmitted(const struct loop_uring *uring)
{
    return uring->sq_tail - __atomic_load_n(uring->sq_head, __ATOMIC_ACQUIRE);
}

/* The flags that the kernel sets on the submission queue: IORING_SQ_… */
static inline uint32_t loop_uring_queue_flags(const struct loop_uring *uring)
{
    return __atomic_load_n(uring->sq_flags, __ATOMIC_RELAXED);
}

/* Shows the kernel the entries filled in. It takes them when it is entered. */
static inline void loop_uring_publish(struct loop_uring *uring)
{
    __atomic_store_n(uring->sq_shared_tail, uring->sq_tail, __ATOMIC_RELEASE);
}

/* Enters the kernel as loop_uring_enter does, to submit entries that have been published. Always inline, because each
 * function on the stack here returns slowly; see loop_backend_ops.run. */
__attribute__((always_inline)) static inline int loop_uring_enter_now(struct loop_uring *uring, unsigned to_submit,
                                                                      unsigned wait_for, int64_t timeout_ns)
{
    unsigned flags = uring->enter_flags | (wait_for ? uring->wait_flags : 0);
    uring->loop->stats.enters++;
    if (!wait_for || timeout_ns == LOOP_NEVER) {
        return loop_kernel_io_uring_enter2(uring->enter_fd, to_submit, wait_for, flags, NULL, _NSIG / 8);
    }
    struct __kernel_timespec timeout = {.tv_sec = timeout_ns / LOOP_SECOND, .tv_nsec = timeout_ns % LOOP_SECOND};
    struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)&timeout};
    return loop_kernel_io_uring_enter2(uring->enter_fd, to_submit, wait_for, flags | IORING_ENTER_EXT_ARG,
                                       (sigset_t *)(void *)&arg, sizeof arg);
}

/* Enters the kernel: submits what is filled in, has it finish what it deferred, and waits for `wait_for` completions,
 * at most `timeout_ns`. What io_uring_enter(2) returns, as -errno. */
int loop_uring_enter(struct loop_uring *uring, unsigned wait_for, int64_t timeout_ns);

/* Fills in the entry that cancels what was submitted with `user_data`. That one's own completion has the outcome. */
void loop_uring_prepare_cancel(struct io_uring_sqe *entry, uint64_t user_data);

/* Asks the kernel to let go of a job that it has. */
void loop_uring_cancel(struct loop_uring *uring, struct loop_job *job);

/* The job's last completion has come: nothing of it is left in the kernel, or in line. */
void loop_uring_leave(struct loop_uring *uring, struct loop_job *job);

#endif
