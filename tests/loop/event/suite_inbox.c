/* SPDX-License-Identifier: ISC
 *
 * Posts from other threads and from signal handlers (P21).
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h>

/* ---- P21: from elsewhere ---- */

enum { POSTERS = 4, POSTS = HAS_SANITIZER ? 2000 : 20000 };

static struct poster {
    struct loop_inbox *inbox;
    pthread_t thread;
    unsigned got;
} posters[POSTERS];

static struct post {
    struct poster *poster;
    unsigned number;
} posts[POSTERS][POSTS];

static unsigned posters_done;

static void on_post(void *arg, int64_t result)
{
    struct post *post = arg;

    CHECK_IS(result, 0);
    CHECK_IS(post->poster->got, post->number);
    if (++post->poster->got == POSTS) {
        posters_done++;
        script_poke();
    }
}

static void *post_many(void *arg)
{
    struct poster *poster = arg;

    for (unsigned i = 0; i < POSTS; i++) {
        struct post *post = &posts[poster - posters][i];
        int answer;
        *post = (struct post){poster, i};
        while ((answer = loop_post(poster->inbox, on_post, post)) == -EAGAIN) {
            sched_yield();
        }
        CHECK_IS(answer, 0);
    }
    loop_inbox_unref(poster->inbox);
    return NULL;
}

LOOP_TEST(p21_posts_of_many_threads_run_once_and_in_order)
{
    BEGIN;
    for (int i = 0; i < POSTERS; i++) {
        posters[i].inbox = loop_inbox_ref(env->loop);
        CHECK_IS(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    }
    loop_scope_hold(env->scope);
    WAIT_UNTIL(posters_done == POSTERS);
    loop_scope_unhold(env->scope);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
    }
    END;
}

static struct loop_inbox *signal_inbox;
static int signal_answer = 1;
static struct once signal_post;

static void post_from_handler(int number)
{
    (void)number;
    signal_answer = loop_post(signal_inbox, ONCE(&signal_post));
}

LOOP_TEST(p21_a_signal_handler_may_post)
{
    static struct sigaction action;

    BEGIN;
    signal_inbox = loop_inbox_ref(env->loop);
    action.sa_handler = post_from_handler;
    CHECK_IS(sigaction(SIGUSR1, &action, NULL), 0);
    raise(SIGUSR1);
    CHECK_IS(signal_answer, 0);
    CHECK_IS(signal_post.count, 0);
    loop_scope_hold(env->scope);
    WAIT_UNTIL(signal_post.count);
    ONCE_IS(signal_post, 0);
    loop_scope_unhold(env->scope);
    loop_inbox_unref(signal_inbox);
    END;
}

static bool is_interrupted_enough;

/* As often as it takes: signals that come before the last one has been handled are one. */
static void *interrupt_often(void *thread)
{
    while (!__atomic_load_n(&is_interrupted_enough, __ATOMIC_SEQ_CST)) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
    }
    return NULL;
}

static unsigned handler_posts, handled_posts;

static void count_post(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    handled_posts++;
    script_poke();
}

static void post_and_count(int number)
{
    (void)number;
    handler_posts += loop_post(signal_inbox, count_post, NULL) == 0;
}

/* The handler interrupts the thread wherever it is, most often while it sleeps in the kernel. */
LOOP_TEST(p21_a_handler_that_interrupts_the_sleep_wakes_the_loop)
{
    static struct sigaction action;
    static pthread_t self, other;

    BEGIN;
    signal_inbox = loop_inbox_ref(env->loop);
    action.sa_handler = post_and_count;
    CHECK_IS(sigaction(SIGUSR1, &action, NULL), 0);
    self = pthread_self();
    CHECK_IS(pthread_create(&other, NULL, interrupt_often, &self), 0);
    loop_scope_hold(env->scope);
    WAIT_UNTIL(handled_posts >= 10);
    __atomic_store_n(&is_interrupted_enough, true, __ATOMIC_SEQ_CST);
    pthread_join(other, NULL);
    signal(SIGUSR1, SIG_IGN);
    WAIT_UNTIL(handled_posts == handler_posts);
    loop_scope_unhold(env->scope);
    loop_inbox_unref(signal_inbox);
    END;
}

