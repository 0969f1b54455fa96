/* SPDX-License-Identifier: ISC
 *
 * What a protocol of sockets does. The sockets and the transport call it by this table.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_PROTOCOL_H
#define LOOP_KERNEL_SIMULATED_NETWORK_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct loop_sim_host;
struct loop_sim_packet;
struct loop_sim_socket;

/* What a protocol does. */
struct loop_sim_protocol {
    int number; /* IPPROTO_TCP, IPPROTO_UDP; 0: Unix */
    int (*bind)(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length);
    int (*listen)(struct loop_sim_socket *socket, int backlog); /* NULL: EOPNOTSUPP */
    struct loop_sim_socket *(*accept)(struct loop_sim_socket *socket, int *error);
    int (*connect)(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length);
    ssize_t (*receive)(struct loop_sim_socket *socket, struct msghdr *message, int flags);
    ssize_t (*send)(struct loop_sim_socket *socket, const struct msghdr *message, int flags);
    int (*shutdown)(struct loop_sim_socket *socket, int halves);
    uint32_t (*poll)(struct loop_sim_socket *socket);
    /* The own address, or the peer's. Returns 0 or -ENOTCONN. */
    int (*name)(struct loop_sim_socket *socket, bool is_peer, struct sockaddr_storage *address, socklen_t *length);
    /* Bytes to read, or not yet acknowledged: FIONREAD and TIOCOUTQ. */
    size_t (*waiting)(struct loop_sim_socket *socket, bool is_output);
    /* Whether what is read next is behind the urgent byte of a stream, or at it: SIOCATMARK. NULL: ENOTTY. */
    bool (*is_at_mark)(const struct loop_sim_socket *socket);
    /* A packet arrives at a host; NULL for Unix sockets. The packet stays the caller's. */
    void (*input)(struct loop_sim_host *host, const struct loop_sim_packet *packet);
    /* A packet does not arrive; NULL: nobody minds. */
    void (*lost)(const struct loop_sim_packet *packet);
    /* The last use is gone. Ends with loop_sim_socket_discard, at once or when the connection has ended. */
    void (*release)(struct loop_sim_socket *socket);
};

#endif
