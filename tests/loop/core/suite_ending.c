/* SPDX-License-Identifier: ISC
 *
 * Ending (P1 to P5): every job ends once, with one way for errors, with its memory lent until then; what cancel does,
 * and what it doesn't.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- P1: exactly once, on the loop's thread, never from inside the call ---- */

LOOP_TEST(p01_timer_ends_once)
{
    BEGIN;
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK_IS(result, 0);
    AWAIT(turns(env->scope, 5, GO));
    END;
}

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

static pthread_t work_thread, end_thread;

static int64_t note_thread(void *unused)
{
    (void)unused;
    work_thread = pthread_self();
    return 42;
}

static void note_end_thread(void *done, int64_t result)
{
    end_thread = pthread_self();
    once_resumed(done, result);
}

LOOP_TEST(p01_resumed_on_the_loops_thread)
{
    static struct once done;

    BEGIN;
    START(loop_work(env->scope, note_thread, NULL, note_end_thread, &done));
    WAIT_UNTIL(done.count);
    ONCE_IS(done, 42);
    CHECK(!pthread_equal(work_thread, pthread_self()));
    CHECK(pthread_equal(end_thread, pthread_self()));
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

LOOP_TEST(p01_stream_ends_once_after_its_data)
{
    static struct loop_flow *flows[2];
    static char bytes[20000];
    static struct record record = {bytes, sizeof bytes, 0, 0, 0, 0};
    static char sent[20000];

    BEGIN;
    make_flows(env->scope, flows);
    fill_pattern(sent, sizeof sent, 1);
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(loop_write(&flows[1]->sink, sent, sizeof sent, GO));
    CHECK_IS(result, sizeof sent);
    loop_flow_close(flows[1]);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK_IS(record.length, sizeof sent);
    CHECK(is_pattern(bytes, sizeof bytes, 1));
    AWAIT(turns(env->scope, 5, GO));
    END;
}

LOOP_TEST(p01_stream_on_error_ends_once)
{
    static struct loop_flow *flows[2];
    static struct record record;

    BEGIN;
    make_flows(env->scope, flows);
    loop_fd_close(flows[0]->fd);
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    CHECK_IS(record.ends, 0);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    END;
}

LOOP_TEST(p01_cancelled_stream_ends_once)
{
    static struct loop_flow *flows[2];
    static char bytes[100];
    static struct record record = {bytes, sizeof bytes, 0, 0, 0, 0};
    static loop_job stream;

    BEGIN;
    make_flows(env->scope, flows);
    stream = START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    CHECK_IS(record.ends, 0);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -ECANCELED);
    CHECK_IS(loop_cancel(env->loop, stream), -ENOENT);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "left", 4, 0), 4);
    AWAIT(loop_read_exact(&flows[0]->source, bytes, 4, GO));
    CHECK_IS(result, 4);
    END;
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

LOOP_TEST(p02_a_directory_cannot_be_read)
{
    static struct loop_flow *flow;
    static char byte;

    BEGIN;
    flow = flow_of(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    AWAIT(loop_read(&flow->source, &byte, 1, GO));
    CHECK_IS(result, -EISDIR);
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

static loop_job open_by_local_path(struct loop_scope *scope, loop_fn *fn, void *arg)
{
    char path[32] = "/dev/null";
    struct loop_open_how how = {.flags = O_RDONLY};
    loop_job job = loop_op_openat2(scope, path, &how, fn, arg);

    memset(path, 'x', sizeof path - 1);
    memset(&how, 0xff, sizeof how);
    return job;
}

LOOP_TEST(p03_paths_are_copied)
{
    BEGIN;
    AWAIT(open_by_local_path(env->scope, GO));
    CHECK(result >= 0);
    close((int)result);
    END;
}

static loop_job connect_by_local_address(struct loop_fd *fd, const struct sockaddr_in *address, loop_fn *fn, void *arg)
{
    struct sockaddr_in copy = *address;
    loop_job job = loop_op_connect(NULL, fd, (const struct sockaddr *)&copy, sizeof copy, fn, arg);

    memset(&copy, 0xff, sizeof copy);
    return job;
}

LOOP_TEST(p03_addresses_are_copied)
{
    static struct sockaddr_in address;
    static struct loop_fd *fd;

    BEGIN;
    adopt(env->scope, make_listener(&address));
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    AWAIT(connect_by_local_address(fd, &address, GO));
    CHECK_IS(result, 0);
    END;
}

/* ---- P4: cancel ---- */

LOOP_TEST(p04_cancel_ends_a_timer)
{
    static struct once timer;
    static loop_job job;

    BEGIN;
    job = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&timer)));
    CHECK(loop_job_is_alive(env->loop, job));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(timer.count, 0);
    WAIT_UNTIL(timer.count);
    ONCE_IS(timer, -ECANCELED);
    CHECK(!loop_job_is_alive(env->loop, job));
    END;
}

