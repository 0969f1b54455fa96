/* SPDX-License-Identifier: ISC
 *
 * Noria inside GLib's main loop, for programs with GTK, GStreamer, libsoup and the like. Needs GLib 2.36 or newer.
 *
 *     static int start(struct loop_env *env, void *arg);       starts jobs, as main of loop_run does
 *     static void on_loop_end(void *arg);                      calls loop_close
 *
 *     loop_open(NULL, start, app, &app->loop);
 *     loop_glib_attach(app->loop, NULL, on_loop_end, app);
 *     g_main_loop_run(app->main);
 *
 * The source borrows the loop: it only makes turns, and the program closes the loop. Functions of GLib and
 * continuations run on the same thread, so each may call the functions of the other. In a continuation that iterates
 * the main context (gtk_dialog_run) the other sources go on, and the loop waits until it returns. Timers have GLib's
 * precision, a millisecond, and are never early. The `prepare` of another source may start jobs: a second source, of
 * the lowest priority, asks the loop again when GLib has asked all others. It is never dispatched.
 */
#ifndef ADAPTERS_GLIB_H
#define ADAPTERS_GLIB_H

#include <loop/loop.h>

#include <glib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called once when the loop has ended, outside of its turns: typically calls loop_close. */
typedef void loop_glib_fn(void *arg);

/* ---- inside ---- */

struct loop_glib {
    GSource source; /* first: GLib allocates it with the rest */
    struct loop *loop;
    loop_glib_fn *ended;
    void *arg;
    gpointer tag;
    gboolean is_turning;
};

/* The source of the lowest priority. */
struct loop_glib_last {
    GSource source;         /* first */
    struct loop_glib *host; /* a reference */
};

static inline gboolean loop_glib_prepare(GSource *source, gint *timeout_ms)
{
    int64_t ns = loop_prepare(((struct loop_glib *)source)->loop);
    int64_t ms = ns / LOOP_MILLISECOND + (ns % LOOP_MILLISECOND > 0);
    *timeout_ms = ns < 0 || ns == LOOP_NEVER ? -1 : ms < G_MAXINT ? (gint)ms : G_MAXINT;
    return ns == 0;
}

static inline gboolean loop_glib_check(GSource *source)
{
    struct loop_glib *host = (struct loop_glib *)source;
    return g_source_query_unix_fd(source, host->tag) != 0 || loop_prepare(host->loop) == 0;
}

static inline gboolean loop_glib_dispatch(GSource *source, GSourceFunc unused, gpointer unused_arg)
{
    struct loop_glib *host = (struct loop_glib *)source;
    (void)unused;
    (void)unused_arg;
    host->is_turning = TRUE;
    int more = loop_turn(host->loop);
    host->is_turning = FALSE;
    if (more > 0 || g_source_is_destroyed(source)) {
        return G_SOURCE_CONTINUE;
    }
    g_source_destroy(source); /* so that it does not ask a loop that `ended` closes */
    if (host->ended) {
        host->ended(host->arg);
    }
    return G_SOURCE_REMOVE;
}

/* Asks the loop last for how long GLib may sleep. With a time of 0 GLib does not sleep, and then checks the loop's
 * source. Ends with that one. */
static inline gboolean loop_glib_prepare_last(GSource *source, gint *timeout_ms)
{
    struct loop_glib *host = ((struct loop_glib_last *)source)->host;
    *timeout_ms = -1;
    if (g_source_is_destroyed(&host->source)) {
        g_source_destroy(source);
    } else if (!host->is_turning) {
        (void)loop_glib_prepare(&host->source, timeout_ms);
    }
    return FALSE;
}

static inline gboolean loop_glib_check_last(GSource *unused)
{
    (void)unused;
    return FALSE;
}

static inline gboolean loop_glib_dispatch_last(GSource *unused, GSourceFunc unused_fn, gpointer unused_arg)
{
    (void)unused;
    (void)unused_fn;
    (void)unused_arg;
    return G_SOURCE_CONTINUE;
}

static inline void loop_glib_finish_last(GSource *source)
{
    g_source_unref(&((struct loop_glib_last *)source)->host->source);
}

static inline void loop_glib_attach_last(struct loop_glib *host, GMainContext *context)
{
    static GSourceFuncs functions = {
        loop_glib_prepare_last, loop_glib_check_last, loop_glib_dispatch_last, loop_glib_finish_last, NULL, NULL};
    GSource *source = g_source_new(&functions, sizeof(struct loop_glib_last));
    ((struct loop_glib_last *)source)->host = host;
    (void)g_source_ref(&host->source);
    g_source_set_name(source, "Noria, asked last");
    g_source_set_priority(source, G_MAXINT);
    g_source_attach(source, context);
    g_source_unref(source);
}

/* ---- attaching ---- */

/* Makes turns of `loop`, which loop_open has made on this thread, in `context`, which this thread iterates; NULL means
 * the default one. `ended` is called with `arg` when the loop has ended, after the source has been removed; NULL is
 * allowed. Returns the source, which the context owns: it is valid until `ended` is called or until loop_glib_detach.
 * Its priority may be changed with g_source_set_priority(). Returns NULL when `loop` is not a loop of loop_open. */
static inline GSource *loop_glib_attach(struct loop *loop, GMainContext *context, loop_glib_fn *ended, void *arg)
{
    static GSourceFuncs functions = {loop_glib_prepare, loop_glib_check, loop_glib_dispatch, NULL, NULL, NULL};
    int number = loop_number(loop);
    if (number < 0) {
        return NULL;
    }
    GSource *source = g_source_new(&functions, sizeof(struct loop_glib));
    struct loop_glib *host = (struct loop_glib *)source;
    host->loop = loop;
    host->ended = ended;
    host->arg = arg;
    host->tag = g_source_add_unix_fd(source, number, G_IO_IN);
    g_source_set_name(source, "Noria");
    g_source_attach(source, context);
    loop_glib_attach_last(host, context);
    g_source_unref(source);
    return source;
}

/* Removes a source of loop_glib_attach: no further turns are made, and `ended` is not called. Call it before loop_close
 * of a loop that has not ended. It may be called inside a continuation. */
static inline void loop_glib_detach(GSource *source)
{
    g_source_destroy(source);
}

#ifdef __cplusplus
}
#endif

#endif
