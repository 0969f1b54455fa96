/* SPDX-License-Identifier: ISC
 *
 * Names what keeps a cancelled scope open; see held.c.
 */
#ifndef LOOP_EVENT_HELD_H
#define LOOP_EVENT_HELD_H

#include <loop/base.h>

struct loop;

/* Logs the cancelled scopes that only holds keep open. Called in debug builds, before the loop sleeps. */
void loop_held_name_all(struct loop *loop);

#endif
