/* SPDX-License-Identifier: ISC
 *
 * The words every other header uses: the job, the continuation, time.
 *
 * How to read these headers. A call that starts something takes the scope it belongs to, or an object
 * that has one, and returns a job. The job ends exactly once, and its continuation is resumed from the
 * loop, on the loop's thread, never from inside the call that started it. Results are those of the
 * system call: 0 or a count, or a negative errno (-ECONNRESET). A call returns job 0 only when there
 * could be no job (no memory, or its scope has ended); then no continuation is resumed.
 *
 * Mistakes. A debug build of the library stops at NULL in place of an object, and at an object that has been destroyed
 * or has gone with its scope: a line on standard error names the call and the object, and where that was freed. Any
 * other build does nothing then, and returns job 0, -EINVAL, NULL, 0, or false (true for a sink or writer that is full,
 * and a scope that is cancelled). Where a call takes a scope as well, and that is good, NULL in place of the descriptor
 * or directory makes a job that ends with -EINVAL. An object that is gone is found as long as no other object of its
 * kind has its place; debug builds use a free place as late as they can. Listeners, datagram sockets, directories, and
 * sources and sinks in memory are found only by debug builds; servers and what reads a directory are not found when
 * they are gone. A few calls accept NULL; their descriptions say so.
 */
#ifndef LOOP_BASE_H
#define LOOP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LOOP_VERSION_MAJOR 0
#define LOOP_VERSION_MINOR 1
#define LOOP_VERSION_PATCH 0

#define LOOP_API __attribute__((visibility("default")))

/* Stands behind the fields of structs that programs fill. In C++ a field that an initializer leaves out is then zero by
 * its own declaration, and no compiler warns that it is missing. Nothing in C, where it is zero anyway. */
#ifdef __cplusplus
#define LOOP_ZERO = {}
#else
#define LOOP_ZERO
#endif

/* Durations and points in time are nanoseconds in an int64_t; points are those of CLOCK_MONOTONIC. */
#define LOOP_MICROSECOND INT64_C(1000)
#define LOOP_MILLISECOND INT64_C(1000000)
#define LOOP_SECOND INT64_C(1000000000)
#define LOOP_NEVER INT64_MAX

struct loop;
struct loop_scope;
struct loop_fd;
struct loop_chunk;

/* A job in flight. The handle may be kept for ever: once the job has ended it names nothing, also when
 * the loop uses the same place again. 0 is no job. */
typedef uint64_t loop_job;

/* The continuation of a one-shot job. `result` is what the operation's own description says. */
typedef void loop_fn(void *arg, int64_t result);

/* Asks that `job` end early. Only a request: the continuation is resumed as ever, with -ECANCELED, or with
 * the result where that won the race; a write says how many bytes went out if any did. What was lent to
 * the job stays lent until then.
 * Returns 0 when asked, -ENOENT when there was nothing to ask: the job has its result, has ended, was
 * cancelled before, or never was. Never hits another job. */
LOOP_API int loop_cancel(struct loop *loop, loop_job job);

/* Holds back a stream, a job whose continuation is resumed more than once: that of loop_stream, loop_reader_lines,
 * loop_datagram_stream or loop_fs_watch. A paused stream does not resume its continuation, and takes no more than it
 * has begun to take, so that its peer is held back too. What it has taken comes after loop_resume; loop_fs_watch drops
 * events meanwhile, and says so. It ends by loop_cancel or an error as without a pause. May be called from inside its
 * continuation. Idempotent. Returns 0; -ENOENT when the job has its result or has ended; -EINVAL for a job that is no
 * stream, and for the multishot operations of <loop/low_level.h>, which are the ring's: cancel one, and start another
 * later. */
LOOP_API int loop_pause(struct loop *loop, loop_job job);

/* Lets a paused stream go on. Its continuation is resumed from the loop, not inside the call. Idempotent. Returns what
 * loop_pause returns. */
LOOP_API int loop_resume(struct loop *loop, loop_job job);

/* Makes `job` a daemon: it holds its scope open no longer, and is cancelled when nothing else does.
 * For what should run as long as there is other work, such as a ticker or a signal's handler.
 * Returns 0, or -ENOENT when the job has ended. */
LOOP_API int loop_daemon(struct loop *loop, loop_job job);

/* True until the job's continuation is about to be resumed. */
LOOP_API bool loop_job_is_alive(const struct loop *loop, loop_job job);

/* The version of the library in use at run time, "0.1.0". */
LOOP_API const char *loop_version(void);

#ifdef __cplusplus
}
#endif

#endif
