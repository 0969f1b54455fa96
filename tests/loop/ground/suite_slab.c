/* SPDX-License-Identifier: ISC
 *
 * Slabs: objects and their ids, compared with a simple model. Also released slots and chunks: when they are reused,
 * what they contain, and that a sanitizer reports an access.
 */
#include "dice.h"

#include <loop/core/job.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/ground/wheel.h>

/* ---- slab ---- */

struct numbered {
    uint64_t id;
    unsigned seed;
    char bytes[52];
};

TEST(slab_objects_are_zeroed_and_found)
{
    struct loop_slab slab;
    struct numbered *numbered;
    bool is_next = !NORIA_DEBUG; /* a debug build takes it last */

    loop_slab_init(&slab, sizeof *numbered, 0);
    CHECK(!loop_slab_find(&slab, 0));
    numbered = loop_slab_get(&slab);
    CHECK(numbered && numbered->id != 0);
    CHECK_IS(numbered->id >> LOOP_SLAB_ID_BITS, 0);
    for (size_t i = 0; i < sizeof numbered->bytes; i++) {
        CHECK_IS(numbered->bytes[i], 0);
    }
    fill_pattern(numbered->bytes, sizeof numbered->bytes, 1);
    CHECK(loop_slab_find(&slab, numbered->id) == numbered);
    uint64_t id = numbered->id;
    loop_slab_put(&slab, numbered);
    CHECK(!loop_slab_find(&slab, id));
    struct numbered *again = loop_slab_get(&slab);
    CHECK((again == numbered) == is_next && again->id != id);
    CHECK_IS(again->bytes[5], 0);
    CHECK(!loop_slab_find(&slab, id));
    loop_slab_put(&slab, again);
    loop_slab_finish(&slab);
}

TEST(slab_finds_nothing_for_ids_that_never_were)
{
    struct loop_slab slab;

    loop_slab_init(&slab, sizeof(struct numbered), 0);
    struct numbered *numbered = loop_slab_get(&slab);
    for (unsigned bit = 0; bit < 64; bit++) {
        CHECK(!loop_slab_find(&slab, numbered->id ^ UINT64_C(1) << bit));
    }
    for (int i = 0; i < 100000; i++) {
        uint64_t id = (uint64_t)next_random() << 40 ^ (uint64_t)next_random() << 20 ^ next_random();
        CHECK(id == numbered->id || !loop_slab_find(&slab, id));
    }
    CHECK(!loop_slab_find(&slab, UINT64_MAX));
    loop_slab_put(&slab, numbered);
    loop_slab_finish(&slab);
}

TEST(slab_objects_never_move)
{
    enum { N = 20000 };
    static struct numbered *objects[N];
    struct loop_slab slab;

    loop_slab_init(&slab, sizeof(struct numbered), 0);
    for (unsigned i = 0; i < N; i++) {
        objects[i] = loop_slab_get(&slab);
        CHECK(objects[i] != NULL);
        objects[i]->seed = i;
    }
    CHECK(loop_slab_capacity(&slab) >= N);
    for (unsigned i = 0; i < N; i++) {
        CHECK(loop_slab_find(&slab, objects[i]->id) == objects[i]);
        CHECK_IS(objects[i]->seed, i);
    }
    uint32_t capacity = loop_slab_capacity(&slab);
    for (unsigned i = 0; i < N; i++) {
        loop_slab_put(&slab, objects[i]);
    }
    CHECK_IS(loop_slab_in_use(&slab), 0);
    for (unsigned i = 0; i < N; i++) {
        objects[i] = loop_slab_get(&slab);
    }
    CHECK_IS(loop_slab_capacity(&slab), capacity);
    loop_slab_finish(&slab);
}

TEST(slab_against_a_table)
{
    enum { N = 300, ROUNDS = 100000 };
    static struct numbered *alive[N];
    static uint64_t ids[N], stale[1000];
    struct loop_slab slab;
    unsigned n_stale = 0;

    loop_slab_init(&slab, sizeof(struct numbered), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = next_random() % N;
        if (alive[i]) {
            CHECK_IS(alive[i]->id, ids[i]);
            CHECK(loop_slab_find(&slab, ids[i]) == alive[i]);
            CHECK(is_pattern(alive[i]->bytes, sizeof alive[i]->bytes, alive[i]->seed));
            stale[n_stale++ % COUNT_OF(stale)] = ids[i];
            loop_slab_put(&slab, alive[i]);
            alive[i] = NULL;
        } else {
            alive[i] = loop_slab_get(&slab);
            ids[i] = alive[i]->id;
            alive[i]->seed = round;
            fill_pattern(alive[i]->bytes, sizeof alive[i]->bytes, round);
        }
        CHECK(!loop_slab_find(&slab, stale[next_random() % COUNT_OF(stale)]));
    }
    loop_slab_finish(&slab);
}

