/* SPDX-License-Identifier: ISC
 *
 * handovers WAY ROUNDS: what it costs to hand something over by <sync/sync.h>. WAY is channel, an item to another loop
 * and back by two channels; channel-here, an item from one continuation to another of the same loop; or semaphore-here,
 * a permit in the same way. Prints the nanoseconds of a round.
 */
#include "bench.h"

#include <domain/domain.h>
#include <sync/sync.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP 1000

static long rounds, left;
static int64_t began_ns;
static struct loop_env *env;
static loop_job running;
static struct loop_channel *to_there, *to_here;
static struct loop_semaphore *semaphore;
static int item_here, item_there;

static void go_on(void)
{
    if (left-- == rounds) {
        began_ns = loop_now(env->loop);
    }
}

static void report(void)
{
    printf("%" PRId64 "\n", (loop_now(env->loop) - began_ns) / rounds);
}

/* ---- in one loop ---- */

static void on_item(void *arg, int64_t result)
{
    (void)arg;
    if (result == 1 && left >= 0) {
        go_on();
        loop_channel_receive(env->scope, to_here, &item_here, on_item, NULL);
        loop_channel_send(env->scope, to_here, &item_here, NULL, NULL);
    } else {
        report();
    }
}

static void on_permit(void *arg, int64_t result)
{
    (void)arg;
    if (result == 0 && left >= 0) {
        go_on();
        loop_semaphore_acquire(env->scope, semaphore, on_permit, NULL);
        loop_semaphore_release(semaphore);
    } else {
        report();
    }
}

static int start_here(struct loop_env *main_env, void *way)
{
    env = main_env;
    if (strcmp(way, "channel-here") == 0) {
        on_item(NULL, 1);
    } else {
        on_permit(NULL, 0);
    }
    return 0;
}

/* ---- to another loop and back ---- */

static void on_item_there(void *scope, int64_t result)
{
    if (result == 1) {
        loop_channel_send(scope, to_here, &item_there, NULL, NULL);
        loop_channel_receive(scope, to_there, &item_there, on_item_there, scope);
    }
}

static int answer(struct loop_env *domain_env, unsigned index, void *arg)
{
    (void)index;
    (void)arg;
    return loop_channel_receive(domain_env->scope, to_there, &item_there, on_item_there, domain_env->scope) ? 0
                                                                                                            : -ENOMEM;
}

static void on_item_here(void *arg, int64_t result)
{
    (void)arg;
    if (result == 1 && left >= 0) {
        go_on();
        loop_channel_send(env->scope, to_there, &item_here, NULL, NULL);
        loop_channel_receive(env->scope, to_here, &item_here, on_item_here, NULL);
    } else {
        report();
        loop_cancel(env->loop, running);
    }
}

static void on_started(void *arg, int64_t result)
{
    if (result < 0) {
        exit(EXIT_FAILURE);
    }
    on_item_here(arg, 1);
}

static void on_end(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

static int start_both(struct loop_env *main_env, void *arg)
{
    static const struct loop_domains_options options = {.flags = LOOP_DOMAINS_PIN, .first_index = 1};
    static struct loop_domain_group *domains;

    (void)arg;
    env = main_env;
    running = loop_domains(env->scope, 1, &options, &domains, answer, NULL, on_end, NULL);
    bench_pin(0); /* after it: the domain chooses from the processors of this thread */
    return loop_domains_wait_started(env->scope, domains, on_started, NULL) ? 0 : -ENOMEM;
}

int main(int argc, char **argv)
{
    rounds = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    left = rounds + WARM_UP;
    if (rounds <= 0) {
        bench_refuse("usage: handovers channel|channel-here|semaphore-here ROUNDS");
    }
    to_there = loop_channel_create(sizeof item_there, 1, NULL);
    to_here = loop_channel_create(sizeof item_here, 1, NULL);
    semaphore = loop_semaphore_create(0);
    if (!to_there || !to_here || !semaphore) {
        bench_refuse("there is no memory");
    }
    int result = loop_run(0, 0, 0, NULL, strcmp(argv[1], "channel") == 0 ? start_both : start_here, argv[1]);
    loop_channel_unref(to_there);
    loop_channel_unref(to_here);
    loop_semaphore_unref(semaphore);
    return result;
}
