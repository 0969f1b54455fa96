/* SPDX-License-Identifier: ISC
 *
 * Descriptor objects: what the loop stores for each descriptor.
 */
#ifndef LOOP_CORE_FD_H
#define LOOP_CORE_FD_H

#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/ground/index_list.h>
#include <loop/ground/line.h>
#include <loop/ground/list.h>

#include <assert.h>

/* How bytes are moved without blocking the thread. */
enum loop_io {
    LOOP_IO_SOCKET,      /* recv and send with MSG_DONTWAIT */
    LOOP_IO_NONBLOCKING, /* read and write: the descriptor is O_NONBLOCK */
    LOOP_IO_NOWAIT,      /* preadv2 and pwritev2 with RWF_NOWAIT: a blocking pipe whose flags other programs see */
    LOOP_IO_POLLED,      /* poll first, then move no more than cannot block */
    LOOP_IO_BLOCKING,    /* a file, the output of a terminal: an operation of the backend */
    LOOP_IO_UNREAD       /* read_by only: what is kept comes first (unread.h), then plain_read_by applies */
};

/* Why a short read may not have emptied a descriptor. None: it has. See loop/syscall/io.h. */
enum loop_doubt {
    LOOP_DOUBT_ASK = 1,   /* ask poll(2) */
    LOOP_DOUBT_ALWAYS = 2 /* read until -EAGAIN */
};

/* Whether the reads and writes of a file are completed by polling its device, or why not (loop_fd_poll_device). */
enum loop_polling {
    LOOP_POLLING_NOT_ASKED,
    LOOP_POLLING,
    LOOP_POLLING_NO_FILE,    /* neither a regular file nor a block device */
    LOOP_POLLING_NOT_DIRECT, /* without O_DIRECT */
    LOOP_POLLING_NO_QUEUES,  /* the device has no queues for it */
    LOOP_POLLING_REFUSED,    /* the file system or the device has refused it */
    LOOP_POLLING_NO_URING,   /* the loop runs on epoll */
    LOOP_POLLING_NO_RING,    /* the kernel makes no ring for it */
    LOOP_POLLING_NO_MEMORY,  /* to make one */
    LOOP_POLLING_NO_NUMBER,  /* no descriptor is left to make one */
    LOOP_POLLING_REASONS
};

/* How far the close of a descriptor is. */
enum loop_fd_state {
    LOOP_FD_OPEN,
    LOOP_FD_CLOSING,
    LOOP_FD_CLOSED,
    LOOP_FD_GONE /* removed from its scope: destroyed, or the scope has ended. Only pins and uses keep the object */
};

/* What the kernel has one operation for at a time (loop/backend/uring/order.c): a direction of a socket, or the polls
 * of a descriptor. */
enum loop_turn { LOOP_TURN_RECEIVE, LOOP_TURN_SEND, LOOP_TURN_POLL, LOOP_TURNS };

/* What the loop stores for a descriptor beside struct loop_fd: what most sockets never need. */
struct loop_fd_more {
    uint64_t id;                        /* must be first (slab.h) */
    struct loop_list pollers;           /* jobs that wait for events or for the queue to drain: all are tried */
    struct loop_list lines[LOOP_TURNS]; /* jobs, by link, that wait until the turn is not taken (fd->turns) */
    struct loop_job *closer;            /* the job that ends when it is closed, or that gets the number */
    uint64_t take;                      /* the job that gets the number, until its continuation is resumed; or 0 */
    struct loop_job *reading,
        *writing;            /* of a file (LOOP_IO_BLOCKING): the operation of the flow in flight, one at a time */
    uint64_t identity;       /* of a borrowed one: identifies the file that its number named when it was borrowed */
    size_t limit_bytes;      /* fd->has_limit: that of loop_sink_limit */
    uint32_t moving;         /* of the pool: operations in it that may move the file's position */
    uint32_t next_of_number; /* the index of the next object with the number, plus 1; or 0 (number.c) */
    struct loop_index_list second_jobs; /* loop_fd_second_jobs */
    uint32_t late_uses;     /* uses of its number by threads of the pool whose jobs have ended: loop_fd_use_late */
    int late_number;        /* the number that these keep open after the close; -1 when there is none */
    uint8_t device_polling; /* of a file: enum loop_polling */
};

