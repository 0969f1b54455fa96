/* SPDX-License-Identifier: ISC
 *
 * Jobs: their struct, their kinds, and how a job is started, completed and cancelled. A job is made inline, because
 * every operation passes here and the compiler can drop what the caller already knows.
 */
#ifndef LOOP_CORE_JOB_H
#define LOOP_CORE_JOB_H

#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/scope.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Where a job is: the list that `link` is in, and who completes it. */
enum loop_where {
    LOOP_AT_START,      /* being made, or in no list */
    LOOP_AT_RUN_QUEUE,  /* has its result; its continuation is due */
    LOOP_AT_RING_LINE,  /* waits for an entry of the submission queue */
    LOOP_AT_RING,       /* in the kernel */
    LOOP_AT_WAIT,       /* in one of a descriptor's wait lists */
    LOOP_AT_POOL_LINE,  /* waits for a thread, or is on a thread */
    LOOP_AT_TIMER,      /* in the wheel */
    LOOP_AT_LEAVING,    /* a cancelled timer: in the wheel, and in loop->leaving */
    LOOP_AT_CHUNK_LINE, /* waits for a chunk */
    LOOP_AT_OWNER       /* held by the code that made it: a promise, or a job that waits for an inner job */
};

struct loop_job;

/* The outcome of a try of a job on its descriptor. */
enum loop_attempt {
    LOOP_ATTEMPT_DONE,  /* it is done, with its result in job->result */
    LOOP_ATTEMPT_AGAIN, /* not ready: wait for an event */
    LOOP_ATTEMPT_MORE,  /* it has used its share of this turn: try again in the next */
    LOOP_ATTEMPT_BUSY, /* the backend sends for it: its completion goes on, and no other job of the list comes before */
    LOOP_ATTEMPT_MOVED /* it has left this list by itself, or has ended */
};

/* A function for a thread of the pool. `buffer` is the thread's own memory from malloc, NULL at first. */
struct loop_thread_call {
    int64_t (*fn)(void *arg, void **buffer);
    void *arg;
};

/* What the pool keeps of a job that was given up, until its thread returns. */
struct loop_late {
    struct loop_list link;
    void (*came_back)(struct loop *loop,
                      struct loop_late *late); /* called from the dispatch, when the thread has returned */
};

/* How threads of the pool run the jobs of a kind. All functions but `give_up` are called under the pool's mutex. */
struct loop_thread_kind {
    /* Returns the function that a thread calls for the job. */
    struct loop_thread_call (*call)(struct loop_job *job);
    /* Returns, after a call that returned `result`, whether the job goes back to the end of the line. NULL: no. */
    bool (*goes_on)(const struct loop_job *job, int64_t result);
    /* Returns whether the call may take long. Such jobs leave half of the threads to the others. NULL: no. */
    bool (*takes_long)(const struct loop_job *job);
    /* Returns what is kept when a thread does not return in time. NULL: the job waits for the thread. */
    struct loop_late *(*late)(const struct loop_job *job);
    /* Ends such a job, which is in no list. On the loop's thread. */
    void (*give_up)(struct loop *loop, struct loop_job *job);
};

/* The value of `rest` for a job that continues. */
#define LOOP_GOES_ON INT64_MIN

/* The type of a job's continuation. */
enum loop_continuation {
    LOOP_CALLS_FN,        /* loop_fn */
    LOOP_CALLS_STREAM_FN, /* loop_stream_fn */
    LOOP_CALLS_RECV_FN    /* loop_recv_fn */
};

