/* SPDX-License-Identifier: ISC
 *
 * Descriptors that are passed. The caller holds a promise; below it runs one step.
 */
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <loop/low_level.h>
#include <loop/part.h>
#include <net/pass.h>

#include <assert.h>
#include <errno.h>

struct passing {
    struct loop *loop;
    struct loop_scope *scope; /* of the steps, and of what is received */
    struct loop_fd *socket;
    loop_job promise, step;
    struct loop_passed *passed;              /* NULL: it sends */
    struct loop_fd *used[LOOP_PASS_MAX_FDS]; /* until it is sent */
    size_t n_used;
    int numbers[LOOP_PASS_MAX_FDS];
    struct iovec vector;
    struct loop_message message;
};

/* ---- both ---- */

/* Frees what is no job any more, or not yet. */
static void destroy(struct passing *passing)
{
    for (size_t i = 0; i < passing->n_used; i++) {
        loop_fd_unuse(passing->used[i]);
        loop_fd_unpin(passing->used[i]);
    }
    loop_fd_unpin(passing->socket);
    loop_kernel_free(passing);
}

/* Ends the job. */
static void finish(struct passing *passing, int64_t result)
{
    struct loop *loop = passing->loop;
    loop_job promise = passing->promise;

    assert(promise);
    destroy(passing);
    loop_resolve(loop, promise, result);
}

static void on_cancel(void *arg, loop_job job)
{
    struct passing *passing = arg;

    (void)job;
    loop_cancel(passing->loop, passing->step);
}

/* Returns 0 for a flow of a Unix socket, or a negative errno. */
static int check_flow(const struct loop_flow *flow)
{
    int family = AF_UNSPEC;
    socklen_t length = sizeof family;
    int number = flow->fd ? loop_fd_use(flow->fd) : -EBADF;

    if (number < 0) {
        return number;
    }
    int error = loop_kernel_getsockopt(number, SOL_SOCKET, SO_DOMAIN, &family, &length) < 0 ? -errno
                : family != AF_UNIX                                                         ? -EOPNOTSUPP
                                                                                            : 0;
    loop_fd_unuse(flow->fd);
    return error;
}

/* Returns a job that ends with `error`. */
static loop_job refuse(struct loop_scope *scope, int error, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(scope, NULL, NULL, fn, arg);

    loop_resolve(loop_scope_loop(scope), job, error);
    return job;
}

static struct passing *create(struct loop_scope *scope, struct loop_flow *flow, void *data, size_t len)
{
    struct passing *passing = loop_kernel_calloc(1, sizeof *passing);

    if (passing) {
        passing->loop = loop_scope_loop(scope);
        passing->scope = scope;
        passing->socket = flow->fd;
        passing->vector = (struct iovec){data, len};
        passing->message = (struct loop_message){.iov = &passing->vector, .n_iov = 1, .numbers = passing->numbers};
        loop_fd_pin(flow->fd);
    }
    return passing;
}

/* Remembers a step. Without one the job ends with -ENOMEM. */
static void begin(struct passing *passing, loop_job step)
{
    passing->step = step;
    if (!step) {
        finish(passing, -ENOMEM);
    }
}

/* ---- sending ---- */

static void on_sent(void *arg, int64_t result)
{
    finish(arg, result);
}

/* Keeps the descriptors open. Returns 0 or -EBADF. */
static int use_fds(struct passing *passing, struct loop_fd *const *fds, size_t n_fds)
{
    for (size_t i = 0; i < n_fds; i++) {
        int number = fds[i] ? loop_fd_use(fds[i]) : -EBADF;
        if (number < 0) {
            return number;
        }
        loop_fd_pin(fds[i]);
        passing->used[passing->n_used] = fds[i];
        passing->numbers[passing->n_used++] = number;
    }
    return 0;
}

static int check_sent(const struct loop_flow *flow, struct loop_fd *const *fds, size_t n_fds, const void *data,
                      size_t len)
{
    if (!fds || n_fds == 0 || n_fds > LOOP_PASS_MAX_FDS || !data || len == 0) {
        return -EINVAL;
    }
    return len > LOOP_PASS_MAX_BYTES ? -EMSGSIZE : check_flow(flow);
}

loop_job loop_send_fds(struct loop_flow *flow, struct loop_fd *const *fds, size_t n_fds, const void *data, size_t len,
                       loop_fn *fn, void *arg)
{
    if (!loop_check_flow(flow, __func__)) {
        return 0;
    }
    int error = check_sent(flow, fds, n_fds, data, len);
    if (error < 0) {
        return refuse(flow->scope, error, fn, arg);
    }
    struct passing *passing = create(flow->scope, flow, (void *)(uintptr_t)data, len);
    if (!passing) {
        return 0;
    }
    error = use_fds(passing, fds, n_fds);
    if (error < 0) {
        destroy(passing);
        return refuse(flow->scope, error, fn, arg);
    }
    loop_job promise = loop_promise(flow->scope, on_cancel, passing, fn, arg);
    if (!promise) {
        destroy(passing);
        return 0;
    }
    passing->promise = promise;
    begin(passing, loop_fd_send_fds(flow->fd, data, len, passing->numbers, n_fds, on_sent, passing));
    return promise;
}

/* ---- receiving ---- */

static void on_received(void *arg, int64_t result)
{
    struct passing *passing = arg;
    struct loop_passed *passed = passing->passed;

    for (size_t i = 0; result >= 0 && i < passing->message.n_numbers; i++) {
        struct loop_fd *fd = loop_fd_adopt(passing->scope, passing->numbers[i]);
        if (fd) {
            passed->fds[passed->n++] = fd;
        } else {
            passed->is_truncated = true; /* there was no memory, and it is closed */
        }
    }
    passed->is_truncated |= result >= 0 && (passing->message.flags & MSG_CTRUNC) != 0;
    finish(passing, result);
}

static int check_received(const struct loop_flow *flow, const void *buf, size_t len, const struct loop_passed *passed)
{
    bool is_good = buf && len > 0 && passed->room <= LOOP_PASS_MAX_FDS && (passed->fds || passed->room == 0);

    return is_good ? check_flow(flow) : -EINVAL;
}

loop_job loop_receive_fds(struct loop_scope *scope, struct loop_flow *flow, void *buf, size_t len,
                          struct loop_passed *passed, loop_fn *fn, void *arg)
{
    if (!loop_check_scope(scope, __func__) || !loop_check_flow(flow, __func__) ||
        !loop_check_pointer(passed, "room for descriptors", __func__)) {
        return 0;
    }
    passed->n = 0;
    passed->is_truncated = false;
    int error = check_received(flow, buf, len, passed);
    if (error < 0) {
        return refuse(scope, error, fn, arg);
    }
    struct passing *passing = create(scope, flow, buf, len);
    if (!passing) {
        return 0;
    }
    loop_job promise = loop_promise(scope, on_cancel, passing, fn, arg);
    if (!promise) {
        destroy(passing);
        return 0;
    }
    passing->promise = promise;
    passing->passed = passed;
    passing->message.n_numbers = passed->room;
    begin(passing, loop_op_recv_msg(scope, flow->fd, &passing->message, on_received, passing));
    return promise;
}
