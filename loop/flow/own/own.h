/* SPDX-License-Identifier: ISC
 *
 * Records of what the library keeps for sources and sinks of the program's own, whose structs are the program's: what
 * the next reads of a source return, the queue of a sink. The scope and the address of the source or sink find its
 * record, which exists while there is something to keep, at most until the scope has ended. From on_end of the scope on
 * there may be another source or sink at this address.
 */
#ifndef LOOP_FLOW_OWN_OWN_H
#define LOOP_FLOW_OWN_OWN_H

#include <loop/core/job.h>
#include <loop/core/scope.h>
#include <loop/ground/index_list.h>
#include <loop/ground/list.h>

struct loop_own {
    uint64_t id;     /* must be first (slab.h) */
    const void *end; /* the source or sink */
    struct loop *loop;
    struct loop_kept kept;      /* in the scope's `kept` */
    struct loop_hnode in_table; /* in loop->owns */
    struct loop_scope *scope;
    struct loop_hlist jobs;           /* that the close of a source ends, by in_fd */
    struct loop_index_list sink_jobs; /* that the close of a sink ends, by u.args.in_second: large ones */
    struct loop_hlist members;        /* whose jobs the close ends as well (join.h) */
    int32_t error;                    /* a source's: kept for the next read. A sink's: of the last write. Or 0 */
    /* a source's only: */
    struct loop_block *unread; /* given back, and kept here (kept.h): the block put last first */
    uint32_t holds;            /* each keeps the record */
    uint32_t closes;           /* how often it was closed: then another source may be at its address */
    /* a sink's only: */
    struct loop_list queue;    /* jobs that write or shut down, in order: only the first is in flight */
    struct loop_list drainers; /* jobs that wait for the queue to drain */
    size_t queued_bytes, limit_bytes;
    loop_job unstarted;  /* the last job that the sink had no memory to start; or 0 */
    bool is_busy;        /* the first has been handed to the sink */
    bool has_limit;      /* set by loop_sink_limit */
    bool has_overflowed; /* a refused write has not been resumed yet */
    uint32_t n_refused;  /* those that found the queue full */
};

/* Returns the record of a source or sink of `scope`, or NULL where there is none. */
struct loop_own *loop_own_find(const struct loop_scope *scope, const void *end);

/* Returns the record of a source or sink of `scope`, which takes work, and makes it where there is none. NULL when
 * there is no memory. */
struct loop_own *loop_own_get(struct loop_scope *scope, const void *end);

/* Keeps the record of a source until loop_own_release, and makes it where there is none. What is kept for the next
 * reads of the source needs no memory then. NULL when there is no memory. */
struct loop_own *loop_own_hold(const struct loop_source *source);

/* Drops a hold. NULL is ignored. */
void loop_own_release(struct loop_own *own);

/* Frees the unread bytes that are kept. */
void loop_own_drop_unread(struct loop_own *own);

/* Frees a record. No job is in its lists, and nothing holds it. */
void loop_own_drop(struct loop_own *own);

/* Frees the record where there is nothing to keep. */
void loop_own_settle(struct loop_own *own);

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
