/* SPDX-License-Identifier: ISC
 *
 * Scopes: what each counts and owns.
 */
#ifndef LOOP_CORE_SCOPE_H
#define LOOP_CORE_SCOPE_H

#include <loop/core/alarm.h>
#include <loop/core/check.h>
#include <loop/core/loop.h>
#include <loop/ground/index_list.h>

#include <assert.h>
#include <errno.h>

/* How far the end of a scope is. */
enum loop_scope_state {
    LOOP_SCOPE_OPEN,
    LOOP_SCOPE_DRAINING,  /* only daemons were left: they are being cancelled */
    LOOP_SCOPE_RELEASING, /* hooks run: no job can be started any more */
    LOOP_SCOPE_CLOSING,   /* descriptors close; on_end */
    LOOP_SCOPE_GONE,      /* it has ended; only pins keep the object */
};

/* What the loop stores for a scope beside struct loop_scope: what most connections do not need. */
struct loop_scope_more {
    uint64_t id;                      /* must be first (slab.h) */
    struct loop_scope_memory *memory; /* of loop_scope_alloc */
    struct loop_hlist hooks;
    struct loop_hlist kept; /* struct loop_kept: dropped after on_end, the last one first */
    uint32_t deadline;      /* its index in loop->deadlines, plus 1; 0 when there is none */
};

/* A scope. There is one for each connection of a server, so it links what is in slabs by indices. */
struct loop_scope {
    uint64_t id; /* must be first (slab.h) */
    struct loop *loop;
    uint32_t parent;                  /* loop_scope_parent */
    uint32_t next_ending;             /* the index of the next in loop->ending, plus 1; or 0 */
    struct loop_index_list children;  /* scopes, by in_parent */
    struct loop_index_list fds;       /* by in_scope */
    struct loop_index_node in_parent; /* in the parent's `children` */
    struct loop_hlist jobs;           /* by in_scope */
    union {
        struct loop_scope_more *more;     /* has_more: made by loop_scope_get_more */
        struct loop_scope_memory *memory; /* otherwise: of loop_scope_alloc */
    };
    int32_t error;      /* its first error, or 0 */
    uint32_t holds;     /* non-daemon jobs, non-daemon children, holds */
    uint32_t daemons;   /* daemon jobs and children */
    uint32_t own_holds; /* of `holds`, those of loop_scope_hold */
    uint32_t unclosed;  /* descriptors in `fds` that are not closed yet */
    uint16_t pins;      /* pins of loop_scope_pin; they keep the object */
    union {
        struct {
            uint8_t state : 3; /* enum loop_scope_state */
            bool is_cancelled : 1;
        };
        uint8_t hindrances; /* 0: jobs can be started, and do not end at once */
    };
    bool is_daemon : 1;
    bool is_ending : 1; /* it is in loop->ending */
    bool is_told : 1;   /* loop_scope_on_cancel was called, or held.c has named it */
    bool is_part : 1;   /* the loop's own, or inside it */
    bool is_late : 1;   /* it was cancelled by a deadline: loop_scope_reason */
    bool has_more : 1;
    loop_fn *on_end;
    void *arg;
#if NORIA_DEBUG
    struct loop_place opened;
#endif
};

static_assert(NORIA_DEBUG || sizeof(struct loop_scope) <= 96, "a connection uses one");

/* An object of a scope that is dropped after its on_end, in more->kept. It is out of that list when `drop` runs. */
struct loop_kept {
    struct loop_hnode link;
    void (*drop)(struct loop_kept *kept);
};

/* The deadline of a scope. It is in a slab of its own, because few scopes have one. */
struct loop_deadline {
    uint64_t id; /* must be first (slab.h) */
    struct loop_alarm alarm;
    struct loop_scope *scope;
};

/* Returns the deadline of a scope, or NULL. */
static inline struct loop_deadline *loop_scope_own_deadline(const struct loop_scope *scope)
{
    return scope->has_more ? loop_index_object(&scope->loop->deadlines, scope->more->deadline) : NULL;
}

/* Returns the result of the jobs of a cancelled scope: -ECANCELED or -ETIMEDOUT. */
static inline int16_t loop_scope_reason(const struct loop_scope *scope)
{
    return scope->is_late ? -ETIMEDOUT : -ECANCELED;
}

/* Returns scope->more, and makes it where there is none. NULL when there is no memory. */
struct loop_scope_more *loop_scope_get_more(struct loop_scope *scope);

