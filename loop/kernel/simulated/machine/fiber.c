/* SPDX-License-Identifier: ISC
 *
 * Fibers: their beginning and end, and what they hold.
 */
#include <loop/kernel/simulated/machine/fiber.h>

#include <loop/kernel/simulated/machine/locals.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- beginning ---- */

struct loop_sim_fiber *loop_sim_fiber_now(void)
{
    const struct loop_sim_world *world = loop_sim_world_now();
    return world ? world->machine->running : NULL;
}

static struct loop_sim_fiber *add(struct loop_sim_node *node)
{
    struct loop_sim_machine *machine = node->world->machine;
    struct loop_sim_fiber *fiber = loop_sim_alloc(sizeof *fiber);
    fiber->is_first = loop_list_is_empty(&node->fibers);
    loop_list_push_back(&node->fibers, &fiber->link);
    loop_list_init(&fiber->ready);
    loop_list_init(&fiber->holds);
    loop_sim_queue_init(&fiber->ended);
    fiber->node = node;
    fiber->number = ++machine->n_fibers;
    fiber->locals = loop_sim_locals_create(false);
    if (!fiber->is_first && machine->running) {
        fiber->signals.blocked = machine->running->signals.blocked;
    }
    const char *name = fiber->is_first ? node->name : machine->running ? machine->running->name : node->name;
    snprintf(fiber->name, sizeof fiber->name, "%.*s", (int)sizeof fiber->name - 1, name);
    return fiber;
}

static void time_out(struct loop_sim_event *event)
{
    loop_sim_fiber_ready(LOOP_CONTAINER(event, struct loop_sim_fiber, timeout), -ETIMEDOUT);
}

void loop_sim_fiber_time_out_at(struct loop_sim_fiber *fiber, int64_t due_ns)
{
    loop_sim_event_set(&fiber->timeout, due_ns, time_out);
}

/* The first function on a fiber's stack. */
static void enter(void)
{
    struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    loop_sim_context_entered(&fiber->context);
    fiber->result = fiber->run(fiber->arg);
    fiber->state = LOOP_SIM_FIBER_ENDED;
    fiber->context.is_over = true;
    struct loop_sim_machine *machine = fiber->node->world->machine;
    machine->running = NULL;
    loop_sim_context_switch(&fiber->context, &machine->scheduler);
    abort();
}

struct loop_sim_fiber *loop_sim_fiber_create(struct loop_sim_node *node, void *(*run)(void *arg), void *arg,
                                             int64_t delay_ns)
{
    struct loop_sim_fiber *fiber = add(node);
    fiber->run = run;
    fiber->arg = arg;
    fiber->stack = loop_sim_stack_get();
    loop_sim_context_make(&fiber->context, &fiber->stack, enter);
    fiber->state = LOOP_SIM_FIBER_WAITING;
    if (delay_ns > 0) {
        loop_sim_fiber_time_out_at(fiber, loop_sim_sum_ns(node->world->now_ns, delay_ns));
    } else {
        loop_sim_fiber_ready(fiber, 0);
    }
    return fiber;
}

struct loop_sim_fiber *loop_sim_fiber_adopt(struct loop_sim_node *node)
{
    struct loop_sim_machine *machine = node->world->machine;
    struct loop_sim_fiber *fiber = add(node);
    fiber->state = LOOP_SIM_FIBER_RUNNING;
    machine->running = fiber;
    machine->caller = fiber;
    machine->locals_of = fiber;
    machine->process_locals_of = node;
    return fiber;
}

/* ---- what it holds ---- */

void loop_sim_fiber_hold(struct loop_sim_fiber_hold *hold, void (*release)(struct loop_sim_fiber_hold *hold))
{
    struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    assert(fiber);
    hold->release = release;
    loop_list_push_front(&fiber->holds, &hold->link);
}

void loop_sim_fiber_unhold(struct loop_sim_fiber_hold *hold)
{
    loop_list_remove(&hold->link);
}

static void release_holds(struct loop_sim_fiber *fiber)
{
    struct loop_list *link;
    while ((link = loop_list_pop_front(&fiber->holds))) {
        struct loop_sim_fiber_hold *hold = LOOP_CONTAINER(link, struct loop_sim_fiber_hold, link);
        hold->release(hold);
    }
}

/* ---- end ---- */

/* Removes its waiters from their queues. */
static void forget_waits(struct loop_sim_fiber *fiber)
{
    for (size_t i = 0; i < fiber->n_waiters; i++) {
        loop_sim_queue_remove(&fiber->waiters[i].waiter);
    }
    if (fiber->waiters != fiber->few) {
        loop_sim_free(fiber->waiters);
    }
    fiber->waiters = NULL;
    fiber->n_waiters = 0;
    loop_sim_event_cancel(&fiber->timeout);
}

void loop_sim_fiber_stop(struct loop_sim_fiber *fiber)
{
    struct loop_sim_machine *machine = fiber->node->world->machine;
    assert(machine->running != fiber || machine->caller == fiber);
    forget_waits(fiber);
    release_holds(fiber);
    if (loop_list_is_linked(&fiber->ready)) {
        loop_list_remove(&fiber->ready);
        machine->n_ready -= fiber->node->state != LOOP_SIM_NODE_PAUSED;
    }
    if (machine->locals_of == fiber) {
        machine->locals_of = NULL;
    }
    fiber->state = LOOP_SIM_FIBER_ENDED;
    loop_sim_context_destroy(&fiber->context);
    loop_sim_stack_put(&fiber->stack);
}

void loop_sim_fiber_free(struct loop_sim_fiber *fiber)
{
    assert(!fiber->stack.bottom && fiber->state == LOOP_SIM_FIBER_ENDED);
    loop_list_remove(&fiber->link);
    loop_sim_free(fiber->locals);
    loop_sim_free(fiber);
}

/* ---- the end of a wait ---- */

void loop_sim_fiber_ready(struct loop_sim_fiber *fiber, int result)
{
    if (fiber->state != LOOP_SIM_FIBER_WAITING) {
        return;
    }
    struct loop_sim_machine *machine = fiber->node->world->machine;
    forget_waits(fiber);
    fiber->wait_result = result;
    fiber->state = LOOP_SIM_FIBER_READY;
    if (fiber->node->state == LOOP_SIM_NODE_PAUSED) {
        loop_list_push_back(&fiber->node->held, &fiber->ready);
    } else {
        loop_list_push_back(&machine->ready, &fiber->ready);
        machine->n_ready++;
    }
}

bool loop_sim_fiber_interrupt(struct loop_sim_fiber *fiber)
{
    if (fiber->state != LOOP_SIM_FIBER_WAITING || !fiber->may_be_interrupted) {
        return false;
    }
    loop_sim_fiber_ready(fiber, -EINTR);
    return true;
}
