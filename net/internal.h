/* SPDX-License-Identifier: ISC
 *
 * What the files of net/ share among themselves and with nobody else.
 */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <net/net.h>

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
