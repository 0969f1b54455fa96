/* SPDX-License-Identifier: ISC
 *
 * Holds on cancelled scopes. The loop cannot end a hold of the program, so it resumes the continuation of
 * loop_scope_on_cancel. A debug build logs the scopes that only holds keep open without such a job. It also logs
 * descriptors of ending scopes that only loop_fd_use keeps open.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/event/held.h>
#include <loop/ground/slab.h>

#include <errno.h>
#include <string.h>

/* ---- loop_scope_on_cancel ---- */

/* Ends the job: with 0 if the scope ends without having been cancelled, because only daemons are left. */
static void end_wait(struct loop *loop, struct loop_job *job)
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
    loop_job id;
    struct loop_job *job = loop_job_start(scope, NULL, &on_cancel_kind, fn, arg, &id);
    scope->is_told |= id != 0;
    if (job) {
        job->where = LOOP_AT_OWNER;
        loop_daemon(scope->loop, id);
    }
    return id;
}

/* ---- the names of what is held ---- */

#if NORIA_DEBUG
static void name(struct loop *loop, struct loop_scope *scope)
{
    loop_log_options(&loop->options, LOOP_LOG_WARNING,
                     "scope %u.%llu has been cancelled (%s), and %u loop_scope_hold keep it open: unhold each, when "
                     "loop_scope_on_cancel says that it is cancelled",
                     (unsigned)(scope->id & (LOOP_SLAB_MAX - 1)),
                     (unsigned long long)(scope->id >> LOOP_SLAB_INDEX_BITS), strerror(-loop_scope_reason(scope)),
                     (unsigned)scope->own_holds);
    scope->is_told = true;
}

/* Logs the scope if only holds keep it open. Returns true when it has to be checked again later: it still has jobs. */
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

static void name_uses(struct loop *loop, struct loop_fd *fd)
{
    char place[LOOP_PLACE_TEXT_SIZE];
    loop_place_format(&fd->used, place);
    loop_log_options(
        &loop->options, LOOP_LOG_WARNING,
        "the descriptor %d is to be closed with its scope, and %u loop_fd_use, the last one by %s, keep it open: call "
        "loop_fd_unuse once for each",
        fd->was_number, (unsigned)fd->own_uses, place);
    fd->is_named = true;
}

/* Logs the descriptor if only loop_fd_use keeps it open. Returns true when it has to be checked again later: jobs still
 * use it, or its scope is not ending yet. */
static bool look_at_fd(struct loop *loop, struct loop_fd *fd)
{
    if (fd->id & LOOP_SLAB_FREE || fd->state != LOOP_FD_CLOSING || fd->own_uses == 0 || fd->is_named) {
        return false;
    }
    if (fd->uses > fd->own_uses || (fd->scope->state == LOOP_SCOPE_OPEN && !fd->scope->is_cancelled)) {
        return true;
    }
    name_uses(loop, fd);
    return false;
}

static void look_at_fds(struct loop *loop)
{
    bool is_left = false;
    for (uint32_t i = 0; loop->has_closing_uses && i < loop_slab_capacity(&loop->fds); i++) {
        is_left |= look_at_fd(loop, (struct loop_fd *)(void *)loop_slab_at(&loop->fds, i));
    }
    loop->has_closing_uses = is_left;
}

void loop_held_name_all(struct loop *loop)
{
    bool is_open = false;
    unsigned depth = 0;
    look_at_fds(loop);
    if (!loop->has_cancelled_holds || loop->main_has_ended) {
        return;
    }
    for (struct loop_scope *scope = loop->main_scope; scope; scope = loop_scope_next(loop->main_scope, scope, &depth)) {
        is_open |= look_at(loop, scope);
    }
    loop->has_cancelled_holds = is_open;
}
#endif
