/* SPDX-License-Identifier: ISC
 *
 * Makes file names printable in one line. A name may contain any byte but '/' and NUL, also line feeds and terminal
 * escape sequences.
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

#endif
