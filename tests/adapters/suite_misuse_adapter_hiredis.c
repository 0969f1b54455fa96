/* SPDX-License-Identifier: ISC
 *
 * Functions of <adapters/hiredis.h> called with NULL, or in a scope that has ended.
 */
#include "misuse.h"

#include <adapters/hiredis.h>

TEST(p23_null_and_what_is_gone_are_named_in_hiredis)
{
    misuse_check_all();
}

#define ENDED "opened by loop_scope_open (at suite_misuse_adapter_hiredis+0x"

static redisAsyncContext context;

MISUSE(loop_hiredis_attach, "the scope is NULL", loop_hiredis_attach(NULL, &context) == -EINVAL)
MISUSE(loop_hiredis_attach, ENDED, loop_hiredis_attach(gone.scope, &context) == -EINVAL)
