/* SPDX-License-Identifier: ISC
 *
 * The machine of the simulated kernel: time, events, queues and fibers.
 */
#include <loop/kernel/all.h>
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/machine/trace.h>

#include "harness.h"

#define US INT64_C(1000)
#define MS INT64_C(1000000)

/* What has happened in a test, in order: one letter for each thing. */
static struct {
    char text[64];
    size_t len;
} story;

static void tell(char letter)
{
    CHECK(story.len + 1 < sizeof story.text);
    story.text[story.len++] = letter;
}

static struct loop_sim_queue queue, other_queue;
static struct loop_sim_fiber *fiber;

/* Runs nodes with these main functions, in a world of its own, until it ends. */
static void run_nodes(void *(*const *mains)(void *))
{
    struct loop_sim_world *world = loop_sim_world_create();

    loop_sim_queue_init(&queue);
    loop_sim_queue_init(&other_queue);
    for (; *mains; mains++) {
        loop_sim_node_start(loop_sim_node_create(world, "node"), *mains, NULL);
    }
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_ENDED);
    loop_sim_world_destroy(world);
}

#define RUN_NODES(...) run_nodes((void *(*const[])(void *)){__VA_ARGS__, NULL})

static int64_t now(void)
{
    return loop_sim_world_now()->now_ns;
}

/* ---- time ---- */

static void *sleep_2_ms(void *arg)
{
    CHECK_IS(loop_sim_wait(NULL, 2 * MS), -ETIMEDOUT);
    CHECK_IS(now(), 2 * MS);
    tell('2');
    return arg;
}

static void *sleep_1_ms(void *arg)
{
    CHECK_IS(loop_sim_wait(NULL, 1 * MS), -ETIMEDOUT);
    CHECK_IS(now(), 1 * MS);
    tell('1');
    return arg;
}

TEST(time_moves_to_what_is_due_when_all_wait)
{
    RUN_NODES(sleep_2_ms, sleep_1_ms);
    CHECK_TEXT(story.text, "12");
}

static void *wait_for_the_past(void *arg)
{
    CHECK_IS(loop_sim_wait(NULL, 5 * MS), -ETIMEDOUT);
    CHECK_IS(loop_sim_wait(NULL, 1 * MS), -ETIMEDOUT);
    CHECK_IS(now(), 5 * MS);
    return arg;
}

TEST(time_does_not_go_back)
{
    RUN_NODES(wait_for_the_past);
}

static void *yield_and_tell(void *arg)
{
    int64_t before_ns = now();

    tell('a');
    loop_sim_yield();
    tell('b');
    CHECK(now() > before_ns);
    CHECK(now() <= before_ns + US);
    return arg;
}

TEST(yield_lets_others_run_and_then_moves_time_a_little)
{
    RUN_NODES(yield_and_tell, yield_and_tell);
    CHECK_TEXT(story.text, "aabb");
}

static void *read_the_clock_until_1_ms(void *arg)
{
    struct timespec time, start;

    loop_kernel_clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        loop_kernel_clock_gettime(CLOCK_MONOTONIC, &time);
    } while (time.tv_sec == start.tv_sec && time.tv_nsec < start.tv_nsec + MS);
    tell('c');
    return arg;
}

TEST(time_passes_for_a_fiber_that_only_reads_the_clock)
{
    RUN_NODES(read_the_clock_until_1_ms, sleep_2_ms);
    CHECK_TEXT(story.text, "c2");
}

/* ---- events ---- */

static struct loop_sim_event events[4];

static void tell_event(struct loop_sim_event *event)
{
    CHECK(loop_sim_fiber_now() == NULL);
    CHECK(loop_sim_here() == NULL);
    tell((char)('0' + (event - events)));
}

static void set_events(int64_t due_0_ns, int64_t due_1_ns, int64_t due_2_ns, int64_t due_3_ns)
{
    loop_sim_event_set(&events[0], due_0_ns, tell_event);
    loop_sim_event_set(&events[1], due_1_ns, tell_event);
    loop_sim_event_set(&events[2], due_2_ns, tell_event);
    loop_sim_event_set(&events[3], due_3_ns, tell_event);
}

