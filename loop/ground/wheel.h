/* SPDX-License-Identifier: ISC
 *
 * A hierarchical wheel of points in time. Adding and removing one takes the same few steps for any number of them, and
 * needs neither memory nor the clock. Points are nanoseconds, and are delivered in their exact order; among equal
 * points the one added first comes first.
 *
 * A level has 64 slots, and each slot of a level is as wide as the whole level below it; those of the lowest are one
 * nanosecond wide. A point is kept at the level of the highest six bits in which it differs from the wheel's own time,
 * in the slot that these bits name. So all points of a level come before those of the levels above it, equal points are
 * always in the same slot, in the order in which they were added, and no slot is ever sorted: when the first slot
 * becomes due, its nodes are spread over the levels below.
 */
#ifndef LOOP_GROUND_WHEEL_H
#define LOOP_GROUND_WHEEL_H

#include <loop/ground/list.h>

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define LOOP_WHEEL_SLOT_BITS 6
#define LOOP_WHEEL_SLOTS (1u << LOOP_WHEEL_SLOT_BITS)
#define LOOP_WHEEL_LEVELS 11 /* 63 bits */

/* The kind of object that embeds a node, for code that takes a node that is due. */
enum loop_wheel_owner { LOOP_WHEEL_JOB, LOOP_WHEEL_ALARM };

/* A node, embedded in its owner. The wheel only stores the kind of the owner. Both fields are written as one word. */
struct loop_wheel_node {
    struct loop_list link;
    uint64_t at_ns : 63;
    uint64_t owner : 1; /* enum loop_wheel_owner */
};

/* A slot of a level. */
struct loop_wheel_slot {
    struct loop_list nodes; /* initialized when the first node is added */
    int64_t earliest_ns;    /* no node is earlier; its earliest node, unless that was removed */
    int64_t latest_ns;      /* no node is later; its latest node, unless that was removed */
};

/* A wheel. */
struct loop_wheel {
    int64_t now_ns;  /* its own time: nodes due until then are in `due` or were taken */
    int64_t next_ns; /* what loop_wheel_next returns, while is_next_known */
    bool is_next_known;
    uint8_t spreading_level;              /* the levels below it belong to `spreading`; 0: no slot is being spread */
    uint16_t levels;                      /* a bit for each level that is not empty */
    uint64_t occupied[LOOP_WHEEL_LEVELS]; /* a bit for each slot of a level that is not empty */
    struct loop_list due;                 /* due nodes, in their order */
    struct loop_list spreading;           /* nodes of the first slot that are still to be spread */
    struct loop_wheel_slot slots[LOOP_WHEEL_LEVELS][LOOP_WHEEL_SLOTS];
};

/* Initializes a wheel, whose memory is zeroed. `now_ns` is not negative. */
void loop_wheel_init(struct loop_wheel *wheel, int64_t now_ns);

/* Adds `node`, which is in no list, at the point `at_ns`. A point before the wheel's time counts as that time. */
void loop_wheel_add(struct loop_wheel *wheel, struct loop_wheel_node *node, int64_t at_ns, enum loop_wheel_owner owner);

/* Removes `node` from the wheel, or from a batch of loop_wheel_take. */
void loop_wheel_remove(struct loop_wheel *wheel, struct loop_wheel_node *node);

/* Notes that `list`, which is that of a slot, of the wheel or of a batch, is empty. */
void loop_wheel_emptied(struct loop_wheel *wheel, const struct loop_list *list);

/* Does what loop_wheel_remove does. The links of the node are undefined afterwards. The only node of a list has the
 * list's head on both sides. */
static inline void loop_wheel_unlink(struct loop_wheel *wheel, struct loop_wheel_node *node)
{
    const struct loop_list *head = node->link.prev;
    bool was_alone = head == node->link.next;
    assert(loop_list_is_linked(&node->link));
    loop_list_unlink(&node->link);
    if (__builtin_expect((int64_t)node->at_ns <= wheel->next_ns, false)) {
        wheel->is_next_known = false;
    }
    if (__builtin_expect(was_alone, false)) {
        loop_wheel_emptied(wheel, head);
    }
}

/* Returns when the first node is due, or INT64_MAX when there is none. Exact, unless the first slot has lost its
 * earliest node and has many others: then it may be too early. In the past while nodes wait to be taken or spread. */
int64_t loop_wheel_next(struct loop_wheel *wheel);

/* Returns the last point that is at most `leeway_ns` after the first one, which loop_wheel_next returns. Where only a
 * part of a slot is within that time, or its last node was removed, it may be too late, but not by more than the
 * leeway. */
int64_t loop_wheel_next_within(struct loop_wheel *wheel, int64_t leeway_ns);

/* Moves nodes that are due at `now_ns`, in their order, to the empty list `batch`. The rest of the last batch comes
 * alone, so that no more nodes are spread than are taken soon. Moves at most `most_moves` nodes to other slots; while
 * others are due, loop_wheel_next stays in the past. Nodes added from now on are not in the batch, even if they are due
 * at once. */
void loop_wheel_take(struct loop_wheel *wheel, int64_t now_ns, unsigned most_moves, struct loop_list *batch);

/* Gives the rest of a batch back: it is the next one. */
void loop_wheel_put_back(struct loop_wheel *wheel, struct loop_list *batch);

/* Returns whether the wheel has no nodes. */
static inline bool loop_wheel_is_empty(const struct loop_wheel *wheel)
{
    return !wheel->levels && loop_list_is_empty(&wheel->due) && loop_list_is_empty(&wheel->spreading);
}

#endif
