/* SPDX-License-Identifier: ISC
 *
 * What becomes of the writes behind one that fails, although the next would succeed: the bytes written have no gap. The
 * first use of a call fails.
 */
#include "failing.h"

#if NORIA_HARD_MODES

#include <loop/part.h>
#include <net/pass.h>

/* ---- descriptors ---- */

static void in_one_call(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_pair(env->scope, SOCK_STREAM);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    START(loop_write(&flow->sink, "cd", 2, ONCE(&writes[1])));
    WAIT_UNTIL(writes[0].count && writes[1].count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(writes[1], -ENOBUFS);
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    AWAIT(loop_write(&flow->sink, "ef", 2, GO));
    CHECK_IS(result, 2);
    ARRIVED("ef");
    close(fds[1]);
    END;
}

TEST(writes_in_line_behind_one_that_fails_leave_no_gap)
{
    run_failing(is_hard("short") ? "send:ENOBUFS:1" : "sendmsg:ENOBUFS:1", in_one_call);
}

static void interrupted_copy(struct loop_env *env, int64_t result)
{
    static struct loop_flow *peer;

    BEGIN;
    make_tcp_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    peer = flow_of(env->scope, fds[1]);
    START(loop_copy(&flow->source, &flow->sink, ONCE(&writes[0])));
    CHECK_IS(send(fds[1], "ab", 2, MSG_NOSIGNAL), 2);
    AWAIT(loop_read_exact(&peer->source, got, 2, GO));
    CHECK_IS(result, 2);
    CHECK(memcmp(got, "ab", 2) == 0);
    AWAIT(loop_shutdown(&peer->sink, GO));
    WAIT_UNTIL(writes[0].count);
    ONCE_IS(writes[0], 2);
    END;
}

TEST(a_copy_goes_on_after_a_send_that_a_signal_has_interrupted)
{
    run_failing("send:EINTR:1", interrupted_copy);
}

static void start_second(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
    CHECK_IS(writes[0].count, 0);
    START(loop_write(&flow->sink, "cd", 2, ONCE(&writes[1])));
}

static void before_it_is_known(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_pair(env->scope, SOCK_STREAM);
    start_both(env, start_second);
    WAIT_UNTIL(writes[0].count && writes[1].count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(writes[1], -ENOBUFS);
    AWAIT(loop_write(&flow->sink, "ef", 2, GO));
    CHECK_IS(result, 2);
    ARRIVED("ef");
    close(fds[1]);
    END;
}

TEST(writes_before_a_failure_is_known_leave_no_gap)
{
    run_failing("send:ENOBUFS:1", before_it_is_known);
}

static int passed_number = -1;

static loop_job send_descriptor(const char *text, struct once *once)
{
    struct loop_fd *passed = loop_fd_adopt(flow->scope, passed_number);

    return loop_send_fds(flow, &passed, 1, text, strlen(text), ONCE(once));
}

static void send_first(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
    passed_number = open("/dev/null", O_RDONLY | O_CLOEXEC);
    START(send_descriptor("ab", &writes[0]));
}

static void send_second(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
    CHECK_IS(writes[0].count, 0);
    passed_number = open("/dev/null", O_RDONLY | O_CLOEXEC);
    START(send_descriptor("cd", &writes[1]));
}

static struct loop_copy_outcome second_outcome;

static void copy_second(void *arg, int64_t result)
{
    struct loop_source *source = loop_memory_source(flow->scope, "cd", 2);

    (void)arg;
    (void)result;
    CHECK_IS(writes[0].count, 0);
    START(loop_copy_report(source, &flow->sink, &second_outcome, ONCE(&writes[1])));
}

static void copy_file_second(void *arg, int64_t result)
{
    struct loop_flow *file = flow_of(flow->scope, make_file("cd", 2));

    (void)arg;
    (void)result;
    CHECK_IS(writes[0].count, 0);
    START(loop_copy_report(&file->source, &flow->sink, &second_outcome, ONCE(&writes[1])));
}

/* What fails first, and what is started behind it before its continuation is resumed. */
static const struct {
    const char *failing;
    loop_fn *first, *second;
} behind[] = {
    {"sendmsg:ENOBUFS:1", send_first, start_second},   {"sendmsg:ENOBUFS:1", send_first, send_second},
    {"sendmsg:ENOBUFS:1", send_first, copy_second},    {"sendmsg:ENOBUFS:1", send_first, copy_file_second},
    {"send:ENOBUFS:1", start_first, send_second},      {"send:ENOBUFS:1", start_first, copy_second},
    {"send:ENOBUFS:1", start_first, copy_file_second},
};

static bool has_second;
static loop_fn *behind_second;

/* Starts the second when the first has failed and its continuation has not been resumed. */
static void look(void)
{
    if (!has_second && loop_kernel_fail_failed() == 1 && writes[0].count == 0) {
        has_second = true;
        behind_second(NULL, 0);
    }
}

static struct loop_flow *bell;
static int bell_number;
static char bell_byte;

/* Looks in every turn, when input is handled. */
static void on_bell(void *arg, int64_t result)
{
    (void)arg;
    look();
    if (result > 0 && writes[0].count == 0) {
        CHECK_IS(send(bell_number, "x", 1, 0), 1);
        START(loop_read(&bell->source, &bell_byte, 1, on_bell, NULL));
    }
}

/* Looks in every turn, when jobs are resumed that have ended. */
static void on_turn(void *arg, int64_t result)
{
    (void)result;
    look();
    if (writes[0].count == 0) {
        START(turns(arg, 1, on_turn, arg));
    }
}

static void behind_another_kind(struct loop_env *env, int64_t result)
{
    static loop_job job;
    static int bells[2];

    BEGIN;
    open_pair(env->scope, SOCK_STREAM);
    make_pair(bells);
    bell = flow_of(env->scope, bells[0]);
    bell_number = bells[1];
    on_bell(NULL, 1);
    on_turn(env->scope, 0);
    job = START(loop_promise(env->scope, NULL, NULL, behind[script.row].first, NULL));
    CHECK_IS(loop_resolve(env->loop, job, 0), 0);
    on_turn(env->scope, 0);
    WAIT_UNTIL(writes[0].count && writes[1].count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(writes[1], -ENOBUFS);
    AWAIT(loop_write(&flow->sink, "ef", 2, GO));
    CHECK_IS(result, 2);
    ARRIVED("ef");
    close(fds[1]);
    close(bell_number);
    END;
}

TEST_ROWS(what_follows_a_failure_that_is_not_known_leaves_no_gap, COUNT_OF(behind), row)
{
    if (is_hard("ways") && behind[row].first == start_first) {
        return; /* the ring may send the write, which then does not fail */
    }
    script.row = row;
    behind_second = behind[row].second;
    run_failing(behind[row].failing, behind_another_kind);
}

static void half_way(struct loop_env *env, int64_t result)
{
    static struct loop_fd *passed;
    static char many[700000];

    BEGIN;
    open_pair(env->scope, SOCK_STREAM);
    passed = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    START(loop_fd_send_fds(flow->fd, many, sizeof many, &passed, 1, ONCE(&writes[0])));
    START(loop_write(&flow->sink, "cd", 2, ONCE(&writes[1])));
    WAIT_UNTIL(writes[0].count && writes[1].count);
    CHECK(writes[0].result > 0 && writes[0].result < (int64_t)sizeof many);
    ONCE_IS(writes[1], -ENOBUFS);
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    CHECK_IS(drain(fds[1]), writes[0].result);
    AWAIT(loop_write(&flow->sink, "ef", 2, GO));
    CHECK_IS(result, 2);
    ARRIVED("ef");
    close(fds[1]);
    END;
}

TEST(writes_behind_descriptors_whose_bytes_stop_half_way_leave_no_gap)
{
    if (!is_hard("ways")) { /* otherwise the ring may send the rest, which then does not fail */
        run_failing(is_hard("short") ? "send:ENOBUFS:1" : "sendmsg:ENOBUFS:2", half_way);
    }
}

static int passed_ends[2];

/* What waits in line behind the write that fails, and in front of another. */
static void wait_behind(struct loop_env *env)
{
    struct loop_flow *from;

    if (script.row == 0) {
        make_pair(passed_ends);
        from = flow_of(env->scope, passed_ends[0]);
        CHECK_IS(send(passed_ends[1], "cd", 2, 0), 2);
        START(loop_copy_report(&from->source, &flow->sink, &second_outcome, ONCE(&writes[1])));
    } else if (script.row == 1) {
        copy_file_second(NULL, 0);
    } else {
        send_second(NULL, 0);
    }
}

static void line_of_kinds(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_full(env->scope);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    AWAIT(turns(env->scope, 2, GO));
    wait_behind(env);
    AWAIT(turns(env->scope, 3, GO));
    START(loop_write(&flow->sink, "ef", 2, ONCE(&writes[2])));
    AWAIT(turns(env->scope, 1, GO));
    CHECK_IS(writes[0].count + writes[1].count + writes[2].count, 0);
    drain(fds[1]);
    WAIT_UNTIL(writes[0].count && writes[1].count && writes[2].count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(writes[1], -ENOBUFS);
    ONCE_IS(writes[2], -ENOBUFS);
    AWAIT(loop_write(&flow->sink, "gh", 2, GO));
    CHECK_IS(result, 2);
    if (script.row == 0) {
        close(passed_ends[1]);
    }
    ARRIVED("gh");
    close(fds[1]);
    END;
}

TEST_ROWS(writes_in_line_behind_another_kind_leave_no_gap, 3, row)
{
    script.row = row;
    run_failing("send:ENOBUFS:2", line_of_kinds);
}

/* The descriptors that are sent without a continuation fail behind the first, which is not known yet. */
static void send_first_and_unheard(void *arg, int64_t result)
{
    struct loop_fd *passed;

    send_first(arg, result);
    passed = loop_fd_adopt(flow->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    (void)loop_send_fds(flow, &passed, 1, "xy", 2, NULL, NULL);
}

static void behind_unheard(struct loop_env *env, int64_t result)
{
    static struct loop_scope *scope;
    static struct once end;
    static loop_job job;
    static int bells[2];

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    open_pair(scope, SOCK_STREAM);
    make_pair(bells);
    bell = flow_of(env->scope, bells[0]);
    bell_number = bells[1];
    behind_second = start_second;
    on_bell(NULL, 1);
    on_turn(env->scope, 0);
    job = START(loop_promise(scope, NULL, NULL, send_first_and_unheard, NULL));
    CHECK_IS(loop_resolve(env->loop, job, 0), 0);
    on_turn(env->scope, 0);
    WAIT_UNTIL(writes[0].count && writes[1].count && end.count);
    ONCE_IS(writes[0], -ENOBUFS);
    CHECK(writes[1].result < 0);
    ONCE_IS(end, -ENOBUFS);
    CHECK_IS(recv(fds[1], got, sizeof got, MSG_DONTWAIT), 0);
    close(fds[1]);
    close(bell_number);
    END;
}

TEST(what_is_not_heard_behind_a_failure_leaves_no_gap)
{
    run_failing("sendmsg:ENOBUFS:1", behind_unheard);
}

static void try_again(void *arg, int64_t result)
{
    (void)arg;
    CHECK_IS(result, -ENOBUFS);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
}

static void once_more(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_pair(env->scope, SOCK_STREAM);
    START(loop_write(&flow->sink, "ab", 2, try_again, NULL));
    WAIT_UNTIL(writes[0].count);
    ONCE_IS(writes[0], 2);
    ARRIVED("ab");
    close(fds[1]);
    END;
}

TEST(a_write_that_failed_may_be_tried_again_by_its_continuation)
{
    run_failing("send:ENOBUFS:1", once_more);
}

static void messages(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_pair(env->scope, SOCK_SEQPACKET);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    START(loop_write(&flow->sink, "cd", 2, ONCE(&writes[1])));
    WAIT_UNTIL(writes[0].count && writes[1].count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(writes[1], 2);
    ARRIVED("cd");
    close(fds[1]);
    END;
}

TEST(a_message_that_fails_does_not_end_the_next)
{
    run_failing("send:ENOBUFS:1", messages);
}

/* A write without a continuation fails the scope, which ends those behind it. */
static void unheard(struct loop_env *env, int64_t result)
{
    static struct loop_scope *scope;
    static struct once end;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    open_pair(scope, SOCK_STREAM);
    loop_write(&flow->sink, "ab", 2, NULL, NULL);
    loop_write(&flow->sink, "cd", 2, NULL, NULL);
    START(loop_write(&flow->sink, "ef", 2, ONCE(&writes[0])));
    WAIT_UNTIL(end.count && writes[0].count);
    ONCE_IS(end, -ENOBUFS);
    CHECK(writes[0].result < 0);
    CHECK_IS(recv(fds[1], got, sizeof got, MSG_DONTWAIT), 0);
    close(fds[1]);
    END;
}

TEST(a_write_without_a_continuation_that_fails_ends_those_behind_it)
{
    run_failing(is_hard("short") ? "send:ENOBUFS:1" : "sendmsg:ENOBUFS:1", unheard);
}

/* The write waits for room, and the copy behind it. */
static void copied_behind(struct loop_env *env, int64_t result)
{
    static struct loop_source *source;
    static struct loop_copy_outcome outcome;
    static struct once copy;

    BEGIN;
    open_full(env->scope);
    source = loop_memory_source(env->scope, "cd", 2);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    START(loop_copy_report(source, &flow->sink, &outcome, ONCE(&copy)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(writes[0].count + copy.count, 0);
    drain(fds[1]);
    WAIT_UNTIL(writes[0].count && copy.count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(copy, -ENOBUFS);
    CHECK_IS(outcome.error, -ENOBUFS);
    CHECK(outcome.is_sink_error);
    NOTHING_ARRIVED;
    close(fds[1]);
    END;
}

TEST(a_copy_behind_a_write_that_fails_leaves_no_gap)
{
    run_failing(is_hard("short") ? "send:ENOBUFS:2" : "sendmsg:ENOBUFS:1", copied_behind);
}

static void passed_behind(struct loop_env *env, int64_t result)
{
    static struct loop_flow *from;
    static struct loop_copy_outcome outcome;
    static struct once copy;
    static int sources[2];

    BEGIN;
    open_full(env->scope);
    make_pair(sources);
    from = flow_of(env->scope, sources[0]);
    CHECK_IS(send(sources[1], "cd", 2, 0), 2);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    START(loop_copy_report(&from->source, &flow->sink, &outcome, ONCE(&copy)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(writes[0].count + copy.count, 0);
    drain(fds[1]);
    WAIT_UNTIL(writes[0].count && copy.count);
    ONCE_IS(writes[0], -ENOBUFS);
    ONCE_IS(copy, -ENOBUFS);
    CHECK(outcome.is_sink_error);
    NOTHING_ARRIVED;
    AWAIT(loop_read(&from->source, got, sizeof got, GO));
    CHECK_IS(result, 2);
    close(sources[1]);
    close(fds[1]);
    END;
}

TEST(a_copy_of_descriptors_behind_a_write_that_fails_leaves_no_gap)
{
    run_failing("send:ENOBUFS:2", passed_behind);
}

/* A copy waits for room, and then fails with a write behind it. */
static void failing_copy(struct loop_env *env, int64_t result)
{
    static struct loop_flow *from;

    BEGIN;
    open_full(env->scope);
    if (script.row == 0) {
        make_pair(passed_ends);
        from = flow_of(env->scope, passed_ends[0]);
        CHECK_IS(send(passed_ends[1], "cd", 2, 0), 2);
    } else {
        from = flow_of(env->scope, make_file("cd", 2));
    }
    START(loop_copy_report(&from->source, &flow->sink, &second_outcome, ONCE(&writes[0])));
    AWAIT(turns(env->scope, 3, GO));
    START(loop_write(&flow->sink, "ef", 2, ONCE(&writes[1])));
    AWAIT(turns(env->scope, 1, GO));
    CHECK_IS(writes[0].count + writes[1].count, 0);
    drain(fds[1]);
    WAIT_UNTIL(writes[0].count && writes[1].count);
    ONCE_IS(writes[0], -ENOBUFS);
    CHECK(second_outcome.error == -ENOBUFS && second_outcome.is_sink_error);
    ONCE_IS(writes[1], -ENOBUFS);
    AWAIT(loop_write(&flow->sink, "gh", 2, GO));
    CHECK_IS(result, 2);
    AWAIT(loop_read(&from->source, got, sizeof got, GO));
    CHECK_IS(result, 2);
    if (script.row == 0) {
        close(passed_ends[1]);
    }
    ARRIVED("gh");
    close(fds[1]);
    END;
}

TEST_ROWS(writes_behind_a_copy_that_fails_leave_no_gap, 2, row)
{
    script.row = row;
    run_failing(row == 0 ? "send:ENOBUFS:2" : "sendfile:ENOBUFS:2", failing_copy);
}

/* ---- files ---- */

static void in_file(struct loop_env *env, int64_t result)
{
    static int number;

    BEGIN;
    number = make_file("", 0);
    flow = flow_of(env->scope, number);
    for (int i = 0; i < 3; i++) {
        static const char *const texts[] = {"ab", "cd", "ef"};
        START(loop_write(&flow->sink, texts[i], 2, ONCE(&writes[i])));
    }
    WAIT_UNTIL(writes[0].count && writes[1].count && writes[2].count);
    CHECK_IS(writes[0].result, -ENOSPC);
    CHECK_IS(writes[1].result, -ENOSPC);
    CHECK_IS(writes[2].result, -ENOSPC);
    AWAIT(loop_write(&flow->sink, "gh", 2, GO));
    CHECK_IS(result, 2);
    CHECK_IS(pread(number, got, sizeof got, 0), 2);
    CHECK(memcmp(got, "gh", 2) == 0);
    END;
}

TEST(writes_of_a_file_behind_one_that_fails_leave_no_gap)
{
    run_failing("pwritev2:ENOSPC:1", in_file);
}

/* A file copy waits for its turn. */
static void copied_in_file(struct loop_env *env, int64_t result)
{
    static int number;
    static struct loop_flow *from;

    BEGIN;
    number = make_file("", 0);
    flow = flow_of(env->scope, number);
    from = flow_of(env->scope, make_file("cd", 2));
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
    START(loop_copy_report(&from->source, &flow->sink, &second_outcome, ONCE(&writes[1])));
    START(loop_write(&flow->sink, "ef", 2, ONCE(&writes[2])));
    WAIT_UNTIL(writes[0].count && writes[1].count && writes[2].count);
    ONCE_IS(writes[0], -ENOSPC);
    ONCE_IS(writes[1], -ENOSPC);
    CHECK(second_outcome.error == -ENOSPC && second_outcome.is_sink_error);
    ONCE_IS(writes[2], -ENOSPC);
    AWAIT(loop_write(&flow->sink, "gh", 2, GO));
    CHECK_IS(result, 2);
    CHECK_IS(pread(number, got, sizeof got, 0), 2);
    CHECK(memcmp(got, "gh", 2) == 0);
    AWAIT(loop_read(&from->source, got, sizeof got, GO));
    CHECK_IS(result, 2);
    END;
}

TEST(a_copy_to_a_file_behind_a_write_that_fails_leaves_no_gap)
{
    run_failing("pwritev2:ENOSPC:1", copied_in_file);
}

/* The copies read one file. The first fails; the second waits for it among the reads, and a write among the writes. */
static void failing_file_copy(struct loop_env *env, int64_t result)
{
    static int number;
    static struct loop_flow *from;

    BEGIN;
    number = make_file("", 0);
    flow = flow_of(env->scope, number);
    from = flow_of(env->scope, make_file("cd", 2));
    START(loop_copy(&from->source, &flow->sink, ONCE(&writes[0])));
    START(loop_copy(&from->source, &flow->sink, ONCE(&writes[1])));
    START(loop_write(&flow->sink, "ef", 2, ONCE(&writes[2])));
    WAIT_UNTIL(writes[0].count && writes[1].count && writes[2].count);
    ONCE_IS(writes[0], -ENOSPC);
    ONCE_IS(writes[1], -ENOSPC);
    ONCE_IS(writes[2], -ENOSPC);
    AWAIT(loop_copy(&from->source, &flow->sink, GO));
    CHECK_IS(result, 2);
    CHECK_IS(pread(number, got, sizeof got, 0), 2);
    CHECK(memcmp(got, "cd", 2) == 0);
    END;
}

TEST(what_is_behind_a_copy_of_a_file_that_fails_leaves_no_gap)
{
    run_failing("copy_file_range:ENOSPC:1,write:ENOSPC:1", failing_file_copy);
}

/* ---- sends of the ring ---- */

static loop_fn *ring_second;

/* The second write is started while the ring has the first. */
static void by_the_ring(struct loop_env *env, int64_t result)
{
    static bool is_ring;

    BEGIN;
    is_ring = strcmp(loop_backend_name(env->loop), "epoll") != 0;
    open_pair(env->scope, SOCK_STREAM);
    start_both(env, ring_second);
    WAIT_UNTIL(writes[0].count && writes[1].count);
    ONCE_IS(writes[0], is_ring ? -ENOBUFS : 2);
    ONCE_IS(writes[1], is_ring ? -ENOBUFS : 2);
    AWAIT(loop_write(&flow->sink, "ef", 2, GO));
    CHECK_IS(result, 2);
    CHECK_IS(recv(fds[1], got, 2, MSG_DONTWAIT), 2);
    CHECK(memcmp(got, is_ring ? "ef" : "ab", 2) == 0);
    close(fds[1]);
    END;
}

TEST_ROWS(writes_behind_a_send_of_the_ring_that_fails_leave_no_gap, 2, row)
{
    ring_second = row == 0 ? start_second : send_second;
    bool has_ring = loop_kernel_fail_set("ring-send:ENOBUFS:1"); /* a build without it knows no such call */

    if (has_ring && !getenv("NORIA_HARD")) { /* in the hard modes system calls may send */
        script_run(&(struct loop_options){.way = LOOP_WAY_COMPLETIONS}, by_the_ring);
    }
    CHECK(loop_kernel_fail_set(NULL));
}

#else

TEST(nothing_can_be_made_to_fail)
{
}

#endif
