/* SPDX-License-Identifier: ISC
 *
 * The way of packets from node to node: links and rules.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/network/udp/group.h>
#include <loop/kernel/simulated/network/host.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/network/transport.h>

#include <string.h>

#define SECOND_NS INT64_C(1000000000)
#define NOBODY_ANSWERS_NS (3 * SECOND_NS)
#define RESEND_NS (SECOND_NS / 5)
#define USUAL_JITTER_NS (SECOND_NS / 50)

enum { PPM = 1000000, QUEUE_BYTES = 256 * 1024, LATENCIES = 16, HEAD_BYTES = 40 };

struct link {
    struct loop_list link;
    const struct loop_sim_node *from, *to;
    struct loop_sim_link way;
};

struct rule {
    struct loop_list link;
    unsigned number;
    struct loop_sim_rule rule;
};

/* ---- packets ---- */

struct loop_sim_packet *loop_sim_packet_create(struct loop_sim_socket *socket, size_t size)
{
    struct loop_sim_packet *packet =
        loop_sim_packet_create_from(socket->file.node, socket->protocol, &socket->local, &socket->remote, size);
    packet->is_doomed = socket->stream.is_doomed;
    return packet;
}

static void destroy(struct loop_sim_packet *packet)
{
    loop_list_remove(&packet->link);
    loop_sim_event_cancel(&packet->event);
    loop_sim_free(packet);
}

static bool is_connecting(const struct loop_sim_packet *packet)
{
    return packet->number == IPPROTO_TCP && packet->flags & LOOP_SIM_SYN;
}

/* ---- arrival ---- */

static void lose(struct loop_sim_packet *packet, const char *event)
{
    loop_sim_packet_trace(event, packet, false);
    if (packet->protocol->lost) {
        packet->protocol->lost(packet);
    }
    destroy(packet);
}

static void arrive(struct loop_sim_packet *packet)
{
    struct loop_sim_host *host = packet->to_node->host;
    if (!host || !host->is_up) {
        lose(packet, "lost: host is down");
        return;
    }
    if (packet->from_node != packet->to_node) {
        loop_sim_packet_trace("deliver", packet, false);
    }
    packet->protocol->input(host, packet);
    destroy(packet);
}

static void on_arrival(struct loop_sim_event *event)
{
    struct loop_sim_packet *packet = LOOP_CONTAINER(event, struct loop_sim_packet, event);
    struct loop_sim_world *world = packet->from_node->world;
    loop_sim_network_enter(world);
    loop_list_remove(&packet->link);
    arrive(packet);
    loop_sim_network_leave(world);
}

static void depart(struct loop_sim_packet *packet, int64_t due_ns)
{
    struct loop_sim_network *network = loop_sim_network_of(packet->from_node->world);
    loop_list_push_back(&network->in_flight, &packet->link);
    loop_sim_event_set(&packet->event, due_ns, on_arrival);
}

/* ---- links ---- */

static bool is_of(const struct loop_sim_node *asked, const struct loop_sim_node *node)
{
    return !asked || asked == node;
}

/* Returns the link for a packet, or NULL when none was set. */
static const struct loop_sim_link *link_of(const struct loop_sim_network *network, const struct loop_sim_packet *packet)
{
    for (struct loop_list *at = network->links.prev; at != &network->links; at = at->prev) {
        const struct link *link = LOOP_CONTAINER(at, struct link, link);
        if (is_of(link->from, packet->from_node) && is_of(link->to, packet->to_node)) {
            return &link->way;
        }
    }
    return NULL;
}

void loop_sim_link_set(struct loop_sim_world *world, const struct loop_sim_node *from, const struct loop_sim_node *to,
                       const struct loop_sim_link *way)
{
    struct link *link = loop_sim_alloc(sizeof *link);
    link->from = from;
    link->to = to;
    link->way = *way;
    loop_list_push_back(&loop_sim_network_of(world)->links, &link->link);
}

/* Whether something happens to `ppm` of a million packets; by choice where the link does not say how many. */
static bool happens(enum loop_sim_point point, uint32_t ppm)
{
    return ppm == 0 ? loop_sim_happens(point) : ppm >= PPM || loop_sim_happens_ppm(point, ppm);
}

/* Returns the time until which a link to a node sends what was given to it before. */
static int64_t *busy_until(const struct loop_sim_packet *packet)
{
    struct loop_sim_host *host = packet->from_node->host;
    unsigned index = packet->to_node->index;
    if (index >= host->n_busy) {
        unsigned n = index + 1;
        host->busy_until_ns = loop_sim_realloc(host->busy_until_ns, n * sizeof *host->busy_until_ns);
        memset(host->busy_until_ns + host->n_busy, 0, (n - host->n_busy) * sizeof *host->busy_until_ns);
        host->n_busy = n;
    }
    return &host->busy_until_ns[index];
}

