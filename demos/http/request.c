/* SPDX-License-Identifier: ISC
 *
 * Reads requests, as far as a file server needs them. A library parses HTTP and decides what it means for the
 * connection: llhttp, or http_parser, its predecessor.
 *
 * The library is fed line by line. So it never sees a byte after the request, and the end of a request is the same for
 * both libraries. Both accept more than HTTP allows: what could make this server and a proxy before it see different
 * requests is refused here before they see it.
 */
#include "request.h"

#include "../common/http_library.h"

#include <string.h>
#include <strings.h>

#define FIELD_SIZE 24 /* longer field names are ignored */

struct http_reading {
    size_t most_bytes;
    struct { /* set to zero for each request */
        size_t n_bytes, target_len, field_len, n_lengths;
        size_t line_end_len; /* of the first line; 0 before it */
        int status;
        bool has_request_line, is_in_value, is_host_too_long;
        char *value; /* where the current value is stored; NULL: nowhere */
        size_t value_len, text_len;
        struct http_request request;
    } now;
    http_state parser;
    char field[FIELD_SIZE];
    char target[HTTP_TARGET_SIZE];
    char text[HTTP_TEXT_SIZE]; /* the values, each with a NUL */
};

static const struct {
    const char *name;
    bool is_list;
} fields[N_FIELDS] = {
    [FIELD_ACCEPT_ENCODING] = {"accept-encoding", true},
    [FIELD_EXPECT] = {"expect", true},
    [FIELD_HOST] = {"host", false},
    [FIELD_IF_MATCH] = {"if-match", true},
    [FIELD_IF_MODIFIED_SINCE] = {"if-modified-since", false},
    [FIELD_IF_NONE_MATCH] = {"if-none-match", true},
    [FIELD_IF_RANGE] = {"if-range", false},
    [FIELD_IF_UNMODIFIED_SINCE] = {"if-unmodified-since", false},
    [FIELD_RANGE] = {"range", false},
    [FIELD_TRANSFER_ENCODING] = {"transfer-encoding", true},
};

/* ---- callbacks of the library ---- */

/* Appends a piece to a text. Returns false if there is no room for it and a NUL. */
static bool append(char *text, size_t size, size_t *text_len, const char *piece, size_t len)
{
    if (len >= size - *text_len) {
        return false;
    }
    memcpy(text + *text_len, piece, len);
    *text_len += len;
    text[*text_len] = '\0';
    return true;
}

static int on_target(http_state *parser, const char *piece, size_t len)
{
    struct http_reading *reading = parser->data;

    if (!append(reading->target, sizeof reading->target, &reading->now.target_len, piece, len)) {
        reading->now.status = 414;
        return -1;
    }
    return 0;
}

/* Whether the head is complete: fields that follow are of the trailer, and are not used. */
static bool has_head(const struct http_reading *reading)
{
    return reading->now.request.method;
}

static int on_field(http_state *parser, const char *piece, size_t len)
{
    struct http_reading *reading = parser->data;

    if (has_head(reading)) {
        return 0;
    }
    if (reading->now.is_in_value) {
        reading->now.is_in_value = false;
        reading->now.field_len = 0;
    }
    if (!append(reading->field, sizeof reading->field, &reading->now.field_len, piece, len)) {
        reading->field[0] = '\0';
        reading->now.field_len = sizeof reading->field - 1; /* later pieces find no room */
    }
    return 0;
}

static bool is_named(const struct http_reading *reading, const char *name)
{
    return strcasecmp(reading->field, name) == 0;
}

static int find_field(const struct http_reading *reading)
{
    for (int i = 0; i < N_FIELDS; i++) {
        if ((reading->field[0] | 0x20) == fields[i].name[0] && is_named(reading, fields[i].name)) {
            return i;
        }
    }
    return -1;
}

static void add_to_value(struct http_reading *reading, const char *piece, size_t len)
{
    size_t room = sizeof reading->text - reading->now.text_len;

    if (reading->now.value && !append(reading->now.value, room, &reading->now.value_len, piece, len)) {
        reading->now.is_host_too_long |= reading->now.value == reading->now.request.fields[FIELD_HOST];
        reading->now.value[0] = '\0';
        reading->now.value_len = 0;
        reading->now.value = NULL;
    }
}

/* The name of a field is complete. Finds the place of its value, behind those that are there. */
static void begin_value(struct http_reading *reading)
{
    struct http_request *request = &reading->now.request;
    int field = find_field(reading);
    const char *before = field >= 0 ? request->fields[field] : NULL;

    reading->now.is_in_value = true;
    reading->now.n_lengths += is_named(reading, "content-length");
    request->n_hosts += field == FIELD_HOST;
    if (reading->now.value) {
        reading->now.text_len += reading->now.value_len + 1;
    }
    reading->now.value = NULL;
    reading->now.value_len = 0;
    if (field >= 0 && reading->now.text_len < sizeof reading->text) {
        reading->now.value = reading->text + reading->now.text_len;
        reading->now.value[0] = '\0';
        request->fields[field] = reading->now.value;
        if (before && fields[field].is_list) {
            add_to_value(reading, before, strlen(before));
            add_to_value(reading, ", ", 2);
        }
    } else if (field >= 0) {
        request->fields[field] = "";
        reading->now.is_host_too_long |= field == FIELD_HOST;
    }
}

