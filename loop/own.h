/* SPDX-License-Identifier: ISC
 *
 * What the library keeps for sources and sinks of the program's own, whose structs are the program's. A record is found
 * by the address of the source or sink. It goes when there is nothing to keep any more, or with the scope.
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
    int32_t error;              /* of a source: kept for its next read; or 0 */
};

/* The record of a source or sink, or NULL. */
struct loop_own *loop_own_find(const struct loop *loop, const void *end);

/* The same, and makes it where there is none: NULL when there is no memory. The scope takes work. */
struct loop_own *loop_own_get(struct loop_scope *scope, const void *end);

void loop_own_drop(struct loop_own *own);

/* ---- sources ---- */

/* Keeps an error, which a read has met behind some bytes and can't tell, for the next read. */
void loop_source_keep_error(struct loop_source *source, int64_t error);

/* That error, which is told and kept no longer; or 0. Of sources that are no descriptor's. */
int64_t loop_source_take_error(const struct loop_source *source);

/* Whether there is one. */
bool loop_source_has_error(const struct loop_source *source);

#endif
