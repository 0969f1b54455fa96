/* SPDX-License-Identifier: ISC
 *
 * The machine of the simulated kernel: worlds, nodes, fibers, events, choices.
 */
#include <loop/kernel/all.h>
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/machine/trace.h>

#include "harness.h"

#define MS INT64_C(1000000)

/* What has happened in a test, in order: one letter for each thing. */
struct story {
    char text[64];
    size_t len;
    struct loop_sim_queue queue;
    struct loop_sim_node *other;
    struct loop_sim_event event;
    int result;
    int64_t time_ns;
};

static void tell(struct story *story, char letter)
{
    CHECK(story->len + 1 < sizeof story->text);
    story->text[story->len++] = letter;
}

/* Creates a world with nodes that run the functions, "a" the first. Ends with NULL. */
static struct loop_sim_world *world_of(struct story *story, void *(*const *mains)(void *))
{
    struct loop_sim_world *world = loop_sim_world_create();

    memset(story, 0, sizeof *story);
    loop_sim_queue_init(&story->queue);
    for (char name[2] = "a"; *mains; mains++, name[0]++) {
        struct loop_sim_node *node = loop_sim_node_create(world, name);
        loop_sim_node_start(node, *mains, story);
        story->other = node;
    }
    return world;
}

#define WORLD_OF(story, ...) world_of(story, (void *(*const[])(void *)){__VA_ARGS__, NULL})

/* ---- time ---- */

static void *sleep_2_ms(void *arg)
{
    CHECK_IS(loop_sim_wait(NULL, 2 * MS), -ETIMEDOUT);
    tell(arg, '2');
    return NULL;
}

static void *sleep_1_ms(void *arg)
{
    CHECK_IS(loop_sim_wait(NULL, 1 * MS), -ETIMEDOUT);
    tell(arg, '1');
    return NULL;
}

TEST(machine_moves_time_to_the_next_event_when_all_wait)
{
    struct story story;
    struct loop_sim_world *world = WORLD_OF(&story, sleep_2_ms, sleep_1_ms);

    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "12");
    CHECK_IS(world->now_ns, 2 * MS);
    loop_sim_world_destroy(world);
}

static void *yield_thrice(void *arg)
{
    for (int i = 0; i < 3; i++) {
        tell(arg, 'y');
        loop_sim_yield();
    }
    return NULL;
}

TEST(machine_yield_moves_time_by_at_most_a_microsecond)
{
    struct story story;
    struct loop_sim_world *world = WORLD_OF(&story, yield_thrice);

    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_ENDED);
    CHECK(world->now_ns > 0);
    CHECK(world->now_ns <= 3000);
    loop_sim_world_destroy(world);
}
