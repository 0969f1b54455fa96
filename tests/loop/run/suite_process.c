/* SPDX-License-Identifier: ISC
 *
 * The process around the loop (P19 to P21, P23, P24): SIGPIPE, time, posts from elsewhere, forks, bad arguments, and
 * other loops beside it.
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- P19: SIGPIPE ---- */

static bool sigpipe_is_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static bool sigpipe_is_blocked(void)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGPIPE) == 1;
}

LOOP_TEST(p19_sigpipe_never_kills)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct loop_flow *flows[2];

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    loop_source_close(source);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_write(sink, "x", 1, GO));
    CHECK_IS(result, -EPIPE);
    make_flows(env->scope, flows);
    loop_flow_close(flows[1]);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_write(&flows[0]->sink, "x", 1, GO));
    CHECK_IS(result, -EPIPE);
    AWAIT(loop_op_send(NULL, flows[0]->fd, "x", 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    AWAIT(loop_op_write(NULL, flows[0]->fd, "x", 1, LOOP_CURRENT, GO));
    CHECK_IS(result, -EPIPE);
    END;
}

static int write_to_nobody(struct loop_env *env, void *unused)
{
    static struct once write;
    int fds[2];

    (void)unused;
    CHECK(sigpipe_is_blocked());
    make_pipe(fds);
    close(fds[0]);
    CHECK(loop_write(&flow_of(env->scope, fds[1])->sink, "x", 1, ONCE(&write)) != 0);
    return 0;
}

TEST(p19_a_sigpipe_of_the_loop_is_taken_back)
{
    struct sigaction action;

    CHECK(!sigpipe_is_blocked());
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK(!sigpipe_is_pending() && !sigpipe_is_blocked());
    CHECK_IS(sigaction(SIGPIPE, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
}

TEST(p19_a_sigpipe_that_was_pending_before_stays)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_kill(pthread_self(), SIGPIPE);
    CHECK(sigpipe_is_pending());
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK(sigpipe_is_pending() && sigpipe_is_blocked());
    CHECK_IS(sigtimedwait(&set, NULL, &(struct timespec){0, 0}), SIGPIPE);
}

static volatile sig_atomic_t handled;

static void count_signal(int number)
{
    handled = number;
}

TEST(p19_the_programs_own_handler_stays)
{
    struct sigaction action = {.sa_handler = count_signal}, after;

    CHECK_IS(sigaction(SIGPIPE, &action, NULL), 0);
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK_IS(handled, 0);
    CHECK_IS(sigaction(SIGPIPE, NULL, &after), 0);
    CHECK(after.sa_handler == count_signal);
}

/* ---- P20: time ---- */

struct timed {
    int64_t at_ns;
    bool was_early;
    unsigned order;
};
static unsigned timed_count, out_of_order, early;
static int64_t last_timed;

static void timed_fired(void *arg, int64_t result)
{
    struct timed *timed = arg;

    CHECK_IS(result, 0);
    early += now_ns() < timed->at_ns;
    out_of_order += timed->at_ns < last_timed;
    last_timed = timed->at_ns;
    timed->order = ++timed_count;
    script_poke();
}

LOOP_TEST(p20_timers_are_never_early)
{
    enum { N = 300 };
    static struct timed timers[N];

    BEGIN;
    srand(1);
    for (int i = 0; i < N; i++) {
        int64_t duration = rand() % (20 * (int)LOOP_MILLISECOND);
        timers[i].at_ns = now_ns() + duration;
        START(loop_sleep(env->scope, duration, timed_fired, &timers[i]));
    }
    WAIT_UNTIL(timed_count == N);
    CHECK_IS(early, 0);
    END;
}

LOOP_TEST(p20_timers_fire_in_order_and_on_time)
{
    enum { N = 1000 };
    static struct timed timers[N];
    static int64_t start;

    BEGIN;
    start = now_ns() + (HAS_SANITIZER ? 200 : 20) * LOOP_MILLISECOND; /* all are started before the first is due */
    for (int i = 0; i < N; i++) {
        timers[i].at_ns = start + (int64_t)(i * 7919 % N) * 10 * LOOP_MICROSECOND;
        START(loop_sleep_until(env->scope, timers[i].at_ns, timed_fired, &timers[i]));
    }
    WAIT_UNTIL(timed_count == N);
    CHECK_IS(early, 0);
    CHECK_IS(out_of_order, 0);
    END;
}

LOOP_TEST(p20_equal_times_fire_in_the_order_of_the_calls)
{
    enum { N = 500 };
    static struct timed timers[N];
    static int64_t at;

    BEGIN;
    at = now_ns() + 2 * LOOP_MILLISECOND;
    for (int i = 0; i < N; i++) {
        timers[i].at_ns = at;
        START(loop_sleep_until(env->scope, at, timed_fired, &timers[i]));
    }
    WAIT_UNTIL(timed_count == N);
    for (unsigned i = 0; i < N; i++) {
        CHECK_IS(timers[i].order, i + 1);
    }
    END;
}

/* Timers of which each cancels one that comes after all of them. */
enum { HUNTERS = 450 };
static struct hunter {
    struct loop *loop;
    struct once once, victim;
    loop_job victim_job;
} hunters[HUNTERS];
static unsigned hunts;

static void hunter_fired(void *arg, int64_t result)
{
    struct hunter *hunter = arg;

    once_resumed(&hunter->once, result);
    CHECK_IS(loop_cancel(hunter->loop, hunter->victim_job), 0);
    hunts++;
    script_poke();
}

/* Some victims are due in the turn in which they are cancelled, some in a later one, some later. */
LOOP_TEST(p20_timers_that_cancel_timers_of_their_own_turn)
{
    static int64_t at;

    BEGIN;
    at = now_ns() + LOOP_MILLISECOND;
    for (int i = 0; i < HUNTERS; i++) {
        struct hunter *hunter = &hunters[i];
        int64_t victim_at = at + i % 3 * i * LOOP_MICROSECOND;
        hunter->loop = env->loop;
        START(loop_sleep_until(env->scope, at - 1, hunter_fired, hunter));
        hunters[i * 7 % HUNTERS].victim_job = START(loop_sleep_until(env->scope, victim_at, ONCE(&hunter->victim)));
    }
    AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
    WAIT_UNTIL(hunts == HUNTERS);
    AWAIT(turns(env->scope, 10, GO));
    for (int i = 0; i < HUNTERS; i++) {
        ONCE_IS(hunters[i].once, 0);
        ONCE_IS(hunters[i].victim, -ECANCELED);
    }
    END;
}

LOOP_TEST(p20_cancelled_timers_leave_no_wakeups)
{
    static struct loop_stats before, after;
    static struct tally tally;

    BEGIN;
    for (int i = 1; i <= 10; i++) {
        loop_cancel(env->loop, START(loop_sleep(env->scope, i * 10 * LOOP_MILLISECOND, TALLY(&tally))));
    }
    loop_daemon(env->loop, START(loop_sleep(env->scope, 3600 * LOOP_SECOND, TALLY(&tally))));
    WAIT_UNTIL(tally.cancelled == 10);
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 120 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns <= 3);
    END;
}

LOOP_TEST(p20_what_has_passed_fires_in_the_next_turn)
{
    static struct once past[4];
    static loop_job never;
    static struct once cancelled;

    BEGIN;
    START(loop_sleep(env->scope, -1, ONCE(&past[0])));
    START(loop_sleep(env->scope, INT64_MIN, ONCE(&past[1])));
    START(loop_sleep_until(env->scope, 0, ONCE(&past[2])));
    START(loop_sleep_until(env->scope, INT64_MIN, ONCE(&past[3])));
    WAIT_UNTIL(past[0].count && past[1].count && past[2].count && past[3].count);
    never = START(loop_sleep(env->scope, INT64_MAX - 1, ONCE(&cancelled)));
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(cancelled.count, 0);
    CHECK_IS(loop_cancel(env->loop, never), 0);
    WAIT_UNTIL(cancelled.count);
    END;
}

LOOP_TEST(p20_now_is_the_monotonic_clock)
{
    static int64_t before, now, after;

    BEGIN;
    before = now_ns();
    now = loop_now(env->loop);
    after = now_ns();
    CHECK(before <= now && now <= after);
    before = now_ns();
    now = loop_clock_monotonic(env->clock);
    after = now_ns();
    CHECK(before <= now && now <= after);
    CHECK(loop_clock_wall(env->clock) / LOOP_SECOND - (int64_t)time(NULL) <= 1);
    CHECK(loop_clock_wall(env->clock) / LOOP_SECOND - (int64_t)time(NULL) >= -1);
    END;
}

LOOP_TEST(p20_a_million_timers)
{
    enum { N = HAS_SANITIZER ? 50000 : 1000000 };
    static struct tally tally;
    static loop_job *jobs;
    static unsigned long cancelled;
    static int64_t began;

    BEGIN;
    began = cpu_time_ns();
    srand(2);
    jobs = malloc(N * sizeof *jobs);
    for (int i = 0; i < N; i++) {
        int64_t duration = i % 2 ? rand() % (int)(50 * LOOP_MILLISECOND) : 3600 * LOOP_SECOND + rand();
        jobs[i] = START(loop_sleep(env->scope, duration, TALLY(&tally)));
    }
    for (int i = 0; i < N; i += 2) {
        CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
        cancelled++;
    }
    WAIT_UNTIL(tally.count == N);
    CHECK_IS(tally.cancelled, cancelled);
    CHECK_IS(tally.ended_well, N - cancelled);
    CHECK(cpu_time_ns() - began < 20 * LOOP_SECOND);
    free(jobs);
    END;
}

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

static void *post_after_a_while(void *arg)
{
    struct once *once = arg;

    nanosleep(&(struct timespec){0, 20000000}, NULL);
    CHECK_IS(loop_post(signal_inbox, ONCE(once)), 0);
    loop_inbox_unref(signal_inbox);
    return NULL;
}

LOOP_TEST(p21_a_post_wakes_a_sleeping_loop)
{
    static struct once post;
    static struct loop_stats before, after;
    static pthread_t thread;
    static int64_t began;

    BEGIN;
    signal_inbox = loop_inbox_ref(env->loop);
    loop_get_stats(env->loop, &before);
    began = now_ns();
    CHECK_IS(pthread_create(&thread, NULL, post_after_a_while, &post), 0);
    loop_scope_hold(env->scope);
    WAIT_UNTIL(post.count);
    loop_scope_unhold(env->scope);
    CHECK(now_ns() - began < 5 * LOOP_SECOND);
    loop_get_stats(env->loop, &after);
    CHECK(after.wakeups > before.wakeups);
    pthread_join(thread, NULL);
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

static struct loop_env *other_env;

static void *call_from_elsewhere(void *unused)
{
    (void)unused;
    pthread_setname_np(pthread_self(), "stranger");
    loop_sleep(other_env->scope, 0, NULL, NULL);
    return NULL;
}

static int call_from_wrong_thread(struct loop_env *env, void *unused)
{
    pthread_t thread;

    (void)unused;
    other_env = env;
    pthread_setname_np(pthread_self(), "owner");
    pthread_create(&thread, NULL, call_from_elsewhere, NULL);
    pthread_join(thread, NULL);
    return 0;
}

static int run_with_stranger(void *unused)
{
    (void)unused;
    return loop_run_with(&(struct loop_options){.queue_depth = 0}, call_from_wrong_thread, NULL);
}

#if NORIA_DEBUG && !(HAS_SANITIZER && defined(__SANITIZE_THREAD__))
TEST(p21_a_debug_build_stops_a_call_from_the_wrong_thread)
{
    expect_stop(run_with_stranger, NULL, "stranger", 0);
    CHECK(strstr(child_text(), "owner"));
    CHECK(strstr(child_text(), "loop_sleep"));
}
#else
TEST(p21_the_wrong_threads_are_checked_in_debug_builds_only)
{
    CHECK(run_with_stranger != NULL);
}
#endif

static int count_inheritable(struct loop_env *env, void *before)
{
    struct loop_flow *flows[2];
    struct loop_source *source;
    struct loop_sink *sink;
    unsigned inheritable = 0;

    make_flows(env->scope, flows);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    CHECK_IS(loop_socketpair(env->scope, &flows[0], &flows[1]), 0);
    CHECK(loop_signal(env->scope, SIGUSR1, NULL, NULL) != 0);
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        inheritable += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    CHECK_IS(inheritable, *(unsigned *)before);
    loop_scope_cancel(env->scope);
    return 0;
}

TEST(p21_every_descriptor_is_cloexec)
{
    unsigned before = 0;

    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        before += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    CHECK_IS(run(count_inheritable, &before), -ECANCELED);
}

/* ---- forks ---- */

static void never_run(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    _exit(66);
}

LOOP_TEST(p21_a_fork_in_mid_flight_leaves_the_parent_alone)
{
    static struct loop_flow *flows[2];
    static struct loop_inbox *inbox;
    static struct once read, sleep;
    static char buffer[4];
    static pid_t child;
    static int status;

    BEGIN;
    make_flows(env->scope, flows);
    inbox = loop_inbox_ref(env->loop);
    START(loop_read_exact(&flows[0]->source, buffer, 4, ONCE(&read)));
    START(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, ONCE(&sleep)));
    AWAIT(turns(env->scope, 2, GO));
    START(loop_op_nop(env->scope, NULL, NULL));
    child = fork();
    if (child == 0) {
        _exit(loop_post(inbox, never_run, NULL) == -ESHUTDOWN ? 0 : 65);
    }
    CHECK(child > 0);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
    AWAIT(loop_write(&flows[1]->sink, "fork", 4, GO));
    WAIT_UNTIL(read.count && sleep.count);
    ONCE_IS(read, 4);
    CHECK(memcmp(buffer, "fork", 4) == 0);
    loop_inbox_unref(inbox);
    END;
}

static int run_anew(struct loop_env *env, void *unused)
{
    (void)unused;
    return loop_sleep(env->scope, 0, NULL, NULL) ? 5 : 6;
}

static void *run_in_thread(void *answer)
{
    *(int *)answer = loop_run_with(&(struct loop_options){.queue_depth = 0}, run_anew, NULL);
    return NULL;
}

/* The child's other threads may run loops of their own. */
LOOP_TEST(p24_a_forked_child_can_run_a_loop_of_its_own)
{
    static pid_t child;
    static int status;

    BEGIN;
    AWAIT(turns(env->scope, 2, GO));
    child = fork();
    if (child == 0) {
        pthread_t thread;
        int answer = 1;
        pthread_create(&thread, NULL, run_in_thread, &answer);
        pthread_join(thread, NULL);
        _exit(answer == 5 ? 0 : 65);
    }
    CHECK(child > 0);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
    AWAIT(turns(env->scope, 5, GO));
    END;
}

/* ---- P23: bad arguments ---- */

static int never_main(struct loop_env *env, void *unused)
{
    (void)env;
    (void)unused;
    ck_abort_msg("main was run");
}

TEST(p23_absurd_sizes_are_refused)
{
    const struct {
        unsigned depth, blocks;
        size_t size;
    } bad[] = {{32769, 0, 0},
               {UINT32_MAX, 0, 0},
               {0, 2, 1 << 30},
               {0, UINT32_MAX, 4096},
               {0, 1, SIZE_MAX},
               {0, 0, SIZE_MAX},
               {0, UINT32_MAX, SIZE_MAX},
               {0, 262145, 4096},
               {0, 2, SIZE_MAX / 2 + 1},
               {0, 0, (size_t)1 << 32}};

    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        CHECK_IS(loop_run(bad[i].depth, bad[i].blocks, bad[i].size, NULL, never_main, NULL), -EINVAL);
    }
}

