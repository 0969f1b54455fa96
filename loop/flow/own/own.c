/* SPDX-License-Identifier: ISC
 *
 * Records of sources and sinks of the program's own: a hash table by address, which is empty most of the time.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/core/unread.h>
#include <loop/flow/own/own.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/kernel/memory.h>

#define FIRST_CAPACITY 16u
#define SPREAD UINT64_C(0x9e3779b97f4a7c55) /* a prime near 2^64 divided by the golden ratio */

/* Returns the list in which the record of `end` belongs. */
static struct loop_hlist *place_of(const struct loop_owns *owns, const void *end)
{
    return &owns->at[((uint64_t)(uintptr_t)end * SPREAD >> 32) & (owns->capacity - 1)];
}

/* Makes room for one more record: on average a list has at most one. False when there is no memory. */
static bool make_room(struct loop_owns *owns)
{
    if (loop_slab_in_use(&owns->slab) < owns->capacity) {
        return true;
    }
    struct loop_owns larger = *owns;
    larger.capacity = owns->capacity ? owns->capacity * 2 : FIRST_CAPACITY;
    larger.at = loop_kernel_calloc(larger.capacity, sizeof *larger.at);
    if (!larger.at) {
        return false;
    }
    for (unsigned i = 0; i < owns->capacity; i++) {
        struct loop_hnode *node;
        while ((node = loop_hlist_pop(&owns->at[i]))) {
            loop_hlist_push(place_of(&larger, LOOP_CONTAINER(node, struct loop_own, in_table)->end), node);
        }
    }
    loop_kernel_free(owns->at);
    *owns = larger;
    return true;
}

void loop_own_drop_unread(struct loop_own *own)
{
    while (own->unread) {
        struct loop_block *block = own->unread;
        own->unread = block->next;
        loop_block_free(own->loop, block);
    }
}

/* Whether there are jobs that the close ends. */
static bool joined(const struct loop_own *own)
{
    return own->jobs.first || own->sink_jobs.first || own->members.first;
}

static bool has_jobs(const struct loop_own *own)
{
    return !loop_list_is_empty(&own->queue) || !loop_list_is_empty(&own->drainers) || joined(own);
}

struct loop_own *loop_own_find(const struct loop_scope *scope, const void *end)
{
    const struct loop_owns *owns = &scope->loop->owns;
    struct loop_hnode *node = loop_slab_in_use(&owns->slab) > 0 ? place_of(owns, end)->first : NULL;
    for (; node; node = node->next) {
        struct loop_own *own = LOOP_CONTAINER(node, struct loop_own, in_table);
        if (own->end == end && own->scope == scope) {
            return own;
        }
    }
    return NULL;
}

void loop_own_drop(struct loop_own *own)
{
    assert(!has_jobs(own) && !own->holds);
    loop_own_drop_unread(own);
    loop_hlist_remove(&own->in_table);
    loop_hlist_remove(&own->kept.link);
    loop_slab_put(&own->loop->owns.slab, own);
}

/* Drops a record whose scope has ended. */
static void drop_kept(struct loop_kept *kept)
{
    loop_own_drop(LOOP_CONTAINER(kept, struct loop_own, kept));
}

struct loop_own *loop_own_get(struct loop_scope *scope, const void *end)
{
    struct loop *loop = scope->loop;
    struct loop_own *own = loop_own_find(scope, end);
    if (own) {
        return own;
    }
    struct loop_scope_more *more = loop_scope_get_more(scope);
    if (!more || !make_room(&loop->owns)) {
        return NULL;
    }
    own = loop_slab_get(&loop->owns.slab);
    if (own) {
        own->end = end;
        own->loop = loop;
        own->scope = scope;
        own->limit_bytes = loop->options.sink_limit_bytes;
        loop_list_init(&own->queue);
        loop_list_init(&own->drainers);
        own->kept.drop = drop_kept;
        loop_hlist_push(&more->kept, &own->kept.link);
        loop_hlist_push(place_of(&loop->owns, end), &own->in_table);
    }
    return own;
}

void loop_owns_init(struct loop *loop)
{
    loop_slab_init(&loop->owns.slab, sizeof(struct loop_own), 0);
}

void loop_owns_finish(struct loop *loop)
{
    assert(loop_slab_in_use(&loop->owns.slab) == 0);
    loop_slab_finish(&loop->owns.slab);
    loop_kernel_free(loop->owns.at);
}

void loop_own_settle(struct loop_own *own)
{
    bool keeps = own->error || own->unread || own->has_limit || own->has_overflowed;
    if (!has_jobs(own) && !own->is_busy && !own->holds && !keeps) {
        loop_own_drop(own);
    }
}

struct loop_own *loop_own_hold(const struct loop_source *source)
{
    struct loop_own *own = loop_own_get(source->scope, source);
    if (own) {
        own->holds++;
    }
    return own;
}

void loop_own_release(struct loop_own *own)
{
    if (own) {
        assert(own->holds > 0);
        own->holds--;
        loop_own_settle(own);
    }
}
