/* SPDX-License-Identifier: ISC
 *
 * Datagram sockets: opening, addresses and statistics, closing. A socket is memory of its scope.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/socket.h>
#include <loop/low_level.h>
#include <loop/part.h>
#include <net/address.h>
#include <net/datagram/lent.h>
#include <net/datagram/receive.h>
#include <net/option.h>

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_MAX_BYTES 65536
#define MOST_MAX_BYTES ((size_t)1 << 20)
#define DEFAULT_LIMIT_BYTES ((size_t)1 << 20)
#define ALL_REPORTS                                                                                                    \
    ((unsigned)(LOOP_DATAGRAM_TRAFFIC_CLASS | LOOP_DATAGRAM_HOP_LIMIT | LOOP_DATAGRAM_PACKET_INFO |                    \
                LOOP_DATAGRAM_TIME | LOOP_DATAGRAM_ERRORS))

/* ---- opening ---- */

static int find_family(const struct loop_datagram_options *options, sa_family_t *family)
{
    const struct loop_address *addresses[] = {options->bind_to, options->connect_to};

    *family = AF_UNSPEC;
    for (unsigned i = 0; i < 2; i++) {
        int error = addresses[i] ? loop_net_check_address(addresses[i]) : 0;
        if (error < 0) {
            return error;
        }
        if (addresses[i] && *family != AF_UNSPEC && *family != addresses[i]->u.any.sa_family) {
            return -EINVAL;
        }
        *family = addresses[i] ? addresses[i]->u.any.sa_family : *family;
    }
    return *family == AF_UNSPEC ? -EINVAL : 0;
}

/* Returns whether those options are good that sockets of all kinds have. */
static bool is_good(const struct loop_datagram_options *options)
{
    return options->max_bytes <= MOST_MAX_BYTES && (options->reports & ~ALL_REPORTS) == 0;
}

static int check(const struct loop_datagram_options *options, sa_family_t *family)
{
    if (options->mode > 0777 || !is_good(options)) {
        return -EINVAL;
    }
    int error = find_family(options, family);
    if (error == 0 && *family == AF_UNIX && options->reuse_port) {
        return -EOPNOTSUPP; /* as for listeners */
    }
    return error;
}

static int open_socket(sa_family_t family)
{
    int number = loop_kernel_socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return number < 0 ? -errno : number;
}

static int configure(int number, sa_family_t family, const struct loop_datagram_options *options)
{
    struct loop_net_binding binding = {.reuse_addr = options->reuse_addr,
                                       .reuse_port = options->reuse_port,
                                       .ipv6_only = options->ipv6_only,
                                       .mode = options->mode,
                                       .interface = options->interface,
                                       .settings = options->settings,
                                       .n_settings = options->n_settings};

    int error = loop_net_configure(number, family, &binding);
    if (error == 0 && options->dont_fragment) {
        error = loop_net_forbid_fragments(number, family);
    }
    return error < 0 ? error : loop_net_ask_reports(number, family, options->reports);
}

/* Binds a socket. `file->path` is NULL afterwards unless a file was made. */
static int bind_to(int number, const struct loop_address *address, const struct loop_datagram_options *options,
                   struct loop_net_file *file)
{
    char *path = file->path;
    struct loop_net_lock lock;

    assert(path && address->length > 0);
    file->path = NULL;
    int error = loop_net_lock(address, &lock);
    if (error == 0) {
        error = loop_net_bind(number, SOCK_DGRAM, address, options->reuse_addr);
    }
    if (error == 0) {
        file->path = path;
        error = loop_net_note_file(address, options->mode, file);
    }
    loop_net_unlock(&lock);
    return error;
}

static int connect_to(int number, const struct loop_address *address)
{
    return address && loop_kernel_connect(number, &address->u.any, address->length) < 0 ? -errno : 0;
}

static int set_up(int number, sa_family_t family, const struct loop_address *bound,
                  const struct loop_datagram_options *options, struct loop_net_file *file)
{
    int error = configure(number, family, options);

    if (error < 0) {
        file->path = NULL;
        return error;
    }
    if (bound) {
        error = bind_to(number, bound, options, file);
    } else {
        file->path = NULL;
    }
    if (error == 0) {
        error = connect_to(number, options->connect_to);
    }
    if (error < 0) {
        loop_net_remove_file(file);
    }
    return error;
}

