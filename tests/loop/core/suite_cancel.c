/* SPDX-License-Identifier: ISC
 *
 * loop_cancel (P4): which jobs it ends, which it does not affect, and which result a job gets when both are possible.
 */
#include "show.h"
#include "sockets.h"

#include <loop/part.h>

#include <sys/wait.h>

/* ---- P4: cancel ---- */

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
    CHECK_IS(loop_pause(env->loop, UINT64_MAX), -ENOENT);
    CHECK_IS(loop_resume(env->loop, 0), -ENOENT);
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

/* ---- cancelled ---- */

static const char cancelled_text[] = "loop_read: loop_cancel says 0, then -2\n"
                                     "loop_read: ECANCELED\n"
                                     "loop_read_exact: loop_cancel says 0, then -2\n"
                                     "loop_read_exact: ECANCELED\n"
                                     "loop_stream: loop_cancel says 0, then -2\n"
                                     "loop_stream: ECANCELED\n"
                                     "loop_copy: loop_cancel says 0, then -2\n"
                                     "loop_copy: ECANCELED\n"
                                     "loop_write: loop_cancel says 0, then -2\n"
                                     "loop_write: ECANCELED\n"
                                     "loop_poll: loop_cancel says 0, then -2\n"
                                     "loop_poll: ECANCELED\n"
                                     "loop_sleep: loop_cancel says 0, then -2\n"
                                     "loop_sleep: ECANCELED\n"
                                     "loop_sleep for ever: loop_cancel says 0, then -2\n"
                                     "loop_sleep for ever: ECANCELED\n"
                                     "loop_promise: loop_cancel says 0, then -2\n"
                                     "loop_promise: ECANCELED\n"
                                     "loop_signal: loop_cancel says 0, then -2\n"
                                     "loop_signal: ECANCELED\n"
                                     "loop_descriptor_wait: loop_cancel says 0, then -2\n"
                                     "loop_descriptor_wait: ECANCELED\n"
                                     "loop_op_read: loop_cancel says 0, then -2\n"
                                     "loop_op_read: ECANCELED\n"
                                     "loop_op_write: loop_cancel says 0, then -2\n"
                                     "loop_op_write: ECANCELED\n"
                                     "loop_op_recv: loop_cancel says 0, then -2\n"
                                     "loop_op_recv: ECANCELED\n"
                                     "loop_op_send: loop_cancel says 0, then -2\n"
                                     "loop_op_send: ECANCELED\n"
                                     "loop_op_recv_msg: loop_cancel says 0, then -2\n"
                                     "loop_op_recv_msg: ECANCELED\n"
                                     "loop_op_send_msg: loop_cancel says 0, then -2\n"
                                     "loop_op_send_msg: ECANCELED\n"
                                     "loop_op_recv_multishot: loop_cancel says 0, then -2\n"
                                     "loop_op_recv_multishot: ECANCELED\n"
                                     "loop_op_accept: loop_cancel says 0, then -2\n"
                                     "loop_op_accept: ECANCELED\n"
                                     "loop_op_accept_multishot: loop_cancel says 0, then -2\n"
                                     "loop_op_accept_multishot: ECANCELED\n"
                                     "loop_op_poll_add: loop_cancel says 0, then -2\n"
                                     "loop_op_poll_add: ECANCELED\n"
                                     "loop_op_splice: loop_cancel says 0, then -2\n"
                                     "loop_op_splice: ECANCELED\n"
                                     "loop_op_timeout: loop_cancel says 0, then -2\n"
                                     "loop_op_timeout: ECANCELED\n"
                                     "loop_op_timeout: ETIME\n"
                                     "loop_sleep: 0\n"
                                     "loop_descriptor_wait: 0\n"
                                     "loop_work: 7\n"
                                     "loop_op_nop: 0\n"
                                     "loop_op_cancel: 0\n"
                                     "loop_op_cancel once more: ENOENT\n"
                                     "loop_op_cancel of no job: ENOENT\n"
                                     "loop_op_cancel of what never was: ENOENT\n"
                                     "what is written still arrives: 5\n"
                                     "and is read: 5\n";

static int64_t say_7(void *unused)
{
    (void)unused;
    return 7;
}

