/* SPDX-License-Identifier: ISC
 *
 * Scopes: the tree of ownership. A scope counts what holds it open. When the count reaches zero, the scope is put into
 * loop->ending, and the settling after the running continuation checks it (cancel.c).
 */
#include <loop/core/check.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/ground/list.h>
#include <loop/ground/poison.h>
#include <loop/ground/slab.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>

#include <errno.h>
#include <stdio.h>

/* In a slab, so that a freed hook is detected until another one uses its slot. */
struct loop_hook {
    uint64_t id;
    struct loop_hnode link;
    loop_hook_fn *fn;
    void *arg;
#if NORIA_DEBUG
    struct loop_place removed; /* where it was removed; empty if it has run */
#endif
};

struct loop_scope_memory {
    struct loop_scope_memory *next;
#if NORIA_DEBUG
    size_t size_bytes;
#endif
    max_align_t bytes[];
};

void loop_hooks_init(struct loop *loop)
{
    loop_slab_init(&loop->hooks, sizeof(struct loop_hook), 0);
}

void loop_scope_look_at(struct loop_scope *scope)
{
    struct loop *loop = scope->loop;
    if (!scope->is_ending) {
        scope->is_ending = true;
        scope->next_ending = 0;
        *loop->last_ending = loop_index_of(scope);
        loop->last_ending = &scope->next_ending;
    }
}

void loop_scope_drop_daemon(struct loop_scope *scope)
{
    assert(scope->daemons > 0);
    scope->daemons--;
    if (scope->holds == 0) {
        loop_scope_look_at(scope);
    }
}

/* ---- opening ---- */

static struct loop_scope *make(struct loop *loop, loop_fn *on_end, void *arg)
{
    struct loop_scope *scope = loop_slab_get(&loop->scopes);
    if (!scope) {
        return NULL;
    }
    scope->loop = loop;
    scope->on_end = on_end;
    scope->arg = arg;
    return scope;
}

struct loop_scope *loop_scope_open_root(struct loop *loop, loop_fn *on_end, void *arg)
{
    return make(loop, on_end, arg);
}

struct loop_scope *loop_scope_open(struct loop_scope *parent, loop_fn *on_end, void *arg)
{
    if (!loop_scope_is_good(parent, __func__)) {
        return NULL;
    }
    struct loop_scope *scope = loop_scope_takes_work(parent) ? make(parent->loop, on_end, arg) : NULL;
    if (!scope) {
        return NULL;
    }
#if NORIA_DEBUG
    scope->opened = LOOP_THIS_CALL;
#endif
    scope->parent = loop_index_of(parent);
    scope->is_part = parent->is_part;
    scope->is_cancelled = parent->is_cancelled;
    scope->is_late = parent->is_late;
    scope->error = parent->is_cancelled ? loop_scope_reason(parent) : 0;
    loop_index_push(&parent->loop->scopes, &parent->children, scope, offsetof(struct loop_scope, in_parent));
    loop_scope_add_hold(parent, false);
    loop_scope_look_at(scope);
    return scope;
}

/* ---- the tree ---- */

struct loop_scope *loop_scope_next(const struct loop_scope *top, const struct loop_scope *scope, unsigned *depth)
{
    if (scope->children.first) {
        ++*depth;
        return loop_scope_oldest_child(scope);
    }
    for (; scope != top; scope = loop_scope_parent(scope), --*depth) {
        struct loop_scope *sibling = loop_scope_newer_sibling(scope);
        if (sibling) {
            return sibling;
        }
    }
    return NULL;
}

/* ---- holding ---- */

void loop_scope_hold(struct loop_scope *scope)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return;
    }
    scope->own_holds++;
    scope->loop->has_cancelled_holds |= scope->is_cancelled;
    loop_scope_add_hold(scope, false);
}

void loop_scope_unhold(struct loop_scope *scope)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return;
    }
    if (scope->own_holds == 0) {
        loop_misuse(scope->loop, __func__, "the scope has no hold left", "call it once for each loop_scope_hold");
        return;
    }
    scope->own_holds--;
    loop_scope_drop_hold(scope, false);
}

void loop_scope_daemon(struct loop_scope *scope)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return;
    }
    struct loop_scope *parent = loop_scope_parent(scope);
    if (parent && !scope->is_daemon) {
        scope->is_daemon = true;
        loop_scope_add_hold(parent, true);
        loop_scope_drop_hold(parent, false);
    }
}

