/* SPDX-License-Identifier: ISC
 *
 * The region: one block of memory, allocated when the loop starts and cut into n_blocks chunks of block_size bytes. It
 * is registered with the ring where that is possible. Streams lend its chunks, and programs can take them.
 *
 * A shortage of chunks is not an error: wait for one with loop_chunk_alloc_wait. The contents of a new chunk are
 * undefined. A double free, or a chunk of another loop, returns -EINVAL and aborts a debug build. The chunks that the
 * program still has when the loop ends are freed with it; a debug build logs a warning with their number and where they
 * were taken.
 */
#ifndef LOOP_REGION_H
#define LOOP_REGION_H

#include <loop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns a free chunk, or NULL when none is free. The caller owns it until loop_chunk_free or loop_write_chunk. */
LOOP_API struct loop_chunk *loop_chunk_alloc(struct loop *loop);

/* Waits for a free chunk, in the order of the calls. Stores it in `*chunk` before it resumes with 0; the caller owns it
 * until loop_chunk_free or loop_write_chunk. A job that was cancelled resumes with -ECANCELED and takes no chunk from
 * the others in line. `chunk` must stay valid until the continuation is resumed. Returns job 0 when there is no memory
 * or the scope has ended. */
LOOP_API loop_job loop_chunk_alloc_wait(struct loop_scope *scope, struct loop_chunk **chunk, loop_fn *fn, void *arg);

/* Gives a chunk back. The first job in line gets it, if there is one. NULL is ignored. No job may be using the chunk.
 * Returns 0; -EINVAL for a chunk that is free already, that a stream only lends, or that belongs to another loop. */
LOOP_API int loop_chunk_free(struct loop *loop, struct loop_chunk *chunk);

/* Keeps a chunk that a stream lends to its continuation. From now on the caller owns it, as if it came from
 * loop_chunk_alloc. Returns 0; -EINVAL when the chunk is not lent at this moment. */
LOOP_API int loop_chunk_keep(struct loop *loop, struct loop_chunk *chunk);

/* Takes a chunk out of this loop, with what it contains, so that another loop that shares its region
 * (<domain/domain.h>) can attach it. Until then it belongs to no loop: pass it on as the argument of a call or a post,
 * and do not use it. It is none of this loop's chunks any more (loop_region_count): where chunks move in one direction
 * only, have them sent back, or the loop runs out of them. One that is never attached is freed with the region, which
 * exists until the loops and the jobs of loop_domains that use it have ended. No job may be using the chunk. Returns 0;
 * -EINVAL for a chunk that is free, that a stream only lends, or that belongs to another loop. */
LOOP_API int loop_chunk_detach(struct loop *loop, struct loop_chunk *chunk);

/* Gives a detached chunk to this loop. The caller owns it, as if it came from loop_chunk_alloc of this loop, and it
 * stays this loop's when it is freed. Returns 0; -EXDEV when it is not of this loop's region: the loop does not
 * share that region, or it had memory for its own share only; -EINVAL for a chunk that is not detached. After an
 * error the chunk is unchanged. */
LOOP_API int loop_chunk_attach(struct loop *loop, struct loop_chunk *chunk);

/* Returns the memory of a chunk. */
LOOP_API void *loop_chunk_data(const struct loop_chunk *chunk);

/* Returns the size of a chunk in bytes: the loop's block_size. */
LOOP_API size_t loop_chunk_length(const struct loop_chunk *chunk);

/* Returns where a chunk begins in the region, in bytes from the region's start. */
LOOP_API size_t loop_chunk_offset(const struct loop_chunk *chunk);

/* Copies the first `len` bytes of a chunk to `buf`. Returns `len`; -EINVAL when the chunk is smaller, or `buf` is NULL
 * and `len` is not 0. */
LOOP_API int64_t loop_chunk_copy_out(const struct loop_chunk *chunk, void *buf, size_t len);

/* Returns how many chunks are free now. */
LOOP_API size_t loop_region_avail(const struct loop *loop);

/* Returns how many chunks this loop has. */
LOOP_API size_t loop_region_count(const struct loop *loop);

/* Returns whether the kernel has the region registered as a fixed buffer; never on epoll. The registration is tried at
 * the first call, or by the first operation that can use it. */
LOOP_API bool loop_region_is_fixed(const struct loop *loop);

/* Returns whether the kernel has registered the region that several domains share (<domain/domain.h>) for this loop
 * too. Then chunks that came from another of them are in a fixed buffer here as well. Tries it as
 * loop_region_is_fixed does. */
LOOP_API bool loop_region_is_shared(const struct loop *loop);

#ifdef __cplusplus
}
#endif

#endif
