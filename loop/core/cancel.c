/* SPDX-License-Identifier: ISC
 *
 * Cancels and ends scopes. A scope is cancelled by a call, an error or its deadline. A scope that nothing holds open
 * ends in steps, in the settling after a continuation: daemons, hooks, descriptors, on_end.
 */
#include <loop/core/cancel.h>
#include <loop/core/close.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/ground/wheel.h>

#include <errno.h>

/* ---- cancelling ---- */

static void cancel_jobs(struct loop_scope *scope)
{
    struct loop_hnode *next;
    for (struct loop_hnode *node = loop_hlist_oldest(&scope->jobs); node; node = next) {
        next = loop_hlist_newer(&scope->jobs, node);
        loop_job_cancel(scope->loop, LOOP_CONTAINER(node, struct loop_job, in_scope));
    }
}

static void note_error(struct loop_scope *scope, int64_t error)
{
    if (scope->error == 0 || (scope->error == -ECANCELED && error != -ECANCELED)) {
        scope->error = (int32_t)error;
    }
}

static void mark(struct loop_scope *scope, int16_t reason)
{
    scope->is_cancelled = true;
    scope->is_late = reason == -ETIMEDOUT;
    scope->loop->has_cancelled_holds |= scope->own_holds > 0;
}

/* Finds the first scope, from this one of the children of a scope on, that is not cancelled, and marks it as cancelled.
 * Returns NULL when there is none. */
static struct loop_scope *mark_next(struct loop_scope *scope, int16_t reason)
{
    for (; scope; scope = loop_scope_newer_sibling(scope)) {
        if (!scope->is_cancelled) {
            mark(scope, reason);
            note_error(scope, reason);
            return scope;
        }
    }
    return NULL;
}

/* Cancels `top` and the scopes below it, children first. Not recursive, because a program may nest scopes to any depth.
 * The lists do not change meanwhile: only the dispatch removes scopes and jobs. */
static void cancel_tree(struct loop_scope *top, int16_t reason)
{
    if (top->is_cancelled || !loop_scope_takes_work(top)) {
        return;
    }
    mark(top, reason);
    struct loop_scope *scope = top;
    for (;;) {
        struct loop_scope *down = mark_next(loop_scope_oldest_child(scope), reason);
        while (!down) {
            cancel_jobs(scope);
            if (scope == top) {
                return;
            }
            down = mark_next(loop_scope_newer_sibling(scope), reason);
            scope = down ? scope : loop_scope_parent(scope);
        }
        scope = down;
    }
}

/* Returns the scope after `scope` in the tree below `top`, parents before children; NULL at the end. */
static struct loop_scope *next_in_tree(const struct loop_scope *top, struct loop_scope *scope)
{
    struct loop_scope *next = loop_scope_oldest_child(scope);
    while (!next && scope != top) {
        next = loop_scope_newer_sibling(scope);
        scope = loop_scope_parent(scope);
    }
    return next;
}

void loop_scope_each_job(struct loop_scope *top, void (*fn)(struct loop *loop, struct loop_job *job))
{
    for (struct loop_scope *scope = top; scope; scope = next_in_tree(top, scope)) {
        struct loop_hnode *next;
        for (struct loop_hnode *node = loop_hlist_oldest(&scope->jobs); node; node = next) {
            next = loop_hlist_newer(&scope->jobs, node);
            fn(scope->loop, LOOP_CONTAINER(node, struct loop_job, in_scope));
        }
    }
}

void loop_scope_cancel(struct loop_scope *scope)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return;
    }
    if (loop_scope_takes_work(scope)) {
        note_error(scope, -ECANCELED);
        cancel_tree(scope, -ECANCELED);
    }
}

void loop_scope_fail(struct loop_scope *scope, int64_t error)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return;
    }
    note_error(scope, error < 0 && error >= INT32_MIN ? error : -EINVAL);
    cancel_tree(scope, -ECANCELED);
}

static void drop_deadline(struct loop_scope *scope)
{
    struct loop_deadline *deadline = loop_scope_own_deadline(scope);
    if (!deadline) {
        return;
    }
    loop_alarm_clear(scope->loop, &deadline->alarm);
    scope->more->deadline = 0;
    loop_slab_put(&scope->loop->deadlines, deadline);
}

static void expire(struct loop *loop, struct loop_alarm *alarm)
{
    struct loop_scope *scope = LOOP_CONTAINER(alarm, struct loop_deadline, alarm)->scope;
    (void)loop;
    drop_deadline(scope);
    if (!scope->is_cancelled) {
        note_error(scope, -ETIMEDOUT);
        cancel_tree(scope, -ETIMEDOUT);
    }
}

void loop_scope_deadline(struct loop_scope *scope, int64_t at_ns)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return;
    }
    struct loop *loop = scope->loop;
    drop_deadline(scope);
    if (at_ns == LOOP_NEVER || !loop_scope_takes_work(scope)) {
        return;
    }
    struct loop_scope_more *more = loop_scope_get_more(scope);
    struct loop_deadline *deadline = more ? loop_slab_get(&loop->deadlines) : NULL;
    if (!deadline) {
        loop_scope_fail(scope, -ENOMEM); /* a scope must not continue without its deadline */
        return;
    }
    deadline->scope = scope;
    more->deadline = loop_index_of(deadline);
    deadline->alarm.due = NULL;
    loop_alarm_set(loop, &deadline->alarm, at_ns, expire);
}

/* ---- ending ---- */

static void be_gone(struct loop_scope *scope)
{
    assert(!scope->is_ending);
    scope->is_ending = true; /* never checked again, whatever on_end does */
    struct loop_scope *parent = loop_scope_parent(scope);
    int32_t error = scope->error;
    bool was_heard = scope->on_end != NULL;
    if (scope->on_end) {
        scope->on_end(scope->arg, error);
    }
    bool was_daemon = scope->is_daemon; /* on_end may have made it one */
    loop_scope_drop_kept(scope);
    loop_fds_leave(scope);
    loop_scope_free_memory(scope);
    if (parent) {
        loop_index_remove(&scope->loop->scopes, &parent->children, scope, offsetof(struct loop_scope, in_parent));
    }
    scope->state = LOOP_SCOPE_GONE;
    scope->parent = 0;
    loop_scope_put_if_unkept(scope);
    if (!parent) {
        return;
    }
    if (!was_heard && error < 0 && error != -ECANCELED) {
        loop_scope_fail(parent, error);
    }
    loop_scope_drop_hold(parent, was_daemon);
}

static void release(struct loop_scope *scope)
{
    scope->state = LOOP_SCOPE_RELEASING;
    drop_deadline(scope);
    loop_scope_run_hooks(scope);
    scope->state = LOOP_SCOPE_CLOSING;
    loop_fds_close(scope);
}

static void step(struct loop_scope *scope)
{
    if (loop_scope_takes_work(scope)) {
        if (scope->holds > 0) {
            return;
        }
        if (scope->daemons > 0) {
            scope->state = LOOP_SCOPE_DRAINING;
            cancel_tree(scope, -ECANCELED);
            return;
        }
        release(scope);
    }
    if (scope->unclosed == 0 && !scope->is_ending) { /* otherwise a step has put it into the queue again */
        be_gone(scope);
    }
}

void loop_scopes_settle(struct loop *loop)
{
    struct loop_scope *next, *scope = loop_index_object(&loop->scopes, loop->ending);
    loop->ending = 0;
    loop->last_ending = &loop->ending;
    for (; scope; scope = next) {
        next = loop_index_object(&loop->scopes, scope->next_ending);
        scope->is_ending = false;
        step(scope);
    }
}
