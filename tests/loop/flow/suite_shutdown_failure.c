/* SPDX-License-Identifier: ISC
 *
 * What becomes of a shutdown behind a write that fails: it sends no end, so that the peer cannot mistake what it got
 * for all. The first use of a call fails.
 */
#include "failing.h"

#if NORIA_HARD_MODES

#include "writing.h"

#include <net/pass.h>

static struct once shut;
static struct once ended;

static struct once last_write, last_shut;

/* Checks that nothing has ended the output: what is written now arrives, and then the end. */
#define OUTPUT_GOES_ON                                                                                                 \
    do {                                                                                                               \
        NOTHING_ARRIVED;                                                                                               \
        START(loop_write(&flow->sink, "ef", 2, ONCE(&last_write)));                                                    \
        START(loop_shutdown(&flow->sink, ONCE(&last_shut)));                                                           \
        WAIT_UNTIL(last_write.count &&last_shut.count);                                                                \
        ONCE_IS(last_write, 2);                                                                                        \
        ONCE_IS(last_shut, 0);                                                                                         \
        ARRIVED("ef");                                                                                                 \
        CHECK_IS(recv(fds[1], got, sizeof got, MSG_DONTWAIT), 0);                                                      \
        close(fds[1]);                                                                                                 \
    } while (0)

static void open_row(struct loop_env *env)
{
    if (script.row == 0) {
        open_pair(env->scope, SOCK_STREAM);
    } else {
        make_tcp_pair(fds);
        flow = flow_of(env->scope, fds[0]);
    }
}

