/* SPDX-License-Identifier: ISC
 *
 * The door's functions of sockets: the calls of network.h, which they repeat as long as the caller may wait.
 */
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/network/option.h>
#include <loop/kernel/simulated/network/unix/unix.h>
#include <loop/kernel/simulated/network/socket.h>
#include <loop/kernel/socket.h>

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

enum { MOST_VECTORS = 1024 };

/* ---- waiting ---- */

typedef ssize_t attempt_fn(struct loop_sim_file *file, void *arg);

/* Waits as loop_sim_file_wait does, at most for the timeout of the socket: 0 is none. */
static ssize_t wait_for(struct loop_sim_file *file, int flags, int64_t timeout_ns, attempt_fn *attempt, void *arg)
{
    bool may_wait = !(file->flags & O_NONBLOCK) && !(flags & MSG_DONTWAIT);
    if (!may_wait || timeout_ns == 0) {
        return loop_sim_file_wait(file, may_wait, attempt, arg);
    }
    int64_t until_ns = loop_sim_sum_ns(file->node->world->now_ns, timeout_ns);
    ssize_t result = -EAGAIN;
    int error = 0;
    loop_sim_file_ref(file);
    while (error == 0 && (result = attempt(file, arg)) == -EAGAIN) {
        error = loop_sim_wait(&file->queue, until_ns);
    }
    loop_sim_file_unref(file);
    return error == -EINTR ? -EINTR : result;
}

static struct loop_sim_file *socket_at(int number, int *error)
{
    struct loop_sim_file *file = loop_sim_file_of(number);
    *error = !file ? -EBADF : file->flags & O_PATH ? -EBADF : loop_sim_socket_of(file) ? 0 : -ENOTSOCK;
    return *error ? NULL : file;
}

/* ---- making ---- */

static int install(struct loop_sim_node *node, struct loop_sim_file *file, int flags)
{
    return loop_sim_file_install(node, file, 0, flags & SOCK_CLOEXEC ? O_CLOEXEC : 0);
}

int loop_kernel_socket(int family, int type, int protocol)
{
    struct loop_sim_node *node = loop_sim_here();
    int error;
    struct loop_sim_file *file = loop_sim_socket_create(node, family, type, protocol, &error);
    return (int)loop_sim_return(file ? install(node, file, type) : error);
}

static int make_pair(int family, int type, int protocol, struct loop_sim_file *files[2])
{
    struct loop_sim_node *node = loop_sim_here();
    int error;
    files[0] = loop_sim_socket_create(node, family, type, protocol, &error);
    files[1] = files[0] ? loop_sim_socket_create(node, family, type, protocol, &error) : NULL;
    if (files[1] && family != AF_UNIX) {
        error = -EOPNOTSUPP;
    }
    if (error) {
        loop_sim_file_unref(files[0]);
        loop_sim_file_unref(files[1]);
        return error;
    }
    loop_sim_unix_pair(loop_sim_socket_of(files[0]), loop_sim_socket_of(files[1]));
    return 0;
}

int loop_kernel_socketpair(int family, int type, int protocol, int numbers[2])
{
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_file *files[2] = {NULL, NULL};
    int error = make_pair(family, type, protocol, files);
    if (error) {
        return (int)loop_sim_return(error);
    }
    int one = install(node, files[0], type);
    int other = one < 0 ? one : install(node, files[1], type);
    if (one < 0) {
        loop_sim_file_unref(files[1]);
    } else if (other < 0) {
        (void)loop_sim_file_close(node, one);
    } else {
        numbers[0] = one;
        numbers[1] = other;
    }
    return (int)loop_sim_return(other < 0 ? other : 0);
}

int loop_kernel_bind(int number, const struct sockaddr *address, socklen_t length)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    if (file) {
        struct loop_sim_socket *socket = loop_sim_socket_of(file);
        error = length > sizeof(struct sockaddr_storage) ? -EINVAL : socket->protocol->bind(socket, address, length);
    }
    return (int)loop_sim_return(error);
}

int loop_kernel_listen(int number, int backlog)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    if (file) {
        struct loop_sim_socket *socket = loop_sim_socket_of(file);
        error = socket->protocol->listen ? socket->protocol->listen(socket, backlog) : -EOPNOTSUPP;
    }
    return (int)loop_sim_return(error);
}

struct accepting {
    struct sockaddr *address;
    socklen_t *length;
    int flags;
};

