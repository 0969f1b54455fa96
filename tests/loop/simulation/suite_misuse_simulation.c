/* SPDX-License-Identifier: ISC
 *
 * Mistakes in calls of <loop/simulation.h>: outside of a run they abort the process, in a run they fail it.
 */
#include <loop/simulation.h>

#include "misuse.h"

TEST(p23_null_in_place_of_a_world_a_node_or_a_trace_is_named)
{
    misuse_check_all();
}

/* ---- outside of a run ---- */

static size_t len;
static void *data;

MISUSE_VOID(loop_world_at, "the world is NULL", loop_world_at(NULL, 0, NULL, NULL))
MISUSE_VOID(loop_world_at_end, "the world is NULL", loop_world_at_end(NULL, NULL, NULL))
MISUSE(loop_world_now, "the world is NULL", loop_world_now(NULL) == 0)
MISUSE(loop_world_alloc, "the world is NULL", loop_world_alloc(NULL, 1) == NULL)
MISUSE(loop_world_add_name, "the world is NULL", loop_world_add_name(NULL, "a", "10.0.0.1") == -EINVAL)
MISUSE(loop_world_add_node, "the world is NULL", loop_world_add_node(NULL, NULL) == NULL)
MISUSE_VOID(loop_world_set_link, "the world is NULL", loop_world_set_link(NULL, NULL, NULL, NULL))
MISUSE(loop_world_add_rule, "the world is NULL", loop_world_add_rule(NULL, NULL) == 0)
MISUSE(loop_world_partition, "the world is NULL", loop_world_partition(NULL, NULL, NULL) == 0)
MISUSE(loop_world_partition_one_way, "the world is NULL", loop_world_partition_one_way(NULL, NULL, NULL) == 0)
MISUSE_VOID(loop_world_remove_rule, "the world is NULL", loop_world_remove_rule(NULL, 1))
MISUSE_VOID(loop_world_heal, "the world is NULL", loop_world_heal(NULL))

MISUSE(loop_node_world, "the node is NULL", loop_node_world(NULL) == NULL)
MISUSE(loop_node_name, "the node is NULL", loop_node_name(NULL) == NULL)
MISUSE(loop_node_address, "the node is NULL", loop_node_address(NULL, 0) == NULL)
MISUSE_VOID(loop_node_crash, "the node is NULL", loop_node_crash(NULL))
MISUSE_VOID(loop_node_restart, "the node is NULL", loop_node_restart(NULL))
MISUSE_VOID(loop_node_pause, "the node is NULL", loop_node_pause(NULL))
MISUSE_VOID(loop_node_resume, "the node is NULL", loop_node_resume(NULL))
MISUSE(loop_node_state, "the node is NULL", loop_node_state(NULL) == LOOP_NODE_NEW)
MISUSE(loop_node_status, "the node is NULL", loop_node_status(NULL) == 0)
MISUSE_VOID(loop_node_set_input, "the node is NULL", loop_node_set_input(NULL, "", 0))
MISUSE(loop_node_output, "the node is NULL", loop_node_output(NULL, 1, &len) == NULL)
MISUSE(loop_node_put_file, "the node is NULL", loop_node_put_file(NULL, "a", "", 0) == -EINVAL)
MISUSE(loop_node_get_file, "the node is NULL", loop_node_get_file(NULL, "a", &data, &len) == -EINVAL)
MISUSE_VOID(loop_node_signal, "the node is NULL", loop_node_signal(NULL, SIGTERM))

MISUSE_VOID(loop_simulation_sometimes, "the name of the mark is NULL", loop_simulation_sometimes(NULL))
MISUSE(loop_simulation_result_text, "the result is NULL", loop_simulation_result_text(NULL) == NULL)
MISUSE(loop_simulation_trace_pcap, "to the size is NULL", loop_simulation_trace_pcap(NULL, NULL) == NULL)
MISUSE(loop_simulation_choices_format, "the list of choices is NULL", loop_simulation_choices_format(NULL, 1) == NULL)
MISUSE(loop_simulation_choices_parse, "number of choices is NULL", loop_simulation_choices_parse("1", NULL) == NULL)

/* ---- where NULL is meant ---- */