static void in_one_continuation(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_row(env);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
    WAIT_UNTIL(writes[0].count && shut.count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(shut, -ENOBUFS);
    CHECK(writes[0].order < shut.order);
    OUTPUT_GOES_ON;
    END;
}

TEST_ROWS(a_shutdown_behind_a_write_that_fails_sends_no_end, 2, row)
{
    script.row = row;
    run_failing("send:ENOBUFS:1", in_one_continuation);
}

static void behind_two(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_row(env);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    START(loop_write(&flow->sink, "cd", 2, ONCE(&writes[1])));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
    WAIT_UNTIL(writes[0].count && writes[1].count && shut.count);
    ONCE_IS(writes[1], -ENOBUFS);
    ONCE_IS(shut, -ENOBUFS);
    OUTPUT_GOES_ON;
    END;
}

TEST_ROWS(a_shutdown_behind_writes_that_fail_together_sends_no_end, 2, row)
{
    script.row = row;
    run_failing(is_hard("short") ? "send:ENOBUFS:1" : "sendmsg:ENOBUFS:1", behind_two);
}

/* What fails in front of the shutdown, which is started in the same line. */
static void start_in_front(struct loop_env *env)
{
    static int sources[2];
    struct loop_flow *from;
    struct loop_fd *passed;

    if (script.row == 0) {
        START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    } else if (script.row == 1) {
        from = flow_of(env->scope, make_file("ab", 2));
        START(loop_copy(&from->source, &flow->sink, ONCE(&writes[0])));
    } else if (script.row == 2) {
        make_pair(sources);
        from = flow_of(env->scope, sources[0]);
        CHECK_IS(send(sources[1], "ab", 2, 0), 2);
        close(sources[1]);
        START(loop_copy(&from->source, &flow->sink, ONCE(&writes[0])));
    } else {
        passed = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
        START(loop_send_fds(flow, &passed, 1, "ab", 2, ONCE(&writes[0])));
    }
}

static const char *const failing_in_line[] = {"send:ENOBUFS:2", "sendfile:ENOBUFS:2", "send:ENOBUFS:2",
                                              "sendmsg:ENOBUFS:2"};

/* The line waits for room when the shutdown joins it. */
static void in_line(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_full(env->scope);
    start_in_front(env);
    AWAIT(turns(env->scope, 3, GO));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(writes[0].count + shut.count, 0);
    drain(fds[1]);
    WAIT_UNTIL(writes[0].count && shut.count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(shut, -ENOBUFS);
    OUTPUT_GOES_ON;
    END;
}

TEST_ROWS(a_shutdown_in_line_behind_what_fails_sends_no_end, COUNT_OF(failing_in_line), row)
{
    script.row = row;
    run_failing(failing_in_line[row], in_line);
}

static void start_shutdown(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
    CHECK_IS(writes[0].count, 0);
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
}

static void before_it_is_known(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_row(env);
    start_both(env, start_shutdown);
    WAIT_UNTIL(writes[0].count && shut.count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(shut, -ENOBUFS);
    OUTPUT_GOES_ON;
    END;
}

TEST_ROWS(a_shutdown_before_a_failure_is_known_sends_no_end, 2, row)
{
    script.row = row;
    run_failing("send:ENOBUFS:1", before_it_is_known);
}

static void shut_down_all_the_same(void *arg, int64_t result)
{
    (void)arg;
    CHECK_IS(result, -ENOBUFS);
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
}

static void when_it_is_known(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_row(env);
    START(loop_write(&flow->sink, "ab", 2, shut_down_all_the_same, NULL));
    WAIT_UNTIL(shut.count);
    ONCE_IS(shut, 0);
    CHECK_IS(recv(fds[1], got, sizeof got, MSG_DONTWAIT), 0);
    close(fds[1]);
    END;
}

TEST_ROWS(a_program_that_knows_of_the_failure_may_shut_down, 2, row)
{
    script.row = row;
    run_failing("send:ENOBUFS:1", when_it_is_known);
}

/* A shutdown without a continuation fails the scope instead. */
static void unheard(struct loop_env *env, int64_t result)
{
    static struct loop_scope *scope;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    open_pair(scope, SOCK_STREAM);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    loop_shutdown(&flow->sink, NULL, NULL);
    WAIT_UNTIL(ended.count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(ended, -ENOBUFS);
    close(fds[1]);
    END;
}

TEST(a_shutdown_without_a_continuation_fails_its_scope)
{
    run_failing("send:ENOBUFS:1", unheard);
}

static void messages(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_pair(env->scope, SOCK_SEQPACKET);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    START(loop_write(&flow->sink, "cd", 2, ONCE(&writes[1])));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
    WAIT_UNTIL(writes[0].count && writes[1].count && shut.count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(writes[1], 2);
    ONCE_IS(shut, 0);
    ARRIVED("cd");
    CHECK_IS(recv(fds[1], got, sizeof got, MSG_DONTWAIT), 0);
    close(fds[1]);
    END;
}

TEST(a_message_that_fails_ends_no_shutdown)
{
    run_failing("send:ENOBUFS:1", messages);
}

/* ---- pipes and files ---- */

static void in_pipe(struct loop_env *env, int64_t result)
{
    static struct loop_source *source;
    static struct loop_sink *sink;

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    START(loop_write(sink, "ab", 2, ONCE(&writes[0])));
    START(loop_shutdown(sink, ONCE(&shut)));
    WAIT_UNTIL(writes[0].count && shut.count);
    ONCE_IS(writes[0], -ENOMEM);
    ONCE_IS(shut, -ENOMEM);
    AWAIT(loop_write(sink, "ef", 2, GO));
    CHECK_IS(result, 2);
    AWAIT(loop_shutdown(sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read_exact(source, got, 3, GO));
    CHECK_IS(result, 2);
    CHECK(memcmp(got, "ef", 2) == 0);
    END;
}

TEST(a_pipe_stays_open_behind_a_write_that_fails)
{
    run_failing("write:ENOMEM:1", in_pipe);
}

static void in_file(struct loop_env *env, int64_t result)
{
    BEGIN;
    flow = flow_of(env->scope, make_file("", 0));
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    START(loop_write(&flow->sink, "cd", 2, ONCE(&writes[1])));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
    WAIT_UNTIL(writes[0].count && writes[1].count && shut.count);
    ONCE_IS(writes[1], -ENOSPC);
    ONCE_IS(shut, -ENOSPC);
    AWAIT(loop_shutdown(&flow->sink, GO));
    CHECK_IS(result, 0);
    END;
}

TEST(a_shutdown_of_a_file_tells_of_a_write_that_fails)
{
    run_failing("pwritev2:ENOSPC:1", in_file);
}

/* ---- watches ---- */

/* The write waits for room when the watch for it fails. What follows before that is known would follow a gap. */
static void unwatched(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_full(env->scope);
    NEXT_WATCH_FAILS;
    if (strcmp(loop_backend_name(env->loop), "epoll") != 0) {
        close(fds[1]);
        script.is_done = true; /* the ring's watches do not fail so */
        return;
    }
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
    WAIT_UNTIL(writes[0].count && shut.count);
    ONCE_IS(writes[0], -ENOMEM);
    ONCE_IS(shut, -ENOMEM);
    drain(fds[1]);
    OUTPUT_GOES_ON;
    END;
}

TEST(a_shutdown_behind_a_write_that_cannot_be_watched_sends_no_end)
{
    run_trial(unwatched);
    run_unwatched(unwatched);
}

/* ---- refused writes ---- */

static void refused(struct loop_env *env, int64_t result)
{
    static char text[4] = "abcd";

    BEGIN;
    open_row(env);
    CHECK_IS(loop_sink_limit(&flow->sink, 4), 0);
    START(loop_write(&flow->sink, text, 4, ONCE(&writes[0])));
    START(loop_write(&flow->sink, "xy", 2, ONCE(&writes[1])));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
    WAIT_UNTIL(writes[0].count && writes[1].count && shut.count);
    ONCE_IS(writes[0], 4);
    ONCE_IS(writes[1], -ENOBUFS);
    ONCE_IS(shut, -ENOBUFS);
    ARRIVED("abcd");
    OUTPUT_GOES_ON;
    END;
}

TEST_ROWS(a_shutdown_behind_a_refused_write_sends_no_end, 2, row)
{
    script.row = row;
    run_failing(NULL, refused);
}

static void copied(struct loop_env *env, int64_t result)
{
    static struct loop_source *source;
    static struct loop_copy_outcome outcome;

    BEGIN;
    open_row(env);
    source = loop_memory_source(env->scope, "cd", 2);
    CHECK_IS(loop_sink_limit(&flow->sink, 4), 0);
    START(loop_write(&flow->sink, "abcd", 4, ONCE(&writes[0])));
    START(loop_write(&flow->sink, "xy", 2, ONCE(&writes[1])));
    START(loop_copy_report(source, &flow->sink, &outcome, ONCE(&writes[2])));
    WAIT_UNTIL(writes[0].count && writes[1].count && writes[2].count);
    ONCE_IS(writes[1], -ENOBUFS);
    ONCE_IS(writes[2], -ENOBUFS);
    CHECK(outcome.error == -ENOBUFS && outcome.is_sink_error);
    ARRIVED("abcd");
    OUTPUT_GOES_ON;
    END;
}

TEST_ROWS(a_copy_behind_a_refused_write_leaves_no_gap, 2, row)
{
    script.row = row;
    run_failing(NULL, copied);
}

/* ---- sinks without a descriptor ---- */

static struct basin basin;

static void open_basin(struct loop_scope *scope)
{
    loop_writer_destroy(fill_basin(&basin, scope, 0));
}

static void in_own_sink(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_basin(env->scope);
    basin.error = script.row == 0 ? -EIO : 0;
    basin.step = 1;
    START(loop_write(&basin.sink, "ab", 2, ONCE(&writes[0])));
    START(loop_shutdown(&basin.sink, ONCE(&shut)));
    WAIT_UNTIL(writes[0].count && shut.count);
    CHECK_IS(writes[0].result, script.row == 0 ? -EIO : 1);
    ONCE_IS(shut, -EIO);
    CHECK_IS(basin.shutdowns, 0);
    AWAIT(loop_shutdown(&basin.sink, GO));
    CHECK_IS(result, 0);
    CHECK_IS(basin.shutdowns, 1);
    END;
}

/* The write fails, or stops behind its first byte. */
LOOP_TEST_ROWS(a_sink_of_ones_own_is_not_shut_down_behind_a_write_that_fails, 2)
{
    in_own_sink(env, result);
}

LOOP_TEST(a_sink_of_ones_own_is_not_shut_down_behind_a_refused_write)
{
    BEGIN;
    open_basin(env->scope);
    CHECK_IS(loop_sink_limit(&basin.sink, 2), 0);
    START(loop_write(&basin.sink, "ab", 2, ONCE(&writes[0])));
    START(loop_write(&basin.sink, "cd", 2, ONCE(&writes[1])));
    START(loop_shutdown(&basin.sink, ONCE(&shut)));
    WAIT_UNTIL(writes[0].count && writes[1].count && shut.count);
    ONCE_IS(writes[0], 2);
    ONCE_IS(writes[1], -ENOBUFS);
    ONCE_IS(shut, -ENOBUFS);
    CHECK_IS(basin.shutdowns, 0);
    END;
}

LOOP_TEST(a_memory_sink_has_no_gap_behind_a_write_that_fails)
{
    static struct loop_sink *sink;
    static size_t len;

    BEGIN;
    sink = loop_memory_sink(env->scope, 4);
    START(loop_write(sink, "ab", 2, ONCE(&writes[0])));
    START(loop_write(sink, "cde", 3, ONCE(&writes[1])));
    START(loop_write(sink, "f", 1, ONCE(&writes[2])));
    START(loop_shutdown(sink, ONCE(&shut)));
    WAIT_UNTIL(writes[0].count && writes[1].count && writes[2].count && shut.count);
    ONCE_IS(writes[1], -ENOSPC);
    ONCE_IS(writes[2], -ENOSPC);
    ONCE_IS(shut, -ENOSPC);
    AWAIT(loop_write(sink, "g", 1, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_shutdown(sink, GO));
    CHECK_IS(result, 0);
    CHECK(memcmp(loop_memory_data(sink, &len), "abg", 3) == 0 && len == 3);
    END;
}

#else

TEST(nothing_can_be_made_to_fail)
{
}

#endif
