/* SPDX-License-Identifier: ISC
 *
 * Conditions of requests.
 */
#ifndef DEMOS_HTTP_CONDITION_H
#define DEMOS_HTTP_CONDITION_H

#include "request.h"

/* What conditions are about: the entity tag of the answer, and when the file was last modified. */
struct condition_subject {
    const char *tag;
    int64_t modified; /* seconds of CLOCK_REALTIME */
};

/* Evaluates the conditions of a request but If-Range, in the order of RFC 9110, 13.2.2. Returns 200, 304 or 412. */
int condition_status(const struct http_request *request, const struct condition_subject *subject);

/* Returns whether a range may be sent: If-Range names what the client has a part of. `now` is in seconds. */
bool condition_allows_range(const struct http_request *request, const struct condition_subject *subject, int64_t now);

#endif
