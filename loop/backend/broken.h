/* SPDX-License-Identifier: ISC
 *
 * The end of a loop whose backend cannot be used any more.
 */
#ifndef LOOP_BACKEND_BROKEN_H
#define LOOP_BACKEND_BROKEN_H

#include <loop/core/fd.h>
#include <loop/core/job.h>

/* loop_backend_ops.start of a broken backend: the job ends with the error of the backend. */
void loop_broken_start(struct loop *loop, struct loop_job *job);

/* loop_backend_ops.cancel of a broken backend. Jobs that the kernel still has end later, when it is done with them. */
void loop_broken_cancel(struct loop *loop, struct loop_job *job);

/* loop_backend_ops.watch of a broken backend: fails the jobs that wait for the descriptor. */
int loop_broken_watch(struct loop *loop, struct loop_fd *fd, uint32_t events);

/* loop_backend_ops.has_events of a broken backend: always false. */
bool loop_broken_has_events(struct loop *loop);

/* Makes turns until the loop has ended. Jobs that the kernel has end when it is done with them. */
void loop_broken_turns(struct loop *loop);

/* loop_backend_ops.turn of a broken backend: looks without waiting whether the kernel is done with its jobs. */
int loop_broken_turn(struct loop *loop);

/* loop_backend_ops.time_to_turn of a broken backend, which has to be asked again and again. */
int64_t loop_broken_time_to_turn(struct loop *loop);

#endif
