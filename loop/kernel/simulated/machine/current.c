/* SPDX-License-Identifier: ISC
 *
 * The world of this thread, and the memory of the simulated kernel itself.
 */
#include <loop/kernel/simulated/machine/current.h>

#include <signal.h>
#include <stdio.h>

/* The world of this thread. The only state that belongs to no world. */
static _Thread_local struct loop_sim_world *world_now;

struct loop_sim_world *loop_sim_world_now(void)
{
    return world_now;
}

void loop_sim_world_set_now(struct loop_sim_world *world)
{
    world_now = world;
}

/* ---- memory of the simulated kernel ---- */

void loop_sim_stop_without_memory(void)
{
    fputs("loop/kernel/simulated: the machine has no memory left: the simulation ends here\n", stderr);
    (void)sigaction(SIGABRT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    abort();
}

static void *check(void *memory)
{
    if (!memory) {
        loop_sim_stop_without_memory();
    }
    return memory;
}

void *loop_sim_alloc(size_t size)
{
    return check(calloc(1, size > 0 ? size : 1));
}

void *loop_sim_realloc(void *memory, size_t size)
{
    return check(realloc(memory, size > 0 ? size : 1));
}

void loop_sim_free(void *memory)
{
    free(memory);
}
