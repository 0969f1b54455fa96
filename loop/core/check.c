/* SPDX-License-Identifier: ISC
 *
 * Checks of the arguments of public functions, and the lines with which a debug build aborts.
 */
#include <loop/core/check.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/ground/slab.h>
#include <loop/kernel/process.h>
#include <loop/kernel/thread.h>
#include <loop/part.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- stops ---- */

bool loop_bad_null(const char *function, const char *name)
{
    char what[64];
    (void)snprintf(what, sizeof what, "the %s is NULL", name);
    loop_misuse(NULL, function, what, "look at what the call that makes it has returned");
    return false;
}

#if NORIA_DEBUG
void loop_stop_gone(const char *function, const char *format, ...)
{
    char what[128 + LOOP_PLACE_TEXT_SIZE];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(what, sizeof what, format, values);
    va_end(values);
    loop_misuse(NULL, function, what, "do not use the pointer after that");
}

void loop_stop_destroyed(const char *function, const char *kind, uint64_t id, const struct loop_place *destroyed)
{
    char place[LOOP_PLACE_TEXT_SIZE];
    if (destroyed->function) {
        loop_place_format(destroyed, place);
        loop_stop_gone(function, "the %s %u.%llu was destroyed by %s", kind, loop_slab_slot_of(id),
                       loop_slab_generation_of(id), place);
    } else {
        loop_stop_gone(function, "the %s %u.%llu went with its scope, which has ended", kind, loop_slab_slot_of(id),
                       loop_slab_generation_of(id));
    }
}
#endif

/* ---- arguments ---- */

bool loop_check_pointer(const void *pointer, const char *name, const char *function)
{
    if (!pointer) {
        char what[64];
        (void)snprintf(what, sizeof what, "the pointer to the %s is NULL", name);
        loop_misuse(NULL, function, what, "give the address of one");
    }
    return pointer != NULL;
}

/* ---- loops ---- */

_Noreturn void loop_child_stop(const struct loop *loop)
{
    loop_log_options(&loop->options, LOOP_LOG_ERROR,
                     "the loop of process %d can't go on in its forked child %d: call daemon(3) or fork(2) before "
                     "loop_run, or let the child call exec or _exit",
                     (int)loop->process, (int)loop_kernel_getpid());
    abort();
}

bool loop_bad_loop(const struct loop *loop, const char *function)
{
    return loop ? false : loop_bad_null(function, "loop");
}

#if NORIA_DEBUG
/* The loops of this process that may be used, so that a loop that has ended is detected without reading its memory. In
 * debug builds only: the library has no other global state. */
static LOOP_KERNEL_PROCESS_LOCAL struct {
    pthread_mutex_t mutex;
    const struct loop *first;
} loops = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static LOOP_KERNEL_THREAD_LOCAL const struct loop *loop_here; /* the newest of this thread, which needs no search */

void loop_check_begin(struct loop *loop)
{
    loop_kernel_pthread_mutex_lock(&loops.mutex);
    loop->next_loop = loops.first;
    loops.first = loop;
    loop_kernel_pthread_mutex_unlock(&loops.mutex);
    loop_here = loop;
}

void loop_check_end(struct loop *loop)
{
    loop_kernel_pthread_mutex_lock(&loops.mutex);
    const struct loop **place = &loops.first;
    while (*place != loop) {
        place = (const struct loop **)(uintptr_t) & (*place)->next_loop;
    }
    *place = loop->next_loop;
    loop_kernel_pthread_mutex_unlock(&loops.mutex);
    if (loop_here == loop) {
        loop_here = NULL;
    }
}

static bool is_live(const struct loop *loop)
{
    if (loop == loop_here) {
        return true;
    }
    loop_kernel_pthread_mutex_lock(&loops.mutex);
    const struct loop *live = loops.first;
    while (live && live != loop) {
        live = live->next_loop;
    }
    loop_kernel_pthread_mutex_unlock(&loops.mutex);
    return live != NULL;
}

void loop_check_thread(const struct loop *loop, const char *function)
{
    if (loop == loop_here && !loop->is_forked) {
        return; /* it began on this thread, and a system call for the thread's number would find the same */
    }
    if (!is_live(loop)) {
        loop_stop_gone(function, "the loop %p has ended", (const void *)loop);
    }
    if (loop_kernel_gettid() == loop->thread_id) {
        return;
    }
    loop_child_check(loop);
    char name[16] = "?", owner[16] = "?";
    loop_kernel_pthread_getname_np(loop_kernel_pthread_self(), name, sizeof name);
    loop_kernel_pthread_getname_np(loop->thread, owner, sizeof owner);
    loop_log_line(
        "noria: %s: called on thread \"%s\" (%d), but the loop belongs to thread \"%s\" (%d): use loop_post to get "
        "there",
        function, name, (int)loop_kernel_gettid(), owner, loop->thread_id);
    abort();
}
#else
void loop_check_begin(struct loop *loop)
{
    (void)loop;
}

void loop_check_end(struct loop *loop)
{
    (void)loop;
}
#endif
