/* SPDX-License-Identifier: ISC
 *
 * Holds on scopes that are cancelled. A hold is the program's own, and the loop can't end it: whoever made it is told
 * by loop_scope_on_cancel. A debug build names the scopes that only holds keep open and whose holder is not told.
 */
#include <loop/check.h>
#include <loop/job.h>

#include <errno.h>
#include <string.h>

/* ---- being told ---- */

/* A scope that has nothing left but daemons is draining: it ends, and was not cancelled. */
static void end_wait(struct loop *loop, struct job *job)
{
    bool is_draining = job->scope->state == LOOP_SCOPE_DRAINING;
    loop_job_complete(loop, job, is_draining ? 0 : -ECANCELED);
}

static const struct loop_job_kind on_cancel_kind = {.name = "on cancel", .cancel = end_wait, .size = LOOP_JOB_BARE};

loop_job loop_scope_on_cancel(struct loop_scope *scope, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    bool ended;
    struct job *job = loop_job_start(scope, NULL, &on_cancel_kind, fn, arg, &ended);
    if (!job) {
        return 0;
    }
    loop_job id = job->id;
    scope->is_told = true;
    if (!ended) {
        job->where = LOOP_AT_OWNER;
        loop_daemon(scope->loop, id);
    }
    return id;
}

/* ---- naming those that nobody is told of ---- */

#if NORIA_DEBUG
static void name(struct loop *loop, struct loop_scope *scope)
{
    loop_log(loop, LOOP_LOG_WARNING,
             "scope %u.%llu has been cancelled (%s), and %u loop_scope_hold keep it open: release each, when "
             "loop_scope_on_cancel says that it is cancelled",
             (unsigned)(scope->id & (LOOP_SLAB_MAX - 1)), (unsigned long long)(scope->id >> LOOP_SLAB_INDEX_BITS),
             strerror(-scope->reason), (unsigned)scope->own_holds);
    scope->is_told = true;
}

/* True when the scope may still have to be named later: its jobs have to end first. */
static bool look_at(struct loop *loop, struct loop_scope *scope)
{
    if (!scope->is_cancelled || scope->own_holds == 0 || scope->is_told) {
        return false;
    }
    if (scope->holds > scope->own_holds) {
        return true;
    }
    name(loop, scope);
    return false;
}

void loop_held_name_all(struct loop *loop)
{
    bool is_open = false;
    unsigned depth = 0;
    if (!loop->has_cancelled_holds || loop->main_has_ended) {
        return;
    }
    for (struct loop_scope *scope = loop->main_scope; scope; scope = loop_scope_next(loop->main_scope, scope, &depth)) {
        is_open |= look_at(loop, scope);
    }
    loop->has_cancelled_holds = is_open;
}
#endif
