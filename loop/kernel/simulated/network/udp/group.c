/* SPDX-License-Identifier: ISC
 *
 * Multicast groups. The errors are those of Linux, ip(7) and ipv6(7).
 */
#include <loop/kernel/simulated/network/udp/group.h>
#include <loop/kernel/simulated/network/host.h>

#include <string.h>

/* What a program asks for. */
struct request {
    struct in6_addr group, source;
    int interface; /* 0: that of the route */
    bool has_source, joins;
};

static bool is_same(const struct in6_addr *one, const struct in6_addr *other)
{
    return memcmp(one, other, sizeof *one) == 0;
}

/* Whether the node has an interface of this number. */
static bool exists(int interface)
{
    return interface == LOOP_SIM_LOOPBACK || interface == LOOP_SIM_ETHERNET;
}

/* ---- members ---- */

static struct loop_sim_member *find(const struct loop_sim_socket *socket, const struct in6_addr *group, int interface)
{
    for (struct loop_list *at = socket->groups.next; at != &socket->groups; at = at->next) {
        struct loop_sim_member *member = LOOP_CONTAINER(at, struct loop_sim_member, link);
        if (is_same(&member->group, group) && (interface == 0 || member->interface == interface)) {
            return member;
        }
    }
    return NULL;
}

static unsigned find_source(const struct loop_sim_member *member, const struct in6_addr *source)
{
    unsigned i = 0;
    while (i < member->n_sources && !is_same(&member->sources[i], source)) {
        i++;
    }
    return i;
}

static void leave(struct loop_sim_member *member)
{
    loop_list_remove(&member->link);
    loop_sim_free(member);
}

bool loop_sim_group_has_member(const struct loop_sim_node *node, int interface, const struct in6_addr *group)
{
    const struct loop_list *sockets = node->host ? &node->host->sockets : NULL;
    for (struct loop_list *at = sockets ? sockets->next : NULL; at && at != sockets; at = at->next) {
        const struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        if (!socket->is_released && find(socket, group, interface)) {
            return true;
        }
    }
    return false;
}

bool loop_sim_group_accepts(const struct loop_sim_socket *socket, int interface, const struct in6_addr *group,
                            const struct in6_addr *source)
{
    const struct loop_sim_member *member = find(socket, group, interface);
    if (!member) {
        bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(group);
        return socket->options[is_ipv4 ? LOOP_SIM_OPTION_IP_MULTICAST_ALL : LOOP_SIM_OPTION_IPV6_MULTICAST_ALL] &&
               loop_sim_group_has_member(socket->file.node, interface, group);
    }
    return member->is_any || find_source(member, source) < member->n_sources;
}

/* ---- the way out ---- */