LOOP_TEST(p04_cancelling_twice_or_late_says_enoent)
{
    static struct once timer;
    static loop_job job;

    BEGIN;
    job = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&timer)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    WAIT_UNTIL(timer.count);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    CHECK_IS(loop_daemon(env->loop, job), -ENOENT);
    END;
}

LOOP_TEST(p04_what_never_was_says_enoent)
{
    BEGIN;
    AWAIT(loop_op_nop(env->scope, GO));
    CHECK_IS(loop_cancel(env->loop, 0), -ENOENT);
    for (unsigned bit = 0; bit < 64; bit++) {
        CHECK_IS(loop_cancel(env->loop, UINT64_C(1) << bit), -ENOENT);
        CHECK_IS(loop_cancel(env->loop, ~(UINT64_C(1) << bit)), -ENOENT);
        CHECK(!loop_job_is_alive(env->loop, UINT64_C(1) << bit));
    }
    for (loop_job made_up = 0; made_up < 4096; made_up++) {
        CHECK_IS(loop_cancel(env->loop, made_up), -ENOENT);
        CHECK_IS(loop_cancel(env->loop, made_up % 256 | made_up / 256 << 24), -ENOENT);
        CHECK_IS(loop_resolve(env->loop, made_up % 256 | made_up / 256 << 24, 0), -ENOENT);
    }
    CHECK_IS(loop_cancel(env->loop, UINT64_MAX), -ENOENT);
    CHECK_IS(loop_daemon(env->loop, UINT64_MAX), -ENOENT);
    CHECK_IS(loop_resolve(env->loop, UINT64_MAX, 0), -ENOENT);
    CHECK_IS(loop_stream_pause(env->loop, UINT64_MAX), -ENOENT);
    CHECK_IS(loop_stream_resume(env->loop, 0), -ENOENT);
    END;
}

LOOP_TEST(p04_a_stale_handle_never_hits_another_job)
{
    enum { N = 64, ROUNDS = 50 };
    static loop_job old[N * ROUNDS];
    static struct tally finished;
    static struct once alive[N];
    static int round;

    BEGIN;
    for (round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            old[round * N + i] = START(loop_op_nop(env->scope, TALLY(&finished)));
        }
        WAIT_UNTIL(finished.count == (unsigned long)(round + 1) * N);
    }
    for (int i = 0; i < N; i++) {
        START(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, ONCE(&alive[i])));
    }
    for (int i = 0; i < N * ROUNDS; i++) {
        CHECK_IS(loop_cancel(env->loop, old[i]), -ENOENT);
        CHECK(!loop_job_is_alive(env->loop, old[i]));
    }
    AWAIT(loop_sleep(env->scope, 8 * LOOP_MILLISECOND, GO));
    for (int i = 0; i < N; i++) {
        ONCE_IS(alive[i], 0);
    }
    END;
}

LOOP_TEST(p04_the_result_that_won_is_delivered)
{
    static struct once promise;
    static loop_job job;

    BEGIN;
    job = START(loop_promise(env->scope, NULL, NULL, ONCE(&promise)));
    CHECK_IS(loop_resolve(env->loop, job, 17), 0);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    CHECK_IS(loop_resolve(env->loop, job, 18), -ENOENT);
    WAIT_UNTIL(promise.count);
    ONCE_IS(promise, 17);
    END;
}

LOOP_TEST(p04_cancel_against_data_loses_nothing)
{
    enum { ROUNDS = 100 };
    static struct loop_flow *flows[2];
    static struct once read;
    static loop_job job;
    static unsigned round;
    static char buffer[4];
    static unsigned char next, byte;

    BEGIN;
    make_flows(env->scope, flows);
    for (round = 0; round < ROUNDS; round++) {
        memset(&read, 0, sizeof read);
        job = START(loop_read(&flows[0]->source, buffer, 1, ONCE(&read)));
        if (round % 2) {
            AWAIT(turns(env->scope, 2, GO));
        }
        byte = (unsigned char)round;
        CHECK_IS(send(loop_fd_peek(flows[1]->fd), &byte, 1, 0), 1);
        loop_cancel(env->loop, job);
        WAIT_UNTIL(read.count);
        CHECK(read.result == 1 || read.result == -ECANCELED);
        if (read.result == -ECANCELED) {
            AWAIT(loop_read(&flows[0]->source, buffer, 1, GO));
            CHECK_IS(result, 1);
        }
        CHECK_IS((unsigned char)buffer[0], next);
        next++;
    }
    END;
}

