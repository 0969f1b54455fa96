/* SPDX-License-Identifier: ISC
 *
 * What keeps a reader. The object is in a slab of the loop and in the scope's `kept`. It is freed after
 * loop_reader_destroy, or when the scope's on_end has returned. A read in flight, functions of the program on the
 * stack, and pins keep it until they are done.
 *
 * A reader pins the descriptor behind its source and has a pointer of its own to the scope. So its source may be closed
 * or destroyed at any time: the reader finds it closed, and never finds another connection in its place.
 */
#include <loop/core/check.h>
#include <loop/core/unread.h>
#include <loop/flow/buffered/reader_buffer.h>
#include <loop/flow/buffered/reader_keep.h>
#include <loop/flow/buffered/reader_state.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/rest.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/part.h>

#include <errno.h>

bool loop_reader_is_good(const struct loop_reader *reader, const char *function)
{
    if (!reader || loop_is_freed(reader) || reader->is_destroyed) {
        return loop_bad_rest(reader ? &reader->rest : NULL, function);
    }
    loop_check_thread(reader->loop, function);
    return true;
}

/* Puts bytes back into a reader that stands below. Without memory they are lost, and the reader ends with that error,
 * so that no gap goes unnoticed. */
static void put_back(struct loop_reader *reader, const char *bytes, size_t len)
{
    if (!reader->is_destroyed && !loop_reader_buffer_put_back(&reader->buffer, bytes, len)) {
        loop_reader_buffer_finish(&reader->buffer);
        reader->has_ended = true;
        reader->status = -ENOMEM;
    }
}

/* Gives what was read and not given out back to the source, if that takes it. A descriptor needs no memory for that. */
static void give_back(struct loop_reader *reader)
{
    size_t len = loop_reader_buffered(reader);
    const char *bytes = loop_reader_buffer_first(&reader->buffer);
    if (len > 0 && reader->source->ops == &loop_fd_source) {
        loop_unread_give_back(reader->fd, loop_reader_buffer_detach(&reader->buffer));
    } else if (len > 0 && reader->below) {
        put_back(LOOP_CONTAINER(reader->below, struct loop_reader, rest), bytes, len);
    } else if (len > 0) {
        (void)loop_source_unread(reader->source, bytes, len);
    }
}

void loop_reader_let_go(struct loop_reader *reader)
{
    if (!reader->is_destroyed || reader->inner || reader->calls > 0) {
        return;
    }
    give_back(reader);
    loop_reader_buffer_finish(&reader->buffer);
    if (reader->rest.pins > 0) {
        return;
    }
    loop_hlist_remove(&reader->kept.link);
    if (reader->fd) {
        loop_fd_unpin(reader->fd);
    }
    if (reader->below) {
        loop_rest_unpin(reader->below);
    }
    loop_slab_put(&reader->loop->readers, reader);
}

int64_t loop_reader_last_word(const struct loop_reader *reader, int64_t otherwise)
{
    return reader->is_destroyed && reader->has_ended && reader->status < 0 ? reader->status : otherwise;
}
