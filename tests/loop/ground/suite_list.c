/* SPDX-License-Identifier: ISC
 *
 * Lists, compared with a simple model under pseudo-random calls.
 */
#include "dice.h"

#include <loop/ground/index_list.h>
#include <loop/ground/line.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/ground/wheel.h>

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

TEST(list_takes_another_at_either_end)
{
    struct item items[6];
    struct loop_list list, other;

    loop_list_init(&list);
    loop_list_init(&other);
    loop_list_put_before(&list, &other);
    loop_list_put_after(&list, &other);
    check_list(&list, NULL, 0);
    for (int i = 0; i < 6; i++) {
        items[i].number = i;
        loop_list_push_back(&other, &items[i].link);
        if (i == 1) {
            loop_list_put_after(&list, &other);
        } else if (i == 3) {
            loop_list_put_before(&list, &other);
        }
    }
    loop_list_put_after(&list, &other);
    check_list(&list, (int[]){2, 3, 0, 1, 4, 5}, 6);
    check_list(&other, NULL, 0);
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

/* ---- lines ---- */

static void check_line(const struct loop_line *line, const int *numbers, int count)
{
    struct loop_list *node = loop_line_first(line);

    CHECK_IS(loop_line_is_empty(line), count == 0);
    CHECK_IS(loop_line_has_one(line), count == 1);
    for (int i = 0; i < count; i++, node = loop_line_next(node)) {
        CHECK(node && loop_list_is_linked(node));
        CHECK_IS(LOOP_CONTAINER(node, struct item, link)->number, numbers[i]);
    }
    CHECK(!node);
    if (count > 0) {
        CHECK_IS(LOOP_CONTAINER(loop_line_last(line), struct item, link)->number, numbers[count - 1]);
    }
}

/* Few items, so that lines of one and of two come often. */
TEST(line_against_an_array)
{
    enum { N = 6, ROUNDS = 5000 };
    struct loop_line line = {0};
    struct item items[N];
    int order[N], count = 0;

    for (int i = 0; i < N; i++) {
        items[i].number = i;
        loop_list_init(&items[i].link);
    }
    for (int round = 0; round < ROUNDS; round++) {
        struct item *item = &items[next_random() % N];
        if (loop_list_is_linked(&item->link)) {
            int at = 0;
            bool is_first = order[0] == item->number;
            while (order[at] != item->number) {
                at++;
            }
            memmove(order + at, order + at + 1, (size_t)(--count - at) * sizeof *order);
            if (is_first && round % 2) {
                CHECK(loop_line_pop_front(&line) == &item->link);
            } else {
                loop_line_remove(&item->link);
            }
            CHECK(!loop_list_is_linked(&item->link));
        } else if (round % 2) {
            order[count++] = item->number;
            loop_line_push_back(&line, &item->link);
        } else {
            memmove(order + 1, order, (size_t)count++ * sizeof *order);
            order[0] = item->number;
            loop_line_push_front(&line, &item->link);
        }
        check_line(&line, order, count);
    }
}

/* An object that waits in a line now and in a list then leaves both by one call. */
TEST(line_remove_takes_a_node_out_of_a_list)
{
    struct loop_line line = {0};
    struct loop_list list, nodes[3];

    loop_list_init(&list);
    for (int i = 0; i < 3; i++) {
        loop_list_init(&nodes[i]);
        loop_line_remove(&nodes[i]);
        CHECK(!loop_list_is_linked(&nodes[i]));
        loop_list_push_back(&list, &nodes[i]);
    }
    loop_line_remove(&nodes[1]);
    CHECK(!loop_list_is_linked(&nodes[1]) && nodes[0].next == &nodes[2] && nodes[2].prev == &nodes[0]);
    loop_line_push_back(&line, &nodes[1]);
    loop_line_remove(&nodes[1]);
    CHECK(loop_line_is_empty(&line) && !loop_line_pop_front(&line));
}

/* ---- lists by indices ---- */

struct indexed {
    uint64_t id;
    int number;
    struct loop_index_node node;
    struct loop_index_qnode queued;
};

#define NODE_AT offsetof(struct indexed, node)

static void check_index_list(const struct loop_slab *slab, const struct loop_index_list *list, const int *numbers,
                             int count)
{
    struct indexed *object = loop_index_oldest(slab, list, NODE_AT);

    for (int i = 0; i < count; i++, object = loop_index_newer(slab, object, NODE_AT)) {
        CHECK(object);
        CHECK_IS(object->number, numbers[i]);
    }
    CHECK(!object);
}

TEST(index_list_against_an_array)
{
    enum { N = 100, ROUNDS = 5000 };
    struct loop_index_list list = {0};
    struct loop_slab slab;
    struct indexed *objects[N];
    int order[N], count = 0;
    bool is_in[N] = {false};

    loop_slab_init(&slab, sizeof *objects[0], 0);
    for (int i = 0; i < N; i++) {
        objects[i] = loop_slab_get(&slab);
        objects[i]->number = i;
    }
    for (int round = 0; round < ROUNDS; round++) {
        int i = (int)(next_random() % N), at = 0;
        if (is_in[i]) {
            while (order[at] != i) {
                at++;
            }
            memmove(order + at, order + at + 1, (size_t)(--count - at) * sizeof *order);
            loop_index_remove(&slab, &list, objects[i], NODE_AT);
        } else {
            order[count++] = i;
            loop_index_push(&slab, &list, objects[i], NODE_AT);
        }
        is_in[i] = !is_in[i];
        check_index_list(&slab, &list, order, count);
    }
    loop_slab_finish(&slab);
}

/* ---- queues by indices ---- */

#define QUEUED_AT offsetof(struct indexed, queued)

TEST(index_queue_keeps_its_order_and_knows_what_is_in_it)
{
    enum { N = 8, ROUNDS = 2000 };
    struct loop_index_queue queue = {0};
    struct loop_slab slab;
    struct indexed *objects[N];
    int order[N], count = 0;

    loop_slab_init(&slab, sizeof *objects[0], 0);
    for (int i = 0; i < N; i++) {
        objects[i] = loop_slab_get(&slab);
    }
    for (int round = 0; round < ROUNDS; round++) {
        int i = (int)(next_random() % N);
        if (!loop_index_is_queued(&objects[i]->queued)) {
            order[count++] = i;
            loop_index_enqueue(&queue, objects[i], QUEUED_AT);
        } else {
            CHECK(loop_index_dequeue(&slab, &queue, QUEUED_AT) == objects[order[0]]);
            CHECK(!loop_index_is_queued(&objects[order[0]]->queued));
            memmove(order, order + 1, (size_t)--count * sizeof *order);
        }
        for (int at = 0; at < count; at++) {
            CHECK(loop_index_is_queued(&objects[order[at]]->queued));
        }
    }
    while (count > 0) {
        CHECK(loop_index_dequeue(&slab, &queue, QUEUED_AT) == objects[order[0]]);
        memmove(order, order + 1, (size_t)--count * sizeof *order);
    }
    CHECK(!loop_index_dequeue(&slab, &queue, QUEUED_AT));
    loop_slab_finish(&slab);
}
