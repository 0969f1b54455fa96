/* SPDX-License-Identifier: ISC
 *
 * A DNS server on the loop of the test, which misbehaves for the names that ask for it, and the files of a resolver.
 * The first label of a name chooses what is done:
 *
 *   silent     no answer                        silent6   none to the question for AAAA
 *   late       an answer after 20 ms            servfail, refused   these codes
 *   garbage    bytes that are no message        broken    a header that promises more than there is
 *   half       an address, and a header that promises more
 *   wrong      an answer with another id, and the good one after 20 ms
 *   big        truncated by UDP, 100 addresses by TCP
 *   alias      an alias of host.test.           circle    an alias of itself
 *   odd        an alias of we!rd.test.
 *   short      a TTL of 1 s                     gone      no address, though the name exists
 *   nothing, and every other name that is not in the table: no such name
 */
#ifndef TESTS_NAME_SERVER_H
#define TESTS_NAME_SERVER_H

#include "sockets.h"

#include <net/names.h>

#include <arpa/inet.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_PTR = 12, TYPE_AAAA = 28 };

/* No name is longer: 253 bytes. */
#define LABEL_50 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmn"
#define LABEL_49 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklm"
#define LONGEST_NAME LABEL_50 "." LABEL_50 "." LABEL_50 "." LABEL_50 "." LABEL_49

/* What the server knows. `data` is an address, or the name that a PTR has. */
static const struct zone {
    const char *name;
    int type;
    const char *data;
} zone[] = {
    {"host.test", TYPE_A, "192.0.2.1"},
    {"host.test", TYPE_AAAA, "2001:db8::1"},
    {"www.one.test", TYPE_A, "192.0.2.2"},
    {"www.two.test", TYPE_A, "192.0.2.3"},
    {"a.b", TYPE_A, "192.0.2.4"},
    {"short.test", TYPE_A, "192.0.2.5"},
    {"late.test", TYPE_A, "192.0.2.6"},
    {"silent6.test", TYPE_A, "127.0.0.1"},
    {"wrong.test", TYPE_A, "192.0.2.7"},
    {"local.test", TYPE_A, "127.0.0.1"},
    {LONGEST_NAME, TYPE_A, "192.0.2.8"},
    {"plus+at@x;y.test", TYPE_A, "192.0.2.9"},
    {"we!rd.test", TYPE_A, "192.0.2.10"},
    {"1.2.0.192.in-addr.arpa", TYPE_PTR, "host.test"},
    {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", TYPE_PTR, "six.test"},
    {"2.2.0.192.in-addr.arpa", TYPE_PTR, "bad name\nwith.test"},
};

__attribute__((unused)) static struct name_server {
    struct loop_datagram_socket *socket;
    struct loop_listener *listener;
    struct loop_scope *scope;
    struct loop_address address;
    unsigned queries, by_tcp;
    char last[300]; /* the name of the last question */
    bool is_deaf;   /* answers nothing */
} name_server;

/* ---- messages ---- */

struct dns_message {
    unsigned char bytes[8192];
    size_t len;
};

static inline void put16(struct dns_message *message, unsigned value)
{
    message->bytes[message->len++] = (unsigned char)(value >> 8);
    message->bytes[message->len++] = (unsigned char)value;
}

static inline void put_name(struct dns_message *message, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");
        message->bytes[message->len++] = (unsigned char)len;
        memcpy(message->bytes + message->len, name, len);
        message->len += len;
        name += len + (name[len] == '.');
    }
    message->bytes[message->len++] = 0;
}

/* Adds a record whose owner is the name at `owner` in the message, or `name`. */
static inline void put_record(struct dns_message *message, const char *name, int type, unsigned ttl, const void *data,
                              size_t len)
{
    if (name) {
        put_name(message, name);
    } else {
        put16(message, 0xc00c); /* that of the question */
    }
    put16(message, (unsigned)type);
    put16(message, 1);
    put16(message, ttl >> 16);
    put16(message, ttl & 0xffff);
    put16(message, (unsigned)len);
    memcpy(message->bytes + message->len, data, len);
    message->len += len;
}

