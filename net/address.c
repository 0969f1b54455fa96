/* SPDX-License-Identifier: ISC
 *
 * Socket addresses as text and back. Only literal addresses: nothing here asks a name server.
 */
#include <loop/kernel/socket.h>
#include <loop/part.h>
#include <net/address.h>

#include <assert.h>
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
#define PATH_SIZE sizeof(((struct sockaddr_un *)NULL)->sun_path)

/* "fe80::1%" and an interface's name. */
#define HOST_SIZE (INET6_ADDRSTRLEN + 1 + IF_NAMESIZE)

/* ---- from text ---- */

/* Reads a decimal number up to `most`, without leading zeros. Returns false for anything else. */
static bool parse_number(const char *text, unsigned long most, unsigned long *number)
{
    unsigned long value = 0;

    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0')) {
        return false;
    }
    for (; *text; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        unsigned long digit = (unsigned long)(*text - '0');
        if (value > (most - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

/* Reads the name or the number of an interface; a name wins over a number, as in getaddrinfo(3). */
static bool parse_zone(const char *text, uint32_t *zone)
{
    unsigned long number;

    *zone = loop_kernel_if_nametoindex(text);
    if (*zone == 0 && parse_number(text, UINT32_MAX, &number)) {
        *zone = (uint32_t)number;
    }
    return *zone != 0;
}

/* Reads the text between the brackets, and cuts its zone off. */
static bool parse_ipv6(char *host, in_port_t port, struct loop_address *address)
{
    struct sockaddr_in6 *ipv6 = &address->u.ipv6;
    char *percent = strchr(host, '%');

    if (percent) {
        *percent = '\0';
        if (!parse_zone(percent + 1, &ipv6->sin6_scope_id)) {
            return false;
        }
    }
    ipv6->sin6_family = AF_INET6;
    ipv6->sin6_port = htons(port);
    address->length = sizeof *ipv6;
    return inet_pton(AF_INET6, host, &ipv6->sin6_addr) == 1;
}

static bool parse_ipv4(const char *host, in_port_t port, struct loop_address *address)
{
    struct sockaddr_in *ipv4 = &address->u.ipv4;

    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(port);
    address->length = sizeof *ipv4;
    return inet_pton(AF_INET, host, &ipv4->sin_addr) == 1;
}

static bool parse_host(char *host, in_port_t port, struct loop_address *address)
{
    size_t len = strlen(host);

    if (len == 0) {
        char everywhere[] = "::";
        return parse_ipv6(everywhere, port, address);
    }
    if (host[0] != '[') {
        return parse_ipv4(host, port, address);
    }
    if (host[len - 1] != ']') {
        return false;
    }
    host[len - 1] = '\0';
    return parse_ipv6(host + 1, port, address);
}

static int parse_tcp(struct loop_address *address, const char *text)
{
    char host[HOST_SIZE + 2]; /* with its brackets */
    const char *colon = strrchr(text, ':');
    unsigned long port;

    if (!colon || (size_t)(colon - text) >= sizeof host || !parse_number(colon + 1, 65535, &port)) {
        return -EINVAL;
    }
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    return parse_host(host, (in_port_t)port, address) ? 0 : -EINVAL;
}

/* Reads a path or an abstract name. An abstract name begins with a NUL byte and has the length of the address; a path
 * ends with a NUL. */
static int parse_unix(struct loop_address *address, const char *text)
{
    struct sockaddr_un *local = &address->u.local;
    size_t len = strlen(text);
    bool is_abstract = text[0] == '@';

    if (len == (is_abstract ? 1 : 0)) {
        return -EINVAL;
    }
    if (len + (is_abstract ? 0 : 1) > PATH_SIZE) {
        return -ENAMETOOLONG;
    }
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, text, len);
    if (is_abstract) {
        local->sun_path[0] = '\0';
    }
    address->length = (socklen_t)(PATH_OFFSET + len + (is_abstract ? 0 : 1));
    assert(address->length > PATH_OFFSET && address->length <= sizeof *local);
    return 0;
}

int loop_address_parse(struct loop_address *address, const char *text)
{
    int error = -EINVAL;

    if (!address || !text) {
        return -EINVAL;
    }
    memset(address, 0, sizeof *address);
    if (strncmp(text, "tcp:", 4) == 0 || strncmp(text, "udp:", 4) == 0) {
        error = parse_tcp(address, text + 4);
    } else if (strncmp(text, "unix:", 5) == 0) {
        error = parse_unix(address, text + 5);
    }
    if (error < 0) {
        memset(address, 0, sizeof *address);
    }
    return error;
}

/* ---- to text ---- */

static int format_ipv4(const struct sockaddr_in *ipv4, char *text, size_t size_bytes)
{
    char host[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &ipv4->sin_addr, host, sizeof host);
    return snprintf(text, size_bytes, "tcp:%s:%u", host, (unsigned)ntohs(ipv4->sin_port));
}

static int format_ipv6(const struct sockaddr_in6 *ipv6, char *text, size_t size_bytes)
{
    char host[INET6_ADDRSTRLEN], name[IF_NAMESIZE] = "";
    const char *percent = ipv6->sin6_scope_id ? "%" : "";

    inet_ntop(AF_INET6, &ipv6->sin6_addr, host, sizeof host);
    if (ipv6->sin6_scope_id && !loop_kernel_if_indextoname(ipv6->sin6_scope_id, name)) {
        snprintf(name, sizeof name, "%u", (unsigned)ipv6->sin6_scope_id);
    }
    return snprintf(text, size_bytes, "tcp:[%s%s%s]:%u", host, percent, name, (unsigned)ntohs(ipv6->sin6_port));
}

/* Writes `len` bytes of a name at `text`, which has room for each byte as \xNN. Returns the end. */
static char *escape(char *text, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)name[i];
        if (byte >= ' ' && byte <= '~') {
            *text++ = (char)byte;
        } else {
            text += sprintf(text, "\\x%02x", (unsigned)byte);
        }
    }
    return text;
}

