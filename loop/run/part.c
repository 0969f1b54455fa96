/* SPDX-License-Identifier: ISC
 *
 * What parts built on the loop store in it: a list, which is searched, because they are few.
 */
#include <loop/core/check.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
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

void loop_parts_finish(struct loop *loop)
{
    while (loop->parts) {
        struct loop_part *part = loop->parts;
        loop->parts = part->next;
        loop_kernel_free(part);
    }
}
