/* SPDX-License-Identifier: ISC
 *
 * Records, and the addresses in them.
 */
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <net/names/records.h>

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

/* More of a kind than this are left out: each new one is compared with those that are there. */
#define MOST_RECORDS 1024

void loop_names_records_init(struct loop_names_records *records)
{
    *records = (struct loop_names_records){.expires_ns = LOOP_NEVER};
}

void loop_names_records_finish(struct loop_names_records *records)
{
    loop_kernel_free(records->addresses);
    loop_kernel_free(records->names);
    loop_names_records_init(records);
}

/* ---- addresses ---- */

struct loop_address loop_names_address(int family, const void *bytes, uint32_t zone)
{
    struct loop_address address;

    assert(family == AF_INET || family == AF_INET6);
    memset(&address, 0, sizeof address);
    if (family == AF_INET) {
        address.length = sizeof address.u.ipv4;
        address.u.ipv4.sin_family = AF_INET;
        memcpy(&address.u.ipv4.sin_addr, bytes, sizeof address.u.ipv4.sin_addr);
    } else {
        address.length = sizeof address.u.ipv6;
        address.u.ipv6.sin6_family = AF_INET6;
        address.u.ipv6.sin6_scope_id = zone;
        memcpy(&address.u.ipv6.sin6_addr, bytes, sizeof address.u.ipv6.sin6_addr);
    }
    return address;
}

const unsigned char *loop_names_bytes(const struct loop_address *address, size_t *len)
{
    if (address->u.any.sa_family == AF_INET) {
        *len = sizeof address->u.ipv4.sin_addr;
        return (const unsigned char *)&address->u.ipv4.sin_addr;
    }
    assert(address->u.any.sa_family == AF_INET6);
    *len = sizeof address->u.ipv6.sin6_addr;
    return (const unsigned char *)&address->u.ipv6.sin6_addr;
}

static uint32_t zone_of(const struct loop_address *address)
{
    return address->u.any.sa_family == AF_INET6 ? address->u.ipv6.sin6_scope_id : 0;
}

bool loop_names_same_address(const struct loop_address *one, const struct loop_address *other)
{
    size_t len, other_len;
    const unsigned char *bytes = loop_names_bytes(one, &len), *others = loop_names_bytes(other, &other_len);

    return len == other_len && memcmp(bytes, others, len) == 0 && zone_of(one) == zone_of(other);
}

int loop_names_add_address(struct loop_names_records *records, const struct loop_address *address)
{
    for (size_t i = 0; i < records->n_addresses; i++) {
        if (loop_names_same_address(&records->addresses[i], address)) {
            return 0;
        }
    }
    if (records->n_addresses == MOST_RECORDS) {
        return 0;
    }
    if (records->n_addresses == records->addresses_room) {
        size_t room = records->addresses_room ? 2 * records->addresses_room : 4;
        struct loop_address *more = loop_kernel_realloc(records->addresses, room * sizeof *more);
        if (!more) {
            return -ENOMEM;
        }
        records->addresses = more;
        records->addresses_room = room;
    }
    records->addresses[records->n_addresses++] = *address;
    return 0;
}

int loop_names_add_bytes(struct loop_names_records *records, int family, const void *bytes, uint32_t zone)
{
    struct loop_address address = loop_names_address(family, bytes, zone);

    return loop_names_add_address(records, &address);
}

bool loop_names_has_family(const struct loop_names_records *records, int family)
{
    for (size_t i = 0; i < records->n_addresses; i++) {
        if (records->addresses[i].u.any.sa_family == family) {
            return true;
        }
    }
    return false;
}

/* ---- names ---- */

int loop_names_add_name(struct loop_names_records *records, const char *name)
{
    size_t size = strlen(name) + 1;

    if (records->n_names == MOST_RECORDS) {
        return 0;
    }
    for (size_t at = 0; at < records->names_len; at += strlen(records->names + at) + 1) {
        if (loop_names_equal(records->names + at, name)) {
            return 0;
        }
    }
    if (records->names_room - records->names_len < size) {
        size_t room = 2 * (records->names_len + size);
        char *more = loop_kernel_realloc(records->names, room);
        if (!more) {
            return -ENOMEM;
        }
        records->names = more;
        records->names_room = room;
    }
    memcpy(records->names + records->names_len, name, size);
    records->names_len += size;
    records->n_names++;
    return 0;
}

/* ---- text ---- */

/* Reads an IPv6 address and its zone; a name of an interface wins over a number, as in getaddrinfo(3). */
static int parse_ipv6(char *host, struct loop_address *address)
{
    char *percent = strchr(host, '%');
    struct in6_addr bytes;
    unsigned long zone = 0;

    if (percent) {
        *percent = '\0';
    }
    if (inet_pton(AF_INET6, host, &bytes) != 1) {
        return 0;
    }
    if (percent) {
        zone = loop_kernel_if_nametoindex(percent + 1);
        if (zone == 0 && (!loop_names_number(percent + 1, UINT32_MAX, &zone) || zone == 0)) {
            return -EINVAL;
        }
    }
    *address = loop_names_address(AF_INET6, &bytes, (uint32_t)zone);
    return 1;
}

int loop_names_parse_numeric(const char *host, struct loop_address *address)
{
    char copy[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
    size_t len = strlen(host);
    struct in_addr bytes;

    if (inet_pton(AF_INET, host, &bytes) == 1) {
        *address = loop_names_address(AF_INET, &bytes, 0);
        return 1;
    }
    if (host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len >= sizeof copy) {
        return 0;
    }
    memcpy(copy, host, len);
    copy[len] = '\0';
    return parse_ipv6(copy, address);
}

const char *loop_names_address_text(const struct loop_address *address, char text[LOOP_NAMES_ADDRESS_TEXT])
{
    char whole[LOOP_ADDRESS_TEXT_SIZE];
    size_t scheme = sizeof "tcp:" - 1;

    if (loop_address_format(address, whole, sizeof whole) < (int)scheme) {
        whole[scheme] = '\0';
    }
    loop_names_copy(text, LOOP_NAMES_ADDRESS_TEXT, whole + scheme);
    return text;
}