static int end_at_once(struct loop_env *env, void *arg)
{
    const struct loop_options *wanted = arg;

    if (!is_hard("onechunk")) {
        CHECK_IS(loop_region_count(env->loop), wanted->n_blocks);
    }
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);
    CHECK(chunk != NULL);
    CHECK_IS(loop_chunk_length(chunk), wanted->block_size);
    memset(loop_chunk_data(chunk), 0x55, loop_chunk_length(chunk));
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    return 0;
}

TEST(p23_odd_sizes_work)
{
    struct loop_options sizes[] = {{.queue_depth = 1, .n_blocks = 1, .block_size = 1},
                                   {.queue_depth = 1, .n_blocks = 3, .block_size = 7},
                                   {.queue_depth = 3, .n_blocks = 1, .block_size = 100001},
                                   {.queue_depth = 17, .n_blocks = 1000, .block_size = 4095},
                                   {.queue_depth = 4096, .n_blocks = 2, .block_size = 1 << 20}};

    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        CHECK_IS(run_with(&sizes[i], end_at_once, &sizes[i]), 0);
    }
}

TEST(p23_zero_means_the_default)
{
    struct loop_options expected = {.n_blocks = 64, .block_size = 4096};

    CHECK_IS(loop_run(0, 0, 0, NULL, end_at_once, &expected), 0);
    expected.n_blocks = 17;
    CHECK_IS(loop_run(17, 0, 0, NULL, end_at_once, &expected), 0);
}