/* Writes a path or an abstract name. A path that begins with '@' gets a "./" in front, or it would read as an abstract
 * name. */
static int format_unix(const struct sockaddr_un *local, socklen_t length, char *text, size_t size_bytes)
{
    char name[4 * PATH_SIZE + sizeof "./"];
    size_t len = length > PATH_OFFSET ? length - PATH_OFFSET : 0;
    const char *path = local->sun_path;
    char *end = name;

    if (len > 0 && path[0] == '\0') {
        *end++ = '@';
        end = escape(end, path + 1, len - 1);
    } else {
        len = strnlen(path, len);
        if (len > 0 && path[0] == '@') {
            *end++ = '.';
            *end++ = '/';
        }
        end = escape(end, path, len);
    }
    assert(end < name + sizeof name);
    *end = '\0';
    return snprintf(text, size_bytes, "unix:%s", name);
}

int loop_address_format(const struct loop_address *address, char *text, size_t size_bytes)
{
    int len = 0;

    if (!text) {
        return -EINVAL;
    }
    int error = loop_net_check_address(address);
    if (error < 0) {
        return error;
    }
    switch (address->u.any.sa_family) {
    case AF_INET: len = format_ipv4(&address->u.ipv4, text, size_bytes); break;
    case AF_INET6: len = format_ipv6(&address->u.ipv6, text, size_bytes); break;
    default: len = format_unix(&address->u.local, address->length, text, size_bytes); break;
    }
    if ((size_t)len < size_bytes) {
        return len;
    }
    if (size_bytes > 0) {
        text[0] = '\0';
    }
    return -ENOSPC;
}

/* ---- addresses of sockets ---- */

int loop_net_check_address(const struct loop_address *address)
{
    size_t least = 0;

    if (!address || address->length < sizeof(sa_family_t) || address->length > sizeof address->u.local) {
        return -EINVAL;
    }
    switch (address->u.any.sa_family) {
    case AF_INET: least = sizeof address->u.ipv4; break;
    case AF_INET6: least = sizeof address->u.ipv6; break;
    case AF_UNIX: least = PATH_OFFSET; break;
    default: return -EAFNOSUPPORT;
    }
    return address->length >= least ? 0 : -EINVAL;
}

/* Stores the address that `get` returns. For a path without its NUL the kernel returns a length beyond the structure's,
 * and has written what fits. */
static int take_address(int number, struct loop_address *address, int (*get)(int, struct sockaddr *, socklen_t *))
{
    const socklen_t room = sizeof address->u.local; /* the largest of them */
    socklen_t length = room;

    memset(address, 0, sizeof *address);
    if (get(number, &address->u.any, &length) < 0) {
        return -errno;
    }
    address->length = length < room ? length : room;
    return 0;
}

static int get_local(int number, struct sockaddr *any, socklen_t *length)
{
    return loop_kernel_getsockname(number, any, length);
}

static int get_peer(int number, struct sockaddr *any, socklen_t *length)
{
    return loop_kernel_getpeername(number, any, length);
}

int loop_net_local_address(int number, struct loop_address *address)
{
    return take_address(number, address, get_local);
}

int loop_net_peer_address(int number, struct loop_address *address)
{
    return take_address(number, address, get_peer);
}

static int flow_address(struct loop_flow *flow, struct loop_address *address, int (*get)(int, struct loop_address *),
                        const char *function)
{
    if (!loop_check_flow(flow, function) || !address) {
        return -EINVAL;
    }
    if (!flow->fd) {
        return -EBADF;
    }
    int number = loop_fd_use(flow->fd);
    if (number < 0) {
        return number;
    }
    int error = get(number, address);
    loop_fd_unuse(flow->fd);
    return error;
}

int loop_flow_local_address(struct loop_flow *flow, struct loop_address *address)
{
    return flow_address(flow, address, loop_net_local_address, __func__);
}

int loop_flow_peer_address(struct loop_flow *flow, struct loop_address *address)
{
    return flow_address(flow, address, loop_net_peer_address, __func__);
}
