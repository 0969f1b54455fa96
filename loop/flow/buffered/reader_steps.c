/* SPDX-License-Identifier: ISC
 *
 * The steps of operations: what they make of the bytes that are buffered. None of them reads. Bytes that are consumed
 * stay in their place until the next operation, because they are lent to the continuation.
 */
#include <loop/flow/buffered/reader_buffer.h>
#include <loop/flow/buffered/reader_state.h>
#include <loop/flow/buffered/reader_steps.h>

#include <errno.h>
#include <string.h>

void loop_reader_give_nothing(struct loop_reader *reader)
{
    reader->data = "";
    reader->data_len = 0;
    reader->consumed = 0;
    reader->nul = NULL;
}

void loop_reader_take_back(struct loop_reader *reader)
{
    if (reader->nul) {
        *reader->nul = reader->under_nul;
    }
    assert(reader->consumed <= reader->buffer.start);
    reader->buffer.start -= reader->consumed;
    loop_reader_give_nothing(reader);
}

/* Gives out the first `len` buffered bytes and consumes the first `consumed`. */
static int64_t give_out(struct loop_reader *reader, size_t len, size_t consumed)
{
    assert(len <= consumed && consumed <= loop_reader_buffered(reader));
    reader->data = loop_reader_buffer_first(&reader->buffer);
    reader->data_len = len;
    reader->consumed = consumed;
    reader->buffer.start += consumed;
    return (int64_t)consumed;
}

/* Gives out the first `len` bytes as text, with a NUL behind them. The NUL overwrites the delimiter, or the byte behind
 * all bytes, for which the buffer has room. */
static int64_t give_out_text(struct loop_reader *reader, size_t len, size_t consumed)
{
    reader->nul = reader->buffer.bytes + reader->buffer.start + len;
    reader->under_nul = *reader->nul;
    *reader->nul = 0;
    return give_out(reader, len, consumed);
}

/* Returns the result when too little is buffered: that more is needed; at the end of the source its status, or
 * `cut_off` where bytes are left. */
static int64_t too_little(const struct loop_reader *reader, int64_t cut_off)
{
    if (!reader->has_ended) {
        return LOOP_READER_NEEDS_MORE;
    }
    return reader->status < 0 || loop_reader_buffered(reader) == 0 ? reader->status : cut_off;
}

/* ---- steps ---- */

int64_t loop_reader_step_all(struct loop_reader *reader, struct loop_reader_operation *operation)
{
    (void)operation;
    size_t len = loop_reader_buffered(reader);
    if (len > reader->max_bytes) {
        return -EMSGSIZE;
    }
    int64_t result = too_little(reader, 1);
    return result > 0 ? give_out_text(reader, len, len) : result;
}

/* Returns how many bytes are searched for a delimiter: all, up to the most that may be given out. */
static size_t searched(const struct loop_reader *reader)
{
    return loop_reader_buffered(reader) < reader->max_bytes ? loop_reader_buffered(reader) : reader->max_bytes;
}

int64_t loop_reader_step_line(struct loop_reader *reader, struct loop_reader_operation *operation)
{
    const char *bytes = loop_reader_buffer_first(&reader->buffer);
    size_t most = searched(reader);
    const char *end = most > 0 ? memchr(bytes + operation->scanned, '\n', most - operation->scanned) : NULL;
    if (!end) {
        operation->scanned = most;
        return loop_reader_step_all(reader, operation);
    }
    size_t len = (size_t)(end - bytes);
    operation->scanned = 0;
    return give_out_text(reader, len > 0 && bytes[len - 1] == '\r' ? len - 1 : len, len + 1);
}

int64_t loop_reader_step_until(struct loop_reader *reader, struct loop_reader_operation *operation)
{
    const char *bytes = loop_reader_buffer_first(&reader->buffer);
    size_t most = searched(reader), len = (size_t)operation->len;
    const char *end =
        most > 0 ? memmem(bytes + operation->scanned, most - operation->scanned, operation->bytes, len) : NULL;
    if (!end) {
        operation->scanned = most < len ? 0 : most - len + 1;
        return loop_reader_step_all(reader, operation);
    }
    return give_out_text(reader, (size_t)(end - bytes), (size_t)(end - bytes) + len);
}

int64_t loop_reader_step_exact(struct loop_reader *reader, struct loop_reader_operation *operation)
{
    size_t len = (size_t)operation->len;
    if (len > reader->max_bytes) {
        return -EMSGSIZE;
    }
    return loop_reader_buffered(reader) >= len ? give_out(reader, len, len) : too_little(reader, -ENODATA);
}

int64_t loop_reader_step_take(struct loop_reader *reader, struct loop_reader_operation *operation)
{
    size_t most = searched(reader), len = operation->len < most ? (size_t)operation->len : most;
    return len > 0 ? give_out(reader, len, len) : too_little(reader, 0);
}

int64_t loop_reader_step_skip(struct loop_reader *reader, struct loop_reader_operation *operation)
{
    uint64_t left = operation->len - operation->done;
    size_t n = left < loop_reader_buffered(reader) ? (size_t)left : loop_reader_buffered(reader);
    reader->buffer.start += n;
    operation->done += n;
    if (operation->done == operation->len) {
        return (int64_t)operation->done;
    }
    int64_t result = too_little(reader, 0);
    return result != LOOP_READER_NEEDS_MORE && operation->done > 0 ? (int64_t)operation->done : result;
}

int64_t loop_reader_step_fill(struct loop_reader *reader, struct loop_reader_operation *operation)
{
    if (operation->len > reader->max_bytes) {
        return -EMSGSIZE;
    }
    return loop_reader_buffered(reader) >= operation->len ? (int64_t)loop_reader_buffered(reader)
                                                          : too_little(reader, -ENODATA);
}

int64_t loop_reader_step_rest(struct loop_reader *reader, struct loop_reader_operation *operation)
{
    size_t len = operation->len < loop_reader_buffered(reader) ? (size_t)operation->len : loop_reader_buffered(reader);
    if (len == 0) {
        return too_little(reader, 0);
    }
    memcpy(operation->bytes, loop_reader_buffer_first(&reader->buffer), len);
    reader->buffer.start += len;
    return (int64_t)len;
}
