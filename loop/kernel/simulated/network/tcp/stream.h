/* SPDX-License-Identifier: ISC
 *
 * TCP sockets.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_TCP_STREAM_H
#define LOOP_KERNEL_SIMULATED_NETWORK_TCP_STREAM_H

#include <loop/kernel/simulated/network/protocol.h>

extern const struct loop_sim_protocol loop_sim_tcp;

#endif
