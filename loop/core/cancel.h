/* SPDX-License-Identifier: ISC
 *
 * How scopes are cancelled and end.
 */
#ifndef LOOP_CORE_CANCEL_H
#define LOOP_CORE_CANCEL_H

#include <loop/core/job.h>
#include <loop/core/scope.h>

/* The deadline in loop->timers has been reached. */
void loop_scope_expire(struct loop_scope *scope);

/* Calls `fn` for every job in `top` and in the scopes beneath it. It may complete the job. */
void loop_scope_each_job(struct loop_scope *top, void (*fn)(struct loop *loop, struct loop_job *job));

/* Ends the scopes in loop->ending that are empty; what comes to be there meanwhile stays. From the dispatch only. */
void loop_scopes_settle(struct loop *loop);

#endif
