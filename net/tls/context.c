/* SPDX-License-Identifier: ISC
 *
 * Contexts: opening, replacing what is in one, and its end.
 *
 * The program holds a promise. Work on the pool makes a setup, and owns it until its continuation takes it: a cancel
 * need not wait for a file that hangs, and what the thread makes after that is freed by the work's release hook.
 */
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <net/tls/context.h>
#include <net/tls/error.h>

#include <assert.h>
#include <errno.h>

/* A setup in the making. */
struct opening {
    struct loop *loop;
    struct loop_tls_setup *setup;
    struct loop_tls_error text;       /* the thread's */
    struct loop_tls_context *context; /* a new one, or one that is replaced, with a reference */
    struct loop_tls_context **opened; /* NULL for a reload */
    struct loop_tls_error *error;     /* the program's; or NULL */
    loop_job promise, work;
    uint64_t number; /* which one of the context */
};

/* ---- references ---- */

void loop_tls_context_ref(struct loop_tls_context *context)
{
    assert(context->refs > 0);
    context->refs++;
}

void loop_tls_context_unref(struct loop_tls_context *context)
{
    assert(context->refs > 0);
    if (--context->refs > 0) {
        return;
    }
    loop_tls_setup_unref(context->setup);
    loop_tls_spares_finish(&context->spares);
    loop_kernel_free(context);
}

/* The scope of the context ends. */
static void on_scope_end(void *arg)
{
    loop_tls_context_unref(arg);
}

static struct loop_tls_context *create(struct loop_scope *scope, bool is_server)
{
    struct loop_tls_context *context = loop_kernel_calloc(1, sizeof *context);

    if (context) {
        context->scope = scope;
        context->loop = loop_scope_loop(scope);
        context->refs = 1;
        context->is_server = is_server;
    }
    return context;
}

/* ---- work ---- */

static int64_t load(void *arg)
{
    struct opening *opening = arg;

    return loop_tls_setup_load(opening->setup, &opening->text);
}

/* Frees the opening, when its continuation has been resumed and no thread uses it. */
static void release(void *arg)
{
    struct opening *opening = arg;

    loop_tls_setup_unref(opening->setup);
    loop_tls_context_unref(opening->context);
    loop_kernel_free(opening);
}

/* Gives a new context to its scope, and to the program. */
static int hand_over(struct opening *opening)
{
    struct loop_tls_context *context = opening->context;

    loop_tls_context_ref(context);
    if (!loop_scope_defer(context->scope, on_scope_end, context)) {
        return -ENOMEM; /* the reference has been dropped */
    }
    *opening->opened = context;
    return 0;
}

/* Puts the setup into its context, unless that of a later reload is there: threads may end in another order. */
static void use(struct opening *opening)
{
    struct loop_tls_context *context = opening->context;

    if (opening->number > context->n_used) {
        struct loop_tls_setup *old = context->setup;
        context->setup = opening->setup;
        context->n_used = opening->number;
        opening->setup = old;
    }
}

static void on_loaded(void *arg, int64_t result)
{
    struct opening *opening = arg;

    if (result == 0 && opening->opened) {
        result = hand_over(opening);
    }
    if (result == 0) {
        use(opening);
    } else if (opening->error && result != -ECANCELED && result != -ETIMEDOUT) {
        *opening->error = opening->text;
    }
    loop_resolve(opening->loop, opening->promise, result);
}

static void on_cancel(void *arg, loop_job job)
{
    struct opening *opening = arg;

    (void)job;
    loop_cancel(opening->loop, opening->work);
}

/* Starts the work, which frees the opening. Frees it also when the work is not started. */
static loop_job start(struct opening *opening, loop_fn *fn, void *arg)
{
    const struct loop_work_options by_release = {.release = release};
    struct loop_scope *scope = opening->context->scope;
    loop_job promise = loop_promise(scope, on_cancel, opening, fn, arg);

    if (!promise) {
        release(opening);
        return 0;
    }
    opening->promise = promise;
    opening->work = loop_work_with(scope, &by_release, load, opening, on_loaded, opening);
    if (!opening->work) {
        loop_resolve(opening->loop, promise, -ENOMEM);
        release(opening);
    }
    return promise;
}