LOOP_TEST(p04_cancel_from_inside_another_continuation)
{
    static struct once one, other;
    static loop_job jobs[2];

    BEGIN;
    jobs[0] = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&one)));
    jobs[1] = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&other)));
    AWAIT(loop_sleep(env->scope, 0, GO));
    CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
    WAIT_UNTIL(one.count);
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    CHECK_IS(other.count, 0);
    WAIT_UNTIL(other.count);
    ONCE_IS(one, -ECANCELED);
    ONCE_IS(other, -ECANCELED);
    END;
}

static loop_job own_job;
static int own_cancel = 1;
static bool own_alive = true;

static void cancel_itself(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    CHECK_IS(result, 0);
    own_cancel = loop_cancel(env->loop, own_job);
    own_alive = loop_job_is_alive(env->loop, own_job);
}

LOOP_TEST(p04_a_job_in_its_own_continuation_has_ended)
{
    BEGIN;
    own_job = START(loop_sleep(env->scope, 0, cancel_itself, env));
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(own_cancel, -ENOENT);
    CHECK(!own_alive);
    END;
}

LOOP_TEST(p04_cancel_of_what_never_begins)
{
    static struct loop_flow *flows[2];
    static struct once read, poll, wait;
    static struct loop_chunk *chunk;
    static loop_job jobs[3];
    static char buffer[8];

    BEGIN;
    make_flows(env->scope, flows);
    jobs[0] = START(loop_read(&flows[0]->source, buffer, sizeof buffer, ONCE(&read)));
    jobs[1] = START(loop_poll(flows[0]->fd, POLLPRI, ONCE(&poll)));
    while (loop_chunk_alloc(env->loop)) {
        continue;
    }
    jobs[2] = START(loop_chunk_alloc_wait(env->scope, &chunk, ONCE(&wait)));
    for (unsigned i = 0; i < COUNT_OF(jobs); i++) {
        CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
    }
    WAIT_UNTIL(read.count && poll.count && wait.count);
    ONCE_IS(read, -ECANCELED);
    ONCE_IS(poll, -ECANCELED);
    ONCE_IS(wait, -ECANCELED);
    END;
}

LOOP_TEST(p04_cancel_hits_only_the_one_in_the_middle)
{
    static struct loop_flow *flows[2];
    static struct once reads[3];
    static loop_job jobs[3];
    static char bytes[3];

    BEGIN;
    make_flows(env->scope, flows);
    for (int i = 0; i < 3; i++) {
        jobs[i] = START(loop_read(&flows[0]->source, &bytes[i], 1, ONCE(&reads[i])));
    }
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    WAIT_UNTIL(reads[1].count);
    ONCE_IS(reads[1], -ECANCELED);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "ab", 2, 0), 2);
    WAIT_UNTIL(reads[0].count && reads[2].count);
    ONCE_IS(reads[0], 1);
    ONCE_IS(reads[2], 1);
    CHECK(bytes[0] == 'a' && bytes[2] == 'b');
    END;
}

/* ---- P5: what a write says ---- */