/* Puts a packet behind those that wait for the rate of the link. Returns when it is sent, or -1 for a datagram that the
 * queue has no room for. */
static int64_t queue_until(const struct loop_sim_packet *packet, const struct loop_sim_link *link, int64_t now_ns)
{
    int64_t *busy_ns = busy_until(packet);
    int64_t begin_ns = *busy_ns > now_ns ? *busy_ns : now_ns;
    double waiting = (double)(begin_ns - now_ns) * (double)link->bytes_per_s / (double)SECOND_NS;
    size_t room = link->queue_bytes ? link->queue_bytes : QUEUE_BYTES;
    size_t size = packet->size + HEAD_BYTES;
    if (packet->number == IPPROTO_UDP && waiting + (double)size > (double)room) {
        return -1;
    }
    *busy_ns = loop_sim_sum_ns(begin_ns, (int64_t)((double)size * (double)SECOND_NS / (double)link->bytes_per_s));
    return *busy_ns;
}

static int64_t choose_latency(const struct loop_sim_link *link)
{
    int64_t delay_ns = link ? link->delay_ns : 0;
    int64_t jitter_ns = link && link->jitter_ns > 0 ? link->jitter_ns : USUAL_JITTER_NS;
    return loop_sim_sum_ns(delay_ns, jitter_ns / (LATENCIES - 1) * loop_sim_choose(LOOP_SIM_LATENCY, LATENCIES));
}

/* ---- rules ---- */

static bool matches(const struct loop_sim_rule *rule, const struct loop_sim_packet *packet)
{
    enum loop_sim_kind kind = is_connecting(packet)           ? LOOP_SIM_KIND_CONNECT
                              : packet->number == IPPROTO_TCP ? LOOP_SIM_KIND_STREAM
                                                              : LOOP_SIM_KIND_DATAGRAM;
    return is_of(rule->from, packet->from_node) && is_of(rule->to, packet->to_node) &&
           (rule->kind == LOOP_SIM_KIND_ANY || rule->kind == kind) && packet->size >= rule->least_bytes &&
           (rule->most_bytes == 0 || packet->size <= rule->most_bytes);
}

static const struct loop_sim_rule *rule_of(const struct loop_sim_network *network, const struct loop_sim_packet *packet)
{
    for (struct loop_list *at = network->rules.next; at != &network->rules; at = at->next) {
        const struct rule *rule = LOOP_CONTAINER(at, struct rule, link);
        if (rule->rule.action != LOOP_SIM_RULE_PASS && matches(&rule->rule, packet)) {
            return &rule->rule;
        }
    }
    return NULL;
}

unsigned loop_sim_rule_add(struct loop_sim_world *world, const struct loop_sim_rule *rule)
{
    struct loop_sim_network *network = loop_sim_network_of(world);
    struct rule *added = loop_sim_alloc(sizeof *added);
    added->rule = *rule;
    added->number = ++network->last_rule;
    loop_list_push_back(&network->rules, &added->link);
    return added->number;
}

void loop_sim_rule_remove(struct loop_sim_world *world, unsigned number)
{
    struct loop_sim_network *network = loop_sim_network_of(world);
    for (struct loop_list *at = network->rules.next; at != &network->rules; at = at->next) {
        struct rule *rule = LOOP_CONTAINER(at, struct rule, link);
        if (rule->number == number) {
            loop_list_remove(at);
            loop_sim_free(rule);
            return;
        }
    }
}

void loop_sim_rules_clear(struct loop_sim_world *world)
{
    struct loop_sim_network *network = loop_sim_network_of(world);
    for (struct loop_list *at; (at = loop_list_pop_front(&network->rules));) {
        loop_sim_free(LOOP_CONTAINER(at, struct rule, link));
    }
}

/* ---- departure ---- */

/* Makes a packet back to the sender of one: a reset, or that its destination cannot be reached. */
static struct loop_sim_packet *answer_to(const struct loop_sim_packet *packet, int unreachable)
{
    struct loop_sim_packet *answer =
        loop_sim_packet_create_from(packet->from_node, packet->protocol, &packet->to, &packet->from, 0);
    answer->to_node = packet->from_node;
    answer->unreachable = unreachable;
    answer->flags = unreachable ? 0 : LOOP_SIM_RST | LOOP_SIM_ACK;
    answer->first = packet->peer_first;
    answer->peer_first = packet->first;
    answer->sequence = packet->acknowledged;
    answer->acknowledged = packet->sequence + packet->size + (is_connecting(packet) ? 1 : 0);
    return answer;
}

