/* SPDX-License-Identifier: ISC
 *
 * Connecting, and pairs of connected sockets.
 *
 * The caller holds a promise in the scope it named. The steps of a connect run in a scope of their own inside that one,
 * which carries the timeout; cancelling the promise cancels it. The state is freed at the end of the steps' scope. By
 * then the last step has resolved the promise, which never uses the state again.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <loop/low_level.h>
#include <loop/part.h>
#include <net/address.h>
#include <net/connect.h>
#include <net/local.h>
#include <net/option.h>

#include <assert.h>
#include <errno.h>

#define SHORTEST_PAUSE_NS LOOP_MILLISECOND
#define LONGEST_PAUSE_NS (64 * LOOP_MILLISECOND)

struct connecting {
    struct loop *loop;
    struct loop_scope *steps;
    struct loop_fd *fd;
    struct loop_flow **flow;
    loop_job promise;
    int64_t pause_ns;
    struct loop_address address;
    struct loop_net_file file; /* of the socket's own address, in memory of the steps' scope */
};

int64_t loop_net_from_now(const struct loop *loop, int64_t duration_ns)
{
    int64_t now = loop_now(loop);

    return duration_ns < LOOP_NEVER - now ? now + duration_ns : LOOP_NEVER;
}

static void on_steps_end(void *arg, int64_t error)
{
    (void)error;
    loop_kernel_free(arg);
}

static void on_cancel(void *arg, loop_job job)
{
    struct connecting *connecting = arg;

    (void)job;
    loop_scope_cancel(connecting->steps);
}

/* Resolves the promise with an error. The socket, its object and its file are destroyed at once: a scope that lives
 * long may fail to connect many times. */
static void fail(struct connecting *connecting, int64_t error)
{
    assert(connecting->promise && error < 0);
    loop_net_remove_file(&connecting->file);
    loop_fd_destroy(connecting->fd);
    connecting->fd = NULL;
    loop_resolve(connecting->loop, connecting->promise, error);
}

static void succeed(struct connecting *connecting)
{
    assert(connecting->promise && connecting->fd);
    struct loop_flow *flow = loop_fd_flow(connecting->fd);

    if (!flow) {
        fail(connecting, -ENOMEM);
        return;
    }
    *connecting->flow = flow;
    loop_resolve(connecting->loop, connecting->promise, 0);
}

static void on_connected(void *arg, int64_t result);

static void try_connect(struct connecting *connecting)
{
    const struct loop_address *address = &connecting->address;
    loop_job job =
        loop_op_connect(connecting->steps, connecting->fd, &address->u.any, address->length, on_connected, connecting);

    if (!job) {
        fail(connecting, -ENOMEM);
    }
}

static void on_pause_over(void *arg, int64_t result)
{
    struct connecting *connecting = arg;

    if (result < 0) {
        fail(connecting, result);
    } else {
        try_connect(connecting);
    }
}

/* Retries after a pause. A Unix listener whose backlog is full refuses nonblocking connects with EAGAIN, and no
 * readiness reports when it has room again. */
