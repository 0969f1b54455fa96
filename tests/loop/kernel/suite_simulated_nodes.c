/* SPDX-License-Identifier: ISC
 *
 * The machine of the simulated kernel: nodes that end, crash, pause and start again; why a world stops; what a run
 * leaves to the next one.
 */
#include <loop/kernel/all.h>
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/machine/trace.h>

#include "harness.h"

#define MS INT64_C(1000000)

static struct {
    char text[64];
    size_t len;
} story;

static void tell(char letter)
{
    CHECK(story.len + 1 < sizeof story.text);
    story.text[story.len++] = letter;
}

static struct loop_sim_world *world;
static struct loop_sim_node *a, *b;
static struct loop_sim_queue queue;

/* Creates a world of two nodes. */
static void begin(void *(*main_a)(void *), void *(*main_b)(void *))
{
    world = loop_sim_world_create();
    loop_sim_queue_init(&queue);
    a = loop_sim_node_create(world, "a");
    b = loop_sim_node_create(world, "b");
    loop_sim_node_start(a, main_a, NULL);
    if (main_b) {
        loop_sim_node_start(b, main_b, NULL);
    }
}

static void finish(enum loop_sim_stop stop)
{
    CHECK_IS(loop_sim_world_run(world), stop);
    CHECK(loop_list_is_empty(&queue.waiters));
    loop_sim_world_destroy(world);
}

static void *do_nothing(void *arg)
{
    return arg;
}

/* ---- crashes ---- */

static void *wait_for_ever(void *arg)
{
    CHECK(loop_kernel_malloc(100) != NULL);
    CHECK(loop_kernel_mmap(NULL, 100, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    tell('w');
    loop_sim_wait(&queue, 100 * MS);
    tell('!');
    return arg;
}

static void *wait_for_ever_in_two_threads(void *arg)
{
    loop_sim_fiber_create(loop_sim_here(), wait_for_ever, NULL, 0);
    return wait_for_ever(arg);
}

static void *crash_a(void *arg)
{
    loop_sim_wait(NULL, 1 * MS);
    CHECK(a->memory_bytes > 2 * (100 + 4096) - 1);
    loop_sim_node_crash(a);
    CHECK_IS(a->state, LOOP_SIM_NODE_CRASHED);
    CHECK_IS(a->memory_bytes, 0);
    CHECK(loop_list_is_empty(&a->fibers));
    CHECK(loop_list_is_empty(&queue.waiters));
    loop_sim_queue_wake(&queue, 0);
    loop_sim_node_crash(a); /* harmless */
    loop_sim_wait(NULL, 200 * MS);
    return arg;
}

TEST(crash_stops_all_fibers_and_frees_what_was_allocated)
{
    begin(wait_for_ever_in_two_threads, crash_a);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "ww");
}

static void *crash_itself(void *arg)
{
    loop_sim_fiber_create(loop_sim_here(), wait_for_ever, NULL, 0);
    loop_sim_yield();
    loop_sim_node_crash(loop_sim_here());
    tell('!');
    return arg;
}

TEST(crash_by_the_node_itself_does_not_return)
{
    begin(crash_itself, NULL);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "w");
}

static void crash_in_event(struct loop_sim_event *event)
{
    (void)event;
    loop_sim_node_crash(a);
}

TEST(crash_in_an_event_stops_the_node)
{
    struct loop_sim_event event = {0};

    begin(wait_for_ever, NULL);
    loop_sim_event_set(&event, 1 * MS, crash_in_event);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "w");
}

static void *wake_and_crash_a(void *arg)
{
    loop_sim_queue_wake(&queue, 0);
    loop_sim_node_crash(a);
    return arg;
}

TEST(crash_stops_a_fiber_that_is_ready)
{
    begin(wait_for_ever, wake_and_crash_a);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "w");
}

TEST(crash_stops_a_node_that_has_not_run_yet)
{
    begin(wait_for_ever, NULL);
    loop_sim_node_crash(a);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "");
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static LOOP_KERNEL_PROCESS_LOCAL int starts_of_process;
static LOOP_KERNEL_THREAD_LOCAL int starts_of_thread;