/* Resets a connection that a packet is of: both ends are told, after the time that it takes to tell them. */
static void reset(struct loop_sim_packet *packet, int64_t due_ns)
{
    int64_t now_ns = packet->from_node->world->now_ns;
    loop_sim_packet_trace("reset", packet, false);
    if (packet->number == IPPROTO_UDP) {
        depart(answer_to(packet, ECONNREFUSED), due_ns);
        destroy(packet);
        return;
    }
    struct loop_sim_packet *answer = answer_to(packet, 0);
    answer->from_node = packet->to_node;
    depart(answer, loop_sim_sum_ns(due_ns, due_ns - now_ns));
    if ((packet->flags & (LOOP_SIM_SYN | LOOP_SIM_ACK)) == LOOP_SIM_SYN) {
        destroy(packet); /* the other end does not know of it */
        return;
    }
    packet->flags = LOOP_SIM_RST | LOOP_SIM_ACK;
    packet->size = 0;
    depart(packet, due_ns);
}

/* Nobody has the address: the host finds out after a while. */
static void find_nobody(struct loop_sim_packet *packet)
{
    int64_t now_ns = packet->from_node->world->now_ns;
    loop_sim_packet_trace("nobody", packet, true);
    depart(answer_to(packet, EHOSTUNREACH), loop_sim_sum_ns(now_ns, NOBODY_ANSWERS_NS));
    destroy(packet);
}

/* Returns a copy of a datagram, for a node. */
static struct loop_sim_packet *copy_of(const struct loop_sim_packet *packet, struct loop_sim_node *to)
{
    struct loop_sim_packet *copy =
        loop_sim_packet_create_from(packet->from_node, packet->protocol, &packet->from, &packet->to, packet->size);
    copy->to_node = to;
    copy->traffic_class = packet->traffic_class;
    copy->hop_limit = packet->hop_limit;
    copy->train = packet->train;
    copy->interface = packet->interface;
    if (packet->size > 0) {
        memcpy(copy->data, packet->data, packet->size);
    }
    return copy;
}

/* Sends a second copy of a datagram. */
static void duplicate(const struct loop_sim_packet *packet, int64_t due_ns)
{
    struct loop_sim_packet *copy = copy_of(packet, packet->to_node);
    loop_sim_packet_trace("duplicate", copy, false);
    depart(copy, due_ns);
}

static void send_datagram(struct loop_sim_packet *packet, const struct loop_sim_link *link, int64_t due_ns)
{
    int64_t now_ns = packet->from_node->world->now_ns;
    if (!packet->unreachable && happens(LOOP_SIM_LOSS, link ? link->loss_ppm : 0)) {
        lose(packet, "lost");
        return;
    }
    if (happens(LOOP_SIM_REORDER, link ? link->reorder_ppm : 0)) {
        int64_t flight_ns = due_ns - now_ns;
        loop_sim_packet_trace("late", packet, false);
        due_ns = loop_sim_sum_ns(due_ns, flight_ns > 0 ? flight_ns : USUAL_JITTER_NS); /* others overtake it */
    }
    if (!packet->unreachable && happens(LOOP_SIM_DUPLICATE, link ? link->duplicate_ppm : 0)) {
        duplicate(packet, loop_sim_sum_ns(due_ns, (due_ns - now_ns) / 2));
    }
    depart(packet, due_ns);
}

static void send_segment(struct loop_sim_packet *packet, const struct loop_sim_link *link, int64_t due_ns,
                         int64_t *arrives_ns)
{
    bool carries = packet->size > 0 || packet->flags & (LOOP_SIM_SYN | LOOP_SIM_FIN);
    if (packet->size > 0 && loop_sim_happens(LOOP_SIM_RESET)) {
        reset(packet, due_ns);
        return;
    }
    if (carries && happens(LOOP_SIM_LOSS, link ? link->loss_ppm : 0)) {
        loop_sim_packet_trace("lost, sent again", packet, false);
        due_ns = loop_sim_sum_ns(due_ns, packet->flags & LOOP_SIM_SYN ? SECOND_NS : RESEND_NS);
    }
    if (arrives_ns) {
        due_ns =
            *arrives_ns >= due_ns ? loop_sim_sum_ns(*arrives_ns, 1) : due_ns; /* events due at one time have no order */
        *arrives_ns = due_ns;
    }
    depart(packet, due_ns);
}

