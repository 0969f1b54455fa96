/* SPDX-License-Identifier: ISC
 *
 * Socket options.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_OPTION_H
#define LOOP_KERNEL_SIMULATED_NETWORK_OPTION_H

#include <loop/kernel/simulated/network/socket.h>

/* Gives a new socket its defaults. */
void loop_sim_options_init(struct loop_sim_socket *socket);

int loop_sim_option_set(struct loop_sim_socket *socket, int level, int name, const void *value, socklen_t length);
int loop_sim_option_get(struct loop_sim_socket *socket, int level, int name, void *value, socklen_t *length);

#endif