TEST(functions_that_accept_null)
{
    size_t size;
    char *texts[] = {loop_simulation_choices_format(NULL, 0), loop_simulation_trace_text(NULL),
                     loop_simulation_trace_diagram(NULL)};

    for (unsigned i = 0; i < COUNT_OF(texts); i++) {
        CHECK_TEXT(texts[i], "");
        free(texts[i]);
    }
    free(loop_simulation_trace_svg(NULL));
    free(loop_simulation_trace_pcap(NULL, &size));
    CHECK(loop_simulation_choices_parse(NULL, &size) == NULL);
    CHECK_IS(loop_simulation_run(NULL, NULL, NULL, NULL), -EINVAL);
    CHECK_IS(loop_simulation_explore(NULL, NULL, NULL, NULL), -EINVAL);
    CHECK_IS(loop_simulation_main(1, (char *[]){(char[]){"program"}, NULL}, NULL, NULL, NULL), 2);
    loop_simulation_result_finish(NULL);
    loop_world_fail(NULL, "nothing");
}

/* ---- in a run ---- */

static struct loop_world *world;
static struct loop_node *node;

static void no_function(void)
{
    loop_world_at(world, 0, NULL, NULL);
}

static void no_last_function(void)
{
    loop_world_at_end(world, NULL, NULL);
}

static void no_name(void)
{
    loop_world_add_name(world, NULL, "10.0.0.1");
}

static void no_options(void)
{
    loop_world_add_node(world, NULL);
}

static void no_link(void)
{
    loop_world_set_link(world, NULL, NULL, NULL);
}

static void no_rule(void)
{
    loop_world_add_rule(world, NULL);
}

static void no_partition(void)
{
    loop_world_partition(world, NULL, node);
}

static void late_input(void)
{
    loop_node_set_input(node, "x", 1);
}

static void other_output(void)
{
    loop_node_output(node, 3, &len);
}

static void no_path(void)
{
    loop_node_put_file(node, NULL, "", 0);
}

static void too_much(void)
{
    loop_world_alloc(world, SIZE_MAX - 8);
}

static void no_signal(void)
{
    loop_node_signal(node, 99);
}

static const struct {
    void (*call)(void);
    const char *reason;
} mistakes[] = {
    {no_function, "loop_world_at: the function is NULL"},
    {no_last_function, "loop_world_at_end: the function is NULL"},
    {no_name, "loop_world_add_name: the name is NULL"},
    {no_options, "loop_world_add_node: the pointer to the options is NULL"},
    {no_link, "loop_world_set_link: the link is NULL"},
    {no_rule, "loop_world_add_rule: the rule is NULL"},
    {no_partition, "loop_world_partition: the node is NULL"},
    {late_input, "loop_node_set_input: the node runs: call it before the node starts"},
    {other_output, "loop_node_output: there is no such output: 1 is standard output, 2 standard error"},
    {no_path, "loop_node_put_file: the path is NULL"},
    {too_much, "loop_world_alloc: there is not so much memory"},
    {no_signal, "loop_node_signal: there is no such signal"},
};

static int make_mistake(struct loop_env *env, void *arg)
{
    (void)env;
    mistakes[*(int *)arg].call();
    return 0;
}

static void make_mistake_outside(struct loop_world *own, void *arg)
{
    (void)own;
    mistakes[*(int *)arg].call();
}

static int sleep_a_second(struct loop_env *env, void *arg)
{
    (void)arg;
    loop_sleep(env->scope, LOOP_SECOND, NULL, NULL);
    return 0;
}

static int build_node(struct loop_world *own, void *arg)
{
    world = own;
    node = loop_world_add_node(own, &(struct loop_node_options){.main = make_mistake, .arg = arg});
    return 0;
}

static int build_event(struct loop_world *own, void *arg)
{
    world = own;
    node = loop_world_add_node(own, &(struct loop_node_options){.main = sleep_a_second});
    loop_world_at(own, LOOP_MILLISECOND, make_mistake_outside, arg);
    return 0;
}

static void run_fails(loop_world_fn *build, int row)
{
    static const uint32_t ordinary[1];
    struct loop_simulation_result result = {0};

    CHECK_IS(loop_simulation_run(build, &row, &(struct loop_simulation_options){.choices = ordinary}, &result), 1);
    if (strncmp(result.reason, mistakes[row].reason, strlen(mistakes[row].reason)) != 0) {
        ck_abort_msg("the reason is %s, not %s", result.reason, mistakes[row].reason);
    }
    loop_simulation_result_finish(&result);
}

TEST_ROWS(mistake_in_a_run_fails_it, COUNT_OF(mistakes), row)
{
    run_fails(build_node, row);
    run_fails(build_event, row);
}
