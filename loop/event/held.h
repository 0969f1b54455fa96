/* SPDX-License-Identifier: ISC
 *
 * Names what keeps a cancelled scope open; see held.c.
 */
#ifndef LOOP_EVENT_HELD_H
#define LOOP_EVENT_HELD_H

#include <loop/base.h>

struct loop;

/* Names the scopes that are cancelled and kept open by holds only (held.c). In debug builds, before the loop sleeps. */
void loop_held_name_all(struct loop *loop);

#endif
