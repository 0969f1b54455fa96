/* SPDX-License-Identifier: ISC
 *
 * Escapes control characters, and the backslash too, so that different names give different texts.
 */
#include "printable.h"

#include <stdbool.h>
#include <stdio.h>

static bool is_plain(unsigned char byte)
{
    return byte >= ' ' && byte != 0x7f && byte != '\\';
}

const char *printable(char *buffer, size_t size, const char *text)
{
    size_t len = 0;

    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (len + (is_plain(byte) ? 1 : 4) >= size) {
            break;
        }
        if (is_plain(byte)) {
            buffer[len++] = *text;
        } else {
            snprintf(buffer + len, size - len, "\\%03o", byte);
            len += 4;
        }
    }
    buffer[len] = '\0';
    return buffer;
}
