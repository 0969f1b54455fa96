/* SPDX-License-Identifier: ISC
 *
 * The region and its chunks. The free list is a stack, because the chunk given back last is in the cache.
 */
#include <loop/core/backend.h>
#include <loop/core/check.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/region.h>
#include <loop/core/scope.h>
#include <loop/ground/list.h>
#include <loop/ground/poison.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>

#include <errno.h>
#include <string.h>

static struct loop_chunk *records_of(const struct loop_shares *shares, uint32_t index)
{
    return (struct loop_chunk *)(void *)(shares->records + index * shares->records_bytes);
}

static void set_loop(struct loop_chunk *chunk, struct loop *loop)
{
    __atomic_store_n(&chunk->loop, loop, __ATOMIC_RELAXED);
}

static void make_chunks(struct loop *loop)
{
    struct loop_region *region = &loop->region;
    struct loop_chunk *chunks = records_of(region->share.shares, region->share.index);
    char *memory = region->memory + region->share.index * region->share.shares->share_bytes;
    for (uint32_t i = region->n_blocks; i-- > 0;) {
        set_loop(&chunks[i], loop);
        chunks[i].memory = memory + i * region->block_size;
        chunks[i].index = region->share.index * region->n_shared + i;
        chunks[i].next = region->free_list;
        region->free_list = &chunks[i];
    }
    region->n_free = region->n_blocks;
    LOOP_POISON(memory, region->n_blocks * region->block_size);
}

/* Maps the share. Takes a reference to it, which is dropped where there is no memory. */
static int map_share(struct loop_region *region, const struct loop_share *share)
{
    int error = loop_shares_map(share->shares, region->n_blocks * region->block_size,
                                region->n_blocks * sizeof(struct loop_chunk));
    region->share = error ? (struct loop_share){NULL, 0} : *share;
    if (error) {
        loop_shares_unref(share->shares);
    }
    return error;
}

static int map_own(struct loop_region *region)
{
    struct loop_share own = {loop_shares_create(1), 0};
    return own.shares ? map_share(region, &own) : -ENOMEM;
}

int loop_region_init(struct loop *loop, const struct loop_share *share, uint32_t n_blocks, size_t block_size)
{
    struct loop_region *region = &loop->region;
    assert(n_blocks > 0 && block_size > 0 && block_size <= LOOP_REGION_MAX / n_blocks);
    region->block_size = block_size;
    region->n_blocks = region->n_shared = n_blocks;
    loop_list_init(&region->line);
    if (share) {
        loop_shares_ref(share->shares);
    }
    if ((!share || map_share(region, share)) && map_own(region)) {
        loop_region_finish(loop);
        return -ENOMEM;
    }
    region->memory = region->share.shares->memory;
    region->size_bytes = loop_shares_size(region->share.shares);
    make_chunks(loop);
    return 0;
}

struct loop_chunk *loop_region_chunk(struct loop *loop, uint32_t number)
{
    const struct loop_region *region = &loop->region;
    assert(number < loop_region_total(region));
    struct loop_chunk *chunk = &records_of(region->share.shares, number / region->n_shared)[number % region->n_shared];
    return loop_region_has(loop, chunk) ? chunk : NULL;
}

/* Gives up the chunks, in which others of the region would else find the address of a loop that is no more, or of the
 * next one that is allocated there. */
static void leave_chunks(struct loop *loop)
{
    for (uint32_t i = 0; i < loop_region_total(&loop->region); i++) {
        struct loop_chunk *chunk = loop_region_chunk(loop, i);
        if (chunk) {
            set_loop(chunk, NULL);
        }
    }
}

void loop_region_finish(struct loop *loop)
{
    struct loop_shares *shares = loop->region.share.shares;
    if (shares && shares->count > 1) {
        leave_chunks(loop);
    }
    loop_shares_unref(shares);
    loop->region = (struct loop_region){0};
}

/* Returns whether one loop's blocks are all from the first to the last byte. */
static bool covers_blocks(struct loop *loop, size_t first, size_t last)
{
    const struct loop_region *region = &loop->region;
    size_t share_bytes = region->share.shares->share_bytes;
    for (size_t at = first; at <= last; at += region->block_size - at % share_bytes % region->block_size) {
        size_t number = at % share_bytes / region->block_size;
        if (number >= region->n_shared ||
            !loop_region_chunk(loop, (uint32_t)(at / share_bytes * region->n_shared + number))) {
            return false;
        }
    }
    return true;
}

