/* SPDX-License-Identifier: ISC
 *
 * Sockets: addresses, connecting, listening, serving, and datagrams. TCP and UDP over IPv4 and IPv6, and Unix sockets.
 * Their options are in <net/socket_option.h>, which this header includes.
 *
 * Every function may be called on the loop's thread only. loop_address_parse and loop_address_format use no loop and
 * may be called on any thread. All sockets are close-on-exec and nonblocking. TCP sockets have TCP_NODELAY set, because
 * the loop gathers what one continuation writes; `nagle` in the options leaves it off.
 *
 * Where a job is said to end with -ECANCELED, it ends with -ETIMEDOUT after the deadline of its scope.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <domain/domain.h>
#include <loop/loop.h>
#include <net/socket_option.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- addresses ---- */

/* A socket address and its exact length in bytes. */
struct loop_address {
    socklen_t length;
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
        struct sockaddr_un local;
    } u;
};

/* Size of the longest text of loop_address_format, including its NUL. */
#define LOOP_ADDRESS_TEXT_SIZE 512

/* Parses an address: "tcp:127.0.0.1:80", "tcp:[::1]:80" (with a zone: "tcp:[fe80::1%eth0]:80"), "unix:/path", or
 * "unix:@name" for the abstract name. "udp:" means the same as "tcp:". An empty host, "tcp::80", is every address of
 * both families ("[::]"). A host name is no address: loop_resolve_name and loop_connect_name in <net/names.h> look it
 * up.
 *
 * Returns 0; -EINVAL for any other text, an unknown interface, or NULL; -ENAMETOOLONG for a path or name that does not
 * fit into sun_path. `*address` is all zero after an error. */
LOOP_API int loop_address_parse(struct loop_address *address, const char *text);

/* Writes an address as loop_address_parse reads it, with "tcp:" for all internet addresses. Bytes of a Unix path or
 * name that are not printable become \xNN, which loop_address_parse does not decode.
 *
 * Returns the length of the text without its NUL; -ENOSPC when it does not fit into `size_bytes`; -EINVAL or
 * -EAFNOSUPPORT when `address` is no address of these families. */
LOOP_API int loop_address_format(const struct loop_address *address, char *text, size_t size_bytes);

/* Stores the local address of a connection, getsockname(2). Returns 0; -EBADF when the flow is closed or has no single
 * descriptor; -ENOTSOCK for a descriptor that is no socket. */
LOOP_API int loop_flow_local_address(struct loop_flow *flow, struct loop_address *address);

/* Stores the address of the other end of a connection, getpeername(2). Returns 0; -ENOTCONN when the connection is
 * gone; -EBADF when the flow is closed or has no single descriptor; -ENOTSOCK for a descriptor that is no socket. */
LOOP_API int loop_flow_peer_address(struct loop_flow *flow, struct loop_address *address);

/* ---- peers of Unix sockets ---- */

/* The process that has connected a Unix socket, or has made the pair, as the kernel recorded it then. */
struct loop_credentials {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};

/* Stores the process at the other end of a connection, SO_PEERCRED in unix(7). The process may have ended or have given
 * the connection to another one since. Returns 0; -EOPNOTSUPP for a socket of another family; -ENOTCONN when it is not
 * connected; -EBADF when the flow is closed or has no single descriptor; -ENOTSOCK. */
LOOP_API int loop_flow_peer_credentials(struct loop_flow *flow, struct loop_credentials *credentials);

/* Opens a descriptor of the process at the other end, SO_PEERPIDFD (Linux 6.5), which never refers to another process
 * that has got the same number. `*process` belongs to `scope`. It is readable when the process has ended (loop_poll),
 * and may be so from the start.
 *
 * Returns 0; -ENOPROTOOPT when the kernel does not have it; -EOPNOTSUPP for a socket of another family; -ESRCH when the
 * process has ended and been waited for (before Linux 6.16); -ENODATA or -ENOTCONN when the socket has no peer; -EMFILE
 * or -ENFILE; -EBADF when the flow is closed or has no single descriptor; -ENOTSOCK; -ENOMEM; -ECANCELED when the scope
 * is cancelled. After an error `*process` is NULL. */
LOOP_API int loop_flow_peer_process(struct loop_scope *scope, struct loop_flow *flow, struct loop_fd **process);

/* ---- connecting ---- */

