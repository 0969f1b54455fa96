/* SPDX-License-Identifier: ISC
 *
 * Scopes: the tree of who owns what. A scope counts what holds it open; when the count comes to nothing it is put in
 * loop->ending and looked at after the continuation that is running, step by step: daemons, hooks, descriptors, on_end.
 */
#include <loop/check.h>
#include <loop/core.h>
#include <loop/log.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* In a slab, so that one that has gone is known for as long as no other has its place. */
struct loop_hook {
    uint64_t id;
    struct loop_hnode link;
    loop_hook_fn *fn;
    void *arg;
#if NORIA_DEBUG
    struct loop_place removed; /* where it was; nothing where it has run */
#endif
};

struct scope_memory {
    struct scope_memory *next;
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
        scope->next_ending = NULL;
        *loop->last_ending = scope;
        loop->last_ending = &scope->next_ending;
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
    scope->reason = -ECANCELED;
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
    scope->parent = parent;
    scope->is_cancelled = parent->is_cancelled;
    scope->reason = parent->reason;
    scope->error = parent->is_cancelled ? parent->reason : 0;
    loop_hlist_push(&parent->children, &scope->in_parent);
    loop_scope_add_hold(parent, false);
    loop_scope_look_at(scope);
    return scope;
}

/* ---- the tree ---- */

struct loop_scope *loop_scope_next(const struct loop_scope *top, const struct loop_scope *scope, unsigned *depth)
{
    if (scope->children.first) {
        ++*depth;
        return LOOP_CONTAINER(loop_hlist_oldest(&scope->children), struct loop_scope, in_parent);
    }
    for (; scope != top; scope = scope->parent, --*depth) {
        struct loop_hnode *sibling = loop_hlist_newer(&scope->parent->children, &scope->in_parent);
        if (sibling) {
            return LOOP_CONTAINER(sibling, struct loop_scope, in_parent);
        }
    }
    return NULL;
}

/* ---- cancelling ---- */

static void cancel_jobs(struct loop_scope *scope)
{
    struct loop_hnode *next;
    for (struct loop_hnode *node = loop_hlist_oldest(&scope->jobs); node; node = next) {
        next = loop_hlist_newer(&scope->jobs, node);
        loop_job_cancel(scope->loop, LOOP_CONTAINER(node, struct loop_job, in_scope));
    }
}

static void note_error(struct loop_scope *scope, int64_t error)
{
    if (scope->error == 0 || (scope->error == -ECANCELED && error != -ECANCELED)) {
        scope->error = (int32_t)error;
    }
}

static void mark(struct loop_scope *scope, int16_t reason)
{
    scope->is_cancelled = true;
    scope->reason = reason;
    scope->loop->has_cancelled_holds |= scope->own_holds > 0;
}

/* The first scope that isn't cancelled in the children of `parent` from `node` on, marked as cancelled; or NULL. */
static struct loop_scope *mark_next(struct loop_scope *parent, struct loop_hnode *node, int16_t reason)
{
    for (; node; node = loop_hlist_newer(&parent->children, node)) {
        struct loop_scope *scope = LOOP_CONTAINER(node, struct loop_scope, in_parent);
        if (!scope->is_cancelled) {
            mark(scope, reason);
            note_error(scope, reason);
            return scope;
        }
    }
    return NULL;
}

static struct loop_hnode *next_sibling(const struct loop_scope *scope)
{
    return loop_hlist_newer(&scope->parent->children, &scope->in_parent);
}

/* Children first, and without recursion: a program may nest scopes as deep as it likes. Nothing leaves the lists
 * meanwhile: scopes and jobs only go in the dispatch. */
static void cancel_tree(struct loop_scope *top, int16_t reason)
{
    if (top->is_cancelled || !loop_scope_takes_work(top)) {
        return;
    }
    mark(top, reason);
    struct loop_scope *scope = top;
    for (;;) {
        struct loop_scope *down = mark_next(scope, loop_hlist_oldest(&scope->children), reason);
        while (!down) {
            cancel_jobs(scope);
            if (scope == top) {
                return;
            }
            down = mark_next(scope->parent, next_sibling(scope), reason);
            scope = down ? scope : scope->parent;
        }
        scope = down;
    }
}

