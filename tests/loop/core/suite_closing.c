/* SPDX-License-Identifier: ISC
 *
 * Closing (P6 to P8): descriptors that close when nobody uses them, scopes that end when nothing is left in them, and
 * a loop that leaves nothing behind.
 */
#include "harness.h"

#include <pthread.h>

/* ---- P6: descriptors ---- */

LOOP_TEST(p06_a_closed_fd_takes_nothing_new)
{
    static struct loop_flow *flows[2];
    static struct loop_fd *fd;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    fd = flows[0]->fd;
    CHECK(loop_fd_is_open(fd));
    CHECK(loop_fd_peek(fd) >= 0);
    CHECK_IS(loop_fd_close(fd), 0);
    CHECK(!loop_fd_is_open(fd));
    CHECK_IS(loop_fd_peek(fd), -1);
    CHECK_IS(loop_fd_use(fd), -EBADF);
    AWAIT(loop_read(&flows[0]->source, &byte, 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_write(&flows[0]->sink, "x", 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_poll(fd, POLLIN, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_shutdown(&flows[0]->sink, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_send(NULL, fd, "x", 1, 0, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(p06_a_second_close_is_harmless)
{
    static struct loop_flow *flows[2];

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    CHECK_IS(loop_flow_close(flows[0]), -EBADF);
    CHECK_IS(loop_source_close(&flows[0]->source), -EBADF);
    CHECK_IS(loop_sink_close(&flows[0]->sink), -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    CHECK_IS(loop_source_close(&flows[1]->source), 0);
    CHECK_IS(loop_sink_close(&flows[1]->sink), -EBADF);
    AWAIT(loop_op_close(env->scope, flows[1]->fd, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_fd_take(flows[1]->fd, GO));
    CHECK_IS(result, -EBADF);
    END;
}

static int closing_number;
static bool was_open_when_resumed;
static struct once closing_read;

static void note_open(void *unused, int64_t result)
{
    (void)unused;
    was_open_when_resumed = is_open(closing_number);
    once_resumed(&closing_read, result);
}

LOOP_TEST(p06_what_is_in_flight_ends_before_the_number_is_given_back)
{
    static struct loop_flow *flows[2];
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    closing_number = loop_fd_peek(flows[0]->fd);
    START(loop_read(&flows[0]->source, &byte, 1, note_open, NULL));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    CHECK(is_open(closing_number));
    CHECK_IS(closing_read.count, 0);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    ONCE_IS(closing_read, -ECANCELED);
    CHECK(was_open_when_resumed);
    CHECK(!is_open(closing_number));
    END;
}

LOOP_TEST(p06_what_is_not_yet_submitted_counts_as_use)
{
    static struct loop_flow *flows[2];
    static struct once op, send;
    static int number;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    START(loop_op_recv(NULL, flows[0]->fd, &byte, 1, 0, ONCE(&op)));
    START(loop_op_send(NULL, flows[0]->fd, "x", 1, 0, ONCE(&send)));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    CHECK(is_open(number));
    WAIT_UNTIL(op.count && send.count);
    ONCE_IS(op, -ECANCELED);
    CHECK(send.result == 1 || send.result == -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(!is_open(number));
    END;
}

LOOP_TEST(p06_a_used_number_stays_open)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static int number;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_use(flows[0]->fd);
    CHECK_IS(number, loop_fd_peek(flows[0]->fd));
    START(loop_read(&flows[1]->source, &byte, 1, ONCE(&read)));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    AWAIT(turns(env->scope, 5, GO));
    CHECK(is_open(number));
    CHECK_IS(read.count, 0);
    CHECK_IS(send(number, "x", 1, 0), 1);
    loop_fd_unuse(flows[0]->fd);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 1);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    CHECK(!is_open(number));
    END;
}

LOOP_TEST(p06_take_gives_the_number_when_nobody_uses_it)
{
    static struct loop_flow *flows[2];
    static struct once read, take;
    static int number;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
    CHECK_IS(loop_fd_use(flows[0]->fd), number);
    START(loop_fd_take(flows[0]->fd, ONCE(&take)));
    CHECK(!loop_fd_is_open(flows[0]->fd));
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    AWAIT(turns(env->scope, 5, GO));
    ONCE_IS(read, -ECANCELED);
    CHECK_IS(take.count, 0);
    loop_fd_unuse(flows[0]->fd);
    WAIT_UNTIL(take.count);
    ONCE_IS(take, number);
    CHECK(read.order < take.order);
    CHECK_IS(send(number, "y", 1, 0), 1);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(byte, 'y');
    CHECK_IS(close(number), 0);
    END;
}

LOOP_TEST(p06_a_taken_number_works_on_in_another_object)
{
    static struct loop_flow *flows[2], *again;
    static struct once take;
    static char bytes[4];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_write(&flows[1]->sink, "ab", 2, GO));
    AWAIT(loop_read_exact(&flows[0]->source, bytes, 1, GO));
    START(loop_fd_take(flows[0]->fd, ONCE(&take)));
    WAIT_UNTIL(take.count);
    again = flow_of(env->scope, (int)take.result);
    AWAIT(loop_read_exact(&again->source, bytes, 1, GO));
    CHECK_IS(bytes[0], 'b');
    AWAIT(loop_read(&flows[0]->source, bytes, 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_write(&flows[1]->sink, "c", 1, GO));
    AWAIT(loop_read_exact(&again->source, bytes, 1, GO));
    CHECK_IS(bytes[0], 'c');
    END;
}

LOOP_TEST(p06_borrowed_descriptors_are_neither_closed_nor_changed)
{
    static struct loop_scope *scope;
    static struct loop_fd *fd;
    static struct once ended, read;
    static int fds[2], flags;
    static char byte;

    BEGIN;
    make_pipe(fds);
    fcntl(fds[0], F_SETFD, 0);
    flags = fcntl(fds[0], F_GETFL);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    fd = loop_fd_borrow(scope, fds[0]);
    START(loop_read(&loop_fd_flow(fd)->source, &byte, 1, ONCE(&read)));
    CHECK_IS(write(fds[1], "z", 1), 1);
    WAIT_UNTIL(ended.count);
    ONCE_IS(read, 1);
    CHECK_IS(fcntl(fds[0], F_GETFL), flags);
    CHECK_IS(fcntl(fds[0], F_GETFD), 0);
    close(fds[0]);
    close(fds[1]);
    END;
}

LOOP_TEST(p06_closing_a_borrowed_one_ends_what_is_in_flight)
{
    static struct loop_fd *fd;
    static struct once pending;
    static int fds[2];
    static char byte;

    BEGIN;
    make_pipe(fds);
    fd = loop_fd_borrow(env->scope, fds[0]);
    START(loop_read(&loop_fd_flow(fd)->source, &byte, 1, ONCE(&pending)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_close(fd), 0);
    WAIT_UNTIL(pending.count);
    ONCE_IS(pending, -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_open(fds[0]));
    CHECK_IS(write(fds[1], "z", 1), 1);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read(fds[0], &byte, 1), 1);
    close(fds[0]);
    close(fds[1]);
    END;
}

LOOP_TEST(p06_adopted_descriptors_become_cloexec_and_streams_nonblocking)
{
    static int pipes[2], sockets[2], file;

    BEGIN;
    CHECK_IS(pipe(pipes), 0);
    CHECK_IS(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    file = open("/dev/null", O_RDWR);
    adopt(env->scope, pipes[0]);
    adopt(env->scope, pipes[1]);
    adopt(env->scope, sockets[0]);
    adopt(env->scope, sockets[1]);
    adopt(env->scope, file);
    for (int i = 0; i < 2; i++) {
        CHECK_IS(fcntl(pipes[i], F_GETFD), FD_CLOEXEC);
        CHECK_IS(fcntl(sockets[i], F_GETFD), FD_CLOEXEC);
        CHECK(fcntl(pipes[i], F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(sockets[i], F_GETFL) & O_NONBLOCK);
    }
    CHECK_IS(fcntl(file, F_GETFD), FD_CLOEXEC);
    END;
}

LOOP_TEST(p06_what_is_no_descriptor_is_not_adopted)
{
    BEGIN;
    CHECK(!loop_fd_adopt(env->scope, -1));
    CHECK(!loop_fd_adopt(env->scope, lowest_free_fd()));
    CHECK(!loop_fd_adopt(env->scope, INT32_MAX));
    CHECK(!loop_fd_borrow(env->scope, -1));
    CHECK(!loop_fd_borrow(env->scope, lowest_free_fd()));
    loop_fd_destroy(NULL);
    END;
}

static struct loop_scope *ended_scope;
static int adopted_too_late;
static struct loop_fd *object_too_late;

static void adopt_too_late(void *unused)
{
    (void)unused;
    object_too_late = loop_fd_adopt(ended_scope, adopted_too_late);
}

LOOP_TEST(p06_what_is_adopted_too_late_is_closed)
{
    static struct once ended;

    BEGIN;
    adopted_too_late = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ended_scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(ended_scope, adopt_too_late, NULL));
    WAIT_UNTIL(ended.count);
    CHECK(!object_too_late);
    CHECK(!is_open(adopted_too_late));
    END;
}

LOOP_TEST(p06_destroy_gives_the_object_back)
{
    static struct loop_stats before, after;
    static struct loop_flow *flows[2];
    static struct once read;
    static int number;
    static char byte;

    BEGIN;
    loop_get_stats(env->loop, &before);
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
    loop_fd_destroy(flows[0]->fd);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, -ECANCELED);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    CHECK(!is_open(number));
    loop_fd_close(flows[1]->fd);
    loop_fd_destroy(flows[1]->fd);
    AWAIT(turns(env->scope, 4, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.fds_now, before.fds_now);
    END;
}

LOOP_TEST(p06_the_next_file_with_the_same_number_is_left_alone)
{
    static struct loop_flow *flows[2], *next;
    static int number, fds[2];
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    loop_fd_close(flows[0]->fd);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    make_pair(fds);
    CHECK(fds[0] == number || fds[1] == number);
    next = flow_of(env->scope, number);
    CHECK_IS(send(fds[0] == number ? fds[1] : fds[0], "n", 1, 0), 1);
    AWAIT(loop_read(&flows[0]->source, &byte, 1, GO));
    CHECK_IS(result, -EBADF);
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_read(&next->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    close(fds[0] == number ? fds[1] : fds[0]);
    END;
}

LOOP_TEST(p06_close_ends_every_waiter_in_order)
{
    enum { N = 20 };
    static struct loop_flow *flows[2];
    static struct once reads[N];
    static char bytes[N];

    BEGIN;
    make_flows(env->scope, flows);
    for (int i = 0; i < N; i++) {
        START(loop_read(&flows[0]->source, &bytes[i], 1, ONCE(&reads[i])));
    }
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    WAIT_UNTIL(reads[N - 1].count);
    for (int i = 0; i < N; i++) {
        ONCE_IS(reads[i], -ECANCELED);
        CHECK(i == 0 || reads[i].order > reads[i - 1].order);
    }
    END;
}

static struct loop_flow *self_flow;
static struct once self_read;

static void close_own(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(loop_flow_close(self_flow), 0);
    once_resumed(&self_read, result);
}

LOOP_TEST(p06_a_continuation_closes_its_own_fd)
{
    static struct loop_flow *flows[2];
    static char bytes[2];

    BEGIN;
    make_flows(env->scope, flows);
    self_flow = flows[0];
    START(loop_read(&flows[0]->source, bytes, 1, close_own, NULL));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(self_read.count);
    ONCE_IS(self_read, 1);
    AWAIT(loop_read(&flows[1]->source, bytes, 1, GO));
    CHECK_IS(result, 0);
    END;
}

static struct record own_record;

static void close_own_stream(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    record_stream(&own_record, result, chunk);
    if (chunk) {
        CHECK_IS(loop_flow_close(self_flow), 0);
    }
}

LOOP_TEST(p06_a_stream_closes_its_own_fd)
{
    static struct loop_flow *flows[2];
    static char bytes[16];

    BEGIN;
    own_record.data = bytes;
    own_record.room = sizeof bytes;
    make_flows(env->scope, flows);
    self_flow = flows[0];
    START(loop_stream(&flows[0]->source, close_own_stream, NULL));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "some", 4, 0), 4);
    WAIT_UNTIL(own_record.ends);
    CHECK_IS(own_record.end, -ECANCELED);
    CHECK_IS(own_record.chunks, 1);
    END;
}

/* ---- P7: scopes ---- */

static struct loop_fd *scoped_fd;
static int scoped_number;

static void hook_one(void *name)
{
    trace("hook %s, fd %s", (const char *)name,
          loop_fd_peek(scoped_fd) >= 0 && is_open(scoped_number) ? "open" : "closed");
}

static void scope_ended(void *name, int64_t result)
{
    trace("%s ended with %lld, fd %s", (const char *)name, (long long)result,
          is_open(scoped_number) ? "open" : "closed");
    script_poke();
}

LOOP_TEST(p07_hooks_last_in_first_out_then_fds_then_on_end)
{
    static struct loop_scope *scope;
    static char names[][4] = {"a", "b", "c", "s"};

    BEGIN;
    scope = loop_scope_open(env->scope, scope_ended, names[3]);
    scoped_number = open("/dev/null", O_RDONLY | O_CLOEXEC);
    scoped_fd = adopt(scope, scoped_number);
    for (int i = 0; i < 3; i++) {
        CHECK(loop_scope_defer(scope, hook_one, names[i]));
    }
    START(loop_sleep(scope, 0, NULL, NULL));
    WAIT_UNTIL(strstr(trace_text(), "ended"));
    CHECK_TEXT(trace_text(), "hook c, fd open\nhook b, fd open\nhook a, fd open\ns ended with 0, fd closed\n");
    END;
}

LOOP_TEST(p07_all_hooks_run_also_after_a_failure)
{
    static struct loop_scope *scope;
    static char names[][4] = {"a", "b", "s"};

    BEGIN;
    scope = loop_scope_open(env->scope, scope_ended, names[2]);
    scoped_number = open("/dev/null", O_RDONLY | O_CLOEXEC);
    scoped_fd = adopt(scope, scoped_number);
    CHECK(loop_scope_defer(scope, hook_one, names[0]));
    CHECK(loop_scope_defer(scope, hook_one, names[1]));
    loop_scope_fail(scope, -EPROTO);
    WAIT_UNTIL(strstr(trace_text(), "ended"));
    CHECK_TEXT(trace_text(), "hook b, fd open\nhook a, fd open\ns ended with -71, fd closed\n");
    END;
}

static void count_hook(void *count)
{
    ++*(int *)count;
}

LOOP_TEST(p07_a_removed_hook_does_not_run)
{
    static struct loop_scope *scope;
    static struct loop_hook *hooks[3];
    static struct once ended;
    static int counts[3];

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    for (int i = 0; i < 3; i++) {
        hooks[i] = loop_scope_defer(scope, count_hook, &counts[i]);
    }
    loop_hook_remove(scope, hooks[1]);
    loop_hook_remove(scope, NULL);
    WAIT_UNTIL(ended.count);
    CHECK(counts[0] == 1 && counts[1] == 0 && counts[2] == 1);
    END;
}

static struct loop_scope *hooked_scope;
static int late_hook_ran;

static void add_late_hook(void *unused)
{
    (void)unused;
    CHECK(!loop_scope_defer(hooked_scope, count_hook, &late_hook_ran));
    CHECK_IS(late_hook_ran, 1);
}

LOOP_TEST(p07_a_hook_that_comes_too_late_runs_at_once)
{
    static struct once ended;

    BEGIN;
    hooked_scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(hooked_scope, add_late_hook, NULL));
    WAIT_UNTIL(ended.count);
    CHECK_IS(late_hook_ran, 1);
    END;
}

LOOP_TEST(p07_an_empty_scope_ends_after_the_continuation_that_opened_it)
{
    static struct once ended;

    BEGIN;
    CHECK(loop_scope_open(env->scope, ONCE(&ended)));
    CHECK_IS(ended.count, 0);
    AWAIT(loop_sleep(env->scope, 0, GO));
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p07_a_scope_emptied_and_filled_again_goes_on)
{
    static struct loop_scope *scope;
    static struct once ended, one, two;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(scope, 0, ONCE(&one)));
    WAIT_UNTIL(one.count);
    /* This runs inside the continuation of the scope's only job. */
    CHECK_IS(ended.count, 0);
    START(loop_sleep(scope, 0, ONCE(&two)));
    WAIT_UNTIL(two.count);
    CHECK_IS(ended.count, 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p07_holds_keep_a_scope_open)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    loop_scope_hold(scope);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(ended.count, 0);
    loop_scope_unhold(scope);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(ended.count, 0);
    loop_scope_unhold(scope);
    CHECK_IS(ended.count, 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p07_a_child_keeps_its_parent_open)
{
    static struct loop_scope *parent, *child, *grandchild;
    static struct once ends[3];

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ends[0]));
    child = loop_scope_open(parent, ONCE(&ends[1]));
    grandchild = loop_scope_open(child, ONCE(&ends[2]));
    START(loop_sleep(grandchild, LOOP_MILLISECOND, NULL, NULL));
    WAIT_UNTIL(ends[0].count);
    CHECK(ends[2].order < ends[1].order && ends[1].order < ends[0].order);
    END;
}

static void note_cancelled(void *name, int64_t result)
{
    trace("%s %lld", (const char *)name, (long long)result);
    script_poke();
}

LOOP_TEST(p07_cancel_takes_children_first_then_jobs_in_order)
{
    static struct loop_scope *parent, *child;
    static char names[][8] = {"one", "two", "in one", "in two", "child", "parent"};

    BEGIN;
    parent = loop_scope_open(env->scope, note_cancelled, names[5]);
    START(loop_sleep(parent, LOOP_NEVER, note_cancelled, names[0]));
    START(loop_sleep(parent, LOOP_NEVER, note_cancelled, names[1]));
    child = loop_scope_open(parent, note_cancelled, names[4]);
    START(loop_sleep(child, LOOP_NEVER, note_cancelled, names[2]));
    START(loop_sleep(child, LOOP_NEVER, note_cancelled, names[3]));
    AWAIT(turns(env->scope, 2, GO));
    loop_scope_cancel(parent);
    loop_scope_cancel(parent);
    CHECK_TEXT(trace_text(), "");
    CHECK(loop_scope_is_cancelled(parent) && loop_scope_is_cancelled(child));
    WAIT_UNTIL(strstr(trace_text(), "parent"));
    CHECK_TEXT(trace_text(), "in one -125\nin two -125\nchild -125\none -125\ntwo -125\nparent -125\n");
    END;
}

LOOP_TEST(p07_a_failure_cancels_the_siblings_and_is_heard_first)
{
    static struct loop_scope *scope;
    static struct once ended, siblings[3];

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    for (int i = 0; i < 3; i++) {
        START(loop_sleep(scope, LOOP_NEVER, ONCE(&siblings[i])));
    }
    loop_scope_fail(scope, -EPROTO);
    loop_scope_fail(scope, -EIO);
    CHECK_IS(loop_scope_error(scope), -EPROTO);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EPROTO);
    for (int i = 0; i < 3; i++) {
        ONCE_IS(siblings[i], -ECANCELED);
        CHECK(siblings[i].order < ended.order);
    }
    END;
}

LOOP_TEST(p07_the_noise_of_a_cancel_hides_no_real_error)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(scope, LOOP_NEVER, NULL, NULL));
    loop_scope_cancel(scope);
    loop_scope_fail(scope, -EIO);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EIO);
    END;
}

LOOP_TEST(p07_a_failure_that_is_none_counts_as_einval)
{
    static struct once ends[3];
    static struct loop_scope *scope;

    BEGIN;
    for (int i = 0; i < 3; i++) {
        scope = loop_scope_open(env->scope, ONCE(&ends[i]));
        loop_scope_hold(scope);
        loop_scope_fail(scope, i == 0 ? 0 : i == 1 ? 7 : INT64_MAX);
        loop_scope_unhold(scope);
    }
    WAIT_UNTIL(ends[0].count && ends[1].count && ends[2].count);
    for (int i = 0; i < 3; i++) {
        ONCE_IS(ends[i], -EINVAL);
    }
    END;
}

LOOP_TEST(p07_a_failure_without_on_end_goes_to_the_parent)
{
    static struct loop_scope *parent, *child, *grandchild;
    static struct once ended, sibling;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(parent, LOOP_NEVER, ONCE(&sibling)));
    child = loop_scope_open(parent, NULL, NULL);
    grandchild = loop_scope_open(child, NULL, NULL);
    loop_scope_fail(grandchild, -EPROTO);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EPROTO);
    ONCE_IS(sibling, -ECANCELED);
    END;
}

