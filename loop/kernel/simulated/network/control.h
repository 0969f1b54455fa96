/* SPDX-License-Identifier: ISC
 *
 * Control messages, which go with the bytes of a message.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_CONTROL_H
#define LOOP_KERNEL_SIMULATED_NETWORK_CONTROL_H

#include <loop/kernel/simulated/network/socket.h>

/* What the sender of a datagram asks for by control messages. */
struct loop_sim_ancillary {
    struct loop_sim_file *rights[LOOP_SIM_MOST_RIGHTS];
    size_t n_rights;
    struct loop_sim_credentials credentials;
    bool has_credentials, has_source;
    struct in6_addr source;
    int traffic_class;    /* -1: none */
    int hop_limit;        /* 0: none */
    size_t segment_bytes; /* UDP: it is split into datagrams of this length; 0: it is one */
};

/* Reads the control messages of a send. Returns 0 or a negative errno; then no use of a file is held. */
int loop_sim_control_read(struct loop_sim_socket *socket, const struct msghdr *message,
                          struct loop_sim_ancillary *ancillary);
void loop_sim_control_finish(struct loop_sim_ancillary *ancillary);

/* Writes control messages: those that do not fit set MSG_CTRUNC. */
struct loop_sim_control {
    struct msghdr *message;
    size_t used;
};
void loop_sim_control_put(struct loop_sim_control *control, int level, int type, const void *data, size_t len);
void loop_sim_control_put_time(struct loop_sim_control *control, int64_t time_ns); /* SO_TIMESTAMPNS */
void loop_sim_control_put_rights(struct loop_sim_control *control, struct loop_sim_node *node,
                                 struct loop_sim_file **rights, size_t n_rights, int flags);

#endif