struct loop_connect_options {
    const struct loop_address *bind_to LOOP_ZERO; /* NULL: the kernel chooses the local address */
    const struct loop_socket_setting *settings LOOP_ZERO;
    size_t n_settings LOOP_ZERO;
    bool nagle LOOP_ZERO;
    bool packets LOOP_ZERO;           /* Unix: SOCK_SEQPACKET, see below */
    const char *interface LOOP_ZERO;  /* LOOP_SO_BINDTODEVICE */
    const char *congestion LOOP_ZERO; /* LOOP_TCP_CONGESTION */
    int64_t timeout_ns LOOP_ZERO;     /* 0: only the kernel's own timeout. Otherwise -ETIMEDOUT after this time */
};

/* Connections of packets, `packets` in the options: each loop_write to the flow is a packet, and each loop_read returns
 * one, whose rest is lost when it does not fit (recv(2)); see <loop/flow.h>. An empty packet cannot be told from the
 * end. Listener and client have to agree: a connect to a listener of the other kind ends with -EPROTOTYPE for a path,
 * and with -ECONNREFUSED for an abstract name. */

/* Connects a stream socket to `address`. `*flow` is set before the continuation is resumed with 0, and belongs to
 * `scope`. `address` and `options` (may be NULL) are not used after the call.
 *
 * Resumes with 0, or with an error: those of socket(2), bind(2) and connect(2), such as -ECONNREFUSED, -ETIMEDOUT,
 * -EMFILE, -EADDRNOTAVAIL, and -ENOENT for a Unix path; -EINVAL for a bad address, setting or timeout; -EAFNOSUPPORT;
 * -EOPNOTSUPP for `packets` of another family than Unix; -ENOMEM; -ECANCELED. Then `*flow` is NULL, the socket is
 * closed, and the file of a Unix path in `bind_to` removed; after a success it is the caller's to remove. When the
 * backlog of a Unix listener is full, the connect is retried until it ends otherwise. */
LOOP_API loop_job loop_connect(struct loop_scope *scope, const struct loop_address *address,
                               const struct loop_connect_options *options, struct loop_flow **flow, loop_fn *fn,
                               void *arg);

/* Creates two connected Unix stream sockets, socketpair(2): for tests, and for talking to a child process. Both flows
 * belong to `scope`. Returns 0; -EMFILE or -ENFILE; -ENOMEM; -ECANCELED when the scope is cancelled. After an error
 * both are NULL. */
LOOP_API int loop_socketpair(struct loop_scope *scope, struct loop_flow **one, struct loop_flow **other);

/* Creates two connected Unix sockets of packets (SOCK_SEQPACKET), as `packets` in struct loop_connect_options describes
 * them. Both flows belong to `scope`. Returns 0; -EMFILE or -ENFILE; -ENOMEM; -ECANCELED when the scope is cancelled.
 * After an error both are NULL. */
LOOP_API int loop_socketpair_packets(struct loop_scope *scope, struct loop_flow **one, struct loop_flow **other);

/* ---- listening ---- */

struct loop_listener;

struct loop_listen_options {
    int backlog LOOP_ZERO;     /* 0: as long as net.core.somaxconn allows, up to 4096 */
    bool reuse_addr LOOP_ZERO; /* TCP: SO_REUSEADDR. Unix: replaces a socket file that no process listens on */
    bool reuse_port LOOP_ZERO; /* SO_REUSEPORT: one listener for each of several loops. Not for Unix sockets */
    bool ipv6_only LOOP_ZERO;
    bool nagle LOOP_ZERO;
    bool packets LOOP_ZERO;           /* Unix: SOCK_SEQPACKET, see loop_connect */
    const char *interface LOOP_ZERO;  /* LOOP_SO_BINDTODEVICE */
    const char *congestion LOOP_ZERO; /* LOOP_TCP_CONGESTION */
    unsigned mode LOOP_ZERO;          /* Unix: permissions of the socket file; 0: those that the umask leaves */
    const struct loop_socket_setting *settings LOOP_ZERO;
    size_t n_settings LOOP_ZERO;
};

/* Creates a socket that listens on `address`. `*listener` belongs to `scope`, and is valid until the scope has ended,
 * also after loop_listener_close. `options` may be NULL. On a machine without IPv6, "[::]" listens on every IPv4
 * address. The file of a Unix socket is removed when the listener closes, if it is still the same file. While the
 * socket is created, a second file, with ".lock" appended to the name, is locked (flock(2)) and then removed: of two
 * programs that start at the same time one listens, and the other gets -EADDRINUSE. Returns 0; -EADDRINUSE,
 * -EADDRNOTAVAIL, -EACCES, -EMFILE, -ENFILE, or another errno of socket(2), bind(2), listen(2), or of open(2) for the
 * lock file; -EINVAL for a bad address, setting, backlog or mode; -EAFNOSUPPORT; -EOPNOTSUPP for `reuse_port` on a
 * Unix socket and for `packets` on another one; -ENOMEM; -ECANCELED when the scope is cancelled. After an error
 * `*listener` is NULL. */
