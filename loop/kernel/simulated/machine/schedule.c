/* SPDX-License-Identifier: ISC
 *
 * The scheduler: which fiber runs, which event happens, and when a world stops; and what makes nodes run no more.
 */
#include <loop/kernel/simulated/machine/schedule.h>

#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/event.h>
#include <loop/kernel/simulated/machine/fiber.h>
#include <loop/kernel/simulated/machine/locals.h>
#include <loop/kernel/simulated/machine/node.h>
#include <loop/kernel/simulated/machine/trace.h>

#include <assert.h>
#include <signal.h>
#include <stdio.h>

/* ---- leaving a fiber ---- */

/* Every fiber of an implicit world waits for something that cannot happen: its program hangs. */
static _Noreturn void stop_stuck(const struct loop_sim_world *world)
{
    world->machine->running = world->machine->caller; /* for handlers of SIGABRT */
    fputs("loop/kernel/simulated: every thread waits, and nothing is due:", stderr);
    for (struct loop_list *link = world->nodes.next; link != &world->nodes; link = link->next) {
        struct loop_sim_node *node = LOOP_CONTAINER(link, struct loop_sim_node, link);
        for (struct loop_list *at = node->fibers.next; at != &node->fibers; at = at->next) {
            const struct loop_sim_fiber *fiber = LOOP_CONTAINER(at, struct loop_sim_fiber, link);
            fprintf(stderr, " thread %llu (%s) of node %s in %zu queues;", (unsigned long long)fiber->number,
                    fiber->name, node->name, fiber->n_waiters);
        }
    }
    fputs("\n", stderr);
    abort();
}

void loop_sim_leave(struct loop_sim_fiber *fiber)
{
    struct loop_sim_world *world = fiber->node->world;
    struct loop_sim_machine *machine = world->machine;
    assert(machine->running == fiber);
    fiber->saved_errno = errno;
    fiber->calls = 0;
    machine->running = NULL;
    if (fiber != machine->caller) {
        loop_sim_context_switch(&fiber->context, &machine->scheduler);
    } else if (loop_sim_schedule(world, fiber) != LOOP_SIM_STOP_REQUESTED) {
        stop_stuck(world);
    }
    errno = fiber->saved_errno;
}

/* ---- running ---- */

static void begin_to_run(struct loop_sim_machine *machine, struct loop_sim_fiber *fiber)
{
    loop_list_remove(&fiber->ready);
    machine->n_ready--;
    fiber->state = LOOP_SIM_FIBER_RUNNING;
    machine->running = fiber;
    loop_sim_locals_switch(machine, fiber);
}

/* The fiber's function has returned. */
static void finish(struct loop_sim_fiber *fiber)
{
    if (fiber->is_first) {
        loop_sim_node_stop(fiber->node, false);
        return;
    }
    loop_sim_fiber_stop(fiber);
    loop_sim_queue_wake(&fiber->ended, 0);
    if (fiber->is_detached) {
        loop_sim_fiber_free(fiber);
    }
}

static void run(struct loop_sim_machine *machine, struct loop_sim_fiber *fiber)
{
    begin_to_run(machine, fiber);
    loop_sim_context_switch(&machine->scheduler, &fiber->context);
    assert(!machine->running);
    if (fiber->node->is_crashing) {
        loop_sim_node_stop(fiber->node, true);
    } else if (fiber->state == LOOP_SIM_FIBER_ENDED) {
        finish(fiber);
    }
}

/* Chooses a ready fiber. Returns NULL where there is none, or where an event that is due now comes first. */
static struct loop_sim_fiber *choose_fiber(const struct loop_sim_world *world)
{
    const struct loop_sim_machine *machine = world->machine;
    if (machine->n_ready == 0) {
        return NULL;
    }
    bool is_event_due = loop_sim_event_next_ns(world) <= world->now_ns;
    unsigned chosen = loop_sim_choose(LOOP_SIM_ORDER_FIBERS, machine->n_ready + is_event_due);
    if (chosen == machine->n_ready) {
        return NULL;
    }
    struct loop_list *link = machine->ready.next;
    while (chosen-- > 0) {
        link = link->next;
    }
    return LOOP_CONTAINER(link, struct loop_sim_fiber, ready);
}

/* Returns why a world stops in which nothing is ready or due. */
static enum loop_sim_stop stop_of(const struct loop_sim_world *world)
{
    for (struct loop_list *link = world->nodes.next; link != &world->nodes; link = link->next) {
        enum loop_sim_node_state state = LOOP_CONTAINER(link, struct loop_sim_node, link)->state;
        if (state == LOOP_SIM_NODE_RUNNING || state == LOOP_SIM_NODE_PAUSED) {
            return LOOP_SIM_STOP_STUCK;
        }
    }
    return LOOP_SIM_STOP_ENDED;
}

