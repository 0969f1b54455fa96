/* SPDX-License-Identifier: ISC
 *
 * The writers of a loop.
 */
#ifndef LOOP_WRITER_LIFE_H
#define LOOP_WRITER_LIFE_H

#include <loop/core/core.h>

/* Initializes the loop's slab of writers. */
void loop_writers_init(struct loop *loop);

#endif
