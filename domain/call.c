/* SPDX-License-Identifier: ISC
 *
 * Calls from one loop to another.
 *
 *     caller's thread                            thread of the loop that is called
 *
 *     creates it and its promise
 *     `request`                        ──────▶   opens the scope, calls the function
 *     `cancel`, at most once           ──────▶   cancels the scope, unless that has ended
 *     resolves the promise             ◀──────   `reply`, when the scope has ended
 *
 * Each field belongs to one of the threads, see struct loop_incoming. A cancel may still be in the inbox there when the
 * reply has arrived here, and a thread that posts needs the inbox that it posts to until the post has returned. So the
 * memory is counted: one reference is the caller's, until it has the reply; one is that of the request, until the reply
 * has been posted; one is that of the cancel, until it has been looked at. The last to drop one frees it, in whichever
 * thread. The call has references to both inboxes.
 *
 * The reply is never refused: the promise holds the scope of the caller open, and with it the inbox.
 */
#include <domain/domain.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

struct loop_incoming {
    /* Constant once the request was posted. */
    struct loop_inbox *here, *there; /* references */
    struct loop *loop;               /* the caller's */
    loop_call_fn *fn;
    void *arg;
    atomic_uint references;
    /* Of the caller's thread. */
    loop_job promise;
    bool is_cancelled;
    /* Of the other thread, from the request to the reply; then `result` is the caller's. */
    struct loop_scope *scope; /* NULL before it is open, and when it has ended */
    int64_t result;
    bool has_result, is_cancelled_there;
    /* Posted once each: there, there, here. */
    struct loop_task request, cancel, reply;
};

/* ---- memory ---- */

static struct loop_incoming *create(struct loop *loop, struct loop_inbox *inbox)
{
    struct loop_incoming *call = loop_kernel_calloc(1, sizeof *call);

    if (!call) {
        return NULL;
    }
    call->loop = loop;
    call->here = loop_inbox_of(loop);
    call->there = inbox;
    loop_inbox_share(call->here);
    loop_inbox_share(call->there);
    atomic_init(&call->references, 1);
    return call;
}

static void drop(struct loop_incoming *call)
{
    if (atomic_fetch_sub_explicit(&call->references, 1, memory_order_acq_rel) == 1) {
        loop_inbox_unshare(call->here);
        loop_inbox_unshare(call->there);
        loop_kernel_free(call);
    }
}

/* Posts a task there, with a reference of its own. Returns 0, or -ESHUTDOWN without one. The caller has another. */
static int post_there(struct loop_incoming *call, struct loop_task *task)
{
    atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
    int error = loop_post_task(call->there, task);
    if (error < 0) {
        atomic_fetch_sub_explicit(&call->references, 1, memory_order_relaxed);
    }
    return error;
}

/* ---- there ---- */

/* Ends the call there. */
static void reply(struct loop_incoming *call, int64_t result)
{
    call->result = result;
    int error = loop_post_task(call->here, &call->reply);
    assert(error == 0);
    (void)error;
    drop(call);
}

/* Returns whether a scope has ended with this error because its loop ends: main's scope was cancelled, or its deadline
 * has passed. */
static bool is_by_loop(const struct loop_incoming *call, int64_t error)
{
    const struct loop_scope *main = loop_part_main_scope(loop_inbox_loop(call->there));
    bool is_by_deadline = error == -ETIMEDOUT && loop_scope_error(main) == -ETIMEDOUT;

    return (error == -ECANCELED || is_by_deadline) && loop_scope_is_cancelled(main);
}

/* A scope that was cancelled because its loop ends tells that, and not that the call was cancelled. */
static void on_scope_end(void *arg, int64_t error)
{
    struct loop_incoming *call = arg;
    bool is_ending = is_by_loop(call, error);

    call->scope = NULL;
    if (error == 0 || ((error == -ECANCELED || is_ending) && call->has_result)) {
        reply(call, call->result);
    } else if (is_ending) {
        reply(call, call->is_cancelled_there ? -ECANCELED : -ESHUTDOWN);
    } else {
        reply(call, error);
    }
}

static void on_request(void *arg, int64_t result)
{
    struct loop_incoming *call = arg;
    struct loop_scope *main = result == 0 ? loop_part_main_scope(loop_inbox_loop(call->there)) : NULL;

    if (!main || loop_scope_is_cancelled(main)) {
        reply(call, -ESHUTDOWN);
        return;
    }
    call->scope = loop_scope_open(main, on_scope_end, call);
    if (!call->scope) {
        reply(call, -ENOMEM);
        return;
    }
    call->fn(call, call->scope, call->arg);
}

static void on_cancel_there(void *arg, int64_t result)
{
    struct loop_incoming *call = arg;

    if (result == 0 && call->scope) {
        call->is_cancelled_there = true;
        loop_scope_cancel(call->scope);
    }
    drop(call);
}

int loop_call_return(struct loop_incoming *call, int64_t result)
{
    if (!loop_check_pointer(call, "call", __func__) || !loop_check_scope(call->scope, __func__)) {
        return -EINVAL;
    }
    if (call->has_result) {
        return -EALREADY;
    }
    call->has_result = true;
    call->result = result;
    return 0;
}

/* ---- here ---- */

static void on_reply(void *arg, int64_t result)
{
    struct loop_incoming *call = arg;

    (void)result;
    loop_resolve(call->loop, call->promise, call->result);
    drop(call);
}

static void on_cancel(void *arg, loop_job job)
{
    struct loop_incoming *call = arg;

    (void)job;
    if (!call->is_cancelled) {
        call->is_cancelled = true;
        (void)post_there(call, &call->cancel); /* refused by a loop that has ended: its reply is on its way */
    }
}

static void send(struct loop_incoming *call)
{
    call->request = (struct loop_task){.fn = on_request, .arg = call};
    call->cancel = (struct loop_task){.fn = on_cancel_there, .arg = call};
    call->reply = (struct loop_task){.fn = on_reply, .arg = call};
    if (post_there(call, &call->request) < 0) {
        loop_resolve(call->loop, call->promise, -ESHUTDOWN);
        drop(call);
    }
}

loop_job loop_call(struct loop_scope *scope, struct loop_inbox *inbox, loop_call_fn *fn, void *call_arg, loop_fn *done,
                   void *arg)
{
    if (!loop_check_main_scope(scope, __func__) || !loop_check_pointer(inbox, "inbox", __func__) ||
        (!fn && !loop_check_pointer(NULL, "function", __func__))) {
        return 0;
    }
    if (loop_scope_is_cancelled(scope)) {
        return loop_promise(scope, NULL, NULL, done, arg);
    }
    struct loop_incoming *call = create(loop_scope_loop(scope), inbox);
    if (!call) {
        return 0;
    }
    call->fn = fn;
    call->arg = call_arg;
    loop_job job = call->promise = loop_promise(scope, on_cancel, call, done, arg);
    if (!job) {
        drop(call);
        return 0;
    }
    send(call);
    return job;
}
