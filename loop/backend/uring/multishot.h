/* SPDX-License-Identifier: ISC
 *
 * Jobs that complete many times: accept_multishot and recv_multishot.
 */
#ifndef LOOP_BACKEND_URING_MULTISHOT_H
#define LOOP_BACKEND_URING_MULTISHOT_H

#include <loop/backend/uring/ring.h>
#include <loop/core/job.h>

/* Handles one completion of a multishot job: delivers what it has brought, and ends or restarts the job after its last
 * one. From the dispatch only. */
void loop_uring_multishot_event(struct loop_uring *uring, struct loop_job *job, int32_t result, uint32_t flags);

#endif
