/* SPDX-License-Identifier: ISC
 *
 * What the parts of the loop know of each other: the job, the descriptor, the scope, the loop, and the backend, which
 * is the narrow waist. Above the backend nothing knows which one runs; below it nothing knows what a source or a
 * connection is.
 *
 * A job's way. A call takes a job from the slab (loop_job_start), fills in its arguments and hands it to whoever will
 * end it: a backend, a descriptor's wait list, the timers, the pool. That one ends it with loop_job_complete, which may
 * be called from anywhere on the loop's thread: the continuation then waits in the run queue; or with loop_job_finish,
 * which resumes the continuation at once and may only be called from the loop's dispatch, where no user function is on
 * the stack.
 */
#ifndef LOOP_CORE_H
#define LOOP_CORE_H

#include <loop/ground/hard.h>
#include <loop/ground/list.h>
#include <loop/loop.h>
#include <loop/low_level.h>
#include <loop/core/operation.h>
#include <loop/ground/slab.h>
#include <loop/ground/wheel.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

/* ---- places ---- */

/* Where a public function was called, for debug builds to name it. */
struct loop_place {
    const char *function;
    const void *caller; /* the address to which it returns */
};

/* In a public function: this call of it. */
#define LOOP_THIS_CALL ((struct loop_place){__func__, __builtin_return_address(0)})

/* ---- jobs ---- */

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

/* Jobs of one size have a slab of their own; the number is in the two bits of an id that are the slab's mark. Timers
 * are made a million at a time, reads and streams wait on every connection: what they don't use isn't there. */
