/* SPDX-License-Identifier: ISC
 *
 * Between continuations: channels, semaphores and conditions, in one loop and across loops; groups of jobs; and pools
 * of things that are made once and used many times, such as connections.
 *
 * A call that has to wait is a job, and blocks no thread. Jobs that wait for the same thing are served in the order of
 * the calls. A job that is cancelled takes nothing: it ends with -ECANCELED and has received no item and no permit, or
 * it ends with its result although it was cancelled, because it had that already.
 *
 * Channels, semaphores and conditions may be used by several loops and threads at once. They are counted: `create`
 * returns one reference, each job has one of its own until it has ended, and the last `unref` frees. To drop the
 * program's reference with a scope, use loop_scope_defer. Groups and pools belong to one loop.
 *
 * A job may also end with -ECANCELED, or -ETIMEDOUT after a deadline. A scope that jobs of a channel, a semaphore or a
 * condition are started in is main's scope or one inside it: in that of a part (loop_part_scope) the calls return job
 * 0, and a debug build stops.
 */
#ifndef SYNC_SYNC_H
#define SYNC_SYNC_H

#include <loop/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- channels ---- */

/* A queue of items of one size, with room for a number of them. Many may send and many receive. */
struct loop_channel;

/* The most bytes of an item, and of all items that a channel has room for. */
#define LOOP_CHANNEL_ITEM_MAX ((size_t)65536)
#define LOOP_CHANNEL_BYTES_MAX ((size_t)1 << 30)

/* Disposes of an item that was not received. Called on the thread that drops the last reference. */
typedef void loop_channel_drop_fn(void *item);

/* Creates a channel for items of `item_bytes` bytes, which it copies, with room for `capacity` of them. With a capacity
 * of 0 an item goes from a sender to a receiver only when both wait. `drop` may be NULL; it is called for each item
 * that is left when the channel is freed, for items that are pointers. On any thread. Returns NULL when there is no
 * memory, `item_bytes` is 0, or a size is beyond the limits above. */
LOOP_API struct loop_channel *loop_channel_create(size_t item_bytes, unsigned capacity, loop_channel_drop_fn *drop);

/* Takes a reference, on any thread, and returns the channel. */
LOOP_API struct loop_channel *loop_channel_ref(struct loop_channel *channel);

/* Drops a reference, on any thread. NULL is ignored. */
LOOP_API void loop_channel_unref(struct loop_channel *channel);

/* Sends a copy of `item`, and waits while the channel is full. `*item` is copied in the call. Resumes with 0 when the
 * item is in the channel or has reached a receiver; -EPIPE when the channel is closed; -ECANCELED. With any error the
 * item was not sent, and is the caller's; `drop` is not called for it. Returns job 0 when there is no memory or the
 * scope has ended. */
LOOP_API loop_job loop_channel_send(struct loop_scope *scope, struct loop_channel *channel, const void *item,
                                    loop_fn *fn, void *arg);

/* Receives an item, and waits while there is none. Resumes with 1, and the item in `*item`; 0 when the channel is
 * closed and empty; -ECANCELED. `*item` belongs to the job until the continuation is resumed. Returns job 0 when there
 * is no memory or the scope has ended. */
LOOP_API loop_job loop_channel_receive(struct loop_scope *scope, struct loop_channel *channel, void *item, loop_fn *fn,
                                       void *arg);

/* Sends a copy of `item` if nothing has to be waited for, on any thread. Returns 0; -EAGAIN when the channel is full,
 * or has a capacity of 0 and no receiver waits; -EPIPE when it is closed; -EINVAL for NULL. */
LOOP_API int loop_channel_try_send(struct loop_channel *channel, const void *item);

/* Receives an item if there is one, on any thread. Returns 1, and the item in `*item`; 0 when the channel is closed and
 * empty; -EAGAIN when there is none; -EINVAL for NULL. */
LOOP_API int loop_channel_try_receive(struct loop_channel *channel, void *item);

/* Closes the channel, on any thread. Senders that wait end with -EPIPE. The items in the channel can still be received;
 * receivers that wait end with 0. A second call has no effect. */
LOOP_API void loop_channel_close(struct loop_channel *channel);

/* Returns the number of items in the channel, on any thread. Others may change it at once. */
LOOP_API unsigned loop_channel_length(struct loop_channel *channel);

/* ---- semaphores ---- */

/* A number of permits. */
struct loop_semaphore;

/* Creates a semaphore with so many permits, on any thread. Returns NULL when there is no memory. */
LOOP_API struct loop_semaphore *loop_semaphore_create(unsigned permits);