TEST(slab_ids_do_not_come_back_soon)
{
    enum { REUSES = 1000000 };
    struct loop_slab slab;
    uint64_t first = 0;

    loop_slab_init(&slab, sizeof(struct numbered), 0);
    for (int i = 0; i < REUSES; i++) {
        struct numbered *numbered = loop_slab_get(&slab);
        CHECK(numbered->id != first && numbered->id != 0);
        first = i == 0 ? numbered->id : first;
        loop_slab_put(&slab, numbered);
    }
    CHECK(!loop_slab_find(&slab, first));
    loop_slab_finish(&slab);
}

/* More than four MiB, from where on the slab grows by two MiB at a time. */
enum { MANY = 100000 };

TEST(slab_of_many_objects)
{
    static struct numbered *objects[MANY];
    struct loop_slab slab;

    loop_slab_init(&slab, sizeof(struct numbered), 1);
    for (unsigned i = 0; i < MANY; i++) {
        objects[i] = loop_slab_take(&slab);
        CHECK(objects[i] && objects[i]->bytes[51] == 0);
        objects[i]->seed = i;
    }
    CHECK(loop_slab_capacity(&slab) < MANY + LOOP_SLAB_PER_PAGE);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_IS(objects[i]->seed, i);
        CHECK_IS(loop_slab_mark_of(objects[i]->id), 1);
        CHECK(loop_slab_find(&slab, objects[i]->id) == objects[i]);
        loop_slab_put(&slab, objects[i]);
    }
    loop_slab_finish(&slab);
}

#if !HAS_SANITIZER
/* Takes `n` objects while one allocation of each slab_grow fails now and then. Returns how often that showed. */
static unsigned take_while_allocations_fail(struct loop_slab *slab, struct numbered **objects, unsigned n)
{
    unsigned got = 0, failed = 0;
    for (unsigned round = 1; got < n; round++) {
        fail_allocation(1 + round % 3, false);
        objects[got] = loop_slab_get(slab);
        fail_allocation(0, false);
        if (objects[got]) {
            objects[got]->seed = got;
            got++;
        } else {
            failed++;
        }
    }
    return failed;
}

/* Where a large block cannot be allocated, a small one will do. */
TEST(slab_without_memory_says_so_and_stays_whole)
{
    static struct numbered *objects[MANY];
    struct loop_slab slab;

    loop_slab_init(&slab, sizeof(struct numbered), 0);
    CHECK(take_while_allocations_fail(&slab, objects, MANY) > 0);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_IS(objects[i]->seed, i);
        CHECK(loop_slab_find(&slab, objects[i]->id) == objects[i]);
    }
    loop_slab_finish(&slab);
}
#endif

/* Returns true if a sanitizer reports an access to that byte. */
static bool is_poisoned(const void *at)
{
#ifdef LOOP_HAS_POISON
    return __asan_address_is_poisoned(at);
#else
    (void)at;
    return false;
#endif
}

#ifdef LOOP_HAS_POISON
#define CHECK_POISON(at) CHECK(is_poisoned(at))
#else
#define CHECK_POISON(at) ((void)(at))
#endif

struct object {
    uint64_t id;
    uint64_t link;
    uint64_t kept;
    char rest[104];
};

/* ---- slots ---- */

TEST(a_slot_given_back_is_poisoned_until_it_is_taken)
{
    struct loop_slab slab;

    loop_slab_init(&slab, sizeof(struct object), 0);
    struct object *object = loop_slab_get(&slab);
    for (size_t i = 0; i < sizeof *object; i++) {
        CHECK(!is_poisoned((char *)object + i));
    }
    uint64_t id = object->id;
    loop_slab_put(&slab, object);
    CHECK(!loop_slab_find(&slab, id));
    CHECK_POISON(&object->link);
    CHECK_POISON(&object->kept);
    CHECK_POISON(&object->rest[103]);
    for (unsigned i = 0; i < LOOP_SLAB_PER_PAGE; i++) {
        struct object *taken = loop_slab_get(&slab);
        CHECK(!is_poisoned(&taken->kept) && !is_poisoned(&taken->rest[103]));
    }
    CHECK(!is_poisoned(&object->kept));
    loop_slab_finish(&slab);
}

