/* SPDX-License-Identifier: ISC
 *
 * What a search has found, as text.
 */
#include <loop/simulation.h>
#include <loop/simulation/misuse.h>
#include <loop/simulation/show/trace.h>

#include <stdlib.h>

/* How many choices a report shows; a longer list is better replayed by its seed. */
#define MOST_CHOICES_SHOWN 2000

static void add_choices(struct loop_sim_text *text, const struct loop_simulation_result *result)
{
    loop_sim_text_add(text, "choices: %zu, of them %zu other than 0 (%zu before shrinking, %llu runs for it)\n",
                      result->n_choices, result->n_departures, result->n_choices_found,
                      (unsigned long long)result->shrink_runs);
    char *choices = loop_simulation_choices_format(result->choices, result->n_choices);
    if (choices && result->n_departures <= MOST_CHOICES_SHOWN) {
        loop_sim_text_add(text, "replay:  --replay \"%s\"\n", choices);
    }
    free(choices);
}

static void add_marks(struct loop_sim_text *text, const struct loop_simulation_result *result)
{
    for (size_t i = 0; i < result->n_marks; i++) {
        loop_sim_text_add(text, "mark:    %s, in %llu runs\n", result->marks[i].name,
                          (unsigned long long)result->marks[i].runs);
    }
}

char *loop_simulation_result_text(const struct loop_simulation_result *result)
{
    struct loop_sim_text text = {0};
    LOOP_SIM_NEED(result, "result");
    if (result->has_failed) {
        loop_sim_text_add(&text, "FAILED:  %s\n", result->reason);
    }
    loop_sim_text_add(&text, "runs:    %llu%s, steps: %llu\n", (unsigned long long)result->runs,
                      result->is_complete ? ", which are all there are" : "", (unsigned long long)result->steps);
    bool has_failed_run = result->has_failed && result->choices; /* not when only a mark was missed */
    if (result->seed) {
        loop_sim_text_add(&text, "seed:    %llu (of the %s run)\n", (unsigned long long)result->seed,
                          has_failed_run ? "failed" : "last");
    }
    if (has_failed_run) {
        add_choices(&text, result);
    }
    add_marks(&text, result);
    if (result->trace) {
        loop_sim_text_add(&text, "\n");
        loop_sim_trace_write(&text, result->trace, false);
    }
    return loop_sim_text_take(&text);
}
