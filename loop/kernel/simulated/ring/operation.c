/* SPDX-License-Identifier: ISC
 *
 * The operations that are simulated, by opcode. A ring refuses the others as a kernel that does not know them.
 */
#include <loop/kernel/simulated/ring/cancel.h>
#include <loop/kernel/simulated/ring/move.h>
#include <loop/kernel/simulated/ring/operation.h>
#include <loop/kernel/simulated/ring/path.h>
#include <loop/kernel/simulated/ring/poll.h>
#include <loop/kernel/simulated/ring/socket.h>

#if NORIA_URING

static int prepare_nop(struct loop_sim_request *request)
{
    return request->entry.rw_flags ? -EINVAL : 0;
}

static int32_t issue_nop(struct loop_sim_request *request)
{
    (void)request;
    return 0;
}

static const struct loop_sim_ring_op nop = {.prepare = prepare_nop, .issue = issue_nop, .is_polled = true};

static const struct loop_sim_ring_op *const operations[IORING_OP_LAST] = {
    [IORING_OP_NOP] = &nop,
    [IORING_OP_READV] = &loop_sim_ring_readv,
    [IORING_OP_WRITEV] = &loop_sim_ring_writev,
    [IORING_OP_FSYNC] = &loop_sim_ring_fsync,
    [IORING_OP_READ_FIXED] = &loop_sim_ring_read_fixed,
    [IORING_OP_WRITE_FIXED] = &loop_sim_ring_write_fixed,
    [IORING_OP_POLL_ADD] = &loop_sim_ring_poll,
    [IORING_OP_POLL_REMOVE] = &loop_sim_ring_poll_remove,
    [IORING_OP_SENDMSG] = &loop_sim_ring_send_message,
    [IORING_OP_RECVMSG] = &loop_sim_ring_receive_message,
    [IORING_OP_TIMEOUT] = &loop_sim_ring_timeout,
    [IORING_OP_TIMEOUT_REMOVE] = &loop_sim_ring_timeout_remove,
    [IORING_OP_ACCEPT] = &loop_sim_ring_accept,
    [IORING_OP_ASYNC_CANCEL] = &loop_sim_ring_async_cancel,
    [IORING_OP_CONNECT] = &loop_sim_ring_connect,
    [IORING_OP_CLOSE] = &loop_sim_ring_close_file,
    [IORING_OP_STATX] = &loop_sim_ring_statx,
    [IORING_OP_READ] = &loop_sim_ring_read,
    [IORING_OP_WRITE] = &loop_sim_ring_write,
    [IORING_OP_SEND] = &loop_sim_ring_send,
    [IORING_OP_RECV] = &loop_sim_ring_receive,
    [IORING_OP_OPENAT2] = &loop_sim_ring_open,
    [IORING_OP_SHUTDOWN] = &loop_sim_ring_shutdown,
};

const struct loop_sim_ring_op *loop_sim_ring_op_of(const struct loop_sim_node *node, unsigned opcode)
{
    enum { BITS = 64 };
    if (opcode >= IORING_OP_LAST || node->ring_ops_masked[opcode / BITS] >> opcode % BITS & 1) {
        return NULL;
    }
    return operations[opcode];
}

#endif
