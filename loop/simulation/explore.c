/* SPDX-License-Identifier: ISC
 *
 * Searches for a run that fails, and shrinks it.
 */
#include <loop/simulation/run.h>
#include <loop/simulation/shrink.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RUNS 1000
#define SHRINK_NS (10 * LOOP_SECOND)
#define SPARE_STEPS 10000 /* a shorter list may make a run longer; one that takes for ever is not worth the time */

/* A search. */
struct search {
    loop_world_fn *build;
    void *arg;
    const struct loop_simulation_options *options;
    struct loop_simulation_result *result;
    struct loop_sim_marks marks;
    struct loop_sim_source source;
    struct loop_sim_run found; /* the run that has failed */
    int64_t end_ns;            /* of the search or of shrinking, in real time */
    uint64_t most_steps;       /* of a run while shrinking; 0: no other limit than that of the search */
};

static struct loop_sim_run new_run(const struct search *search, struct loop_sim_source *source,
                                   struct loop_sim_marks *marks)
{
    return (struct loop_sim_run){
        .build = search->build, .arg = search->arg, .options = search->options, .source = source, .marks = marks};
}

/* ---- shrinking ---- */

/* Whether two reasons are the same up to the first colon. */
static bool is_same_reason(const char *one, const char *other)
{
    size_t len = strcspn(one, ":");
    return len == strcspn(other, ":") && !memcmp(one, other, len);
}

/* Runs a list without counting marks. The caller frees the choices, the trace, and the points, which are NULL when they
 * are not those of all choices. */
static struct loop_sim_run run_list(struct search *search, const uint32_t *choices, size_t n_choices, bool is_traced,
                                    uint8_t **points)
{
    struct loop_sim_source source;
    struct loop_sim_marks marks = {0};
    loop_sim_source_list(&source, choices, n_choices, loop_sim_run_faults(search->options));
    source.keeps_points = points != NULL;
    struct loop_sim_run run = new_run(search, &source, &marks);
    run.is_traced = is_traced;
    run.most_steps = search->most_steps;
    loop_sim_run(&run);
    loop_sim_marks_finish(&marks);
    if (source.n_points < n_choices) {
        loop_sim_free(source.points);
        source.points = NULL;
    }
    if (points) {
        *points = source.points;
    }
    return run;
}

static bool candidate_fails(void *arg, const uint32_t *choices, size_t n_choices)
{
    struct search *search = arg;
    struct loop_sim_run run = run_list(search, choices, n_choices, false, NULL);
    search->result->shrink_runs++;
    loop_sim_free(run.choices);
    return run.has_failed && is_same_reason(run.reason, search->found.reason);
}

static bool shrinking_is_over(void *arg)
{
    const struct search *search = arg;
    return loop_sim_real_time() >= search->end_ns;
}

static void shrink(struct search *search)
{
    int64_t limit = search->options->shrink_limit_ns;
    struct loop_sim_run *found = &search->found;
    uint8_t *points = NULL;
    search->end_ns = loop_sim_real_time() + (limit ? limit : SHRINK_NS);
    search->most_steps = is_same_reason(found->reason, LOOP_SIM_REASON_STEPS) ? 0 : 2 * found->steps + SPARE_STEPS;
    struct loop_sim_run again = run_list(search, found->choices, found->n_choices, false, &points);
    struct loop_sim_shrink work = {.fails = candidate_fails,
                                   .is_over = shrinking_is_over,
                                   .arg = search,
                                   .choices = found->choices,
                                   .n_choices = found->n_choices,
                                   .points = points};
    if (again.has_failed && is_same_reason(again.reason, found->reason)) {
        loop_sim_shrink(&work);
        found->n_choices = work.n_choices;
    } else {
        (void)snprintf(found->reason, sizeof found->reason,
                       "not repeatable: the same choices gave \"%.90s\" and then \"%.90s\"", search->result->reason,
                       again.has_failed ? again.reason : "no failure");
    }
    loop_sim_free(again.choices);
    loop_sim_free(points);
}

