/* SPDX-License-Identifier: ISC
 *
 * Escapes control characters, and the backslash too, so that different names give different texts.
 */
#include "printable.h"

#include <stdio.h>
#include <string.h>

size_t printable_control_len(const char *text, size_t len)
{
    const unsigned char *byte = (const unsigned char *)text;

    if (len > 0 && (byte[0] < ' ' || byte[0] == 0x7f)) {
        return 1;
    }
    return len > 1 && byte[0] == 0xc2 && byte[1] >= 0x80 && byte[1] < 0xa0 ? 2 : 0;
}

const char *printable(char *buffer, size_t size, const char *text)
{
    size_t len = 0, left = strlen(text);

    while (left > 0) {
        size_t n_escaped = *text == '\\' ? 1 : printable_control_len(text, left);
        size_t n = n_escaped > 0 ? n_escaped : 1;
        if (len + (n_escaped > 0 ? 4 * n_escaped : 1) >= size) {
            break;
        }
        for (size_t i = 0; i < n_escaped; i++) {
            len += (size_t)snprintf(buffer + len, size - len, "\\%03o", (unsigned char)text[i]);
        }
        if (n_escaped == 0) {
            buffer[len++] = *text;
        }
        text += n;
        left -= n;
    }
    buffer[len] = '\0';
    return buffer;
}
