/* SPDX-License-Identifier: ISC
 *
 * Names of files as one line can show them. A name may hold any byte but '/' and NUL: also line ends, and what moves a
 * terminal's cursor.
 */
#ifndef DEMOS_PRINTABLE_H
#define DEMOS_PRINTABLE_H

#include <stddef.h>

/* Room that leaves some for words in a line of arguments_complain. */
#define PRINTABLE_IN_LINE 800

#define PRINTABLE_MOST(len) (4 * (size_t)(len) + 1)

/* Writes `text` with its control characters and backslashes as \ooo, three octal digits. What doesn't fit into `size`
 * bytes, the NUL included, is left out; PRINTABLE_MOST(strlen(text)) are always enough. Returns `buffer`. */
const char *printable(char *buffer, size_t size, const char *text);

#endif
