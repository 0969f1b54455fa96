/* SPDX-License-Identifier: ISC
 *
 * The machine of the simulated kernel: choices, what they record, and that the same choices give the same run. The
 * world that a thread gets that calls the door outside of any.
 */
#include <loop/kernel/all.h>
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/machine/trace.h>

#include "harness.h"

#include <stdio.h>

#define MS INT64_C(1000000)

/* ---- the record ---- */

static unsigned choose_from_list(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    const unsigned **next = arg;

    (void)point;
    (void)ppm;
    return *(*next)++ % n;
}

static void check_recorded(const struct loop_sim_world *world, const uint32_t *expected, size_t count)
{
    size_t recorded;
    const uint32_t *choices = loop_sim_choices_get(world, &recorded);

    CHECK_IS(recorded, count);
    for (size_t i = 0; i < count; i++) {
        CHECK_IS(choices[i], expected[i]);
    }
}

TEST(choices_are_recorded_without_zeros_at_the_end)
{
    static const unsigned list[] = {0, 0, 2, 0, 1, 0, 0};
    const unsigned *next = list;
    struct loop_sim_world *world = loop_sim_world_create();

    CHECK_IS(loop_sim_choose(LOOP_SIM_PROGRAM, 3), 0); /* without a source: recorded as well */
    loop_sim_choices_set(world, choose_from_list, &next);
    CHECK_IS(loop_sim_choose(LOOP_SIM_PROGRAM, 1), 0); /* of one: no choice */
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        CHECK_IS(loop_sim_choose(LOOP_SIM_PROGRAM, 3), list[i]);
    }
    check_recorded(world, (const uint32_t[]){0, 0, 0, 2, 0, 1}, 6);
    loop_sim_world_destroy(world);
}

static unsigned choose_one(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    (void)arg;
    (void)point;
    (void)ppm;
    return n - 1;
}

TEST(choices_are_made_only_where_they_are_allowed)
{
    struct loop_sim_world *world = loop_sim_world_create();

    loop_sim_choices_set(world, choose_one, NULL);
    loop_sim_choices_limit(world, UINT64_C(1) << LOOP_SIM_LOSS);
    CHECK(!loop_sim_happens(LOOP_SIM_RESET));
    CHECK(loop_sim_happens(LOOP_SIM_LOSS));
    loop_sim_choices_suspend(world, true);
    CHECK(!loop_sim_happens(LOOP_SIM_LOSS));
    loop_sim_choices_suspend(world, false);
    CHECK(!loop_sim_happens_ppm(LOOP_SIM_LOSS, 0));
    CHECK(loop_sim_happens_ppm(LOOP_SIM_LOSS, 1));
    check_recorded(world, (const uint32_t[]){1, 1}, 2);
    loop_sim_world_destroy(world);
}

TEST(choice_of_a_length_leaves_at_least_one_byte)
{
    static const unsigned list[] = {0, 1, 9, 0};
    const unsigned *next = list;
    struct loop_sim_world *world = loop_sim_world_create();

    CHECK_IS(loop_sim_choose_length(LOOP_SIM_SHORT_READ, 10), 10);
    loop_sim_choices_set(world, choose_from_list, &next);
    CHECK_IS(loop_sim_choose_length(LOOP_SIM_SHORT_READ, 0), 0);
    CHECK_IS(loop_sim_choose_length(LOOP_SIM_SHORT_READ, 1), 1);
    CHECK_IS(loop_sim_choose_length(LOOP_SIM_SHORT_READ, 10), 10);
    CHECK_IS(loop_sim_choose_length(LOOP_SIM_SHORT_READ, 10), 1);
    CHECK_IS(loop_sim_choose_length(LOOP_SIM_SHORT_READ, 10), 9);
    CHECK_IS(loop_sim_choose_length(LOOP_SIM_SHORT_READ, SIZE_MAX), SIZE_MAX);
    loop_sim_world_destroy(world);
}

TEST(points_of_choice_have_names)
{
    for (unsigned point = 0; point < LOOP_SIM_POINTS; point++) {
        CHECK(strcmp(loop_sim_point_name(point), "?") != 0);
    }
    CHECK_TEXT(loop_sim_point_name(LOOP_SIM_SHORT_READ), "short read");
}

