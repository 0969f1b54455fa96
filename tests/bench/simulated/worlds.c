/* SPDX-License-Identifier: ISC
 *
 * How fast simulated worlds run, in CPU time, which is that of the clock where nothing else runs:
 *
 *     worlds exchange SECONDS      worlds an hour, of two nodes that exchange 10 messages, with faults
 *     worlds heartbeats            seconds for an hour of 100 connections with a heartbeat every 10 s
 *     worlds nodes COUNT           microseconds for each step of so many nodes, each of which talks to the next
 */
#include "exchange.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { CONNECTIONS = 100, HEARTBEATS = 360 };

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Prints how a run or a search has ended. Returns an exit status. */
static int finish(struct loop_simulation_result *result)
{
    int status = result->has_failed ? 1 : 0;

    if (status) {
        printf("failed: %s (seed %llu)\n", result->reason, (unsigned long long)result->seed);
    }
    loop_simulation_result_finish(result);
    return status;
}

static int measure_exchange(double seconds, enum loop_backend backend, const char *name)
{
    struct loop_simulation_options options = {
        .seed = 1, .runs = UINT64_MAX, .time_limit_ns = (int64_t)(seconds * 1e9), .shrink_limit_ns = -1};
    struct loop_simulation_result result = {0};
    double start = seconds_now(), taken;

    loop_simulation_explore(exchange_build, &backend, &options, &result);
    taken = seconds_now() - start;
    printf("exchange, %s: %.0f worlds an hour, %.3f ms each, %.0f steps each\n", name,
           (double)result.runs / taken * 3600, taken * 1000 / (double)result.runs,
           (double)result.steps / (double)result.runs);
    return finish(&result);
}

/* ---- heartbeats ---- */

/* A connection of the client. */
struct heart {
    struct loop_scope *scope;
    struct loop_flow *flow;
    unsigned n_beats;
    char beat[16];
};

static void beat(void *arg, int64_t result);

static void beat_received(void *arg, int64_t result)
{
    struct heart *heart = arg;

    if (result != sizeof heart->beat) {
        loop_world_fail(NULL, "a heartbeat is lost: %lld", (long long)result);
    } else if (++heart->n_beats < HEARTBEATS) {
        loop_sleep(heart->scope, 10 * LOOP_SECOND, beat, heart);
    } else {
        loop_flow_close(heart->flow);
    }
}

static void beat_sent(void *arg, int64_t result)
{
    struct heart *heart = arg;

    (void)result;
    loop_read_exact(&heart->flow->source, heart->beat, sizeof heart->beat, beat_received, heart);
}

static void beat(void *arg, int64_t result)
{
    struct heart *heart = arg;

    (void)result;
    loop_write(&heart->flow->sink, heart->beat, sizeof heart->beat, beat_sent, heart);
}

static int client(struct loop_env *env, void *arg)
{
    struct heart *hearts = arg;
    struct loop_address address;

    loop_address_parse(&address, "tcp:10.0.0.1:7000");
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        hearts[i].scope = env->scope;
        loop_connect(env->scope, &address, NULL, &hearts[i].flow, beat, &hearts[i]);
    }
    return 0;
}

static int build_hearts(struct loop_world *world, void *arg)
{
    (void)arg;
    loop_world_add_node(world,
                        &(struct loop_node_options){.name = "server", .main = exchange_server, .is_daemon = true});
    loop_world_add_node(
        world, &(struct loop_node_options){.name = "client",
                                           .main = client,
                                           .arg = loop_world_alloc(world, CONNECTIONS * sizeof(struct heart))});
    return 0;
}

static int measure_hearts(void)
{
    static const uint32_t ordinary[1];
    struct loop_simulation_result result = {0};
    double start = seconds_now();

    loop_simulation_run(build_hearts, NULL, &(struct loop_simulation_options){.choices = ordinary}, &result);
    printf("heartbeats: %.3f s for %.0f s of %d connections, %.0f steps\n", seconds_now() - start,
           (double)result.time_ns / 1e9, CONNECTIONS, (double)result.steps);
    return finish(&result);
}

/* ---- many nodes ---- */

enum { MESSAGES = 20 };

static void talk(void *arg, int64_t result);

static void talk_received(void *arg, int64_t result)
{
    struct heart *heart = arg;

    if (result != sizeof heart->beat) {
        loop_world_fail(NULL, "a message is lost: %lld", (long long)result);
    } else if (++heart->n_beats < MESSAGES) {
        loop_sleep(heart->scope, LOOP_SECOND, talk, heart);
    } else {
        loop_flow_close(heart->flow);
    }
}

static void talk_sent(void *arg, int64_t result)
{
    struct heart *heart = arg;

    (void)result;
    loop_read_exact(&heart->flow->source, heart->beat, sizeof heart->beat, talk_received, heart);
}

static void talk(void *arg, int64_t result)
{
    struct heart *heart = arg;

    (void)result;
    loop_write(&heart->flow->sink, heart->beat, sizeof heart->beat, talk_sent, heart);
}

/* A node, and the next one. */
struct neighbour {
    struct heart heart;
    struct loop_address next;
};

static void call_next(void *arg, int64_t result)
{
    struct neighbour *node = arg;

    (void)result;
    loop_connect(node->heart.scope, &node->next, NULL, &node->heart.flow, talk, &node->heart);
}

/* Waits a moment, until the next node listens. */
static int be_neighbour(struct loop_env *env, void *arg)
{
    struct neighbour *node = arg;

    node->heart.scope = env->scope;
    loop_sleep(env->scope, LOOP_MILLISECOND, call_next, node);
    return exchange_server(env, NULL);
}

static int build_neighbours(struct loop_world *world, void *arg)
{
    unsigned count = *(unsigned *)arg;

    for (unsigned i = 0; i < count; i++) {
        struct neighbour *node = loop_world_alloc(world, sizeof *node);
        unsigned next = (i + 1) % count + 1;
        char text[64];

        snprintf(text, sizeof text, "tcp:10.0.%u.%u:7000", next / 256, next % 256);
        loop_address_parse(&node->next, text);
        loop_world_add_node(world, &(struct loop_node_options){.main = be_neighbour, .arg = node, .is_daemon = true});
    }
    return 0;
}

static int measure_nodes(unsigned count)
{
    static const uint32_t ordinary[1];
    struct loop_simulation_options options = {.choices = ordinary, .most_time_ns = 60 * LOOP_SECOND};
    struct loop_simulation_result result = {0};
    double start = seconds_now(), taken;

    loop_simulation_run(build_neighbours, &count, &options, &result);
    taken = seconds_now() - start;
    printf("nodes: %u in %.3f s, %.2f us for each of %.0f steps\n", count, taken, taken * 1e6 / (double)result.steps,
           (double)result.steps);
    return finish(&result);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "exchange")) {
        double seconds = strtod(argv[2], NULL);
        return measure_exchange(seconds, LOOP_BACKEND_URING, "io_uring") |
               measure_exchange(seconds, LOOP_BACKEND_EPOLL, "epoll");
    }
    if (argc == 2 && !strcmp(argv[1], "heartbeats")) {
        return measure_hearts();
    }
    if (argc == 3 && !strcmp(argv[1], "nodes")) {
        return measure_nodes((unsigned)strtoul(argv[2], NULL, 10));
    }
    fprintf(stderr, "usage: worlds exchange SECONDS | heartbeats | nodes COUNT\n");
    return 2;
}
