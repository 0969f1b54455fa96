/* SPDX-License-Identifier: ISC
 *
 * Accepting on a listener; see acceptor.h.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/socket.h>
#include <loop/low_level.h>
#include <loop/part.h>
#include <net/acceptor.h>
#include <net/listen.h>

#include <assert.h>
#include <errno.h>

#define MOST_DRAINED 65536 /* connections that keep coming must not hold up a stop */

/* Accepts again, or is over when the listener has been closed meanwhile. */
static void go_on(struct loop_acceptor *acceptor)
{
    if (loop_fd_is_open(loop_listener_fd(acceptor->listener))) {
        loop_acceptor_go_on(acceptor);
    } else {
        acceptor->ops->over(acceptor->arg, -ECANCELED);
    }
}

static void on_wait_over(void *arg, int64_t result)
{
    struct loop_acceptor *acceptor = arg;

    assert(acceptor->job);
    acceptor->job = 0;
    if (result < 0) {
        acceptor->ops->over(acceptor->arg, result);
    } else {
        go_on(acceptor);
    }
}

static void wait_for_descriptor(struct loop_acceptor *acceptor, int64_t pause_ns)
{
    acceptor->job = loop_descriptor_wait(acceptor->scope, pause_ns, on_wait_over, acceptor);
    if (!acceptor->job) {
        acceptor->ops->over(acceptor->arg, -ENOMEM);
    }
}

static void on_failed(struct loop_acceptor *acceptor, int64_t error)
{
    bool is_closed = !loop_fd_is_open(loop_listener_fd(acceptor->listener));
    int64_t verdict = is_closed ? error : loop_net_accept_failed(acceptor->listener, error);

    if (verdict < 0) {
        acceptor->ops->over(acceptor->arg, verdict);
    } else if (verdict == 0) {
        loop_acceptor_go_on(acceptor);
    } else {
        wait_for_descriptor(acceptor, verdict);
    }
}

/* A result of the multishot accept, which an error ends. */
static void on_accept(void *arg, int64_t result)
{
    struct loop_acceptor *acceptor = arg;

    assert(acceptor->job);
    if (result >= 0) {
        loop_net_accept_succeeded(acceptor->listener);
        acceptor->ops->take(acceptor->arg, (int)result);
    } else {
        acceptor->job = 0;
        on_failed(acceptor, result);
    }
}

static void on_accept_one(void *arg, int64_t result)
{
    struct loop_acceptor *acceptor = arg;

    assert(acceptor->job && acceptor->is_one_by_one);
    acceptor->job = 0;
    if (result >= 0) {
        loop_net_accept_succeeded(acceptor->listener);
        acceptor->ops->take(acceptor->arg, (int)result);
        go_on(acceptor);
    } else {
        on_failed(acceptor, result);
    }
}

/* A multishot accept would have accepted more by the time it is cancelled. */
int loop_acceptor_start(struct loop_acceptor *acceptor)
{
    struct loop_fd *fd = loop_listener_fd(acceptor->listener);

    if (acceptor->job || !acceptor->ops->may_accept(acceptor->arg)) {
        return 0;
    }
    acceptor->job = acceptor->is_one_by_one ? loop_op_accept(acceptor->scope, fd, NULL, NULL, on_accept_one, acceptor)
                                            : loop_op_accept_multishot(acceptor->scope, fd, on_accept, acceptor);
    return acceptor->job ? 0 : -ENOMEM;
}

void loop_acceptor_go_on(struct loop_acceptor *acceptor)
{
    if (loop_acceptor_start(acceptor) < 0) {
        acceptor->ops->over(acceptor->arg, -ENOMEM);
    }
}

/* Accepts from `listener`, the number of the listener, until nothing waits there. */
static void drain(struct loop_acceptor *acceptor, int listener)
{
    acceptor->is_draining = true;
    for (unsigned i = 0; i < MOST_DRAINED && listener >= 0 && acceptor->ops->may_accept(acceptor->arg); i++) {
        int number = loop_kernel_accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (number >= 0) {
            acceptor->ops->take(acceptor->arg, number);
        } else if (errno == EAGAIN || loop_net_accept_failed(acceptor->listener, -errno) != 0) {
            break;
        }
    }
    acceptor->is_draining = false;
}

void loop_acceptor_drain(struct loop_acceptor *acceptor)
{
    drain(acceptor, loop_fd_peek(loop_listener_fd(acceptor->listener)));
}

void loop_acceptor_stop(struct loop_acceptor *acceptor)
{
    loop_cancel(loop_scope_loop(acceptor->scope), acceptor->job);
    (void)loop_listener_close(acceptor->listener);
}

/* The loop has let the listener go, and it is closed at once: nothing comes between the last accept and the close. */
static void on_left(void *arg, int64_t result)
{
    struct loop_acceptor *acceptor = arg;

    acceptor->leaving = 0;
    if (result >= 0) {
        drain(acceptor, (int)result);
        loop_kernel_close((int)result);
    }
    acceptor->ops->over(acceptor->arg, -ECANCELED);
}

void loop_acceptor_leave(struct loop_acceptor *acceptor)
{
    acceptor->leaving = loop_fd_take(loop_listener_fd(acceptor->listener), on_left, acceptor);
    if (!acceptor->leaving) {
        loop_acceptor_drain(acceptor);
    }
    loop_acceptor_stop(acceptor);
}
