/* SPDX-License-Identifier: ISC
 *
 * IP addresses, which are kept as IPv6 ones.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_ADDRESS_H
#define LOOP_KERNEL_SIMULATED_NETWORK_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* An address and a port; IPv4 as a mapped address. */
struct loop_sim_endpoint {
    struct in6_addr address;
    uint16_t port; /* in the order of this machine */
};

/* Reads "10.0.0.1" or "fd00::1". Returns 0 or -EINVAL. */
int loop_sim_address_parse(const char *text, struct in6_addr *address);

bool loop_sim_address_is_any(const struct in6_addr *address);      /* 0.0.0.0 or :: */
bool loop_sim_address_is_loopback(const struct in6_addr *address); /* 127.0.0.0/8 or ::1 */
bool loop_sim_address_is_multicast(const struct in6_addr *address);
bool loop_sim_address_is_broadcast(const struct in6_addr *address);

/* Reads an IP address. Returns 0, -EINVAL when it is short, -EAFNOSUPPORT. */
int loop_sim_endpoint_read(struct loop_sim_endpoint *endpoint, int family, const struct sockaddr *address,
                           socklen_t length);
socklen_t loop_sim_endpoint_write(const struct loop_sim_endpoint *endpoint, int family, struct sockaddr_storage *to);

/* Writes an address and a port, such as "10.0.0.1:7000". */
void loop_sim_endpoint_describe(const struct loop_sim_endpoint *endpoint, char *text, size_t size);

/* Copies an address as accept and getpeername do: cut, with its whole length in *length. */
void loop_sim_address_copy(const struct sockaddr_storage *from, socklen_t from_length, struct sockaddr *address,
                           socklen_t *length);

#endif
