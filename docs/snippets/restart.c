/* SPDX-License-Identifier: ISC
 *
 * restart ADDRESS CONTROL: a server that the next one replaces without a gap. Each sends its process ID, and then what
 * it receives.
 */
#include <service/service.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct app {
    struct loop_service *service;
    struct loop_address address, control;
    char answer[32];
};

static void on_connection(struct loop_flow *peer, void *arg)
{
    struct app *app = arg;

    loop_write(&peer->sink, app->answer, strlen(app->answer), NULL, NULL);
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

/* The predecessor accepts no more. Now this one waits for its successor. */
static void on_ready(void *arg, int64_t result)
{
    struct app *app = arg;

    if (result == 0) {
        loop_service_offer(app->service, &app->control, NULL, NULL, NULL);
    }
}

/* Serves on the socket of the predecessor, on that of the service manager, or on one of its own. */
static void on_taken(void *arg, int64_t result)
{
    static const struct loop_serve_options options = {.stop_on_signals = true};
    struct app *app = arg;

    if (result >= 0 &&
        loop_service_serve(app->service, "web", &app->address, &options, NULL, on_connection, app) == 0) {
        loop_service_ready(app->service, on_ready, app);
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct app *app = arg;
    int error = loop_service_open(env->scope, &app->service);

    if (error == 0) {
        loop_service_take_over(app->service, &app->control, on_taken, app);
    }
    return error;
}

int main(int argc, char **argv)
{
    struct app app;

    if (argc != 3 || loop_address_parse(&app.address, argv[1]) != 0 || loop_address_parse(&app.control, argv[2]) != 0) {
        return 2;
    }
    snprintf(app.answer, sizeof app.answer, "%d\n", (int)getpid());
    return loop_run(0, 0, 0, NULL, start, &app) == 0 ? 0 : 1;
}