/* The properties of a kind of jobs. */
struct loop_job_kind {
    const char *name;
    /* Makes the job end soon. Called only while it has no result. Must not resume continuations. */
    void (*cancel)(struct loop *loop, struct loop_job *job);
    /* Tries the job, which is first in one of its descriptor's wait lists. NULL for a kind that never waits there. */
    enum loop_attempt (*attempt)(struct loop *loop, struct loop_job *job);
    /* Handles the result of a backend's operation, and may start the operation again. NULL: it is the job's result.
     * Called from the dispatch. */
    void (*backend_done)(struct loop *loop, struct loop_job *job, int64_t result);
    /* Handles the result of loop_backend_ops.send: the count, -EAGAIN without room, or -errno. The job is still in its
     * descriptor's wait list, unless the ring is broken. Or that of a receive into `room`: the count, 0 at the end,
     * -EAGAIN or -ECANCELED when it is to be tried by a system call, or -errno. The job is in no list then. From the
     * dispatch. NULL for a kind without either. */
    void (*transferred)(struct loop *loop, struct loop_job *job, int64_t result);
    /* Returns the buffer into which the backend may receive while the job is the first to wait for input. NULL: it only
     * reports that there is some. */
    struct iovec (*room)(const struct loop_job *job);
    /* Called for the descriptor after the continuation has been resumed; or NULL. */
    void (*resumed)(struct loop_fd *fd);
    /* Called when the job has the turn in one of a file's lines. NULL: the backend starts its operation. */
    void (*turn)(struct loop *loop, struct loop_job *job);
    /* Called when another job has joined a line in which this one has the turn. It may take long, and returns the turn
     * soon; or NULL. */
    void (*yield)(struct loop *loop, struct loop_job *job);
    /* Called with the chunk that the job has waited for, and now owns. */
    void (*got_chunk)(struct loop *loop, struct loop_job *job, struct loop_chunk *chunk);
    /* Pauses a stream. Idempotent, returns 0 or -ENOENT, and is called only while the job has no result. NULL for a job
     * that is no stream or cannot be paused. */
    int (*pause)(struct loop *loop, struct loop_job *job);
    /* Resumes a paused stream. Idempotent, returns 0 or -ENOENT, and is called only while the job has no result. NULL
     * where `pause` is NULL. */
    int (*resume)(struct loop *loop, struct loop_job *job);
    /* Puts bytes of the descriptor that the job has read and not delivered before its unread bytes: they follow others
     * that are given back now. Returns 0 or -ENOMEM. From anywhere. NULL for a kind that has none. */
    int (*unread_ahead)(struct loop *loop, struct loop_job *job);
    /* Ends the job, which waits in a line of writers, with `error`: a write in front of it has failed, and its bytes
     * would follow a gap. From anywhere. NULL for a kind that writes no bytes of a flow. */
    void (*lose)(struct loop *loop, struct loop_job *job, int64_t error);
    /* Called when a job with arguments ends, before its extra memory is freed; or NULL. From anywhere. */
    void (*leave)(struct loop_job *job);
    /* Called when the job has become a daemon; or NULL. */
    void (*made_daemon)(struct loop *loop, struct loop_job *job);
    /* Called with a result that is, or may be, less than what was asked for. Either stores the rest as the job's
     * arguments and returns LOOP_GOES_ON, or returns the job's result. NULL: any result ends the job. */
    int64_t (*rest)(struct loop_job *job, int64_t result);
    /* How a thread of the pool runs it. NULL: by the operation's system call. */
    const struct loop_thread_kind *thread;
    /* It takes all bytes that come, so the backend may receive before it is asked. */
    bool reads_ahead;
    /* The job uses u.args although it is no operation: its second descriptor and extra memory are released too. */
    bool uses_args;
    /* Its reads or writes of an O_DIRECT file may have any address, offset and length. */
    bool takes_unaligned;
    /* It is small, has a loop_fn, and is the first of the readers of its descriptor when a try has completed it. It has
     * neither backend_done nor resumed. */
    bool is_first_reader;
    /* It writes all of its part of u before reading it, so u is not cleared. */
    bool is_written_whole;
    /* It writes the bytes of a flow to its second descriptor. Otherwise it writes, if it does, to its first. */
    bool writes_second;
    uint8_t size;         /* enum loop_job_size */
    uint8_t continuation; /* enum loop_continuation */
};

#define LOOP_GATHER_MAX 64 /* vectors of a write in one call; the next call takes those beyond */

/* The vectors of a write, and how much of them has been written. */
struct loop_write_state {
    struct iovec single;
    const struct iovec *iov; /* NULL when the only vector is `single` */
    size_t total, done;      /* bytes, and how many of them have been written */
    /* Given back at the end: the chunk that the bytes of `single` are in, or, where these have been copied, a block
     * from malloc that begins with them; or NULL. */
    void *memory;
    size_t n_iov, at, at_offset; /* of `iov`: vectors, the next one, and how much of that has been written */
};

