/* SPDX-License-Identifier: ISC
 *
 * The bytes that a reader has read and not given out, in one piece of memory, which grows as bytes come. The memory is
 * a block of unread bytes (loop/core/unread.h), so that a descriptor takes them back without an allocation, which could
 * fail.
 */
#ifndef LOOP_FLOW_BUFFERED_READER_BUFFER_H
#define LOOP_FLOW_BUFFERED_READER_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct loop_block;

struct loop_reader_buffer {
    char *bytes;         /* in a struct loop_block; NULL at first */
    size_t capacity;     /* of `bytes` */
    size_t max_capacity; /* the most it grows to */
    size_t start, end;   /* what is buffered */
    size_t block;        /* address and length of each read are multiples of this; 1 for any */
    bool was_filled;     /* the last read filled all of the room */
};

/* Initializes a buffer, without memory. It grows to at least `max_bytes` + 1 bytes. `block` is a power of two. */
void loop_reader_buffer_init(struct loop_reader_buffer *buffer, size_t max_bytes, size_t block);

/* Frees the memory, and what was buffered with it. */
void loop_reader_buffer_finish(struct loop_reader_buffer *buffer);

/* Empties the buffer. Returns what was buffered as a block that the caller owns; NULL when nothing was. */
struct loop_block *loop_reader_buffer_detach(struct loop_reader_buffer *buffer);

/* Makes room for a read behind what is buffered and returns how many bytes fit at loop_reader_buffer_end; 0 when there
 * is no memory. At most max_bytes are buffered. */
size_t loop_reader_buffer_make_room(struct loop_reader_buffer *buffer);

/* Adds `len` bytes, which have been read into that room, to what is buffered. */
void loop_reader_buffer_filled(struct loop_reader_buffer *buffer, size_t len);

/* Puts `len` bytes in front of what is buffered, even beyond max_bytes. False when there is no memory. */
bool loop_reader_buffer_put_back(struct loop_reader_buffer *buffer, const char *bytes, size_t len);

/* Returns how many bytes are buffered. */
static inline size_t loop_reader_buffer_length(const struct loop_reader_buffer *buffer)
{
    return buffer->end - buffer->start;
}

/* Returns the first buffered byte; an empty string when there is no memory yet. */
static inline const char *loop_reader_buffer_first(const struct loop_reader_buffer *buffer)
{
    return buffer->bytes ? buffer->bytes + buffer->start : "";
}

/* Returns the end of what is buffered, where the next read begins. */
static inline char *loop_reader_buffer_end(const struct loop_reader_buffer *buffer)
{
    return buffer->bytes + buffer->end;
}

#endif
