/* SPDX-License-Identifier: ISC
 *
 * Hosts: the addresses of a node, and what is bound there.
 */
#include <loop/kernel/simulated/network/host.h>
#include <loop/kernel/simulated/network/network.h>

#include <arpa/inet.h>
#include <string.h>

#define TIME_WAIT_NS (INT64_C(60) * 1000000000)

enum { LAST_PORT = 60999, IPV4_NETWORK_BYTES = 15, IPV6_NETWORK_BYTES = 8 };
enum { LOOPBACK_MTU = 65536, ETHERNET_MTU = 1500, LEAST_MTU = 68, MOST_IPV4_PACKET = 65535 };

/* ---- addresses ---- */

/* Fills in 10.0.0.N or fd00::N. */
static void default_address(const struct loop_sim_node *node, unsigned i, struct in6_addr *address)
{
    unsigned number = node->index + 1;
    *address = (struct in6_addr){0};
    if (i == 0) {
        uint32_t ipv4 = htonl((UINT32_C(10) << 24) + number);
        address->s6_addr[10] = address->s6_addr[11] = 0xff;
        memcpy(&address->s6_addr[12], &ipv4, sizeof ipv4);
    } else {
        address->s6_addr[0] = 0xfd;
        address->s6_addr[14] = (unsigned char)(number >> 8);
        address->s6_addr[15] = (unsigned char)number;
    }
}

/* Copies the i-th address of a node. Returns false behind the last one. */
static bool address_at(const struct loop_sim_node *node, unsigned i, struct in6_addr *address)
{
    const struct loop_sim_host *host = node->host;
    if (!host || host->n_addresses == 0) {
        default_address(node, i, address);
        return i < 2;
    }
    if (i < host->n_addresses) {
        *address = host->addresses[i];
    }
    return i < host->n_addresses;
}

bool loop_sim_host_has(struct loop_sim_node *node, const struct in6_addr *address)
{
    struct in6_addr own;
    for (unsigned i = 0; address_at(node, i, &own); i++) {
        if (memcmp(&own, address, sizeof own) == 0) {
            return true;
        }
    }
    return loop_sim_address_is_loopback(address);
}

/* ---- who has an address ---- */

/* Returns where an address stands in the table of all, or the free place where it would. */
static struct loop_sim_owned *find_owned(const struct loop_sim_network *network, const struct in6_addr *address)
{
    uint32_t words[4];
    memcpy(words, address, sizeof words);
    uint64_t key = words[0] ^ words[1] ^ words[2] ^ words[3];
    size_t at = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32); /* its lowest bits depend on all of the key */
    struct loop_sim_owned *owned;
    do {
        owned = &network->owned[at++ & (network->owned_size - 1)];
    } while (owned->node && memcmp(&owned->address, address, sizeof *address) != 0);
    return owned;
}

/* Makes the table of all addresses. Of several nodes with an address the first has it. */
static void list_owned(struct loop_sim_network *network)
{
    const struct loop_sim_world *world = network->world;
    size_t most = (size_t)world->n_nodes * 2 + network->n_addresses;
    network->owned_size = 16;
    while (network->owned_size < 2 * most) {
        network->owned_size *= 2;
    }
    loop_sim_free(network->owned);
    network->owned = loop_sim_alloc(network->owned_size * sizeof *network->owned);
    for (struct loop_list *at = world->nodes.next; at != &world->nodes; at = at->next) {
        struct loop_sim_node *node = LOOP_CONTAINER(at, struct loop_sim_node, link);
        struct in6_addr address;
        for (unsigned i = 0; address_at(node, i, &address); i++) {
            struct loop_sim_owned *owned = find_owned(network, &address);
            *owned = owned->node ? *owned : (struct loop_sim_owned){address, node};
        }
    }
}

