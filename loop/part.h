/* SPDX-License-Identifier: ISC
 *
 * For parts built on the loop, as <fs/fs.h> is: what a part keeps once for each loop, and where it lives. Programs need
 * nothing of this. All of it is for the loop's thread.
 */
#ifndef LOOP_PART_H
#define LOOP_PART_H

#include <loop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct loop_flow;

/* Returns the loop's own scope, for descriptors and jobs that a part shares among the program's scopes. It is cancelled
 * when main's scope has ended, and loop_run waits for what is left in it. Jobs in it don't keep the loop running. */
LOOP_API struct loop_scope *loop_part_scope(struct loop *loop);

/* Returns the place in which the part that owns the address `key` keeps a pointer of its own in this loop: the same one
 * at each call, NULL in it at first. It is gone after the loop's own scope has ended; the loop never looks at what it
 * points to. Returns NULL when there is no memory. */
LOOP_API void **loop_part_slot(struct loop *loop, const void *key);

/* ---- checks ----
 *
 * What the public functions of a part ask of what they are given; see <loop/base.h> for mistakes. Each returns true
 * when it may be used. Where it may not, a debug build stops with a line that names `function` and what is wrong. */

LOOP_API bool loop_check_scope(const struct loop_scope *scope, const char *function);
LOOP_API bool loop_check_fd(const struct loop_fd *fd, const char *function);
LOOP_API bool loop_check_flow(const struct loop_flow *flow, const char *function);

/* For an argument that points to what the caller has or wants: false for NULL. */
LOOP_API bool loop_check_pointer(const void *pointer, const char *name, const char *function);

/* For an object of the part's own, which `kind` names, in the memory of a scope to which it has a pointer, `scope_at`
 * bytes from its start. Returns false for NULL, and in a debug build when the scope has ended. */
LOOP_API bool loop_check_object(const void *object, size_t scope_at, const char *kind, const char *function);

#ifdef __cplusplus
}
#endif

#endif
