/* SPDX-License-Identifier: ISC
 *
 * One run of a world.
 */
#include <loop/kernel/simulated/machine/trace.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/network/socket.h>
#include <loop/simulation/guard.h>
#include <loop/simulation/run.h>
#include <loop/simulation/shrink.h>
#include <loop/simulation/show/trace.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define MOST_STEPS UINT64_C(10000000)
#define MOST_TIME_NS (INT64_C(24) * 3600 * LOOP_SECOND)
#define START_WALL_NS (INT64_C(1893456000) * LOOP_SECOND) /* 2030-01-01 00:00 UTC */
#define DELAY_NS (100 * LOOP_MICROSECOND)                 /* of links that the world does not set */
#define NAMES_SIZE 128

/* ---- options ---- */

unsigned loop_sim_run_faults(const struct loop_simulation_options *options)
{
    if (options->faults) {
        return options->faults;
    }
    return options->is_exhaustive ? LOOP_FAULT_ORDER
                                  : (unsigned)LOOP_FAULT_ALL & ~(unsigned)(LOOP_FAULT_LIMITS | LOOP_FAULT_MEMORY);
}

const char *loop_sim_run_mistake(loop_world_fn *build, const struct loop_simulation_options *options)
{
    int n_sources = (options->choices != NULL) + (options->bytes != NULL) + options->is_exhaustive;
    const struct {
        bool is_made;
        const char *text;
    } mistakes[] = {
        {!build, "there is no world function"},
        {n_sources > 1, "only one of choices (--replay), bytes and is_exhaustive (--exhaustive) can be set"},
        {options->is_exhaustive && options->seed, "an exhaustive search has no seed: leave out seed (--seed)"},
        {!options->choices && options->n_choices, "n_choices is set without choices"},
        {!options->bytes && options->n_bytes, "n_bytes is set without bytes"},
        {options->faults & ~(unsigned)LOOP_FAULT_ALL, "faults has bits that are not in enum loop_fault"},
        {options->most_time_ns < 0 || options->faults_end_ns < 0 || options->liveness_ns < 0 ||
             options->time_limit_ns < 0,
         "a time is negative"},
        {options->liveness_ns && !options->faults_end_ns, "liveness_ns is set without faults_end_ns"},
        {options->marks && !options->marks[0], "marks is an empty list: leave it out, or name a mark"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        if (mistakes[i].is_made) {
            return mistakes[i].text;
        }
    }
    return NULL;
}

int loop_sim_run_check(loop_world_fn *build, const struct loop_simulation_options *options)
{
    return loop_sim_run_mistake(build, options) ? -EINVAL : loop_sim_owner() ? -EDEADLK : 0;
}

uint64_t loop_sim_fresh_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
        seed = (uint64_t)loop_sim_real_time();
    }
    return seed ? seed : 1;
}

int64_t loop_sim_real_time(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * LOOP_SECOND + now.tv_nsec;
}

/* ---- the last phase ---- */

static void end_liveness(struct loop_sim_event *event)
{
    struct loop_world *world = LOOP_CONTAINER(event, struct loop_world, liveness_end);
    char names[NAMES_SIZE];
    if (loop_sim_awaited_names(world, names, sizeof names)[0]) {
        loop_world_fail(world, "liveness: without faults these have not ended in time: %s", names);
    }
}

static void end_faults(struct loop_sim_event *event)
{
    struct loop_world *world = LOOP_CONTAINER(event, struct loop_world, faults_end);
    loop_sim_trace("heal", NULL, NULL, "no more faults");
    loop_sim_choices_suspend(world->sim, true);
    loop_sim_rules_clear(world->sim);
    if (world->liveness_ns > 0) {
        loop_sim_event_set(&world->liveness_end, loop_sim_sum_ns(world->sim->now_ns, world->liveness_ns), end_liveness);
    }
}

/* ---- running ---- */