static uint64_t wakeups_of(struct loop *loop)
{
    struct loop_stats stats;

    loop_get_stats(loop, &stats);
    return stats.wakeups;
}

static struct loop *woken_loop;
static uint64_t wakeups_before;
static bool has_been_woken;
static unsigned single_posts;

static void on_single_post(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    has_been_woken = wakeups_of(woken_loop) > wakeups_before;
    __atomic_add_fetch(&single_posts, 1, __ATOMIC_SEQ_CST);
    script_poke();
}

/* As often as it takes: the loop may not sleep yet when a post comes. Each waits for the one before. */
static void *post_until_woken(void *unused)
{
    for (unsigned n = 1; !has_been_woken; n++) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        CHECK_IS(loop_post(signal_inbox, on_single_post, NULL), 0);
        while (__atomic_load_n(&single_posts, __ATOMIC_SEQ_CST) < n) {
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        }
    }
    return unused;
}

LOOP_TEST(p21_a_post_wakes_a_sleeping_loop)
{
    static pthread_t thread;

    BEGIN;
    woken_loop = env->loop;
    wakeups_before = wakeups_of(env->loop);
    signal_inbox = loop_inbox_ref(env->loop);
    loop_scope_hold(env->scope);
    CHECK_IS(pthread_create(&thread, NULL, post_until_woken, NULL), 0);
    WAIT_UNTIL(has_been_woken);
    pthread_join(thread, NULL);
    loop_scope_unhold(env->scope);
    loop_inbox_unref(signal_inbox);
    END;
}

LOOP_TEST_WITH(p21_a_full_box_says_eagain, .post_capacity = 8)
{
    static struct once posts_made[9], one_more;
    static struct loop_inbox *inbox;

    BEGIN;
    inbox = loop_inbox_ref(env->loop);
    for (int i = 0; i < 8; i++) {
        CHECK_IS(loop_post(inbox, ONCE(&posts_made[i])), 0);
    }
    CHECK_IS(loop_post(inbox, ONCE(&posts_made[8])), -EAGAIN);
    AWAIT(turns(env->scope, 3, GO));
    for (int i = 0; i < 8; i++) {
        ONCE_IS(posts_made[i], 0);
    }
    CHECK_IS(posts_made[8].count, 0);
    CHECK_IS(loop_post(inbox, ONCE(&one_more)), 0);
    AWAIT(turns(env->scope, 3, GO));
    ONCE_IS(one_more, 0);
    loop_inbox_unref(inbox);
    END;
}

/* ---- one post after another ---- */

enum { CHAIN = 3000 };
static struct loop_inbox *chain_inbox;
static unsigned chain_length;

static void post_the_next(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    if (++chain_length < CHAIN) {
        CHECK_IS(loop_post(chain_inbox, post_the_next, NULL), 0);
    }
    script_poke();
}

/* A post that runs has left its place to the next one, however small the inbox is. */
static void run_chain(struct loop_env *env, int64_t result)
{
    BEGIN;
    chain_inbox = loop_inbox_ref(env->loop);
    CHECK_IS(loop_post(chain_inbox, post_the_next, NULL), 0);
    loop_scope_hold(env->scope);
    WAIT_UNTIL(chain_length == CHAIN);
    loop_scope_unhold(env->scope);
    loop_inbox_unref(chain_inbox);
    END;
}

TEST_ROWS(p21_posts_that_post, 13, shift)
{
    script_run(&(struct loop_options){.post_capacity = 1u << shift}, run_chain);
}

static unsigned n_handled;

static void handled(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    __atomic_add_fetch(&n_handled, 1, __ATOMIC_SEQ_CST);
    script_poke();
}

enum { SINGLE_POSTS = HAS_SANITIZER ? 500 : 5000 };

/* Waits for each post, and a moment of another length before the next: so posts come at all times while the loop falls
 * asleep. */
