/* SPDX-License-Identifier: ISC
 *
 * The rest of a reader as a source, as far as the parts below the readers have to know it: that a source is one, what
 * keeps the reader, and what a debug build says of one that has been freed.
 */
#include <loop/core/log.h>
#include <loop/core/scope.h>

#ifndef LOOP_FLOW_OWN_REST_H
#define LOOP_FLOW_OWN_REST_H

struct loop_rest;

/* What the reader does: the functions of its source, and looking whether it can be given back when a pin is dropped. */
struct loop_rest_functions {
    struct loop_source_ops source;
    void (*let_go)(struct loop_rest *rest);
};

/* What a reader begins with. */
struct loop_rest {
    uint64_t id; /* must be first (slab.h): the reader's */
    const struct loop_rest_functions *functions;
    struct loop_source source;
    uint32_t pins; /* keep the object: loop_rest_pin */
#if NORIA_DEBUG
    struct loop_place destroyed; /* where the reader was: unless it went with its scope */
#endif
};

/* The table of every such source: `self` is the struct loop_rest. */
extern const struct loop_source_ops loop_rest_ops;

/* Fills in all but the id and the pins. */
void loop_rest_init(struct loop_rest *rest, const struct loop_rest_functions *functions, struct loop_scope *scope);

static inline bool loop_source_is_rest(const struct loop_source *source)
{
    return source->ops == &loop_rest_ops;
}

/* Stops a debug build: the reader is NULL or has been freed. Returns false. */
__attribute__((cold)) bool loop_bad_rest(const struct loop_rest *rest, const char *function);

/* Keeps the object for a stream, a copy or another reader, though the reader may be destroyed meanwhile. */
static inline void loop_rest_pin(struct loop_rest *rest)
{
    rest->pins++;
}

/* Drops a pin. Gives the object back where nothing else keeps it. */
static inline void loop_rest_unpin(struct loop_rest *rest)
{
    assert(rest->pins > 0);
    rest->pins--;
    rest->functions->let_go(rest);
}

#endif
