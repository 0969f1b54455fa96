/* SPDX-License-Identifier: ISC
 *
 * Pseudo-random rounds: each step of the loop acts on some of several places, until all steps are done and no place has
 * anything in flight.
 */
#ifndef TESTS_ROUNDS_H
#define TESTS_ROUNDS_H

#include "dice.h"

struct game {
    unsigned places, plays; /* the number of places, and of those that a step acts on */
    void (*open)(unsigned place);
    void (*play)(unsigned place);
    bool (*settle)(unsigned place); /* called once in each step; returns true while something is in flight there */
};

static const struct game game;
static struct loop_env *playing;
static unsigned steps_left;

static inline void next_step(void *unused, int64_t result)
{
    bool any = false;

    (void)unused;
    CHECK_IS(result, 0);
    for (unsigned i = 0; i < game.plays && steps_left > 0; i++) {
        game.play(dice(game.places));
    }
    steps_left -= steps_left > 0;
    for (unsigned i = 0; i < game.places; i++) {
        any |= game.settle(i);
    }
    if (any || steps_left > 0) {
        loop_job job =
            dice(8) ? loop_op_nop(playing->scope, next_step, NULL) : loop_sleep(playing->scope, 0, next_step, NULL);
        CHECK(job != 0);
    }
}

static inline int start_playing(struct loop_env *env, void *unused)
{
    (void)unused;
    playing = env;
    for (unsigned i = 0; i < game.places; i++) {
        game.open(i);
    }
    next_step(NULL, 0);
    return 0;
}

/* Runs one round. Returns the result of loop_run. */
static inline int play_round(uint32_t seed, const struct loop_options *options)
{
    dice_state = seed;
    steps_left = HAS_SANITIZER ? 1000 : 3000;
    return run_with(options, start_playing, NULL);
}

#endif