LOOP_API int loop_listen(struct loop_scope *scope, const struct loop_address *address,
                         const struct loop_listen_options *options, struct loop_listener **listener);

/* Flags of loop_listener_adopt. */
enum loop_listener_flag {
    LOOP_LISTENER_OWNS_FILE = 1u << 0 /* the file of a Unix socket is removed when the listener closes */
};

/* Takes over a socket that listens already, such as one that a service manager or another program has passed to this
 * one (<service/service.h>); others may accept on it too. `flags` is 0 or LOOP_LISTENER_OWNS_FILE. `*listener` belongs
 * to `scope` and owns `number`, which it sets to close-on-exec and nonblocking. Connections of TCP have TCP_NODELAY.
 * Returns 0; -EINVAL for a socket that does not listen, or another flag; -ENOTSOCK; -EBADF; -ENOMEM; -ECANCELED when
 * the scope is cancelled. After an error `*listener` is NULL and `number` is closed. */
LOOP_API int loop_listener_adopt(struct loop_scope *scope, int number, unsigned flags, struct loop_listener **listener);

/* Stores the address that the listener is bound to, with the port that the kernel chose. It stays known after a close.
 * Returns 0. */
LOOP_API int loop_listener_address(const struct loop_listener *listener, struct loop_address *address);

/* Returns the descriptor of the listener, which belongs to the listener's scope. */
LOOP_API struct loop_fd *loop_listener_fd(struct loop_listener *listener);

/* Stops listening: removes the file of a Unix socket and closes the descriptor. Accepts in flight end with -ECANCELED;
 * connections that were not accepted are closed by the kernel. Returns 0; -EBADF when it was closed before. */
LOOP_API int loop_listener_close(struct loop_listener *listener);

/* Accepts one connection, accept4(2). `*flow` is set before the continuation is resumed with 0, and belongs to `scope`,
 * which need not be the listener's. A connection that the peer has already closed with an error is skipped. At the
 * limit of descriptors, and when the kernel has no memory for a connection, it waits until the loop has closed a
 * descriptor, or retries after 10 ms, doubling up to 1 s, and logs a warning.
 *
 * Resumes with 0; -ECANCELED after a cancel, or when the listener closes; -EBADF when it was closed before; -ENOMEM; or
 * another errno of accept4(2). Then `*flow` is NULL. */
LOOP_API loop_job loop_accept(struct loop_scope *scope, struct loop_listener *listener, struct loop_flow **flow,
                              loop_fn *fn, void *arg);

/* ---- serving ---- */

struct loop_server;

/* Called for each connection, in a server with domains on the thread of one of them. `peer->scope` is the connection's
 * own scope: it ends, and closes the socket, when nothing is left running in it. A failure in it ends this connection
 * only. */
typedef void loop_connection_fn(struct loop_flow *peer, void *arg);

struct loop_serve_options {
    struct loop_listen_options listen LOOP_ZERO;
    unsigned max_connections LOOP_ZERO;      /* 0: no limit. At the limit, new connections wait in the backlog */
    int64_t connection_timeout_ns LOOP_ZERO; /* > 0: limits the life of a connection, as a deadline of its scope does */
    bool stop_on_signals LOOP_ZERO; /* SIGINT and SIGTERM stop it gracefully; a second one cancels its connections */
    int64_t grace_ns LOOP_ZERO; /* > 0: after such a signal, cancels the connections that are left after this time */
    /* NULL, or called with 0 once the server serves, with `domains` when all do; not when it is stopped before that */
    loop_fn *on_start LOOP_ZERO;
    void *on_start_arg LOOP_ZERO;
    /* NULL, or called when the server has stopped and its connections have ended: with 0, or with the error that
     * stopped it, which is -ECANCELED or -ETIMEDOUT when its scope was cancelled */
    loop_fn *on_end LOOP_ZERO;
    void *on_end_arg LOOP_ZERO;
    /* > 0: so many loops, in threads of their own, serve the connections; loop_processors tells how many make sense */
    unsigned domains LOOP_ZERO;
    /* With `domains`: one listening socket, whose connections this loop accepts and hands on, in place of one for each
     * domain. For loop_server_retire */
    bool one_listener LOOP_ZERO;
    /* With `domains`: NULL, or options of the domains; and NULL, or called in each of them before it serves, with the
     * `arg` of on_connection. It may prepare what connections there need, in variables of the thread (_Thread_local).
     * Another result than 0 ends the domain */
    const struct loop_domains_options *domain_options LOOP_ZERO;
    loop_domain_fn *domain_main LOOP_ZERO;
};