/* Sends a packet to another node. */
static void send_far(struct loop_sim_packet *packet, int64_t *arrives_ns)
{
    struct loop_sim_network *network = loop_sim_network_of(packet->from_node->world);
    const struct loop_sim_rule *rule = rule_of(network, packet);
    const struct loop_sim_link *link = link_of(network, packet);
    int64_t due_ns = network->world->now_ns;
    loop_sim_packet_trace("send", packet, true);
    if (packet->is_doomed || (rule && rule->action == LOOP_SIM_RULE_DROP)) {
        lose(packet, "dropped");
        return;
    }
    if (link && link->bytes_per_s > 0) {
        due_ns = queue_until(packet, link, due_ns);
        if (due_ns < 0) {
            lose(packet, "lost: queue is full");
            return;
        }
    }
    due_ns = loop_sim_sum_ns(due_ns, choose_latency(link));
    due_ns = loop_sim_sum_ns(due_ns, rule && rule->action == LOOP_SIM_RULE_DELAY ? rule->delay_ns : 0);
    if (rule && rule->action == LOOP_SIM_RULE_RESET) {
        reset(packet, due_ns);
    } else if (packet->number == IPPROTO_UDP) {
        send_datagram(packet, link, due_ns);
    } else {
        send_segment(packet, link, due_ns, arrives_ns);
    }
}

/* Sends a packet to the own node. */
static void send_near(struct loop_sim_packet *packet)
{
    struct loop_sim_network *network = loop_sim_network_of(packet->from_node->world);
    loop_sim_packet_trace("send", packet, true);
    packet->event.happen = on_arrival; /* at the end of this step */
    loop_list_push_back(&network->at_once, &packet->link);
    if (network->depth == 0) {
        loop_sim_network_enter(network->world);
        loop_sim_network_leave(network->world);
    }
}

/* Whether a node gets what is sent to a group. The loopback brings all back. */
static bool is_reached(const struct loop_sim_packet *packet, const struct loop_sim_node *node)
{
    if (node == packet->from_node) {
        return packet->interface == LOOP_SIM_LOOPBACK ||
               (packet->comes_back && loop_sim_group_has_member(node, packet->interface, &packet->to.address));
    }
    return packet->interface == LOOP_SIM_ETHERNET && packet->hop_limit > 0 &&
           loop_sim_group_has_member(node, packet->interface, &packet->to.address);
}

/* Sends a copy to each node that has members. Networks are one link, so that one hop reaches all. */
static void send_to_group(struct loop_sim_packet *packet)
{
    struct loop_list *nodes = &packet->from_node->world->nodes;
    for (struct loop_list *at = nodes->next; at != nodes; at = at->next) {
        struct loop_sim_node *node = LOOP_CONTAINER(at, struct loop_sim_node, link);
        if (!is_reached(packet, node)) {
            continue;
        }
        if (node == packet->from_node) {
            send_near(copy_of(packet, node));
        } else {
            send_far(copy_of(packet, node), NULL);
        }
    }
    destroy(packet);
}

void loop_sim_transmit(struct loop_sim_packet *packet, int64_t *arrives_ns)
{
    if (packet->interface) {
        send_to_group(packet);
        return;
    }
    packet->to_node = loop_sim_host_find(packet->from_node, &packet->to.address);
    if (packet->to_node == packet->from_node) {
        send_near(packet);
    } else if (!packet->to_node) {
        find_nobody(packet);
    } else {
        send_far(packet, arrives_ns);
    }
}

void loop_sim_stream_refuse_soon(struct loop_sim_socket *socket)
{
    struct loop_sim_packet *packet = loop_sim_packet_create(socket, 0);
    packet->flags = LOOP_SIM_SYN;
    packet->to_node = loop_sim_host_find(packet->from_node, &packet->to.address);
    const struct loop_sim_link *link =
        packet->to_node ? link_of(loop_sim_network_of(packet->from_node->world), packet) : NULL;
    loop_sim_packet_trace("send", packet, true);
    if (packet->to_node) {
        reset(packet, loop_sim_sum_ns(packet->from_node->world->now_ns, choose_latency(link)));
    } else {
        find_nobody(packet);
    }
}

void loop_sim_transport_finish(struct loop_sim_network *network)
{
    struct loop_list *at;
    while ((at = loop_list_first(&network->in_flight)) || (at = loop_list_first(&network->at_once))) {
        destroy(LOOP_CONTAINER(at, struct loop_sim_packet, link));
    }
    while ((at = loop_list_pop_front(&network->links))) {
        loop_sim_free(LOOP_CONTAINER(at, struct link, link));
    }
    while ((at = loop_list_pop_front(&network->rules))) {
        loop_sim_free(LOOP_CONTAINER(at, struct rule, link));
    }
}
