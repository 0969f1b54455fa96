/* SPDX-License-Identifier: ISC
 *
 * The ring: its two queues as the kernel shares them, the backend's state, and the call that enters the kernel.
 *
 * liburing creates the ring and fills in entries. The queues are read and written here, because one enter must submit,
 * run the kernel's deferred work and wait at the same time. liburing's own calls do not always do all three.
 */
#ifndef LOOP_BACKEND_URING_RING_H
#define LOOP_BACKEND_URING_RING_H

#include <loop/core/job.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/kernel/ring.h>

#include <errno.h>

/* What a completion belongs to: the lowest three bits of its user_data. The rest is the id of a job, whose generation
 * has a late completion find nothing; or the address of a descriptor, which is not freed before the last completion of
 * its polls and its receive; or that of a job whose bytes the ring transfers, which does not end before the only
 * completion of that. */
enum loop_uring_tag {
    LOOP_URING_TAG_JOB,
    LOOP_URING_TAG_WATCH_IN, /* the watches stand in the order of enum loop_uring_watch_kind */
    LOOP_URING_TAG_WATCH_OUT,
    LOOP_URING_TAG_WATCH_PRIORITY,
    LOOP_URING_TAG_WATCH_HANGUP,
    LOOP_URING_TAG_RECEIVE,
    LOOP_URING_TAG_TRANSFER,
    LOOP_URING_TAG_IGNORED
};

#define LOOP_URING_TAG_BITS 3

static_assert(LOOP_SLAB_ID_BITS + LOOP_URING_TAG_BITS <= 64, "an id and a tag fit into user_data");

/* Returns the user_data of an entry. */
static inline uint64_t loop_uring_user_data(enum loop_uring_tag tag, uint64_t id)
{
    return id << LOOP_URING_TAG_BITS | (uint64_t)tag;
}

/* Returns the tag in user_data. */
static inline enum loop_uring_tag loop_uring_tag_of(uint64_t user_data)
{
    return (enum loop_uring_tag)(user_data & ((1u << LOOP_URING_TAG_BITS) - 1));
}

/* Returns the id in the user_data of a job. */
static inline uint64_t loop_uring_id_of(uint64_t user_data)
{
    return user_data >> LOOP_URING_TAG_BITS;
}

/* Returns the user_data of an entry for a descriptor by itself. */
static inline uint64_t loop_uring_fd_data(enum loop_uring_tag tag, const struct loop_fd *fd)
{
    assert(!loop_uring_tag_of((uintptr_t)fd));
    return (uintptr_t)fd + (uint64_t)tag;
}

/* Returns the descriptor in such user_data. */
static inline struct loop_fd *loop_uring_fd_of(uint64_t user_data, enum loop_uring_tag tag)
{
    return (struct loop_fd *)(void *)(uintptr_t)(user_data - (uint64_t)tag);
}

/* Returns the user_data of an entry that transfers bytes for a job. */
static inline uint64_t loop_uring_transfer_data(const struct loop_job *job)
{
    assert(job->op == LOOP_OP_NONE && !loop_uring_tag_of((uintptr_t)job));
    return (uintptr_t)job + (uint64_t)LOOP_URING_TAG_TRANSFER;
}

/* Returns the user_data of the entry of a job, whichever it is. */
static inline uint64_t loop_uring_job_data(const struct loop_job *job)
{
    return job->op == LOOP_OP_NONE ? loop_uring_transfer_data(job) : loop_uring_user_data(LOOP_URING_TAG_JOB, job->id);
}

/* Returns the job in the user_data of a transfer. */
static inline struct loop_job *loop_uring_transfer_of(uint64_t user_data)
{
    return (struct loop_job *)(void *)(uintptr_t)(user_data - (uint64_t)LOOP_URING_TAG_TRANSFER);
}

/* What can be in flight for a descriptor by itself: its polls, and a receive. */
enum loop_uring_watch_kind {
    LOOP_URING_WATCH_IN,
    LOOP_URING_WATCH_OUT,
    LOOP_URING_WATCH_PRIORITY,
    LOOP_URING_WATCH_HANGUP, /* beside a receive: its end may come without a completion */
    LOOP_URING_RECEIVE,
    LOOP_URING_WATCH_KINDS
};

/* A period in which the kernel has no memory for io_uring_enter. */
struct loop_uring_shortage {
    uint64_t last_turn; /* the last turn in which an enter failed */
    int64_t began_ns;
    int64_t sleep_ns; /* the next sleep between two turns */
    bool is_told;     /* the log has a warning about it */
};