/* What the loop stores for a descriptor. A server has one for each connection. */
struct loop_fd {
    uint64_t id;                    /* must be first: names it in the kernel's events */
    int number;                     /* -1 once closed */
    uint32_t uses;                  /* uses; they keep it from being closed */
    uint32_t pins;                  /* pins of loop_fd_pin; they keep the object */
    uint32_t backend_id;            /* of the backend: the watches in flight */
    uint32_t next_in_line;          /* of the backend: the index of the next in its line, plus 1; or 0 */
    struct loop_index_qnode active; /* in loop->active: tried in the next dispatch */
    struct loop_index_qnode dirty;  /* in loop->dirty: its writes are sent after the running continuation */
    union {
        uint32_t more;                      /* has_more: loop_fd_more, as an index, plus 1 */
        struct loop_index_list second_jobs; /* otherwise; see loop_fd_second_jobs */
    };
    struct loop_index_node in_scope;
    int16_t read_error;         /* the error kept for the next read (unread.h), or 0 */
    int16_t write_error;        /* the error of the last write, for jobs that wait for the queue to drain; or 0 */
    uint8_t plain_read_by : 3;  /* its read_by while that is LOOP_IO_UNREAD */
    bool is_being_read : 1;     /* the dispatch tries its readers, and those that join them as well */
    uint8_t small_receives : 4; /* of the backend: how many in a row would have fitted into a small buffer, modulo 16 */
    uint8_t ready;   /* POLLIN, POLLOUT: assumed ready until a call fails. Of a file also POLLPRI, POLLERR, which
                      * no poll job has reported yet */
    uint8_t watched; /* of the backend: the events that it watches for */
    union {
        struct {
            uint8_t read_by, write_by; /* enum loop_io */
            uint8_t doubts;            /* enum loop_doubt: whether a read that got less than asked for has emptied it */
            union {
                struct {
                    uint8_t state : 2;       /* enum loop_fd_state */
                    bool has_failed : 1;     /* a job in `jobs` may have failed (job->has_failed) */
                    bool has_overflowed : 1; /* a write was refused, and its continuation has not been resumed */
                    bool has_limit : 1;      /* more->limit_bytes is in place of the loop's sink_limit_bytes */
                };
                uint8_t hindrances; /* 0: open, and any write of less than sink_limit_bytes can be queued */
            };
        };
        uint32_t peculiarities; /* 0: an open socket without any of these */
    };
    bool has_more : 1; /* loop_fd_get_more has made it. A file and a borrowed one always have it */
    bool is_borrowed : 1;
    bool is_taken : 1;       /* the number goes to more->closer instead of close(2) */
    bool is_destroyed : 1;   /* free the object when it is closed */
    bool is_unwatching : 1;  /* the backend was asked to end its watches */
    bool is_byte_stream : 1; /* bytes without boundaries, which may be moved in any pieces */
    bool is_direct : 1;      /* a file that was O_DIRECT when it was adopted: its reads wait for the disk */
    bool is_regular : 1;
    bool reads_wait : 1, writes_wait : 1; /* of a file: the kernel has no RWF_NOWAIT for them */
    bool is_probed : 1;                   /* of a file: is_pollable is known */
    bool is_pollable : 1;        /* a file that can be polled: some of /proc and /sys, which are regular files */
    bool may_listen : 1;         /* a socket that is not known to be connected */
    bool is_listener : 1;        /* a socket that is known to listen */
    bool is_shared : 1;          /* other loops or processes may accept on its socket: loop_fd_share */
    bool has_vague_events : 1;   /* its events do not tell whether there is an urgent mark: see io.h */
    bool is_unix : 1;            /* a Unix stream socket: recvmsg(2) reports where it stopped */
    bool is_shut : 1;            /* it was shut down for output: it will never be writable again */
    bool was_readable : 1;       /* `ready` had POLLIN when bytes were given back */
    bool is_receiving : 1;       /* the backend receives its bytes by itself, and puts them behind the unread ones */
    bool is_bulk : 1;            /* of the backend: it shall receive into large buffers */
    bool receives_large : 1;     /* it does, as long as it is_receiving */
    bool is_reading : 1;         /* the backend receives into a job's buffer (loop_ready_begin_read), or a read ends */
    bool may_have_more : 1;      /* the last such read has filled its buffer */
    bool has_long_queue : 1;     /* the last call for its writes did not take all */
    bool is_sending : 1;         /* the backend has a send of it (loop_ready_begin_send) */
    bool was_reset : 1;          /* a write has met a reset that no read has returned yet (loop_unread_end) */
    unsigned turns : LOOP_TURNS; /* bits by enum loop_turn: the kernel has an operation */
    struct loop_line readers;    /* jobs that wait to read, in order; only the first is tried */
    struct loop_line writers;    /* jobs that wait to write, in order; only the first is tried */
    struct loop_hlist jobs;      /* jobs that use it, by in_fd */
    /* The flow, filled in by loop_fd_flow, except its scope. Its source and its sink are part of the descriptor, so
     * that they need no `self`, and what is stored in that place is the descriptor's. A debug build has `self`. */
    union {
        struct loop_flow flow;
        struct {
            char before_scope[offsetof(struct loop_flow, scope)];
            struct loop_scope *scope; /* flow.scope */
        };
#if !NORIA_DEBUG
        struct {
            char before_unread[offsetof(struct loop_flow, source.self)];
            struct loop_block *unread; /* bytes that were given back: unread.h */
        };
        struct {
            char before_queued[offsetof(struct loop_flow, sink.self)];
            size_t queued_bytes;
        };
#endif
    };
#if NORIA_DEBUG
    struct loop_block *unread; /* bytes that were given back: unread.h */
    size_t queued_bytes;
    int was_number;              /* its number, until the object's memory is reused */
    struct loop_place destroyed; /* where it was destroyed; empty where its scope has ended */
    uint32_t own_uses;           /* of `uses`, those of loop_fd_use */
    bool is_named;               /* a warning that only those keep it open has been logged */
    struct loop_place used;      /* the last call of loop_fd_use */
#endif
};