bool loop_sim_group_address(const struct loop_sim_node *node, int interface, bool is_ipv4, struct in6_addr *address)
{
    static const struct in6_addr loopback_ipv4 = {.s6_addr = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
    if (interface == LOOP_SIM_LOOPBACK) {
        *address = is_ipv4 ? loopback_ipv4 : (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
        return true;
    }
    return loop_sim_host_first(node, is_ipv4, address);
}

/* Returns the interface of the route to a group: that of the address that a socket is bound to. */
static int interface_of(const struct loop_sim_socket *socket)
{
    return loop_sim_address_is_loopback(&socket->local.address) ? LOOP_SIM_LOOPBACK : LOOP_SIM_ETHERNET;
}

int loop_sim_group_route(const struct loop_sim_socket *socket, const struct in6_addr *group, struct in6_addr *source)
{
    int interface = socket->multicast_interface ? socket->multicast_interface : interface_of(socket);
    const struct in6_addr *own = &socket->local.address;
    if (!loop_sim_address_is_any(own) && !loop_sim_address_is_multicast(own)) {
        *source = *own;
        return interface;
    }
    bool is_found = loop_sim_group_address(socket->file.node, interface, IN6_IS_ADDR_V4MAPPED(group), source);
    return is_found ? interface : -ENETUNREACH;
}

/* ---- options ---- */

static int join(struct loop_sim_socket *socket, const struct request *request)
{
    struct loop_sim_member *member = find(socket, &request->group, request->interface);
    unsigned n = 0;
    for (struct loop_list *at = socket->groups.next; at != &socket->groups; at = at->next) {
        n++;
    }
    if (member || n == LOOP_SIM_MOST_GROUPS) {
        return member ? -EADDRINUSE : -ENOBUFS;
    }
    member = loop_sim_alloc(sizeof *member);
    *member = (struct loop_sim_member){
        .group = request->group, .interface = request->interface, .is_any = !request->has_source};
    loop_list_push_back(&socket->groups, &member->link);
    return 0;
}

/* Adds a source to a membership. One of any source becomes one of this alone. */
static int add_source(struct loop_sim_socket *socket, const struct request *request)
{
    int error = join(socket, request);
    if (error && error != -EADDRINUSE) {
        return error;
    }
    struct loop_sim_member *member = find(socket, &request->group, request->interface);
    if (find_source(member, &request->source) < member->n_sources) {
        return -EADDRNOTAVAIL;
    }
    if (member->n_sources == LOOP_SIM_MOST_SOURCES) {
        return -ENOBUFS;
    }
    member->is_any = false;
    member->sources[member->n_sources++] = request->source;
    return 0;
}

/* Removes a source. With the last one the membership ends. */
static int remove_source(struct loop_sim_socket *socket, const struct request *request)
{
    struct loop_sim_member *member = find(socket, &request->group, request->interface);
    if (!member) {
        return -EINVAL;
    }
    unsigned i = find_source(member, &request->source);
    if (i == member->n_sources) {
        return -EADDRNOTAVAIL;
    }
    member->sources[i] = member->sources[--member->n_sources];
    if (member->n_sources == 0) {
        leave(member);
    }
    return 0;
}

static int change(struct loop_sim_socket *socket, struct request *request)
{
    if (!loop_sim_address_is_multicast(&request->group)) {
        return -EINVAL;
    }
    if (request->interface != 0 && !exists(request->interface)) {
        return -ENODEV;
    }
    if (request->interface == 0 && request->joins) {
        request->interface = LOOP_SIM_ETHERNET;
    }
    if (request->has_source) {
        return request->joins ? add_source(socket, request) : remove_source(socket, request);
    }
    if (request->joins) {
        return join(socket, request);
    }
    struct loop_sim_member *member = find(socket, &request->group, request->interface);
    if (member) {
        leave(member);
    }
    return member ? 0 : -EADDRNOTAVAIL;
}

static void map(const struct in_addr *from, struct in6_addr *to)
{
    *to = (struct in6_addr){.s6_addr = {[10] = 0xff, 0xff}};
    memcpy(&to->s6_addr[12], from, sizeof *from);
}

/* Copies an address in a request of protocol-independent options. Returns false for one of another family. */
static bool copy_address(const struct sockaddr_storage *from, int family, struct in6_addr *to)
{
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
    if (from->ss_family != family) {
        return false;
    }
    if (family == AF_INET) {
        memcpy(&ipv4, from, sizeof ipv4);
        map(&ipv4.sin_addr, to);
    } else {
        memcpy(&ipv6, from, sizeof ipv6);
        *to = ipv6.sin6_addr;
    }
    return true;
}

static int change_of_any(struct loop_sim_socket *socket, int family, bool joins, const void *value, socklen_t length)
{
    struct group_req asked;
    struct request request = {.joins = joins};
    if (length < sizeof asked) {
        return -EINVAL;
    }
    memcpy(&asked, value, sizeof asked);
    request.interface = (int)asked.gr_interface;
    return copy_address(&asked.gr_group, family, &request.group) ? change(socket, &request) : -EINVAL;
}

static int change_of_source(struct loop_sim_socket *socket, int family, bool joins, const void *value, socklen_t length)
{
    struct group_source_req asked;
    struct request request = {.has_source = true, .joins = joins};
    if (length < sizeof asked) {
        return -EINVAL;
    }
    memcpy(&asked, value, sizeof asked);
    request.interface = (int)asked.gsr_interface;
    bool is_good = copy_address(&asked.gsr_group, family, &request.group) &&
                   copy_address(&asked.gsr_source, family, &request.source);
    return is_good ? change(socket, &request) : -EADDRNOTAVAIL;
}

/* Answers whether a membership by an interface is one of any source. Lists no sources. */
static int get_filter(const struct loop_sim_socket *socket, int family, void *value, socklen_t *length)
{
    struct group_filter asked;
    struct in6_addr group;
    if (*length < GROUP_FILTER_SIZE(0)) {
        return -EINVAL;
    }
    memcpy(&asked, value, GROUP_FILTER_SIZE(0));
    if (!copy_address(&asked.gf_group, family, &group)) {
        return -EINVAL;
    }
    const struct loop_sim_member *member = asked.gf_interface ? find(socket, &group, (int)asked.gf_interface) : NULL;
    if (!member) {
        return -EADDRNOTAVAIL;
    }
    asked.gf_fmode = member->is_any ? MCAST_EXCLUDE : MCAST_INCLUDE;
    asked.gf_numsrc = member->n_sources;
    memcpy(value, &asked, GROUP_FILTER_SIZE(0));
    *length = GROUP_FILTER_SIZE(0);
    return 0;
}

/* Does the same for an interface of IPv4 by its address; 0.0.0.0: that of the route. */
static int get_filter_of_ipv4(const struct loop_sim_socket *socket, void *value, socklen_t *length)
{
    struct ip_msfilter asked;
    struct in6_addr group, own;
    if (*length < IP_MSFILTER_SIZE(0)) {
        return -EINVAL;
    }
    memcpy(&asked, value, IP_MSFILTER_SIZE(0));
    map(&asked.imsf_multiaddr, &group);
    map(&asked.imsf_interface, &own);
    bool is_loopback = loop_sim_address_is_loopback(&own);
    const struct loop_sim_member *member = find(socket, &group, is_loopback ? LOOP_SIM_LOOPBACK : LOOP_SIM_ETHERNET);
    if (!member) {
        return -EADDRNOTAVAIL;
    }
    asked.imsf_fmode = member->is_any ? MCAST_EXCLUDE : MCAST_INCLUDE;
    asked.imsf_numsrc = member->n_sources;
    memcpy(value, &asked, IP_MSFILTER_SIZE(0));
    *length = IP_MSFILTER_SIZE(0);
    return 0;
}

/* The older options, of IPv4: a group, and the address or number of an interface. */
static int change_of_ipv4(struct loop_sim_socket *socket, bool joins, const void *value, socklen_t length)
{
    struct ip_mreqn asked = {0};
    struct request request = {.joins = joins};
    struct in6_addr own;
    if (length < sizeof(struct ip_mreq) || socket->number == IPPROTO_TCP) {
        return socket->number == IPPROTO_TCP ? -EPROTO : -EINVAL;
    }
    memcpy(&asked, value, length < sizeof asked ? sizeof(struct ip_mreq) : sizeof asked);
    map(&asked.imr_multiaddr, &request.group);
    map(&asked.imr_address, &own);
    request.interface = asked.imr_ifindex;
    if (asked.imr_ifindex == 0 && asked.imr_address.s_addr != 0) {
        if (!loop_sim_host_has(socket->file.node, &own)) {
            return joins ? -ENODEV : -EADDRNOTAVAIL;
        }
        request.interface = loop_sim_address_is_loopback(&own) ? LOOP_SIM_LOOPBACK : LOOP_SIM_ETHERNET;
    }
    return change(socket, &request);
}

static int change_of_ipv6(struct loop_sim_socket *socket, bool joins, const void *value, socklen_t length)
{
    struct ipv6_mreq asked;
    if (length < sizeof asked || socket->number == IPPROTO_TCP) {
        return socket->number == IPPROTO_TCP ? -EPROTO : -EINVAL;
    }
    memcpy(&asked, value, sizeof asked);
    struct request request = {
        .group = asked.ipv6mr_multiaddr, .interface = (int)asked.ipv6mr_interface, .joins = joins};
    return change(socket, &request);
}

/* The interface of what is sent to groups; 0: that of the route. */
static int set_interface(struct loop_sim_socket *socket, int family, const void *value, socklen_t length)
{
    struct ip_mreqn asked = {0};
    if (socket->number == IPPROTO_TCP) {
        return family == AF_INET ? -EINVAL : -ENOPROTOOPT;
    }
    if (length < (family == AF_INET ? sizeof asked : sizeof asked.imr_ifindex)) {
        return -EINVAL;
    }
    memcpy(family == AF_INET ? (void *)&asked : (void *)&asked.imr_ifindex, value,
           family == AF_INET ? sizeof asked : sizeof asked.imr_ifindex);
    if (asked.imr_ifindex != 0 && !exists(asked.imr_ifindex)) {
        return family == AF_INET ? -EADDRNOTAVAIL : -ENODEV;
    }
    socket->multicast_interface = asked.imr_ifindex;
    return 0;
}

/* Returns the family of an option of groups that the socket has; AF_UNSPEC: none. */
static int family_of(const struct loop_sim_socket *socket, int level)
{
    int family = level == IPPROTO_IP ? AF_INET : level == IPPROTO_IPV6 ? AF_INET6 : AF_UNSPEC;
    bool has_it = socket->family != AF_UNIX && (family == AF_INET || socket->family == AF_INET6);
    return has_it ? family : AF_UNSPEC;
}

int loop_sim_group_get(const struct loop_sim_socket *socket, int level, int name, void *value, socklen_t *length)
{
    int family = family_of(socket, level);
    if (family == AF_INET && name == IP_MSFILTER) {
        return get_filter_of_ipv4(socket, value, length);
    }
    return family != AF_UNSPEC && name == MCAST_MSFILTER ? get_filter(socket, family, value, length) : 1;
}

int loop_sim_group_set(struct loop_sim_socket *socket, int level, int name, const void *value, socklen_t length)
{
    int family = family_of(socket, level);
    if (family == AF_UNSPEC) {
        return 1;
    }
    if (name == (family == AF_INET ? IP_MULTICAST_IF : IPV6_MULTICAST_IF)) {
        return set_interface(socket, family, value, length);
    }
    if (name == (family == AF_INET ? IP_ADD_MEMBERSHIP : IPV6_ADD_MEMBERSHIP) ||
        name == (family == AF_INET ? IP_DROP_MEMBERSHIP : IPV6_DROP_MEMBERSHIP)) {
        bool joins = name == (family == AF_INET ? IP_ADD_MEMBERSHIP : IPV6_ADD_MEMBERSHIP);
        return family == AF_INET ? change_of_ipv4(socket, joins, value, length)
                                 : change_of_ipv6(socket, joins, value, length);
    }
    switch (name) {
    case MCAST_JOIN_GROUP:
    case MCAST_LEAVE_GROUP: return change_of_any(socket, family, name == MCAST_JOIN_GROUP, value, length);
    case MCAST_JOIN_SOURCE_GROUP:
    case MCAST_LEAVE_SOURCE_GROUP:
        return change_of_source(socket, family, name == MCAST_JOIN_SOURCE_GROUP, value, length);
    default: return 1;
    }
}
