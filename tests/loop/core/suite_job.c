/* SPDX-License-Identifier: ISC
 *
 * Jobs (P1 to P3): each ends once, on the loop's thread and never inside the call that starts it. All errors are
 * reported in the same way, and the job borrows the caller's memory until it ends.
 */
#include "harness.h"

/* ---- P1: exactly once, on the loop's thread, never from inside the call ---- */

LOOP_TEST(p01_nop_ends_once)
{
    BEGIN;
    AWAIT(loop_op_nop(env->scope, GO));
    CHECK_IS(result, 0);
    AWAIT(turns(env->scope, 5, GO));
    END;
}

LOOP_TEST(p01_never_from_inside_the_call)
{
    static struct loop_flow *flows[2];
    static struct once read, write, sleep, nop, poll, past;
    static char buffer[4];

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "data", 4, 0), 4);
    START(loop_read(&flows[0]->source, buffer, 4, ONCE(&read)));
    START(loop_write(&flows[0]->sink, "data", 4, ONCE(&write)));
    START(loop_sleep(env->scope, 0, ONCE(&sleep)));
    START(loop_sleep(env->scope, -5, ONCE(&past)));
    START(loop_op_nop(env->scope, ONCE(&nop)));
    START(loop_poll(flows[0]->fd, POLLOUT, ONCE(&poll)));
    CHECK_IS(read.count + write.count + sleep.count + nop.count + poll.count + past.count, 0);
    WAIT_UNTIL(read.count + write.count + sleep.count + nop.count + poll.count + past.count == 6);
    ONCE_IS(write, 4);
    CHECK_MOVED(read.result, 4);
    AWAIT(turns(env->scope, 3, GO));
    END;
}

/* The flag script.starting makes script_go and the recorders fail when they are reached from inside one of these. */
LOOP_TEST(p01_errors_come_from_the_loop_too)
{
    static struct once closed, zero, number, mask;
    static struct loop_flow *flows[2];
    static char buffer[4];

    BEGIN;
    make_flows(env->scope, flows);
    loop_fd_close(flows[1]->fd);
    START(loop_read(&flows[1]->source, buffer, 4, ONCE(&closed)));
    START(loop_read(&flows[0]->source, buffer, 0, ONCE(&zero)));
    START(loop_signal(env->scope, SIGKILL, ONCE(&number)));
    START(loop_poll(flows[0]->fd, 0, ONCE(&mask)));
    CHECK_IS(closed.count + zero.count + number.count + mask.count, 0);
    WAIT_UNTIL(closed.count + zero.count + number.count + mask.count == 4);
    ONCE_IS(closed, -EBADF);
    ONCE_IS(zero, -EINVAL);
    ONCE_IS(number, -EINVAL);
    ONCE_IS(mask, -EINVAL);
    END;
}

LOOP_TEST(p01_ten_thousand_jobs_end_once_each)
{
    enum { N = 10000 };
    static struct once done[N];
    static struct tally all;

    BEGIN;
    for (int i = 0; i < N; i++) {
        START(i % 3 ? loop_op_nop(env->scope, ONCE(&done[i])) : loop_sleep(env->scope, i * 100, ONCE(&done[i])));
    }
    START(loop_sleep(env->scope, N * 100, TALLY(&all)));
    WAIT_UNTIL(all.count == 1);
    AWAIT(turns(env->scope, 200, GO));
    for (int i = 0; i < N; i++) {
        CHECK_IS(done[i].count, 1);
        CHECK_IS(done[i].result, 0);
    }
    END;
}

static unsigned long links_left;

static void next_link(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    CHECK_IS(result, 0);
    if (--links_left > 0) {
        CHECK(loop_op_nop(env->scope, next_link, env) != 0);
    }
}

static int start_chain(struct loop_env *env, void *unused)
{
    (void)unused;
    return loop_op_nop(env->scope, next_link, env) ? 0 : -ENOMEM;
}

