/* SPDX-License-Identifier: ISC
 *
 * Worlds in which nodes crash, start again and pause, and partitions come and go, while clients exchange messages with
 * a server. When that ends, every client must get through.
 */
#include "exchange.h"
#include "harness.h"

#define CHAOS_END_NS (5 * LOOP_SECOND)

enum { CLIENTS = 3 };

struct chaos {
    enum loop_backend backend;
    struct loop_node *server, *clients[CLIENTS];
};

static void crash_and_restart(struct loop_node *node)
{
    if (loop_node_state(node) == LOOP_NODE_CRASHED) {
        loop_simulation_sometimes("started again");
        loop_node_restart(node);
    } else if (loop_node_state(node) != LOOP_NODE_ENDED) {
        loop_simulation_sometimes("crashed");
        loop_node_crash(node);
    }
}

static void pause_or_resume(struct loop_node *node)
{
    if (loop_node_state(node) == LOOP_NODE_PAUSED) {
        loop_simulation_sometimes("resumed");
        loop_node_resume(node);
    } else {
        loop_node_pause(node);
    }
}

/* Brings everything back to work. */
static void end_chaos(struct loop_world *world, struct chaos *chaos)
{
    loop_world_heal(world);
    for (unsigned i = 0; i <= CLIENTS; i++) {
        struct loop_node *node = i < CLIENTS ? chaos->clients[i] : chaos->server;

        loop_node_resume(node);
        if (loop_node_state(node) == LOOP_NODE_CRASHED) {
            loop_node_restart(node);
        }
    }
}

static void disturb(struct loop_world *world, void *arg)
{
    struct chaos *chaos = arg;
    struct loop_node *client = chaos->clients[loop_simulation_choose(CLIENTS)];

    switch (loop_simulation_choose(9)) {
    case 1: crash_and_restart(chaos->server); break;
    case 2: crash_and_restart(client); break;
    case 3: pause_or_resume(chaos->server); break;
    case 4: pause_or_resume(client); break;
    case 5: loop_world_partition(world, client, chaos->server); break;
    case 6: loop_world_partition_one_way(world, chaos->server, client); break;
    case 7: loop_world_add_rule(world, &(struct loop_rule){.from = client, .action = LOOP_RULE_RESET}); break;
    case 8: loop_world_heal(world); break;
    default: break;
    }
    if (loop_world_now(world) < CHAOS_END_NS) {
        loop_world_at(world, loop_world_now(world) + 50 * LOOP_MILLISECOND, disturb, chaos);
    } else {
        end_chaos(world, chaos);
    }
}

static int build_chaos(struct loop_world *world, void *arg)
{
    struct chaos *chaos = arg;

    chaos->server = loop_world_add_node(
        world, &(struct loop_node_options){
                   .name = "server", .main = exchange_server, .backend = chaos->backend, .is_daemon = true});
    for (unsigned i = 0; i < CLIENTS; i++) {
        chaos->clients[i] = loop_world_add_node(
            world, &(struct loop_node_options){.main = exchange_client,
                                               .arg = loop_world_alloc(world, sizeof(struct exchange)),
                                               .backend = chaos->backend});
    }
    loop_world_set_link(world, NULL, NULL, &(struct loop_link){.delay_ns = 5 * LOOP_MILLISECOND});
    loop_world_at(world, 50 * LOOP_MILLISECOND, disturb, chaos);
    return 0;
}

static void check_chaos(enum loop_backend backend, uint64_t seed)
{
    static const char *const marks[] = {"crashed", "started again", "resumed", NULL};
    struct loop_simulation_options options = {
        .seed = seed, .runs = 300, .faults_end_ns = 2 * CHAOS_END_NS, .liveness_ns = 600 * LOOP_SECOND, .marks = marks};
    struct loop_simulation_result result = {0};
    struct chaos chaos = {.backend = backend};

    loop_simulation_explore(build_chaos, &chaos, &options, &result);
    if (result.has_failed) {
        char *text = loop_simulation_result_text(&result);
        fputs(text, stderr);
        free(text);
    }
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
}

TEST(clients_get_through_after_crashes_and_partitions_by_a_ring)
{
    check_chaos(LOOP_BACKEND_URING, 1);
}

TEST(clients_get_through_after_crashes_and_partitions_by_epoll)
{
    check_chaos(LOOP_BACKEND_EPOLL, 1);
}