static_assert(NORIA_DEBUG || sizeof(struct loop_fd) <= 152, "a connection uses one");

static_assert(LOOP_IO_SOCKET == 0 && LOOP_FD_OPEN == 0, "an open socket has no peculiarities");

/* Returns the descriptor that has this source. */
static inline struct loop_fd *loop_fd_of_source(const struct loop_source *source)
{
    return LOOP_CONTAINER((uintptr_t)source, struct loop_fd, flow.source);
}

/* Returns the descriptor that has this sink. */
static inline struct loop_fd *loop_fd_of_sink(const struct loop_sink *sink)
{
    return LOOP_CONTAINER((uintptr_t)sink, struct loop_fd, flow.sink);
}

/* Returns the rarer part of a descriptor that has one. */
static inline struct loop_fd_more *loop_fd_more(const struct loop_fd *fd)
{
    assert(fd->has_more);
    return loop_index_object(&fd->scope->loop->fds_more, fd->more);
}

/* Returns the rarer part, and makes it where there is none. NULL when there is no memory. */
struct loop_fd_more *loop_fd_get_more(struct loop_fd *fd);

/* Frees the object of a descriptor, which is in no list. */
void loop_fd_free(struct loop_fd *fd);

/* Returns the descriptor of a scope that was added first, or NULL. */
static inline struct loop_fd *loop_scope_oldest_fd(const struct loop_scope *scope)
{
    return loop_index_oldest(&scope->loop->fds, &scope->fds, offsetof(struct loop_fd, in_scope));
}

/* Returns the descriptor that was added to its scope after this one, or NULL. */
static inline struct loop_fd *loop_fd_newer_sibling(const struct loop_fd *fd)
{
    return loop_index_newer(&fd->scope->loop->fds, fd, offsetof(struct loop_fd, in_scope));
}

/* Takes the next descriptor out of loop->active. Returns NULL when there is none. */
static inline struct loop_fd *loop_fd_next_active(struct loop *loop)
{
    return loop_index_dequeue(&loop->fds, &loop->active, offsetof(struct loop_fd, active));
}

