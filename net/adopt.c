/* SPDX-License-Identifier: ISC
 *
 * Listeners of sockets that listen already: a service manager or another program has made them.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/socket.h>
#include <loop/low_level.h>
#include <loop/part.h>
#include <net/address.h>
#include <net/listen.h>
#include <net/option.h>

#include <errno.h>

/* Returns the value of a socket option that is an int, or -errno. */
static int int_option(int number, int option)
{
    int value = 0;
    socklen_t length = sizeof value;

    return loop_kernel_getsockopt(number, SOL_SOCKET, option, &value, &length) < 0 ? -errno : value;
}

/* Returns the type of a socket that listens, or -errno. */
static int listening_type(int number)
{
    int listens = int_option(number, SO_ACCEPTCONN), type = int_option(number, SO_TYPE);

    if (listens < 0 || type < 0) {
        return listens < 0 ? listens : type;
    }
    return listens && (type == SOCK_STREAM || type == SOCK_SEQPACKET) ? type : -EINVAL;
}

/* Notes the file of a Unix socket, so that it is removed when the listener closes. */
static void note_file(int number, char path[LOOP_NET_PATH_SIZE], struct loop_net_file *file)
{
    struct loop_address address;

    file->path = path;
    if (loop_net_local_address(number, &address) < 0 || loop_net_note_file(&address, 0, file) < 0) {
        file->path = NULL;
    }
}

/* Returns the type of the socket, or why it cannot be adopted. */
static int check(const struct loop_scope *scope, int number, unsigned flags)
{
    if (!loop_check_scope(scope, "loop_listener_adopt") || flags & ~(unsigned)LOOP_LISTENER_OWNS_FILE) {
        return -EINVAL;
    }
    return loop_scope_is_cancelled(scope) ? -ECANCELED : listening_type(number);
}

int loop_listener_adopt(struct loop_scope *scope, int number, unsigned flags, struct loop_listener **listener)
{
    char path[LOOP_NET_PATH_SIZE];
    struct loop_net_file file = {.path = NULL};

    if (!loop_check_pointer(listener, "listener", __func__)) {
        loop_kernel_close(number);
        return -EINVAL;
    }
    *listener = NULL;
    int type = check(scope, number, flags);
    if (type < 0) {
        loop_kernel_close(number);
        return type;
    }
    if (int_option(number, SO_DOMAIN) != AF_UNIX) {
        (void)loop_net_set_option(number, LOOP_TCP_NODELAY, 1);
    } else if (flags & LOOP_LISTENER_OWNS_FILE) {
        note_file(number, path, &file);
    }
    int error = loop_net_make_listener(scope, number, type == SOCK_SEQPACKET, &file, listener);
    if (!error) {
        loop_fd_share(loop_listener_fd(*listener));
    }
    return error;
}
