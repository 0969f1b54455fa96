/* SPDX-License-Identifier: ISC
 *
 * What parts built on the loop keep in it; the calls are in <loop/part.h>.
 */
#ifndef LOOP_RUN_PART_H
#define LOOP_RUN_PART_H

#include <loop/base.h>

struct loop;

void loop_parts_finish(struct loop *loop);

#endif
