/* SPDX-License-Identifier: ISC
 *
 * A reader's buffer. It moves what is buffered only when that frees half of the memory, or when there is no other way
 * to make room.
 */
#include <loop/core/unread.h>
#include <loop/flow/buffered/reader_buffer.h>
#include <loop/kernel/memory.h>

#include <assert.h>
#include <string.h>

#define FIRST_CAPACITY ((size_t)4096)
#define READ_BYTES ((size_t)65536) /* beyond this a larger read moves bytes no faster */

static size_t round_down(size_t size, size_t block)
{
    return size & ~(block - 1);
}

static size_t round_up(size_t size, size_t block)
{
    return round_down(size + block - 1, block);
}

/* Returns how far into the memory from malloc the bytes are: behind the fields of a block, and at a multiple of
 * `block`. */
static size_t front(size_t block)
{
    return round_up(offsetof(struct loop_block, bytes), block);
}

static struct loop_block *memory_of(const struct loop_reader_buffer *buffer)
{
    return buffer->bytes ? (void *)(buffer->bytes - front(buffer->block)) : NULL;
}

void loop_reader_buffer_init(struct loop_reader_buffer *buffer, size_t max_bytes, size_t block)
{
    size_t most = max_bytes + 1; /* one more than may be given out, so that too many are noticed */
    *buffer = (struct loop_reader_buffer){.block = block};
    buffer->max_capacity = block == 1 ? most : round_up(most, block) + block;
}

/* Empties a buffer that does not own its memory any more. It grows as far as before. */
static void forget_memory(struct loop_reader_buffer *buffer)
{
    *buffer = (struct loop_reader_buffer){.max_capacity = buffer->max_capacity, .block = buffer->block};
}

void loop_reader_buffer_finish(struct loop_reader_buffer *buffer)
{
    loop_kernel_free(memory_of(buffer));
    forget_memory(buffer);
}

struct loop_block *loop_reader_buffer_detach(struct loop_reader_buffer *buffer)
{
    struct loop_block *memory = memory_of(buffer);
    if (loop_reader_buffer_length(buffer) == 0) {
        return NULL;
    }
    size_t at = (size_t)(buffer->bytes - (char *)memory->bytes);
    *memory = (struct loop_block){.at = at + buffer->start, .end = at + buffer->end};
    forget_memory(buffer);
    return memory;
}

/* Returns where what is buffered ends after a move: the next read begins there, at a multiple of the block. */
static size_t moved_end(const struct loop_reader_buffer *buffer)
{
    return round_up(loop_reader_buffer_length(buffer), buffer->block);
}

/* Moves what is buffered to the front of the memory. */
static void move_to_front(struct loop_reader_buffer *buffer)
{
    size_t used = loop_reader_buffer_length(buffer), end = moved_end(buffer);
    if (used > 0 && buffer->end != end) {
        memmove(buffer->bytes + end - used, buffer->bytes + buffer->start, used);
    }
    buffer->start = end - used;
    buffer->end = end;
}

/* Allocates memory for `capacity` bytes, and for a NUL behind them: they may all be taken when the source has ended. */
static char *allocate(size_t capacity, size_t block)
{
    size_t size = front(block) + capacity + block;
    char *memory = block == 1 ? loop_kernel_malloc(size) : loop_kernel_aligned_alloc(block, size);
    return memory ? memory + front(block) : NULL;
}

/* Moves what is buffered to new memory of `capacity` bytes, so that it ends at `end`. False, with the old memory kept,
 * when there is none. */
static bool replace(struct loop_reader_buffer *buffer, size_t capacity, size_t end)
{
    size_t used = loop_reader_buffer_length(buffer);
    char *bytes = allocate(capacity, buffer->block);
    if (!bytes) {
        return false;
    }
    if (used > 0) {
        memcpy(bytes + end - used, buffer->bytes + buffer->start, used);
    }
    loop_kernel_free(memory_of(buffer));
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    buffer->start = end - used;
    buffer->end = end;
    return true;
}

/* Doubles the memory, up to the most; without memory it stays as it is. */
static void grow(struct loop_reader_buffer *buffer)
{
    size_t first = buffer->block == 1 ? FIRST_CAPACITY : round_up(READ_BYTES, buffer->block);
    size_t capacity = buffer->capacity == 0 ? first : buffer->capacity * 2;
    capacity = capacity < buffer->max_capacity ? capacity : buffer->max_capacity;
    (void)replace(buffer, capacity, moved_end(buffer));
}

size_t loop_reader_buffer_make_room(struct loop_reader_buffer *buffer)
{
    size_t used = loop_reader_buffer_length(buffer);
    bool is_crowded = used >= buffer->capacity / 2;
    bool is_small = buffer->was_filled && buffer->capacity < READ_BYTES;
    buffer->was_filled = false;
    if (used == 0) {
        move_to_front(buffer);
    }
    if ((is_crowded || is_small) && buffer->capacity < buffer->max_capacity) {
        grow(buffer);
    }
    bool has_block = round_up(buffer->end, buffer->block) == buffer->end && buffer->end < buffer->capacity;
    if (!has_block || buffer->start >= buffer->capacity / 2) {
        move_to_front(buffer);
    }
    return round_down(buffer->capacity - buffer->end, buffer->block);
}

void loop_reader_buffer_filled(struct loop_reader_buffer *buffer, size_t len)
{
    assert(len <= buffer->capacity - buffer->end);
    buffer->end += len;
    buffer->was_filled = buffer->end == buffer->capacity;
}

bool loop_reader_buffer_put_back(struct loop_reader_buffer *buffer, const char *bytes, size_t len)
{
    if (len > buffer->start) {
        size_t end = round_up(len + loop_reader_buffer_length(buffer), buffer->block);
        if (!replace(buffer, end + buffer->block, end)) {
            return false;
        }
    }
    buffer->start -= len;
    memcpy(buffer->bytes + buffer->start, bytes, len);
    return true;
}
