/* SPDX-License-Identifier: ISC
 *
 * Servers that are replaced by their next version while they serve.
 */
#include "restart.h"

#include <errno.h>
#include <stdio.h>

static void fail(struct restart *restart, int64_t error)
{
    restart->has_failed = true;
    (void)loop_stop(restart->env->loop, arguments_fail(restart->path, error));
}

static void on_taken(void *arg, int64_t result)
{
    struct restart *restart = arg;

    if (result >= 0) {
        restart->has_predecessor = result > 0;
        restart->serve(restart->arg);
    } else if (result != -ECANCELED) {
        fail(restart, result);
    }
}

int restart_begin(struct restart *restart, struct loop_env *env, void (*serve)(void *arg), void *arg)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    int error = loop_service_open(env->scope, &restart->service);

    if (error < 0) {
        return arguments_fail("what the service manager has passed", error);
    }
    restart->env = env;
    restart->serve = serve;
    restart->arg = arg;
    if (!restart->path) {
        serve(arg);
        return 0;
    }
    int len = snprintf(text, sizeof text, "unix:%s", restart->path);
    error = len < (int)sizeof text ? loop_address_parse(&restart->at, text) : -ENAMETOOLONG;
    if (error == 0 && !loop_service_take_over(restart->service, &restart->at, on_taken, restart)) {
        error = -ENOMEM;
    }
    return error < 0 ? arguments_fail(restart->path, error) : 0;
}

/* The servers have been retired: the program ends with its last connection. */
static void on_replaced(void *arg, int64_t result)
{
    struct restart *restart = arg;

    if (result == 0 && restart->replaced) {
        restart->replaced(restart->arg);
    } else if (result < 0 && result != -ECANCELED) {
        fail(restart, result);
    }
}

/* Waits for a successor. Returns whether there was memory. */
static bool offer(struct restart *restart)
{
    return loop_service_offer(restart->service, &restart->at, NULL, on_replaced, restart) != 0;
}

static void on_ready(void *arg, int64_t result)
{
    struct restart *restart = arg;

    if (result == -ETIMEDOUT) { /* the predecessor serves on */
        fail(restart, result);
    } else if (result == 0 && restart->has_predecessor && !offer(restart)) {
        fail(restart, -ENOMEM);
    }
}

/* An offer that is refused has ended before this. */
static void on_offered(void *arg, int64_t result)
{
    struct restart *restart = arg;

    if (result == 0 && !restart->has_failed && restart->announce(restart->announce_arg)) {
        loop_service_ready(restart->service, on_ready, restart);
    }
}

/* A predecessor waits at the same place until this program is ready. Without one it shows before whether that can be
 * waited at. */
void restart_ready(struct restart *restart, bool (*announce)(void *arg), void *arg)
{
    bool offers = restart->path && !restart->has_predecessor;

    restart->announce = announce;
    restart->announce_arg = arg;
    loop_job job = !offers || offer(restart) ? loop_promise(restart->env->scope, NULL, NULL, on_offered, restart) : 0;
    if (!job) {
        fail(restart, -ENOMEM);
        return;
    }
    (void)loop_resolve(restart->env->loop, job, 0);
}
