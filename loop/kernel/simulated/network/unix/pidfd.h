/* SPDX-License-Identifier: ISC
 *
 * Descriptors of the process at the other end of a Unix socket.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_UNIX_PIDFD_H
#define LOOP_KERNEL_SIMULATED_NETWORK_UNIX_PIDFD_H

#include <loop/kernel/simulated/network/socket.h>

/* Opens a descriptor of the process at the other end. Returns its number; -ENODATA for a socket that is not a connected
 * Unix socket; -EMFILE. */
int loop_sim_pidfd_open_peer(const struct loop_sim_socket *socket);

#endif
