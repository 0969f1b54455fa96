/* SPDX-License-Identifier: ISC
 *
 * Worlds and nodes: time, what fails a run, and what nodes do after a crash, a pause and a signal.
 */
#include <loop/kernel/all.h> /* first: parameters in it have names that harness.h gives to functions */

#include <loop/simulation.h>
#include <net/net.h>

#include "harness.h"

#include <assert.h>

static const uint32_t ordinary[1];

/* Runs a world without faults. */
static int run_once(loop_world_fn *build, void *arg, struct loop_simulation_result *result)
{
    return loop_simulation_run(build, arg, &(struct loop_simulation_options){.choices = ordinary, .is_traced = true},
                               result);
}

static void run_fails(loop_world_fn *build, void *arg, const char *reason)
{
    struct loop_simulation_result result = {0};

    CHECK_IS(run_once(build, arg, &result), 1);
    CHECK_TEXT(result.reason, reason);
    loop_simulation_result_finish(&result);
}

static void run_is_well(loop_world_fn *build, void *arg, int64_t time_ns)
{
    struct loop_simulation_result result = {0};

    CHECK_TEXT((run_once(build, arg, &result), result.reason), "");
    CHECK(!result.has_failed && result.trace);
    CHECK(result.time_ns >= time_ns && result.time_ns < time_ns + LOOP_MILLISECOND);
    loop_simulation_result_finish(&result);
}

/* Adds a node with the name "a". */
static struct loop_node *add(struct loop_world *world, loop_main_fn *main, void *arg)
{
    return loop_world_add_node(world, &(struct loop_node_options){.name = "a", .main = main, .arg = arg});
}

/* ---- time ---- */

static int sleep_for_an_hour(struct loop_env *env, void *arg)
{
    (void)arg;
    loop_sleep(env->scope, 3600 * LOOP_SECOND, NULL, NULL);
    return 0;
}

static int build_sleepers(struct loop_world *world, void *arg)
{
    for (unsigned i = 0; i < 5; i++) {
        CHECK(loop_world_add_node(world, &(struct loop_node_options){.main = sleep_for_an_hour, .arg = arg}) != NULL);
    }
    return 0;
}

TEST(time_passes_while_all_nodes_wait)
{
    run_is_well(build_sleepers, NULL, 3600 * LOOP_SECOND);
}

static int look_at_the_clock(struct loop_env *env, void *arg)
{
    *(int64_t *)arg = loop_clock_wall(env->clock);
    return 0;
}

static int build_clocks(struct loop_world *world, void *arg)
{
    loop_world_add_node(
        world, &(struct loop_node_options){.main = look_at_the_clock, .arg = arg, .wall_offset_ns = -5 * LOOP_SECOND});
    return 0;
}

TEST(wall_clock_of_a_node_has_its_offset)
{
    int64_t time_ns = 0;

    run_is_well(build_clocks, &time_ns, 0);
    CHECK(time_ns >= (1893456000 - 5) * LOOP_SECOND && time_ns < (1893456000 - 4) * LOOP_SECOND);
}

static int build_wild_clock(struct loop_world *world, void *arg)
{
    loop_world_add_node(
        world, &(struct loop_node_options){
                   .main = look_at_the_clock, .arg = arg, .wall_offset_ns = INT64_MAX, .wall_drift_ppb = INT64_MAX});
    return 0;
}

TEST(wall_clock_of_a_node_cannot_pass_its_end)
{
    int64_t time_ns = 0;

    run_is_well(build_wild_clock, &time_ns, 0);
    CHECK(time_ns > 4000000000 * LOOP_SECOND);
}

/* ---- failing ---- */

static int return_the_number(struct loop_env *env, void *arg)
{
    (void)env;
    return *(const int *)arg;
}

static int build_one(struct loop_world *world, void *arg)
{
    add(world, return_the_number, arg);
    return 0;
}

static int build_one_that_may_fail(struct loop_world *world, void *arg)
{
    loop_world_add_node(world, &(struct loop_node_options){.main = return_the_number, .arg = arg, .may_fail = true});
    return 0;
}

static int build_nothing(struct loop_world *world, void *arg)
{
    (void)world;
    return *(const int *)arg;
}

TEST(status_of_a_node_fails_the_run)
{
    int error = -ECONNRESET, number = 3, zero = 0;

    run_fails(build_one, &error, "loop_run of a returned -104: Connection reset by peer");
    run_fails(build_one, &number, "loop_run of a returned 3: the program's own status");
    run_is_well(build_one, &zero, 0);
    run_is_well(build_one_that_may_fail, &number, 0);
    run_fails(build_nothing, &number, "the world function returned 3");
    run_fails(build_nothing, &zero, "the world has no nodes: add them by loop_world_add_node");
}