/* Takes the next descriptor out of loop->dirty. Returns NULL when there is none. */
static inline struct loop_fd *loop_fd_next_dirty(struct loop *loop)
{
    return loop_index_dequeue(&loop->fds, &loop->dirty, offsetof(struct loop_fd, dirty));
}

/* Returns the list of the jobs that use it as their second descriptor, by u.args.in_second. They are large ones. */
static inline struct loop_index_list *loop_fd_second_jobs(struct loop_fd *fd)
{
    return fd->has_more ? &loop_fd_more(fd)->second_jobs : &fd->second_jobs;
}

/* Returns whether jobs wait in more->pollers. */
static inline bool loop_fd_has_pollers(const struct loop_fd *fd)
{
    return __builtin_expect(fd->has_more, false) && !loop_list_is_empty(&loop_fd_more(fd)->pollers);
}

/* Returns whether the device of a file is polled for its reads and writes. */
static inline bool loop_fd_polls_device(const struct loop_fd *fd)
{
    return fd->has_more && loop_fd_more(fd)->device_polling == LOOP_POLLING;
}

/* Returns how many bytes may be queued before a write is refused. */
static inline size_t loop_fd_limit(const struct loop_fd *fd)
{
    return fd->has_limit ? loop_fd_more(fd)->limit_bytes : fd->scope->loop->options.sink_limit_bytes;
}

/* Returns whether the kernel has an operation of that kind. */
static inline bool loop_fd_has_turn_taken(const struct loop_fd *fd, enum loop_turn turn)
{
    return fd->turns >> turn & 1;
}

/* Notes that the kernel has an operation of that kind. */
static inline void loop_fd_take_turn(struct loop_fd *fd, enum loop_turn turn)
{
    fd->turns = (fd->turns | 1u << turn) & ((1u << LOOP_TURNS) - 1);
}

/* Notes that it has none any more. */
static inline void loop_fd_end_turn(struct loop_fd *fd, enum loop_turn turn)
{
    fd->turns = fd->turns & ~(1u << turn) & ((1u << LOOP_TURNS) - 1);
}

/* Returns whether an operation is in flight that may move the file's position. A read or write tried beside it would
 * overlap it. */
static inline bool loop_fd_is_moving(const struct loop_fd *fd)
{
    return (fd->has_more && loop_fd_more(fd)->moving > 0) || loop_fd_has_turn_taken(fd, LOOP_TURN_RECEIVE);
}

/* Returns how bytes are read from the descriptor itself, after unread bytes (enum loop_io). */
static inline uint8_t loop_fd_reads_by(const struct loop_fd *fd)
{
    return fd->read_by == LOOP_IO_UNREAD ? fd->plain_read_by : fd->read_by;
}

/* Returns whether reads of the descriptor can be polled: it is no file. */
static inline bool loop_fd_is_stream(const struct loop_fd *fd)
{
    return loop_fd_reads_by(fd) != LOOP_IO_BLOCKING;
}

/* Returns whether neither direction can be polled: it is a file, and its polls complete at once. */
static inline bool loop_fd_is_file(const struct loop_fd *fd)
{
    return !loop_fd_is_stream(fd) && fd->write_by == LOOP_IO_BLOCKING;
}

/* Returns the descriptor object that had that id, or NULL when it has been freed. */
static inline struct loop_fd *loop_fd_find(const struct loop *loop, uint64_t id)
{
    return loop_slab_find_given(&loop->fds, id);
}

/* Returns whether reads get what is kept, and do not ask the kernel: bytes or an error are kept, or will be. */
static inline bool loop_fd_reads_kept(const struct loop_fd *fd)
{
    return fd->read_by == LOOP_IO_UNREAD;
}

/* Returns whether bytes or an error are kept for the next reads; see unread.h. */
static inline bool loop_fd_has_unread(const struct loop_fd *fd)
{
    return loop_fd_reads_kept(fd) && (fd->unread || fd->read_error);
}

/* ---- checks: see check.h ---- */

/* Reports a bad descriptor object, and aborts a debug build. Returns false. */
__attribute__((cold)) bool loop_bad_fd(const struct loop_fd *fd, const char *function);

/* Returns whether a descriptor object that a public function was given may be used. */
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