TEST(p23_the_largest_region)
{
    struct loop_options expected = {.n_blocks = HAS_SANITIZER ? 1024 : 16384, .block_size = 65536};

    CHECK_IS(run_with(&expected, end_at_once, &expected), 0);
}

LOOP_TEST(p23_bad_arguments_get_einval)
{
    static struct loop_flow *flows[2];
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_read(&flows[0]->source, &byte, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_poll(flows[0]->fd, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_signal(env->scope, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_signal(env->scope, -1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_signal(env->scope, 65, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_signal(env->scope, INT32_MAX, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_signal(env->scope, SIGKILL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_signal(env->scope, SIGSTOP, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_signal(env->scope, SIGPIPE, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

LOOP_TEST(p23_nothing_to_write_is_written)
{
    static struct loop_flow *flows[2];
    static struct iovec empty[3];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_write(&flows[0]->sink, NULL, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_writev(&flows[0]->sink, empty, 3, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_writev(&flows[0]->sink, NULL, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read_exact(&flows[0]->source, NULL, 0, GO));
    CHECK(result == 0 || result == -EINVAL);
    END;
}

/* ---- P24: no global state ---- */

enum { LOOPS = 8, LOOP_TRIPS = HAS_SANITIZER ? 50 : 300 };

struct threaded {
    struct loop_flow *flows[2];
    pthread_t thread;
    unsigned trips;
    char buffer[4];
    int answer;
};

static void threaded_read(void *threaded, int64_t result);

static void threaded_written(void *arg, int64_t result)
{
    struct threaded *threaded = arg;

    CHECK_IS(result, 4);
    CHECK(loop_read_exact(&threaded->flows[1]->source, threaded->buffer, 4, threaded_read, threaded) != 0);
}

static void threaded_read(void *arg, int64_t result)
{
    struct threaded *threaded = arg;

    CHECK_IS(result, 4);
    if (++threaded->trips < LOOP_TRIPS) {
        CHECK(loop_write(&threaded->flows[0]->sink, "trip", 4, threaded_written, threaded) != 0);
    }
}

static int threaded_main(struct loop_env *env, void *arg)
{
    struct threaded *threaded = arg;

    make_flows(env->scope, threaded->flows);
    CHECK(loop_write(&threaded->flows[0]->sink, "trip", 4, threaded_written, threaded) != 0);
    return 0;
}

static void *run_threaded(void *arg)
{
    struct threaded *threaded = arg;

    threaded->answer = loop_run_with(&(struct loop_options){.n_blocks = 4}, threaded_main, threaded);
    return NULL;
}

TEST(p24_many_loops_in_many_threads)
{
    static struct threaded loops[LOOPS];

    for (int i = 0; i < LOOPS; i++) {
        CHECK_IS(pthread_create(&loops[i].thread, NULL, run_threaded, &loops[i]), 0);
    }
    for (int i = 0; i < LOOPS; i++) {
        pthread_join(loops[i].thread, NULL);
        CHECK_IS(loops[i].answer, 0);
        CHECK_IS(loops[i].trips, LOOP_TRIPS);
    }
}

static int64_t read_mask(void *mask)
{
    return pthread_sigmask(SIG_SETMASK, NULL, mask);
}

LOOP_TEST(p24_threads_of_the_pool_have_every_signal_blocked)
{
    static struct loop_stats stats;
    static sigset_t mask;

    BEGIN;
    loop_get_stats(env->loop, &stats);
    CHECK_IS(stats.pool_threads_now, 0);
    AWAIT(loop_work(env->scope, read_mask, &mask, GO));
    CHECK_IS(result, 0);
    for (int number = 1; number < 32; number++) {
        CHECK(number == SIGKILL || number == SIGSTOP || sigismember(&mask, number) == 1);
    }
    loop_get_stats(env->loop, &stats);
    CHECK_IS(stats.pool_threads_now, 1);
    END;
}

static int64_t wait_for_gate(void *fd)
{
    char byte;

    return read(*(int *)fd, &byte, 1);
}

LOOP_TEST_WITH(p24_the_pool_grows_to_its_limit_only, .pool_threads = 3)
{
    enum { N = 10 };
    static struct loop_stats stats;
    static struct once works[N];
    static int gate[2], at;

    BEGIN;
    make_pipe(gate);
    for (int i = 0; i < N; i++) {
        START(loop_work(env->scope, wait_for_gate, &gate[0], ONCE(&works[i])));
    }
    AWAIT(turns(env->scope, 5, GO));
    loop_get_stats(env->loop, &stats);
    CHECK(stats.pool_threads_now >= 1 && stats.pool_threads_now <= 3);
    CHECK_IS(write(gate[1], "0123456789", N), N);
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(works[at].count);
        ONCE_IS(works[at], 1);
    }
    close(gate[0]);
    close(gate[1]);
    END;
}

static unsigned hook_lines;

static void note_line(void *arg, enum loop_log_level level, const char *line)
{
    CHECK(arg == &hook_lines);
    hook_lines += level == LOOP_LOG_WARNING && strcmp(line, "seven is 7") == 0;
}

static int say_something(struct loop_env *env, void *unused)
{
    (void)unused;
    loop_log(env->loop, LOOP_LOG_WARNING, "%s is %d", "seven", 7);
    return 0;
}

TEST(p24_what_is_said_goes_to_the_hook)
{
    struct loop_options options = {.log = note_line, .log_arg = &hook_lines};

    CHECK_IS(run_with(&options, say_something, NULL), 0);
    CHECK_IS(hook_lines, 1);
}

static int warn_by_default(struct loop_env *env, void *unused)
{
    (void)unused;
    loop_log(env->loop, LOOP_LOG_INFO, "not this");
    loop_log(env->loop, LOOP_LOG_WARNING, "but %s", "this");
    loop_trace(env->debug, "and %d", 42);
    return 0;
}

static int run_warning(void *unused)
{
    (void)unused;
    return loop_run_with(&(struct loop_options){.fallback = NULL}, warn_by_default, NULL);
}

TEST(p24_warnings_go_to_standard_error_by_default)
{
    CHECK_CHILD(run_warning, NULL);
    CHECK(strstr(child_text(), "but this"));
    CHECK(strstr(child_text(), "and 42"));
    CHECK(!strstr(child_text(), "not this"));
}

static int dump_a_tree(struct loop_env *env, void *unused)
{
    struct loop_flow *flows[2];
    static char buffer[4];

    (void)unused;
    make_flows(loop_scope_open(env->scope, NULL, NULL), flows);
    CHECK(loop_read(&flows[0]->source, buffer, 4, NULL, NULL) != 0);
    loop_dump(env->debug);
    loop_scope_cancel(env->scope);
    return 3;
}

static int run_dump(void *unused)
{
    (void)unused;
    return loop_run_with(&(struct loop_options){.queue_depth = 0}, dump_a_tree, NULL) == 3 ? 0 : 1;
}

TEST(p24_dump_writes_the_tree)
{
    CHECK_CHILD(run_dump, NULL);
    CHECK(strstr(child_text(), "read"));
    unsigned lines = 0;
    for (const char *at = child_text(); (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    CHECK(lines >= 4);
}