/* Makes an opening, which takes the reference to the context over. Returns NULL without memory. */
static struct opening *prepare(struct loop_tls_context *context, struct loop_tls_settings *settings)
{
    struct opening *opening = loop_kernel_calloc(1, sizeof *opening);

    if (!opening) {
        return NULL;
    }
    opening->loop = context->loop;
    opening->setup = loop_tls_setup_create(context->loop, settings);
    if (!opening->setup) {
        loop_kernel_free(opening);
        return NULL;
    }
    opening->context = context;
    opening->number = ++context->n_begun;
    return opening;
}

/* Resumes with an error that was found at once. */
static loop_job fail(struct loop_scope *scope, int64_t error, loop_fn *fn, void *arg)
{
    loop_job promise = loop_promise(scope, NULL, NULL, fn, arg);

    loop_resolve(loop_scope_loop(scope), promise, error);
    return promise;
}

static loop_job begin(struct loop_tls_context *context, const struct loop_tls_options *options,
                      struct loop_tls_context **opened, struct loop_tls_error *error, loop_fn *fn, void *arg)
{
    struct loop_tls_settings settings;
    struct loop_scope *scope = context->scope;
    int failed = loop_tls_settings_init(&settings, options, context->is_server, error);

    if (failed < 0) {
        loop_tls_context_unref(context);
        return fail(scope, failed, fn, arg);
    }
    struct opening *opening = prepare(context, &settings);
    if (!opening) {
        loop_tls_settings_finish(&settings);
        loop_tls_context_unref(context);
        return 0;
    }
    opening->opened = opened;
    opening->error = error;
    return start(opening, fn, arg);
}

/* ---- the program's calls ---- */

static loop_job open_context(struct loop_scope *scope, bool is_server, const struct loop_tls_options *options,
                             struct loop_tls_context **opened, struct loop_tls_error *error, loop_fn *fn, void *arg)
{
    *opened = NULL;
    loop_tls_say(error, "%s", "");
    if (loop_scope_is_cancelled(scope)) {
        return loop_promise(scope, NULL, NULL, fn, arg);
    }
    struct loop_tls_context *context = create(scope, is_server);
    return context ? begin(context, options, opened, error, fn, arg) : 0;
}

loop_job loop_tls_open_client(struct loop_scope *scope, const struct loop_tls_options *options,
                              struct loop_tls_context **context, struct loop_tls_error *error, loop_fn *fn, void *arg)
{
    if (!loop_check_pointer(context, "context", __func__) || !loop_check_scope(scope, __func__)) {
        return 0;
    }
    return open_context(scope, false, options, context, error, fn, arg);
}

loop_job loop_tls_open_server(struct loop_scope *scope, const struct loop_tls_options *options,
                              struct loop_tls_context **context, struct loop_tls_error *error, loop_fn *fn, void *arg)
{
    if (!loop_check_pointer(context, "context", __func__) || !loop_check_scope(scope, __func__)) {
        return 0;
    }
    return open_context(scope, true, options, context, error, fn, arg);
}

loop_job loop_tls_reload(struct loop_tls_context *context, const struct loop_tls_options *options,
                         struct loop_tls_error *error, loop_fn *fn, void *arg)
{
    if (!loop_check_object(context, offsetof(struct loop_tls_context, scope), "TLS context", __func__)) {
        return 0;
    }
    loop_tls_say(error, "%s", "");
    if (loop_scope_is_cancelled(context->scope)) {
        return loop_promise(context->scope, NULL, NULL, fn, arg);
    }
    loop_tls_context_ref(context);
    return begin(context, options, NULL, error, fn, arg);
}

struct ssl_ctx_st *loop_tls_ssl_context(const struct loop_tls_context *context)
{
    bool is_good = loop_check_object(context, offsetof(struct loop_tls_context, scope), "TLS context", __func__);

    return is_good ? context->setup->ssl_context : NULL;
}
