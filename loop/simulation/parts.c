/* SPDX-License-Identifier: ISC
 *
 * The parts of the simulated kernel, in the order in which they are called: descriptors are closed first, and
 * the memory of programs is freed last.
 */
#include <loop/simulation/parts.h>

#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/object/standard.h>
#include <loop/kernel/simulated/ring/ring.h>

LOOP_SIM_PARTS const struct loop_sim_part *const loop_sim_parts[LOOP_SIM_N_PARTS] = {
    &loop_sim_object_part, &loop_sim_ring_part,   &loop_sim_network_part,
    &loop_sim_disk_part,   &loop_sim_thread_part, &loop_sim_memory_part};
