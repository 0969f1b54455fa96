/* SPDX-License-Identifier: ISC
 *
 * The operations that a backend serves: their numbers, the table of their properties, and their arguments.
 */
#ifndef LOOP_CORE_OPERATION_H
#define LOOP_CORE_OPERATION_H

#include <loop/event.h>
#include <loop/ground/index_list.h>
#include <loop/ground/list.h>
#include <loop/low_level.h>

#include <sys/uio.h>

/* The operations. Each has one row in loop_op_table, one case in the ring's backend (prepare.c), and one among the
 * system calls (attempt.c). Other files ask the table for a property. */
enum loop_op {
    LOOP_OP_NONE, /* a job that is no operation: a timer, a stream, a promise, … */
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
    LOOP_OP_COPY, /* from one regular file to another */
    LOOP_OP_COUNT
};

/* What an operation waits for when system calls serve it. */
enum loop_op_class {
    LOOP_CLASS_AT_ONCE, /* nothing: it cannot block */
    LOOP_CLASS_READ,    /* POLLIN */
    LOOP_CLASS_WRITE,   /* POLLOUT */
    LOOP_CLASS_POLL,    /* the events in args.poll */
    LOOP_CLASS_MOVE,    /* reads and writes: POLLIN or POLLOUT on streams, a thread of the pool on files */
    LOOP_CLASS_SPLICE,  /* both of its ends; then a thread of the pool if one is a file */
    LOOP_CLASS_POOL     /* a thread of the pool */
};

/* The properties of an operation. */
struct loop_op_row {
    const char *name;
    uint8_t op_class;   /* enum loop_op_class */
    bool is_output;     /* waits for POLLOUT rather than POLLIN, if it waits */
    bool moves_output;  /* is_output, and moves bytes: not connect */
    bool needs_fd;      /* must have a descriptor */
    bool takes_vectors; /* args.move has vectors in place of one buffer */
    bool is_accept;     /* accepts connections */
    bool is_receive;    /* receives bytes or messages from a socket */
    bool is_message;    /* its arguments are args.message */
    bool has_header;    /* is_message, with a msghdr in args.extra */
    bool is_multishot;  /* completes many times */
    bool gets_buffers;  /* receives into provided buffers */
};

/* The properties of the operations, by enum loop_op. */
extern const struct loop_op_row loop_op_table[LOOP_OP_COUNT];

/* ---- arguments ---- */

struct loop_block;

/* Reads and writes of one buffer, or of vectors. */
struct loop_move_args {
    union {
        struct {
            void *data;
            size_t len;
        };
        struct { /* with takes_vectors */
            const struct iovec *iov;
            size_t n_iov;
        };
    };
    int64_t offset;   /* or LOOP_CURRENT */
    int64_t position; /* used by the ring's backend: the file's position before the operation, or -1 */
};

/* LOOP_OP_READ by the source of a file. */
struct loop_file_read_args {
    struct loop_move_args move; /* what is left of the caller's buffer */
    void *begin;                /* of the caller's buffer */
    bool is_exact;              /* reads until the buffer is full */
};

struct loop_range;

/* The read of a loop_range_source. */
struct loop_range_args {
    struct loop_move_args move;
    struct loop_range *range;
};

/* recv, send, recv_msg and send_msg. The last two have a struct loop_message_request in `extra`. */
struct loop_message_args {
    int flags;                    /* MSG_… */
    void *data;                   /* recv, send */
    size_t len;                   /* recv, send: bytes */
    size_t done;                  /* recv, send with MSG_WAITALL: bytes moved so far */
    struct loop_message *message; /* recv_msg: where the received message is stored */
    size_t max_numbers;           /* recv_msg: room in message->numbers */
};

/* A poll. */
struct loop_poll_args {
    uint32_t events; /* POLL… */
    /* of loop_poll_number */
    bool is_once;
    int number;        /* the caller's; the job's descriptor is a duplicate */
    uint64_t identity; /* of the file that it named */
};

/* The end that a splice waits for. */
enum loop_splice_side { LOOP_SPLICE_NOWHERE, LOOP_SPLICE_SOURCE, LOOP_SPLICE_DESTINATION };

/* A splice from the job's descriptor to `second`. While a thread writes unread bytes to a file, they are in `extra` as
 * a struct loop_block. */
struct loop_splice_args {
    int64_t from_offset, to_offset; /* or LOOP_CURRENT */
    size_t len;
    enum loop_splice_side side;
};

/* A connect. The address is in `extra` as a struct sockaddr_storage. */
struct loop_connect_args {
    socklen_t address_len;
    bool is_begun; /* connect(2) has returned EINPROGRESS */
};

/* An accept, of one connection or multishot. */
struct loop_accept_args {
    struct sockaddr *address; /* or NULL */
    socklen_t *address_len;
};

/* recv_multishot. The flags are used by the ring's backend. */
struct loop_receive_args {
    struct loop_buffers *buffers;
    bool is_family_known;
    bool is_unix;
    bool is_recalled; /* the ring's operation was cancelled and not the job: it goes on with another */
};

/* openat2. The path is in `extra` as a struct loop_open_request. */
struct loop_open_args {
    bool is_made_nonblocking; /* the ring's backend has added O_NONBLOCK */
};

/* statx. The path is in `extra` as a struct loop_path_request. */
struct loop_statx_args {
    struct statx *buf;
    unsigned mask;
    int flags; /* AT_… */
};

/* fsync. */
struct loop_sync_args {
    bool is_data_only;
};

/* Work for a thread of the pool. */
struct loop_work_args {
    loop_work_fn *work;
    void *arg;
    struct loop_owned_work *owned; /* in place of the two above if the work owns its argument; or NULL */
    bool takes_long;
};

/* How a thread of the pool copies a file. */
enum loop_copy_way { LOOP_COPY_WAY_UNKNOWN, LOOP_COPY_WAY_RANGE, LOOP_COPY_WAY_BUFFER };

/* A copy of any kind. `second` is the descriptor of its sink, if that has one. */
struct loop_copy_args {
    int64_t done;             /* bytes that the sink has accepted */
    struct loop_block *block; /* the buffer that the copy keeps, or NULL */
    /* the arguments of an echo, which is a small job, end here */
    struct iovec rest;      /* to a file: the bytes in it that are still to be written */
    loop_job inner;         /* the job of the source or the sink that the copy waits for */
    enum loop_copy_way way; /* between two files: how */
    bool is_wanted_back;    /* between two files, under the pool's mutex: return to the loop after this piece */
    bool is_sink_error;     /* between two files: the sink has failed */
    bool is_lost;           /* between two files: it ends because a write in front of it has failed */
};

/* The arguments of a job's operation: those of its family, and those that all have. */
struct loop_op_args {
    union {
        struct loop_move_args move;
        struct loop_file_read_args file_read;
        struct loop_range_args range;
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
    struct loop_fd *second;           /* a second descriptor that the job uses, or NULL */
    struct loop_index_node in_second; /* in loop_fd_second_jobs(second) */
    void *extra;                      /* from malloc, freed with the job */
};

#endif