LOOP_TEST(p17_cancelled_jobs)
{
    static struct loop_flow *flows[2], *full;
    static struct loop_fd *listener, *pipe_ends[2];
    static struct loop_buffers *buffers;
    static struct sockaddr_in address;
    static struct slot slot;
    static loop_job job;
    static int fds[2];

    BEGIN;
    make_flows(env->scope, flows);
    make_pipe(fds);
    pipe_ends[0] = adopt(env->scope, fds[0]);
    pipe_ends[1] = adopt(env->scope, fds[1]);
    make_pair(fds);
    full = flow_of(env->scope, fds[0]);
    adopt(env->scope, fds[1]);
    stuff(fds[0]);
    listener = adopt(env->scope, make_listener(&address));
    buffers = loop_buffers_create(env->scope, 1, 64);
    SHOW_CANCELLED("loop_read", loop_read(&flows[0]->source, shown_bytes, 1, GO));
    SHOW_CANCELLED("loop_read_exact", loop_read_exact(&flows[0]->source, shown_bytes, 10, GO));
    SHOW_CANCELLED("loop_stream", loop_stream(&flows[0]->source, STREAM_END));
    SHOW_CANCELLED("loop_copy", loop_copy(&flows[0]->source, &flows[1]->sink, GO));
    SHOW_CANCELLED("loop_write", loop_write(&full->sink, "x", 1, GO));
    SHOW_CANCELLED("loop_poll", loop_poll(flows[0]->fd, POLLIN, GO));
    SHOW_CANCELLED("loop_sleep", loop_sleep(env->scope, LOOP_SECOND, GO));
    SHOW_CANCELLED("loop_sleep for ever", loop_sleep(env->scope, LOOP_NEVER, GO));
    SHOW_CANCELLED("loop_promise", loop_promise(env->scope, NULL, NULL, GO));
    SHOW_CANCELLED("loop_signal", loop_signal(env->scope, SIGUSR1, GO));
    SHOW_CANCELLED("loop_descriptor_wait", loop_descriptor_wait(env->scope, LOOP_SECOND, GO));
    SHOW_CANCELLED("loop_op_read", loop_op_read(NULL, flows[0]->fd, shown_bytes, 1, LOOP_CURRENT, GO));
    SHOW_CANCELLED("loop_op_write", loop_op_write(NULL, full->fd, "x", 1, LOOP_CURRENT, GO));
    SHOW_CANCELLED("loop_op_recv", loop_op_recv(NULL, flows[0]->fd, shown_bytes, 1, 0, GO));
    SHOW_CANCELLED("loop_op_send", loop_op_send(NULL, full->fd, "x", 1, 0, GO));
    SHOW_CANCELLED("loop_op_recv_msg", loop_op_recv_msg(NULL, flows[0]->fd, &one_message, GO));
    SHOW_CANCELLED("loop_op_send_msg", loop_op_send_msg(NULL, full->fd, &one_message, GO));
    SHOW_CANCELLED("loop_op_recv_multishot", loop_op_recv_multishot(NULL, flows[0]->fd, buffers, RECEIVE_END));
    SHOW_CANCELLED("loop_op_accept", loop_op_accept(NULL, listener, NULL, NULL, GO));
    SHOW_CANCELLED("loop_op_accept_multishot", loop_op_accept_multishot(NULL, listener, GO));
    SHOW_CANCELLED("loop_op_poll_add", loop_op_poll_add(NULL, flows[0]->fd, POLLIN, GO));
    SHOW_CANCELLED("loop_op_splice",
                   loop_op_splice(NULL, pipe_ends[0], LOOP_CURRENT, flows[0]->fd, LOOP_CURRENT, 1, GO));
    SHOW_CANCELLED("loop_op_timeout", loop_op_timeout(env->scope, INT64_MAX - 1, GO));
    SHOW("loop_op_timeout", loop_op_timeout(env->scope, 1, GO));
    SHOW("loop_sleep", loop_sleep(env->scope, -1, GO));
    SHOW("loop_descriptor_wait", loop_descriptor_wait(env->scope, 1, GO));
    SHOW("loop_work", loop_work(env->scope, say_7, NULL, GO));
    SHOW("loop_op_nop", loop_op_nop(env->scope, GO));
    job = START(loop_sleep(env->scope, LOOP_NEVER, SLOT(&slot)));
    SHOW("loop_op_cancel", loop_op_cancel(env->scope, job, GO));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(slots_filled, 1);
    SHOW("loop_op_cancel once more", loop_op_cancel(env->scope, job, GO));
    SHOW("loop_op_cancel of no job", loop_op_cancel(env->scope, 0, GO));
    SHOW("loop_op_cancel of what never was", loop_op_cancel(env->scope, UINT64_MAX, GO));
    SHOW("what is written still arrives", loop_write(&flows[1]->sink, "still", 5, GO));
    SHOW("and is read", loop_read_exact(&flows[0]->source, shown_bytes, 5, GO));
    CHECK_TEXT(trace_text(), cancelled_text);
    END;
}

/* ---- cancels ---- */

LOOP_TEST(cancel_of_a_cancel_hits_nothing_else)
{
    static struct once target, cancel, second;
    static loop_job jobs[3];
    static int answer;

    BEGIN;
    jobs[0] = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&target)));
    jobs[1] = START(loop_op_cancel(env->scope, jobs[0], ONCE(&cancel)));
    answer = loop_cancel(env->loop, jobs[1]);
    CHECK(answer == 0 || answer == -ENOENT);
    WAIT_UNTIL(cancel.count);
    if (cancel.result == 0) {
        WAIT_UNTIL(target.count);
    } else {
        CHECK_IS(cancel.result, -ECANCELED);
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(target.count, 0);
        CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
        WAIT_UNTIL(target.count);
    }
    ONCE_IS(target, -ECANCELED);
    CHECK_IS(loop_cancel(env->loop, jobs[0]), -ENOENT);
    CHECK_IS(loop_cancel(env->loop, jobs[1]), -ENOENT);
    jobs[2] = START(loop_op_cancel(env->scope, jobs[1], ONCE(&second)));
    WAIT_UNTIL(second.count);
    ONCE_IS(second, -ENOENT);
    CHECK_IS(loop_cancel(env->loop, jobs[2]), -ENOENT);
    END;
}

LOOP_TEST(cancel_in_a_cancelled_scope_is_cancelled_itself)
{
    static struct loop_scope *scope;
    static struct once target, cancel, ended;
    static loop_job job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    job = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&target)));
    loop_scope_cancel(scope);
    START(loop_op_cancel(scope, job, ONCE(&cancel)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(cancel, -ECANCELED);
    CHECK_IS(target.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(target.count);
    END;
}