TEST(slots_that_were_never_taken_are_poisoned)
{
    struct loop_slab slab;

    loop_slab_init(&slab, sizeof(struct object), 0);
    struct object *object = loop_slab_get(&slab);
    for (uint32_t i = 0; i < loop_slab_capacity(&slab); i++) {
        struct object *other = (void *)loop_slab_at(&slab, i);
        if (other != object) {
            CHECK_POISON(&other->rest[103]);
        }
    }
    loop_slab_finish(&slab);
}

TEST(a_slot_given_back_is_used_again_first_or_in_debug_builds_last)
{
    struct loop_slab slab;
    void *first[LOOP_SLAB_PER_PAGE];

    loop_slab_init(&slab, sizeof(struct object), 0);
    for (unsigned i = 0; i < COUNT_OF(first); i++) {
        first[i] = loop_slab_get(&slab);
    }
    for (unsigned i = 0; i < COUNT_OF(first); i++) {
        loop_slab_put(&slab, first[i]);
    }
    for (unsigned i = 0; i < COUNT_OF(first); i++) {
        CHECK(loop_slab_get(&slab) == first[NORIA_DEBUG ? i : COUNT_OF(first) - 1 - i]);
    }
    CHECK_IS(loop_slab_capacity(&slab), COUNT_OF(first));
    loop_slab_finish(&slab);
}

#if !NORIA_DEBUG
/* Which is what a scope or descriptor that is used too late answers from. */
TEST(what_follows_the_link_survives_until_the_slot_is_used_again)
{
    struct loop_slab slab;

    loop_slab_init(&slab, sizeof(struct object), 0);
    struct object *object = loop_slab_get(&slab);
    object->kept = 42;
    loop_slab_put(&slab, object);
    CHECK_IS(object->kept, 42);
    loop_slab_finish(&slab);
}
#endif

/* ---- chunks ---- */

LOOP_TEST_WITH(free_chunks_are_poisoned, .n_blocks = 3, .block_size = 100)
{
    static struct loop_chunk *chunks[3];
    static char *bytes[3];
    static size_t n;

    BEGIN;
    for (n = 0; n < COUNT_OF(chunks) && (chunks[n] = loop_chunk_alloc(env->loop)); n++) {
        bytes[n] = loop_chunk_data(chunks[n]);
        memset(bytes[n], 'x', 100);
        CHECK(!is_poisoned(bytes[n]) && !is_poisoned(bytes[n] + 99));
    }
    CHECK_IS(n, is_hard("onechunk") ? 1 : 3);
    for (size_t i = 0; i < n; i++) {
        CHECK_IS(loop_chunk_free(env->loop, chunks[i]), 0);
    }
    for (size_t i = 0; i < n; i++) {
        CHECK_POISON(bytes[i] + 50);
    }
    CHECK((chunks[0] = loop_chunk_alloc(env->loop)));
    CHECK(!is_poisoned((char *)loop_chunk_data(chunks[0]) + 50));
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    END;
}

static char *last_bytes;
static unsigned chunks_seen;

static void look_at_chunk(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    (void)result;
    if (chunk) {
        last_bytes = loop_chunk_data(chunk);
        CHECK(!is_poisoned(last_bytes));
        chunks_seen++;
    }
}

LOOP_TEST(a_chunk_that_a_stream_has_lent_is_poisoned_when_it_is_back)
{
    static int pair[2];
    static loop_job stream;

    BEGIN;
    make_pair(pair);
    CHECK_IS(write(pair[1], "abc", 3), 3);
    stream = START(loop_stream(&flow_of(env->scope, pair[0])->source, look_at_chunk, NULL));
    while (chunks_seen == 0) {
        AWAIT(turns(env->scope, 1, GO));
    }
    AWAIT(turns(env->scope, 1, GO));
    CHECK_POISON(last_bytes);
    close(pair[1]);
    loop_cancel(env->loop, stream);
    END;
}
