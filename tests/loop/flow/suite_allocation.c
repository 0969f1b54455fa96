/* SPDX-License-Identifier: ISC
 *
 * No allocation on the hot path (P14).
 */
#include "harness.h"

/* ---- P14: nothing is allocated on the hot path ---- */

#if !HAS_SANITIZER

LOOP_TEST(p14_reads_and_writes_allocate_nothing)
{
    static struct loop_flow *flows[2];
    static char buffer[100];
    static unsigned long before;
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    for (i = 0; i < 1200; i++) {
        if (i == 200) {
            before = allocations();
        }
        AWAIT(loop_write(&flows[0]->sink, "0123456789", 10, GO));
        AWAIT(loop_read_exact(&flows[1]->source, buffer, 10, GO));
    }
    CHECK_IS(allocations() - before, 0);
    END;
}

static void echo_chunk(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop_flow *flow = arg;

    if (chunk) {
        loop_write_chunk(&flow->sink, chunk, (size_t)result, NULL, NULL);
    }
}

static loop_job echo_by_chunks(struct loop_flow *flow)
{
    return loop_stream(&flow->source, echo_chunk, flow);
}

static loop_job echo_by_copy(struct loop_flow *flow)
{
    return loop_copy(&flow->source, &flow->sink, NULL, NULL);
}

static loop_job (*const echoes[])(struct loop_flow *flow) = {echo_by_chunks, echo_by_copy};

LOOP_TEST_ROWS(p14_an_echo_of_chunks_and_a_copy_allocate_nothing, COUNT_OF(echoes))
{
    static struct loop_flow *flows[2];
    static char buffer[100];
    static unsigned long before;
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    START(echoes[script.row](flows[1]));
    for (i = 0; i < 1200; i++) {
        if (i == 200) {
            before = allocations();
        }
        AWAIT(loop_write(&flows[0]->sink, "0123456789", 10, GO));
        AWAIT(loop_read_exact(&flows[0]->source, buffer, 10, GO));
    }
    CHECK_IS(allocations() - before, 0);
    loop_flow_close(flows[0]);
    END;
}

LOOP_TEST(p14_timers_nops_and_posts_allocate_nothing)
{
    enum { ROUNDS = 60, N = 100 };
    static struct loop_inbox *inbox;
    static struct tally tally;
    static unsigned long before;
    static int round;

    BEGIN;
    inbox = loop_inbox_ref(env->loop);
    for (round = 0; round < ROUNDS; round++) {
        if (round == 10) {
            before = allocations();
        }
        memset(&tally, 0, sizeof tally);
        for (int i = 0; i < N; i++) {
            loop_cancel(env->loop, START(loop_sleep(env->scope, LOOP_NEVER, TALLY(&tally))));
            START(loop_sleep(env->scope, i * 100, TALLY(&tally)));
            START(loop_op_nop(env->scope, TALLY(&tally)));
            CHECK_IS(loop_post(inbox, TALLY(&tally)), 0);
        }
        WAIT_UNTIL(tally.count == 4 * N);
    }
    CHECK_IS(allocations() - before, 0);
    loop_inbox_unref(inbox);
    END;
}

#endif
