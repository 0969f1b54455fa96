/* SPDX-License-Identifier: ISC
 *
 * A thousand idle timeouts over a tenth of a second, which may each be ten milliseconds late: they take a few wake-ups
 * of the processor in place of a thousand.
 */
#include <loop/loop.h>

#include <stdio.h>

#define TIMEOUTS 1000

struct timeouts {
    struct loop_env *env;
    unsigned expired;
};

static void on_expired(void *arg, int64_t result)
{
    struct timeouts *timeouts = arg;
    struct loop_stats stats;

    if (result == 0 && ++timeouts->expired == TIMEOUTS) {
        loop_get_stats(timeouts->env->loop, &stats);
        printf("%u timeouts, %s\n", timeouts->expired, stats.turns < 50 ? "less than 50 turns" : "many turns");
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct timeouts *timeouts = arg;

    timeouts->env = env;
    for (int i = 0; i < TIMEOUTS; i++) {
        loop_sleep(env->scope, (100 + i % 100) * LOOP_MILLISECOND, on_expired, timeouts);
    }
    return 0;
}

int main(void)
{
    struct timeouts timeouts = {0};
    struct loop_options options = {.timer_leeway_ns = 10 * LOOP_MILLISECOND};
    int result = loop_run_with(&options, start, &timeouts);

    return result == 0 ? 0 : 1;
}
