/* SPDX-License-Identifier: ISC
 *
 * How a job is made, inline: all that is started passes here, and what is known where it is started is not asked again.
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

/* Where a job is, which is where `link` is linked, and who ends it. */
enum loop_where {
    LOOP_AT_START,      /* being made */
    LOOP_AT_RUN_QUEUE,  /* has its result; the continuation is due */
    LOOP_AT_RING_LINE,  /* waits in line for a place in the submission queue */
    LOOP_AT_RING,       /* the kernel has it */
    LOOP_AT_WAIT,       /* in one of a descriptor's wait lists */
    LOOP_AT_POOL_LINE,  /* waits for a thread, or a thread has it */
    LOOP_AT_TIMER,      /* in the wheel */
    LOOP_AT_CHUNK_LINE, /* waits for a chunk */
    LOOP_AT_OWNER       /* whoever made it holds it: a promise, a composite that waits for an inner job */
};

struct loop_job;

/* What came of trying a job on its descriptor. */
enum loop_attempt {
    LOOP_ATTEMPT_DONE,  /* it has its result in job->result */
    LOOP_ATTEMPT_AGAIN, /* not ready: wait for an event */
    LOOP_ATTEMPT_MORE,  /* its share of this turn is used up: try again in the next */
    LOOP_ATTEMPT_MOVED  /* it has left this list by itself (also when it has been finished) */
};

/* What a thread calls: `buffer` is the thread's own, from malloc, NULL at first. */
struct loop_thread_call {
    int64_t (*fn)(void *arg, void **buffer);
    void *arg;
};

/* What the pool keeps while a thread has not come back from work that was given up. */
struct loop_late {
    struct loop_list link;
    void (*came_back)(struct loop *loop, struct loop_late *late); /* from the dispatch */
};

/* What threads of the pool do for the jobs of a kind. All but `give_up` are called under the pool's mutex. */
struct loop_thread_kind {
    /* A thread takes the job: what it calls. */
    struct loop_thread_call (*call)(struct loop_job *job);
    /* The call has returned `result`: whether the job goes to the end of the line for another. NULL: no. */
    bool (*goes_on)(const struct loop_job *job, int64_t result);
    /* Whether the call may take long; such jobs leave half of the threads to the others. NULL: no. */
    bool (*takes_long)(const struct loop_job *job);
    /* The thread does not come back in time: what is kept until it does. NULL: the job waits for the thread. */
    struct loop_late *(*late)(const struct loop_job *job);
    /* Then: ends the job, which is in no list. On the loop's thread. */
    void (*give_up)(struct loop *loop, struct loop_job *job);
};

/* An answer of `rest`. */
#define LOOP_GOES_ON INT64_MIN

/* The type of a job's continuation. */
enum loop_continuation {
    LOOP_CALLS_FN,        /* loop_fn */
    LOOP_CALLS_STREAM_FN, /* loop_stream_fn */
    LOOP_CALLS_RECV_FN    /* loop_recv_fn */
};

