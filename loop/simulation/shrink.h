/* SPDX-License-Identifier: ISC
 *
 * Shrinks a list of choices to few that still fail.
 */
#ifndef LOOP_SIMULATION_SHRINK_H
#define LOOP_SIMULATION_SHRINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A list that fails, and how to find out whether another one does. */
struct loop_sim_shrink {
    /* Whether this list fails for the same reason. */
    bool (*fails)(void *arg, const uint32_t *choices, size_t n_choices);
    /* Whether the time is over. */
    bool (*is_over)(void *arg);
    void *arg;
    uint32_t *choices; /* allocated by malloc; replaced in place by the best list so far */
    size_t n_choices;
    const uint8_t *points; /* the point of each choice, enum loop_sim_point; NULL: not known */
    uint32_t *candidate;   /* room for a list, of loop_sim_shrink itself */
};

/* Shrinks until nothing more can be left out, or the time is over. Choices other than 0 become 0 first, all those of a
 * point, halves and single ones; then values become lower; then spans of the list are deleted; at last a choice becomes
 * 0 and those behind it are moved. No list is longer than the first. The order is fixed. */
void loop_sim_shrink(struct loop_sim_shrink *shrink);

/* Returns the number of choices other than 0. */
size_t loop_sim_count_departures(const uint32_t *choices, size_t n_choices);

#endif
