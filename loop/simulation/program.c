/* SPDX-License-Identifier: ISC
 *
 * What a program under test calls: choices, marks and notes.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/trace.h>
#include <loop/simulation/misuse.h>
#include <loop/simulation/world.h>

#include <stdarg.h>
#include <stdio.h>

void loop_simulation_sometimes(const char *name)
{
    struct loop_world *world = loop_sim_owner();
    LOOP_SIM_NEED(name, "name of the mark");
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
