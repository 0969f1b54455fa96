/* SPDX-License-Identifier: ISC
 *
 * Public functions of net/tls.h called with NULL, or with destroyed objects.
 */
#include "misuse.h"

#include <net/tls.h>

TEST(p23_null_and_what_is_gone_are_named_in_tls)
{
    misuse_check_all();
}

#define FN NULL, NULL
#define ENDED "opened by loop_scope_open (at suite_misuse_tls+0x"
#define DESTROYED "destroyed by loop_fd_destroy (at suite_misuse_tls+0x"
#define NO_CONTEXT "TLS context is NULL"
#define NO_FLOW "the flow is NULL"

static struct loop_tls_context *context;
static struct loop_flow *flow, *other;
static struct loop_tls_info info;
static char buf[8];

static struct loop_flow *made(void)
{
    CHECK_IS(loop_socketpair(here->scope, &flow, &other), 0);
    return flow;
}

MISUSE(loop_tls_open_client, "the scope is NULL", loop_tls_open_client(NULL, NULL, &context, NULL, FN) == 0)
MISUSE(loop_tls_open_client, ENDED, loop_tls_open_client(gone.scope, NULL, &context, NULL, FN) == 0)
MISUSE(loop_tls_open_client, "context is NULL", loop_tls_open_client(here->scope, NULL, NULL, NULL, FN) == 0)
MISUSE(loop_tls_open_server, "the scope is NULL", loop_tls_open_server(NULL, NULL, &context, NULL, FN) == 0)
MISUSE(loop_tls_open_server, "context is NULL", loop_tls_open_server(here->scope, NULL, NULL, NULL, FN) == 0)
MISUSE(loop_tls_reload, NO_CONTEXT, loop_tls_reload(NULL, NULL, NULL, FN) == 0)
MISUSE(loop_tls_connect, NO_FLOW, loop_tls_connect(NULL, NULL, "a", &flow, NULL, FN) == 0)
MISUSE(loop_tls_connect, DESTROYED, loop_tls_connect(gone.flow, NULL, "a", &flow, NULL, FN) == 0)
MISUSE(loop_tls_connect, NO_CONTEXT, loop_tls_connect(made(), NULL, "a", &other, NULL, FN) == 0)
MISUSE(loop_tls_connect, "flow is NULL", loop_tls_connect(made(), NULL, "a", NULL, NULL, FN) == 0)
MISUSE(loop_tls_accept, NO_FLOW, loop_tls_accept(NULL, NULL, &flow, NULL, FN) == 0)
MISUSE(loop_tls_accept, NO_CONTEXT, loop_tls_accept(made(), NULL, &other, NULL, FN) == 0)
MISUSE(loop_tls_under, NO_FLOW, loop_tls_under(NULL) == NULL)
MISUSE(loop_tls_why, NO_FLOW, strcmp(loop_tls_why(NULL), "") == 0)
MISUSE(loop_tls_get_info, NO_FLOW, loop_tls_get_info(NULL, &info) == -EINVAL)
MISUSE(loop_tls_get_info, "info is NULL", loop_tls_get_info(made(), NULL) == -EINVAL)
MISUSE(loop_tls_peer_certificate, NO_FLOW, loop_tls_peer_certificate(NULL, buf, sizeof buf) == -EINVAL)
MISUSE(loop_tls_peer_certificate, DESTROYED, loop_tls_peer_certificate(gone.flow, buf, sizeof buf) == -EINVAL)
MISUSE(loop_tls_peer_subject, NO_FLOW, loop_tls_peer_subject(NULL, buf, sizeof buf) == -EINVAL)
MISUSE(loop_tls_ssl, NO_FLOW, loop_tls_ssl(NULL) == NULL)
MISUSE(loop_tls_ssl_context, NO_CONTEXT, loop_tls_ssl_context(NULL) == NULL)