LOOP_TEST(p07_a_failure_that_is_heard_stays_where_it_is)
{
    static struct loop_scope *parent, *child;
    static struct once ended, child_ended, sibling;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(parent, LOOP_MILLISECOND, ONCE(&sibling)));
    child = loop_scope_open(parent, ONCE(&child_ended));
    loop_scope_fail(child, -EPROTO);
    WAIT_UNTIL(ended.count);
    ONCE_IS(child_ended, -EPROTO);
    ONCE_IS(sibling, 0);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p07_a_cancelled_child_is_no_failure_of_its_parent)
{
    static struct loop_scope *parent, *child;
    static struct once ended, sibling;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    child = loop_scope_open(parent, NULL, NULL);
    START(loop_sleep(parent, LOOP_MILLISECOND, ONCE(&sibling)));
    START(loop_sleep(child, LOOP_NEVER, NULL, NULL));
    loop_scope_cancel(child);
    WAIT_UNTIL(ended.count);
    ONCE_IS(sibling, 0);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p07_a_scope_opened_in_a_cancelled_one_is_cancelled)
{
    static struct loop_scope *parent, *child;
    static struct once ended, job;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_cancel(parent);
    child = loop_scope_open(parent, NULL, NULL);
    CHECK(child && loop_scope_is_cancelled(child));
    START(loop_sleep(child, LOOP_NEVER, ONCE(&job)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(job, -ECANCELED);
    END;
}

static struct loop_scope *own_scope;
static struct once own_job_once;

static void cancel_own_scope(void *unused, int64_t result)
{
    (void)unused;
    loop_scope_cancel(own_scope);
    once_resumed(&own_job_once, result);
}

LOOP_TEST(p07_a_continuation_cancels_its_own_scope)
{
    static struct once ended, other;

    BEGIN;
    own_scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(own_scope, 0, cancel_own_scope, NULL));
    START(loop_sleep(own_scope, LOOP_NEVER, ONCE(&other)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(own_job_once, 0);
    ONCE_IS(other, -ECANCELED);
    ONCE_IS(ended, -ECANCELED);
    END;
}

static unsigned char *scope_memory;
static bool memory_was_good[2];

static void look_at_memory(void *unused)
{
    (void)unused;
    memory_was_good[0] = is_pattern(scope_memory, 1000, 3);
}

static void look_at_memory_at_the_end(void *once, int64_t result)
{
    memory_was_good[1] = is_pattern(scope_memory, 1000, 3);
    once_resumed(once, result);
}

LOOP_TEST(p07_memory_outlives_hooks_and_on_end)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, look_at_memory_at_the_end, &ended);
    scope_memory = loop_scope_alloc(scope, 1000);
    for (int i = 0; i < 1000; i++) {
        CHECK_IS(scope_memory[i], 0);
    }
    CHECK_IS((uintptr_t)scope_memory % _Alignof(max_align_t), 0);
    fill_pattern(scope_memory, 1000, 3);
    CHECK(loop_scope_defer(scope, look_at_memory, NULL));
    CHECK(!loop_scope_alloc(scope, SIZE_MAX));
    CHECK(!loop_scope_alloc(scope, SIZE_MAX / 2));
    CHECK(loop_scope_alloc(scope, 0) != scope_memory);
    WAIT_UNTIL(ended.count);
    CHECK(memory_was_good[0] && memory_was_good[1]);
    END;
}

LOOP_TEST(p07_fds_of_a_scope_used_by_another_are_awaited)
{
    static struct loop_scope *owner;
    static struct loop_flow *flow;
    static struct once ended, read;
    static int fds[2];
    static char byte;

    BEGIN;
    make_pair(fds);
    owner = loop_scope_open(env->scope, ONCE(&ended));
    flow = flow_of(owner, fds[0]);
    loop_scope_hold(owner);
    START(loop_op_recv(env->scope, flow->fd, &byte, 1, 0, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    loop_scope_unhold(owner);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    ONCE_IS(read, -ECANCELED);
    CHECK(read.order < ended.order);
    CHECK(!is_open(fds[0]));
    close(fds[1]);
    END;
}

LOOP_TEST(p07_a_thousand_nested_scopes)
{
    enum { DEEP = 1000 };
    static struct loop_scope *scopes[DEEP];
    static struct once ends[DEEP], innermost;

    BEGIN;
    for (int i = 0; i < DEEP; i++) {
        scopes[i] = loop_scope_open(i ? scopes[i - 1] : env->scope, ONCE(&ends[i]));
    }
    START(loop_sleep(scopes[DEEP - 1], LOOP_NEVER, ONCE(&innermost)));
    loop_scope_cancel(scopes[0]);
    WAIT_UNTIL(ends[0].count);
    ONCE_IS(innermost, -ECANCELED);
    for (int i = 1; i < DEEP; i++) {
        CHECK(ends[i].order < ends[i - 1].order);
    }
    END;
}

LOOP_TEST(p07_scopes_come_and_go_without_leaving_anything)
{
    enum { ROUNDS = 2000 };
    static struct loop_stats before, after;
    static struct once ended;
    static struct loop_scope *scope;
    static int round;

    BEGIN;
    loop_get_stats(env->loop, &before);
    for (round = 0; round < ROUNDS; round++) {
        memset(&ended, 0, sizeof ended);
        scope = loop_scope_open(env->scope, ONCE(&ended));
        CHECK(loop_scope_alloc(scope, 100));
        adopt(scope, dup(STDERR_FILENO));
        START(loop_sleep(scope, 0, NULL, NULL));
        WAIT_UNTIL(ended.count);
    }
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.scopes_now, before.scopes_now + 1); /* we are inside its on_end */
    CHECK(after.job_slots <= before.job_slots + 1024);
    CHECK_IS(after.fds_now, before.fds_now + 1); /* and its descriptor's object lives until that has returned */
    END;
}

/* ---- P8: the end of the loop ---- */

static int return_number(struct loop_env *env, void *number)
{
    (void)env;
    return *(int *)number;
}

TEST(p08_run_returns_what_main_returned)
{
    int numbers[] = {0, 7, -EIO, 1000, INT32_MIN};

    for (unsigned i = 0; i < COUNT_OF(numbers); i++) {
        CHECK_IS(run(return_number, &numbers[i]), numbers[i]);
    }
}

static struct once of_refusing_main;

static int start_and_refuse(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK(loop_sleep(env->scope, LOOP_NEVER, ONCE(&of_refusing_main)) != 0);
    return -EPROTO;
}

TEST(p08_a_main_that_refuses_cancels_what_it_started)
{
    CHECK_IS(run(start_and_refuse, NULL), -EPROTO);
    ONCE_IS(of_refusing_main, -ECANCELED);
}

LOOP_TEST(p08_run_returns_the_first_error_of_mains_scope)
{
    BEGIN;
    script.expected = -EPROTO;
    AWAIT(loop_sleep(env->scope, 0, GO));
    loop_scope_fail(env->scope, -EPROTO);
    END;
}

LOOP_TEST(p08_a_job_without_a_continuation_fails_main)
{
    static struct loop_flow *flow;

    BEGIN;
    script.expected = -EBADF;
    flow = flow_of(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    START(loop_write(&flow->sink, "x", 1, NULL, NULL));
    END;
}

LOOP_TEST(p08_daemon_jobs_do_not_hold_the_loop)
{
    static struct once daemon;
    static loop_job job;

    BEGIN;
    job = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&daemon)));
    CHECK_IS(loop_daemon(env->loop, job), 0);
    CHECK_IS(loop_daemon(env->loop, job), 0);
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK_IS(daemon.count, 0);
    END;
}

