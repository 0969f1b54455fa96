/* SPDX-License-Identifier: ISC
 *
 * What the worlds of tests/explore share.
 */
#include "explore.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>

/* ---- nodes ---- */

/* Starts a daemon again that had no memory or no descriptors. */
static void look_after(struct loop_world *world, void *arg)
{
    if (loop_node_state(arg) == LOOP_NODE_ENDED) {
        loop_simulation_sometimes("a server ended and was started again");
        loop_node_restart(arg);
    }
    if (loop_world_now(world) < 100 * LOOP_SECOND) {
        loop_world_at(world, loop_world_now(world) + 500 * LOOP_MILLISECOND, look_after, arg);
    }
}

/* Chooses how flows move bytes on a ring. That they change it at every step is a matter of the environment, which nodes
 * read when they start: of those that start with the world all do as the last one. */
static enum loop_way choose_way(void)
{
    unsigned way = loop_simulation_choose(3);
    if (way == 2) {
        setenv("NORIA_HARD", "ways", 1);
    } else {
        unsetenv("NORIA_HARD");
    }
    return way == 0 ? LOOP_WAY_READINESS : LOOP_WAY_COMPLETIONS;
}

struct loop_node *explore_node(struct loop_world *world, struct loop_node_options options)
{
    static const uint32_t features[] = {0, IORING_FEAT_CQE_SKIP, IORING_FEAT_EXT_ARG, IORING_FEAT_NODROP,
                                        IORING_FEAT_FAST_POLL};
    static const uint32_t refused[] = {0, IORING_SETUP_DEFER_TASKRUN,
                                       IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN};
    if (loop_simulation_choose(2)) {
        options.backend = LOOP_BACKEND_EPOLL;
    } else if (loop_simulation_choose(4) == 3) {
        options.ring_features_masked = EXPLORE_ONE_OF(features);
        options.ring_setup_refused = EXPLORE_ONE_OF(refused);
    }
    struct loop_options loop_options = options.options ? *options.options : (struct loop_options){0};
    loop_options.way = choose_way();
    options.options = &loop_options;
    options.may_fail = true;
    struct loop_node *node = loop_world_add_node(world, &options);
    if (options.is_daemon) {
        loop_world_at(world, LOOP_SECOND, look_after, node);
    }
    return node;
}

void explore_must(struct loop_scope *scope, bool has_started)
{
    if (!has_started) {
        loop_scope_fail(scope, -ENOMEM);
    }
}

bool explore_gave_up(const struct loop_node *node)
{
    int status = loop_node_status(node);
    if (status != 0) {
        loop_simulation_sometimes("a program gave up");
    }
    return status == -ENOMEM || status == -EMFILE || status == -ENFILE || status == -ENOBUFS;
}

/* ---- links ---- */

void explore_links(struct loop_world *world)
{
    static const int64_t delays[] = {100 * LOOP_MICROSECOND, 0, 5 * LOOP_MILLISECOND, 300 * LOOP_MILLISECOND};
    static const int64_t jitters[] = {0, 50 * LOOP_MICROSECOND, 20 * LOOP_MILLISECOND};
    static const uint64_t rates[] = {0, 1000000, 100000};
    loop_world_set_link(world, NULL, NULL,
                        &(struct loop_link){.delay_ns = EXPLORE_ONE_OF(delays),
                                            .jitter_ns = EXPLORE_ONE_OF(jitters),
                                            .bytes_per_s = EXPLORE_ONE_OF(rates)});
}

static void heal(struct loop_world *world, void *arg)
{
    (void)arg;
    loop_world_heal(world);
}

static void part(struct loop_world *world, void *arg)
{
    struct loop_node *node = arg;
    loop_simulation_sometimes("the network was parted");
    switch (loop_simulation_choose(3)) {
    case 0: loop_world_partition(world, node, NULL); break;
    case 1: loop_world_partition_one_way(world, node, NULL); break;
    default: loop_world_partition_one_way(world, NULL, node); break;
    }
    loop_world_at(world, loop_world_now(world) + (1 + loop_simulation_choose(50)) * (100 * LOOP_MILLISECOND), heal,
                  NULL);
}

void explore_partition(struct loop_world *world, struct loop_node *node)
{
    if (loop_simulation_choose(4) == 3) {
        loop_world_at(world, loop_simulation_choose(200) * LOOP_MILLISECOND, part, node);
    }
}

/* ---- crashes ---- */

static void restart(struct loop_world *world, void *arg)
{
    (void)world;
    loop_node_restart(arg);
}

static void crash(struct loop_world *world, void *arg)
{
    if (loop_node_state(arg) == LOOP_NODE_RUNNING) {
        loop_simulation_sometimes("a node crashed");
        loop_node_crash(arg);
        loop_world_at(world, loop_world_now(world) + (1 + loop_simulation_choose(10)) * (100 * LOOP_MILLISECOND),
                      restart, arg);
    }
}

void explore_crash(struct loop_world *world, struct loop_node *node, int64_t most_ns)
{
    if (loop_simulation_choose(2)) {
        loop_world_at(world, (1 + loop_simulation_choose(1000)) * (most_ns / 1000), crash, node);
    }
}

/* ---- bytes ---- */

/* Eight bytes of the stream, those from the position 8 * number on. */
static uint64_t word_at(uint64_t key, uint64_t number)
{
    uint64_t word = number + key * UINT64_C(0x9e3779b97f4a7c15);
    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return word ^ word >> 29;
}

void explore_fill(void *data, size_t len, uint64_t key, uint64_t at)
{
    uint8_t *bytes = data;
    for (size_t done = 0; done < len;) {
        uint64_t word = word_at(key, (at + done) / 8), skipped = (at + done) % 8;
        size_t n = len - done < 8 - skipped ? len - done : 8 - skipped;
        memcpy(bytes + done, (uint8_t *)&word + skipped, n);
        done += n;
    }
}

bool explore_matches(const void *data, size_t len, uint64_t key, uint64_t at)
{
    const uint8_t *bytes = data;
    for (size_t done = 0; done < len;) {
        uint64_t word = word_at(key, (at + done) / 8), skipped = (at + done) % 8;
        size_t n = len - done < 8 - skipped ? len - done : 8 - skipped;
        if (memcmp(bytes + done, (uint8_t *)&word + skipped, n) != 0) {
            return false;
        }
        done += n;
    }
    return true;
}
