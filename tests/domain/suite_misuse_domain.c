/* SPDX-License-Identifier: ISC
 *
 * Public functions of <domain/domain.h> called with NULL, or in a scope that has ended.
 */
#include "misuse.h"

#include <domain/domain.h>

TEST(p23_null_and_what_is_gone_are_named_in_domain)
{
    misuse_check_all();
}

#define FN NULL, NULL
#define ENDED "opened by loop_scope_open (at suite_misuse_domain+0x"
#define DESTROYED "destroyed by loop_fd_destroy (at suite_misuse_domain+0x"

static struct loop_detached *detached;

static int do_nothing(struct loop_env *env, unsigned index, void *arg)
{
    (void)env;
    (void)index;
    (void)arg;
    return 0;
}

static void call_nothing(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    (void)call;
    (void)scope;
    (void)arg;
}

static loop_job call_in(struct loop_scope *scope, loop_call_fn *fn)
{
    struct loop_inbox *inbox = loop_inbox_ref(here->loop);
    loop_job job = loop_call(scope, inbox, fn, NULL, FN);

    loop_inbox_unref(inbox);
    return job;
}

#define PARTS loop_part_scope(here->loop)
#define OF_PARTS "the scope is the loop's own"

static bool inside_parts(void)
{
    struct loop_scope *scope = loop_scope_open(PARTS, NULL, NULL);

    return scope && call_in(scope, call_nothing) == 0;
}

MISUSE(loop_domains, OF_PARTS, loop_domains(PARTS, 1, NULL, NULL, do_nothing, NULL, FN) == 0)
MISUSE(loop_call, OF_PARTS, call_in(PARTS, call_nothing) == 0)
MISUSE(loop_call, OF_PARTS, inside_parts())
MISUSE(loop_domains, "the scope is NULL", loop_domains(NULL, 1, NULL, NULL, do_nothing, NULL, FN) == 0)
MISUSE(loop_domains, ENDED, loop_domains(gone.scope, 1, NULL, NULL, do_nothing, NULL, FN) == 0)
MISUSE(loop_domains, "main function is NULL", loop_domains(here->scope, 1, NULL, NULL, NULL, NULL, FN) == 0)
MISUSE(loop_domains_wait_started, "the group of domains is NULL", loop_domains_wait_started(here->scope, NULL, FN) == 0)
MISUSE(loop_domains_count, "the group of domains is NULL", loop_domains_count(NULL) == 0)
MISUSE(loop_domains_inbox, "the group of domains is NULL", loop_domains_inbox(NULL, 0) == NULL)
MISUSE(loop_call, "the scope is NULL", call_in(NULL, call_nothing) == 0)
MISUSE(loop_call, ENDED, call_in(gone.scope, call_nothing) == 0)
MISUSE(loop_call, "inbox is NULL", loop_call(here->scope, NULL, call_nothing, NULL, FN) == 0)
MISUSE(loop_call, "function is NULL", call_in(here->scope, NULL) == 0)
MISUSE(loop_call_return, "call is NULL", loop_call_return(NULL, 0) == -EINVAL)
MISUSE(loop_fd_detach, "the descriptor is NULL", loop_fd_detach(NULL, &detached, FN) == 0)
MISUSE(loop_fd_detach, DESTROYED, loop_fd_detach(gone.fd, &detached, FN) == 0)
MISUSE(loop_fd_attach, "descriptor is NULL", loop_fd_attach(here->scope, NULL) == NULL)
