/* SPDX-License-Identifier: ISC
 *
 * Signals as events: SIGHUP any number of times, SIGTERM ends the program.
 */
#include <loop/loop.h>

#include <signal.h>
#include <stdio.h>

static void on_reload(void *arg, int64_t result);

static void await_reload(struct loop_env *env)
{
    loop_daemon(env->loop, loop_signal(env->scope, SIGHUP, on_reload, env));
}

static void on_reload(void *arg, int64_t result)
{
    if (result == SIGHUP) {
        printf("reading the settings again\n");
        await_reload(arg);
    }
}

static void on_terminate(void *arg, int64_t result)
{
    (void)arg;
    if (result == SIGTERM) {
        printf("ending\n");
    }
}

static int start(struct loop_env *env, void *arg)
{
    (void)arg;
    loop_signal(env->scope, SIGTERM, on_terminate, NULL);
    await_reload(env);
    printf("ready\n");
    return 0;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return loop_run(0, 0, 0, NULL, start, NULL) == 0 ? 0 : 1;
}
