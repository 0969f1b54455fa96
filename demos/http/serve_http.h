/* SPDX-License-Identifier: ISC
 *
 * Reads HTTP requests, line by line.
 */
#ifndef DEMOS_SERVE_HTTP_H
#define DEMOS_SERVE_HTTP_H

#include <loop/loop.h>

#include <limits.h>

#define HTTP_TARGET_SIZE PATH_MAX
#define HTTP_VALUE_SIZE 64 /* a longer value is no date and no range: it is dropped */

struct http_request {
    bool is_head, keep_alive;
    unsigned n_hosts;
    char target[HTTP_TARGET_SIZE]; /* not decoded */
    char range[HTTP_VALUE_SIZE], if_range[HTTP_VALUE_SIZE], if_modified_since[HTTP_VALUE_SIZE];
};

struct http_reading;

/* Creates a reading that lives as long as `scope`. Returns NULL without memory. */
struct http_reading *http_reading_create(struct loop_scope *scope);

/* Drops the last request. The next line is the first one of a new request. */
void http_reading_begin(struct http_reading *reading);

/* Reads one line, without its line ending. Returns 0 while the request is incomplete, 200 when it is complete and can
 * be answered, else the status to refuse it with. */
int http_reading_line(struct http_reading *reading, const char *line, size_t len);

/* Returns true when at least one line of the current request has been read. */
bool http_reading_has_begun(const struct http_reading *reading);

/* Returns the current request; it is valid until http_reading_begin. */
const struct http_request *http_reading_request(const struct http_reading *reading);

#endif
