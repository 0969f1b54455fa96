/* SPDX-License-Identifier: ISC
 *
 * Parses responses. A library parses HTTP; here is what the program has to know of them.
 */
#include "fetch_response.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const names[] = {[FIELD_CONTENT_RANGE] = "content-range",
                                    [FIELD_DATE] = "date",
                                    [FIELD_ETAG] = "etag",
                                    [FIELD_LAST_MODIFIED] = "last-modified",
                                    [FIELD_TRANSFER_ENCODING] = "transfer-encoding"};

/* ---- callbacks of the library ---- */

static int on_field(http_state *state, const char *piece, size_t len)
{
    struct response *response = state->data;

    if (response->is_in_value) {
        response->is_in_value = false;
        response->field_len = 0;
    }
    if (len < sizeof response->field - response->field_len) {
        memcpy(response->field + response->field_len, piece, len);
        response->field_len += len;
        response->field[response->field_len] = '\0';
    } else {
        response->field[0] = '\0';
        response->field_len = sizeof response->field; /* later pieces find no room */
    }
    return 0;
}

/* The name of a field is complete: stores where its value goes. */
static void begin_value(struct response *response)
{
    response->is_in_value = true;
    response->value = NULL;
    response->value_len = 0;
    for (size_t i = 0; i < FIELD_OTHER; i++) {
        if (strcasecmp(response->field, names[i]) == 0) {
            response->value = response->values[i];
            response->value_size = RESPONSE_VALUE_SIZE;
        }
    }
    if (strcasecmp(response->field, "location") == 0) {
        response->value = response->location;
        response->value_size = sizeof response->location;
    }
}

static int on_value(http_state *state, const char *piece, size_t len)
{
    struct response *response = state->data;

    if (!response->is_in_value) {
        begin_value(response);
    }
    if (response->value && len >= response->value_size - response->value_len) {
        response->has_long_location |= response->value == response->location;
        response->value[0] = '\0';
        response->value = NULL;
    }
    if (response->value) {
        memcpy(response->value + response->value_len, piece, len);
        response->value_len += len;
        response->value[response->value_len] = '\0';
    }
    return 0;
}

/* Removes trailing space, which is not part of a value. The library leaves it there. */
static void trim(char *value)
{
    size_t len = strlen(value);

    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        value[--len] = '\0';
    }
}

/* Decides how the body ends (RFC 9112, 6.3). Returns false for what this program cannot read: a coding other than
 * chunked would be taken for the content. */
static bool find_framing(struct response *response)
{
    const http_state *state = &response->state;
    const char *coding = response->values[FIELD_TRANSFER_ENCODING];

    if (state->status_code / 100 == 1 || state->status_code == 204 || state->status_code == 304) {
        return true;
    }
    if (coding[0] || (state->flags & F_CHUNKED)) {
        response->framing = FRAMING_CHUNKED;
        return (state->flags & F_CHUNKED) && strcasecmp(coding, "chunked") == 0 && !http_has_length(state);
    }
    response->framing = http_has_length(state) ? FRAMING_LENGTH : FRAMING_END;
    response->length = http_has_length(state) ? state->content_length : 0;
    return true;
}

static int on_headers_complete(http_state *state)
{
    struct response *response = state->data;

    for (size_t i = 0; i < FIELD_OTHER; i++) {
        trim(response->values[i]);
    }
    trim(response->location);
    if (!find_framing(response)) {
        return -1;
    }
    response->status = (int)state->status_code;
    response->may_go_on = response->framing != FRAMING_END && http_may_go_on(state);
    return 0;
}

static int on_body(http_state *state, const char *piece, size_t len)
{
    struct response *response = state->data;

    if (response->framing == FRAMING_CHUNKED) {
        memmove(response->out + response->out_len, piece, len);
        response->out_len += len;
    }
    return 0;
}

static int on_message_complete(http_state *state)
{
    struct response *response = state->data;

    response->is_complete = true;
    return 0;
}

/* Bytes behind the end are an answer to no request. */
static int on_message_begin(http_state *state)
{
    const struct response *response = state->data;

    return response->is_complete ? -1 : 0;
}

static const http_settings settings = {.on_message_begin = on_message_begin,
                                       .on_header_field = on_field,
                                       .on_header_value = on_value,
                                       .on_headers_complete = on_headers_complete,
                                       .on_body = on_body,
                                       .on_message_complete = on_message_complete};

/* ---- the head ---- */

void response_begin(struct response *response)
{
    *response = (struct response){0};
    http_begin(&response->state, HTTP_RESPONSE, &settings);
    response->state.data = response;
}

/* Whether a line begins as a status line does (RFC 9112, 4). http_parser accepts more. */
static bool is_status_line(const char *line, size_t len)
{
    return len >= 12 && memcmp(line, "HTTP/1.", 7) == 0 && line[8] == ' ' && strspn(line + 9, "0123456789") == 3 &&
           (len == 12 || line[12] == ' ');
}

/* Passes a line to the library. An empty line is not passed: zero bytes mean the end of the connection to it. A CR
 * within a line is invalid, but http_parser takes it as the end of the line. */
static bool pass(struct response *response, const char *line, size_t len)
{
    if (memchr(line, '\r', len) || (response->n_bytes == 0 && !is_status_line(line, len))) {
        return false;
    }
    response->n_bytes += len + 2;
    return (len == 0 || http_parse(&response->state, &settings, line, len)) &&
           http_parse(&response->state, &settings, "\r\n", 2);
}

int response_line(struct response *response, const char *line, size_t len)
{
    if (!pass(response, line, len) && response->status == 0) {
        return -EPROTO;
    }
    if (response->status / 100 == 1 && response->status != 101) {
        response_begin(response);
        return 0;
    }
    return response->status != 0;
}

/* ---- the body ---- */

int64_t response_decode(struct response *response, const char *bytes, size_t len, char *out)
{
    response->out = out;
    response->out_len = 0;
    if (!chunks_follow(&response->chunks, bytes, len)) {
        return -EPROTO;
    }
    bool is_good = http_parse(&response->state, &settings, bytes, len);
    if (response->is_complete) {
        response->may_go_on &= is_good;
    } else if (!is_good) {
        return -EPROTO;
    }
    return (int64_t)response->out_len;
}

/* ---- fields ---- */

static bool read_number(const char **text, char end, uint64_t *number)
{
    char *behind;

    if (**text < '0' || **text > '9') {
        return false;
    }
    errno = 0;
    *number = strtoull(*text, &behind, 10);
    *text = behind + 1;
    return errno == 0 && *behind == end;
}

bool response_range(const struct response *response, uint64_t *first, uint64_t *last, uint64_t *total)
{
    const char *text = response->values[FIELD_CONTENT_RANGE];

    if (strncasecmp(text, "bytes ", 6) != 0) {
        return false;
    }
    text += 6;
    if (!read_number(&text, '-', first) || !read_number(&text, '/', last) || *last < *first) {
        return false;
    }
    *total = UINT64_MAX;
    return strcmp(text, "*") == 0 || (read_number(&text, '\0', total) && *last < *total);
}

/* A weak ETag does not say that the bytes are the same. A date does not either when the answer was made in the same
 * second (RFC 9110, 8.8.2.2). */
const char *response_validator(const struct response *response)
{
    const char *tag = response->values[FIELD_ETAG], *modified = response->values[FIELD_LAST_MODIFIED];
    const char *date = response->values[FIELD_DATE];

    if (tag[0] == '"') {
        return tag;
    }
    return tag[0] == '\0' && date[0] && strcmp(date, modified) != 0 ? modified : "";
}
