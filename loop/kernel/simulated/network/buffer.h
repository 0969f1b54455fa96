/* SPDX-License-Identifier: ISC
 *
 * What sockets queue: bytes of streams, and messages, which a datagram socket or a Unix socket has received.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_BUFFER_H
#define LOOP_KERNEL_SIMULATED_NETWORK_BUFFER_H

#include <loop/kernel/simulated/object/file.h>

#include <netinet/in.h>
#include <sys/socket.h>

struct loop_sim_socket;

/* A queue of bytes. Zeros are an empty one. */
struct loop_sim_bytes {
    unsigned char *data;
    size_t begin, size, room; /* `size` bytes from data + begin on */
};

/* Appends `len` bytes, which the caller fills. */
unsigned char *loop_sim_bytes_append(struct loop_sim_bytes *bytes, size_t len);
void loop_sim_bytes_drop(struct loop_sim_bytes *bytes, size_t len); /* from the front */
void loop_sim_bytes_finish(struct loop_sim_bytes *bytes);

enum { LOOP_SIM_MOST_RIGHTS = 253 };

/* Who has sent a message over a Unix socket. */
struct loop_sim_credentials {
    int pid;
    unsigned user, group;
};

/* What a UDP datagram knows of the send that has split its bytes (UDP_SEGMENT). Zeros: it was sent by itself. */
struct loop_sim_train {
    uint64_t serial; /* of the send, in its network */
    size_t segment_bytes;
};

struct loop_sim_message {
    struct loop_list link;
    struct loop_sim_socket *sender; /* Unix: whose send buffer it fills; NULL: gone */
    struct sockaddr_storage from;
    socklen_t from_length;
    struct in6_addr to; /* UDP: the address it was sent to */
    int interface;      /* UDP: of a group; otherwise 0 */
    struct loop_sim_credentials credentials;
    struct loop_sim_file **rights;
    size_t n_rights;
    unsigned char traffic_class, hop_limit;
    struct loop_sim_train train;
    int64_t arrived_ns;  /* of CLOCK_REALTIME */
    int error;           /* of an error queue, with the offender in `to` */
    uint32_t mtu_bytes;  /* of an error queue: the error is of this host, and tells the MTU of the path. Or 0 */
    size_t charge_bytes; /* what it takes of a buffer, as Linux counts */
    size_t taken, size;
    unsigned char data[];
};

struct loop_sim_message *loop_sim_message_create(size_t size);

/* Appends bytes to a message in a queue, which may move it. Returns where it is. */
struct loop_sim_message *loop_sim_message_append(struct loop_sim_message *message, const void *data, size_t len);

/* Destroys a message that is in no account of its sender any more, see loop_sim_socket_drop_message. */
void loop_sim_message_destroy(struct loop_sim_message *message);

/* Returns the memory that Linux counts for a packet of this many bytes. */
size_t loop_sim_message_charge(size_t size);

/* Fills a message with the bytes of a msghdr from byte `skip` on. */
void loop_sim_message_fill(struct loop_sim_message *message, const struct msghdr *from, size_t skip);

#endif
