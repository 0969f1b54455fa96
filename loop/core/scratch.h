/* SPDX-License-Identifier: ISC
 *
 * Working memory that is kept for its next use; its calls are in <loop/part.h>.
 */
#ifndef LOOP_CORE_SCRATCH_H
#define LOOP_CORE_SCRATCH_H

#include <loop/base.h>

struct loop;

void loop_scratch_finish(struct loop *loop);

#endif
