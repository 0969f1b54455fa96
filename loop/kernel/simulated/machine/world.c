/* SPDX-License-Identifier: ISC
 *
 * Worlds, created and destroyed; and that of a program that calls the door outside of any.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/current.h>
#include <loop/kernel/simulated/machine/locals.h>
#include <loop/kernel/simulated/machine/node.h>
#include <loop/kernel/simulated/machine/state.h>
#include <loop/kernel/simulated/machine/trace.h>

#include <assert.h>

/* ---- worlds ---- */

struct loop_sim_world *loop_sim_world_create(void)
{
    struct loop_sim_world *world = loop_sim_alloc(sizeof *world);
    struct loop_sim_machine *machine = loop_sim_alloc(sizeof *machine);
    world->machine = machine;
    world->start_ns = LOOP_SIM_WALL_START_NS;
    loop_list_init(&world->nodes);
    loop_list_init(&machine->ready);
    loop_list_init(&machine->mappings);
    loop_sim_choices_create(world);
    machine->outer = loop_sim_world_now();
    machine->outer_locals = loop_sim_locals_save(false);
    machine->outer_process_locals = loop_sim_locals_save(true);
    loop_sim_world_set_now(world);
    loop_sim_parts_world_created(world);
    return world;
}

/* Stops the nodes that run, and then frees all: what a node sends while it stops may be for any other. The list is gone
 * through from its end: what was added last goes first. */
static void destroy_nodes(struct loop_sim_world *world)
{
    for (struct loop_list *link = world->nodes.prev; link != &world->nodes; link = link->prev) {
        struct loop_sim_node *node = LOOP_CONTAINER(link, struct loop_sim_node, link);
        if (node->state == LOOP_SIM_NODE_RUNNING || node->state == LOOP_SIM_NODE_PAUSED) {
            loop_sim_node_stop(node, false);
        }
    }
    while (!loop_list_is_empty(&world->nodes)) {
        loop_sim_node_destroy(LOOP_CONTAINER(world->nodes.prev, struct loop_sim_node, link));
    }
}

void loop_sim_world_destroy(struct loop_sim_world *world)
{
    if (!world) {
        return;
    }
    struct loop_sim_machine *machine = world->machine;
    assert(world == loop_sim_world_now());
    assert(machine->running == machine->caller); /* not called by a fiber that could not go on */
    machine->running = NULL;
    machine->is_ending = true;
    loop_sim_choices_suspend(world, true);
    destroy_nodes(world);
    loop_sim_parts_world_destroyed(world);
    loop_sim_trace_destroy(world);
    loop_sim_choices_destroy(world);
    loop_sim_world_set_now(machine->outer);
    loop_sim_locals_restore(false, machine->outer_locals);
    loop_sim_locals_restore(true, machine->outer_process_locals);
    loop_sim_free(machine->heap);
    loop_sim_free(machine);
    loop_sim_free(world);
}

/* ---- the implicit world ---- */

/* The thread has called the door outside of any world: it gets one, and is the first thread of its only node. */
static void create_implicit(void)
{
    struct loop_sim_world *world = loop_sim_world_create();
    loop_sim_node_adopt(loop_sim_node_create(world, "local"));
}

struct loop_sim_node *loop_sim_here(void)
{
    if (!loop_sim_world_now()) {
        create_implicit();
    }
    const struct loop_sim_fiber *fiber = loop_sim_world_now()->machine->running;
    return fiber ? fiber->node : NULL;
}
