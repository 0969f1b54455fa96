/* SPDX-License-Identifier: ISC
 *
 * Functions of <adapters/curl.h> called with NULL, or in a scope that has ended.
 */
#include "misuse.h"

#include <adapters/curl.h>

TEST(p23_null_and_what_is_gone_are_named_in_curl)
{
    misuse_check_all();
}

/* NULL, which the compiler does not know. */
static struct loop_curl *volatile nothing;

#define ENDED "opened by loop_scope_open (at suite_misuse_adapter_curl+0x"

MISUSE(loop_curl_open, "the scope is NULL", loop_curl_open(NULL) == NULL)
MISUSE(loop_curl_open, ENDED, loop_curl_open(gone.scope) == NULL)
MISUSE(loop_curl_perform, "multi handle is NULL", loop_curl_perform(nothing, NULL, NULL, NULL) == 0)
MISUSE(loop_curl_multi, "multi handle is NULL", loop_curl_multi(nothing) == NULL)
