/* SPDX-License-Identifier: ISC
 *
 * Buffered writing: writes text and numbers to any sink. The writer owns the bytes until they are written.
 *
 * An append copies the bytes and returns at once. The bytes appended in one continuation are written together, in one
 * write, after the continuation has returned. Like the job of a loop_write, they hold the sink's scope open until they
 * are written. Bytes that are appended while a write is in flight are written together after it.
 *
 * The pending bytes are bounded by `limit_bytes`. An append that finds as many pending is refused with -ENOBUFS, and
 * one without memory with -ENOMEM. Every later append is refused too, until a continuation of loop_writer_flush or
 * loop_writer_wait_drained has been resumed after the refusal: the bytes written have no gap. So a program may ignore
 * the results of its appends and check the result of the flush after them, which reports a refusal.
 *
 * What happens to pending bytes:
 *
 * - When the sink fails, they are dropped. Jobs of loop_writer_flush and loop_writer_shutdown end with the error;
 *   without such a job the error fails the scope, as that of a job without a continuation does. Every later call gets
 *   the error too: the writer stays failed.
 * - When the sink's descriptor is closed, destroyed or taken, the writer fails with -EBADF, or with -ECANCELED where a
 *   write was in flight. The bytes are never written to another descriptor.
 * - The scope does not end while bytes are pending. But a corked writer does not hold the scope open, and the bytes
 *   that it holds back are dropped when the scope ends.
 * - When the scope is cancelled, or the writer is aborted or destroyed, the write in flight is cancelled and the rest
 *   is dropped. Waiting jobs end with -ECANCELED, or -ETIMEDOUT after a deadline of the scope. Nothing is flushed.
 *
 * A write to the sink itself is sent before bytes that the writer has gathered and not yet sent: wait for a flush
 * first.
 *
 * A sink of the program that resumes a write with more bytes than it was given aborts a debug build; otherwise the
 * writer fails with -EINVAL. A sink that resumes with fewer bytes is given the rest. If it then writes nothing and has
 * no error, the writer fails with -EIO.
 *
 * <loop/base.h> describes calls with NULL or a writer that was destroyed or whose scope has ended.
 */
#ifndef LOOP_WRITER_H
#define LOOP_WRITER_H

#include <loop/bytes.h>
#include <loop/flow.h>

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A buffered writer to a sink. */
struct loop_writer;

/* Creates a writer to `sink` in the sink's scope. It lives until loop_writer_destroy, or until the scope's on_end has
 * returned. `sink` must live as long; the writer keeps the sink of a descriptor alive even when the descriptor is
 * destroyed. An append is accepted while fewer than `limit_bytes` bytes are pending, so an empty writer accepts one of
 * any size; 0 means 1 MiB. Returns NULL when there is no memory or the scope has ended. */
LOOP_API struct loop_writer *loop_writer_create(struct loop_sink *sink, size_t limit_bytes);

/* Aborts the writer as loop_writer_abort does, and frees it. Pending bytes are dropped, a write in flight or a shutdown
 * of the sink is cancelled, and jobs that wait for the writer end with -ECANCELED. To have everything written, destroy
 * it after loop_writer_flush or loop_writer_shutdown has been resumed. Bytes of loop_writer_append_borrowed are in use
 * until a flush that was started before has been resumed, or the scope has ended. May be called anywhere on the loop's
 * thread, also in a continuation that waited for the writer. NULL is ignored; a second call is a mistake. */
LOOP_API void loop_writer_destroy(struct loop_writer *writer);

/* ---- appending ---- */

/* Appends a copy of the `len` bytes at `data`: all of them, or none. Returns
 *
 *     0            the bytes are accepted
 *     -ENOBUFS     refused: `limit_bytes` are pending, or an earlier append was refused for that
 *     -ENOMEM      refused: no memory, for this append or for an earlier one
 *     -EINVAL      refused: `len` is more than INT64_MAX / 2, or `data` is NULL, here or in an earlier append
 *     -EPIPE       loop_writer_shutdown was called
 *     -ECANCELED   the writer was aborted, or the scope is cancelled or ending
 *     other        the error of the sink, which has failed */
LOOP_API int loop_writer_append(struct loop_writer *writer, const void *data, size_t len);

/* Appends the `len` bytes at `data` without a copy. They must stay unchanged until a flush that was started afterwards
 * has been resumed, or the scope has ended. Returns what loop_writer_append returns. */
LOOP_API int loop_writer_append_borrowed(struct loop_writer *writer, const void *data, size_t len);

/* Appends formatted text, as printf(3) does, without the NUL: all of it, or nothing. Returns what loop_writer_append
 * returns. A text that vsnprintf(3) cannot print, or NULL as `format`, is refused with -EINVAL. */
