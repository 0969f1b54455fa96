/* SPDX-License-Identifier: ISC
 *
 * Functions of <adapters/nghttp2.h> called with NULL, or in a scope that has ended.
 */
#include "misuse.h"

#include <adapters/nghttp2.h>

TEST(p23_null_and_what_is_gone_are_named_in_nghttp2)
{
    misuse_check_all();
}

/* NULL, which the compiler does not know. */
static struct loop_nghttp2 *volatile nothing;

#define FN NULL, NULL

static struct loop_nghttp2_options options;
static struct loop_nghttp2 *http;

MISUSE(loop_nghttp2_open, "the flow is NULL", loop_nghttp2_open(NULL, &options, &http, FN) == 0)
MISUSE(loop_nghttp2_session, "session is NULL", loop_nghttp2_session(nothing) == NULL)
MISUSE(loop_nghttp2_arg, "session is NULL", loop_nghttp2_arg(nothing) == NULL)
MISUSE(loop_nghttp2_wait, "session is NULL", loop_nghttp2_wait(nothing, 1, FN) == 0)
MISUSE_VOID(loop_nghttp2_send, "session is NULL", loop_nghttp2_send(nothing))
