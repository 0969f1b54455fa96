/* SPDX-License-Identifier: ISC
 *
 * Listening sockets, and accepting one connection at a time.
 *
 * A listener is memory of its scope. Accepts on it may belong to other scopes and outlive it: the listener has a list
 * of them, and they drop their pointer to it when it closes.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <loop/low_level.h>
#include <loop/part.h>
#include <net/address.h>
#include <net/listen.h>
#include <net/local.h>
#include <net/option.h>

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_WAITING 4096 /* by default, in the backlog. SOMAXCONN is 128 in some C libraries */
#define SHORTEST_PAUSE_NS (10 * LOOP_MILLISECOND)
#define LONGEST_PAUSE_NS LOOP_SECOND

/* A shortage that returns within this time is the same one, and logs no second warning. */
#define EPISODE_NS (10 * LOOP_SECOND)

struct accepting {
    struct accepting *next, **link; /* in its listener's list */
    struct loop_listener *listener; /* NULL when that has closed */
    struct loop *loop;
    struct loop_scope *scope;
    struct loop_flow **flow;
    loop_job promise, step;
    bool is_cancelled, has_packets;
};

struct loop_listener {
    struct loop *loop;
    struct loop_scope *scope;
    struct loop_fd *fd;
    struct accepting *accepting;
    struct loop_address address;
    struct loop_net_file file;
    char *path; /* the memory of a path that it had once, or NULL */
    bool has_packets;
    int64_t pause_ns;        /* the next one */
    int64_t last_trouble_ns; /* when an accept last found no descriptor; 0: never */
};

/* ---- making the socket ---- */

static int check(const struct loop_address *address, const struct loop_listen_options *options)
{
    if (options->backlog < 0 || options->mode > 0777) {
        return -EINVAL;
    }
    int error = loop_net_check_address(address);
    if (error == 0 && address->u.any.sa_family == AF_UNIX && options->reuse_port) {
        return -EOPNOTSUPP; /* older kernels accept the option and ignore it */
    }
    return error;
}

static int open_socket(struct loop_address *address, const struct loop_listen_options *options)
{
    const struct loop_net_kind kind = {.packets = options->packets, .nagle = options->nagle};
    int number = loop_net_open_socket(address->u.any.sa_family, kind);

    if (number == -EAFNOSUPPORT && !options->ipv6_only && loop_net_fall_back_to_ipv4(address)) {
        number = loop_net_open_socket(AF_INET, kind);
    }
    return number;
}

static int configure(int number, sa_family_t family, const struct loop_listen_options *options)
{
    struct loop_net_binding binding = {.reuse_addr = options->reuse_addr,
                                       .reuse_port = options->reuse_port,
                                       .ipv6_only = options->ipv6_only,
                                       .mode = options->mode,
                                       .interface = options->interface,
                                       .congestion = options->congestion,
                                       .settings = options->settings,
                                       .n_settings = options->n_settings};

    return loop_net_configure(number, family, &binding);
}

/* Lets others bind the address with SO_REUSEPORT. A bind without the option has found out that no other program has
 * it. Returns 0 or -errno. */
