/* SPDX-License-Identifier: ISC
 *
 * Mistakes in calls. A world that is built wrong must not run, so they stop in every build, not only in a debug build.
 */
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/simulation/misuse.h>

#include <stdio.h>
#include <stdlib.h>

static char line[256];
static bool has_line;

void loop_sim_misuse(const char *function, const char *what, const char *cure)
{
    const struct loop_sim_world *world = loop_sim_world_now();
    (void)snprintf(line, sizeof line, "%s: %s: %s", function, what, cure);
    has_line = world && world->owner;
    if (!has_line) {
        (void)fprintf(stderr, "noria: %s\n", line);
    }
    abort();
}

void loop_sim_need(const void *pointer, const char *name, const char *function)
{
    if (!pointer) {
        char what[64];
        (void)snprintf(what, sizeof what, "the %s is NULL", name);
        loop_sim_misuse(function, what, "look at what the call that makes it has returned");
    }
}

const char *loop_sim_misuse_take(void)
{
    bool is_taken = has_line;
    has_line = false;
    return is_taken ? line : NULL;
}