/* Listens on `address`, and calls `on_connection` for each connection until the server is stopped. The server runs in
 * a scope of its own inside `scope`. When accepting or a wait for a signal fails, it stops with that error; without
 * `on_end`, `scope` fails with it. Shortages of descriptors and memory are waited for, as in loop_accept. Stores the
 * server in `*server`, where the caller may later stop it; `server` may be NULL. Returns 0; -EINVAL for negative
 * durations, and for `domains` in the scope of a part; the errors of loop_listen; -ENOMEM; -ECANCELED when the scope is
 * cancelled. `options` may be NULL; it and `address` are not used after the call.
 *
 * With `domains` each connection is served by one of several loops (<domain/domain.h>), with `on_connection` and
 * `arg` on its thread. The call does not wait for the threads: one that cannot start, or whose domain_main fails,
 * stops the server with its error. The stop, the limit, the grace and the statistics are for all domains together. A
 * limit, a Unix socket or loop_serve_adopt makes this loop accept and hand each connection to the next domain. TCP
 * without a limit has a listener for each domain (SO_REUSEPORT), and the kernel chooses. All listeners belong to
 * this loop. When a domain fails later, its connections end and the log tells; what waits in its backlog, and what
 * the kernel still puts there, is accepted here and handed to the others, so no new connection is refused or reset.
 * When the last domain has ended, the server stops with its error, or -ESHUTDOWN. */
LOOP_API int loop_serve(struct loop_scope *scope, const struct loop_address *address,
                        const struct loop_serve_options *options, struct loop_server **server,
                        loop_connection_fn *on_connection, void *arg);

/* Serves as loop_serve does, on a socket that listens already. `flags` are those of loop_listener_adopt, and
 * options->listen is not used. The server owns `number`, which is closed after an error. Returns what loop_serve and
 * loop_listener_adopt return. */
LOOP_API int loop_serve_adopt(struct loop_scope *scope, int number, unsigned flags,
                              const struct loop_serve_options *options, struct loop_server **server,
                              loop_connection_fn *on_connection, void *arg);

/* Serves a connection that the server has not accepted itself: one that loop_fd_detach has taken out of any loop, with
 * its unread bytes. The limits, the grace and the statistics of the server hold for it. Returns 0, and the server owns
 * `connection`; -EAGAIN when the server is at its limit; -ESHUTDOWN when it has stopped or is cancelled, or no domain
 * runs; -ENOMEM. After an error `connection` still belongs to the caller. */
LOOP_API int loop_server_adopt(struct loop_server *server, struct loop_detached *connection);

/* Does what loop_server_stop does where another program, such as a successor, listens on the same socket. Leaves it the
 * backlog and the file of a Unix socket, and closes no connection that has been accepted. A server with domains needs
 * options->one_listener for that. */
LOOP_API void loop_server_retire(struct loop_server *server, int64_t deadline_ns);

/* Stops the server: accepts what is in the backlog, up to the limit, unless `deadline_ns` has passed, and closes the
 * listener. on_connection is called soon after for what was accepted. The connections may finish until `deadline_ns` (a
 * point of CLOCK_MONOTONIC; LOOP_NEVER: without a limit), and are cancelled then. A second call can only move the
 * deadline to an earlier time. The server is freed when its last connection has ended, after `on_end` has returned. */
LOOP_API void loop_server_stop(struct loop_server *server, int64_t deadline_ns);

/* Returns the listener of the server, which is closed after loop_server_stop. */
LOOP_API struct loop_listener *loop_server_listener(struct loop_server *server);

struct loop_server_stats {
    uint64_t accepted, failed;                  /* `failed`: connections whose scope has ended with an error */
    uint64_t connections_now, connections_most; /* open now; open at the same time at most */
};

/* Stores the counters of the server in `*stats`, of all domains together. */
LOOP_API void loop_server_get_stats(const struct loop_server *server, struct loop_server_stats *stats);

/* ---- datagrams ---- */

/* A datagram socket: UDP over IPv4 or IPv6, or a Unix socket. UDP may lose, repeat and reorder datagrams, and at best
 * reports that by an error later. Unix sockets do neither of these. */
struct loop_datagram_socket;

/* What a datagram stream reports beside the bytes, when `reports` of the options asks for it. Each costs some of the
 * kernel's time for each datagram. */
