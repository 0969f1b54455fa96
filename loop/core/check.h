/* SPDX-License-Identifier: ISC
 *
 * Checks of the objects that public functions are given: the object exists, has not been freed, and belongs to a loop
 * of this thread. A check fails for NULL, and for a freed object until another object uses its slot. A debug build then
 * aborts, and names the call, the object and where it was freed. Otherwise the call does nothing and returns -EINVAL,
 * job 0, NULL or the like. For objects in slabs the check costs one look at the id.
 */
#ifndef LOOP_CORE_CHECK_H
#define LOOP_CORE_CHECK_H

#include <loop/core/log.h>
#include <loop/core/loop.h>

/* Aborts a debug build when the loop has ended, or the call is made on a thread other than the loop's. */
#if NORIA_DEBUG
void loop_check_thread(const struct loop *loop, const char *function);
#else
static inline void loop_check_thread(const struct loop *loop, const char *function)
{
    (void)loop;
    (void)function;
}
#endif
/* Checks the thread in the name of the calling function. */
#define LOOP_CHECK_THREAD(loop) loop_check_thread(loop, __func__)

/* Reports a bad loop, and aborts a debug build. Returns false, like all functions named loop_bad_…, but callers ignore
 * that, so that the compiler keeps no register alive for what follows. */
__attribute__((cold)) bool loop_bad_loop(const struct loop *loop, const char *function);

/* Reports that the argument `name` is NULL, and aborts a debug build. Returns false. */
__attribute__((cold)) bool loop_bad_null(const char *function, const char *name);

#if NORIA_DEBUG
/* Aborts with a line about an object that is gone. */
void loop_stop_gone(const char *function, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif

/* Returns whether an object of a slab was freed and its slot is not in use again. */
static inline bool loop_is_freed(const void *object)
{
    return (((const struct loop_slot *)object)->id & LOOP_SLAB_FREE) != 0;
}

/* Returns whether a loop that a public function was given may be used. */
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
/* Aborts with a line about an object of a slab: it was destroyed at `destroyed`, or, where that has no function, freed
 * with its scope. */
void loop_stop_destroyed(const char *function, const char *kind, uint64_t id, const struct loop_place *destroyed);
#endif

/* ---- loops ---- */

/* Aborts the process, which is a forked child, with a line that names the cause and the cure. */
_Noreturn void loop_child_stop(const struct loop *loop);

/* Aborts when the loop is the copy in a forked child. */
static inline void loop_child_check(const struct loop *loop)
{
    if (loop->is_forked) {
        loop_child_stop(loop);
    }
}

/* Registers a loop as one that may be used, in debug builds. */
void loop_check_begin(struct loop *loop);
/* Ends the registration of loop_check_begin, in debug builds: the loop may not be used any more. */
void loop_check_end(struct loop *loop);

#endif
