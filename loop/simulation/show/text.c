/* SPDX-License-Identifier: ISC
 *
 * Text and bytes that grow.
 */
#include <loop/simulation/show/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for `len` more bytes and a 0 byte. Returns false without memory. */
static bool reserve(struct loop_sim_text *text, size_t len)
{
    if (text->has_failed) {
        return false;
    }
    if (text->len + len + 1 > text->size) {
        size_t size = 2 * text->size + len + 64;
        char *data = realloc(text->data, size);
        if (!data) {
            text->has_failed = true;
            return false;
        }
        text->data = data;
        text->size = size;
    }
    return true;
}

void loop_sim_text_add_bytes(struct loop_sim_text *text, const void *bytes, size_t len)
{
    if (!reserve(text, len)) {
        return;
    }
    if (len > 0) {
        memcpy(text->data + text->len, bytes, len);
    }
    text->len += len;
    text->data[text->len] = 0;
}

void loop_sim_text_add(struct loop_sim_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (len < 0 || !reserve(text, (size_t)len)) {
        text->has_failed = true;
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text->data + text->len, (size_t)len + 1, format, arguments);
    va_end(arguments);
    text->len += (size_t)len;
}

void loop_sim_text_pad(struct loop_sim_text *text, size_t until)
{
    while (text->len < until && !text->has_failed) {
        loop_sim_text_add_bytes(text, " ", 1);
    }
}

char *loop_sim_text_take(struct loop_sim_text *text)
{
    loop_sim_text_add_bytes(text, "", 0);
    char *data = text->data;
    if (text->has_failed) {
        free(data);
        data = NULL;
    }
    *text = (struct loop_sim_text){0};
    return data;
}
