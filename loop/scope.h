/* SPDX-License-Identifier: ISC
 *
 * Scopes own everything in a loop, and determine how long it lives.
 *
 * Jobs, descriptors, timers, memory and other scopes each belong to a scope. A scope ends by itself when it has no job,
 * no child scope and no hold. The loop checks that after the continuation that opened or emptied the scope has
 * returned. The scope then ends in these steps:
 *
 *   1. its daemons, if it has any, are cancelled, and the scope waits for them;
 *   2. all its release hooks run, the one added last first;
 *   3. its descriptors close, after the jobs of other scopes on them were cancelled and have ended;
 *   4. `on_end` is called with the scope's first error, or 0;
 *   5. the objects of its descriptors and the memory from loop_scope_alloc are freed, and the scope is gone.
 *
 * A pointer to a scope is valid until on_end has returned, and so is a pointer to a descriptor of the scope that was
 * not destroyed.
 *
 * Errors. The error of a job goes to its continuation. The error of a job without one (NULL) fails its scope, as
 * loop_scope_fail does: the scope keeps its first error and cancels everything else in it. A scope without on_end fails
 * its parent with its error in the same way. A write without a continuation that wrote only a part of its bytes has
 * failed, and its scope gets the error that stopped it. A cancellation is not an error: -ECANCELED never replaces a
 * real error of a scope, a real error replaces it, and it does not pass to the parent.
 */
#ifndef LOOP_SCOPE_H
#define LOOP_SCOPE_H

#include <loop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a scope inside `parent`, and holds `parent` open until it has ended. Calls `on_end(arg, error)` on the loop's
 * thread when the scope has ended; with NULL an error fails `parent`. A scope in a cancelled parent is cancelled from
 * the start. Returns NULL when there is no memory or `parent` has ended. */
LOOP_API struct loop_scope *loop_scope_open(struct loop_scope *parent, loop_fn *on_end, void *arg);

/* Cancels everything in the scope: its children first, then its jobs in the order in which they were started. They end
 * with -ECANCELED. A job started in the scope from now on ends with -ECANCELED too, without a system call. The scope
 * ends after its jobs, with -ECANCELED for on_end if it has no other error. A second call has no effect. */
LOOP_API void loop_scope_cancel(struct loop_scope *scope);

/* Fails the scope with `error` (< 0): stores it as the scope's error, unless the scope has one, and cancels everything
 * in the scope. Its jobs end with -ECANCELED, and on_end gets the scope's error. An `error` that is not negative, or
 * less than INT32_MIN, counts as -EINVAL. */
LOOP_API void loop_scope_fail(struct loop_scope *scope, int64_t error);

/* Sets or moves the scope's only deadline; LOOP_NEVER removes it. At `at_ns` of CLOCK_MONOTONIC everything in the scope
 * ends with -ETIMEDOUT, which becomes the scope's error unless it has one. A time in the past counts as now: it takes
 * effect from the loop, not inside the call. Another one may take effect up to loop_options.timer_leeway_ns later.
 * Without memory for the deadline the scope fails with -ENOMEM. */
LOOP_API void loop_scope_deadline(struct loop_scope *scope, int64_t at_ns);

/* Holds the scope open, even while nothing runs in it, until each hold was undone by one loop_scope_unhold. It also
 * holds a scope open that is cancelled or past its deadline, so the holder should learn of that with
 * loop_scope_on_cancel. Without such a job a debug build logs a warning that names a cancelled scope which only holds
 * keep open. */
LOOP_API void loop_scope_hold(struct loop_scope *scope);

/* Undoes one loop_scope_hold. A call without a hold left has no effect, and aborts a debug build. */
LOOP_API void loop_scope_unhold(struct loop_scope *scope);

/* Resumes `fn(arg, result)` when the scope is cancelled, or soon where it is cancelled already. The result is
 * -ETIMEDOUT after a deadline of this scope or of one around it, else -ECANCELED: loop_scope_cancel, a failure, or a
 * cancelled parent. For a holder, which then ends its work and calls loop_scope_unhold. The job is a daemon: it does
 * not hold the scope open. It ends with 0 when the scope ends without a cancellation, and with -ECANCELED after
 * loop_cancel. Returns job 0 when there is no memory or the scope has ended. */
LOOP_API loop_job loop_scope_on_cancel(struct loop_scope *scope, loop_fn *fn, void *arg);

/* Makes the scope a daemon of its parent: it no longer holds the parent open, and is cancelled when nothing else does.
 * A second call has no effect, and neither has a call for main's scope. */
LOOP_API void loop_scope_daemon(struct loop_scope *scope);

/* A release hook of a scope. */
struct loop_hook;

/* The function of a release hook. It runs on the loop's thread when the scope ends, and cannot start jobs in it. */
typedef void loop_hook_fn(void *arg);

/* Adds a release hook, which calls `fn(arg)` when the scope ends. Returns the hook, which the scope owns. Returns NULL
 * when there is no memory or the scope has ended: then `fn` has already been called inside this call, so that nothing
 * leaks. So treat `arg` as released after NULL: where `fn` frees it, it is gone. */
LOOP_API struct loop_hook *loop_scope_defer(struct loop_scope *scope, loop_hook_fn *fn, void *arg);

/* Removes a hook and does not call it. NULL is ignored. Not allowed from inside another hook. A hook that was removed
 * before, or has run, is ignored, and aborts a debug build; it is detected until another hook of the loop reuses its
 * memory. */
LOOP_API void loop_hook_remove(struct loop_scope *scope, struct loop_hook *hook);

/* Returns `size_bytes` of zeroed memory, aligned for any type, or NULL when there is none. The scope owns it and frees
 * it after every hook has run and on_end has returned. */
LOOP_API void *loop_scope_alloc(struct loop_scope *scope, size_t size_bytes);

/* Returns whether the scope is cancelled: by loop_scope_cancel, an error, a deadline or its parent. */
LOOP_API bool loop_scope_is_cancelled(const struct loop_scope *scope);

/* Returns the scope's first error, or 0. */
LOOP_API int64_t loop_scope_error(const struct loop_scope *scope);

/* Returns the loop that the scope belongs to. */
LOOP_API struct loop *loop_scope_loop(const struct loop_scope *scope);

#ifdef __cplusplus
}
#endif

#endif
