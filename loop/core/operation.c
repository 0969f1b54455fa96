/* SPDX-License-Identifier: ISC
 *
 * The table of operations.
 */
#include <loop/core/operation.h>

const struct loop_op_row loop_op_table[LOOP_OP_COUNT] = {
    [LOOP_OP_NONE] = {"none", LOOP_CLASS_AT_ONCE, .needs_fd = false},
    [LOOP_OP_NOP] = {"nop", LOOP_CLASS_AT_ONCE, .needs_fd = false},
    [LOOP_OP_OPENAT2] = {"openat2", LOOP_CLASS_POOL, .needs_fd = false},
    [LOOP_OP_READ] = {"read", LOOP_CLASS_MOVE, .needs_fd = true},
    [LOOP_OP_READV] = {"readv", LOOP_CLASS_MOVE, .needs_fd = true, .takes_vectors = true},
    [LOOP_OP_WRITE] = {"write", LOOP_CLASS_MOVE, .is_output = true, .moves_output = true, .needs_fd = true},
    [LOOP_OP_WRITEV] = {"writev", LOOP_CLASS_MOVE, .is_output = true, .moves_output = true, .needs_fd = true,
                        .takes_vectors = true},
    [LOOP_OP_READ_FIXED] = {"read_fixed", LOOP_CLASS_MOVE, .needs_fd = true},
    [LOOP_OP_WRITE_FIXED] = {"write_fixed", LOOP_CLASS_MOVE, .is_output = true, .moves_output = true, .needs_fd = true},
    [LOOP_OP_POLL] = {"poll", LOOP_CLASS_POLL, .needs_fd = true},
    [LOOP_OP_SPLICE] = {"splice", LOOP_CLASS_SPLICE, .needs_fd = true},
    [LOOP_OP_CONNECT] = {"connect", LOOP_CLASS_WRITE, .is_output = true, .needs_fd = true},
    [LOOP_OP_ACCEPT] = {"accept", LOOP_CLASS_READ, .needs_fd = true, .is_accept = true},
    [LOOP_OP_ACCEPT_MULTISHOT] = {"accept_multishot", LOOP_CLASS_READ, .needs_fd = true, .is_accept = true,
                                  .is_multishot = true},
    [LOOP_OP_RECV_MULTISHOT] = {"recv_multishot", LOOP_CLASS_READ, .needs_fd = true, .is_receive = true,
                                .is_multishot = true, .gets_buffers = true},
    [LOOP_OP_RECV] = {"recv", LOOP_CLASS_READ, .needs_fd = true, .is_receive = true, .is_message = true},
    [LOOP_OP_SEND] = {"send", LOOP_CLASS_WRITE, .is_output = true, .moves_output = true, .needs_fd = true,
                      .is_message = true},
    [LOOP_OP_SEND_MSG] = {"send_msg", LOOP_CLASS_WRITE, .is_output = true, .moves_output = true, .needs_fd = true,
                          .is_message = true, .has_header = true},
    [LOOP_OP_RECV_MSG] = {"recv_msg", LOOP_CLASS_READ, .needs_fd = true, .is_receive = true, .is_message = true,
                          .has_header = true},
    [LOOP_OP_STATX] = {"statx", LOOP_CLASS_POOL, .needs_fd = false},
    [LOOP_OP_FSYNC] = {"fsync", LOOP_CLASS_POOL, .needs_fd = true},
    [LOOP_OP_WORK] = {"work", LOOP_CLASS_POOL, .needs_fd = false},
    [LOOP_OP_COPY] = {"copy", LOOP_CLASS_POOL, .needs_fd = true},
};
