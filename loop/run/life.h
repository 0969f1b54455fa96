/* SPDX-License-Identifier: ISC
 *
 * The life of a loop, for those who run one: loop_run, and hosts.
 */
#ifndef LOOP_RUN_LIFE_H
#define LOOP_RUN_LIFE_H

#include <loop/loop.h>

struct loop_share;

/* What a loop is made from, besides its main function. */
struct loop_origin {
    const struct loop_options *options; /* checked */
    const struct loop_share *share;     /* of a region of several loops; NULL: it has one of its own */
    bool is_hosted;
};

/* Creates a loop on this thread, and calls main. Returns 0, or the error for which main was not called, with nothing
 * left. */
int loop_life_begin(const struct loop_origin *origin, loop_main_fn *main, void *arg, struct loop **begun);

/* Makes turns that wait, until the loop has ended. */
void loop_life_run(struct loop *loop);

/* Notes that the backend cannot be used any more: main's scope fails, and the next turns end everything. */
void loop_life_break(struct loop *loop, int error);

/* Frees a loop that has ended, and restores its thread. Returns the loop's status. */
int loop_life_end(struct loop *loop);

#endif
