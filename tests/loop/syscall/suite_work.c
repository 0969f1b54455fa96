/* SPDX-License-Identifier: ISC
 *
 * Work on the threads of the pool: results, cancels, ownership, threads that hang, and the number of threads.
 */
#include "harness.h"

#include <pthread.h>
#include <stdio.h>

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

/* Work that runs until it has been cancelled and the test lets it end. */
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

/* ---- P24: no global state ---- */

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

LOOP_TEST_WITH(p24_the_pool_grows_to_its_limit_only, .pool_threads = 3)
{
    enum { N = 10 };
    static struct loop_stats stats;
    static struct once works[N];
    static int at;

    BEGIN;
    make_pipe(gate);
    for (int i = 0; i < N; i++) {
        START(loop_work(env->scope, pass_gate, NULL, ONCE(&works[i])));
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

/* Work that returns 7 when its gate is opened. */
struct hanging {
    bool has_begun, is_open; /* atomic */
    unsigned released;
};

static int64_t hang(void *arg)
{
    struct hanging *hanging = arg;

    __atomic_store_n(&hanging->has_begun, true, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&hanging->is_open, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
    return 7;
}

static void await_begin(struct hanging *hanging)
{
    while (!__atomic_load_n(&hanging->has_begun, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
}

static void open_gate(struct hanging *hanging)
{
    __atomic_store_n(&hanging->is_open, true, __ATOMIC_SEQ_CST);
}

static void on_released(void *arg)
{
    struct hanging *hanging = arg;

    hanging->released++;
    script_poke();
}

static int64_t do_nothing(void *unused)
{
    (void)unused;
    return 1;
}

static const struct loop_work_options owned = {.release = on_released};

/* ---- when the hook is called ---- */

static struct hanging plain;

static void not_released_yet(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 7);
    CHECK_IS(plain.released, 0);
}

LOOP_TEST(owned_work_is_released_once_after_its_continuation)
{
    BEGIN;
    open_gate(&plain);
    START(loop_work_with(env->scope, &owned, hang, &plain, not_released_yet, NULL));
    WAIT_UNTIL(plain.released);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(plain.released, 1);
    END;
}

LOOP_TEST(p23_owned_work_that_is_none_is_released_too)
{
    static struct hanging work;
    static struct once once;

    BEGIN;
    START(loop_work_with(env->scope, &owned, NULL, &work, ONCE(&once)));
    WAIT_UNTIL(once.count && work.released);
    ONCE_IS(once, -EINVAL);
    END;
}

LOOP_TEST(p02_an_error_of_owned_work_that_nobody_hears_fails_its_scope)
{
    static struct hanging work;
    static struct once end;
    static struct loop_scope *scope;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    START(loop_work_with(scope, &owned, NULL, &work, NULL, NULL));
    WAIT_UNTIL(end.count);
    ONCE_IS(end, -EINVAL);
    CHECK_IS(work.released, 1);
    END;
}

/* ---- cancels and deadlines ---- */

LOOP_TEST_WITH(p08_cancelled_work_that_hangs_ends_and_others_are_served, .pool_threads = 2)
{
    enum { N = 4 };
    static struct hanging works[N];
    static struct once once[N];
    static loop_job jobs[N];
    static int i;

    BEGIN;
    for (i = 0; i < N; i++) {
        jobs[i] = START(loop_work_with(env->scope, &owned, hang, &works[i], ONCE(&once[i])));
    }
    await_begin(&works[0]);
    await_begin(&works[1]);
    for (i = 0; i < N; i++) {
        CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
    }
    WAIT_UNTIL(once[0].count && once[1].count && once[2].count && once[3].count);
    for (i = 0; i < N; i++) {
        ONCE_IS(once[i], -ECANCELED);
    }
    AWAIT(loop_work(env->scope, do_nothing, NULL, GO));
    CHECK_IS(result, 1);
    CHECK_IS(works[0].released + works[1].released, 0);
    CHECK_IS(works[2].released + works[3].released, 2);
    open_gate(&works[0]);
    open_gate(&works[1]);
    WAIT_UNTIL(works[0].released && works[1].released);
    END;
}

LOOP_TEST(p08_a_deadline_ends_a_scope_whose_work_hangs)
{
    static struct hanging work;
    static struct once once, end;
    static struct loop_scope *scope;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    START(loop_work_with(scope, &owned, hang, &work, ONCE(&once)));
    await_begin(&work);
    loop_scope_deadline(scope, loop_now(env->loop));
    WAIT_UNTIL(end.count);
    ONCE_IS(once, -ETIMEDOUT);
    ONCE_IS(end, -ETIMEDOUT);
    CHECK_IS(work.released, 0);
    open_gate(&work);
    WAIT_UNTIL(work.released);
    END;
}

/* Without a hook the memory is the thread's until it comes back. The others are served all the same. */
LOOP_TEST_WITH(p03_cancelled_work_without_a_hook_ends_when_its_thread_does, .pool_threads = 1)
{
    static struct hanging work;
    static struct once once;
    static loop_job job;

    BEGIN;
    job = START(loop_work(env->scope, hang, &work, ONCE(&once)));
    await_begin(&work);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    AWAIT(loop_work(env->scope, do_nothing, NULL, GO));
    CHECK_IS(result, 1);
    CHECK_IS(once.count, 0);
    open_gate(&work);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 7);
    END;
}

/* Other threads are made for 64 that are overdue; the rest is served by those that come back. */
LOOP_TEST_WITH(p13_threads_for_work_that_hangs_are_bounded, .pool_threads = 1)
{
    enum { MOST = 65, N = 70 };
    static struct hanging works[N];
    static struct loop_stats stats;
    static struct once last;
    static int i;

    BEGIN;
    for (i = 0; i < MOST; i++) {
        AWAIT(turns(env->scope, 1, GO));
        loop_job job = loop_work_with(env->scope, &owned, hang, &works[i], NULL, NULL);
        await_begin(&works[i]);
        CHECK_IS(loop_cancel(env->loop, job), 0);
        AWAIT(loop_sleep(env->scope, LOOP_WORK_GRACE_NS + LOOP_MILLISECOND, GO));
    }
    START(loop_work(env->scope, do_nothing, NULL, ONCE(&last)));
    loop_get_stats(env->loop, &stats);
    CHECK_IS(stats.pool_threads_now, MOST);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(last.count, 0);
    for (i = 0; i < MOST; i++) {
        open_gate(&works[i]);
    }
    WAIT_UNTIL(last.count);
    ONCE_IS(last, 1);
    END;
}

static struct hanging left;

static void end_and_open(void *end, int64_t result)
{
    once_resumed(end, result);
    CHECK_IS(left.released, 0);
    open_gate(&left);
}

static int leave_work(struct loop_env *env, void *end)
{
    struct loop_scope *scope = loop_scope_open(env->scope, end_and_open, end);

    CHECK(loop_work_with(scope, &owned, hang, &left, NULL, NULL) != 0);
    await_begin(&left);
    loop_scope_deadline(scope, loop_now(env->loop));
    return 0;
}

TEST(p08_loop_run_waits_for_work_that_was_given_up)
{
    static struct once end;

    CHECK_IS(run(leave_work, &end), 0);
    ONCE_IS(end, -ETIMEDOUT);
    CHECK_IS(left.released, 1);
}

/* A walk along the line for each would take minutes. */
LOOP_TEST_WITH(p13_a_long_line_of_work_is_cancelled_at_once, .pool_threads = 1)
{
    enum { N = 200000 };
    static struct hanging work;
    static struct once first, end;
    static struct loop_scope *scope;
    static struct tally tally;

    BEGIN;
    START(loop_work(env->scope, hang, &work, ONCE(&first)));
    await_begin(&work);
    scope = loop_scope_open(env->scope, ONCE(&end));
    for (int i = 0; i < N; i++) {
        CHECK(loop_work(scope, do_nothing, NULL, TALLY(&tally)) != 0);
    }
    loop_scope_cancel(scope);
    WAIT_UNTIL(end.count);
    CHECK_IS(tally.count, N);
    open_gate(&work);
    WAIT_UNTIL(first.count);
    END;
}

/* ---- descriptors ---- */

LOOP_TEST(p06_the_descriptor_of_work_that_was_given_up_is_closed_behind_it)
{
    static struct hanging work;
    static struct once once, closed;
    static struct loop_fd *fds[2];
    static int numbers[2];

    BEGIN;
    make_pair(numbers);
    fds[0] = adopt(env->scope, numbers[0]);
    fds[1] = adopt(env->scope, numbers[1]);
    START(loop_work_with(env->scope,
                         &(struct loop_work_options){.fd = fds[0], .second = fds[1], .release = on_released}, hang,
                         &work, ONCE(&once)));
    await_begin(&work);
    START(loop_op_close(NULL, fds[0], ONCE(&closed)));
    WAIT_UNTIL(once.count && closed.count);
    ONCE_IS(once, -ECANCELED);
    ONCE_IS(closed, 0);
    loop_fd_destroy(fds[0]);
    loop_fd_destroy(fds[1]);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_open(numbers[0]) && is_open(numbers[1]));
    open_gate(&work);
    WAIT_UNTIL(work.released);
    CHECK(!is_open(numbers[0]) && !is_open(numbers[1]));
    END;
}

LOOP_TEST(p06_a_descriptor_is_taken_when_work_that_was_given_up_is_over)
{
    static struct hanging work;
    static struct once once, taken;
    static struct loop_fd *fd;
    static int numbers[2];

    BEGIN;
    make_pair(numbers);
    fd = adopt(env->scope, numbers[0]);
    START(
        loop_work_with(NULL, &(struct loop_work_options){.fd = fd, .release = on_released}, hang, &work, ONCE(&once)));
    await_begin(&work);
    START(loop_fd_take(fd, ONCE(&taken)));
    WAIT_UNTIL(once.count);
    ONCE_IS(once, -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(taken.count, 0);
    open_gate(&work);
    WAIT_UNTIL(taken.count);
    ONCE_IS(taken, numbers[0]);
    close(numbers[0]);
    close(numbers[1]);
    END;
}

/* The scope of the descriptor ends while the thread is still at it. */
LOOP_TEST(p08_a_scope_ends_whose_descriptor_work_still_uses)
{
    static struct hanging work;
    static struct once end;
    static struct loop_scope *scope;
    static int numbers[2];

    BEGIN;
    make_pair(numbers);
    scope = loop_scope_open(env->scope, ONCE(&end));
    START(loop_work_with(scope, &(struct loop_work_options){.fd = adopt(scope, numbers[0]), .release = on_released},
                         hang, &work, NULL, NULL));
    await_begin(&work);
    loop_scope_cancel(scope);
    WAIT_UNTIL(end.count);
    CHECK(is_open(numbers[0]));
    CHECK_IS(work.released, 0);
    open_gate(&work);
    WAIT_UNTIL(work.released);
    CHECK(!is_open(numbers[0]));
    close(numbers[1]);
    END;
}

/* ---- requests of fs/ ---- */

/* Opening a file on which another process holds a lease blocks until the lease is released. */
LOOP_TEST(p08_a_cancelled_open_that_hangs_ends_and_leaves_nothing_open)
{
    static struct once opened;
    static struct loop_flow *flow;
    static loop_job job;
    static const char *directory;
    static char path[100];
    static int number;

    BEGIN;
    directory = make_directory();
    snprintf(path, sizeof path, "%s/leased", directory);
    number = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(number >= 0);
    CHECK(signal(SIGIO, SIG_IGN) != SIG_ERR);
    if (fcntl(number, F_SETLEASE, F_WRLCK) == 0) {
        job = START(loop_fs_open(env->scope, env->fs, path, NULL, &flow, ONCE(&opened)));
        AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
        CHECK_IS(opened.count, 0);
        CHECK_IS(loop_cancel(env->loop, job), 0);
        WAIT_UNTIL(opened.count);
        ONCE_IS(opened, -ECANCELED);
        CHECK_IS(fcntl(number, F_SETLEASE, F_UNLCK), 0);
    }
    close(number);
    remove_directory(directory);
    END;
}
