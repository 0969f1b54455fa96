/* SPDX-License-Identifier: ISC
 *
 * Programs that abort, exit, or use up their stack or the memory of the machine.
 */
#include <loop/kernel/all.h> /* first: parameters in it have names that harness.h gives to functions */

#include <loop/simulation.h>

#include "harness.h"

#include <sys/wait.h>

static const uint32_t ordinary[1];

static void run_fails(loop_world_fn *build, void *arg, const char *reason)
{
    struct loop_simulation_options options = {.choices = ordinary};
    struct loop_simulation_result result = {0};

    CHECK_IS(loop_simulation_run(build, arg, &options, &result), 1);
    CHECK_TEXT(result.reason, reason);
    loop_simulation_result_finish(&result);
}

static int build_node(struct loop_world *world, void *arg)
{
    loop_world_add_node(world, &(struct loop_node_options){.name = "a", .main = *(loop_main_fn **)arg});
    return 0;
}

/* ---- exit ---- */

static void exit_later(void *arg, int64_t result)
{
    (void)arg;
    exit((int)result);
}

static int call_exit(struct loop_env *env, void *arg)
{
    loop_sleep(env->scope, LOOP_SECOND, exit_later, arg);
    return 0;
}

static int call_exit_at_once(struct loop_env *env, void *arg)
{
    (void)env;
    (void)arg;
    _exit(3);
}

static int build_exit(struct loop_world *world, void *arg)
{
    (void)world;
    (void)arg;
    exit(0);
}

static void exit_event(struct loop_world *world, void *arg)
{
    (void)world;
    (void)arg;
    _Exit(4);
}

static int build_with_event_that_exits(struct loop_world *world, void *arg)
{
    loop_main_fn *sleeper = call_exit;

    build_node(world, &sleeper);
    loop_world_at(world, LOOP_MILLISECOND, exit_event, arg);
    return 0;
}

TEST(program_that_exits_fails_the_run_and_not_the_process)
{
    loop_main_fn *exits = call_exit, *at_once = call_exit_at_once;

    for (unsigned i = 0; i < 3; i++) {
        run_fails(build_node, &exits, "exit in a: status 0; a node ends when its main function has returned");
        run_fails(build_node, &at_once, "exit in a: status 3; a node ends when its main function has returned");
        run_fails(build_exit, NULL, "exit in the world: status 0; a node ends when its main function has returned");
        run_fails(build_with_event_that_exits, NULL,
                  "exit in the world: status 4; a node ends when its main function has returned");
    }
}

static int exit_after_a_run(void *at_once)
{
    loop_main_fn *exits = call_exit;

    run_fails(build_node, &exits, "exit in a: status 0; a node ends when its main function has returned");
    if (at_once) {
        _exit(5);
    }
    exit(5);
}

TEST(process_exits_after_a_run)
{
    CHECK_IS(WEXITSTATUS(in_child(exit_after_a_run, NULL)), 5);
    CHECK_IS(WEXITSTATUS(in_child(exit_after_a_run, (void *)(uintptr_t) "at once")), 5);
}

/* ---- stack and memory ---- */

static volatile unsigned depth;

/* Calls itself without end. */
static unsigned descend(unsigned n) // NOLINT(misc-no-recursion)
{
    volatile char frame[1000];

    depth = n;
    frame[0] = (char)n;
    return n == UINT32_MAX ? 0 : descend(n + 1) + (unsigned)frame[0];
}

static int use_up_the_stack(struct loop_env *env, void *arg)
{
    (void)env;
    (void)arg;
    return (int)descend(0);
}

TEST(program_that_uses_up_its_stack_is_told_so)
{
    loop_main_fn *descends = use_up_the_stack;

    for (unsigned i = 0; i < 3 && !HAS_SANITIZER; i++) {
        run_fails(build_node, &descends, "stack overflow in a: its stack has 1024 KiB");
    }
}

static int write_much(struct loop_env *env, void *arg)
{
    static char block[1 << 16];

    (void)env;
    (void)arg;
    for (;;) {
        CHECK(loop_kernel_write(1, block, sizeof block) > 0);
    }
}

static int run_without_memory(void *arg)
{
    loop_main_fn *writes = write_much;

    CHECK_IS(prlimit(0, RLIMIT_AS, &(struct rlimit){1 << 28, 1 << 28}, NULL), 0); /* of the real process */
    return loop_simulation_run(build_node, &writes, &(struct loop_simulation_options){.choices = ordinary}, arg);
}

TEST(machine_without_memory_ends_the_process)
{
    if (!HAS_SANITIZER) {
        int status = in_child(run_without_memory, NULL);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(strstr(child_text(), "the machine has no memory left"));
    }
}
