/* SPDX-License-Identifier: ISC
 *
 * The steps of a download: the file, the connection, the request, the answer, the body, and the name of the file. A
 * task keeps its last connection, for the next download or redirect to the same origin.
 */
#include "../common/arguments.h"
#include "../common/printable.h"
#include "fetch_body.h"
#include "fetch_part.h"
#include "fetch_peer.h"
#include "fetch_request.h"
#include "fetch_task.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LONGEST_PAUSE (30 * LOOP_SECOND) /* before another try */
#define MOST_DRAINED ((uint64_t)1 << 16) /* bytes of a body of no interest that are read to keep the connection */

struct task {
    struct fetcher *fetcher;
    struct peer *peer; /* NULL: none */

    const struct download *download;
    struct loop_scope *scope; /* of the download's file; held while the download lasts */
    struct url url;           /* what is asked for, after redirects */
    char url_text[URL_SIZE + 512];
    unsigned n_redirects, n_retries;
    int64_t until_ns;
    struct part part;
    struct range range;
    bool is_reused;    /* the connection has answered before */
    bool wants_rest;   /* the request is for what the file has not */
    bool refuses_rest; /* the server cannot send the rest */
    bool has_written;  /* of a body, to standard output: that cannot be taken back */
    char request[REQUEST_SIZE];
    struct exchange exchange;
    struct body body;
    void (*drained)(struct task *task); /* called when a body of no interest has been read */
    uint64_t expected;                  /* bytes of the body, if a range says so; or UINT64_MAX */
    struct loop_copy_outcome outcome;
    struct fetch_error why;
};

static void request(struct task *task);
static void next(struct task *task);

/* ---- the end of a download ---- */

static void on_scope_ended(void *arg, int64_t error)
{
    (void)error; /* reported already */
    next(arg);
}

static void end(struct task *task)
{
    loop_scope_unhold(task->scope);
}

static void on_left(void *arg, int64_t result)
{
    (void)result; /* the error of the download has been reported */
    end(arg);
}

static void drop_peer(struct task *task)
{
    peer_close(task->peer);
    task->peer = NULL;
}

static void complain(const struct task *task, const char *more)
{
    char url[512], why[PRINTABLE_IN_LINE - 100];

    progress_clear(task->fetcher->progress);
    arguments_complain("%s: %s%s", url_text(&task->download->url, url, sizeof url),
                       printable(why, sizeof why, task->why.text), more);
}

/* Reports that the download has failed, with the error in `why`. */
static void report(struct task *task)
{
    complain(task, "");
    task->fetcher->n_failed++;
}

/* Ends a download that has failed. */
static void leave(struct task *task)
{
    if (!task->download->name || !task->part.is_ours || !part_leave(&task->part, on_left, task)) {
        end(task);
    }
}

/* Ends the download with the error in `why`. */
static void fail(struct task *task)
{
    report(task);
    drop_peer(task);
    leave(task);
}