/* A job. Small and bare jobs are allocated without the fields at the end that they do not use. */
struct loop_job {
    uint64_t id; /* must be first (slab.h): the public handle */
    const struct loop_job_kind *kind;
    union {
        struct {
            struct loop_list link; /* in the list that `where` names */
            union {
                int64_t result;
                int64_t done; /* of a read that waits and is_exact: what has been read */
            };
        };
        struct loop_wheel_node timer; /* LOOP_AT_TIMER, LOOP_AT_LEAVING. Its `link` is the one above */
    };
    struct loop_hnode in_scope;
    uint8_t op; /* enum loop_op */
    union {
        struct {
            bool is_cancelled : 1; /* a cancel was requested */
            bool is_daemon : 1;
            bool is_otherwise : 1;       /* refused by the ring: served by system calls */
            bool is_multishot : 1;       /* accept_multishot, recv_multishot */
            bool is_backends : 1;        /* in the run queue for kind->backend_done rather than its continuation */
            bool has_failed : 1;         /* a write without whose bytes others would follow a gap (write_state.h) */
            bool needs_cancel_entry : 1; /* of the ring's backend: in line for the entry that cancels it */
            bool is_polled : 1;          /* of the ring's backend: in the ring that polls devices */
        };
        uint8_t flags; /* all of them */
    };
    uint8_t where; /* enum loop_where */
    union {
        bool has_turn;      /* of loop/backend/uring/order.c: the next in line waits for its end */
        bool is_delivering; /* of a stream: stream_state.h */
    };
    union {
        struct {             /* of an operation. Not next to `where`, or gcc reads both while a thread writes one */
            bool is_in_line; /* of the pool, under its mutex, while it has the job: no thread has taken it */
            uint8_t outcome; /* of the pool, when a thread has finished the job: enum loop_outcome */
        };
        struct { /* of a stream */
            bool is_paused;
            uint8_t n_wanted; /* chunks in the next read */
        };
        bool is_exact; /* of a read: it reads until the buffer is full */
    };
    int16_t why; /* it was cancelled because no event will come for it: ends with this error; or 0 */
    struct loop_scope *scope;
    loop_fn *fn;
    void *arg;
    /* a bare job ends here */
    struct loop_fd *fd;      /* a descriptor that the job uses, or NULL */
    struct loop_hnode in_fd; /* in fd->jobs */
    union {
        struct {
            union {
                loop_cancel_fn *on_cancel;
                const struct loop_stream_ops *ops; /* of a promised stream */
            };
            void *arg;
        } promise;
        struct {
            struct loop_chunk **where_to;
#if NORIA_DEBUG
            const void *caller; /* of loop_chunk_alloc_wait */
#endif
        } chunk;
        struct iovec read; /* the rest of the buffer */
        int64_t small[2];  /* for kinds defined elsewhere, such as streams and signals */
        /* only in large jobs: */
        struct loop_op_args args;
        struct loop_write_state write;
        int64_t large[10];
    } u;
};

#define LOOP_JOB_BARE_BYTES offsetof(struct loop_job, fd)

#define LOOP_JOB_SMALL_BYTES (offsetof(struct loop_job, u) + sizeof(((struct loop_job *)0)->u.small))

static_assert(sizeof(((struct loop_job *)0)->u) == sizeof(((struct loop_job *)0)->u.large),
              "no family makes jobs larger");

static_assert(sizeof(((struct loop_job *)0)->u.read) <= sizeof(((struct loop_job *)0)->u.small), "a read is small");

static_assert(LOOP_JOB_SMALL_BYTES <= 128, "an idle connection waits with one");

/* Returns the slab of the jobs of a kind. */
static inline struct loop_slab *loop_job_slab(struct loop *loop, const struct loop_job_kind *kind)
{
    return &loop->jobs[kind->size];
}