/* ---- the failed run ---- */

/* Shrinks the failed run, and runs it again for its trace. */
static void report_failure(struct search *search)
{
    struct loop_simulation_result *result = search->result;
    struct loop_sim_run *found = &search->found;
    memcpy(result->reason, found->reason, sizeof result->reason);
    result->n_choices_found = found->n_choices;
    if (search->options->shrink_limit_ns >= 0) {
        shrink(search);
    }
    struct loop_sim_run last = run_list(search, found->choices, found->n_choices, true, NULL);
    if (last.has_failed && is_same_reason(last.reason, found->reason)) {
        loop_sim_free(found->choices);
        loop_sim_run_report(&last, result);
        return;
    }
    found->trace = last.trace;
    loop_sim_free(last.choices);
    loop_sim_run_report(found, result);
}

/* ---- searching ---- */

/* Begins the source of the next run. Returns false when there is none. */
static bool begin_source(struct search *search)
{
    const struct loop_simulation_options *options = search->options;
    uint64_t i = search->result->runs;
    if (!options->is_exhaustive) {
        search->result->seed += i > 0;
        loop_sim_source_seed(&search->source, search->result->seed, loop_sim_run_faults(options));
        return true;
    }
    if (i == 0) {
        loop_sim_source_enumerate(&search->source, loop_sim_run_faults(options));
        return true;
    }
    search->result->is_complete = !loop_sim_source_next(&search->source);
    return !search->result->is_complete;
}

static bool is_over(const struct search *search)
{
    const struct loop_simulation_options *options = search->options;
    uint64_t runs = options->runs ? options->runs : options->is_exhaustive ? UINT64_MAX : RUNS;
    return search->result->runs >= runs || (search->result->runs > 0 && options->time_limit_ns > 0 &&
                                            loop_sim_real_time() - search->end_ns >= options->time_limit_ns);
}

/* Makes runs until one fails. */
static void run_all(struct search *search)
{
    search->end_ns = loop_sim_real_time(); /* its beginning, until it shrinks */
    while (begin_source(search) && !is_over(search)) {
        struct loop_sim_run run = new_run(search, &search->source, &search->marks);
        loop_sim_run(&run);
        search->result->runs++;
        search->result->steps += run.steps;
        search->result->time_ns = run.time_ns;
        if (run.has_failed) {
            search->found = run;
            return;
        }
    }
}

static void judge_marks(struct search *search)
{
    const char *missing = loop_sim_marks_missing(&search->marks, search->options->marks);
    if (missing) {
        search->result->has_failed = true;
        (void)snprintf(search->result->reason, sizeof search->result->reason, "no run reached the mark: %s", missing);
    }
}

static int explore(struct search *search)
{
    const struct loop_simulation_options *options = search->options;
    if (!options->is_exhaustive) {
        search->result->seed = options->seed ? options->seed : loop_sim_fresh_seed();
    }
    run_all(search);
    loop_sim_source_finish(&search->source);
    if (search->found.has_failed) {
        report_failure(search);
    } else {
        judge_marks(search);
    }
    loop_sim_marks_report(&search->marks, search->result);
    return search->result->has_failed ? 1 : 0;
}

int loop_simulation_explore(loop_world_fn *build, void *arg, const struct loop_simulation_options *options,
                            struct loop_simulation_result *result)
{
    static const struct loop_simulation_options defaults;
    options = options ? options : &defaults;
    int error = loop_sim_run_check(build, options);
    if (error || options->choices || options->bytes) {
        return error ? error : -EINVAL;
    }
    struct loop_simulation_result own = {0};
    struct search search = {.build = build, .arg = arg, .options = options, .result = &own};
    int status = explore(&search);
    if (result) {
        loop_simulation_result_finish(result);
        *result = own;
    } else {
        loop_simulation_result_finish(&own);
    }
    return status;
}
