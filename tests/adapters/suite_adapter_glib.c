/* SPDX-License-Identifier: ISC
 *
 * Noria inside GLib's main loop (<adapters/glib.h>).
 */
#include "in_host.h"

#include <adapters/glib.h>

static GMainContext *context;
static GSource *always;

static void create(void)
{
    context = g_main_context_new();
}

static void destroy(void)
{
    g_main_context_unref(context);
}

static void *attach_by_glib(struct loop *loop, host_fn *ended, void *arg)
{
    return loop_glib_attach(loop, context, ended, arg);
}

static void detach(void *source)
{
    loop_glib_detach(source);
}

static void turn(void)
{
    g_main_context_iteration(context, TRUE);
}

struct call {
    host_fn *fn;
    void *arg;
};

static gboolean call_once(gpointer arg)
{
    struct call *call = arg;

    call->fn(call->arg);
    return G_SOURCE_REMOVE;
}

static void call_after(unsigned ms, host_fn *fn, void *arg)
{
    struct call *call = g_new(struct call, 1);
    GSource *source = g_timeout_source_new(ms);

    *call = (struct call){fn, arg};
    g_source_set_callback(source, call_once, call, g_free);
    g_source_attach(source, context);
    g_source_unref(source);
}

static struct call always_call;

static gboolean call_each_time(gpointer unused)
{
    (void)unused;
    always_call.fn(always_call.arg);
    return G_SOURCE_CONTINUE;
}

static void call_always(host_fn *fn, void *arg)
{
    always_call = (struct call){fn, arg};
    if (!fn) {
        g_source_destroy(always);
        return;
    }
    always = g_idle_source_new();
    g_source_set_priority(always, G_PRIORITY_DEFAULT);
    g_source_set_callback(always, call_each_time, NULL, NULL);
    g_source_attach(always, context);
    g_source_unref(always);
}

static const struct host tested = {create, destroy, attach_by_glib, detach, turn, call_after, call_always};

/* ---- GLib alone: a continuation may iterate the context ---- */

static struct attached outer, inner;
static struct once inner_timer;

static void iterate_inside(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    while (!inner_timer.count) {
        g_main_context_iteration(context, TRUE);
    }
}

TEST(p24_a_continuation_iterates_the_context)
{
    tested.create();
    attach(&inner);
    attach(&outer);
    CHECK(loop_sleep(inner.env->scope, 2 * LOOP_MILLISECOND, ONCE(&inner_timer)) != 0);
    CHECK(loop_sleep(outer.env->scope, 0, iterate_inside, NULL) != 0);
    TURNS_UNTIL(inner_timer.count);
    CHECK_IS(detach_and_close(&inner), 0);
    CHECK_IS(detach_and_close(&outer), 0);
    tested.destroy();
}

/* The loop does nothing while a source of a higher priority is ready. */
TEST(priority_of_the_source)
{
    static struct attached attached;
    static struct echo echo;
    static unsigned n_calls;

    begin(&attached);
    g_source_set_priority(attached.by, G_PRIORITY_LOW);
    tested.call_always(add_one, &n_calls);
    start_echo(&echo, env->scope, 20);
    TURNS_UNTIL(n_calls == 100);
    CHECK_IS(echo.n, 0);
    tested.call_always(NULL, NULL);
    TURNS_UNTIL(echo.n == 20);
    end(&attached);
}

/* ---- GLib alone: functions of other sources that GLib calls before it sleeps ---- */

static struct once started;
static unsigned n_prepared, n_glib_timers;

/* Starts a job when GLib has asked the loop's source for how long it may sleep. */
static gboolean prepare_late(GSource *source, gint *timeout_ms)
{
    (void)source;
    *timeout_ms = -1;
    if (n_prepared++ == 1) {
        CHECK(loop_sleep(env->scope, LOOP_MILLISECOND, ONCE(&started)) != 0);
    }
    return FALSE;
}

static gboolean never_ready(GSource *source)
{
    (void)source;
    return FALSE;
}

static gboolean never_dispatched(GSource *source, GSourceFunc fn, gpointer arg)
{
    (void)source;
    (void)fn;
    (void)arg;
    return G_SOURCE_CONTINUE;
}

static void give_up(void *unused)
{
    (void)unused;
    n_glib_timers++;
}

TEST(what_another_source_starts_before_a_sleep_shortens_it)
{
    static GSourceFuncs functions = {prepare_late, never_ready, never_dispatched, NULL, NULL, NULL};
    static struct attached attached;
    GSource *other = g_source_new(&functions, sizeof *other);

    begin(&attached);
    g_source_set_priority(other, G_PRIORITY_LOW);
    g_source_attach(other, context);
    tested.call_after(20000, give_up, NULL);
    TURNS_UNTIL(started.count || n_glib_timers);
    ONCE_IS(started, 0);
    CHECK_IS(n_glib_timers, 0);
    g_source_destroy(other);
    g_source_unref(other);
    end(&attached);
}
