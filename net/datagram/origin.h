/* SPDX-License-Identifier: ISC
 *
 * The local address that a datagram was sent to, and is answered from. A socket that is bound to every address would
 * answer from the one that the routes prefer, and a peer that is connected to another address drops the answer.
 */
#ifndef NET_DATAGRAM_ORIGIN_H
#define NET_DATAGRAM_ORIGIN_H

#include <net/net.h>

/* A local address in the form of the control messages IP_PKTINFO (ip(7)) and IPV6_PKTINFO (ipv6(7)). */
struct loop_net_origin {
    sa_family_t family; /* AF_INET, AF_INET6; 0: not known, the kernel chooses */
    unsigned interface; /* of a link-local address, or the one to leave by; 0: as the routes have it */
    union {
        struct in_addr ipv4;
        struct in6_addr ipv6;
    } u;
};

/* Room for the control messages of a received datagram, one of each family, and of one that is sent. */
#define LOOP_NET_ORIGINS_BYTES (CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct in6_pktinfo)))
#define LOOP_NET_ORIGIN_BYTES CMSG_SPACE(sizeof(struct in6_pktinfo))

/* Asks the kernel for the origin of every datagram, where the socket's address `local` is every address. Returns
 * whether it is. */
bool loop_net_ask_origin(int number, const struct loop_address *local);

/* Reads the origin of a datagram of `sender` from one of its control messages. Other messages change nothing. `origin`
 * is unknown before the first. */
void loop_net_read_origin(const struct cmsghdr *message, const struct sockaddr *sender, struct loop_net_origin *origin);

/* Reads the address in the header of a datagram of `sender` from one of its control messages, IP_PKTINFO or
 * IPV6_PKTINFO. Returns the index of the interface that it came in by. */
unsigned loop_net_read_destination(const struct cmsghdr *message, const struct sockaddr *sender,
                                   struct loop_net_origin *destination);

/* Makes an origin of an address. Returns false for one that is neither IPv4 nor IPv6. */
bool loop_net_origin_of(const struct loop_address *address, struct loop_net_origin *origin);

/* Makes an address of an origin, with the port of `local`. An unknown origin gives `local` itself. */
void loop_net_origin_address(const struct loop_net_origin *origin, const struct loop_address *local,
                             struct loop_address *address);

/* Adds a control message to `header`, behind those that it has in `control`. There is room, aligned as a cmsghdr. */
void loop_net_add_control(struct msghdr *header, void *control, int level, int type, const void *data, size_t size);

/* Adds the control message to `header` that sends a datagram from the origin, as loop_net_add_control. Adds none for an
 * unknown origin, which leaves the choice to the kernel. */
void loop_net_write_origin(const struct loop_net_origin *origin, void *control, struct msghdr *header);

#endif
