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
 * precision, a millisecond, and are never early.
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
    if (loop_turn(host->loop) > 0 || g_source_is_destroyed(source)) {
        return G_SOURCE_CONTINUE;
    }
    g_source_destroy(source); /* so that it does not ask a loop that `ended` closes */
    if (host->ended) {
        host->ended(host->arg);
    }
    return G_SOURCE_REMOVE;
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