/* ---- runs ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static LOOP_KERNEL_PROCESS_LOCAL int turn;

/* Takes turns with the other thread of the node, sleeps, allocates, and tells the trace what it sees. */
static void *take_turns(void *arg)
{
    int own = *(int *)arg;

    for (int i = 0; i < 5; i++) {
        struct timespec time;
        loop_kernel_pthread_mutex_lock(&mutex);
        while (turn != own) {
            loop_kernel_pthread_cond_wait(&condition, &mutex);
        }
        turn = !own;
        loop_kernel_pthread_cond_broadcast(&condition);
        loop_kernel_pthread_mutex_unlock(&mutex);
        loop_kernel_nanosleep(&(struct timespec){.tv_nsec = (own + 1) * 1000}, NULL);
        loop_kernel_clock_gettime(CLOCK_REALTIME, &time);
        void *memory = loop_kernel_malloc(100);
        loop_sim_trace("turn", loop_sim_here(), NULL, "%d %d %lld.%09ld %s %lu", own, i, (long long)time.tv_sec,
                       time.tv_nsec, memory ? "" : "no memory", (unsigned long)loop_kernel_pthread_self());
        loop_kernel_free(memory);
    }
    return NULL;
}

static void *run_two_threads(void *arg)
{
    static int numbers[] = {0, 1};
    pthread_t thread;

    if (loop_kernel_pthread_create(&thread, NULL, take_turns, &numbers[1]) == 0) {
        take_turns(&numbers[0]);
        loop_kernel_pthread_join(thread, NULL);
    }
    return arg;
}

static unsigned choose_by_seed(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    uint64_t *state = arg;

    (void)ppm;
    *state = *state * UINT64_C(6364136223846793005) + point + 1;
    return (*state >> 40) % 4 == 0 ? (unsigned)(*state >> 42) % n : 0;
}

struct replay {
    const uint32_t *choices;
    size_t count, at;
};

static unsigned choose_again(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    struct replay *replay = arg;
    uint32_t chosen = replay->at < replay->count ? replay->choices[replay->at] : 0;

    (void)point;
    (void)ppm;
    replay->at++;
    CHECK(chosen < n);
    return chosen;
}

/* The trace of a run as text, and what was chosen in it. */
struct outcome {
    char text[32768];
    uint32_t choices[4096];
    size_t n_choices;
};

static void write_trace(const struct loop_sim_world *world, char *text, size_t size)
{
    size_t count, len = 0;
    const struct loop_sim_record *records = loop_sim_trace_records(world, &count);

    CHECK(count > 0);
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, size - len, "%lld %s %s %s\n", (long long)records[i].time_ns,
                                records[i].event, records[i].from ? records[i].from->name : "-", records[i].text);
        CHECK(len < size);
    }
}

static void run_world(loop_sim_choose_fn *choose, void *arg, struct outcome *outcome)
{
    struct loop_sim_world *world = loop_sim_world_create();

    loop_sim_choices_set(world, choose, arg);
    loop_sim_trace_begin(world);
    for (int i = 0; i < 3; i++) {
        loop_sim_node_start(loop_sim_node_create(world, (char[]){(char)('a' + i), 0}), run_two_threads, NULL);
    }
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_ENDED);
    write_trace(world, outcome->text, sizeof outcome->text);
    const uint32_t *choices = loop_sim_choices_get(world, &outcome->n_choices);
    CHECK(outcome->n_choices <= COUNT_OF(outcome->choices));
    memcpy(outcome->choices, choices, outcome->n_choices * sizeof *choices);
    loop_sim_world_destroy(world);
}

static struct outcome one, other;

TEST(runs_of_the_same_seed_have_equal_traces)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t state = seed;
        run_world(choose_by_seed, &state, &one);
        state = seed;
        run_world(choose_by_seed, &state, &other);
        CHECK_TEXT(one.text, other.text);
    }
}

TEST(runs_of_different_seeds_have_different_traces)
{
    run_world(choose_by_seed, &(uint64_t){1}, &one);
    run_world(choose_by_seed, &(uint64_t){2}, &other);
    CHECK(strcmp(one.text, other.text) != 0);
}

TEST(run_is_its_recorded_choices)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        run_world(choose_by_seed, &(uint64_t){seed}, &one);
        run_world(choose_again, &(struct replay){one.choices, one.n_choices, 0}, &other);
        CHECK_TEXT(one.text, other.text);
        CHECK_IS(one.n_choices, other.n_choices);
    }
}

/* ---- choices of the door ---- */

static unsigned choose_point(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    (void)ppm;
    return point == *(enum loop_sim_point *)arg ? n - 1 : 0;
}

