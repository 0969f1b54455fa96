/* SPDX-License-Identifier: ISC
 *
 * Connects with TLS, sends a text and prints what comes back until the server has ended its stream.
 */
#include <net/net.h>
#include <net/tls.h>

#include <stdio.h>
#include <string.h>

struct secure_connect {
    struct loop_env *env;
    struct loop_address address;
    const char *host, *text;
    struct loop_tls_context *context;
    struct loop_flow *socket, *flow;
    struct loop_copy_outcome outcome;
    struct loop_tls_error error;
};

static void on_copied(void *arg, int64_t result)
{
    struct secure_connect *connect = arg;

    (void)result;
    if (connect->outcome.error < 0) { /* -ECONNABORTED: the stream was cut off */
        fprintf(stderr, "secure_connect: %s\n", loop_tls_why(connect->flow));
        loop_scope_fail(connect->env->scope, connect->outcome.error);
    }
}

static void on_secured(void *arg, int64_t result)
{
    struct secure_connect *connect = arg;

    if (result < 0) {
        printf("%s\n", connect->error.text);
        return;
    }
    loop_write(&connect->flow->sink, connect->text, strlen(connect->text), NULL, NULL);
    loop_shutdown(&connect->flow->sink, NULL, NULL);
    loop_copy_report(&connect->flow->source, connect->env->out, &connect->outcome, on_copied, connect);
}

static void on_connected(void *arg, int64_t result)
{
    struct secure_connect *connect = arg;

    if (result < 0) {
        loop_scope_fail(connect->env->scope, result);
        return;
    }
    loop_tls_connect(connect->socket, connect->context, connect->host, &connect->flow, &connect->error, on_secured,
                     connect);
}

static void on_opened(void *arg, int64_t result)
{
    struct secure_connect *connect = arg;

    if (result < 0) {
        fprintf(stderr, "secure_connect: %s\n", connect->error.text);
        loop_scope_fail(connect->env->scope, result);
        return;
    }
    loop_connect(connect->env->scope, &connect->address, NULL, &connect->socket, on_connected, connect);
}

static int start(struct loop_env *env, void *arg)
{
    struct secure_connect *connect = arg;
    const struct loop_tls_options options = {.authorities = {.path = "authority.pem"}};

    connect->env = env;
    return loop_tls_open_client(env->scope, &options, &connect->context, &connect->error, on_opened, connect) ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct secure_connect connect = {.host = argc > 2 ? argv[2] : NULL, .text = argc > 3 ? argv[3] : NULL};

    if (argc != 4 || loop_address_parse(&connect.address, argv[1]) != 0) {
        fprintf(stderr, "usage: secure_connect ADDRESS HOST TEXT, with authority.pem in the working directory\n");
        return 2;
    }
    return loop_run(0, 0, 0, NULL, start, &connect) == 0 ? 0 : 1;
}
