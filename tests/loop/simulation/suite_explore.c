/* SPDX-License-Identifier: ISC
 *
 * Searches: they find, shrink, count marks, enumerate, and keep their limits.
 */
#include <loop/simulation.h>

#include "harness.h"

/* ---- worlds that choose while they are built ---- */

static int do_nothing(struct loop_env *env, void *arg)
{
    (void)env;
    (void)arg;
    return 0;
}

static void add_idle_node(struct loop_world *world)
{
    CHECK(loop_world_add_node(world, &(struct loop_node_options){.main = do_nothing}) != NULL);
}

/* Fails when the first of 30 choices is at least 7 and the 20th is not 0. */
static int build_rare(struct loop_world *world, void *arg)
{
    unsigned values[30];

    (void)arg;
    add_idle_node(world);
    for (unsigned i = 0; i < 30; i++) {
        values[i] = loop_simulation_choose(10);
    }
    if (values[0] >= 7 && values[19] > 0) {
        loop_world_fail(world, "found: %u and %u", values[0], values[19]);
    }
    return 0;
}

TEST(search_finds_a_failure_and_shrinks_it)
{
    struct loop_simulation_result result = {0}, again = {0};
    struct loop_simulation_options replay = {0};

    CHECK_IS(loop_simulation_explore(build_rare, NULL, NULL, &result), 1);
    CHECK(result.has_failed && result.seed != 0 && result.trace);
    CHECK_TEXT(result.reason, "found: 7 and 1");
    CHECK_IS(result.n_departures, 2);
    CHECK_IS(result.n_choices, 20);
    CHECK_IS(result.choices[0], 7);
    CHECK_IS(result.choices[19], 1);
    CHECK(result.n_choices_found >= 20 && result.shrink_runs > 0);
    replay.choices = result.choices;
    replay.n_choices = result.n_choices;
    CHECK_IS(loop_simulation_run(build_rare, NULL, &replay, &again), 1);
    CHECK_TEXT(again.reason, "found: 7 and 1");
    loop_simulation_result_finish(&result);
    loop_simulation_result_finish(&again);
}

TEST(seed_of_a_failure_fails_in_the_first_run)
{
    struct loop_simulation_result result = {0}, again = {0};

    CHECK_IS(loop_simulation_explore(build_rare, NULL, &(struct loop_simulation_options){.seed = 1}, &result), 1);
    CHECK_IS(loop_simulation_explore(build_rare, NULL, &(struct loop_simulation_options){.seed = result.seed}, &again),
             1);
    CHECK_IS(again.runs, 1);
    CHECK_IS(again.n_choices_found, result.n_choices_found);
    loop_simulation_result_finish(&result);
    loop_simulation_result_finish(&again);
}

/* Gives another number of runs so far in each run. */
static int build_unrepeatable(struct loop_world *world, void *arg)
{
    unsigned *count = arg;

    add_idle_node(world);
    if (++*count == 3) {
        loop_world_fail(world, "the third run");
    }
    return 0;
}

TEST(failure_that_does_not_repeat_is_reported_as_such)
{
    struct loop_simulation_result result = {0};
    unsigned count = 0;

    CHECK_IS(loop_simulation_explore(build_unrepeatable, &count, NULL, &result), 1);
    CHECK_IS(result.runs, 3);
    CHECK(!strncmp(result.reason, "not repeatable: ", 16));
    loop_simulation_result_finish(&result);
}

static int build_marks(struct loop_world *world, void *arg)
{
    add_idle_node(world);
    loop_simulation_sometimes("always");
    if (loop_simulation_choose(4) == 1) {
        loop_simulation_sometimes("one");
        loop_simulation_sometimes("one");
    }
    if (arg) {
        loop_simulation_sometimes("never");
    }
    return 0;
}

TEST(marks_are_counted_and_a_missing_one_fails_the_search)
{
    static const char *const some[] = {"one", "always", NULL}, *const all[] = {"one", "never", NULL};
    struct loop_simulation_options options = {.runs = 400, .marks = some};
    struct loop_simulation_result result = {0};
    char *text;

    CHECK_IS(loop_simulation_explore(build_marks, NULL, &options, &result), 0);
    CHECK_IS(result.runs, 400);
    CHECK_IS(result.n_marks, 2);
    CHECK_TEXT(result.marks[0].name, "always");
    CHECK_IS(result.marks[0].runs, 400);
    CHECK_TEXT(result.marks[1].name, "one");
    CHECK(result.marks[1].runs > 50 && result.marks[1].runs < 150);
    options.marks = all;
    CHECK_IS(loop_simulation_explore(build_marks, NULL, &options, &result), 1);
    CHECK_TEXT(result.reason, "no run reached the mark: never");
    text = loop_simulation_result_text(&result);
    CHECK(text && strstr(text, "(of the last run)"));
    free(text);
    loop_simulation_result_finish(&result);
}