/* How a family of jobs behaves. */
struct loop_job_kind {
    const char *name;
    /* Sees to it that the job ends soon. Only called while it has no result. May not resume continuations. */
    void (*cancel)(struct loop *loop, struct loop_job *job);
    /* Tries the job, which is first in one of its descriptor's wait lists. NULL when it never waits there. */
    enum loop_attempt (*attempt)(struct loop *loop, struct loop_job *job);
    /* The result of a backend's operation. NULL: it is the job's result. Otherwise this decides (and may start the
     * operation again). Called from the dispatch. */
    void (*backend_done)(struct loop *loop, struct loop_job *job, int64_t result);
    /* Something to do for the descriptor once the continuation has been resumed, or NULL. */
    void (*resumed)(struct loop_fd *fd);
    /* It is the first in one of a file's lines, and has the turn there. NULL: the backend starts its operation. */
    void (*turn)(struct loop *loop, struct loop_job *job);
    /* Another job has joined a line in which it has the turn: it may take long and gives the turn back soon, or
     * NULL. */
    void (*yield)(struct loop *loop, struct loop_job *job);
    /* The chunk for which it stood in line has come, and is the job's. */
    void (*got_chunk)(struct loop *loop, struct loop_job *job, struct loop_chunk *chunk);
    /* A stream's: hold it back, and let it go on. Idempotent, return 0 or -ENOENT, and are only called while it has no
     * result. NULL in both: the job is no stream, or one that can not be held back. */
    int (*pause)(struct loop *loop, struct loop_job *job);
    int (*resume)(struct loop *loop, struct loop_job *job);
    /* It has become a daemon. NULL: nothing else has to. */
    void (*made_daemon)(struct loop *loop, struct loop_job *job);
    /* The result of an operation is less than what was asked for, or may be: the job goes on with the rest, which it
     * then has for its arguments (LOOP_GOES_ON), or ends with what this returns. NULL: any result ends it. */
    int64_t (*rest)(struct loop_job *job, int64_t result);
    /* What a thread of the pool does for it. NULL: the operation's system call. */
    const struct loop_thread_kind *thread;
    /* u.args is in use though it is no operation: its second descriptor and extra memory are given back at the end. */
    bool uses_args;
    /* Its reads or writes of a file that is O_DIRECT may have any address, offset and length. */
    bool takes_unaligned;
    /* It writes all of its part of u before anybody reads it: that need not be cleared. */
    bool is_written_whole;
    uint8_t size;         /* enum loop_job_size */
    uint8_t continuation; /* enum loop_continuation */
};

/* What a write consists of, and how far it got. */
struct loop_write_state {
    const struct iovec *iov; /* NULL: the one vector is `single` */
    struct iovec single;
    size_t n_iov, at, at_offset; /* the vector that is next, and what of it has gone */
    size_t total, done;          /* bytes */
    struct loop_chunk *chunk;    /* to be given back at the end, or NULL */
    void *moved;                 /* from malloc: what was in the chunk, when that was wanted elsewhere; or NULL */
};

