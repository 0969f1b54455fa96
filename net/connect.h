/* SPDX-License-Identifier: ISC
 *
 * Points in time for timeouts that programs give as durations.
 */
#ifndef NET_CONNECT_H
#define NET_CONNECT_H

#include <net/net.h>

/* Returns the point in time `duration_ns` (>= 0) from now, LOOP_NEVER where that is beyond all times. */
int64_t loop_net_from_now(const struct loop *loop, int64_t duration_ns);

#endif