struct loop_sim_node *loop_sim_host_find(struct loop_sim_node *from, const struct in6_addr *address)
{
    struct loop_sim_network *network = loop_sim_network_of(from->world);
    unsigned generation = 1 + from->world->n_nodes + network->n_addresses; /* both only grow */
    if (loop_sim_address_is_any(address) || loop_sim_address_is_loopback(address)) {
        return from;
    }
    if (network->owned_generation != generation) {
        network->owned_generation = generation;
        list_owned(network);
    }
    return find_owned(network, address)->node;
}

/* ---- the own addresses ---- */

/* Whether two addresses are on one link: the same 24 bits, or 64 bits of IPv6. */
static bool is_on_link(const struct in6_addr *one, const struct in6_addr *other)
{
    size_t n = IN6_IS_ADDR_V4MAPPED(other) ? IPV4_NETWORK_BYTES : IPV6_NETWORK_BYTES;
    return memcmp(one, other, n) == 0;
}

bool loop_sim_host_is_near(struct loop_sim_node *node, const struct in6_addr *address)
{
    struct in6_addr own;
    for (unsigned i = 0; address_at(node, i, &own); i++) {
        if (is_on_link(&own, address)) {
            return true;
        }
    }
    return false;
}

/* Fills in 127.0.0.1 or ::1. */
static void loopback_address(bool is_ipv4, struct in6_addr *address)
{
    *address = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    if (is_ipv4) {
        *address = (struct in6_addr){.s6_addr = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
    }
}

int loop_sim_host_source(struct loop_sim_node *node, const struct in6_addr *to, struct in6_addr *source)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(to);
    if (loop_sim_address_is_loopback(to) || loop_sim_address_is_any(to)) {
        loopback_address(is_ipv4, source);
        return 0;
    }
    if (loop_sim_host_has(node, to)) {
        *source = *to;
        return 0;
    }
    if (!loop_sim_host_find(node, to) && !loop_sim_host_is_near(node, to)) {
        return -ENETUNREACH;
    }
    struct in6_addr own;
    bool is_found = false;
    for (unsigned i = 0; address_at(node, i, &own); i++) {
        bool is_near = is_on_link(&own, to);
        if (IN6_IS_ADDR_V4MAPPED(&own) == is_ipv4 && (!is_found || is_near)) {
            *source = own;
            is_found = true;
            if (is_near) {
                break;
            }
        }
    }
    return is_found ? 0 : -ENETUNREACH;
}

bool loop_sim_host_first(const struct loop_sim_node *node, bool is_ipv4, struct in6_addr *address)
{
    for (unsigned i = 0; address_at(node, i, address); i++) {
        if (IN6_IS_ADDR_V4MAPPED(address) == is_ipv4) {
            return true;
        }
    }
    return false;
}

/* ---- the longest packets ---- */

int loop_sim_host_set_mtu(struct loop_sim_node *node, enum loop_sim_interface interface, int bytes)
{
    if (bytes < LEAST_MTU || bytes > LOOPBACK_MTU) {
        return -EINVAL;
    }
    loop_sim_host_of(node)->mtu_bytes[interface] = bytes;
    return 0;
}

size_t loop_sim_host_mtu(struct loop_sim_node *node, const struct in6_addr *to, int interface)
{
    int by = interface ? interface : loop_sim_host_has(node, to) ? LOOP_SIM_LOOPBACK : LOOP_SIM_ETHERNET;
    int set = node->host ? node->host->mtu_bytes[by] : 0;
    int bytes = set ? set : by == LOOP_SIM_LOOPBACK ? LOOPBACK_MTU : ETHERNET_MTU;
    return bytes > MOST_IPV4_PACKET && IN6_IS_ADDR_V4MAPPED(to) ? MOST_IPV4_PACKET : (size_t)bytes;
}

/* ---- giving addresses ---- */

int loop_sim_host_add_address(struct loop_sim_node *node, const char *text)
{
    struct in6_addr address;
    if (loop_sim_address_parse(text, &address)) {
        return -EINVAL;
    }
    struct loop_sim_host *host = loop_sim_host_of(node);
    if (host->n_addresses == LOOP_SIM_MOST_ADDRESSES || loop_sim_address_is_any(&address) ||
        loop_sim_address_is_multicast(&address)) {
        return -EINVAL;
    }
    if (loop_sim_host_find(node, &address)) {
        return -EADDRINUSE;
    }
    host->addresses[host->n_addresses++] = address;
    loop_sim_network_of(node->world)->n_addresses++;
    return 0;
}

