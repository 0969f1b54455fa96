/* SPDX-License-Identifier: ISC
 *
 * Options of runs and searches: those that are wrong or contradict each other are refused, and the others are kept.
 */
#include <loop/simulation.h>

#include "harness.h"

static int do_nothing(struct loop_env *env, void *arg)
{
    (void)env;
    (void)arg;
    return 0;
}

static int build(struct loop_world *world, void *arg)
{
    loop_world_add_node(world, &(struct loop_node_options){.main = do_nothing, .arg = arg});
    return 0;
}

static int run_once(const struct loop_simulation_options *options)
{
    return loop_simulation_run(build, NULL, options, NULL);
}

static int explore(const struct loop_simulation_options *options)
{
    return loop_simulation_explore(build, NULL, options, NULL);
}

static const uint32_t choices[1];
static const uint8_t bytes[1];

#define OPTIONS(...)                                                                                                   \
    &(struct loop_simulation_options)                                                                                  \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

TEST(sources_of_choice_that_contradict_are_refused)
{
    CHECK_IS(run_once(OPTIONS(.choices = choices, .bytes = bytes)), -EINVAL);
    CHECK_IS(run_once(OPTIONS(.is_exhaustive = true)), -EINVAL);
    CHECK_IS(run_once(OPTIONS(.n_choices = 1)), -EINVAL);
    CHECK_IS(run_once(OPTIONS(.n_bytes = 1)), -EINVAL);
    CHECK_IS(run_once(OPTIONS(.choices = choices, .seed = 1)), 0);
    CHECK_IS(explore(OPTIONS(.choices = choices)), -EINVAL);
    CHECK_IS(explore(OPTIONS(.bytes = bytes)), -EINVAL);
    CHECK_IS(explore(OPTIONS(.is_exhaustive = true, .seed = 1)), -EINVAL);
}

TEST(values_out_of_range_are_refused)
{
    CHECK_IS(run_once(OPTIONS(.faults = 1 << 20)), -EINVAL);
    CHECK_IS(run_once(OPTIONS(.most_time_ns = -1)), -EINVAL);
    CHECK_IS(run_once(OPTIONS(.faults_end_ns = -1)), -EINVAL);
    CHECK_IS(run_once(OPTIONS(.faults_end_ns = 1, .liveness_ns = -1)), -EINVAL);
    CHECK_IS(explore(OPTIONS(.time_limit_ns = -1)), -EINVAL);
    CHECK_IS(loop_simulation_run(NULL, NULL, NULL, NULL), -EINVAL);
}

TEST(options_that_demand_nothing_are_refused)
{
    static const char *const no_marks[] = {NULL};

    CHECK_IS(run_once(OPTIONS(.liveness_ns = 1)), -EINVAL);
    CHECK_IS(explore(OPTIONS(.marks = no_marks)), -EINVAL);
}

TEST(search_makes_at_least_one_run)
{
    struct loop_simulation_result result = {0};

    CHECK_IS(loop_simulation_explore(build, NULL, OPTIONS(.time_limit_ns = 1), &result), 0);
    CHECK(result.runs >= 1);
    loop_simulation_result_finish(&result);
}

static int wait_for_ever(struct loop_env *env, void *arg)
{
    (void)arg;
    loop_sleep(env->scope, 3600 * LOOP_SECOND, NULL, NULL);
    return 0;
}

static int build_daemons(struct loop_world *world, void *arg)
{
    loop_world_add_node(world, &(struct loop_node_options){.main = wait_for_ever, .arg = arg, .is_daemon = true});
    return 0;
}

TEST(liveness_is_not_demanded_of_daemons)
{
    struct loop_simulation_result result = {0};

    CHECK_TEXT((loop_simulation_run(build_daemons, NULL,
                                    OPTIONS(.faults_end_ns = LOOP_SECOND, .liveness_ns = LOOP_SECOND), &result),
                result.reason),
               "");
    CHECK(result.time_ns >= 3600 * LOOP_SECOND);
    loop_simulation_result_finish(&result);
}

/* ---- faults of loop_run itself ---- */

static int build_one_that_may_fail(struct loop_world *world, void *arg)
{
    loop_world_add_node(world, &(struct loop_node_options){.main = do_nothing, .arg = arg, .may_fail = true});
    return 0;
}

TEST(lack_of_memory_fails_loop_run_and_the_run_unless_the_node_may_fail)
{
    struct loop_simulation_options options = {.seed = 1, .faults = LOOP_FAULT_MEMORY, .shrink_limit_ns = -1};
    struct loop_simulation_result result = {0};

    CHECK_IS(loop_simulation_explore(build, NULL, &options, &result), 1);
    CHECK_TEXT(result.reason, "loop_run of node1 returned -12: Cannot allocate memory");
    CHECK_IS(loop_simulation_explore(build_one_that_may_fail, NULL, &options, &result), 0);
    loop_simulation_result_finish(&result);
}

TEST(lack_of_descriptors_fails_loop_run_and_the_run_unless_the_node_may_fail)
{
    struct loop_simulation_options options = {.seed = 1, .faults = LOOP_FAULT_LIMITS, .shrink_limit_ns = -1};
    struct loop_simulation_result result = {0};

    CHECK_IS(loop_simulation_explore(build, NULL, &options, &result), 1);
    CHECK(!strncmp(result.reason, "loop_run of node1 returned -", 28));
    CHECK_IS(loop_simulation_explore(build_one_that_may_fail, NULL, &options, &result), 0);
    loop_simulation_result_finish(&result);
}
