/* SPDX-License-Identifier: ISC
 *
 * What the library keeps for sources and sinks of the program's own, whose structs are the program's: the error of a
 * source that its next read has to tell, the queue of a sink. A record is found by the address of the source or sink.
 * It goes when there is nothing to keep any more, or with the scope.
 */
#ifndef LOOP_OWN_H
#define LOOP_OWN_H

#include <loop/core.h>

struct loop_own {
    uint64_t id;     /* must be first (slab.h) */
    const void *end; /* the source or sink */
    struct loop *loop;
    struct loop_kept kept;      /* in the scope's `kept` */
    struct loop_hnode in_table; /* in loop->owns */
    struct loop_scope *scope;
    int32_t error; /* of a source: kept for its next read; of a sink: of its last write; or 0 */
    /* a sink's: */
    struct loop_list queue;    /* writes and shutdowns, in order: only the first is under way */
    struct loop_list drainers; /* jobs that wait for the queue to drain */
    size_t queued_bytes, limit_bytes;
    bool is_busy;        /* the first has been handed to the sink */
    bool has_limit;      /* one that was asked for */
    bool has_overflowed; /* a write was refused, and its writer doesn't know yet */
};

/* The record of a source or sink, or NULL. */
struct loop_own *loop_own_find(const struct loop *loop, const void *end);

/* The same, and makes it where there is none: NULL when there is no memory. The scope takes work. */
struct loop_own *loop_own_get(struct loop_scope *scope, const void *end);

void loop_own_drop(struct loop_own *own);

/* ---- sources ---- */

/* Whether the source's functions are the program's, whose answers have to be checked. */
bool loop_source_is_own(const struct loop_source *source);

/* An answer of `function`, which was asked for `asked` bytes, as far as it can be true: else -EINVAL, after a debug
 * build has stopped. */
int64_t loop_own_checked(const struct loop *loop, const char *function, int64_t result, size_t asked);

/* Reads of any source but a descriptor's: once, or until the buffer is full. */
loop_job loop_own_read(struct loop_source *source, struct iovec buffer, bool is_exact, loop_fn *fn, void *arg);

/* Keeps an error, which a read has met behind some bytes and can't tell, for the next read. */
void loop_source_keep_error(struct loop_source *source, int64_t error);

/* That error, which is told and kept no longer; or 0. Of sources that are no descriptor's. */
int64_t loop_source_take_error(const struct loop_source *source);

/* Whether there is one. */
bool loop_source_has_error(const struct loop_source *source);

/* ---- sinks (own_sink.c, own_write.c) ---- */

/* Whether the library keeps a queue for the sink: not for a descriptor's, nor for those that take all at once. */
bool loop_sink_is_own(const struct loop_sink *sink);

/* What is to be written: `single` where `n_iov` is 0. */
struct loop_own_bytes {
    const struct iovec *iov;
    size_t n_iov;
    struct iovec single;
    size_t total;
    struct loop_chunk *chunk; /* to be given back at the end, or NULL */
};

/* Queue a write or a shutdown of an own sink, whose scope takes work. `*took_chunk` tells whether the job looks after
 * the chunk from now on. */
loop_job loop_own_write(struct loop_sink *sink, const struct loop_own_bytes *bytes, loop_fn *fn, void *arg,
                        bool *took_chunk);
loop_job loop_own_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg);

bool loop_own_is_full(const struct loop_own *own);
loop_job loop_own_drained(struct loop_own *own, loop_fn *fn, void *arg);

/* `n` bytes more have left the queue; `result` < 0: because a write failed. Tells those who wait for it to drain. */
void loop_own_leave(struct loop_own *own, size_t n, int64_t result);

/* Gives the record back where there is nothing to keep. */
void loop_own_settle(struct loop_own *own);

/* The sink is closed: its limit and its error are forgotten. */
void loop_own_forget(struct loop_own *own);

#endif
