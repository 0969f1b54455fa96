/* SPDX-License-Identifier: ISC
 *
 * Unix sockets: their names, and calls that wait until another socket has room.
 */
#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/network/unix/name.h>
#include <loop/kernel/simulated/object/object.h>
#include <loop/kernel/simulated/object/process.h>

#include <stdio.h>
#include <string.h>

enum { PATH_OFFSET = offsetof(struct sockaddr_un, sun_path) };

struct loop_sim_credentials loop_sim_unix_credentials(const struct loop_sim_node *node)
{
    return (struct loop_sim_credentials){loop_sim_process_id(node), loop_sim_user(node), loop_sim_group(node)};
}

/* ---- names ---- */

static char *path_of(struct sockaddr_storage *name)
{
    return (char *)name + PATH_OFFSET;
}

/* Reads an address. Returns 0, or -EINVAL. A path gets a NUL at its end. */
static int read_name(const struct sockaddr *address, socklen_t length, struct sockaddr_storage *name,
                     socklen_t *name_length)
{
    memset(name, 0, sizeof *name);
    if (length < PATH_OFFSET || length > sizeof(struct sockaddr_un) || address->sa_family != AF_UNIX) {
        return -EINVAL;
    }
    memcpy(name, address, length);
    *name_length = length;
    if (length > PATH_OFFSET && *path_of(name) != '\0') {
        *name_length = PATH_OFFSET + (socklen_t)strlen(path_of(name)) + 1;
    }
    return 0;
}

static bool has_path(struct sockaddr_storage *name, socklen_t length)
{
    return length > PATH_OFFSET && *path_of(name) != '\0';
}

/* Finds the socket that an abstract name is bound to, or a path of this inode. Names of different types do not meet. */
static struct loop_sim_socket *find_bound(const struct loop_sim_node *node, const struct sockaddr_storage *name,
                                          socklen_t length, int type, uint64_t inode)
{
    struct loop_list *sockets = &node->host->sockets;
    for (struct loop_list *at = sockets->next; at != sockets; at = at->next) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        const struct loop_sim_unix *bound = &socket->local_socket;
        if (socket->family != AF_UNIX || !bound->was_bound || bound->inode != inode) {
            continue;
        }
        bool is_same = socket->type == type && bound->name_length == length && memcmp(&bound->name, name, length) == 0;
        if (inode != 0 || is_same) {
            return socket;
        }
    }
    return NULL;
}

/* The names have five digits. */
void loop_sim_unix_choose_name(struct loop_sim_socket *socket)
{
    enum { DIGITS = 5, NAMES = 1 << 20 };
    struct loop_sim_host *host = socket->file.node->host;
    struct sockaddr_storage name = {.ss_family = AF_UNIX};
    char text[DIGITS + 1];
    if (socket->local_socket.was_bound) {
        return;
    }
    do {
        snprintf(text, sizeof text, "%05x", host->next_abstract_name++ % NAMES);
        memcpy(path_of(&name) + 1, text, DIGITS);
    } while (find_bound(socket->file.node, &name, PATH_OFFSET + 1 + DIGITS, socket->type, 0));
    socket->local_socket.name = name;
    socket->local_socket.name_length = PATH_OFFSET + 1 + DIGITS;
    socket->local_socket.was_bound = true;
}

int loop_sim_unix_bind(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length)
{
    struct loop_sim_unix *self = &socket->local_socket;
    struct sockaddr_storage name;
    socklen_t name_length = 0;
    int error = read_name(address, length, &name, &name_length);
    if (error) {
        return error;
    }
    if (name_length == PATH_OFFSET) {
        loop_sim_unix_choose_name(socket);
        return 0;
    }
    if (self->was_bound) {
        return -EINVAL;
    }
    if (has_path(&name, name_length)) {
        error = loop_sim_disk_make_socket(socket->file.node, path_of(&name), socket->mode, &self->inode);
    } else if (find_bound(socket->file.node, &name, name_length, socket->type, 0)) {
        error = -EADDRINUSE;
    }
    if (error) {
        return error;
    }
    self->name = name;
    self->name_length = name_length;
    self->was_bound = true;
    return 0;
}

struct loop_sim_socket *loop_sim_unix_find(struct loop_sim_socket *socket, const struct sockaddr *address,
                                           socklen_t length, int *error)
{
    struct sockaddr_storage name;
    socklen_t name_length = 0;
    *error = read_name(address, length, &name, &name_length);
    if (!*error && name_length == PATH_OFFSET) {
        *error = -EINVAL;
    }
    if (*error) {
        return NULL;
    }
    uint64_t inode = 0;
    bool is_path = has_path(&name, name_length);
    *error = is_path ? loop_sim_disk_find_socket(socket->file.node, path_of(&name), &inode) : 0;
    if (*error) {
        return NULL;
    }
    struct loop_sim_socket *found = find_bound(socket->file.node, &name, name_length, socket->type, inode);
    *error = !found ? -ECONNREFUSED : found->type != socket->type ? -EPROTOTYPE : 0;
    return *error ? NULL : found;
}

int loop_sim_unix_name(struct loop_sim_socket *socket, bool is_peer, struct sockaddr_storage *address,
                       socklen_t *length)
{
    const struct loop_sim_unix *self = &socket->local_socket;
    const struct sockaddr_storage *name = is_peer ? &self->peer_name : &self->name;
    socklen_t name_length = is_peer ? self->peer_name_length : self->name_length;
    if (is_peer && self->peer) {
        name = &self->peer->local_socket.name;
        name_length = self->peer->local_socket.name_length;
    } else if (is_peer && !self->had_peer) {
        return -ENOTCONN;
    }
    memset(address, 0, sizeof *address);
    memcpy(address, name, name_length);
    address->ss_family = AF_UNIX;
    *length = name_length ? name_length : sizeof address->ss_family;
    return 0;
}

/* ---- room at another socket ---- */

void loop_sim_unix_wait_for_room(struct loop_sim_socket *socket)
{
    if (!(socket->file.flags & O_NONBLOCK) && !socket->local_socket.waits_for_room) {
        socket->local_socket.waits_for_room = true;
        socket->file.node->host->n_waiting_for_room++;
    }
}

void loop_sim_unix_has_room(struct loop_sim_host *host)
{
    struct loop_list *next;
    for (struct loop_list *at = host->sockets.next; host->n_waiting_for_room > 0 && at != &host->sockets; at = next) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        next = at->next;
        if (socket->local_socket.waits_for_room) {
            socket->local_socket.waits_for_room = false;
            host->n_waiting_for_room--;
            loop_sim_socket_changed(socket, 0);
        }
    }
}
