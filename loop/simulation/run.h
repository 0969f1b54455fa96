/* SPDX-License-Identifier: ISC
 *
 * One run of a world.
 */
#ifndef LOOP_SIMULATION_RUN_H
#define LOOP_SIMULATION_RUN_H

#include <loop/simulation/marks.h>
#include <loop/simulation/source.h>
#include <loop/simulation/world.h>

/* The reason of a run that has reached the limit of steps, up to its colon. */
#define LOOP_SIM_REASON_STEPS "too many steps"

/* A run: what it is made of, and what came of it. */
struct loop_sim_run {
    loop_world_fn *build;
    void *arg;
    const struct loop_simulation_options *options;
    struct loop_sim_source *source;
    struct loop_sim_marks *marks;
    bool is_traced;
    bool keeps_choices;  /* also when the run does not fail */
    uint64_t most_steps; /* 0: those of the options */

    bool has_failed;
    char reason[LOOP_SIM_REASON_SIZE];
    uint32_t *choices; /* allocated by malloc; NULL: not kept */
    size_t n_choices;
    uint64_t steps;
    int64_t time_ns;
    struct loop_simulation_trace *trace; /* NULL: not traced */
};

/* Makes the world, runs it, and frees it. */
void loop_sim_run(struct loop_sim_run *run);

/* Returns the faults that options allow. */
unsigned loop_sim_run_faults(const struct loop_simulation_options *options);

/* Returns what is wrong with the options, as text; NULL: nothing. */
const char *loop_sim_run_mistake(loop_world_fn *build, const struct loop_simulation_options *options);

/* Returns 0, -EINVAL for wrong options, -EDEADLK inside a world. */
int loop_sim_run_check(loop_world_fn *build, const struct loop_simulation_options *options);

/* Moves what a run has found into a result. */
void loop_sim_run_report(struct loop_sim_run *run, struct loop_simulation_result *result);

/* Moves marks into a result, and frees them. */
void loop_sim_marks_report(struct loop_sim_marks *marks, struct loop_simulation_result *result);

/* Returns a number that no earlier run had: for the seed of a search. */
uint64_t loop_sim_fresh_seed(void);

/* Returns the real time, in nanoseconds. */
int64_t loop_sim_real_time(void);

#endif
