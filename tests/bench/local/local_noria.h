/* SPDX-License-Identifier: ISC
 *
 * Declarations of the Noria workloads. They use only the public headers, as any program does. LOOP_BACKEND in the
 * environment selects io_uring or epoll.
 */
#ifndef TESTS_BENCH_LOCAL_NORIA_H
#define TESTS_BENCH_LOCAL_NORIA_H

#include "local.h"

#include <loop/loop.h>

/* Runs a loop until main's scope has ended. Sets the loop's limits for a depth or size beyond the defaults. */
void noria_run(const struct local_options *options, size_t block_size, loop_main_fn *main, void *arg);

/* Returns the job, or exits if it could not be started. */
static inline loop_job noria_job(loop_job job)
{
    local_check(job != 0, "a job couldn't be started");
    return job;
}

local_run_fn noria_nop, noria_turn_sleep, noria_turn_promise, noria_wake_self, noria_wake_thread, noria_start_stop;
local_run_fn noria_pingpong_read, noria_pingpong_stream, noria_pipe_read, noria_pipe_stream;
local_run_fn noria_timers_start_cancel, noria_timers_fire;
local_run_fn noria_read_chunk, noria_read_plain, noria_copy;

#endif
