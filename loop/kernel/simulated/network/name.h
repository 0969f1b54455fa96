/* SPDX-License-Identifier: ISC
 *
 * The table of host names of a world.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_NAME_H
#define LOOP_KERNEL_SIMULATED_NETWORK_NAME_H

#include <loop/kernel/simulated/network/socket.h>

/* Frees the table. */
void loop_sim_names_finish(struct loop_sim_network *network);

#endif
