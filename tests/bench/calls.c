/* SPDX-License-Identifier: ISC
 *
 * calls WAY ROUNDS: how long it takes from one thread to another and back. The first thread is on the first processor,
 * the second on the second. WAY is call, call-spin, post, libuv or condition. Prints the nanoseconds of a round.
 */
#include "bench.h"

#include <domain/domain.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#define WARM_UP 1000

static long rounds, left;
static int64_t began_ns;

/* Counts a round. Returns false after the last. */
static bool go_on(void)
{
    if (left-- == rounds) {
        began_ns = bench_now();
    }
    return left >= 0;
}

static void report(void)
{
    printf("%" PRId64 "\n", (bench_now() - began_ns) / rounds);
}

/* ---- calls and posts of Noria ---- */

static struct loop_env *env;
static struct loop_domain_group *domains;
static struct loop_inbox *here, *there;
static loop_job running;
static bool by_posts;

static void stop(void)
{
    report();
    loop_cancel(env->loop, running);
}

static void return_nothing(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    (void)call;
    (void)scope;
    (void)arg;
}

static void on_called(void *arg, int64_t result)
{
    (void)arg;
    if (result < 0 || !go_on()) {
        stop();
    } else {
        loop_call(env->scope, there, return_nothing, NULL, on_called, NULL);
    }
}

static void on_post_here(void *arg, int64_t result);

static void on_post_there(void *arg, int64_t result)
{
    if (result == 0) {
        (void)loop_post(here, on_post_here, arg);
    }
}

static void on_post_here(void *arg, int64_t result)
{
    if (result < 0) {
        return;
    }
    if (go_on()) {
        (void)loop_post(there, on_post_there, arg);
    } else {
        stop();
    }
}

static void on_started(void *arg, int64_t result)
{
    if (result < 0) {
        exit(EXIT_FAILURE);
    }
    there = loop_domains_inbox(domains, 0);
    if (by_posts) {
        on_post_here(arg, 0);
    } else {
        on_called(arg, 0);
    }
}

static int wait_for_calls(struct loop_env *domain_env, unsigned index, void *arg)
{
    (void)index;
    (void)arg;
    return loop_sleep(domain_env->scope, LOOP_NEVER, NULL, NULL) ? 0 : -ENOMEM;
}

static void on_end(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
    loop_inbox_unref(here);
}

static int start(struct loop_env *main_env, void *arg)
{
    struct loop_domains_options options = {
        .loop = *(struct loop_options *)arg, .flags = LOOP_DOMAINS_PIN, .first_index = 1};

    env = main_env;
    here = loop_inbox_ref(env->loop);
    running = loop_domains(env->scope, 1, &options, &domains, wait_for_calls, NULL, on_end, NULL);
    bench_pin(0); /* after it: the domain chooses from the processors of this thread */
    return loop_domains_wait_started(env->scope, domains, on_started, NULL) ? 0 : -ENOMEM;
}

static int run_noria(int64_t busy_poll_ns)
{
    struct loop_options options = {.busy_poll_ns = busy_poll_ns};

    return loop_run_with(&options, start, &options);
}

/* ---- libuv ---- */

static uv_loop_t loops[2];
static uv_async_t bells[2];

static void on_bell_there(uv_async_t *bell)
{
    (void)bell;
    uv_async_send(&bells[0]);
}

static void on_bell_here(uv_async_t *bell)
{
    (void)bell;
    if (go_on()) {
        uv_async_send(&bells[1]);
    } else {
        report();
        exit(EXIT_SUCCESS); /* the other loop sleeps */
    }
}

static void *run_there(void *arg)
{
    (void)arg;
    bench_pin(1);
    uv_run(&loops[1], UV_RUN_DEFAULT);
    return NULL;
}

static int run_libuv(void)
{
    pthread_t thread;

    if (uv_loop_init(&loops[0]) || uv_loop_init(&loops[1]) || uv_async_init(&loops[0], &bells[0], on_bell_here) ||
        uv_async_init(&loops[1], &bells[1], on_bell_there) || pthread_create(&thread, NULL, run_there, NULL)) {
        bench_fail("libuv");
    }
    bench_pin(0);
    uv_async_send(&bells[0]);
    return uv_run(&loops[0], UV_RUN_DEFAULT);
}

/* ---- a condition ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t conditions[2] = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER};
static int turn; /* the thread whose turn it is */

static void pass_to(int other)
{
    turn = other;
    pthread_cond_signal(&conditions[other]);
}

static void wait_for_turn(int mine)
{
    while (turn != mine) {
        pthread_cond_wait(&conditions[mine], &mutex);
    }
}

static void *answer(void *arg)
{
    (void)arg;
    bench_pin(1);
    pthread_mutex_lock(&mutex);
    for (;;) {
        wait_for_turn(1);
        pass_to(0);
    }
    return NULL;
}

static int run_condition(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, answer, NULL)) {
        bench_fail("a thread");
    }
    bench_pin(0);
    pthread_mutex_lock(&mutex);
    while (go_on()) {
        pass_to(1);
        wait_for_turn(0);
    }
    report();
    return 0;
}

int main(int argc, char **argv)
{
    rounds = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    left = rounds + WARM_UP;
    if (rounds <= 0) {
        bench_refuse("usage: calls call|call-spin|post|libuv|condition ROUNDS");
    }
    by_posts = strcmp(argv[1], "post") == 0;
    if (by_posts || strcmp(argv[1], "call") == 0) {
        return run_noria(0);
    }
    if (strcmp(argv[1], "call-spin") == 0) {
        return run_noria(50 * LOOP_MICROSECOND);
    }
    return strcmp(argv[1], "libuv") == 0 ? run_libuv() : run_condition();
}
