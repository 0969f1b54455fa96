/* SPDX-License-Identifier: ISC
 *
 * The rest of a reader as a source: what the parts below the readers have to know of it. That is whether a source is
 * one, how to keep its reader, and what a debug build says of a reader that has been freed.
 */
#ifndef LOOP_FLOW_OWN_REST_H
#define LOOP_FLOW_OWN_REST_H

#include <loop/core/log.h>
#include <loop/core/scope.h>

struct loop_rest;

struct loop_block;

/* What the reader does for its rest. `give_back` is for loop_source_give_back (kept.h). `let_go` frees the reader, when
 * the last pin is dropped, unless something else keeps it. */
struct loop_rest_functions {
    struct loop_source_ops source;
    bool (*give_back)(struct loop_rest *rest, struct loop_block *block);
    void (*let_go)(struct loop_rest *rest);
};

/* What a reader begins with. */
struct loop_rest {
    uint64_t id; /* must be first (slab.h): the reader's */
    const struct loop_rest_functions *functions;
    struct loop_source source;
    struct loop_source *bottom; /* from which its bytes come in the end: no rest */
    struct loop_fd *fd;         /* behind that, pinned by a reader; or NULL */
    uint32_t pins;              /* each keeps the object */
#if NORIA_DEBUG
    struct loop_place destroyed; /* where the reader was destroyed; no function: it went with its scope */
#endif
};

/* The table of every such source: `self` is the struct loop_rest. */
extern const struct loop_source_ops loop_rest_ops;

/* Initializes all but the id, the pins, and what is below. */
void loop_rest_init(struct loop_rest *rest, const struct loop_rest_functions *functions, struct loop_scope *scope);

/* Whether the source is the rest of a reader: its `self` is the struct loop_rest. */
static inline bool loop_source_is_rest(const struct loop_source *source)
{
    return source->ops == &loop_rest_ops;
}

/* Stops a debug build: the reader is NULL or has been freed. Returns false. */
__attribute__((cold)) bool loop_bad_rest(const struct loop_rest *rest, const char *function);

/* Keeps the object for a stream, a copy or another reader, even when the reader is destroyed meanwhile. */
static inline void loop_rest_pin(struct loop_rest *rest)
{
    rest->pins++;
}

/* Gives the last bytes that were read back to the reader. Takes ownership of the block. False where they are lost. */
static inline bool loop_rest_give_back(struct loop_rest *rest, struct loop_block *block)
{
    return rest->functions->give_back(rest, block);
}

/* Drops a pin, which may free the object. */
static inline void loop_rest_unpin(struct loop_rest *rest)
{
    assert(rest->pins > 0);
    rest->pins--;
    rest->functions->let_go(rest);
}

#endif
