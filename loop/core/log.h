/* SPDX-License-Identifier: ISC
 *
 * The log, lines on standard error, and the names of places in a program.
 */
#ifndef LOOP_CORE_LOG_H
#define LOOP_CORE_LOG_H

#include <loop/loop.h>

#include <stdarg.h>

/* Where a public function was called, for debug builds to name it. */
struct loop_place {
    const char *function;
    const void *caller; /* the address to which it returns */
};

/* In a public function: this call of it. */
#define LOOP_THIS_CALL ((struct loop_place){__func__, __builtin_return_address(0)})

/* Writes a line to the log that `options` names. For the library itself: loop_log without its checks. */
void loop_log_options(const struct loop_options *options, enum loop_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One line to standard error, by one write(2), cut where it is too long. The newline is added. */
void loop_log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define LOOP_LOG_LINE_SIZE 1024u
#define LOOP_LOG_PATIENCE_MS 1000

/* Writes to standard error, which may be a pipe that is never read: each piece is written when there is room, since a
 * pipe that is writable takes PIPE_BUF bytes, pipe(7). What finds no room within `patience_ms` is lost. */
void loop_log_write(const char *bytes, size_t len, int patience_ms);

/* Ends the text of `len` bytes, which may have been cut to fit into `size`, with a newline. Returns the new length. */
size_t loop_log_end_line(char *line, size_t size, int len);

/* loop_log_options with the values in a list. */
void loop_log_values(const struct loop_options *options, enum loop_log_level level, const char *format, va_list values)
    __attribute__((format(printf, 3, 0)));

#define LOOP_PLACE_TEXT_SIZE 256

/* Writes a place as "loop_read (at program+0x1234)": `addr2line -e program 0x1234` says which line that is. */
void loop_place_format(const struct loop_place *place, char text[LOOP_PLACE_TEXT_SIZE]);

/* A user's mistake: a debug build stops and says so, another goes on to the error that the caller returns. */
void loop_misuse(const struct loop *loop, const char *function, const char *what, const char *cure);

#endif
