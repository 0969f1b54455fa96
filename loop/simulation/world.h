/* SPDX-License-Identifier: ISC
 *
 * Worlds and nodes as the user sees them, over those of the machine.
 */
#ifndef LOOP_SIMULATION_WORLD_H
#define LOOP_SIMULATION_WORLD_H

#include <loop/kernel/simulated/machine/machine.h>
#include <loop/simulation.h>
#include <loop/simulation/marks.h>

#include <setjmp.h>

struct loop_sim_run;

enum { LOOP_SIM_REASON_SIZE = 256 };

/* A node. */
struct loop_node {
    struct loop_world *world;
    struct loop_sim_node *sim;
    loop_main_fn *main;
    void *arg;
    struct loop_options options;
    bool has_options, is_daemon, may_fail;
    bool has_returned; /* loop_run has, since the node last started */
    int status;
    char **addresses; /* memory of the world */
    size_t n_addresses;
};

/* A partition has two rules of the network, a rule has one. Its number is its place in the world's table, from 1. */
struct loop_sim_rule_pair {
    unsigned numbers[2]; /* 0: none */
};

/* A world. */
struct loop_world {
    struct loop_sim_world *sim;
    const struct loop_sim_run *run;
    struct loop_node **nodes; /* in the order of creation, as loop_sim_node.index */
    size_t n_nodes;
    struct loop_sim_rule_pair *rules;
    size_t n_rules;
    struct loop_list events;      /* of loop_world_at; those that have not happened */
    struct loop_list ends;        /* of loop_world_at_end */
    struct loop_list memory;      /* of loop_world_alloc */
    struct loop_sim_marks *marks; /* reached in this run */
    struct loop_sim_event faults_end, liveness_end;
    int64_t liveness_ns;
    sigjmp_buf escape; /* where an abort outside of fibers goes, see guard.h */
    bool can_escape;
    bool is_running; /* nodes that are added start at once */
    bool is_over;    /* all have ended that the run waits for */
    bool has_failed;
    char reason[LOOP_SIM_REASON_SIZE];
};

/* Makes the part of a world that is not the machine's. `sim` is a new world. */
struct loop_world *loop_sim_owner_create(struct loop_sim_world *sim, struct loop_sim_marks *marks);

/* Frees it, after the machine's world: events are members of it. */
void loop_sim_owner_destroy(struct loop_world *world);

/* Returns the world of this thread that a run has made, or NULL. */
struct loop_world *loop_sim_owner(void);

/* Starts the nodes that the world function has added. */
void loop_sim_nodes_start(struct loop_world *world);

/* Stops the world when nothing is left that the run waits for. A loop_sim_world.node_stopped. */
void loop_sim_node_has_stopped(struct loop_sim_node *node);

/* Stops the world when nothing is left that the run waits for. */
void loop_sim_look_whether_over(struct loop_world *world);

/* Whether the run waits for a node: it is no daemon, and has not ended. */
bool loop_sim_is_awaited(const struct loop_node *node);

/* Calls the functions of loop_world_at_end, until one fails the run. */
void loop_sim_call_ends(struct loop_world *world);

/* Returns the names of the nodes that the run waits for, "a, b and c", cut to the size. */
const char *loop_sim_awaited_names(const struct loop_world *world, char *text, size_t size);

#endif
