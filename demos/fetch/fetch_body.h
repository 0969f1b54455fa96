/* SPDX-License-Identifier: ISC
 *
 * The body of a response as a source, which ends where the body does.
 */
#ifndef DEMOS_FETCH_BODY_H
#define DEMOS_FETCH_BODY_H

#include "../common/progress.h"
#include "fetch_error.h"
#include "fetch_response.h"

#include <loop/reader.h>

struct body {
    struct loop_source source; /* its reads end with 0 at the end of the body, and with -ECONNABORTED when the
                                * connection ends before that */
    struct loop_flow *flow;
    struct loop_reader *reader; /* of the flow: it has read the head, and may have read more */
    struct response *response;
    struct progress *progress;
    int64_t stall_ns; /* how long a read may take; LOOP_NEVER: for ever */
    int64_t until_ns; /* the deadline of all */
    uint64_t most;    /* bytes: more end with -EFBIG */
    uint64_t n_bytes; /* delivered so far */
    loop_job read, promise;
    void *to;
    size_t room;
    bool adds_to_expected; /* the length was not known */
    bool is_secure, has_ended;
    int64_t end; /* has_ended: how the next read ends */
};

/* Begins to read the body of `body->response`. The caller fills in what precedes `n_bytes`, but for the source. */
void body_begin(struct body *body);

/* Writes why a read of the body has ended with an error. */
void body_explain(const struct body *body, int error, struct fetch_error *why);

#endif