struct loop_uring_receiver;

/* How many descriptors have input at once. The more there are, the more one io_uring_enter(2) does. */
struct loop_uring_inputs {
    uint32_t n;       /* events of input in this turn */
    uint32_t average; /* of the last turns with events, in sixteenths */
    uint32_t enough;  /* of those, in sixteenths, for flows to receive and send by the ring; 0: it does not depend */
};

/* The memory of the region that is registered: in buffers of `each_bytes` bytes, from number 0 on. */
struct loop_uring_fixed {
    const char *memory;
    size_t size_bytes; /* 0: nothing is registered */
    size_t each_bytes;
};

/* The state of the backend. */
struct loop_uring {
    /* The queues as the kernel shares them. */
    struct io_uring_sqe *entries;
    const uint32_t *sq_head, *sq_flags;
    uint32_t *sq_shared_tail;
    uint32_t sq_tail; /* after the entries filled in; loop_uring_publish stores it in *sq_shared_tail */
    uint32_t sq_mask, sq_size;
    const struct io_uring_cqe *completions;
    uint32_t *cq_head;
    const uint32_t *cq_tail;
    uint32_t cq_mask, cq_size;
    uint32_t nothing; /* target of the pointers in a forked child */

    struct loop *loop;
    struct loop_list line;                 /* jobs that wait for a free entry, to be started or cancelled; by link */
    uint32_t first_in_line, *last_in_line; /* descriptors that wait for a free entry: indices, as next_in_line */
    uint32_t elsewhere;                    /* operations, as bits, that system calls serve in place of the ring */
    uint32_t in_flight;                    /* jobs and polls that the kernel has */
    unsigned enter_fd;
    uint32_t enter_flags, wait_flags;
    bool is_polled;            /* a kernel thread submits (SQPOLL) */
    bool is_iopoll_broken;     /* iopoll cannot be entered any more */
    bool has_overflown;        /* the completion queue had overflown in the last turn */
    bool has_tried_region;     /* registering the region has been tried */
    bool has_shared_region;    /* and is done for all loops of the region */
    bool is_gone;              /* the ring is broken and closed: the queues are unmapped */
    bool refuses_pipes;        /* flows go by completions, but not pipes: the kernel does not wait for one */
    bool refuses_pipe_streams; /* nor streams from them: the kernel is older than 6.7 */
    struct loop_uring_fixed fixed;
    struct loop_uring_inputs inputs;
    uint32_t noise;                           /* of the hard mode in which flows change their way at every step */
    uint16_t last_group;                      /* the number of the last group of provided buffers */
    struct loop_uring_receiver *receivers[2]; /* the small and the large buffers of completions.c, each from its first
                                                 receive on; or NULL */
    struct loop_uring *iopoll;                /* the ring that polls devices (iopoll/iopoll.c), or NULL */
    void *gathered; /* of completions.c: the vectors of sends that have not been submitted; or NULL */
    unsigned n_gathered;
    struct loop_uring_shortage shortage;
    const uint32_t *cq_lost; /* how many completions the kernel had no memory for; shared, as the queues are */
    uint32_t setup_flags;
    struct io_uring ring;
};

/* Returns the backend's state of a loop that runs on io_uring. */
static inline struct loop_uring *loop_uring_of(const struct loop *loop)
{
    return loop->backend_state;
}

/* Has all flows go by readiness from now on: the kernel, or the memory, does not serve them otherwise. */
static inline void loop_uring_refuse_completions(struct loop_uring *uring)
{
    uring->loop->prefers_completions = false;
    uring->inputs.enough = 0;
}

/* Takes the next free entry of the submission queue. The caller fills it in before it takes another. Returns NULL when
 * the queue is full. Clears the entry, because since version 2.6 the io_uring_prep_… functions of liburing do not. */
__attribute__((always_inline)) static inline struct io_uring_sqe *loop_uring_entry(struct loop_uring *uring)
{
    uint32_t taken = uring->sq_tail - __atomic_load_n(uring->sq_head, __ATOMIC_ACQUIRE);
    if (taken >= uring->sq_size) {
        return NULL;
    }
    struct io_uring_sqe *entry = &uring->entries[uring->sq_tail++ & uring->sq_mask];
    *entry = (struct io_uring_sqe){0};
    return entry;
}

/* Returns how many completions wait in the completion queue. */
static inline uint32_t loop_uring_completions_ready(const struct loop_uring *uring)
{
    return __atomic_load_n(uring->cq_tail, __ATOMIC_ACQUIRE) - *uring->cq_head;
}

