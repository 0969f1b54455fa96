/* SPDX-License-Identifier: ISC
 *
 * Functions of <adapters/cares.h> called with NULL, or in a scope that has ended.
 */
#include "misuse.h"

#include <adapters/cares.h>

TEST(p23_null_and_what_is_gone_are_named_in_cares)
{
    misuse_check_all();
}

/* NULL, which the compiler does not know. */
static struct loop_cares *volatile nothing;

#define ENDED "opened by loop_scope_open (at suite_misuse_adapter_cares+0x"

static struct loop_cares *cares;

MISUSE(loop_cares_open, "the scope is NULL", loop_cares_open(NULL, NULL, 0, &cares) == ARES_EFORMERR)
MISUSE(loop_cares_open, ENDED, loop_cares_open(gone.scope, NULL, 0, &cares) == ARES_EFORMERR)
MISUSE(loop_cares_open, "channel is NULL", loop_cares_open(here->scope, NULL, 0, NULL) == ARES_EFORMERR)
MISUSE(loop_cares_channel, "channel is NULL", loop_cares_channel(nothing) == NULL)
MISUSE_VOID(loop_cares_cancel, "channel is NULL", loop_cares_cancel(nothing))