static void fail_with(struct task *task, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void refuse(struct task *task, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fail_with(struct task *task, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(task->why.text, sizeof task->why.text, format, arguments);
    va_end(arguments);
    fail(task);
}

/* ---- another try ---- */

/* Whether the network or the server may do better the next time. */
static bool is_transient(int64_t error)
{
    return error == -ECONNREFUSED || error == -ECONNRESET || error == -ECONNABORTED || error == -EPIPE ||
           error == -ETIMEDOUT || error == -ENETUNREACH || error == -EHOSTUNREACH || error == -EAGAIN;
}

static void on_paused(void *arg, int64_t result)
{
    struct task *task = arg;

    if (result == 0) {
        task->url = task->download->url; /* from the beginning: redirects may lead elsewhere now */
        task->n_redirects = 0;
        request(task);
    } else {
        fail(task);
    }
}

/* Tries again after a pause, which gets longer each time, or ends the download with the error in `why`. */
static void retry_or_fail(struct task *task, int64_t error)
{
    const struct fetcher *fetcher = task->fetcher;
    int64_t pause_ns = task->n_retries < 5 ? LOOP_SECOND << task->n_retries : LONGEST_PAUSE;
    bool has_time = task->until_ns == LOOP_NEVER || task->until_ns - loop_now(fetcher->env->loop) > pause_ns;

    drop_peer(task);
    if (!is_transient(error) || task->n_retries == fetcher->most_retries || task->has_written || !has_time ||
        !loop_sleep(task->scope, pause_ns, on_paused, task)) {
        fail(task);
        return;
    }
    task->n_retries++;
    complain(task, "; trying again");
}

static void on_finished(void *arg, int64_t result)
{
    struct task *task = arg;

    if (result < 0) {
        fail(task);
    } else {
        end(task);
    }
}

/* ---- the body ---- */

/* Keeps the connection if another request may follow on it. */
static void keep_peer(struct task *task)
{
    if (task->exchange.response.may_go_on) {
        peer_rest(task->peer);
    } else {
        drop_peer(task);
    }
}

/* Counts what was written before the connection broke. Without a validator the next try begins anew. */
static void count_written(struct task *task)
{
    const struct response *response = &task->exchange.response;

    task->part.offset = task->part.has_info ? task->part.offset + (uint64_t)task->outcome.bytes : 0;
    task->has_written = !task->download->name && task->outcome.bytes > 0;
    if (response->framing == FRAMING_LENGTH) { /* the rest is not expected of this answer any more */
        progress_expect(task->fetcher->progress, task->body.n_bytes - response->length);
    }
}

static void fail_to_read(struct task *task)
{
    body_explain(&task->body, task->outcome.error, &task->why);
    retry_or_fail(task, task->outcome.error);
}

static void on_copied(void *arg, int64_t result)
{
    struct task *task = arg;

    (void)result;
    if (task->outcome.error < 0 && task->outcome.is_sink_error) {
        fail_with(task, "writing %s: %s", task->download->name ? task->part.part_name : "standard output",
                  strerror(-task->outcome.error));
    } else if (task->outcome.error < 0) {
        count_written(task);
        fail_to_read(task);
    } else if (task->expected != UINT64_MAX && task->body.n_bytes != task->expected) {
        fail_with(task, "reading the body: it has %" PRIu64 " bytes, and Content-Range says %" PRIu64,
                  task->body.n_bytes, task->expected);
    } else {
        keep_peer(task);
        if (!task->download->name) {
            end(task);
        } else if (!part_finish(&task->part, on_finished, task)) {
            fail_with(task, "%s", strerror(ENOMEM));
        }
    }
}

/* Begins to read the body. Returns false without memory. */
static bool copy_body(struct task *task, struct loop_sink *sink, struct progress *progress, uint64_t most, loop_fn *fn)
{
    struct body *body = &task->body;

    body->flow = task->peer->flow;
    body->reader = task->peer->reader;
    body->response = &task->exchange.response;
    body->progress = progress;
    body->stall_ns = task->fetcher->stall_ns;
    body->until_ns = task->until_ns;
    body->most = most;
    body_begin(body);
    return sink && loop_copy_report(&body->source, sink, &task->outcome, fn, task);
}

static void write_body(struct task *task)
{
    const struct fetcher *fetcher = task->fetcher;
    struct loop_sink *sink = task->download->name ? &task->part.flow->sink : fetcher->env->out;
    uint64_t n_there = task->wants_rest && task->exchange.response.status == 206 ? task->part.offset : 0;
    uint64_t most = fetcher->most_bytes > n_there ? fetcher->most_bytes - n_there : 0;

    progress_begin(fetcher->progress);
    if (!copy_body(task, sink, fetcher->progress, most, on_copied)) {
        fail_with(task, "%s", strerror(ENOMEM));
    }
}

static void on_restarted(void *arg, int64_t result)
{
    struct task *task = arg;

    if (result < 0) {
        fail(task);
    } else {
        write_body(task);
    }
}

/* The file gets the whole body, and nothing of what it had. A range of a content is no beginning that could be resumed.
 */
static void write_whole(struct task *task)
{
    const struct response *response = &task->exchange.response;
    const char *validator = task->fetcher->range ? "" : response_validator(response);

    if (response->framing == FRAMING_LENGTH && response->length > task->fetcher->most_bytes) {
        refuse(task, "the body has %" PRIu64 " bytes, and at most %" PRIu64 " are wanted", response->length,
               task->fetcher->most_bytes);
    } else if (!task->download->name) {
        write_body(task);
    } else if (!part_restart(&task->part, validator, on_restarted, task)) {
        fail_with(task, "%s", strerror(ENOMEM));
    }
}

/* ---- a body of no interest ---- */

static void on_drained(void *arg, int64_t result)
{
    struct task *task = arg;

    (void)result;
    if (task->outcome.error < 0) {
        drop_peer(task);
    } else {
        keep_peer(task);
    }
    task->drained(task);
}

/* Reads the rest of the answer and calls `then`. The connection is kept where the rest is short. */
static void drain(struct task *task, void (*then)(struct task *task))
{
    const struct response *response = &task->exchange.response;
    bool is_short = response->framing != FRAMING_LENGTH || response->length <= MOST_DRAINED;

    task->drained = then;
    if (!response->may_go_on || !is_short ||
        !copy_body(task, loop_null_sink(task->scope), NULL, MOST_DRAINED, on_drained)) {
        drop_peer(task);
        then(task);
    }
}

/* Ends the download because of its answer, after which the connection serves the next one. */
static void refuse(struct task *task, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(task->why.text, sizeof task->why.text, format, arguments);
    va_end(arguments);
    report(task);
    drain(task, leave);
}

/* ---- the answer ---- */

static void redirect(struct task *task)
{
    const struct response *response = &task->exchange.response;
    struct url *url = &task->url, from = task->url;
    char text[512];
    const char *wrong = response->has_long_location ? "is too long" : url_resolve(url, &from, response->location);

    if (task->n_redirects++ == task->fetcher->most_redirects) {
        refuse(task, "more than %u redirects", task->fetcher->most_redirects);
    } else if (wrong) {
        refuse(task, "redirected to '%.400s', which %s", response->location, wrong);
    } else if (from.is_secure && !url->is_secure && !task->fetcher->allows_downgrade) {
        refuse(task, "redirected from https to http, by %s", url_text(&from, text, sizeof text));
    } else {
        drain(task, request);
    }
}

/* Returns whether the validator of the rest is that of the bytes that are there: a server may not know If-Range. */
static bool has_same_validator(const struct task *task)
{
    const char *validator = task->part.validator;
    const char *value = task->exchange.response.values[validator[0] == '"' ? FIELD_ETAG : FIELD_LAST_MODIFIED];

    return value[0] == '\0' || strcmp(value, validator) == 0;
}

/* Makes another request, of the whole content in place of the rest. */
static void request_whole(struct task *task)
{
    task->refuses_rest = true;
    drain(task, request);
}

/* A part of the content comes. */
static void write_part(struct task *task)
{
    const struct response *response = &task->exchange.response;
    bool is_asked = task->wants_rest || task->fetcher->range;
    bool is_right = is_asked && range_is_answered(&task->range, response, &task->expected);

    if (task->wants_rest && (!is_right || !has_same_validator(task))) {
        request_whole(task);
    } else if (!is_right) {
        refuse(task, "the server has sent a part that was not asked for: Content-Range is '%s'",
               response->values[FIELD_CONTENT_RANGE]);
    } else if (!task->wants_rest) {
        write_whole(task);
    } else if (loop_file_seek(task->part.flow->fd, (int64_t)task->part.offset, SEEK_SET) < 0) {
        fail_with(task, "writing %s: %s", task->part.part_name, strerror(EIO));
    } else {
        write_body(task);
    }
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static void decide(struct task *task)
{
    const struct response *response = &task->exchange.response;

    task->expected = UINT64_MAX;
    if (is_redirect(response->status) && (response->location[0] || response->has_long_location)) {
        redirect(task);
    } else if (response->status == 206) {
        write_part(task);
    } else if (response->status == 416 && task->wants_rest) {
        request_whole(task);
    } else if (response->status / 100 != 2) {
        refuse(task, "the server has answered %d", response->status);
    } else if (task->fetcher->range) {
        refuse(task, "the server does not send ranges of it");
    } else {
        write_whole(task);
    }
}

/* ---- the request ---- */

/* A server may close a connection that waits for its next request, at any time: then the request goes to a new one. */
static void on_head(void *arg, int64_t result)
{
    struct task *task = arg;

    if (result == 0) {
        decide(task);
    } else if (task->is_reused && task->exchange.is_unanswered && result != -ETIMEDOUT) {
        drop_peer(task);
        request(task);
    } else {
        retry_or_fail(task, result);
    }
}

static void ask(struct task *task)
{
    bool has_range = task->fetcher->range || task->wants_rest;

    request_write(task->request, &task->url, has_range ? &task->range : NULL,
                  task->wants_rest ? task->part.validator : "");
    task->exchange.fetcher = task->fetcher;
    task->exchange.peer = task->peer;
    task->exchange.until_ns = task->until_ns;
    task->exchange.request = task->request;
    task->exchange.why = &task->why;
    if (!exchange_begin(&task->exchange, on_head, task)) {
        fail_with(task, "%s", strerror(ENOMEM));
    }
}

static void on_peer(void *arg, int64_t result)
{
    struct task *task = arg;

    if (result < 0) {
        retry_or_fail(task, result);
    } else {
        ask(task);
    }
}

static void request(struct task *task)
{
    task->is_reused = task->peer && url_same_origin(&task->peer->origin, &task->url) && peer_is_quiet(task->peer);
    task->wants_rest = task->download->name && task->part.offset > 0 && !task->refuses_rest;
    if (task->wants_rest) {
        task->range = (struct range){.first = task->part.offset, .last = UINT64_MAX};
    }
    if (task->is_reused) {
        ask(task);
        return;
    }
    drop_peer(task);
    if (!peer_connect(task->fetcher, &task->url, task->until_ns, &task->peer, &task->why, on_peer, task)) {
        fail_with(task, "connecting: %s", strerror(ENOMEM));
    }
}

/* ---- tasks ---- */

static void on_part(void *arg, int64_t result)
{
    struct task *task = arg;

    if (result < 0) {
        fail(task);
    } else {
        request(task);
    }
}

static void open_file(struct task *task)
{
    const struct fetcher *fetcher = task->fetcher;

    task->part = (struct part){.scope = task->scope,
                               .dir = fetcher->env->fs,
                               .name = task->download->name,
                               .url = url_text(&task->url, task->url_text, sizeof task->url_text),
                               .why = &task->why};
    if (!part_open(&task->part, !fetcher->is_fresh && !fetcher->range, on_part, task)) {
        fail_with(task, "%s", strerror(ENOMEM));
    }
}

static void begin(struct task *task)
{
    const struct fetcher *fetcher = task->fetcher;

    task->url = task->download->url;
    task->n_redirects = task->n_retries = 0;
    task->refuses_rest = task->has_written = false;
    task->until_ns =
        fetcher->timeout_ns == LOOP_NEVER ? LOOP_NEVER : loop_now(fetcher->env->loop) + fetcher->timeout_ns;
    if (fetcher->range) {
        range_parse(&task->range, fetcher->range);
    }
    task->part = (struct part){.why = &task->why};
    if (task->download->name) {
        open_file(task);
    } else {
        request(task);
    }
}

/* Begins the next download. After the last one the connection is closed, and the program ends. */
static void next(struct task *task)
{
    struct fetcher *fetcher = task->fetcher;

    task->scope = NULL;
    if (fetcher->n_begun < fetcher->n_downloads) {
        task->scope = loop_scope_open(fetcher->env->scope, on_scope_ended, task);
        if (!task->scope) {
            fetcher->n_failed += (size_t)arguments_fail("can't go on", -ENOMEM);
        }
    }
    if (!task->scope) {
        drop_peer(task);
        if (--fetcher->n_tasks == 0) {
            progress_end(fetcher->progress);
        }
        return;
    }
    loop_scope_hold(task->scope);
    task->download = &fetcher->downloads[fetcher->n_begun++];
    begin(task);
}

bool task_begin(struct fetcher *fetcher)
{
    struct task *task = loop_scope_alloc(fetcher->env->scope, sizeof *task);

    if (!task) {
        return false;
    }
    task->fetcher = fetcher;
    fetcher->n_tasks++;
    next(task);
    return true;
}
