/* SPDX-License-Identifier: ISC
 *
 * A minimal program that uses the library: it runs a loop in which a timer fires, and parses addresses. The names of
 * errors come with the library's headers.
 * tests/checks/install builds it in each of the ways in which a project can use the library.
 */
#include <fs/fs.h>
#include <loop/loop.h>
#include <loop/low_level.h>
#include <net/net.h>

#include <stdio.h>

static void on_wake(void *arg, int64_t result)
{
    *(int64_t *)arg = result;
}

static int start(struct loop_env *env, void *woken)
{
    return loop_sleep(env->scope, LOOP_MILLISECOND, on_wake, woken) == 0 ? -1 : 0;
}

int main(void)
{
    struct loop_address address;
    int64_t woken = -1;
    int error = loop_run(0, 0, 0, NULL, start, &woken);

    if (error != 0 || woken != 0 || loop_address_parse(&address, "tcp:127.0.0.1:80") != 0 ||
        loop_address_parse(&address, "nonsense") != -EINVAL) {
        fprintf(stderr, "consumer: the loop ended with %d, the timer with %d\n", error, (int)woken);
        return 1;
    }
    printf("noria %s\n", loop_version());
    return 0;
}
