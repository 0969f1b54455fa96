/* SPDX-License-Identifier: ISC
 *
 * What the loop asks of its letter box beside core.h.
 */
#ifndef LOOP_INBOX_H
#define LOOP_INBOX_H

#include <loop/core/core.h>

/* How often the loop slept and was woken through the box. On the loop's thread. */
uint64_t loop_inbox_wakeups(const struct loop_inbox *inbox);

/* How many references there are, the loop's own included. */
uint32_t loop_inbox_references(const struct loop_inbox *inbox);

#endif
