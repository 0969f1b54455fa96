/* SPDX-License-Identifier: ISC
 *
 * What public functions ask of the objects they are given: that they are there, have not been freed, and belong to a
 * loop of this thread. The answer is no for NULL, and for an object that has been freed as long as no other has its
 * slot; a debug build then stops and names the call and the object, and where that was freed. The call does nothing and
 * returns -EINVAL, job 0, NULL or whatever says no. For the objects in slabs this costs a look at the id.
 */
#ifndef LOOP_CORE_CHECK_H
#define LOOP_CORE_CHECK_H

#include <loop/core/log.h>
#include <loop/core/loop.h>

/* Stops a debug build when the loop has ended, or the call is made on a thread other than the loop's. */
#if NORIA_DEBUG
void loop_check_thread(const struct loop *loop, const char *function);
#else
static inline void loop_check_thread(const struct loop *loop, const char *function)
{
    (void)loop;
    (void)function;
}
#endif
#define LOOP_CHECK_THREAD(loop) loop_check_thread(loop, __func__)

/* Stops a debug build: what is wrong with the object is found out here. Like all loop_bad_… it returns false, and is
 * called as if it returned nothing, so that a compiler keeps no register for what follows. */
__attribute__((cold)) bool loop_bad_loop(const struct loop *loop, const char *function);

/* For arguments of other kinds: that one is NULL. */
__attribute__((cold)) bool loop_bad_null(const char *function, const char *name);

#if NORIA_DEBUG
/* Stops with a line that says what became of an object. */
void loop_stop_gone(const char *function, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif

static inline bool loop_is_freed(const void *object)
{
    return (((const struct loop_slot *)object)->id & LOOP_SLAB_FREE) != 0;
}

static inline bool loop_is_good(const struct loop *loop, const char *function)
{
    if (!loop) {
        (void)loop_bad_loop(loop, function);
        return false;
    }
    loop_check_thread(loop, function);
    return true;
}

#if NORIA_DEBUG
/* Stops: the object with that id, of a slab, was destroyed there, or went with its scope where that names no
 * function. */
void loop_stop_destroyed(const char *function, const char *kind, uint64_t id, const struct loop_place *destroyed);
#endif

/* ---- loops ---- */

/* Stops the process, which is a forked child, with a line that names the cause and the cure. */
_Noreturn void loop_child_stop(const struct loop *loop);

static inline void loop_child_check(const struct loop *loop)
{
    if (loop->is_forked) {
        loop_child_stop(loop);
    }
}

/* In debug builds: the loop begins and ends. In between, and only then, it is one that may be used. */
void loop_check_begin(struct loop *loop);
void loop_check_end(struct loop *loop);

#endif