/* The descriptor comes first: at the limit of descriptors the connection stays in the backlog. */
static ssize_t try_accept(struct loop_sim_file *file, void *arg)
{
    const struct accepting *accepting = arg;
    struct loop_sim_node *node = loop_sim_here();
    int error, number = loop_sim_file_reserve(node, 0);
    if (number < 0) {
        return number;
    }
    struct loop_sim_file *child =
        loop_sim_socket_accept(file, accepting->address, accepting->length, accepting->flags, &error);
    if (!child) {
        return error;
    }
    loop_sim_file_put(node, number, child, accepting->flags & SOCK_CLOEXEC ? O_CLOEXEC : 0);
    return number;
}

int loop_kernel_accept4(int number, struct sockaddr *address, socklen_t *length, int flags)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    struct accepting accepting = {address, length, flags};
    if (!file) {
        return (int)loop_sim_return(error);
    }
    return (int)loop_sim_return(
        wait_for(file, 0, loop_sim_socket_of(file)->receive_timeout_ns, try_accept, &accepting));
}

struct connecting {
    const struct sockaddr *address;
    socklen_t length;
    bool has_begun;
};

static ssize_t try_connect(struct loop_sim_file *file, void *arg)
{
    struct connecting *connecting = arg;
    int error = loop_sim_socket_connect(file, connecting->address, connecting->length);
    if (error == -EINPROGRESS) {
        connecting->has_begun = true;
        error = loop_sim_socket_connect(file, connecting->address, connecting->length);
    }
    return error == -EALREADY ? -EAGAIN : error;
}

int loop_kernel_connect(int number, const struct sockaddr *address, socklen_t length)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    struct connecting connecting = {address, length, false};
    if (!file) {
        return (int)loop_sim_return(error);
    }
    if (length > sizeof(struct sockaddr_storage)) {
        return (int)loop_sim_return(-EINVAL);
    }
    if (file->flags & O_NONBLOCK) {
        return (int)loop_sim_return(loop_sim_socket_connect(file, address, length));
    }
    error = (int)wait_for(file, 0, loop_sim_socket_of(file)->send_timeout_ns, try_connect, &connecting);
    return (int)loop_sim_return(error == -EAGAIN && connecting.has_begun ? -EINPROGRESS : error);
}

int loop_kernel_shutdown(int number, int how)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    return (int)loop_sim_return(file ? loop_sim_socket_shutdown(file, how) : error);
}

/* ---- receiving ---- */

struct receiving {
    struct msghdr *message;
    int flags;
};

static ssize_t try_receive(struct loop_sim_file *file, void *arg)
{
    struct receiving *receiving = arg;
    return loop_sim_socket_receive(file, receiving->message, receiving->flags);
}

static ssize_t receive_some(struct loop_sim_file *file, struct msghdr *message, int flags)
{
    struct receiving receiving = {message, flags};
    return wait_for(file, flags, loop_sim_socket_of(file)->receive_timeout_ns, try_receive, &receiving);
}

/* Moves the start of vectors. Returns how many are left. */
static size_t skip(struct iovec *iov, size_t n_iov, size_t n)
{
    size_t i = 0;
    while (i < n_iov && n >= iov[i].iov_len) {
        n -= iov[i++].iov_len;
    }
    if (i < n_iov) {
        iov[i].iov_base = (char *)iov[i].iov_base + n;
        iov[i].iov_len -= n;
    }
    memmove(iov, iov + i, (n_iov - i) * sizeof *iov);
    return n_iov - i;
}

static bool is_byte_stream(const struct loop_sim_socket *socket)
{
    return socket->type == SOCK_STREAM;
}

/* Receives until the vectors are full, for MSG_WAITALL. */
static ssize_t receive_all(struct loop_sim_file *file, struct msghdr *message, int flags)
{
    struct iovec *iov = loop_sim_alloc(message->msg_iovlen * sizeof *iov + 1);
    struct msghdr rest = *message;
    size_t len = loop_sim_vectors_length(message->msg_iov, message->msg_iovlen);
    size_t total = 0;
    ssize_t n;
    memcpy(iov, message->msg_iov, message->msg_iovlen * sizeof *iov);
    rest.msg_iov = iov;
    do {
        n = receive_some(file, &rest, flags);
        if (n > 0) {
            total += (size_t)n;
            rest.msg_iovlen = skip(iov, rest.msg_iovlen, (size_t)n);
        }
    } while (n > 0 && total < len && !(rest.msg_flags & MSG_CTRUNC) && rest.msg_controllen == 0);
    loop_sim_free(iov);
    if (total > 0 || n == 0) {
        message->msg_namelen = rest.msg_namelen;
        message->msg_controllen = rest.msg_controllen;
        message->msg_flags = rest.msg_flags;
    }
    return total > 0 ? (ssize_t)total : n;
}