/* Initializes the fields that a bare job does not have. */
static inline void loop_job_clear_rest(struct loop_job *job, const struct loop_job_kind *kind)
{
    job->fd = NULL;
    job->in_fd.at = NULL;
    if (kind->is_written_whole) {
        return;
    }
    if (kind->size == LOOP_JOB_LARGE) {
        memset(&job->u, 0, sizeof job->u);
    } else {
        memset(&job->u, 0, sizeof job->u.small);
    }
}

/* Fills in what a job of any kind has, and counts it in its scope. */
__attribute__((always_inline)) static inline void loop_job_fill(struct loop_scope *scope, struct loop_job *job,
                                                                const struct loop_job_kind *kind, enum loop_where where,
                                                                loop_fn *fn, void *arg)
{
    job->op = LOOP_OP_NONE; /* the eight bytes become one store */
    job->flags = 0;
    job->where = (uint8_t)where;
    job->has_turn = false;
    job->is_in_line = false;
    job->outcome = 0;
    job->why = 0;
    job->kind = kind;
    job->fn = fn;
    job->arg = arg;
    job->scope = scope;
    loop_hlist_push(&scope->jobs, &job->in_scope);
    loop_scope_add_hold(scope, false);
}

/* Makes a job in `scope`. Returns NULL when there is no memory or the scope has ended. In a cancelled scope the caller
 * has to complete the job. The fields before u are set one by one, which costs less than clearing them first. */
__attribute__((always_inline)) static inline struct loop_job *
loop_job_make(struct loop_scope *scope, const struct loop_job_kind *kind, loop_fn *fn, void *arg)
{
    struct loop *loop = scope->loop;
    LOOP_CHECK_THREAD(loop);
    struct loop_job *job = loop_scope_takes_work(scope) ? loop_slab_take(loop_job_slab(loop, kind)) : NULL;
    if (job) {
        loop_job_fill(scope, job, kind, LOOP_AT_START, fn, arg);
        loop_list_init(&job->link);
        job->result = 0;
        if (kind->size != LOOP_JOB_BARE) {
            loop_job_clear_rest(job, kind);
        }
    }
    return job;
}

/* Returns the result that the continuation gets: a job that ends because its scope was cancelled ends with the scope's
 * reason, one whose event cannot come with the reason for that. */
static inline int64_t loop_job_told_result(const struct loop_job *job, int64_t result)
{
    const struct loop_scope *scope = job->scope;
    if (result != -ECANCELED) {
        return result;
    }
    return scope->is_cancelled ? loop_scope_reason(scope) : job->why ? job->why : result;
}

/* Returns the error with which a cancelled job ends: where no event will come for it that is the reason. */
static inline int64_t loop_job_cancel_error(const struct loop_job *job)
{
    return job->why ? job->why : -ECANCELED;
}

/* Sets the job's result and puts the job into the run queue, from which its continuation is resumed. Removes it from
 * the list it is in. */
void loop_job_complete(struct loop *loop, struct loop_job *job, int64_t result);

/* Makes the job use `fd`, which is open. */
static inline void loop_job_use(struct loop_job *job, struct loop_fd *fd)
{
    job->fd = fd;
    fd->uses++;
    loop_hlist_push(&fd->jobs, &job->in_fd);
}

/* Makes a job in `scope` for the continuation `fn`, and stores its id in `*id`: 0 when there is no memory or the scope
 * has ended. The job uses `fd`, if that is not NULL. A job whose scope is cancelled, or whose fd is closed, is
 * completed here. Returns NULL when nothing is left to do for the caller, which then returns `*id`. */
struct loop_job *loop_job_start(struct loop_scope *scope, struct loop_fd *fd, const struct loop_job_kind *kind,
                                loop_fn *fn, void *arg, loop_job *id);

/* Returns whether a job of that kind can be started in the scope without growing its slab, and does not end at once.
 * False as well where loop_job_start has to decide. */
static inline bool loop_job_is_ready(const struct loop_scope *scope, const struct loop_job_kind *kind)
{
    return scope->hindrances == 0 && loop_job_slab(scope->loop, kind)->free;
}

/* Does what loop_job_start does in the scope of `fd`, which is open, where loop_job_is_ready says so and the kind is
 * written whole. The caller puts the job into one of the descriptor's lines. */
