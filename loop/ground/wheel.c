/* SPDX-License-Identifier: ISC
 *
 * A hierarchical wheel of points in time; see wheel.h.
 */
#include <loop/ground/list.h>
#include <loop/ground/wheel.h>

#include <assert.h>

/* The most nodes of the first slot that are searched when its earliest was removed. */
#define LOOK_AT 16

/* The most nodes from each end of a slot that are brought into the cache before they are spread or taken. */
#define WARM 1024

void loop_wheel_init(struct loop_wheel *wheel, int64_t now_ns)
{
    wheel->now_ns = now_ns;
    wheel->next_ns = INT64_MAX;
    wheel->is_next_known = true;
    loop_list_init(&wheel->due);
    loop_list_init(&wheel->spreading);
}

static struct loop_wheel_node *node_of(struct loop_list *link)
{
    return LOOP_CONTAINER(link, struct loop_wheel_node, link);
}

static int64_t at_of(const struct loop_wheel_node *node)
{
    return (int64_t)node->at_ns;
}

/* ---- slots ---- */

/* Returns the level of the highest digit in which `at_ns` differs from the wheel's time. */
static unsigned level_of(const struct loop_wheel *wheel, int64_t at_ns)
{
    uint64_t differs = (uint64_t)(at_ns ^ wheel->now_ns);
    return ((unsigned)__builtin_clzll(differs | 1) ^ 63u) / LOOP_WHEEL_SLOT_BITS;
}

static unsigned digit_of(int64_t at_ns, unsigned level)
{
    return (unsigned)(at_ns >> (level * LOOP_WHEEL_SLOT_BITS)) & (LOOP_WHEEL_SLOTS - 1);
}

/* Puts the first node into a slot. */
__attribute__((noinline)) static void begin_slot(struct loop_wheel *wheel, struct loop_wheel_node *node, unsigned level,
                                                 unsigned index)
{
    struct loop_wheel_slot *slot = &wheel->slots[level][index];
    wheel->occupied[level] |= UINT64_C(1) << index;
    wheel->levels |= (uint16_t)(1u << level);
    slot->earliest_ns = at_of(node);
    slot->latest_ns = at_of(node);
    loop_list_init(&slot->nodes);
    loop_list_push_back(&slot->nodes, &node->link);
}

static inline void put_in_slot(struct loop_wheel *wheel, struct loop_wheel_node *node, unsigned level)
{
    int64_t at_ns = at_of(node);
    unsigned index = digit_of(at_ns, level);
    struct loop_wheel_slot *slot = &wheel->slots[level][index];
    if (!(wheel->occupied[level] >> index & 1)) {
        begin_slot(wheel, node, level, index);
        return;
    }
    slot->earliest_ns = at_ns < slot->earliest_ns ? at_ns : slot->earliest_ns;
    slot->latest_ns = at_ns > slot->latest_ns ? at_ns : slot->latest_ns;
    loop_list_push_back(&slot->nodes, &node->link);
}

static void slot_is_empty(struct loop_wheel *wheel, unsigned level, unsigned index)
{
    wheel->occupied[level] &= ~(UINT64_C(1) << index);
    if (!wheel->occupied[level]) {
        wheel->levels &= (uint16_t) ~(1u << level);
    }
}

/* Puts a node where it belongs at the wheel's time, which is not after it. `level` is that of its point in time. */
static void place(struct loop_wheel *wheel, struct loop_wheel_node *node, unsigned level)
{
    if (at_of(node) == wheel->now_ns) {
        loop_list_push_back(&wheel->due, &node->link);
    } else {
        put_in_slot(wheel, node, level);
    }
}

/* ---- adding and removing ---- */

/* A node of a slot that is being spread is added at the end, so that it stays behind the nodes added before. */
void loop_wheel_add(struct loop_wheel *wheel, struct loop_wheel_node *node, int64_t at_ns, enum loop_wheel_owner owner)
{
    at_ns = at_ns > wheel->now_ns ? at_ns : wheel->now_ns;
    node->at_ns = (uint64_t)at_ns & INT64_MAX;
    node->owner = owner & 1;
    wheel->next_ns = at_ns < wheel->next_ns ? at_ns : wheel->next_ns;
    unsigned level = level_of(wheel, at_ns);
    if (level < wheel->spreading_level) {
        loop_list_push_back(&wheel->spreading, &node->link);
    } else {
        place(wheel, node, level);
    }
}

/* The address of the list tells whether it is that of a slot. */
void loop_wheel_emptied(struct loop_wheel *wheel, const struct loop_list *list)
{
    uintptr_t offset = (uintptr_t)list - (uintptr_t)wheel->slots;
    if (offset < sizeof wheel->slots) {
        uintptr_t number = offset / sizeof(struct loop_wheel_slot);
        slot_is_empty(wheel, (unsigned)(number / LOOP_WHEEL_SLOTS), (unsigned)(number % LOOP_WHEEL_SLOTS));
    }
}

void loop_wheel_remove(struct loop_wheel *wheel, struct loop_wheel_node *node)
{
    loop_wheel_unlink(wheel, node);
    loop_list_init(&node->link);
}

/* ---- what is first ---- */

/* Returns the first slot that is not empty, which exists. */
static struct loop_wheel_slot *first_slot(struct loop_wheel *wheel, unsigned *level, unsigned *index)
{
    *level = (unsigned)__builtin_ctz(wheel->levels);
    *index = (unsigned)__builtin_ctzll(wheel->occupied[*level]);
    return &wheel->slots[*level][*index];
}

