/* SPDX-License-Identifier: ISC
 *
 * The writers of a loop.
 */
#ifndef LOOP_FLOW_BUFFERED_WRITER_LIFE_H
#define LOOP_FLOW_BUFFERED_WRITER_LIFE_H

#include <loop/base.h>

/* Initializes the loop's slab of writers. */
void loop_writers_init(struct loop *loop);

#endif
