/* SPDX-License-Identifier: ISC
 *
 * A server with domains: which thread owns what.
 *
 *     parent's loop: struct loop_server       the limit, the stop, the signals, every listener, and accepting where
 *                                             the kernel does not choose the domain
 *     domain's loop: a struct loop_server     the connections; and accepting by a duplicate of its listener
 *
 * Both are servers of one loop (server.h). Hooks tell the parent's to hand connections over, and the domains' to hand
 * back what they cannot serve. Each domain is a group of its own (<domain/domain.h>), so one that fails ends alone; its
 * job is in the scope of the parent's server, which therefore ends after all threads.
 *
 * All that crosses is a task. The tasks to a branch are posted by the parent's thread alone. Those to the parent are
 * posted by the domain before its job ends, so the parent has run them all by then. A connection on its way is one
 * piece of memory (struct loop_handover), which belongs to the thread that runs its task.
 */
#ifndef NET_BRANCH_H
#define NET_BRANCH_H

#include <loop/part.h>
#include <net/server.h>

#include <stdatomic.h>

/* A domain of a server. */
struct loop_branch {
    /* Constant once the thread has been created. */
    struct loop_spread *spread;
    unsigned index;
    /* The duplicate of the listener; or -1. Of the domain's thread from the beginning of its main function. If that
     * never began, of the parent's when the job has ended. */
    int number;
    /* Of the parent's thread. */
    struct loop_domain_group *group;
    struct loop_inbox *inbox;      /* while it can be called; otherwise NULL */
    struct loop_acceptor acceptor; /* of what waits for a domain that has ended; without a listener: there is none */
    bool has_started, has_ended;
    bool is_over; /* a connection has come back because the domain ends: it gets no more */
    /* Written by the parent, read by the domain. */
    _Atomic int64_t deadline_ns;
    atomic_bool is_told; /* `stop` was posted and has not run */
    struct loop_task stop;
    /* Of the domain's thread. */
    struct loop_server *server; /* NULL before it serves and when it has ended */
};

/* A connection that goes to a domain, or comes back. */
struct loop_handover {
    struct loop_task task;
    struct loop_branch *branch;
    struct loop_handover *next; /* of those that wait */
    struct loop_arrival arrival;
    unsigned returns;    /* how often it has come back because there was no memory */
    bool domain_is_over; /* it comes back because the domain ends */
};

/* Owned by the parent's server. */
struct loop_spread {
    /* Constant once the first thread has been created. */
    struct loop_server *server; /* the parent's */
    struct loop_inbox *inbox;   /* the parent's */
    struct loop_serve_options options;
    bool has_limit; /* the parent counts connections: domains tell it how many have ended */
    bool is_shared; /* each domain has a listener */
    unsigned n;
    loop_fn *on_returned; /* the task of a connection that a domain hands back */
    /* Of the parent's thread. */
    unsigned n_living, n_running; /* domains that have not ended; of these, that can be called */
    unsigned n_started;           /* those that could ever be called */
    unsigned next;
    struct loop_domain_region *region; /* while the domains are started */
    struct loop_handover *waiting;     /* accepted, for domains that still start */
    /* Of all threads. */
    atomic_uint n_over; /* connections that have ended, and of which the parent has not heard */
    atomic_bool over_is_posted;
    struct loop_task over;
    atomic_uint n_on_way; /* connections that were accepted and have neither begun nor been closed */
    atomic_bool is_retiring, arrived_is_posted; /* the parent waits for the last of them; has been told */
    struct loop_task arrived;
    _Alignas(64) _Atomic uint64_t accepted, failed, connections_now, connections_most;
    struct loop_branch branches[];
};

/* The main function of a branch's domain; `arg` is the branch. */
int loop_branch_main(struct loop_env *env, unsigned index, void *arg);

/* Has the domain of a branch stop its server. In the parent's thread. */
void loop_branch_stop(struct loop_branch *branch, int64_t deadline_ns);

/* Hands a connection to the domain of a branch, in the parent's thread. Returns false when it takes none. */
bool loop_branch_hand(struct loop_branch *branch, struct loop_handover *handover);

#endif