LOOP_API int loop_writer_print(struct loop_writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends formatted text, as vprintf(3) does, without the NUL: all of it, or nothing. Returns what loop_writer_append
 * returns. A text that vsnprintf(3) cannot print, or NULL as `format`, is refused with -EINVAL. */
LOOP_API int loop_writer_vprint(struct loop_writer *writer, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Defines loop_writer_NAME(writer, value), which appends a number in the form of loop_put_NAME (<loop/bytes.h>). It
 * returns what loop_writer_append returns. Undefined at the end of this section. */
#define LOOP_WRITER_DEFINE(name, type)                                                                                 \
    static inline int loop_writer_##name(struct loop_writer *writer, type value)                                       \
    {                                                                                                                  \
        char bytes[sizeof value];                                                                                      \
        loop_put_##name(bytes, value);                                                                                 \
        return loop_writer_append(writer, bytes, sizeof bytes);                                                        \
    }

/* loop_writer_u8(writer, value): appends an unsigned 8-bit integer. */
LOOP_WRITER_DEFINE(u8, uint8_t)

/* loop_writer_i8(writer, value): appends a signed 8-bit integer. */
LOOP_WRITER_DEFINE(i8, int8_t)

/* loop_writer_u16_be(writer, value): appends a big-endian unsigned 16-bit integer. */
LOOP_WRITER_DEFINE(u16_be, uint16_t)

/* loop_writer_u16_le(writer, value): appends a little-endian unsigned 16-bit integer. */
LOOP_WRITER_DEFINE(u16_le, uint16_t)

/* loop_writer_u32_be(writer, value): appends a big-endian unsigned 32-bit integer. */
LOOP_WRITER_DEFINE(u32_be, uint32_t)

/* loop_writer_u32_le(writer, value): appends a little-endian unsigned 32-bit integer. */
LOOP_WRITER_DEFINE(u32_le, uint32_t)

/* loop_writer_u64_be(writer, value): appends a big-endian unsigned 64-bit integer. */
LOOP_WRITER_DEFINE(u64_be, uint64_t)

/* loop_writer_u64_le(writer, value): appends a little-endian unsigned 64-bit integer. */
LOOP_WRITER_DEFINE(u64_le, uint64_t)

/* loop_writer_i16_be(writer, value): appends a big-endian signed 16-bit integer. */
LOOP_WRITER_DEFINE(i16_be, int16_t)

/* loop_writer_i16_le(writer, value): appends a little-endian signed 16-bit integer. */
LOOP_WRITER_DEFINE(i16_le, int16_t)

/* loop_writer_i32_be(writer, value): appends a big-endian signed 32-bit integer. */
LOOP_WRITER_DEFINE(i32_be, int32_t)

/* loop_writer_i32_le(writer, value): appends a little-endian signed 32-bit integer. */
LOOP_WRITER_DEFINE(i32_le, int32_t)

/* loop_writer_i64_be(writer, value): appends a big-endian signed 64-bit integer. */
LOOP_WRITER_DEFINE(i64_be, int64_t)

/* loop_writer_i64_le(writer, value): appends a little-endian signed 64-bit integer. */
LOOP_WRITER_DEFINE(i64_le, int64_t)

/* loop_writer_f32_be(writer, value): appends a big-endian float. */
LOOP_WRITER_DEFINE(f32_be, float)

/* loop_writer_f32_le(writer, value): appends a little-endian float. */
LOOP_WRITER_DEFINE(f32_le, float)

/* loop_writer_f64_be(writer, value): appends a big-endian double. */
LOOP_WRITER_DEFINE(f64_be, double)

/* loop_writer_f64_le(writer, value): appends a little-endian double. */
LOOP_WRITER_DEFINE(f64_le, double)

#undef LOOP_WRITER_DEFINE

/* ---- waiting ---- */

/* Waits until everything appended so far has been written to the sink. Resumes with 0, with the sink's error, or with
 * the error of an append that was refused before, even though everything accepted was written; reporting it clears the
 * refusal. A cancel cancels the wait, not the write. */
LOOP_API loop_job loop_writer_flush(struct loop_writer *writer, loop_fn *fn, void *arg);

/* Waits until at most half of the limit is pending. Resumes with 0, which clears a refusal: there is room. Otherwise
 * resumes with the sink's error. A cancel cancels the wait, not the write. */
LOOP_API loop_job loop_writer_wait_drained(struct loop_writer *writer, loop_fn *fn, void *arg);

/* Returns how many bytes are pending: appended and not known to be written. */
LOOP_API size_t loop_writer_pending(const struct loop_writer *writer);

/* Returns whether the next append would be refused: `limit_bytes` are pending, or a refusal has not been reported. */
LOOP_API bool loop_writer_is_full(const struct loop_writer *writer);

/* ---- holding back ---- */

/* Holds back what is appended from now on. A flush and a wait for it to drain send it all the same. Idempotent. */
LOOP_API void loop_writer_cork(struct loop_writer *writer);

/* Ends a cork: sends what it held back after the continuation has returned. Idempotent. */
LOOP_API void loop_writer_uncork(struct loop_writer *writer);

/* ---- ending ---- */

/* Accepts no more appends, writes what is pending, and then shuts the sink down as loop_shutdown does. Resumes with 0
 * or -errno. After a failure or a refused append it does not shut the sink down, so that the peer cannot mistake a
 * truncated message for a complete one. */
LOOP_API loop_job loop_writer_shutdown(struct loop_writer *writer, loop_fn *fn, void *arg);

/* Drops what is pending and cancels the write in flight. Later appends return -ECANCELED. Bytes of
 * loop_writer_append_borrowed are in use until a flush started afterwards has been resumed. The sink stays open, and
 * what was written to it may end in the middle of a message. */
LOOP_API void loop_writer_abort(struct loop_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
