/* SPDX-License-Identifier: ISC
 *
 * The table of operations.
 */
#include <loop/core/operation.h>

const struct loop_op_row loop_op_table[LOOP_OP_COUNT] = {
    [LOOP_OP_NONE] = {"none", LOOP_CLASS_AT_ONCE, false},
    [LOOP_OP_NOP] = {"nop", LOOP_CLASS_AT_ONCE, false},
    [LOOP_OP_OPENAT2] = {"openat2", LOOP_CLASS_POOL, false},
    [LOOP_OP_READ] = {"read", LOOP_CLASS_MOVE, false},
    [LOOP_OP_READV] = {"readv", LOOP_CLASS_MOVE, false},
    [LOOP_OP_WRITE] = {"write", LOOP_CLASS_MOVE, true},
    [LOOP_OP_WRITEV] = {"writev", LOOP_CLASS_MOVE, true},
    [LOOP_OP_READ_FIXED] = {"read_fixed", LOOP_CLASS_MOVE, false},
    [LOOP_OP_WRITE_FIXED] = {"write_fixed", LOOP_CLASS_MOVE, true},
    [LOOP_OP_POLL] = {"poll", LOOP_CLASS_POLL, false},
    [LOOP_OP_SPLICE] = {"splice", LOOP_CLASS_MOVE, false}, /* from one list to the other: direct.c */
    [LOOP_OP_CONNECT] = {"connect", LOOP_CLASS_WRITE, true},
    [LOOP_OP_ACCEPT] = {"accept", LOOP_CLASS_READ, false},
    [LOOP_OP_ACCEPT_MULTISHOT] = {"accept_multishot", LOOP_CLASS_READ, false},
    [LOOP_OP_RECV_MULTISHOT] = {"recv_multishot", LOOP_CLASS_READ, false},
    [LOOP_OP_RECV] = {"recv", LOOP_CLASS_READ, false},
    [LOOP_OP_SEND] = {"send", LOOP_CLASS_WRITE, true},
    [LOOP_OP_SEND_MSG] = {"send_msg", LOOP_CLASS_WRITE, true},
    [LOOP_OP_RECV_MSG] = {"recv_msg", LOOP_CLASS_READ, false},
    [LOOP_OP_STATX] = {"statx", LOOP_CLASS_POOL, false},
    [LOOP_OP_FSYNC] = {"fsync", LOOP_CLASS_POOL, false},
    [LOOP_OP_WORK] = {"work", LOOP_CLASS_POOL, false},
    [LOOP_OP_COPY] = {"copy", LOOP_CLASS_POOL, false},
};
