/* SPDX-License-Identifier: ISC
 *
 * The lowest floor: list, slab and heap, against simple models of them, with random calls. The only suite that looks
 * inside the library.
 */
#include "harness.h"

#include <loop/heap.h>
#include <loop/list.h>
#include <loop/slab.h>

static unsigned next_random(void)
{
    static uint32_t state = 1;

    state = state * 1664525 + 1013904223;
    return state >> 8;
}

/* ---- list ---- */

struct item {
    int number;
    struct loop_list link;
};

static void check_list(struct loop_list *list, const int *numbers, int count)
{
    struct loop_list *node = list->next;

    CHECK_IS(loop_list_is_empty(list), count == 0);
    for (int i = 0; i < count; i++, node = node->next) {
        CHECK(node != list);
        CHECK_IS(LOOP_CONTAINER(node, struct item, link)->number, numbers[i]);
        CHECK(node->next->prev == node && node->prev->next == node);
    }
    CHECK(node == list);
}

TEST(list_keeps_its_order)
{
    struct item items[4];
    struct loop_list list;

    loop_list_init(&list);
    check_list(&list, NULL, 0);
    CHECK(!loop_list_first(&list) && !loop_list_pop_front(&list));
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        loop_list_init(&items[i].link);
        CHECK(!loop_list_is_linked(&items[i].link));
    }
    loop_list_push_back(&list, &items[1].link);
    loop_list_push_front(&list, &items[0].link);
    loop_list_push_back(&list, &items[3].link);
    loop_list_insert_before(&items[3].link, &items[2].link);
    check_list(&list, (int[]){0, 1, 2, 3}, 4);
    loop_list_remove(&items[1].link);
    loop_list_remove(&items[1].link);
    CHECK(!loop_list_is_linked(&items[1].link));
    check_list(&list, (int[]){0, 2, 3}, 3);
    CHECK(loop_list_pop_front(&list) == &items[0].link);
    CHECK(loop_list_first(&list) == &items[2].link);
    check_list(&list, (int[]){2, 3}, 2);
}

TEST(list_moves_all)
{
    struct item items[3];
    struct loop_list from, to;

    loop_list_init(&from);
    loop_list_take_all(&to, &from);
    check_list(&to, NULL, 0);
    for (int i = 0; i < 3; i++) {
        items[i].number = i;
        loop_list_push_back(&from, &items[i].link);
    }
    loop_list_take_all(&to, &from);
    check_list(&from, NULL, 0);
    check_list(&to, (int[]){0, 1, 2}, 3);
    for (int i = 0; i < 3; i++) {
        loop_list_remove(&items[i].link);
    }
    check_list(&to, NULL, 0);
}

TEST(list_against_an_array)
{
    enum { N = 40, ROUNDS = 20000 };
    struct item items[N];
    int order[N], count = 0;
    struct loop_list list;

    loop_list_init(&list);
    for (int i = 0; i < N; i++) {
        items[i].number = i;
        loop_list_init(&items[i].link);
    }
    for (int round = 0; round < ROUNDS; round++) {
        struct item *item = &items[next_random() % N];
        if (loop_list_is_linked(&item->link)) {
            int at = 0;
            while (order[at] != item->number) {
                at++;
            }
            memmove(order + at, order + at + 1, (size_t)(--count - at) * sizeof *order);
            loop_list_remove(&item->link);
        } else if (round % 2) {
            order[count++] = item->number;
            loop_list_push_back(&list, &item->link);
        } else {
            memmove(order + 1, order, (size_t)count++ * sizeof *order);
            order[0] = item->number;
            loop_list_push_front(&list, &item->link);
        }
        check_list(&list, order, count);
    }
}

/* ---- slab ---- */

struct object {
    uint64_t id;
    unsigned seed;
    char bytes[52];
};

