/* SPDX-License-Identifier: ISC
 *
 * Fibers: their beginning and end, what they hold, and waiting.
 */
#include <loop/kernel/simulated/machine/fiber.h>

#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/locals.h>
#include <loop/kernel/simulated/machine/schedule.h>

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

/* The first function on a fiber's stack. */
static void enter(void)
{
    struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    loop_sim_context_entered(&fiber->context);
    fiber->result = fiber->run(fiber->arg);
    fiber->state = LOOP_SIM_FIBER_ENDED;
    fiber->context.is_over = true;
    loop_sim_leave(fiber);
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
        loop_sim_event_set(&fiber->timeout, node->world->now_ns + delay_ns, time_out);
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

/* ---- waiting ---- */

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

static void wake(struct loop_sim_waiter *waiter, uint32_t events)
{
    (void)events;
    loop_sim_fiber_ready(LOOP_CONTAINER(waiter, struct loop_sim_fiber_waiter, waiter)->fiber, 0);
}

/* Waits in the queues until the time, or for ever. */
static int wait_in(struct loop_sim_queue *const *queues, size_t count, int64_t until_ns, bool may_be_interrupted)
{
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    assert(fiber); /* an event must not wait */
    if (may_be_interrupted && loop_sim_happens(LOOP_SIM_INTERRUPT)) {
        return -EINTR;
    }
    if (until_ns <= node->world->now_ns) {
        until_ns = node->world->now_ns;
    }
    fiber->waiters = count <= LOOP_SIM_FEW_QUEUES ? fiber->few : loop_sim_alloc(count * sizeof *fiber->waiters);
    fiber->n_waiters = count;
    for (size_t i = 0; i < count; i++) {
        fiber->waiters[i] = (struct loop_sim_fiber_waiter){.waiter.wake = wake, .fiber = fiber};
        loop_sim_queue_add(queues[i], &fiber->waiters[i].waiter);
    }
    if (until_ns != LOOP_SIM_NEVER) {
        loop_sim_event_set(&fiber->timeout, until_ns, time_out);
    }
    fiber->may_be_interrupted = may_be_interrupted;
    fiber->state = LOOP_SIM_FIBER_WAITING;
    loop_sim_leave(fiber);
    return fiber->wait_result;
}

int loop_sim_wait(struct loop_sim_queue *queue, int64_t until_ns)
{
    return wait_in(&queue, queue ? 1 : 0, until_ns, true);
}

int loop_sim_wait_any(struct loop_sim_queue *const *queues, size_t count, int64_t until_ns)
{
    return wait_in(queues, count, until_ns, true);
}

int loop_sim_wait_for(struct loop_sim_queue *queue, int64_t until_ns)
{
    return wait_in(&queue, queue ? 1 : 0, until_ns, false);
}

/* The others that are ready run before time moves. */
void loop_sim_yield(void)
{
    enum { YIELD_NS = 1000 };
    (void)wait_in(NULL, 0, loop_sim_here()->world->now_ns + YIELD_NS, false);
}

void loop_sim_count_call(void)
{
    enum { MOST_CALLS = 16 };
    (void)loop_sim_here();
    struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    if (fiber && ++fiber->calls > MOST_CALLS) {
        loop_sim_yield();
    }
}
