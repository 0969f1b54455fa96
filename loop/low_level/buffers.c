/* SPDX-License-Identifier: ISC
 *
 * Groups of provided buffers: creates a group, returns buffers to it, counts its free buffers, receives into it.
 */
#include <loop/core/backend.h>
#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/scope.h>
#include <loop/kernel/memory.h>
#include <loop/low_level/start.h>
#include <loop/syscall/buffers.h>
#include <loop/syscall/direct.h>

#include <errno.h>
#include <limits.h>

#define MOST_BUFFERS 32768u

/* A group with the scope that owns it. */
struct group {
    struct loop_buffers buffers; /* must be first: the caller's pointer */
    const struct loop_scope *scope;
};

/* ---- creating and freeing ---- */

static void free_group(struct group *group)
{
    loop_buffers_free_borrowed(&group->buffers);
    loop_kernel_free(group->buffers.memory);
    loop_kernel_free(group->buffers.is_lent);
    loop_kernel_free(group);
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
    struct group *group = loop_kernel_calloc(1, sizeof *group);
    if (!group) {
        return NULL;
    }
    struct loop_buffers *buffers = &group->buffers;
    group->scope = scope;
    buffers->loop = scope->loop;
    buffers->count = count;
    buffers->size_bytes = size_bytes;
    buffers->memory = loop_kernel_malloc(count * size_bytes);
    buffers->is_lent = loop_kernel_calloc(count, sizeof *buffers->is_lent);
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

/* ---- in use ---- */

/* Returns the number of the buffer that begins at `data`, or -1. */
static int index_of(const struct loop_buffers *buffers, const void *data)
{
    uintptr_t at = (uintptr_t)data, first = (uintptr_t)buffers->memory;
    bool is_inside = at >= first && at - first < buffers->count * buffers->size_bytes;
    return is_inside && (at - first) % buffers->size_bytes == 0 ? (int)((at - first) / buffers->size_bytes) : -1;
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
    if (index < 0 && loop_buffers_give_borrowed(buffers, data)) {
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

/* Whether `scope` ends before `outer`, or with it. A job that outlives the group would receive into freed memory. */
static bool is_inside(const struct loop_scope *scope, const struct loop_scope *outer)
{
    while (scope && scope != outer) {
        scope = loop_scope_parent(scope);
    }
    return scope != NULL;
}

static const struct loop_job_kind recv_multishot_kind = {.name = "operation",
                                                         .cancel = loop_job_cancel_by_backend,
                                                         .attempt = loop_direct_attempt,
                                                         .size = LOOP_JOB_LARGE,
                                                         .continuation = LOOP_CALLS_RECV_FN};

loop_job loop_op_recv_multishot(struct loop_scope *scope, struct loop_fd *fd, struct loop_buffers *buffers,
                                loop_recv_fn *fn, void *arg)
{
    if (!loop_operation_is_good(scope, fd, NULL, __func__)) {
        return 0;
    }
    const struct loop_scope *owner = loop_operation_scope(scope, fd);
    bool is_good = fd && buffers && fn && is_inside(owner, ((const struct group *)(const void *)buffers)->scope);
    struct loop_operation operation = {.scope = scope,
                                       .fd = fd,
                                       .op = LOOP_OP_RECV_MULTISHOT,
                                       .kind = &recv_multishot_kind,
                                       .arg = arg,
                                       .function = __func__};
    operation.fn = (loop_fn *)(void (*)(void))fn;
    operation.args.receive.buffers = buffers;
    operation.error = !is_good ? -EINVAL : loop_fd_reads_by(fd) != LOOP_IO_SOCKET ? -ENOTSOCK : 0;
    return loop_operation_start(&operation);
}
