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
#include <loop/flow/buffered/reader_buffer.h>
#include <loop/flow/buffered/reader_keep.h>
#include <loop/flow/buffered/reader_state.h>
#include <loop/flow/own/kept.h>
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

/* Gives what was read and not given out back to the source, if that takes it. */
static void give_back(struct loop_reader *reader)
{
    struct loop_block *block = loop_reader_buffer_detach(&reader->buffer);
    if (block) {
        (void)loop_source_give_back(reader->source, block);
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
    loop_own_release(reader->record);
    loop_source_drop_kept(&reader->rest.source); /* the next reader may get this address */
    loop_slab_put(&reader->loop->readers, reader);
}

int64_t loop_reader_last_word(const struct loop_reader *reader, int64_t otherwise)
{
    return reader->is_destroyed && reader->has_ended && reader->status < 0 ? reader->status : otherwise;
}
