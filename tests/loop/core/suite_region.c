/* SPDX-License-Identifier: ISC
 *
 * The region and its chunks (P10): sizes and addresses, waiting for a free chunk, and detected mistakes.
 */
#include "harness.h"

#include <loop/part.h>

#include <pthread.h>

LOOP_TEST_WITH(chunks_are_where_they_say, .n_blocks = 10, .block_size = 1000)
{
    static struct loop_chunk *chunks[16];
    static bool seen[16];
    static unsigned n;

    BEGIN;
    while ((chunks[n] = loop_chunk_alloc(env->loop)) != NULL) {
        n++;
    }
    CHECK_IS(n, loop_region_count(env->loop));
    for (unsigned i = 0; i < n; i++) {
        size_t offset = loop_chunk_offset(chunks[i]);
        CHECK_IS(loop_chunk_length(chunks[i]), 1000);
        CHECK_IS(offset % 1000, 0);
        CHECK(offset / 1000 < n && !seen[offset / 1000]);
        seen[offset / 1000] = true;
        CHECK_IS((char *)loop_chunk_data(chunks[i]) - (char *)loop_chunk_data(chunks[0]),
                 (int64_t)offset - (int64_t)loop_chunk_offset(chunks[0]));
        memset(loop_chunk_data(chunks[i]), (int)i, 1000);
    }
    for (unsigned i = 0; i < n; i++) {
        const char *data = loop_chunk_data(chunks[i]);
        CHECK(data[0] == (char)i && data[999] == (char)i);
        CHECK_IS(loop_chunk_free(env->loop, chunks[i]), 0);
    }
    END;
}

LOOP_TEST(copy_out)
{
    static struct loop_chunk *chunk;
    static char bytes[4096];

    BEGIN;
    chunk = loop_chunk_alloc(env->loop);
    fill_pattern(loop_chunk_data(chunk), 4096, 1);
    CHECK_IS(loop_chunk_copy_out(chunk, bytes, 100), 100);
    CHECK(is_pattern(bytes, 100, 1));
    CHECK_IS(bytes[100], 0);
    CHECK_IS(loop_chunk_copy_out(chunk, bytes, 0), 0);
    CHECK_IS(loop_chunk_copy_out(chunk, bytes, 4096), 4096);
    CHECK(is_pattern(bytes, 4096, 1));
    CHECK_IS(loop_chunk_copy_out(chunk, bytes, 4097), -EINVAL);
    CHECK_IS(loop_chunk_copy_out(chunk, bytes, SIZE_MAX), -EINVAL);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    END;
}

LOOP_TEST(free_of_null_is_harmless)
{
    BEGIN;
    CHECK_IS(loop_chunk_free(env->loop, NULL), 0);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

LOOP_TEST(the_chunk_given_back_last_is_lent_first)
{
    static struct loop_chunk *one, *again;

    BEGIN;
    one = loop_chunk_alloc(env->loop);
    CHECK_IS(loop_chunk_free(env->loop, one), 0);
    again = loop_chunk_alloc(env->loop);
    CHECK(again == one);
    CHECK_IS(loop_chunk_free(env->loop, again), 0);
    END;
}

LOOP_TEST(alloc_wait_with_a_free_chunk)
{
    static struct loop_chunk *chunk;

    BEGIN;
    AWAIT(loop_chunk_alloc_wait(env->scope, &chunk, GO));
    CHECK_IS(result, 0);
    CHECK(chunk != NULL);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop) - 1);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    END;
}

LOOP_TEST_WITH(alloc_wait_and_streams_share_one_line, .n_blocks = 1)
{
    static struct loop_chunk *chunk, *waited[2];
    static struct loop_flow *flows[2];
    static struct once waits[2];
    static char bytes[8];
    static struct record record = {bytes, sizeof bytes, 0, 0, 0, 0};

    BEGIN;
    make_flows(env->scope, flows);
    chunk = loop_chunk_alloc(env->loop);
    START(loop_chunk_alloc_wait(env->scope, &waited[0], ONCE(&waits[0])));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    START(loop_chunk_alloc_wait(env->scope, &waited[1], ONCE(&waits[1])));
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    WAIT_UNTIL(waits[0].count);
    CHECK_IS(record.chunks + waits[1].count, 0);
    CHECK_IS(loop_chunk_free(env->loop, waited[0]), 0);
    WAIT_UNTIL(waits[1].count);
    CHECK_IS(record.length, 1);
    CHECK_IS(loop_chunk_free(env->loop, waited[1]), 0);
    loop_flow_close(flows[0]);
    END;
}

