/* SPDX-License-Identifier: ISC
 *
 * Lines that a program writes through the loop: to its log, and traces.
 */
#include <loop/core/check.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <loop/run/env.h>

#include <stdarg.h>
#include <stdio.h>

void loop_log(struct loop *loop, enum loop_log_level level, const char *format, ...)
{
    if (!loop_is_good(loop, __func__)) {
        return;
    }
    va_list values;
    va_start(values, format);
    loop_log_values(&loop->options, level, format, values);
    va_end(values);
}

/* ---- traces ---- */

/* Writes a line that does not fit into the buffer on the stack. Without memory it is lost. */
__attribute__((format(printf, 2, 0))) static void trace_long(size_t size, const char *format, va_list values)
{
    char *line = loop_kernel_malloc(size);
    if (line) {
        int len = vsnprintf(line, size, format, values);
        loop_log_write(line, loop_log_end_line(line, size, len), LOOP_LOG_PATIENCE_MS);
        loop_kernel_free(line);
    }
}

void loop_trace(struct loop_debug *debug, const char *format, ...)
{
    if (!loop_is_good(debug ? debug->loop : NULL, __func__)) {
        return;
    }
    char line[LOOP_LOG_LINE_SIZE];
    va_list values, again;
    va_start(values, format);
    va_copy(again, values);
    int len = vsnprintf(line, sizeof line, format, values);
    if (len >= (int)sizeof line - 1) {
        trace_long((size_t)len + 2, format, again);
    } else {
        loop_log_write(line, loop_log_end_line(line, sizeof line, len), LOOP_LOG_PATIENCE_MS);
    }
    va_end(again);
    va_end(values);
}
