/* SPDX-License-Identifier: ISC
 *
 * Buffered writing: text and numbers into any sink, without a thought for who keeps the bytes.
 *
 * Appending copies and returns at once. What was appended in one continuation leaves together, in one write, when that
 * has returned, and holds the sink's scope open until it has left, as the job of a loop_write would. What is appended
 * while a write is on its way leaves together after it.
 *
 * How much may be pending is bounded (`limit_bytes`): an append that finds so much waiting is refused with -ENOBUFS,
 * and so is every later one until that has been heard by a continuation, loop_writer_wait_drained's or
 * loop_writer_flush's: there are no gaps. The same goes for one that found no memory (-ENOMEM). So a program may leave
 * the results of the appends alone and look at that of the flush behind them, which tells of a refusal.
 *
 * What happens to bytes that are pending:
 *
 * - When the sink fails they are dropped. Who waits in loop_writer_flush or loop_writer_shutdown hears the error; where
 *   nobody does it goes to the scope, as that of any job without a continuation. Every later call gets it too: the
 *   writer stays failed.
 * - When the sink's descriptor is closed, destroyed or taken, the same: -EBADF, or -ECANCELED for the write that was in
 *   flight. They never go to another descriptor.
 * - The scope does not end while bytes are pending. But a corked writer holds nothing open: what it keeps is dropped.
 * - When the scope is cancelled, or the writer is aborted or destroyed, the write in flight is cancelled and all the
 *   rest is dropped; waiters hear -ECANCELED (or the scope's reason). Nothing is flushed on the way out.
 *
 * Writes to the sink itself, past the writer, come before what the writer has gathered and not yet sent: wait for a
 * flush first.
 *
 * A sink of the program's own that resumes a write with more bytes than it was given stops a debug build; otherwise the
 * writer fails with -EINVAL. One that resumes with fewer is given the rest, and fails the writer with -EIO when it then
 * takes nothing and has no error to tell.
 *
 * NULL instead of a writer, and a writer that has been destroyed or whose scope has ended: see <loop/base.h>.
 */
#ifndef LOOP_WRITER_H
#define LOOP_WRITER_H

#include <loop/bytes.h>
#include <loop/flow.h>

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

struct loop_writer;

/* A writer to `sink`, in the sink's scope. It lives until loop_writer_destroy, or until the scope's on_end has
 * returned. `sink` has to live as long: that of a descriptor is kept for the writer, also when the descriptor is
 * destroyed. An append is taken while fewer than `limit_bytes` are pending, so that one of any size is taken by an
 * empty writer; 0 means 1 MiB. Returns NULL when there is no memory or the scope has ended. */
LOOP_API struct loop_writer *loop_writer_create(struct loop_sink *sink, size_t limit_bytes);

/* Ends the writer as loop_writer_abort does, and gives the object back: what is pending is dropped, a write in flight
 * or a shutdown of the sink is cancelled, and jobs that wait for the writer end with -ECANCELED. To have everything
 * written, destroy it when loop_writer_flush or loop_writer_shutdown has been resumed. What was given by
 * loop_writer_append_borrowed is in use until a flush that was asked for before has been resumed, or the scope has
 * ended. May be called anywhere on the loop's thread, also by a continuation that waited for the writer. NULL is
 * harmless, twice is a mistake. */
LOOP_API void loop_writer_destroy(struct loop_writer *writer);

/* ---- appending ----
 *
 * All of it or nothing. Return 0; -ENOBUFS, -ENOMEM: refused, see above; -EINVAL: refused too, a length beyond all
 * reason, or NULL where there has to be data or a format; -EPIPE after loop_writer_shutdown; the sink's error once it
 * has failed; -ECANCELED after an abort, or when the scope is cancelled or ending. */

LOOP_API int loop_writer_append(struct loop_writer *writer, const void *data, size_t len);

/* The same without a copy: `data` must stay as it is until a flush that was asked for afterwards has been resumed, or
 * the scope has ended. */
