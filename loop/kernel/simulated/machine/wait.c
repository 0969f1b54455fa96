/* SPDX-License-Identifier: ISC
 *
 * Waiting in queues, and for a time.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/fiber.h>
#include <loop/kernel/simulated/machine/schedule.h>

#include <assert.h>

static void wake(struct loop_sim_waiter *waiter, uint32_t events)
{
    (void)events;
    loop_sim_fiber_ready(LOOP_CONTAINER(waiter, struct loop_sim_fiber_waiter, waiter)->fiber, 0);
}

/* Waits in the queues until the time, or for ever. */
static int wait_in(struct loop_sim_queue *const *queues, size_t count, int64_t until_ns, bool may_be_interrupted)
{
    struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    assert(fiber); /* an event must not wait */
    const struct loop_sim_world *world = fiber->node->world;
    if (may_be_interrupted && loop_sim_happens(LOOP_SIM_INTERRUPT)) {
        return -EINTR;
    }
    if (until_ns <= world->now_ns) {
        until_ns = world->now_ns;
    }
    fiber->waiters = count <= LOOP_SIM_FEW_QUEUES ? fiber->few : loop_sim_alloc(count * sizeof *fiber->waiters);
    fiber->n_waiters = count;
    for (size_t i = 0; i < count; i++) {
        fiber->waiters[i] = (struct loop_sim_fiber_waiter){.waiter.wake = wake, .fiber = fiber};
        loop_sim_queue_add(queues[i], &fiber->waiters[i].waiter);
    }
    if (until_ns != LOOP_SIM_NEVER) {
        loop_sim_fiber_time_out_at(fiber, until_ns);
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
    (void)wait_in(NULL, 0, loop_sim_sum_ns(loop_sim_world_now()->now_ns, YIELD_NS), false);
}