bool loop_region_covers(struct loop *loop, size_t offset, size_t len)
{
    const struct loop_region *region = &loop->region;
    if (offset > region->size_bytes || len > region->size_bytes - offset) {
        return false;
    }
    return region->share.shares->count == 1 || len == 0 || covers_blocks(loop, offset, offset + len - 1);
}

/* ---- the line ---- */

void loop_region_wait(struct loop *loop, struct loop_job *job)
{
    assert(job->kind->got_chunk && !loop_list_is_linked(&job->link));
    job->where = LOOP_AT_CHUNK_LINE;
    loop_list_push_back(&loop->region.line, &job->link);
    loop->stats.chunk_waits++;
}

void loop_region_give_to_line(struct loop *loop, struct loop_chunk *chunk)
{
    struct loop_list *node = loop_list_pop_front(&loop->region.line);
    struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
    chunk->state = LOOP_CHUNK_OWNED;
    job->kind->got_chunk(loop, job, chunk);
}

/* ---- users' calls ---- */

/* Returns whether it is the address of a chunk of the region, of any loop. */
static bool is_of_region(const struct loop_region *region, const struct loop_chunk *chunk)
{
    const struct loop_shares *shares = region->share.shares;
    uintptr_t at = (uintptr_t)chunk - (uintptr_t)shares->records; /* large for an address in front of them */
    size_t in_share = at % shares->records_bytes;
    return at < shares->count * shares->records_bytes && in_share % sizeof *chunk == 0 &&
           in_share / sizeof *chunk < region->n_shared;
}

static bool is_ours(const struct loop *loop, const struct loop_chunk *chunk)
{
    return is_of_region(&loop->region, chunk) && loop_region_has(loop, chunk);
}

/* Notes where a chunk was taken, for the warnings of a debug build. */
static void note_taken(struct loop_chunk *chunk, struct loop_place taken)
{
#if NORIA_DEBUG
    if (chunk) {
        chunk->taken = taken;
    }
#else
    (void)chunk;
    (void)taken;
#endif
}

struct loop_chunk *loop_chunk_alloc(struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return NULL;
    }
    struct loop_chunk *chunk = loop_region_take(loop);
    note_taken(chunk, LOOP_THIS_CALL);
    return chunk;
}

static void got_chunk(struct loop *loop, struct loop_job *job, struct loop_chunk *chunk)
{
#if NORIA_DEBUG
    note_taken(chunk, (struct loop_place){"loop_chunk_alloc_wait", job->u.chunk.caller});
#endif
    *job->u.chunk.where_to = chunk;
    loop_job_complete(loop, job, 0);
}

static const struct loop_job_kind wait_kind = {.name = "chunk", .cancel = loop_job_cancel_here, .got_chunk = got_chunk};

loop_job loop_chunk_alloc_wait(struct loop_scope *scope, struct loop_chunk **chunk, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__) || !loop_check_pointer(chunk, "chunk", __func__)) {
        return 0;
    }
    loop_job id;
    struct loop *loop = scope->loop;
    struct loop_job *job = loop_job_start(scope, NULL, &wait_kind, fn, arg, &id);
    if (!job) {
        return id;
    }
    struct loop_chunk *free_chunk = loop_region_take(loop);
    job->u.chunk.where_to = chunk;
#if NORIA_DEBUG
    job->u.chunk.caller = LOOP_THIS_CALL.caller;
#endif
    if (free_chunk) {
        got_chunk(loop, job, free_chunk);
    } else {
        loop_region_wait(loop, job);
    }
    return id;
}

int loop_chunk_free(struct loop *loop, struct loop_chunk *chunk)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    if (!chunk) {
        return 0;
    }
    if (!is_ours(loop, chunk)) {
        loop_misuse(loop, __func__, "the chunk is not one of this loop's", "free a chunk on the loop it came from");
        return -EINVAL;
    }
    if (chunk->state != LOOP_CHUNK_OWNED) {
        loop_misuse(loop, __func__,
                    chunk->state == LOOP_CHUNK_FREE ? "the chunk is free already" : "the chunk is only lent",
                    "free once what loop_chunk_alloc gave or loop_chunk_keep kept");
        return -EINVAL;
    }