/* ---- ports ---- */

static struct loop_list *bucket_of(struct loop_sim_host *host, uint16_t port)
{
    return &host->bound[port % LOOP_SIM_PORT_BUCKETS];
}

/* Whether a socket receives what is sent to an address. */
static bool covers(const struct loop_sim_socket *socket, const struct in6_addr *local, const struct in6_addr *address)
{
    if (memcmp(local, address, sizeof *address) == 0) {
        return true;
    }
    if (!loop_sim_address_is_any(local)) {
        return false;
    }
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        return socket->family == AF_INET || !socket->options[LOOP_SIM_OPTION_IPV6_V6ONLY];
    }
    return socket->family == AF_INET6;
}

static bool is_listening(const struct loop_sim_socket *socket)
{
    return socket->number == IPPROTO_TCP && socket->stream.state == LOOP_SIM_TCP_LISTEN;
}

/* Whether a socket may have an address that overlaps with that of another. */
static bool may_share(const struct loop_sim_socket *one, const struct loop_sim_socket *other)
{
    if (one->options[LOOP_SIM_OPTION_REUSEPORT] && other->options[LOOP_SIM_OPTION_REUSEPORT]) {
        return true;
    }
    return one->options[LOOP_SIM_OPTION_REUSEADDR] && other->options[LOOP_SIM_OPTION_REUSEADDR] && !is_listening(one) &&
           !is_listening(other);
}

static bool is_taken(const struct loop_sim_socket *socket, const struct loop_sim_endpoint *local, bool may_share_it)
{
    struct loop_list *bucket = bucket_of(socket->file.node->host, local->port);
    for (struct loop_list *at = bucket->next; at != bucket; at = at->next) {
        const struct loop_sim_socket *other = LOOP_CONTAINER(at, struct loop_sim_socket, bound_link);
        if (other == socket || other->number != socket->number || other->local.port != local->port) {
            continue;
        }
        bool overlaps = covers(other, &other->local.address, &local->address) ||
                        covers(socket, &local->address, &other->local.address);
        if (overlaps && !(may_share_it && may_share(socket, other))) {
            return true;
        }
    }
    return false;
}

static void enter(struct loop_sim_socket *socket, const struct loop_sim_endpoint *local)
{
    socket->local = *local;
    socket->is_bound = true;
    loop_list_push_front(bucket_of(socket->file.node->host, local->port), &socket->bound_link);
}

/* Forgets connections whose time to hold their port is over. */
static void expire(struct loop_sim_host *host)
{
    struct loop_list *first;
    while ((first = loop_list_first(&host->waits))) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(first, struct loop_sim_socket, dead_link);
        if (socket->stream.holds_port_until_ns > host->node->world->now_ns) {
            return;
        }
        loop_list_remove(first);
        socket->stream.holds_port_until_ns = 0;
        loop_sim_host_unmatch(socket);
        if (socket->is_released) {
            loop_sim_socket_discard(socket);
        }
    }
}

void loop_sim_host_hold_port(struct loop_sim_socket *socket)
{
    struct loop_sim_host *host = socket->file.node->host;
    loop_list_remove(&socket->dead_link);
    socket->stream.holds_port_until_ns = loop_sim_sum_ns(host->node->world->now_ns, TIME_WAIT_NS);
    loop_list_push_back(&host->waits, &socket->dead_link);
}

/* Finds a port that nothing is bound to, from the last one chosen on. Returns 0 when there is none. */
static uint16_t free_port(struct loop_sim_socket *socket, const struct loop_sim_endpoint *local)
{
    struct loop_sim_host *host = socket->file.node->host;
    struct loop_sim_endpoint tried = *local;
    for (int n = LOOP_SIM_FIRST_PORT; n <= LAST_PORT; n++) {
        tried.port = host->next_port;
        host->next_port = tried.port == LAST_PORT ? LOOP_SIM_FIRST_PORT : (uint16_t)(tried.port + 1);
        if (!is_taken(socket, &tried, false)) {
            return tried.port;
        }
    }
    return 0;
}