/* Returns how many entries are filled in and not taken by the kernel yet. */
static inline uint32_t loop_uring_unsubmitted(const struct loop_uring *uring)
{
    return uring->sq_tail - __atomic_load_n(uring->sq_head, __ATOMIC_ACQUIRE);
}

/* Returns the flags that the kernel sets on the submission queue: IORING_SQ_… */
static inline uint32_t loop_uring_queue_flags(const struct loop_uring *uring)
{
    return __atomic_load_n(uring->sq_flags, __ATOMIC_RELAXED);
}

/* Makes the entries filled in visible to the kernel, which takes them at the next enter. */
static inline void loop_uring_publish(struct loop_uring *uring)
{
    __atomic_store_n(uring->sq_shared_tail, uring->sq_tail, __ATOMIC_RELEASE);
}

/* Calls io_uring_enter: submits `to_submit` published entries, has the kernel run its deferred work, and waits for
 * `wait_for` completions, for at most `timeout_ns`. Returns what the call returns, as -errno. Always inline, because a
 * return to each function on the stack is mispredicted after a system call; see loop_backend_ops.run. */
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

/* Calls io_uring_enter to submit `to_submit` published entries. The kernel runs no deferred work. Returns what the call
 * returns, as -errno. */
static inline int loop_uring_submit_now(struct loop_uring *uring, unsigned to_submit)
{
    uring->loop->stats.enters++;
    return loop_kernel_io_uring_enter2(uring->enter_fd, to_submit, 0, uring->enter_flags & ~IORING_ENTER_GETEVENTS,
                                       NULL, _NSIG / 8);
}

/* Whether the ring works after such a result of io_uring_enter. A signal and a timeout are normal. How many entries
 * were submitted is read from the queue, not from the result. */
static inline bool loop_uring_is_fine(int result)
{
    return __builtin_expect(result >= 0 || result == -EINTR || result == -ETIME, true);
}

/* Whether the kernel has no memory, or no room for completions. */
static inline bool loop_uring_is_shortage(int result)
{
    return __builtin_expect(result < 0, false) &&
           (result == -EAGAIN || result == -EBUSY || result == -ENOMEM || result == -ENOBUFS);
}

/* Creates a ring with these set-up flags. Returns 0 or -errno. */
int loop_uring_make(struct loop_uring *uring, unsigned sq_size, unsigned cq_size, uint32_t flags);

/* Fills in where the queues of a ring that was made are, and how to enter it. */
void loop_uring_map(struct loop_uring *uring);

/* Points the queues of a forked child, where they are not mapped, to a full submission queue and an empty completion
 * queue. */
void loop_uring_detach(struct loop_uring *uring);

/* Registers a ring of provided buffers under a free group number, uring->last_group. There are 65536, and those of
 * finished groups are reused. Returns 0 or -errno; -EEXIST in a forked child, where the kernel has it for any number:
 * the ring is the parent's. */
int loop_uring_register_group(struct loop_uring *uring, void *ring, unsigned entries);

/* Creates a ring that is never entered: it only has buffers, for rings of any thread to clone. Returns 0 or -errno. */
int loop_uring_make_source(struct io_uring *source);

/* Unmaps the queues of a ring and closes it. */
void loop_uring_exit(struct io_uring *ring);

/* Unmaps the queues and closes the ring. */
void loop_uring_unmap(struct loop_uring *uring);

/* Closes the ring with what is registered, if it is still open. */
void loop_uring_close(struct loop_uring *uring);

/* Publishes all entries filled in and enters the kernel: submits them, has it run its deferred work, and waits for
 * `wait_for` completions, for at most `timeout_ns`. Returns what io_uring_enter(2) returns, as -errno. */
int loop_uring_enter(struct loop_uring *uring, unsigned wait_for, int64_t timeout_ns);

/* Fills in an entry that cancels the operation submitted with `user_data`. The outcome is in the completion of that
 * operation: a cancel that finds it has no completion of its own. */
void loop_uring_prepare_cancel(struct io_uring_sqe *entry, uint64_t user_data);

/* Asks the kernel to cancel a job that it has. When the submission queue is full, the cancel waits in line. */
void loop_uring_cancel(struct loop_uring *uring, struct loop_job *job);

/* Notes that the job's last completion has come: takes it out of the line of cancels and of the count in flight. */
void loop_uring_leave(struct loop_uring *uring, struct loop_job *job);

#endif
