/* SPDX-License-Identifier: ISC
 *
 * Answers HTTP requests with files.
 */
#ifndef DEMOS_HTTP_ANSWER_H
#define DEMOS_HTTP_ANSWER_H

#include "cache.h"
#include "request.h"
#include "spare.h"

struct answer;

struct answer_how {
    struct loop_dir *dir;     /* only files beneath it are served */
    struct file_cache *cache; /* of the directory */
    struct loop_clock *clock;
    struct loop_flow *peer;
    const struct http_request *request;
    int status; /* 200, or the status to refuse the request with */
    bool keep_alive;
    bool has_index;         /* directories without an index are listed */
    bool has_precompressed; /* files may have encoded ones beside them */
};

/* Sends the answer in `scope`. The scope ends with 0 when the whole answer has been sent, else with the error: then the
 * peer has half an answer, and the connection cannot be used for another. The answer is a block of `spares`, to be
 * given back when the scope has ended. Returns NULL without memory, and the scope fails. */
struct answer *answer_begin(struct spares *spares, struct loop_scope *scope, const struct answer_how *how);

/* Returns the status of the answer, or 0 before it is known. */
int answer_status(const struct answer *answer);

/* Returns whether another request may follow: it may not where the end of the connection is the end of the answer. */
bool answer_keeps_connection(const struct answer *answer);

/* Returns whether the end of the output has been sent with the answer. */
bool answer_has_ended_output(const struct answer *answer);

/* Returns how many bytes of the body the peer's socket has accepted. */
uint64_t answer_body_bytes(const struct answer *answer);

/* Returns how many bytes the peer's socket has accepted. */
uint64_t answer_progress(const struct answer *answer);

/* Returns whether the last bytes have been read from the file, and wait for the peer. */
bool answer_is_read(const struct answer *answer);

#endif