enum loop_datagram_report {
    LOOP_DATAGRAM_TRAFFIC_CLASS = 1u << 0, /* IP_RECVTOS, IPV6_RECVTCLASS: differentiated services and ECN */
    LOOP_DATAGRAM_HOP_LIMIT = 1u << 1,     /* IP_RECVTTL, IPV6_RECVHOPLIMIT */
    LOOP_DATAGRAM_PACKET_INFO = 1u << 2,   /* IP_PKTINFO, IPV6_RECVPKTINFO: interface and destination */
    LOOP_DATAGRAM_TIME = 1u << 3,          /* SO_TIMESTAMPNS: when the kernel received it */
    /* IP_RECVERR, IPV6_RECVERR: errors of the network, each with the destination of the datagram that failed. Also for
     * a socket that is not connected. These cost nothing until there is an error. */
    LOOP_DATAGRAM_ERRORS = 1u << 4
};

struct loop_datagram_options {
    /* Local address; NULL: the kernel chooses one when the first datagram is sent */
    const struct loop_address *bind_to LOOP_ZERO;
    /* The only peer; NULL: any. At least one of the two addresses must be given */
    const struct loop_address *connect_to LOOP_ZERO;
    /* UDP: SO_REUSEADDR. Unix: replaces a socket file that no process has open */
    bool reuse_addr LOOP_ZERO;
    /* SO_REUSEPORT: one socket for each of several loops. Not for Unix sockets */
    bool reuse_port LOOP_ZERO;
    bool ipv6_only LOOP_ZERO;
    unsigned mode LOOP_ZERO; /* Unix: permissions of the socket file; 0: those that the umask leaves */
    const struct loop_socket_setting *settings LOOP_ZERO;
    size_t n_settings LOOP_ZERO;
    /* A longer datagram is received truncated. 0: 65536, which is more than UDP allows. At most 1 MiB */
    size_t max_bytes LOOP_ZERO;
    size_t limit_bytes LOOP_ZERO; /* limit of the send queue; 0: 1 MiB. Half of that may stay allocated */
    /* UDP: each datagram passes through the kernel by itself. By default those of one sender or to one peer may pass as
     * a train, see below. */
    bool single LOOP_ZERO;
    /* UDP: a datagram that is longer than a packet of the path, as far as it is known, fails with -EMSGSIZE and is not
     * sent in fragments (IP_PMTUDISC_DO) */
    bool dont_fragment LOOP_ZERO;
    const char *interface LOOP_ZERO; /* LOOP_SO_BINDTODEVICE */
    unsigned reports LOOP_ZERO;      /* of enum loop_datagram_report */
};

/* Opens a datagram socket: bound, connected or both. `*socket` belongs to `scope`, and is valid until the scope has
 * ended, also after loop_datagram_close. The texts of addresses are those of streams; "udp:" means the same as "tcp:".
 * A Unix socket needs an address to receive answers: a path, whose file is removed when the socket closes; an abstract
 * name; or an address of length sizeof(sa_family_t), for which the kernel chooses a name. On a machine without IPv6, an
 * unconnected "[::]" is every IPv4 address. `options` is not used after the call.
 *
 * Returns 0; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE, -ENFILE, -ENETUNREACH, or another errno of socket(2),
 * bind(2) and connect(2), or of open(2) for the lock file (see loop_listen); -ENOENT and -ECONNREFUSED for the path of
 * a Unix peer; -EINVAL without an address, for a bad address or setting, for addresses of two families, or for a bad
 * mode, max_bytes or `reports`; -EAFNOSUPPORT; -EOPNOTSUPP for `reuse_port` on a Unix socket, and for reports that it
 * does not have (it has LOOP_DATAGRAM_TIME); -ENOMEM; -ECANCELED when the scope is cancelled. After an error `*socket`
 * is NULL. */
LOOP_API int loop_datagram_open(struct loop_scope *scope, const struct loop_datagram_options *options,
                                struct loop_datagram_socket **socket);

/* Takes over an existing datagram socket, such as one of socketpair(2), or one inherited from the parent process.
 * `number` belongs to the scope from now on; after an error it has been closed. Of the options, which may be NULL, only
 * max_bytes, limit_bytes, single and reports are used. Its own options stay as they are, but for those of `reports` and
 * the receiver's address.
 *
 * Returns 0; -EBADF when `number` is no descriptor; -ENOTSOCK; -EPROTOTYPE when it is no datagram socket; -EINVAL for a
 * bad max_bytes or `reports`; -EOPNOTSUPP for reports that a Unix socket does not have; -ENOMEM; -ECANCELED when the
 * scope is cancelled. After an error `*socket` is NULL. */
