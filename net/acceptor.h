/* SPDX-License-Identifier: ISC
 *
 * Accepting on a listener for as long as its owner wants to, through shortages of descriptors and memory.
 */
#ifndef NET_ACCEPTOR_H
#define NET_ACCEPTOR_H

#include <net/net.h>

/* What the owner does. */
struct loop_acceptor_ops {
    /* Returns whether another connection may be accepted now. */
    bool (*may_accept)(void *arg);
    /* Takes over an accepted connection, a nonblocking socket. Also called for one that was accepted before a stop. */
    void (*take)(void *arg, int number);
    /* Accepting has ended for good, with a negative errno. Also called after a stop. */
    void (*over)(void *arg, int64_t error);
};

/* In the memory of its owner, which lives until `scope` has ended. */
struct loop_acceptor {
    const struct loop_acceptor_ops *ops;
    void *arg;
    struct loop_scope *scope; /* of the jobs */
    struct loop_listener *listener;
    bool is_one_by_one; /* accepts one, then asks may_accept */
    bool is_draining;   /* what waits in the backlog is being accepted */
    loop_job job;       /* the accept, or the wait before the next; 0: neither */
    loop_job leaving;   /* waits until the loop has let the listener go; 0: does not */
};

/* Accepts, unless an accept runs already or the owner may accept none. Returns 0 or -ENOMEM, for which `over` is not
 * called. */
int loop_acceptor_start(struct loop_acceptor *acceptor);

/* The same, and without memory `over` is called. */
void loop_acceptor_go_on(struct loop_acceptor *acceptor);

/* Accepts what waits in the backlog now, for as long as the owner may accept, and hands it to `take` before it returns.
 * A shortage ends this. */
void loop_acceptor_drain(struct loop_acceptor *acceptor);

/* Cancels the accept, and closes the listener. The kernel resets what is in its backlog. */
void loop_acceptor_stop(struct loop_acceptor *acceptor);

/* Does the same, but drains the backlog directly before the close. That is soon: `leaving` is set until then, and
 * `over` is called. Without memory the backlog is drained, and the listener closed, by this call. */
void loop_acceptor_leave(struct loop_acceptor *acceptor);

#endif
