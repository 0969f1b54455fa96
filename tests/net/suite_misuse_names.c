/* SPDX-License-Identifier: ISC
 *
 * Public functions of <net/names.h> called with NULL, or in a scope that has ended.
 */
#include "misuse.h"

#include <net/names.h>

TEST(p23_null_and_what_is_gone_are_named_in_names)
{
    misuse_check_all();
}

#define FN NULL, NULL
#define ENDED "opened by loop_scope_open (at suite_misuse_names+0x"

static struct loop_address address = {.length = sizeof(struct sockaddr_in), .u.ipv4 = {.sin_family = AF_INET}};
static struct loop_addresses *addresses;
static struct loop_host_names *names;
static struct loop_flow *flow;

MISUSE(loop_resolver_open, "the scope is NULL", loop_resolver_open(NULL, NULL) == NULL)
MISUSE(loop_resolver_open, ENDED, loop_resolver_open(gone.scope, NULL) == NULL)
MISUSE_VOID(loop_resolver_flush, "the resolver is NULL", loop_resolver_flush(NULL))
MISUSE(loop_resolve_name, "the scope is NULL", loop_resolve_name(NULL, "a", "1", NULL, &addresses, NULL, FN) == 0)
MISUSE(loop_resolve_name, ENDED, loop_resolve_name(gone.scope, "a", "1", NULL, &addresses, NULL, FN) == 0)
MISUSE(loop_resolve_name, "addresses is NULL", loop_resolve_name(here->scope, "a", "1", NULL, NULL, NULL, FN) == 0)
MISUSE(loop_resolve_address, "the scope is NULL", loop_resolve_address(NULL, &address, NULL, &names, NULL, FN) == 0)
MISUSE(loop_resolve_address, ENDED, loop_resolve_address(gone.scope, &address, NULL, &names, NULL, FN) == 0)
MISUSE(loop_resolve_address, "names is NULL", loop_resolve_address(here->scope, &address, NULL, NULL, NULL, FN) == 0)
MISUSE(loop_connect_name, "the scope is NULL", loop_connect_name(NULL, "a", "1", NULL, &flow, NULL, FN) == 0)
MISUSE(loop_connect_name, ENDED, loop_connect_name(gone.scope, "a", "1", NULL, &flow, NULL, FN) == 0)
MISUSE(loop_connect_name, "flow is NULL", loop_connect_name(here->scope, "a", "1", NULL, NULL, NULL, FN) == 0)
