/* SPDX-License-Identifier: ISC
 *
 * Counts primes on several processors: a loop for each, and calls from this loop to them.
 */
#include <domain/domain.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOMAINS = 4, LIMIT = 100000 };

struct counting {
    struct loop_env *env;
    struct loop_domain_group *domains;
    loop_job running;
    unsigned first[DOMAINS]; /* of the numbers that each domain looks at */
    unsigned left;
    int64_t primes;
};

/* Runs in a domain, and keeps its loop from other work meanwhile. */
static void count_primes(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    const unsigned *first = arg;
    int64_t primes = 0;

    (void)scope; /* for jobs, which would be a part of the call */
    for (unsigned n = *first; n < *first + LIMIT / DOMAINS; n++) {
        unsigned divisor = 2;
        while (divisor * divisor <= n && n % divisor != 0) {
            divisor++;
        }
        primes += n >= 2 && divisor * divisor > n;
    }
    loop_call_return(call, primes);
}

static void on_counted(void *arg, int64_t primes)
{
    struct counting *counting = arg;

    counting->primes += primes;
    if (--counting->left == 0) {
        printf("%" PRId64 " primes below %d\n", counting->primes, LIMIT);
        loop_cancel(counting->env->loop, counting->running);
    }
}

static void on_started(void *arg, int64_t result)
{
    struct counting *counting = arg;

    if (result < 0) {
        return; /* on_end has the error too */
    }
    for (unsigned i = 0; i < DOMAINS; i++) {
        counting->first[i] = i * (LIMIT / DOMAINS);
        loop_call(counting->env->scope, loop_domains_inbox(counting->domains, i), count_primes, &counting->first[i],
                  on_counted, counting);
    }
    counting->left = DOMAINS;
}

/* All domains have ended: cancelled above, or with the first error. */
static void on_end(void *arg, int64_t result)
{
    const struct counting *counting = arg;

    if (result < 0 && result != -ECANCELED) {
        loop_scope_fail(counting->env->scope, result);
    }
}

/* The main function of each domain: it has nothing to do but to wait for calls, until it is cancelled. */
static int wait_for_calls(struct loop_env *env, unsigned index, void *arg)
{
    (void)index;
    (void)arg;
    return loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) ? 0 : -ENOMEM;
}

static int start(struct loop_env *env, void *arg)
{
    struct counting *counting = arg;

    counting->env = env;
    counting->running =
        loop_domains(env->scope, DOMAINS, NULL, &counting->domains, wait_for_calls, NULL, on_end, counting);
    loop_domains_wait_started(env->scope, counting->domains, on_started, counting);
    return 0;
}

int main(void)
{
    static struct counting counting;

    return loop_run(0, 0, 0, NULL, start, &counting) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
