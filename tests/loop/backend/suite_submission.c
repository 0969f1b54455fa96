/* SPDX-License-Identifier: ISC
 *
 * The submission and completion queues (P9): any depth works, and no job of many is lost.
 */
#include "harness.h"

#include <linux/io_uring.h>
#include <stdio.h>
#include <sys/syscall.h>

/* ---- P9: the submission queue ---- */

static int start_many(struct loop_env *env, void *unused)
{
    static struct once done[3000];

    (void)unused;
    memset(done, 0, sizeof done);
    for (unsigned i = 0; i < COUNT_OF(done); i++) {
        START(loop_op_nop(env->scope, ONCE(&done[i])));
    }
    return 0;
}

TEST(p09_any_depth_works)
{
    const unsigned depths[] = {0, 1, 2, 3, 5, 7, 16, 33, 100, 1000, 4096};

    for (unsigned i = 0; i < COUNT_OF(depths); i++) {
        CHECK_IS(run_with(&(struct loop_options){.queue_depth = depths[i]}, start_many, NULL), 0);
    }
}

LOOP_TEST_WITH(p09_sq_full_is_invisible, .queue_depth = 2)
{
    enum { N = 5000 };
    static struct once done[N];

    BEGIN;
    for (int i = 0; i < N; i++) {
        START(loop_op_nop(env->scope, ONCE(&done[i])));
    }
    WAIT_UNTIL(done[N - 1].count);
    for (int i = 0; i < N; i++) {
        ONCE_IS(done[i], 0);
        CHECK(i == 0 || done[i].order == done[i - 1].order + 1);
    }
    END;
}

static struct {
    struct loop_env *env;
    struct loop_flow *flow;
    struct once nothing, read;
    char bytes[8];
} given;

/* Fills the submission queue, and gives back: what the ring reads meanwhile is to be called back. */
static void give_back_when_full(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 1);
    START(loop_op_nop(given.env->scope, ONCE(&given.nothing)));
    CHECK_IS(loop_fd_unread(given.flow->fd, "ab", 2), 0);
}