/* Runs a world without nodes, in which the function sets events. */
static void run_events(void (*set)(void))
{
    struct loop_sim_world *world = loop_sim_world_create();

    set();
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_ENDED);
    loop_sim_world_destroy(world);
}

static void set_mixed(void)
{
    set_events(3, 1, 2, 1);
}

TEST(events_happen_by_time_and_then_in_the_order_in_which_they_were_set)
{
    run_events(set_mixed);
    CHECK_TEXT(story.text, "1320");
}

static void set_and_cancel(void)
{
    set_events(1, 2, 3, 4);
    loop_sim_event_cancel(&events[1]);
    loop_sim_event_cancel(&events[1]);
    loop_sim_event_cancel(&events[3]);
}

TEST(event_that_is_cancelled_does_not_happen)
{
    run_events(set_and_cancel);
    CHECK_TEXT(story.text, "02");
}

static void set_again(void)
{
    set_events(1, 2, 3, 4);
    loop_sim_event_set(&events[0], 3, tell_event);
    loop_sim_event_set(&events[3], 1, tell_event);
}

TEST(event_that_is_set_again_happens_once_at_its_new_time)
{
    run_events(set_again);
    CHECK_TEXT(story.text, "3120");
}

static void set_itself(struct loop_sim_event *event)
{
    tell_event(event);
    if (story.len < 3) {
        loop_sim_event_set(event, now() - 1, set_itself);
    }
}

static void set_one_that_sets_itself(void)
{
    loop_sim_event_set(&events[0], 5, set_itself);
}

TEST(event_may_set_itself_and_one_in_the_past_happens_at_once)
{
    run_events(set_one_that_sets_itself);
    CHECK_TEXT(story.text, "000");
}

enum { MANY = 1000 };
static struct loop_sim_event many[MANY];
static int64_t last_ns;
static unsigned happened;

static void count_event(struct loop_sim_event *event)
{
    CHECK(event->due_ns >= last_ns);
    last_ns = event->due_ns;
    happened++;
}

static void set_many(void)
{
    for (unsigned i = 0; i < MANY; i++) {
        loop_sim_event_set(&many[i], i * 7919 % 1013, count_event);
    }
    for (unsigned i = 0; i < MANY; i += 3) {
        loop_sim_event_cancel(&many[i]);
    }
}

TEST(many_events_happen_in_order)
{
    run_events(set_many);
    CHECK_IS(happened, MANY - 334);
}

static unsigned choose_last(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    (void)ppm;
    return point == *(enum loop_sim_point *)arg ? n - 1 : 0;
}

static void set_equal(void)
{
    static enum loop_sim_point point = LOOP_SIM_ORDER_EVENTS;

    loop_sim_choices_set(loop_sim_world_now(), choose_last, &point);
    set_events(1, 1, 1, 2);
}

TEST(events_of_one_time_happen_in_any_order_by_choice)
{
    run_events(set_equal);
    CHECK_TEXT(story.text, "2103");
}

static void *tell_a(void *arg)
{
    tell('a');
    return arg;
}

static void *tell_b(void *arg)
{
    tell('b');
    return arg;
}

TEST(fibers_run_in_the_order_in_which_they_became_ready)
{
    RUN_NODES(tell_a, tell_b);
    CHECK_TEXT(story.text, "ab");
}

static void *let_the_last_run(void *arg)
{
    static enum loop_sim_point point = LOOP_SIM_ORDER_FIBERS;
    struct loop_sim_node *node = loop_sim_here();

    loop_sim_choices_set(node->world, choose_last, &point);
    loop_sim_fiber_create(node, tell_a, NULL, 0);
    loop_sim_fiber_create(node, tell_b, NULL, 0);
    loop_sim_event_set(&events[1], now(), tell_event);
    loop_sim_wait_for(NULL, 1 * MS);
    loop_sim_choices_set(node->world, NULL, NULL);
    return arg;
}

