/* SPDX-License-Identifier: ISC
 *
 * Heads of answers.
 */
#include "head.h"
#include "text/date.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

void head_add(struct head *head, const char *format, ...)
{
    size_t room = HEAD_SIZE - head->len;
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(head->text + head->len, room, format, arguments);
    va_end(arguments);
    if (len > 0) {
        head->len += (size_t)len < room ? (size_t)len : room - 1;
    }
}

void head_put(struct head *head, const char *text)
{
    size_t len = strlen(text), room = HEAD_SIZE - head->len;

    len = len < room ? len : room;
    memcpy(head->text + head->len, text, len);
    head->len += len;
}

void head_begin(struct head *head, struct loop_clock *clock, int status, bool keep_alive)
{
    head->status = status;
    head->len = 0;
    head_add(head, "HTTP/1.1 %d ", status);
    head_put(head, reason_of(status));
    head_put(head, "\r\nDate: ");
    head_put(head, date_of_now(clock));
    head_put(head, keep_alive ? "\r\nConnection: keep-alive\r\n" : "\r\nConnection: close\r\n");
}

void head_end(struct head *head)
{
    head_put(head, "\r\n");
    head->end = head->len;
}

void head_end_with_words(struct head *head, bool is_head)
{
    char words[64];
    int len = snprintf(words, sizeof words, "%d %s\n", head->status, reason_of(head->status));

    head_add(head, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n", len);
    head_end(head);
    if (!is_head) {
        head_put(head, words);
    }
}
