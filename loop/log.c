/* SPDX-License-Identifier: ISC
 *
 * What the library says: the log, traces, and the stops of a debug build. Every line leaves by one write(2), so that
 * lines of several threads and processes don't run into each other.
 */
#include <loop/check.h>
#include <loop/env.h>
#include <loop/log.h>

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 1024u
#define STUCK_MS 1000

/* ---- standard error ---- */

/* Standard error may be a pipe that nobody reads, and the whole loop waits with a write to it. So a piece is written
 * only when there is room: a pipe that is writable takes PIPE_BUF bytes, pipe(7). What finds no room within
 * `patience_ms` is lost. */
static void write_stderr(const char *bytes, size_t len, int patience_ms)
{
    while (len > 0) {
        struct pollfd entry = {.fd = STDERR_FILENO, .events = POLLOUT};
        int ready = poll(&entry, 1, patience_ms);
        ssize_t n = ready > 0 ? write(STDERR_FILENO, bytes, len < PIPE_BUF ? len : PIPE_BUF) : ready;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
            return;
        }
    }
}

/* Ends the text of `len` bytes, which may have been cut to fit into `size`, with a newline. Returns how long it is now.
 */
static size_t end_line(char *line, size_t size, int len)
{
    size_t end = len < 0 ? 0 : (size_t)len < size - 1 ? (size_t)len : size - 2;
    line[end] = '\n';
    return end + 1;
}

void loop_log_line(const char *format, ...)
{
    char line[LINE_SIZE];
    va_list values;
    va_start(values, format);
    int len = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    write_stderr(line, end_line(line, sizeof line, len), STUCK_MS);
}

/* ---- the log ---- */

/* Does not wait: the loop goes on, and the line is lost where there is no room for it. */
static void log_by_default(enum loop_log_level level, const char *text)
{
    char line[LINE_SIZE];
    if (level >= LOOP_LOG_WARNING) {
        int len = snprintf(line, sizeof line, "noria: %s: %s", level == LOOP_LOG_ERROR ? "error" : "warning", text);
        write_stderr(line, end_line(line, sizeof line, len), 0);
    }
}

__attribute__((format(printf, 3, 0))) static void
log_values(const struct loop_options *options, enum loop_log_level level, const char *format, va_list values)
{
    char line[LINE_SIZE];
    if (vsnprintf(line, sizeof line, format, values) < 0) {
        return;
    }
    if (options->log) {
        options->log(options->log_arg, level, line);
    } else {
        log_by_default(level, line);
    }
}

void loop_log_options(const struct loop_options *options, enum loop_log_level level, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    log_values(options, level, format, values);
    va_end(values);
}

void loop_log(struct loop *loop, enum loop_log_level level, const char *format, ...)
{
    if (!loop_is_good(loop, __func__)) {
        return;
    }
    va_list values;
    va_start(values, format);
    log_values(&loop->options, level, format, values);
    va_end(values);
}

/* ---- traces ---- */

/* A line that doesn't fit into the buffer on the stack. Without memory it is cut. */
__attribute__((format(printf, 2, 0))) static void trace_long(size_t size, const char *format, va_list values)
{
    char *line = malloc(size);
    if (line) {
        int len = vsnprintf(line, size, format, values);
        write_stderr(line, end_line(line, size, len), STUCK_MS);
        free(line);
    }
}

void loop_trace(struct loop_debug *debug, const char *format, ...)
{
    if (!loop_is_good(debug ? debug->loop : NULL, __func__)) {
        return;
    }
    char line[LINE_SIZE];
    va_list values, again;
    va_start(values, format);
    va_copy(again, values);
    int len = vsnprintf(line, sizeof line, format, values);
    if (len >= (int)sizeof line - 1) {
        trace_long((size_t)len + 2, format, again);
    } else {
        write_stderr(line, end_line(line, sizeof line, len), STUCK_MS);
    }
    va_end(again);
    va_end(values);
}

/* ---- places ---- */

/* The address of a call is in front of the one to which it returns. Offsets are those of the file, wherever it has been
 * loaded. */
void loop_place_format(const struct loop_place *place, char text[LOOP_PLACE_TEXT_SIZE])
{
    const char *call = (const char *)place->caller - 1;
    Dl_info info;
    if (dladdr(call, &info) && info.dli_fname) {
        const char *slash = strrchr(info.dli_fname, '/');
        (void)snprintf(text, LOOP_PLACE_TEXT_SIZE, "%s (at %.150s+0x%tx)", place->function,
                       slash ? slash + 1 : info.dli_fname, call - (const char *)info.dli_fbase);
    } else {
        (void)snprintf(text, LOOP_PLACE_TEXT_SIZE, "%s (at %p)", place->function, (const void *)call);
    }
}

/* ---- stops ---- */

void loop_misuse(const struct loop *loop, const char *function, const char *what, const char *cure)
{
    (void)loop;
#if NORIA_DEBUG
    loop_log_line("noria: %s: %s: %s", function, what, cure);
    abort();
#else
    (void)function;
    (void)what;
    (void)cure;
#endif
}
