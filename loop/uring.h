/* SPDX-License-Identifier: ISC
 *
 * What the files of the io_uring backend share. uring.c: the ring and its turn, lines and events. uring_setup.c: how a
 * ring is made, tried and taken down. uring_prepare.c: a job as a submission queue entry.
 * uring_order.c: which of several operations on a socket is next. uring_result.c: what comes of
 * one that isn't plain success. uring_watch.c: readiness. uring_broken.c: the end of a ring that can't be used any
 * more.
 *
 * liburing makes the ring and fills in entries. The queues themselves are read and written here: entering the kernel
 * must do three things at once (submit, run what the kernel has deferred, wait), which liburing's own calls don't
 * always do.
 */
#ifndef LOOP_URING_H
#define LOOP_URING_H

#include <loop/core.h>
#include <loop/uring_compat.h>

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

/* A poll's event is what the kernel found when it asked the file, or, where the file was woken once since the last
 * event, what the wake-up came with. A socket's wake-up for input always comes with POLLIN, POLLPRI and POLLRDBAND,
 * whatever came, and no socket has POLLRDBAND when it is asked: that bit tells the two apart. Returns the events
 * without what is not known; io.h says how the reader finds out. */
static inline uint32_t loop_uring_known_events(struct loop_fd *fd, uint32_t events)
{
    if (!(events & POLLRDBAND)) {
        return events;
    }
    if (fd->ready & POLLIN) {
        fd->doubts |= LOOP_DOUBT_ASK;
    }
    return events & ~(uint32_t)(POLLPRI | POLLRDBAND);
}

/* The polls that may be in flight for a descriptor. */
enum loop_uring_watch_kind {
    LOOP_URING_WATCH_IN,
    LOOP_URING_WATCH_OUT,
    LOOP_URING_WATCH_PRIORITY,
    LOOP_URING_WATCH_KINDS
};

/* The bits of fd->backend_id, by kind of watch. At most one poll of each kind is in flight, from the entry that arms it
 * to its last completion, so that none can be taken for another. */
#define LOOP_URING_ARMED(kind) (UINT32_C(1) << (kind))             /* its last completion is still to come */
#define LOOP_URING_ARM_DUE(kind) (UINT32_C(1) << (8 + (kind)))     /* in line for the entry that arms it */
#define LOOP_URING_CANCEL_DUE(kind) (UINT32_C(1) << (16 + (kind))) /* in line for the entry that cancels it */
#define LOOP_URING_LASTS(kind) (UINT32_C(1) << (24 + (kind)))      /* multishot: stays armed after an event */
#define LOOP_URING_LETTING_GO (UINT32_C(1) << 31)

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

/* ---- uring.c ---- */

/* Enters the kernel: submits what is filled in, has it finish what it deferred, and waits for `wait_for` completions,
 * at most `timeout_ns`. What io_uring_enter(2) returns, as -errno. */
int loop_uring_enter(struct loop_uring *uring, unsigned wait_for, int64_t timeout_ns);

/* Handles the completions that are there, a turn's share of them. From the dispatch only. */
void loop_uring_dispatch(struct loop_uring *uring);

/* Hands a job to the kernel, or puts it in line. */
void loop_uring_place(struct loop_uring *uring, struct loop_job *job);

/* Asks the kernel to let go of a job that it has. */
void loop_uring_cancel(struct loop_uring *uring, struct loop_job *job);

/* The job's last completion has come: nothing of it is left in the kernel, or in line. */
void loop_uring_leave(struct loop_uring *uring, struct loop_job *job);

/* ---- uring_order.c ---- */

/* Whether the kernel may have the job now. If not it stands in line (LOOP_AT_RING_LINE), and is started when it may. */
bool loop_uring_take_turn(struct loop_job *job);

/* A job that has its turn is no more the kernel's, nor in line for an entry: starts the next. */
void loop_uring_end_turn(struct loop *loop, struct loop_job *job);

