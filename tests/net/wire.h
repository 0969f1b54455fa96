/* SPDX-License-Identifier: ISC
 *
 * Two flows of the program's own, connected in memory. Each lane can deliver few bytes at a time, end or fail after so
 * many bytes, change one, or hold back what is written.
 */
#ifndef TESTS_WIRE_H
#define TESTS_WIRE_H

#include "harness.h"

/* One direction. */
struct lane {
    struct loop *loop;
    struct loop_scope *scope;
    char *bytes; /* from malloc */
    size_t begin, end, room;
    size_t most;    /* bytes of one read; 0: all */
    size_t passed;  /* bytes delivered */
    size_t cut_at;  /* ends after so many bytes */
    size_t flip_at; /* the byte that is changed */
    bool was_cut, has_ended, is_full;
    bool never_ends;          /* a shutdown is not passed on */
    unsigned lacks_memory_at; /* the write, from 1 on, for which there is no memory; 0: none */
    unsigned breaks_at;       /* the write, from 1 on, of which one byte is accepted; 0: none */
    bool stays_broken;        /* the writes behind that one fail */
    unsigned n_writes;
    loop_job reading, writing;
    void *buf;
    size_t len;
    const struct iovec *iov;
    size_t n_iov;
};

/* The ends are flows[0], which writes to lanes[0], and flows[1], which writes to lanes[1]. */
struct wire {
    struct lane lanes[2];
    struct loop_flow flows[2];
    unsigned closes[2];
};

static inline void lane_deliver(struct lane *lane)
{
    size_t n = lane->end - lane->begin, left = lane->cut_at - lane->passed;
    loop_job job = lane->reading;

    lane->was_cut = lane->was_cut || (n > 0 && left == 0);
    if (!job || (n == 0 && !lane->has_ended && left > 0)) {
        return;
    }
    n = n < left ? n : left;
    n = n < lane->len ? n : lane->len;
    n = lane->most && lane->most < n ? lane->most : n;
    lane->was_cut = lane->was_cut || left == 0;
    if (n > 0) {
        memcpy(lane->buf, lane->bytes + lane->begin, n);
    }
    if (lane->flip_at >= lane->passed && lane->flip_at < lane->passed + n) {
        ((char *)lane->buf)[lane->flip_at - lane->passed] ^= 1;
    }
    lane->begin += n;
    lane->passed += n;
    lane->reading = 0;
    loop_resolve(lane->loop, job, (int64_t)n);
}

static inline void lane_read_cancelled(void *arg, loop_job job)
{
    struct lane *lane = arg;

    lane->reading = 0;
    loop_resolve(lane->loop, job, -ECANCELED);
}

static inline loop_job wire_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct lane *lane = source->self;

    CHECK(!lane->reading);
    lane->buf = buf;
    lane->len = len;
    loop_job job = loop_promise(source->scope, lane_read_cancelled, lane, fn, arg);
    lane->reading = job;
    lane_deliver(lane);
    return job;
}

/* Accepts the write that waits. */
static inline void lane_accept(struct lane *lane)
{
    int64_t total = 0;
    size_t left = lane->n_writes == lane->breaks_at ? 1 : SIZE_MAX;
    loop_job job = lane->writing;

    if (!job || lane->is_full) {
        return;
    }
    if (lane->has_ended || (lane->stays_broken && lane->n_writes > lane->breaks_at)) {
        lane->writing = 0;
        loop_resolve(lane->loop, job, -EPIPE);
        return;
    }
    for (size_t i = 0; i < lane->n_iov; i++) {
        size_t n = lane->iov[i].iov_len < left ? lane->iov[i].iov_len : left;
        left -= n;
        if (lane->room < lane->end + n) {
            lane->room = 2 * (lane->end + n);
            lane->bytes = realloc(lane->bytes, lane->room);
        }
        if (n > 0) {
            memcpy(lane->bytes + lane->end, lane->iov[i].iov_base, n);
        }
        lane->end += n;
        total += (int64_t)n;
    }
    lane->writing = 0;
    loop_resolve(lane->loop, job, total);
    lane_deliver(lane);
}

static inline void lane_write_cancelled(void *arg, loop_job job)
{
    struct lane *lane = arg;

    lane->writing = 0;
    loop_resolve(lane->loop, job, -ECANCELED);
}

static inline loop_job wire_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    struct lane *lane = sink->self;

    if (++lane->n_writes == lane->lacks_memory_at) {
        return 0;
    }
    loop_job job = loop_promise(sink->scope, lane_write_cancelled, lane, fn, arg);
    CHECK(!lane->writing);
    lane->writing = job;
    lane->iov = iov;
    lane->n_iov = n_iov;
    lane_accept(lane);
    return job;
}

static inline void lane_end(struct lane *lane)
{
    lane->has_ended = !lane->never_ends;
    lane_deliver(lane);
}

static inline loop_job wire_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);

    lane_end(sink->self);
    loop_resolve(loop_scope_loop(sink->scope), job, 0);
    return job;
}

static inline int wire_close_source(struct loop_source *source)
{
    struct lane *lane = source->self;
    loop_job job = lane->reading;

    lane->reading = 0;
    loop_resolve(lane->loop, job, -ECANCELED);
    return 0;
}

static inline int wire_close_sink(struct loop_sink *sink)
{
    struct lane *lane = sink->self;
    loop_job job = lane->writing;

    lane->writing = 0;
    loop_resolve(lane->loop, job, -ECANCELED);
    lane_end(lane);
    return 0;
}

static const struct loop_source_ops wire_source_ops = {.read = wire_read, .close = wire_close_source};
static const struct loop_sink_ops wire_sink_ops = {
    .write = wire_write, .shutdown = wire_shutdown, .close = wire_close_sink};

/* Makes a wire without faults in a scope. */
static inline void wire_make(struct wire *wire, struct loop_scope *scope)
{
    memset(wire, 0, sizeof *wire);
    for (int i = 0; i < 2; i++) {
        wire->lanes[i] =
            (struct lane){.loop = loop_scope_loop(scope), .scope = scope, .cut_at = SIZE_MAX, .flip_at = SIZE_MAX};
        wire->flows[i] =
            (struct loop_flow){.source = {.ops = &wire_source_ops, .scope = scope, .self = &wire->lanes[!i]},
                               .sink = {.ops = &wire_sink_ops, .scope = scope, .self = &wire->lanes[i]},
                               .scope = scope};
    }
}

/* Frees what is on its way, when the scope has ended. */
static inline void wire_free(struct wire *wire)
{
    free(wire->lanes[0].bytes);
    free(wire->lanes[1].bytes);
}

#endif