static inline void put_named(struct dns_message *message, const char *name, int type, unsigned ttl, const char *target)
{
    struct dns_message data = {.len = 0};

    put_name(&data, target);
    put_record(message, name, type, ttl, data.bytes, data.len);
}

static inline void put_data(struct dns_message *message, const char *name, const struct zone *entry, unsigned ttl)
{
    unsigned char bytes[16];

    if (entry->type == TYPE_PTR) {
        put_named(message, name, TYPE_PTR, ttl, entry->data);
    } else {
        CHECK_IS(inet_pton(entry->type == TYPE_A ? AF_INET : AF_INET6, entry->data, bytes), 1);
        put_record(message, name, entry->type, ttl, bytes, entry->type == TYPE_A ? 4 : 16);
    }
}

static inline void put_soa(struct dns_message *message)
{
    struct dns_message data = {.len = 0};

    put_name(&data, "ns.test");
    put_name(&data, "person.test");
    for (int i = 0; i < 5; i++) {
        put16(&data, 0);
        put16(&data, i == 4 ? 30 : 1); /* the last is how long a negative answer is valid */
    }
    put_record(message, "test", TYPE_SOA, 60, data.bytes, data.len);
    message->bytes[9]++;
}

static inline bool starts(const char *name, const char *label)
{
    size_t len = strlen(label);

    return strncmp(name, label, len) == 0 && name[len] == '.';
}

static inline void set_code(struct dns_message *message, unsigned code)
{
    message->bytes[3] = (unsigned char)((message->bytes[3] & 0xf0) | code);
}

static inline void add_found(struct dns_message *message, const char *owner, const char *name, int type)
{
    bool exists = starts(name, "gone");

    for (size_t i = 0; i < COUNT_OF(zone); i++) {
        bool is_named = strcasecmp(zone[i].name, name) == 0;
        exists |= is_named;
        if (is_named && zone[i].type == type) {
            put_data(message, owner, &zone[i], starts(name, "short") ? 1 : 60);
            message->bytes[7]++;
        }
    }
    if (message->bytes[7] == 0) {
        set_code(message, exists ? 0 : 3);
        put_soa(message);
    }
}

static inline void add_hundred(struct dns_message *message)
{
    for (unsigned i = 0; i < 100; i++) {
        const unsigned char bytes[4] = {198, 51, 100, (unsigned char)i};
        put_record(message, NULL, TYPE_A, 60, bytes, sizeof bytes);
    }
    message->bytes[7] = 100;
}

