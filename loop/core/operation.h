/* SPDX-License-Identifier: ISC
 *
 * The operations that a backend serves, and the table of what is known of each.
 */
#ifndef LOOP_CORE_OPERATION_H
#define LOOP_CORE_OPERATION_H

#include <loop/event.h>
#include <loop/ground/list.h>
#include <loop/low_level.h>

#include <sys/uio.h>

/* The operations that a backend serves. One row for each in loop_op_table. */
enum loop_op {
    LOOP_OP_NONE, /* a job of the loop's own: a timer, a stream, a promise, … */
    LOOP_OP_NOP,
    LOOP_OP_OPENAT2,
    LOOP_OP_READ,
    LOOP_OP_READV,
    LOOP_OP_WRITE,
    LOOP_OP_WRITEV,
    LOOP_OP_READ_FIXED,
    LOOP_OP_WRITE_FIXED,
    LOOP_OP_POLL,
    LOOP_OP_SPLICE,
    LOOP_OP_CONNECT,
    LOOP_OP_ACCEPT,
    LOOP_OP_ACCEPT_MULTISHOT,
    LOOP_OP_RECV_MULTISHOT,
    LOOP_OP_RECV,
    LOOP_OP_SEND,
    LOOP_OP_SEND_MSG,
    LOOP_OP_RECV_MSG,
    LOOP_OP_STATX,
    LOOP_OP_FSYNC,
    LOOP_OP_WORK,
    LOOP_OP_COPY, /* between two files */
    LOOP_OP_COUNT
};

enum loop_op_class {
    LOOP_CLASS_AT_ONCE, /* can't block: done in the call */
    LOOP_CLASS_READ,    /* waits for POLLIN */
    LOOP_CLASS_WRITE,   /* waits for POLLOUT */
    LOOP_CLASS_POLL,    /* waits for the events in args.poll */
    LOOP_CLASS_MOVE,    /* read, write and their kin: as READ or WRITE on streams, a thread of the pool on files */
    LOOP_CLASS_SPLICE,  /* waits for both of its ends; a thread of the pool where one is a file */
    LOOP_CLASS_POOL     /* a thread of the pool */
};

struct loop_op_row {
    const char *name;
    uint8_t op_class;   /* enum loop_op_class */
    bool is_output;     /* waits for POLLOUT rather than POLLIN, where it waits */
    bool moves_output;  /* and moves bytes: is_output without connect */
    bool needs_fd;      /* has to have a descriptor */
    bool takes_vectors; /* args.move has vectors */
    bool is_accept;     /* takes connections */
    bool is_receive;    /* takes what comes to a socket */
    bool is_message;    /* its arguments are args.message */
    bool has_header;    /* and a msghdr in args.extra */
    bool is_multishot;  /* completes many times */
    bool gets_buffers;  /* receives into provided buffers */
};

extern const struct loop_op_row loop_op_table[LOOP_OP_COUNT];

/* ---- arguments ---- */

struct loop_block;

/* read, write and their kin. */
struct loop_move_args {
    union {
        struct {
            void *data;
            size_t len;
        };
        struct { /* readv and writev */
            const struct iovec *iov;
            size_t n_iov;
        };
    };
    int64_t offset;   /* or LOOP_CURRENT */
    int64_t position; /* the ring's: where the file was before the operation, or -1 */
};

/* A read of a file's source: `move` is what is left of it. */
struct loop_file_read_args {
    struct loop_move_args move;
    void *begin;   /* of the caller's buffer */
    bool is_exact; /* until all of it is filled */
};

/* recv, send, recv_msg and send_msg. The messages have their msghdr in `extra`. */
struct loop_message_args {
    int flags; /* MSG_… */
    void *data;
    size_t len, done;             /* bytes; `done` under MSG_WAITALL, so far */
    struct loop_message *message; /* recv_msg: the caller's */
    size_t max_numbers;           /* recv_msg: room in message->numbers */
};

struct loop_poll_args {
    uint32_t events; /* POLL… */
};

/* Where a splice waits. */
enum loop_splice_side { LOOP_SPLICE_NOWHERE, LOOP_SPLICE_SOURCE, LOOP_SPLICE_DESTINATION };

/* From the job's descriptor to `second`. Unread bytes that a thread writes to a file are in `extra`, as a block. */
struct loop_splice_args {
    int64_t from_offset, to_offset; /* or LOOP_CURRENT */
    size_t len;
    enum loop_splice_side side;
};

/* The address is in `extra`. */
struct loop_connect_args {
    socklen_t address_len;
    bool is_begun; /* connect(2) has returned EINPROGRESS */
};

struct loop_accept_args {
    struct sockaddr *address; /* or NULL */
    socklen_t *address_len;
};

/* recv_multishot. The flags belong to the ring's backend. */
struct loop_receive_args {
    struct loop_buffers *buffers;
    bool is_family_known;
    bool is_unix;
    bool has_ended; /* nothing is left but the end; the kernel was asked to let go */
};

/* The path is in `extra`. */
struct loop_open_args {
    bool is_made_nonblocking; /* by the ring's backend: O_NONBLOCK was not asked for */
};

/* The path is in `extra`. */
struct loop_statx_args {
    struct statx *buf;
    unsigned mask;
    int flags; /* AT_… */
};

struct loop_sync_args {
    bool is_data_only;
};

struct loop_work_args {
    loop_work_fn *work;
    void *arg;
    struct loop_owned_work *owned; /* in place of the two where the work owns its argument; or NULL */
    bool takes_long;
};

/* How a thread of the pool copies a file. */
enum loop_copy_way { LOOP_COPY_WAY_UNKNOWN, LOOP_COPY_WAY_RANGE, LOOP_COPY_WAY_BUFFER };

/* A copy, of any kind; to `second`, where the sink is a descriptor. */
struct loop_copy_args {
    int64_t done;             /* bytes that the sink has taken */
    struct loop_block *block; /* the buffer that it keeps, or NULL */
    struct iovec rest;        /* what of it is still to be written */
    /* a copy between two ends of one descriptor is a small job, and ends here */
    loop_job inner;         /* of the source or the sink, which the copy waits for */
    enum loop_copy_way way; /* between two files */
    bool is_wanted_back;    /* under the pool's mutex: hand it back after the piece */
    bool is_sink_error;     /* a piece has failed in the sink */
};

/* The arguments of a job's operation: the family's, and what all have. */
struct loop_op_args {
    union {
        struct loop_move_args move;
        struct loop_file_read_args file_read;
        struct loop_message_args message;
        struct loop_poll_args poll;
        struct loop_splice_args splice;
        struct loop_connect_args connect;
        struct loop_accept_args accept;
        struct loop_receive_args receive;
        struct loop_open_args open;
        struct loop_statx_args statx;
        struct loop_sync_args sync;
        struct loop_work_args work;
        struct loop_copy_args copy;
    };
    struct loop_fd *second;      /* used by the job beside its own, or NULL */
    struct loop_hnode in_second; /* in second->second_jobs */
    void *extra;                 /* from malloc, freed with the job */
};

#endif
