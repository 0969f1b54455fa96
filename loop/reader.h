/* SPDX-License-Identifier: ISC
 *
 * Buffered reading: lines, records and headers out of any source.
 *
 * A reader reads its source in large pieces, keeps what has not been asked for yet, and gives it out in the pieces that
 * a program thinks in. Each call here that returns a job starts one in the source's scope; its continuation is resumed
 * from the loop, also when the bytes are there already. Its result is
 *
 *     > 0      how many bytes of the source were consumed; what they say is at loop_reader_data
 *     0        the end of the source, and nothing is left before it
 *     -errno   nothing was consumed, and what has come stays in the reader for the next call
 *
 * so that a loop over lines ends where the result is not positive. Errors, besides the source's own:
 *
 *     -EMSGSIZE   it would take more than the reader's max_bytes. Nothing was lost: take or skip some, or give up
 *     -ENODATA    the source ended in the middle of it
 *     -EBUSY      another operation of this reader is running: one at a time
 *     -EINVAL     of length 0, which would look like the end; a delimiter that is NULL; the source of the program's
 *                 own has answered with more than it was asked for (a debug build stops)
 *     -ENOMEM     there was no memory to go on; another try may find some
 *     -ECANCELED  it was cancelled
 *
 * The end of the source and its errors (but for a cancellation) are remembered: each call that finds too little then
 * says so at once, and the source isn't read again. Bytes that came before an error are not lost: loop_reader_take and
 * loop_reader_peek give them out; only the calls that would have to take the break for an end answer with the error.
 *
 * Cancelling leaves the bytes that have come where they are. So another operation can be tried, for example after a
 * deadline of the program's own; a scope's deadline ends all that there is in the scope, this reader's jobs included.
 *
 * A program that has a reader on a source reads from the reader only: bytes that the reader has taken are no longer in
 * the source.
 *
 * The descriptor behind the source may be closed, destroyed or taken at any time. The operation that is reading then
 * ends with -ECANCELED, later ones with -EBADF; they never read another descriptor. What had come stays in the reader:
 * loop_reader_peek shows it, loop_reader_take gives it out. The number from loop_fd_take reads on behind those bytes.
 *
 * NULL instead of a reader, and a reader that has been destroyed or whose scope has ended: see <loop/base.h>. The calls
 * that return text return an empty string then.
 */
#ifndef LOOP_READER_H
#define LOOP_READER_H

#include <loop/flow.h>

#ifdef __cplusplus
extern "C" {
#endif

struct loop_reader;

/* A reader of `source`, in the source's scope. It lives until loop_reader_destroy, or until the scope's on_end has
 * returned. `source` has to live as long: that of a descriptor is kept for the reader, also when the descriptor is
 * destroyed. `max_bytes` bounds what one operation can give out, delimiter included, and thereby the memory of the
 * reader: exactly so many bytes are taken, one more is -EMSGSIZE; 0 means 1 MiB. Memory is taken when it is needed for
 * what has come. Returns NULL when there is no memory or the scope has ended. */
LOOP_API struct loop_reader *loop_reader_create(struct loop_source *source, size_t max_bytes);

/* Ends the reader. Its operation ends with -ECANCELED, also one whose result is due; an error of the source that has
 * not been told yet is told instead. Bytes that have not been given out go back to the source (loop_source_unread):
 * they are what is read of it next. A source that takes nothing back loses them, so look at loop_reader_peek before.
 * What loop_reader_data and loop_reader_peek have returned is gone when this returns. A stream or a copy of
 * loop_reader_source that has gone over to the descriptor goes on; one that reads through the reader ends with
 * -ECANCELED or -EBADF. May be called anywhere on the loop's thread, also by a continuation of the reader's own. NULL
 * is harmless, twice is a mistake. */
LOOP_API void loop_reader_destroy(struct loop_reader *reader);

/* The bytes that the last operation gave out, and in `*len` (which may be NULL) how many they are: good until the next
 * operation is started or the reader destroyed. Lines, and what comes of loop_reader_until and loop_reader_all, are
 * followed by a NUL that isn't counted. An operation that gave out nothing leaves an empty string. */
LOOP_API const char *loop_reader_data(const struct loop_reader *reader, size_t *len);

/* ---- text ---- */

/* A line, which ends with LF or CRLF; the data is without them. What stands behind the last of them is a line as well:
 * the result is then as long as the data. */
LOOP_API loop_job loop_reader_line(struct loop_reader *reader, loop_fn *fn, void *arg);

/* What stands before the next delimiter, which is consumed too and isn't in the data; or the rest when there is none
 * any more: the result is then as long as the data. `delimiter` must stay until the continuation. */
LOOP_API loop_job loop_reader_until(struct loop_reader *reader, const void *delimiter, size_t delimiter_len,
                                    loop_fn *fn, void *arg);

/* All lines, by one job: its continuation is resumed for each as by loop_reader_line, and then once to say how it
 * ended, with 0 or -errno. Lines that have come together are given out together, up to 64 of them: what they write
 * leaves together, and scopes that they empty end, when that is done. Then others have their turn. Cancelled, also from
 * inside its continuation, it gives out no more lines and ends with -ECANCELED; what it hasn't given out is there for
 * the next operation, such as the body behind a header. */
LOOP_API loop_job loop_reader_lines(struct loop_reader *reader, loop_fn *fn, void *arg);

/* ---- bytes ---- */

/* Exactly `len` bytes. <loop/bytes.h> makes numbers of them. A record of no bytes has nothing to be read: don't ask. */
LOOP_API loop_job loop_reader_exact(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg);

/* 1 to `len` bytes: what has come, or what comes next. */
LOOP_API loop_job loop_reader_take(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg);

/* All that comes until the end of the source. */
LOOP_API loop_job loop_reader_all(struct loop_reader *reader, loop_fn *fn, void *arg);

/* Drops `len` bytes, however many: max_bytes is no limit here, and nothing is given out. The result is how many were
 * dropped, fewer than `len` when the end, an error or a cancel came in between; the next call tells which. */
LOOP_API loop_job loop_reader_skip(struct loop_reader *reader, uint64_t len, loop_fn *fn, void *arg);

/* ---- a window for parsers of one's own ---- */

/* Sees to it that at least `len` bytes are in the window. Consumes and gives out nothing: the result is how many bytes
 * are in it now. */
LOOP_API loop_job loop_reader_fill(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg);

/* Returns the bytes that have come and are not consumed, and in `*len` (which may be NULL) how many they are: good
 * until the next operation is started or the reader destroyed. None while an operation is running. */
LOOP_API const char *loop_reader_peek(const struct loop_reader *reader, size_t *len);

/* Consumes the first `len` bytes of the window. 0, -EINVAL when there are fewer, -EBUSY while an operation runs. */
LOOP_API int loop_reader_consume(struct loop_reader *reader, size_t len);

/* ---- the rest ---- */

/* What is left as a source of its own, for loop_copy and loop_stream: first what the reader has, then what comes. It
 * belongs to the reader and lives as long. A read of it is an operation of the reader like the others, and so is the
 * waiting of a stream, which holds no chunk of the region meanwhile. Where the reader has nothing left a copy or a
 * stream that is started takes the bytes directly from the descriptor, and is no slower than without a reader. */
LOOP_API struct loop_source *loop_reader_source(struct loop_reader *reader);

#ifdef __cplusplus
}
#endif

#endif