/* The scope that comes after `scope` when a parent comes before its children; NULL at the end of `top`. */
static struct loop_scope *next_in_tree(const struct loop_scope *top, struct loop_scope *scope)
{
    struct loop_hnode *node = loop_hlist_oldest(&scope->children);
    while (!node && scope != top) {
        node = next_sibling(scope);
        scope = scope->parent;
    }
    return node ? LOOP_CONTAINER(node, struct loop_scope, in_parent) : NULL;
}

void loop_scope_each_job(struct loop_scope *top, void (*fn)(struct loop *loop, struct loop_job *job))
{
    for (struct loop_scope *scope = top; scope; scope = next_in_tree(top, scope)) {
        struct loop_hnode *next;
        for (struct loop_hnode *node = loop_hlist_oldest(&scope->jobs); node; node = next) {
            next = loop_hlist_newer(&scope->jobs, node);
            fn(scope->loop, LOOP_CONTAINER(node, struct loop_job, in_scope));
        }
    }
}

void loop_scope_cancel(struct loop_scope *scope)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return;
    }
    if (loop_scope_takes_work(scope)) {
        note_error(scope, -ECANCELED);
        cancel_tree(scope, -ECANCELED);
    }
}

void loop_scope_fail(struct loop_scope *scope, int64_t error)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return;
    }
    note_error(scope, error < 0 && error >= INT32_MIN ? error : -EINVAL);
    cancel_tree(scope, -ECANCELED);
}

static void drop_deadline(struct loop_scope *scope)
{
    struct loop_deadline *deadline = scope->deadline;
    if (!deadline) {
        return;
    }
    loop_wheel_remove(&scope->loop->timers, &deadline->node);
    scope->deadline = NULL;
    loop_slab_put(&scope->loop->deadlines, deadline);
}

void loop_scope_expire(struct loop_scope *scope)
{
    drop_deadline(scope);
    if (!scope->is_cancelled) {
        note_error(scope, -ETIMEDOUT);
        cancel_tree(scope, -ETIMEDOUT);
    }
}

void loop_scope_deadline(struct loop_scope *scope, int64_t at_ns)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return;
    }
    struct loop *loop = scope->loop;
    drop_deadline(scope);
    if (at_ns == LOOP_NEVER || !loop_scope_takes_work(scope)) {
        return;
    }
    struct loop_deadline *deadline = loop_slab_get(&loop->deadlines);
    if (!deadline) {
        loop_scope_fail(scope, -ENOMEM); /* a scope without the deadline it was promised must not go on */
        return;
    }
    deadline->scope = scope;
    scope->deadline = deadline;
    loop_wheel_add(&loop->timers, &deadline->node, at_ns, LOOP_WHEEL_SCOPE);
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
    if (scope->parent && !scope->is_daemon) {
        scope->is_daemon = true;
        loop_scope_add_hold(scope->parent, true);
        loop_scope_drop_hold(scope->parent, false);
    }
}

/* ---- what it owns ---- */