TEST(ready_fibers_and_events_run_in_any_order_by_choice)
{
    RUN_NODES(let_the_last_run);
    CHECK_TEXT(story.text, "1ba");
}

/* ---- queues ---- */

static struct waiter {
    struct loop_sim_waiter waiter;
    char letter;
    struct waiter *removes, *adds;
    bool wakes_again;
} waiters[4];

static void tell_waiter(struct loop_sim_waiter *at, uint32_t what)
{
    struct waiter *waiter = LOOP_CONTAINER(at, struct waiter, waiter);

    CHECK_IS(what, 5);
    tell(waiter->letter);
    if (waiter->removes) {
        loop_sim_queue_remove(&waiter->removes->waiter);
    }
    if (waiter->adds) {
        loop_sim_queue_add(&queue, &waiter->adds->waiter);
        waiter->adds = NULL;
    }
    if (waiter->wakes_again) {
        waiter->wakes_again = false;
        loop_sim_queue_wake(&queue, what);
    }
}

static void add_waiters(unsigned count)
{
    loop_sim_queue_init(&queue);
    for (unsigned i = 0; i < COUNT_OF(waiters); i++) {
        waiters[i] = (struct waiter){.waiter.wake = tell_waiter, .letter = (char)('a' + i)};
        if (i < count) {
            loop_sim_queue_add(&queue, &waiters[i].waiter);
        }
    }
}

TEST(queue_wakes_all_in_order_each_time)
{
    add_waiters(3);
    loop_sim_queue_wake(&queue, 5);
    loop_sim_queue_remove(&waiters[1].waiter);
    loop_sim_queue_remove(&waiters[1].waiter);
    loop_sim_queue_remove(&waiters[3].waiter); /* was never in one */
    loop_sim_queue_wake(&queue, 5);
    CHECK_TEXT(story.text, "abcac");
}

TEST(queue_may_lose_any_waiter_while_it_wakes)
{
    add_waiters(4);
    waiters[0].removes = &waiters[1];
    waiters[2].removes = &waiters[2];
    waiters[3].removes = &waiters[0];
    loop_sim_queue_wake(&queue, 5);
    tell(' ');
    loop_sim_queue_wake(&queue, 5);
    CHECK_TEXT(story.text, "acd d");
}

TEST(queue_wakes_no_waiter_that_is_added_meanwhile)
{
    add_waiters(2);
    waiters[0].adds = &waiters[2];
    waiters[1].wakes_again = true;
    loop_sim_queue_wake(&queue, 5);
    CHECK_TEXT(story.text, "ababc");
}

/* ---- waiting ---- */

static void *wait_in_the_queue(void *arg)
{
    CHECK_IS(loop_sim_wait(&queue, LOOP_SIM_NEVER), 0);
    tell('w');
    return arg;
}

static void *wake_the_queue(void *arg)
{
    loop_sim_wait(NULL, 1 * MS);
    tell('k');
    loop_sim_queue_wake(&queue, 0);
    tell('l'); /* the others become ready, no more */
    return arg;
}

TEST(fibers_wait_until_their_queue_is_woken)
{
    RUN_NODES(wait_in_the_queue, wait_in_the_queue, wake_the_queue);
    CHECK_TEXT(story.text, "klww");
}

static void *wait_in_many_queues(void *arg)
{
    struct loop_sim_queue empty[6], *all[8] = {&other_queue};

    for (size_t i = 0; i < COUNT_OF(empty); i++) {
        loop_sim_queue_init(&empty[i]);
        all[1 + i] = &empty[i];
    }
    all[7] = &queue;
    CHECK_IS(loop_sim_wait_any(all, 8, 10 * MS), 0);
    CHECK_IS(now(), 1 * MS);
    CHECK(loop_list_is_empty(&other_queue.waiters));
    CHECK(loop_list_is_empty(&queue.waiters));
    CHECK_IS(loop_sim_wait_any(all, 2, 10 * MS), -ETIMEDOUT);
    CHECK(loop_list_is_empty(&other_queue.waiters));
    return arg;
}