LOOP_API int loop_datagram_adopt(struct loop_scope *scope, int number, const struct loop_datagram_options *options,
                                 struct loop_datagram_socket **socket);

/* Stores the local address of the socket, with the port that the kernel chose, getsockname(2). Returns 0; -EBADF when
 * the socket is closed. */
LOOP_API int loop_datagram_address(struct loop_datagram_socket *socket, struct loop_address *address);

/* Stores the longest packet, with its headers, that the path to the peer is known to allow: IP_MTU or IPV6_MTU. Returns
 * 0; -ENOTCONN when the socket is not connected; -EOPNOTSUPP for a Unix socket; -EINVAL for NULL; -EBADF when the
 * socket is closed. */
LOOP_API int loop_datagram_path_mtu(struct loop_datagram_socket *socket, size_t *bytes);

/* Joins a multicast group: the socket receives what is sent to `group` and its port, from `source`, or from any source
 * where that is NULL. Several sources of one group can be joined one by one. The socket is bound to the port, and to
 * every address or to the group. `interface` is an index, see if_nametoindex(3); 0: as the routes have it. Closing the
 * socket leaves all groups. The options LOOP_IP_MULTICAST_TTL, _LOOP and their like for IPv6 are about sending.
 *
 * Returns 0; -EINVAL when `group` is no multicast address, or either is of another family than the socket; -EADDRINUSE
 * when the socket has joined it before; -ENODEV for an interface that does not exist or has no multicast;
 * -EADDRNOTAVAIL for a source of a group that was joined for any; -ENOBUFS at the limit of groups
 * (igmp_max_memberships); -ENOMEM; -EBADF when the socket is closed; or another errno of setsockopt(2). */
LOOP_API int loop_datagram_join(struct loop_datagram_socket *socket, const struct loop_address *group,
                                const struct loop_address *source, unsigned interface);

/* Leaves a multicast group, or one source of it: the arguments are those of loop_datagram_join. Returns 0;
 * -EADDRNOTAVAIL when it has not been joined, also for a source of a group that was joined for any, which stays joined;
 * or an error of loop_datagram_join. */
LOOP_API int loop_datagram_leave(struct loop_datagram_socket *socket, const struct loop_address *group,
                                 const struct loop_address *source, unsigned interface);

/* Sets the interface that datagrams to multicast groups leave by, IP_MULTICAST_IF or IPV6_MULTICAST_IF; 0: as the
 * routes have it. A single datagram can leave by another, see loop_datagram_send_options. Returns 0; -EINVAL for a Unix
 * socket; -ENODEV or -EADDRNOTAVAIL for an interface that does not exist; -EBADF when the socket is closed. */
LOOP_API int loop_datagram_set_multicast_interface(struct loop_datagram_socket *socket, unsigned interface);

/* Returns the descriptor of the socket, which belongs to the socket's scope. */
LOOP_API struct loop_fd *loop_datagram_fd(struct loop_datagram_socket *socket);

/* Closes the socket and removes the file of a Unix socket. The stream still delivers what was received before, and then
 * ends with -ECANCELED. Queued datagrams are dropped, and their jobs end with -ECANCELED. loop_fd_close on the
 * descriptor does the same, but leaves the file until the scope ends. The end of the scope closes the socket too.
 * Returns 0; -EBADF when it was closed before. */
LOOP_API int loop_datagram_close(struct loop_datagram_socket *socket);

/* ---- receiving datagrams ---- */

/* A received datagram, or an error. It is lent for the duration of the call, with everything that it points to. */
struct loop_datagram {
    const void *data;                  /* NULL for an error */
    size_t len;                        /* may be 0 */
    const struct loop_address *sender; /* its length is 0 for an unnamed sender: a Unix socket that is not bound */
    /* The local address that it was sent to, with the socket's port. For broadcast and multicast, the address to answer
     * from, or for IPv6 the socket's own. */
    const struct loop_address *receiver;
    bool is_truncated; /* longer than max_bytes: the rest is lost */
    /* What `reports` has asked for, where the kernel knows it */
    int traffic_class;  /* 0 to 255, ECN in the lowest two bits; -1: not known */
    int hop_limit;      /* 0 to 255; -1: not known */
    unsigned interface; /* the index of the one it came in by; 0: not known */
    /* The address in its header, with the socket's port: a group, too. Of an error, the address that the datagram was
     * sent to which has failed. NULL: not known */
    const struct loop_address *destination;
    int64_t time_ns;  /* of CLOCK_REALTIME; 0: not known. Datagrams of a train have one time */
    size_t mtu_bytes; /* of an error -EMSGSIZE: the longest packet of the path, if the network has said; otherwise 0 */
};