static void *post_one_by_one(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < SINGLE_POSTS; i++) {
        CHECK_IS(loop_post(chain_inbox, handled, NULL), 0);
        while (__atomic_load_n(&n_handled, __ATOMIC_SEQ_CST) <= i) {
            sched_yield();
        }
        for (volatile unsigned moment = i * 7 % 500; moment > 0; moment--) {
        }
    }
    return NULL;
}

LOOP_TEST(p21_a_loop_that_falls_asleep_misses_no_post)
{
    static pthread_t thread;

    BEGIN;
    chain_inbox = loop_inbox_ref(env->loop);
    CHECK_IS(pthread_create(&thread, NULL, post_one_by_one, NULL), 0);
    loop_scope_hold(env->scope);
    WAIT_UNTIL(n_handled == SINGLE_POSTS);
    loop_scope_unhold(env->scope);
    pthread_join(thread, NULL);
    loop_inbox_unref(chain_inbox);
    END;
}

enum { BURSTS = 100, BURST_POSTS = 20 };

/* Lets the loop run the posts of each burst before the next. */
static void *post_bursts(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < BURSTS * BURST_POSTS; i++) {
        while (loop_post(chain_inbox, handled, NULL) == -EAGAIN) {
            sched_yield();
        }
        if (i % BURST_POSTS == BURST_POSTS - 1) {
            sched_yield();
        }
    }
    return NULL;
}

/* How long a burst takes on a real machine depends on what else runs there. */
static void check_burst_wakeups(const struct loop_stats *before, const struct loop_stats *after)
{
    uint64_t wakeups = after->wakeups - before->wakeups;
#if defined(NORIA_SIMULATED)
    CHECK(wakeups >= 1 && wakeups <= 3);
#else
    CHECK(wakeups >= 1 && wakeups <= BURSTS * BURST_POSTS);
#endif
}

LOOP_TEST(p21_a_flood_does_not_wake_the_loop_again_and_again)
{
    static struct loop_stats before, after;
    static pthread_t thread;

    BEGIN;
    n_handled = 0;
    chain_inbox = loop_inbox_ref(env->loop);
    loop_get_stats(env->loop, &before);
    CHECK_IS(pthread_create(&thread, NULL, post_bursts, NULL), 0);
    loop_scope_hold(env->scope);
    WAIT_UNTIL(n_handled == BURSTS * BURST_POSTS);
    loop_scope_unhold(env->scope);
    loop_get_stats(env->loop, &after);
    check_burst_wakeups(&before, &after);
    pthread_join(thread, NULL);
    loop_inbox_unref(chain_inbox);
    END;
}

enum { OWN_POSTS = 60, SOME_POSTS = 10 };

static int64_t handled_ns[OWN_POSTS];

static void post_to_own_loop(void *scope, int64_t result);

static void sleep_no_time(void *scope, int64_t result)
{
    CHECK_IS(result, 0);
    handled_ns[n_handled] = loop_now(loop_scope_loop(scope));
    if (++n_handled < OWN_POSTS) {
        loop_sleep(scope, 0, post_to_own_loop, scope);
    } else {
        script_poke();
    }
}

/* Runs after the posts of the turn, so that the loop has found no more of them when it comes to its end. */
static void post_to_own_loop(void *scope, int64_t result)
{
    CHECK_IS(result, 0);
    CHECK_IS(loop_post(chain_inbox, sleep_no_time, scope), 0);
}

/* The turns of the last posts take no longer than those of the first ones, before there was a burst. How long a turn
 * takes on a real machine depends on what else runs there. */
static void check_no_wait(void)
{
    int64_t first_ns = handled_ns[SOME_POSTS] - handled_ns[0];
    int64_t last_ns = handled_ns[OWN_POSTS - 1] - handled_ns[OWN_POSTS - 1 - SOME_POSTS];

    CHECK(first_ns >= 0 && last_ns >= 0);
#if defined(NORIA_SIMULATED)
    CHECK(last_ns < first_ns + SOME_POSTS * INT64_C(500));
#endif
}