TEST(p01_a_long_chain_of_continuations_needs_no_stack)
{
    links_left = HAS_SANITIZER ? 20000 : 200000;
    CHECK_IS(run(start_chain, NULL), 0);
    CHECK_IS(links_left, 0);
}

/* ---- P2: one way for errors ---- */

LOOP_TEST(p02_errors_of_the_system_call_reach_the_continuation)
{
    static int fds[2], fd;
    static struct loop_flow *from, *to;
    static char byte;

    BEGIN;
    make_pipe(fds);
    from = flow_of(env->scope, fds[0]);
    to = flow_of(env->scope, fds[1]);
    AWAIT(loop_read(&to->source, &byte, 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_write(&from->sink, "x", 1, GO));
    CHECK_IS(result, -EBADF);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    from = flow_of(env->scope, fd);
    AWAIT(loop_read(&from->source, &byte, 1, GO));
    CHECK_IS(result, -ENOTCONN);
    END;
}

LOOP_TEST(p02_bad_memory_is_an_error_not_a_crash)
{
    static struct loop_flow *flows[2];

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    AWAIT(loop_op_recv(NULL, flows[0]->fd, (void *)(uintptr_t)8, 1, 0, GO));
    CHECK_IS(result, -EFAULT);
    END;
}

static struct loop_scope *dead;
static loop_job jobs_in_dead[3];
static struct once of_dead;

static void start_in_dead(void *unused)
{
    (void)unused;
    jobs_in_dead[0] = loop_sleep(dead, 0, ONCE(&of_dead));
    jobs_in_dead[1] = loop_op_nop(dead, ONCE(&of_dead));
    jobs_in_dead[2] = loop_promise(dead, NULL, NULL, ONCE(&of_dead));
}

LOOP_TEST(p02_no_job_in_a_scope_that_has_ended)
{
    static struct once ended;

    BEGIN;
    dead = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(dead, start_in_dead, NULL));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    CHECK(jobs_in_dead[0] == 0 && jobs_in_dead[1] == 0 && jobs_in_dead[2] == 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(of_dead.count, 0);
    END;
}

LOOP_TEST(p02_a_cancelled_scope_ends_jobs_with_ecanceled)
{
    static struct loop_scope *scope;
    static struct once ended, job, sleeping;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    loop_scope_cancel(scope);
    START(loop_op_nop(scope, ONCE(&job)));
    START(loop_sleep(scope, LOOP_NEVER, ONCE(&sleeping)));
    CHECK_IS(job.count + sleeping.count, 0);
    WAIT_UNTIL(job.count && sleeping.count);
    ONCE_IS(job, -ECANCELED);
    ONCE_IS(sleeping, -ECANCELED);
    CHECK_IS(ended.count, 0);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    END;
}

LOOP_TEST(p02_without_a_continuation_the_error_is_the_scopes)
{
    static struct loop_scope *scope;
    static struct loop_flow *flow;
    static struct once ended, sibling;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    flow = flow_of(scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    START(loop_sleep(scope, LOOP_NEVER, ONCE(&sibling)));
    START(loop_write(&flow->sink, "x", 1, NULL, NULL));
    WAIT_UNTIL(ended.count);
    CHECK(ended.result == -EPIPE || ended.result == -ENOTCONN);
    ONCE_IS(sibling, -ECANCELED);
    END;
}

LOOP_TEST(p02_without_a_continuation_success_is_silent)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(scope, 0, NULL, NULL));
    START(loop_op_nop(scope, NULL, NULL));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p02_a_cancelled_job_without_a_continuation_is_no_failure)
{
    static struct loop_scope *scope;
    static struct once ended, sibling;
    static loop_job job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    job = START(loop_sleep(scope, LOOP_NEVER, NULL, NULL));
    START(loop_sleep(scope, 2 * LOOP_MILLISECOND, ONCE(&sibling)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(sibling, 0);
    ONCE_IS(ended, 0);
    END;
}

#if !HAS_SANITIZER
/* Starts a little of everything and doesn't mind when it can't. Counts what was accepted, and what ended. */
static unsigned long accepted;
static struct tally ended_of_mix;

static void count_job(loop_job job)
{
    accepted += job != 0;
}

static void drop_stream(void *arg, int64_t result, struct loop_chunk *chunk)
{
    if (!chunk) {
        tally_resumed(arg, result);
    }
}

static int64_t no_work(void *unused)
{
    (void)unused;
    return 0;
}

static void start_flow_jobs(struct loop_scope *scope, struct loop_flow *flow, char *buffer)
{
    static char text[4] = "abcd";
    static const struct iovec vectors[3] = {{text, 2}, {text, 0}, {text + 2, 2}};

    count_job(loop_stream(&flow->source, drop_stream, &ended_of_mix));
    count_job(loop_write(&flow->sink, "abc", 3, TALLY(&ended_of_mix)));
    count_job(loop_writev(&flow->sink, vectors, 3, TALLY(&ended_of_mix)));
    count_job(loop_sink_wait_drained(&flow->sink, TALLY(&ended_of_mix)));
    count_job(loop_shutdown(&flow->sink, TALLY(&ended_of_mix)));
    struct loop_source *memory = loop_memory_source(scope, "memory", 6);
    struct loop_sink *sink = loop_memory_sink(scope, 0);
    if (memory && sink) {
        count_job(loop_copy(memory, sink, TALLY(&ended_of_mix)));
        count_job(loop_read(memory, buffer, 1, TALLY(&ended_of_mix)));
    }
}

static int start_mix(struct loop_env *env, void *unused)
{
    static char buffer[16];
    static struct loop_chunk *chunk;
    struct loop_flow *one, *other;
    struct loop_scope *scope = loop_scope_open(env->scope, TALLY(&ended_of_mix));

    (void)unused;
    if (!scope) {
        return -ENOMEM;
    }
    accepted++;
    loop_scope_deadline(scope, loop_now(env->loop) + 2 * LOOP_MILLISECOND);
    count_job(loop_sleep(scope, LOOP_MILLISECOND, TALLY(&ended_of_mix)));
    count_job(loop_op_nop(scope, TALLY(&ended_of_mix)));
    count_job(loop_work(scope, no_work, NULL, TALLY(&ended_of_mix)));
    count_job(loop_signal(scope, SIGUSR1, TALLY(&ended_of_mix)));
    count_job(loop_op_openat2(scope, "/dev/null/x", &(struct loop_open_how){.flags = O_RDONLY}, TALLY(&ended_of_mix)));
    count_job(loop_chunk_alloc_wait(scope, &chunk, TALLY(&ended_of_mix)));
    if (loop_scope_alloc(scope, 100) && loop_socketpair(scope, &one, &other) == 0) {
        start_flow_jobs(scope, one, buffer);
        start_flow_jobs(scope, other, buffer);
    }
    return 0;
}

/* Lets one allocation after the other fail (or it and all that follow), until none is left to fail. Whatever could be
 * started all the same ends once. Returns how many there were. */
static unsigned long sweep_allocations(bool all_after)
{
    unsigned long n = 0;
    bool failed;

    do {
        accepted = 0;
        memset(&ended_of_mix, 0, sizeof ended_of_mix);
        fail_allocation(++n, all_after);
        run(start_mix, NULL);
        failed = allocation_failed();
        fail_allocation(0, false);
        CHECK_IS(ended_of_mix.count, accepted);
    } while (failed);
    return n;
}

TEST(p02_no_memory_means_no_job_and_never_a_half_one)
{
    CHECK(sweep_allocations(false) > 10);
    CHECK(accepted >= 20);
}

TEST(p02_no_memory_at_all_any_more)
{
    CHECK(sweep_allocations(true) > 10);
    CHECK(accepted >= 20);
}
#endif

/* ---- P3: memory is the job's until its continuation ---- */

LOOP_TEST(p03_memory_is_lent_until_resumed_after_a_cancel)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static char *buffer, more[16];
    static loop_job job;

    BEGIN;
    make_flows(env->scope, flows);
    buffer = malloc(16);
    memset(buffer, 'u', 16);
    job = START(loop_read(&flows[0]->source, buffer, 16, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "late", 4, 0), 4);
    WAIT_UNTIL(read.count);
    if (read.result == -ECANCELED) {
        CHECK(memcmp(buffer, "uuuu", 4) == 0);
        free(buffer);
        AWAIT(loop_read_exact(&flows[0]->source, more, 4, GO));
        CHECK(memcmp(more, "late", 4) == 0);
    } else {
        CHECK_MOVED(read.result, 4);
        free(buffer);
    }
    AWAIT(turns(env->scope, 3, GO));
    END;
}

LOOP_TEST(p03_after_a_close_nothing_is_written_any_more)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static char *buffer;

    BEGIN;
    make_flows(env->scope, flows);
    buffer = malloc(16);
    memset(buffer, 'u', 16);
    START(loop_read(&flows[0]->source, buffer, 16, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, -ECANCELED);
    CHECK(memcmp(buffer, "uuuuuuuuuuuuuuuu", 16) == 0);
    free(buffer);
    AWAIT(loop_write(&flows[1]->sink, "late", 4, GO));
    AWAIT(turns(env->scope, 3, GO));
    END;
}

LOOP_TEST(p03_vectors_may_be_freed_in_the_continuation)
{
    static struct loop_flow *flows[2];
    static struct iovec *vectors;
    static char bytes[12];

    BEGIN;
    make_flows(env->scope, flows);
    vectors = malloc(3 * sizeof *vectors);
    for (int i = 0; i < 3; i++) {
        vectors[i].iov_base = strdup("word");
        vectors[i].iov_len = 4;
    }
    AWAIT(loop_writev(&flows[0]->sink, vectors, 3, GO));
    CHECK_IS(result, 12);
    for (int i = 0; i < 3; i++) {
        free(vectors[i].iov_base);
    }
    free(vectors);
    AWAIT(loop_read_exact(&flows[1]->source, bytes, 12, GO));
    CHECK(memcmp(bytes, "wordwordword", 12) == 0);
    END;
}

/* ---- cancel at each step ---- */

static unsigned steps_left;
static struct tally of_mixed;
static unsigned long mixed_started;
static bool mixed_done;
static struct loop_scope *mixed_scope;
static char mixed_bytes[3000];

static void count_started(loop_job job)
{
    CHECK(job != 0);
    mixed_started++;
}

static void count_stream(void *arg, int64_t result, struct loop_chunk *chunk)
{
    if (!chunk) {
        tally_resumed(arg, result);
    }
}

static void step(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    (void)result;
    if (mixed_done) {
        return; /* the scope has ended by itself */
    }
    if (steps_left == 0) {
        loop_scope_cancel(mixed_scope);
    } else {
        steps_left--;
        CHECK(loop_sleep(env->scope, 0, step, env) != 0);
    }
}

static void mixed_ended(void *arg, int64_t result)
{
    (void)arg;
    CHECK(result == 0 || result == -ECANCELED);
    mixed_done = true;
}

static int64_t a_little_work(void *unused)
{
    (void)unused;
    return 0;
}

static struct loop_flow *mixed_ring[2];

static void copy_ended(void *arg, int64_t result)
{
    tally_resumed(arg, result);
    count_started(loop_shutdown(&mixed_ring[0]->sink, TALLY(&of_mixed)));
}

static void start_mixed_flows(struct loop_scope *scope)
{
    static char buffers[2][100];
    struct loop_flow *flows[2];

    make_flows(scope, flows);
    make_flows(scope, mixed_ring);
    count_started(loop_write(&flows[0]->sink, mixed_bytes, sizeof mixed_bytes, TALLY(&of_mixed)));
    count_started(loop_shutdown(&flows[0]->sink, TALLY(&of_mixed)));
    count_started(loop_copy(&flows[1]->source, &mixed_ring[0]->sink, copy_ended, &of_mixed));
    count_started(loop_stream(&mixed_ring[1]->source, count_stream, &of_mixed));
    count_started(loop_read_exact(&flows[0]->source, buffers[0], 100, TALLY(&of_mixed)));
    count_started(loop_write(&flows[1]->sink, mixed_bytes, 100, TALLY(&of_mixed)));
    count_started(loop_poll(mixed_ring[0]->fd, POLLOUT, TALLY(&of_mixed)));
    count_started(loop_read(&mixed_ring[0]->source, buffers[1], 100, TALLY(&of_mixed)));
    count_started(loop_shutdown(&mixed_ring[1]->sink, TALLY(&of_mixed)));
}

static int start_mixed(struct loop_env *env, void *unused)
{
    struct loop_scope *inner;
    loop_job ticker;

    (void)unused;
    mixed_scope = loop_scope_open(env->scope, mixed_ended, NULL);
    inner = loop_scope_open(mixed_scope, NULL, NULL);
    loop_scope_deadline(inner, loop_now(env->loop) + 30 * LOOP_SECOND);
    count_started(loop_sleep(inner, 50 * LOOP_MICROSECOND, TALLY(&of_mixed)));
    count_started(loop_work(inner, a_little_work, NULL, TALLY(&of_mixed)));
    count_started(loop_op_nop(inner, TALLY(&of_mixed)));
    ticker = loop_sleep(mixed_scope, LOOP_NEVER, TALLY(&of_mixed));
    count_started(ticker);
    CHECK_IS(loop_daemon(env->loop, ticker), 0);
    start_mixed_flows(mixed_scope);
    step(env, 0);
    return 0;
}

/* One program, cancelled after no turn, after one, after two, and so on, until it gets through by itself. */
TEST(p01_cancelled_at_each_step_everything_ends_once)
{
    unsigned n = 0;

    do {
        steps_left = n++;
        mixed_done = false;
        mixed_started = 0;
        memset(&of_mixed, 0, sizeof of_mixed);
        CHECK_IS(run(start_mixed, NULL), 0);
        CHECK(mixed_done);
        CHECK_IS(of_mixed.count, mixed_started);
        CHECK_IS(of_mixed.others, 0);
    } while (steps_left == 0 && n < 1000);
    CHECK(n > 2 && n < 1000);
    CHECK_IS(of_mixed.cancelled, 1);
}

/* ---- P23: bad arguments ---- */

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

LOOP_TEST(p23_only_streams_can_be_paused)
{
    static struct loop_flow *flows[2];
    static struct once read, sleep;
    static loop_job jobs[2];
    static char buffer[4];

    BEGIN;
    make_flows(env->scope, flows);
    jobs[0] = START(loop_read(&flows[0]->source, buffer, 4, ONCE(&read)));
    jobs[1] = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&sleep)));
    for (unsigned i = 0; i < 2; i++) {
        CHECK_IS(loop_pause(env->loop, jobs[i]), -EINVAL);
        CHECK_IS(loop_resume(env->loop, jobs[i]), -EINVAL);
    }
    CHECK_IS(loop_pause(env->loop, 0), -ENOENT);
    CHECK_IS(loop_resume(env->loop, UINT64_MAX), -ENOENT);
    CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
    WAIT_UNTIL(read.count == 1);
    CHECK_IS(loop_pause(env->loop, jobs[0]), -ENOENT);
    CHECK_IS(loop_resume(env->loop, jobs[0]), -ENOENT);
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    WAIT_UNTIL(sleep.count == 1);
    END;
}
