/* SPDX-License-Identifier: ISC
 *
 * Release hooks of scopes (P7): their order, and what they may do.
 */
#include "sockets.h"

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

/* ---- inside on_end and hooks ---- */

static struct loop_fd *fd_closed_by_hook;

static void close_in_hook(void *unused)
{
    (void)unused;
    CHECK_IS(loop_fd_close(fd_closed_by_hook), 0);
}

LOOP_TEST(hooks_may_close_the_scopes_descriptors)
{
    static struct loop_scope *scope;
    static struct once ended;
    static int number;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    number = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fd_closed_by_hook = adopt(scope, number);
    CHECK(loop_scope_defer(scope, close_in_hook, NULL));
    WAIT_UNTIL(ended.count);
    CHECK(!is_open(number));
    END;
}

/* ---- continuations that do what they like ---- */

static void close_from_hook(void *fd)
{
    loop_fd_close(fd);
    loop_fd_destroy(fd);
}

LOOP_TEST(hook_that_closes_what_others_are_using)
{
    static struct loop_flow *flows[2];
    static struct loop_scope *scope;
    static struct once ended, read, copy;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
    START(loop_copy(&flows[1]->source, &flows[0]->sink, ONCE(&copy)));
    scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(scope, close_from_hook, flows[0]->fd));
    CHECK(loop_scope_defer(scope, close_from_hook, flows[1]->fd));
    WAIT_UNTIL(ended.count && read.count && copy.count);
    ONCE_IS(ended, 0);
    ONCE_IS(copy, -ECANCELED);
    CHECK(read.count == 1 && (read.result == -ECANCELED || read.result == 0)); /* or its peer's close came first: P4 */
    END;
}