static void *allocate_in_vain(void *arg)
{
    errno = 0;
    CHECK(loop_kernel_malloc(1) == NULL);
    CHECK_IS(errno, ENOMEM);
    CHECK(loop_kernel_calloc(1, 1) == NULL);
    CHECK(loop_kernel_realloc(NULL, 1) == NULL);
    CHECK(loop_kernel_aligned_alloc(64, 64) == NULL);
    CHECK(loop_kernel_strdup("") == NULL);
    CHECK(loop_kernel_strndup("", 1) == NULL);
    errno = 0;
    CHECK(loop_kernel_mmap(NULL, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    CHECK_IS(errno, ENOMEM);
    CHECK_IS(loop_kernel_pthread_create(&(pthread_t){0}, NULL, allocate_in_vain, NULL), EAGAIN);
    return arg;
}

static void *store_time(void *arg)
{
    *(int64_t *)arg = loop_sim_world_now()->now_ns;
    return NULL;
}

static void *start_a_late_thread(void *arg)
{
    int64_t time_ns;
    pthread_t thread;

    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, store_time, &time_ns), 0);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(time_ns, 50 * MS);
    return arg;
}

static void *lock_after_another(void *arg)
{
    int64_t time_ns = -1;
    pthread_t thread;

    loop_sim_choices_suspend(loop_sim_world_now(), true);
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, store_time, &time_ns), 0);
    loop_kernel_pthread_mutex_lock(&mutex);
    loop_kernel_pthread_mutex_unlock(&mutex);
    CHECK_IS(time_ns, -1); /* no choice: this thread goes on */
    loop_sim_choices_suspend(loop_sim_world_now(), false);
    loop_kernel_pthread_mutex_lock(&mutex);
    CHECK_IS(time_ns, 0);
    loop_kernel_pthread_mutex_unlock(&mutex);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    return arg;
}

static void *wait_for_nothing(void *arg)
{
    loop_kernel_pthread_mutex_lock(&mutex);
    CHECK_IS(loop_kernel_pthread_cond_wait(&condition, &mutex), 0); /* nothing signals it */
    CHECK_IS(loop_kernel_pthread_mutex_destroy(&mutex), EBUSY);
    loop_kernel_pthread_mutex_unlock(&mutex);
    return arg;
}

static struct {
    enum loop_sim_point point;
    void *(*main)(void *);
} points[] = {
    {LOOP_SIM_NO_MEMORY, allocate_in_vain},
    {LOOP_SIM_THREAD, start_a_late_thread},
    {LOOP_SIM_THREAD, lock_after_another},
    {LOOP_SIM_FALSE_READY, wait_for_nothing},
};

TEST_ROWS(door_fails_by_choice, COUNT_OF(points), row)
{
    struct loop_sim_world *world = loop_sim_world_create();

    loop_sim_choices_set(world, choose_point, &points[row].point);
    loop_sim_node_start(loop_sim_node_create(world, "node"), points[row].main, NULL);
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_ENDED);
    loop_sim_world_destroy(world);
}

/* ---- the implicit world ---- */

static int wait_in_vain(void *arg)
{
    loop_kernel_pthread_setname_np(loop_kernel_pthread_self(), "hopeless");
    loop_kernel_pthread_mutex_lock(&mutex);
    loop_kernel_pthread_mutex_lock(&mutex);
    (void)arg;
    return 0;
}

TEST(implicit_world_that_is_stuck_ends_the_program_and_says_which_thread_waits)
{
    int status = in_child(wait_in_vain, NULL);

    CHECK(WIFSIGNALED(status));
    CHECK_IS(WTERMSIG(status), SIGABRT);
    CHECK(strstr(child_text(), "nothing is due") != NULL);
    CHECK(strstr(child_text(), "hopeless") != NULL);
}

static void *yield_in_thread(void *arg)
{
    for (int i = 0; i < 10; i++) {
        loop_sim_yield();
        ++*(int *)arg;
    }
    return NULL;
}

TEST(implicit_world_runs_threads_while_the_caller_waits)
{
    int count = 0;
    pthread_t thread;

    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, yield_in_thread, &count), 0);
    CHECK_IS(count, 0);
    CHECK_IS(loop_kernel_nanosleep(&(struct timespec){.tv_nsec = MS}, NULL), 0);
    CHECK_IS(count, 10);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
}

static LOOP_KERNEL_THREAD_LOCAL int own;

static void *check_own(void *arg)
{
    CHECK_IS(own, 0);
    own = 7;
    CHECK_IS(loop_sim_here()->world->n_nodes, 1);
    return arg;
}

TEST(implicit_world_is_left_alone_by_a_world_within_it)
{
    pthread_t self = loop_kernel_pthread_self();
    const struct loop_sim_world *implicit = loop_sim_world_now();
    struct loop_sim_world *world = loop_sim_world_create();

    own = 3;
    loop_sim_node_start(loop_sim_node_create(world, "node"), check_own, NULL);
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_ENDED);
    loop_sim_world_destroy(world);
    CHECK(loop_sim_world_now() == implicit);
    CHECK_IS(loop_kernel_pthread_self(), self);
    loop_kernel_nanosleep(&(struct timespec){.tv_nsec = MS}, NULL);
}
