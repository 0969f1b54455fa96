/* SPDX-License-Identifier: ISC
 *
 * Inspects a running loop: its log, its trace, its scopes and its counters.
 */
#include <loop/loop.h>

#include <inttypes.h>
#include <stdio.h>

static void on_log(void *arg, enum loop_log_level level, const char *line)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};

    (void)arg;
    fprintf(stderr, "%s: %s\n", names[level], line);
}

static void on_look(void *arg, int64_t result)
{
    struct loop_env *env = arg;
    struct loop_stats stats;

    loop_trace(env->debug, "looking, after a sleep that said %" PRId64, result);
    loop_dump(env->debug);
    loop_get_stats(env->loop, &stats);
    printf("%s turns, %s jobs\n", stats.turns > 0 ? "some" : "no", stats.jobs_started > 0 ? "some" : "no");
}

static int start(struct loop_env *env, void *arg)
{
    (void)arg;
    fprintf(stderr, "on %s: %s\n", loop_backend_name(env->loop), loop_backend_detail(env->loop));
    loop_sleep(env->scope, 10 * LOOP_MILLISECOND, on_look, env);
    loop_sleep(env->scope, 50 * LOOP_MILLISECOND, NULL, NULL);
    return 0;
}

int main(void)
{
    struct loop_options options = {.log = on_log};

    return loop_run_with(&options, start, NULL) == 0 ? 0 : 1;
}