/* Makes the answer. Returns false when there is none. */
static inline bool make_answer(struct dns_message *answer, const unsigned char *query, size_t len, bool by_tcp)
{
    char *name = name_server.last;
    size_t at = 12, name_len = 0;

    CHECK(len > 17);
    name_server.queries++;
    name_server.by_tcp += by_tcp;
    while (query[at] > 0 && at + query[at] + 5 < len) {
        memcpy(name + name_len, query + at + 1, query[at]);
        name_len += query[at];
        name[name_len++] = '.';
        at += query[at] + 1u;
    }
    name[name_len ? name_len - 1 : 0] = '\0';
    int type = query[at + 1] << 8 | query[at + 2];
    answer->len = at + 5;
    memcpy(answer->bytes, query, answer->len);
    memcpy(answer->bytes + 2, (const unsigned char[]){0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, 10);
    if (name_server.is_deaf || starts(name, "silent") || (starts(name, "silent6") && type == TYPE_AAAA)) {
        return false;
    }
    if (starts(name, "servfail") || starts(name, "refused")) {
        set_code(answer, name[0] == 's' ? 2 : 5);
    } else if (starts(name, "garbage")) {
        memset(answer->bytes, 0xff, answer->len);
    } else if (starts(name, "broken")) {
        answer->bytes[7] = 9;
    } else if (starts(name, "half")) {
        put_record(answer, NULL, type, 60, "\300\0\2\11\0\0\0\0\0\0\0\0\0\0\0", type == TYPE_A ? 4 : 16);
        answer->bytes[7] = 2;
    } else if (starts(name, "big") && type == TYPE_A) {
        if (by_tcp) {
            add_hundred(answer);
        } else {
            answer->bytes[2] |= 2;
        }
    } else if (starts(name, "alias") || starts(name, "odd")) {
        const char *target = name[0] == 'a' ? "host.test" : "we!rd.test";
        put_named(answer, NULL, TYPE_CNAME, 60, target);
        answer->bytes[7] = 1;
        add_found(answer, target, target, type);
    } else if (starts(name, "circle")) {
        put_named(answer, NULL, TYPE_CNAME, 60, name);
        answer->bytes[7] = 1;
    } else {
        add_found(answer, NULL, name, type);
    }
    return true;
}

/* ---- by UDP ---- */

struct late_answer {
    struct dns_message answer;
    struct loop_address to;
};

static inline void send_late(void *arg, int64_t result)
{
    struct late_answer *late = arg;

    if (result == 0) {
        CHECK_IS(loop_datagram_put(name_server.socket, &late->to, late->answer.bytes, late->answer.len), 0);
    }
    free(late);
}

static inline void answer_late(const struct dns_message *answer, const struct loop_address *to)
{
    struct late_answer *late = malloc(sizeof *late);

    CHECK(late);
    late->answer = *answer;
    late->to = *to;
    CHECK(loop_sleep(name_server.scope, 20 * LOOP_MILLISECOND, send_late, late));
}

static inline void on_query(void *unused, int64_t result, const struct loop_datagram *datagram)
{
    struct dns_message answer;

    (void)unused;
    if (!datagram || result < 0 || !make_answer(&answer, datagram->data, datagram->len, false)) {
        return;
    }
    if (starts(name_server.last, "late") || starts(name_server.last, "wrong")) {
        answer_late(&answer, datagram->sender);
        answer.bytes[1] ^= 1;
    }
    if (!starts(name_server.last, "late")) {
        CHECK_IS(loop_datagram_put(name_server.socket, datagram->sender, answer.bytes, answer.len), 0);
    }
    script_poke();
}

/* ---- by TCP ---- */

struct tcp_query {
    struct loop_flow *peer;
    unsigned char bytes[514];
    struct dns_message answer;
};

static inline void on_tcp_query(void *arg, int64_t result)
{
    struct tcp_query *query = arg;

    if (result > 0 && make_answer(&query->answer, query->bytes + 2, (size_t)result, true)) {
        memmove(query->answer.bytes + 2, query->answer.bytes, query->answer.len);
        query->answer.bytes[0] = (unsigned char)(query->answer.len >> 8);
        query->answer.bytes[1] = (unsigned char)query->answer.len;
        loop_write(&query->peer->sink, query->answer.bytes, query->answer.len + 2, NULL, NULL);
        loop_sleep(query->peer->scope, LOOP_SECOND, NULL, NULL);
    }
}

static inline void on_tcp_length(void *arg, int64_t result)
{
    struct tcp_query *query = arg;
    size_t len = (size_t)(query->bytes[0] << 8 | query->bytes[1]);

    if (result == 2 && len <= sizeof query->bytes - 2) {
        loop_read_exact(&query->peer->source, query->bytes + 2, len, on_tcp_query, query);
    }
}

static inline void on_tcp_connection(struct loop_flow *peer, void *unused)
{
    struct tcp_query *query = loop_scope_alloc(peer->scope, sizeof *query);

    (void)unused;
    CHECK(query);
    query->peer = peer;
    loop_read_exact(&peer->source, query->bytes, 2, on_tcp_length, query);
}

/* Starts the server in a scope of its own, on one port of UDP and TCP, which another program may have by TCP. */
static inline void start_name_server_at(struct loop_scope *scope, const char *text)
{
    struct loop_address at = parsed(text);
    struct loop_datagram_options options = {.bind_to = &at};
    struct loop_server *server;
    int error = -EADDRINUSE;

    name_server.scope = loop_scope_open(scope, NULL, NULL);
    CHECK(name_server.scope);
    loop_scope_daemon(name_server.scope);
    for (int i = 0; i < 100 && error == -EADDRINUSE; i++) {
        CHECK_IS(loop_datagram_open(name_server.scope, &options, &name_server.socket), 0);
        CHECK_IS(loop_datagram_address(name_server.socket, &name_server.address), 0);
        error = loop_serve(name_server.scope, &name_server.address, NULL, &server, on_tcp_connection, NULL);
        if (error < 0) {
            loop_datagram_close(name_server.socket);
        }
    }
    CHECK_IS(error, 0);
    CHECK(loop_datagram_stream(name_server.socket, on_query, NULL));
}

static inline void start_name_server(struct loop_scope *scope)
{
    start_name_server_at(scope, "udp:127.0.0.1:0");
}

/* ---- the files of a resolver ---- */

static inline void write_file(const char *path, const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    CHECK(fd >= 0);
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        CHECK(n > 0);
        done += (size_t)n;
    }
    close(fd);
}

