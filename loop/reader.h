/* SPDX-License-Identifier: ISC
 *
 * Buffered reading: reads lines, records and headers from any source.
 *
 * A reader reads its source in large pieces. It keeps the bytes that the program has not read yet, and delivers them in
 * the pieces that the program asks for. Each function here that returns a job starts an operation in the source's
 * scope. The loop resumes its continuation, even when the bytes are there already. The result is
 *
 *     > 0      how many bytes of the source were consumed; loop_reader_data returns the data
 *     0        the end of the source, with no bytes left before it
 *     -errno   nothing was consumed; the bytes that have arrived stay in the reader for the next operation
 *
 * so a loop over lines ends when the result is not positive. The errors are those of the source, and
 *
 *     -EMSGSIZE   the operation needs more than the reader's max_bytes. No bytes are lost: take or skip some
 *     -ENODATA    the source ended in the middle of the data
 *     -EBUSY      another operation of this reader is running: one at a time
 *     -EINVAL     the length is 0, whose result would look like the end; the delimiter is NULL; or a source of the
 *                 program returned more bytes than it was asked for (which aborts a debug build)
 *     -ENOMEM     there was no memory to continue; a later operation may succeed
 *     -ECANCELED  the operation was cancelled; -ETIMEDOUT after a deadline of the scope
 *
 * The reader remembers the end of the source and its errors, except a cancellation. From then on each operation that
 * finds too few bytes ends with it at once, and the source is not read again: a file that grows is followed by
 * loop_read of its source, without a reader. Bytes that came before an error are not lost: loop_reader_take and
 * loop_reader_peek deliver them. Only operations that would mistake the failure for the end of the input return the
 * error.
 *
 * A cancelled operation leaves the bytes that have arrived in the reader. So the program can start another operation,
 * for example after a timeout of its own. A deadline of the scope ends everything in the scope, and with it the jobs of
 * the reader.
 *
 * A program with a reader on a source reads from the reader only: the bytes in the reader are no longer in the source.
 *
 * The descriptor behind the source may be closed, destroyed or taken at any time. The operation that is reading then
 * ends with -ECANCELED, and later ones with -EBADF; none of them reads another descriptor. The bytes that had arrived
 * stay in the reader: loop_reader_peek shows them, and loop_reader_take delivers them. The number from loop_fd_take
 * continues behind those bytes.
 *
 * <loop/base.h> describes calls with NULL or a reader that was destroyed or whose scope has ended. The functions that
 * return text return an empty string for them.
 */
#ifndef LOOP_READER_H
#define LOOP_READER_H

#include <loop/flow.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A buffered reader of a source. */
struct loop_reader;

/* Creates a reader of `source` in the source's scope. It lives until loop_reader_destroy, or until the scope's on_end
 * has returned. `source` must live as long; the reader keeps the source of a descriptor alive even when the descriptor
 * is destroyed. `max_bytes` limits what one operation can deliver, including the delimiter, and with it the reader's
 * memory. An operation that needs one byte more ends with -EMSGSIZE; 0 means 1 MiB. Memory is allocated as bytes
 * arrive. Returns NULL when there is no memory or the scope has ended. */
LOOP_API struct loop_reader *loop_reader_create(struct loop_source *source, size_t max_bytes);

/* Destroys the reader. Its operation ends with -ECANCELED, even where bytes for it were already due, or with an error
 * of the source that was not reported yet. Where the end of the source was already due it ends with 0. Bytes that were
 * not delivered go back to the source (loop_source_unread), and its next read delivers them, also where there is no
 * memory. A source that is closed, or that takes nothing back, loses them, so look at loop_reader_peek before. Bytes
 * for the source of another reader stay with that reader; without memory for them, a reader that has already met the
 * end of its source ends with -ENOMEM instead.
 *
 * What loop_reader_data and loop_reader_peek returned is invalid afterwards. A stream or copy of loop_reader_source
 * continues where it already reads the descriptor directly; one that reads through the reader ends with -ECANCELED or
 * -EBADF. May be called anywhere on the loop's thread, also in a continuation of the reader. NULL is ignored; a second
 * call is a mistake. */
LOOP_API void loop_reader_destroy(struct loop_reader *reader);