/* Returns the parent: NULL for main's scope and the loop's own, and for one that has ended. */
static inline struct loop_scope *loop_scope_parent(const struct loop_scope *scope)
{
    return loop_index_object(&scope->loop->scopes, scope->parent);
}

/* Returns the child that was opened first, or NULL. */
static inline struct loop_scope *loop_scope_oldest_child(const struct loop_scope *scope)
{
    return loop_index_oldest(&scope->loop->scopes, &scope->children, offsetof(struct loop_scope, in_parent));
}

/* Returns the child of its parent that was opened after this one, or NULL. */
static inline struct loop_scope *loop_scope_newer_sibling(const struct loop_scope *scope)
{
    return loop_index_newer(&scope->loop->scopes, scope, offsetof(struct loop_scope, in_parent));
}

/* Opens a scope without a parent: main's or the loop's own. Returns NULL when there is no memory. */
struct loop_scope *loop_scope_open_root(struct loop *loop, loop_fn *on_end, void *arg);

/* Puts the scope in the queue of those that may end, which is processed after the running continuation. */
void loop_scope_look_at(struct loop_scope *scope);

/* Returns whether jobs can still be started in the scope: its end has not begun. */
static inline bool loop_scope_takes_work(const struct loop_scope *scope)
{
    return scope->state < LOOP_SCOPE_RELEASING;
}

static_assert(LOOP_SCOPE_OPEN == 0, "an open scope has no hindrances");

/* Adds a hold of a job, a child or the program, or of a daemon. */
static inline void loop_scope_add_hold(struct loop_scope *scope, bool is_daemon)
{
    if (is_daemon) {
        scope->daemons++;
    } else {
        scope->holds++;
    }
}

/* Drops the hold of a daemon. */
void loop_scope_drop_daemon(struct loop_scope *scope);

/* Drops a hold of loop_scope_add_hold. The scope may end when it has only daemons left. */
static inline void loop_scope_drop_hold(struct loop_scope *scope, bool is_daemon)
{
    if (__builtin_expect(is_daemon, false)) {
        loop_scope_drop_daemon(scope);
        return;
    }
    assert(scope->holds > 0);
    if (--scope->holds == 0) {
        loop_scope_look_at(scope);
    }
}

/* Frees the memory that a debug build still keeps of scopes that have ended. At the loop's end. */
void loop_scopes_finish(struct loop *loop);

/* Continues the end of the scope after one of its descriptors was closed. */
void loop_scope_fd_closed(struct loop_scope *scope);

/* Keeps the object of a scope, as loop_fd_pin does for descriptors. The scope still ends, and then takes no work. */
static inline void loop_scope_pin(struct loop_scope *scope)
{
    assert(scope->state != LOOP_SCOPE_GONE || scope->pins > 0);
    assert(scope->pins < UINT16_MAX);
    scope->pins++;
}

/* Drops a pin of loop_scope_pin, and frees the object where it was the last one of a scope that has ended. */
void loop_scope_unpin(struct loop_scope *scope);

/* Runs the hooks of a scope that ends, the one added last first. */
void loop_scope_run_hooks(struct loop_scope *scope);

/* Drops the objects in more->kept after on_end, the one added last first. */
void loop_scope_drop_kept(struct loop_scope *scope);

/* Frees the memory of loop_scope_alloc, and scope->more. */
void loop_scope_free_memory(struct loop_scope *scope);

/* Frees the object unless a pin keeps it. */
void loop_scope_put_if_unkept(struct loop_scope *scope);

/* Returns the scope after `scope` in the tree below `top`, parents before children; NULL at the end. Updates `*depth`,
 * which is 0 for `top`. Not recursive, because a program may nest scopes to any depth. */
struct loop_scope *loop_scope_next(const struct loop_scope *top, const struct loop_scope *scope, unsigned *depth);

/* Initializes the slab of hooks. */
void loop_hooks_init(struct loop *loop);

/* ---- checks: see check.h ---- */

/* Reports a bad scope, and aborts a debug build. Returns false. */
__attribute__((cold)) bool loop_bad_scope(const struct loop_scope *scope, const char *function);

/* Returns whether a scope that a public function was given may be used. */
static inline bool loop_scope_is_good(const struct loop_scope *scope, const char *function)
{
    if (!scope || loop_is_freed(scope)) {
        (void)loop_bad_scope(scope, function);
        return false;
    }
    loop_check_thread(scope->loop, function);
    return true;
}

#endif
