/* SPDX-License-Identifier: ISC
 *
 * The echo server with TLS.
 */
#include <net/net.h>
#include <net/tls.h>

#include <stdio.h>

struct secure_echo {
    struct loop_env *env;
    struct loop_address address;
    struct loop_tls_context *context;
    struct loop_tls_error error;
};

/* One connection. */
struct visitor {
    struct loop_flow *flow;
    struct loop_copy_outcome outcome;
    struct loop_tls_error error;
};

static void on_copied(void *arg, int64_t result)
{
    struct visitor *visitor = arg;

    (void)result;
    if (visitor->outcome.error == 0) {
        loop_shutdown(&visitor->flow->sink, NULL, NULL);
    }
}

static void on_accepted(void *arg, int64_t result)
{
    struct visitor *visitor = arg;

    if (result < 0) {
        fprintf(stderr, "refused: %s\n", visitor->error.text);
        return;
    }
    loop_copy_report(&visitor->flow->source, &visitor->flow->sink, &visitor->outcome, on_copied, visitor);
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    struct secure_echo *echo = arg;
    struct visitor *visitor = loop_scope_alloc(peer->scope, sizeof *visitor);

    if (visitor) {
        loop_tls_accept(peer, echo->context, &visitor->flow, &visitor->error, on_accepted, visitor);
    }
}

static void on_opened(void *arg, int64_t result)
{
    struct secure_echo *echo = arg;
    const struct loop_serve_options options = {.stop_on_signals = true};

    if (result < 0) {
        fprintf(stderr, "secure_echo: %s\n", echo->error.text);
        loop_scope_fail(echo->env->scope, result);
        return;
    }
    loop_serve(echo->env->scope, &echo->address, &options, NULL, on_connection, echo);
}

static int start(struct loop_env *env, void *arg)
{
    struct secure_echo *echo = arg;
    const struct loop_tls_certificate certificate = {.chain = {.path = "chain.pem"}, .key = {.path = "key.pem"}};
    const struct loop_tls_options options = {.certificates = &certificate, .n_certificates = 1};

    echo->env = env;
    return loop_tls_open_server(env->scope, &options, &echo->context, &echo->error, on_opened, echo) ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct secure_echo echo = {.env = NULL};

    if (argc != 2 || loop_address_parse(&echo.address, argv[1]) != 0) {
        fprintf(stderr, "usage: secure_echo ADDRESS, with chain.pem and key.pem in the working directory\n");
        return 2;
    }
    return loop_run(0, 0, 0, NULL, start, &echo) == 0 ? 0 : 1;
}
