/* SPDX-License-Identifier: ISC
 *
 * The operations that a backend serves, and the table of what is known of each.
 */
#ifndef LOOP_OPERATION_H
#define LOOP_OPERATION_H

#include <stdbool.h>
#include <stdint.h>

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
    LOOP_CLASS_POLL,    /* waits for the events in args.flags */
    LOOP_CLASS_MOVE,    /* read, write and their kin: as READ or WRITE on streams, a thread of the pool on files */
    LOOP_CLASS_POOL     /* a thread of the pool */
};

struct loop_op_row {
    const char *name;
    uint8_t op_class;
    bool is_output; /* MOVE: waits for POLLOUT rather than POLLIN */
};

extern const struct loop_op_row loop_op_table[LOOP_OP_COUNT];

#endif