static int share(int number)
{
    const int on = 1;

    return loop_kernel_setsockopt(number, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0 ? -errno : 0;
}

/* Configures, binds and listens. Returns 0 or -errno. */
static int set_up(int number, const struct loop_address *address, const struct loop_listen_options *options,
                  bool is_shared, struct loop_net_file *file)
{
    int error = configure(number, address->u.any.sa_family, options);

    if (error == 0) {
        error = loop_net_bind(number, options->packets ? SOCK_SEQPACKET : SOCK_STREAM, address, options->reuse_addr);
    }
    if (error < 0) {
        file->path = NULL; /* no file was made here */
        return error;
    }
    error = loop_net_note_file(address, options->mode, file);
    error = error == 0 && is_shared ? share(number) : error;
    return error == 0 && loop_kernel_listen(number, options->backlog ? options->backlog : MOST_WAITING) < 0 ? -errno
                                                                                                            : error;
}

/* Calls set_up with the path locked until the socket listens: before that a connect to it is refused, as to one that no
 * program has open any more. */
static int set_up_locked(int number, const struct loop_address *address, const struct loop_listen_options *options,
                         bool is_shared, struct loop_net_file *file)
{
    struct loop_net_lock lock;
    int error = loop_net_lock(address, &lock);

    if (error < 0) {
        file->path = NULL;
        return error;
    }
    error = set_up(number, address, options, is_shared, file);
    loop_net_unlock(&lock);
    if (error < 0) {
        loop_net_remove_file(file);
    }
    return error;
}

/* ---- the listener ---- */

static void forget_accepts(struct loop_listener *listener);

static bool is_good(const struct loop_listener *listener, const char *function)
{
    return loop_check_object(listener, offsetof(struct loop_listener, scope), "listener", function);
}

/* Closes the socket after removing its file, so that no connect finds a socket there that refuses. */
int loop_listener_close(struct loop_listener *listener)
{
    if (!is_good(listener, __func__)) {
        return -EINVAL;
    }
    loop_net_remove_file(&listener->file);
    forget_accepts(listener);
    assert(!listener->accepting && !listener->file.path);
    return loop_fd_close(listener->fd);
}

/* Runs at the end of the scope, which owns the memory. */
static void on_release(void *arg)
{
    struct loop_listener *listener = arg;

    (void)loop_listener_close(listener);
    loop_fd_unpin(listener->fd);
}

/* Makes a listener in the scope's memory of a socket that listens; from then on its hook removes the file. Returns NULL
 * when there is no memory. */
static struct loop_listener *keep(struct loop_scope *scope, struct loop_fd *fd, bool has_packets,
                                  const struct loop_net_file *file)
{
    struct loop_listener *listener = loop_scope_alloc(scope, sizeof *listener);
    char *path = listener && file->path ? loop_net_absolute_path(scope, file->path) : NULL;

    if (!listener || (file->path && !path)) {
        return NULL;
    }
    listener->loop = loop_scope_loop(scope);
    listener->scope = scope;
    listener->fd = fd;
    listener->file = *file;
    listener->file.path = listener->path = path;
    listener->has_packets = has_packets;
    listener->pause_ns = SHORTEST_PAUSE_NS;
    (void)loop_net_local_address(loop_fd_peek(fd), &listener->address);
    loop_fd_pin(fd);
    return loop_scope_defer(scope, on_release, listener) ? listener : NULL;
}

int loop_net_make_listener(struct loop_scope *scope, int number, bool has_packets, struct loop_net_file *file,
                           struct loop_listener **listener)
{
    assert(number >= 0 && !*listener);
    struct loop_fd *fd = loop_fd_adopt(scope, number);

    if (fd) {
        *listener = keep(scope, fd, has_packets, file);
    }
    if (*listener) {
        return 0;
    }
    loop_net_remove_file(file);
    loop_fd_destroy(fd);
    return -ENOMEM;
}

int loop_net_listen(struct loop_scope *scope, const struct loop_address *address,
                    const struct loop_listen_options *options, bool is_shared, struct loop_listener **listener)
{
    static const struct loop_listen_options defaults;
    char path[LOOP_NET_PATH_SIZE];
    struct loop_net_file file = {.path = path};

    if (!loop_check_pointer(listener, "listener", "loop_listen")) {
        return -EINVAL;
    }
    *listener = NULL;
    if (!loop_check_scope(scope, "loop_listen") || !address) {
        return -EINVAL;
    }
    options = options ? options : &defaults;
    int error = loop_scope_is_cancelled(scope) ? -ECANCELED : check(address, options);
    if (error < 0) {
        return error;
    }
    struct loop_address where = *address;
    int number = open_socket(&where, options);
    if (number < 0) {
        return number;
    }
    error = set_up_locked(number, &where, options, is_shared, &file);
    if (error < 0) {
        loop_kernel_close(number);
        return error;
    }
    return loop_net_make_listener(scope, number, options->packets, &file, listener);
}

int loop_listen(struct loop_scope *scope, const struct loop_address *address, const struct loop_listen_options *options,
                struct loop_listener **listener)
{
    return loop_net_listen(scope, address, options, false, listener);
}

int loop_listener_address(const struct loop_listener *listener, struct loop_address *address)
{
    if (!is_good(listener, __func__) || !loop_check_pointer(address, "address", __func__)) {
        return -EINVAL;
    }
    *address = listener->address;
    return 0;
}

struct loop_fd *loop_listener_fd(struct loop_listener *listener)
{
    if (!is_good(listener, __func__)) {
        return NULL;
    }
    return listener->fd;
}

bool loop_net_leave_file(struct loop_listener *listener)
{
    bool has_file = listener->file.path != NULL;

    listener->file.path = NULL;
    return has_file;
}

int loop_net_take_file(struct loop_listener *listener, struct loop_net_file *file)
{
    int error = loop_net_copy_file(&listener->file, file);

    if (error == 0) {
        listener->file.path = NULL;
    }
    return error;
}

/* It is often the path that the listener had before. Without memory the file stays. */
void loop_net_give_file(struct loop_listener *listener, struct loop_net_file *file)
{
    if (file->path && !loop_fd_is_open(listener->fd)) {
        loop_net_end_file(file);
        return;
    }
    if (file->path && (!listener->path || strcmp(listener->path, file->path) != 0)) {
        listener->path = loop_net_absolute_path(listener->scope, file->path);
    }
    if (file->path) {
        listener->file = *file;
        listener->file.path = listener->path;
    }
    loop_net_disown_file(file);
}

bool loop_net_has_packets(const struct loop_listener *listener)
{
    return listener->has_packets;
}

/* ---- accepts that fail ---- */

/* Returns why nothing can be accepted until something is freed, or NULL for any other error. */
static const char *shortage(int64_t error)
{
    switch (error) {
    case -EMFILE: return "this process may open no more descriptors (RLIMIT_NOFILE)";
    case -ENFILE: return "the system has no descriptor left (fs.file-max)";
    case -ENOBUFS:
    case -ENOMEM: return "the kernel has no memory for another connection";
    default: return NULL;
    }
}

/* Returns whether an error is of the connection that was to be accepted, not of the listener: accept(2) passes on those
 * of the network. */
static bool is_of_one_connection(int64_t error)
{
    switch (error) {
    case -ECONNABORTED:
    case -EPROTO:
    case -EINTR:
    case -ENETDOWN:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -ENONET:
    case -EHOSTUNREACH:
    case -EOPNOTSUPP:
    case -ENETUNREACH: return true;
    default: return false;
    }
}

static void warn(struct loop_listener *listener, const char *reason)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    int64_t now = loop_now(listener->loop);
    bool is_known = listener->last_trouble_ns != 0 && now - listener->last_trouble_ns < EPISODE_NS;

    listener->last_trouble_ns = now;
    if (!is_known && loop_address_format(&listener->address, text, sizeof text) >= 0) {
        loop_log(listener->loop, LOOP_LOG_WARNING, "connections to %s have to wait: %s", text, reason);
    }
}

