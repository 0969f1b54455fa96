/* SPDX-License-Identifier: ISC
 *
 * What the library says about itself: warnings, and lines for those who look for a bug.
 */
#ifndef LOOP_LOG_H
#define LOOP_LOG_H

#include <loop/core.h>

/* loop_log before there is a loop. */
void loop_log_options(const struct loop_options *options, enum loop_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One line to standard error, by one write(2), cut where it is too long. The newline is added. */
void loop_log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define LOOP_PLACE_TEXT_SIZE 256

/* Writes a place as "loop_read (at program+0x1234)": `addr2line -e program 0x1234` says which line that is. */
void loop_place_format(const struct loop_place *place, char text[LOOP_PLACE_TEXT_SIZE]);

#endif
