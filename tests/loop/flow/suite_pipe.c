/* SPDX-License-Identifier: ISC
 *
 * loop_pipe.
 */
#include "harness.h"

/* ---- pipes ---- */

LOOP_TEST(pipe_is_nonblocking_and_cloexec)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static int fds[2];
    static char got[7];

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    fds[0] = loop_fd_peek(source->ops->fd(source));
    fds[1] = loop_fd_peek(sink->ops->fd(sink));
    for (int i = 0; i < 2; i++) {
        CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CHECK_IS(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
    }
    AWAIT(loop_write(sink, "through", 7, GO));
    AWAIT(loop_read_exact(source, got, 7, GO));
    CHECK(memcmp(got, "through", 7) == 0);
    END;
}

LOOP_TEST(pipe_carries_more_than_it_holds)
{
    enum { SIZE = 1 << 20 };
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct once write;
    static char *sent, *got;

    BEGIN;
    sent = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(sent, SIZE, 12);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    START(loop_write(sink, sent, SIZE, ONCE(&write)));
    AWAIT(loop_read_exact(source, got, SIZE, GO));
    CHECK_IS(result, SIZE);
    CHECK(is_pattern(got, SIZE, 12));
    WAIT_UNTIL(write.count);
    ONCE_IS(write, SIZE);
    free(sent);
    free(got);
    END;
}

static struct loop_scope *scope_of_no_pipe;
static int late_pipe = 1;

static void make_late_pipe(void *unused)
{
    struct loop_source *source;
    struct loop_sink *sink;

    (void)unused;
    late_pipe = loop_pipe(scope_of_no_pipe, &source, &sink);
}

LOOP_TEST(pipe_in_a_scope_that_has_ended)
{
    static struct once ended;

    BEGIN;
    scope_of_no_pipe = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(scope_of_no_pipe, make_late_pipe, NULL));
    WAIT_UNTIL(ended.count);
    CHECK_IS(late_pipe, -ECANCELED);
    END;
}
