/* SPDX-License-Identifier: ISC
 *
 * Operations on sockets.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_SOCKET_H
#define LOOP_KERNEL_SIMULATED_RING_SOCKET_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

extern const struct loop_sim_ring_op loop_sim_ring_connect, loop_sim_ring_accept, loop_sim_ring_receive,
    loop_sim_ring_send, loop_sim_ring_receive_message, loop_sim_ring_send_message, loop_sim_ring_shutdown;

#endif

#endif