LOOP_API int loop_writer_append_borrowed(struct loop_writer *writer, const void *data, size_t len);

/* As printf(3), without its NUL. -EINVAL, a refusal too, for what vsnprintf(3) can't print. */
LOOP_API int loop_writer_print(struct loop_writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
LOOP_API int loop_writer_vprint(struct loop_writer *writer, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Numbers of both byte orders, as in <loop/bytes.h>: loop_writer_u32_be(writer, value) and its kin. */
#define LOOP_WRITER_DEFINE(name, type)                                                                                 \
    static inline int loop_writer_##name(struct loop_writer *writer, type value)                                       \
    {                                                                                                                  \
        char bytes[sizeof value];                                                                                      \
        loop_put_##name(bytes, value);                                                                                 \
        return loop_writer_append(writer, bytes, sizeof bytes);                                                        \
    }

LOOP_WRITER_DEFINE(u8, uint8_t)
LOOP_WRITER_DEFINE(i8, int8_t)
LOOP_WRITER_DEFINE(u16_be, uint16_t)
LOOP_WRITER_DEFINE(u16_le, uint16_t)
LOOP_WRITER_DEFINE(u32_be, uint32_t)
LOOP_WRITER_DEFINE(u32_le, uint32_t)
LOOP_WRITER_DEFINE(u64_be, uint64_t)
LOOP_WRITER_DEFINE(u64_le, uint64_t)
LOOP_WRITER_DEFINE(i16_be, int16_t)
LOOP_WRITER_DEFINE(i16_le, int16_t)
LOOP_WRITER_DEFINE(i32_be, int32_t)
LOOP_WRITER_DEFINE(i32_le, int32_t)
LOOP_WRITER_DEFINE(i64_be, int64_t)
LOOP_WRITER_DEFINE(i64_le, int64_t)
LOOP_WRITER_DEFINE(f32_be, float)
LOOP_WRITER_DEFINE(f32_le, float)
LOOP_WRITER_DEFINE(f64_be, double)
LOOP_WRITER_DEFINE(f64_le, double)

#undef LOOP_WRITER_DEFINE

/* ---- waiting ---- */

/* Resumes with 0 when all that has been appended so far has been written to the sink. Else with the sink's error; or
 * with that of an append that was refused before, though all that had been taken has been written: nothing is refused
 * for that any more once this has been heard. Cancelling it cancels the waiting, not the writing. */
LOOP_API loop_job loop_writer_flush(struct loop_writer *writer, loop_fn *fn, void *arg);

/* Resumes with 0 when at most half of the limit is pending: there is room, and nothing is refused any more. Else with
 * the sink's error. */
LOOP_API loop_job loop_writer_wait_drained(struct loop_writer *writer, loop_fn *fn, void *arg);

/* How many bytes are pending: appended and not known to be written; and whether the next append would be refused. */
LOOP_API size_t loop_writer_pending(const struct loop_writer *writer);
LOOP_API bool loop_writer_is_full(const struct loop_writer *writer);

/* ---- holding back ---- */

/* Keeps what is appended from now on from leaving by itself. Idempotent. A flush sends what is there also when corked,
 * and so does waiting for it to drain. */
LOOP_API void loop_writer_cork(struct loop_writer *writer);

/* Lets go what a cork has kept. Idempotent. */
LOOP_API void loop_writer_uncork(struct loop_writer *writer);

/* ---- ending ---- */

/* Takes no more, writes what is pending, then shuts the sink down as loop_shutdown does: resumes with 0 or -errno.
 * After a failure or a refused append it doesn't, lest the peer take half of something for the whole. */
LOOP_API loop_job loop_writer_shutdown(struct loop_writer *writer, loop_fn *fn, void *arg);

/* Drops what is pending and takes no more; see above. What was given by loop_writer_append_borrowed is in use until a
 * flush started afterwards has been resumed. The sink is left as it is, maybe cut off in the middle of something. */
LOOP_API void loop_writer_abort(struct loop_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
