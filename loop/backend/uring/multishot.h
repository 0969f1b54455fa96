/* SPDX-License-Identifier: ISC
 *
 * The jobs that complete many times.
 */
#ifndef LOOP_BACKEND_URING_MULTISHOT_H
#define LOOP_BACKEND_URING_MULTISHOT_H

#include <loop/backend/uring/ring.h>
#include <loop/core/job.h>

/* One completion of a multishot job. */
void loop_uring_multishot_event(struct loop_uring *uring, struct loop_job *job, int32_t result, uint32_t flags);

#endif