static int on_value(http_state *parser, const char *piece, size_t len)
{
    struct http_reading *reading = parser->data;

    if (has_head(reading)) {
        return 0;
    }
    if (!reading->now.is_in_value) {
        begin_value(reading);
    }
    add_to_value(reading, piece, len);
    return 0;
}

/* ---- what the library has read ---- */

/* Finds out which body follows. Returns 0 or the status to refuse the request with. A length beside a coding, two
 * lengths, or a coding in HTTP/1.0 are read differently by different programs (RFC 9112, 6.1 and 6.3). */
static int read_framing(struct http_reading *reading)
{
    const http_state *parser = &reading->parser;
    struct http_request *request = &reading->now.request;
    const char *coding = request->fields[FIELD_TRANSFER_ENCODING];

    if (reading->now.n_lengths > 1 || (coding && (reading->now.n_lengths > 0 || request->is_old))) {
        return 400;
    }
    if (coding) {
        if (strcasecmp(coding, "chunked") != 0 || !(parser->flags & F_CHUNKED)) {
            return 501;
        }
        request->body = BODY_CHUNKED;
    } else if (reading->now.n_lengths > 0 && parser->content_length > 0) {
        request->body = BODY_OF_LENGTH;
        request->body_bytes = parser->content_length;
    }
    return 0;
}

static bool is_letter_or_digit(char byte)
{
    char letter = (char)(byte | 0x20);

    return (letter >= 'a' && letter <= 'z') || (byte >= '0' && byte <= '9');
}

static bool is_host(const char *text)
{
    while (is_letter_or_digit(*text) || (*text && strchr(".-:[]_~%!$&'()*+;=", *text))) {
        text++;
    }
    return *text == '\0';
}

/* Returns whether there is one valid host, or none where HTTP allows that. An empty one is valid. */
static bool has_valid_host(const struct http_reading *reading)
{
    const struct http_request *request = &reading->now.request;
    const char *host = request->fields[FIELD_HOST];

    if (!host) {
        return request->is_old;
    }
    return request->n_hosts == 1 && !reading->now.is_host_too_long && is_host(host);
}

static bool is_served(const struct http_reading *reading)
{
    const http_state *parser = &reading->parser;

    return parser->method == HTTP_GET || parser->method == HTTP_HEAD || parser->method == HTTP_OPTIONS;
}

static int status_of(struct http_reading *reading)
{
    struct http_request *request = &reading->now.request;
    const char *expect = request->fields[FIELD_EXPECT];

    if (reading->parser.http_major != 1) {
        return 505;
    }
    int status = read_framing(reading);
    if (status != 0) {
        return status;
    }
    if (!has_valid_host(reading)) {
        return 400;
    }
    if (expect && !request->is_old) {
        if (strcasecmp(expect, "100-continue") != 0) {
            return 417;
        }
        request->expects_continue = request->body != BODY_NONE;
    }
    return is_served(reading) ? 200 : 405;
}

/* Removes trailing space, which is not part of a value. The library leaves it there. */
static void trim(struct http_reading *reading)
{
    for (int i = 0; i < N_FIELDS; i++) {
        char *value = (char *)(uintptr_t)reading->now.request.fields[i]; /* in `text`, or empty */
        size_t len = value ? strlen(value) : 0;
        while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
            value[--len] = '\0';
        }
    }
}

static int on_headers_complete(http_state *parser)
{
    struct http_reading *reading = parser->data;
    struct http_request *request = &reading->now.request;

    trim(reading);
    request->is_head = parser->method == HTTP_HEAD;
    request->is_options = parser->method == HTTP_OPTIONS;
    request->is_old = parser->http_minor == 0;
    request->method = http_method_name(parser);
    reading->now.status = status_of(reading);
    request->is_framed = reading->now.status == 200 || reading->now.status == 405 || reading->now.status == 417;
    bool is_alone = parser->method != HTTP_CONNECT && request->is_framed;
    request->keep_alive = is_alone && http_may_go_on(parser);
    request->is_last = is_alone && !request->keep_alive;
    return 0;
}

/* ---- the library ---- */

static const http_settings settings = {.on_url = on_target,
                                       .on_header_field = on_field,
                                       .on_header_value = on_value,
                                       .on_headers_complete = on_headers_complete};

static bool parse(struct http_reading *reading, const char *bytes, size_t len)
{
    return http_parse(&reading->parser, &settings, bytes, len);
}

/* ---- lines ---- */