/* The continuation of a datagram stream.
 *
 * - For each datagram, `result` is its length in bytes.
 * - For each error that the network reports for an earlier datagram of a connected socket, `result` is negative, such
 *   as -ECONNREFUSED or -EHOSTUNREACH, and `datagram` has no data. The stream goes on. Of several such errors the
 *   kernel may report only one. With LOOP_DATAGRAM_ERRORS it reports each, also of a socket that is not connected, as
 * far as its buffer allows: `destination` is where the failed datagram was sent to, `sender` the machine that has
 * reported the error, with port 0, and `mtu_bytes` is set for -EMSGSIZE.
 * - At the end, once, `datagram` is NULL. `result` is -ECANCELED, or the error that ended the stream. */
typedef void loop_datagram_fn(void *arg, int64_t result, const struct loop_datagram *datagram);

/* Receives datagrams until it is cancelled or the socket closes. One system call receives up to 32, or as many trains
 * of datagrams that the kernel has joined (UDP_GRO, udp(7)), and `fn` is resumed for each datagram. After four such
 * calls or 128 datagrams other descriptors have their turn. What `fn` sends leaves after all datagrams of one call, or
 * 128 of them, have been handed out; a scope that `fn` empties ends when others have their turn. A datagram that was
 * received is always delivered, also after a cancel or a close. While the stream is paused (loop_pause), it keeps what
 * it has received; what arrives stays in the socket, and the kernel drops it when the socket's buffer is full. An idle
 * socket holds no memory for receiving.
 *
 * Ends with -ECANCELED; -EBUSY when another stream of the socket runs; -EBADF when the socket was closed before;
 * -ENOMEM; or the error of recvmmsg(2) or of the backend that stopped it. */
LOOP_API loop_job loop_datagram_stream(struct loop_datagram_socket *socket, loop_datagram_fn *fn, void *arg);

/* ---- sending datagrams ----
 *
 * The datagrams of a socket are sent in the order of the calls. Those of one continuation, or of the continuations of
 * datagrams that were received together, leave together: one system call sends up to 64. When the kernel does not
 * accept one, it stays in the queue, and so do all datagrams after it, also those to other peers. So a Unix socket that
 * its owner does not read holds up its senders.
 *
 * UDP datagrams of one length to one peer that follow each other pass through the kernel as a train of up to 64
 * (UDP_SEGMENT, udp(7)), which costs a fraction of what they cost by themselves. The last one may be shorter. When the
 * kernel refuses a train, its datagrams are sent each by itself: results, errors and order are the same. Datagrams of
 * this length are then joined again after some time.
 *
 * `to` is copied. NULL, or an address of length 0, is the peer that the socket is connected to. */

/* Copies a datagram to the queue, which is sent soon. Its outcome shows only in the statistics. A queued datagram keeps
 * the scope open. Inside the stream's continuation, `data` and `to` that point into the datagram at hand are not
 * copied: answering with them costs nothing.
 *
 * Returns 0; -ENOBUFS when the queue is full, which refuses no later datagram (drop this one, or use
 * loop_datagram_wait_drained); -EINVAL or -EAFNOSUPPORT for a bad `to`; -EINVAL for NULL `data` of a length;
 * -EDESTADDRREQ without a destination; -EMSGSIZE for a `len` above INT_MAX; -ENOMEM; -EBADF when the socket is closed;
 * -ECANCELED when the scope is cancelled. */
LOOP_API int loop_datagram_put(struct loop_datagram_socket *socket, const struct loop_address *to, const void *data,
                               size_t len);

/* Does what loop_datagram_put does, and sends from the local address `from`, for a UDP socket that is bound to every
 * address: the `receiver` of a datagram that is answered later. The port of `from` is ignored. With NULL or length 0
 * the kernel chooses the address; but inside the stream's continuation, an answer to the sender of the datagram at hand
 * leaves from the address that this datagram was sent to.
 *
 * Returns what loop_datagram_put returns, and -EINVAL for a `from` of another family than the socket's, or of a Unix
 * socket. For an address that is not this machine's the kernel refuses the datagram later (-EINVAL, -ENETUNREACH),
 * which shows in the statistics. */
LOOP_API int loop_datagram_put_from(struct loop_datagram_socket *socket, const struct loop_address *from,
                                    const struct loop_address *to, const void *data, size_t len);

