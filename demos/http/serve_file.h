/* SPDX-License-Identifier: ISC
 *
 * Answers HTTP requests with files.
 */
#ifndef DEMOS_SERVE_FILE_H
#define DEMOS_SERVE_FILE_H

#include "serve_http.h"

struct file_answer {
    struct loop_dir *dir; /* only files beneath it are served */
    struct loop_clock *clock;
    struct loop_flow *peer;
    int64_t patience_ns; /* limits each piece of the answer: set as the deadline of the peer's scope */
    const struct http_request *request;
    int status; /* 200, or the status to refuse the request with */
    bool keep_alive;
};

/* Sends the answer in `scope`. The scope ends with 0 when the whole answer has been sent, else with the error: then the
 * peer has half an answer, and the connection cannot be used for another. */
void file_answer(struct loop_scope *scope, const struct file_answer *how);

#endif