/* Runs at the end of the scope, which owns the memory. */
static void on_release(void *arg)
{
    struct loop_datagram_socket *socket = arg;

    assert(!socket->first && !socket->drains && socket->queued_bytes == 0);
    assert(!socket->stream && !socket->batch && !socket->is_delivering);
    loop_outgoing_free_spares(socket);
    loop_net_remove_file(&socket->file);
    loop_fd_unpin(socket->fd);
}

/* Finds out whether the socket is connected: then it reports the errors of the network. */
static void look_at_peer(struct loop_datagram_socket *socket)
{
    struct loop_address peer;

    socket->is_connected = loop_net_peer_address(loop_fd_peek(socket->fd), &peer) == 0;
    socket->is_told_errors = (socket->is_connected && peer.u.any.sa_family != AF_UNIX) || socket->has_error_queue;
    socket->is_peer_ipv4 =
        socket->is_connected && (peer.u.any.sa_family == AF_INET ||
                                 (peer.u.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.u.ipv6.sin6_addr)));
}

/* Stores the local address. A socket that is bound to every address and not connected gets it with each datagram. */
static void look_at_itself(struct loop_datagram_socket *socket)
{
    int number = loop_fd_peek(socket->fd);

    if (loop_net_local_address(number, &socket->local) < 0) {
        socket->local.length = 0;
    } else if (!socket->is_connected) {
        socket->has_origins = loop_net_ask_origin(number, &socket->local);
    }
}

/* Finds out whether datagrams go through the kernel in trains. A socket that was adopted may be read by others too,
 * which would not know a train: then the kernel is not asked to join what it receives. Where it does so anyway, trains
 * have to be known. */
static void look_at_trains(struct loop_datagram_socket *socket, bool is_adopted, bool is_single)
{
    int number = loop_fd_peek(socket->fd);

    socket->has_trains = is_adopted ? loop_net_has_trains(number) : !is_single && loop_net_ask_trains(number);
    socket->has_segments = !is_single && loop_net_has_segments(number);
    socket->joined_most_bytes = SIZE_MAX;
}

/* What is made into a socket. */
struct found {
    int number;
    bool is_adopted;
    struct loop_net_file *file;
};

static struct loop_datagram_socket *keep(struct loop_scope *scope, struct loop_fd *fd,
                                         const struct loop_datagram_options *options, const struct found *found)
{
    struct loop_datagram_socket *socket = loop_scope_alloc(scope, sizeof *socket);
    char *path = socket && found->file->path ? loop_net_absolute_path(scope, found->file->path) : NULL;

    if (!socket || (found->file->path && !path)) {
        return NULL;
    }
    socket->loop = loop_scope_loop(scope);
    socket->scope = scope;
    socket->fd = fd;
    socket->turn = loop_datagram_turn;
    socket->max_bytes = options->max_bytes ? options->max_bytes : DEFAULT_MAX_BYTES;
    socket->limit_bytes = options->limit_bytes ? options->limit_bytes : DEFAULT_LIMIT_BYTES;
    socket->n_expected = LOOP_DATAGRAMS_LEAST;
    socket->file = *found->file;
    socket->file.path = path;
    socket->reports = options->reports;
    socket->has_error_queue = (options->reports & LOOP_DATAGRAM_ERRORS) != 0;
    look_at_peer(socket);
    look_at_itself(socket);
    if (socket->local.length > 0 && socket->local.u.any.sa_family != AF_UNIX) {
        look_at_trains(socket, found->is_adopted, options->single);
    }
    socket->has_control = socket->has_origins || socket->has_trains || socket->reports;
    loop_fd_pin(fd);
    return loop_scope_defer(scope, on_release, socket) ? socket : NULL;
}

/* Makes a socket of the number, which it owns also when this fails. Returns 0 or -ENOMEM. */
static int take_in(struct loop_scope *scope, const struct loop_datagram_options *options, const struct found *found,
                   struct loop_datagram_socket **socket)
{
    assert(found->number >= 0);
    struct loop_fd *fd = loop_fd_adopt(scope, found->number);

    *socket = fd ? keep(scope, fd, options, found) : NULL;
    if (*socket) {
        return 0;
    }
    loop_net_remove_file(found->file);
    loop_fd_destroy(fd);
    return -ENOMEM;
}

