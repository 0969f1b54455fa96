/* SPDX-License-Identifier: ISC
 *
 * The terms that every other header uses: jobs, continuations, time.
 *
 * How to read these headers. The first argument of every call that starts something is the scope that owns it, or an
 * object that belongs to a scope. The call returns a job. The job ends exactly once. The loop resumes its continuation
 * on the loop's thread, never from inside the call that started the job. The result is that of the system call: 0, a
 * count, or a negative errno such as -ECONNRESET; this header includes <errno.h>. A call returns job 0 only when it
 * cannot make a job: there is no memory, or the scope has ended. Then no continuation is resumed.
 *
 * Mistakes. A debug build aborts on NULL in place of an object, and on an object that was destroyed or whose scope has
 * ended. It first writes a line to standard error that names the call, the object and where the object was freed. Any
 * other build does nothing, and returns job 0, -EINVAL, NULL, 0 or false. The exceptions return true: whether a sink or
 * writer is full, and whether a scope is cancelled. A call with a good scope and NULL in place of the descriptor or
 * directory starts a job that ends with -EINVAL. A few calls accept NULL; their comments say so.
 *
 * A freed object is detected until another object of its kind reuses its memory; debug builds delay that as long as
 * they can. Freed listeners, datagram sockets, directories, and sources and sinks in memory are detected in debug
 * builds only. Freed servers and struct loop_entries are not detected.
 */
#ifndef LOOP_BASE_H
#define LOOP_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of these headers; loop_version returns that of the library. */
#define LOOP_VERSION_MAJOR 0
#define LOOP_VERSION_MINOR 1
#define LOOP_VERSION_PATCH 0

/* Marks a function that the library exports. */
#define LOOP_API __attribute__((visibility("default")))

/* Follows each field of the structs that programs fill. In C++ it makes a field that an initializer leaves out zero,
 * without a compiler warning about a missing initializer. In C it is empty, and such a field is zero anyway. */
#ifdef __cplusplus
#define LOOP_ZERO = {}
#else
#define LOOP_ZERO
#endif

/* Durations and points in time are nanoseconds in an int64_t. Points in time are those of CLOCK_MONOTONIC. */
#define LOOP_MICROSECOND INT64_C(1000)
#define LOOP_MILLISECOND INT64_C(1000000)
#define LOOP_SECOND INT64_C(1000000000)
#define LOOP_NEVER INT64_MAX /* a duration without end; a point in time that is never reached */

struct loop;
struct loop_scope;
struct loop_fd;
struct loop_chunk;

/* The handle of a job. It may be kept for ever: after the job has ended it names no job, even when the loop reuses the
 * job's memory. 0 names no job. */
typedef uint64_t loop_job;

/* The continuation of a job that is resumed once. The call that starts the job describes `result`. */
typedef void loop_fn(void *arg, int64_t result);

/* Requests that `job` end early. The continuation is still resumed: with -ECANCELED, or with the operation's result
 * where the operation completed first. A cancelled write that sent a part of its bytes resumes with their count. Memory
 * lent to the job stays lent until its continuation is resumed.
 *
 * Returns 0 when the request was made. Returns -ENOENT when the job already has its result, has ended, was cancelled
 * before, or never existed. A handle whose job has ended never cancels another job. */
LOOP_API int loop_cancel(struct loop *loop, loop_job job);

/* Pauses a stream: a job of loop_stream, loop_reader_lines, loop_datagram_stream or loop_fs_watch, whose continuation
 * is resumed more than once. While paused, the stream does not resume its continuation. It completes the read that it
 * has begun and starts no other, so that flow control holds the peer back too. loop_resume delivers what was read;
 * loop_fs_watch drops events meanwhile, and reports that it did. A cancel or an error ends a paused stream like any
 * other. May be called from inside the stream's continuation. Idempotent.
 *
 * Returns 0; -ENOENT when the job has its result or has ended; -EINVAL for a job that is no stream. The multishot
 * operations of <loop/low_level.h> return -EINVAL too: cancel such a job, and start another one later. */
LOOP_API int loop_pause(struct loop *loop, loop_job job);

/* Resumes a paused stream. The loop resumes its continuation later, never inside the call. Idempotent. Returns 0;
 * -ENOENT when the job has its result or has ended; -EINVAL for a job that loop_pause does not accept. */
LOOP_API int loop_resume(struct loop *loop, loop_job job);

/* Makes `job` a daemon: it no longer keeps its scope open, and is cancelled when nothing else does. For a job that
 * should run as long as there is other work, such as a ticker or a signal handler. Idempotent. Returns 0; -ENOENT when
 * the job has ended. */
LOOP_API int loop_daemon(struct loop *loop, loop_job job);

/* Returns true until the job's continuation is about to be resumed; for a stream, until the last time. */
LOOP_API bool loop_job_is_alive(const struct loop *loop, loop_job job);

/* Returns the version of the library that runs, "0.1.0". The string is static. */
LOOP_API const char *loop_version(void);

#ifdef __cplusplus
}
#endif

#endif