int64_t loop_net_accept_failed(struct loop_listener *listener, int64_t error)
{
    const char *reason = shortage(error);
    int64_t pause_ns = listener->pause_ns;

    assert(error < 0 && pause_ns >= SHORTEST_PAUSE_NS && pause_ns <= LONGEST_PAUSE_NS);
    if (!reason) {
        return is_of_one_connection(error) ? 0 : error;
    }
    warn(listener, reason);
    listener->pause_ns = pause_ns * 2 < LONGEST_PAUSE_NS ? pause_ns * 2 : LONGEST_PAUSE_NS;
    return pause_ns;
}

void loop_net_accept_succeeded(struct loop_listener *listener)
{
    listener->pause_ns = SHORTEST_PAUSE_NS;
}

/* ---- accepting one ---- */

static void enlist(struct accepting *accepting, struct loop_listener *listener)
{
    assert(listener && !accepting->listener);
    accepting->listener = listener;
    accepting->next = listener->accepting;
    accepting->link = &listener->accepting;
    if (accepting->next) {
        accepting->next->link = &accepting->next;
    }
    listener->accepting = accepting;
}

static void delist(struct accepting *accepting)
{
    if (!accepting->listener) {
        return;
    }
    assert(*accepting->link == accepting);
    *accepting->link = accepting->next;
    if (accepting->next) {
        accepting->next->link = accepting->link;
    }
    accepting->listener = NULL;
}

/* Takes all accepts off the listener. Those that wait on its descriptor end because it closes, the others because they
 * are cancelled here. */
static void forget_accepts(struct loop_listener *listener)
{
    while (listener->accepting) {
        struct accepting *accepting = listener->accepting;
        delist(accepting);
        loop_cancel(accepting->loop, accepting->step);
    }
}

/* Resolves the promise and frees the state, which the promise does not use once it has its result. */
static void finish(struct accepting *accepting, int64_t result)
{
    assert(accepting->promise);
    delist(accepting);
    loop_resolve(accepting->loop, accepting->promise, result);
    loop_kernel_free(accepting);
}

