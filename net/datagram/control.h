/* SPDX-License-Identifier: ISC
 *
 * What the kernel says of a received datagram beside its bytes, and trains of datagrams, as control messages.
 */
#ifndef NET_DATAGRAM_CONTROL_H
#define NET_DATAGRAM_CONTROL_H

#include <net/datagram/origin.h>

#include <time.h>

#define LOOP_NET_NUMBER_BYTES CMSG_SPACE(sizeof(int))

/* Room for the control messages of one received message: an origin, a traffic class and a hop limit of each family, the
 * time, and the length of a train's datagrams. */
#define LOOP_NET_CONTROL_BYTES                                                                                         \
    (LOOP_NET_ORIGINS_BYTES + 5 * LOOP_NET_NUMBER_BYTES + CMSG_SPACE(sizeof(struct timespec)))

/* Room for the origin, traffic class, hop limit and train's length of one that is sent. */
#define LOOP_NET_SENT_CONTROL_BYTES (LOOP_NET_ORIGIN_BYTES + 3 * LOOP_NET_NUMBER_BYTES)

/* What the control messages of a received message say. */
struct loop_net_report {
    struct loop_net_origin origin, destination;
    size_t segment_bytes; /* of each datagram of a train but the last, which may be shorter; 0: one datagram */
    int traffic_class, hop_limit;
    unsigned interface;
    int64_t time_ns;
};

/* What goes with a datagram that is sent. */
struct loop_net_envelope {
    struct loop_net_origin origin;    /* the address it leaves from */
    int16_t traffic_class, hop_limit; /* -1: the socket's own */
    bool is_ipv4;                     /* it leaves as IPv4, from a socket of either family */
};

/* Asks the kernel for what `reports` has, of enum loop_datagram_report, on a socket of this family. Returns 0 or
 * -errno. */
int loop_net_ask_reports(int number, sa_family_t family, unsigned reports);

/* Asks the kernel to join datagrams of one sender that are received together. Returns whether it does. */
bool loop_net_ask_trains(int number);

/* Returns whether the kernel joins received datagrams. */
bool loop_net_has_trains(int number);

/* Returns whether the kernel splits what is sent into datagrams of a length that goes with it. An older kernel would
 * ignore the length and send one long datagram. */
bool loop_net_has_segments(int number);

/* Forbids fragments, on a socket of this family. Returns 0 or -errno. */
int loop_net_forbid_fragments(int number, sa_family_t family);

/* Forgets everything. */
void loop_net_clear_report(struct loop_net_report *report);

/* Reads the control messages of a received message. */
void loop_net_read_report(const struct msghdr *header, struct loop_net_report *report);

/* Closes the descriptors that came with a received message: the kernel hands them over to whoever has room for any
 * control messages. */
void loop_net_close_passed(const struct msghdr *header);

/* Adds the control messages to `header` that the envelope needs, as loop_net_add_control. */
void loop_net_write_envelope(const struct loop_net_envelope *envelope, void *control, struct msghdr *header);

/* Returns whether two datagrams to one peer may leave as one message. */
bool loop_net_is_same_envelope(const struct loop_net_envelope *one, const struct loop_net_envelope *other);

#endif