/* Sends a datagram without a copy, as a job: `data` belongs to the job until the continuation is resumed. Datagrams of
 * this call and of loop_datagram_put share one queue.
 *
 * Resumes with `len` when the kernel has accepted the datagram. Otherwise with an error of loop_datagram_put, or of
 * sendmmsg(2): -EMSGSIZE, -ENETUNREACH, -EACCES, -EPERM; -ENOENT and -ECONNREFUSED for a Unix socket. A datagram that
 * is cancelled before it was sent ends with -ECANCELED, and is never sent. An error that the network reports for an
 * earlier datagram fails no later one: the stream is resumed with it, or it shows in the statistics, and the datagram
 * is sent. */
LOOP_API loop_job loop_datagram_send(struct loop_datagram_socket *socket, const struct loop_address *to,
                                     const void *data, size_t len, loop_fn *fn, void *arg);

/* Does what loop_datagram_send does, and sends from the local address `from`, as loop_datagram_put_from does. Resumes
 * with the results of loop_datagram_send; -EINVAL for a `from` of another family than the socket's, or of a Unix
 * socket; and the kernel's error, -EINVAL or -ENETUNREACH, for an address that is not this machine's. */
LOOP_API loop_job loop_datagram_send_from(struct loop_datagram_socket *socket, const struct loop_address *from,
                                          const struct loop_address *to, const void *data, size_t len, loop_fn *fn,
                                          void *arg);

/* How a datagram is sent. */
struct loop_datagram_send_options {
    const struct loop_address *from LOOP_ZERO; /* as loop_datagram_put_from has it */
    unsigned interface LOOP_ZERO;              /* the index of the one it leaves by; 0: as the routes have it */
    /* Whether `traffic_class` is that of this datagram: differentiated services, and ECN in the lowest two bits */
    bool has_traffic_class LOOP_ZERO;
    int traffic_class LOOP_ZERO;
    int hop_limit LOOP_ZERO; /* 0: the socket's own */
    /* > 0: the bytes are datagrams of this length, of which the last may be shorter: a train */
    size_t segment_bytes LOOP_ZERO;
};

/* Does what loop_datagram_put does, with options, which may be NULL and are not used after the call. A train may have
 * any length: it passes through the kernel in as few pieces as the kernel allows, or as single datagrams where it
 * refuses trains.
 *
 * Returns what loop_datagram_put_from returns, and -EINVAL for a traffic class or hop limit above 255 or below 0, or
 * for any option on a Unix socket. */
LOOP_API int loop_datagram_put_with(struct loop_datagram_socket *socket,
                                    const struct loop_datagram_send_options *options, const struct loop_address *to,
                                    const void *data, size_t len);

/* Does what loop_datagram_send does, with options, as loop_datagram_put_with. Resumes with the results of
 * loop_datagram_send_from, or -EINVAL as loop_datagram_put_with returns it. Of a train, the result is how many bytes
 * the kernel has accepted: fewer than `len` when it was cancelled after some of its datagrams had been sent, or when a
 * later one failed, which shows in the statistics. The rest is not sent. */
LOOP_API loop_job loop_datagram_send_with(struct loop_datagram_socket *socket,
                                          const struct loop_datagram_send_options *options,
                                          const struct loop_address *to, const void *data, size_t len, loop_fn *fn,
                                          void *arg);

/* Returns how many bytes are queued. Each datagram counts its length and the size of its entry in the queue. */
LOOP_API size_t loop_datagram_queued(const struct loop_datagram_socket *socket);

/* Returns whether the queue is full: then the next datagram is refused with -ENOBUFS, unless the kernel accepts some
 * before. */
LOOP_API bool loop_datagram_is_full(const struct loop_datagram_socket *socket);

/* Waits for room in the queue. Resumes with 0 when at most half of limit_bytes is queued; -ECANCELED after a cancel, or
 * when the socket closes; -EBADF when it was closed before; -ENOMEM when the queue was dropped for lack of memory. */
LOOP_API loop_job loop_datagram_wait_drained(struct loop_datagram_socket *socket, loop_fn *fn, void *arg);

struct loop_datagram_stats {
    uint64_t received, truncated; /* `truncated` ones count as received too */
    /* accepted by the kernel; refused by it; still in the queue when the socket closed */
    uint64_t sent, failed, dropped;
    uint64_t trains_sent, trains_refused, trains_received; /* each datagram of a train counts above too */
    uint64_t errors_told;                                  /* by the network, for earlier datagrams */
    int last_error; /* a negative errno of the last failed datagram or reported error; 0: none */
};

/* Stores the counters of the socket in `*stats`. They stay readable after a close. */
LOOP_API void loop_datagram_get_stats(const struct loop_datagram_socket *socket, struct loop_datagram_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
