/* SPDX-License-Identifier: ISC
 *
 * A progress bar on standard error, drawn ten times a second while there is something to tell:
 *
 *     [===========>                    ]  35%  1.4 GiB of 4.0 GiB  812.3 MiB/s  0:03 left
 */
#ifndef DEMOS_PROGRESS_H
#define DEMOS_PROGRESS_H

#include <loop/loop.h>

struct progress;

/* A bar in the scope, which it doesn't hold open. NULL, which all calls below take and do nothing with, where standard
 * error is no terminal or there is no memory. */
struct progress *progress_start(struct loop_env *env, struct loop_scope *scope);

/* So many bytes more are to come; so many more are done. */
void progress_expect(struct progress *progress, uint64_t bytes);
void progress_add(struct progress *progress, uint64_t bytes);

/* The rate and the time left count from here: before it was only looked how much there is. */
void progress_begin(struct progress *progress);

/* Takes the bar away, for a line of text; it comes back with the next drawing. */
void progress_clear(struct progress *progress);

/* Draws it for the last time and leaves it there. */
void progress_end(struct progress *progress);

#endif
