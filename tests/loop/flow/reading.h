/* SPDX-License-Identifier: ISC
 *
 * Helpers that the suites of readers share: sources of every kind, and a record of the bytes that a reader returned.
 */
#ifndef TESTS_READING_H
#define TESTS_READING_H

#include "harness.h"

#include <loop/reader.h>

/* A source that returns a few bytes at a time, and at the end always `end`. Counts the reads after the end. */
struct drip {
    struct loop_source source;
    const char *data;
    size_t len, at, step;
    int64_t end;
    unsigned reads, reads_after_end;
    bool has_ended;
};

static inline loop_job drip_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct drip *drip = source->self;
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);
    size_t left = drip->len - drip->at;
    size_t n = left < drip->step ? left : drip->step;

    n = n < len ? n : len;
    CHECK(len > 0);
    drip->reads++;
    drip->reads_after_end += drip->has_ended;
    drip->has_ended = n == 0;
    memcpy(buf, drip->data + drip->at, n);
    drip->at += n;
    loop_resolve(loop_scope_loop(source->scope), job, n > 0 ? (int64_t)n : drip->end);
    return job;
}

__attribute__((unused)) static const struct loop_source_ops drip_ops = {.read = drip_read};

static inline struct loop_source *make_drip(struct drip *drip, struct loop_scope *scope, const void *data, size_t len,
                                            size_t step)
{
    *drip = (struct drip){.data = data, .len = len, .step = step};
    drip->source = (struct loop_source){.ops = &drip_ops, .scope = scope, .self = drip};
    return &drip->source;
}

/* A source that returns the bytes that the test sets, when the test allows it. */
struct gate {
    struct loop_source source;
    char *buf;
    size_t len;
    loop_job job; /* the waiting read, or 0 */
    unsigned reads;
};

static inline void on_gate_cancel(void *arg, loop_job job)
{
    struct gate *gate = arg;

    CHECK(job == gate->job);
    gate->job = 0;
    loop_resolve(loop_scope_loop(gate->source.scope), job, -ECANCELED);
}

static inline loop_job gate_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct gate *gate = source->self;

    CHECK(gate->job == 0);
    gate->buf = buf;
    gate->len = len;
    gate->reads++;
    gate->job = loop_promise(source->scope, on_gate_cancel, gate, fn, arg);
    return gate->job;
}

__attribute__((unused)) static const struct loop_source_ops gate_ops = {.read = gate_read};

static inline struct loop_source *make_gate(struct gate *gate, struct loop_scope *scope)
{
    *gate = (struct gate){.reads = 0};
    gate->source = (struct loop_source){.ops = &gate_ops, .scope = scope, .self = gate};
    return &gate->source;
}

static inline void gate_end(struct gate *gate, int64_t result)
{
    loop_job job = gate->job;

    CHECK(job != 0);
    gate->job = 0;
    loop_resolve(loop_scope_loop(gate->source.scope), job, result);
}

static inline void gate_give(struct gate *gate, const char *text)
{
    size_t len = strlen(text);

    CHECK(gate->job != 0 && len <= gate->len);
    memcpy(gate->buf, text, len);
    gate_end(gate, (int64_t)len);
}

enum kind { MEMORY, DRIP, DRIPS, REGULAR_FILE, SOCKET, PIPE, TCP, KINDS };

/* Returns a source of that kind that contains these bytes. */
static inline struct loop_source *source_of(struct loop_scope *scope, enum kind kind, const void *data, size_t len)
{
    static struct drip drip;
    struct loop_flow *to;
    struct loop_source *source;
    struct loop_sink *sink;
    int fds[2];

    switch (kind) {
    case MEMORY: return loop_memory_source(scope, data, len);
    case DRIP: return make_drip(&drip, scope, data, len, 1);
    case DRIPS: return make_drip(&drip, scope, data, len, 7);
    case REGULAR_FILE: return &flow_of(scope, make_file(data, len))->source;
    case PIPE: CHECK_IS(loop_pipe(scope, &source, &sink), 0); break;
    default:
        if (kind == TCP) {
            make_tcp_pair(fds);
        } else {
            make_pair(fds);
        }
        source = &flow_of(scope, fds[0])->source;
        to = flow_of(scope, fds[1]);
        sink = &to->sink;
    }
    START(loop_write(sink, data, len, NULL, NULL));
    START(loop_shutdown(sink, NULL, NULL));
    return source;
}

static inline struct loop_reader *reader_of(struct loop_source *source, size_t max_bytes)
{
    struct loop_reader *reader = loop_reader_create(source, max_bytes);

    CHECK(reader != NULL);
    return reader;
}

/* True if the reader returned exactly these bytes; GAVE_TEXT also requires a trailing NUL. */
#define GAVE(reader, expected) gave(reader, expected, sizeof(expected) - 1)

static inline bool gave(const struct loop_reader *reader, const char *expected, size_t expected_len)
{
    size_t len;
    const char *data = loop_reader_data(reader, &len);

    return len == expected_len && memcmp(data, expected, len) == 0;
}

#define GAVE_TEXT(reader, expected)                                                                                    \
    (GAVE(reader, expected) && loop_reader_data(reader, NULL)[sizeof(expected) - 1] == 0)

static inline bool window_is(const struct loop_reader *reader, const char *expected)
{
    size_t len;
    const char *data = loop_reader_peek(reader, &len);

    return len == strlen(expected) && memcmp(data, expected, len) == 0;
}

#endif