int loop_sim_host_bind(struct loop_sim_socket *socket, const struct loop_sim_endpoint *local)
{
    struct loop_sim_endpoint chosen = *local;
    expire(socket->file.node->host);
    if (chosen.port == 0) {
        chosen.port = free_port(socket, local);
        if (chosen.port == 0) {
            return -EADDRINUSE;
        }
    } else if (is_taken(socket, &chosen, true)) {
        return -EADDRINUSE;
    }
    socket->is_port_chosen = local->port == 0;
    enter(socket, &chosen);
    return 0;
}

int loop_sim_host_bind_to_connect(struct loop_sim_socket *socket)
{
    struct loop_sim_endpoint local = socket->local;
    expire(socket->file.node->host);
    local.port = free_port(socket, &local);
    if (local.port == 0) {
        return -EADDRNOTAVAIL;
    }
    socket->is_port_chosen = true;
    enter(socket, &local);
    return 0;
}

void loop_sim_host_adopt(struct loop_sim_socket *socket, const struct loop_sim_endpoint *local)
{
    enter(socket, local);
}

int loop_sim_host_may_listen(struct loop_sim_socket *socket)
{
    return is_taken(socket, &socket->local, true) ? -EADDRINUSE : 0;
}

void loop_sim_host_unbind(struct loop_sim_socket *socket)
{
    loop_list_remove(&socket->bound_link);
    socket->is_bound = socket->is_port_chosen = socket->is_address_bound = false;
    socket->local = (struct loop_sim_endpoint){0};
    if (socket->family == AF_INET) {
        socket->local.address.s6_addr[10] = socket->local.address.s6_addr[11] = 0xff;
    }
}

void loop_sim_host_leave_port(struct loop_sim_socket *socket)
{
    if (socket->is_port_chosen) {
        loop_list_remove(&socket->bound_link);
        socket->is_bound = false;
    }
}

int loop_sim_host_bind_call(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length)
{
    static const struct in_addr any = {INADDR_ANY};
    struct loop_sim_endpoint local;
    struct sockaddr_in name = {0};
    if (socket->family == AF_INET && length >= sizeof name) {
        memcpy(&name, address, sizeof name);
        if (name.sin_family == AF_UNSPEC && name.sin_addr.s_addr == any.s_addr) { /* Linux takes what is all zeros */
            name.sin_family = AF_INET;
            address = (const struct sockaddr *)&name;
        }
    }
    int error = loop_sim_endpoint_read(&local, socket->family, address, length);
    if (error) {
        return error;
    }
    if (socket->is_bound || (socket->number == IPPROTO_TCP && socket->stream.state != LOOP_SIM_TCP_CLOSED)) {
        return -EINVAL;
    }
    if (IN6_IS_ADDR_V4MAPPED(&local.address) && socket->options[LOOP_SIM_OPTION_IPV6_V6ONLY]) {
        return -EINVAL;
    }
    bool is_own = loop_sim_address_is_any(&local.address) || loop_sim_host_has(socket->file.node, &local.address);
    bool is_other = loop_sim_address_is_multicast(&local.address) || loop_sim_address_is_broadcast(&local.address);
    if (!is_own && !socket->options[LOOP_SIM_OPTION_IP_FREEBIND] && !(is_other && socket->number == IPPROTO_UDP)) {
        return -EADDRNOTAVAIL;
    }
    if (local.port == 0 && socket->options[LOOP_SIM_OPTION_IP_BIND_ADDRESS_NO_PORT]) {
        socket->local = local; /* the port is chosen by connect */
    } else {
        error = loop_sim_host_bind(socket, &local);
    }
    socket->is_address_bound = !error && !loop_sim_address_is_any(&local.address);
    return error;
}

/* ---- finding the socket of a packet ---- */