#if NORIA_DEBUG
    chunk->freed = LOOP_THIS_CALL;
#endif
    loop_region_give(loop, chunk);
    return 0;
}

/* ---- chunks that move ---- */

int loop_chunk_detach(struct loop *loop, struct loop_chunk *chunk)
{
    if (!loop_is_good(loop, __func__) || !loop_check_pointer(chunk, "chunk", __func__)) {
        return -EINVAL;
    }
    if (!is_ours(loop, chunk) || chunk->state != LOOP_CHUNK_OWNED) {
        loop_misuse(loop, __func__, "the chunk is not owned by this loop's program",
                    "detach once what loop_chunk_alloc gave or loop_chunk_keep kept");
        return -EINVAL;
    }
    chunk->state = LOOP_CHUNK_DETACHED;
    loop->region.n_blocks--;
    set_loop(chunk, NULL);
    return 0;
}

int loop_chunk_attach(struct loop *loop, struct loop_chunk *chunk)
{
    if (!loop_is_good(loop, __func__) || !loop_check_pointer(chunk, "chunk", __func__)) {
        return -EINVAL;
    }
    if (!is_of_region(&loop->region, chunk)) {
        return -EXDEV;
    }
    if (!loop_region_has(NULL, chunk) || chunk->state != LOOP_CHUNK_DETACHED) {
        loop_misuse(loop, __func__, "the chunk is not detached", "attach once what loop_chunk_detach has detached");
        return -EINVAL;
    }
    chunk->state = LOOP_CHUNK_OWNED;
    loop->region.n_blocks++;
    set_loop(chunk, loop);
    note_taken(chunk, LOOP_THIS_CALL);
    return 0;
}

int loop_chunk_keep(struct loop *loop, struct loop_chunk *chunk)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    if (!chunk || !is_ours(loop, chunk) || chunk->state != LOOP_CHUNK_LENT) {
        loop_misuse(loop, __func__, "the chunk is not lent now",
                    "keep a chunk inside the stream's continuation that got it");
        return -EINVAL;
    }
    chunk->state = LOOP_CHUNK_OWNED;
    note_taken(chunk, LOOP_THIS_CALL);
    return 0;
}

void *loop_chunk_data(const struct loop_chunk *chunk)
{
    return loop_chunk_is_good(chunk, __func__) ? loop_chunk_memory(chunk) : NULL;
}

size_t loop_chunk_length(const struct loop_chunk *chunk)
{
    return loop_chunk_is_good(chunk, __func__) ? chunk->loop->region.block_size : 0;
}

size_t loop_chunk_offset(const struct loop_chunk *chunk)
{
    return loop_chunk_is_good(chunk, __func__) ? loop_chunk_place(chunk) : 0;
}

int64_t loop_chunk_copy_out(const struct loop_chunk *chunk, void *buf, size_t len)
{
    if (!loop_chunk_is_good(chunk, __func__) || len > chunk->loop->region.block_size ||
        (len > 0 && !loop_check_pointer(buf, "bytes", __func__))) {
        return -EINVAL;
    }
    memcpy(buf, loop_chunk_memory(chunk), len);
    return (int64_t)len;
}

size_t loop_region_avail(const struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return 0;
    }
    return loop->region.n_free;
}

size_t loop_region_count(const struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return 0;
    }
    return loop->region.n_blocks;
}

bool loop_region_is_fixed(const struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return false;
    }
    return loop->backend->region_is_fixed && loop->backend->region_is_fixed(loop);
}

bool loop_region_is_shared(const struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return false;
    }
    return loop->backend->region_is_shared && loop->backend->region_is_shared(loop);
}

/* ---- checks ---- */

bool loop_bad_chunk(const struct loop_chunk *chunk, const char *function)
{
#if NORIA_DEBUG
    if (chunk) {
        char place[LOOP_PLACE_TEXT_SIZE];
        loop_place_format(&chunk->freed, place);
        loop_stop_gone(function, "the chunk %zu was given back%s%s", (size_t)chunk->index,
                       chunk->freed.function ? " by " : "", chunk->freed.function ? place : "");
    }
#endif
    return chunk ? false : loop_bad_null(function, "chunk");
}