__attribute__((unused)) static struct resolver_files {
    const char *directory;
    char resolv_conf[200], hosts[200], nsswitch[200], services[200];
    struct loop_resolver_options options; /* with the server, if it has been started */
} resolver_files;

static inline void write_text(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

/* Makes a directory with the files, and options that name them. */
static inline void make_files(const char *resolv_conf, const char *hosts, const char *nsswitch)
{
    struct resolver_files *files = &resolver_files;

    files->directory = make_directory();
    snprintf(files->resolv_conf, sizeof files->resolv_conf, "%s/resolv.conf", files->directory);
    snprintf(files->hosts, sizeof files->hosts, "%s/hosts", files->directory);
    snprintf(files->nsswitch, sizeof files->nsswitch, "%s/nsswitch.conf", files->directory);
    snprintf(files->services, sizeof files->services, "%s/services", files->directory);
    write_text(files->resolv_conf, resolv_conf);
    write_text(files->hosts, hosts);
    write_text(files->nsswitch, nsswitch);
    write_text(files->services, "# some\nhttp 80/tcp www # the web\nexotic 7/udp\nexotic 8/tcp\n");
    files->options = (struct loop_resolver_options){.resolv_conf = files->resolv_conf,
                                                    .hosts = files->hosts,
                                                    .nsswitch = files->nsswitch,
                                                    .services = files->services};
}

/* Makes the files, starts the server, and opens a resolver that asks it. */
static inline struct loop_resolver *make_resolver(struct loop_scope *scope, const char *resolv_conf, const char *hosts)
{
    make_files(resolv_conf, hosts, "hosts: files dns\n");
    start_name_server(scope);
    resolver_files.options.servers = &name_server.address;
    resolver_files.options.n_servers = 1;
    resolver_files.options.timeout_ns = 2 * LOOP_SECOND;
    resolver_files.options.attempts = 1;
    struct loop_resolver *resolver = loop_resolver_open(scope, &resolver_files.options);
    CHECK(resolver);
    return resolver;
}

/* Returns whether the kernel tells here, without waiting, whether a file has changed: openat2(2), and a file system
 * that has the attributes in memory. */
static inline bool can_look_at_once(void)
{
    struct open_how cached = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};
    struct statfs status;
    int number = (int)syscall(SYS_openat2, AT_FDCWD, resolver_files.hosts, &cached, sizeof cached);
    bool is_known = number >= 0 && fstatfs(number, &status) == 0 &&
                    (status.f_type == EXT4_SUPER_MAGIC || status.f_type == TMPFS_MAGIC ||
                     status.f_type == OVERLAYFS_SUPER_MAGIC || status.f_type == BTRFS_SUPER_MAGIC);

    close(number);
    return is_known;
}

static inline void remove_files(void)
{
    remove_directory(resolver_files.directory);
}

/* ---- what was found ---- */

__attribute__((unused)) static char found_text[16384];

/* Returns the addresses as text, a blank between two. */
static inline const char *text_of(const struct loop_addresses *addresses)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];

    found_text[0] = '\0';
    for (size_t i = 0; i < addresses->count; i++) {
        CHECK(loop_address_format(&addresses->items[i], text, sizeof text) > 0);
        strcat(found_text, i ? " " : "");
        strcat(found_text, text + 4);
    }
    return found_text;
}

#endif