/* Locks a static mutex and changes static variables, and crashes; when it starts again it finds all as at first. */
static void *start_twice(void *arg)
{
    CHECK_IS(starts_of_process++, 0);
    CHECK_IS(starts_of_thread++, 0);
    CHECK_IS(loop_kernel_pthread_mutex_lock(&mutex), 0);
    tell('s');
    if (loop_sim_here()->incarnation == 1) {
        loop_sim_wait(NULL, LOOP_SIM_NEVER);
    }
    return arg;
}

static void *restart_a(void *arg)
{
    loop_sim_wait(NULL, 1 * MS);
    loop_sim_node_crash(a);
    loop_sim_node_start(a, start_twice, NULL);
    CHECK_IS(a->incarnation, 2);
    return arg;
}

TEST(restart_begins_with_fresh_static_variables_and_mutexes)
{
    begin(start_twice, restart_a);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "ss");
}

static struct loop_sim_fiber_hold hold;

static void tell_released(struct loop_sim_fiber_hold *released)
{
    CHECK(released == &hold);
    tell('r');
}

static void *hold_and_wait(void *arg)
{
    loop_sim_fiber_hold(&hold, tell_released);
    loop_sim_fiber_unhold(&hold);
    loop_sim_fiber_hold(&hold, tell_released);
    loop_sim_wait(NULL, LOOP_SIM_NEVER);
    return arg;
}

TEST(crash_releases_what_a_fiber_holds)
{
    begin(hold_and_wait, wake_and_crash_a);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "r");
}

/* ---- ends ---- */

static void *return_with_thread_and_memory(void *arg)
{
    loop_sim_fiber_create(loop_sim_here(), wait_for_ever, NULL, 0);
    loop_sim_yield();
    return arg;
}

TEST(end_of_main_ends_the_other_threads_and_tells_what_was_left)
{
    begin(return_with_thread_and_memory, NULL);
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_ENDED);
    CHECK_IS(a->state, LOOP_SIM_NODE_ENDED);
    CHECK(a->memory_left_bytes >= 100 + 4096);
    CHECK_IS(a->memory_bytes, 0);
    loop_sim_world_destroy(world);
    CHECK_TEXT(story.text, "w");
}

static void *block;

static void *allocate(void *arg)
{
    block = loop_kernel_malloc(10);
    loop_sim_wait(NULL, 2 * MS);
    CHECK_IS(loop_sim_here()->memory_bytes, 0);
    return arg;
}

static void *free_of_other(void *arg)
{
    CHECK_IS(a->memory_bytes, 10);
    loop_kernel_free(block);
    return arg;
}

TEST(memory_may_be_freed_by_another_node)
{
    begin(allocate, free_of_other);
    finish(LOOP_SIM_STOP_ENDED);
}

static void *give(void *arg)
{
    block = loop_kernel_malloc(10);
    CHECK_IS(a->memory_bytes, 10);
    loop_kernel_give(block);
    CHECK_IS(a->memory_bytes, 0);
    return arg;
}

TEST(memory_that_was_given_to_the_program_is_left_to_it)
{
    begin(give, NULL);
    finish(LOOP_SIM_STOP_ENDED);
    memset(block, 1, 10);
    loop_kernel_free(block);
}

TEST(memory_may_be_allocated_and_freed_outside_of_nodes)
{
    begin(do_nothing, do_nothing);
    loop_kernel_free(loop_kernel_malloc(10));
    CHECK(loop_kernel_malloc(10) != NULL); /* freed with the world */
    finish(LOOP_SIM_STOP_ENDED);
}

/* ---- pauses ---- */

static void *tick(void *arg)
{
    for (int i = 1; i <= 3; i++) {
        loop_sim_wait(NULL, i * 10 * MS);
        tell((char)('0' + i));
    }
    return arg;
}

static void *pause_a_for_a_while(void *arg)
{
    loop_sim_wait(NULL, 15 * MS);
    loop_sim_node_pause(a);
    loop_sim_node_pause(a);
    tell('p');
    loop_sim_wait(NULL, 50 * MS);
    CHECK_IS(a->state, LOOP_SIM_NODE_PAUSED);
    tell('g');
    loop_sim_node_go_on(a);
    loop_sim_node_go_on(a);
    return arg;
}

TEST(pause_holds_timeouts_back_until_it_is_over)
{
    begin(tick, pause_a_for_a_while);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "1pg23");
}

static void *wait_and_tell(void *arg)
{
    loop_sim_wait(&queue, LOOP_SIM_NEVER);
    tell(loop_sim_here()->name[0]);
    return arg;
}

