/* SPDX-License-Identifier: ISC
 *
 * Makes file names printable in one line. A name may contain any byte but '/' and NUL, also line feeds and terminal
 * escape sequences. These may begin with ESC, or with a control character of Unicode (U+0080 to U+009F).
 */
#ifndef DEMOS_PRINTABLE_H
#define DEMOS_PRINTABLE_H

#include <stddef.h>

/* A size that leaves room for words in a line of arguments_complain. */
#define PRINTABLE_IN_LINE 800

#define PRINTABLE_MOST(len) (4 * (size_t)(len) + 1)

/* Writes `text` to `buffer`, with control characters and backslashes as \ooo, three octal digits. The result is cut at
 * `size` bytes including the NUL; PRINTABLE_MOST(strlen(text)) bytes are always enough. Returns `buffer`. */
const char *printable(char *buffer, size_t size, const char *text);

/* Returns how many of the `len` bytes at `text` are one control character, in UTF-8: 1 or 2, or 0 if it begins with
 * none. */
size_t printable_control_len(const char *text, size_t len);

#endif
