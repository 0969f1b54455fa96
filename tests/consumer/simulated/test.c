/* SPDX-License-Identifier: ISC
 *
 * Runs the counter on the simulated kernel: a server, its backup and a client, in worlds whose networks fail. After
 * each run both servers must have counted every addition exactly once. As a test of the test, it is made with servers
 * that forget which requests they have counted, too: that must be found.
 *
 *     test_counter                 what ctest runs
 *     test_counter --runs 1000000  and the other arguments of loop_simulation_main: the right servers
 *     test_counter forget ...      the same with the servers that forget
 */
#include "counter.h"

#include <loop/simulation.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDITIONS = 2 };

/* What a world is made of. */
struct system {
    struct loop_address backup_address;
    struct counter primary, backup;
    struct counter_client client;
};

static void check(struct loop_world *world, void *arg)
{
    const struct system *system = arg;

    if (system->client.n_answered != ADDITIONS || system->primary.total != ADDITIONS ||
        system->backup.total != ADDITIONS) {
        loop_world_fail(world, "counted wrong: %" PRIu64 " answers, the primary has %" PRIu64 ", the backup %" PRIu64,
                        system->client.n_answered, system->primary.total, system->backup.total);
    }
}

/* Builds a world. `forgets` points to whether its servers forget. */
static int build(struct loop_world *world, void *forgets)
{
    struct system *system = loop_world_alloc(world, sizeof *system);

    loop_address_parse(&system->primary.address, "tcp:0.0.0.0:7000");
    loop_address_parse(&system->backup.address, "tcp:0.0.0.0:7000");
    loop_address_parse(&system->backup_address, "tcp:10.0.0.2:7000");
    loop_address_parse(&system->client.server, "tcp:10.0.0.1:7000");
    system->primary.backup = &system->backup_address;
    system->primary.forgets = system->backup.forgets = *(bool *)forgets;
    system->client.n_requests = ADDITIONS;
    loop_world_add_node(world,
                        &(struct loop_node_options){
                            .name = "primary", .main = counter_serve, .arg = &system->primary, .is_daemon = true});
    loop_world_add_node(world, &(struct loop_node_options){
                                   .name = "backup", .main = counter_serve, .arg = &system->backup, .is_daemon = true});
    loop_world_add_node(world,
                        &(struct loop_node_options){.name = "client", .main = counter_add, .arg = &system->client});
    loop_world_at_end(world, check, system);
    return 0;
}

static const struct loop_simulation_options options = {
    .runs = 2000, .faults_end_ns = 60 * LOOP_SECOND, .liveness_ns = 60 * LOOP_SECOND};

/* The servers that forget must be found out, by a failure that is shrunk to fewer than 20 choices other than 0. */
static int find_the_mistake(void)
{
    struct loop_simulation_result result = {0};
    bool forgets = true, is_found;
    char *text;

    loop_simulation_explore(build, &forgets, &options, &result);
    is_found = result.has_failed && !strncmp(result.reason, "counted wrong:", 14) && result.n_departures < 20;
    text = loop_simulation_result_text(&result);
    printf("%s the servers that forget:\n%s\n", is_found ? "found" : "DID NOT FIND", text ? text : "");
    free(text);
    loop_simulation_result_finish(&result);
    return is_found ? 0 : 1;
}

int main(int argc, char **argv)
{
    bool forgets = argc > 1 && !strcmp(argv[1], "forget");
    int status = argc > 1 ? 0 : find_the_mistake();

    if (forgets) {
        argv[1] = argv[0];
    }
    return status ? status : loop_simulation_main(argc - forgets, argv + forgets, build, &forgets, &options);
}
