/* SPDX-License-Identifier: ISC
 *
 * Sockets and the network between the nodes.
 *
 * The functions named loop_sim_socket_... are the calls without waiting: they return -EAGAIN where the kernel would
 * wait, and the file's queue is woken when it is worth a new try. Any file may be given: those that are no sockets
 * answer -ENOTSOCK.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_NETWORK_H
#define LOOP_KERNEL_SIMULATED_NETWORK_NETWORK_H

#include <loop/kernel/simulated/object/file.h>

#include <netinet/in.h>
#include <sys/socket.h>

/* ---- calls, for the door and for the ring ---- */

/* Returns a new socket, or NULL with the negative errno in *error. */
struct loop_sim_file *loop_sim_socket_create(struct loop_sim_node *node, int family, int type, int protocol,
                                             int *error);

/* Takes a connection that waits. Returns its file, or NULL with the negative errno in *error. `address` may be NULL. */
struct loop_sim_file *loop_sim_socket_accept(struct loop_sim_file *file, struct sockaddr *address, socklen_t *length,
                                             int flags, int *error);

/* Begins to connect, or looks how it goes. Returns 0, -EINPROGRESS after it has begun, -EALREADY while it goes on,
 * -EISCONN, or the error with which it has failed. -EAGAIN of a Unix socket whose listener's backlog is full. */
int loop_sim_socket_connect(struct loop_sim_file *file, const struct sockaddr *address, socklen_t length);

/* MSG_DONTWAIT and O_NONBLOCK change nothing here. MSG_WAITALL is the caller's to repeat. */
ssize_t loop_sim_socket_receive(struct loop_sim_file *file, struct msghdr *message, int flags);
ssize_t loop_sim_socket_send(struct loop_sim_file *file, const struct msghdr *message, int flags);
int loop_sim_socket_shutdown(struct loop_sim_file *file, int how);

/* Whether the file is a socket of a stream or of sequenced packets: MSG_WAITALL goes on after a part. */
bool loop_sim_socket_is_stream(struct loop_sim_file *file);

/* Returns what a receive has left, as Linux tells a ring: 1 something, 0 nothing, -1 where it does not tell. Of TCP the
 * end is something, of a Unix socket it is not. */
int loop_sim_socket_left(struct loop_sim_file *file);

/* ---- hosts ---- */

/* Gives a node an address: "10.0.0.1", "fd00::1". Without any it has 10.0.0.N and fd00::N, N being its number from 1.
 * 127.0.0.1 and ::1 are always its own. Returns 0, -EINVAL or -EADDRINUSE. */
int loop_sim_host_add_address(struct loop_sim_node *node, const char *text);

/* The interfaces of each node: the loopback, and one link that all nodes are on. */
enum loop_sim_interface { LOOP_SIM_LOOPBACK = 1, LOOP_SIM_ETHERNET = 2 };

/* Sets the longest packet that an interface of a node sends, with its IP head. By default it is 65536 on the loopback
 * and 1500 on the other. TCP takes no notice. Returns 0, or -EINVAL for less than 68 bytes or more than 65536. */
int loop_sim_host_set_mtu(struct loop_sim_node *node, enum loop_sim_interface interface, int bytes);

/* ---- links ---- */

/* How bytes go from one node to another. A jitter, loss, duplication or reordering of 0 is not stated: the source of
 * choice decides. */
struct loop_sim_link {
    int64_t delay_ns;
    int64_t jitter_ns;    /* by choice up to so much more; datagrams may overtake by it, streams stay in order */
    uint64_t bytes_per_s; /* 0: no limit */
    size_t queue_bytes;   /* what waits because of bytes_per_s; more is lost (datagrams) or waits at the sender. 0: 256
                             KiB */
    uint32_t loss_ppm;    /* of 10^6 datagrams; a stream's segment is late instead */
    uint32_t duplicate_ppm;
    uint32_t reorder_ppm;
};

/* Sets the link from one node to another, one way; NULL stands for every node. The last call that matches holds. */
void loop_sim_link_set(struct loop_sim_world *world, const struct loop_sim_node *from, const struct loop_sim_node *to,
                       const struct loop_sim_link *link);

/* ---- rules ---- */

enum loop_sim_kind { LOOP_SIM_KIND_ANY, LOOP_SIM_KIND_CONNECT, LOOP_SIM_KIND_STREAM, LOOP_SIM_KIND_DATAGRAM };
enum loop_sim_action { LOOP_SIM_RULE_PASS, LOOP_SIM_RULE_DELAY, LOOP_SIM_RULE_DROP, LOOP_SIM_RULE_RESET };

/* What happens to what goes from a node to another. The first rule that matches and does not pass decides. A stream's
 * segments that are dropped are sent again until the rule is gone, or the connection times out. */
struct loop_sim_rule {
    const struct loop_sim_node *from, *to; /* NULL: any */
    enum loop_sim_kind kind;
    size_t least_bytes, most_bytes; /* 0: no limit */
    enum loop_sim_action action;
    int64_t delay_ns;
};

/* Adds a rule at the end. Returns its number, from 1. */
unsigned loop_sim_rule_add(struct loop_sim_world *world, const struct loop_sim_rule *rule);
void loop_sim_rule_remove(struct loop_sim_world *world, unsigned number); /* harmless when it is gone */
void loop_sim_rules_clear(struct loop_sim_world *world);

/* ---- names ---- */

/* Gives a name an address, as the world's table of names. Returns 0 or -EINVAL. */
int loop_sim_name_add(struct loop_sim_world *world, const char *name, const char *address);

/* Copies up to `most` addresses of a name, IPv4 ones mapped to IPv6. Returns how many it has. */
size_t loop_sim_name_find(struct loop_sim_world *world, const char *name, struct in6_addr *addresses, size_t most);

/* What the network does with nodes and worlds. */
extern const struct loop_sim_part loop_sim_network_part;

#endif