/* A read that the ring has completed is not called back once more, for what it has read is put behind. */
LOOP_TEST_WITH(p09_a_read_that_has_ended_waits_for_no_entry, .queue_depth = 1, .way = LOOP_WAY_COMPLETIONS)
{
    static struct loop_flow *trigger;
    static int pairs[2][2];
    static char byte;

    BEGIN;
    memset(&given, 0, sizeof given);
    given.env = env;
    make_pair(pairs[0]);
    make_pair(pairs[1]);
    trigger = flow_of(env->scope, pairs[0][0]);
    given.flow = flow_of(env->scope, pairs[1][0]);
    START(loop_read(&trigger->source, &byte, 1, give_back_when_full, NULL));
    AWAIT(turns(env->scope, 3, GO));
    START(loop_read(&given.flow->source, given.bytes, 4, ONCE(&given.read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(pairs[0][1], "!", 1, 0), 1);
    CHECK_IS(send(pairs[1][1], "cd", 2, 0), 2);
    WAIT_UNTIL(given.read.count && given.nothing.count);
    CHECK(given.read.result >= 2 && memcmp(given.bytes, "abcd", (size_t)given.read.result) == 0);
    AWAIT(turns(env->scope, 3, GO));
    close(pairs[0][1]);
    close(pairs[1][1]);
    END;
}

LOOP_TEST_WITH(p09_a_job_in_line_can_be_cancelled, .queue_depth = 1)
{
    enum { N = 50 };
    static struct loop_fd *fd;
    static struct once done[N];
    static loop_job jobs[N];
    static int fds[2];
    static char bytes[N];

    BEGIN;
    make_pair(fds);
    fd = adopt(env->scope, fds[0]);
    for (int i = 0; i < N; i++) {
        jobs[i] = START(loop_op_recv(NULL, fd, &bytes[i], 1, 0, ONCE(&done[i])));
    }
    for (int i = 0; i < N; i++) {
        if (i % 2) {
            CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
        }
    }
    for (int i = 0; i < N; i++) {
        CHECK_IS(done[i].count, 0);
    }
    WAIT_UNTIL(done[N - 1].count && done[1].count);
    AWAIT(turns(env->scope, N, GO));
    for (int i = 0; i < N; i++) {
        CHECK_IS(done[i].count, i % 2);
        CHECK(i % 2 == 0 || done[i].result == -ECANCELED);
    }
    for (int i = 0; i < N; i += 2) {
        CHECK_IS(send(fds[1], "x", 1, 0), 1);
    }
    close(fds[1]);
    WAIT_UNTIL(done[N - 2].count && done[0].count);
    AWAIT(turns(env->scope, N, GO));
    for (int i = 0; i < N; i += 2) {
        ONCE_IS(done[i], 1);
    }
    END;
}

LOOP_TEST_WITH(p09_far_more_jobs_than_places, .queue_depth = 4, .n_blocks = 4)
{
    enum { PAIRS = 100 };
    static struct loop_flow *flows[PAIRS][2];
    static struct once reads[PAIRS], writes[PAIRS];
    static char bytes[PAIRS][8];
    static struct tally closing;
    static int at;

    BEGIN;
    for (int i = 0; i < PAIRS; i++) {
        make_flows(env->scope, flows[i]);
        START(loop_read_exact(&flows[i][0]->source, bytes[i], 8, ONCE(&reads[i])));
    }
    AWAIT(turns(env->scope, 2, GO));
    for (int i = PAIRS - 1; i >= 0; i--) {
        START(loop_write(&flows[i][1]->sink, "12345678", 8, ONCE(&writes[i])));
    }
    START(loop_sleep(env->scope, 0, TALLY(&closing)));
    for (at = 0; at < PAIRS; at++) {
        WAIT_UNTIL(reads[at].count && writes[at].count);
        ONCE_IS(reads[at], 8);
        ONCE_IS(writes[at], 8);
    }
    END;
}

/* ---- more completions at once than the completion queue holds ---- */

LOOP_TEST_WITH(p09_a_flood_of_completions_loses_none, .queue_depth = 1)
{
    enum { N = 30000 };
    static struct tally polled;
    static struct once read;
    static struct loop_flow *flows[2];
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    for (int i = 0; i < N; i++) {
        START(loop_op_poll_add(NULL, flows[0]->fd, POLLIN, TALLY(&polled)));
    }
    START(loop_sleep(env->scope, LOOP_MILLISECOND, ONCE(&read)));
    WAIT_UNTIL(read.count);
    CHECK_IS(polled.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(polled.count == N);
    CHECK_IS(polled.ended_well, N);
    AWAIT(loop_read(&flows[0]->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    END;
}

LOOP_TEST_WITH(p09_a_flood_of_cancels_loses_none, .queue_depth = 2)
{
    enum { N = 20000 };
    static struct loop_scope *scope;
    static struct tally polled;
    static struct once ended;
    static struct loop_flow *flows[2];

    BEGIN;
    make_flows(env->scope, flows);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    for (int i = 0; i < N; i++) {
        START(loop_op_poll_add(scope, flows[0]->fd, POLLIN, TALLY(&polled)));
    }
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    CHECK_IS(polled.cancelled, N);
    END;
}

#ifndef NORIA_SIMULATED

/* ---- completions that the kernel has lost ---- */

/* Returns where the queues of a ring count the completions that the kernel had no memory for. */
static size_t place_of_lost(void)
{
    struct io_uring_params params = {0};
    int number = (int)syscall(SYS_io_uring_setup, 1, &params);

    CHECK(number >= 0);
    close(number);
    return params.cq_off.overflow;
}

/* Counts a completion as lost in all rings of this process, as the kernel does. */
static void lose_completion(void)
{
    char line[256];
    unsigned long begin = 0, offset;
    FILE *maps = fopen("/proc/self/maps", "re");

    while (fgets(line, sizeof line, maps)) {
        if (strstr(line, "[io_uring]") && sscanf(line, "%lx-%*x %*s %lx", &begin, &offset) == 2 &&
            offset == IORING_OFF_SQ_RING) {
            (*(uint32_t *)(begin + place_of_lost()))++;
        }
    }
    fclose(maps);
}

static int wait_for_ever(struct loop_env *env, void *slept)
{
    START(loop_sleep(env->scope, LOOP_NEVER, ONCE(slept)));
    return 0;
}

/* A loop with a host never waits in the kernel, which reports such a loss to a call that waits. */
TEST(a_lost_completion_ends_a_hosted_loop)
{
    static struct once slept;
    struct loop *loop = NULL;

    slept.count = 0;
    CHECK_IS(loop_open(NULL, wait_for_ever, &slept, &loop), 0);
    CHECK_IS(loop_turn(loop), 1);
    if (strcmp(loop_backend_name(loop), "io_uring") == 0) {
        lose_completion();
        for (int i = 0; i < 100 && loop_turn(loop) > 0; i++) {
        }
        ONCE_IS(slept, -ECANCELED);
        CHECK_IS(loop_close(loop), -EBADR);
    } else {
        CHECK_IS(loop_close(loop), 0);
    }
}

/* Never sleeps, until the ring has broken or it has waited for that too long. */
static struct {
    struct loop_env *env;
    unsigned turns;
    bool is_on_ring;
} awake;

static void stay_awake(void *unused, int64_t result)
{
    (void)unused;
    if (result == 0 && ++awake.turns < 1000) {
        START(loop_sleep(awake.env->scope, 0, stay_awake, NULL));
    } else {
        loop_stop(awake.env->loop, 0);
    }
}

static int lose_and_stay_awake(struct loop_env *env, void *slept)
{
    awake.env = env;
    awake.turns = 0;
    awake.is_on_ring = strcmp(loop_backend_name(env->loop), "io_uring") == 0;
    START(loop_sleep(env->scope, LOOP_NEVER, ONCE(slept)));
    if (awake.is_on_ring) {
        lose_completion();
    }
    stay_awake(NULL, 0);
    return 0;
}

/* The kernel reports the loss only to a call that waits. */
TEST(a_lost_completion_ends_a_loop_that_never_sleeps)
{
    static struct once slept;

    slept.count = 0;
    CHECK_IS(run_with(&(struct loop_options){0}, lose_and_stay_awake, &slept), awake.is_on_ring ? -EBADR : 0);
    ONCE_IS(slept, -ECANCELED);
    CHECK(!awake.is_on_ring || awake.turns < 1000);
}

#endif
