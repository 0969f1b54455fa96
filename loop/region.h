/* SPDX-License-Identifier: ISC
 *
 * The region: one piece of memory made when the loop starts, registered with the ring where that is
 * possible, cut into n_blocks chunks of block_size bytes. Chunks are lent to streams, and to whoever asks.
 *
 * No free chunk is not an error: it is the signal to wait. Chunks are not zeroed. Double frees and chunks
 * of another loop are caught: -EINVAL, and a stop that says so in a debug build. Chunks that have not been given back
 * when the loop ends are gone with it; a debug build logs a warning that says how many, and where they were taken.
 */
#ifndef LOOP_REGION_H
#define LOOP_REGION_H

#include <loop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A free chunk, the caller's until loop_chunk_free; NULL when none is free. */
LOOP_API struct loop_chunk *loop_chunk_alloc(struct loop *loop);

/* Waits in line for a chunk: `*chunk` is set before the continuation is resumed with 0. Cancelled waiters
 * get -ECANCELED and no chunk, and swallow none. `chunk` must stay good until then. */
LOOP_API loop_job loop_chunk_alloc_wait(struct loop_scope *scope, struct loop_chunk **chunk, loop_fn *fn, void *arg);

/* Gives a chunk back; it goes to the first who waits in line. NULL is harmless. Returns 0, or -EINVAL for a
 * chunk that is free already or not of this loop. Not while a job is using it. */
LOOP_API int loop_chunk_free(struct loop *loop, struct loop_chunk *chunk);

/* Keeps a chunk that a stream has lent: it is the caller's from now on, as if from loop_chunk_alloc.
 * Returns 0, or -EINVAL when the chunk is not lent at this moment. */
LOOP_API int loop_chunk_keep(struct loop *loop, struct loop_chunk *chunk);

/* Its memory, its size in bytes, and where it stands in the region, in bytes from the start. */
LOOP_API void *loop_chunk_data(const struct loop_chunk *chunk);
LOOP_API size_t loop_chunk_length(const struct loop_chunk *chunk);
LOOP_API size_t loop_chunk_offset(const struct loop_chunk *chunk);

/* Copies the first `len` bytes of the chunk to `buf`. Returns `len`, or -EINVAL when the chunk is smaller. */
LOOP_API int64_t loop_chunk_copy_out(const struct loop_chunk *chunk, void *buf, size_t len);

/* How many chunks are free now, and how many there are. */
LOOP_API size_t loop_region_avail(const struct loop *loop);
LOOP_API size_t loop_region_count(const struct loop *loop);

/* True when the kernel has the region registered as a fixed buffer (never on epoll). That is tried when it is first
 * asked here, or by an operation that can use it. */
LOOP_API bool loop_region_is_fixed(const struct loop *loop);

#ifdef __cplusplus
}
#endif

#endif