/* ---- what it owns ---- */

struct loop_scope_more *loop_scope_get_more(struct loop_scope *scope)
{
    if (scope->has_more) {
        return scope->more;
    }
    struct loop_scope_more *more = loop_slab_get(&scope->loop->scopes_more);
    if (more) {
        more->memory = scope->memory;
        scope->more = more;
        scope->has_more = true;
    }
    return more;
}

static struct loop_scope_memory **memory_of(struct loop_scope *scope)
{
    return scope->has_more ? &scope->more->memory : &scope->memory;
}

struct loop_hook *loop_scope_defer(struct loop_scope *scope, loop_hook_fn *fn, void *arg)
{
    bool is_good = loop_scope_is_good(scope, __func__) && (fn || loop_bad_null(__func__, "hook's function"));
    struct loop_scope_more *more = is_good && loop_scope_takes_work(scope) ? loop_scope_get_more(scope) : NULL;
    struct loop_hook *hook = more ? loop_slab_get(&scope->loop->hooks) : NULL;
    if (!hook) {
        if (fn) {
            fn(arg);
        }
        return NULL;
    }
    hook->fn = fn;
    hook->arg = arg;
    loop_hlist_push(&more->hooks, &hook->link);
    return hook;
}

LOOP_LOOKS_AT_FREED static void stop_gone_hook(const struct loop_hook *hook)
{
#if NORIA_DEBUG
    char place[LOOP_PLACE_TEXT_SIZE], what[LOOP_PLACE_TEXT_SIZE + 64] = "the hook has run";
    struct loop_place removed = hook->removed;
    if (removed.function) {
        loop_place_format(&removed, place);
        (void)snprintf(what, sizeof what, "the hook was removed by %s", place);
    }
    loop_misuse(NULL, "loop_hook_remove", what, "do not use the pointer after that");
#else
    (void)hook;
#endif
}

void loop_hook_remove(struct loop_scope *scope, struct loop_hook *hook)
{
    if (!loop_scope_is_good(scope, __func__) || !hook) {
        return;
    }
    if (loop_is_freed(hook)) {
        stop_gone_hook(hook);
        return;
    }
#if NORIA_DEBUG
    hook->removed = LOOP_THIS_CALL;
#endif
    loop_hlist_remove(&hook->link);
    loop_slab_put(&scope->loop->hooks, hook);
}

void loop_scope_run_hooks(struct loop_scope *scope)
{
    struct loop_hnode *node;
    while (scope->has_more && (node = loop_hlist_pop(&scope->more->hooks))) {
        struct loop_hook *hook = LOOP_CONTAINER(node, struct loop_hook, link);
        loop_hook_fn *fn = hook->fn;
        void *arg = hook->arg;
        loop_slab_put(&scope->loop->hooks, hook);
        fn(arg);
    }
}

void *loop_scope_alloc(struct loop_scope *scope, size_t size_bytes)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return NULL;
    }
    if (size_bytes > SIZE_MAX - sizeof(struct loop_scope_memory)) {
        return NULL;
    }
    struct loop_scope_memory *memory = loop_kernel_calloc(1, sizeof *memory + size_bytes);
    if (!memory) {
        return NULL;
    }
#if NORIA_DEBUG
    memory->size_bytes = size_bytes;
#endif
    struct loop_scope_memory **first = memory_of(scope);
    memory->next = *first;
    *first = memory;
    return memory->bytes;
}

void loop_scope_drop_kept(struct loop_scope *scope)
{
    struct loop_hnode *node;
    while (scope->has_more && (node = loop_hlist_pop(&scope->more->kept))) {
        struct loop_kept *kept = LOOP_CONTAINER(node, struct loop_kept, link);
        kept->drop(kept);
    }
}

/* A debug build keeps freed memory for a while, so that loop_check_object detects objects in it. AddressSanitizer has
 * its own way. */
#if NORIA_DEBUG && !defined(LOOP_HAS_POISON)
#define MOST_GRAVE_BYTES ((size_t)256 << 10)

static void free_oldest(struct loop *loop)
{
    struct loop_scope_memory *oldest = loop->graves;
    loop->graves = oldest->next;
    loop->grave_bytes -= oldest->size_bytes;
    loop_kernel_free(oldest);
}

