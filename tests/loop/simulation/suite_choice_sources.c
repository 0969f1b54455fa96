/* SPDX-License-Identifier: ISC
 *
 * Sources of choice: seeds, lists, bytes, enumeration.
 */
#include <loop/simulation.h>
#include <loop/simulation/source.h>

#include "harness.h"

#define MANY 20000

static unsigned choose(struct loop_sim_source *source, enum loop_sim_point point, unsigned n)
{
    return loop_sim_source_choose(source, point, n, 0);
}

/* ---- random numbers ---- */

/* The first numbers of xoshiro256** whose state splitmix64 has made from the seed 0, by the published code. */
TEST(random_numbers_are_those_of_the_published_generator)
{
    struct loop_sim_random random;

    loop_sim_random_seed(&random, 0);
    CHECK(random.state[0] == UINT64_C(0xe220a8397b1dcdaf));
    CHECK(random.state[1] == UINT64_C(0x6e789e6aa1b965f4));
    CHECK(random.state[2] == UINT64_C(0x06c45d188009454f));
    CHECK(random.state[3] == UINT64_C(0xf88bb8a8724c81ec));
    CHECK_IS(loop_sim_random_below(&random, UINT64_C(1) << 32), 0x99ec5f36cb75f2b4 & 0xffffffff);
}

TEST(random_numbers_below_a_bound_are_equally_likely)
{
    struct loop_sim_random random;
    unsigned counts[7] = {0};

    loop_sim_random_seed(&random, 1);
    for (unsigned i = 0; i < 7 * MANY; i++) {
        counts[loop_sim_random_below(&random, 7)]++;
    }
    for (unsigned i = 0; i < 7; i++) {
        CHECK(counts[i] > MANY * 95 / 100 && counts[i] < MANY * 105 / 100);
    }
}

/* ---- seeds ---- */

TEST(seed_gives_the_same_choices_again)
{
    struct loop_sim_source one, other;
    unsigned n_different = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        loop_sim_source_seed(&one, seed, LOOP_FAULT_ALL);
        loop_sim_source_seed(&other, seed, LOOP_FAULT_ALL);
        for (unsigned i = 0; i < 1000; i++) {
            unsigned value = choose(&one, i % LOOP_SIM_POINTS, 100);
            CHECK(value < 100);
            CHECK_IS(choose(&other, i % LOOP_SIM_POINTS, 100), value);
            n_different += value != 0;
        }
    }
    CHECK(n_different > 100);
}

TEST(seed_switches_about_half_of_the_points_off)
{
    struct loop_sim_source source;
    unsigned n_off = 0, n_most = 0;

    for (uint64_t seed = 1; seed <= 1000; seed++) {
        loop_sim_source_seed(&source, seed, LOOP_FAULT_ALL);
        n_off += source.swarm_ppm[LOOP_SIM_ABORTED] == 0;
        n_most += source.swarm_ppm[LOOP_SIM_ABORTED] > 200000;
        CHECK(source.swarm_ppm[LOOP_SIM_ABORTED] == 0 || source.swarm_ppm[LOOP_SIM_ABORTED] >= 1000);
        CHECK(source.swarm_ppm[LOOP_SIM_RESET] <= 20000);
    }
    CHECK(n_off > 400 && n_off < 600);
    CHECK_IS(n_most, 0);
}

TEST(faults_that_are_not_allowed_do_not_occur)
{
    struct loop_sim_source source;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        loop_sim_source_seed(&source, seed, LOOP_FAULT_PROGRAM);
        for (unsigned point = 0; point < LOOP_SIM_PROGRAM; point++) {
            for (unsigned i = 0; i < 100; i++) {
                CHECK_IS(choose(&source, point, 10), 0);
            }
        }
    }
}

