/* SPDX-License-Identifier: ISC
 *
 * The life of a loop.
 */
#ifndef LOOP_RUN_LIFE_H
#define LOOP_RUN_LIFE_H

#include <loop/loop.h>

/* Creates a loop on this thread from options that were checked, calls main, makes turns until the loop has ended, and
 * frees it. Returns its status, or the error for which main was not called. */
int loop_life(const struct loop_options *options, loop_main_fn *main, void *arg);

#endif
