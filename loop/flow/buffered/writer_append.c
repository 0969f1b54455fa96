/* SPDX-License-Identifier: ISC
 *
 * Appending to a writer.
 */
#include <loop/core/scope.h>
#include <loop/flow/buffered/writer_batch.h>
#include <loop/flow/buffered/writer_send.h>
#include <loop/flow/buffered/writer_state.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Notes that an append is refused with `error`, which it returns. */
static int refuse(struct loop_writer *writer, int error)
{
    writer->refusal = error;
    writer->n_refusals++;
    return error;
}

/* Returns 0 when the writer takes `len` more bytes, else -errno. `has_bytes`: the pointer to them is not NULL. */
static int admit(struct loop_writer *writer, size_t len, bool has_bytes)
{
    if (writer->error) {
        return writer->error;
    }
    if (writer->scope->is_cancelled || !loop_scope_takes_work(writer->scope)) {
        return -ECANCELED;
    }
    if (writer->is_closed) {
        return -EPIPE;
    }
    if (writer->refusal) {
        return writer->refusal;
    }
    if (loop_writer_pending_bytes(writer) >= writer->limit_bytes) {
        return refuse(writer, -ENOBUFS);
    }
    return len > INT64_MAX / 2 || !has_bytes ? refuse(writer, -EINVAL) : 0;
}

/* Counts `len` bytes as appended, and has them sent. Returns 0. */
static int appended(struct loop_writer *writer, size_t len)
{
    writer->appended += len;
    if (!writer->inner && !loop_writer_is_held_back(writer)) {
        loop_writer_look_soon(writer);
    }
    return 0;
}

int loop_writer_append(struct loop_writer *writer, const void *data, size_t len)
{
    int error = loop_writer_is_good(writer, __func__) ? admit(writer, len, data || len == 0) : -EINVAL;
    if (error || len == 0) {
        return error;
    }
    struct loop_writer_batch *batch = &writer->filling;
    if (!loop_writer_batch_make_room(batch, len)) {
        return refuse(writer, -ENOMEM);
    }
    memcpy(batch->data + batch->len, data, len);
    return loop_writer_batch_add_copied(batch, len) ? appended(writer, len) : refuse(writer, -ENOMEM);
}

int loop_writer_append_borrowed(struct loop_writer *writer, const void *data, size_t len)
{
    int error = loop_writer_is_good(writer, __func__) ? admit(writer, len, data || len == 0) : -EINVAL;
    if (error || len == 0) {
        return error;
    }
    struct iovec piece = {(void *)(uintptr_t)data, len};
    return loop_writer_batch_add(&writer->filling, piece) ? appended(writer, len) : refuse(writer, -ENOMEM);
}

/* Prints into the room that there is. Returns what vsnprintf(3) does. */
__attribute__((format(printf, 2, 0))) static int print_into(struct loop_writer_batch *batch, const char *format,
                                                            va_list args)
{
    size_t room = batch->capacity - batch->len;
    return vsnprintf(room > 0 ? batch->data + batch->len : NULL, room, format, args);
}

int loop_writer_vprint(struct loop_writer *writer, const char *format, va_list args)
{
    int error = loop_writer_is_good(writer, __func__) ? admit(writer, 0, format != NULL) : -EINVAL;
    if (error) {
        return error;
    }
    struct loop_writer_batch *batch = &writer->filling;
    va_list again;
    va_copy(again, args);
    int len = print_into(batch, format, args);
    if (len >= 0 && (size_t)len >= batch->capacity - batch->len) { /* vsnprintf needs room for a NUL, too */
        error = loop_writer_batch_make_room(batch, (size_t)len + 1) ? 0 : -ENOMEM;
        len = error ? len : print_into(batch, format, again);
    }
    va_end(again);
    if (error || len < 0) {
        return refuse(writer, error ? error : -EINVAL);
    }
    if (len == 0) {
        return 0;
    }
    return loop_writer_batch_add_copied(batch, (size_t)len) ? appended(writer, (size_t)len) : refuse(writer, -ENOMEM);
}

int loop_writer_print(struct loop_writer *writer, const char *format, ...)
{
    if (!loop_writer_is_good(writer, __func__)) {
        return -EINVAL;
    }
    va_list args;
    va_start(args, format);
    int error = loop_writer_vprint(writer, format, args);
    va_end(args);
    return error;
}
