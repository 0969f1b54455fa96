/* SPDX-License-Identifier: ISC
 *
 * Packets, and how they are traced, with the bytes that they would have on the wire: IP, TCP, UDP and ICMP with right
 * checksums.
 */
#include <loop/kernel/simulated/machine/trace.h>
#include <loop/kernel/simulated/network/packet.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum {
    IPV4_HEAD = 20,
    IPV6_HEAD = 40,
    TCP_HEAD = 20,
    UDP_HEAD = 8,
    ICMP_HEAD = 8,
    MOST_PACKET = 65535,
    HOPS = 64,
    WINDOW_SHIFT = 7,
    ICMP_IPV6 = 58
};

struct loop_sim_packet *loop_sim_packet_create_from(struct loop_sim_node *node,
                                                    const struct loop_sim_protocol *protocol,
                                                    const struct loop_sim_endpoint *from,
                                                    const struct loop_sim_endpoint *to, size_t size)
{
    struct loop_sim_packet *packet = loop_sim_alloc(sizeof *packet + size);
    loop_list_init(&packet->link);
    packet->from_node = node;
    packet->protocol = protocol;
    packet->number = protocol->number;
    packet->from = *from;
    packet->to = *to;
    packet->hop_limit = HOPS;
    packet->size = size;
    return packet;
}

/* ---- bytes ---- */

