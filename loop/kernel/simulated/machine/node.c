/* SPDX-License-Identifier: ISC
 *
 * Nodes: created, started, ended; and the parts of the simulated kernel that take part in that.
 */
#include <loop/kernel/simulated/machine/node.h>

#include <loop/kernel/simulated/machine/fiber.h>
#include <loop/kernel/simulated/machine/locals.h>
#include <loop/kernel/simulated/machine/trace.h>

#include <assert.h>
#include <stdio.h>

/* ---- parts ---- */

/* The linker's names for the ends of the section of the list. */
extern const struct loop_sim_part *const __start_loop_sim_part[] __attribute__((weak, visibility("hidden")));
extern const struct loop_sim_part *const __stop_loop_sim_part[] __attribute__((weak, visibility("hidden")));

#define FOR_PARTS(function, ...)                                                                                       \
    for (const struct loop_sim_part *const *part = __start_loop_sim_part; part != __stop_loop_sim_part; part++) {      \
        if ((*part)->function) {                                                                                       \
            (*part)->function(__VA_ARGS__);                                                                            \
        }                                                                                                              \
    }

void loop_sim_parts_world_created(struct loop_sim_world *world)
{
    if (&__start_loop_sim_part[0] == &__stop_loop_sim_part[0]) {
        fputs("loop/kernel/simulated: the program is to be linked with -u loop_sim_parts\n", stderr);
        abort();
    }
    FOR_PARTS(world_created, world)
}

void loop_sim_parts_world_destroyed(struct loop_sim_world *world)
{
    FOR_PARTS(world_destroyed, world)
}

/* ---- beginning ---- */

struct loop_sim_node *loop_sim_node_create(struct loop_sim_world *world, const char *name)
{
    struct loop_sim_node *node = loop_sim_alloc(sizeof *node);
    node->world = world;
    node->index = world->n_nodes++;
    snprintf(node->name, sizeof node->name, "%s", name);
    loop_list_push_back(&world->nodes, &node->link);
    loop_list_init(&node->fibers);
    loop_list_init(&node->held);
    loop_list_init(&node->mutexes);
    loop_list_init(&node->conditions);
    loop_list_init(&node->onces);
    FOR_PARTS(node_created, node)
    return node;
}

static void begin(struct loop_sim_node *node)
{
    assert(node->state != LOOP_SIM_NODE_RUNNING && node->state != LOOP_SIM_NODE_PAUSED);
    node->state = LOOP_SIM_NODE_RUNNING;
    node->incarnation++;
    node->memory_left_bytes = 0;
    node->locals = loop_sim_locals_create(true);
    FOR_PARTS(node_started, node)
}

void loop_sim_node_start(struct loop_sim_node *node, void *(*run)(void *arg), void *arg)
{
    begin(node);
    loop_sim_trace("start", node, NULL, "start %llu", (unsigned long long)node->incarnation);
    loop_sim_fiber_create(node, run, arg, 0);
}

void loop_sim_node_adopt(struct loop_sim_node *node)
{
    begin(node);
    loop_sim_fiber_adopt(node);
}

/* ---- the end of a pause ---- */

static void let_run(struct loop_sim_node *node)
{
    struct loop_sim_machine *machine = node->world->machine;
    node->state = LOOP_SIM_NODE_RUNNING;
    struct loop_list *link;
    while ((link = loop_list_pop_front(&node->held))) {
        loop_list_push_back(&machine->ready, link);
        machine->n_ready++;
    }
}

void loop_sim_node_go_on(struct loop_sim_node *node)
{
    if (node->state == LOOP_SIM_NODE_PAUSED) {
        loop_sim_trace("go on", node, NULL, "%s", "");
        let_run(node);
    }
}

/* ---- end ---- */

static void stop_fibers(struct loop_sim_node *node)
{
    for (struct loop_list *link = node->fibers.next; link != &node->fibers; link = link->next) {
        loop_sim_fiber_stop(LOOP_CONTAINER(link, struct loop_sim_fiber, link));
    }
    while (!loop_list_is_empty(&node->fibers)) {
        loop_sim_fiber_free(LOOP_CONTAINER(node->fibers.next, struct loop_sim_fiber, link));
    }
}

/* How much a node had allocated when it crashed depends on how its program was compiled: it is not in the trace. */
static void trace_end(const struct loop_sim_node *node, bool has_crashed)
{
    if (node->memory_left_bytes > 0) {
        loop_sim_trace("end", node, NULL, "%zu bytes not freed", node->memory_left_bytes);
    } else {
        loop_sim_trace(has_crashed ? "crash" : "end", node, NULL, "%s", "");
    }
}

void loop_sim_node_stop(struct loop_sim_node *node, bool has_crashed)
{
    if (node->state == LOOP_SIM_NODE_PAUSED) {
        let_run(node);
    }
    node->is_crashing = false;
    node->state = has_crashed ? LOOP_SIM_NODE_CRASHED : LOOP_SIM_NODE_ENDED;
    node->memory_left_bytes = has_crashed ? 0 : node->memory_bytes;
    trace_end(node, has_crashed);
    stop_fibers(node);
    FOR_PARTS(node_stopped, node, has_crashed)
    if (node->world->machine->process_locals_of == node) {
        node->world->machine->process_locals_of = NULL;
    }
    loop_sim_free(node->locals);
    node->locals = NULL;
    if (node->world->node_stopped) {
        node->world->node_stopped(node);
    }
}

void loop_sim_node_destroy(struct loop_sim_node *node)
{
    if (node->state == LOOP_SIM_NODE_RUNNING || node->state == LOOP_SIM_NODE_PAUSED) {
        loop_sim_node_stop(node, false);
    }
    FOR_PARTS(node_destroyed, node)
    loop_list_remove(&node->link);
    loop_sim_free(node);
}
