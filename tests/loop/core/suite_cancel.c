/* SPDX-License-Identifier: ISC
 *
 * loop_cancel (P4): what it ends and what it leaves alone, and which result wins.
 */
#include "harness.h"

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