static ssize_t receive(struct loop_sim_file *file, struct msghdr *message, int flags)
{
    bool wants_all = flags & MSG_WAITALL && !(flags & (MSG_PEEK | MSG_OOB | MSG_DONTWAIT)) &&
                     !(file->flags & O_NONBLOCK) && is_byte_stream(loop_sim_socket_of(file));
    loop_sim_file_ref(file);
    ssize_t n = wants_all ? receive_all(file, message, flags) : receive_some(file, message, flags);
    loop_sim_file_unref(file);
    return n;
}

ssize_t loop_kernel_recv(int number, void *data, size_t len, int flags)
{
    struct iovec iov = {data, len};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    return loop_sim_return(file ? receive(file, &message, flags) : error);
}

ssize_t loop_kernel_recvmsg(int number, struct msghdr *message, int flags)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    return loop_sim_return(!file                                ? error
                           : message->msg_iovlen > MOST_VECTORS ? -EMSGSIZE
                                                                : receive(file, message, flags));
}

static int receive_many(struct loop_sim_file *file, struct mmsghdr *messages, unsigned count, int flags,
                        int64_t until_ns)
{
    unsigned n = 0;
    ssize_t result = 0;
    int more = flags & ~MSG_WAITFORONE;
    while (n < count) {
        result = receive(file, &messages[n].msg_hdr, more);
        if (result < 0) {
            break;
        }
        messages[n++].msg_len = (unsigned)result;
        loop_sim_count_call(); /* a socket that sends to itself may do so for ever */
        if (flags & MSG_WAITFORONE) {
            more |= MSG_DONTWAIT;
        }
        if (file->node->world->now_ns >= until_ns || messages[n - 1].msg_hdr.msg_flags & MSG_OOB) {
            break;
        }
    }
    if (n > 0 && result < 0 && result != -EAGAIN) {
        loop_sim_socket_of(file)->error = (int)-result; /* the next call returns it */
    }
    return n > 0 || count == 0 ? (int)n : (int)result;
}

int loop_kernel_recvmmsg(int number, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    enum { NS_PER_S = 1000000000 };
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    if (!file) {
        return (int)loop_sim_return(error);
    }
    if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= NS_PER_S)) {
        return (int)loop_sim_return(-EINVAL);
    }
    struct loop_sim_socket *socket = loop_sim_socket_of(file);
    error = loop_sim_socket_take_error(socket);
    if (error) {
        return (int)loop_sim_return(error);
    }
    int64_t until_ns = LOOP_SIM_NEVER;
    if (timeout) {
        until_ns = loop_sim_sum_ns(file->node->world->now_ns, loop_sim_time_ns(timeout->tv_sec, timeout->tv_nsec));
    }
    loop_sim_file_ref(file);
    int n = receive_many(file, messages, count < MOST_VECTORS ? count : MOST_VECTORS, flags, until_ns);
    loop_sim_file_unref(file);
    return (int)loop_sim_return(n);
}

/* ---- sending ---- */

struct sending {
    const struct msghdr *message;
    int flags;
};

static ssize_t try_send(struct loop_sim_file *file, void *arg)
{
    struct sending *sending = arg;
    return loop_sim_socket_send(file, sending->message, sending->flags);
}

static ssize_t send_some(struct loop_sim_file *file, const struct msghdr *message, int flags)
{
    struct sending sending = {message, flags};
    return wait_for(file, flags, loop_sim_socket_of(file)->send_timeout_ns, try_send, &sending);
}

