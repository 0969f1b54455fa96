/* SPDX-License-Identifier: ISC
 *
 * Runs blocking work on a thread of the pool.
 */
#include <loop/loop.h>

#include <inttypes.h>
#include <stdio.h>

/* Runs on a thread of the pool. It may block and compute, but not call the loop. */
static int64_t count_primes(void *arg)
{
    const int64_t *below = arg;
    int64_t count = 0;

    for (int64_t candidate = 2; candidate < *below; candidate++) {
        int64_t divisor = 2;
        while (divisor * divisor <= candidate && candidate % divisor != 0) {
            divisor++;
        }
        count += divisor * divisor > candidate;
    }
    return count;
}

/* Runs on the loop's thread again. */
static void on_counted(void *arg, int64_t result)
{
    const int64_t *below = arg;

    printf("%" PRId64 " primes below %" PRId64 "\n", result, *below);
}

static int start(struct loop_env *env, void *below)
{
    loop_work(env->scope, count_primes, below, on_counted, below);
    return 0;
}

int main(void)
{
    int64_t below = 100000;

    return loop_run(0, 0, 0, NULL, start, &below) == 0 ? 0 : 1;
}
