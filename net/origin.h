/* SPDX-License-Identifier: ISC
 *
 * Which of the machine's addresses a datagram was sent to, and is to be answered from. A socket that is bound to every
 * address would answer from the one that the routes prefer, and a peer that is connected to another drops the answer.
 */
#ifndef NET_ORIGIN_H
#define NET_ORIGIN_H

#include <net/net.h>

/* A local address in the form of the control messages IP_PKTINFO (ip(7)) and IPV6_PKTINFO (ipv6(7)). */
struct loop_net_origin {
    sa_family_t family; /* AF_INET, AF_INET6; 0: not known, the kernel chooses */
    unsigned interface; /* of a link-local address */
    union {
        struct in_addr ipv4;
        struct in6_addr ipv6;
    } u;
};

/* Room for what one datagram brings: one of each, on a socket of both families. */
#define LOOP_NET_CONTROL_BYTES (CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct in6_pktinfo)))

/* Has the kernel tell it of every datagram, where `local`, the socket's own address, is every address: true then. */
bool loop_net_ask_origin(int number, const struct loop_address *local);

/* From the control messages of a datagram. */
void loop_net_read_origin(const struct msghdr *header, struct loop_net_origin *origin);

/* From an address; false for one that is neither IPv4 nor IPv6. */
bool loop_net_origin_of(const struct loop_address *address, struct loop_net_origin *origin);

/* As an address with the port of `local`. An origin that is not known gives `local` itself. */
void loop_net_origin_address(const struct loop_net_origin *origin, const struct loop_address *local,
                             struct loop_address *address);

/* Adds the control message that has a datagram sent from there to `header`; `control` has LOOP_NET_CONTROL_BYTES,
 * aligned as a cmsghdr. Adds none where the kernel is to choose. */
void loop_net_write_origin(const struct loop_net_origin *origin, void *control, struct msghdr *header);

#endif
