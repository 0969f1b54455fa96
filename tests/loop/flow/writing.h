/* SPDX-License-Identifier: ISC
 *
 * A sink for the suites of writers: it accepts as many bytes as the test allows, when the test allows it.
 */
#ifndef TESTS_WRITING_H
#define TESTS_WRITING_H

#include "harness.h"

#include <loop/writer.h>
#include <sys/uio.h>

/* A sink that stores the written bytes, a limited number at a time, and fails or waits when the test sets it to. */
struct basin {
    struct loop_sink sink;
    char *data;
    size_t room, length;
    size_t step;     /* the most bytes accepted by one write; 0 for all */
    size_t fails_at; /* writes from this length on end with `error`, if that is < 0 */
    int64_t error;
    bool waits; /* a write waits for basin_go */
    unsigned writes, shutdowns;
    loop_job job; /* the waiting write */
    const struct iovec *iov;
    size_t n_iov;
};

static inline int64_t basin_take(struct basin *basin, const struct iovec *iov, size_t n_iov)
{
    size_t left = basin->step ? basin->step : SIZE_MAX, total = 0;

    if (basin->error < 0 && left > basin->fails_at - basin->length) {
        left = basin->fails_at - basin->length;
    }
    for (size_t i = 0; i < n_iov && left > 0; i++) {
        size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;
        CHECK(iov[i].iov_len > 0 && basin->length + n <= basin->room);
        memcpy(basin->data + basin->length, iov[i].iov_base, n);
        basin->length += n;
        total += n;
        left -= n;
    }
    return total > 0 ? (int64_t)total : basin->error;
}

static inline void on_basin_cancel(void *arg, loop_job job)
{
    struct basin *basin = arg;

    CHECK(job == basin->job);
    if (basin->waits) {
        basin->job = 0;
        loop_resolve(loop_scope_loop(basin->sink.scope), job, -ECANCELED);
    }
}

static inline loop_job basin_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn,
                                   void *arg)
{
    struct basin *basin = sink->self;
    loop_job job = loop_promise(sink->scope, on_basin_cancel, basin, fn, arg);

    CHECK(basin->job == 0);
    basin->writes++;
    if (basin->waits) {
        basin->job = job;
        basin->iov = iov;
        basin->n_iov = n_iov;
    } else {
        loop_resolve(loop_scope_loop(sink->scope), job, basin_take(basin, iov, n_iov));
    }
    return job;
}

static inline loop_job basin_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    struct basin *basin = sink->self;
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);

    basin->shutdowns++;
    if (!basin->waits) {
        loop_resolve(loop_scope_loop(sink->scope), job, 0);
    }
    return job;
}

__attribute__((unused)) static const struct loop_sink_ops basin_ops = {.write = basin_write,
                                                                       .shutdown = basin_shutdown};

static inline struct loop_writer *writer_of(struct loop_sink *sink, size_t limit_bytes)
{
    struct loop_writer *writer = loop_writer_create(sink, limit_bytes);

    CHECK(writer != NULL);
    return writer;
}

static inline struct loop_writer *fill_basin(struct basin *basin, struct loop_scope *scope, size_t limit_bytes)
{
    enum { ROOM = 1 << 20 };

    *basin = (struct basin){.room = ROOM, .data = loop_scope_alloc(scope, ROOM)};
    CHECK(basin->data != NULL);
    basin->sink = (struct loop_sink){.ops = &basin_ops, .scope = scope, .self = basin};
    return writer_of(&basin->sink, limit_bytes);
}

/* Completes the waiting write. */
static inline void basin_go(struct basin *basin)
{
    loop_job job = basin->job;

    CHECK(job != 0);
    basin->job = 0;
    loop_resolve(loop_scope_loop(basin->sink.scope), job, basin_take(basin, basin->iov, basin->n_iov));
}

#define HAS(basin, expected)                                                                                           \
    ((basin).length == sizeof(expected) - 1 && memcmp((basin).data, expected, sizeof(expected) - 1) == 0)

#endif
