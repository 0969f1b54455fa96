/* SPDX-License-Identifier: ISC
 *
 * Texts inside other texts.
 */
#include "escape.h"

#include <string.h>

/* Writes what a byte becomes to `to`, and returns its length. */
typedef size_t escape_fn(char to[ESCAPE_MOST], unsigned char byte);

static size_t escape(char *out, size_t room, const char *text, escape_fn *fn)
{
    size_t len = 0;

    for (; *text; text++) {
        char to[ESCAPE_MOST];
        size_t n = fn(to, (unsigned char)*text);
        if (n > room - len) {
            break;
        }
        memcpy(out + len, to, n);
        len += n;
    }
    return len;
}

static size_t put(char *to, const char *text)
{
    size_t len = strlen(text);

    memcpy(to, text, len);
    return len;
}

static size_t put_hex(char *to, const char *before, unsigned char byte)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = put(to, before);

    to[len] = digits[byte >> 4];
    to[len + 1] = digits[byte & 15];
    return len + 2;
}

static size_t html_byte(char to[ESCAPE_MOST], unsigned char byte)
{
    switch (byte) {
    case '&': return put(to, "&amp;");
    case '<': return put(to, "&lt;");
    case '>': return put(to, "&gt;");
    case '"': return put(to, "&quot;");
    case '\'': return put(to, "&#39;");
    default: to[0] = (char)byte; return 1;
    }
}

static size_t url_byte(char to[ESCAPE_MOST], unsigned char byte)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    if (!memchr(plain, byte, sizeof plain - 1)) {
        return put_hex(to, "%", byte);
    }
    to[0] = (char)byte;
    return 1;
}

static size_t line_byte(char to[ESCAPE_MOST], unsigned char byte)
{
    if (byte < ' ' || byte > '~' || byte == '"' || byte == '\\') {
        return put_hex(to, "\\x", byte);
    }
    to[0] = (char)byte;
    return 1;
}

size_t escape_html(char *out, size_t room, const char *text)
{
    return escape(out, room, text, html_byte);
}

size_t escape_url(char *out, size_t room, const char *text)
{
    return escape(out, room, text, url_byte);
}

size_t escape_line(char *out, size_t room, const char *text)
{
    return escape(out, room, text, line_byte);
}
