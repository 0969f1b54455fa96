/* SPDX-License-Identifier: ISC
 *
 * The door: names of hosts. The C library reads files and asks servers for these, and waits for both.
 */
#ifndef LOOP_KERNEL_NAME_H
#define LOOP_KERNEL_NAME_H

#include <loop/kernel/door.h>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

LOOP_KERNEL_CALL_OR(EAI_SYSTEM, int, loop_kernel_getaddrinfo,
                    (const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found),
                    getaddrinfo(host, service, hints, found))
LOOP_KERNEL_CALL_VOID(loop_kernel_freeaddrinfo, (struct addrinfo * found), freeaddrinfo(found))
LOOP_KERNEL_CALL_OR(EAI_SYSTEM, int, loop_kernel_getnameinfo,
                    (const struct sockaddr *address, socklen_t length, char *host, socklen_t size, int flags),
                    getnameinfo(address, length, host, size, NULL, 0, flags))

/* Stores the `index`-th address of a host that the kernel knows by itself, an IPv4 address as a mapped one, and returns
 * true; false beyond the last. A real kernel knows none; the simulated one has a table: loop_world_add_name. */
LOOP_KERNEL_CALL_SURE(bool, loop_kernel_known_host, (const char *host, size_t index, struct in6_addr *address),
                      ((void)host, (void)index, (void)address, false))

#endif
