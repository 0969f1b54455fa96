/* SPDX-License-Identifier: ISC
 *
 * Failures of io_uring_enter: what becomes of writes that the ring had, and of those behind them. This program
 * overrides functions of liburing's (ring_failing.h).
 */
#include "ring_failing.h"

#include <loop/part.h>

#include <limits.h>

static struct {
    struct loop_env *env;
    struct loop_sink *sink;
    unsigned written_late; /* since the ring has broken */
} part;

static void wait_on(void *unused, int64_t result);

static void write_on(void *unused, int64_t result)
{
    (void)unused;
    if (result == 0 && part.written_late < 3) {
        part.written_late += loop_scope_is_cancelled(part.env->scope);
        loop_write(part.sink, "x", 1, wait_on, NULL);
    } else {
        loop_scope_unhold(part.env->scope);
    }
}

static void wait_on(void *unused, int64_t result)
{
    (void)unused;
    CHECK(result == 1 || part.written_late == 0); /* the ring may have had the one before */
    loop_sleep(loop_part_scope(part.env->loop), LOOP_MILLISECOND, write_on, NULL); /* a turn that enters the ring */
}

static int write_for_a_part(struct loop_env *env, void *number)
{
    part.env = env;
    if (!is_on_uring(env)) {
        close(*(int *)number);
        return -ENOSYS;
    }
    part.sink = &flow_of(loop_part_scope(env->loop), *(int *)number)->sink;
    loop_scope_hold(env->scope);
    loop_sleep(loop_part_scope(env->loop), 0, write_on, NULL);
    return 0;
}

TEST(what_a_part_writes_after_the_ring_has_broken_leaves_by_system_calls)
{
    int pair[2];

    memset(&part, 0, sizeof part);
    make_pair(pair);
    fail_enter(ENOSYS, 10, UINT_MAX);
    CHECK_IS(run_with(&(struct loop_options){.way = LOOP_WAY_COMPLETIONS}, write_for_a_part, &pair[0]), -ENOSYS);
    close(pair[1]);
}

enum { TOGETHER = 3 };

static struct {
    struct once writes[TOGETHER];
    loop_job second;
    int pair[2];
    struct loop_scope *held; /* of a part: it goes on until its writes have ended */
    unsigned ended;
} together;

static void end_one(void *write, int64_t result)
{
    once_resumed(write, result);
    if (++together.ended == TOGETHER && together.held) {
        loop_scope_unhold(together.held);
    }
}

static void break_ring(void *arg, int64_t result)
{
    const struct loop_env *env = arg;
    (void)result;
    loop_cancel(env->loop, together.second);
    loop_op_nop(env->scope, NULL, NULL); /* a host's ring is not entered without a reason */
    failing = (struct failing){.error = ENOSYS, .times = UINT_MAX, .lost = failing.lost};
}

static int write_together(struct loop_env *env, void *is_part)
{
    struct loop_sink *sink = &flow_of(is_part ? loop_part_scope(env->loop) : env->scope, together.pair[0])->sink;
    failing.no_sends = true;
    for (unsigned i = 0; i < TOGETHER; i++) {
        loop_job job = START(loop_write(sink, "ab", 2, end_one, &together.writes[i]));
        together.second = i == 1 && !is_part ? job : together.second;
    }
    if (is_part) {
        loop_scope_hold(together.held = env->scope);
    }
    START(loop_sleep(env->scope, LOOP_MILLISECOND, break_ring, env));
    return 0;
}

