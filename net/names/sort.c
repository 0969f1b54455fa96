/* SPDX-License-Identifier: ISC
 *
 * RFC 6724: destination address selection. The rules 3 (deprecated sources), 4 (home addresses) and 7 (native
 * transport) need what only the kernel knows, and are left out. IPv4 addresses are compared as mapped ones.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <net/names/sort.h>

#include <arpa/inet.h>
#include <string.h>

enum scope { LINK_LOCAL = 2, SITE_LOCAL = 5, GLOBAL = 14 };

/* What the rules compare. */
struct side {
    unsigned char bytes[16];
    unsigned scope, label, precedence;
};

struct candidate {
    struct loop_address address;
    struct side to, from;
    bool has_source;
    size_t at; /* in the order of the answer */
};

/* The default table of RFC 6724, section 2.1, the longest prefixes first. */
static const struct {
    unsigned char prefix[16];
    unsigned bits, precedence, label;
} policies[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, 50, 0},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 35, 4},
    {{0}, 96, 1, 3},
    {{0x20, 0x01}, 32, 5, 5},
    {{0x20, 0x02}, 16, 30, 2},
    {{0x3f, 0xfe}, 16, 1, 12},
    {{0xfe, 0xc0}, 10, 1, 11},
    {{0xfc}, 7, 3, 13},
    {{0}, 0, 40, 1},
};

/* Returns how many bits at the front are the same. */
static unsigned common_bits(const unsigned char one[16], const unsigned char other[16])
{
    unsigned bits = 0;

    while (bits < 128 && !((one[bits / 8] ^ other[bits / 8]) & 0x80 >> bits % 8)) {
        bits++;
    }
    return bits;
}

static bool is_mapped(const unsigned char bytes[16])
{
    return common_bits(bytes, policies[1].prefix) >= 96;
}

static enum scope scope_of(const unsigned char bytes[16])
{
    if (is_mapped(bytes)) {
        bool is_local = bytes[12] == 127 || (bytes[12] == 169 && bytes[13] == 254);
        return is_local ? LINK_LOCAL : GLOBAL;
    }
    if (bytes[0] == 0xff) {
        return (enum scope)(bytes[1] & 0xf);
    }
    if ((bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) || common_bits(bytes, policies[0].prefix) == 128) {
        return LINK_LOCAL;
    }
    return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0xc0 ? SITE_LOCAL : GLOBAL;
}

static struct side side_of(const struct loop_address *address)
{
    struct side side = {.scope = 0};

    if (address->u.any.sa_family == AF_INET) {
        memcpy(side.bytes, policies[1].prefix, 12);
        memcpy(side.bytes + 12, &address->u.ipv4.sin_addr, 4);
    } else {
        memcpy(side.bytes, &address->u.ipv6.sin6_addr, 16);
    }
    side.scope = scope_of(side.bytes);
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        if (common_bits(side.bytes, policies[i].prefix) >= policies[i].bits) {
            side.label = policies[i].label;
            side.precedence = policies[i].precedence;
            break;
        }
    }
    return side;
}

/* Each look for a source takes four system calls. A family has mostly one route: those of an answer that has more
 * addresses than this are taken to have the source of the last one that was looked at. */
enum { MOST_LOOKS = 16 };

/* Finds the local address for a destination: connecting a datagram socket sends nothing. */
static void find_source(struct candidate *candidate)
{
    struct loop_address to = candidate->address, from;

    from.length = sizeof from.u;
    to.u.ipv4.sin_port = htons(53); /* any but 0; the port of both families is at one place */
    int number = loop_kernel_socket(to.u.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (number < 0) {
        return;
    }
    if (loop_kernel_connect(number, &to.u.any, to.length) == 0 &&
        loop_kernel_getsockname(number, &from.u.any, &from.length) == 0) {
        candidate->has_source = true;
        candidate->from = side_of(&from);
    }
    loop_kernel_close(number);
}

/* Returns what is left of two numbers: negative where the first is to come first because it is larger. */
static int larger_first(unsigned one, unsigned other)
{
    return (one < other) - (one > other);
}

static int by_matching(const struct candidate *one, const struct candidate *other)
{
    int result = larger_first(one->to.scope == one->from.scope, other->to.scope == other->from.scope); /* rule 2 */

    return result ? result : larger_first(one->to.label == one->from.label, other->to.label == other->from.label);
}

/* Rule 9 says nothing of IPv4, where the longest prefix would undo the order that servers give. */
static int by_prefix(const struct candidate *one, const struct candidate *other)
{
    if (!one->has_source || !other->has_source || is_mapped(one->to.bytes) || is_mapped(other->to.bytes)) {
        return 0;
    }
    unsigned bits = common_bits(one->to.bytes, one->from.bytes);
    unsigned other_bits = common_bits(other->to.bytes, other->from.bytes);
    return larger_first(bits < 64 ? bits : 64, other_bits < 64 ? other_bits : 64);
}

static int compare(const void *one_pointer, const void *other_pointer)
{
    const struct candidate *one = one_pointer, *other = other_pointer;
    int result = larger_first(one->has_source, other->has_source); /* rule 1 */

    if (result == 0 && one->has_source && other->has_source) {
        result = by_matching(one, other); /* rules 2 and 5 */
    }
    if (result == 0) {
        result = larger_first(one->to.precedence, other->to.precedence); /* rule 6 */
    }
    if (result == 0) {
        result = larger_first(other->to.scope, one->to.scope); /* rule 8: the smaller scope */
    }
    if (result == 0) {
        result = by_prefix(one, other);
    }
    return result ? result : (one->at > other->at) - (one->at < other->at); /* rule 10 */
}

static void find_sources(struct candidate *candidates, size_t count, int family)
{
    const struct candidate *last = NULL;
    unsigned looks = 0;

    for (size_t i = 0; i < count; i++) {
        struct candidate *candidate = &candidates[i];
        if (candidate->address.u.any.sa_family != family) {
            continue;
        }
        if (looks++ < MOST_LOOKS) {
            find_source(candidate);
            last = candidate;
        } else {
            candidate->has_source = last->has_source;
            candidate->from = last->from;
        }
    }
}

void loop_names_sort(struct loop_address *addresses, size_t count)
{
    struct candidate *candidates = count > 1 ? loop_kernel_calloc(count, sizeof *candidates) : NULL;

    if (!candidates) {
        return; /* as the servers gave them */
    }
    for (size_t i = 0; i < count; i++) {
        candidates[i] = (struct candidate){.address = addresses[i], .to = side_of(&addresses[i]), .at = i};
    }
    find_sources(candidates, count, AF_INET);
    find_sources(candidates, count, AF_INET6);
    qsort(candidates, count, sizeof *candidates, compare);
    for (size_t i = 0; i < count; i++) {
        addresses[i] = candidates[i].address;
    }
    loop_kernel_free(candidates);
}