static inline void loop_uring_drop_turn(struct loop *loop, struct loop_job *job)
{
    if (job->has_turn) {
        loop_uring_end_turn(loop, job);
    }
}

/* The job, which the kernel hasn't, goes on by system calls, ahead of those that wait for its turn. */
void loop_uring_go_on_elsewhere(struct loop *loop, struct loop_job *job);

/* An operation of the same direction of the socket, or a poll, waits by readiness: this one has to come after it. */
bool loop_uring_follows_others(const struct loop_job *job);

/* ---- uring_setup.c ---- */

int loop_uring_init(struct loop *loop);
void loop_uring_finish(struct loop *loop);

/* Gives the queues back and closes the ring. */
void loop_uring_unmap(struct loop_uring *uring);

/* Registers the region when it is first asked for: its pages are then made and pinned, which takes longer than all the
 * rest of a loop's beginning. */
bool loop_uring_region_is_fixed(const struct loop *loop);

/* ---- uring_prepare.c ---- */

/* In args.flags of an openat2: O_NONBLOCK was not asked for. */
#define LOOP_URING_OPEN_NONBLOCK 1u

void loop_uring_prepare(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job);
void loop_uring_prepare_cancel(struct io_uring_sqe *entry, uint64_t user_data);

/* The operations, as bits, that a kernel which knows `opcodes` lacks, and those that never go through the ring. */
uint32_t loop_uring_unknown_ops(const struct io_uring_probe *opcodes);
uint32_t loop_uring_foreign_ops(void);

/* ---- uring_result.c ---- */

/* A job that is done by system calls. */
void loop_uring_start_elsewhere(struct loop_uring *uring, struct loop_job *job);

/* A one-shot job has ended with an error, or is of an operation whose result has to be looked at. */
#define LOOP_URING_LOOKED_AT                                                                                           \
    (UINT32_C(1) << LOOP_OP_POLL | UINT32_C(1) << LOOP_OP_OPENAT2 | UINT32_C(1) << LOOP_OP_READ |                      \
     UINT32_C(1) << LOOP_OP_READV | UINT32_C(1) << LOOP_OP_WRITE | UINT32_C(1) << LOOP_OP_WRITEV |                     \
     UINT32_C(1) << LOOP_OP_READ_FIXED | UINT32_C(1) << LOOP_OP_WRITE_FIXED)
void loop_uring_result(struct loop_uring *uring, struct loop_job *job, int32_t result);

/* One completion of a multishot job. */
void loop_uring_multishot_event(struct loop_uring *uring, struct loop_job *job, int32_t result, uint32_t flags);

int loop_uring_buffers_init(struct loop *loop, struct loop_buffers *buffers);
void loop_uring_buffers_finish(struct loop *loop, struct loop_buffers *buffers);
void loop_uring_buffers_recycle(struct loop *loop, struct loop_buffers *buffers, unsigned index);

/* ---- uring_watch.c ---- */

int loop_uring_watch(struct loop *loop, struct loop_fd *fd, uint32_t events);
void loop_uring_unwatch(struct loop *loop, struct loop_fd *fd);

/* Any completion of a watch but the plain "there are events, and more may come". */
void loop_uring_watch_changed(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind,
                              int32_t result, uint32_t flags);

/* Fills in entries for the descriptors in line; false when the queue is full. */
bool loop_uring_serve_fds(struct loop_uring *uring);

/* The entry of that poll was not submitted, and never will be. */
void loop_uring_unarm(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind);

/* The ring is gone, and all polls with it. */
void loop_uring_forget_watches(struct loop *loop, struct loop_fd *fd);

/* ---- uring_broken.c ---- */

extern const struct loop_backend_ops loop_uring_broken;

/* Logs what io_uring_enter's error means, and the cure. */
void loop_uring_tell_broken(const struct loop_uring *uring, int error);

#endif