static void free_later(struct loop *loop, struct loop_scope_memory *memory)
{
    memory->next = NULL;
    *(loop->graves ? loop->last_grave : &loop->graves) = memory;
    loop->last_grave = &memory->next;
    loop->grave_bytes += memory->size_bytes;
    while (loop->graves && loop->grave_bytes > MOST_GRAVE_BYTES) {
        free_oldest(loop);
    }
}

void loop_scopes_finish(struct loop *loop)
{
    while (loop->graves) {
        free_oldest(loop);
    }
}
#else
static void free_later(struct loop *loop, struct loop_scope_memory *memory)
{
    (void)loop;
    loop_kernel_free(memory);
}

void loop_scopes_finish(struct loop *loop)
{
    (void)loop;
}
#endif

void loop_scope_free_memory(struct loop_scope *scope)
{
    struct loop_scope_memory *next, *memory = *memory_of(scope);
    if (scope->has_more) {
        loop_slab_put(&scope->loop->scopes_more, scope->more);
        scope->has_more = false;
    }
    scope->memory = NULL;
    for (; memory; memory = next) {
        next = memory->next;
        free_later(scope->loop, memory);
    }
}

bool loop_scope_is_cancelled(const struct loop_scope *scope)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return true;
    }
    return scope->is_cancelled;
}

int64_t loop_scope_error(const struct loop_scope *scope)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return -EINVAL;
    }
    return scope->error;
}

struct loop *loop_scope_loop(const struct loop_scope *scope)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return NULL;
    }
    return scope->loop;
}

/* ---- the object ---- */

void loop_scope_put_if_unkept(struct loop_scope *scope)
{
    if (scope->pins == 0) {
        loop_slab_put(&scope->loop->scopes, scope);
    }
}

void loop_scope_unpin(struct loop_scope *scope)
{
    assert(scope->pins > 0);
    if (--scope->pins == 0 && scope->state == LOOP_SCOPE_GONE) {
        loop_scope_put_if_unkept(scope);
    }
}

void loop_scope_fd_closed(struct loop_scope *scope)
{
    if (scope->state == LOOP_SCOPE_CLOSING && scope->unclosed == 0) {
        loop_scope_look_at(scope);
    }
}

/* ---- checks ---- */

LOOP_LOOKS_AT_FREED bool loop_bad_scope(const struct loop_scope *scope, const char *function)
{
#if NORIA_DEBUG
    if (scope && scope->opened.function) {
        char place[LOOP_PLACE_TEXT_SIZE];
        struct loop_place opened = scope->opened;
        loop_place_format(&opened, place);
        loop_stop_gone(function, "the scope %u.%llu, opened by %s, has ended", loop_slab_slot_of(scope->id),
                       loop_slab_generation_of(scope->id), place);
    } else if (scope) {
        loop_stop_gone(function, "the scope %u.%llu has ended", loop_slab_slot_of(scope->id),
                       loop_slab_generation_of(scope->id));
    }
#endif
    return scope ? false : loop_bad_null(function, "scope");
}

bool loop_check_scope(const struct loop_scope *scope, const char *function)
{
    return loop_scope_is_good(scope, function);
}

bool loop_check_main_scope(const struct loop_scope *scope, const char *function)
{
    if (!loop_scope_is_good(scope, function)) {
        return false;
    }
    if (scope->is_part) {
        loop_misuse(scope->loop, function, "the scope is the loop's own (loop_part_scope), or one inside it",
                    "use main's scope, or one inside that: what other threads send can't reach the loop when main's "
                    "has ended");
    }
    return !scope->is_part;
}

/* Reads the memory of a scope that has ended: a debug build keeps it for a while, like the scope's slot. */
LOOP_LOOKS_AT_FREED bool loop_check_object(const void *object, size_t scope_at, const char *kind, const char *function)
{
    if (!object) {
        return loop_bad_null(function, kind);
    }
#if NORIA_DEBUG
    const struct loop_scope *scope = *(struct loop_scope *const *)(const void *)((const char *)object + scope_at);
    if (loop_is_freed(scope)) {
        loop_stop_gone(function, "the %s went with its scope %u.%llu, which has ended", kind,
                       loop_slab_slot_of(scope->id), loop_slab_generation_of(scope->id));
    }
#else
    (void)scope_at;
#endif
    return true;
}