LOOP_TEST_WITH(a_waiter_cancelled_with_its_scope, .n_blocks = 1)
{
    static struct loop_chunk *chunk, *waited[2];
    static struct loop_scope *scope;
    static struct once waits[2], ended;

    BEGIN;
    chunk = loop_chunk_alloc(env->loop);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_chunk_alloc_wait(scope, &waited[0], ONCE(&waits[0])));
    START(loop_chunk_alloc_wait(env->scope, &waited[1], ONCE(&waits[1])));
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(waits[0], -ECANCELED);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    WAIT_UNTIL(waits[1].count);
    ONCE_IS(waits[1], 0);
    CHECK_IS(loop_chunk_free(env->loop, waited[1]), 0);
    CHECK_IS(loop_region_avail(env->loop), 1);
    END;
}

LOOP_TEST_WITH(many_waiters_take_turns, .n_blocks = 3)
{
    enum { N = 500 };
    static struct loop_chunk *got[N];
    static struct once waits[N];
    static int at;

    BEGIN;
    for (int i = 0; i < N; i++) {
        START(loop_chunk_alloc_wait(env->scope, &got[i], ONCE(&waits[i])));
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(waits[at].count);
        ONCE_IS(waits[at], 0);
        CHECK(at == 0 || waits[at].order > waits[at - 1].order);
        CHECK_IS(loop_chunk_free(env->loop, got[at]), 0);
    }
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

/* ---- mistakes ---- */

static int64_t mistake_answer;

static int free_twice(struct loop_env *env, void *unused)
{
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);

    (void)unused;
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    mistake_answer = loop_chunk_free(env->loop, chunk);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    return 0;
}

static struct loop_chunk *foreign_chunk;

static int free_foreign_chunk(struct loop_env *env, void *unused)
{
    (void)unused;
    mistake_answer = loop_chunk_free(env->loop, foreign_chunk);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    return 0;
}

static int keep_what_is_not_lent(struct loop_env *env, void *unused)
{
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);

    (void)unused;
    mistake_answer = loop_chunk_keep(env->loop, chunk);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    return 0;
}

static int make_mistake(void *mistake)
{
    loop_run_with(&(struct loop_options){.n_blocks = 4}, *(loop_main_fn **)mistake, NULL);
    return (int)mistake_answer;
}

TEST(p10_a_double_free_is_caught)
{
    loop_main_fn *mistake = free_twice;

    expect_stop(make_mistake, &mistake, "loop_chunk_free", -EINVAL);
}

/* The owner of the chunk is a loop in another thread, which waits. */
static int gates[2][2];

static int own_a_chunk(struct loop_env *env, void *unused)
{
    char byte;

    (void)unused;
    foreign_chunk = loop_chunk_alloc(env->loop);
    CHECK_IS(write(gates[0][1], "x", 1), 1);
    CHECK_IS(read(gates[1][0], &byte, 1), 1);
    CHECK_IS(loop_chunk_free(env->loop, foreign_chunk), 0);
    return 0;
}

static void *run_owner(void *unused)
{
    (void)unused;
    CHECK_IS(loop_run_with(&(struct loop_options){.n_blocks = 4}, own_a_chunk, NULL), 0);
    return NULL;
}

static int make_foreign_mistake(void *unused)
{
    loop_main_fn *mistake = free_foreign_chunk;
    pthread_t owner;
    char byte;

    (void)unused;
    make_pipe(gates[0]);
    make_pipe(gates[1]);
    CHECK_IS(pthread_create(&owner, NULL, run_owner, NULL), 0);
    CHECK_IS(read(gates[0][0], &byte, 1), 1);
    int answer = make_mistake(&mistake);
    CHECK_IS(write(gates[1][1], "x", 1), 1);
    pthread_join(owner, NULL);
    return answer;
}

TEST(p10_a_foreign_chunk_is_caught)
{
    expect_stop(make_foreign_mistake, NULL, "loop_chunk_free", -EINVAL);
}