static void wait_for_room(struct connecting *connecting)
{
    int64_t pause_ns = connecting->pause_ns;

    assert(pause_ns >= SHORTEST_PAUSE_NS && pause_ns <= LONGEST_PAUSE_NS);
    connecting->pause_ns = pause_ns < LONGEST_PAUSE_NS ? pause_ns * 2 : LONGEST_PAUSE_NS;
    if (!loop_sleep(connecting->steps, pause_ns, on_pause_over, connecting)) {
        fail(connecting, -ENOMEM);
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct connecting *connecting = arg;

    if (result == -EAGAIN && connecting->address.u.any.sa_family == AF_UNIX) {
        wait_for_room(connecting);
    } else if (result < 0) {
        fail(connecting, result);
    } else {
        succeed(connecting);
    }
}

/* Binds a socket that is to connect. Without IP_BIND_ADDRESS_NO_PORT a bind to port 0 takes the port away from connects
 * to every other destination. */
static int bind_to(int number, const struct loop_address *address)
{
    int error = loop_net_check_address(address);
    int yes = 1;

    if (error < 0) {
        return error;
    }
    if (address->u.any.sa_family != AF_UNIX && address->u.ipv4.sin_port == 0) {
        (void)loop_kernel_setsockopt(number, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    }
    return loop_kernel_bind(number, &address->u.any, address->length) < 0 ? -errno : 0;
}

static int prepare(int number, const struct loop_connect_options *options)
{
    int error = loop_net_apply_texts(number, options->interface, options->congestion);

    error = error == 0 ? loop_net_apply_settings(number, options->settings, options->n_settings) : error;
    return error == 0 && options->bind_to ? bind_to(number, options->bind_to) : error;
}

/* Notes the file that the bind has made: it is removed when the connect fails. Returns 0 or -errno. */
static int note_file(struct connecting *connecting, const struct loop_address *address)
{
    char path[LOOP_NET_PATH_SIZE];
    struct loop_net_file file = {.path = path};
    int error = loop_net_note_file(address, 0, &file);

    if (error < 0 || !file.path) {
        return error;
    }
    char *copy = loop_net_absolute_path(connecting->steps, path);
    if (!copy) {
        loop_net_remove_file(&file);
        return -ENOMEM;
    }
    connecting->file = file;
    connecting->file.path = copy;
    return 0;
}

/* Makes the socket, in the scope that owns it. Returns 0 or -errno. */
static int open_socket(struct connecting *connecting, struct loop_scope *scope,
                       const struct loop_connect_options *options)
{
    const struct loop_net_kind kind = {.packets = options->packets, .nagle = options->nagle};
    int number = loop_net_open_socket(connecting->address.u.any.sa_family, kind);

    if (number < 0) {
        return number;
    }
    int error = prepare(number, options);
    if (error == 0 && options->bind_to) {
        error = note_file(connecting, options->bind_to);
    }
    if (error < 0) {
        loop_kernel_close(number);
        return error;
    }
    connecting->fd = options->packets ? loop_fd_adopt(scope, number) : loop_fd_adopt_stream(scope, number);
    return connecting->fd ? 0 : -ENOMEM;
}

static void start(struct connecting *connecting, struct loop_scope *scope, const struct loop_address *address,
                  const struct loop_connect_options *options)
{
    int error = options->timeout_ns < 0 ? -EINVAL : loop_net_check_address(address);

    if (error == 0) {
        connecting->address = *address;
        error = open_socket(connecting, scope, options);
    }
    if (error < 0) {
        fail(connecting, error);
        return;
    }
    if (options->timeout_ns > 0) {
        loop_scope_deadline(connecting->steps, loop_net_from_now(connecting->loop, options->timeout_ns));
        error = (int)loop_scope_error(connecting->steps); /* -ENOMEM without memory for the deadline */
        if (error < 0) {
            fail(connecting, error);
            return;
        }
    }
    try_connect(connecting);
}

/* Makes the state and the scope of the steps, which frees the state also when no step is started. Returns NULL when
 * there is no memory. */
static struct connecting *create(struct loop_scope *scope, struct loop_flow **flow)
{
    struct connecting *connecting = loop_kernel_calloc(1, sizeof *connecting);

    if (!connecting) {
        return NULL;
    }
    connecting->loop = loop_scope_loop(scope);
    connecting->flow = flow;
    connecting->pause_ns = SHORTEST_PAUSE_NS;
    connecting->steps = loop_scope_open(scope, on_steps_end, connecting);
    if (!connecting->steps) {
        loop_kernel_free(connecting);
        return NULL;
    }
    return connecting;
}

loop_job loop_connect(struct loop_scope *scope, const struct loop_address *address,
                      const struct loop_connect_options *options, struct loop_flow **flow, loop_fn *fn, void *arg)
{
    static const struct loop_connect_options defaults;

    if (!loop_check_pointer(flow, "flow", __func__)) {
        return 0;
    }
    *flow = NULL;
    if (!loop_check_scope(scope, __func__)) {
        return 0;
    }
    if (loop_scope_is_cancelled(scope)) {
        return loop_promise(scope, NULL, NULL, fn, arg);
    }
    struct connecting *connecting = create(scope, flow);
    if (!connecting) {
        return 0;
    }
    loop_job promise = loop_promise(scope, on_cancel, connecting, fn, arg);
    if (promise) {
        connecting->promise = promise;
        start(connecting, scope, address, options ? options : &defaults);
    }
    return promise;
}

/* ---- pairs ---- */

/* Makes flows of both numbers, which it owns also when this fails. Returns 0 or -ENOMEM. */
static int adopt_pair(struct loop_scope *scope, int type, const int numbers[2], struct loop_flow **one,
                      struct loop_flow **other)
{
    struct loop_fd *(*adopt)(struct loop_scope *, int) = type == SOCK_STREAM ? loop_fd_adopt_stream : loop_fd_adopt;

    assert(numbers[0] >= 0 && numbers[1] >= 0 && numbers[0] != numbers[1]);
    struct loop_fd *first = adopt(scope, numbers[0]), *second = adopt(scope, numbers[1]);

    *one = first ? loop_fd_flow(first) : NULL;
    *other = second ? loop_fd_flow(second) : NULL;
    if (*one && *other) {
        return 0;
    }
    *one = NULL;
    *other = NULL;
    loop_fd_destroy(first);
    loop_fd_destroy(second);
    return -ENOMEM;
}

static int make_pair(struct loop_scope *scope, int type, struct loop_flow **one, struct loop_flow **other)
{
    int numbers[2];

    *one = NULL;
    *other = NULL;
    if (loop_scope_is_cancelled(scope)) {
        return -ECANCELED;
    }
    if (loop_kernel_socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, numbers) < 0) {
        return -errno;
    }
    return adopt_pair(scope, type, numbers, one, other);
}

int loop_socketpair(struct loop_scope *scope, struct loop_flow **one, struct loop_flow **other)
{
    bool is_good = loop_check_pointer(one, "flow", __func__) && loop_check_pointer(other, "flow", __func__) &&
                   loop_check_scope(scope, __func__);

    return is_good ? make_pair(scope, SOCK_STREAM, one, other) : -EINVAL;
}

int loop_socketpair_packets(struct loop_scope *scope, struct loop_flow **one, struct loop_flow **other)
{
    bool is_good = loop_check_pointer(one, "flow", __func__) && loop_check_pointer(other, "flow", __func__) &&
                   loop_check_scope(scope, __func__);

    return is_good ? make_pair(scope, SOCK_SEQPACKET, one, other) : -EINVAL;
}
