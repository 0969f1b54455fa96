/* SPDX-License-Identifier: ISC
 *
 * Reads and drops bodies of requests.
 *
 * A body in chunks ends where its chunks end, so a line around them that is read differently by a proxy on the way here
 * would begin another request. Here every such line ends with CRLF, the line after a chunk is empty, and a size has
 * nothing but extensions behind it. What is around the chunks is bounded too.
 */
#include "body.h"

#include <errno.h>

#define PIECE ((uint64_t)4096)
#define OTHER_BYTES ((uint64_t)16384) /* around the chunks, beside OTHER_RATIO for each byte of data */
#define OTHER_RATIO 8

bool body_is_too_long(const struct http_request *request, uint64_t most_bytes)
{
    return request->body == BODY_OF_LENGTH && request->body_bytes > most_bytes;
}

static void end(struct body *body, int64_t result)
{
    body->job = 0;
    body->fn(body->arg, result);
}

static void await(struct body *body, loop_job job)
{
    body->job = job;
    if (!job) {
        end(body, -ENOMEM);
    }
}

static void on_skipped(void *arg, int64_t result)
{
    struct body *body = arg;
    bool is_whole = result == (int64_t)http_reading_request(body->reading)->body_bytes;

    if (is_whole) {
        end(body, 0);
    } else {
        end(body, result < 0 ? result : -ECONNABORTED);
    }
}

/* Returns the line that was read, or NULL when the body has ended with it: with an error, or without CRLF. */
static const char *line_of(struct body *body, int64_t result, size_t *len)
{
    const char *line = loop_reader_data(body->reader, len);

    if (result <= 0) {
        end(body, result == -EMSGSIZE ? 400 : result < 0 ? result : -ECONNABORTED);
        return NULL;
    }
    body->other_bytes += (uint64_t)result;
    if ((uint64_t)result != *len + 2) {
        end(body, 400);
        return NULL;
    }
    return line;
}

static void on_size(void *arg, int64_t result);
static void on_data(void *arg, int64_t result);

static void read_line(struct body *body, loop_fn *fn)
{
    await(body, loop_reader_line(body->reader, fn, body));
}

/* Takes a piece, which fits into the reader. */
static void read_data(struct body *body)
{
    uint64_t len = body->chunk_left < PIECE ? body->chunk_left : PIECE;

    await(body, loop_reader_take(body->reader, (size_t)len, on_data, body));
}

static void on_chunk_end(void *arg, int64_t result)
{
    struct body *body = arg;
    size_t len;
    const char *line = line_of(body, result, &len);

    if (!line) {
        return;
    }
    if (len > 0 || !http_reading_trailer(body->reading, line, len)) {
        end(body, 400);
    } else {
        read_line(body, on_size);
    }
}

static void on_data(void *arg, int64_t result)
{
    struct body *body = arg;
    size_t len;
    const char *piece = loop_reader_data(body->reader, &len);

    if (result <= 0) {
        end(body, result < 0 ? result : -ECONNABORTED);
    } else if (!http_reading_piece(body->reading, piece, len)) {
        end(body, 400);
    } else {
        body->chunk_left -= len;
        if (body->chunk_left > 0) {
            read_data(body);
        } else {
            read_line(body, on_chunk_end);
        }
    }
}

static bool is_too_much(const struct body *body)
{
    return body->other_bytes > OTHER_BYTES + OTHER_RATIO * body->data_bytes;
}

static void on_trailer(void *arg, int64_t result)
{
    struct body *body = arg;
    size_t len;
    const char *line = line_of(body, result, &len);

    if (!line) {
        return;
    }
    if (!http_reading_trailer(body->reading, line, len)) {
        end(body, 400);
    } else if (is_too_much(body)) {
        end(body, 413);
    } else if (len == 0) {
        end(body, 0);
    } else {
        read_line(body, on_trailer);
    }
}

static void on_size(void *arg, int64_t result)
{
    struct body *body = arg;
    size_t len;
    const char *line = line_of(body, result, &len);

    if (!line) {
        return;
    }
    if (!http_reading_chunk(body->reading, line, len, &body->chunk_left)) {
        end(body, 400);
    } else if (body->chunk_left > body->most_bytes - body->data_bytes || is_too_much(body)) {
        end(body, 413);
    } else if (body->chunk_left == 0) {
        read_line(body, on_trailer);
    } else {
        body->data_bytes += body->chunk_left;
        read_data(body);
    }
}

void body_drop(struct body *body, loop_fn *fn, void *arg)
{
    const struct http_request *request = http_reading_request(body->reading);

    body->fn = fn;
    body->arg = arg;
    body->data_bytes = body->other_bytes = 0;
    if (request->body == BODY_OF_LENGTH) {
        await(body, loop_reader_skip(body->reader, request->body_bytes, on_skipped, body));
    } else {
        read_line(body, on_size);
    }
}

void body_cancel(struct body *body)
{
    if (body->job) {
        loop_cancel(loop_scope_loop(loop_reader_source(body->reader)->scope), body->job);
    }
}
