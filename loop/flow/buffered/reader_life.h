/* SPDX-License-Identifier: ISC
 *
 * The readers of a loop.
 */
#ifndef LOOP_FLOW_BUFFERED_READER_LIFE_H
#define LOOP_FLOW_BUFFERED_READER_LIFE_H

#include <loop/base.h>

/* Initializes the loop's slab of readers. */
void loop_readers_init(struct loop *loop);

#endif