struct loop_hook *loop_scope_defer(struct loop_scope *scope, loop_hook_fn *fn, void *arg)
{
    bool is_good = loop_scope_is_good(scope, __func__) && (fn || loop_bad_null(__func__, "hook's function"));
    struct loop_hook *hook = is_good && loop_scope_takes_work(scope) ? loop_slab_get(&scope->loop->hooks) : NULL;
    if (!hook) {
        if (fn) {
            fn(arg);
        }
        return NULL;
    }
    hook->fn = fn;
    hook->arg = arg;
    loop_hlist_push(&scope->hooks, &hook->link);
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

static void run_hooks(struct loop_scope *scope)
{
    struct loop_hnode *node;
    while ((node = loop_hlist_pop(&scope->hooks))) {
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
    if (size_bytes > SIZE_MAX - sizeof(struct scope_memory)) {
        return NULL;
    }
    struct scope_memory *memory = calloc(1, sizeof *memory + size_bytes);
    if (!memory) {
        return NULL;
    }
#if NORIA_DEBUG
    memory->size_bytes = size_bytes;
#endif
    memory->next = scope->memory;
    scope->memory = memory;
    return memory->bytes;
}

static void drop_kept(struct loop_scope *scope)
{
    struct loop_hnode *node;
    while ((node = loop_hlist_pop(&scope->kept))) {
        struct loop_kept *kept = LOOP_CONTAINER(node, struct loop_kept, link);
        kept->drop(kept);
    }
}

/* A debug build keeps what is freed for a while, so that objects in it can be seen to be gone (loop_check_object). The
 * sanitizer has a way of its own for that. */
#if NORIA_DEBUG && !defined(LOOP_HAS_POISON)
#define MOST_GRAVE_BYTES ((size_t)256 << 10)

static void free_oldest(struct loop *loop)
{
    struct scope_memory *oldest = loop->graves;
    loop->graves = oldest->next;
    loop->grave_bytes -= oldest->size_bytes;
    free(oldest);
}

static void free_later(struct loop *loop, struct scope_memory *memory)
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
static void free_later(struct loop *loop, struct scope_memory *memory)
{
    (void)loop;
    free(memory);
}

void loop_scopes_finish(struct loop *loop)
{
    (void)loop;
}
#endif

static void free_memory(struct loop_scope *scope)
{
    while (scope->memory) {
        struct scope_memory *memory = scope->memory;
        scope->memory = memory->next;
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

/* ---- ending ---- */

static void put_if_unkept(struct loop_scope *scope)
{
    if (scope->pins == 0) {
        loop_slab_put(&scope->loop->scopes, scope);
    }
}

void loop_scope_unpin(struct loop_scope *scope)
{
    assert(scope->pins > 0);
    if (--scope->pins == 0 && scope->state == LOOP_SCOPE_GONE) {
        put_if_unkept(scope);
    }
}

static void be_gone(struct loop_scope *scope)
{
    assert(!scope->is_ending);
    scope->is_ending = true; /* it is looked at no more, whatever on_end does */
    struct loop_scope *parent = scope->parent;
    int32_t error = scope->error;
    bool was_heard = scope->on_end != NULL, was_daemon = scope->is_daemon;
    if (scope->on_end) {
        scope->on_end(scope->arg, error);
    }
    drop_kept(scope);
    loop_fds_leave(scope);
    free_memory(scope);
    loop_hlist_remove(&scope->in_parent);
    scope->state = LOOP_SCOPE_GONE;
    scope->parent = NULL;
    put_if_unkept(scope);
    if (!parent) {
        return;
    }
    if (!was_heard && error < 0 && error != -ECANCELED) {
        loop_scope_fail(parent, error);
    }
    loop_scope_drop_hold(parent, was_daemon);
}

static void release(struct loop_scope *scope)
{
    scope->state = LOOP_SCOPE_RELEASING;
    drop_deadline(scope);
    run_hooks(scope);
    scope->state = LOOP_SCOPE_CLOSING;
    loop_fds_close(scope);
}

static void step(struct loop_scope *scope)
{
    if (loop_scope_takes_work(scope)) {
        if (scope->holds > 0) {
            return;
        }
        if (scope->daemons > 0) {
            scope->state = LOOP_SCOPE_DRAINING;
            cancel_tree(scope, -ECANCELED);
            return;
        }
        release(scope);
    }
    if (scope->unclosed == 0 && !scope->is_ending) { /* else what has just been done has put it in the queue again */
        be_gone(scope);
    }
}

void loop_scope_fd_closed(struct loop_scope *scope)
{
    if (scope->state == LOOP_SCOPE_CLOSING && scope->unclosed == 0) {
        loop_scope_look_at(scope);
    }
}

void loop_scopes_settle(struct loop *loop)
{
    struct loop_scope *next, *scope = loop->ending;
    loop->ending = NULL;
    loop->last_ending = &loop->ending;
    for (; scope; scope = next) {
        next = scope->next_ending;
        scope->is_ending = false;
        step(scope);
    }
}
