/* SPDX-License-Identifier: ISC
 *
 * The timer wheel, compared with a linear search under pseudo-random calls.
 */
#include "dice.h"

#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/ground/wheel.h>

/* ---- wheel ---- */

/* A point in the wheel, and what a model knows of it. */
struct point {
    struct loop_wheel_node node;
    int64_t at_ns; /* what it counts as */
    unsigned order;
    bool is_in;
};

static struct loop_wheel wheel;
static unsigned next_order, last_order;
static int64_t last_at;

static void new_wheel(int64_t now_ns)
{
    memset(&wheel, 0, sizeof wheel);
    loop_wheel_init(&wheel, now_ns);
    last_at = 0;
    last_order = next_order = 0;
}

static void add_point(struct point *point, int64_t at_ns)
{
    point->at_ns = at_ns > wheel.now_ns ? at_ns : wheel.now_ns;
    point->order = ++next_order;
    point->is_in = true;
    loop_list_init(&point->node.link);
    loop_wheel_add(&wheel, &point->node, at_ns, next_order % 2);
    CHECK(loop_list_is_linked(&point->node.link));
    CHECK_IS(point->node.at_ns, point->at_ns);
    CHECK_IS(point->node.owner, next_order % 2);
}

static void remove_point(struct point *point)
{
    loop_wheel_remove(&wheel, &point->node);
    CHECK(!loop_list_is_linked(&point->node.link));
    point->is_in = false;
}

/* Takes the first of a batch: never early, and never before one that was earlier, or as early and added before. */
static struct point *take_first(struct loop_list *batch, int64_t now_ns)
{
    struct loop_list *link = loop_list_pop_front(batch);
    if (!link) {
        return NULL;
    }
    struct point *point = LOOP_CONTAINER(link, struct point, node.link);
    CHECK(point->is_in && point->at_ns <= now_ns);
    CHECK(point->at_ns > last_at || (point->at_ns == last_at && point->order > last_order));
    last_at = point->at_ns;
    last_order = point->order;
    point->is_in = false;
    return point;
}

/* Takes all that is due; returns how many that were. */
static unsigned take_all(int64_t now_ns)
{
    struct loop_list batch;
    unsigned count = 0, before;
    do {
        before = count;
        loop_wheel_take(&wheel, now_ns, UINT32_MAX, &batch);
        while (take_first(&batch, now_ns)) {
            count++;
        }
    } while (count > before);
    return count;
}

static int64_t earliest_of(const struct point *points, int count)
{
    int64_t earliest = INT64_MAX;
    for (int i = 0; i < count; i++) {
        earliest = points[i].is_in && points[i].at_ns < earliest ? points[i].at_ns : earliest;
    }
    return earliest;
}

/* As many bits as `bits`, or fewer. */
static int64_t random_bits(unsigned bits)
{
    uint64_t all = (uint64_t)next_random() << 40 ^ (uint64_t)next_random() << 20 ^ next_random();
    return (int64_t)(all >> (64 - bits));
}

TEST(wheel_of_nothing)
{
    struct loop_list batch;

    new_wheel(5);
    CHECK(loop_wheel_is_empty(&wheel));
    CHECK_IS(loop_wheel_next(&wheel), INT64_MAX);
    loop_wheel_take(&wheel, INT64_MAX - 1, 1, &batch);
    CHECK(loop_list_is_empty(&batch));
    loop_wheel_put_back(&wheel, &batch);
    CHECK_IS(loop_wheel_next(&wheel), INT64_MAX);
}

/* Advances from one timer to the next, like a loop that sleeps exactly until the next deadline. */
TEST(wheel_tells_the_next_to_the_nanosecond)
{
    enum { N = 3000 };
    static struct point points[N];

    for (unsigned bits = 4; bits <= 62; bits += 2) {
        new_wheel(random_bits(40));
        for (int i = 0; i < N; i++) {
            add_point(&points[i], wheel.now_ns + 1 + random_bits(bits));
        }
        int64_t next;
        for (unsigned taken = 0; (next = loop_wheel_next(&wheel)) != INT64_MAX;) {
            CHECK_IS(take_all(next - 1), 0);
            CHECK_IS(loop_wheel_next(&wheel), next);
            unsigned count = take_all(next);
            CHECK(count > 0 && last_at == next);
            taken += count;
            CHECK(next == INT64_MAX || taken <= N);
        }
        CHECK(loop_wheel_is_empty(&wheel));
        CHECK_IS(earliest_of(points, N), INT64_MAX);
    }
}

