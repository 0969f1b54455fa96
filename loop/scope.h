/* SPDX-License-Identifier: ISC
 *
 * Scopes: who owns what, and until when.
 *
 * Everything that lives in a loop lives in a scope: jobs, descriptors, timers, memory, other scopes. A
 * scope ends by itself when nothing is left in it: no job, no child scope, no hold. This is looked at
 * when the continuation that emptied it, or the one that opened it, has returned. What then happens, in
 * this order:
 *
 *   1. daemons, if any, are cancelled and awaited;
 *   2. release hooks run, last added first, all of them;
 *   3. its descriptors close (what other scopes still do with them is cancelled and awaited first);
 *   4. `on_end` hears the first error, or 0;
 *   5. the objects of its descriptors and memory from loop_scope_alloc are freed, and the scope is gone.
 *
 * A pointer to a scope, and to a descriptor of it that was not destroyed, is good until on_end has returned.
 *
 * Errors. A job's error goes to its continuation. Where there is none (NULL), it goes to the job's scope
 * as by loop_scope_fail: the first one is kept and everything else in the scope is cancelled. A scope
 * without on_end passes its error to its parent the same way. A write without a continuation that moves a part of its
 * bytes has failed: its scope gets the error that stopped it. A cancellation is no failure: -ECANCELED
 * never becomes a scope's error while a real one is known, and neither passes to parents.
 */
#ifndef LOOP_SCOPE_H
#define LOOP_SCOPE_H

#include <loop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a scope inside `parent`. `on_end(arg, error)` is resumed when it has ended; NULL lets a failure
 * reach `parent`. A scope opened in a cancelled parent is cancelled from the start.
 * Returns NULL when there is no memory or `parent` has ended. */
LOOP_API struct loop_scope *loop_scope_open(struct loop_scope *parent, loop_fn *on_end, void *arg);

/* Cancels all that is in the scope, children first, then its jobs in the order they were started. They
 * end with -ECANCELED, and so does every job started in it from now on, without a system call. The scope
 * ends when they have, and on_end hears -ECANCELED where nothing else went wrong. Cancelling twice is harmless. */
LOOP_API void loop_scope_cancel(struct loop_scope *scope);

/* Cancels the scope because of `error` (< 0): the first error given is the one on_end hears. Jobs end
 * with -ECANCELED. Any error that is not negative counts as -EINVAL. */
LOOP_API void loop_scope_fail(struct loop_scope *scope, int64_t error);

/* Sets, moves or (with LOOP_NEVER) takes away the scope's deadline. When it is reached everything in the
 * scope ends with -ETIMEDOUT, which is then the scope's error too, unless it had one. A point in the past
 * counts as now; it is reached from the loop, not inside the call. A scope has one deadline. */
LOOP_API void loop_scope_deadline(struct loop_scope *scope, int64_t at_ns);

/* Keeps the scope open though nothing runs in it, until there were as many unholds as holds. A hold also keeps a scope
 * open that is cancelled or has reached its deadline, so its holder should ask for that with loop_scope_on_cancel; a
 * debug build logs a warning that names a scope which only holds keep open then, where nobody has asked. */
LOOP_API void loop_scope_hold(struct loop_scope *scope);

/* Undoes one loop_scope_hold. One unhold too many stops a debug build, and does nothing otherwise. */
LOOP_API void loop_scope_unhold(struct loop_scope *scope);

/* Resumes `fn(arg, result)` when the scope is cancelled: -ETIMEDOUT by a deadline, its own or one around it, else
 * -ECANCELED (loop_scope_cancel, a failure, a cancelled parent). In a scope that is cancelled already it is resumed
 * soon. The job is a daemon: it does not keep the scope open. It ends with 0 when the scope ends without having been
 * cancelled, and with -ECANCELED by loop_cancel. For a holder, who has to end his work and call loop_scope_unhold.
 * Returns job 0 when there is no memory or the scope has ended. */
LOOP_API loop_job loop_scope_on_cancel(struct loop_scope *scope, loop_fn *fn, void *arg);

/* Makes the scope a daemon of its parent: it doesn't hold the parent open, and is cancelled when nothing
 * else does. */
LOOP_API void loop_scope_daemon(struct loop_scope *scope);

/* A function to be run when the scope ends. It can't start jobs in the scope any more. */
struct loop_hook;
typedef void loop_hook_fn(void *arg);

/* Returns the hook, owned by the scope, or NULL (no memory, or the scope has ended): then `fn` has been
 * run at once, so that what it releases is released in any case. After NULL treat `arg` as released: where
 * `fn` frees it, it is gone. */
LOOP_API struct loop_hook *loop_scope_defer(struct loop_scope *scope, loop_hook_fn *fn, void *arg);

/* Takes a hook out again without running it; NULL is harmless. Not from inside another hook. One that has been removed
 * already or has run stops a debug build, and nothing happens otherwise, as long as no other hook of the loop has its
 * place. */
LOOP_API void loop_hook_remove(struct loop_scope *scope, struct loop_hook *hook);

/* Zeroed memory of the scope, aligned for any type, freed when the scope has ended: after every hook and
 * after on_end. NULL when there is none. */
LOOP_API void *loop_scope_alloc(struct loop_scope *scope, size_t size_bytes);

LOOP_API bool loop_scope_is_cancelled(const struct loop_scope *scope);

/* The scope's first error, or 0. */
LOOP_API int64_t loop_scope_error(const struct loop_scope *scope);

LOOP_API struct loop *loop_scope_loop(const struct loop_scope *scope);

#ifdef __cplusplus
}
#endif

#endif
