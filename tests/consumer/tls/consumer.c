/* SPDX-License-Identifier: ISC
 *
 * Opens a context for TLS, and says so.
 */
#include <net/tls.h>

#include <stdio.h>

static struct loop_tls_context *context;
static struct loop_tls_error error;

static void on_opened(void *arg, int64_t result)
{
    (void)arg;
    if (result == 0 && loop_tls_ssl_context(context)) {
        printf("noria %s with TLS\n", loop_version());
    } else {
        printf("%s\n", error.text);
    }
}

static int start(struct loop_env *env, void *arg)
{
    static const struct loop_tls_options options = {.verify = LOOP_TLS_VERIFY_NONE};

    (void)arg;
    return loop_tls_open_client(env->scope, &options, &context, &error, on_opened, NULL) ? 0 : 1;
}

int main(void)
{
    return loop_run(0, 0, 0, NULL, start, NULL) == 0 ? 0 : 1;
}
