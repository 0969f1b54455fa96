/* SPDX-License-Identifier: ISC
 *
 * Deadlines of scopes: when they expire, how they are changed, and what they cancel.
 */
#include "show.h"

#include <loop/part.h>

/* ---- deadlines ---- */

LOOP_TEST(deadline_ends_everything_with_etimedout)
{
    static struct loop_scope *scope;
    static struct loop_flow *flows[2];
    static struct once ended, sleep, read, late;
    static char byte;
    static int64_t at;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    make_flows(scope, flows);
    at = now_ns() + 5 * LOOP_MILLISECOND;
    loop_scope_deadline(scope, at);
    loop_scope_hold(scope);
    START(loop_sleep(scope, LOOP_NEVER, ONCE(&sleep)));
    START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
    WAIT_UNTIL(sleep.count && read.count);
    CHECK(now_ns() >= at);
    ONCE_IS(sleep, -ETIMEDOUT);
    ONCE_IS(read, -ETIMEDOUT);
    START(loop_sleep(scope, 0, ONCE(&late)));
    WAIT_UNTIL(late.count);
    ONCE_IS(late, -ETIMEDOUT);
    CHECK_IS(loop_scope_error(scope), -ETIMEDOUT);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(deadline_reaches_into_children)
{
    static struct loop_scope *scope, *child;
    static struct once ended, child_ended, job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    child = loop_scope_open(scope, ONCE(&child_ended));
    START(loop_sleep(child, LOOP_NEVER, ONCE(&job)));
    loop_scope_deadline(scope, now_ns() + LOOP_MILLISECOND);
    WAIT_UNTIL(ended.count);
    ONCE_IS(job, -ETIMEDOUT);
    ONCE_IS(ended, -ETIMEDOUT);
    CHECK(child_ended.result < 0);
    END;
}

LOOP_TEST(deadline_in_the_past_is_reached_from_the_loop)
{
    static struct loop_scope *scope;
    static struct once ended, job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(scope, LOOP_NEVER, ONCE(&job)));
    loop_scope_deadline(scope, INT64_MIN);
    CHECK(!loop_scope_is_cancelled(scope));
    CHECK_IS(job.count, 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(job, -ETIMEDOUT);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(deadline_moved_and_taken_away)
{
    static struct loop_scope *moved, *freed;
    static struct once moved_end, freed_end, job;
    static int64_t at;

    BEGIN;
    moved = loop_scope_open(env->scope, ONCE(&moved_end));
    freed = loop_scope_open(env->scope, ONCE(&freed_end));
    at = now_ns() + 20 * LOOP_MILLISECOND;
    loop_scope_deadline(moved, now_ns() + LOOP_MILLISECOND);
    loop_scope_deadline(moved, at);
    loop_scope_hold(moved);
    loop_scope_deadline(freed, now_ns() + LOOP_MILLISECOND);
    loop_scope_deadline(freed, LOOP_NEVER);
    loop_scope_deadline(freed, LOOP_NEVER);
    START(loop_sleep(freed, 5 * LOOP_MILLISECOND, ONCE(&job)));
    START(loop_sleep(moved, LOOP_NEVER, NULL, NULL));
    WAIT_UNTIL(freed_end.count);
    ONCE_IS(job, 0);
    ONCE_IS(freed_end, 0);
    while (!loop_scope_is_cancelled(moved)) {
        CHECK_IS(moved_end.count, 0);
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    CHECK(now_ns() >= at);
    loop_scope_unhold(moved);
    WAIT_UNTIL(moved_end.count);
    ONCE_IS(moved_end, -ETIMEDOUT);
    END;
}

LOOP_TEST(deadline_does_not_hold_a_scope)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_deadline(scope, now_ns() + 3600 * LOOP_SECOND);
    AWAIT(turns(env->scope, 2, GO));
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(deadline_after_a_failure_changes_nothing)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    loop_scope_deadline(scope, now_ns() + LOOP_MILLISECOND);
    loop_scope_fail(scope, -EPROTO);
    AWAIT(loop_sleep(env->scope, 3 * LOOP_MILLISECOND, GO));
    CHECK_IS(loop_scope_error(scope), -EPROTO);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EPROTO);
    END;
}

LOOP_TEST(many_deadlines_at_once)
{
    enum { N = 500 };
    static struct once ends[N];
    static struct loop_scope *scope;
    static int at;

    BEGIN;
    for (int i = 0; i < N; i++) {
        scope = loop_scope_open(env->scope, ONCE(&ends[i]));
        loop_scope_deadline(scope, now_ns() + (i % 2 ? LOOP_MILLISECOND : 3600 * LOOP_SECOND));
        START(loop_sleep(scope, i % 2 ? LOOP_NEVER : 0, NULL, NULL));
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(ends[at].count);
        ONCE_IS(ends[at], at % 2 ? -ETIMEDOUT : 0);
    }
    END;
}

/* ---- deadlines and cancelled scopes ---- */

static const char deadlines_text[] = "deadline\n"
                                     "read: ETIMEDOUT\n"
                                     "stream: ETIMEDOUT\n"
                                     "copy: ETIMEDOUT\n"
                                     "poll: ETIMEDOUT\n"
                                     "sleep: ETIMEDOUT\n"
                                     "promise: ETIMEDOUT\n"
                                     "signal: ETIMEDOUT\n"
                                     "recv: ETIMEDOUT\n"
                                     "accept: ETIMEDOUT\n"
                                     "timeout: ETIMEDOUT\n"
                                     "splice: ETIMEDOUT\n"
                                     "child: ETIMEDOUT\n"
                                     "the scope: ETIMEDOUT\n"
                                     "cancel\n"
                                     "read: ECANCELED\n"
                                     "stream: ECANCELED\n"
                                     "copy: ECANCELED\n"
                                     "poll: ECANCELED\n"
                                     "sleep: ECANCELED\n"
                                     "promise: ECANCELED\n"
                                     "signal: ECANCELED\n"
                                     "recv: ECANCELED\n"
                                     "accept: ECANCELED\n"
                                     "timeout: ECANCELED\n"
                                     "splice: ECANCELED\n"
                                     "child: ECANCELED\n"
                                     "the scope: ECANCELED\n"
                                     "fail\n"
                                     "read: ECANCELED\n"
                                     "stream: ECANCELED\n"
                                     "copy: ECANCELED\n"
                                     "poll: ECANCELED\n"
                                     "sleep: ECANCELED\n"
                                     "promise: ECANCELED\n"
                                     "signal: ECANCELED\n"
                                     "recv: ECANCELED\n"
                                     "accept: ECANCELED\n"
                                     "timeout: ECANCELED\n"
                                     "splice: ECANCELED\n"
                                     "child: ECANCELED\n"
                                     "the scope: EPROTO\n"
                                     "started when cancelled\n"
                                     "read: ECANCELED\n"
                                     "stream: ECANCELED\n"
                                     "copy: ECANCELED\n"
                                     "poll: ECANCELED\n"
                                     "sleep: ECANCELED\n"
                                     "promise: ECANCELED\n"
                                     "signal: ECANCELED\n"
                                     "recv: ECANCELED\n"
                                     "accept: ECANCELED\n"
                                     "timeout: ECANCELED\n"
                                     "splice: ECANCELED\n"
                                     "child: ECANCELED\n"
                                     "the scope: ECANCELED\n";

static unsigned n_waiting;
static struct slot waiting[16];

static void show_waiting(const char *const *names)
{
    for (unsigned i = 0; i < n_waiting; i++) {
        CHECK_IS(waiting[i].count, 1);
        show(names[i], waiting[i].result);
    }
    memset(waiting, 0, sizeof waiting);
    n_waiting = 0;
    slots_filled = 0;
}

static void wait_stream(void *arg, int64_t result, struct loop_chunk *chunk)
{
    CHECK(!chunk);
    fill_slot(arg, result);
}

static const char *const waiting_names[] = {"read", "stream", "copy",    "poll",   "sleep", "promise",  "signal",
                                            "recv", "accept", "timeout", "splice", "child", "the scope"};

/* One of many kinds of job, none of which can end by itself. */
static void start_waiting(struct loop_scope *scope)
{
    struct loop_flow *flows[2];
    struct loop_scope *child;
    struct sockaddr_in address;
    int fds[2];

    make_flows(scope, flows);
    make_pipe(fds);
    START(loop_read(&flows[0]->source, shown_bytes, 1, SLOT(&waiting[n_waiting++])));
    START(loop_stream(&flows[0]->source, wait_stream, &waiting[n_waiting++]));
    START(loop_copy(&flows[1]->source, &flows[1]->sink, SLOT(&waiting[n_waiting++])));
    START(loop_poll(flows[0]->fd, POLLIN, SLOT(&waiting[n_waiting++])));
    START(loop_sleep(scope, LOOP_NEVER, SLOT(&waiting[n_waiting++])));
    START(loop_promise(scope, NULL, NULL, SLOT(&waiting[n_waiting++])));
    START(loop_signal(scope, SIGUSR2, SLOT(&waiting[n_waiting++])));
    START(loop_op_recv(scope, flows[0]->fd, shown_bytes, 1, 0, SLOT(&waiting[n_waiting++])));
    START(loop_op_accept(scope, adopt(scope, make_listener(&address)), NULL, NULL, SLOT(&waiting[n_waiting++])));
    START(loop_op_timeout(scope, INT64_MAX - 1, SLOT(&waiting[n_waiting++])));
    START(loop_op_splice(scope, adopt(scope, fds[0]), LOOP_CURRENT, flows[0]->fd, LOOP_CURRENT, 1,
                         SLOT(&waiting[n_waiting++])));
    adopt(scope, fds[1]);
    child = loop_scope_open(scope, SLOT(&waiting[n_waiting++]));
    START(loop_sleep(child, LOOP_NEVER, NULL, NULL));
}

LOOP_TEST(p17_deadlines_and_cancelled_scopes)
{
    static struct loop_scope *scope;
    static int way;

    BEGIN;
    for (way = 0; way < 4; way++) {
        trace("%s", way == 0 ? "deadline" : way == 1 ? "cancel" : way == 2 ? "fail" : "started when cancelled");
        scope = loop_scope_open(env->scope, SLOT(&waiting[12]));
        if (way == 3) {
            loop_scope_cancel(scope);
        }
        start_waiting(scope);
        n_waiting++;
        if (way < 3) {
            AWAIT(turns(env->scope, 3, GO));
            CHECK_IS(slots_filled, 0);
        }
        if (way == 0) {
            loop_scope_deadline(scope, loop_now(env->loop) + LOOP_MILLISECOND);
        } else if (way == 1) {
            loop_scope_cancel(scope);
        } else if (way == 2) {
            loop_scope_fail(scope, -EPROTO);
        }
        WAIT_UNTIL(slots_filled == 13);
        show_waiting(waiting_names);
    }
    CHECK_TEXT(trace_text(), deadlines_text);
    END;
}