/* The ring has them all in one send, of which it never tells. What followed it would follow a gap. */
static void write_and_break(bool is_part)
{
    char byte;
    fail_enter(0, UINT_MAX, UINT_MAX);
    memset(&together, 0, sizeof together);
    make_pair(together.pair);
    run_with(&(struct loop_options){.way = LOOP_WAY_COMPLETIONS}, write_together, is_part ? &together : NULL);
    for (unsigned i = 0; i < TOGETHER; i++) {
        CHECK_IS(together.writes[i].count, 1);
        CHECK(failing.lost == 0 || together.writes[i].result < 0);
    }
    const char *way = getenv("LOOP_WAY");
    bool is_certain = way && strcmp(way, "completions") == 0 && !getenv("NORIA_HARD");
    CHECK(failing.lost == 1 || !is_certain); /* otherwise system calls may send them */
    CHECK(failing.lost == 0 || recv(together.pair[1], &byte, 1, MSG_DONTWAIT) <= 0);
    close(together.pair[1]);
}

TEST(writes_that_were_sent_together_end_when_the_ring_breaks)
{
    write_and_break(false);
    write_and_break(true); /* which the failure does not cancel */
}

/* ---- behind a copy ---- */

static struct {
    struct loop_env *env;
    struct loop_sink *sink;
    loop_job copy;
    struct once copied, written;
    bool is_sent; /* the ring has the copy's send when it breaks */
} copying;

static void end_of_copy(void *unused, int64_t result)
{
    (void)unused;
    once_resumed(&copying.copied, result);
    loop_scope_unhold(copying.env->scope);
}

static void end_of_write(void *unused, int64_t result)
{
    (void)unused;
    once_resumed(&copying.written, result);
    loop_cancel(copying.env->loop, copying.copy); /* where it goes on, because it has sent by a call */
}

/* Resumed after the copy has read, in the same turn: its send is still to be submitted. */
static void break_behind_copy(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    (void)result;
    if (chunk) {
        struct loop_stats stats;
        loop_get_stats(copying.env->loop, &stats);
        copying.is_sent = stats.ring_sends > 0;
        START(loop_write(copying.sink, "cd", 2, end_of_write, NULL));
        loop_op_nop(copying.env->scope, NULL, NULL); /* a host's ring is not entered without a reason */
        failing = (struct failing){.error = ENOSYS, .times = UINT_MAX};
    }
}

static int copy_for_a_part(struct loop_env *env, void *pairs)
{
    int(*ends)[2] = pairs;
    struct loop_scope *scope = loop_part_scope(env->loop);
    copying.env = env;
    if (!is_on_uring(env)) {
        for (unsigned i = 0; i < 3; i++) {
            close(ends[i][0]);
        }
        return -ENOSYS;
    }
    copying.sink = &flow_of(scope, ends[1][0])->sink;
    struct loop_source *source = &flow_of(scope, ends[0][0])->source;
    loop_scope_hold(env->scope);
    copying.copy = START(loop_copy(source, copying.sink, end_of_copy, NULL));
    START(loop_stream(&flow_of(env->scope, ends[2][0])->source, break_behind_copy, NULL));
    return 0;
}

/* The copy was not cancelled, nor was the write: both end with the error of the ring. */
TEST(a_copy_of_a_part_and_a_write_behind_it_end_with_the_error_when_the_ring_breaks)
{
    int pairs[3][2];
    char byte;

    fail_enter(0, UINT_MAX, UINT_MAX);
    memset(&copying, 0, sizeof copying);
    for (unsigned i = 0; i < 3; i++) {
        make_pair(pairs[i]);
    }
    CHECK_IS(send(pairs[0][1], "ab", 2, 0), 2);
    CHECK_IS(send(pairs[2][1], "!", 1, 0), 1);
    CHECK_IS(run_with(&(struct loop_options){.way = LOOP_WAY_COMPLETIONS}, copy_for_a_part, pairs), -ENOSYS);
    CHECK_IS(copying.copied.count, copying.written.count);
    if (copying.is_sent) {
        CHECK_IS(copying.copied.result, -ENOSYS);
        CHECK_IS(copying.written.result, -ENOSYS);
        CHECK(recv(pairs[1][1], &byte, 1, MSG_DONTWAIT) <= 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        close(pairs[i][1]);
    }
}
