/* SPDX-License-Identifier: ISC
 *
 * What is registered with a ring, for the sources of ring/.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_REGISTERED_H
#define LOOP_KERNEL_SIMULATED_RING_REGISTERED_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

/* Returns the group of provided buffers with that number, or NULL. */
struct loop_sim_ring_group *loop_sim_ring_group_find(const struct loop_sim_ring *ring, unsigned number);

/* Selects the next buffer of the request's group. Returns its address with its length in *len, or NULL: -ENOBUFS. */
void *loop_sim_request_select_buffer(struct loop_sim_request *request, size_t *len);

/* Takes the selected buffer out of its group, for the completion. */
void loop_sim_request_take_buffer(struct loop_sim_request *request);

/* Drops the buffers that are registered, if there are some. The last ring that has them unlocks their bytes. */
void loop_sim_ring_drop_buffers(struct loop_sim_ring *ring);

/* Returns the file of a registered number, or NULL. */
struct loop_sim_file *loop_sim_ring_fixed_file(const struct loop_sim_ring *ring, unsigned number);

/* Drops the files that are registered. */
void loop_sim_ring_drop_files(struct loop_sim_ring *ring);

/* How many rings a thread may enter by numbers of its own. */
enum { LOOP_SIM_REGISTERED_RINGS = 16 };

/* A ring that a thread may enter by such a number. */
struct loop_sim_ring_registered {
    struct loop_list link;
    uint64_t fiber; /* its number */
    unsigned number;
    struct loop_sim_ring *ring;
};

/* The flag of liburing in io_uring.int_flags for a ring that is entered by its registered number. */
#define LOOP_SIM_RING_IS_REGISTERED 1

/* Returns the registered ring of the calling fiber, or NULL. */
struct loop_sim_ring_registered *loop_sim_ring_registered_find(unsigned number);

/* Drops a registered ring. */
void loop_sim_ring_registered_drop(struct loop_sim_ring_registered *registered);

/* Drops everything that is registered with a ring that is closed. */
void loop_sim_ring_unregister(struct loop_sim_ring *ring);

#endif

#endif