static void put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static void put32(unsigned char *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

/* Adds bytes to a checksum, RFC 1071. */
static uint32_t add(uint32_t sum, const unsigned char *data, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2) {
        sum += ((uint32_t)data[i] << 8) | data[i + 1];
    }
    if (len % 2) {
        sum += (uint32_t)data[len - 1] << 8;
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static bool is_ipv4(const struct loop_sim_packet *packet)
{
    return IN6_IS_ADDR_V4MAPPED(&packet->to.address);
}

/* Adds what a checksum has of the IP head. */
static uint32_t pseudo_sum(const struct loop_sim_packet *packet, unsigned number, size_t len)
{
    uint32_t sum = number + (uint32_t)len;
    if (is_ipv4(packet)) {
        sum = add(sum, &packet->from.address.s6_addr[12], 4);
        return add(sum, &packet->to.address.s6_addr[12], 4);
    }
    sum = add(sum, packet->from.address.s6_addr, sizeof packet->from.address);
    return add(sum, packet->to.address.s6_addr, sizeof packet->to.address);
}

/* ---- heads ---- */

static size_t put_ip(unsigned char *at, const struct loop_sim_packet *packet, unsigned number, size_t len)
{
    if (is_ipv4(packet)) {
        at[0] = 0x45;
        at[1] = packet->traffic_class;
        put16(at + 2, (unsigned)(IPV4_HEAD + len));
        at[6] = 0x40; /* it must not be split */
        at[8] = packet->hop_limit;
        at[9] = (unsigned char)number;
        memcpy(at + 12, &packet->from.address.s6_addr[12], 4);
        memcpy(at + 16, &packet->to.address.s6_addr[12], 4);
        put16(at + 10, ~add(0, at, IPV4_HEAD) & 0xffff);
        return IPV4_HEAD;
    }
    at[0] = (unsigned char)(0x60 | packet->traffic_class >> 4);
    at[1] = (unsigned char)(packet->traffic_class << 4);
    put16(at + 4, (unsigned)len);
    at[6] = (unsigned char)number;
    at[7] = packet->hop_limit;
    memcpy(at + 8, &packet->from.address, sizeof packet->from.address);
    memcpy(at + 24, &packet->to.address, sizeof packet->to.address);
    return IPV6_HEAD;
}

static size_t put_tcp(unsigned char *at, const struct loop_sim_packet *packet, size_t len)
{
    bool is_push = packet->size > 0;
    bool has_answer = (packet->flags & LOOP_SIM_ACK) != 0;
    uint64_t window = packet->window_end > packet->acknowledged ? packet->window_end - packet->acknowledged : 0;
    window = window < 0xffff ? window : 0xffff;
    put16(at, packet->from.port);
    put16(at + 2, packet->to.port);
    put32(at + 4, packet->first + (uint32_t)packet->sequence);
    put32(at + 8, has_answer ? packet->peer_first + (uint32_t)packet->acknowledged : 0);
    at[12] = TCP_HEAD / 4 << 4;
    at[13] = (unsigned char)(packet->flags | (is_push ? 8 : 0));
    put16(at + 14, (unsigned)window);
    if (packet->flags & LOOP_SIM_URG) {
        put16(at + 18, (unsigned)(packet->urgent + 1 - packet->sequence));
    }
    memcpy(at + TCP_HEAD, packet->data, len);
    put16(at + 16, ~add(pseudo_sum(packet, IPPROTO_TCP, TCP_HEAD + len), at, TCP_HEAD + len) & 0xffff);
    return TCP_HEAD + len;
}

static size_t put_udp(unsigned char *at, const struct loop_sim_packet *packet, size_t len)
{
    put16(at, packet->from.port);
    put16(at + 2, packet->to.port);
    put16(at + 4, (unsigned)(UDP_HEAD + len));
    memcpy(at + UDP_HEAD, packet->data, len);
    unsigned sum = ~add(pseudo_sum(packet, IPPROTO_UDP, UDP_HEAD + len), at, UDP_HEAD + len) & 0xffff;
    put16(at + 6, sum ? sum : 0xffff);
    return UDP_HEAD + len;
}

/* "Destination unreachable", with the heads of the packet that it is about. */
static size_t put_icmp(unsigned char *at, const struct loop_sim_packet *packet)
{
    struct loop_sim_packet about = *packet;
    about.from = packet->to;
    about.to = packet->from;
    bool is_v4 = is_ipv4(packet);
    bool is_port = packet->unreachable == ECONNREFUSED;
    at[0] = is_v4 ? 3 : 1;
    at[1] = is_v4 ? (is_port ? 3 : 1) : (is_port ? 4 : 3);
    size_t n = put_ip(at + ICMP_HEAD, &about, (unsigned)packet->number, UDP_HEAD);
    put16(at + ICMP_HEAD + n, about.from.port);
    put16(at + ICMP_HEAD + n + 2, about.to.port);
    put16(at + ICMP_HEAD + n + 4, UDP_HEAD);
    size_t len = ICMP_HEAD + n + UDP_HEAD;
    uint32_t sum = is_v4 ? 0 : pseudo_sum(packet, ICMP_IPV6, len);
    put16(at + 2, ~add(sum, at, len) & 0xffff);
    return len;
}

/* Writes a packet. Returns its size. */
static size_t put(unsigned char *at, const struct loop_sim_packet *packet)
{
    size_t head = is_ipv4(packet) ? IPV4_HEAD : IPV6_HEAD;
    size_t most = MOST_PACKET - IPV6_HEAD - TCP_HEAD;
    size_t len = packet->size < most ? packet->size : most;
    unsigned number = packet->unreachable ? (is_ipv4(packet) ? IPPROTO_ICMP : ICMP_IPV6) : (unsigned)packet->number;
    size_t size = packet->unreachable             ? put_icmp(at + head, packet)
                  : packet->number == IPPROTO_TCP ? put_tcp(at + head, packet, len)
                                                  : put_udp(at + head, packet, len);
    (void)put_ip(at, packet, number, size);
    return head + size;
}

/* ---- text ---- */

static void put_kind(char *text, size_t size, const struct loop_sim_packet *packet)
{
    if (packet->unreachable) {
        snprintf(text, size, "icmp unreachable");
        return;
    }
    snprintf(text, size, "%s%s%s%s%s", packet->number == IPPROTO_TCP ? "tcp" : "udp",
             packet->flags & LOOP_SIM_SYN ? " syn" : "", packet->flags & LOOP_SIM_FIN ? " fin" : "",
             packet->flags & LOOP_SIM_RST ? " rst" : "", packet->flags & LOOP_SIM_ACK ? " ack" : "");
}

/* The beginning of what a packet carries, as a C string in quotes after a space; empty for nothing. */
static void put_beginning(char *text, size_t size, const struct loop_sim_packet *packet)
{
    static const char hex[] = "0123456789abcdef";
    size_t len = 0;
    text[0] = 0;
    for (size_t i = 0; i < packet->size && len + 10 < size; i++) {
        unsigned char byte = packet->data[i];
        len += len == 0 ? (size_t)snprintf(text, size, " \"") : 0;
        if (byte == '\n' || byte == '"' || byte == '\\') {
            text[len++] = '\\';
            text[len++] = byte == '\n' ? 'n' : (char)byte;
        } else if (byte >= ' ' && byte < 127) {
            text[len++] = (char)byte;
        } else {
            text[len++] = '\\';
            text[len++] = 'x';
            text[len++] = hex[byte >> 4];
            text[len++] = hex[byte & 15];
        }
        bool is_cut = i + 1 < packet->size && len + 10 >= size;
        memcpy(text + len, is_cut ? "..." : "\"", is_cut ? 4 : 2);
    }
}

void loop_sim_packet_trace(const char *event, const struct loop_sim_packet *packet, bool with_bytes)
{
    enum { ENDPOINT_SIZE = INET6_ADDRSTRLEN + 8, KIND_SIZE = 32, BEGINNING_SIZE = 40 };
    char from[ENDPOINT_SIZE], to[ENDPOINT_SIZE], kind[KIND_SIZE], beginning[BEGINNING_SIZE];
    if (!packet->from_node->world->trace) {
        return;
    }
    loop_sim_endpoint_describe(&packet->from, from, sizeof from);
    loop_sim_endpoint_describe(&packet->to, to, sizeof to);
    put_kind(kind, sizeof kind, packet);
    put_beginning(beginning, sizeof beginning, packet);
    if (!with_bytes) {
        loop_sim_trace(event, packet->from_node, packet->to_node, "%s %s > %s, %zu bytes%s", kind, from, to,
                       packet->size, beginning);
        return;
    }
    size_t most_heads = 2 * IPV6_HEAD + TCP_HEAD + ICMP_HEAD;
    unsigned char *bytes = loop_sim_alloc(most_heads + (packet->size < MOST_PACKET ? packet->size : MOST_PACKET));
    size_t size = put(bytes, packet);
    loop_sim_trace_packet(event, packet->from_node, packet->to_node, bytes, size, "%s %s > %s, %zu bytes%s", kind, from,
                          to, packet->size, beginning);
    loop_sim_free(bytes);
}