TEST(fiber_waits_in_many_queues_for_the_first_that_is_woken)
{
    RUN_NODES(wait_in_many_queues, wake_the_queue);
}

static void *wait_and_be_interrupted(void *arg)
{
    fiber = loop_sim_fiber_now();
    errno = EXDEV;
    CHECK_IS(loop_sim_wait(&queue, 10 * MS), -EINTR);
    CHECK_IS(loop_sim_wait_for(&queue, 10 * MS), -ETIMEDOUT);
    CHECK_IS(errno, EXDEV);
    return arg;
}

static void *interrupt_twice(void *arg)
{
    CHECK(loop_sim_fiber_interrupt(fiber));
    CHECK(!loop_sim_fiber_interrupt(fiber)); /* it does not wait any more */
    loop_sim_wait(NULL, 5 * MS);
    CHECK(!loop_sim_fiber_interrupt(fiber));
    return arg;
}

TEST(wait_ends_by_an_interruption_only_where_it_may)
{
    RUN_NODES(wait_and_be_interrupted, interrupt_twice);
}

static void *wait_with_interruptions(void *arg)
{
    static enum loop_sim_point point = LOOP_SIM_INTERRUPT;
    struct timespec left;

    loop_sim_choices_set(loop_sim_world_now(), choose_last, &point);
    CHECK_IS(loop_sim_wait(&queue, 10 * MS), -EINTR);
    CHECK_IS(loop_kernel_nanosleep(&(struct timespec){.tv_sec = 3, .tv_nsec = 5}, &left), -1);
    CHECK_IS(errno, EINTR);
    CHECK_IS(left.tv_sec, 3);
    CHECK_IS(left.tv_nsec, 5);
    CHECK_IS(loop_sim_wait_for(&queue, 10 * MS), -ETIMEDOUT);
    loop_sim_choices_set(loop_sim_world_now(), NULL, NULL);
    return arg;
}

TEST(wait_ends_by_an_interruption_by_choice)
{
    RUN_NODES(wait_with_interruptions);
}

/* ---- traces ---- */

static void trace_numbers(struct loop_sim_world *world, unsigned count)
{
    loop_sim_trace_begin(world);
    for (unsigned i = 0; i < count; i++) {
        loop_sim_trace_packet("number", NULL, NULL, &i, sizeof i, "%u", i);
    }
}

TEST(trace_keeps_its_beginning_and_its_end)
{
    struct loop_sim_world *world = loop_sim_world_create();
    enum { MOST = LOOP_SIM_MOST_RECORDS, COUNT = 2 * MOST + 123 };
    size_t count;

    trace_numbers(world, COUNT);
    const struct loop_sim_record *records = loop_sim_trace_records(world, &count);
    CHECK_IS(count, MOST);
    CHECK_TEXT(records[0].text, "0");
    CHECK_IS(atoi(records[MOST / 2 - 1].text), MOST / 2 - 1);
    CHECK_TEXT(records[MOST / 2].event, "left out");
    CHECK_IS(atoi(records[MOST / 2].text), COUNT - MOST + 1);
    for (size_t i = MOST / 2 + 1; i < MOST; i++) {
        CHECK_IS(atoi(records[i].text), COUNT - MOST + (int)i);
    }
    loop_sim_world_destroy(world);
}

TEST(trace_that_has_room_is_whole)
{
    struct loop_sim_world *world = loop_sim_world_create();
    size_t count;

    trace_numbers(world, LOOP_SIM_MOST_RECORDS);
    const struct loop_sim_record *records = loop_sim_trace_records(world, &count);
    CHECK_IS(count, LOOP_SIM_MOST_RECORDS);
    CHECK_IS(atoi(records[LOOP_SIM_MOST_RECORDS / 2].text), LOOP_SIM_MOST_RECORDS / 2);
    loop_sim_world_destroy(world);
}
