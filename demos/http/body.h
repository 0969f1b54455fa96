/* SPDX-License-Identifier: ISC
 *
 * Bodies of requests, which this server reads and drops.
 */
#ifndef DEMOS_HTTP_BODY_H
#define DEMOS_HTTP_BODY_H

#include "request.h"

#include <loop/reader.h>

/* A body that is being read; a part of another object. */
struct body {
    struct loop_reader *reader;
    struct http_reading *reading;
    uint64_t most_bytes;
    uint64_t data_bytes, other_bytes; /* of chunks so far, and around them */
    uint64_t chunk_left;
    loop_job job; /* 0: none */
    loop_fn *fn;
    void *arg;
};

/* Returns whether the length of a body is known to be more than `most_bytes`. */
bool body_is_too_long(const struct http_request *request, uint64_t most_bytes);

/* Reads the body behind the head in `reading` and drops it. The members `reader`, `reading` and `most_bytes` have been
 * set. No other operation of the reader runs. `fn` is called with 0; the status to refuse the request with: 400 or 413;
 * or -errno when the connection has ended, or -ECANCELED after body_cancel. */
void body_drop(struct body *body, loop_fn *fn, void *arg);

/* Cancels the reading. */
void body_cancel(struct body *body);

#endif