enum loop_job_size {
    LOOP_JOB_SMALL, /* up to u.small */
    LOOP_JOB_LARGE, /* all of it */
    LOOP_JOB_BARE,  /* up to `fd`: neither that nor u may be touched */
    LOOP_JOB_SIZES = 1 << LOOP_SLAB_MARK_BITS
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
    /* Another job has joined a line in which it has the turn: it may take long and gives the turn back soon, or NULL.
     */
    void (*yield)(struct loop *loop, struct loop_job *job);
    /* The chunk for which it stood in line has come, and is the job's. */
    void (*got_chunk)(struct loop *loop, struct loop_job *job, struct loop_chunk *chunk);
    /* A stream's: hold it back, and let it go on. Both are idempotent, and only called while it has no result. */
    void (*pause)(struct loop *loop, struct loop_job *job);
    void (*resume)(struct loop *loop, struct loop_job *job);
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
            loop_cancel_fn *on_cancel;
            void *cancel_arg;
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

/* Makes a job in `scope` for the continuation `fn`, and stores its id in `*id`: 0 when there is no memory or the scope
 * has ended. The job uses `fd`, if that is not NULL. A job whose scope is cancelled, or whose fd is closed, is
 * completed here. Returns NULL when nothing is left to do for the caller, which then returns `*id`. */
struct loop_job *loop_job_start(struct loop_scope *scope, struct loop_fd *fd, const struct loop_job_kind *kind,
                                loop_fn *fn, void *arg, loop_job *id);

/* Gives the job its result; its continuation will be resumed from the run queue. Takes it out of the list it is in. */
void loop_job_complete(struct loop *loop, struct loop_job *job, int64_t result);

/* The same for a job that may be in the wheel of timers: takes it out of that. */
void loop_timer_complete(struct loop *loop, struct loop_job *job, int64_t result);

/* The same, but resumes the continuation now. From the dispatch only. The job is gone afterwards. */
void loop_job_finish(struct loop *loop, struct loop_job *job, int64_t result);

/* The same for a job that has no continuation: nothing of the program's runs, so that it may be called from the
 * settling as well. */
void loop_job_end_unheard(struct loop *loop, struct loop_job *job, int64_t result);

/* Resumes the continuation of a multishot job without ending it. From the dispatch only. `data` goes to the
 * loop_recv_fn of recv_multishot, or the loop_stream_fn of a stream; the last resume, by loop_job_finish, gives it
 * NULL. The job may have been cancelled, but not ended, when this returns. */
void loop_job_emit(struct loop *loop, struct loop_job *job, int64_t result, void *data);

/* What a backend calls with an operation's result: kind->backend_done, or loop_job_finish. From the dispatch only. */
void loop_job_backend_done(struct loop *loop, struct loop_job *job, int64_t result);

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

/* Runs at most `most` continuations of the run queue. From the dispatch only. */
void loop_jobs_run(struct loop *loop, unsigned most);

/* ---- descriptors ---- */

/* How bytes are moved without blocking the thread. */
enum loop_io {
    LOOP_IO_SOCKET,      /* recv and send with MSG_DONTWAIT */
    LOOP_IO_NONBLOCKING, /* read and write: the descriptor is O_NONBLOCK */
    LOOP_IO_NOWAIT,      /* preadv2 and pwritev2 with RWF_NOWAIT: somebody else's blocking pipe */
    LOOP_IO_POLLED,      /* poll first, then move no more than can't block */
    LOOP_IO_BLOCKING,    /* a file, a terminal's output: an operation of the backend */
    LOOP_IO_UNREAD       /* read_by only: what is kept for the next reads comes first, and plain_read_by after it */
};

/* Why a short read may not have emptied a descriptor. None: it has. See io.h. */
enum loop_doubt {
    LOOP_DOUBT_ASK = 1,   /* poll(2) has to tell */
    LOOP_DOUBT_ALWAYS = 2 /* read until -EAGAIN */
};

enum loop_fd_state {
    LOOP_FD_OPEN,
    LOOP_FD_CLOSING,
    LOOP_FD_CLOSED,
    LOOP_FD_GONE /* out of its scope: destroyed, or the scope has ended. Only pins and uses keep the object */
};

/* One direction of a socket, or the polls of a descriptor: who is the kernel's next there (uring_order.c). */
struct loop_turn {
    struct loop_list line; /* jobs, by link */
    bool is_taken;
};

struct loop_fd {
    uint64_t id;         /* must be first: names it in the kernel's events */
    int number;          /* -1 once closed */
    int32_t write_error; /* of the last write, where it failed, for those who wait for the queue to drain */
    int32_t read_error;  /* kept for the next read: unread.h; or 0 */
    uint8_t state;
    uint8_t read_by, write_by; /* enum loop_io */
    uint8_t plain_read_by;     /* while read_by is LOOP_IO_UNREAD */
    uint8_t doubts;            /* enum loop_doubt: whether a read that got less than asked for has emptied it */
    bool is_borrowed : 1;
    bool is_taken : 1;       /* the number goes to `closer` instead of close(2) */
    bool is_destroyed : 1;   /* give the object back when closed */
    bool is_unwatching : 1;  /* the backend was asked to let go */
    bool has_overflowed : 1; /* a write was refused, and its writer doesn't know yet */
    bool is_direct : 1;      /* a file that was O_DIRECT when it was taken in: its reads wait for the disk */
    bool is_regular : 1;
    bool reads_wait : 1, writes_wait : 1; /* a file's: the kernel has no RWF_NOWAIT for them */
    bool is_byte_stream : 1;              /* bytes without boundaries, which may be moved in any pieces */
    bool is_probed : 1;                   /* a file: whether it can be polled has been asked */
    bool is_pollable : 1;                 /* it can: some of /proc and /sys, which call themselves regular */
    bool may_listen : 1;                  /* a socket that hasn't been found to be connected */
    bool is_listener : 1;                 /* it has been found to listen */
    bool has_vague_events : 1;            /* which don't say whether there is an urgent mark: see io.h */
    bool is_unix : 1;                     /* a Unix stream socket: recvmsg(2) tells where it stopped */
    bool is_shut : 1;                     /* it was shut down for output: there will be no room any more */
    bool was_readable : 1;                /* `ready` had POLLIN when bytes were given back */
    uint32_t uses;                        /* keep it from being closed */
    uint32_t pins;                        /* keep the object: loop_fd_pin */
    uint32_t ready;                       /* POLLIN, POLLOUT: believed ready until a call says otherwise. A file's: also
                                             POLLPRI, POLLERR, which no poll job has been told of yet */
    uint32_t watched;                     /* the backend's: events it has asked the kernel for */
    uint32_t backend_id;                  /* the backend's: the watch in flight */
    struct loop_list readers;             /* jobs that wait, in order; only the first is tried */
    struct loop_list active;              /* in loop->active: to be looked at in the next dispatch */
    struct loop_list writers;             /* as readers */
    struct loop_list pollers;             /* jobs that wait for events or for the queue to drain: all are tried */
    struct loop_list dirty;               /* in loop->dirty: writes to be sent when the continuation has returned */
    size_t queued_bytes, limit_bytes;
    struct loop_scope *scope;
    struct loop_hnode in_scope;
    struct loop_hnode in_number;   /* in loop->numbers, while it has a number */
    uint64_t identity;             /* a borrowed one's: of the file that its number named when it was borrowed */
    struct loop_hlist jobs;        /* jobs that use it, by in_fd */
    struct loop_hlist second_jobs; /* jobs that use it as their second descriptor, by u.args.in_second */
    struct loop_list backend_link; /* the backend's */
    struct loop_turn receiving, sending, polling; /* the ring's operations */
    struct loop_job *closer;                      /* hears when it is closed, or gets the number */
    struct loop_job *reading,
        *writing;              /* a file's (LOOP_IO_BLOCKING) operation in flight for the flow: one at a time */
    struct loop_block *unread; /* bytes that were given back: unread.h */
    uint32_t moving;           /* the pool's: operations it has that may move the file's position */
    uint32_t late_uses;        /* of its number, by threads of the pool whose jobs have ended: see work.h */
    int late_number;           /* what these keep open when the descriptor is closed; -1 when there is none */
    struct loop_flow flow;     /* filled in by loop_fd_flow */
#if NORIA_DEBUG
    int was_number;              /* for as long as the object's memory is not used again */
    struct loop_place destroyed; /* where it was: unless it went with its scope */
    uint32_t own_uses;           /* of `uses`: by loop_fd_use */
    bool is_named;               /* it has been said that only those keep it open */
    struct loop_place used;      /* where loop_fd_use was called last */
#endif
};

/* Whether the kernel can tell when there is something to read or write: epoll refuses what it can't (epoll_ctl(2),
 * EPERM), and nothing else asks the question. 1, 0, or -errno. The same on both backends, so that a device is the same
 * thing on both; it takes no descriptor. */
int loop_can_poll(const struct loop *loop, int number);

/* Whether an operation is under way that may move the file's position: what is tried beside it would overlap it. */
static inline bool loop_fd_is_moving(const struct loop_fd *fd)
{
    return fd->moving > 0 || fd->receiving.is_taken;
}

/* How its own bytes are read, whatever comes before them. */
static inline uint8_t loop_fd_reads_by(const struct loop_fd *fd)
{
    return fd->read_by == LOOP_IO_UNREAD ? fd->plain_read_by : fd->read_by;
}

static inline bool loop_fd_is_stream(const struct loop_fd *fd)
{
    return loop_fd_reads_by(fd) != LOOP_IO_BLOCKING;
}

/* The last use of one that is being closed has ended. */
void loop_fd_unused(struct loop_fd *fd);

/* What loop_fd_unuse does, without its checks. */
static inline void loop_fd_drop_use(struct loop_fd *fd)
{
    if (--fd->uses == 0 && fd->state != LOOP_FD_OPEN) {
        loop_fd_unused(fd);
    }
}

/* A thread goes on using the number after the job that used it has ended: it is closed when that returns. One that is
 * borrowed, or is being taken, is let go only then. */
void loop_fd_use_late(struct loop_fd *fd);
void loop_fd_end_late_use(struct loop_fd *fd);

/* shutdown(2): 0 or -errno. What waits for bytes or room ends. */
int64_t loop_fd_shut_down(struct loop *loop, struct loop_fd *fd, int how);

/* loop_op_close and loop_fd_take. */
loop_job loop_fd_close_job(struct loop_scope *scope, struct loop_fd *fd, bool take, loop_fn *fn, void *arg);

/* The scope ends: closes its descriptors. The objects stay. */
void loop_fds_close(struct loop_scope *scope);

/* The scope has ended: gives the objects of its descriptors back, all of which are closed. */
void loop_fds_leave(struct loop_scope *scope);

/* The backend has let go of `fd` (loop_backend.unwatch). */
void loop_fd_unwatched(struct loop *loop, struct loop_fd *fd);

/* ---- numbers (number.c) ---- */

/* The open objects by their numbers. A number may be borrowed more than once. One that its owner has closed without
 * closing the object first is handed out again by the kernel, and then names another file. */
struct loop_numbers {
    struct loop_hlist *at; /* by number: objects, by in_number */
    unsigned capacity;
    struct loop_hlist lost; /* those that have lost theirs */
};

/* A value for the file that `number` names: two numbers with different values name different files. 0 where there is
 * none. */
uint64_t loop_number_identity(int number);

/* Enters an object. Borrowed ones with the same number, and another file, lose theirs. False when there is no memory.
 */
bool loop_number_enter(struct loop *loop, struct loop_fd *fd);
void loop_number_leave(struct loop_fd *fd);

/* The objects with that number, by in_number: the newest, or NULL. */
struct loop_hnode *loop_number_first(const struct loop *loop, int number);

/* The number of a borrowed object has been closed, and names something else now: every call on it gets EBADF. */
void loop_number_lose(struct loop *loop, struct loop_fd *fd);

/* Calls `fn` for every object that the backend has not let go of. It may let go of the object. */
void loop_number_each(struct loop *loop, void (*fn)(struct loop *loop, struct loop_fd *fd));
void loop_numbers_finish(struct loop *loop);

/* ---- sources and sinks of the program's own (own.c) ---- */

struct loop_owns {
    struct loop_hlist *at; /* struct loop_own, by in_table */
    unsigned capacity;     /* 0, or a power of two */
    struct loop_slab slab;
};

/* ---- readiness (ready.c) ---- */

/* Puts `job` at the end of the wait list of `fd` for `events` (POLLIN: readers, POLLOUT: writers, both or others:
 * pollers) and sees to it that events come. When the descriptor is believed ready the job is tried in the next
 * dispatch. Sets where. */
void loop_ready_wait(struct loop *loop, struct loop_fd *fd, struct loop_job *job, uint32_t events);

/* The same for one list by name. */
void loop_ready_wait_read(struct loop *loop, struct loop_fd *fd, struct loop_job *job);
void loop_ready_wait_write(struct loop *loop, struct loop_fd *fd, struct loop_job *job);

/* Notes that the kernel says that `fd` is ready (POLL… bits), and tries what waits for it. From the dispatch only.
 * Backends call loop_ready_event. */
void loop_ready_events(struct loop *loop, struct loop_fd *fd, uint32_t events);

/* Finds out anew whether there is something to read, where the calls of others may have read since it was last known,
 * and has the reader tried that comes next. */
void loop_ready_look_again(struct loop *loop, struct loop_fd *fd);

/* Tries what waits for `fd` and may go on. From the dispatch only. */
void loop_ready_try(struct loop *loop, struct loop_fd *fd);

/* loop_ready_events; nearly always there is input for one who waits for it, and nothing else. A descriptor that is
 * active already has had its share of this turn. */
static inline void loop_ready_event(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    bool is_other = (events & ~(uint32_t)(POLLIN | POLLRDNORM)) != 0 || !loop_list_is_empty(&fd->pollers);
    if (is_other || loop_list_is_empty(&fd->readers)) {
        loop_ready_events(loop, fd, events);
        return;
    }
    fd->ready |= POLLIN;
    if (!loop_list_is_linked(&fd->active)) {
        loop_ready_try(loop, fd);
    }
}

/* The same from anywhere: only notes it, and has the lists looked at in the next dispatch. */
void loop_ready_note(struct loop *loop, struct loop_fd *fd, uint32_t events);

/* Calls back the operations on `fd` that the kernel has and that wait for something which it will not tell: those for
 * which `waits` is true. One that ends so without having been cancelled is started again, by readiness. */
void loop_ready_call_back(struct loop *loop, const struct loop_fd *fd, bool (*waits)(const struct loop_job *job));

/* What a backend calls when it can't watch `fd`: no event will ever come, and what waits ends with `error`. From
 * anywhere. */
void loop_ready_fail(struct loop *loop, struct loop_fd *fd, int error);

/* What a poll of a file finds. The kernel tells of a change once: POLLPRI and POLLERR are kept for all that wait. */
int loop_ready_poll_file(struct loop_fd *fd, uint32_t events);

/* Whether both directions are a file's, and its polls are answered by that. */
static inline bool loop_fd_is_file(const struct loop_fd *fd)
{
    return !loop_fd_is_stream(fd) && fd->write_by == LOOP_IO_BLOCKING;
}

/* Has the lists of `fd` looked at in the next dispatch. */
void loop_ready_activate(struct loop *loop, struct loop_fd *fd);

/* Tries what waits on at most `most` of the active descriptors. From the dispatch only. */
void loop_ready_run(struct loop *loop, unsigned most);

/* Sends what has been queued on the descriptors in loop->dirty; what ends waits in the run queue, unless nobody waits
 * for it. After each continuation. */
void loop_ready_send(struct loop *loop);

/* ---- what a socket is for (role.c) ---- */

int64_t loop_role_ask_reading(struct loop_fd *fd);
int64_t loop_role_ask_writing(struct loop_fd *fd);
int64_t loop_role_ask_accepting(struct loop_fd *fd);

/* 0 where bytes may come; else what recv(2) says, which has none to wait for: of a listener, say. */
static inline int64_t loop_role_reading(struct loop_fd *fd)
{
    return fd->may_listen && fd->read_by == LOOP_IO_SOCKET ? loop_role_ask_reading(fd) : 0;
}

/* The same of send(2). */
static inline int64_t loop_role_writing(struct loop_fd *fd)
{
    return fd->may_listen ? loop_role_ask_writing(fd) : 0;
}

/* -EAGAIN where connections may come; else what accept4(2) says. */
static inline int64_t loop_role_accepting(struct loop_fd *fd)
{
    return fd->is_listener ? -EAGAIN : loop_role_ask_accepting(fd);
}

/* ---- operations by system calls (attempt.c, direct.c, pool.c) ---- */

/* One system call for the job's operation that doesn't wait for readiness: -EAGAIN where it would. On a thread of the
 * pool
 * (`may_block`) it waits instead. Multishot operations are not for this. EINTR is retried. */
int64_t loop_attempt(struct loop_job *job, bool may_block);

/* Whether -EAGAIN is the operation's result rather than a reason to wait: where the caller asked not to wait, and a
 * connect's own. */
bool loop_attempt_is_final(const struct loop_job *job);

/* One try of a flow's read or write at a file's position that doesn't wait for the disk: as much as there is, or
 * -EAGAIN.
 */
int64_t loop_attempt_now(struct loop_job *job);

/* The same for a read that is no job. */
int64_t loop_attempt_read_now(struct loop_fd *fd, void *buf, size_t len);

/* Whether a thread of the pool may read at the file's position: such a read does not wait for ever. */
bool loop_file_is_for_thread(const struct loop_fd *fd);

/* Serves a job's operation by system calls. The whole epoll backend, and what the ring refuses. */
void loop_direct_start(struct loop *loop, struct loop_job *job);
void loop_direct_cancel(struct loop *loop, struct loop_job *job);

/* The pool. Jobs handed over end by loop_job_complete, in loop_pool_collect, on the loop's thread. */
struct loop_pool;
void loop_pool_submit(struct loop *loop, struct loop_job *job);
/* Takes a job that hasn't begun out of the line again; false when a thread has it, which is then asked to end it. */
bool loop_pool_withdraw(struct loop *loop, struct loop_job *job);
/* Sets `*is_recalled` under the mutex: for jobs that go on until the loop wants them back. */
void loop_pool_recall(struct loop *loop, bool *is_recalled);
void loop_pool_collect(struct loop *loop);
void loop_pool_finish(struct loop *loop);
uint64_t loop_pool_threads(const struct loop *loop);
/* True when something waits to be collected: looked at before the loop sleeps. */
bool loop_pool_has_results(const struct loop *loop);

/* ---- backends ---- */

struct loop_buffers;

struct loop_backend_ops {
    const char *name;
    /* 0, or -errno with one line in loop->backend_detail that names the likely cause and the cure. */
    int (*init)(struct loop *loop);
    /* No job is in flight and nothing is watched any more. */
    void (*finish)(struct loop *loop);
    /* Takes the job (job->op, job->u.args, job->fd). It ends in loop_job_backend_done from the dispatch, or
     * loop_job_complete. */
    void (*start)(struct loop *loop, struct loop_job *job);
    /* The job is one that start took and that has no result yet: LOOP_AT_RING_LINE, RING, or the direct way's places.
     */
    void (*cancel)(struct loop *loop, struct loop_job *job);
    /* From now on loop_ready_event is called whenever one of `events` (POLLIN, POLLOUT, POLLPRI) comes to be, and once
     * if it is there already. Events already watched stay watched. POLLOUT may be one-shot: fd->watched tells. 0, or
     * -errno after loop_ready_fail. */
    int (*watch)(struct loop *loop, struct loop_fd *fd, uint32_t events);
    /* Lets go of `fd`; loop_fd_unwatched is called when the kernel holds nothing of it any more, maybe before this
     * returns. */
    void (*unwatch)(struct loop *loop, struct loop_fd *fd);
    /* Turns, as long as loop_turn_begin says: submits what has been prepared, waits at most the time it has told (0:
     * not at all; LOOP_NEVER) for something to happen, says loop_turn_woken, tries what is ready, resumes what ended.
     * 0, or -errno when the backend is broken for good. The turns are the backend's so that few functions are on the
     * stack at the system call: the processor, which forgets there where they return to, guesses wrong for each of
     * them. */
    int (*run)(struct loop *loop);
    /* What takes its place when `run` has returned an error: its `run` lets go of what the backend has, and then makes
     * turns until the loop has ended. */
    const struct loop_backend_ops *broken;
    /* Submits what has been prepared and says, without waiting, whether a turn would bring something. */
    bool (*has_events)(struct loop *loop);
    /* This process is a forked child: cuts its copy of the backend off from what the parent and the kernel share. What
     * is started from now on waits in line. */
    void (*forked)(struct loop *loop);
    /* Whether the kernel has the region registered. NULL: never. */
    bool (*region_is_fixed)(const struct loop *loop);
    /* Groups of provided buffers: 0 or -errno. `recycle` gives entry `index` back to the kernel. */
    int (*buffers_init)(struct loop *loop, struct loop_buffers *buffers);
    void (*buffers_finish)(struct loop *loop, struct loop_buffers *buffers);
    void (*buffers_recycle)(struct loop *loop, struct loop_buffers *buffers, unsigned index);
};

extern const struct loop_backend_ops loop_backend_uring; /* only with NORIA_URING */
extern const struct loop_backend_ops loop_backend_epoll;

/* ---- without a backend (broken.c) ---- */

struct loop_broken {
    int error;     /* why it broke, -errno; 0 while it works */
    bool has_jobs; /* the kernel still has jobs (LOOP_AT_RING) */
    int released;  /* then: what hangs up when it has none any more */
};

/* The functions of a backend that is broken: nothing can be started or watched any more, what waits is cancelled. */
void loop_broken_start(struct loop *loop, struct loop_job *job);
void loop_broken_cancel(struct loop *loop, struct loop_job *job);
int loop_broken_watch(struct loop *loop, struct loop_fd *fd, uint32_t events);
bool loop_broken_has_events(struct loop *loop);

/* Makes turns until the loop has ended. Jobs that the kernel has end when it has let go of them. */
void loop_broken_turns(struct loop *loop);

/* A group of provided buffers. A stack of free ones serves system calls; on the ring the kernel has the free ones
 * instead. */
struct loop_buffers {
    struct loop *loop;
    unsigned count;
    size_t size_bytes;
    char *memory;    /* count * size_bytes */
    unsigned n_free; /* how many the kernel, or the stack, has */
    uint16_t *free_stack;
    bool *is_lent;              /* by index */
    void *ring;                 /* the backend's */
    uint16_t group_id;          /* the backend's */
    struct loop_hlist borrowed; /* buffers made for unread bytes: buffers.c */
};

/* ---- scopes ---- */

enum loop_scope_state {
    LOOP_SCOPE_OPEN,
    LOOP_SCOPE_DRAINING,  /* nothing but daemons was left: they are being cancelled */
    LOOP_SCOPE_RELEASING, /* hooks run: nothing can be started any more */
    LOOP_SCOPE_CLOSING,   /* descriptors close; on_end */
    LOOP_SCOPE_GONE,      /* it has ended; only pins keep the object */
};

struct loop_scope {
    uint64_t id;               /* must be first (slab.h) */
    struct loop_scope *parent; /* NULL: main's, and the loop's own */
    struct loop *loop;
    struct loop_hnode in_parent;
    struct loop_hlist children, jobs, fds;
    struct loop_scope *next_ending; /* in loop->ending: to be looked at */
    struct loop_hlist hooks;
    struct loop_hlist kept; /* struct loop_kept: dropped after on_end, the last one first */
    struct scope_memory *memory;
    struct loop_deadline *deadline; /* or NULL */
    uint32_t holds;                 /* non-daemon jobs, non-daemon children, holds */
    uint32_t daemons;               /* daemon jobs and children */
    uint32_t own_holds;             /* of `holds`, those of loop_scope_hold */
    uint32_t unclosed;              /* descriptors in `fds` that are not closed yet */
    uint32_t pins;                  /* keep the object: loop_scope_pin */
    uint8_t state;
    bool is_cancelled : 1;
    bool is_daemon : 1;
    bool is_ending : 1; /* it is in loop->ending */
    bool is_told : 1;   /* loop_scope_on_cancel was called, or held.c has named it */
    int16_t reason;     /* what cancelled jobs end with: -ECANCELED or -ETIMEDOUT */
    int32_t error;      /* the first one */
    loop_fn *on_end;
    void *arg;
#if NORIA_DEBUG
    struct loop_place opened;
#endif
};

/* Something of a scope's that goes when its on_end has returned, in scope->kept. `drop` finds it taken out of there. */
struct loop_kept {
    struct loop_hnode link;
    void (*drop)(struct loop_kept *kept);
};

/* A scope's deadline, from a slab: few scopes have one. */
struct loop_deadline {
    uint64_t id; /* must be first (slab.h) */
    struct loop_wheel_node node;
    struct loop_scope *scope;
};

/* A scope without a parent: main's and the loop's own. */
struct loop_scope *loop_scope_open_root(struct loop *loop, loop_fn *on_end, void *arg);
/* Has the scope looked at after the continuation that is running. */
void loop_scope_look_at(struct loop_scope *scope);

static inline bool loop_scope_takes_work(const struct loop_scope *scope)
{
    return scope->state < LOOP_SCOPE_RELEASING;
}

static inline void loop_scope_add_hold(struct loop_scope *scope, bool is_daemon)
{
    uint32_t *count = is_daemon ? &scope->daemons : &scope->holds;
    ++*count;
}

static inline void loop_scope_drop_hold(struct loop_scope *scope, bool is_daemon)
{
    uint32_t *count = is_daemon ? &scope->daemons : &scope->holds;
    assert(*count > 0);
    --*count;
    if (scope->holds == 0) {
        loop_scope_look_at(scope);
    }
}

/* The loop's end: frees what is still kept of scopes that have ended. */
void loop_scopes_finish(struct loop *loop);

/* One of its descriptors has been closed. */
void loop_scope_fd_closed(struct loop_scope *scope);

/* Keeps the object of a scope, as loop_fd_pin does for descriptors: the scope ends as without a pin, and then takes no
 * work. */
static inline void loop_scope_pin(struct loop_scope *scope)
{
    assert(scope->state != LOOP_SCOPE_GONE || scope->pins > 0);
    scope->pins++;
}

void loop_scope_unpin(struct loop_scope *scope);

/* The steps of a scope's end, for cancel.c. Runs the hooks, the last one first. */
void loop_scope_run_hooks(struct loop_scope *scope);
/* Drops what is kept until on_end has returned, the last one first. */
void loop_scope_drop_kept(struct loop_scope *scope);
/* Frees the memory of loop_scope_alloc. */
void loop_scope_free_memory(struct loop_scope *scope);
/* Gives the object back, unless a pin keeps it. */
void loop_scope_put_if_unkept(struct loop_scope *scope);

/* The scope after `scope` in the tree below `top`, parents before children; NULL at the end. Keeps `*depth`, which is 0
 * for `top`. Not recursive, because scopes may be nested as deep as a program likes. */
struct loop_scope *loop_scope_next(const struct loop_scope *top, const struct loop_scope *scope, unsigned *depth);
/* Names the scopes that are cancelled and kept open by holds only (held.c). In debug builds, before the loop sleeps. */
void loop_held_name_all(struct loop *loop);
/* The deadline in loop->timers has been reached. */
void loop_scope_expire(struct loop_scope *scope);
/* Calls `fn` for every job in `top` and in the scopes beneath it. It may complete the job. */
void loop_scope_each_job(struct loop_scope *top, void (*fn)(struct loop *loop, struct loop_job *job));
/* Ends the scopes in loop->ending that are empty; what comes to be there meanwhile stays. From the dispatch only. */
void loop_scopes_settle(struct loop *loop);

void loop_hooks_init(struct loop *loop);

/* ---- region ---- */

struct loop_chunk {
    struct loop *loop;
    struct loop_chunk *next; /* free list; a stream's chunks that wait for delivery */
    uint32_t index;
    uint32_t used; /* a stream's: bytes read into it and not delivered yet */
    uint8_t state; /* enum loop_chunk_state */
#if NORIA_DEBUG
    struct loop_place taken; /* while it is owned */
    struct loop_place freed; /* by a call, while it is free */
#endif
};

enum loop_chunk_state { LOOP_CHUNK_FREE, LOOP_CHUNK_OWNED, LOOP_CHUNK_LENT };

struct loop_region {
    char *memory;
    size_t size_bytes;
    size_t block_size;
    uint32_t n_blocks, n_free;
    struct loop_chunk *chunks;
    struct loop_chunk *free_list; /* the one given back last is lent first: it is in the cache */
    struct loop_list line;        /* jobs that wait for a chunk: loop_chunk_alloc_wait, and streams */
    bool is_fixed;
};

/* The kernel registers at most 1 GiB as one buffer, io_uring_register(2). */
#define LOOP_REGION_MAX ((size_t)1 << 30)

int loop_region_init(struct loop *loop, uint32_t n_blocks, size_t block_size);
void loop_region_finish(struct loop *loop);
/* Puts a job in line for a chunk: kind->got_chunk is called when it has one. */
void loop_region_wait(struct loop *loop, struct loop_job *job);
/* A chunk of the loop's own, and its way back: without the checks that users' chunks get. */
struct loop_chunk *loop_region_take(struct loop *loop);
void loop_region_give(struct loop *loop, struct loop_chunk *chunk);

/* Peers that never read could otherwise hold all chunks, and everybody else would wait for one. Writes that wait hold
 * half of them at the most: beyond that their bytes, which the sink's limit bounds, are kept outside the region. */
static inline bool loop_region_is_scarce(const struct loop_region *region)
{
    return region->n_free < (region->n_blocks + 1) / 2;
}

/* ---- timers ---- */

/* Resumes what is due, at most `most`. From the dispatch only. */
void loop_timers_run(struct loop *loop, unsigned most);
/* When the next is due: LOOP_NEVER when there is none. */
int64_t loop_timers_next(struct loop *loop);

/* ---- posts (inbox.c) ---- */

struct loop_inbox *loop_inbox_create(unsigned capacity);
/* The loop's own end: closes the box, so that later posts are refused, and runs what is in it with -ECANCELED. */
void loop_inbox_close(struct loop_inbox *inbox);
/* The descriptor that wakes the loop; watched by it. */
int loop_inbox_number(const struct loop_inbox *inbox);
/* Wakes the loop if it sleeps. Async-signal-safe, any thread. What the loop is to find has been stored sequentially
 * consistent. */
void loop_inbox_wake(struct loop_inbox *inbox);
/* Says that the loop is about to sleep; true when it may (nothing has come meanwhile). */
bool loop_inbox_sleep(struct loop_inbox *inbox);
void loop_inbox_awake(struct loop_inbox *inbox);
bool loop_inbox_is_empty(const struct loop_inbox *inbox);
/* Takes the oldest post; false when there is none. */
bool loop_inbox_take(struct loop_inbox *inbox, loop_fn **fn, void **arg);

/* ---- looking before sleeping (busy_poll.c) ---- */

struct loop_busy_poll {
    int64_t asleep_since_ns; /* while it sleeps without having looked; otherwise 0 */
    unsigned in_vain;        /* times in a row */
    unsigned left_out;       /* occasions still to be left out */
};

/* Looks for something to do, for `timeout_ns` and options.busy_poll_ns at most. True when there is something: the loop
 * must not sleep. */
bool loop_busy_poll(struct loop *loop, int64_t timeout_ns);
/* The loop, which hadn't looked, is awake again. */
void loop_busy_poll_woken(struct loop *loop);

/* ---- signals (signal.c) ---- */

struct loop_signals {
    sigset_t watched;        /* blocked for us and read from `fd` */
    struct loop_fd *fd;      /* the signalfd, or NULL */
    struct loop_job *reader; /* waits on it */
    struct loop_list jobs;   /* loop_signal's, by job->link */
};

void loop_signals_init(struct loop *loop);
/* Takes back a SIGPIPE of the loop's own writes: it would end the process as soon as it is not blocked. One that was
 * pending before the loop began stays. */
void loop_signals_take_back_sigpipe(const struct loop *loop);
/* Before the mask is put back: drops what arrived and nobody heard. */
void loop_signals_finish(struct loop *loop);

/* ---- the loop ---- */

/* Buffers that nobody needs now, the hottest first. */
struct loop_spares {
    struct loop_block *first;
    unsigned n;
};

/* Something that a continuation has begun and that is to be done once when it has returned, before writes are sent and
 * scopes looked at. */
struct loop_after {
    struct loop_list link;
    void (*fn)(struct loop_after *after);
};

struct loop {
    /* the hot part */
    const struct loop_backend_ops *backend;
    void *backend_state;
    struct loop_list run_queue;
    uint32_t run_queue_length;
    struct loop_list active;                  /* descriptors with something to try */
    struct loop_list dirty;                   /* descriptors with writes to send */
    struct loop_list after;                   /* what else is to be done: struct loop_after */
    struct loop_scope *ending, **last_ending; /* scopes to look at, in a queue */
    bool is_settling;
    struct msghdr unix_message;            /* of io.h: it never changes but for what the kernel answers */
    struct iovec unix_vector;              /* its vector */
    struct loop_slab jobs[LOOP_JOB_SIZES]; /* the last has none, and is there for ids that never were */
    struct loop_slab fds, scopes, deadlines, readers, writers;
    struct loop_slab hooks; /* struct loop_hook */
    struct loop_numbers numbers;
    struct loop_owns owns;
    struct loop_region region;
    struct loop_spares spares, bulks;     /* copy.c's buffers */
    struct loop_file_write *spare_writes; /* fd_file.c's */
    struct loop_scratch *scratch;         /* scratch.c's: memory that nobody works in now, or NULL */
    /* the rest */
    struct loop_options options;
    struct loop_scope *main_scope, *own_scope;
    struct loop_env env;
    struct loop_source in, secure_random;
    struct loop_sink out, err;
    struct loop_inbox *inbox;
    struct loop_fd *inbox_fd;
    int probe; /* an epoll set, which knows what can be polled: the backend's own, or one kept for that */
    struct loop_broken broken;
    int wait_error; /* while loop_ready_fail cancels: what the jobs end with in place of -ECANCELED */
    struct loop_pool *pool;
    struct loop_busy_poll busy_poll;
    struct loop_signals signals;
    struct loop_part *parts;            /* part.c */
    struct loop_hlist descriptor_waits; /* jobs of loop_descriptor_wait, by in_fd: they have none */
    struct loop_stats stats;
#if NORIA_DEBUG
    const struct loop *next_loop; /* check.c */
    struct scope_memory *graves;  /* scope.c: of scopes that have ended, the oldest first */
    struct scope_memory **last_grave;
    size_t grave_bytes;
    struct loop_place inbox_taken; /* where loop_inbox_ref was called last */
    bool has_closing_uses;         /* there may be descriptors for loop_held_name_all */
    uint32_t n_scratch;            /* pieces of working memory taken and not given back */
#endif
    pthread_t thread;
    int thread_id;
    pid_t process;
    bool is_forked;       /* this is the copy in a forked child */
    bool is_making_child; /* between loop_child_begin and loop_child_end */
    struct loop_after after_child;
    sigset_t saved_mask; /* the thread's before loop_run */
    sigset_t loop_mask;  /* is_making_child: the mask to go back to */
    sigset_t caught;     /* is_making_child: the signals that are caught meanwhile */
    bool sigpipe_was_pending;
    int main_result;
    bool has_cancelled_holds; /* there may be scopes for loop_held_name_all */
    bool is_stopped;          /* main_result is decided: by loop_stop, or by main */
    bool main_has_ended, own_has_ended;
    char backend_detail[256];
    struct loop_wheel timers; /* large, and mostly untouched */
};

/* A chunk's memory, and where it stands in the region: of one that is known to be good. */
static inline size_t loop_chunk_place(const struct loop_chunk *chunk)
{
    return chunk->index * chunk->loop->region.block_size;
}

static inline void *loop_chunk_memory(const struct loop_chunk *chunk)
{
    return chunk->loop->region.memory + loop_chunk_place(chunk);
}

/* The job with that id, or NULL when it has ended. One in the run queue is still found. */
static inline struct loop_job *loop_job_find(const struct loop *loop, uint64_t id)
{
    return loop_slab_find(&loop->jobs[loop_slab_mark_of(id)], id);
}

static inline struct loop_fd *loop_fd_find(const struct loop *loop, uint64_t id)
{
    return loop_slab_find(&loop->fds, id);
}

/* The loop's own part of a turn. False when the loop has ended; otherwise `*timeout_ns` is how long the backend may
 * wait. */
bool loop_turn_begin(struct loop *loop, int64_t *timeout_ns);

/* Makes a descriptor of the letter box, and watches it. 0 or -errno. */
int loop_turn_watch_inbox(struct loop *loop);

/* The backend has waited. */
static inline void loop_turn_woken(struct loop *loop)
{
    loop_inbox_awake(loop->inbox);
    if (loop->busy_poll.asleep_since_ns) {
        loop_busy_poll_woken(loop);
    }
}

/* Has that done for the sake of `scope`, which is held until then and takes work; once, however often it is asked for.
 */
static inline void loop_after_continuation(struct loop *loop, struct loop_after *after, struct loop_scope *scope)
{
    if (!loop_list_is_linked(&after->link)) {
        loop_scope_add_hold(scope, false);
        loop_list_push_back(&loop->after, &after->link);
        loop_scope_look_at(scope); /* which is what loop_settle looks for */
    }
}

/* What has to be done after each continuation: what `after` has, sends writes, ends scopes. From the dispatch only. */
void loop_settle_now(struct loop *loop);
static inline void loop_settle(struct loop *loop)
{
    if (!loop_list_is_empty(&loop->dirty) || loop->ending) {
        loop_settle_now(loop);
    }
}

/* ---- sources and sinks ---- */

void loop_scratch_finish(struct loop *loop);
void loop_parts_finish(struct loop *loop);

/* ---- checks ---- */

/* Stops a debug build when the loop has ended, or the call is made on a thread other than the loop's. */
#if NORIA_DEBUG
void loop_check_thread(const struct loop *loop, const char *function);
#else
static inline void loop_check_thread(const struct loop *loop, const char *function)
{
    (void)loop;
    (void)function;
}
#endif
#define LOOP_CHECK_THREAD(loop) loop_check_thread(loop, __func__)

/* A user's mistake: a debug build stops and says so, another goes on to the error that the caller returns. */
void loop_misuse(const struct loop *loop, const char *function, const char *what, const char *cure);

#endif
