/* SPDX-License-Identifier: ISC
 *
 * Sockets that have sent all, and wait for their peers to close. A socket that is closed earlier is reset by what still
 * comes, and the peer may lose the last answer. To be told of each close would wake the loop once more for every
 * connection. These sockets are looked at together, some times a second.
 */
#ifndef DEMOS_HTTP_LINGERING_H
#define DEMOS_HTTP_LINGERING_H

#include <loop/loop.h>

#define MOST_LINGERING 256
#define LINGERING_NS (2 * LOOP_SECOND)

struct lingering {
    struct loop_env *env; /* set by the program. The other members are 0 at first */
    struct {
        int number;
        int64_t expires_ns;
    } socket[MOST_LINGERING];
    unsigned n, n_expected;
    bool is_watching; /* until none is left */
};

/* Takes the socket of a connection, and then cancels `scope`, the connection's, which `fd` belongs to. What the peer
 * still sends is dropped; the socket is closed after the peer's end, and at the latest after LINGERING_NS. Returns
 * false, and does nothing, where there are too many, or without memory. */
bool lingering_take(struct lingering *lingering, struct loop_fd *fd, struct loop_scope *scope);

#endif
