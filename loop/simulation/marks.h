/* SPDX-License-Identifier: ISC
 *
 * Marks of loop_simulation_sometimes, gathered over the runs of a search.
 */
#ifndef LOOP_SIMULATION_MARKS_H
#define LOOP_SIMULATION_MARKS_H

#include <loop/simulation.h>

/* Marks, in the order in which they were first reached. Zeros are none. */
struct loop_sim_marks {
    struct loop_simulation_mark *marks; /* allocated by malloc */
    size_t n_marks;
    uint64_t *last_runs; /* the run in which each was last counted */
    uint64_t run;        /* the number of the run, from 1 */
};

/* Counts a mark, once in each run. */
void loop_sim_marks_reach(struct loop_sim_marks *marks, const char *name);

/* Returns the first of `names` that was not reached, or NULL. `names` ends with NULL, and may be NULL. */
const char *loop_sim_marks_missing(const struct loop_sim_marks *marks, const char *const *names);

/* Frees the marks. */
void loop_sim_marks_finish(struct loop_sim_marks *marks);

#endif
