/* SPDX-License-Identifier: ISC
 *
 * The end of a loop whose backend is broken.
 */
#ifndef LOOP_BACKEND_BROKEN_H
#define LOOP_BACKEND_BROKEN_H

#include <loop/core/fd.h>
#include <loop/core/job.h>

/* The functions of a backend that is broken: nothing can be started or watched any more, what waits is cancelled. */
void loop_broken_start(struct loop *loop, struct loop_job *job);

void loop_broken_cancel(struct loop *loop, struct loop_job *job);

int loop_broken_watch(struct loop *loop, struct loop_fd *fd, uint32_t events);

bool loop_broken_has_events(struct loop *loop);

/* Makes turns until the loop has ended. Jobs that the kernel has end when it has let go of them. */
void loop_broken_turns(struct loop *loop);

#endif
