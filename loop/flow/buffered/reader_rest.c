/* SPDX-License-Identifier: ISC
 *
 * The rest of a reader as a source.
 */
#include <loop/core/fd.h>
#include <loop/flow/buffered/reader_buffer.h>
#include <loop/flow/buffered/reader_keep.h>
#include <loop/flow/buffered/reader_operation.h>
#include <loop/flow/buffered/reader_rest.h>
#include <loop/flow/buffered/reader_state.h>
#include <loop/flow/buffered/reader_steps.h>
#include <loop/flow/own/kept.h>
#include <loop/flow/own/rest.h>
#include <loop/ground/list.h>

#include <errno.h>

static struct loop_reader *reader_of(const struct loop_source *source)
{
    return LOOP_CONTAINER(source->self, struct loop_reader, rest);
}

/* Whether the reader has been destroyed, and a stream, a copy or another reader still uses its rest. */
static bool is_pinned_only(const struct loop_reader *reader)
{
    return reader->is_destroyed && reader->rest.pins > 0;
}

static loop_job read_rest(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct loop_reader *reader = reader_of(source);
    if (is_pinned_only(reader)) {
        return loop_reader_refuse(reader, -EBADF, fn, arg);
    }
    struct loop_reader_operation operation = {.step = loop_reader_step_rest, .bytes = buf, .len = len};
    return loop_reader_is_good(reader, "read of loop_reader_source") ? loop_reader_start(reader, &operation, fn, arg)
                                                                     : 0;
}

/* Returns the descriptor behind the source, where nothing that is buffered comes before its bytes; else NULL. */
static struct loop_fd *rest_fd(struct loop_source *source)
{
    const struct loop_reader *reader = reader_of(source);
    bool has_more = loop_reader_buffered(reader) > 0 || reader->has_ended || loop_reader_running(reader);
    return reader->is_destroyed || has_more ? NULL : loop_source_direct_fd(reader->source);
}

static int close_rest(struct loop_source *source)
{
    const struct loop_reader *reader = reader_of(source);
    return reader->is_destroyed ? -EBADF : loop_source_close(reader->source);
}

/* Takes bytes back into the buffer, where those that were given out last still have their place. Bytes that went around
 * an empty buffer go back to the source instead, if that takes them. */
static int unread_rest(struct loop_source *source, const void *bytes, size_t len)
{
    struct loop_reader *reader = reader_of(source);
    if (is_pinned_only(reader)) {
        return loop_source_unread(reader->source, bytes, len);
    }
    if (!loop_reader_is_good(reader, "loop_source_unread") || loop_reader_running(reader)) {
        return loop_reader_running(reader) ? -EBUSY : -EINVAL;
    }
    loop_reader_give_nothing(reader);
    bool is_around = loop_reader_buffered(reader) == 0 && len > reader->buffer.start && !reader->has_ended;
    if (is_around && reader->source->ops->unread) {
        return loop_source_unread(reader->source, bytes, len);
    }
    return loop_reader_buffer_put_back(&reader->buffer, bytes, len) ? 0 : -ENOMEM;
}

/* Gives a block to the source of the reader. A destroyed reader may have outlived its source, but not the record. If
 * the source has been closed, there may be another one at its address: the bytes are lost. */
static bool give_to_source(struct loop_reader *reader, struct loop_block *block)
{
    if (!reader->is_destroyed || !reader->record) {
        return loop_source_give_back(reader->source, block);
    }
    bool is_open = reader->record->closes == reader->closes;
    if (is_open) {
        loop_own_keep_block(reader->record, block);
    } else {
        loop_block_free(reader->loop, block);
    }
    return is_open;
}

/* Puts the bytes of a block into the buffer. Without memory they go to the source, and what is buffered before them. A
 * reader that has ended does not read them again: it ends with -ENOMEM instead, so that the gap is noticed. */
static bool put_back(struct loop_reader *reader, struct loop_block *block)
{
    bool is_kept =
        loop_reader_buffer_put_back(&reader->buffer, (const char *)block->bytes + block->at, block->end - block->at);
    struct loop_block *buffered = is_kept ? NULL : loop_reader_buffer_detach(&reader->buffer);
    if (!is_kept && !reader->has_ended && reader->source->ops->unread) {
        bool is_taken = !buffered || give_to_source(reader, buffered);
        return give_to_source(reader, block) && is_taken;
    }
    if (!is_kept) {
        reader->has_ended = true;
        reader->status = -ENOMEM;
    }
    loop_block_free(reader->loop, block);
    if (buffered) {
        loop_block_free(reader->loop, buffered);
    }
    return is_kept;
}

/* While an operation runs, nothing may change the buffer, and the bytes go to the source. */
static bool give_back_to_rest(struct loop_rest *rest, struct loop_block *block)
{
    struct loop_reader *reader = LOOP_CONTAINER(rest, struct loop_reader, rest);
    if (reader->is_destroyed || loop_reader_running(reader)) {
        return give_to_source(reader, block);
    }
    loop_reader_give_nothing(reader);
    return put_back(reader, block);
}

/* While an operation runs, a read ends at once: with -EBUSY. */
static bool is_rest_readable(struct loop_source *source)
{
    const struct loop_reader *reader = reader_of(source);
    bool is_over = reader->is_destroyed || reader->has_ended;
    return is_over || loop_reader_running(reader) || loop_reader_buffered(reader) > 0 ||
           loop_source_is_readable(reader->source);
}

static void let_go_of_rest(struct loop_rest *rest)
{
    loop_reader_let_go(LOOP_CONTAINER(rest, struct loop_reader, rest));
}

const struct loop_rest_functions loop_reader_rest = {.source = {.read = read_rest,
                                                                .fd = rest_fd,
                                                                .close = close_rest,
                                                                .unread = unread_rest,
                                                                .is_readable = is_rest_readable},
                                                     .give_back = give_back_to_rest,
                                                     .let_go = let_go_of_rest};
