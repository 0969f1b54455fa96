/* SPDX-License-Identifier: ISC
 *
 * A connection to a server: by name, with TLS for https. Requests are answered one after another.
 */
#ifndef DEMOS_FETCH_PEER_H
#define DEMOS_FETCH_PEER_H

#include "fetcher.h"
#include "fetch_response.h"

#include <loop/reader.h>

struct peer {
    struct loop_scope *scope; /* of the connection; held open until peer_close */
    struct loop_flow *flow;   /* with TLS the flow over the socket's */
    struct loop_reader *reader;
    struct url origin;
};

/* Connects to the server of `url`, by `until_ns` and with every step within the stall time. `*peer` is set before the
 * continuation is resumed with 0; with an error `why` has the step. Returns false without memory. */
bool peer_connect(struct fetcher *fetcher, const struct url *url, int64_t until_ns, struct peer **peer,
                  struct fetch_error *why, loop_fn *fn, void *arg);

/* Sets the time by which the next step has to be done: `until_ns`, or the stall time from now on. */
void peer_set_deadline(const struct fetcher *fetcher, const struct peer *peer, int64_t until_ns);

/* Lets the connection wait for its next request, without a deadline. */
void peer_rest(const struct peer *peer);

/* Returns whether the server has sent nothing since its last answer, and has not closed the connection. What it has
 * sent would be taken for the answer to the next request. */
bool peer_is_quiet(const struct peer *peer);

/* Closes the connection. NULL is ignored. No job of it may be in flight. */
void peer_close(struct peer *peer);

/* One request and the head of its answer. The caller keeps it until the continuation is resumed, and fills in what
 * precedes `response`. */
struct exchange {
    const struct fetcher *fetcher;
    struct peer *peer;
    int64_t until_ns;
    const char *request; /* whole */
    struct response response;
    size_t head_bytes;
    bool is_unanswered; /* after an error: not one byte of the answer has come */
    struct fetch_error *why;
    loop_fn *fn;
    void *arg;
};

/* Sends the request and reads the head of the final response. Resumes with 0, or with an error, and then `why` has the
 * step. Returns false without memory. */
bool exchange_begin(struct exchange *exchange, loop_fn *fn, void *arg);

#endif
