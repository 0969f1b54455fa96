/* SPDX-License-Identifier: ISC
 *
 * The sockets that the service manager has passed to the program, sd_listen_fds(3), and servers on them.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/process.h>
#include <loop/part.h>
#include <service/object.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define FIRST_NUMBER 3

/* ---- the list ---- */

void loop_service_add(struct loop_service *service, const struct loop_service_socket *socket)
{
    if (service->n_sockets == LOOP_SERVICE_MOST) {
        loop_log(service->loop, LOOP_LOG_WARNING, "socket %d, \"%s\", was passed beyond the %u that there is room for",
                 socket->number, socket->name, LOOP_SERVICE_MOST);
        loop_kernel_close(socket->number);
        return;
    }
    service->sockets[service->n_sockets++] = *socket;
}

static void remove_at(struct loop_service *service, size_t index)
{
    service->n_sockets--;
    memmove(&service->sockets[index], &service->sockets[index + 1],
            (service->n_sockets - index) * sizeof service->sockets[index]);
}

void loop_service_unshare(struct loop_service *service, bool is_late)
{
    for (size_t i = service->n_sockets; i-- > 0;) {
        struct loop_service_socket *socket = &service->sockets[i];
        if (socket->is_shared && is_late) {
            loop_kernel_close(socket->number);
            remove_at(service, i);
        } else {
            socket->is_shared = false;
        }
    }
}

size_t loop_service_count(const struct loop_service *service)
{
    return loop_service_is_good(service, __func__) ? service->n_sockets : 0;
}

const char *loop_service_name(const struct loop_service *service, size_t index)
{
    bool is_there = loop_service_is_good(service, __func__) && index < service->n_sockets;

    return is_there ? service->sockets[index].name : NULL;
}

/* Removes the first socket with that name, and stores it in `*taken`. */
static bool take(struct loop_service *service, const char *name, struct loop_service_socket *taken)
{
    for (size_t i = 0; i < service->n_sockets; i++) {
        if (!name || strcmp(service->sockets[i].name, name) == 0) {
            *taken = service->sockets[i];
            remove_at(service, i);
            return true;
        }
    }
    return false;
}

int loop_service_take(struct loop_service *service, const char *name)
{
    struct loop_service_socket taken;

    if (!loop_service_is_good(service, __func__)) {
        return -EINVAL;
    }
    return take(service, name, &taken) ? taken.number : -ENOENT;
}

/* ---- servers ---- */

/* Runs when a server has ended, and does what loop_serve would have done. */
static void on_server_end(void *arg, int64_t error)
{
    struct loop_service_server *entry = arg;
    struct loop_scope *scope = entry->service->scope;

    entry->server = NULL;
    if (entry->on_end) {
        entry->on_end(entry->on_end_arg, error);
    } else if (error < 0 && error != -ECANCELED && !loop_scope_is_cancelled(scope)) {
        loop_scope_fail(scope, error);
    }
}

static bool is_name(const char *name)
{
    size_t n = name ? strlen(name) : 0;

    for (size_t i = 0; i < n; i++) {
        if (name[i] <= ' ' || name[i] > '~') {
            return false;
        }
    }
    return n > 0 && n < LOOP_SERVICE_NAME_SIZE;
}

static struct loop_service_server *free_entry(struct loop_service *service)
{
    for (size_t i = 0; i < LOOP_SERVICE_MOST; i++) {
        if (!service->servers[i].server) {
            return &service->servers[i];
        }
    }
    return NULL;
}

/* Serves on a socket that was passed. Where that fails, the socket can be taken again. While a predecessor has the
 * socket too, its file is not this server's. */