static void apply_options(struct loop_world *world, const struct loop_sim_run *run)
{
    const struct loop_simulation_options *options = run->options;
    struct loop_sim_world *sim = world->sim;
    sim->start_ns = options->start_wall_ns ? options->start_wall_ns : START_WALL_NS;
    sim->most_steps = run->most_steps ? run->most_steps : options->most_steps ? options->most_steps : MOST_STEPS;
    sim->most_time_ns = options->most_time_ns ? options->most_time_ns : MOST_TIME_NS;
    loop_sim_link_set(sim, NULL, NULL, &(struct loop_sim_link){.delay_ns = DELAY_NS});
    world->liveness_ns = options->liveness_ns;
    if (options->faults_end_ns > 0) {
        loop_sim_event_set(&world->faults_end, options->faults_end_ns, end_faults);
    }
}

/* Records the sockets and pipes that a node has open: it may wait for one of them. */
static void trace_open(const struct loop_sim_node *node)
{
    unsigned n_left = loop_sim_files_count(node);
    for (int number = 0; n_left > 0; number++) {
        struct loop_sim_file *file = loop_sim_file_at(node, number);
        n_left -= file != NULL;
        char text[128] = "pipe";
        if (file && file->kind->is_socket) {
            loop_sim_socket_describe(loop_sim_socket_of(file), text, sizeof text);
        }
        if (file && number > 2 && (file->kind->is_socket || !strcmp(file->kind->name, "pipe"))) {
            loop_sim_trace("open", node, NULL, "descriptor %d: %s", number, text);
        }
    }
}

static void fail_stuck(struct loop_world *world, const char *names)
{
    for (size_t i = 0; i < world->n_nodes; i++) {
        if (loop_sim_is_awaited(world->nodes[i])) {
            trace_open(world->nodes[i]->sim);
        }
    }
    loop_world_fail(world, "stuck: nothing will wake %s", names);
}

/* Fails the run if nothing was run in it, or if it has stopped before the nodes have ended that it waits for. */
static void judge(struct loop_world *world, enum loop_sim_stop stop)
{
    char names[NAMES_SIZE];
    if (world->n_nodes == 0) {
        loop_world_fail(world, "the world has no nodes: add them by loop_world_add_node");
    }
    loop_sim_awaited_names(world, names, sizeof names);
    if (world->is_over || !names[0]) {
        return;
    }
    switch (stop) {
    case LOOP_SIM_STOP_ENDED: /* cannot be while a node has not ended */
    case LOOP_SIM_STOP_REQUESTED: break;
    case LOOP_SIM_STOP_STUCK: fail_stuck(world, names); break;
    case LOOP_SIM_STOP_STEPS:
        loop_world_fail(world, LOOP_SIM_REASON_STEPS ": %llu, and these have not ended: %s",
                        (unsigned long long)world->sim->steps, names);
        break;
    case LOOP_SIM_STOP_TIME:
        loop_world_fail(world, "too much time: after %lld s these have not ended: %s",
                        (long long)(world->sim->most_time_ns / LOOP_SECOND), names);
        break;
    }
}

static void build(struct loop_world *world)
{
    const struct loop_sim_run *run = world->run;
    int status = run->build(world, run->arg);
    if (status != 0) {
        loop_world_fail(world, "the world function returned %d", status);
    }
}

static void run_nodes(struct loop_world *world)
{
    judge(world, loop_sim_world_run(world->sim));
}

/* Calls the phases of a run, until one fails. After a failure in a node, loop_sim_world_run returns at once. */
static void live(struct loop_world *world)
{
    loop_sim_guard_call(world, build);
    if (!world->has_failed) {
        loop_sim_nodes_start(world);
        loop_sim_guard_call(world, run_nodes);
    }
    if (!world->has_failed) {
        loop_sim_guard_call(world, loop_sim_call_ends);
    }
}

static void keep_choices(struct loop_sim_run *run, const struct loop_world *world)
{
    size_t n;
    const uint32_t *choices = loop_sim_choices_get(world->sim, &n);
    run->choices = loop_sim_alloc((n + 1) * sizeof *choices);
    run->n_choices = n;
    if (n > 0) {
        memcpy(run->choices, choices, n * sizeof *choices);
    }
}

