/* SPDX-License-Identifier: ISC
 *
 * Jobs that wait for a free descriptor at the descriptor limit (P12).
 */
#include "harness.h"

#include <loop/part.h>

#include <errno.h>

/* ---- P12: descriptors ---- */

LOOP_TEST(p12_descriptor_wait_hears_of_a_close)
{
    static struct loop_fd *fd;
    static struct once waited, timed;
    static int64_t began;

    BEGIN;
    fd = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    began = now_ns();
    START(loop_descriptor_wait(env->scope, 30 * LOOP_SECOND, ONCE(&waited)));
    START(loop_descriptor_wait(env->scope, LOOP_MILLISECOND, ONCE(&timed)));
    WAIT_UNTIL(timed.count);
    ONCE_IS(timed, 0);
    CHECK(now_ns() - began >= LOOP_MILLISECOND);
    CHECK_IS(waited.count, 0);
    loop_fd_close(fd);
    WAIT_UNTIL(waited.count);
    ONCE_IS(waited, 0);
    CHECK(now_ns() - began < 10 * LOOP_SECOND);
    END;
}

LOOP_TEST(p12_a_cancelled_descriptor_wait_is_not_resumed_by_a_close)
{
    static struct loop_fd *fd;
    static struct once waited;
    static loop_job job;

    BEGIN;
    fd = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    job = START(loop_descriptor_wait(env->scope, 30 * LOOP_SECOND, ONCE(&waited)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    loop_fd_close(fd);
    WAIT_UNTIL(waited.count);
    ONCE_IS(waited, -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    ONCE_IS(waited, -ECANCELED);
    END;
}