static int serve_on(struct loop_service_server *entry, const struct loop_service_socket *socket,
                    const struct loop_serve_options *options, loop_connection_fn *on_connection, void *arg)
{
    struct loop_service *service = entry->service;
    unsigned flags = socket->is_shared ? 0 : socket->flags;
    int copy = loop_kernel_dup(socket->number, 3);
    int error = copy < 0 ? -errno : 0;

    if (error == 0) {
        error = loop_serve_adopt(service->scope, copy, flags, options, &entry->server, on_connection, arg);
    }
    if (error < 0) {
        loop_service_add(service, socket);
        return error;
    }
    entry->flags = socket->flags;
    if (flags != socket->flags && service->shared) {
        loop_service_note_file(service->shared, entry, socket->number);
    }
    loop_kernel_close(socket->number);
    return 0;
}

/* Starts the server of an entry, on a socket that was passed or on the address. */
static int start(struct loop_service_server *entry, const struct loop_address *address,
                 const struct loop_serve_options *options, loop_connection_fn *on_connection, void *arg)
{
    struct loop_service *service = entry->service;
    struct loop_service_socket socket;

    if (take(service, entry->name, &socket)) {
        return serve_on(entry, &socket, options, on_connection, arg);
    }
    if (!address) {
        return -ENOENT;
    }
    entry->flags = LOOP_LISTENER_OWNS_FILE;
    return loop_serve(service->scope, address, options, &entry->server, on_connection, arg);
}

int loop_service_serve(struct loop_service *service, const char *name, const struct loop_address *address,
                       const struct loop_serve_options *options, struct loop_server **server,
                       loop_connection_fn *on_connection, void *arg)
{
    struct loop_serve_options copy = options ? *options : (struct loop_serve_options){0};

    if (server) {
        *server = NULL;
    }
    if (!loop_service_is_good(service, __func__) || !is_name(name)) {
        return -EINVAL;
    }
    struct loop_service_server *entry = free_entry(service);
    if (!entry) {
        return -ENOSPC;
    }
    *entry = (struct loop_service_server){
        .service = service, .life = ++service->lives, .on_end = copy.on_end, .on_end_arg = copy.on_end_arg};
    memcpy(entry->name, name, strlen(name) + 1);
    copy.on_end = on_server_end;
    copy.on_end_arg = entry;
    copy.one_listener = true; /* the successor gets one */
    int error = start(entry, address, &copy, on_connection, arg);
    if (error == 0 && server) {
        *server = entry->server;
    }
    return error;
}

/* ---- what the manager has passed ---- */

/* Copies the next of the names, which are separated by colons. */
static const char *next_name(const char *names, char *name, size_t size)
{
    size_t n = names ? strcspn(names, ":") : 0;

    (void)snprintf(name, size, "%.*s", (int)(n < size ? n : size - 1), names && n > 0 ? names : "unknown");
    return names && names[n] ? names + n + 1 : NULL;
}

static int read_sockets(struct loop_service *service, int n, const char *names)
{
    struct loop_service_socket socket = {.flags = 0};

    for (int number = FIRST_NUMBER; number < FIRST_NUMBER + n; number++) {
        int flags = loop_kernel_fcntl(number, F_GETFD, 0);
        names = next_name(names, socket.name, sizeof socket.name);
        if (flags < 0) {
            return -EBADF;
        }
        if (flags & FD_CLOEXEC || service->n_sockets == LOOP_SERVICE_MOST) {
            continue;
        }
        (void)loop_kernel_fcntl(number, F_SETFD, flags | FD_CLOEXEC);
        socket.number = number;
        loop_service_add(service, &socket);
    }
    return 0;
}

int loop_service_read_sockets(struct loop_service *service)
{
    const char *pid = loop_kernel_getenv("LISTEN_PID"), *n = loop_kernel_getenv("LISTEN_FDS");

    if (!pid || !n) {
        return 0;
    }
    int64_t for_whom = loop_service_parse(pid, INT_MAX), count = loop_service_parse(n, INT_MAX - FIRST_NUMBER);
    if (for_whom < 0 || count < 0) {
        return -EINVAL;
    }
    if (for_whom != loop_kernel_getpid()) {
        return 0; /* for a parent, which has passed its environment on */
    }
    return read_sockets(service, (int)count, loop_kernel_getenv("LISTEN_FDNAMES"));
}
