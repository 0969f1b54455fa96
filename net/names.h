/* SPDX-License-Identifier: ISC
 *
 * Names: addresses of a host, names of an address, and connecting to a host by its name. These functions are a library
 * of their own, noria::names (noria-names by pkg-config): a program that uses no names does not link it.
 *
 * Nothing here blocks the loop's thread. A thread of the pool reads the files that describe names, when they have
 * changed: resolv.conf, hosts, nsswitch.conf and services. The loop waits for the servers by its own descriptors and
 * timers. Every function may be called on the loop's thread only.
 *
 * How a host name is looked up. A numeric address is itself. Of nsswitch.conf the line "hosts:" gives the order of the
 * hosts file ("files") and the servers ("dns"; "resolve" means "files dns"); other sources are left out, and without a
 * line it is "files dns". "localhost" and names below it are the loopback addresses unless the hosts file has them: no
 * server is asked. Of resolv.conf "nameserver", "search" and "domain" count, and of "options" ndots, timeout, attempts
 * and rotate. Names in other than ASCII characters have to be given in their encoded form ("xn--...").
 *
 * The library is built with c-ares, or without it (NORIA_CARES). Which server is asked when, for how long, and which
 * answers are kept, is the same with every version of c-ares from 1.18 on: newer ones have a cache, servers that they
 * avoid and timeouts of their own, and these are not used. For that the library has to be built with the headers of the
 * version that it runs with, or of 1.31 or newer: built with older ones and run with 1.32 or newer, a question that is
 * open for 5 seconds may end although its timeout is longer.
 *
 * Without c-ares a thread of the pool calls getaddrinfo(3) or getnameinfo(3) in place of asking the servers. Then:
 *
 * - the system's own configuration decides which servers are asked, and how: servers, resolv_conf, timeout_ns and
 *   attempts of struct loop_resolver_options end a look-up with -EOPNOTSUPP where they are set;
 * - answers have no TTL, so that nothing is cached, and expires_ns is 0;
 * - a cancelled look-up ends soon (LOOP_WORK_GRACE_NS), but its thread stays in the C library until that gives up;
 * - the C library may refuse hosts with other bytes than those of host names ("a+b.example"), with -ENOENT or -EAGAIN;
 * - both families are known at the same time, and loop_connect_name waits for both.
 *
 * Where a job is said to end with -ECANCELED, it ends with -ETIMEDOUT after the deadline of its scope.
 */
#ifndef NET_NAMES_H
#define NET_NAMES_H

#include <net/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- why a look-up failed ---- */

/* Size of the text of an error, including its NUL. A longer text is cut. */
#define LOOP_NAME_ERROR_SIZE 1024

/* What went wrong, as a line for a person: which step, of which name, and what to look at. It belongs to the job until
 * the continuation is resumed, as any memory that is handed to a job. `text` is "" after a success. */
struct loop_name_error {
    char text[LOOP_NAME_ERROR_SIZE];
};

/* ---- resolvers ---- */

/* Where names are looked up, and the cache of the answers. Look-ups without one use a resolver that belongs to the
 * loop: the files of /etc, and no cache. */
struct loop_resolver;

struct loop_resolver_options {
    /* The servers to ask, in this order, in place of those of resolv.conf; port 0 is 53. At most 8. They are copied */
    const struct loop_address *servers LOOP_ZERO;
    size_t n_servers LOOP_ZERO;
    const char *resolv_conf LOOP_ZERO; /* a path; NULL: "/etc/resolv.conf" */
    const char *hosts LOOP_ZERO;       /* a path; NULL: "/etc/hosts" */
    const char *nsswitch LOOP_ZERO;    /* a path; NULL: "/etc/nsswitch.conf" */
    const char *services LOOP_ZERO;    /* a path; NULL: "/etc/services" */
    /* How long one server has to answer before the next is asked; 0: as resolv.conf says, or 5 s */
    int64_t timeout_ns LOOP_ZERO;
    unsigned attempts LOOP_ZERO; /* how often all servers are asked, at most 1000; 0: as resolv.conf says, or 2 */
    /* > 0: keeps up to so many answers of servers until their TTL is over, for a week at most. Those that say that
     * there is no such name or address are kept too, for 3 hours at most. Each answer takes about as much memory as its
     * message, mostly less than 512 bytes. 0: keeps none */
    size_t cache_limit LOOP_ZERO;
};

/* Opens a resolver, which belongs to `scope`. `options` may be NULL; it and what it points to are not used after the
 * call. A look-up that has begun may outlive the resolver's scope. No file is read yet, and a file that does not exist
 * is an empty one, as /dev/null is. Returns NULL when there is no memory, the scope has ended, or an option is bad:
 * more than 8 servers, a server that is no internet address, more than 1000 attempts, or a negative timeout. */
LOOP_API struct loop_resolver *loop_resolver_open(struct loop_scope *scope,
                                                  const struct loop_resolver_options *options);

/* Drops every answer that the resolver keeps. The files are looked at again in any case. */
LOOP_API void loop_resolver_flush(struct loop_resolver *resolver);

/* ---- addresses of a host ---- */

struct loop_resolve_options {
    struct loop_resolver *resolver LOOP_ZERO; /* NULL: that of the loop */
    int family LOOP_ZERO;                     /* AF_INET or AF_INET6: only these addresses. 0: both */
    bool datagram LOOP_ZERO;                  /* the service is one of UDP; otherwise of TCP */
    int64_t timeout_ns LOOP_ZERO;             /* > 0: the look-up ends with -ETIMEDOUT after this time */
};