/* Returns how many of the bytes at `text` may be in the name of a field or of a method. */
static size_t token_len(const char *text)
{
    size_t len = 0;

    while (is_letter_or_digit(text[len]) || (text[len] && strchr("-!#$%&'*+.^_`|~", text[len]))) {
        len++;
    }
    return len;
}

/* Whether a line is a request line as far as http_parser does not check it (RFC 9112, 3). Of "HTTP" it checks the H
 * alone, and takes a line end in place of the other letters: the next line would be part of the request line. It takes
 * a tab and a form feed for parts of the target, where other programs end that. */
static bool is_request_line(const char *line, size_t len)
{
    size_t tail = strlen(" HTTP/1.1");

    return len > tail && memcmp(line + len - tail, " HTTP/", 6) == 0 && !memchr(line, '\t', len) &&
           !memchr(line, '\f', len);
}

/* Whether a line begins with a name and its colon. http_parser takes a space for a part of the name: of a length before
 * " :" it would know nothing. A line that begins with a space continued the value before it in old versions of HTTP. */
static bool is_field(const char *line)
{
    size_t len = token_len(line);

    return len > 0 && line[len] == ':';
}

/* Returns whether a line may be passed to the library. A CR within it is invalid (RFC 9112, 2.2), but http_parser takes
 * it as the end of the line. Two of them would end a request that a proxy on its way here takes to go on. */
static bool is_sound(const struct http_reading *reading, const char *line, size_t len)
{
    return !memchr(line, '\r', len) && !memchr(line, '\0', len) &&
           (reading->now.has_request_line ? is_field(line) : is_request_line(line, len));
}

/* Passes a line to the library. Returns false if it or this file refuses the line. An empty line is not passed: zero
 * bytes mean the end of the connection to the library. */
static bool pass(struct http_reading *reading, const char *line, size_t len)
{
    if (len > 0) {
        if (!is_sound(reading, line, len)) {
            return false;
        }
        reading->now.has_request_line = true;
    }
    return (len == 0 || parse(reading, line, len)) && parse(reading, "\r\n", 2);
}

/* ---- reading ---- */

struct http_reading *http_reading_create(struct spares *spares, size_t most_bytes)
{
    struct http_reading *reading = spares_take(spares, sizeof *reading);

    if (reading) {
        reading->most_bytes = most_bytes;
        reading->field[0] = '\0';
        http_reading_begin(reading);
    }
    return reading;
}

void http_reading_begin(struct http_reading *reading)
{
    memset(&reading->now, 0, sizeof reading->now);
    reading->now.request.target = reading->target;
    reading->target[0] = '\0';
    http_begin(&reading->parser, HTTP_REQUEST, &settings);
    reading->parser.data = reading;
}

/* Returns whether the line ends as those before it. A lone LF between others may be a part of a value to a proxy on the
 * way here, and what follows it would be a field here. */
static bool ends_alike(struct http_reading *reading, size_t end_len)
{
    if (reading->now.line_end_len == 0) {
        reading->now.line_end_len = end_len;
    }
    return reading->now.line_end_len == end_len;
}

int http_reading_line(struct http_reading *reading, const char *line, size_t len, size_t end_len)
{
    bool is_first = !reading->now.has_request_line;

    reading->now.n_bytes += len + end_len;
    if (reading->now.n_bytes > reading->most_bytes) {
        return 431;
    }
    bool is_good = ends_alike(reading, end_len) && pass(reading, line, len);
    if (reading->now.status == 0 && !is_good) {
        size_t method_len = token_len(line);
        bool has_method = method_len > 0 && line[method_len] == ' ';
        return is_first && has_method && http_is_method_unknown(&reading->parser) ? 501 : 400;
    }
    return reading->now.status;
}

/* A size in hexadecimal digits, and extensions after a semicolon. llhttp accepts no space between them. */
static bool is_chunk_line(const char *line, size_t len)
{
    size_t n_digits = strspn(line, "0123456789abcdefABCDEF");

    return n_digits > 0 && !memchr(line, '\r', len) && !memchr(line, '\0', len) &&
           (line[n_digits] == '\0' || line[n_digits] == ';');
}

bool http_reading_chunk(struct http_reading *reading, const char *line, size_t len, uint64_t *size)
{
    bool is_good = is_chunk_line(line, len) && parse(reading, line, len) && parse(reading, "\r\n", 2);

    *size = is_good ? reading->parser.content_length : 0;
    return is_good;
}

bool http_reading_piece(struct http_reading *reading, const char *piece, size_t len)
{
    return parse(reading, piece, len);
}

bool http_reading_trailer(struct http_reading *reading, const char *line, size_t len)
{
    return pass(reading, line, len);
}

bool http_reading_has_begun(const struct http_reading *reading)
{
    return reading->now.n_bytes > 0;
}

const struct http_request *http_reading_request(const struct http_reading *reading)
{
    return &reading->now.request;
}
