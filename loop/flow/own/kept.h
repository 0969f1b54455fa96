/* SPDX-License-Identifier: ISC
 *
 * What is kept for the next reads of a source: bytes that were read and given back, and the error behind a read that
 * could only return the bytes before it. A descriptor keeps both itself (loop/core/unread.h), and a reader keeps its
 * bytes. Sources of the program's own take bytes back with their `unread`. What that has no memory for stays in the
 * record of the source (own.h). The parts of the loop that read ahead hold the record, so that keeping needs no memory.
 */
#ifndef LOOP_FLOW_OWN_KEPT_H
#define LOOP_FLOW_OWN_KEPT_H

#include <loop/core/unread.h>
#include <loop/flow/own/own.h>

/* Holds the record of a source for loop_source_give_back, where that needs one. Stores it in `*record`, or NULL.
 * Returns false when there is no memory. */
bool loop_source_hold(const struct loop_source *source, struct loop_own **record);

/* Gives the last bytes that were read back to a source of any kind, without an allocation, and takes ownership of the
 * block. Needs loop_source_hold. Returns false where the bytes are lost: the source has no `unread`, or is closed. */
bool loop_source_give_back(struct loop_source *source, struct loop_block *block);

/* Gives bytes back: loop_source_unread for a source that is not a descriptor's. Returns 0 or -errno. */
int loop_own_unread(struct loop_source *source, const void *bytes, size_t len);

/* Keeps the bytes of a block in the record of their source, before all others. Takes ownership of the block. */
void loop_own_keep_block(struct loop_own *own, struct loop_block *block);

/* Keeps an error for the next read of the source: the read that met it resumed with the bytes before it. Needs a hold,
 * or memory. */
void loop_source_keep_error(struct loop_source *source, int64_t error);

/* Whether bytes or an error are kept in the record of a source, which is not a descriptor's. */
bool loop_source_has_kept(const struct loop_source *source);

/* Does one read of what is kept in the record of a source, which is not a descriptor's. Returns 1 to `len`, or the
 * error, which is kept no longer; 0 where nothing is kept. */
int64_t loop_source_take_kept(const struct loop_source *source, void *buf, size_t len);

/* Drops what is kept in the record of a source that is closed, or of a reader that is freed. The source is not a
 * descriptor's. */
void loop_source_drop_kept(const struct loop_source *source);

/* Returns the descriptor from which the bytes of a source of any kind may be read directly; NULL where there is none,
 * or what is kept comes first. */
struct loop_fd *loop_source_direct_fd(struct loop_source *source);

#endif
