/* SPDX-License-Identifier: ISC
 *
 * The batches of writers.
 */
#include <loop/kernel/memory.h>
#include <loop/flow/buffered/writer_batch.h>

#include <assert.h>
#include <stdint.h>

#define FIRST_CAPACITY ((size_t)1024)
#define FIRST_PIECES ((size_t)8)

bool loop_writer_batch_make_room(struct loop_writer_batch *batch, size_t len)
{
    if (len <= batch->capacity - batch->len) {
        return true;
    }
    if (len > SIZE_MAX / 4 - batch->len) {
        return false;
    }
    size_t capacity = batch->capacity ? batch->capacity : FIRST_CAPACITY;
    while (capacity < batch->len + len) {
        capacity *= 2;
    }
    char *data = loop_kernel_realloc(batch->data, capacity);
    if (data) {
        batch->data = data;
        batch->capacity = capacity;
    }
    return data != NULL;
}

bool loop_writer_batch_add(struct loop_writer_batch *batch, struct iovec piece)
{
    if (!batch->pieces || batch->n_pieces == batch->pieces_capacity) {
        size_t capacity = batch->pieces_capacity ? batch->pieces_capacity * 2 : FIRST_PIECES;
        struct iovec *pieces = loop_kernel_realloc(batch->pieces, capacity * sizeof *pieces);
        if (!pieces) {
            return false;
        }
        batch->pieces = pieces;
        batch->pieces_capacity = capacity;
    }
    batch->pieces[batch->n_pieces++] = piece;
    return true;
}

bool loop_writer_batch_add_copied(struct loop_writer_batch *batch, size_t len)
{
    struct iovec *last = batch->n_pieces > 0 ? &batch->pieces[batch->n_pieces - 1] : NULL;
    if (last && !last->iov_base) {
        last->iov_len += len;
    } else if (!loop_writer_batch_add(batch, (struct iovec){NULL, len})) {
        return false;
    }
    batch->len += len;
    assert(batch->len <= batch->capacity);
    return true;
}

void loop_writer_batch_resolve(struct loop_writer_batch *batch)
{
    char *data = batch->data;
    for (size_t i = 0; i < batch->n_pieces; i++) {
        if (!batch->pieces[i].iov_base) {
            batch->pieces[i].iov_base = data;
            data += batch->pieces[i].iov_len;
        }
    }
}

size_t loop_writer_batch_advance(struct loop_writer_batch *batch, size_t at, size_t n)
{
    while (at < batch->n_pieces && n >= batch->pieces[at].iov_len) {
        n -= batch->pieces[at++].iov_len;
    }
    assert(n == 0 || at < batch->n_pieces);
    if (at < batch->n_pieces) {
        struct iovec *piece = &batch->pieces[at];
        *piece = (struct iovec){(char *)piece->iov_base + n, piece->iov_len - n};
    }
    return at;
}

void loop_writer_batch_empty(struct loop_writer_batch *batch, size_t usual_bytes)
{
    if (batch->capacity / 4 > usual_bytes && batch->capacity > FIRST_CAPACITY) {
        loop_writer_batch_finish(batch);
    }
    batch->len = 0;
    batch->n_pieces = 0;
}

void loop_writer_batch_finish(struct loop_writer_batch *batch)
{
    loop_kernel_free(batch->data);
    loop_kernel_free(batch->pieces);
    *batch = (struct loop_writer_batch){.data = NULL};
}
