/* SPDX-License-Identifier: ISC
 *
 * Texts inside other texts.
 */
#ifndef DEMOS_HTTP_ESCAPE_H
#define DEMOS_HTTP_ESCAPE_H

#include <stddef.h>

/* The longest that a byte becomes. */
#define ESCAPE_MOST 6

/* Each writes at most `room` bytes to `out`, without a NUL, and stops before a byte that does not fit. It returns how
 * many bytes it has written. */

/* Writes a text as a part of HTML, also of an attribute in double quotes. */
size_t escape_html(char *out, size_t room, const char *text);

/* Writes a text as a segment of a path in a URL. */
size_t escape_url(char *out, size_t room, const char *text);

/* Writes a text as a part of a line in double quotes: control characters, quotes, backslashes and bytes beyond ASCII
 * become \xHH. */
size_t escape_line(char *out, size_t room, const char *text);

#endif