static int64_t last_within(const struct point *points, int count, int64_t limit_ns)
{
    int64_t last = INT64_MIN;
    for (int i = 0; i < count; i++) {
        last = points[i].is_in && points[i].at_ns <= limit_ns && points[i].at_ns > last ? points[i].at_ns : last;
    }
    return last;
}

/* A loop that sleeps as long as a leeway allows takes each point within it, in the order of the points. */
TEST(wheel_gathers_what_is_near)
{
    enum { N = 1000 };
    static struct point points[N];

    for (unsigned bits = 4; bits <= 60; bits += 2) {
        int64_t leeway_ns = random_bits(bits - 3), until;
        unsigned taken = 0;
        new_wheel(random_bits(40));
        for (int i = 0; i < N; i++) {
            add_point(&points[i], wheel.now_ns + 1 + random_bits(bits));
        }
        while ((until = loop_wheel_next_within(&wheel, leeway_ns)) != INT64_MAX) {
            int64_t first = earliest_of(points, N);
            CHECK(until <= first + leeway_ns && until >= last_within(points, N, first + leeway_ns));
            CHECK_IS(take_all(first - 1), 0);
            taken += take_all(until);
            CHECK(earliest_of(points, N) > first + leeway_ns);
        }
        CHECK_IS(taken, N);
    }
}

TEST(wheel_with_extreme_leeways)
{
    struct point points[3];

    new_wheel(100);
    CHECK_IS(loop_wheel_next_within(&wheel, INT64_MAX), INT64_MAX);
    add_point(&points[0], 200);
    CHECK_IS(loop_wheel_next_within(&wheel, 0), 200);
    CHECK_IS(loop_wheel_next_within(&wheel, INT64_MAX), 200); /* nothing is near */
    add_point(&points[1], INT64_MAX - 1);
    CHECK_IS(loop_wheel_next_within(&wheel, 1000), 200);
    CHECK_IS(loop_wheel_next_within(&wheel, INT64_MAX), INT64_MAX - 1);
    add_point(&points[2], 100); /* due already */
    CHECK_IS(loop_wheel_next_within(&wheel, INT64_MAX), 100);
    CHECK_IS(take_all(100), 1);
    CHECK_IS(take_all(INT64_MAX - 1), 2);
}

/* Equal points that are added while time goes by stand at ever lower levels, and still come in order. */
TEST(wheel_keeps_the_order_of_equal_points)
{
    enum { N = 1000 };
    static struct point points[N], others[N];

    for (unsigned bits = 10; bits <= 60; bits += 5) {
        new_wheel(1000);
        int64_t at_ns = 1000 + (INT64_C(1) << bits) + random_bits(bits), now_ns = 1000;
        for (int i = 0; i < N; i++) {
            add_point(&points[i], at_ns);
            now_ns += (at_ns - now_ns) / 100;
            add_point(&others[i], now_ns + 1);
            take_all(now_ns + 1 < at_ns ? now_ns + 1 : at_ns - 1);
        }
        CHECK_IS(take_all(at_ns - 1), 0);
        CHECK_IS(take_all(at_ns), N);
        CHECK_IS(last_order, points[N - 1].order);
        CHECK(loop_wheel_is_empty(&wheel));
    }
}

TEST(wheel_with_extreme_points)
{
    static const int64_t year = 365 * 24 * INT64_C(3600000000000);
    const int64_t at[] = {INT64_MAX - 1, INT64_MIN, 0, -1, 100, 1, 200 * year, INT64_MAX - 2, year, 99, INT64_MAX - 1};
    struct point points[COUNT_OF(at)];

    new_wheel(100);
    for (unsigned i = 0; i < COUNT_OF(at); i++) {
        add_point(&points[i], at[i]);
    }
    CHECK_IS(loop_wheel_next(&wheel), 100);
    CHECK_IS(take_all(100), 6); /* what has passed counts as now */
    CHECK_IS(loop_wheel_next(&wheel), year);
    CHECK_IS(take_all(year - 1), 0);
    CHECK_IS(take_all(year), 1);
    CHECK_IS(loop_wheel_next(&wheel), 200 * year);
    CHECK_IS(take_all(200 * year), 1);
    CHECK_IS(loop_wheel_next(&wheel), INT64_MAX - 2);
    CHECK_IS(take_all(INT64_MAX - 2), 1);
    CHECK_IS(take_all(INT64_MAX - 1), 2);
    CHECK(loop_wheel_is_empty(&wheel));
}

