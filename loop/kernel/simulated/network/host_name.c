/* SPDX-License-Identifier: ISC
 *
 * The door's functions of names. What the C library would ask, nobody answers in a world: it has its own table of
 * hosts.
 */
#include <loop/kernel/name.h>
#include <loop/kernel/simulated/network/network.h>

#include <string.h>

enum { MOST_ADDRESSES = 16 };

bool loop_kernel_known_host(const char *host, size_t index, struct in6_addr *address)
{
    struct in6_addr found[MOST_ADDRESSES];
    size_t count = loop_sim_name_find(loop_sim_here()->world, host, found, MOST_ADDRESSES);

    if (index >= count || index >= MOST_ADDRESSES) {
        return false;
    }
    *address = found[index];
    return true;
}

int loop_kernel_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                            struct addrinfo **found)
{
    (void)host;
    (void)service;
    (void)hints;
    *found = NULL;
    return EAI_NONAME;
}

void loop_kernel_freeaddrinfo(struct addrinfo *found)
{
    (void)found; /* there is none */
}

int loop_kernel_getnameinfo(const struct sockaddr *address, socklen_t length, char *host, socklen_t size, int flags)
{
    (void)address;
    (void)length;
    (void)flags;
    memset(host, 0, size);
    return EAI_NONAME;
}
