/* SPDX-License-Identifier: ISC
 *
 * Jobs that wait in a line, of one loop or of several: what channels, semaphores and conditions have in common.
 *
 * What threads share has a mutex. Only inside of it does anybody touch a line, or a waiter in it. Whoever takes a
 * waiter out of a line is the one who ends it: the thread of its loop when the job is cancelled, else any thread, by
 * loop_waiter_grant. From then on the waiter belongs to the thread of its loop, which resolves the job and frees the
 * waiter: in loop_waiters_tell when that is the calling thread, else in a task.
 */
#ifndef SYNC_LINE_H
#define SYNC_LINE_H

#include <loop/ground/list.h>
#include <loop/kernel/thread.h>
#include <loop/part.h>

#include <stdatomic.h>

/* The first member of what threads share. Each waiter has a reference. */
struct loop_shared {
    pthread_mutex_t mutex;
    atomic_uint references;
    void (*destroy)(struct loop_shared *shared); /* frees the object, after the last reference */
};

/* A job that waits. */
struct loop_waiter {
    struct loop_list link; /* in a line, or among those that loop_waiters_tell is to tell */
    struct loop_shared *shared;
    struct loop *loop;
    struct loop_inbox *inbox; /* of the loop, with a reference */
    pthread_t thread;         /* of the loop */
    loop_job job;
    int64_t result;  /* is_granted: of the job */
    bool is_granted; /* no longer in a line */
    void *item;      /* where an item comes from, or goes to */
    struct loop_task task;
    unsigned char copy[]; /* of an item */
};

/* Makes the shared part of an object, with one reference. */
void loop_shared_init(struct loop_shared *shared, void (*destroy)(struct loop_shared *shared));

/* Frees what loop_shared_init has made. */
void loop_shared_finish(struct loop_shared *shared);

void loop_shared_ref(struct loop_shared *shared);

void loop_shared_unref(struct loop_shared *shared);

void loop_shared_lock(struct loop_shared *shared);

void loop_shared_unlock(struct loop_shared *shared);

/* Starts a job that waits, and stores it in `*job`. The waiter has room for so many bytes of a copy, and is in no line
 * yet. Outside of the mutex. Returns NULL when there is nothing to wait for: `*job` is 0, or a job that was cancelled
 * from the start. */
struct loop_waiter *loop_waiter_create(struct loop_scope *scope, struct loop_shared *shared, size_t copy_bytes,
                                       loop_fn *fn, void *arg, loop_job *job);

/* Ends a waiter that is in no line, and frees it, on the thread of its loop and outside of the mutex. */
void loop_waiter_end(struct loop_waiter *waiter, int64_t result);

/* Takes a waiter out of its line, gives its job a result, and adds it to `granted`. Inside of the mutex. */
void loop_waiter_grant(struct loop_waiter *waiter, int64_t result, struct loop_list *granted);

/* Returns the first waiter of a line, or NULL. Inside of the mutex. */
struct loop_waiter *loop_waiter_first(const struct loop_list *line);

/* Ends all waiters of `granted`, on any thread, outside of the mutex. */
void loop_waiters_tell(struct loop_list *granted);

#endif
