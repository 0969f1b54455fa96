/* SPDX-License-Identifier: ISC
 *
 * Events: a heap by time, and by the order in which they were set. The event at place i has its children at 2i and
 * 2i + 1.
 */
#include <loop/kernel/simulated/machine/event.h>

#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/state.h>

#include <assert.h>

static bool is_before(const struct loop_sim_event *one, const struct loop_sim_event *other)
{
    return one->due_ns != other->due_ns ? one->due_ns < other->due_ns : one->order < other->order;
}

static void put(struct loop_sim_machine *machine, struct loop_sim_event *event, size_t place)
{
    machine->heap[place] = event;
    event->place = place;
}

/* Moves an event to its place: from there towards the root, else away from it. */
static void settle(struct loop_sim_machine *machine, struct loop_sim_event *event, size_t place)
{
    while (place > 1 && is_before(event, machine->heap[place / 2])) {
        put(machine, machine->heap[place / 2], place);
        place /= 2;
    }
    for (;;) {
        size_t child = 2 * place;
        if (child < machine->n_events && is_before(machine->heap[child + 1], machine->heap[child])) {
            child++;
        }
        if (child > machine->n_events || !is_before(machine->heap[child], event)) {
            break;
        }
        put(machine, machine->heap[child], place);
        place = child;
    }
    put(machine, event, place);
}

static void remove_event(struct loop_sim_machine *machine, struct loop_sim_event *event)
{
    struct loop_sim_event *last = machine->heap[machine->n_events--];
    if (last != event) {
        settle(machine, last, event->place);
    }
    event->place = 0;
}

void loop_sim_event_set(struct loop_sim_event *event, int64_t due_ns, loop_sim_event_fn *happen)
{
    struct loop_sim_world *world = loop_sim_world_now();
    struct loop_sim_machine *machine = world->machine;
    loop_sim_event_cancel(event);
    if (machine->n_events + 2 > machine->heap_size) {
        machine->heap_size = machine->heap_size ? 2 * machine->heap_size : 32;
        machine->heap = loop_sim_realloc(machine->heap, machine->heap_size * sizeof(struct loop_sim_event *));
    }
    event->due_ns = due_ns < world->now_ns ? world->now_ns : due_ns;
    event->order = ++machine->n_events_set;
    event->happen = happen;
    settle(machine, event, ++machine->n_events);
}

void loop_sim_event_cancel(struct loop_sim_event *event)
{
    if (event->place > 0) {
        remove_event(loop_sim_world_now()->machine, event);
    }
}

int64_t loop_sim_event_next_ns(const struct loop_sim_world *world)
{
    return world->machine->n_events > 0 ? world->machine->heap[1]->due_ns : LOOP_SIM_NEVER;
}

enum { MOST_CHOSEN = 64 };

/* Collects the events that are due when the first is, at and below a place. The order in the heap follows from what was
 * set and cancelled, so that the same run collects the same ones where there are too many. */
static void collect(const struct loop_sim_machine *machine, size_t place, struct loop_sim_event **due, unsigned *count)
{
    if (place > machine->n_events || machine->heap[place]->due_ns != machine->heap[1]->due_ns ||
        *count == MOST_CHOSEN) {
        return;
    }
    due[(*count)++] = machine->heap[place];
    collect(machine, 2 * place, due, count);
    collect(machine, 2 * place + 1, due, count);
}

/* Sorts events that are due at one time by the order in which they were set. */
static void sort(struct loop_sim_event **due, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct loop_sim_event *event = due[i];
        unsigned place = i;
        for (; place > 0 && event->order < due[place - 1]->order; place--) {
            due[place] = due[place - 1];
        }
        due[place] = event;
    }
}

/* Chooses one of the events that are due first. Choice 0 is the root of the heap, which was set before the others. */
static struct loop_sim_event *choose_event(const struct loop_sim_machine *machine)
{
    struct loop_sim_event *due[MOST_CHOSEN];
    unsigned count = 0;
    collect(machine, 1, due, &count);
    assert(count > 0);
    unsigned chosen = loop_sim_choose(LOOP_SIM_ORDER_EVENTS, count);
    if (chosen > 0) {
        sort(due, count);
    }
    return due[chosen];
}

void loop_sim_event_happen(struct loop_sim_world *world)
{
    struct loop_sim_machine *machine = world->machine;
    struct loop_sim_event *event = choose_event(machine);
    remove_event(machine, event);
    world->now_ns = event->due_ns;
    event->happen(event);
}
