/* SPDX-License-Identifier: ISC
 *
 * Declarations of the lower bounds: each workload written by hand, in the ways that come closest to what the machine
 * can do.
 */
#ifndef TESTS_BENCH_LOCAL_RAW_H
#define TESTS_BENCH_LOCAL_RAW_H

#include "local.h"

#include <liburing.h>

/* Creates a ring with the best settings for one thread that submits and reaps. */
void raw_ring_init(struct io_uring *ring, unsigned entries);

/* Submits the prepared entries, and waits for a completion if there is none yet. */
struct io_uring_cqe *raw_ring_wait(struct io_uring *ring);

/* Returns an entry of the submission queue. Submits first if the queue is full. */
struct io_uring_sqe *raw_ring_sqe(struct io_uring *ring);

/* Returns a completion without a system call, or NULL. */
struct io_uring_cqe *raw_ring_peek(struct io_uring *ring);

/* Prepares a multishot poll of `fd` for reading, whose completions have `data`. */
void raw_ring_watch(struct io_uring *ring, int fd, unsigned events, uint64_t data);

int raw_epoll(void);
void raw_epoll_add(int epoll, int fd, uint32_t events, uint64_t data);

local_run_fn raw_nop, raw_turn, raw_start_stop_epoll, raw_start_stop_uring;
local_run_fn raw_wake_self_flag, raw_wake_self_uring, raw_wake_self_epoll, raw_wake_self_msg_ring;
local_run_fn raw_wake_thread_epoll, raw_wake_thread_uring;
local_run_fn raw_pingpong_hybrid, raw_pingpong_none, raw_pingpong_epoll, raw_pingpong_multishot, raw_pingpong_uring;
local_run_fn raw_pipe_epoll, raw_pipe_none, raw_pipe_hybrid, raw_pipe_uring;
local_run_fn raw_timers_start_cancel, raw_timers_fire;
local_run_fn raw_read_pread, raw_read_fixed, raw_read_plain;
local_run_fn raw_copy_read_write, raw_copy_file_range, raw_copy_fixed;

#endif