TEST(slab_objects_are_zeroed_and_found)
{
    struct loop_slab slab;
    struct object *object;

    loop_slab_init(&slab, sizeof *object, 0);
    CHECK(!loop_slab_find(&slab, 0));
    object = loop_slab_get(&slab);
    CHECK(object && object->id != 0);
    CHECK_IS(object->id >> LOOP_SLAB_ID_BITS, 0);
    for (size_t i = 0; i < sizeof object->bytes; i++) {
        CHECK_IS(object->bytes[i], 0);
    }
    fill_pattern(object->bytes, sizeof object->bytes, 1);
    CHECK(loop_slab_find(&slab, object->id) == object);
    uint64_t id = object->id;
    loop_slab_put(&slab, object);
    CHECK(!loop_slab_find(&slab, id));
    struct object *again = loop_slab_get(&slab);
    CHECK(again == object && again->id != id);
    CHECK_IS(again->bytes[5], 0);
    CHECK(!loop_slab_find(&slab, id));
    loop_slab_put(&slab, again);
    loop_slab_finish(&slab);
}

TEST(slab_finds_nothing_for_ids_that_never_were)
{
    struct loop_slab slab;

    loop_slab_init(&slab, sizeof(struct object), 0);
    struct object *object = loop_slab_get(&slab);
    for (unsigned bit = 0; bit < 64; bit++) {
        CHECK(!loop_slab_find(&slab, object->id ^ UINT64_C(1) << bit));
    }
    for (int i = 0; i < 100000; i++) {
        uint64_t id = (uint64_t)next_random() << 40 ^ (uint64_t)next_random() << 20 ^ next_random();
        CHECK(id == object->id || !loop_slab_find(&slab, id));
    }
    CHECK(!loop_slab_find(&slab, UINT64_MAX));
    loop_slab_put(&slab, object);
    loop_slab_finish(&slab);
}

TEST(slab_objects_never_move)
{
    enum { N = 20000 };
    static struct object *objects[N];
    struct loop_slab slab;

    loop_slab_init(&slab, sizeof(struct object), 0);
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
    CHECK_IS(slab.in_use, 0);
    for (unsigned i = 0; i < N; i++) {
        objects[i] = loop_slab_get(&slab);
    }
    CHECK_IS(loop_slab_capacity(&slab), capacity);
    loop_slab_finish(&slab);
}

TEST(slab_against_a_table)
{
    enum { N = 300, ROUNDS = 100000 };
    static struct object *alive[N];
    static uint64_t ids[N], stale[1000];
    struct loop_slab slab;
    unsigned n_stale = 0;

    loop_slab_init(&slab, sizeof(struct object), 0);
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

    loop_slab_init(&slab, sizeof(struct object), 0);
    for (int i = 0; i < REUSES; i++) {
        struct object *object = loop_slab_get(&slab);
        CHECK(object->id != first && object->id != 0);
        first = i == 0 ? object->id : first;
        loop_slab_put(&slab, object);
    }
    CHECK(!loop_slab_find(&slab, first));
    loop_slab_finish(&slab);
}

#if !HAS_SANITIZER
TEST(slab_without_memory_says_so_and_stays_whole)
{
    enum { N = 5000 };
    static struct object *objects[N];
    struct loop_slab slab;
    unsigned got = 0, failed = 0;

    loop_slab_init(&slab, sizeof(struct object), 0);
    for (unsigned round = 1; got < N; round++) {
        fail_allocation(1 + round % 3, false);
        objects[got] = loop_slab_get(&slab);
        fail_allocation(0, false);
        if (objects[got]) {
            objects[got]->seed = got;
            got++;
        } else {
            failed++;
        }
    }
    CHECK(failed > 0);
    for (unsigned i = 0; i < N; i++) {
        CHECK_IS(objects[i]->seed, i);
        CHECK(loop_slab_find(&slab, objects[i]->id) == objects[i]);
    }
    loop_slab_finish(&slab);
}
#endif

/* ---- heap ---- */

static void empty_heap(struct loop_heap *heap)
{
    while (heap->count > 0) {
        loop_heap_remove(heap, loop_heap_first(heap));
    }
    loop_heap_finish(heap);
}

static void check_heap(const struct loop_heap *heap)
{
    for (uint32_t i = 0; i < heap->count; i++) {
        CHECK_IS(heap->entries[i].node->position, i + 1);
        CHECK_IS(heap->entries[i].at_ns, heap->entries[i].node->at_ns);
        if (i > 0) {
            const struct loop_heap_entry *parent = &heap->entries[(i - 1) / 4];
            CHECK(parent->at_ns <= heap->entries[i].at_ns);
        }
    }
}