TEST(keep_of_what_is_not_lent_is_caught)
{
    loop_main_fn *mistake = keep_what_is_not_lent;

    expect_stop(make_mistake, &mistake, "loop_chunk_keep", -EINVAL);
}

/* ---- chunks of no loop ---- */

LOOP_TEST(a_detached_chunk_is_none_of_the_loops_until_it_is_attached)
{
    static struct loop_chunk *chunk;
    static size_t count;

    BEGIN;
    chunk = loop_chunk_alloc(env->loop);
    count = loop_region_count(env->loop);
    CHECK_IS(loop_chunk_detach(env->loop, chunk), 0);
    CHECK_IS(loop_region_count(env->loop), count - 1);
    CHECK_IS(loop_chunk_attach(env->loop, chunk), 0);
    CHECK_IS(loop_region_count(env->loop), count);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    CHECK_IS(loop_region_avail(env->loop), count);
    END;
}

static int attach_what_is_attached(struct loop_env *env, void *unused)
{
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);

    (void)unused;
    mistake_answer = loop_chunk_attach(env->loop, chunk);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    return 0;
}

static int detach_twice(struct loop_env *env, void *unused)
{
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);

    (void)unused;
    CHECK_IS(loop_chunk_detach(env->loop, chunk), 0);
    mistake_answer = loop_chunk_detach(env->loop, chunk);
    return 0;
}

static int free_detached(struct loop_env *env, void *unused)
{
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);

    (void)unused;
    CHECK_IS(loop_chunk_detach(env->loop, chunk), 0);
    mistake_answer = loop_chunk_free(env->loop, chunk);
    return 0;
}

static const struct {
    loop_main_fn *mistake;
    const char *function;
} moves[] = {{attach_what_is_attached, "loop_chunk_attach"},
             {detach_twice, "loop_chunk_detach"},
             {free_detached, "loop_chunk_free"}};

TEST_ROWS(a_chunk_that_is_moved_wrongly_is_caught, COUNT_OF(moves), row)
{
    loop_main_fn *mistake = moves[row].mistake;

    expect_stop(make_mistake, &mistake, moves[row].function, -EINVAL);
}

/* ---- working memory ---- */

LOOP_TEST(working_memory_is_used_again)
{
    static char *first, *second, *third;

    BEGIN;
    first = loop_scratch_take(env->loop, 1000);
    second = loop_scratch_take(env->loop, 5000);
    CHECK(first && second && (uintptr_t)first % 64 == 0 && (uintptr_t)second % 64 == 0);
    memset(first, 1, 1000);
    memset(second, 2, 5000);
    loop_scratch_give(env->loop, second);
    loop_scratch_give(env->loop, first); /* the larger one is kept */
    third = loop_scratch_take(env->loop, 5000);
    CHECK(third == second && third[0] == 2 && third[4999] == 2);
    first = loop_scratch_take(env->loop, 1);
    CHECK(first && first != third);
    loop_scratch_give(env->loop, first);
    loop_scratch_give(env->loop, third);
    loop_scratch_give(env->loop, NULL);
    CHECK(!loop_scratch_take(env->loop, SIZE_MAX));
    END;
}

/* ---- P10: chunks ---- */

static unsigned take_all_chunks(struct loop *loop, struct loop_chunk **chunks)
{
    unsigned n = 0;

    while ((chunks[n] = loop_chunk_alloc(loop)) != NULL) {
        n++;
    }
    return n;
}

LOOP_TEST_WITH(p10_alloc_says_null_when_none_is_free, .n_blocks = 4)
{
    static struct loop_chunk *chunks[100];
    static unsigned n;

    BEGIN;
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    n = take_all_chunks(env->loop, chunks);
    CHECK_IS(n, loop_region_count(env->loop));
    CHECK(is_hard("onechunk") ? n == 1 : n == 4);
    CHECK_IS(loop_region_avail(env->loop), 0);
    CHECK(!loop_chunk_alloc(env->loop));
    for (unsigned i = 0; i < n; i++) {
        CHECK_IS(loop_chunk_free(env->loop, chunks[i]), 0);
        CHECK_IS(loop_region_avail(env->loop), i + 1);
    }
    END;
}