/* Counts a step. After very many at one time, time moves a little, at most to the next event: so fibers that wake each
 * other in a circle do not stop it. */
static void count_step(struct loop_sim_world *world, int64_t due_ns)
{
    enum { MOST_STEPS = 1000, MOVE_NS = 1000 };
    struct loop_sim_machine *machine = world->machine;
    world->steps++;
    if (machine->steps_ns != world->now_ns) {
        machine->steps_ns = world->now_ns;
        machine->n_steps = 0;
    } else if (++machine->n_steps > MOST_STEPS && due_ns > world->now_ns && due_ns != LOOP_SIM_NEVER) {
        world->now_ns += due_ns - world->now_ns < MOVE_NS ? due_ns - world->now_ns : MOVE_NS;
    }
}

enum loop_sim_stop loop_sim_schedule(struct loop_sim_world *world, struct loop_sim_fiber *until)
{
    struct loop_sim_machine *machine = world->machine;
    for (;;) {
        if (machine->must_stop) {
            machine->must_stop = false;
            return LOOP_SIM_STOP_REQUESTED;
        }
        if (world->most_steps > 0 && world->steps >= world->most_steps) {
            return LOOP_SIM_STOP_STEPS;
        }
        int64_t due_ns = loop_sim_event_next_ns(world);
        if (machine->n_ready == 0 && due_ns == LOOP_SIM_NEVER) {
            return stop_of(world);
        }
        if (machine->n_ready == 0 && world->most_time_ns > 0 && due_ns > world->most_time_ns) {
            return LOOP_SIM_STOP_TIME;
        }
        count_step(world, due_ns);
        struct loop_sim_fiber *fiber = choose_fiber(world);
        if (!fiber) {
            loop_sim_event_happen(world);
        } else if (fiber == until) {
            begin_to_run(machine, fiber);
            return LOOP_SIM_STOP_REQUESTED;
        } else {
            run(machine, fiber);
        }
    }
}

enum loop_sim_stop loop_sim_world_run(struct loop_sim_world *world)
{
    assert(loop_sim_world_now() == world && !world->machine->running);
    return loop_sim_schedule(world, NULL);
}

void loop_sim_world_stop(struct loop_sim_world *world)
{
    world->machine->must_stop = true;
}

/* ---- pauses and crashes ---- */

static struct loop_sim_fiber *fiber_of(struct loop_list *ready)
{
    return LOOP_CONTAINER(ready, struct loop_sim_fiber, ready);
}

/* The ready fibers of the node are held back. When one of them is running, it pauses itself. */
void loop_sim_node_pause(struct loop_sim_node *node)
{
    struct loop_sim_machine *machine = node->world->machine;
    if (node->state != LOOP_SIM_NODE_RUNNING) {
        return;
    }
    loop_sim_trace("pause", node, NULL, "%s", "");
    node->state = LOOP_SIM_NODE_PAUSED;
    for (struct loop_list *link = machine->ready.next, *next; link != &machine->ready; link = next) {
        next = link->next;
        if (fiber_of(link)->node == node) {
            loop_list_remove(link);
            loop_list_push_back(&node->held, link);
            machine->n_ready--;
        }
    }
    struct loop_sim_fiber *running = machine->running;
    if (running && running->node == node) {
        running->state = LOOP_SIM_FIBER_WAITING;
        loop_sim_fiber_ready(running, 0);
        loop_sim_leave(running);
    }
}

void loop_sim_node_crash(struct loop_sim_node *node)
{
    if (node->state != LOOP_SIM_NODE_RUNNING && node->state != LOOP_SIM_NODE_PAUSED) {
        return;
    }
    const struct loop_sim_machine *machine = node->world->machine;
    struct loop_sim_fiber *running = machine->running;
    if (machine->caller && machine->caller->node == node) {
        fputs("loop/kernel/simulated: the program has crashed itself\n", stderr);
        abort();
    }
    if (!running || running->node != node) {
        loop_sim_node_stop(node, true);
        return;
    }
    node->is_crashing = true;
    running->context.is_over = true;
    loop_sim_leave(running);
    abort();
}

void loop_sim_node_kill(struct loop_sim_node *node, int signal)
{
    const struct loop_sim_machine *machine = node->world->machine;
    if (machine->caller && machine->caller->node == node) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, signal);
        (void)sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
        (void)raise(signal);
    }
    loop_sim_node_crash(node);
}
