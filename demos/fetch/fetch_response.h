/* SPDX-License-Identifier: ISC
 *
 * Parses responses of HTTP/1.1: the head line by line, and then the pieces of a chunked body.
 */
#ifndef DEMOS_FETCH_RESPONSE_H
#define DEMOS_FETCH_RESPONSE_H

#include "../common/http_library.h"
#include "fetch_chunks.h"
#include "fetch_url.h"

#define RESPONSE_VALUE_SIZE 256 /* a longer value is dropped */

enum response_field {
    FIELD_CONTENT_RANGE,
    FIELD_DATE,
    FIELD_ETAG,
    FIELD_LAST_MODIFIED,
    FIELD_TRANSFER_ENCODING,
    FIELD_OTHER
};

enum response_framing {
    FRAMING_LENGTH, /* `length` bytes; 0 for a status without a body */
    FRAMING_CHUNKED,
    FRAMING_END /* until the end of the connection */
};

struct response {
    http_state state;
    size_t n_bytes; /* of the head */
    int status;     /* 0 until the head is complete */
    bool may_go_on; /* another request may follow on the connection */
    enum response_framing framing;
    uint64_t length;
    char values[FIELD_OTHER][RESPONSE_VALUE_SIZE]; /* "" for a field that is missing */
    char location[URL_SIZE];
    bool has_long_location;

    /* the field that is parsed */
    char field[32];
    size_t field_len, value_len, value_size;
    char *value; /* where its value is stored; NULL: nowhere */
    bool is_in_value;

    /* the chunked body */
    struct chunks chunks;
    char *out; /* where its bytes go */
    size_t out_len;
    bool is_complete;
};

/* Begins to parse a response. */
void response_begin(struct response *response);

/* Parses one line of the head, without its line ending. Returns 1 when the head is complete, 0 before, and -EPROTO for
 * what is not HTTP. After the head of an interim response (1xx) the final one follows: it parses that as well. */
int response_line(struct response *response, const char *line, size_t len);

/* Parses `len` bytes of a chunked body, and writes what they stand for to `out`, which may be `bytes` itself. Returns
 * how many bytes it has written, or -EPROTO. `is_complete` is set at the end of the body; with bytes behind that,
 * `may_go_on` is no longer. */
int64_t response_decode(struct response *response, const char *bytes, size_t len, char *out);

/* Stores the part that a Content-Range names: "bytes FIRST-LAST/TOTAL". `*total` is UINT64_MAX for "*". Returns false
 * for any other value. */
bool response_range(const struct response *response, uint64_t *first, uint64_t *last, uint64_t *total);

/* Returns what to ask for the rest with (If-Range): an ETag or a date that the bytes cannot have changed behind; "" for
 * none. */
const char *response_validator(const struct response *response);

#endif
