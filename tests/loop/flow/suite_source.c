/* SPDX-License-Identifier: ISC
 *
 * loop_read and loop_read_exact: order, ends and errors.
 */
#include "harness.h"

/* ---- P2: one way for errors ---- */

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

/* ---- P5: what a write says ---- */

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