LOOP_TEST(p08_a_daemon_without_a_continuation_leaves_no_error)
{
    static struct loop_scope *scope;
    static struct once ended, job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK_IS(loop_daemon(env->loop, START(loop_sleep(scope, LOOP_NEVER, NULL, NULL))), 0);
    START(loop_sleep(scope, 0, ONCE(&job)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(job, 0);
    ONCE_IS(ended, 0);
    CHECK_IS(loop_daemon(env->loop, START(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL))), 0);
    END;
}

static struct once last_daemon;

static int start_daemons_alone(struct loop_env *env, void *unused)
{
    loop_job job = loop_sleep(env->scope, LOOP_NEVER, ONCE(&last_daemon));

    (void)unused;
    CHECK_IS(loop_daemon(env->loop, job), 0);
    return 0;
}

TEST(p08_a_loop_of_daemons_ends_at_once)
{
    CHECK_IS(run(start_daemons_alone, NULL), 0);
    ONCE_IS(last_daemon, -ECANCELED);
}

static int ticks;

static void tick(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    if (result == 0) {
        ticks++;
        loop_daemon(env->loop, loop_sleep(env->scope, LOOP_MILLISECOND, tick, env));
    }
}

LOOP_TEST(p08_a_ticker_runs_as_long_as_there_is_other_work)
{
    BEGIN;
    loop_daemon(env->loop, START(loop_sleep(env->scope, 0, tick, env)));
    AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    CHECK(ticks >= 2);
    END;
}

LOOP_TEST(p08_a_daemon_scope_is_cancelled_when_nothing_else_is_left)
{
    static struct loop_scope *parent, *child;
    static struct once ended, child_ended, job;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    child = loop_scope_open(parent, ONCE(&child_ended));
    loop_scope_daemon(child);
    loop_scope_daemon(child);
    START(loop_sleep(child, LOOP_NEVER, ONCE(&job)));
    START(loop_sleep(parent, LOOP_MILLISECOND, NULL, NULL));
    WAIT_UNTIL(ended.count);
    ONCE_IS(job, -ECANCELED);
    ONCE_IS(ended, 0);
    CHECK(child_ended.count == 1 && child_ended.order < ended.order);
    END;
}

static int nested_answer = 1;

static int try_nested(struct loop_env *env, void *number)
{
    (void)env;
    nested_answer = loop_run(0, 0, 0, NULL, return_number, number);
    return 0;
}

TEST(p08_a_loop_inside_a_loop_is_refused)
{
    int number = 5;

    CHECK_IS(run(try_nested, &number), 0);
    CHECK_IS(nested_answer, -EDEADLK);
    CHECK_IS(run(return_number, &number), 5);
}

static int64_t find_thread(void *mask)
{
    pthread_sigmask(SIG_SETMASK, NULL, mask);
    return 0;
}

static int leave_everything_running(struct loop_env *env, void *unused)
{
    static char buffers[3][10];
    static sigset_t mask;
    static struct loop_listener *listener;
    static struct loop_flow *accepted;
    struct loop_address address;
    struct loop_flow *flows[2];
    struct loop_source *source;
    struct loop_sink *sink;

    (void)unused;
    make_flows(env->scope, flows);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    CHECK_IS(loop_address_parse(&address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), 0);
    CHECK(loop_accept(env->scope, listener, &accepted, NULL, NULL) != 0);
    CHECK(loop_read(source, buffers[0], 10, NULL, NULL) != 0);
    CHECK(loop_read(&flows[0]->source, buffers[1], 10, NULL, NULL) != 0);
    CHECK(loop_copy(&flows[1]->source, sink, NULL, NULL) != 0);
    CHECK(loop_signal(env->scope, SIGUSR2, NULL, NULL) != 0);
    CHECK(loop_work(env->scope, find_thread, &mask, NULL, NULL) != 0);
    CHECK(loop_chunk_alloc(env->loop));
    loop_scope_cancel(env->scope);
    return 0;
}

TEST(p08_nothing_is_left_over)
{
    for (int i = 0; i < 3; i++) {
        CHECK_IS(run(leave_everything_running, NULL), -ECANCELED);
    }
}

static int just_return(struct loop_env *env, void *unused)
{
    (void)env;
    (void)unused;
    return 0;
}

TEST(p08_many_loops_one_after_the_other)
{
    for (int i = 0; i < 100; i++) {
        CHECK_IS(run(just_return, NULL), 0);
    }
}
