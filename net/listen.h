/* SPDX-License-Identifier: ISC
 *
 * How accepts on a listener fail and recover, for the code that accepts in a loop.
 */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <net/net.h>

/* Decides what follows an accept that failed with `error`. Returns 0 to accept again at once, nanoseconds to wait for a
 * descriptor before accepting again, or a negative errno when the listener has failed for good. Logs a warning when
 * something has run out. */
int64_t loop_net_accept_failed(struct loop_listener *listener, int64_t error);

/* Records that an accept succeeded: the next wait is short again. */
void loop_net_accept_succeeded(struct loop_listener *listener);

#endif