struct loop_sim_socket *loop_sim_host_next_bound(struct loop_sim_host *host, const struct loop_sim_endpoint *local,
                                                 struct loop_sim_socket *last)
{
    const struct loop_list *bucket = bucket_of(host, local->port);
    for (struct loop_list *at = last ? last->bound_link.next : bucket->next; at != bucket; at = at->next) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, bound_link);
        if (socket->number == IPPROTO_UDP && socket->local.port == local->port &&
            covers(socket, &socket->local.address, &local->address)) {
            return socket;
        }
    }
    return NULL;
}

static uint32_t hash_of(const struct loop_sim_endpoint *remote, uint16_t port)
{
    uint32_t hash = port;
    for (size_t i = 0; i < sizeof remote->address.s6_addr; i++) {
        hash = hash * 31 + remote->address.s6_addr[i];
    }
    return (hash * 31 + remote->port) * UINT32_C(2654435761) >> 8;
}

static bool is_same(const struct loop_sim_endpoint *one, const struct loop_sim_endpoint *other)
{
    return one->port == other->port && memcmp(&one->address, &other->address, sizeof one->address) == 0;
}

void loop_sim_host_match(struct loop_sim_socket *socket)
{
    struct loop_sim_host *host = socket->file.node->host;
    uint32_t hash = hash_of(&socket->remote, socket->local.port);
    loop_list_remove(&socket->match_link);
    loop_list_push_front(&host->matched[hash % LOOP_SIM_MATCH_BUCKETS], &socket->match_link);
}

void loop_sim_host_unmatch(struct loop_sim_socket *socket)
{
    loop_list_remove(&socket->match_link);
}

struct loop_sim_socket *loop_sim_host_find_matched(struct loop_sim_host *host, int number,
                                                   const struct loop_sim_endpoint *local,
                                                   const struct loop_sim_endpoint *remote)
{
    expire(host);
    struct loop_list *bucket = &host->matched[hash_of(remote, local->port) % LOOP_SIM_MATCH_BUCKETS];
    for (struct loop_list *at = bucket->next; at != bucket; at = at->next) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, match_link);
        if (socket->number == number && is_same(&socket->local, local) && is_same(&socket->remote, remote)) {
            return socket;
        }
    }
    return NULL;
}

/* How well a bound socket fits a packet; 0: not at all. */
static int score_of(const struct loop_sim_socket *socket, int number, const struct loop_sim_endpoint *local)
{
    if (socket->number != number || socket->local.port != local->port || socket->is_matched ||
        (number == IPPROTO_TCP && socket->stream.state != LOOP_SIM_TCP_LISTEN) ||
        !covers(socket, &socket->local.address, &local->address)) {
        return 0;
    }
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&local->address);
    return 1 + (is_ipv4 == (socket->family == AF_INET)) + 2 * !loop_sim_address_is_any(&socket->local.address);
}

struct loop_sim_socket *loop_sim_host_find_bound(struct loop_sim_host *host, int number,
                                                 const struct loop_sim_endpoint *local,
                                                 const struct loop_sim_endpoint *remote)
{
    struct loop_list *bucket = bucket_of(host, local->port);
    struct loop_sim_socket *best = NULL;
    int best_score = 0;
    unsigned n_sharing = 0;
    for (struct loop_list *at = bucket->next; at != bucket; at = at->next) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, bound_link);
        int score = score_of(socket, number, local);
        if (score > best_score) {
            best = socket;
            best_score = score;
            n_sharing = 0;
        }
        n_sharing += score > 0 && score == best_score && socket->options[LOOP_SIM_OPTION_REUSEPORT];
    }
    if (n_sharing < 2) {
        return best;
    }
    unsigned skip = hash_of(remote, local->port) % n_sharing;
    for (struct loop_list *at = bucket->next; at != bucket; at = at->next) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, bound_link);
        bool is_sharing = score_of(socket, number, local) == best_score && socket->options[LOOP_SIM_OPTION_REUSEPORT];
        if (is_sharing && skip-- == 0) {
            return socket;
        }
    }
    return best;
}
