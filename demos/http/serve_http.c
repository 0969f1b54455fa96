/* SPDX-License-Identifier: ISC
 *
 * Reads requests, as far as a file server needs them. A library parses HTTP and decides what it means for the
 * connection: llhttp, or http_parser, its predecessor.
 *
 * The library is fed line by line. So it never sees a byte after the request, and the end of a request is the same for
 * both libraries. Bodies are not read: no request that this server answers has one.
 */
#include "serve_http.h"

#include <string.h>
#include <strings.h>

#if SERVE_WITH_LLHTTP
#include <llhttp.h>
#else
#include <http_parser.h>
#endif

#define HEADER_BYTES ((size_t)16384) /* per request, all lines */
#define FIELD_SIZE 24                /* longer field names are ignored */

#if SERVE_WITH_LLHTTP
typedef llhttp_t parser_state;
typedef llhttp_settings_t parser_settings;
#else
typedef http_parser parser_state;
typedef http_parser_settings parser_settings;
#endif

struct http_reading {
    parser_state parser;
    struct http_request request;
    size_t n_bytes;
    int status;
    bool has_request_line, has_body;
    size_t target_len;
    char field[FIELD_SIZE];
    size_t field_len;
    char *value; /* where the current value is stored; NULL: nowhere */
    size_t value_len;
    bool is_in_value;
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

static int on_target(parser_state *parser, const char *piece, size_t len)
{
    struct http_reading *reading = parser->data;

    if (!append(reading->request.target, sizeof reading->request.target, &reading->target_len, piece, len)) {
        reading->status = 414;
        return -1;
    }
    return 0;
}

static int on_field(parser_state *parser, const char *piece, size_t len)
{
    struct http_reading *reading = parser->data;

    if (reading->is_in_value) {
        reading->is_in_value = false;
        reading->field_len = 0;
    }
    if (!append(reading->field, sizeof reading->field, &reading->field_len, piece, len)) {
        reading->field[0] = '\0';
        reading->field_len = sizeof reading->field - 1; /* later pieces find no room */
    }
    return 0;
}

/* The name of a field is complete. Returns where its value is stored, or NULL. */
static char *place_of_value(struct http_reading *reading)
{
    struct http_request *request = &reading->request;

    if (strcasecmp(reading->field, "range") == 0) {
        return request->range;
    }
    if (strcasecmp(reading->field, "if-range") == 0) {
        return request->if_range;
    }
    if (strcasecmp(reading->field, "if-modified-since") == 0) {
        return request->if_modified_since;
    }
    request->n_hosts += strcasecmp(reading->field, "host") == 0;
    reading->has_body |= strcasecmp(reading->field, "transfer-encoding") == 0;
    return NULL;
}

static int on_value(parser_state *parser, const char *piece, size_t len)
{
    struct http_reading *reading = parser->data;

    if (!reading->is_in_value) {
        reading->is_in_value = true;
        reading->value = place_of_value(reading);
        reading->value_len = 0;
    }
    if (reading->value && !append(reading->value, HTTP_VALUE_SIZE, &reading->value_len, piece, len)) {
        reading->value[0] = '\0';
        reading->value = NULL;
    }
    return 0;
}

static int status_of(const struct http_reading *reading)
{
    const parser_state *parser = &reading->parser;

    if (parser->http_major != 1) {
        return 505;
    }
    if (reading->request.n_hosts > 1 || (reading->request.n_hosts == 0 && parser->http_minor > 0)) {
        return 400;
    }
    if (parser->method != HTTP_GET && parser->method != HTTP_HEAD) {
        return 405;
    }
    return reading->has_body ? 413 : 200;
}

#if SERVE_WITH_LLHTTP

static bool is_to_be_kept(const parser_state *parser)
{
    return llhttp_should_keep_alive(parser);
}

#else

static bool is_to_be_kept(const parser_state *parser)
{
    return http_should_keep_alive(parser);
}

#endif

/* Removes trailing space, which is not part of a value. The library leaves it there. */
static void trim(char *value)
{
    size_t len = strlen(value);

    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        value[--len] = '\0';
    }
}

