/* SPDX-License-Identifier: ISC
 *
 * Marks, and what else a program under test calls.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/machine/trace.h>
#include <loop/simulation/marks.h>
#include <loop/simulation/world.h>

#include <stdarg.h>
#include <stdio.h>
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

/* ---- what programs call ---- */

void loop_simulation_sometimes(const char *name)
{
    struct loop_world *world = loop_sim_owner();
    if (world) {
        loop_sim_marks_reach(world->marks, name);
    }
}

unsigned loop_simulation_choose(unsigned n)
{
    return loop_sim_owner() && n > 0 ? loop_sim_choose(LOOP_SIM_PROGRAM, n) : 0;
}

void loop_simulation_note(const char *format, ...)
{
    struct loop_world *world = loop_sim_owner();
    if (!world || !world->sim->trace) {
        return;
    }
    char text[LOOP_SIM_REASON_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct loop_node *node = loop_node_here();
    loop_sim_trace("note", node ? node->sim : NULL, NULL, "%s", text);
}