static void keep_outcome(struct loop_sim_run *run, struct loop_world *world)
{
    run->has_failed = world->has_failed;
    (void)snprintf(run->reason, sizeof run->reason, "%s", world->reason);
    run->steps = world->sim->steps;
    run->time_ns = world->sim->now_ns;
    if (run->keeps_choices || run->has_failed) {
        keep_choices(run, world);
    }
    if (run->is_traced) {
        run->trace = loop_sim_trace_copy(world);
    }
}

void loop_sim_run(struct loop_sim_run *run)
{
    struct loop_sim_world *sim = loop_sim_world_create();
    struct loop_world *world = loop_sim_owner_create(sim, run->marks);
    struct loop_sim_guard guard;
    world->run = run;
    run->marks->run++;
    apply_options(world, run);
    loop_sim_choices_set(sim, loop_sim_source_choose, run->source);
    if (run->is_traced) {
        loop_sim_trace_begin(sim);
    }
    loop_sim_guard_begin(&guard);
    live(world);
    loop_sim_guard_end(&guard);
    keep_outcome(run, world);
    sim->node_stopped = NULL;
    loop_sim_world_destroy(sim);
    loop_sim_owner_destroy(world);
}

/* ---- results ---- */

void loop_sim_run_report(struct loop_sim_run *run, struct loop_simulation_result *result)
{
    result->has_failed = run->has_failed;
    memcpy(result->reason, run->reason, sizeof result->reason);
    result->choices = run->choices;
    result->n_choices = run->n_choices;
    result->n_departures = loop_sim_count_departures(run->choices, run->n_choices);
    result->time_ns = run->time_ns;
    result->trace = run->trace;
}

void loop_sim_marks_report(struct loop_sim_marks *marks, struct loop_simulation_result *result)
{
    result->marks = marks->marks;
    result->n_marks = marks->n_marks;
    marks->marks = NULL;
    loop_sim_marks_finish(marks);
}

void loop_simulation_result_finish(struct loop_simulation_result *result)
{
    if (result) {
        loop_sim_trace_free(result->trace);
        loop_sim_free(result->choices);
        loop_sim_free(result->marks);
        *result = (struct loop_simulation_result){0};
    }
}

/* ---- a single run ---- */

static uint64_t begin_source(struct loop_sim_source *source, const struct loop_simulation_options *options)
{
    if (options->choices) {
        loop_sim_source_list(source, options->choices, options->n_choices, loop_sim_run_faults(options));
        return 0;
    }
    if (options->bytes) {
        loop_sim_source_bytes(source, options->bytes, options->n_bytes, loop_sim_run_faults(options));
        return 0;
    }
    uint64_t seed = options->seed ? options->seed : loop_sim_fresh_seed();
    loop_sim_source_seed(source, seed, loop_sim_run_faults(options));
    return seed;
}

int loop_simulation_run(loop_world_fn *build_world, void *arg, const struct loop_simulation_options *options,
                        struct loop_simulation_result *result)
{
    static const struct loop_simulation_options defaults;
    options = options ? options : &defaults;
    int error = loop_sim_run_check(build_world, options);
    if (error || options->is_exhaustive) {
        return error ? error : -EINVAL;
    }
    struct loop_simulation_result own = {0};
    struct loop_sim_source source;
    struct loop_sim_marks marks = {0};
    own.seed = begin_source(&source, options);
    struct loop_sim_run run = {.build = build_world,
                               .arg = arg,
                               .options = options,
                               .source = &source,
                               .marks = &marks,
                               .is_traced = options->is_traced,
                               .keeps_choices = true};
    loop_sim_run(&run);
    loop_sim_run_report(&run, &own);
    loop_sim_marks_report(&marks, &own);
    own.n_choices_found = own.n_choices;
    own.runs = 1;
    own.steps = run.steps;
    int status = own.has_failed ? 1 : 0;
    if (result) {
        loop_simulation_result_finish(result);
        *result = own;
    } else {
        loop_simulation_result_finish(&own);
    }
    return status;
}