int loop_datagram_open(struct loop_scope *scope, const struct loop_datagram_options *options,
                       struct loop_datagram_socket **socket)
{
    char path[LOOP_NET_PATH_SIZE];
    struct loop_net_file file = {.path = path};
    struct loop_address bound = {0};
    sa_family_t family;

    if (!loop_check_pointer(socket, "socket", __func__)) {
        return -EINVAL;
    }
    *socket = NULL;
    if (!loop_check_scope(scope, __func__)) {
        return -EINVAL;
    }
    int error = loop_scope_is_cancelled(scope) ? -ECANCELED : options ? check(options, &family) : -EINVAL;
    if (error < 0) {
        return error;
    }
    if (options->bind_to) {
        bound = *options->bind_to;
    }
    int number = open_socket(family);
    if (number == -EAFNOSUPPORT && !options->ipv6_only && !options->connect_to && loop_net_fall_back_to_ipv4(&bound)) {
        family = AF_INET;
        number = open_socket(family);
    }
    if (number < 0) {
        return number;
    }
    error = set_up(number, family, options->bind_to ? &bound : NULL, options, &file);
    if (error < 0) {
        loop_kernel_close(number);
        return error;
    }
    return take_in(scope, options, &(struct found){.number = number, .file = &file}, socket);
}

static int check_adopted(struct loop_scope *scope, int number, const struct loop_datagram_options *options)
{
    int type = 0;
    socklen_t length = sizeof type;

    if (loop_kernel_getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &length) < 0) {
        return -errno;
    }
    if (type != SOCK_DGRAM) {
        return -EPROTOTYPE;
    }
    if (!is_good(options)) {
        return -EINVAL;
    }
    if (loop_scope_is_cancelled(scope)) {
        return -ECANCELED;
    }
    int family = AF_UNSPEC;
    (void)loop_kernel_getsockopt(number, SOL_SOCKET, SO_DOMAIN, &family, &length);
    return loop_net_ask_reports(number, (sa_family_t)family, options->reports);
}

int loop_datagram_adopt(struct loop_scope *scope, int number, const struct loop_datagram_options *options,
                        struct loop_datagram_socket **socket)
{
    static const struct loop_datagram_options defaults;
    struct loop_net_file none = {0};

    if (!loop_check_pointer(socket, "socket", __func__)) {
        if (number >= 0) {
            loop_kernel_close(number);
        }
        return -EINVAL;
    }
    *socket = NULL;
    options = options ? options : &defaults;
    int error = loop_check_scope(scope, __func__) ? check_adopted(scope, number, options) : -EINVAL;
    if (error < 0) {
        if (number >= 0 && error != -EBADF) {
            loop_kernel_close(number);
        }
        return error;
    }
    return take_in(scope, options, &(struct found){number, true, &none}, socket);
}

int loop_datagram_address(struct loop_datagram_socket *socket, struct loop_address *address)
{
    if (!loop_datagram_is_good(socket, __func__) || !loop_check_pointer(address, "address", __func__)) {
        return -EINVAL;
    }
    int number = loop_fd_use(socket->fd);

    if (number < 0) {
        return number;
    }
    int error = loop_net_local_address(number, address);
    loop_fd_unuse(socket->fd);
    return error;
}

struct loop_fd *loop_datagram_fd(struct loop_datagram_socket *socket)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return NULL;
    }
    return socket->fd;
}

void loop_datagram_get_stats(const struct loop_datagram_socket *socket, struct loop_datagram_stats *stats)
{
    if (!loop_check_pointer(stats, "statistics", __func__)) {
        return;
    }
    if (!loop_datagram_is_good(socket, __func__)) {
        *stats = (struct loop_datagram_stats){0};
        return;
    }
    *stats = socket->stats;
}

/* Closes the descriptor. The stream ends by its poll, the queue by its wait or when it is sent next. */
int loop_datagram_close(struct loop_datagram_socket *socket)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return -EINVAL;
    }
    loop_net_remove_file(&socket->file);
    int error = loop_fd_close(socket->fd);
    if (error == 0 && socket->is_blocked) {
        loop_cancel(socket->loop, socket->wait);
    }
    return error;
}
