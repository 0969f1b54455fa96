/* SPDX-License-Identifier: ISC
 *
 * Declarations of the libuv workloads.
 */
#ifndef TESTS_BENCH_LOCAL_LIBUV_H
#define TESTS_BENCH_LOCAL_LIBUV_H

#include "local.h"

#include <uv.h>

/* Fails if `error`, a result of libuv, is negative. */
void libuv_check(int error, const char *what);

void libuv_begin(uv_loop_t *loop, void *data);
void libuv_run_and_end(uv_loop_t *loop);

local_run_fn libuv_timers_start_cancel, libuv_timers_fire;
local_run_fn libuv_read, libuv_copy_file, libuv_copy_blocks;

#endif