/* Takes a reference, on any thread, and returns the semaphore. */
LOOP_API struct loop_semaphore *loop_semaphore_ref(struct loop_semaphore *semaphore);

/* Drops a reference, on any thread. NULL is ignored. */
LOOP_API void loop_semaphore_unref(struct loop_semaphore *semaphore);

/* Takes a permit, and waits while there is none. Resumes with 0, and the permit is the caller's until
 * loop_semaphore_release; -ECANCELED without one. Returns job 0 when there is no memory or the scope has ended. */
LOOP_API loop_job loop_semaphore_acquire(struct loop_scope *scope, struct loop_semaphore *semaphore, loop_fn *fn,
                                         void *arg);

/* Takes a permit if there is one, on any thread. Returns 0; -EAGAIN when there is none; -EINVAL for NULL. */
LOOP_API int loop_semaphore_try_acquire(struct loop_semaphore *semaphore);

/* Gives a permit back, or adds one, on any thread. The first job that waits gets it. Returns 0; -EOVERFLOW when there
 * are UINT_MAX permits; -EINVAL for NULL. */
LOOP_API int loop_semaphore_release(struct loop_semaphore *semaphore);

/* Returns the number of permits that can be taken, on any thread. Others may change it at once. */
LOOP_API unsigned loop_semaphore_permits(struct loop_semaphore *semaphore);

/* ---- conditions ---- */

/* Wakes jobs that wait until some state of the program has changed. */
struct loop_condition;

/* Creates a condition, on any thread. Returns NULL when there is no memory. */
LOOP_API struct loop_condition *loop_condition_create(void);

/* Takes a reference, on any thread, and returns the condition. */
LOOP_API struct loop_condition *loop_condition_ref(struct loop_condition *condition);

/* Drops a reference, on any thread. NULL is ignored. */
LOOP_API void loop_condition_unref(struct loop_condition *condition);

/* Waits for the next signal or broadcast that is given after this call. Resumes with 0, or -ECANCELED. What was waited
 * for may have changed again by then, so look at it and wait again if necessary. In one loop nothing else is needed.
 * Where threads change what is waited for, they have a mutex of their own around it: look at it and call this inside of
 * the mutex, and change it and signal inside of it too, so that no signal is missed. Returns job 0 when there is no
 * memory or the scope has ended. */
LOOP_API loop_job loop_condition_wait(struct loop_scope *scope, struct loop_condition *condition, loop_fn *fn,
                                      void *arg);

/* Resumes the job that has waited longest, if there is one, on any thread. */
LOOP_API void loop_condition_signal(struct loop_condition *condition);

/* Resumes all jobs that wait, on any thread. */
LOOP_API void loop_condition_broadcast(struct loop_condition *condition);

/* ---- groups of jobs ---- */

/* Which members a group waits for, before it cancels the others. It always ends after all of its members. */
enum loop_group_kind {
    LOOP_ALL_OF,   /* all; the first that fails ends it */
    LOOP_FIRST_OF, /* the first that ends, with whatever result */
    LOOP_ANY_OF    /* the first that ends without an error */
};

/* A group of jobs, as one job. */
struct loop_group;

/* A member of a group, which its job gets as its argument. */
struct loop_member;

/* The most members of a group. */
#define LOOP_GROUP_MAX 65536

/* Opens a group of `n` jobs, at least 1, which are given to it by loop_group_add:
 *
 *     struct loop_group *group = loop_group_open(scope, LOOP_FIRST_OF, 2, on_first, state);
 *     loop_group_add(group, 0, loop_read(source, buffer, sizeof buffer, LOOP_MEMBER(group, 0)));
 *     loop_group_add(group, 1, loop_sleep(scope, LOOP_SECOND, LOOP_MEMBER(group, 1)));
 *
 * The group ends when all n members have ended, and no earlier. When one has decided the result, the others are
 * cancelled; so they are when the group is cancelled. Members may belong to other scopes of the same loop. A member
 * that is a stream counts when it has ended, with its last result. Those before are dropped: a stream whose results
 * have to be kept, such as accepted connections, cannot be a member.
 *
 * Resumes with these results. LOOP_ALL_OF: 0, or the first error of a member. LOOP_FIRST_OF: the index of the first
 * that ended. LOOP_ANY_OF: the index of the first that ended with 0 or more; when all have failed, the error of the
 * first. -ECANCELED when the group was cancelled before it was decided. The result of each member is given by
 * loop_group_result, and that of a member which has lost may still be a success: bytes that were read, for example.
 *
 * The group is valid until its continuation has returned; or, where `fn` is NULL, until it ends. Returns NULL when
 * there is no memory, the scope has ended, or n is 0 or beyond LOOP_GROUP_MAX. */
