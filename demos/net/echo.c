/* SPDX-License-Identifier: ISC
 *
 * echo ADDRESS: sends back everything it receives. The program closes nothing: a connection's scope ends when nothing
 * is left running in it, and closes the socket.
 */
#include "../common/arguments.h"
#include "../common/restart.h"

static struct arguments_serving serving = {.grace_ns = 5 * LOOP_SECOND};

static struct restart restart;
static struct loop_address address;
static struct loop_server *server;

static const struct arguments_option options[] = {ARGUMENTS_SERVING(serving), ARGUMENTS_DOMAINS(serving),
                                                  RESTART_OPTION(restart)};

static const struct arguments_program program = {
    .name = "echo",
    .operands = "ADDRESS",
    .about = "Sends back whatever comes, until SIGTERM or SIGINT.\n"
             "ADDRESS is tcp:127.0.0.1:7000, tcp:[::1]:7000, unix:/path or unix:@name; port 0 takes a free one.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 1,
    .most_operands = 1,
};

static void on_connection(struct loop_flow *peer, void *arg)
{
    (void)arg;
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

static bool announce(void *arg)
{
    struct loop_env *env = arg;
    int status = arguments_announce(env, server, "");

    if (status != 0) {
        loop_stop(env->loop, status);
    }
    return status == 0;
}

static void on_start(void *env, int64_t result)
{
    (void)result;
    restart_ready(&restart, announce, env);
}

static void serve(void *arg)
{
    struct loop_env *env = arg;

    serving.service = restart.service;
    serving.on_start = on_start;
    serving.on_start_arg = env;
    int status = arguments_serve(env, &address, &serving, &server, on_connection, NULL);
    if (status != 0) {
        loop_stop(env->loop, status);
    }
}

static int start(struct loop_env *env, void *arg)
{
    (void)arg;
    return restart_begin(&restart, env, serve, env);
}

int main(int argc, char **argv)
{
    address = arguments_address(arguments_parse(&program, argc, argv)[0]);
    return arguments_run(start, NULL);
}
