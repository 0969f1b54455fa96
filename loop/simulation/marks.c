/* SPDX-License-Identifier: ISC
 *
 * Marks. See marks.h.
 */
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/simulation/marks.h>

#include <string.h>

/* ---- gathering ---- */

static size_t find(const struct loop_sim_marks *marks, const char *name)
{
    size_t i = 0;
    while (i < marks->n_marks && strcmp(marks->marks[i].name, name) != 0) {
        i++;
    }
    return i;
}

void loop_sim_marks_reach(struct loop_sim_marks *marks, const char *name)
{
    size_t i = find(marks, name);
    if (i == marks->n_marks) {
        marks->n_marks++;
        marks->marks = loop_sim_realloc(marks->marks, marks->n_marks * sizeof *marks->marks);
        marks->last_runs = loop_sim_realloc(marks->last_runs, marks->n_marks * sizeof *marks->last_runs);
        marks->marks[i] = (struct loop_simulation_mark){.name = name};
        marks->last_runs[i] = 0;
    }
    if (marks->last_runs[i] != marks->run) {
        marks->last_runs[i] = marks->run;
        marks->marks[i].runs++;
    }
}

const char *loop_sim_marks_missing(const struct loop_sim_marks *marks, const char *const *names)
{
    for (; names && *names; names++) {
        if (find(marks, *names) == marks->n_marks) {
            return *names;
        }
    }
    return NULL;
}

void loop_sim_marks_finish(struct loop_sim_marks *marks)
{
    loop_sim_free(marks->marks);
    loop_sim_free(marks->last_runs);
    *marks = (struct loop_sim_marks){0};
}
