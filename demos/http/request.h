/* SPDX-License-Identifier: ISC
 *
 * Reads HTTP requests, line by line.
 */
#ifndef DEMOS_HTTP_REQUEST_H
#define DEMOS_HTTP_REQUEST_H

#include "spare.h"

#include <loop/loop.h>

#include <limits.h>

#define HTTP_TARGET_SIZE PATH_MAX
#define HTTP_TEXT_SIZE 1024 /* of all values that are kept */

/* The header fields whose values are kept. */
enum http_field {
    FIELD_ACCEPT_ENCODING,
    FIELD_EXPECT,
    FIELD_HOST,
    FIELD_IF_MATCH,
    FIELD_IF_MODIFIED_SINCE,
    FIELD_IF_NONE_MATCH,
    FIELD_IF_RANGE,
    FIELD_IF_UNMODIFIED_SINCE,
    FIELD_RANGE,
    FIELD_TRANSFER_ENCODING,
    N_FIELDS
};

enum http_body { BODY_NONE, BODY_OF_LENGTH, BODY_CHUNKED };

struct http_request {
    bool is_head, is_options;
    bool is_old;           /* HTTP/1.0 */
    bool is_framed;        /* it is known where the request ends */
    bool keep_alive;       /* another one may follow */
    bool is_last;          /* the client has said that nothing follows it */
    bool expects_continue; /* waits to be asked for the body */
    enum http_body body;   /* follows the head */
    uint64_t body_bytes;   /* of BODY_OF_LENGTH */
    unsigned n_hosts;      /* Host fields */
    const char *method;    /* NULL before the request line was read */
    const char *target;    /* not decoded */
    /* Without surrounding space. NULL: not in the request; "" also for a value that was too long. Of a field that comes
     * several times, the last value, or all of them for those that are lists. */
    const char *fields[N_FIELDS];
};

struct http_reading;

/* Creates a reading of requests whose heads have at most `most_bytes`. It is a block of `spares`, to be given back.
 * Returns NULL without memory. */
struct http_reading *http_reading_create(struct spares *spares, size_t most_bytes);

/* Drops the last request. The next line is the first one of a new request. */
void http_reading_begin(struct http_reading *reading);

/* Reads one line of a head. `len` is its length without the line ending, whose length is `end_len`. Returns 0 while the
 * head is incomplete, 200 when it is complete and the request can be answered, else the status to refuse it with. */
int http_reading_line(struct http_reading *reading, const char *line, size_t len, size_t end_len);

/* Reads the line before a chunk of a body, and stores the size of the chunk. 0 is the last one: lines of the trailer
 * follow. Returns false when the line is invalid. */
bool http_reading_chunk(struct http_reading *reading, const char *line, size_t len, uint64_t *size);

/* Reads a piece of a chunk. Returns false when the parser refuses it. */
bool http_reading_piece(struct http_reading *reading, const char *piece, size_t len);

/* Reads the line after a chunk, which is empty, or a line of the trailer; an empty one ends the body. Returns false
 * when the line is invalid. */
bool http_reading_trailer(struct http_reading *reading, const char *line, size_t len);

/* Returns true when at least one line of the current request has been read. */
bool http_reading_has_begun(const struct http_reading *reading);

/* Returns the current request; it is valid until http_reading_begin. */
const struct http_request *http_reading_request(const struct http_reading *reading);

#endif
