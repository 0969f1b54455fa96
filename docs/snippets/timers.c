/* SPDX-License-Identifier: ISC
 *
 * Timers: a sleep, a cancelled one, and a ticker that runs as long as there is other work.
 */
#include <loop/loop.h>

#include <stdio.h>
#include <string.h>

struct clockwork {
    struct loop_env *env;
    int64_t next_ns;
    unsigned ticks;
};

static void tick(struct clockwork *clockwork);

static void on_tick(void *arg, int64_t result)
{
    struct clockwork *clockwork = arg;

    if (result == 0) {
        clockwork->ticks++;
        tick(clockwork);
    }
}

/* Starts from the time at which it was due, so that delays do not add up. */
static void tick(struct clockwork *clockwork)
{
    loop_job job;

    clockwork->next_ns += 10 * LOOP_MILLISECOND;
    job = loop_sleep_until(clockwork->env->scope, clockwork->next_ns, on_tick, clockwork);
    loop_daemon(clockwork->env->loop, job);
}

static void on_slept(void *arg, int64_t result)
{
    (void)arg;
    printf("the short sleep: %s\n", result == 0 ? "done" : strerror((int)-result));
}

static void on_woken_early(void *arg, int64_t result)
{
    (void)arg;
    printf("the long sleep: %s\n", result == 0 ? "done" : strerror((int)-result));
}

static int start(struct loop_env *env, void *arg)
{
    struct clockwork *clockwork = arg;
    loop_job long_sleep = loop_sleep(env->scope, 3600 * LOOP_SECOND, on_woken_early, NULL);

    loop_sleep(env->scope, 100 * LOOP_MILLISECOND, on_slept, NULL);
    loop_cancel(env->loop, long_sleep);
    clockwork->env = env;
    clockwork->next_ns = loop_now(env->loop);
    tick(clockwork);
    return 0;
}

int main(void)
{
    struct clockwork clockwork = {0};
    int result = loop_run(0, 0, 0, NULL, start, &clockwork);

    printf("%s\n", clockwork.ticks > 0 ? "it ticked meanwhile" : "it never ticked");
    return result == 0 ? 0 : 1;
}
