/* SPDX-License-Identifier: ISC
 *
 * Descriptors that are passed. What sends them is a job of the flow's queue. What receives them is a promise, below
 * which runs one step.
 */
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <loop/low_level.h>
#include <loop/part.h>
#include <net/pass.h>

#include <assert.h>
#include <errno.h>

struct receiving {
    struct loop *loop;
    struct loop_scope *scope; /* of the step, and of what is received */
    struct loop_fd *socket;
    loop_job promise, step;
    struct loop_passed *passed;
    int numbers[LOOP_PASS_MAX_FDS];
    struct iovec vector;
    struct loop_message message;
};

/* ---- both ---- */

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

/* ---- sending ---- */

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

    return error < 0 ? refuse(flow->scope, error, fn, arg) : loop_fd_send_fds(flow->fd, data, len, fds, n_fds, fn, arg);
}

/* ---- receiving ---- */

static void destroy(struct receiving *receiving)
{
    loop_fd_unpin(receiving->socket);
    loop_kernel_free(receiving);
}

/* Ends the job. */
static void finish(struct receiving *receiving, int64_t result)
{
    struct loop *loop = receiving->loop;
    loop_job promise = receiving->promise;

    assert(promise);
    destroy(receiving);
    loop_resolve(loop, promise, result);
}

static void on_cancel(void *arg, loop_job job)
{
    const struct receiving *receiving = arg;

    (void)job;
    loop_cancel(receiving->loop, receiving->step);
}

static void on_received(void *arg, int64_t result)
{
    struct receiving *receiving = arg;
    struct loop_passed *passed = receiving->passed;

    for (size_t i = 0; result >= 0 && i < receiving->message.n_numbers; i++) {
        struct loop_fd *fd = loop_fd_adopt(receiving->scope, receiving->numbers[i]);
        if (fd) {
            passed->fds[passed->n++] = fd;
        } else {
            passed->is_truncated = true; /* there was no memory, and it is closed */
        }
    }
    passed->is_truncated |= result >= 0 && (receiving->message.flags & MSG_CTRUNC) != 0;
    finish(receiving, result);
}

static int check_received(const struct loop_flow *flow, const void *buf, size_t len, const struct loop_passed *passed)
{
    bool is_good = buf && len > 0 && passed->room <= LOOP_PASS_MAX_FDS && (passed->fds || passed->room == 0);

    return is_good ? check_flow(flow) : -EINVAL;
}

static struct receiving *create(struct loop_scope *scope, struct loop_flow *flow, void *buf, size_t len,
                                struct loop_passed *passed)
{
    struct receiving *receiving = loop_kernel_calloc(1, sizeof *receiving);

    if (receiving) {
        receiving->loop = loop_scope_loop(scope);
        receiving->scope = scope;
        receiving->socket = flow->fd;
        receiving->passed = passed;
        receiving->vector = (struct iovec){buf, len};
        receiving->message = (struct loop_message){
            .iov = &receiving->vector, .n_iov = 1, .numbers = receiving->numbers, .n_numbers = passed->room};
        loop_fd_pin(flow->fd);
    }
    return receiving;
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
    struct receiving *receiving = create(scope, flow, buf, len, passed);
    if (!receiving) {
        return 0;
    }
    loop_job promise = loop_promise(scope, on_cancel, receiving, fn, arg);
    if (!promise) {
        destroy(receiving);
        return 0;
    }
    receiving->promise = promise;
    receiving->step = loop_op_recv_msg(scope, flow->fd, &receiving->message, on_received, receiving);
    if (!receiving->step) {
        finish(receiving, -ENOMEM);
    }
    return promise;
}