TEST(heap_gives_the_earliest_first)
{
    enum { N = 2000 };
    static struct loop_heap_node nodes[N];
    struct loop_heap heap;
    int64_t last = INT64_MIN;

    loop_heap_init(&heap);
    CHECK(!loop_heap_first(&heap));
    for (int i = 0; i < N; i++) {
        nodes[i].at_ns = (int64_t)(next_random() % 500) - 250;
        CHECK(!loop_heap_is_linked(&nodes[i]));
        CHECK_IS(loop_heap_add(&heap, &nodes[i]), 0);
        CHECK(loop_heap_is_linked(&nodes[i]));
    }
    check_heap(&heap);
    for (int i = 0; i < N; i++) {
        struct loop_heap_node *first = loop_heap_first(&heap);
        CHECK(first->at_ns >= last);
        last = first->at_ns;
        loop_heap_remove(&heap, first);
        CHECK(!loop_heap_is_linked(first));
    }
    CHECK(!loop_heap_first(&heap));
    loop_heap_finish(&heap);
}

TEST(heap_keeps_the_order_of_equal_times)
{
    enum { N = 1000 };
    static struct loop_heap_node nodes[N];
    struct loop_heap heap;

    loop_heap_init(&heap);
    for (int i = 0; i < N; i++) {
        nodes[i].at_ns = 7;
        CHECK_IS(loop_heap_add(&heap, &nodes[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        CHECK(loop_heap_first(&heap) == &nodes[i]);
        loop_heap_remove(&heap, &nodes[i]);
    }
    loop_heap_finish(&heap);
}

TEST(heap_with_extreme_times)
{
    struct loop_heap_node nodes[] = {{.at_ns = INT64_MAX}, {.at_ns = INT64_MIN}, {.at_ns = 0}, {.at_ns = -1}};
    const int expected[] = {1, 3, 2, 0};
    struct loop_heap heap;

    loop_heap_init(&heap);
    for (unsigned i = 0; i < COUNT_OF(nodes); i++) {
        CHECK_IS(loop_heap_add(&heap, &nodes[i]), 0);
    }
    for (unsigned i = 0; i < COUNT_OF(nodes); i++) {
        CHECK(loop_heap_first(&heap) == &nodes[expected[i]]);
        loop_heap_remove(&heap, loop_heap_first(&heap));
    }
    loop_heap_finish(&heap);
}

TEST(heap_against_a_search)
{
    enum { N = 150, ROUNDS = 30000 };
    static struct loop_heap_node nodes[N];
    struct loop_heap heap;

    loop_heap_init(&heap);
    for (int round = 0; round < ROUNDS; round++) {
        struct loop_heap_node *node = &nodes[next_random() % N], *earliest = NULL;
        if (loop_heap_is_linked(node)) {
            loop_heap_remove(&heap, node);
        } else {
            node->at_ns = next_random() % 100;
            CHECK_IS(loop_heap_add(&heap, node), 0);
        }
        for (int i = 0; i < N; i++) {
            if (loop_heap_is_linked(&nodes[i]) &&
                (!earliest || nodes[i].at_ns < earliest->at_ns ||
                 (nodes[i].at_ns == earliest->at_ns && nodes[i].order < earliest->order))) {
                earliest = &nodes[i];
            }
        }
        CHECK(loop_heap_first(&heap) == earliest);
        if (round % 64 == 0) {
            check_heap(&heap);
        }
    }
    empty_heap(&heap);
}

#if !HAS_SANITIZER
TEST(heap_without_memory_says_so_and_stays_whole)
{
    enum { N = 3000 };
    static struct loop_heap_node nodes[N];
    struct loop_heap heap;
    unsigned failed = 0;

    loop_heap_init(&heap);
    for (int i = 0; i < N; i++) {
        nodes[i].at_ns = (i * 7919) % N;
        fail_allocation(1, false);
        int answer = loop_heap_add(&heap, &nodes[i]);
        bool has_failed = allocation_failed();
        fail_allocation(0, false);
        CHECK_IS(answer, has_failed ? -ENOMEM : 0);
        if (answer != 0) {
            failed++;
            CHECK(!loop_heap_is_linked(&nodes[i]));
            CHECK_IS(loop_heap_add(&heap, &nodes[i]), 0);
        }
        check_heap(&heap);
    }
    CHECK(failed > 0);
    CHECK_IS(heap.count, N);
    empty_heap(&heap);
}
#endif
