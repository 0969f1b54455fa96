/* SPDX-License-Identifier: ISC
 *
 * Requests of HTTP/1.1, and the ranges of bytes that they ask for.
 */
#ifndef DEMOS_FETCH_REQUEST_H
#define DEMOS_FETCH_REQUEST_H

#include "fetch_response.h"

#define REQUEST_SIZE (2 * URL_SIZE)

/* A range of bytes: from `first` to `last`; or the last `last` bytes. */
struct range {
    bool is_from_end;
    uint64_t first, last; /* UINT64_MAX: to the end */
};

/* Parses "A-B", "A-" or "-N". Returns false for anything else. */
bool range_parse(struct range *range, const char *text);

/* Returns whether the response is of this range, as far as the content has it, and nothing less. Stores how many bytes
 * that are. */
bool range_is_answered(const struct range *range, const struct response *response, uint64_t *n_bytes);

/* Writes a request for `url`, of a range unless that is NULL, and of that only while `validator` is valid unless that
 * is
 * "". */
void request_write(char text[REQUEST_SIZE], const struct url *url, const struct range *range, const char *validator);

#endif
