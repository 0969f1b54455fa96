/* SPDX-License-Identifier: ISC
 *
 * The source of choice, and the record of what was chosen.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>

#include <assert.h>
#include <limits.h>

struct loop_sim_choices {
    loop_sim_choose_fn *choose; /* NULL: 0 is chosen */
    void *arg;
    bool is_suspended;
    uint64_t points; /* bits of enum loop_sim_point: those at which there is a choice */
    uint32_t *list;  /* what was chosen, without the zeros behind the last other choice */
    size_t count, size;
    size_t zeros; /* chosen since */
};

void loop_sim_choices_create(struct loop_sim_world *world)
{
    world->choices = loop_sim_alloc(sizeof *world->choices);
    world->choices->points = ~UINT64_C(0);
}

void loop_sim_choices_destroy(struct loop_sim_world *world)
{
    loop_sim_free(world->choices->list);
    loop_sim_free(world->choices);
}

static void record(struct loop_sim_choices *choices, unsigned chosen)
{
    if (chosen == 0) {
        choices->zeros++;
        return;
    }
    size_t count = choices->count + choices->zeros + 1;
    if (count > choices->size) {
        choices->size = 2 * count;
        choices->list = loop_sim_realloc(choices->list, choices->size * sizeof *choices->list);
    }
    while (choices->count < count - 1) {
        choices->list[choices->count++] = 0;
    }
    choices->list[choices->count++] = chosen;
    choices->zeros = 0;
}

static unsigned choose_by(enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    const struct loop_sim_world *world = loop_sim_world_now();
    struct loop_sim_choices *choices = world ? world->choices : NULL;
    assert(n >= 1);
    if (!choices || n == 1 || choices->is_suspended || !(choices->points >> point & 1)) {
        return 0;
    }
    unsigned chosen = choices->choose ? choices->choose(choices->arg, point, n, ppm) : 0;
    assert(chosen < n);
    record(choices, chosen);
    return chosen;
}

unsigned loop_sim_choose(enum loop_sim_point point, unsigned n)
{
    return choose_by(point, n, 0);
}

bool loop_sim_happens(enum loop_sim_point point)
{
    return choose_by(point, 2, 0) == 1;
}

bool loop_sim_happens_ppm(enum loop_sim_point point, uint32_t ppm)
{
    return ppm > 0 && choose_by(point, 2, ppm) == 1;
}

size_t loop_sim_choose_length(enum loop_sim_point point, size_t len)
{
    if (len <= 1) {
        return len;
    }
    unsigned chosen = loop_sim_choose(point, len > INT_MAX ? INT_MAX : (unsigned)len);
    return chosen == 0 ? len : chosen;
}

void loop_sim_choices_set(struct loop_sim_world *world, loop_sim_choose_fn *choose, void *arg)
{
    world->choices->choose = choose;
    world->choices->arg = arg;
}

void loop_sim_choices_limit(struct loop_sim_world *world, uint64_t points)
{
    world->choices->points = points;
}

const uint32_t *loop_sim_choices_get(const struct loop_sim_world *world, size_t *count)
{
    *count = world->choices->count;
    return world->choices->list;
}

void loop_sim_choices_suspend(struct loop_sim_world *world, bool is_suspended)
{
    world->choices->is_suspended = is_suspended;
}

const char *loop_sim_point_name(enum loop_sim_point point)
{
    static const char *const names[LOOP_SIM_POINTS] = {
        [LOOP_SIM_ORDER_FIBERS] = "order of fibers",
        [LOOP_SIM_ORDER_EVENTS] = "order of events",
        [LOOP_SIM_ORDER_READY] = "order of readiness",
        [LOOP_SIM_SHORT_READ] = "short read",
        [LOOP_SIM_SHORT_WRITE] = "short write",
        [LOOP_SIM_FALSE_READY] = "ready for nothing",
        [LOOP_SIM_INTERRUPT] = "interrupt",
        [LOOP_SIM_NO_FILES] = "no files",
        [LOOP_SIM_NO_MEMORY] = "no memory",
        [LOOP_SIM_NO_BUFFERS] = "no buffers",
        [LOOP_SIM_ABORTED] = "aborted connection",
        [LOOP_SIM_CANCEL] = "late cancel",
        [LOOP_SIM_LATENCY] = "network latency",
        [LOOP_SIM_LOSS] = "loss",
        [LOOP_SIM_DUPLICATE] = "duplicate",
        [LOOP_SIM_REORDER] = "reordering",
        [LOOP_SIM_RESET] = "reset",
        [LOOP_SIM_CONNECT] = "failed connect",
        [LOOP_SIM_DISK_LATENCY] = "disk latency",
        [LOOP_SIM_DISK_ERROR] = "disk error",
        [LOOP_SIM_DISK_FULL] = "disk full",
        [LOOP_SIM_CRASH_KEEPS] = "kept by a crash",
        [LOOP_SIM_THREAD] = "late thread",
        [LOOP_SIM_PROGRAM] = "program",
    };
    return point < LOOP_SIM_POINTS && names[point] ? names[point] : "?";
}