TEST(programs_choose_evenly_whatever_is_allowed)
{
    struct loop_sim_source source;
    unsigned counts[4] = {0};

    loop_sim_source_seed(&source, 5, LOOP_FAULT_ORDER);
    for (unsigned i = 0; i < 4 * MANY; i++) {
        counts[choose(&source, LOOP_SIM_PROGRAM, 4)]++;
    }
    for (unsigned i = 0; i < 4; i++) {
        CHECK(counts[i] > MANY * 95 / 100 && counts[i] < MANY * 105 / 100);
    }
}

TEST(probability_of_the_world_counts_whatever_is_allowed)
{
    struct loop_sim_source source;
    unsigned count = 0;

    loop_sim_source_seed(&source, 5, LOOP_FAULT_PROGRAM);
    for (unsigned i = 0; i < 10 * MANY; i++) {
        count += loop_sim_source_choose(&source, LOOP_SIM_LOSS, 2, 100000);
    }
    CHECK(count > MANY * 95 / 100 && count < MANY * 105 / 100);
}

TEST(small_numbers_are_more_frequent_and_all_occur)
{
    struct loop_sim_source source;
    unsigned counts[1000] = {0}, n_missing = 0;

    loop_sim_source_seed(&source, 1, LOOP_FAULT_ALL);
    source.swarm_ppm[LOOP_SIM_SHORT_READ] = 1000000;
    for (unsigned i = 0; i < 10 * MANY; i++) {
        counts[choose(&source, LOOP_SIM_SHORT_READ, 1000)]++;
    }
    for (unsigned i = 1; i < 1000; i++) {
        n_missing += counts[i] == 0;
    }
    CHECK_IS(counts[0], 0);
    CHECK_IS(n_missing, 0);
    CHECK(counts[1] > 100 * counts[999]);
}

/* ---- lists and bytes ---- */

TEST(list_is_replayed_and_then_all_is_ordinary)
{
    static const uint32_t list[] = {3, 0, 9, 1};
    struct loop_sim_source source;

    loop_sim_source_list(&source, list, 4, LOOP_FAULT_ALL);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 4), 3);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 4), 0);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 4), 0); /* out of range */
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 4), 1);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 4), 0);
}

TEST(list_has_a_place_for_what_is_not_allowed)
{
    static const uint32_t list[] = {3, 1, 2};
    struct loop_sim_source source;

    loop_sim_source_list(&source, list, 3, LOOP_FAULT_CONNECTIONS);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 4), 3);
    CHECK_IS(choose(&source, LOOP_SIM_NO_MEMORY, 2), 0);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 4), 2);
}

TEST(bytes_become_choices_as_wide_as_they_need)
{
    static const uint8_t bytes[] = {131, 127, 128, 1, 2, 129, 0, 0, 0, 7, 255};
    struct loop_sim_source source;

    loop_sim_source_bytes(&source, bytes, sizeof bytes, LOOP_FAULT_ALL);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 4), 3);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 4), 0);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 1000), 258);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 70000), 7);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 1000), (127 << 16) % 1000);
    CHECK_IS(choose(&source, LOOP_SIM_RESET, 4), 0);
}

/* ---- all lists ---- */

/* Makes 3 choices, of 2, 3, and 2 only where the first is 1. Returns them as a number. */
static unsigned choose_some(struct loop_sim_source *source)
{
    unsigned number = 100 * choose(source, LOOP_SIM_PROGRAM, 2);

    number += 10 * choose(source, LOOP_SIM_PROGRAM, 3);
    return number + (number >= 100 ? choose(source, LOOP_SIM_PROGRAM, 2) : 0);
}

TEST(enumeration_tries_each_list_once)
{
    static const unsigned expected[] = {0, 10, 20, 100, 101, 110, 111, 120, 121};
    struct loop_sim_source source;
    unsigned count = 0;

    loop_sim_source_enumerate(&source, LOOP_FAULT_PROGRAM);
    do {
        CHECK(count < 9);
        CHECK_IS(choose_some(&source), expected[count++]);
        CHECK_IS(choose(&source, LOOP_SIM_RESET, 2), 0); /* not allowed, so not tried */
    } while (loop_sim_source_next(&source));
    CHECK_IS(count, 9);
    loop_sim_source_finish(&source);
}
