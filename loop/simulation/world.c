/* SPDX-License-Identifier: ISC
 *
 * Worlds: events, memory, failures, and when a run is over.
 */
#include <loop/kernel/simulated/machine/trace.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/simulation/misuse.h>
#include <loop/simulation/world.h>

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A function to call at a time, or at the end. */
struct appointment {
    struct loop_sim_event event; /* first: see happen */
    struct loop_list link;
    struct loop_world *world;
    loop_world_event_fn *fn;
    void *arg;
};

/* What loop_world_alloc puts in front of the memory that it returns. */
struct block {
    alignas(max_align_t) struct loop_list link;
};

/* ---- life ---- */

struct loop_world *loop_sim_owner_create(struct loop_sim_world *sim, struct loop_sim_marks *marks)
{
    struct loop_world *world = loop_sim_alloc(sizeof *world);
    world->sim = sim;
    world->marks = marks;
    loop_list_init(&world->events);
    loop_list_init(&world->ends);
    loop_list_init(&world->memory);
    sim->owner = world;
    sim->node_stopped = loop_sim_node_has_stopped;
    return world;
}

void loop_sim_owner_destroy(struct loop_world *world)
{
    struct loop_list *link;
    while ((link = loop_list_pop_front(&world->memory))) {
        loop_sim_free(LOOP_CONTAINER(link, struct block, link));
    }
    loop_sim_free(world->nodes);
    loop_sim_free(world->rules);
    loop_sim_free(world);
}

struct loop_world *loop_sim_owner(void)
{
    struct loop_sim_world *sim = loop_sim_world_now();
    return sim ? sim->owner : NULL;
}

struct loop_node *loop_node_here(void)
{
    struct loop_world *world = loop_sim_owner();
    return world && loop_sim_fiber_now() ? world->nodes[loop_sim_here()->index] : NULL;
}

void *loop_world_alloc(struct loop_world *world, size_t size)
{
    size_t whole;
    LOOP_SIM_NEED(world, "world");
    bool is_possible = !__builtin_add_overflow(size, sizeof(struct block), &whole);
    struct block *block = is_possible ? calloc(1, whole) : NULL;
    if (!block) {
        loop_sim_misuse(__func__, "there is not so much memory", "look at the size");
    }
    loop_list_push_back(&world->memory, &block->link);
    return block + 1;
}

/* ---- events ---- */

static struct appointment *add_appointment(struct loop_world *world, struct loop_list *list, loop_world_event_fn *fn,
                                           void *arg)
{
    struct appointment *appointment = loop_world_alloc(world, sizeof *appointment);
    appointment->world = world;
    appointment->fn = fn;
    appointment->arg = arg;
    loop_list_push_back(list, &appointment->link);
    return appointment;
}

static void happen(struct loop_sim_event *event)
{
    struct appointment *appointment = LOOP_CONTAINER(event, struct appointment, event);
    struct loop_world *world = appointment->world;
    loop_sim_trace("event", NULL, NULL, "of the world");
    appointment->fn(world, appointment->arg);
    loop_list_remove(&appointment->link); /* not before: a node that it crashes must not end the run inside of it */
    loop_sim_look_whether_over(world);
}

void loop_world_at(struct loop_world *world, int64_t time_ns, loop_world_event_fn *fn, void *arg)
{
    LOOP_SIM_NEED(world, "world");
    LOOP_SIM_NEED((const void *)(uintptr_t)fn, "function");
    struct appointment *appointment = add_appointment(world, &world->events, fn, arg);
    loop_sim_event_set(&appointment->event, time_ns > world->sim->now_ns ? time_ns : world->sim->now_ns, happen);
}

void loop_world_at_end(struct loop_world *world, loop_world_event_fn *fn, void *arg)
{
    LOOP_SIM_NEED(world, "world");
    LOOP_SIM_NEED((const void *)(uintptr_t)fn, "function");
    (void)add_appointment(world, &world->ends, fn, arg);
}

void loop_sim_call_ends(struct loop_world *world)
{
    struct loop_list *link;
    while (!world->has_failed && (link = loop_list_pop_front(&world->ends))) {
        struct appointment *appointment = LOOP_CONTAINER(link, struct appointment, link);
        appointment->fn(world, appointment->arg);
    }
}

int64_t loop_world_now(const struct loop_world *world)
{
    LOOP_SIM_NEED(world, "world");
    return world->sim->now_ns;
}

int loop_world_add_name(struct loop_world *world, const char *name, const char *address)
{
    LOOP_SIM_NEED(world, "world");
    LOOP_SIM_NEED(name, "name");
    LOOP_SIM_NEED(address, "address");
    return loop_sim_name_add(world->sim, name, address);
}

/* ---- failing ---- */

void loop_world_fail(struct loop_world *world, const char *format, ...)
{
    world = world ? world : loop_sim_owner();
    if (!world || world->has_failed) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(world->reason, sizeof world->reason, format, arguments);
    va_end(arguments);
    world->has_failed = true;
    struct loop_node *node = loop_node_here();
    loop_sim_trace("fail", node ? node->sim : NULL, NULL, "%s", world->reason);
    loop_sim_world_stop(world->sim);
}

/* ---- the end ---- */

bool loop_sim_is_awaited(const struct loop_node *node)
{
    enum loop_sim_node_state state = node->sim->state;
    return !node->is_daemon && !node->has_returned && state != LOOP_SIM_NODE_ENDED && state != LOOP_SIM_NODE_CRASHED;
}

void loop_sim_look_whether_over(struct loop_world *world)
{
    bool has_main = false, has_crashed = false;
    for (size_t i = 0; i < world->n_nodes; i++) {
        const struct loop_node *node = world->nodes[i];
        if (loop_sim_is_awaited(node)) {
            return;
        }
        has_main |= !node->is_daemon;
        has_crashed |= !node->is_daemon && node->sim->state == LOOP_SIM_NODE_CRASHED;
    }
    if (has_main && (!has_crashed || loop_list_is_empty(&world->events))) {
        world->is_over = true;
        loop_sim_world_stop(world->sim);
    }
}

void loop_sim_node_has_stopped(struct loop_sim_node *node)
{
    struct loop_world *world = node->world->owner;
    if (world && world->is_running) {
        loop_sim_look_whether_over(world);
    }
}

const char *loop_sim_awaited_names(const struct loop_world *world, char *text, size_t size)
{
    size_t len = 0;
    text[0] = 0;
    for (size_t i = 0; i < world->n_nodes && len < size; i++) {
        const struct loop_node *node = world->nodes[i];
        if (loop_sim_is_awaited(node)) {
            int more = snprintf(text + len, size - len, "%s%s%s", len > 0 ? ", " : "", node->sim->name,
                                node->sim->state == LOOP_SIM_NODE_PAUSED ? " (paused)" : "");
            len += more > 0 ? (size_t)more : 0;
        }
    }
    return text;
}