LOOP_TEST(p21_a_loop_with_a_post_of_its_own_does_not_wait_for_more)
{
    BEGIN;
    n_handled = 0;
    chain_inbox = loop_inbox_ref(env->loop);
    loop_scope_hold(env->scope);
    CHECK_IS(loop_post(chain_inbox, sleep_no_time, env->scope), 0);
    WAIT_UNTIL(n_handled == OWN_POSTS);
    loop_scope_unhold(env->scope);
    check_no_wait();
    loop_inbox_unref(chain_inbox);
    END;
}

/* ---- the end ---- */

static struct loop_inbox *kept_inbox;

static int keep_inbox(struct loop_env *env, void *unused)
{
    (void)unused;
    kept_inbox = loop_inbox_ref(env->loop);
    CHECK(kept_inbox != NULL);
    return 0;
}

TEST(p21_a_post_after_the_loop_has_ended_finds_a_closed_box)
{
    struct once post = {.count = 0};

    CHECK_IS(run(keep_inbox, NULL), 0);
    CHECK_IS(loop_post(kept_inbox, ONCE(&post)), -ESHUTDOWN);
    CHECK_IS(post.count, 0);
    loop_inbox_unref(kept_inbox);
    loop_inbox_unref(NULL);
}

static struct once last_posts[2];

static void post_at_the_end(void *inbox)
{
    CHECK_IS(loop_post(inbox, ONCE(&last_posts[0])), 0);
    CHECK_IS(loop_post(inbox, ONCE(&last_posts[1])), 0);
    loop_inbox_unref(inbox);
}

static int post_as_it_ends(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK(loop_scope_defer(env->scope, post_at_the_end, loop_inbox_ref(env->loop)));
    return 0;
}

TEST(p21_the_last_posts_run_too)
{
    CHECK_IS(run(post_as_it_ends, NULL), 0);
    CHECK_IS(last_posts[0].count, 1);
    CHECK_IS(last_posts[1].count, 1);
    CHECK(last_posts[0].result == 0 || last_posts[0].result == -ECANCELED);
    CHECK(last_posts[0].order < last_posts[1].order);
}

static int post_and_leave(struct loop_env *env, void *unused)
{
    struct loop_inbox *inbox = loop_inbox_ref(env->loop);

    (void)unused;
    for (int i = 0; i < 2; i++) {
        CHECK_IS(loop_post(inbox, ONCE(&last_posts[i])), 0);
    }
    loop_inbox_unref(inbox);
    return 0;
}

TEST(p21_posts_do_not_keep_the_loop_running_and_are_not_lost)
{
    CHECK_IS(run(post_and_leave, NULL), 0);
    CHECK_IS(last_posts[0].count, 1);
    CHECK_IS(last_posts[1].count, 1);
}

/* Posts race with the end of the loop: each is refused, or runs once. */
static unsigned long raced_runs, raced_accepted;

static void raced(void *unused, int64_t result)
{
    (void)unused;
    CHECK(result == 0 || result == -ECANCELED);
    __atomic_add_fetch(&raced_runs, 1, __ATOMIC_RELAXED);
}

static void *race(void *unused)
{
    int answer;

    (void)unused;
    while ((answer = loop_post(kept_inbox, raced, NULL)) != -ESHUTDOWN) {
        CHECK(answer == 0 || answer == -EAGAIN);
        raced_accepted += answer == 0;
    }
    loop_inbox_unref(kept_inbox);
    return NULL;
}

static int start_race(struct loop_env *env, void *thread)
{
    CHECK_IS(keep_inbox(env, NULL), 0);
    CHECK_IS(pthread_create(thread, NULL, race, NULL), 0);
    CHECK(loop_sleep(env->scope, LOOP_MILLISECOND, NULL, NULL) != 0);
    return 0;
}

TEST(p21_posts_that_race_with_the_end_run_once_or_are_refused)
{
    for (int i = 0; i < 30; i++) {
        pthread_t thread;
        CHECK_IS(run(start_race, &thread), 0);
        pthread_join(thread, NULL);
        CHECK_IS(raced_runs, raced_accepted);
    }
}
