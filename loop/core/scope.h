/* SPDX-License-Identifier: ISC
 *
 * Scopes: what each counts and owns.
 */
#ifndef LOOP_CORE_SCOPE_H
#define LOOP_CORE_SCOPE_H

#include <loop/core/check.h>
#include <loop/core/loop.h>

#include <assert.h>

enum loop_scope_state {
    LOOP_SCOPE_OPEN,
    LOOP_SCOPE_DRAINING,  /* nothing but daemons was left: they are being cancelled */
    LOOP_SCOPE_RELEASING, /* hooks run: nothing can be started any more */
    LOOP_SCOPE_CLOSING,   /* descriptors close; on_end */
    LOOP_SCOPE_GONE,      /* it has ended; only pins keep the object */
};

struct loop_scope {
    uint64_t id;               /* must be first (slab.h) */
    struct loop_scope *parent; /* NULL: main's, and the loop's own */
    struct loop *loop;
    struct loop_hnode in_parent;
    struct loop_hlist children, jobs, fds;
    struct loop_scope *next_ending; /* in loop->ending: to be looked at */
    struct loop_hlist hooks;
    struct loop_hlist kept; /* struct loop_kept: dropped after on_end, the last one first */
    struct loop_scope_memory *memory;
    struct loop_deadline *deadline; /* or NULL */
    uint32_t holds;                 /* non-daemon jobs, non-daemon children, holds */
    uint32_t daemons;               /* daemon jobs and children */
    uint32_t own_holds;             /* of `holds`, those of loop_scope_hold */
    uint32_t unclosed;              /* descriptors in `fds` that are not closed yet */
    uint32_t pins;                  /* keep the object: loop_scope_pin */
    uint8_t state;
    bool is_cancelled : 1;
    bool is_daemon : 1;
    bool is_ending : 1; /* it is in loop->ending */
    bool is_told : 1;   /* loop_scope_on_cancel was called, or held.c has named it */
    int16_t reason;     /* what cancelled jobs end with: -ECANCELED or -ETIMEDOUT */
    int32_t error;      /* the first one */
    loop_fn *on_end;
    void *arg;
#if NORIA_DEBUG
    struct loop_place opened;
#endif
};

/* Something of a scope's that goes when its on_end has returned, in scope->kept. `drop` finds it taken out of there. */
struct loop_kept {
    struct loop_hnode link;
    void (*drop)(struct loop_kept *kept);
};

/* A scope's deadline, from a slab: few scopes have one. */
struct loop_deadline {
    uint64_t id; /* must be first (slab.h) */
    struct loop_wheel_node node;
    struct loop_scope *scope;
};

/* A scope without a parent: main's and the loop's own. */
struct loop_scope *loop_scope_open_root(struct loop *loop, loop_fn *on_end, void *arg);

/* Has the scope looked at after the continuation that is running. */
void loop_scope_look_at(struct loop_scope *scope);

static inline bool loop_scope_takes_work(const struct loop_scope *scope)
{
    return scope->state < LOOP_SCOPE_RELEASING;
}

static inline void loop_scope_add_hold(struct loop_scope *scope, bool is_daemon)
{
    uint32_t *count = is_daemon ? &scope->daemons : &scope->holds;
    ++*count;
}

static inline void loop_scope_drop_hold(struct loop_scope *scope, bool is_daemon)
{
    uint32_t *count = is_daemon ? &scope->daemons : &scope->holds;
    assert(*count > 0);
    --*count;
    if (scope->holds == 0) {
        loop_scope_look_at(scope);
    }
}

/* The loop's end: frees what is still kept of scopes that have ended. */
void loop_scopes_finish(struct loop *loop);

/* One of its descriptors has been closed. */
void loop_scope_fd_closed(struct loop_scope *scope);

/* Keeps the object of a scope, as loop_fd_pin does for descriptors: the scope ends as without a pin, and then takes no
 * work. */
static inline void loop_scope_pin(struct loop_scope *scope)
{
    assert(scope->state != LOOP_SCOPE_GONE || scope->pins > 0);
    scope->pins++;
}

void loop_scope_unpin(struct loop_scope *scope);

/* The steps of a scope's end, for cancel.c. Runs the hooks, the last one first. */
void loop_scope_run_hooks(struct loop_scope *scope);

/* Drops what is kept until on_end has returned, the last one first. */
void loop_scope_drop_kept(struct loop_scope *scope);

/* Frees the memory of loop_scope_alloc. */
void loop_scope_free_memory(struct loop_scope *scope);

/* Gives the object back, unless a pin keeps it. */
void loop_scope_put_if_unkept(struct loop_scope *scope);

/* The scope after `scope` in the tree below `top`, parents before children; NULL at the end. Keeps `*depth`, which is 0
 * for `top`. Not recursive, because scopes may be nested as deep as a program likes. */
struct loop_scope *loop_scope_next(const struct loop_scope *top, const struct loop_scope *scope, unsigned *depth);

void loop_hooks_init(struct loop *loop);

/* ---- checks: see check.h ---- */

__attribute__((cold)) bool loop_bad_scope(const struct loop_scope *scope, const char *function);

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
