/* SPDX-License-Identifier: ISC
 *
 * The log, lines on standard error, and the aborts of a debug build. Each line is written by one write(2), so that
 * lines of several threads and processes do not mix.
 */
#include <loop/core/log.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/process.h>

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- standard error ---- */

void loop_log_write(const char *bytes, size_t len, int patience_ms)
{
    while (len > 0) {
        struct pollfd entry = {.fd = STDERR_FILENO, .events = POLLOUT};
        int ready = loop_kernel_poll(&entry, 1, patience_ms);
        ssize_t n = ready > 0 ? loop_kernel_write(STDERR_FILENO, bytes, len < PIPE_BUF ? len : PIPE_BUF) : ready;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
            return;
        }
    }
}

size_t loop_log_end_line(char *line, size_t size, int len)
{
    size_t end = len < 0 ? 0 : (size_t)len < size - 1 ? (size_t)len : size - 2;
    line[end] = '\n';
    return end + 1;
}

void loop_log_line(const char *format, ...)
{
    char line[LOOP_LOG_LINE_SIZE];
    va_list values;
    va_start(values, format);
    int len = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    loop_log_write(line, loop_log_end_line(line, sizeof line, len), LOOP_LOG_PATIENCE_MS);
}

/* ---- the log ---- */

/* Writes a line to standard error without waiting: without room for it, the line is lost. */
static void log_by_default(enum loop_log_level level, const char *text)
{
    char line[LOOP_LOG_LINE_SIZE];
    if (level >= LOOP_LOG_WARNING) {
        int len = snprintf(line, sizeof line, "noria: %s: %s", level == LOOP_LOG_ERROR ? "error" : "warning", text);
        loop_log_write(line, loop_log_end_line(line, sizeof line, len), 0);
    }
}

void loop_log_values(const struct loop_options *options, enum loop_log_level level, const char *format, va_list values)
{
    char line[LOOP_LOG_LINE_SIZE];
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
    loop_log_values(options, level, format, values);
    va_end(values);
}

/* ---- places ---- */

/* A call is in front of its return address. The offset is that in the file, independent of where it is loaded. */
void loop_place_format(const struct loop_place *place, char text[LOOP_PLACE_TEXT_SIZE])
{
    const char *call = (const char *)place->caller - 1;
    Dl_info info;
    if (loop_kernel_dladdr(call, &info) && info.dli_fname) {
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
