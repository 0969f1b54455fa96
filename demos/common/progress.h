/* SPDX-License-Identifier: ISC
 *
 * A progress bar on standard error, drawn ten times a second:
 *
 *     [===========>                    ]  35%  1.4 GiB of 4.0 GiB  812.3 MiB/s  0:03 left
 */
#ifndef DEMOS_PROGRESS_H
#define DEMOS_PROGRESS_H

#include <loop/loop.h>

struct progress;

/* Starts a bar in `scope`; it does not keep the scope open. Returns NULL if standard error is no terminal or without
 * memory. All functions below accept NULL and then do nothing. */
struct progress *progress_start(struct loop_env *env, struct loop_scope *scope);

/* Adds to the number of bytes to be done. */
void progress_expect(struct progress *progress, uint64_t bytes);

/* Adds to the number of bytes done. */
void progress_add(struct progress *progress, uint64_t bytes);

/* Starts the clock for the rate and the time left. Until then the program only counts how much there is. A second call
 * has no effect. */
void progress_begin(struct progress *progress);

/* Erases the bar, so that a line of text can be written. The next drawing restores it. */
void progress_clear(struct progress *progress);

/* Draws the bar for the last time and leaves it on the terminal. */
void progress_end(struct progress *progress);

#endif
