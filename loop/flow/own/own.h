/* SPDX-License-Identifier: ISC
 *
 * What the library keeps for sources and sinks of the program's own, whose structs are the program's: the error of a
 * source that its next read has to tell, the queue of a sink. A record is found by the address of the source or sink.
 * It goes when there is nothing to keep any more, or with the scope.
 */
#include <loop/core/scope.h>
#include <loop/ground/list.h>

#ifndef LOOP_FLOW_OWN_OWN_H
#define LOOP_FLOW_OWN_OWN_H

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

/* Gives the record back: nothing is queued and nobody waits. */
void loop_own_drop(struct loop_own *own);

/* Keeps an error for the next read of the source: the read that met it resumed with the bytes before it. */
void loop_source_keep_error(struct loop_source *source, int64_t error);

/* Returns the kept error and keeps it no longer; 0 where there is none. The source is not a descriptor's. */
int64_t loop_source_take_error(const struct loop_source *source);

/* Whether an error is kept. The source is not a descriptor's. */
bool loop_source_has_error(const struct loop_source *source);

/* Whether nothing is asked of a source and nothing given to a sink in this scope: it is cancelled, or has ended. */
static inline bool loop_own_is_over(const struct loop_scope *scope)
{
    return scope->is_cancelled || !loop_scope_takes_work(scope);
}

/* Initializes the loop's table of records. */
void loop_owns_init(struct loop *loop);

/* Frees the loop's table of records, which is empty. */
void loop_owns_finish(struct loop *loop);

#endif
