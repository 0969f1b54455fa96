/* SPDX-License-Identifier: ISC
 *
 * What happens besides bytes: timers, signals, readiness, work that blocks, and promises.
 */
#include "harness.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

/* ---- time ---- */

LOOP_TEST(sleep_takes_as_long_as_it_says)
{
    static int64_t began;

    BEGIN;
    began = now_ns();
    AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
    CHECK_IS(result, 0);
    CHECK(now_ns() - began >= 10 * LOOP_MILLISECOND);
    began = now_ns();
    AWAIT(loop_sleep_until(env->scope, began + 5 * LOOP_MILLISECOND, GO));
    CHECK(now_ns() - began >= 5 * LOOP_MILLISECOND);
    AWAIT(loop_sleep_until(env->scope, loop_now(env->loop), GO));
    CHECK_IS(result, 0);
    END;
}

/* One short sleep out of many is enough: where they were rounded up none would be. */
LOOP_TEST(sleep_of_microseconds_is_not_rounded_to_milliseconds)
{
    static int64_t began, took, shortest = LOOP_NEVER;
    static int i;

    BEGIN;
    for (i = 0; i < 100; i++) {
        began = now_ns();
        AWAIT(loop_sleep(env->scope, 50 * LOOP_MICROSECOND, GO));
        took = now_ns() - began;
        CHECK(took >= 50 * LOOP_MICROSECOND);
        shortest = took < shortest ? took : shortest;
    }
    CHECK(shortest < LOOP_MILLISECOND);
    END;
}

LOOP_TEST(cancelled_timers_do_not_fire)
{
    enum { N = 1000 };
    static struct once timers[N];
    static loop_job jobs[N];

    BEGIN;
    for (int i = 0; i < N; i++) {
        jobs[i] = START(loop_sleep(env->scope, LOOP_MILLISECOND, ONCE(&timers[i])));
    }
    for (int i = 0; i < N; i += 2) {
        CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
    }
    AWAIT(loop_sleep(env->scope, 4 * LOOP_MILLISECOND, GO));
    AWAIT(turns(env->scope, 10, GO));
    for (int i = 0; i < N; i++) {
        ONCE_IS(timers[i], i % 2 ? 0 : -ECANCELED);
    }
    END;
}

static struct loop_env *timer_env;
static struct once victim;
static loop_job victim_job;
static int victim_answer = 1;

static void cancel_victim(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    victim_answer = loop_cancel(timer_env->loop, victim_job);
}

LOOP_TEST(a_timer_cancels_one_that_is_due_at_the_same_time)
{
    static int64_t at;

    BEGIN;
    timer_env = env;
    at = now_ns() + LOOP_MILLISECOND;
    START(loop_sleep_until(env->scope, at, cancel_victim, NULL));
    victim_job = START(loop_sleep_until(env->scope, at, ONCE(&victim)));
    WAIT_UNTIL(victim.count);
    CHECK(victim.result == (victim_answer == 0 ? -ECANCELED : 0));
    END;
}

LOOP_TEST(all_timers_cancelled_in_one_go)
{
    enum { N = 300 };
    static struct loop_scope *scope;
    static struct tally tally;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    for (int i = 0; i < N; i++) {
        START(loop_sleep(scope, i % 3 ? LOOP_SECOND : LOOP_NEVER, TALLY(&tally)));
    }
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    CHECK_IS(tally.cancelled, N);
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK_IS(result, 0);
    END;
}

/* ---- signals ---- */

LOOP_TEST(signal_is_heard)
{
    static struct once heard;

    BEGIN;
    START(loop_signal(env->scope, SIGUSR1, ONCE(&heard)));
    AWAIT(turns(env->scope, 2, GO));
    kill(getpid(), SIGUSR1);
    WAIT_UNTIL(heard.count);
    ONCE_IS(heard, SIGUSR1);
    END;
}

LOOP_TEST(signal_at_the_thread_is_heard)
{
    static struct once heard;

    BEGIN;
    START(loop_signal(env->scope, SIGUSR2, ONCE(&heard)));
    pthread_kill(pthread_self(), SIGUSR2);
    WAIT_UNTIL(heard.count);
    ONCE_IS(heard, SIGUSR2);
    END;
}

