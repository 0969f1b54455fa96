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

/* Returns the loop's own scope, for descriptors and jobs that a part shares among the program's scopes. It is cancelled
 * when main's scope has ended, and loop_run waits for what is left in it. Jobs in it don't keep the loop running. */
LOOP_API struct loop_scope *loop_part_scope(struct loop *loop);

/* Returns the place in which the part that owns the address `key` keeps a pointer of its own in this loop: the same one
 * at each call, NULL in it at first. It is gone after the loop's own scope has ended; the loop never looks at what it
 * points to. Returns NULL when there is no memory. */
LOOP_API void **loop_part_slot(struct loop *loop, const void *key);

#ifdef __cplusplus
}
#endif

#endif