LOOP_API struct loop_group *loop_group_open(struct loop_scope *scope, enum loop_group_kind kind, unsigned n,
                                            loop_fn *fn, void *arg);

/* Returns the job of the group, for loop_cancel. */
LOOP_API loop_job loop_group_job(const struct loop_group *group);

/* Returns a member. Pass it to the call that starts a job, as `arg` with loop_member_end as `fn`: LOOP_MEMBER is both.
 * Returns NULL for an index that is none. */
LOOP_API struct loop_member *loop_group_member(struct loop_group *group, unsigned index);

/* The continuation of the job of a member. */
LOOP_API void loop_member_end(void *member, int64_t result);

#define LOOP_MEMBER(group, index) loop_member_end, loop_group_member(group, index)

/* Gives the job to the group that was started with LOOP_MEMBER and the same index. Job 0 counts as a member that has
 * ended with -ENOMEM. Where the group is decided already, the job is cancelled at once. Returns 0; -EINVAL for an index
 * that is none; -EALREADY when that member has its job. */
LOOP_API int loop_group_add(struct loop_group *group, unsigned index, loop_job job);

/* Returns the result of a member that has ended, in the continuation of the group. */
LOOP_API int64_t loop_group_result(const struct loop_group *group, unsigned index);

/* ---- pools of resources ---- */

/* Resources of one kind, such as connections to one server: made when they are needed, used by one at a time, kept for
 * the next while they are good. */
struct loop_resources;

/* Makes a resource: starts a job in `scope`, the scope of the pool, that resumes fn(fn_arg, result) with 0 or an error,
 * and stores the resource in `*resource`, at once or before that. Returns the job, or 0 when it could not be started.
 * What it has stored is disposed of where making it fails. */
typedef loop_job loop_resource_make_fn(void *arg, struct loop_scope *scope, void **resource, loop_fn *fn, void *fn_arg);

/* Disposes of a resource, on the loop's thread. */
typedef void loop_resource_dispose_fn(void *arg, void *resource);

/* Returns whether an idle resource can still be used. */
typedef bool loop_resource_check_fn(void *arg, void *resource);

struct loop_resources_options {
    unsigned limit LOOP_ZERO;                    /* of resources that exist at a time; 0 means 8 */
    int64_t idle_timeout_ns LOOP_ZERO;           /* > 0: how long an idle one is kept; 0: until the pool ends */
    loop_resource_make_fn *make LOOP_ZERO;       /* needed */
    loop_resource_dispose_fn *dispose LOOP_ZERO; /* needed */
    loop_resource_check_fn *check LOOP_ZERO;     /* called before an idle one is used again; NULL: all are good */
    void *arg LOOP_ZERO;                         /* of the three functions */
};

/* Creates a pool in the memory of `scope`, which is the scope of its resources. The options are copied. When the scope
 * is cancelled, jobs that wait for a resource end with -ECANCELED. The scope stays open while a resource is in use, as
 * by loop_scope_hold; one that is given back in a cancelled scope is disposed of. When the scope ends, all idle ones
 * are disposed of. Returns NULL when there is no memory, the scope has ended, or an option is wrong. */
LOOP_API struct loop_resources *loop_resources_create(struct loop_scope *scope,
                                                      const struct loop_resources_options *options);

/* Takes a resource: an idle one, the one given back last first; else a new one; and waits while there are as many as
 * the limit says. Resumes with 0, and the resource in `*resource`; with the error of `make`; -ENOMEM; -ECANCELED. A
 * resource that is being made for a job that is cancelled is kept for the next. `scope` owns the job; NULL means the
 * scope of the pool. Returns job 0 when there is no memory or the scope has ended. */
LOOP_API loop_job loop_resource_acquire(struct loop_scope *scope, struct loop_resources *pool, void **resource,
                                        loop_fn *fn, void *arg);

/* Gives a resource back: the next job that waits for one gets it. Returns 0; -EINVAL when none is in use. */
LOOP_API int loop_resource_release(struct loop_resources *pool, void *resource);

/* Disposes of a resource that is in use and cannot be used again, and makes room for another one. Returns 0; -EINVAL
 * when none is in use. */
LOOP_API int loop_resource_discard(struct loop_resources *pool, void *resource);

/* Statistics of a pool. */
struct loop_resources_stats {
    unsigned in_use, idle, being_made, waiting;
    uint64_t made, reused, disposed;
};

/* Stores the statistics of a pool in `*stats`. */
LOOP_API void loop_resources_get_stats(const struct loop_resources *pool, struct loop_resources_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
