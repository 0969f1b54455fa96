/* SPDX-License-Identifier: ISC
 *
 * What a turn uses of dispatch.c.
 */
#ifndef LOOP_DISPATCH_H
#define LOOP_DISPATCH_H

#include <loop/core/core.h>

/* Whether something has to be done after a continuation. */
static inline bool loop_has_to_settle(const struct loop *loop)
{
    return !loop_list_is_empty(&loop->after) || !loop_list_is_empty(&loop->dirty) || loop->ending;
}

#endif
