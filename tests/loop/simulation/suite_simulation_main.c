/* SPDX-License-Identifier: ISC
 *
 * The main function of programs that search: its arguments, its exit status, the files that it writes.
 */
#include <loop/simulation.h>

#include "harness.h"

#include <stdio.h>
#include <sys/wait.h>

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

/* ---- wrong arguments ---- */

static int call_in_child(void *arguments)
{
    return call(arguments);
}

/* Whether a call with these arguments ends with status 2 and says this. */
static bool refuses(const char *const *arguments, const char *text)
{
    int status = in_child(call_in_child, (void *)(uintptr_t)arguments);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 2 || !strstr(child_text(), text)) {
        ck_abort_msg("%s %s: status 0x%x, and not \"%s\" but: %s", arguments[1], arguments[2] ? arguments[2] : "",
                     status, text, child_text());
    }
    return true;
}

#define REFUSES(text, ...) CHECK(refuses((const char *const[]){"program", __VA_ARGS__, NULL}, text))

TEST(main_says_what_is_wrong_with_arguments)
{
    REFUSES("program: --runs needs a value\nusage: ", "--runs");
    REFUSES("program: --runs x: not a number from 1\n", "--runs", "x");
    REFUSES("--runs 0: not a number from 1\n", "--runs", "0");
    REFUSES("--runs 99999999999999999999: not a number from 1\n", "--runs", "99999999999999999999");
    REFUSES("--seed -1: not a number\n", "--seed", "-1");
    REFUSES("--seconds 0: not a number from 1 to 9223372036\n", "--seconds", "0");
    REFUSES("--seconds 1e3: not a number from 1 to 9223372036\n", "--seconds", "1e3");
    REFUSES("--replay 1 x: not a list of choices: numbers with spaces between them, N zeros as Nx0\n", "--replay",
            "1 x");
    REFUSES("--replay 999999999x0: not a list of choices", "--replay", "999999999x0");
    CHECK_IS(CALL("--replay", "0 0 2", "--replay", "0"), 0);
    REFUSES("program: there is no argument --what\n", "--what", "1");
    REFUSES("program: there is no argument what\n", "what");
    REFUSES("only one of choices (--replay), bytes and is_exhaustive (--exhaustive) can be set", "--replay", "1",
            "--exhaustive");
    REFUSES("an exhaustive search has no seed", "--exhaustive", "--seed", "5");
}

/* ---- replays that differ ---- */

static int replay(void *choices)
{
    return CALL("--replay", choices);
}

/* Whether a replay of this list says which choice was not made. */
static bool differs(const char *choices, const char *text)
{
    in_child(replay, (void *)(uintptr_t)choices);
    return text ? strstr(child_text(), text) != NULL : child_text()[0] == 0;
}

TEST(main_says_that_a_replay_is_not_the_run_of_its_list)
{
    CHECK(differs("0 0 2", NULL));
    CHECK(differs("1 1 1 3x0", NULL));
    CHECK(differs("0 3 2", "program: choice 2 of the list, 3, was not made: "));
    CHECK(differs("0 0 2 500x0 7", "choice 504 of the list, 7, was not made: "));
}

/* ---- files ---- */

TEST(main_says_which_file_it_cannot_write)
{
    REFUSES("program: cannot write /nowhere/trace: No such file or directory\n", "--replay", "0 0 2", "--trace",
            "/nowhere/trace");
    REFUSES("program: cannot write /dev/full: No space left on device\n", "--replay", "0 0 2", "--svg", "/dev/full");
    REFUSES("program: cannot write /dev/full: No space left on device\n", "--replay", "0 0 2", "--pcap", "/dev/full");
}

static int find_nothing(void *unused)
{
    (void)unused;
    return CALL("--runs", "1", "--seed", "1", "--svg", "/nowhere/svg");
}

TEST(main_says_that_there_is_no_trace_without_a_failure)
{
    CHECK_IS(in_child(find_nothing, NULL), 0);
    CHECK(strstr(child_text(), "program: no run has failed, so /nowhere/svg is not written\n"));
}

static int print_to_a_full_disk(void *unused)
{
    (void)unused;
    return freopen("/dev/full", "w", stdout) ? CALL("--replay", "0") : -1;
}

TEST(main_says_that_it_cannot_print_the_result)
{
    int status = in_child(print_to_a_full_disk, NULL);

    CHECK_IS(WEXITSTATUS(status), 2);
    CHECK(strstr(child_text(), "program: cannot write standard output: No space left on device\n"));
}