/* ---- enumeration ---- */

struct order {
    unsigned order, counts[6];
};

static int append(struct loop_env *env, void *arg)
{
    struct order *order = arg;

    (void)env;
    order->order = 10 * order->order + (unsigned)(loop_node_name(loop_node_here())[4] - '0');
    return 0;
}

static void count_order(struct loop_world *world, void *arg)
{
    static const unsigned orders[] = {123, 132, 213, 231, 312, 321};
    struct order *order = arg;

    (void)world;
    for (unsigned i = 0; i < 6; i++) {
        order->counts[i] += order->order == orders[i];
    }
}

static int build_two_choices(struct loop_world *world, void *arg)
{
    unsigned one = loop_simulation_choose(3), other = one == 2 ? loop_simulation_choose(5) : 0;

    (void)arg;
    add_idle_node(world);
    if (one == 1 && other > 9) {
        loop_world_fail(world, "cannot be");
    }
    return 0;
}

static int build_three_nodes(struct loop_world *world, void *arg)
{
    struct order *order = arg;

    order->order = 0;
    for (unsigned i = 0; i < 3; i++) {
        loop_world_add_node(world, &(struct loop_node_options){.main = append, .arg = order});
    }
    loop_world_at_end(world, count_order, order);
    return 0;
}

TEST(exhaustive_search_tries_every_list_exactly_once)
{
    struct loop_simulation_options options = {.is_exhaustive = true, .faults = LOOP_FAULT_PROGRAM};
    struct loop_simulation_result result = {0};

    CHECK_IS(loop_simulation_explore(build_two_choices, NULL, &options, &result), 0);
    CHECK_TEXT(result.reason, "");
    CHECK_IS(result.runs, 7);
    CHECK(result.is_complete);
    loop_simulation_result_finish(&result);
}

TEST(exhaustive_search_tries_every_order_of_nodes)
{
    struct loop_simulation_options options = {.is_exhaustive = true, .faults = LOOP_FAULT_ORDER};
    struct loop_simulation_result result = {0};
    struct order order = {0};

    CHECK_IS(loop_simulation_explore(build_three_nodes, &order, &options, &result), 0);
    CHECK_TEXT(result.reason, "");
    CHECK(result.is_complete);
    for (unsigned i = 0; i < 6; i++) {
        CHECK(order.counts[i] > 0);
    }
    loop_simulation_result_finish(&result);
}

/* ---- limits ---- */

static int tick(struct loop_env *env, void *arg);

static void tick_again(void *arg, int64_t result)
{
    if (result == 0) {
        loop_sleep(arg, LOOP_SECOND, tick_again, arg);
    }
}

static int tick(struct loop_env *env, void *arg)
{
    (void)arg;
    tick_again(env->scope, 0);
    return 0;
}

static int build_ticker(struct loop_world *world, void *arg)
{
    loop_world_add_node(world, &(struct loop_node_options){.name = "ticker", .main = tick, .arg = arg});
    return 0;
}

static void fails_with(const struct loop_simulation_options *options, const char *reason)
{
    struct loop_simulation_result result = {0};

    CHECK_IS(loop_simulation_run(build_ticker, NULL, options, &result), 1);
    CHECK(!strncmp(result.reason, reason, strlen(reason)));
    CHECK(strstr(result.reason, "ticker") != NULL);
    loop_simulation_result_finish(&result);
}

TEST(run_ends_at_its_limits)
{
    fails_with(&(struct loop_simulation_options){.most_steps = 100}, "too many steps: 100, ");
    fails_with(&(struct loop_simulation_options){.most_time_ns = 100 * LOOP_SECOND}, "too much time: after ");
    fails_with(&(struct loop_simulation_options){.faults_end_ns = LOOP_SECOND, .liveness_ns = LOOP_SECOND},
               "liveness: ");
}

static int build_inside(struct loop_world *world, void *arg)
{
    (void)arg;
    add_idle_node(world);
    return loop_simulation_run(build_marks, NULL, NULL, NULL) == -EDEADLK ? 0 : 1;
}

TEST(run_inside_a_world_is_refused)
{
    CHECK_IS(loop_simulation_run(build_inside, NULL, NULL, NULL), 0);
}

TEST(program_without_a_world_gets_ordinary_choices)
{
    CHECK_IS(loop_simulation_choose(10), 0);
    loop_simulation_sometimes("nothing");
    loop_simulation_note("nothing");
    loop_world_fail(NULL, "nothing");
    CHECK(loop_node_here() == NULL);
}