/* The head is complete. If a body follows, the connection is closed after the answer, because nothing reads the
 * body. */
static int on_headers_complete(parser_state *parser)
{
    struct http_reading *reading = parser->data;

    trim(reading->request.range);
    trim(reading->request.if_range);
    trim(reading->request.if_modified_since);
    reading->has_body |= parser->content_length != 0 && parser->content_length != UINT64_MAX;
    reading->status = status_of(reading);
    reading->request.is_head = parser->method == HTTP_HEAD;
    reading->request.keep_alive =
        (reading->status == 200 || reading->status == 405) && !reading->has_body && is_to_be_kept(parser);
    return reading->has_body ? -1 : 0;
}

/* ---- the library ---- */

static const parser_settings settings = {.on_url = on_target,
                                         .on_header_field = on_field,
                                         .on_header_value = on_value,
                                         .on_headers_complete = on_headers_complete};

#if SERVE_WITH_LLHTTP

static void begin_parsing(parser_state *parser)
{
    llhttp_init(parser, HTTP_REQUEST, &settings);
}

static bool parse(parser_state *parser, const char *bytes, size_t len)
{
    return llhttp_execute(parser, bytes, len) == HPE_OK;
}

#else

static void begin_parsing(parser_state *parser)
{
    http_parser_init(parser, HTTP_REQUEST);
}

static bool parse(parser_state *parser, const char *bytes, size_t len)
{
    return http_parser_execute(parser, &settings, bytes, len) == len && HTTP_PARSER_ERRNO(parser) == HPE_OK;
}

#endif

/* ---- reading ---- */

struct http_reading *http_reading_create(struct loop_scope *scope)
{
    struct http_reading *reading = loop_scope_alloc(scope, sizeof *reading);

    if (reading) {
        http_reading_begin(reading);
    }
    return reading;
}

void http_reading_begin(struct http_reading *reading)
{
    *reading = (struct http_reading){0};
    begin_parsing(&reading->parser);
    reading->parser.data = reading;
}

/* Whether a line ends as a request line does (RFC 9112, 3). Of "HTTP", http_parser checks the H alone, and takes a line
 * end in place of the other letters: the next line would be part of the request line. */
static bool names_the_protocol(const char *line, size_t len)
{
    size_t tail = strlen(" HTTP/1.1");

    return len > tail && memcmp(line + len - tail, " HTTP/", 6) == 0;
}

/* Passes a line to the library. Returns false if it or the library refuses the line. An empty line is not passed: zero
 * bytes mean the end of the connection to the library. */
static bool pass(struct http_reading *reading, const char *line, size_t len)
{
    if (len > 0) {
        /* A CR within a line is invalid (RFC 9112, 2.2), but http_parser takes it as the end of the line. Two of them
         * would end a request that a proxy on its way here takes to go on. */
        if (memchr(line, '\r', len) || (!reading->has_request_line && !names_the_protocol(line, len))) {
            return false;
        }
        reading->has_request_line = true;
    }
    return (len == 0 || parse(&reading->parser, line, len)) && parse(&reading->parser, "\r\n", 2);
}

int http_reading_line(struct http_reading *reading, const char *line, size_t len)
{
    reading->n_bytes += len + 2;
    if (reading->n_bytes > HEADER_BYTES) {
        return 431;
    }
    bool is_good = pass(reading, line, len);
    if (reading->status == 0 && !is_good) {
        return 400;
    }
    return reading->status;
}

bool http_reading_has_begun(const struct http_reading *reading)
{
    return reading->n_bytes > 0;
}

const struct http_request *http_reading_request(const struct http_reading *reading)
{
    return &reading->request;
}