LOOP_TEST(p05_a_cancelled_write_says_how_much_went_out)
{
    enum { SIZE = 4 << 20 };
    static struct loop_flow *flow;
    static struct once write;
    static char *bytes, *got;
    static loop_job job;
    static int fds[2];
    static size_t length;

    BEGIN;
    make_pair(fds);
    bytes = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(bytes, SIZE, 5);
    flow = flow_of(env->scope, fds[0]);
    job = START(loop_write(&flow->sink, bytes, SIZE, ONCE(&write)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(write.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(write.count);
    CHECK(write.result > 0 && write.result < SIZE);
    set_nonblocking(fds[1]);
    while (length < SIZE) {
        ssize_t n = read(fds[1], got + length, SIZE - length);
        if (n <= 0) {
            break;
        }
        length += (size_t)n;
    }
    CHECK_IS(length, write.result);
    CHECK(is_pattern(got, length, 5));
    AWAIT(loop_write(&flow->sink, "after", 5, GO));
    CHECK_IS(result, 5);
    CHECK_IS(read(fds[1], got, 16), 5);
    close(fds[1]);
    free(bytes);
    free(got);
    END;
}

LOOP_TEST(p05_a_write_cancelled_before_it_began_wrote_nothing)
{
    static struct loop_flow *flow;
    static struct once write;
    static loop_job job;
    static int fds[2];
    static size_t stuffed;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuffed = stuff(fds[0]);
    job = START(loop_write(&flow->sink, "never", 5, ONCE(&write)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(write.count);
    ONCE_IS(write, -ECANCELED);
    CHECK_IS(drain(fds[1]), stuffed);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(drain(fds[1]), 0);
    close(fds[1]);
    END;
}

LOOP_TEST(p05_a_queued_write_can_be_cancelled_between_two_others)
{
    static struct loop_flow *flow;
    static struct once writes[3];
    static loop_job jobs[3];
    static int fds[2];
    static size_t stuffed;
    static char tail[8];

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuffed = stuff(fds[0]);
    jobs[0] = START(loop_write(&flow->sink, "one", 3, ONCE(&writes[0])));
    jobs[1] = START(loop_write(&flow->sink, "two", 3, ONCE(&writes[1])));
    jobs[2] = START(loop_write(&flow->sink, "six", 3, ONCE(&writes[2])));
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    AWAIT(turns(env->scope, 3, GO));
    ONCE_IS(writes[1], -ECANCELED);
    CHECK_IS(drain(fds[1]), stuffed);
    WAIT_UNTIL(writes[0].count && writes[2].count);
    ONCE_IS(writes[0], 3);
    ONCE_IS(writes[2], 3);
    CHECK_IS(recv(fds[1], tail, 6, MSG_WAITALL), 6);
    CHECK(memcmp(tail, "onesix", 6) == 0);
    close(fds[1]);
    END;
}

LOOP_TEST(p05_a_peer_that_goes_in_between_leaves_a_count_or_an_error)
{
    enum { SIZE = 4 << 20 };
    static struct loop_flow *flow;
    static struct once write, later;
    static char *bytes;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    bytes = calloc(1, SIZE);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, SIZE_MAX), 0);
    CHECK_IS(loop_sink_limit(&flow->sink, 4 * SIZE), 0);
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&write)));
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&later)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(write.count, 0);
    close(fds[1]);
    WAIT_UNTIL(write.count && later.count);
    CHECK(write.result > 0 && write.result < SIZE);
    CHECK(later.result == -EPIPE || later.result == -ECONNRESET);
    free(bytes);
    END;
}

LOOP_TEST(p05_close_leaves_a_count)
{
    enum { SIZE = 4 << 20 };
    static struct loop_flow *flow;
    static struct once write, later;
    static char *bytes;
    static int fds[2];
    static size_t length;

    BEGIN;
    make_pair(fds);
    bytes = calloc(1, SIZE);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, SIZE_MAX), 0);
    CHECK_IS(loop_sink_limit(&flow->sink, 4 * SIZE), 0);
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&write)));
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&later)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(loop_flow_close(flow), 0);
    WAIT_UNTIL(write.count && later.count);
    CHECK(write.result > 0 && write.result < SIZE);
    ONCE_IS(later, -ECANCELED);
    length = drain(fds[1]);
    CHECK_IS(length, write.result);
    close(fds[1]);
    free(bytes);
    END;
}

LOOP_TEST(p05_a_cancelled_gather_counts_over_its_vectors)
{
    enum { N = 64, PIECE = 65536 };
    static struct iovec vectors[N];
    static struct loop_flow *flow;
    static struct once write;
    static char *bytes;
    static loop_job job;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    bytes = malloc((size_t)N * PIECE);
    fill_pattern(bytes, (size_t)N * PIECE, 9);
    for (int i = 0; i < N; i++) {
        vectors[i] = (struct iovec){bytes + (size_t)i * PIECE, PIECE};
    }
    flow = flow_of(env->scope, fds[0]);
    job = START(loop_writev(&flow->sink, vectors, N, ONCE(&write)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(write.count);
    CHECK(write.result > 0 && write.result < (int64_t)N * PIECE);
    CHECK_IS(drain(fds[1]), write.result);
    close(fds[1]);
    free(bytes);
    END;
}

LOOP_TEST(p05_a_cancelled_exact_read_keeps_what_came)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static loop_job job;
    static char buffer[10];

    BEGIN;
    make_flows(env->scope, flows);
    job = START(loop_read_exact(&flows[0]->source, buffer, 10, ONCE(&read)));
    AWAIT(loop_write(&flows[1]->sink, "four", 4, GO));
    AWAIT(turns(env->scope, 12, GO));
    CHECK_IS(read.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 4);
    CHECK(memcmp(buffer, "four", 4) == 0);
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