/* A blocking send of a stream waits until all is in the buffer. */
static ssize_t send_all(struct loop_sim_file *file, const struct msghdr *message, int flags)
{
    struct iovec *iov = loop_sim_alloc(message->msg_iovlen * sizeof *iov + 1);
    struct msghdr rest = *message;
    size_t len = loop_sim_vectors_length(message->msg_iov, message->msg_iovlen);
    size_t total = 0;
    ssize_t n;
    memcpy(iov, message->msg_iov, message->msg_iovlen * sizeof *iov);
    rest.msg_iov = iov;
    do {
        n = send_some(file, &rest, flags);
        if (n > 0) {
            total += (size_t)n;
            rest.msg_iovlen = skip(iov, rest.msg_iovlen, (size_t)n);
            rest.msg_control = NULL; /* descriptors go with the first bytes */
            rest.msg_controllen = 0;
        }
    } while (n > 0 && total < len);
    loop_sim_free(iov);
    return total > 0 ? (ssize_t)total : n;
}

static ssize_t transmit(struct loop_sim_file *file, const struct msghdr *message, int flags)
{
    bool may_wait = !(flags & MSG_DONTWAIT) && !(file->flags & O_NONBLOCK);
    loop_sim_file_ref(file);
    ssize_t n = may_wait && is_byte_stream(loop_sim_socket_of(file)) ? send_all(file, message, flags)
                                                                     : send_some(file, message, flags);
    loop_sim_file_unref(file);
    return n;
}

ssize_t loop_kernel_send(int number, const void *data, size_t len, int flags)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};
    const struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    return loop_sim_return(file ? transmit(file, &message, flags) : error);
}

ssize_t loop_kernel_sendmsg(int number, const struct msghdr *message, int flags)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    return loop_sim_return(!file                                ? error
                           : message->msg_iovlen > MOST_VECTORS ? -EMSGSIZE
                                                                : transmit(file, message, flags));
}

int loop_kernel_sendmmsg(int number, struct mmsghdr *messages, unsigned count, int flags)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    if (!file) {
        return (int)loop_sim_return(error);
    }
    unsigned n = 0;
    ssize_t result = 0;
    count = count < MOST_VECTORS ? count : MOST_VECTORS;
    loop_sim_file_ref(file);
    while (n < count && (result = transmit(file, &messages[n].msg_hdr, flags)) >= 0) {
        messages[n++].msg_len = (unsigned)result;
        loop_sim_count_call();
    }
    loop_sim_file_unref(file);
    return (int)loop_sim_return(n > 0 || count == 0 ? (ssize_t)n : result);
}

/* ---- options and names ---- */

int loop_kernel_getsockopt(int number, int level, int option, void *value, socklen_t *length)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    if (file) {
        error = loop_sim_option_get(loop_sim_socket_of(file), level, option, value, length);
    }
    return (int)loop_sim_return(error);
}

int loop_kernel_setsockopt(int number, int level, int option, const void *value, socklen_t length)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    if (file) {
        error = loop_sim_option_set(loop_sim_socket_of(file), level, option, value, length);
    }
    return (int)loop_sim_return(error);
}

static int name_of(int number, bool is_peer, struct sockaddr *address, socklen_t *length)
{
    int error;
    struct loop_sim_file *file = socket_at(number, &error);
    struct sockaddr_storage name = {0};
    socklen_t name_length = 0;
    if (file) {
        struct loop_sim_socket *socket = loop_sim_socket_of(file);
        error = (int)*length < 0 ? -EINVAL : socket->protocol->name(socket, is_peer, &name, &name_length);
    }
    if (!error) {
        loop_sim_address_copy(&name, name_length, address, length);
    }
    return (int)loop_sim_return(error);
}

int loop_kernel_getpeername(int number, struct sockaddr *address, socklen_t *length)
{
    return name_of(number, true, address, length);
}

int loop_kernel_getsockname(int number, struct sockaddr *address, socklen_t *length)
{
    return name_of(number, false, address, length);
}

/* ---- interfaces: each node has two ---- */

enum { LOOPBACK_INDEX = 1, ETHERNET_INDEX = 2 };

unsigned loop_kernel_if_nametoindex(const char *name)
{
    if (strcmp(name, "lo") == 0) {
        return LOOPBACK_INDEX;
    }
    if (strcmp(name, "eth0") == 0) {
        return ETHERNET_INDEX;
    }
    errno = ENODEV;
    return 0;
}

char *loop_kernel_if_indextoname(unsigned index, char *name)
{
    if (index == LOOPBACK_INDEX || index == ETHERNET_INDEX) {
        (void)snprintf(name, IF_NAMESIZE, "%s", index == LOOPBACK_INDEX ? "lo" : "eth0");
        return name;
    }
    errno = ENXIO;
    return NULL;
}
