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
    const void *caller; /* the return address of the call */
};

/* The call of the public function in which it stands. */
#define LOOP_THIS_CALL ((struct loop_place){__func__, __builtin_return_address(0)})

/* Writes one line to the log function in `options`. For the library itself: unlike loop_log it checks no argument. */
void loop_log_options(const struct loop_options *options, enum loop_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes one line to standard error by one write(2). Adds the newline, and cuts a line that is too long. */
void loop_log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define LOOP_LOG_LINE_SIZE 1024u
#define LOOP_LOG_PATIENCE_MS 1000

/* Writes to standard error, which may be a pipe that is never read. Each piece of up to PIPE_BUF bytes is written when
 * there is room: a writable pipe has room for that much (pipe(7)). Bytes without room within `patience_ms` are lost. */
void loop_log_write(const char *bytes, size_t len, int patience_ms);

/* Ends a text of `len` bytes with a newline, in a buffer of `size` bytes that may have cut it. Returns its length. */
size_t loop_log_end_line(char *line, size_t size, int len);

/* Writes one line to the log function in `options`, with the values in a va_list. */
void loop_log_values(const struct loop_options *options, enum loop_log_level level, const char *format, va_list values)
    __attribute__((format(printf, 3, 0)));

#define LOOP_PLACE_TEXT_SIZE 256

/* Writes a place as "loop_read (at program+0x1234)". `addr2line -e program 0x1234` prints its source line. */
void loop_place_format(const struct loop_place *place, char text[LOOP_PLACE_TEXT_SIZE]);

/* Reports a mistake of the program: aborts a debug build with a line that names the function, the mistake and the cure.
 * Does nothing in other builds, where the caller returns an error. */
void loop_misuse(const struct loop *loop, const char *function, const char *what, const char *cure);

#endif
