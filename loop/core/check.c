/* SPDX-License-Identifier: ISC
 *
 * Checks of what public functions are given, and the lines that a debug build stops with.
 */
#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/region.h>
#include <loop/core/scope.h>
#include <loop/ground/poison.h>
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
__attribute__((format(printf, 2, 3))) static void stop_gone(const char *function, const char *format, ...)
{
    char what[128 + LOOP_PLACE_TEXT_SIZE];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(what, sizeof what, format, values);
    va_end(values);
    loop_misuse(NULL, function, what, "do not use the pointer after that");
}

/* Slot and generation, as loop_dump writes them. A freed slot has the next generation already. */
static unsigned slot_of(uint64_t id)
{
    return (unsigned)(id & (LOOP_SLAB_MAX - 1));
}

static unsigned long long generation_of(uint64_t id)
{
    return (unsigned long long)((id & ~LOOP_SLAB_FREE) >> LOOP_SLAB_INDEX_BITS) - (id & LOOP_SLAB_FREE ? 1 : 0);
}

void loop_stop_destroyed(const char *function, const char *kind, uint64_t id, const struct loop_place *destroyed)
{
    char place[LOOP_PLACE_TEXT_SIZE];
    if (destroyed->function) {
        loop_place_format(destroyed, place);
        stop_gone(function, "the %s %u.%llu was destroyed by %s", kind, slot_of(id), generation_of(id), place);
    } else {
        stop_gone(function, "the %s %u.%llu went with its scope, which has ended", kind, slot_of(id),
                  generation_of(id));
    }
}
#endif

LOOP_LOOKS_AT_FREED bool loop_bad_scope(const struct loop_scope *scope, const char *function)
{
#if NORIA_DEBUG
    if (scope && scope->opened.function) {
        char place[LOOP_PLACE_TEXT_SIZE];
        struct loop_place opened = scope->opened;
        loop_place_format(&opened, place);
        stop_gone(function, "the scope %u.%llu, opened by %s, has ended", slot_of(scope->id), generation_of(scope->id),
                  place);
    } else if (scope) {
        stop_gone(function, "the scope %u.%llu has ended", slot_of(scope->id), generation_of(scope->id));
    }
#endif
    return scope ? false : loop_bad_null(function, "scope");
}

LOOP_LOOKS_AT_FREED bool loop_bad_fd(const struct loop_fd *fd, const char *function)
{
#if NORIA_DEBUG
    if (fd && fd->destroyed.function) {
        char place[LOOP_PLACE_TEXT_SIZE];
        struct loop_place destroyed = fd->destroyed;
        loop_place_format(&destroyed, place);
        stop_gone(function, "the descriptor %d was destroyed by %s", fd->was_number, place);
    } else if (fd) {
        stop_gone(function, "the descriptor %d went with its scope, which has ended", fd->was_number);
    }
#endif
    return fd ? false : loop_bad_null(function, "descriptor");
}

bool loop_bad_chunk(const struct loop_chunk *chunk, const char *function)
{
#if NORIA_DEBUG
    if (chunk) {
        char place[LOOP_PLACE_TEXT_SIZE];
        loop_place_format(&chunk->freed, place);
        stop_gone(function, "the chunk %zu was given back%s%s", (size_t)chunk->index,
                  chunk->freed.function ? " by " : "", chunk->freed.function ? place : "");
    }
#endif
    return chunk ? false : loop_bad_null(function, "chunk");
}

/* ---- for parts ---- */

bool loop_check_pointer(const void *pointer, const char *name, const char *function)
{
    if (!pointer) {
        char what[64];
        (void)snprintf(what, sizeof what, "the pointer to the %s is NULL", name);
        loop_misuse(NULL, function, what, "give the address of one");
    }
    return pointer != NULL;
}

bool loop_check_scope(const struct loop_scope *scope, const char *function)
{
    return loop_scope_is_good(scope, function);
}

bool loop_check_fd(const struct loop_fd *fd, const char *function)
{
    return loop_fd_is_good(fd, function);
}

/* The memory of a scope that has ended is kept for a while in a debug build, and so is its slot. */
LOOP_LOOKS_AT_FREED bool loop_check_object(const void *object, size_t scope_at, const char *kind, const char *function)
{
    if (!object) {
        return loop_bad_null(function, kind);
    }
#if NORIA_DEBUG
    const struct loop_scope *scope = *(struct loop_scope *const *)(const void *)((const char *)object + scope_at);
    if (loop_is_freed(scope)) {
        stop_gone(function, "the %s went with its scope %u.%llu, which has ended", kind, slot_of(scope->id),
                  generation_of(scope->id));
    }
#else
    (void)scope_at;
#endif
    return true;
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
/* The loops of this process that have begun and not ended, so that one that has ended is known without a look at its
 * memory. For debug builds only: the library has no state of its own beside its loops. */
static struct {
    pthread_mutex_t mutex;
    const struct loop *first;
} loops = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local const struct loop *loop_here; /* this thread's, so that it needn't be searched for */

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
    loop_here = NULL;
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
    if (!is_live(loop)) {
        stop_gone(function, "the loop %p has ended", (const void *)loop);
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
