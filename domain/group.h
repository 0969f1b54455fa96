/* SPDX-License-Identifier: ISC
 *
 * Domains: which thread owns what, and until when.
 *
 * The only way from one thread to another is loop_post_task: what a thread has written before it posts a task is seen
 * by the function of the task. A group and its domains are in the memory of the parent's scope, which is held open by
 * the group's job until every thread has been joined.
 *
 *     parent's thread                                  domain's thread
 *
 *     creates it, with what is constant      ──────▶   loop_run_with, main
 *     has the inbox from here on             ◀──────   `started`, when main has returned 0
 *     `stop`, once, if the job is cancelled  ──────▶   loop_stop
 *     joins it, has the result               ◀──────   `ended`, the last thing that the thread does
 *
 * The memory of the region is counted: each loop has a reference while it lives, and the group one until its job ends.
 *
 * `started` and `ended` cannot be refused: the inbox of the parent is open as long as main's scope there, inside which
 * the job is. `stop` may be refused, by a domain that ends anyway. Its memory is not the inbox's any more when the loop
 * of the domain has ended, which is before `ended`.
 */
#ifndef DOMAIN_GROUP_H
#define DOMAIN_GROUP_H

#include <domain/domain.h>
#include <loop/ground/shares.h>
#include <loop/part.h>

#include <pthread.h>
#include <signal.h>

/* A set of processors: as many as Linux allows for at most. */
#define LOOP_PROCESSORS_MAX 8192u

struct loop_processors {
    unsigned long bits[LOOP_PROCESSORS_MAX / (8 * sizeof(unsigned long))];
};

static inline bool loop_processors_has(const struct loop_processors *processors, unsigned processor)
{
    unsigned word_bits = 8 * sizeof(unsigned long);
    return processors->bits[processor / word_bits] >> processor % word_bits & 1;
}

enum loop_domain_state {
    LOOP_DOMAIN_ABSENT, /* there is no thread yet */
    LOOP_DOMAIN_STARTING,
    LOOP_DOMAIN_RUNNING, /* its main function has returned 0 */
    LOOP_DOMAIN_ENDED    /* the thread has been joined */
};

struct loop_domain {
    /* Constant once the thread has been created. */
    struct loop_domain_group *group;
    unsigned index;
    int processor;           /* that it is to run on; -1: any */
    struct loop_share share; /* without `shares`: its region is its own */
    /* Of the domain's thread until it has posted `ended`, then of the parent's. */
    int result;
    bool has_begun; /* its main function was called */
    /* Of the domain's thread until it has posted `started`. Then it is constant, and the reference is the parent's. */
    struct loop_inbox *inbox;
    /* Of the parent's thread. */
    pthread_t thread;
    enum loop_domain_state state;
    bool is_told; /* `stop` was posted */
    /* Each is posted once: by the domain, by the domain, by the parent. */
    struct loop_task started, ended, stop;
};

/* In the memory of its scope. */
struct loop_domain_group {
    /* Constant once the first thread has been created. */
    struct loop_scope *scope;
    struct loop *loop;
    struct loop_inbox *inbox; /* the parent's */
    struct loop_options options;
    loop_domain_fn *main;
    void *main_arg;
    sigset_t child_mask;
    unsigned count;
    struct loop_shares *shares; /* of the region. A reference of the parent's thread, until all have ended */
    /* Of the parent's thread. */
    unsigned n_living, n_started;
    loop_job job; /* until all have ended; then 0 */
    bool is_stopping, is_cancelled;
    bool has_lost; /* one has ended before it had started */
    int64_t error; /* the first, or 0 */
    struct loop_waiters waiters;
    struct loop_domain domains[];
};

/* Creates the thread of a domain. Calls `on_started(domain, 0)` in the parent's thread when the main function has
 * returned 0, and `on_ended(domain, 0)` when the loop has ended. Returns 0 or a negative errno. */
int loop_domain_create(struct loop_domain *domain, loop_fn *on_started, loop_fn *on_ended);

/* Joins the thread of a domain that has posted `ended`. */
void loop_domain_join(struct loop_domain *domain);

/* Has a domain that runs end, once. */
void loop_domain_stop(struct loop_domain *domain);

#endif
