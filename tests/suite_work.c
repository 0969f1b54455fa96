/* SPDX-License-Identifier: ISC
 *
 * Work for the pool, and its line.
 */
#include "harness.h"

#include <unistd.h>

/* Work that returns 7 when its gate is opened. */
struct hanging {
    bool has_begun, is_open; /* atomic */
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

static int64_t do_nothing(void *unused)
{
    (void)unused;
    return 1;
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