static void add_sleeper(struct loop_world *world, void *arg)
{
    add(world, sleep_for_an_hour, arg);
}

static int build_later(struct loop_world *world, void *arg)
{
    loop_world_at(world, LOOP_SECOND, add_sleeper, arg);
    return 0;
}

TEST(event_may_add_the_first_node)
{
    run_is_well(build_later, NULL, 3601 * LOOP_SECOND);
}

static int hold_for_ever(struct loop_env *env, void *arg)
{
    (void)arg;
    loop_scope_hold(env->scope);
    return 0;
}

static int build_stuck(struct loop_world *world, void *arg)
{
    loop_world_add_node(world, &(struct loop_node_options){.name = "one", .main = hold_for_ever});
    loop_world_add_node(world, &(struct loop_node_options){.name = "two", .main = sleep_for_an_hour});
    loop_world_add_node(world, &(struct loop_node_options){.name = "three", .main = hold_for_ever, .arg = arg});
    loop_world_add_node(world, &(struct loop_node_options){.main = hold_for_ever, .is_daemon = true});
    return 0;
}

static int build_daemons(struct loop_world *world, void *arg)
{
    loop_world_add_node(world, &(struct loop_node_options){.main = hold_for_ever, .is_daemon = true, .arg = arg});
    loop_world_add_node(world, &(struct loop_node_options){.main = sleep_for_an_hour, .is_daemon = true});
    return 0;
}

TEST(nodes_that_nothing_will_wake_fail_the_run_and_daemons_do_not)
{
    run_fails(build_stuck, NULL, "stuck: nothing will wake one, three");
    run_is_well(build_daemons, NULL, 3600 * LOOP_SECOND);
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    (void)peer;
    (void)arg;
}

static int listen_for_ever(struct loop_env *env, void *arg)
{
    struct loop_address address;

    loop_address_parse(&address, "tcp:10.0.0.1:7000");
    return loop_serve(env->scope, &address, NULL, NULL, on_connection, arg);
}

static int build_listener(struct loop_world *world, void *arg)
{
    add(world, listen_for_ever, arg);
    return 0;
}

TEST(trace_of_a_node_that_is_stuck_shows_its_sockets)
{
    struct loop_simulation_result result = {0};

    CHECK_IS(run_once(build_listener, NULL, &result), 1);
    char *text = loop_simulation_trace_text(result.trace);
    CHECK(strstr(text, ": tcp 10.0.0.1:7000\n"));
    free(text);
    loop_simulation_result_finish(&result);
}

static int leave_a_pipe(struct loop_env *env, void *arg)
{
    int numbers[2];

    (void)env;
    (void)arg;
    CHECK_IS(loop_kernel_pipe2(numbers, O_CLOEXEC), 0);
    return 0;
}

static int leave_memory(struct loop_env *env, void *arg)
{
    (void)env;
    return loop_kernel_malloc(100) && arg ? 0 : 1;
}

static int build_of_main(struct loop_world *world, void *arg)
{
    add(world, *(loop_main_fn **)arg, arg);
    return 0;
}

TEST(what_a_node_leaves_of_the_library_fails_the_run)
{
    loop_main_fn *pipe = leave_a_pipe, *memory = leave_memory;

    run_fails(build_of_main, &pipe, "a leaves descriptors: 2");
    run_fails(build_of_main, &memory, "a leaves memory of the library: 100 bytes");
}

/* ---- programs that abort ---- */

static int assert_one_is_two(struct loop_env *env, void *arg)
{
    int one = env && arg ? 1 : 2;

    assert(one == 2);
    return 0;
}

static void abort_later(void *arg, int64_t result)
{
    if (arg && result == 0) {
        abort();
    }
}

static int sleep_and_abort(struct loop_env *env, void *arg)
{
    loop_sleep(env->scope, LOOP_SECOND, abort_later, arg);
    return 0;
}

static int write_and_abort(struct loop_env *env, void *arg)
{
    CHECK_IS(loop_kernel_write(2, "first\nit is misused\n", 20), 20);
    loop_sleep(env->scope, LOOP_SECOND, abort_later, arg);
    return 0;
}

static int store_nowhere(struct loop_env *env, void *arg)
{
    volatile int *volatile nowhere = NULL;

    *nowhere = env && arg;
    return 0;
}

static int build_and_abort(struct loop_world *world, void *arg)
{
    (void)world;
    abort_later(arg, 0);
    return 0;
}

static void abort_event(struct loop_world *world, void *arg)
{
    (void)world;
    abort_later(arg, 0);
}

