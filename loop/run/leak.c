/* SPDX-License-Identifier: ISC
 *
 * Warnings about chunks, references to the inbox, working memory and pins that a program has not given back when its
 * loop ends.
 */
#include <loop/core/fd.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/region.h>
#include <loop/event/inbox.h>
#include <loop/ground/slab.h>
#include <loop/run/leak.h>

uint32_t loop_leaked_pins(const struct loop *loop)
{
    uint32_t n_pinned = 0;
    for (uint32_t i = 0; i < loop_slab_capacity(&loop->fds); i++) {
        const struct loop_slot *slot = loop_slab_at(&loop->fds, i);
        if (!(slot->id & LOOP_SLAB_FREE)) {
            const struct loop_fd *fd = (const void *)slot;
            n_pinned += fd->state == LOOP_FD_GONE && fd->pins > 0 && fd->uses == 0;
        }
    }
    return n_pinned;
}

#if NORIA_DEBUG
#define MOST_PLACES 8 /* places that are logged one by one */

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

/* Counts the owned chunks from `first` on that were taken at the same place, and marks them as counted. */
static uint32_t count_alike(struct loop *loop, uint32_t first)
{
    const void *caller = loop_region_chunk(loop, first)->taken.caller;
    uint32_t count = 0;
    for (uint32_t i = first; i < loop_region_total(&loop->region); i++) {
        struct loop_chunk *chunk = loop_region_chunk(loop, i);
        if (chunk && chunk->state == LOOP_CHUNK_OWNED && chunk->taken.caller == caller) {
            chunk->state = LOOP_CHUNK_FREE;
            count++;
        }
    }
    return count;
}

static void name_chunks(struct loop *loop)
{
    unsigned n_places = 0;
    for (uint32_t i = 0; i < loop_region_total(&loop->region) && n_places < MOST_PLACES; i++) {
        const struct loop_chunk *chunk = loop_region_chunk(loop, i);
        if (chunk && chunk->state == LOOP_CHUNK_OWNED) {
            char place[LOOP_PLACE_TEXT_SIZE];
            loop_place_format(&chunk->taken, place);
            uint32_t count = count_alike(loop, i);
            loop_log_options(&loop->options, LOOP_LOG_WARNING,
                             "%u chunk%s of the region taken by %s had not been given back when the loop ended: call "
                             "loop_chunk_free for each",
                             count, plural(count), place);
            n_places++;
        }
    }
}

static void name_inboxes(struct loop *loop)
{
    uint32_t count = loop->inbox ? loop_inbox_references(loop->inbox) - 1 : 0;
    if (count > 0) {
        char place[LOOP_PLACE_TEXT_SIZE];
        loop_place_format(&loop->inbox_taken, place);
        loop_log_options(
            &loop->options, LOOP_LOG_WARNING,
            "%u reference%s to the inbox, the last one taken by %s, had not been given back when the loop ended: "
            "call loop_inbox_unref for each; one that another thread gives back later does no harm",
            count, plural(count), place);
    }
}

static void name_scratch(struct loop *loop)
{
    if (loop->n_scratch > 0) {
        loop_log_options(
            &loop->options, LOOP_LOG_WARNING,
            "%u piece%s of working memory had not been given back when the loop ended: call loop_scratch_give for "
            "each",
            loop->n_scratch, plural(loop->n_scratch));
    }
}

static void name_pins(struct loop *loop)
{
    uint32_t count = loop_leaked_pins(loop);
    if (count > 0) {
        loop_log_options(
            &loop->options, LOOP_LOG_WARNING,
            "%u descriptor%s still pinned when the loop ended: call loop_fd_unpin once for each loop_fd_pin", count,
            count == 1 ? " was" : "s were");
    }
}

void loop_leaks_name(struct loop *loop)
{
    name_chunks(loop);
    name_inboxes(loop);
    name_scratch(loop);
    name_pins(loop);
}
#else
void loop_leaks_name(struct loop *loop)
{
    (void)loop;
}
#endif
