/* SPDX-License-Identifier: ISC
 *
 * A program that decides for itself what to do if io_uring cannot be used.
 */
#include <loop/loop.h>

#include <stdio.h>
#include <string.h>

static int on_fallback(const char *reason, void *arg)
{
    const char *policy = arg;

    fprintf(stderr, "no io_uring: %s\n", reason);
    return strcmp(policy, "strict") == 0 ? 3 : 0;
}

static int start(struct loop_env *env, void *arg)
{
    (void)arg;
    printf("running on %s\n", loop_backend_name(env->loop));
    return 0;
}

int main(int argc, char **argv)
{
    char lenient[] = "lenient";

    return loop_run(0, 0, 0, on_fallback, start, argc == 2 ? argv[1] : lenient);
}