static int build_with_event_that_aborts(struct loop_world *world, void *arg)
{
    add(world, sleep_for_an_hour, NULL);
    loop_world_at(world, LOOP_SECOND, abort_event, arg);
    return 0;
}

TEST(program_that_aborts_fails_the_run_and_not_the_process)
{
    loop_main_fn *asserts = assert_one_is_two, *aborts = sleep_and_abort, *stores = store_nowhere,
                 *writes = write_and_abort;
    struct loop_simulation_result result = {0};

    for (unsigned i = 0; i < 3; i++) {
        CHECK_IS(run_once(build_of_main, &asserts, &result), 1);
        CHECK(strstr(result.reason, "assertion at suite_world.c, line ") && strstr(result.reason, ", in a: one == 2"));
        run_fails(build_of_main, &aborts, "abort in a");
        run_fails(build_of_main, &writes, "abort in a: standard error ends with it is misused");
        run_fails(build_and_abort, &i, "abort in the world");
        run_fails(build_with_event_that_aborts, &i, "abort in the world");
        if (!HAS_SANITIZER) {
            run_fails(build_of_main, &stores, "segmentation fault in a");
        }
    }
    loop_simulation_result_finish(&result);
}

/* ---- events ---- */

static void fail_now(struct loop_world *world, void *arg)
{
    loop_world_fail(world, "failed at: %lld", (long long)(loop_world_now(world) / LOOP_SECOND));
    loop_world_fail(world, "later failures do not count %p", arg);
}

static int build_events(struct loop_world *world, void *arg)
{
    add(world, sleep_for_an_hour, NULL);
    loop_world_at(world, 20 * LOOP_SECOND, fail_now, arg);
    loop_world_at(world, 10 * LOOP_SECOND, fail_now, arg);
    loop_world_at_end(world, fail_now, arg);
    return 0;
}

static int build_end(struct loop_world *world, void *arg)
{
    add(world, sleep_for_an_hour, NULL);
    loop_world_at_end(world, fail_now, arg);
    return 0;
}

TEST(events_happen_in_time_and_at_the_end)
{
    run_fails(build_events, NULL, "failed at: 10");
    run_fails(build_end, NULL, "failed at: 3600");
}

/* ---- what is done to nodes ---- */

/* A node that counts its starts, and when it last ended. */
struct life {
    struct loop_node *node;
    unsigned starts;
    int64_t end_ns;
};

static void end_of_life(void *arg, int64_t result)
{
    struct life *life = arg;

    CHECK_IS(result, 0);
    life->end_ns = loop_world_now(loop_node_world(loop_node_here()));
}

static int live(struct loop_env *env, void *arg)
{
    struct life *life = arg;

    CHECK(loop_node_here() == life->node);
    life->starts++;
    loop_sleep(env->scope, 10 * LOOP_SECOND, end_of_life, life);
    return 0;
}

static void crash(struct loop_world *world, void *arg)
{
    struct life *life = arg;

    CHECK(loop_node_here() == NULL && loop_node_world(life->node) == world);
    loop_node_crash(life->node);
    loop_node_crash(life->node);
    CHECK_IS(loop_node_state(life->node), LOOP_NODE_CRASHED);
}

static void restart(struct loop_world *world, void *arg)
{
    struct life *life = arg;

    (void)world;
    loop_node_restart(life->node);
    CHECK_IS(loop_node_state(life->node), LOOP_NODE_RUNNING);
}

static void pause_node(struct loop_world *world, void *arg)
{
    struct life *life = arg;

    (void)world;
    loop_node_pause(life->node);
    CHECK_IS(loop_node_state(life->node), LOOP_NODE_PAUSED);
}

static void resume_node(struct loop_world *world, void *arg)
{
    struct life *life = arg;

    (void)world;
    loop_node_resume(life->node);
}

static int build_crash(struct loop_world *world, void *arg)
{
    struct life *life = arg;

    life->node = add(world, live, life);
    CHECK_IS(loop_node_state(life->node), LOOP_NODE_NEW);
    loop_world_at(world, 5 * LOOP_SECOND, crash, life);
    loop_world_at(world, 7 * LOOP_SECOND, restart, life);
    return 0;
}

TEST(crashed_node_does_not_go_on_and_starts_again)
{
    struct life life = {0};

    run_is_well(build_crash, &life, 17 * LOOP_SECOND);
    CHECK_IS(life.starts, 2);
    CHECK(life.end_ns >= 17 * LOOP_SECOND);
}