LOOP_TEST(several_jobs_hear_one_signal)
{
    static struct once heard[3], other;
    static loop_job job;

    BEGIN;
    for (int i = 0; i < 3; i++) {
        START(loop_signal(env->scope, SIGUSR1, ONCE(&heard[i])));
    }
    job = START(loop_signal(env->scope, SIGUSR2, ONCE(&other)));
    raise(SIGUSR1);
    WAIT_UNTIL(heard[0].count && heard[1].count && heard[2].count);
    for (int i = 0; i < 3; i++) {
        ONCE_IS(heard[i], SIGUSR1);
    }
    CHECK_IS(other.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(other.count);
    ONCE_IS(other, -ECANCELED);
    END;
}

LOOP_TEST(signal_between_two_jobs_is_not_lost)
{
    static struct once again;

    BEGIN;
    raise(SIGCHLD);
    START(loop_signal(env->scope, SIGUSR1, ONCE(&again)));
    raise(SIGUSR1);
    WAIT_UNTIL(again.count);
    memset(&again, 0, sizeof again);
    raise(SIGUSR1); /* nobody listens, and it would kill if it were not blocked */
    AWAIT(turns(env->scope, 3, GO));
    START(loop_signal(env->scope, SIGUSR1, ONCE(&again)));
    WAIT_UNTIL(again.count);
    ONCE_IS(again, SIGUSR1);
    END;
}

static int listen_and_leave(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK(loop_signal(env->scope, SIGUSR1, NULL, NULL) != 0);
    raise(SIGUSR1);
    raise(SIGUSR1);
    loop_scope_cancel(env->scope);
    return 0;
}

TEST(signals_nobody_heard_are_dropped_at_the_end)
{
    CHECK_IS(run(listen_and_leave, NULL), -ECANCELED);
    sigset_t pending;
    sigpending(&pending);
    CHECK_IS(sigismember(&pending, SIGUSR1), 0);
}

LOOP_TEST(real_time_signals_are_heard)
{
    static struct once heard[2];

    BEGIN;
    START(loop_signal(env->scope, SIGRTMIN, ONCE(&heard[0])));
    START(loop_signal(env->scope, SIGRTMAX, ONCE(&heard[1])));
    raise(SIGRTMAX);
    raise(SIGRTMIN);
    WAIT_UNTIL(heard[0].count && heard[1].count);
    ONCE_IS(heard[0], SIGRTMIN);
    ONCE_IS(heard[1], SIGRTMAX);
    END;
}

LOOP_TEST(sigchld_tells_of_a_child)
{
    static struct once heard;
    static pid_t child;
    static int status;

    BEGIN;
    START(loop_signal(env->scope, SIGCHLD, ONCE(&heard)));
    child = fork();
    if (child == 0) {
        _exit(7);
    }
    WAIT_UNTIL(heard.count);
    ONCE_IS(heard, SIGCHLD);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(WEXITSTATUS(status), 7);
    END;
}

LOOP_TEST(many_different_signals)
{
    static struct once heard[20];
    static int first, at;

    BEGIN;
    first = SIGRTMIN;
    for (int i = 0; i < 20; i++) {
        START(loop_signal(env->scope, first + i, ONCE(&heard[i])));
    }
    for (int i = 19; i >= 0; i--) {
        raise(first + i);
    }
    for (at = 0; at < 20; at++) {
        WAIT_UNTIL(heard[at].count);
        ONCE_IS(heard[at], first + at);
    }
    END;
}

/* ---- readiness ---- */

LOOP_TEST(poll_says_what_is_there)
{
    static struct loop_flow *flows[2];
    static struct once in;

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_poll(flows[0]->fd, POLLOUT, GO));
    CHECK_IS(result, POLLOUT);
    START(loop_poll(flows[0]->fd, POLLIN, ONCE(&in)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(in.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(in.count);
    ONCE_IS(in, POLLIN);
    AWAIT(loop_poll(flows[0]->fd, POLLIN | POLLOUT, GO));
    CHECK_IS(result, POLLIN | POLLOUT);
    AWAIT(loop_poll(flows[0]->fd, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    END;
}

LOOP_TEST(poll_hears_of_a_hangup_unasked)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct loop_flow *flows[2];

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    loop_sink_close(sink);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_poll(source->ops->fd(source), POLLIN, GO));
    CHECK(result & POLLHUP);
    make_flows(env->scope, flows);
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    AWAIT(loop_poll(flows[0]->fd, POLLRDHUP, GO));
    CHECK_IS(result, POLLRDHUP);
    END;
}

LOOP_TEST(poll_of_a_pipe_without_readers)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct once polled;
    static size_t stuffed;

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    stuffed = stuff(loop_fd_peek(sink->ops->fd(sink)));
    CHECK(stuffed > 0);
    START(loop_poll(sink->ops->fd(sink), POLLOUT, ONCE(&polled)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(polled.count, 0);
    loop_source_close(source);
    WAIT_UNTIL(polled.count);
    CHECK(polled.result & POLLERR);
    END;
}

LOOP_TEST(poll_of_what_cannot_be_polled_is_ready)
{
    static struct loop_fd *fd;

    BEGIN;
    fd = adopt(env->scope, make_file("x", 1));
    AWAIT(loop_poll(fd, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    AWAIT(loop_poll(fd, POLLIN | POLLOUT, GO));
    CHECK_IS(result, POLLIN | POLLOUT);
    fd = adopt(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    AWAIT(loop_poll(fd, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    END;
}

LOOP_TEST(poll_of_all_kinds_of_descriptors)
{
    static struct loop_fd *event, *timer, *notify, *null;
    static const char *directory;
    static int number;

    BEGIN;
    event = adopt(env->scope, eventfd(1, EFD_CLOEXEC));
    AWAIT(loop_poll(event, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    number = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK_IS(timerfd_settime(number, 0, &(struct itimerspec){.it_value = {0, 1000000}}, NULL), 0);
    timer = adopt(env->scope, number);
    AWAIT(loop_poll(timer, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    directory = make_directory();
    number = inotify_init1(IN_CLOEXEC);
    CHECK(inotify_add_watch(number, directory, IN_DELETE_SELF) >= 0);
    notify = adopt(env->scope, number);
    remove_directory(directory);
    AWAIT(loop_poll(notify, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    null = adopt(env->scope, open("/dev/null", O_RDWR | O_CLOEXEC));
    AWAIT(loop_poll(null, POLLIN | POLLOUT, GO));
    CHECK_IS(result, POLLIN | POLLOUT);
    END;
}

LOOP_TEST(polls_of_a_borrowed_descriptor)
{
    enum { N = 10 };
    static struct loop_fd *fd;
    static struct once polls[N];
    static int fds[2], round, at;
    static char byte;

    BEGIN;
    make_pipe(fds);
    fd = loop_fd_borrow(env->scope, fds[0]);
    for (round = 0; round < 20; round++) {
        memset(polls, 0, sizeof polls);
        for (int i = 0; i < N; i++) {
            START(loop_poll(fd, POLLIN, ONCE(&polls[i])));
        }
        AWAIT(turns(env->scope, 2, GO));
        CHECK_IS(polls[0].count, 0);
        CHECK_IS(write(fds[1], "x", 1), 1);
        for (at = 0; at < N; at++) {
            WAIT_UNTIL(polls[at].count);
            ONCE_IS(polls[at], POLLIN);
        }
        CHECK_IS(read(fds[0], &byte, 1), 1);
    }
    loop_fd_close(fd);
    AWAIT(turns(env->scope, 3, GO));
    close(fds[0]);
    close(fds[1]);
    END;
}

LOOP_TEST(polls_and_reads_together)
{
    static struct loop_flow *flows[2];
    static struct once read, poll[2];
    static char bytes[2];

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_poll(flows[0]->fd, POLLIN, ONCE(&poll[0])));
    START(loop_read_exact(&flows[0]->source, bytes, 2, ONCE(&read)));
    START(loop_poll(flows[0]->fd, POLLOUT, ONCE(&poll[1])));
    WAIT_UNTIL(poll[1].count);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "a", 1, 0), 1);
    AWAIT(turns(env->scope, 6, GO));
    CHECK_IS(read.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "b", 1, 0), 1);
    WAIT_UNTIL(read.count);
    CHECK(memcmp(bytes, "ab", 2) == 0);
    if (!poll[0].count) {
        CHECK_IS(send(loop_fd_peek(flows[1]->fd), "c", 1, 0), 1);
    }
    WAIT_UNTIL(poll[0].count);
    ONCE_IS(poll[0], POLLIN);
    END;
}

/* ---- work that blocks ---- */

static int64_t square(void *number)
{
    int64_t n = *(int64_t *)number;

    return n * n;
}

LOOP_TEST(work_returns_its_result)
{
    enum { N = 200 };
    static int64_t numbers[N];
    static struct once works[N];
    static int at;

    BEGIN;
    for (int i = 0; i < N; i++) {
        numbers[i] = i;
        START(loop_work(env->scope, square, &numbers[i], ONCE(&works[i])));
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(works[at].count);
        ONCE_IS(works[at], at * at);
    }
    END;
}

static int64_t negative(void *unused)
{
    (void)unused;
    return -EXDEV;
}

LOOP_TEST(work_may_fail)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    AWAIT(loop_work(env->scope, negative, NULL, GO));
    CHECK_IS(result, -EXDEV);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_work(scope, negative, NULL, NULL, NULL));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EXDEV);
    END;
}

static int gate[2];
static unsigned began_work;

static int64_t pass_gate(void *unused)
{
    char byte;

    (void)unused;
    __atomic_add_fetch(&began_work, 1, __ATOMIC_RELAXED);
    return read(gate[0], &byte, 1);
}

LOOP_TEST_WITH(work_not_begun_can_be_cancelled_and_begun_cannot, .pool_threads = 1)
{
    static struct once works[3];
    static loop_job jobs[3];

    BEGIN;
    make_pipe(gate);
    for (int i = 0; i < 3; i++) {
        jobs[i] = START(loop_work(env->scope, pass_gate, NULL, ONCE(&works[i])));
    }
    while (__atomic_load_n(&began_work, __ATOMIC_RELAXED) == 0) {
        AWAIT(loop_op_nop(env->scope, GO));
    }
    CHECK_IS(loop_cancel(env->loop, jobs[2]), 0);
    WAIT_UNTIL(works[2].count);
    ONCE_IS(works[2], -ECANCELED);
    loop_cancel(env->loop, jobs[0]);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(works[0].count, 0);
    CHECK_IS(write(gate[1], "12", 2), 2);
    WAIT_UNTIL(works[0].count && works[1].count);
    ONCE_IS(works[0], 1);
    ONCE_IS(works[1], 1);
    CHECK_IS(began_work, 2);
    close(gate[0]);
    close(gate[1]);
    END;
}

static int64_t work_until_asked(void *unused)
{
    (void)unused;
    __atomic_add_fetch(&began_work, 1, __ATOMIC_RELAXED);
    while (!loop_work_is_cancelled()) {
        usleep(100);
    }
    return -ECANCELED;
}

/* The same, and it goes on until it is let. */
static bool may_work_end;

static int64_t work_until_let(void *unused)
{
    work_until_asked(unused);
    while (!__atomic_load_n(&may_work_end, __ATOMIC_RELAXED)) {
        usleep(100);
    }
    return -ECANCELED;
}

static int64_t work_is_asked(void *unused)
{
    (void)unused;
    return loop_work_is_cancelled();
}

LOOP_TEST_WITH(work_can_look_whether_it_is_cancelled, .pool_threads = 1)
{
    static struct once work, next;
    static loop_job job;

    BEGIN;
    CHECK(!loop_work_is_cancelled());
    job = START(loop_work(env->scope, work_until_asked, NULL, ONCE(&work)));
    START(loop_work(env->scope, work_is_asked, NULL, ONCE(&next)));
    while (__atomic_load_n(&began_work, __ATOMIC_RELAXED) == 0) {
        usleep(100);
    }
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(work.count && next.count);
    ONCE_IS(work, -ECANCELED);
    ONCE_IS(next, 0); /* the next one on the same thread is not meant */
    END;
}

LOOP_TEST_WITH(p06_work_on_a_descriptor_is_cancelled_by_its_close, .pool_threads = 1)
{
    static struct once running, waiting, late, bad;
    static struct loop_fd *fds[2];
    static int numbers[2];

    BEGIN;
    make_pair(numbers);
    fds[0] = adopt(env->scope, numbers[0]);
    fds[1] = adopt(env->scope, numbers[1]);
    START(loop_work_with(NULL, &(struct loop_work_options){.fd = fds[0]}, work_until_let, NULL, ONCE(&running)));
    START(loop_work_with(env->scope, &(struct loop_work_options){.fd = fds[1], .second = fds[0]}, work_is_asked, NULL,
                         ONCE(&waiting)));
    while (__atomic_load_n(&began_work, __ATOMIC_RELAXED) == 0) {
        usleep(100);
    }
    CHECK_IS(loop_fd_close(fds[0]), 0);
    CHECK(is_open(numbers[0]));
    __atomic_store_n(&may_work_end, true, __ATOMIC_RELAXED);
    START(loop_work_with(env->scope, &(struct loop_work_options){.fd = fds[1], .second = fds[0]}, work_is_asked, NULL,
                         ONCE(&late)));
    START(loop_work_with(env->scope, &(struct loop_work_options){.fd = fds[1]}, NULL, NULL, ONCE(&bad)));
    WAIT_UNTIL(running.count && waiting.count && late.count && bad.count);
    ONCE_IS(running, -ECANCELED);
    ONCE_IS(waiting, -ECANCELED);
    ONCE_IS(late, -EBADF);
    ONCE_IS(bad, -EINVAL);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(!is_open(numbers[0]));
    END;
}

/* Work that takes long leaves threads to the rest, and all of it is done in the end. */
LOOP_TEST_WITH(work_that_takes_long_leaves_threads_to_the_rest, .pool_threads = 2)
{
    enum { N = 5 };
    static struct once works[N];
    static loop_job jobs[N];
    static int at;

    BEGIN;
    for (int i = 0; i < N; i++) {
        jobs[i] = START(loop_work_with(env->scope, &(struct loop_work_options){.takes_long = true}, work_until_asked,
                                       NULL, ONCE(&works[i])));
    }
    AWAIT(loop_work(env->scope, work_is_asked, NULL, GO));
    CHECK_IS(result, 0);
    for (at = 0; at < N; at++) {
        while (__atomic_load_n(&began_work, __ATOMIC_RELAXED) <= (unsigned)at) {
            AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
        }
        CHECK_IS(__atomic_load_n(&began_work, __ATOMIC_RELAXED), at + 1);
        CHECK_IS(loop_cancel(env->loop, jobs[at]), 0);
        WAIT_UNTIL(works[at].count);
    }
    END;
}

LOOP_TEST_WITH(a_scope_waits_for_work_that_has_begun, .pool_threads = 1)
{
    static struct loop_scope *scope;
    static struct once work, ended;

    BEGIN;
    make_pipe(gate);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_work(scope, pass_gate, NULL, ONCE(&work)));
    while (__atomic_load_n(&began_work, __ATOMIC_RELAXED) == 0) {
        AWAIT(loop_op_nop(env->scope, GO));
    }
    loop_scope_cancel(scope);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(ended.count, 0);
    CHECK_IS(write(gate[1], "1", 1), 1);
    WAIT_UNTIL(ended.count);
    ONCE_IS(work, 1);
    close(gate[0]);
    close(gate[1]);
    END;
}

static struct loop_inbox *work_inbox;
static struct once work_post;

static int64_t post_from_work(void *unused)
{
    (void)unused;
    return loop_post(work_inbox, ONCE(&work_post));
}

LOOP_TEST(work_may_post)
{
    BEGIN;
    work_inbox = loop_inbox_ref(env->loop);
    AWAIT(loop_work(env->scope, post_from_work, NULL, GO));
    CHECK_IS(result, 0);
    loop_inbox_unref(work_inbox);
    loop_scope_hold(env->scope);
    WAIT_UNTIL(work_post.count);
    loop_scope_unhold(env->scope);
    ONCE_IS(work_post, 0);
    END;
}

LOOP_TEST(work_does_not_block_the_loop)
{
    static struct once work;
    static int ticks_seen;

    BEGIN;
    make_pipe(gate);
    START(loop_work(env->scope, pass_gate, NULL, ONCE(&work)));
    for (ticks_seen = 0; ticks_seen < 20; ticks_seen++) {
        AWAIT(loop_sleep(env->scope, 100 * LOOP_MICROSECOND, GO));
    }
    CHECK_IS(work.count, 0);
    CHECK_IS(write(gate[1], "1", 1), 1);
    WAIT_UNTIL(work.count);
    close(gate[0]);
    close(gate[1]);
    END;
}

/* ---- promises ---- */

LOOP_TEST(promise_is_kept_once)
{
    static struct once promise;
    static loop_job job;

    BEGIN;
    job = START(loop_promise(env->scope, NULL, NULL, ONCE(&promise)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(promise.count, 0);
    CHECK(loop_job_is_alive(env->loop, job));
    CHECK_IS(loop_resolve(env->loop, job, 12345678901), 0);
    CHECK_IS(promise.count, 0);
    CHECK_IS(loop_resolve(env->loop, job, 2), -ENOENT);
    WAIT_UNTIL(promise.count);
    ONCE_IS(promise, 12345678901);
    CHECK_IS(loop_resolve(env->loop, job, 3), -ENOENT);
    END;
}

static unsigned asked_to_cancel;
static loop_job cancelled_job;

static void note_cancel(void *count, loop_job job)
{
    ++*(unsigned *)count;
    cancelled_job = job;
}

LOOP_TEST(promise_decides_what_a_cancel_means)
{
    static struct once promise;
    static loop_job job;

    BEGIN;
    job = START(loop_promise(env->scope, note_cancel, &asked_to_cancel, ONCE(&promise)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(asked_to_cancel, 1);
    CHECK(cancelled_job == job);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    CHECK_IS(asked_to_cancel, 1);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(promise.count, 0);
    CHECK_IS(loop_resolve(env->loop, job, 99), 0);
    WAIT_UNTIL(promise.count);
    ONCE_IS(promise, 99);
    END;
}

static struct loop *resolving_loop;

static void resolve_at_once(void *unused, loop_job job)
{
    (void)unused;
    CHECK_IS(loop_resolve(resolving_loop, job, -ECANCELED), 0);
}

LOOP_TEST(promise_resolved_from_inside_the_cancel)
{
    static struct loop_scope *scope;
    static struct once promise, ended;

    BEGIN;
    resolving_loop = env->loop;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_promise(scope, resolve_at_once, NULL, ONCE(&promise)));
    loop_scope_deadline(scope, now_ns() + LOOP_MILLISECOND);
    WAIT_UNTIL(ended.count);
    ONCE_IS(promise, -ETIMEDOUT);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(promise_of_a_cancelled_scope)
{
    static struct loop_scope *scope;
    static struct once promises[2], ended;
    static loop_job jobs[2];

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    jobs[0] = START(loop_promise(scope, NULL, NULL, ONCE(&promises[0])));
    loop_scope_cancel(scope);
    jobs[1] = START(loop_promise(scope, note_cancel, &asked_to_cancel, ONCE(&promises[1])));
    CHECK_IS(loop_resolve(env->loop, jobs[1], 5), -ENOENT);
    WAIT_UNTIL(ended.count);
    ONCE_IS(promises[0], -ECANCELED);
    ONCE_IS(promises[1], -ECANCELED);
    CHECK_IS(asked_to_cancel, 0);
    CHECK_IS(loop_resolve(env->loop, jobs[0], 5), -ENOENT);
    END;
}

static int64_t resolve_answer;

static int resolve_a_timer(struct loop_env *env, void *unused)
{
    (void)unused;
    resolve_answer = loop_resolve(env->loop, loop_sleep(env->scope, 0, NULL, NULL), 7);
    return 0;
}

static int run_resolving(void *unused)
{
    (void)unused;
    loop_run_with(&(struct loop_options){.queue_depth = 0}, resolve_a_timer, NULL);
    return (int)resolve_answer;
}

TEST(resolve_is_for_promises_only)
{
    expect_stop(run_resolving, NULL, "loop_resolve", -EINVAL);
}
