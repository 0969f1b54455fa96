/* SPDX-License-Identifier: ISC
 *
 * What a writer sends in one write: copied bytes, one behind the other, and references to memory of the program.
 */
#ifndef LOOP_FLOW_BUFFERED_WRITER_BATCH_H
#define LOOP_FLOW_BUFFERED_WRITER_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct loop_writer_batch {
    char *data;           /* the copies, from malloc */
    size_t len, capacity; /* of `data` */
    struct iovec *pieces; /* iov_base NULL: the next iov_len bytes of `data`, until loop_writer_batch_resolve */
    size_t n_pieces, pieces_capacity;
};

/* Makes room for `len` more bytes behind those in `data`. False when there is no memory. */
bool loop_writer_batch_make_room(struct loop_writer_batch *batch, size_t len);

/* Appends `len` bytes that have been put into that room. False when there is no memory. */
bool loop_writer_batch_add_copied(struct loop_writer_batch *batch, size_t len);

/* Appends a reference. False when there is no memory. */
bool loop_writer_batch_add(struct loop_writer_batch *batch, struct iovec piece);

/* Points the pieces at their bytes. After that nothing may be appended. */
void loop_writer_batch_resolve(struct loop_writer_batch *batch);

/* Skips `n` bytes of the pieces from `at` on. Returns the piece that is next. */
size_t loop_writer_batch_advance(struct loop_writer_batch *batch, size_t at, size_t n);

/* Empties the batch. Keeps its memory, unless that is more than four times `usual_bytes`. */
void loop_writer_batch_empty(struct loop_writer_batch *batch, size_t usual_bytes);

/* Frees the memory of the batch. */
void loop_writer_batch_finish(struct loop_writer_batch *batch);

#endif
