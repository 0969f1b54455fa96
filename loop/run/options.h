/* SPDX-License-Identifier: ISC
 *
 * The options of a loop.
 */
#ifndef LOOP_RUN_OPTIONS_H
#define LOOP_RUN_OPTIONS_H

#include <loop/loop.h>

/* Checks the options, fills in the defaults, and applies LOOP_BACKEND, LOOP_WAY and the hard modes. Returns 0 or
 * -EINVAL. */
int loop_options_check(struct loop_options *options);

#endif