/* The addresses of a host: one allocation, which the caller frees with free(). */
struct loop_addresses {
    const struct loop_address *items; /* the one to try first comes first, as RFC 6724 orders them */
    size_t count;
    /* The name of the host after all aliases (CNAME); for a numeric host its text. Where the last alias has other bytes
     * than ASCII letters, digits, "-", "_" and ".", it is the host that was asked for */
    const char *name;
    /* When the answer is no longer valid, a point of CLOCK_MONOTONIC. LOOP_NEVER: it was numeric, or of the hosts file.
     * 0: unknown */
    int64_t expires_ns;
};

/* Looks up the addresses of `host`, with the port of `service`.
 *
 * host      a name of printable ASCII characters other than \ / : % [ ] and the quotation mark; a name that ends with a
 *           dot, for which no search domain is tried; or a numeric address of inet_pton(3), with a zone such as
 *           "fe80::1%eth0", also in brackets
 * service   a decimal port, a name in the services file, or NULL or "" for port 0
 *
 * `*addresses` is set before the continuation is resumed, and NULL after an error. `error` may be NULL. `host`,
 * `service` and `options` (may be NULL) are not used after the call. A numeric host with a numeric port needs no file.
 *
 * Resumes with the number of addresses, which is at least 1; or with an error:
 *   -ENOENT           there is no such host
 *   -ENODATA          the host has no address, or none of this family
 *   -EPROTONOSUPPORT  there is no such service
 *   -EAGAIN           a server has answered that it cannot answer, or has answered nonsense: later it may
 *   -ETIMEDOUT        no server has answered, or timeout_ns or the deadline of the scope has passed
 *   -ECONNREFUSED, -ENETUNREACH, -EHOSTUNREACH   no server can be reached
 *   -EMFILE, -ENFILE  there was no descriptor for a socket or a file
 *   -EACCES, -EIO     or another errno of open(2) or read(2) on a file that exists; -ENXIO for what is no file
 *   -EINVAL           a host that is no name and no address, a bad port, an unknown zone, a bad option
 *   -EOPNOTSUPP       an option of the resolver that this build does not have
 *   -ENOMEM, -ECANCELED
 *
 * A cancel closes the sockets of the look-up at once. */
LOOP_API loop_job loop_resolve_name(struct loop_scope *scope, const char *host, const char *service,
                                    const struct loop_resolve_options *options, struct loop_addresses **addresses,
                                    struct loop_name_error *error, loop_fn *fn, void *arg);

/* ---- names of an address ---- */

/* The names of an address: one allocation, which the caller frees with free(). */
struct loop_host_names {
    const char *const *items; /* the first is that of the host, others are aliases */
    size_t count;
    const char *service; /* the name of the port in the services file; NULL when it has none */
    int64_t expires_ns;  /* as in struct loop_addresses */
};

/* Looks up the names of an internet address, in the hosts file or by the servers (PTR). Any host may claim any name in
 * such an answer. Names with other bytes than ASCII letters, digits, "-", "_" and "." are left out. To trust a name,
 * look up its addresses. `*names` is set before the continuation is resumed, and NULL after an error. `error` may be
 * NULL. `address` and `options` (may be NULL; `family` is not used) are not used after the call.
 *
 * Resumes with the number of names, which is at least 1; -ENOENT when the address has no name; -EAFNOSUPPORT for a Unix
 * address; or the other errors of loop_resolve_name. */
LOOP_API loop_job loop_resolve_address(struct loop_scope *scope, const struct loop_address *address,
                                       const struct loop_resolve_options *options, struct loop_host_names **names,
                                       struct loop_name_error *error, loop_fn *fn, void *arg);

/* ---- connecting ---- */

struct loop_connect_name_options {
    struct loop_resolve_options resolve LOOP_ZERO; /* `datagram` is not used */
    /* For each connection: bind_to (which leaves out the addresses of other families), settings, nagle, interface,
     * congestion, and timeout_ns of one address */
    struct loop_connect_options connect LOOP_ZERO;
    int64_t attempt_delay_ns LOOP_ZERO; /* how long one address is tried alone; 0: 250 ms */
    int64_t timeout_ns LOOP_ZERO;       /* > 0: -ETIMEDOUT after this time, look-up included */
};

/* Connects a TCP socket to `service` of `host`, by whichever of its addresses answers first (RFC 8305). The addresses
 * are tried in the order of loop_resolve_name, with the families in turns. The next one is tried when the last one has
 * failed, or after attempt_delay_ns, while the earlier ones go on. The first connection wins, and the others are
 * closed. Servers are asked for both families at once. The first IPv6 addresses are tried as soon as they are known,
 * IPv4 addresses when those of IPv6 are known or 50 ms later.
 *
 * `*flow` is set before the continuation is resumed with 0, and belongs to `scope`. No other socket is left by then.
 * `error` may be NULL. Strings and options (may be NULL) are not used after the call.
 *
 * Resumes with 0, or with an error: one of loop_resolve_name; or when no address could be connected to, that of
 * loop_connect for the address that was tried first; -EINVAL when `service` is NULL or ""; -ECANCELED. Then `*flow` is
 * NULL, and `error` has what became of each address: "connecting to HOST:SERVICE: ADDRESS: what; ADDRESS: what". */
LOOP_API loop_job loop_connect_name(struct loop_scope *scope, const char *host, const char *service,
                                    const struct loop_connect_name_options *options, struct loop_flow **flow,
                                    struct loop_name_error *error, loop_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
