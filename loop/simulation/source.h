/* SPDX-License-Identifier: ISC
 *
 * Sources of choice: a seed, a list, the bytes of a fuzzer, and the enumeration of all lists.
 */
#ifndef LOOP_SIMULATION_SOURCE_H
#define LOOP_SIMULATION_SOURCE_H

#include <loop/kernel/simulated/machine/choice.h>

/* A generator of pseudo-random numbers: xoshiro256**. */
struct loop_sim_random {
    uint64_t state[4];
};

/* Begins a sequence of numbers that depends on the seed alone. */
void loop_sim_random_seed(struct loop_sim_random *random, uint64_t seed);

/* Returns a number below n, which is at least 1; each is equally likely. */
uint64_t loop_sim_random_below(struct loop_sim_random *random, uint64_t n);

/* One choice of an enumeration. */
struct loop_sim_step {
    uint32_t value, n;
};

/* A source of choice. What it does not use is zero. */
struct loop_sim_source {
    unsigned (*value)(struct loop_sim_source *source, enum loop_sim_point point, unsigned n, uint32_t ppm);
    unsigned faults; /* enum loop_fault */
    struct loop_sim_random random;
    uint32_t swarm_ppm[LOOP_SIM_POINTS]; /* how likely something other than 0 is in this run */
    const uint32_t *choices;
    const uint8_t *bytes;
    size_t n, next; /* of `choices` or `bytes` */
    struct loop_sim_step *path;
    size_t n_path, path_size; /* `next` counts the choices of this run */
    bool keeps_points;
    uint8_t *points; /* of all choices, where keeps_points is set; the caller frees it */
    size_t n_points, points_size;
};

/* Choices from a seed. The mix of faults of the run is drawn here. */
void loop_sim_source_seed(struct loop_sim_source *source, uint64_t seed, unsigned faults);

/* The choices of a list, then 0 for ever. A value that is out of range or not allowed counts as 0. The list is not
 * copied. */
void loop_sim_source_list(struct loop_sim_source *source, const uint32_t *choices, size_t n_choices, unsigned faults);

/* Choices from bytes, then 0 for ever. A byte below 128 is choice 0. Another one, less 128, is the choice modulo n
 * where n is at most 128; otherwise it is the highest byte of 3 or 5 bytes. The bytes are not copied. */
void loop_sim_source_bytes(struct loop_sim_source *source, const uint8_t *bytes, size_t n_bytes, unsigned faults);

/* The first of all lists of choices: zeros. */
void loop_sim_source_enumerate(struct loop_sim_source *source, unsigned faults);

/* Goes on to the next list, depth first: the last choice that has another value left gets it, and those behind it are
 * forgotten. Returns false when all lists have been tried. */
bool loop_sim_source_next(struct loop_sim_source *source);

/* Frees what an enumeration holds. */
void loop_sim_source_finish(struct loop_sim_source *source);

/* Returns the choice of a source: a loop_sim_choose_fn. Non-zero choices are traced. */
unsigned loop_sim_source_choose(void *source, enum loop_sim_point point, unsigned n, uint32_t ppm);

#endif
