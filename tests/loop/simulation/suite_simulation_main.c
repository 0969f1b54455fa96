/* SPDX-License-Identifier: ISC
 *
 * The main function of programs that search: its arguments, its exit status, the files that it writes.
 */
#include <loop/simulation.h>

#include "harness.h"

#include <stdio.h>

static int do_nothing(struct loop_env *env, void *arg)
{
    (void)env;
    (void)arg;
    return 0;
}

/* Fails when the third choice is 2. */
static int build(struct loop_world *world, void *arg)
{
    loop_world_add_node(world, &(struct loop_node_options){.main = do_nothing, .arg = arg});
    for (unsigned i = 0; i < 2; i++) {
        loop_simulation_choose(3);
    }
    if (loop_simulation_choose(3) == 2) {
        loop_world_fail(world, "two");
    }
    return 0;
}

#define CALL(...) call((const char *const[]){"program", __VA_ARGS__, NULL})

static int call(const char *const *arguments)
{
    int count = 0;

    while (arguments[count]) {
        count++;
    }
    return loop_simulation_main(count, (char **)(uintptr_t)arguments, build, NULL, NULL);
}

TEST(main_searches_and_replays)
{
    CHECK_IS(CALL("--runs", "100"), 1);
    CHECK_IS(CALL("--exhaustive"), 1);
    CHECK_IS(CALL("--replay", "0 0 2"), 1);
    CHECK_IS(CALL("--replay", "2x0 1"), 0);
    CHECK_IS(CALL("--replay", ""), 0);
    CHECK_IS(CALL("--runs", "3", "--seed", "1", "--seconds", "60"), CALL("--seed", "1", "--runs", "3"));
}

TEST(main_refuses_wrong_arguments)
{
    CHECK_IS(CALL("--runs"), 2);
    CHECK_IS(CALL("--runs", "x"), 2);
    CHECK_IS(CALL("--seed", "-1"), 2);
    CHECK_IS(CALL("--replay", "1 x"), 2);
    CHECK_IS(CALL("--replay", "1", "--replay", "1"), 2);
    CHECK_IS(CALL("--replay", "1", "--exhaustive"), 2);
    CHECK_IS(CALL("--what", "1"), 2);
    CHECK_IS(CALL("what"), 2);
}
