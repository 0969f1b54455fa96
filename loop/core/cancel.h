/* SPDX-License-Identifier: ISC
 *
 * Cancels and ends scopes.
 */
#ifndef LOOP_CORE_CANCEL_H
#define LOOP_CORE_CANCEL_H

#include <loop/core/job.h>
#include <loop/core/scope.h>

/* Calls `fn` for every job in `top` and in the scopes below it. `fn` may complete the job. */
void loop_scope_each_job(struct loop_scope *top, void (*fn)(struct loop *loop, struct loop_job *job));

/* Ends the scopes in loop->ending that are empty. Scopes that are added meanwhile stay for the next call. From the
 * dispatch only. */
void loop_scopes_settle(struct loop *loop);

#endif