LOOP_TEST_WITH(p10_waiters_are_served_in_line, .n_blocks = 2)
{
    enum { N = 5 };
    static struct loop_chunk *chunks[100], *got[N];
    static struct once waits[N];
    static unsigned n;
    static int at;

    BEGIN;
    n = take_all_chunks(env->loop, chunks);
    for (int i = 0; i < N; i++) {
        START(loop_chunk_alloc_wait(env->scope, &got[i], ONCE(&waits[i])));
    }
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(waits[0].count, 0);
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    /* The chunk already belongs to the first waiter: later calls do not overtake it. */
    CHECK(!loop_chunk_alloc(env->loop));
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(waits[at].count);
        ONCE_IS(waits[at], 0);
        CHECK(got[at] != NULL);
        CHECK(at == N - 1 || waits[at + 1].count == 0);
        CHECK_IS(loop_chunk_free(env->loop, got[at]), 0);
    }
    for (unsigned i = 1; i < n; i++) {
        CHECK_IS(loop_chunk_free(env->loop, chunks[i]), 0);
    }
    CHECK_IS(loop_region_avail(env->loop), n);
    END;
}

LOOP_TEST_WITH(p10_cancelled_waiters_swallow_nothing, .n_blocks = 1)
{
    static struct loop_chunk *chunks[100], *got[3];
    static struct once waits[3];
    static loop_job jobs[3];

    BEGIN;
    take_all_chunks(env->loop, chunks);
    for (int i = 0; i < 3; i++) {
        jobs[i] = START(loop_chunk_alloc_wait(env->scope, &got[i], ONCE(&waits[i])));
    }
    CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    WAIT_UNTIL(waits[0].count && waits[1].count && waits[2].count);
    ONCE_IS(waits[0], -ECANCELED);
    ONCE_IS(waits[1], -ECANCELED);
    ONCE_IS(waits[2], 0);
    CHECK(!got[0] && !got[1] && got[2]);
    CHECK_IS(loop_chunk_free(env->loop, got[2]), 0);
    CHECK_IS(loop_region_avail(env->loop), 1);
    END;
}

LOOP_TEST_WITH(p10_a_waiter_cancelled_after_its_chunk_came_has_it, .n_blocks = 1)
{
    static struct loop_chunk *chunks[100], *got;
    static struct once wait;
    static loop_job job;

    BEGIN;
    take_all_chunks(env->loop, chunks);
    job = START(loop_chunk_alloc_wait(env->scope, &got, ONCE(&wait)));
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    loop_cancel(env->loop, job);
    WAIT_UNTIL(wait.count);
    if (wait.result == 0) {
        CHECK_IS(loop_chunk_free(env->loop, got), 0);
    } else {
        CHECK_IS(wait.result, -ECANCELED);
        CHECK(!got);
    }
    CHECK_IS(loop_region_avail(env->loop), 1);
    END;
}

LOOP_TEST_WITH(p10_a_stream_waits_for_a_chunk, .n_blocks = 2)
{
    static struct loop_chunk *chunks[100];
    static struct loop_flow *flows[2];
    static char bytes[64];
    static struct record record = {bytes, sizeof bytes, 0, 0, 0, 0};
    static struct loop_stats stats;
    static uint64_t waits;

    BEGIN;
    make_flows(env->scope, flows);
    take_all_chunks(env->loop, chunks);
    loop_get_stats(env->loop, &stats);
    waits = stats.chunk_waits;
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "wait", 4, 0), 4);
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(record.chunks + record.ends, 0);
    loop_get_stats(env->loop, &stats);
    CHECK(stats.chunk_waits > waits);
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    WAIT_UNTIL(record.length == 4);
    CHECK(memcmp(bytes, "wait", 4) == 0);
    loop_flow_close(flows[1]);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK_IS(loop_region_avail(env->loop), 1);
    END;
}

LOOP_TEST_WITH(p10_a_cancelled_stream_in_line_swallows_no_chunk, .n_blocks = 1)
{
    static struct loop_chunk *chunks[100];
    static struct loop_flow *flows[2];
    static struct record record;
    static loop_job stream;

    BEGIN;
    make_flows(env->scope, flows);
    take_all_chunks(env->loop, chunks);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    stream = START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -ECANCELED);
    CHECK_IS(loop_region_avail(env->loop), 1);
    END;
}