__attribute__((always_inline)) static inline struct loop_job *
loop_job_start_ready(struct loop_fd *fd, const struct loop_job_kind *kind, loop_fn *fn, void *arg)
{
    struct loop_scope *scope = fd->scope;
    LOOP_CHECK_THREAD(scope->loop);
    struct loop_job *job = loop_slab_take(loop_job_slab(scope->loop, kind));
    assert(kind->is_written_whole);
    loop_job_fill(scope, job, kind, LOOP_AT_WAIT, fn, arg);
    loop_job_use(job, fd);
    return job;
}

/* Completes a job that may be in the wheel of timers, from which it is removed. */
void loop_timer_complete(struct loop *loop, struct loop_job *job, int64_t result);

/* Cancels a timer. It leaves the wheel for the run queue with the next loop_timers_leave, or earlier when many others
 * are cancelled. */
void loop_timer_cancel(struct loop *loop, struct loop_job *job);

/* Completes the timers in loop->leaving. */
void loop_timers_leave_now(struct loop *loop);

/* Returns whether there are timers in loop->leaving. */
static inline bool loop_timers_are_leaving(const struct loop *loop)
{
    return loop->leaving.n_added != loop->leaving.n_taken;
}

/* Completes the timers that were cancelled, before something else is put into the run queue, or it is looked at, or the
 * wheel hands out what is due. */
static inline void loop_timers_leave(struct loop *loop)
{
    if (loop_timers_are_leaving(loop)) {
        loop_timers_leave_now(loop);
    }
}

/* Completes an operation of the backend from anywhere: kind->backend_done is called when the job's turn in the run
 * queue comes. */
void loop_job_backend_complete(struct loop *loop, struct loop_job *job, int64_t result);

/* Returns the result of a job in the run queue. A read that the backend has given back keeps it in `why`, because it
 * may go on, with the count of what it has. */
static inline int64_t loop_job_due_result(const struct loop_job *job)
{
    return job->is_backends && job->kind->room ? job->why : job->result;
}

/* Requests that a job end. Returns false when it already has its result or was cancelled before. */
bool loop_job_cancel(struct loop *loop, struct loop_job *job);

/* Ends the job with -ECANCELED: the `cancel` of kinds that only wait. */
void loop_job_cancel_here(struct loop *loop, struct loop_job *job);

/* Cancels the job's operation in the backend: the `cancel` of kinds of operations. */
void loop_job_cancel_by_backend(struct loop *loop, struct loop_job *job);

/* Starts a job that has `result` from the start. Returns its id, or 0 as loop_job_start. */
loop_job loop_job_instant(struct loop_scope *scope, int64_t result, loop_fn *fn, void *arg);

/* Makes the job `inner` a daemon if it is in `scope`, where another job waits for it and holds the scope. One hold is
 * enough, and if that job becomes a daemon, the inner one must not keep the scope open. Returns `inner`. */
loop_job loop_job_inner(struct loop *loop, loop_job inner, const struct loop_scope *scope);

/* Makes the job use `second` as its second descriptor. */
void loop_job_use_second(struct loop_job *job, struct loop_fd *second);

/* Takes the job out of the list of its second descriptor, whose use the caller drops. */
void loop_job_unuse_second(struct loop_job *job);

/* Returns the job that was the first to use `fd` as its second descriptor, or NULL. */
struct loop_job *loop_job_oldest_second(struct loop_fd *fd);

/* Returns the next job with the same second descriptor, or NULL. */
struct loop_job *loop_job_newer_second(const struct loop_job *job);

/* Returns how many jobs there are. */
uint32_t loop_jobs_in_use(const struct loop *loop);

/* Returns how many jobs have been made. */
uint64_t loop_jobs_started(const struct loop *loop);

/* Returns for how many jobs memory has been allocated. */
uint32_t loop_jobs_capacity(const struct loop *loop);

/* Returns the job with that id, or NULL when it has ended. A job in the run queue is still found. */
static inline struct loop_job *loop_job_find(const struct loop *loop, uint64_t id)
{
    return loop_slab_find(&loop->jobs[loop_slab_mark_of(id)], id);
}

#endif
