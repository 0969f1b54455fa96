/* SPDX-License-Identifier: ISC
 *
 * A hierarchical wheel of points in time. Adding and removing one takes the same few steps however many there are, and
 * needs neither memory nor the clock. Points are nanoseconds, and are handed out in their exact order; among equal ones
 * the one added first comes first.
 *
 * A level has 64 slots, and each slot of a level is as wide as the whole level below it; those of the lowest are one
 * nanosecond wide. A point is kept at the level of the highest six bits in which it differs from the wheel's own time,
 * in the slot that these bits name. So all of a level comes before all of the levels above it, equal points are always
 * in the same slot, in the order in which they came, and no slot ever has to be sorted: when the first slot comes due
 * it is spread over the levels below.
 */
#ifndef LOOP_GROUND_WHEEL_H
#define LOOP_GROUND_WHEEL_H

#include <loop/ground/list.h>

#include <stdint.h>

#define LOOP_WHEEL_SLOT_BITS 6
#define LOOP_WHEEL_SLOTS (1u << LOOP_WHEEL_SLOT_BITS)
#define LOOP_WHEEL_LEVELS 11 /* 63 bits */

/* What embeds a node, so that whoever takes one knows what has come due. */
enum loop_wheel_owner { LOOP_WHEEL_JOB, LOOP_WHEEL_SCOPE };

/* What the owner embeds. The wheel only keeps the owner's mark. Both are written as one word. */
struct loop_wheel_node {
    struct loop_list link;
    uint64_t at_ns : 63;
    uint64_t owner : 1; /* enum loop_wheel_owner */
};

struct loop_wheel_slot {
    struct loop_list nodes; /* made when the first one comes */
    int64_t earliest_ns;    /* nothing in it is earlier; its earliest, unless that has been removed */
    int64_t latest_ns;      /* the same of its latest */
};

struct loop_wheel {
    int64_t now_ns;  /* its own time: what was due until then is in `due` or has been taken */
    int64_t next_ns; /* what loop_wheel_next answers, while that is known */
    bool is_next_known;
    uint8_t spreading_level;              /* levels below it belong to `spreading`; 0: nothing is being spread */
    uint16_t levels;                      /* a bit for each level that has something in it */
    uint64_t occupied[LOOP_WHEEL_LEVELS]; /* a bit for each slot of a level */
    struct loop_list due;                 /* in their order */
    struct loop_list spreading;           /* those of the first slot that are still to be spread */
    struct loop_wheel_slot slots[LOOP_WHEEL_LEVELS][LOOP_WHEEL_SLOTS];
};

/* The wheel's memory has to be zeroed. `now_ns` is not negative. */
void loop_wheel_init(struct loop_wheel *wheel, int64_t now_ns);

/* Adds `node`, which is in no list, for `at_ns`; a point before the wheel's time counts as that time. */
void loop_wheel_add(struct loop_wheel *wheel, struct loop_wheel_node *node, int64_t at_ns, enum loop_wheel_owner owner);

/* Takes `node` out, also out of what loop_wheel_take has given. */
void loop_wheel_remove(struct loop_wheel *wheel, struct loop_wheel_node *node);

/* When the first is due, or INT64_MAX when there is none. Exact, but where the first slot has lost its earliest and
 * many others are in it: then it may be too early. In the past while something waits to be taken or spread. */
int64_t loop_wheel_next(struct loop_wheel *wheel);

/* Moves what is due at `now_ns`, in its order, to the empty list `batch`. At most `most_moves` nodes
 * change their slot for it; when more have to, loop_wheel_next stays in the past. What is added from now on is not in
 * the batch, also when it is due at once. */
void loop_wheel_take(struct loop_wheel *wheel, int64_t now_ns, unsigned most_moves, struct loop_list *batch);

/* Gives back what is left of a batch: it comes first in the next one. */
void loop_wheel_put_back(struct loop_wheel *wheel, struct loop_list *batch);

static inline bool loop_wheel_is_empty(const struct loop_wheel *wheel)
{
    return !wheel->levels && loop_list_is_empty(&wheel->due) && loop_list_is_empty(&wheel->spreading);
}

#endif
