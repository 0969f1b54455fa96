/* SPDX-License-Identifier: ISC
 *
 * What a world does to the nodes of random programs: signals, pauses, crashes, partitions. See program.h.
 */
#include "program.h"

#include "../explore.h"

#include <errno.h>
#include <signal.h>

/* How long after it was sent a signal may come. */
#define SIGNAL_DELAY_NS LOOP_SECOND

static const int numbers[] = {SIGUSR1, SIGUSR2, SIGURG};

/* ---- signals ---- */

loop_job random_start_signal(struct op *op)
{
    op->signal = RANDOM_ONE_OF(op->program, numbers);
    op->due_ns = LOOP_NEVER;
    loop_job job = loop_signal(op->group->scope, op->signal, random_on_end, op);
    /* Without memory or descriptors the signal may not be blocked, and would end the node. */
    op->program->signals_heard |= job && !loop_scope_is_cancelled(op->group->scope) ? 1u << op->signal : 0;
    return job;
}

void random_finish_signal(const struct op *op, int64_t result)
{
    const struct program *program = op->program;
    int64_t since_ns = op->due_ns > program->resumed_ns ? op->due_ns : program->resumed_ns;

    if (result >= 0 && (result != op->signal || !(program->signals_sent >> result & 1))) {
        loop_world_fail(NULL, "a signal that was not sent: %d", (int)result);
    } else if (result < 0 && op->due_ns != LOOP_NEVER && loop_world_now(program->world) - since_ns > SIGNAL_DELAY_NS) {
        loop_world_fail(NULL, "a signal that was sent did not come: %d", op->signal);
    }
}

/* Sends a signal for which the program has waited, because another one would end it. */
static void send_signal(struct program *program, int number)
{
    if (!(program->signals_heard >> number & 1)) {
        return;
    }
    program->signals_sent |= 1u << number;
    for (struct op *op = program->ops; op; op = op->next) {
        if (op->kind == SIGNAL && op->is_started && !op->has_ended && op->signal == number &&
            op->due_ns == LOOP_NEVER) {
            op->due_ns = loop_world_now(program->world);
        }
    }
    loop_node_signal(program->node, number);
}

/* ---- what a world does ---- */

static void restart(struct loop_world *world, void *arg)
{
    struct program *program = arg;

    (void)world;
    loop_node_restart(program->node);
}

/* Crashes a node. Its operations never end, and it begins anew when it is started again. */
static void crash(struct program *program, bool restarts, unsigned duration)
{
    loop_simulation_sometimes("a node crashed");
    program->n_crashes++;
    loop_node_crash(program->node);
    program->env = NULL;
    program->ops = NULL;
    program->groups = program->listening = NULL;
    program->n_steps = program->n_running = 0;
    program->signals_heard = program->signals_sent = 0;
    if (restarts) {
        loop_simulation_sometimes("a node was started again");
        loop_world_at(program->world, loop_world_now(program->world) + duration * (5 * LOOP_MILLISECOND), restart,
                      program);
    }
}

static void go_on(struct loop_world *world, void *arg)
{
    struct program *program = arg;

    program->resumed_ns = loop_world_now(world);
    loop_node_resume(program->node);
}

static void pause_node(struct program *program, unsigned duration)
{
    loop_simulation_sometimes("a node was paused");
    loop_node_pause(program->node);
    loop_world_at(program->world, loop_world_now(program->world) + (1 + duration) * (10 * LOOP_MILLISECOND), go_on,
                  program);
}

static void heal(struct loop_world *world, void *arg)
{
    (void)arg;
    loop_world_heal(world);
}

static void part(struct program *program, unsigned how, unsigned duration)
{
    struct loop_world *world = program->world;

    loop_simulation_sometimes("the network was parted");
    switch (how) {
    case 0: loop_world_partition(world, program->node, NULL); break;
    case 1: loop_world_partition_one_way(world, program->node, NULL); break;
    default: loop_world_partition_one_way(world, NULL, program->node); break;
    }
    loop_world_at(world, loop_world_now(world) + (1 + duration) * (50 * LOOP_MILLISECOND), heal, NULL);
}

/* Draws as many choices whatever they are, as random_start does. */
static void happen(struct loop_world *world, void *arg)
{
    struct program *program = arg;
    unsigned what = loop_simulation_choose(8), number = loop_simulation_choose(sizeof numbers / sizeof *numbers);
    unsigned how = loop_simulation_choose(2), duration = loop_simulation_choose(20);
    (void)world;
    if (loop_node_state(program->node) != LOOP_NODE_RUNNING || !program->env) {
        return;
    }
    switch (what) {
    case 0:
    case 1:
    case 2:
    case 3: send_signal(program, numbers[number]); break;
    case 4:
    case 5: pause_node(program, duration); break;
    case 6: part(program, number, duration); break;
    default: crash(program, how, duration); break;
    }
}

void random_plan_events(struct loop_world *world, struct program *const *programs, unsigned n_programs)
{
    enum { MOST_EVENTS = 12 };
    static const int64_t scales[] = {0, 0, LOOP_MILLISECOND, 20 * LOOP_MICROSECOND, 20 * LOOP_MILLISECOND};

    for (unsigned i = 0; i < MOST_EVENTS; i++) {
        int64_t scale_ns = EXPLORE_ONE_OF(scales);
        int64_t time_ns = loop_simulation_choose(50) * scale_ns;
        unsigned number = loop_simulation_choose(2);
        if (scale_ns > 0) {
            loop_world_at(world, time_ns, happen, programs[number % n_programs]);
        }
    }
}
