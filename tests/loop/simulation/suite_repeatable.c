/* SPDX-License-Identifier: ISC
 *
 * The same choices give the same run: traces are equal byte for byte.
 */
#include "dice.h"
#include "exchange.h"
#include "harness.h"

/* Runs a world. Returns its trace as text. */
static char *trace_of(void *backend, const struct loop_simulation_options *options,
                      struct loop_simulation_result *result)
{
    CHECK(loop_simulation_run(exchange_build, backend, options, result) >= 0);
    return loop_simulation_trace_text(result->trace);
}

/* Runs a seed twice, and its list of choices once. Returns whether they departed from the ordinary run. */
static bool check_seed(void *backend, uint64_t seed)
{
    struct loop_simulation_options options = {.seed = seed, .is_traced = true, .most_steps = 100000};
    struct loop_simulation_result one = {0}, again = {0}, replayed = {0};
    char *trace = trace_of(backend, &options, &one), *trace_again = trace_of(backend, &options, &again),
         *trace_replayed;
    bool has_departed = one.n_departures > 0;

    options.choices = one.choices;
    options.n_choices = one.n_choices;
    trace_replayed = trace_of(backend, &options, &replayed);
    CHECK(trace && trace[0]);
    CHECK_TEXT(one.reason, "");
    CHECK_TEXT(trace_again, trace);
    CHECK_TEXT(trace_replayed, trace);
    CHECK_TEXT(again.reason, one.reason);
    CHECK_IS(replayed.n_choices, one.n_choices);
    CHECK(!memcmp(replayed.choices, one.choices, one.n_choices * sizeof *one.choices));
    free(trace);
    free(trace_again);
    free(trace_replayed);
    loop_simulation_result_finish(&one);
    loop_simulation_result_finish(&again);
    loop_simulation_result_finish(&replayed);
    return has_departed;
}

static void check_seeds(enum loop_backend backend, uint64_t first)
{
    unsigned n_departed = 0;

    for (uint64_t seed = first; seed < first + 500; seed++) {
        n_departed += check_seed(&backend, seed);
    }
    CHECK(n_departed > 250);
}

TEST(same_seed_gives_the_same_trace_on_a_ring)
{
    check_seeds(LOOP_BACKEND_URING, 1);
}

TEST(same_seed_gives_the_same_trace_on_epoll)
{
    check_seeds(LOOP_BACKEND_EPOLL, 501);
}

TEST(same_bytes_of_a_fuzzer_give_the_same_trace)
{
    struct loop_simulation_result one = {0}, again = {0};
    uint8_t bytes[200];
    unsigned n_departures = 0;

    for (unsigned i = 0; i < 100; i++) {
        struct loop_simulation_options options = {.bytes = bytes, .n_bytes = sizeof bytes, .is_traced = true};
        char *trace, *trace_again;

        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (uint8_t)(dice(8) ? 0 : dice(256));
        }
        trace = trace_of(NULL, &options, &one);
        trace_again = trace_of(NULL, &options, &again);
        CHECK_TEXT(one.reason, "");
        CHECK_TEXT(trace_again, trace);
        n_departures += one.n_departures > 0;
        free(trace);
        free(trace_again);
    }
    CHECK(n_departures > 90);
    loop_simulation_result_finish(&one);
    loop_simulation_result_finish(&again);
}

TEST(most_ordinary_run_makes_no_choice)
{
    static const uint32_t none[1];
    struct loop_simulation_result result = {0};

    CHECK_IS(loop_simulation_run(exchange_build, NULL, &(struct loop_simulation_options){.choices = none}, &result), 0);
    CHECK_TEXT(result.reason, "");
    CHECK_IS(result.n_choices, 0);
    loop_simulation_result_finish(&result);
}
