/* SPDX-License-Identifier: ISC
 *
 * What parts built on the loop store in it: a list, which is searched, because they are few.
 */
#include <loop/core/check.h>
#include <loop/core/dispatch.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <loop/run/part.h>

struct loop_part {
    struct loop_part *next;
    const void *key;
    void *value;
};

struct loop_scope *loop_part_scope(struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return NULL;
    }
    return loop->own_scope;
}

struct loop_scope *loop_part_main_scope(struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return NULL;
    }
    return loop->main_scope;
}

void loop_part_set_child_mask(struct loop *loop, const sigset_t *mask)
{
    if (loop_is_good(loop, __func__) && loop_check_pointer(mask, "mask", __func__)) {
        loop->child_mask = *mask;
    }
}

void **loop_part_slot(struct loop *loop, const void *key)
{
    if (!loop_is_good(loop, __func__)) {
        return NULL;
    }
    for (struct loop_part *part = loop->parts; part; part = part->next) {
        if (part->key == key) {
            return &part->value;
        }
    }
    struct loop_part *part = loop_kernel_calloc(1, sizeof *part);
    if (!part) {
        return NULL;
    }
    part->key = key;
    part->next = loop->parts;
    loop->parts = part;
    return &part->value;
}

void loop_part_continue(struct loop_scope *scope, loop_fn *fn, void *arg, int64_t result)
{
    if (fn) {
        fn(arg, result);
    } else if (result < 0 && result != -ECANCELED && loop_check_scope(scope, __func__)) {
        loop_scope_fail(scope, result);
    }
}

static_assert(sizeof(struct loop_after) <= sizeof(((struct loop_part_after *)0)->reserved), "fits");

static void run_after(struct loop_after *after)
{
    struct loop_part_after *part_after = LOOP_CONTAINER(after, struct loop_part_after, reserved);
    struct loop_scope *scope = part_after->scope;
    part_after->is_due = false;
    part_after->fn(part_after);
    loop_scope_drop_hold(scope, false); /* that of loop_after_continuation */
}

void loop_part_run_after(struct loop_scope *scope, struct loop_part_after *after)
{
    if (!loop_check_scope(scope, __func__) || !loop_check_pointer(after, "after", __func__) || after->is_due) {
        return;
    }
    struct loop_after *own = (void *)after->reserved;
    loop_list_init(&own->link);
    own->fn = run_after;
    after->scope = scope;
    after->is_due = true;
    loop_after_continuation(scope->loop, own, scope);
}

void loop_parts_finish(struct loop *loop)
{
    while (loop->parts) {
        struct loop_part *part = loop->parts;
        loop->parts = part->next;
        loop_kernel_free(part);
    }
}