struct loop_job {
    uint64_t id; /* must be first (slab.h): the public handle */
    const struct loop_job_kind *kind;
    union {
        struct {
            struct loop_list link; /* where `where` says */
            int64_t result;
        };
        struct loop_wheel_node timer; /* LOOP_AT_TIMER: linked by its `link`, which is the same one */
    };
    struct loop_hnode in_scope;
    uint8_t op;    /* enum loop_op */
    uint8_t where; /* enum loop_where */
    union {
        struct {
            bool is_cancelled : 1; /* was asked to end */
            bool is_daemon : 1;
            bool is_otherwise : 1;       /* the ring refused it: served by system calls */
            bool is_multishot : 1;       /* accept_multishot, recv_multishot */
            bool is_backends : 1;        /* in the run queue for kind->backend_done, not for its continuation */
            bool needs_cancel_entry : 1; /* uring: in line for the entry that cancels it */
        };
        uint8_t flags; /* all of them */
    };
    bool has_turn;   /* uring_order.c's: the next in line waits for its end */
    bool is_in_line; /* the pool's, under its mutex, while it has the job: no thread has taken it */
    struct loop_scope *scope;
    loop_fn *fn;
    void *arg;
    /* a bare job ends here */
    struct loop_fd *fd;      /* in use by this job, or NULL */
    struct loop_hnode in_fd; /* in fd->jobs */
    union {
        struct {
            union {
                loop_cancel_fn *on_cancel;
                const struct loop_stream_ops *ops; /* of a promise that is a stream */
            };
            void *arg;
        } promise;
        struct {
            struct loop_chunk **where_to;
#if NORIA_DEBUG
            const void *caller; /* of loop_chunk_alloc_wait */
#endif
        } chunk;
        struct {
            struct iovec rest; /* what is still to be filled */
            size_t done;
            bool is_exact; /* until all of it is */
        } read;
        int64_t small[4]; /* for kinds of other parts: flow.c, stream.c, signal.c */
        /* only of kinds that are large: */
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

static inline struct loop_slab *loop_job_slab(struct loop *loop, const struct loop_job_kind *kind)
{
    return &loop->jobs[kind->size];
}

/* What a bare job hasn't got. */
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

/* A job in `scope`, also in one that is cancelled: then the caller has to complete it. NULL when there is no memory or
 * the scope has ended. What is before u is written one by one: that is less than clearing it first. */
static inline struct loop_job *loop_job_make(struct loop_scope *scope, const struct loop_job_kind *kind, loop_fn *fn,
                                             void *arg)
{
    struct loop *loop = scope->loop;
    LOOP_CHECK_THREAD(loop);
    struct loop_job *job = loop_scope_takes_work(scope) ? loop_slab_take(loop_job_slab(loop, kind)) : NULL;
    if (!job) {
        return NULL;
    }
    job->kind = kind;
    loop_list_init(&job->link);
    job->result = 0;
    job->fn = fn;
    job->arg = arg;
    job->op = LOOP_OP_NONE;
    job->where = LOOP_AT_START;
    job->flags = 0;
    if (kind->size != LOOP_JOB_BARE) {
        loop_job_clear_rest(job, kind);
    }
    job->scope = scope;
    loop_hlist_push(&scope->jobs, &job->in_scope);
    loop_scope_add_hold(scope, false);
    loop->stats.jobs_started++;
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
    return scope->is_cancelled ? scope->reason : scope->loop->wait_error ? scope->loop->wait_error : result;
}

/* Makes a job in `scope` for the continuation `fn`, and stores its id in `*id`: 0 when there is no memory or the scope
 * has ended. The job uses `fd`, if that is not NULL. A job whose scope is cancelled, or whose fd is closed, is
 * completed here. Returns NULL when nothing is left to do for the caller, which then returns `*id`. */
struct loop_job *loop_job_start(struct loop_scope *scope, struct loop_fd *fd, const struct loop_job_kind *kind,
                                loop_fn *fn, void *arg, loop_job *id);

/* Gives the job its result; its continuation will be resumed from the run queue. Takes it out of the list it is in. */
void loop_job_complete(struct loop *loop, struct loop_job *job, int64_t result);

/* The same for a job that may be in the wheel of timers: takes it out of that. */
void loop_timer_complete(struct loop *loop, struct loop_job *job, int64_t result);

/* The same from anywhere: it happens when the job's turn in the run queue comes. */
void loop_job_backend_complete(struct loop *loop, struct loop_job *job, int64_t result);

/* Asks a job to end; false when there was nothing to ask. */
bool loop_job_cancel(struct loop *loop, struct loop_job *job);

/* The cancel of kinds that nobody else has a hand on: ends with -ECANCELED. */
void loop_job_cancel_here(struct loop *loop, struct loop_job *job);

/* The cancel of kinds of operations: the backend ends them. */
void loop_job_cancel_by_backend(struct loop *loop, struct loop_job *job);

/* Starts a job that has its result from the start. Returns its id, or 0 as loop_job_start. */
loop_job loop_job_instant(struct loop_scope *scope, int64_t result, loop_fn *fn, void *arg);

/* Makes the job `inner` a daemon where it is in `scope`, which another job, that waits for it, holds: one hold is
 * enough, and that job, made a daemon, must not keep the scope open by an inner one. Returns `inner`. */
loop_job loop_job_inner(struct loop *loop, loop_job inner, const struct loop_scope *scope);

/* Counts `second` as used by the job too. */
void loop_job_use_second(struct loop_job *job, struct loop_fd *second);

/* How many there are, and for how many there is memory. */
uint32_t loop_jobs_in_use(const struct loop *loop);

uint32_t loop_jobs_capacity(const struct loop *loop);

/* The job with that id, or NULL when it has ended. One in the run queue is still found. */
static inline struct loop_job *loop_job_find(const struct loop *loop, uint64_t id)
{
    return loop_slab_find(&loop->jobs[loop_slab_mark_of(id)], id);
}

#endif