/* Returns the bytes that the last operation delivered, and stores their count in `*len`, which may be NULL. They are
 * valid until the next operation is started or the reader is destroyed. A NUL that is not counted follows the bytes of
 * loop_reader_line, loop_reader_lines, loop_reader_until and loop_reader_all. Returns an empty string after an
 * operation that delivered nothing. */
LOOP_API const char *loop_reader_data(const struct loop_reader *reader, size_t *len);

/* ---- text ---- */

/* Reads a line, which ends with LF or CRLF; the data is without them. Resumes with the count of consumed bytes, 0 at
 * the end, or -errno. Bytes after the last line end count as a line: the result is then the length of the data. */
LOOP_API loop_job loop_reader_line(struct loop_reader *reader, loop_fn *fn, void *arg);

/* Reads the bytes before the next delimiter, and consumes the delimiter too; the data is without it. When no delimiter
 * is left it reads the rest: the result is then the length of the data. Resumes with the count of consumed bytes, 0 at
 * the end, or -errno. `delimiter` must stay valid until the continuation is resumed. */
LOOP_API loop_job loop_reader_until(struct loop_reader *reader, const void *delimiter, size_t delimiter_len,
                                    loop_fn *fn, void *arg);

/* Reads all lines with one job. It resumes its continuation for each line, with the count of consumed bytes as
 * loop_reader_line counts them, and at last once with 0 or -errno. loop_pause and loop_resume work on it. Up to 64
 * lines that have arrived together are delivered together, before other jobs continue: what their continuations write
 * leaves together, and scopes that they empty end, after the last of them.
 *
 * Cancelled, also from inside its continuation, it delivers no more lines and ends with -ECANCELED. The bytes that it
 * has not delivered are left for the next operation, such as the body behind a header. It ends the same way when the
 * source, or what is below it, is closed while it reads or is paused. */
LOOP_API loop_job loop_reader_lines(struct loop_reader *reader, loop_fn *fn, void *arg);

/* ---- bytes ---- */

/* Reads exactly `len` bytes. <loop/bytes.h> converts them to numbers. Resumes with `len`, 0 at the end, or -errno;
 * -EINVAL when `len` is 0, so do not read a record without bytes. */
LOOP_API loop_job loop_reader_exact(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg);

/* Reads 1 to `len` bytes: those that have arrived, or else those that arrive next. Resumes with their count, 0 at the
 * end, or -errno. */
LOOP_API loop_job loop_reader_take(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg);

/* Reads all bytes until the end of the source. Resumes with their count, 0 when there are none, or -errno. */
LOOP_API loop_job loop_reader_all(struct loop_reader *reader, loop_fn *fn, void *arg);

/* Drops `len` bytes and delivers nothing; max_bytes does not limit it. Resumes with how many were dropped. That is less
 * than `len` where the end, an error or a cancel came first, which the next operation reports; it is 0 or -errno where
 * no bytes were dropped. -EINVAL when `len` is more than INT64_MAX. */
LOOP_API loop_job loop_reader_skip(struct loop_reader *reader, uint64_t len, loop_fn *fn, void *arg);

/* ---- a window for a parser of the program's own ---- */

/* Reads until at least `len` bytes are in the window, which loop_reader_peek returns. Consumes and delivers nothing.
 * Resumes with how many bytes are in the window now, 0 at the end, or -errno. */
LOOP_API loop_job loop_reader_fill(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg);

/* Returns the bytes that have arrived and are not consumed, and stores their count in `*len`, which may be NULL. They
 * are valid until the next operation is started or the reader is destroyed. There are none while an operation runs. */
LOOP_API const char *loop_reader_peek(const struct loop_reader *reader, size_t *len);

/* Consumes the first `len` bytes of the window. Returns 0; -EINVAL when there are fewer; -EBUSY during an operation. */
LOOP_API int loop_reader_consume(struct loop_reader *reader, size_t len);

/* ---- the rest ---- */

/* Returns a source of everything that is left, for loop_copy and loop_stream: first the bytes in the reader, then those
 * that arrive. It belongs to the reader and lives as long. A read of it is an operation of the reader, and so is the
 * wait of a stream, which holds no chunk of the region meanwhile. A copy or stream that is started while the reader has
 * no bytes reads the descriptor directly, and is as fast as without a reader. */
LOOP_API struct loop_source *loop_reader_source(struct loop_reader *reader);

#ifdef __cplusplus
}
#endif

#endif