static void deliver(struct accepting *accepting, int number)
{
    struct loop_fd *listener = accepting->listener ? accepting->listener->fd : NULL;
    struct loop_fd *fd = accepting->has_packets ? loop_fd_adopt(accepting->scope, number)
                                                : loop_fd_adopt_accepted(accepting->scope, listener, number);
    struct loop_flow *flow = fd ? loop_fd_flow(fd) : NULL;

    if (accepting->listener) {
        loop_net_accept_succeeded(accepting->listener);
    }
    if (!flow) {
        loop_fd_destroy(fd);
        finish(accepting, -ENOMEM);
        return;
    }
    *accepting->flow = flow;
    finish(accepting, 0);
}

static void on_accept(void *arg, int64_t result);

static void accept_again(struct accepting *accepting)
{
    assert(accepting->listener && accepting->promise && !accepting->is_cancelled);
    accepting->step = loop_op_accept(accepting->scope, accepting->listener->fd, NULL, NULL, on_accept, accepting);
    if (!accepting->step) {
        finish(accepting, -ENOMEM);
    }
}

/* Accepts again after a wait, unless a cancel or a close came too late for the wait itself. */
static void on_wait_over(void *arg, int64_t result)
{
    struct accepting *accepting = arg;

    if (result < 0) {
        finish(accepting, result);
    } else if (accepting->is_cancelled || !accepting->listener) {
        finish(accepting, -ECANCELED);
    } else {
        accept_again(accepting);
    }
}

static void wait_for_descriptor(struct accepting *accepting, int64_t pause_ns)
{
    accepting->step = loop_descriptor_wait(accepting->scope, pause_ns, on_wait_over, accepting);
    if (!accepting->step) {
        finish(accepting, -ENOMEM);
    }
}

static void on_accept_failed(struct accepting *accepting, int64_t error)
{
    int64_t verdict = loop_net_accept_failed(accepting->listener, error);

    if (verdict < 0) {
        finish(accepting, verdict);
    } else if (verdict > 0) {
        wait_for_descriptor(accepting, verdict);
    } else {
        accept_again(accepting);
    }
}

static void on_accept(void *arg, int64_t result)
{
    struct accepting *accepting = arg;

    if (result >= 0) {
        deliver(accepting, (int)result);
    } else if (accepting->is_cancelled || !accepting->listener) {
        finish(accepting, -ECANCELED);
    } else {
        on_accept_failed(accepting, result);
    }
}

static void on_cancel(void *arg, loop_job job)
{
    struct accepting *accepting = arg;

    (void)job;
    accepting->is_cancelled = true;
    loop_cancel(accepting->loop, accepting->step);
}

/* Starts an accept on a listener that is closed. It is not kept, because it may be freed before the job has ended. */
static loop_job refuse(struct loop_scope *scope, loop_fn *fn, void *arg)
{
    loop_job promise = loop_promise(scope, NULL, NULL, fn, arg);

    if (promise) {
        (void)loop_resolve(loop_scope_loop(scope), promise, -EBADF);
    }
    return promise;
}

loop_job loop_accept(struct loop_scope *scope, struct loop_listener *listener, struct loop_flow **flow, loop_fn *fn,
                     void *arg)
{
    if (!loop_check_pointer(flow, "flow", __func__)) {
        return 0;
    }
    *flow = NULL;
    if (!loop_check_scope(scope, __func__) || !is_good(listener, __func__)) {
        return 0;
    }
    if (loop_scope_is_cancelled(scope)) {
        return loop_promise(scope, NULL, NULL, fn, arg);
    }
    if (!loop_fd_is_open(listener->fd)) {
        return refuse(scope, fn, arg);
    }
    struct accepting *accepting = loop_kernel_calloc(1, sizeof *accepting);
    if (!accepting) {
        return 0;
    }
    loop_job promise = loop_promise(scope, on_cancel, accepting, fn, arg);
    if (!promise) {
        loop_kernel_free(accepting);
        return 0;
    }
    accepting->loop = loop_scope_loop(scope);
    accepting->scope = scope;
    accepting->flow = flow;
    accepting->promise = promise;
    accepting->has_packets = listener->has_packets;
    enlist(accepting, listener);
    accept_again(accepting);
    return promise;
}