/* Searches a slot for its earliest node, if it has few that differ. */
static int64_t look_for_earliest(struct loop_wheel_slot *slot)
{
    int64_t earliest = INT64_MAX;
    struct loop_list *link = slot->nodes.next;
    if (slot->earliest_ns == slot->latest_ns) {
        return slot->earliest_ns;
    }
    for (unsigned i = 0; i < LOOK_AT && link != &slot->nodes; i++, link = link->next) {
        int64_t at_ns = at_of(node_of(link));
        earliest = at_ns < earliest ? at_ns : earliest;
    }
    if (link == &slot->nodes) {
        slot->earliest_ns = earliest;
    }
    return slot->earliest_ns;
}

static int64_t find_next(struct loop_wheel *wheel)
{
    unsigned level, index;
    if (!loop_list_is_empty(&wheel->due) || !loop_list_is_empty(&wheel->spreading)) {
        return wheel->now_ns;
    }
    return wheel->levels ? look_for_earliest(first_slot(wheel, &level, &index)) : INT64_MAX;
}

int64_t loop_wheel_next(struct loop_wheel *wheel)
{
    if (!wheel->is_next_known) {
        wheel->next_ns = find_next(wheel);
        wheel->is_next_known = true;
    }
    return wheel->next_ns;
}

/* Looks at a slot that comes after `last_ns`, in the order of the slots. Returns true when no later slot has to be
 * looked at. */
static bool advance_within(const struct loop_wheel_slot *slot, int64_t limit_ns, int64_t *last_ns)
{
    if (slot->earliest_ns > limit_ns) {
        return true;
    }
    *last_ns = slot->latest_ns < limit_ns ? slot->latest_ns : limit_ns;
    return slot->latest_ns >= limit_ns;
}

int64_t loop_wheel_next_within(struct loop_wheel *wheel, int64_t leeway_ns)
{
    int64_t first_ns = loop_wheel_next(wheel), last_ns = first_ns;
    if (leeway_ns == 0 || first_ns <= wheel->now_ns) {
        return first_ns;
    }
    int64_t limit_ns = leeway_ns > INT64_MAX - first_ns ? INT64_MAX : first_ns + leeway_ns;
    for (unsigned levels = wheel->levels; levels; levels &= levels - 1) {
        unsigned level = (unsigned)__builtin_ctz(levels);
        for (uint64_t slots = wheel->occupied[level]; slots; slots &= slots - 1) {
            if (advance_within(&wheel->slots[level][__builtin_ctzll(slots)], limit_ns, &last_ns)) {
                return last_ns;
            }
        }
    }
    return last_ns;
}

/* ---- what is due ---- */

/* Continues to spread a slot. Returns true when it is done. */
static bool spread(struct loop_wheel *wheel, unsigned *moves)
{
    while (!loop_list_is_empty(&wheel->spreading)) {
        if (*moves == 0) {
            return false;
        }
        --*moves;
        struct loop_wheel_node *node = node_of(loop_list_shift(&wheel->spreading));
        place(wheel, node, level_of(wheel, at_of(node)));
    }
    wheel->spreading_level = 0;
    return true;
}

/* Brings the nodes of a slot into the cache before they are spread or taken. They are scattered in memory, and only a
 * node tells where its neighbours are: walking from both ends loads two at a time. */
static void warm(const struct loop_list *nodes)
{
    const struct loop_list *front = nodes->next, *back = nodes->prev;
    for (unsigned i = 0; i < WARM && front != back && front->next != back; i++) {
        front = front->next;
        back = back->prev;
    }
    __asm__ volatile("" : : "r"(front), "r"(back)); /* only the walk is needed */
}

/* Opens the first slot if a node in it may be due: the wheel's time becomes that of its earliest node. Where all nodes
 * are equal, as in every slot of the lowest level, they become due without a move. */
static bool open_first(struct loop_wheel *wheel, int64_t now_ns)
{
    unsigned level, index;
    struct loop_wheel_slot *slot = wheel->levels ? first_slot(wheel, &level, &index) : NULL;
    if (!slot || slot->earliest_ns > now_ns) {
        return false;
    }
    wheel->now_ns = slot->earliest_ns;
    warm(&slot->nodes);
    if (slot->earliest_ns == slot->latest_ns) {
        loop_list_put_after(&wheel->due, &slot->nodes);
    } else {
        wheel->spreading_level = (uint8_t)level;
        loop_list_put_after(&wheel->spreading, &slot->nodes);
    }
    slot_is_empty(wheel, level, index);
    return true;
}

/* Advances the wheel's time when nothing is due, but not into the first slot: nodes added then are placed no higher
 * than they must. */
static void keep_up(struct loop_wheel *wheel, int64_t now_ns)
{
    unsigned level = LOOP_WHEEL_LEVELS, index = 0, level_now = level_of(wheel, now_ns);
    if (wheel->levels) {
        first_slot(wheel, &level, &index);
    }
    if (level_now < level || (level_now == level && digit_of(now_ns, level) < index)) {
        wheel->now_ns = now_ns;
    }
}

/* A node that is spread long before it is taken has left the cache by then. */
void loop_wheel_take(struct loop_wheel *wheel, int64_t now_ns, unsigned most_moves, struct loop_list *batch)
{
    if (loop_wheel_next(wheel) > now_ns) {
        keep_up(wheel, now_ns);
    } else {
        bool has_rest = !loop_list_is_empty(&wheel->due);
        while (!has_rest && spread(wheel, &most_moves) && open_first(wheel, now_ns)) {
        }
        wheel->is_next_known = false;
    }
    loop_list_take_all(batch, &wheel->due);
}

void loop_wheel_put_back(struct loop_wheel *wheel, struct loop_list *batch)
{
    if (!loop_list_is_empty(batch)) {
        loop_list_put_before(&wheel->due, batch);
        wheel->is_next_known = false;
    }
}
