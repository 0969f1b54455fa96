/* SPDX-License-Identifier: ISC
 *
 * IP addresses: IPv4 ones are kept as mapped IPv6 ones (::ffff:10.0.0.1).
 */
#include <loop/kernel/simulated/network/address.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LEAST_IPV6_LENGTH = 24 /* without sin6_scope_id, RFC 2133 */ };

static bool is_ipv4(const struct in6_addr *address, uint32_t *value)
{
    if (!IN6_IS_ADDR_V4MAPPED(address)) {
        return false;
    }
    memcpy(value, &address->s6_addr[12], sizeof *value);
    *value = ntohl(*value);
    return true;
}

int loop_sim_address_parse(const char *text, struct in6_addr *address)
{
    struct in_addr ipv4;
    *address = (struct in6_addr){0};
    if (inet_pton(AF_INET, text, &ipv4) == 1) {
        address->s6_addr[10] = address->s6_addr[11] = 0xff;
        memcpy(&address->s6_addr[12], &ipv4, sizeof ipv4);
        return 0;
    }
    return inet_pton(AF_INET6, text, address) == 1 ? 0 : -EINVAL;
}

bool loop_sim_address_is_any(const struct in6_addr *address)
{
    uint32_t ipv4;
    return is_ipv4(address, &ipv4) ? ipv4 == INADDR_ANY : IN6_IS_ADDR_UNSPECIFIED(address);
}

bool loop_sim_address_is_loopback(const struct in6_addr *address)
{
    uint32_t ipv4;
    return is_ipv4(address, &ipv4) ? ipv4 >> 24 == IN_LOOPBACKNET : IN6_IS_ADDR_LOOPBACK(address);
}

bool loop_sim_address_is_multicast(const struct in6_addr *address)
{
    uint32_t ipv4;
    return is_ipv4(address, &ipv4) ? IN_MULTICAST(ipv4) : IN6_IS_ADDR_MULTICAST(address);
}

bool loop_sim_address_is_broadcast(const struct in6_addr *address)
{
    uint32_t ipv4;
    return is_ipv4(address, &ipv4) && ipv4 == INADDR_BROADCAST;
}

int loop_sim_endpoint_read(struct loop_sim_endpoint *endpoint, int family, const struct sockaddr *address,
                           socklen_t length)
{
    *endpoint = (struct loop_sim_endpoint){0};
    if (length < sizeof address->sa_family) {
        return -EINVAL;
    }
    if (family == AF_INET) {
        struct sockaddr_in ipv4;
        if (length < sizeof ipv4) {
            return -EINVAL;
        }
        memcpy(&ipv4, address, sizeof ipv4);
        if (ipv4.sin_family != AF_INET) {
            return -EAFNOSUPPORT;
        }
        endpoint->address.s6_addr[10] = endpoint->address.s6_addr[11] = 0xff;
        memcpy(&endpoint->address.s6_addr[12], &ipv4.sin_addr, sizeof ipv4.sin_addr);
        endpoint->port = ntohs(ipv4.sin_port);
        return 0;
    }
    struct sockaddr_in6 ipv6 = {0};
    if (length < LEAST_IPV6_LENGTH) {
        return -EINVAL;
    }
    memcpy(&ipv6, address, length < sizeof ipv6 ? length : sizeof ipv6);
    if (ipv6.sin6_family != AF_INET6) {
        return -EAFNOSUPPORT;
    }
    endpoint->address = ipv6.sin6_addr;
    endpoint->port = ntohs(ipv6.sin6_port);
    return 0;
}

socklen_t loop_sim_endpoint_write(const struct loop_sim_endpoint *endpoint, int family, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (family == AF_INET) {
        struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
        if (IN6_IS_ADDR_V4MAPPED(&endpoint->address)) {
            memcpy(&ipv4.sin_addr, &endpoint->address.s6_addr[12], sizeof ipv4.sin_addr);
        }
        memcpy(to, &ipv4, sizeof ipv4);
        return sizeof ipv4;
    }
    struct sockaddr_in6 ipv6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(endpoint->port), .sin6_addr = endpoint->address};
    memcpy(to, &ipv6, sizeof ipv6);
    return sizeof ipv6;
}

void loop_sim_address_copy(const struct sockaddr_storage *from, socklen_t from_length, struct sockaddr *address,
                           socklen_t *length)
{
    if (address && length) {
        memcpy(address, from, *length < from_length ? *length : from_length);
        *length = from_length;
    }
}

void loop_sim_endpoint_describe(const struct loop_sim_endpoint *endpoint, char *text, size_t size)
{
    char address[INET6_ADDRSTRLEN];
    if (IN6_IS_ADDR_V4MAPPED(&endpoint->address)) {
        inet_ntop(AF_INET, &endpoint->address.s6_addr[12], address, sizeof address);
        snprintf(text, size, "%s:%u", address, endpoint->port);
    } else {
        inet_ntop(AF_INET6, &endpoint->address, address, sizeof address);
        snprintf(text, size, "[%s]:%u", address, endpoint->port);
    }
}
