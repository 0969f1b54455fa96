/* SPDX-License-Identifier: ISC
 *
 * loop_connect on the simulated kernel: without memory.
 */
#include "harness.h"

#include <loop/simulation.h>
#include <net/net.h>

#include <errno.h>

struct attempt {
    struct loop_flow *flow;
};

static void on_connected(void *arg, int64_t result)
{
    (void)arg;
    if (result == -ENOMEM) {
        loop_simulation_sometimes("no memory");
    } else if (result == -ECONNREFUSED) {
        loop_simulation_sometimes("refused");
    } else {
        loop_world_fail(NULL, "a wrong result: %d", (int)result);
    }
}

static int connect_to_nothing(struct loop_env *env, void *arg)
{
    struct attempt *attempt = arg;
    struct loop_address address;

    loop_address_parse(&address, "tcp:10.0.0.1:7000");
    loop_connect(env->scope, &address, &(struct loop_connect_options){.timeout_ns = LOOP_SECOND}, &attempt->flow,
                 on_connected, attempt);
    return 0;
}

static int build(struct loop_world *world, void *arg)
{
    (void)arg;
    loop_world_add_node(world, &(struct loop_node_options){.main = connect_to_nothing,
                                                           .arg = loop_world_alloc(world, sizeof(struct attempt)),
                                                           .may_fail = true});
    return 0;
}

/* Without memory for the timeout it once ended with -ECANCELED. */
TEST(connect_without_memory_says_so)
{
    static const char *const marks[] = {"no memory", "refused", NULL};
    const struct loop_simulation_options options = {
        .seed = 1, .runs = 2000, .faults = LOOP_FAULT_MEMORY, .marks = marks};
    struct loop_simulation_result result = {0};

    CHECK_IS(loop_simulation_explore(build, NULL, &options, &result), 0);
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
}
