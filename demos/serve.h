/* SPDX-License-Identifier: ISC
 *
 * What the parts of serve know of each other: serve.c has the connections, serve_http.c reads requests, serve_file.c
 * answers them.
 */
#ifndef DEMOS_SERVE_H
#define DEMOS_SERVE_H

#include <loop/loop.h>

#include <limits.h>

/* ---- requests (serve_http.c) ---- */

#define HTTP_TARGET_SIZE PATH_MAX
#define HTTP_VALUE_SIZE 64 /* of what is too long for a date or a range nothing is kept */

struct http_request {
    bool is_head, keep_alive;
    unsigned n_hosts;
    char target[HTTP_TARGET_SIZE]; /* as it came */
    char range[HTTP_VALUE_SIZE], if_range[HTTP_VALUE_SIZE], if_modified_since[HTTP_VALUE_SIZE];
};

struct http_reading;

/* Lives in `scope`; NULL when there is no memory. */
struct http_reading *http_reading_create(struct loop_scope *scope);

/* Forgets the last request; the next line is the first of another. */
void http_reading_begin(struct http_reading *reading);

/* Reads one line, given without its end. Returns 0 while more are to come, 200 when the request is complete and can be
 * answered, else the status it has to be refused with. */
int http_reading_line(struct http_reading *reading, const char *line, size_t len);

/* True when at least one line has been read. */
bool http_reading_has_begun(const struct http_reading *reading);

const struct http_request *http_reading_request(const struct http_reading *reading);

/* ---- answers (serve_file.c) ---- */

struct file_answer {
    struct loop_dir *dir;
    struct loop_clock *clock;
    struct loop_flow *peer;
    int64_t patience_ns; /* how long the peer may take for one piece of it: the deadline of the peer's scope */
    const struct http_request *request;
    int status; /* 200, or what the request is refused with */
    bool keep_alive;
};

/* Answers in `scope`, which ends when all of the answer has gone out, or with what kept it from doing so: the peer then
 * has half an answer, and must not get another. */
void file_answer(struct loop_scope *scope, const struct file_answer *how);

#endif
