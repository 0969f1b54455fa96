/* SPDX-License-Identifier: ISC
 *
 * Dates as HTTP writes them.
 */
#ifndef DEMOS_HTTP_DATE_H
#define DEMOS_HTTP_DATE_H

#include <loop/loop.h>

#define DATE_SIZE 32

/* Writes the date of a time in seconds of CLOCK_REALTIME, and returns `text`. */
const char *date_write(char text[DATE_SIZE], int64_t seconds);

/* Returns the date of now, which most answers of a second share. It is valid until the next call of
 * the same thread. */
const char *date_of_now(struct loop_clock *clock);

/* Parses a date in one of the three formats of HTTP. Returns false if it is none. */
bool date_read(const char *text, int64_t *seconds);

#endif