/* What is removed leaves no wake-up behind, where few are in the first slot. */
TEST(wheel_forgets_what_is_removed)
{
    enum { N = 16 };
    static struct point points[N];

    for (unsigned bits = 2; bits <= 60; bits++) {
        new_wheel(random_bits(50));
        for (int i = 0; i < N; i++) {
            add_point(&points[i], wheel.now_ns + 1 + random_bits(bits));
            CHECK_IS(loop_wheel_next(&wheel), earliest_of(points, i + 1));
        }
        for (int i = 0; i < N; i++) {
            remove_point(&points[i]);
            CHECK_IS(loop_wheel_next(&wheel), earliest_of(points, N));
        }
        CHECK(loop_wheel_is_empty(&wheel));
    }
}

/* However many timers are in an expiring slot, each call handles a bounded number; timers added in between keep
 * their order. */
TEST(wheel_spreads_a_slot_in_bounded_steps)
{
    enum { N = 10000, STEP = 100 };
    static struct point points[N], late[N];
    const int64_t at_ns = 123456789012;
    struct loop_list batch;
    int n_late = 0, taken = 0, steps = 0;

    new_wheel(7);
    for (int i = 0; i < N; i++) {
        add_point(&points[i], at_ns + i % 7);
    }
    for (; !loop_wheel_is_empty(&wheel); steps++) {
        CHECK(loop_wheel_next(&wheel) <= at_ns + 7);
        loop_wheel_take(&wheel, at_ns + 7, STEP, &batch);
        int count = 0;
        while (count < STEP && take_first(&batch, at_ns + 7)) {
            count++;
        }
        loop_wheel_put_back(&wheel, &batch);
        taken += count;
        for (int i = 0; i < 8 && n_late < 1000; i++) {
            add_point(&late[n_late++], at_ns + i);
        }
    }
    CHECK_IS(taken, N + n_late);
    CHECK(steps >= N / STEP);
}

/* A loop that is behind does not spread what it will take much later. */
TEST(wheel_returns_the_rest_of_a_batch_before_it_spreads)
{
    struct point points[4];
    struct loop_list batch;

    new_wheel(0);
    add_point(&points[0], 100);
    add_point(&points[1], 100);
    add_point(&points[2], 5000);
    add_point(&points[3], 5001);
    loop_wheel_take(&wheel, 200, UINT32_MAX, &batch);
    CHECK(take_first(&batch, 200) == &points[0]);
    loop_wheel_put_back(&wheel, &batch);
    loop_wheel_take(&wheel, 6000, UINT32_MAX, &batch);
    CHECK(take_first(&batch, 6000) == &points[1]);
    CHECK(!take_first(&batch, 6000));
    CHECK(loop_wheel_next(&wheel) <= 5000);
    CHECK_IS(take_all(6000), 2);
}

static struct point many[150];

/* One call that is taken at random, and the answer that a search through all points gives. */
static void call_wheel(int64_t *now_ns, struct loop_list *batch)
{
    struct point *point = &many[next_random() % COUNT_OF(many)];
    unsigned what = next_random() % 8;

    if (what > 1) {
        if (point->is_in) {
            remove_point(point);
        } else {
            add_point(point, *now_ns + random_bits(1 + next_random() % 34) - 20);
        }
        return;
    }
    loop_wheel_take(&wheel, *now_ns, what == 0 ? UINT32_MAX : next_random() % 20, batch);
    unsigned most = next_random() % 30;
    while (most-- > 0 && take_first(batch, *now_ns)) {
        point = &many[next_random() % COUNT_OF(many)];
        if (point->is_in) {
            remove_point(point); /* it may be in the batch */
        } else {
            add_point(point, *now_ns); /* and this one is not */
        }
    }
    loop_wheel_put_back(&wheel, batch);
    *now_ns += next_random() % 4 ? random_bits(1 + next_random() % 32) : 0;
}

TEST(wheel_against_a_search)
{
    enum { ROUNDS = 200000 };
    int64_t now_ns = 1000;
    struct loop_list batch;

    new_wheel(now_ns);
    memset(many, 0, sizeof many);
    for (int round = 0; round < ROUNDS; round++) {
        call_wheel(&now_ns, &batch);
        int64_t earliest = earliest_of(many, COUNT_OF(many)), next = loop_wheel_next(&wheel);
        CHECK(next <= earliest || next <= wheel.now_ns);
        CHECK_IS(next == INT64_MAX, earliest == INT64_MAX);
        if (round % 64 == 0) {
            take_all(now_ns);
            CHECK(earliest_of(many, COUNT_OF(many)) > now_ns);
        }
    }
}