static void crash_and_restart(struct loop_world *world, void *arg)
{
    crash(world, arg);
    loop_world_at(world, loop_world_now(world) + 2 * LOOP_SECOND, restart, arg);
}

static int build_crash_and_restart(struct loop_world *world, void *arg)
{
    struct life *life = arg;

    life->node = add(world, live, life);
    loop_world_at(world, 5 * LOOP_SECOND, crash_and_restart, life);
    return 0;
}

TEST(event_that_crashes_the_last_node_may_restart_it)
{
    struct life life = {0};

    run_is_well(build_crash_and_restart, &life, 17 * LOOP_SECOND);
    CHECK_IS(life.starts, 2);
}

static int build_crash_for_good(struct loop_world *world, void *arg)
{
    struct life *life = arg;

    life->node = add(world, live, life);
    loop_world_at(world, 5 * LOOP_SECOND, crash, life);
    return 0;
}

TEST(run_does_not_wait_for_a_node_that_stays_crashed)
{
    struct life life = {0};

    run_is_well(build_crash_for_good, &life, 5 * LOOP_SECOND);
    CHECK_IS(life.starts, 1);
}

static int build_pause(struct loop_world *world, void *arg)
{
    struct life *life = arg;

    life->node = add(world, live, life);
    loop_world_at(world, 5 * LOOP_SECOND, pause_node, life);
    loop_world_at(world, 60 * LOOP_SECOND, resume_node, life);
    return 0;
}

TEST(paused_node_goes_on_later)
{
    struct life life = {0};

    run_is_well(build_pause, &life, 60 * LOOP_SECOND);
    CHECK_IS(life.starts, 1);
    CHECK(life.end_ns >= 60 * LOOP_SECOND);
}

static void crash_here(void *arg, int64_t result)
{
    struct life *life = arg;

    CHECK_IS(result, 0);
    loop_node_crash(life->node);
    CHECK(false);
}

static int live_and_crash(struct loop_env *env, void *arg)
{
    loop_sleep(env->scope, LOOP_SECOND, crash_here, arg);
    return 0;
}

static int build_crash_of_itself(struct loop_world *world, void *arg)
{
    struct life *life = arg;

    life->node = add(world, live_and_crash, life);
    return 0;
}

TEST(node_crashes_itself)
{
    struct life life = {0};

    run_is_well(build_crash_of_itself, &life, LOOP_SECOND);
}

/* ---- streams, files, names ---- */

static int copy_input(struct loop_env *env, void *arg)
{
    (void)arg;
    loop_copy(env->in, env->out, NULL, NULL);
    return 0;
}

static void check_output(struct loop_world *world, void *arg)
{
    size_t len;
    const char *text = loop_node_output(arg, 1, &len);

    (void)world;
    CHECK_IS(len, 5);
    CHECK(!memcmp(text, "hello", 5));
}

static int build_copy(struct loop_world *world, void *arg)
{
    struct loop_node *node = add(world, copy_input, arg);

    loop_node_set_input(node, "hel", 3);
    loop_node_set_input(node, "lo", 2);
    loop_world_at_end(world, check_output, node);
    return 0;
}

TEST(node_reads_its_input_and_its_output_is_kept)
{
    run_is_well(build_copy, NULL, 0);
}

static int build_names(struct loop_world *world, void *arg)
{
    static const char *const addresses[] = {"192.168.0.1", "fd00::77", NULL};
    struct loop_node *one, *other;

    one = loop_world_add_node(world, &(struct loop_node_options){.main = return_the_number, .arg = arg});
    other = loop_world_add_node(
        world,
        &(struct loop_node_options){.name = "other", .main = return_the_number, .arg = arg, .addresses = addresses});
    CHECK_TEXT(loop_node_name(one), "node1");
    CHECK_TEXT(loop_node_address(one, 0), "10.0.0.1");
    CHECK_TEXT(loop_node_address(one, 1), "fd00::1");
    CHECK(loop_node_address(one, 2) == NULL);
    CHECK_TEXT(loop_node_name(other), "other");
    CHECK_TEXT(loop_node_address(other, 1), "fd00::77");
    CHECK_IS(loop_world_add_name(world, "service", "192.168.0.1"), 0);
    CHECK_IS(loop_world_add_name(world, "service", "nonsense"), -EINVAL);
    return 0;
}

static int build_twins(struct loop_world *world, void *arg)
{
    CHECK(add(world, return_the_number, arg) != NULL);
    CHECK(add(world, return_the_number, arg) == NULL);
    return 0;
}

TEST(nodes_have_names_and_addresses)
{
    int zero = 0;

    run_is_well(build_names, &zero, 0);
    run_fails(build_twins, &zero, "the node \"a\" is there already");
}