static void *pause_all_ready(void *arg)
{
    loop_sim_queue_wake(&queue, 0);
    loop_sim_node_pause(a);
    loop_sim_wait(NULL, 10 * MS);
    tell('-');
    loop_sim_node_go_on(a);
    return arg;
}

TEST(pause_holds_ready_fibers_back)
{
    begin(wait_and_tell, pause_all_ready);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "-a");
}

static void *pause_itself(void *arg)
{
    tell('p');
    loop_sim_node_pause(loop_sim_here());
    tell('q');
    CHECK_IS(world->now_ns, 7 * MS);
    return arg;
}

static void *let_a_go_on(void *arg)
{
    loop_sim_wait(NULL, 7 * MS);
    loop_sim_node_go_on(a);
    return arg;
}

TEST(pause_by_the_node_itself_returns_when_it_goes_on)
{
    begin(pause_itself, let_a_go_on);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "pq");
}

static void *pause_and_crash_a(void *arg)
{
    loop_sim_queue_wake(&queue, 0);
    loop_sim_node_pause(a);
    loop_sim_wait(NULL, 1 * MS);
    loop_sim_node_crash(a);
    return arg;
}

TEST(crash_stops_a_node_that_is_paused)
{
    begin(wait_for_ever, pause_and_crash_a);
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "w");
}

/* ---- why a world stops ---- */

static void *wait_in_queue(void *arg)
{
    loop_sim_wait(&queue, LOOP_SIM_NEVER);
    return arg;
}

TEST(world_is_stuck_when_a_node_waits_and_nothing_is_due)
{
    begin(wait_in_queue, do_nothing);
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_STUCK);
    loop_sim_queue_wake(&queue, 0);
    finish(LOOP_SIM_STOP_ENDED);
}

static void *yield_for_ever(void *arg)
{
    for (;;) {
        loop_sim_yield();
    }
    return arg;
}

TEST(world_stops_at_its_limit_of_steps)
{
    begin(yield_for_ever, NULL);
    world->most_steps = 1000;
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_STEPS);
    CHECK_IS(world->steps, 1000);
    loop_sim_world_destroy(world);
}

TEST(world_stops_before_its_limit_of_time)
{
    begin(tick, NULL);
    world->most_time_ns = 25 * MS;
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_TIME);
    CHECK_IS(world->now_ns, 20 * MS);
    world->most_time_ns = 0;
    finish(LOOP_SIM_STOP_ENDED);
}

static void *stop_the_world(void *arg)
{
    loop_sim_world_stop(world);
    tell('s');
    loop_sim_yield();
    tell('t');
    return arg;
}

TEST(world_goes_on_after_it_was_stopped)
{
    begin(stop_the_world, NULL);
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_REQUESTED);
    CHECK_TEXT(story.text, "s");
    finish(LOOP_SIM_STOP_ENDED);
    CHECK_TEXT(story.text, "st");
}

TEST(world_is_destroyed_in_the_middle_of_a_run)
{
    begin(wait_for_ever_in_two_threads, tick);
    world->most_steps = 5;
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_STEPS);
    loop_sim_world_destroy(world);
}

/* ---- clocks of a node ---- */

static void *read_the_wall_clock(void *arg)
{
    struct timespec wall, steady;

    loop_sim_wait(NULL, 10 * LOOP_SECOND);
    loop_kernel_clock_gettime(CLOCK_REALTIME, &wall);
    loop_kernel_clock_gettime(CLOCK_MONOTONIC, &steady);
    CHECK_IS(wall.tv_sec, LOOP_SIM_WALL_START_NS / LOOP_SECOND + 10 + 5);
    CHECK_IS(wall.tv_nsec, 20 * MS);
    CHECK_IS(steady.tv_sec, LOOP_SIM_MONOTONIC_START_NS / LOOP_SECOND + 10);
    CHECK_IS(steady.tv_nsec, 0);
    return arg;
}

TEST(wall_clock_has_the_offset_and_the_drift_of_its_node)
{
    begin(read_the_wall_clock, NULL);
    a->wall_offset_ns = 5 * LOOP_SECOND;
    a->wall_drift_ppb = 2000000; /* 2 ms in a second */
    finish(LOOP_SIM_STOP_ENDED);
}
