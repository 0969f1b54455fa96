/* SPDX-License-Identifier: ISC
 *
 * What the files of net/ share among themselves and with nobody else.
 */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <loop/part.h>
#include <net/net.h>

#include <sys/types.h>

/* ---- address.c ---- */

/* The address of the local or the remote end of the socket `fd`: 0 or -errno. */
int loop_net_local_address(int fd, struct loop_address *address);
int loop_net_peer_address(int fd, struct loop_address *address);

/* 0 for an address that a stream socket can have, else -EINVAL or -EAFNOSUPPORT. */
int loop_net_check_address(const struct loop_address *address);

/* ---- option.c ---- */

/* loop_socket_set on a bare descriptor. */
int loop_net_set_option(int fd, enum loop_socket_option option, int value);

/* Applies settings in their order up to the first that fails: 0 or its error. */
int loop_net_apply_settings(int fd, const struct loop_socket_setting *settings, size_t n_settings);

/* A stream socket of this family, CLOEXEC and nonblocking, with TCP_NODELAY unless `nagle`: descriptor or -errno. */
int loop_net_open_socket(int family, bool nagle);

/* ---- local.c ---- */

/* A path with its NUL, which sun_path may lack. */
#define LOOP_NET_PATH_SIZE (sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1)

/* The file that a bind has made, known by its inode: somebody may have put another in its place since. */
struct loop_net_file {
    char *path; /* NULL: none, or removed */
    dev_t device;
    ino_t inode;
};

/* Guards the path of a Unix socket while its file is made, looked at or removed: flock(2) on a file beside it, whose
 * name ends in ".lock" and which is removed again. A program that is killed meanwhile leaves the file behind, unlocked.
 */
struct loop_net_lock {
    int number; /* -1: none, which is so for an address without a path */
    char path[LOOP_NET_PATH_SIZE + sizeof ".lock"];
};

/* Takes the lock without waiting: 0, -EADDRINUSE while another program has it, or the -errno of open(2). */
int loop_net_lock(const struct loop_address *address, struct loop_net_lock *lock);
void loop_net_unlock(struct loop_net_lock *lock);

/* bind(2), and with `reuse` a second time when a socket file was in the way that nobody has open. */
int loop_net_bind(int fd, int type, const struct loop_address *address, bool reuse);

/* Takes note of the file just made, and gives it the permissions `mode` where that is not 0. `file->path` is room for
 * the path, LOOP_NET_PATH_SIZE bytes; NULL afterwards where there is none. 0 or -errno. */
int loop_net_note_file(const struct loop_address *address, unsigned mode, struct loop_net_file *file);

void loop_net_remove_file(struct loop_net_file *file);

/* The path from the root, in the scope's memory; NULL when there is none. */
char *loop_net_absolute_path(struct loop_scope *scope, const char *path);

/* Makes "[::]" the address of every IPv4 host; false for any other address. */
bool loop_net_fall_back_to_ipv4(struct loop_address *address);

/* ---- listen.c ---- */

/* What to do when an accept has failed with `error`: 0 to accept again at once, nanoseconds to wait for a descriptor
 * before accepting again, or, when it failed for good, a negative errno. Warns when something has run out. */
int64_t loop_net_accept_failed(struct loop_listener *listener, int64_t error);

/* An accept went well: the next wait is short again. */
void loop_net_accept_succeeded(struct loop_listener *listener);

/* ---- connect.c ---- */

/* The point in time `duration_ns` (>= 0) from now, LOOP_NEVER where that is beyond all times. */
int64_t loop_net_from_now(const struct loop *loop, int64_t duration_ns);

#endif
