/* SPDX-License-Identifier: ISC
 *
 * Groups of provided buffers: made, given back, counted. The stack of free ones serves system calls; where the kernel
 * has the group, in a ring, the stack's depth is only the count.
 */
#include <loop/check.h>
#include <loop/direct.h>
#include <loop/operation.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define MOST_BUFFERS 32768u

/* The group and the scope it belongs to. */
struct group {
    struct loop_buffers buffers; /* must be first: what the caller has */
    const struct loop_scope *scope;
};

/* A buffer that doesn't come out of the group's memory. */
struct borrowed {
    struct loop_hnode link;
    max_align_t bytes[];
};

/* ---- making and giving back ---- */

static void free_borrowed(struct loop_hnode *node)
{
    loop_hlist_remove(node);
    free(LOOP_CONTAINER(node, struct borrowed, link));
}

static void free_group(struct group *group)
{
    struct loop_hnode *next;
    for (struct loop_hnode *node = group->buffers.borrowed.first; node; node = next) {
        next = node->next;
        free_borrowed(node);
    }
    free(group->buffers.memory);
    free(group->buffers.is_lent);
    free(group);
}

static void release(void *arg)
{
    struct group *group = arg;
    struct loop *loop = group->buffers.loop;
    loop->backend->buffers_finish(loop, &group->buffers);
    free_group(group);
}

static struct group *make_group(struct loop_scope *scope, unsigned count, size_t size_bytes)
{
    struct group *group = calloc(1, sizeof *group);
    if (!group) {
        return NULL;
    }
    struct loop_buffers *buffers = &group->buffers;
    group->scope = scope;
    buffers->loop = scope->loop;
    buffers->count = count;
    buffers->size_bytes = size_bytes;
    buffers->memory = malloc(count * size_bytes);
    buffers->is_lent = calloc(count, sizeof *buffers->is_lent);
    if (!buffers->memory || !buffers->is_lent) {
        free_group(group);
        return NULL;
    }
    return group;
}

static bool is_good_size(unsigned count, size_t size_bytes)
{
    bool is_power = count > 0 && (count & (count - 1)) == 0;
    return is_power && count <= MOST_BUFFERS && size_bytes > 0 && size_bytes <= INT_MAX &&
           size_bytes <= SIZE_MAX / count;
}

struct loop_buffers *loop_buffers_create(struct loop_scope *scope, unsigned count, size_t size_bytes)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return NULL;
    }
    struct group *group = is_good_size(count, size_bytes) ? make_group(scope, count, size_bytes) : NULL;
    if (!group) {
        return NULL;
    }
    if (scope->loop->backend->buffers_init(scope->loop, &group->buffers)) {
        free_group(group);
        return NULL;
    }
    return loop_scope_defer(scope, release, group) ? &group->buffers : NULL;
}

/* ---- for system calls ---- */

int loop_direct_buffers_init(struct loop *loop, struct loop_buffers *buffers)
{
    (void)loop;
    if (!buffers->free_stack) {
        buffers->free_stack = calloc(buffers->count, sizeof *buffers->free_stack);
    }
    if (!buffers->free_stack) {
        return -ENOMEM;
    }
    buffers->n_free = 0;
    for (unsigned i = buffers->count; i-- > 0;) {
        if (!buffers->is_lent[i]) {
            buffers->free_stack[buffers->n_free++] = (uint16_t)i;
        }
    }
    return 0;
}

void loop_direct_buffers_finish(struct loop *loop, struct loop_buffers *buffers)
{
    (void)loop;
    free(buffers->free_stack);
    buffers->free_stack = NULL;
}

void loop_direct_buffers_recycle(struct loop *loop, struct loop_buffers *buffers, unsigned index)
{
    (void)loop;
    buffers->is_lent[index] = false;
    buffers->free_stack[buffers->n_free++] = (uint16_t)index;
}

/* ---- in use ---- */

/* -1 when `data` isn't the beginning of a buffer. */
static int index_of(const struct loop_buffers *buffers, const void *data)
{
    uintptr_t at = (uintptr_t)data, first = (uintptr_t)buffers->memory;
    bool is_inside = at >= first && at - first < buffers->count * buffers->size_bytes;
    return is_inside && (at - first) % buffers->size_bytes == 0 ? (int)((at - first) / buffers->size_bytes) : -1;
}

void *loop_buffers_borrow(struct loop_buffers *buffers, size_t size_bytes)
{
    struct borrowed *borrowed = malloc(sizeof *borrowed + size_bytes);
    if (!borrowed) {
        return NULL;
    }
    loop_hlist_push(&buffers->borrowed, &borrowed->link);
    return borrowed->bytes;
}

static struct loop_hnode *find_borrowed(const struct loop_buffers *buffers, const void *data)
{
    struct loop_hnode *node = buffers->borrowed.first;
    while (node && (const void *)LOOP_CONTAINER(node, struct borrowed, link)->bytes != data) {
        node = node->next;
    }
    return node;
}

static bool is_good_group(const struct loop_buffers *buffers, const char *function)
{
    return buffers ? loop_is_good(buffers->loop, function) : loop_bad_null(function, "group of buffers");
}

int loop_buffers_recycle(struct loop_buffers *buffers, void *data)
{
    if (!is_good_group(buffers, __func__)) {
        return -EINVAL;
    }
    int index = index_of(buffers, data);
    struct loop_hnode *borrowed = index < 0 ? find_borrowed(buffers, data) : NULL;
    if (borrowed) {
        free_borrowed(borrowed);
        return 0;
    }
    if (index < 0 || !buffers->is_lent[index]) {
        loop_misuse(buffers->loop, __func__, "the buffer isn't lent", "give back each buffer of the group once");
        return -EINVAL;
    }
    buffers->loop->backend->buffers_recycle(buffers->loop, buffers, (unsigned)index);
    return 0;
}

unsigned loop_buffers_avail(const struct loop_buffers *buffers)
{
    if (!is_good_group(buffers, __func__)) {
        return 0;
    }
    return buffers->n_free;
}

/* A job that outlived the group would receive into memory that is somebody else's by then. */
static bool is_inside(const struct loop_scope *scope, const struct loop_scope *outer)
{
    while (scope && scope != outer) {
        scope = scope->parent;
    }
    return scope != NULL;
}

loop_job loop_op_recv_multishot(struct loop_scope *scope, struct loop_fd *fd, struct loop_buffers *buffers,
                                loop_recv_fn *fn, void *arg)
{
    if (!loop_operation_is_good(scope, fd, NULL, __func__)) {
        return 0;
    }
    const struct loop_scope *owner = loop_operation_scope(scope, fd);
    bool is_good = fd && buffers && fn && is_inside(owner, ((const struct group *)(const void *)buffers)->scope);
    struct loop_operation operation = {
        .scope = scope, .fd = fd, .op = LOOP_OP_RECV_MULTISHOT, .arg = arg, .function = __func__};
    operation.fn = (loop_fn *)(void (*)(void))fn;
    operation.args.data = buffers;
    operation.error = !is_good ? -EINVAL : loop_fd_reads_by(fd) != LOOP_IO_SOCKET ? -ENOTSOCK : 0;
    return loop_operation_start(&operation);
}
