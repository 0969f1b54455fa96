/* SPDX-License-Identifier: ISC
 *
 * Descriptors: what is known of each.
 */
#ifndef LOOP_CORE_FD_H
#define LOOP_CORE_FD_H

#include <loop/core/loop.h>
#include <loop/core/scope.h>

#include <assert.h>

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

/* Whether both directions are a file's, and its polls are answered by that. */
static inline bool loop_fd_is_file(const struct loop_fd *fd)
{
    return !loop_fd_is_stream(fd) && fd->write_by == LOOP_IO_BLOCKING;
}

static inline struct loop_fd *loop_fd_find(const struct loop *loop, uint64_t id)
{
    return loop_slab_find(&loop->fds, id);
}

/* Whether anything is kept for its next reads; see unread.h. */
static inline bool loop_fd_has_unread(const struct loop_fd *fd)
{
    return fd->read_by == LOOP_IO_UNREAD;
}

/* ---- checks: see check.h ---- */

__attribute__((cold)) bool loop_bad_fd(const struct loop_fd *fd, const char *function);

static inline bool loop_fd_is_good(const struct loop_fd *fd, const char *function)
{
    if (!fd || loop_is_freed(fd)) {
        (void)loop_bad_fd(fd, function);
        return false;
    }
    loop_check_thread(fd->scope->loop, function);
    return true;
}

#endif
